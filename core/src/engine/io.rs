//! What goes into the engine and what comes out. Nothing here holds a socket, a handle or a
//! callback, and no effect asks for an answer at once.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::audio::format::Format;
use crate::dialect::Dialect;
use crate::error::{Error, Result};
use crate::event::{End, Event, Unsent};
use crate::options::WhenBusy;
use crate::options::tool::Tool;
use crate::wire::{ClientEvent, Map, Session};

/// One WebSocket under the session, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// The promise of exactly one reply to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// One part of an item's audio, counted from 1 in the order in which they begin to sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId(pub u64);

/// How much of a part was heard, counted from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The part.
    pub part: PartId,
    /// Samples at the rate of the audio that [`Effect::Play`] brought.
    pub samples: u64,
}

/// What is different at an endpoint that a session falls back to.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// What it speaks.
    pub dialect: Arc<Dialect>,
    /// A patch of the settings.
    pub session: Session,
}

/// What happens to a session.
#[derive(Clone, Debug)]
pub enum Input {
    /// Begin: dial.
    Open {
        /// The system's clock, in milliseconds since 1970: a server tells by it when its session
        /// ends.
        unix_ms: u64,
    },
    /// The application wants something.
    Command(Command, Option<Ticket>),
    /// The application wants the end; `grace_ms` bounds the closing handshake.
    Close {
        /// Milliseconds.
        grace_ms: u64,
    },
    /// The socket is open.
    LinkUp(LinkId),
    /// A text frame came.
    Text(LinkId, Arc<str>),
    /// A ping was answered.
    Pong(LinkId),
    /// A binary frame came; this protocol has none.
    Binary(LinkId, usize),
    /// The socket is gone, or never came.
    LinkDown(LinkId, Down, Unsent),
    /// Audio was dropped before it could be sent.
    UplinkDropped {
        /// Milliseconds.
        ms: u64,
    },
    /// A media port was attached (`true`) or is gone.
    Port(bool),
    /// Sound of the customer, in [`super::Engine::input_format`]; whole samples.
    Captured(Bytes),
    /// What is captured is nothing but an echo of the agent (`true`) or may be the customer.
    Echo(bool),
    /// More was heard: the parts that changed.
    Heard(Vec<Heard>),
    /// The answer to [`Effect::Flush`]: the parts that were cut, as far as they were heard.
    Flushed(Vec<Heard>),
    /// The application does not read its events and the hard bound is reached.
    SlowReader,
    /// The deadline passed.
    Timeout,
}

/// Why a link is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Down {
    /// Dialling, or the socket, failed.
    Failed(Error),
    /// A close frame came; 1005 when it held no code.
    Closed {
        /// Close code.
        code: u16,
        /// Close reason.
        reason: String,
    },
}

/// What an application can ask for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Send an event.
    Send(ClientEvent),
    /// Send an event given as JSON text by its canonical name; fields pass as they are.
    Json(String),
    /// Send a text frame as it is, unchecked.
    Frame(String),
    /// Tell the settings that the server acknowledged.
    Settings,
    /// Ask for a response in the conversation; the fields are those of the wire's `response`.
    Respond(Option<Map>, WhenBusy),
    /// The host's listener has heard so much of a part.
    Played(Mark),
    /// A held interruption is one (`true`) or none; `true` without one interrupts.
    Interrupt(bool),
    /// Let the model call a tool.
    Register(Tool),
    /// The result of a tool, or why there is none.
    ToolResult {
        /// The call.
        call_id: String,
        /// Output for the model, or an error that it is told.
        output: std::result::Result<String, String>,
    },
}

/// What the listener of a host that owns the queue has heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The item.
    pub item_id: String,
    /// The part.
    pub content_index: u32,
    /// Milliseconds from its beginning.
    pub heard_ms: u64,
}

/// What a command brought.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// The server's event that proves it, by name, with the item or response it is about.
    Done {
        /// Item or response; empty where there is none.
        id: String,
    },
    /// The response that serves the wish was not made for it.
    Merged {
        /// The response.
        id: String,
    },
    /// The acknowledged settings.
    Settings(Session),
}

impl Reply {
    /// Nothing of the server proves it.
    pub(super) fn nothing() -> Self {
        Self::Done { id: String::new() }
    }
}

/// What is to be sent.
#[derive(Clone, PartialEq)]
pub enum Frame {
    /// Control: never dropped.
    Text(String),
    /// Audio: encoded by whoever writes; the oldest may be dropped. Milliseconds beside the bytes.
    Audio(Bytes, u64),
    /// A ping.
    Ping,
}

/// What the engine wants done, in this order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Dial a link, at this endpoint of the session's list.
    Dial(LinkId, usize),
    /// Send on a link, after everything sent before.
    Send(LinkId, Frame),
    /// Let the listener hear more of a part, in this format; whole samples.
    Play(PartId, Bytes, Format),
    /// Nothing more of a part will come.
    PlayEnd(PartId),
    /// Make what sounds quiet (`true`), or loud again.
    Hold(bool),
    /// Drop everything that waits to be heard; [`Input::Flushed`] follows at once.
    Flush,
    /// Send what is queued, then the closing handshake.
    Hangup(LinkId),
    /// Drop the socket at once and report it down.
    Abort(LinkId),
    /// The session is open: greeted and configured.
    Ready,
    /// Give an event to the application.
    Emit(Event),
    /// Answer a command.
    Reply(Ticket, Result<Reply>),
    /// The session is over; the last effect of all.
    End(End),
    /// A line for the flight recorder.
    Note(String),
}

/// Where effects go. Their order is the order in which they happen.
pub type Effects = Vec<Effect>;

/// Never the audio itself.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Ping => f.write_str("Ping"),
            Self::Audio(audio, ms) => write!(f, "Audio({} bytes, {ms} ms)", audio.len()),
        }
    }
}
