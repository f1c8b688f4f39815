//! Watches what a client sends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use talkwire_core::dialect::{ClientFrame, Dialect};
use talkwire_core::wire::audio;
use talkwire_core::wire::envelope::Malformed;

use super::report::Breach;
use super::server::{Seen, ServerWatch, start};
use crate::redact::Formats;
use crate::upgrade::Knock;

/// The client events of the protocol, and the fields that each needs.
const KNOWN: &[(&str, &[&str])] = &[
    ("session.update", &["session"]),
    ("input_audio_buffer.append", &["audio"]),
    ("input_audio_buffer.commit", &[]),
    ("input_audio_buffer.clear", &[]),
    ("conversation.item.create", &["item"]),
    ("conversation.item.retrieve", &["item_id"]),
    (
        "conversation.item.truncate",
        &["item_id", "content_index", "audio_end_ms"],
    ),
    ("conversation.item.delete", &["item_id"]),
    ("response.create", &[]),
    ("response.cancel", &[]),
    ("output_audio_buffer.clear", &[]),
];

/// What the server sent within this time may not have arrived when the client sent something: a
/// round trip over a bad mobile network.
const IN_FLIGHT: Duration = Duration::from_secs(1);

/// Watches one session.
#[derive(Debug)]
pub(super) struct ClientWatch {
    dialect: Arc<Dialect>,
    formats: Formats,
    server: ServerWatch,
    /// Events and abilities that were used, with their counts.
    pub(super) used: BTreeMap<String, u64>,
    pub(super) breaches: Vec<Breach>,
    /// Bytes in the input buffer.
    buffered_bytes: usize,
    /// Responses that were asked for and did not begin yet.
    asked: u32,
    /// When the last response in the conversation began, if the client did not ask for it.
    unasked_at: Option<Instant>,
    /// When the last response was done.
    done_at: Option<Instant>,
    calls: BTreeMap<String, Call>,
    /// Bytes of speech that each item of the agent has.
    spoken: BTreeMap<String, usize>,
    is_closed: bool,
}

#[derive(Debug)]
struct Call {
    name: String,
    is_answered: bool,
}

impl ClientWatch {
    pub(super) fn new(dialect: Arc<Dialect>, knock: &Knock) -> Self {
        let mut watch = Self {
            formats: Formats::new(&dialect),
            server: ServerWatch::new(dialect.clone()),
            dialect,
            used: BTreeMap::new(),
            breaches: Vec::new(),
            buffered_bytes: 0,
            asked: 0,
            unasked_at: None,
            done_at: None,
            calls: BTreeMap::new(),
            spoken: BTreeMap::new(),
            is_closed: false,
        };
        watch.knock(knock);
        watch
    }

    fn knock(&mut self, knock: &Knock) {
        for (header, form) in [
            ("authorization", "credential in Authorization"),
            ("api-key", "credential in api-key"),
            ("sec-websocket-protocol", "subprotocols"),
            ("sec-websocket-extensions", "WebSocket extensions"),
        ] {
            if knock.header(header).is_some() {
                self.note(form);
            }
        }
        if let Some(agent) = knock.header("user-agent") {
            self.note(&format!("agent {}", start(agent)));
        }
        let withdrawn = self.dialect.table().withdrawn.clone();
        let is_asked = withdrawn.is_some_and(|w| {
            let offers = knock.header("sec-websocket-protocol").unwrap_or_default();
            knock.header(&w.header).is_some() || offers.contains(&w.subprotocol)
        });
        if is_asked {
            self.broken("C13", "the upgrade request asks for it");
        }
    }

    fn note(&mut self, what: &str) {
        *self.used.entry(what.to_owned()).or_default() += 1;
    }

    fn broken(&mut self, rule: &'static str, seen: impl Into<String>) {
        self.breaches.push(Breach::new(rule, seen));
    }

    pub(super) fn binary(&mut self) {
        self.broken("C1", "a binary frame");
    }

