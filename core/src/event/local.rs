//! Events that this library makes by itself, beside those of the server.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::Error;
use crate::wire::Map;

/// `audio.gap`: audio was dropped because events were not read.
pub const GAP: u16 = 1001;
/// `protocol.fault`: the server sent something that is no event. The session goes on.
pub const FAULT: u16 = 1002;
/// `barge_in.held`: the customer speaks over the agent; what sounds is quiet until it is decided.
pub const BARGE_IN_HELD: u16 = 1003;
/// `barge_in.resumed`: it was no interruption; the agent goes on where it was.
pub const BARGE_IN_RESUMED: u16 = 1004;
/// `barge_in.confirmed`: the agent is interrupted; what was not heard is dropped everywhere.
pub const BARGE_IN_CONFIRMED: u16 = 1005;
/// `playout.cut`: audio of an item that was received will not be heard to its end.
pub const PLAYOUT_CUT: u16 = 1006;
/// `turn.timeline`: when what happened between the customer's last word and the agent's first.
pub const TURN_TIMELINE: u16 = 1007;
/// `tool.call`: a registered tool is to be run; exactly one result is owed.
pub const TOOL_CALL: u16 = 1008;
/// `tool.overdue`: a tool takes longer than a caller waits in silence.
pub const TOOL_OVERDUE: u16 = 1009;
/// `tool.cancelled`: nobody waits for the result of a tool any more.
pub const TOOL_CANCELLED: u16 = 1010;
/// `context.warning`: the conversation nears the context of the model.
pub const CONTEXT_WARNING: u16 = 1011;
/// `watch.silence`: somebody is silent for longer than was allowed.
pub const WATCH_SILENCE: u16 = 1012;
/// `session.rolled`: the session goes on over a new link, by plan and with nothing lost.
pub const SESSION_ROLLED: u16 = 1013;
/// `session.lost`: the link is lost, and a new one is being made.
pub const SESSION_LOST: u16 = 1014;
/// `session.recovered`: the session goes on over a new link after a loss.
pub const SESSION_RECOVERED: u16 = 1015;
/// `wire.frame`: a frame as it went over the wire, for those who subscribe to `raw`.
pub const WIRE_FRAME: u16 = 1016;
/// `link.round_trip`: how long a ping took there and back.
pub const LINK_ROUND_TRIP: u16 = 1017;
/// `uplink.gap`: captured audio was dropped because it could not be sent.
pub const UPLINK_GAP: u16 = 1018;

/// Name and number of every event of this library.
pub const ALL: &[(&str, u16)] = &[
    ("audio.gap", GAP),
    ("protocol.fault", FAULT),
    ("barge_in.held", BARGE_IN_HELD),
    ("barge_in.resumed", BARGE_IN_RESUMED),
    ("barge_in.confirmed", BARGE_IN_CONFIRMED),
    ("playout.cut", PLAYOUT_CUT),
    ("turn.timeline", TURN_TIMELINE),
    ("tool.call", TOOL_CALL),
    ("tool.overdue", TOOL_OVERDUE),
    ("tool.cancelled", TOOL_CANCELLED),
    ("context.warning", CONTEXT_WARNING),
    ("watch.silence", WATCH_SILENCE),
    ("session.rolled", SESSION_ROLLED),
    ("session.lost", SESSION_LOST),
    ("session.recovered", SESSION_RECOVERED),
    ("wire.frame", WIRE_FRAME),
    ("link.round_trip", LINK_ROUND_TRIP),
    ("uplink.gap", UPLINK_GAP),
];

