//! What holds for every call, whatever happens and over however many links: watched beside the
//! invariants that the engine checks by itself, from what goes in and out of it.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use talkwire_core::engine::io::{Effect, Ticket};

use super::wanted::Wanted;

/// A rule of a test: what is wrong about a frame that the client sends, if anything is.
pub type Rule = fn(&Value) -> Option<&'static str>;

/// Watches one session. A broken rule panics, as a broken invariant of the engine does.
#[derive(Debug, Default)]
pub struct Rules {
    /// The application may send what it likes: only what the engine does of itself is judged.
    is_unchecked: bool,
    /// The link that spoke last.
    link: u32,
    /// Function calls that have their output, with the link that was told.
    answered: HashSet<(u32, String)>,
    /// Function calls that the application was asked to run.
    called: HashSet<String>,
    /// Function calls that a link knows: its server made them, or was told of them.
    known: HashSet<(u32, String)>,
    /// Items that the application knows.
    items: HashSet<String>,
    /// The server may say a thing twice.
    is_repetitive: bool,
    /// Links that are hung up, dropped or lost.
    gone: HashSet<u32>,
    /// The link that audio went to last.
    uplink: u32,
    wanted: Wanted,
    /// The link that was hung up last.
    hung_up: u32,
    /// The responses that the application knows to run.
    running: HashSet<String>,
    /// Those of them that the server ends because the customer spoke over them.
    interrupted: HashSet<String>,
    /// Whether the server ends a response for that.
    interrupts: bool,
    /// Milliseconds of audio of each item, with the link it came over.
    received_ms: HashMap<(u32, String), u64>,
    /// Bytes of a millisecond of it.
    bytes_per_ms: Option<u64>,
    /// Whether a loss is not made good yet.
    is_lost: bool,
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

    /// The rules for an application that is not kept from breaking some of them itself.
    pub fn of_unchecked() -> Self {
        Self {
            is_unchecked: true,
            ..Self::default()
        }
    }

    /// The rules for a server that may say a thing twice.
    #[must_use]
    pub fn with_repetitions(mut self, is_repetitive: bool) -> Self {
        self.is_repetitive = is_repetitive;
        self
    }

    /// A link speaks.
    pub(super) fn hears(&mut self, link: u32) {
        self.link = link;
    }

    /// The application sends an event.
    pub(super) fn wants(&mut self, json: &str) {
        if !self.is_unchecked {
            self.wanted.add(json);
        }
    }

    /// The client hangs a link up.
    pub(super) fn hangs_up(&mut self, link: u32) {
        self.hung_up = link;
        self.lets_go(link);
    }

    /// The client lets go of a link, or knows that it is lost.
    pub(super) fn lets_go(&mut self, link: u32) {
        self.gone.insert(link);
    }

    /// The client sends audio.
    pub(super) fn speaks(&mut self, link: u32) {
        let is_there = link >= self.uplink && !self.gone.contains(&link);
        self.uplink = link;
        keep(is_there, "audio goes to the link that is there", "audio");
    }

    /// The client sends a frame of control.
    pub(super) fn sent(&mut self, link: u32, text: &str) {
        let is_there = !self.gone.contains(&link);
        keep(is_there, "nothing is said to a link that is gone", text);
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        self.wanted.sent(link, &frame, text);
        match frame["type"].as_str().unwrap_or_default() {
            _ if self.is_unchecked => {}
            "conversation.item.create" => self.creates(link, &frame["item"], text),
            "response.create" => {
                let is_free = self.running.is_subset(&self.interrupted);
                keep(is_free, "a wish waits for the response that runs", text);
            }
            "conversation.item.truncate" => {
                let item_id = frame["item_id"].as_str().unwrap_or_default();
                let received = self.received_ms.get(&(link, item_id.to_owned()));
                let end = frame["audio_end_ms"].as_u64().unwrap_or(0);
                let is_there = end > 0 && end <= received.copied().unwrap_or(0);
                keep(is_there, "what is kept of an answer was received", text);
            }
            _ => {}
        }
        if let Some(wrong) = self.more.and_then(|rule| rule(&frame)) {
            keep(false, wrong, text);
        }
    }

    fn creates(&mut self, link: u32, item: &Value, text: &str) {
        let call_id = item["call_id"].as_str().unwrap_or_default();
        let call = (link, call_id.to_owned());
        match item["type"].as_str().unwrap_or_default() {
            "function_call" => {
                let is_news = self.known.insert(call);
                keep(is_news, "a link is told of a call once", text);
            }
            "function_call_output" => {
                let is_known = self.known.contains(&call);
                keep(is_known, "a call and its output are never parted", text);
                let is_first = self.answered.insert(call);
                keep(is_first, "a function call has one output", text);
            }
            _ => {}
        }
    }

