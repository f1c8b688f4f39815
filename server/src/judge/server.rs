//! Watches what a server sends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use talkwire_core::audio::format::Format;
use talkwire_core::dialect::Dialect;
use talkwire_core::wire::audio;

use super::report::Breach;
use crate::redact::Formats;

/// Fields of a response in every event that shows it, with an older name where there is one.
const RESPONSE_FIELDS: &[&[&str]] = &[
    &["id"],
    &["object"],
    &["status"],
    &["status_details"],
    &["output"],
    &["output_modalities", "modalities"],
    &["max_output_tokens", "max_response_output_tokens"],
    &["conversation_id"],
    &["metadata"],
    &["usage"],
];

/// Fields that events have by their canonical names.
const FIELDS: &[(&str, &[&str])] = &[
    ("error", &["error"]),
    ("session.created", &["session"]),
    ("session.updated", &["session"]),
    ("conversation.item.added", &["item"]),
    ("conversation.item.done", &["item"]),
    ("conversation.item.retrieved", &["item"]),
    ("conversation.item.deleted", &["item_id"]),
    (
        "conversation.item.truncated",
        &["item_id", "content_index", "audio_end_ms"],
    ),
    ("input_audio_buffer.committed", &["item_id"]),
    (
        "input_audio_buffer.speech_started",
        &["item_id", "audio_start_ms"],
    ),
    (
        "input_audio_buffer.speech_stopped",
        &["item_id", "audio_end_ms"],
    ),
    ("response.created", &["response"]),
    ("response.done", &["response"]),
    (
        "response.output_item.added",
        &["response_id", "output_index", "item"],
    ),
    (
        "response.output_item.done",
        &["response_id", "output_index", "item"],
    ),
    ("response.content_part.added", PART),
    ("response.content_part.done", PART),
    ("response.output_text.delta", DELTA),
    (
        "response.output_text.done",
        &[
            "response_id",
            "item_id",
            "output_index",
            "content_index",
            "text",
        ],
    ),
    ("response.output_audio.delta", DELTA),
    (
        "response.output_audio.done",
        &["response_id", "item_id", "output_index", "content_index"],
    ),
    ("response.output_audio_transcript.delta", DELTA),
    (
        "response.output_audio_transcript.done",
        &[
            "response_id",
            "item_id",
            "output_index",
            "content_index",
            "transcript",
        ],
    ),
    ("response.function_call_arguments.delta", CALL_DELTA),
    (
        "response.function_call_arguments.done",
        &[
            "response_id",
            "item_id",
            "output_index",
            "call_id",
            "arguments",
        ],
    ),
];
const DELTA: &[&str] = &[
    "response_id",
    "item_id",
    "output_index",
    "content_index",
    "delta",
];
const CALL_DELTA: &[&str] = &["response_id", "item_id", "output_index", "call_id", "delta"];
const PART: &[&str] = &[
    "response_id",
    "item_id",
    "output_index",
    "content_index",
    "part",
];

const FINAL: &[&str] = &["completed", "cancelled", "incomplete", "failed"];

/// An event of a server, read.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Canonical name.
    pub(super) name: String,
    /// The event as it came.
    pub(super) raw: Value,
}

impl Seen {
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.raw
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// Watches one session.
#[derive(Debug)]
pub(super) struct ServerWatch {
    dialect: Arc<Dialect>,
    formats: Formats,
    count: usize,
    event_ids: BTreeSet<String>,
    running: BTreeMap<String, Response>,
    over: BTreeSet<String>,
    /// Responses that nobody waits for any longer.
    late: BTreeSet<String>,
    speech: Option<(String, bool)>,
    breaches: Vec<Breach>,
}

#[derive(Debug, Default)]
struct Response {
    is_aside: bool,
    items: BTreeMap<String, Item>,
}

#[derive(Debug, Default)]
struct Item {
    is_done: bool,
    parts: BTreeMap<u64, bool>,
    texts: BTreeMap<(String, u64), String>,
}

impl ServerWatch {
    pub(super) fn new(dialect: Arc<Dialect>) -> Self {
        Self {
            formats: Formats::new(&dialect),
            dialect,
            count: 0,
            event_ids: BTreeSet::new(),
            running: BTreeMap::new(),
            over: BTreeSet::new(),
            late: BTreeSet::new(),
            speech: None,
            breaches: Vec::new(),
        }
    }

    /// The breaches since this was asked last.
    pub(super) fn take_breaches(&mut self) -> Vec<Breach> {
        std::mem::take(&mut self.breaches)
    }

    /// Whether a response writes to the conversation.
    pub(super) fn is_answering(&self) -> bool {
        self.running.values().any(|response| !response.is_aside)
    }

    /// Whether any response runs.
    pub(super) fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }

    fn broken(&mut self, rule: &'static str, seen: impl Into<String>) {
        self.breaches.push(Breach::new(rule, seen));
    }

    /// A binary frame.
    pub(super) fn binary(&mut self) {
        self.broken("S2", "a binary frame");
    }

