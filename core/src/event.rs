//! What applications receive: events, and the one typed end.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::error::{Error, Kind, Who};
use crate::wire::{EventType, Map, ServerEvent};

pub mod local;
mod topic;

use local::Local;
pub use topic::{Topic, Topics};

/// One event. Cheap to clone; may be kept and sent to other threads.
#[derive(Clone)]
pub struct Event(Arc<Inner>);

struct Inner {
    body: Body,
    origin: Origin,
}

/// Where an event of the server came from.
#[derive(Clone, Default)]
pub struct Origin {
    /// Milliseconds since the session was opened.
    pub at_ms: u64,
    /// The server's id of the event.
    pub event_id: Option<String>,
    /// The frame, if it was one frame.
    pub raw: Option<Arc<str>>,
    /// Whether `raw` is not the canonical form.
    pub rewritten: bool,
    /// How long its audio lasts.
    pub audio_ms: u64,
}

impl Origin {
    /// Of an event in the server's name that we make.
    pub(crate) fn ours(at_ms: u64) -> Self {
        Self {
            at_ms,
            rewritten: true,
            ..Self::default()
        }
    }
}

/// What an event holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Body {
    /// An event of the server, under its canonical name.
    Wire(ServerEvent),
    /// An event that this library makes by itself.
    Local(Local),
}

impl Event {
    /// An event of the server.
    pub fn wire(event: ServerEvent, origin: Origin) -> Self {
        Self(Arc::new(Inner {
            body: Body::Wire(event),
            origin,
        }))
    }

    /// An event of this library.
    pub fn local(at_ms: u64, local: Local) -> Self {
        Self::made(at_ms, local, None)
    }

    /// A broken frame of the server, or a command that failed with nobody waiting for it.
    pub fn fault(at_ms: u64, error: Error, raw: Option<Arc<str>>) -> Self {
        Self::made(at_ms, Local::Fault(error), raw)
    }

    fn made(at_ms: u64, local: Local, raw: Option<Arc<str>>) -> Self {
        let origin = Origin {
            at_ms,
            raw,
            rewritten: true,
            ..Origin::default()
        };
        Self(Arc::new(Inner {
            body: Body::Local(local),
            origin,
        }))
    }

    /// Milliseconds since the session was opened.
    pub fn at_ms(&self) -> u64 {
        self.0.origin.at_ms
    }

    /// The server's id of the event; not every server sets one.
    pub fn event_id(&self) -> Option<&str> {
        self.0.origin.event_id.as_deref()
    }

    /// The content.
    pub fn body(&self) -> &Body {
        &self.0.body
    }

    /// The library's own event, if it is one.
    pub fn own(&self) -> Option<&Local> {
        match &self.0.body {
            Body::Local(local) => Some(local),
            Body::Wire(_) => None,
        }
    }

    /// The server's event, if it is one.
    pub fn server(&self) -> Option<&ServerEvent> {
        match &self.0.body {
            Body::Wire(event) => Some(event),
            Body::Local(_) => None,
        }
    }

    /// Canonical name, e.g. `response.output_text.delta`.
    pub fn name(&self) -> &str {
        match &self.0.body {
            Body::Wire(event) => event.name(),
            Body::Local(local) => local.id().0,
        }
    }

    /// The number that C calls `TW_EVENT_*`; 0 for an event newer than this library.
    pub fn number(&self) -> u16 {
        match &self.0.body {
            Body::Wire(event) => EventType::from_name(event.name()).number(),
            Body::Local(local) => local.id().1,
        }
    }

    /// The text it carries: a delta, a whole text or transcript, arguments, an error's message.
    pub fn text(&self) -> Option<&str> {
        let event = match &self.0.body {
            Body::Wire(event) => event,
            Body::Local(local) => return local.text(),
        };
        match event {
            ServerEvent::TextDelta(e) | ServerEvent::TranscriptDelta(e) => e.delta.as_deref(),
            ServerEvent::TextDone(e) => e.text.as_deref(),
            ServerEvent::TranscriptDone(e) => e.transcript.as_deref(),
            ServerEvent::ArgumentsDelta(e) | ServerEvent::McpArgumentsDelta(e) => {
                e.delta.as_deref()
            }
            ServerEvent::ArgumentsDone(e) | ServerEvent::McpArgumentsDone(e) => {
                e.arguments.as_deref()
            }
            ServerEvent::TranscriptionDelta(e) => e.delta.as_deref(),
            ServerEvent::TranscriptionCompleted(e) => e.transcript.as_deref(),
            ServerEvent::Error(e) => Some(&e.error.message),
            _ => None,
        }
    }

    /// Decoded audio in the output format of the session, whole samples.
    pub fn audio(&self) -> Option<&Bytes> {
        match &self.0.body {
            Body::Wire(ServerEvent::AudioDelta(delta)) => Some(&delta.audio),
            _ => None,
        }
    }

    /// How long its audio lasts, in milliseconds.
    pub fn audio_ms(&self) -> u64 {
        self.0.origin.audio_ms
    }

    /// The item it is about.
    pub fn item_id(&self) -> Option<&str> {
        match &self.0.body {
            Body::Wire(event) => event.item_id(),
            Body::Local(local) => local.item_id(),
        }
    }

    /// The response it belongs to.
    pub fn response_id(&self) -> Option<&str> {
        match &self.0.body {
            Body::Wire(event) => event.response_id(),
            Body::Local(local) => local.response_id(),
        }
    }

