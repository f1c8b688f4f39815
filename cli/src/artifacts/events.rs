//! `events.jsonl`: one line for each event of either direction.

use serde_json::Value;

/// The text of the file.
pub(crate) fn text(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}