/// What the library tells of its own. All times are in milliseconds since the session was opened,
/// durations in milliseconds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Local {
    /// Audio of an item was dropped because events were not read.
    Gap {
        /// The item.
        item_id: String,
        /// Milliseconds that are missing.
        dropped_ms: u64,
    },
    /// The server sent something that is no event, or a command failed with nobody waiting.
    Fault(Error),
    /// The customer speaks over the agent.
    Held(BargeIn),
    /// It was no interruption.
    Resumed(BargeIn),
    /// It is one.
    Confirmed(BargeIn),
    /// Audio that will not be heard to its end.
    Cut(Cut),
    /// The turn that just got its answer.
    Timeline(Timeline),
    /// A tool to run.
    ToolCall(ToolCall),
    /// A tool that takes long.
    ToolOverdue(ToolRef),
    /// A tool whose result nobody waits for.
    ToolCancelled(ToolRef),
    /// The context fills.
    Context {
        /// Tokens of the conversation, as the server last counted them.
        tokens: u64,
        /// Tokens the model can hold.
        limit_tokens: u64,
    },
    /// Somebody is silent.
    Silence {
        /// `customer` or `agent`.
        who: &'static str,
        /// For how long.
        ms: u64,
    },
    /// The session has changed its link in time.
    Rolled(Rolled),
    /// The session has lost its link.
    Lost(Lost),
    /// The session has a link again.
    Recovered(Rolled),
    /// A frame as it went over the wire.
    Frame(Frame),
    /// Captured audio was dropped: the network or an opening took too long for `uplink_max_ms`. Told
    /// when it begins, then once a second; what an outage costs is in [`Rolled::lost_ms`].
    UplinkGap {
        /// Milliseconds since it was told last.
        dropped_ms: u64,
    },
    /// A ping, which is sent after a silence, was answered.
    RoundTrip {
        /// How long that took.
        ms: u64,
    },
}

/// A frame as it went over the wire; also one that the session keeps to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// Whether it was sent to the server, or came from it.
    pub is_sent: bool,
    /// The link, counted from 1 over the session.
    pub link: u32,
    /// Frames before it that were dropped because they were not read.
    pub missed: u64,
    /// The text as it was, audio in base64 included.
    pub text: Arc<str>,
}

/// A change of the link under a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rolled {
    /// The server's id of the session before; empty where it told none.
    pub old: String,
    /// The server's id of the session from now on.
    pub new: String,
    /// When audio began to go to the new link.
    pub at_ms: u64,
    /// How long captured audio had no open and configured link to go to.
    pub gap_ms: u64,
    /// Captured audio that was never sent.
    pub lost_ms: u64,
    /// Items that the new link was told.
    pub items: u64,
    /// Their tokens, estimated.
    pub replayed_tokens: u64,
    /// Whether the new link was told the whole conversation and has all settings. What the server
    /// refuses of it follows as an error.
    pub state_restored: bool,
    /// Attempts that it took to get the new link; 0 for a planned change.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// The endpoint of the session's list that the new link is at: 0 is its own, the others are those
    /// to fall back to, in their order.
    #[serde(skip_serializing_if = "is_zero")]
    pub endpoint: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The loss of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// The server's id of the session; empty where it told none.
    pub session_id: String,
    /// Why, by the name of the error's kind.
    pub why: &'static str,
    /// WebSocket close code, if there was one.
    pub close_code: Option<u16>,
    /// A sentence for people.
    pub message: String,
    /// The answers that were cut, by their ids.
    pub cut: Vec<String>,
}

/// An interruption, or what may be one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BargeIn {
    /// The customer's item; empty where the server names none.
    pub item_id: String,
    /// Milliseconds since the customer's speech was noticed.
    pub after_ms: u64,
    /// Why it was decided: `speech`, `transcript`, `app`, `policy`, `too_short`, `no_words`,
    /// `undecided`; absent while it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'static str>,
}

/// Audio that was received and will not be heard to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// The response.
    pub response_id: String,
    /// The item.
    pub item_id: String,
    /// The part.
    pub content_index: u32,
    /// Audio received of it.
    pub received_ms: u64,
    /// Audio heard of it.
    pub heard_ms: u64,
    /// Where the server was told to cut it; null when nothing was heard and the item was deleted.
    pub truncated_ms: Option<u64>,
}

/// The times of one turn; null where a step did not happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// The response that answers.
    pub response_id: String,
    /// The customer's last sample of speech.
    pub last_sample_ms: Option<u64>,
    /// The server noticed the end of speech.
    pub speech_stop_ms: Option<u64>,
    /// The input buffer became an item.
    pub commit_ms: Option<u64>,
    /// The response began.
    pub created_ms: Option<u64>,
    /// Its first audio came.
    pub first_delta_ms: Option<u64>,
    /// The listener heard it.
    pub first_heard_ms: Option<u64>,
}

/// A call of a registered tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    /// Ties the result to the call.
    pub call_id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments, the text of a JSON object that has all required fields.
    pub arguments: String,
    /// The same for the same call, also on another link: hand it to whatever must not happen twice.
    pub idempotency_key: String,
    /// The response that asks.
    pub response_id: String,
}