    /// A frame of the client that arrived now.
    pub(super) fn client(&mut self, now: Instant, raw: &str) {
        let decoded = match self.dialect.decode_client(raw) {
            Ok(decoded) => decoded,
            Err(Malformed::Audio(why)) => return self.broken("C5", format!("audio: {why}")),
            Err(why) => return self.broken("C1", format!("{why}: {}", start(raw))),
        };
        if decoded.rewritten {
            self.note("names or shapes of older versions");
        }
        let name = match &decoded.event {
            ClientFrame::Append(_) => "input_audio_buffer.append",
            ClientFrame::Fields { name, .. } => name,
        };
        let name = name.to_owned();
        self.note(&name);
        let most = self.dialect.table().limits.event_id_max as usize;
        if decoded.event_id.is_some_and(|id| id.len() > most) {
            self.broken("C3", format!("{name}: more than {most} characters"));
        }
        let Some((_, needed)) = KNOWN.iter().find(|(known, _)| *known == name) else {
            return self.broken("C2", name);
        };
        let value: Value = serde_json::from_str(raw).unwrap_or_default();
        for field in *needed {
            if value.get(field).is_none_or(Value::is_null) {
                self.broken("C4", format!("{name} without {field}"));
            }
        }
        match decoded.event {
            ClientFrame::Append(append) => self.append(append.audio.len()),
            ClientFrame::Fields { name, fields, .. } => {
                let raw = Value::Object(fields);
                self.event(now, &Seen { name, raw });
            }
        }
    }

    fn append(&mut self, bytes: usize) {
        self.buffered_bytes += bytes;
        if !bytes.is_multiple_of(self.formats.input.sample_bytes()) {
            self.broken("C5", format!("an append of {bytes} bytes"));
        }
        let most = self.dialect.table().limits.append_max_bytes as usize;
        if bytes > most {
            self.broken(
                "C5",
                format!("an append of {bytes} bytes, and {most} are the most"),
            );
        }
    }

    fn event(&mut self, now: Instant, event: &Seen) {
        match event.name.as_str() {
            "session.update" => self.update(event),
            "input_audio_buffer.commit" => {
                let ms = self.formats.input.ms_of_bytes(self.buffered_bytes as u64);
                let least = self.dialect.table().limits.commit_min_ms;
                if ms < u64::from(least) {
                    self.broken("C6", format!("a commit of {ms} ms"));
                }
                self.buffered_bytes = 0;
            }
            "input_audio_buffer.clear" => self.buffered_bytes = 0,
            "conversation.item.create" => self.item(event),
            "conversation.item.truncate" => self.truncate(event),
            "response.create" => self.create(now, event),
            "response.cancel" if self.server.is_busy() || self.asked > 0 => {}
            "response.cancel" if is_in_flight(self.done_at, now) => {}
            "response.cancel" => self.broken("C8", "no response ran"),
            _ => {}
        }
    }

    fn update(&mut self, event: &Seen) {
        for (pointer, what) in [
            ("/session/audio/input/turn_detection/type", "turn detection"),
            ("/session/audio/input/format/type", "input format"),
            ("/session/audio/output/format/type", "output format"),
            ("/session/output_modalities/0", "modality"),
            ("/session/audio/output/voice", "voice"),
        ] {
            let value = start(event.text(pointer));
            if !value.is_empty() {
                self.note(&format!("{what} {value}"));
            }
        }
        if event.raw.pointer("/session/tools/0").is_some() {
            self.note("tools");
        }
    }

    fn item(&mut self, event: &Seen) {
        let kind = event.text("/item/type");
        self.note(&format!("item {}", start(kind)));
        if kind != "function_call_output" {
            return;
        }
        let id = event.text("/item/call_id").to_owned();
        let own = &self.dialect.table().server_tools;
        let breach = match self.calls.get_mut(&id) {
            None => Some(("C9", format!("an output for the call `{}`", start(&id)))),
            Some(call) if own.contains(&call.name) => {
                Some(("C11", format!("an output of {}", call.name)))
            }
            Some(call) if call.is_answered => {
                Some(("C10", format!("a second output of {}", call.name)))
            }
            Some(call) => {
                call.is_answered = true;
                None
            }
        };
        if let Some((rule, seen)) = breach {
            self.broken(rule, seen);
        }
    }

    fn truncate(&mut self, event: &Seen) {
        let id = event.text("/item_id");
        let at_ms = event.raw["audio_end_ms"].as_u64().unwrap_or(0);
        let Some(bytes) = self.spoken.get(id) else {
            let message = format!("item `{}` has no speech", start(id));
            return self.broken("C14", message);
        };
        let ms = self.formats.output.ms_of_bytes(*bytes as u64);
        if at_ms > ms {
            self.broken("C14", format!("to {at_ms} ms of {ms} ms"));
        }
    }

    fn create(&mut self, now: Instant, event: &Seen) {
        if event.text("/response/conversation") == "none" {
            return self.note("out-of-band responses");
        }
        if !self.server.is_answering() {
            self.asked += 1;
        } else if !is_in_flight(self.unasked_at, now) {
            self.broken("C7", "a response ran");
        }
        let own = &self.dialect.table().server_tools;
        let open = |call: &&Call| !call.is_answered && !own.contains(&call.name);
        let open: Vec<_> = self
            .calls
            .values()
            .filter(open)
            .map(|c| c.name.clone())
            .collect();
        if !open.is_empty() {
            self.broken("C12", format!("no output of {}", open.join(", ")));
        }
    }

