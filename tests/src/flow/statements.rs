//! Cuts a file into statements: a line, the indented lines that continue it, its place.

use std::sync::Arc;

use super::ast::{FlowError, Place};

/// One statement before it is understood.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) place: Place,
    /// The first line and its continuations, joined by one blank.
    pub(super) text: String,
    /// The continuations as they stand, without their common indentation.
    pub(super) block: String,
}

impl Statement {
    /// The word before the first blank.
    pub(super) fn head(&self) -> &str {
        self.text.split_whitespace().next().unwrap_or_default()
    }

    /// What follows `key:`, if the statement is that header.
    pub(super) fn header(&self, key: &str) -> Option<&str> {
        let value = self.text.strip_prefix(key)?.strip_prefix(':')?;
        Some(value.trim())
    }
}

/// All statements of a file. Blank lines and lines that begin with `#` say nothing.
pub(super) fn statements(file: &Arc<str>, text: &str) -> Result<Vec<Statement>, FlowError> {
    let mut all: Vec<(Place, &str, Vec<&str>)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = Place {
            file: Arc::clone(file),
            line: index + 1,
        };
        if line.starts_with('#') {
            continue;
        }
        let indented = line.starts_with(char::is_whitespace) || line.is_empty();
        match all.last_mut() {
            Some((_, _, tail)) if indented => tail.push(line.trim_end()),
            None if indented && !line.trim().is_empty() => return Err(orphan(place, line)),
            None if indented => {}
            _ => all.push((place, line.trim_end(), Vec::new())),
        }
    }
    Ok(all
        .into_iter()
        .map(|(place, head, tail)| join(place, head, &tail))
        .collect())
}

fn orphan(place: Place, line: &str) -> FlowError {
    FlowError {
        place,
        expected: "a statement at the start of the line before one that continues it".into(),
        found: format!("`{}`", line.trim()),
    }
}

fn join(place: Place, head: &str, tail: &[&str]) -> Statement {
    let mut text = head.to_owned();
    for line in tail
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
    {
        text.push(' ');
        text.push_str(line);
    }
    Statement {
        place,
        text,
        block: dedent(tail),
    }
}

fn dedent(lines: &[&str]) -> String {
    let depth = |line: &&&str| line.len() - line.trim_start().len();
    let common = lines
        .iter()
        .filter(|line| !line.is_empty())
        .map(|line| depth(&line))
        .min();
    let cut = |line: &&str| {
        line.get(common.unwrap_or(0)..)
            .unwrap_or_default()
            .to_owned()
    };
    let text = lines.iter().map(cut).collect::<Vec<_>>().join("\n");
    text.trim_end().to_owned()
}
