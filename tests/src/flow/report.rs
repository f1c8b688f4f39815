//! What came of the flows, for people.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use super::ast::Place;

/// Why a flow failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The line that failed.
    pub place: Place,
    /// Where the macro was used that contains the line.
    pub via: Option<Place>,
    /// The line itself.
    pub line: String,
    /// What went wrong.
    pub reason: String,
    /// The last events that were observed, at most ten, oldest first.
    pub last: Vec<String>,
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`", self.place, self.line)?;
        if let Some(via) = &self.via {
            write!(f, "\n  used at {via}")?;
        }
        write!(f, "\n  {}\n  last events:", self.reason)?;
        if self.last.is_empty() {
            f.write_str(" none")?;
        }
        self.last
            .iter()
            .try_for_each(|event| write!(f, "\n    {event}"))
    }
}

/// What came of one flow in one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The flow.
    pub id: String,
    /// The profile it was played in.
    pub profile: String,
    /// How it ended.
    pub verdict: Verdict,
    /// The capabilities of the pending lines that were reached, one entry for each line.
    pub pending_steps: Vec<String>,
}

/// How a flow ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As written.
    Passed,
    /// Not as written, or pending without need.
    Failed(Failure),
    /// Failed, as it must before the capability exists.
    Pending(String, Failure),
}

/// The reports of many flows.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    reports: Vec<Report>,
}

impl Summary {
    /// Adds a report.
    pub fn add(&mut self, report: Report) {
        self.reports.push(report);
    }

    /// Whether no flow failed.
    pub fn is_ok(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The flows that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&Report, &Failure)> {
        self.reports
            .iter()
            .filter_map(|report| match &report.verdict {
                Verdict::Failed(failure) => Some((report, failure)),
                Verdict::Passed | Verdict::Pending(..) => None,
            })
    }

    /// How many lines and whole flows wait for each capability.
    pub fn pending(&self) -> BTreeMap<&str, usize> {
        let mut all = BTreeMap::new();
        for report in &self.reports {
            let flow = match &report.verdict {
                Verdict::Pending(capability, _) => Some(capability),
                Verdict::Passed | Verdict::Failed(_) => None,
            };
            for capability in report.pending_steps.iter().chain(flow) {
                *all.entry(capability.as_str()).or_default() += 1;
            }
        }
        all
    }

    fn passed(&self) -> usize {
        self.reports
            .iter()
            .filter(|report| report.verdict == Verdict::Passed)
            .count()
    }
}

impl Display for Summary {
    /// Failures first, then one line with the numbers.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (report, failure) in self.failures() {
            writeln!(
                f,
                "flow {} ({}) failed\n{failure}\n",
                report.id, report.profile
            )?;
        }
        let pending = self.pending();
        let each = pending
            .iter()
            .map(|(name, steps)| format!("{name} {steps}"));
        let each = each.collect::<Vec<_>>().join(", ");
        let total = pending.values().sum::<usize>();
        let failed = self.failures().count();
        write!(
            f,
            "flows: {} passed, {failed} failed, {total} pending ({each})",
            self.passed()
        )
    }
}
