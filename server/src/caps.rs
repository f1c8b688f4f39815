//! Bounds on what clients may ask a session to hold.

use serde_json::Value;
use talkwire_core::wire::Map;

use crate::context::judge_truncation;
use crate::error::{Judged, Problem};
use crate::usage::Tokens;

/// Most tools of a session.
const MAX_TOOLS: usize = 128;
/// Most pairs of `metadata`, and the longest key and value.
const MAX_PAIRS: usize = 16;
const MAX_KEY: usize = 64;
const MAX_VALUE: usize = 512;

/// Judges the sizes in a patch of the session or in a `response`; `window` is what a model reads.
pub(crate) fn judge(object: &Map, path: &str, window: u64) -> Judged<()> {
    let at = |field: &str| format!("{path}.{field}");
    if let Some(Value::String(text)) = object.get("instructions") {
        let tokens = Tokens::of_text(text);
        if tokens > window {
            let message = format!("Instructions of {tokens} tokens: at most {window} are read.");
            return Err(Problem::value(at("instructions"), message));
        }
    }
    let tools = object.get("tools").and_then(Value::as_array);
    if let Some(tools) = tools.filter(|tools| tools.len() > MAX_TOOLS) {
        let message = format!("{} tools: at most {MAX_TOOLS} are taken.", tools.len());
        return Err(Problem::value(at("tools"), message));
    }
    if let Some(truncation) = object.get("truncation") {
        judge_truncation(truncation, &at("truncation"))?;
    }
    match object.get("metadata") {
        Some(Value::Object(pairs)) => judge_metadata(pairs, &at("metadata")),
        _ => Ok(()),
    }
}

fn judge_metadata(pairs: &Map, path: &str) -> Judged<()> {
    if pairs.len() > MAX_PAIRS {
        let message = format!("{} pairs: at most {MAX_PAIRS} are taken.", pairs.len());
        return Err(Problem::value(path, message));
    }
    for (key, value) in pairs {
        let place = format!("{path}.{key}");
        let Value::String(value) = value else {
            return Err(Problem::kind(place, "a string"));
        };
        if key.chars().count() > MAX_KEY || value.chars().count() > MAX_VALUE {
            let message = format!(
                "A key has at most {MAX_KEY} characters and its value at most {MAX_VALUE}."
            );
            return Err(Problem::value(place, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_too_much_is_named() {
        let pairs = |n: usize| -> Map { (0..n).map(|n| (n.to_string(), json!("x"))).collect() };
        let tool = json!({"type": "function", "name": "f"});
        let cases = [
            (json!({"instructions": "x".repeat(401)}), "p.instructions"),
            (json!({"tools": vec![tool.clone(); 129]}), "p.tools"),
            (json!({"truncation": "never"}), "p.truncation"),
            (json!({"metadata": pairs(17)}), "p.metadata"),
            (json!({"metadata": {"a": 1}}), "p.metadata.a"),
            (json!({"metadata": {"a": "x".repeat(513)}}), "p.metadata.a"),
        ];
        for (object, param) in cases {
            let object = object.as_object().expect("an object");
            let problem = judge(object, "p", 100).expect_err(param);
            assert_eq!(problem.param(), Some(param));
        }
        let most = json!({"instructions": "x".repeat(400), "tools": vec![tool; 128],
            "metadata": pairs(16)});
        judge(most.as_object().expect("an object"), "p", 100).expect("fits");
    }
}
