//! What holds for every call, whatever happens: watched beside the invariants that the engine checks
//! by itself, from what goes in and out of it.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// A rule of a test: what is wrong about a frame that the client sends, if anything is.
pub type Rule = fn(&Value) -> Option<&'static str>;

/// Watches one session. A broken rule panics, as a broken invariant of the engine does.
#[derive(Debug, Default)]
pub struct Rules {
    /// Function calls that have their output.
    answered: HashSet<String>,
    /// The responses that the application knows to run.
    running: HashSet<String>,
    /// Milliseconds of audio of each item.
    received_ms: HashMap<String, u64>,
    more: Option<Rule>,
}

impl Rules {
    /// The rules, and one more.
    pub fn with(more: Option<Rule>) -> Self {
        Self {
            more,
            ..Self::default()
        }
    }

    /// The client sends a frame of control.
    pub(super) fn sent(&mut self, text: &str) {
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        let name = frame["type"].as_str().unwrap_or_default();
        match name {
            "conversation.item.create" if frame["item"]["type"] == "function_call_output" => {
                let call_id = frame["item"]["call_id"].as_str().unwrap_or_default();
                let is_first = self.answered.insert(call_id.to_owned());
                keep(is_first, "a function call has one output", text);
            }
            "response.create" => {
                let is_free = self.running.is_empty();
                keep(is_free, "a wish waits for the response that runs", text);
            }
            "conversation.item.truncate" => {
                let item_id = frame["item_id"].as_str().unwrap_or_default();
                let received = self.received_ms.get(item_id).copied().unwrap_or(0);
                let end = frame["audio_end_ms"].as_u64().unwrap_or(0);
                let is_there = end > 0 && end <= received;
                keep(is_there, "what is kept of an answer was received", text);
            }
            _ => {}
        }
        if let Some(wrong) = self.more.and_then(|rule| rule(&frame)) {
            keep(false, wrong, text);
        }
    }

    /// The application is told an event.
    pub(super) fn told(&mut self, event: &Value) {
        let id = event["response"]["id"].as_str().unwrap_or_default();
        match event["type"].as_str().unwrap_or_default() {
            "response.created" => {
                self.running.insert(id.to_owned());
                let is_one = self.running.len() == 1;
                keep(is_one, "one response runs at a time", &event.to_string());
            }
            "response.done" => {
                self.running.remove(id);
            }
            "response.output_audio.delta" => {
                let item_id = event["item_id"].as_str().unwrap_or_default();
                let bytes = event["delta"].as_str().map_or(0, |text| text.len() / 4 * 3);
                // The calls of this stage are at 24 kHz; a text rounds up to whole groups.
                let ms = (bytes as u64).div_ceil(48);
                *self.received_ms.entry(item_id.to_owned()).or_default() += ms;
            }
            "playout.cut" => {
                let is_less = event["heard_ms"].as_u64() <= event["received_ms"].as_u64();
                keep(is_less, "what was heard was received", &event.to_string());
            }
            _ => {}
        }
    }

    /// The session ends: so many questions of the application have no answer.
    pub(super) fn ended(&self, unanswered: usize) {
        keep(unanswered == 0, "each question has its answer", "the end");
    }
}

fn keep(holds: bool, rule: &str, by: &str) {
    assert!(holds, "broken rule: {rule}, by {by}");
}
