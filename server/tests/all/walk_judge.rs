//! Who watches everything a server sends and knows the order that the protocol promises.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// Checks every event as it comes.
#[derive(Default)]
pub(crate) struct Judge {
    seen: HashSet<String>,
    first: bool,
    pub(crate) ended: bool,
    pub(crate) running: HashMap<String, Response>,
    over: HashSet<String>,
    /// Items of the conversation, in its order, as the events tell it.
    order: Vec<String>,
    /// Items that were added and are not done.
    open: HashSet<String>,
    turn: Turn,
    /// Items of the input buffer, and whether their words are complete.
    committed: HashMap<String, bool>,
    listing: Option<String>,
    /// What clients may name: items, calls that wait for an output, requests for approval.
    pub(crate) items: Vec<String>,
    pub(crate) calls: Vec<String>,
    pub(crate) approvals: Vec<String>,
    /// Names of all events that came.
    pub(crate) names: HashSet<String>,
    /// Whether the dialect tells when an item is done.
    tells_done: bool,
}

/// Where a turn of the caller is.
#[derive(Debug, Default, PartialEq, Eq)]
enum Turn {
    #[default]
    Quiet,
    Speaking(String),
    /// It ended, or nothing was said for long: its item is owed.
    Owed(String),
}

/// A response that runs.
#[derive(Default)]
pub(crate) struct Response {
    is_default: bool,
    metadata: Value,
    next_index: u64,
    finished: Vec<String>,
    open_items: HashMap<String, Item>,
}

/// An item that a response writes.
#[derive(Default)]
struct Item {
    text: String,
    arguments: String,
    audio: bool,
    part_is_open: bool,
}

fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key].as_str().unwrap_or_default()
}

fn is_about_mcp(item: &Value) -> bool {
    text(item, "type").starts_with("mcp_")
}

impl Judge {
    /// A judge of a dialect that tells when an item is done, or does not.
    pub(crate) fn new(tells_done: bool) -> Self {
        Self {
            tells_done,
            ..Self::default()
        }
    }

    pub(crate) fn judge(&mut self, frame: &str) {
        assert!(!self.ended, "after the end: {frame}");
        let event: Value = serde_json::from_str(frame).expect("JSON");
        let kind = event["type"].as_str().expect("a type").to_owned();
        let event_id = event["event_id"].as_str().expect("an event_id").to_owned();
        assert!(
            self.seen.insert(event_id),
            "the event_id comes twice: {frame}"
        );
        assert_eq!(kind == "session.created", !self.first, "{frame}");
        self.first = true;
        self.names.insert(kind.clone());
        match kind.as_str() {
            "response.created" => self.created(&event["response"]),
            "response.done" => self.done(&event["response"]),
            "error" => {
                assert!(event["error"]["code"].is_string(), "{frame}");
                assert!(!text(&event["error"], "message").is_empty(), "{frame}");
            }
            _ if event["response_id"].is_string() => self.of_response(&kind, &event),
            _ if kind.starts_with("response.mcp_call.") => self.of_mcp_call(&event),
            _ if kind.starts_with("mcp_list_tools.") => self.listed(&kind, &event),
            _ if kind.starts_with("input_audio_buffer.") => self.of_turn(&kind, &event),
            _ if kind.starts_with("conversation.item.") => self.of_item(&kind, &event),
            _ => {}
        }
    }

    fn created(&mut self, response: &Value) {
        let id = response["id"].as_str().expect("an id").to_owned();
        let is_default = !response["conversation_id"].is_null();
        let default_runs = self.running.values().any(|r| r.is_default);
        assert!(
            !(is_default && default_runs),
            "two responses in the conversation"
        );
        assert!(!self.over.contains(&id), "it begins again");
        assert_eq!(
            (&response["status"], &response["output"]),
            (&"in_progress".into(), &Value::Array(Vec::new()))
        );
        let new = Response {
            is_default,
            metadata: response["metadata"].clone(),
            ..Response::default()
        };
        assert!(self.running.insert(id, new).is_none());
    }

