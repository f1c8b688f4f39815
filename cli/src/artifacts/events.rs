//! `events.jsonl`: one line for each event of either direction, in the order of time.

use serde_json::Value;

/// The text of the file. Events are noted when they are read, which may be after something was sent
/// that is younger.
pub(crate) fn text(rows: &[Value]) -> String {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by_key(|row| row["at_ms"].as_u64());
    rows.iter().map(|row| format!("{row}\n")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_in_the_order_of_time_and_then_of_notice() {
        let row = |at_ms: u64, name: &str| json!({"at_ms": at_ms, "type": name});
        let rows = [row(900, "a"), row(1_000, "b"), row(20, "c"), row(900, "d")];
        let text = text(&rows);
        let rows = text.lines().map(serde_json::from_str);
        let rows: Vec<Value> = rows.collect::<Result<_, _>>().expect("JSON");
        let names: Vec<_> = rows.iter().filter_map(|row| row["type"].as_str()).collect();
        assert_eq!(names, ["c", "a", "d", "b"]);
    }
}