    /// A text frame.
    pub(super) fn frame(&mut self, raw: &str) -> Option<Seen> {
        self.count += 1;
        let value: Value = match serde_json::from_str(raw) {
            Ok(value @ Value::Object(_)) => value,
            _ => {
                self.broken(
                    "S2",
                    format!("a frame that is no JSON object: {}", start(raw)),
                );
                return None;
            }
        };
        let Some(wire_name) = value["type"].as_str() else {
            self.broken("S2", format!("an event without a type: {}", start(raw)));
            return None;
        };
        let name = match self.dialect.decode_server(raw) {
            Ok(decoded) => decoded.event.name().to_owned(),
            Err(why) => {
                self.broken("S9", format!("{wire_name}: {why}"));
                "response.output_audio.delta".to_owned()
            }
        };
        // The older name of the same thing.
        let name = match name.as_str() {
            "conversation.item.created" => "conversation.item.added".to_owned(),
            _ => name,
        };
        let seen = Seen { name, raw: value };
        self.envelope(&seen);
        self.fields(&seen);
        self.formats.learn(&seen.name, raw, &self.dialect);
        if self.is_late(&seen) {
            return None;
        }
        self.judge(&seen);
        Some(seen)
    }

    fn is_late(&self, seen: &Seen) -> bool {
        let ids = ["/response_id", "/response/id"].map(|pointer| seen.text(pointer));
        ids.iter().any(|id| self.late.contains(*id))
    }

    fn envelope(&mut self, seen: &Seen) {
        if self.count == 1 && seen.name != "session.created" && seen.name != "error" {
            self.broken("S1", format!("the first event is {}", seen.name));
        }
        if seen.name.ends_with("dtmf_event_received") {
            return;
        }
        match seen.text("/event_id") {
            "" => self.broken("S3", format!("{} without an event_id", seen.name)),
            id => {
                if !self.event_ids.insert(id.to_owned()) {
                    self.broken(
                        "S3",
                        format!("{} has the event_id {id} of another event", seen.name),
                    );
                }
            }
        }
    }

    fn fields(&mut self, seen: &Seen) {
        let wanted = FIELDS.iter().find(|(name, _)| *name == seen.name);
        for field in wanted.map_or(&[][..], |(_, fields)| fields) {
            if seen.raw.get(field).is_none() {
                self.broken("S11", format!("{} without {field}", seen.name));
            }
        }
        if let Some(response) = seen.raw.get("response") {
            for names in RESPONSE_FIELDS {
                if names.iter().all(|name| response.get(name).is_none()) {
                    self.broken(
                        "S11",
                        format!("{}: response without {}", seen.name, names[0]),
                    );
                }
            }
        }
        if seen.name == "error" {
            for field in ["type", "message"] {
                if seen.text(&format!("/error/{field}")).is_empty() {
                    self.broken("S11", format!("error without error.{field}"));
                }
            }
        }
    }

    fn judge(&mut self, seen: &Seen) {
        match seen.name.as_str() {
            "response.created" => self.begun(seen),
            "response.done" => self.done(seen),
            "input_audio_buffer.speech_started" => {
                self.speech = Some((seen.text("/item_id").to_owned(), false));
            }
            "input_audio_buffer.speech_stopped" => self.stopped(seen),
            "input_audio_buffer.committed" => self.committed(seen),
            name if name.starts_with("response.") => self.within(seen),
            _ => {}
        }
    }

    fn stopped(&mut self, seen: &Seen) {
        let id = seen.text("/item_id");
        match &mut self.speech {
            Some((item, is_over)) if item == id => *is_over = true,
            _ => self.broken(
                "S24",
                format!("speech_stopped of {id}, which did not start"),
            ),
        }
    }

    fn committed(&mut self, seen: &Seen) {
        let Some((item, is_over)) = self.speech.take() else {
            return;
        };
        // A commit by hand may end speech that was not over.
        if is_over && item != seen.text("/item_id") {
            let other = seen.text("/item_id").to_owned();
            self.broken("S24", format!("speech of {item} was committed as {other}"));
        }
    }

    fn begun(&mut self, seen: &Seen) {
        let id = seen.text("/response/id").to_owned();
        if self.running.contains_key(&id) || self.over.contains(&id) {
            return self.broken("S4", format!("response {id} began twice"));
        }
        let conversation = seen.raw.pointer("/response/conversation_id");
        let is_aside = conversation.is_some_and(Value::is_null);
        if !is_aside && self.is_answering() {
            let message = format!("response {id} began while another one writes");
            self.broken("S7", message);
        }
        let response = Response {
            is_aside,
            ..Response::default()
        };
        self.running.insert(id, response);
    }

