//! What a flow file says, as data. Nothing here runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::stage::AppAct;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the file as it was given to the parser.
    pub file: Arc<str>,
    /// Line number, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Why a file was refused: where, what was expected there and what stood there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowError {
    /// The first line of the faulty statement.
    pub place: Place,
    /// What the grammar allows at this point.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: expected {}, found {}",
            self.place, self.expected, self.found
        )
    }
}

impl std::error::Error for FlowError {}

/// Which end of the wire a flow is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The application drives a session against a server; `<` is what the application sees.
    Session,
    /// The script is the server; `<` is sent to the client, `^` is what its application sees.
    ClientUnderTest,
}

/// The shared part of all flows: the file `common.flow`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Common {
    /// Names that `profiles:` and `@` may use.
    pub profiles: Vec<String>,
    /// Names that `pending:` may use.
    pub capabilities: Vec<String>,
    /// Shared bodies by name.
    pub macros: BTreeMap<String, Macro>,
}

/// A body that `use NAME(...)` inserts.
#[derive(Clone, Debug, PartialEq)]
pub struct Macro {
    /// The kind of flow it may be used in.
    pub role: Role,
    /// Variables that stand for the caller's ones; all others are private to each use.
    pub params: Vec<String>,
    /// The body.
    pub steps: Vec<Step>,
}

/// One dialogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Number of flows.md with its letter, such as `4b`.
    pub id: String,
    /// One sentence for people.
    pub title: String,
    /// The line that starts the flow.
    pub place: Place,
    /// The profiles it is meant for.
    pub profiles: Vec<String>,
    /// Which end is scripted.
    pub role: Role,
    /// Whether the shared opening comes first.
    pub prologue: bool,
    /// The capability without which the flow cannot pass.
    pub pending: Option<String>,
    /// Options of a session with a media port.
    pub call: Option<Value>,
    /// Options of a session without one.
    pub options: Option<Value>,
    /// Settings of the local server.
    pub config: Vec<(String, Value)>,
    /// Script of the local server, verbatim without its indentation.
    pub server: Option<String>,
    /// The dialogue.
    pub steps: Vec<Step>,
}

/// One statement of a dialogue. Equal when it says the same; where it stands does not count.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it is written.
    pub place: Place,
    /// Only for this profile.
    pub profile: Option<String>,
    /// Cannot hold before this capability exists.
    pub pending: Option<String>,
    /// What to do.
    pub action: Action,
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.profile == other.profile
            && self.pending == other.pending
            && self.action == other.action
    }
}

/// What a statement does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The scripted end sends an event.
    Send(Message),
    /// An event must or may be seen.
    Expect(Expect),
    /// Several events in any order.
    Together(Vec<Step>),
    /// The driver does something.
    Drive(Verb),
    /// A condition on what was seen.
    Assert(Assertion),
    /// Inserts a macro.
    Use {
        /// Name of the macro.
        name: String,
        /// Variables of the caller.
        args: Vec<String>,
    },
}

/// An event to send: its type and its other fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The `type`.
    pub name: Name,
    /// A template: literals and bound variables.
    pub body: Pattern,
}

/// An event name. A quoted one is deliberately outside of the protocol's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The `type` of the event.
    pub text: String,
    /// Written in quotes.
    pub quoted: bool,
}

/// Which stream an expectation looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What the application sees.
    App,
    /// What the client under test sends.
    Sent,
}

/// How often an event is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Exactly once.
    One,
    /// At most once.
    Optional,
    /// Once or more.
    Many,
}

/// An event to be seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// Where.
    pub stream: Stream,
    /// Anywhere from here on, instead of at this point.
    pub float: bool,
    /// How often.
    pub times: Times,
    /// One of these names.
    pub names: Vec<Name>,
    /// The fields that must match.
    pub pattern: Pattern,
}

/// What the driver can do. The list is closed.
#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    /// Connects, with deviations from the default.
    Open(Pattern),
    /// Ends the session from the application's side.
    Close,
    /// The session ended, or could not be opened, in this way.
    ExpectEnd(Pattern),
    /// Streams speech for so many milliseconds.
    Speak(u32),
    /// Streams silence for so many milliseconds.
    Silence(u32),
    /// Lets so many milliseconds pass.
    Wait(u32),
    /// The listener has heard so many milliseconds of the answer.
    Play(u32),
    /// The scripted end sends this text frame as it is.
    Raw(String),
    /// Names this point of the dialogue.
    Mark(String),
    /// Opens so many other sessions first.
    Crowd(u32),
    /// The application or its host does something else than to send an event.
    Do(AppAct),
    /// The application of the client under test sends an event.
    App(Message),
    /// The scripted server closes with a code and a reason.
    ServerClose(u16, String),
    /// The scripted server resets the connection.
    Drop,
    /// The scripted server sends a binary frame of so many bytes.
    Binary(u32),
    /// The scripted server stops answering pings.
    NoPong,
}

/// A condition. The language is closed.
#[derive(Clone, Debug, PartialEq)]
pub enum Assertion {
    /// `a < b <= c`: each neighbouring pair holds.
    Chain(Vec<Term>, Vec<Op>),
    /// No such event was observed.
    None(Select),
    /// Both were observed, the first one first.
    Before(Select, Select),
    /// The text is JSON, bare or in a code fence.
    IsJson(String),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

/// A value in a condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// A bound variable.
    Var(String),
    /// A string, number or boolean.
    Literal(Value),
    /// How many such events were observed.
    Count(Select),
    /// Length of a text in characters.
    Length(String),
    /// Decoded bytes of the base64 pieces of a variable.
    PcmBytes(String),
    /// The text the client keeps for an item.
    Line(String),
    /// Sum.
    Plus(Box<Self>, Box<Self>),
    /// Difference.
    Minus(Box<Self>, Box<Self>),
}

/// A set of observed events.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// Which stream.
    pub stream: Stream,
    /// The event name; `None` is any.
    pub name: Option<Name>,
    /// Fields that must match; variables not bound yet match anything.
    pub pattern: Pattern,
    /// Only events after this mark.
    pub since: Option<String>,
    /// Only events before this mark.
    pub until: Option<String>,
}

/// What a value must look like, or, in a template, what it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// JSON null.
    Null,
    /// The field is not there.
    Absent,
    /// There, and not null.
    Any,
    /// This string, number or boolean.
    Literal(Value),
    /// Binds at first sight, compares later.
    Bind(String),
    /// Appends the string to the variable.
    Append(String),
    /// A number in this relation to the given one.
    Compare(Op, f64),
    /// A string that contains the text.
    Contains(String),
    /// Base64 of a positive, even number of bytes.
    Pcm,
    /// Template only: base64 of so many zero bytes.
    Zeros(usize),
    /// At least these fields.
    Object(Vec<(String, Self)>),
    /// These elements; with `true` more may follow.
    Array(Vec<Self>, bool),
    /// Any of these.
    OneOf(Vec<Self>),
    /// All of these.
    Both(Vec<Self>),
}