    fn done(&mut self, response: &Value) {
        let id = response["id"].as_str().expect("an id").to_owned();
        let running = self.running.remove(&id).expect("it ran");
        assert!(running.open_items.is_empty(), "an item stays open");
        assert_eq!(running.is_default, !response["conversation_id"].is_null());
        assert_eq!(running.metadata, response["metadata"]);
        assert!(self.over.insert(id), "it ends twice");
        let usage = &response["usage"];
        let count = |key: &str| usage[key].as_u64().expect("a count");
        assert!(count("total_tokens") > 0);
        assert_eq!(
            count("total_tokens"),
            count("input_tokens") + count("output_tokens")
        );
        let details = &usage["input_token_details"];
        assert!(details["cached_tokens"].as_u64() <= Some(count("input_tokens")));
        let is_cut = response["status"] != "completed";
        let output = response["output"].as_array().expect("an array");
        let ids: Vec<_> = output.iter().map(|item| text(item, "id")).collect();
        assert_eq!(ids, running.finished);
        for item in output {
            let is_whole = item["status"] == "completed" || is_about_mcp(item);
            assert!(is_cut || is_whole, "{item}");
        }
    }

    fn of_response(&mut self, kind: &str, event: &Value) {
        let response = self.running.get_mut(text(event, "response_id"));
        let response = response.unwrap_or_else(|| panic!("not running: {event}"));
        response.take(kind, event);
        if kind == "response.output_item.done" {
            let item = &event["item"];
            let is_cut = item["status"] == "incomplete";
            match text(item, "type") {
                "function_call" if !is_cut => self.calls.push(text(item, "call_id").to_owned()),
                "mcp_approval_request" => self.approvals.push(text(item, "id").to_owned()),
                _ => {}
            }
        }
    }

    fn of_mcp_call(&mut self, event: &Value) {
        let id = text(event, "item_id");
        let is_open = self.running.values().any(|r| r.open_items.contains_key(id));
        assert!(is_open, "no open item: {event}");
    }

    fn listed(&mut self, kind: &str, event: &Value) {
        let id = text(event, "item_id").to_owned();
        if kind == "mcp_list_tools.in_progress" {
            assert!(self.listing.replace(id).is_none(), "{event}");
        } else {
            assert_eq!(self.listing.take(), Some(id));
        }
    }

    fn of_turn(&mut self, kind: &str, event: &Value) {
        let id = text(event, "item_id").to_owned();
        match kind {
            "input_audio_buffer.speech_started" => {
                // Speech that settings or a cleared buffer cut off is followed by other speech.
                assert!(!matches!(self.turn, Turn::Owed(_)), "{event}");
                assert!(!self.order.contains(&id), "{event}");
                self.turn = Turn::Speaking(id);
            }
            "input_audio_buffer.speech_stopped" => {
                assert_eq!(self.turn, Turn::Speaking(id.clone()));
                self.turn = Turn::Owed(id);
            }
            "input_audio_buffer.timeout_triggered" => {
                assert!(self.running.values().all(|r| !r.is_default), "{event}");
                self.turn = Turn::Owed(id);
            }
            "input_audio_buffer.committed" => {
                if let Turn::Owed(owed) = &self.turn {
                    assert_eq!(*owed, id);
                }
                let previous = event["previous_item_id"].as_str();
                assert_eq!(previous, self.order.last().map(String::as_str));
                assert!(self.committed.insert(id, false).is_none(), "{event}");
                self.turn = Turn::Quiet;
            }
            _ => self.turn = Turn::Quiet,
        }
    }

    fn of_item(&mut self, kind: &str, event: &Value) {
        let item_id = event["item"]["id"]
            .as_str()
            .or_else(|| event["item_id"].as_str());
        let id = item_id.expect("an id").to_owned();
        match kind {
            "conversation.item.added" | "conversation.item.created" => self.added(id, event),
            "conversation.item.done" => {
                assert!(
                    self.open.remove(&id),
                    "done and never added, or twice: {event}"
                );
                assert_ne!(event["item"]["status"], "in_progress");
            }
            "conversation.item.deleted" => {
                let before = self.order.len();
                self.order.retain(|known| *known != id);
                assert_eq!(self.order.len() + 1, before, "{event}");
            }
            "conversation.item.retrieved" | "conversation.item.truncated" => {
                assert!(self.order.contains(&id), "{event}");
            }
            "conversation.item.input_audio_transcription.delta" => {
                assert_eq!(self.committed.get(&id), Some(&false), "{event}");
            }
            _ => {
                let is_complete = self.committed.get_mut(&id).expect("committed before");
                assert!(!std::mem::replace(is_complete, true), "twice: {event}");
            }
        }
    }