    /// A frame that the server sends now.
    pub(super) fn server(&mut self, now: Instant, raw: &str) {
        let Some(seen) = self.server.frame(raw) else {
            return;
        };
        self.formats.learn(&seen.name, raw, &self.dialect);
        match seen.name.as_str() {
            "error" => {
                let code = start(seen.text("/error/code"));
                self.note(&format!("error {code}"));
                // A refused response.create starts nothing.
                self.asked = self.asked.saturating_sub(1);
            }
            "input_audio_buffer.committed" | "input_audio_buffer.cleared" => {
                self.buffered_bytes = 0;
            }
            "response.created" => self.created(now, &seen),
            "response.done" => self.done_at = Some(now),
            "response.output_audio.delta" => {
                let bytes = audio::decode(seen.text("/delta")).map_or(0, |bytes| bytes.len());
                *self
                    .spoken
                    .entry(seen.text("/item_id").to_owned())
                    .or_default() += bytes;
            }
            "response.output_item.done" if seen.text("/item/type") == "function_call" => {
                let name = seen.text("/item/name").to_owned();
                let call = Call {
                    name,
                    is_answered: false,
                };
                self.calls
                    .insert(seen.text("/item/call_id").to_owned(), call);
            }
            _ => {}
        }
    }

    fn created(&mut self, now: Instant, event: &Seen) {
        let conversation = event.raw.pointer("/response/conversation_id");
        // One beside the conversation stands in nobody's way.
        if conversation.is_some_and(Value::is_null) {
            return;
        }
        self.unasked_at = (self.asked == 0).then_some(now);
        self.asked = self.asked.saturating_sub(1);
    }

    /// The end of the connection.
    pub(super) fn ended(&mut self, how: &str) {
        if how == "lost" && !std::mem::replace(&mut self.is_closed, true) {
            self.broken("C15", "the connection was lost");
        }
        self.is_closed = true;
    }

    /// Events that the protocol has, and the client did not use.
    pub(super) fn unused(&self) -> BTreeSet<&'static str> {
        let names = KNOWN.iter().map(|(name, _)| *name);
        names
            .filter(|name| !self.used.contains_key(*name))
            .collect()
    }
}

/// Whether the client may not know yet of what the server sent at `sent`.
fn is_in_flight(sent: Option<Instant>, now: Instant) -> bool {
    sent.is_some_and(|sent| now < sent + IN_FLIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: &str = r#"{"type":"response.create"}"#;
    const CANCEL: &str = r#"{"type":"response.cancel"}"#;

    struct World(ClientWatch, Instant);

    impl World {
        fn new() -> Self {
            let dialect = Dialect::named("openai").expect("built in");
            Self(ClientWatch::new(dialect, &Knock::default()), Instant::now())
        }

        fn server(&mut self, event: &str, status: &str) {
            let response = serde_json::json!({"id": "resp_1", "status": status,
                "conversation_id": "conv_1"});
            let event = serde_json::json!({"type": event, "response": response});
            self.0.server(self.1, &event.to_string());
        }

        fn client(&mut self, after_ms: u64, raw: &str) -> Vec<&'static str> {
            self.1 += Duration::from_millis(after_ms);
            self.0.client(self.1, raw);
            self.0.breaches.iter().map(|breach| breach.rule).collect()
        }
    }

    #[test]
    fn a_wish_that_crosses_the_start_of_an_answer_breaks_no_rule() {
        let mut world = World::new();
        world.server("response.created", "in_progress");
        assert_eq!(world.client(999, CREATE), [""; 0]);
        assert_eq!(world.client(1, CREATE), ["C7"], "it has arrived by now");
        let mut world = World::new();
        world.client(0, CREATE);
        world.server("response.created", "in_progress");
        assert_eq!(world.client(0, CREATE), ["C7"], "the client asked for it");
    }

    #[test]
    fn a_cancel_that_crosses_the_end_of_an_answer_breaks_no_rule() {
        let mut world = World::new();
        world.server("response.created", "in_progress");
        world.server("response.done", "completed");
        assert_eq!(world.client(999, CANCEL), [""; 0]);
        assert_eq!(world.client(1, CANCEL), ["C8"], "it has arrived by now");
        assert_eq!(World::new().client(0, CANCEL), ["C8"], "nothing ever ran");
    }
}