    /// The frame as it came, if it came from the server as one frame.
    pub fn raw(&self) -> Option<&str> {
        self.0.origin.raw.as_deref()
    }

    /// The event as canonical JSON text.
    pub fn json(&self) -> Cow<'_, str> {
        match (&self.0.origin.raw, self.0.origin.rewritten) {
            (Some(raw), false) => Cow::Borrowed(raw),
            _ => Cow::Owned(Value::Object(self.fields()).to_string()),
        }
    }

    fn fields(&self) -> Map {
        let mut map = match &self.0.body {
            Body::Wire(event) => event.to_fields(),
            Body::Local(local) => local.fields(self.raw()),
        };
        map.insert("type".to_owned(), json!(self.name()));
        if let Some(id) = &self.0.origin.event_id {
            map.insert("event_id".to_owned(), json!(id));
        }
        map
    }

    /// Bytes it holds in memory, roughly.
    pub fn weight(&self) -> usize {
        let audio = self.audio().map_or(0, Bytes::len);
        let text = self.raw().or_else(|| self.text()).map_or(0, str::len);
        200 + audio + text
    }

    /// This event and a later one of the same part as one, or `None` if they cannot be joined.
    pub(crate) fn joined(&self, later: &Self) -> Option<Self> {
        let (Some(a), Some(b)) = (self.server(), later.server()) else {
            return None;
        };
        let event = match (a, b) {
            (ServerEvent::TextDelta(a), ServerEvent::TextDelta(b)) if same_part(a, b) => {
                ServerEvent::TextDelta(join(a, b))
            }
            (ServerEvent::TranscriptDelta(a), ServerEvent::TranscriptDelta(b))
                if same_part(a, b) =>
            {
                ServerEvent::TranscriptDelta(join(a, b))
            }
            (ServerEvent::ArgumentsDelta(a), ServerEvent::ArgumentsDelta(b))
                if a.item_id == b.item_id =>
            {
                let mut joined = a.clone();
                joined
                    .delta
                    .get_or_insert_default()
                    .push_str(b.delta.as_deref().unwrap_or(""));
                ServerEvent::ArgumentsDelta(joined)
            }
            _ => return None,
        };
        let origin = Origin {
            raw: None,
            rewritten: true,
            ..self.0.origin.clone()
        };
        Some(Self::wire(event, origin))
    }
}

fn same_part(a: &crate::wire::server::Delta, b: &crate::wire::server::Delta) -> bool {
    (&a.response_id, &a.item_id, a.content_index) == (&b.response_id, &b.item_id, b.content_index)
}

fn join(
    a: &crate::wire::server::Delta,
    b: &crate::wire::server::Delta,
) -> crate::wire::server::Delta {
    let mut joined = a.clone();
    joined
        .delta
        .get_or_insert_default()
        .push_str(b.delta.as_deref().unwrap_or(""));
    joined
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be speech.
        write!(f, "Event({} at {} ms)", self.name(), self.0.origin.at_ms)
    }
}

/// Tokens of a session so far, cancelled responses included; `cached_tokens` are a part of those
/// read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Responses counted.
    pub responses: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Text tokens read.
    pub input_text_tokens: u64,
    /// Audio tokens read.
    pub input_audio_tokens: u64,
    /// Tokens read from the provider's cache.
    pub cached_tokens: u64,
    /// Text tokens written.
    pub output_text_tokens: u64,
    /// Audio tokens written.
    pub output_audio_tokens: u64,
    /// Tokens of the conversation after the last response.
    pub context_tokens: u64,
    /// Tokens that the model can hold; 0 where the dialect does not say.
    pub context_limit_tokens: u64,
}

/// How a session ended. Every session ends with exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Who ended it.
    pub who: Who,
    /// Why; [`Kind::Closed`] is the normal end.
    pub why: Kind,
    /// WebSocket close code, if a close frame was seen.
    pub close_code: Option<u16>,
    /// HTTP status, if the upgrade was refused.
    pub http_status: Option<u16>,
    /// Whether the application asked for it.
    pub expected: bool,
    /// Whether somebody was speaking, a response was running or a function call was unanswered.
    pub mid_turn: bool,
    /// What was taken from the application and never sent.
    pub unsent: Unsent,
    /// A sentence for people.
    pub message: String,
    /// The error behind it, with the server's own words.
    pub error: Option<Error>,
}

/// What was taken from the application and never sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsent {
    /// Milliseconds of audio.
    pub audio_ms: u64,
    /// Commands.
    pub commands: u64,
}

impl End {
    /// An unexpected end of which nothing more is known.
    pub(crate) fn new(who: Who, why: Kind, message: impl Into<String>) -> Self {
        Self {
            who,
            why,
            close_code: None,
            http_status: None,
            expected: false,
            mid_turn: false,
            unsent: Unsent::default(),
            message: message.into(),
            error: None,
        }
    }

    /// The end as the JSON that every tool of ours prints.
    pub fn to_json(&self) -> Value {
        json!({
            "who": self.who.name(), "why": self.why.name(), "code": self.close_code,
            "http_status": self.http_status, "expected": self.expected, "mid_turn": self.mid_turn,
            "unsent": {"audio_ms": self.unsent.audio_ms, "commands": self.unsent.commands},
            "message": self.message,
        })
    }

    /// The error for whoever is still waiting for this session.
    pub fn to_error(&self) -> Error {
        let fresh = || Error::new(self.why, self.message.clone()).with_who(self.who);
        self.error.clone().unwrap_or_else(fresh)
    }
}