    fn added(&mut self, id: String, event: &Value) {
        assert!(!self.order.contains(&id), "one place for an item: {event}");
        let aside = self.running.values().filter(|r| !r.is_default);
        assert!(
            !aside.into_iter().any(|r| r.open_items.contains_key(&id)),
            "{event}"
        );
        // A client's item brings sound of its own, which is heard too.
        if event["item"]["content"][0]["type"] == "input_audio" {
            self.committed.entry(id.clone()).or_insert(false);
        }
        let at = match event["previous_item_id"].as_str() {
            None => 0,
            Some(previous) => {
                let at = self.order.iter().position(|known| known == previous);
                1 + at.unwrap_or_else(|| panic!("after nothing: {event}"))
            }
        };
        self.order.insert(at, id.clone());
        self.items.push(id.clone());
        if self.tells_done {
            self.open.insert(id);
        }
    }

    /// Judges the end of a walk in which everything was waited for.
    pub(crate) fn judge_rest(&self) {
        assert!(self.running.is_empty(), "a response never ends");
        assert!(self.open.is_empty(), "an item is never done");
        assert!(
            !matches!(self.turn, Turn::Owed(_)),
            "a turn never becomes an item"
        );
        assert_eq!(self.listing, None, "a list never comes");
    }
}

impl Response {
    fn take(&mut self, kind: &str, event: &Value) {
        if kind == "response.output_item.added" {
            let id = event["item"]["id"].as_str().expect("an id").to_owned();
            assert!(self.open_items.is_empty(), "one item after another");
            assert_eq!(event["output_index"].as_u64(), Some(self.next_index));
            self.next_index += 1;
            self.open_items.insert(id, Item::default());
            return;
        }
        if kind == "response.output_item.done" {
            let id = event["item"]["id"].as_str().expect("an id");
            let item = self.open_items.remove(id).expect("it was open");
            assert!(!item.part_is_open && !item.audio, "a part stays open");
            self.finished.push(id.to_owned());
            return;
        }
        let id = event["item_id"].as_str().expect("an item_id");
        let item = self.open_items.get_mut(id).expect("an open item");
        item.take(kind, event);
    }
}

impl Item {
    fn take(&mut self, kind: &str, event: &Value) {
        match kind {
            "response.content_part.added" => self.part_is_open = true,
            "response.content_part.done" => {
                let part = &event["part"];
                let whole = part["text"]
                    .as_str()
                    .or_else(|| part["transcript"].as_str());
                assert_eq!(whole, Some(self.text.as_str()));
                self.part_is_open = false;
            }
            "response.output_text.delta" | "response.output_audio_transcript.delta" => {
                assert!(self.part_is_open);
                self.text.push_str(text(event, "delta"));
            }
            "response.output_text.done" => assert_eq!(text(event, "text"), self.text),
            "response.output_audio_transcript.done" => {
                assert_eq!(text(event, "transcript"), self.text);
            }
            "response.output_audio.delta" => {
                assert!(self.part_is_open);
                self.audio = true;
                let delta = text(event, "delta");
                let bytes = talkwire_core::wire::audio::decode(delta).expect("base64");
                assert!(
                    !bytes.is_empty() && bytes.len().is_multiple_of(2),
                    "half a sample"
                );
            }
            "response.output_audio.done" => self.audio = false,
            "response.function_call_arguments.delta" | "response.mcp_call_arguments.delta" => {
                self.arguments.push_str(text(event, "delta"));
            }
            // Some dialects tell these arguments only as a whole.
            "response.mcp_call_arguments.done" if self.arguments.is_empty() => {}
            "response.function_call_arguments.done" | "response.mcp_call_arguments.done" => {
                assert_eq!(text(event, "arguments"), self.arguments);
            }
            other => panic!("{other}"),
        }
    }
}