    /// The application is told an event.
    pub(super) fn told(&mut self, event: &Value) {
        let name = event["type"].as_str().unwrap_or_default();
        match name {
            "response.created" | "response.done" => self.responds(name, event),
            "session.created" | "session.updated" => self.agrees(event),
            "input_audio_buffer.speech_started" if self.interrupts => {
                self.interrupted.clone_from(&self.running);
            }
            "response.output_audio.delta" => self.receives(event),
            "playout.cut" => {
                let is_less = event["heard_ms"].as_u64() <= event["received_ms"].as_u64();
                keep(is_less, "what was heard was received", &event.to_string());
            }
            "error" => self.wanted.refused(&event["error"]),
            "tool.call" => {
                let call_id = event["call_id"].as_str().unwrap_or_default();
                let is_first = self.called.insert(call_id.to_owned());
                keep(is_first, "a tool runs once", &event.to_string());
                self.known.insert((self.link, call_id.to_owned()));
            }
            "conversation.item.added" => {
                let item_id = event["item"]["id"].as_str().unwrap_or_default();
                let is_news = self.items.insert(item_id.to_owned());
                let holds = is_news || self.is_repetitive || self.is_unchecked;
                keep(holds, "an item is told once", &event.to_string());
            }
            "session.lost" | "session.recovered" | "session.rolled" => self.changes(name, event),
            _ => {}
        }
    }

    fn responds(&mut self, name: &str, event: &Value) {
        let id = event["response"]["id"].as_str().unwrap_or_default();
        if name == "response.done" {
            self.running.remove(id);
            return;
        }
        self.running.insert(id.to_owned());
        let is_one = self.is_unchecked || self.running.len() == 1;
        keep(is_one, "one response runs at a time", &event.to_string());
    }

    /// A loss is followed by one recovery, and there is nothing else to recover from.
    fn changes(&mut self, name: &str, event: &Value) {
        let must_be_lost = name == "session.recovered";
        let holds = self.is_lost == must_be_lost;
        self.is_lost = name == "session.lost";
        keep(
            holds,
            "a loss has one recovery, and a recovery its loss",
            &event.to_string(),
        );
        // What is kept of an outage is more than so long.
        let is_short = event["gap_ms"].as_u64().is_some_and(|ms| ms < 4_900);
        let is_whole = !is_short || event["lost_ms"] == 0;
        keep(
            is_whole,
            "a short outage loses no audio",
            &event.to_string(),
        );
        let is_quiet = self.is_unchecked || name != "session.lost" || self.running.is_empty();
        keep(
            is_quiet,
            "answers of a lost link are over",
            &event.to_string(),
        );
    }

    fn agrees(&mut self, event: &Value) {
        let format = &event["session"]["audio"]["output"]["format"];
        let detection = &event["session"]["audio"]["input"]["turn_detection"];
        self.interrupts = detection.is_object() && detection["interrupt_response"] != false;
        let rate = format["rate"].as_u64();
        self.bytes_per_ms = match format["type"].as_str() {
            Some("audio/pcm") => rate.map(|hz| hz * 2 / 1_000),
            Some(_) => Some(8),
            None => self.bytes_per_ms,
        };
    }

    fn receives(&mut self, event: &Value) {
        let item_id = event["item_id"].as_str().unwrap_or_default();
        let bytes = event["delta"].as_str().map_or(0, |text| text.len() / 4 * 3);
        // A text rounds up to whole groups.
        let ms = (bytes as u64).div_ceil(self.bytes_per_ms.unwrap_or(48).max(1));
        let received = self.received_ms.entry((self.link, item_id.to_owned()));
        *received.or_default() += ms;
    }

    /// The application answers a call with these words.
    pub(super) fn gives(&mut self, ticket: Ticket, words: &str) {
        if !self.is_unchecked {
            self.wanted.gives(ticket, words);
        }
    }

    /// A question of the application is answered.
    pub(super) fn answered(&mut self, ticket: Ticket, is_first: bool, is_done: bool) {
        if is_done {
            self.wanted.taken(ticket);
        }
        keep(
            is_first,
            "a question has one answer",
            &format!("{ticket:?}"),
        );
    }

    /// The session ends: so many questions of the application have no answer.
    pub(super) fn ended(&mut self, unanswered: usize, is_all_said: bool) {
        keep(unanswered == 0, "each question has its answer", "the end");
        if is_all_said && !self.is_lost {
            self.wanted.check(self.hung_up);
        }
    }

    /// What is done after the end reaches nobody: only sockets may be let go, and whoever asks then
    /// is answered.
    pub(super) fn after_end(&self, effect: &Effect) {
        let is_allowed = matches!(
            effect,
            Effect::Abort(_) | Effect::Hangup(_) | Effect::Reply(..) | Effect::Note(_)
        );
        keep(
            is_allowed,
            "the end is the last of all",
            &format!("{effect:?}"),
        );
    }

    /// Whether a loss is not made good yet.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }
}

pub(super) fn keep(holds: bool, rule: &str, by: &str) {
    assert!(holds, "broken rule: {rule}, by {by}");
}