    fn done(&mut self, seen: &Seen) {
        let id = seen.text("/response/id").to_owned();
        let status = seen.text("/response/status").to_owned();
        let Some(response) = self.running.remove(&id) else {
            let how = if self.over.contains(&id) {
                "a second time"
            } else {
                "without a beginning"
            };
            return self.broken("S4", format!("response {id} is done {how}"));
        };
        self.over.insert(id.clone());
        if !FINAL.contains(&status.as_str()) {
            self.broken(
                "S25",
                format!("response {id} is done with the status `{status}`"),
            );
        }
        for (item, state) in &response.items {
            if !state.is_done {
                self.broken(
                    "S8",
                    format!("response {id} is done before its item {item}"),
                );
            }
        }
        let output = seen
            .raw
            .pointer("/response/output")
            .and_then(Value::as_array);
        for item in output.into_iter().flatten() {
            let is_open = item["status"] == "in_progress";
            if is_open || (status == "completed" && item["status"] == "incomplete") {
                let item = item["id"].as_str().unwrap_or_default();
                self.broken(
                    "S8",
                    format!("response {id} is {status} with item {item} unfinished"),
                );
            }
        }
    }

    /// An event between the beginning and the end of a response.
    fn within(&mut self, seen: &Seen) {
        let id = seen.text("/response_id").to_owned();
        if id.is_empty() {
            // Without its id nothing more can be said; the missing field was told already.
            return;
        }
        let Some(response) = self.running.get_mut(&id) else {
            let when = if self.over.contains(&id) {
                "after it was done"
            } else {
                "before it began"
            };
            return self.broken("S6", format!("{} of response {id} {when}", seen.name));
        };
        let item_id = match seen.text("/item_id") {
            "" => seen.text("/item/id"),
            id => id,
        };
        let item_id = item_id.to_owned();
        if seen.name == "response.output_item.added" {
            if response
                .items
                .insert(item_id.clone(), Item::default())
                .is_some()
            {
                self.broken("S10", format!("item {item_id} was added twice"));
            }
            return;
        }
        let Some(item) = response.items.get_mut(&item_id) else {
            let message = format!("{} of item {item_id}, which was not added", seen.name);
            return self.broken("S10", message);
        };
        if item.is_done {
            let message = format!("{} of item {item_id}, which is done", seen.name);
            return self.broken("S10", message);
        }
        let breaches = item.judge(seen, self.formats.output);
        self.breaches.extend(breaches);
    }

    /// The end of the session, or of patience. What still runs never ended, and what comes of it all
    /// the same is no part of what is asked next.
    pub(super) fn end(&mut self) {
        for id in std::mem::take(&mut self.running).into_keys() {
            self.broken("S4", format!("response {id} has no response.done"));
            self.late.insert(id);
        }
    }
}

impl Item {
    fn judge(&mut self, seen: &Seen, format: Format) -> Vec<Breach> {
        let mut breaches = Vec::new();
        let mut broken = |rule, seen: String| breaches.push(Breach::new(rule, seen));
        let name = seen.name.as_str();
        let index = seen.raw["content_index"].as_u64().unwrap_or(0);
        let is_of_part = name.contains("output_text")
            || name.contains("output_audio")
            || name == "response.content_part.done";
        if is_of_part && self.parts.get(&index) != Some(&false) {
            broken("S10", format!("{name} of part {index}, which is not open"));
        }
        match name {
            "response.content_part.added" => {
                let old = self.parts.insert(index, false);
                if old.is_some() {
                    broken("S10", format!("part {index} was added twice"));
                }
            }
            "response.content_part.done" => {
                self.parts.insert(index, true);
            }
            "response.output_item.done" => {
                self.is_done = true;
                for (index, _) in self.parts.iter().filter(|(_, is_done)| !**is_done) {
                    broken("S8", format!("an item is done before its part {index}"));
                }
            }
            "response.output_audio.delta" => {
                let bytes = audio::decode(seen.text("/delta"));
                match bytes {
                    Ok(bytes) if bytes.len() % format.sample_bytes() == 0 => {}
                    Ok(bytes) => broken("S9", format!("a delta of {} bytes", bytes.len())),
                    // Said already, when the frame was read.
                    Err(_) => {}
                }
            }
            _ => {}
        }
        if let Some(track) = name.strip_suffix(".delta") {
            let text = self.texts.entry((track.to_owned(), index)).or_default();
            text.push_str(seen.text("/delta"));
        }
        let whole = ["/text", "/transcript", "/arguments"];
        let whole = whole.iter().find_map(|at| seen.raw.pointer(at)?.as_str());
        if let (Some(track), Some(whole)) = (name.strip_suffix(".done"), whole) {
            let joined = self.texts.remove(&(track.to_owned(), index));
            if joined.as_deref().unwrap_or_default() != whole {
                let joined = joined.unwrap_or_default();
                broken(
                    "S5",
                    format!(
                        "{name} says `{}`, its deltas `{}`",
                        start(whole),
                        start(&joined)
                    ),
                );
            }
        }
        breaches
    }
}

/// As much of a text as a line can hold.
pub(super) fn start(text: &str) -> String {
    text.chars().take(120).collect()
}
