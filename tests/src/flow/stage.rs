//! What a flow is played on: the simulator, a real WebSocket, another language.

use serde_json::{Map, Value, json};

use super::ast::Role;

/// One end of a conversation that a flow drives.
///
/// A stage is made for one flow: whoever makes it starts the local server from the flow's
/// `config` and `server` (session flows) or a scripted server (client-under-test flows). All
/// events that come out of it carry canonical names.
pub trait Stage {
    /// Connects. A session that could not be opened has ended already.
    fn open(&mut self, spec: &OpenSpec) -> Result<(), End>;

    /// The application sends this text as a client event, unchecked and unchanged.
    fn send(&mut self, json: &str) -> Result<(), StageError>;

    /// The application streams `ms` milliseconds in frames of 20 ms, in the format of the session.
    fn append_audio(&mut self, sound: Sound, ms: u32) -> Result<(), StageError>;

    /// The next thing that happens within `within_ms`; `None` when nothing does. With 0 it only
    /// hands over what is there already.
    fn next(&mut self, within_ms: u32) -> Option<Seen>;

    /// Lets time pass.
    fn wait(&mut self, ms: u32);

    /// The application ends the session. The end itself comes out of [`Stage::next`].
    fn close(&mut self);

    /// The listener has heard so much of the answer.
    fn played(&mut self, ms: u32) -> Result<(), StageError> {
        let _ = ms;
        Err(StageError::unable("report played audio"))
    }

    /// Opens other sessions on the same server and keeps them until the flow is over.
    fn crowd(&mut self, sessions: u32) -> Result<(), StageError> {
        let _ = sessions;
        Err(StageError::unable("open other sessions"))
    }

    /// The text the client keeps for an item in its transcript.
    fn line(&mut self, item_id: &str) -> Result<Option<String>, StageError> {
        let _ = item_id;
        Err(StageError::unable("read the client's transcript"))
    }

    /// The application, or its host, does what is no event of the protocol.
    fn act(&mut self, act: &AppAct) -> Result<(), StageError> {
        let _ = act;
        Err(StageError::unable("do what only virtual time can repeat"))
    }

    /// The scripted server does something. Only in client-under-test flows.
    fn serve(&mut self, act: ServerAct) -> Result<(), StageError> {
        let _ = act;
        Err(StageError::unable("play the server"))
    }
}

/// What an application, its host or the network does that is no event of the protocol. What cannot be done at that moment is
/// refused by the session, which is no failure.
#[derive(Clone, Debug, PartialEq)]
pub enum AppAct {
    /// Wishes for a response, with this policy for a busy conversation.
    Respond(String),
    /// Says whether a held interruption is one; `true` also interrupts by itself.
    Interrupt(bool),
    /// Answers the oldest tool call that it has not answered, or one that does not exist.
    Tool(Result<String, String>),
    /// The host does not pull for so many milliseconds from now on.
    Deaf(u32),
    /// A host that owns the queue says that its listener has heard so many milliseconds more of the
    /// part that came last.
    Heard(u32),
    /// Something happens to every connection of the session.
    Cut(Fault),
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The server closes it with 1011, after all that it has said.
    Kill,
    /// It is reset: what is on its way is lost.
    Reset,
    /// It stays, and nothing passes in either direction any more.
    BlackHole,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Kill, Self::Reset, Self::BlackHole];

    /// The word for it in flows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Reset => "reset",
            Self::BlackHole => "black-hole",
        }
    }
}

/// How to connect. What is `None` is the default of the stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSpec {
    /// The profile the flow is played in.
    pub profile: String,
    /// Which end is scripted.
    pub role: Role,
    /// The model as the URL names it.
    pub model: Option<String>,
    /// Options of a session with a media port; without them it has none.
    pub call: Option<Value>,
    /// Options of a session without one.
    pub options: Option<Value>,
    /// The credential.
    pub key: Option<String>,
    /// Further headers of the upgrade.
    pub headers: Vec<(String, String)>,
    /// Further parameters of the URL.
    pub query: Vec<(String, String)>,
}

/// What audio to stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// Something that voice detection takes for speech.
    Speech,
    /// Zero samples.
    Silence,
}

/// What a scripted server does besides sending events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAct {
    /// Sends a text frame.
    Text(String),
    /// Sends a binary frame.
    Binary(Vec<u8>),
    /// Closes with a code and a reason.
    Close(u16, String),
    /// Resets the connection.
    Drop,
    /// Answers no ping from now on.
    NoPong,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// The application saw an event.
    Event(Value),
    /// The client under test sent an event.
    Sent(Value),
    /// The session ended.
    End(End),
}

/// The typed end of a session, or of the attempt to open one. `None` is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Name of the error kind, or `closed` for an end the application asked for.
    pub why: String,
    /// `app`, `library`, `server` or `network`.
    pub who: String,
    /// `never` or `later`.
    pub retry: Option<String>,
    /// Whether the application asked for it.
    pub expected: bool,
    /// Whether an answer was under way.
    pub mid_turn: Option<bool>,
    /// WebSocket close code.
    pub close_code: Option<u16>,
    /// HTTP status of a refused upgrade.
    pub http_status: Option<u16>,
    /// One sentence for people.
    pub message: String,
}

impl End {
    /// As `expect-end` sees it: fields that are not known are absent.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("why".into(), json!(self.why));
        map.insert("who".into(), json!(self.who));
        map.insert("expected".into(), json!(self.expected));
        map.insert("message".into(), json!(self.message));
        let known = [
            ("retry", self.retry.as_ref().map(|retry| json!(retry))),
            ("mid_turn", self.mid_turn.map(Value::Bool)),
            ("close_code", self.close_code.map(|code| json!(code))),
            ("http_status", self.http_status.map(|status| json!(status))),
        ];
        for (key, value) in known {
            if let Some(value) = value {
                map.insert(key.into(), value);
            }
        }
        Value::Object(map)
    }
}

/// Why a stage could not do what the flow asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageError(pub String);

impl StageError {
    /// This stage has no way to do it.
    pub fn unable(what: &str) -> Self {
        Self(format!("this stage cannot {what}"))
    }
}

impl std::fmt::Display for StageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