/// A call of a registered tool, by its id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ToolRef {
    /// The call.
    pub call_id: String,
    /// Name of the tool.
    pub name: String,
    /// Milliseconds since it was called.
    pub after_ms: u64,
}

/// Never the text: it may be speech.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.is_sent { "sent" } else { "received" };
        write!(
            f,
            "Frame({way}, link {}, {} bytes)",
            self.link,
            self.text.len()
        )
    }
}

impl Local {
    /// Name and number.
    pub const fn id(&self) -> (&'static str, u16) {
        match self {
            Self::Gap { .. } => ("audio.gap", GAP),
            Self::Fault(_) => ("protocol.fault", FAULT),
            Self::Held(_) => ("barge_in.held", BARGE_IN_HELD),
            Self::Resumed(_) => ("barge_in.resumed", BARGE_IN_RESUMED),
            Self::Confirmed(_) => ("barge_in.confirmed", BARGE_IN_CONFIRMED),
            Self::Cut(_) => ("playout.cut", PLAYOUT_CUT),
            Self::Timeline(_) => ("turn.timeline", TURN_TIMELINE),
            Self::ToolCall(_) => ("tool.call", TOOL_CALL),
            Self::ToolOverdue(_) => ("tool.overdue", TOOL_OVERDUE),
            Self::ToolCancelled(_) => ("tool.cancelled", TOOL_CANCELLED),
            Self::Context { .. } => ("context.warning", CONTEXT_WARNING),
            Self::Silence { .. } => ("watch.silence", WATCH_SILENCE),
            Self::Rolled(_) => ("session.rolled", SESSION_ROLLED),
            Self::Lost(_) => ("session.lost", SESSION_LOST),
            Self::Recovered(_) => ("session.recovered", SESSION_RECOVERED),
            Self::Frame(_) => ("wire.frame", WIRE_FRAME),
            Self::RoundTrip { .. } => ("link.round_trip", LINK_ROUND_TRIP),
            Self::UplinkGap { .. } => ("uplink.gap", UPLINK_GAP),
        }
    }

    /// The item it is about.
    pub fn item_id(&self) -> Option<&str> {
        let id = match self {
            Self::Gap { item_id, .. } => item_id,
            Self::Held(e) | Self::Resumed(e) | Self::Confirmed(e) => &e.item_id,
            Self::Cut(e) => &e.item_id,
            _ => return None,
        };
        (!id.is_empty()).then_some(id)
    }

    /// The response it is about.
    pub fn response_id(&self) -> Option<&str> {
        let id = match self {
            Self::Cut(e) => &e.response_id,
            Self::Timeline(e) => &e.response_id,
            Self::ToolCall(e) => &e.response_id,
            _ => return None,
        };
        (!id.is_empty()).then_some(id)
    }

    /// The text it carries: an error's message, a tool's arguments, a frame.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Fault(error) => Some(error.message()),
            Self::ToolCall(call) => Some(&call.arguments),
            Self::Lost(lost) => Some(&lost.message),
            Self::Frame(frame) => Some(&frame.text),
            _ => None,
        }
    }

    /// Its fields. `raw` is the frame behind it.
    pub(super) fn fields(&self, raw: Option<&str>) -> Map {
        let value = match self {
            Self::Gap {
                item_id,
                dropped_ms,
            } => json!({"item_id": item_id, "dropped_ms": dropped_ms}),
            Self::Fault(error) => json!({"error": {
                "type": error.kind().name(), "message": error.message(), "raw": raw
            }}),
            Self::Held(e) | Self::Resumed(e) | Self::Confirmed(e) => json!(e),
            Self::Cut(e) => json!(e),
            Self::Timeline(e) => json!(e),
            Self::ToolCall(e) => json!(e),
            Self::ToolOverdue(e) | Self::ToolCancelled(e) => json!(e),
            Self::Context {
                tokens,
                limit_tokens,
            } => json!({"tokens": tokens, "limit_tokens": limit_tokens}),
            Self::Silence { who, ms } => json!({"who": who, "ms": ms}),
            Self::Rolled(e) | Self::Recovered(e) => json!(e),
            Self::Lost(e) => json!(e),
            Self::RoundTrip { ms } => json!({"ms": ms}),
            Self::UplinkGap { dropped_ms } => json!({"dropped_ms": dropped_ms}),
            Self::Frame(e) => json!({"is_sent": e.is_sent, "link": e.link, "missed": e.missed,
                "text": &*e.text}),
        };
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}
