//! `transcript.json`: who said what, and what was done.

use serde_json::json;

use crate::talk::lines::Utterance;
use crate::talk::record::ToolCall;

/// The text of the file.
pub(crate) fn text(utterances: &[Utterance], tools: &[ToolCall]) -> String {
    let all = json!({"transcript": utterances, "tool_calls": tools});
    format!("{all:#}\n")
}
