//! What the steps of a test run found, and how it is told.

use std::time::Duration;

use crate::skips::{self, Skip};

/// Counts of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skips: Vec<Skip>,
    /// One line for each failure that is worth repeating at the end.
    pub(crate) failures: Vec<String>,
}

impl Outcome {
    /// One check that passed or failed; `why` is repeated at the end of the run.
    pub(crate) fn check(passed: bool, why: impl Into<String>) -> Self {
        let mut outcome = Self::default();
        outcome.add(passed, why);
        outcome
    }

    /// Counts one more test.
    pub(crate) fn add(&mut self, passed: bool, why: impl Into<String>) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.failures.push(why.into());
        }
    }

    /// Counts one more skip.
    pub(crate) fn skip(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        self.skips.push(Skip {
            name: name.into(),
            reason: reason.into(),
        });
    }

    /// Adds the counts of another step.
    pub(crate) fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skips.extend(other.skips);
        self.failures.extend(other.failures);
    }
}

/// A step that ran.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
}

/// The sums of a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Totals {
    /// The last line of a run. Scripts read it: its form is a promise of TESTING.md.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{} passed, {} failed", self.passed, self.failed);
        if self.skipped > 0 {
            line.push_str(&format!(", {} skipped", self.skipped));
        }
        line
    }
}

/// Prints table, failures and skips and returns the sums. With `listed`, a skip that it does not
/// name is a failure.
pub(crate) fn conclude(rows: &[Row], listed: Option<&skips::List>) -> Totals {
    let mut all = Outcome::default();
    for row in rows {
        all.merge(row.outcome.clone());
    }
    println!("\n{}", table(rows));
    for skip in &all.skips {
        println!("skipped  {}: {}", skip.name, skip.reason);
    }
    let refused: Vec<_> = match listed {
        Some(list) => all.skips.iter().filter(|skip| !list.allows(skip)).collect(),
        None => Vec::new(),
    };
    for skip in &refused {
        println!(
            "FAILED   {}: skipped, and tests/skips.txt does not list it",
            skip.name
        );
    }
    for failure in &all.failures {
        println!("FAILED   {failure}");
    }
    Totals {
        passed: all.passed,
        failed: all.failed + refused.len() as u64,
        skipped: (all.skips.len() - refused.len()) as u64,
    }
}

/// One line for each step.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<28} {:>7} {:>7} {:>8} {:>9}\n",
        "step", "passed", "failed", "skipped", "seconds"
    );
    for row in rows {
        let o = &row.outcome;
        let seconds = row.took.as_secs_f64();
        text.push_str(&format!(
            "{:<28} {:>7} {:>7} {:>8} {seconds:>9.1}\n",
            row.name,
            o.passed,
            o.failed,
            o.skips.len()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(outcome: Outcome) -> Row {
        Row {
            name: "step",
            outcome,
            took: Duration::ZERO,
        }
    }

    #[test]
    fn the_last_line_has_one_form_without_and_one_with_skips() {
        let totals = Totals {
            passed: 3,
            failed: 0,
            skipped: 0,
        };
        assert_eq!(totals.line(), "3 passed, 0 failed");
        assert_eq!(
            Totals {
                skipped: 2,
                ..totals
            }
            .line(),
            "3 passed, 0 failed, 2 skipped"
        );
    }

    #[test]
    fn an_unlisted_skip_is_a_failure_only_when_a_list_rules() {
        let mut outcome = Outcome::check(true, "");
        outcome.skip("valgrind", "not installed");
        outcome.skip("fuzz", "no cargo-fuzz");
        let rows = [row(outcome)];
        assert_eq!(
            conclude(&rows, None),
            Totals {
                passed: 1,
                failed: 0,
                skipped: 2
            }
        );
        let list = skips::List::parse("fuzz: no nightly toolchain\n").unwrap();
        assert_eq!(
            conclude(&rows, Some(&list)),
            Totals {
                passed: 1,
                failed: 1,
                skipped: 1
            }
        );
    }
}
