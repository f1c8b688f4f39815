//! The result of a check.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::rules;

/// Things seen of one rule that a report for people names.
const MAX_SEEN: usize = 8;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Breach {
    /// Number of the rule.
    pub rule: &'static str,
    /// What was seen.
    pub seen: String,
}

impl Breach {
    pub(super) fn new(rule: &'static str, seen: impl Into<String>) -> Self {
        let seen = seen.into();
        Self { rule, seen }
    }
}

/// One thing that was asked of a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// What was asked.
    pub asked: String,
    /// What was seen: the types of the events that came, or a sentence.
    pub seen: String,
}

/// What the other side can do, or what it used.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Capability {
    /// Its name.
    pub name: String,
    /// Whether it was seen; `None` if that cannot be said.
    pub is_there: Option<bool>,
    /// What was seen.
    pub detail: String,
}

/// The result of a check.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// What was checked: a URL, or a number of sessions.
    pub subject: String,
    /// What was asked, in order.
    pub steps: Vec<Step>,
    /// Rules that were broken, each with what was seen.
    pub breaches: Vec<Breach>,
    /// What it can do, or used.
    pub capabilities: Vec<Capability>,
}

impl Report {
    /// Whether no rule was broken.
    pub fn is_clean(&self) -> bool {
        self.breaches.is_empty()
    }

    pub(super) fn can(&mut self, name: &str, is_there: Option<bool>, detail: impl Into<String>) {
        self.capabilities.push(Capability {
            name: name.to_owned(),
            is_there,
            detail: detail.into(),
        });
    }

    /// Each broken rule once, with all that was seen of it and how often.
    fn by_rule(&self) -> Vec<(&'static str, Vec<(&str, usize)>)> {
        let mut rules: Vec<(&'static str, Vec<(&str, usize)>)> = Vec::new();
        for Breach { rule, seen } in &self.breaches {
            let at = rules.iter().position(|(known, _)| known == rule);
            let at = at.unwrap_or_else(|| {
                rules.push((rule, Vec::new()));
                rules.len() - 1
            });
            let sights = &mut rules[at].1;
            match sights.iter_mut().find(|(known, _)| known == seen) {
                Some((_, count)) => *count += 1,
                None => sights.push((seen, 1)),
            }
        }
        rules
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let steps = self.steps.iter();
        let steps = steps.map(|step| json!({"asked": step.asked, "seen": step.seen}));
        let breaches = self.by_rule().into_iter().map(|(rule, seen)| {
            let count: usize = seen.iter().map(|(_, count)| count).sum();
            let seen: Vec<_> = seen.iter().map(|(seen, _)| seen).collect();
            json!({"rule": rule, "words": rules::words(rule), "count": count, "seen": seen})
        });
        let capabilities = self.capabilities.iter();
        let capabilities = capabilities
            .map(|can| json!({"name": can.name, "there": can.is_there, "detail": can.detail}));
        json!({
            "ok": self.is_clean(),
            "subject": self.subject,
            "steps": steps.collect::<Vec<_>>(),
            "breaches": breaches.collect::<Vec<_>>(),
            "capabilities": capabilities.collect::<Vec<_>>(),
        })
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.subject);
        let mut line = |line: String| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{line}");
        };
        for step in &self.steps {
            line(format!("  asked  {}", step.asked));
            line(format!("  seen   {}", step.seen));
        }
        if !self.capabilities.is_empty() {
            line("\ncapabilities".to_owned());
        }
        for can in &self.capabilities {
            let is_there = match can.is_there {
                Some(true) => "yes",
                Some(false) => "no",
                None => "?",
            };
            line(format!("  {:<28} {is_there:<4} {}", can.name, can.detail));
        }
        for (rule, seen) in self.by_rule() {
            line(format!("\nBROKEN {rule}: {}", rules::words(rule)));
            for (seen, count) in seen.iter().take(MAX_SEEN) {
                let times = match count {
                    1 => String::new(),
                    more => format!(" ({more} times)"),
                };
                line(format!("  {seen}{times}"));
            }
            if seen.len() > MAX_SEEN {
                line(format!("  and {} more", seen.len() - MAX_SEEN));
            }
        }
        line(match self.breaches.len() {
            0 => "\nno rule was broken".to_owned(),
            1 => "\n1 breach".to_owned(),
            more => format!("\n{more} breaches"),
        });
        text
    }
}
