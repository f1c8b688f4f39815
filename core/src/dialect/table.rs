//! The schema of a dialect's table. Unknown keys are errors, so that a typo is not a silent default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::quirks::Quirk;
use super::shape::Place;

/// A dialect as its JSON file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Name in options and on the command line.
    pub name: String,
    /// Endpoint without query.
    pub url: String,
    /// Request path under which a server of several shapes has this one.
    #[serde(default)]
    pub path: Option<String>,
    /// How the model is named in the URL.
    pub model: Model,
    /// Further parameters of the URL's query.
    #[serde(default)]
    pub query: Vec<QueryRule>,
    /// Further headers of the upgrade request; null takes one back of the table that is extended.
    #[serde(default)]
    pub headers: BTreeMap<String, Option<String>>,
    /// Subprotocol that the server echoes when it is offered.
    #[serde(default)]
    pub subprotocol: Option<String>,
    /// Forms of credentials; the first whose `prefix` fits is used.
    pub auth: Vec<Auth>,
    /// Environment variable that usually holds the credential.
    #[serde(default)]
    pub key_env: Option<String>,
    /// Whether the server rejects unknown fields and the names of older versions.
    #[serde(default)]
    pub strict: bool,
    /// Canonical event name to the dialect's; null where it has none. Absent means the same name.
    #[serde(default)]
    pub events: BTreeMap<String, Option<String>>,
    /// Where the dialect has the fields of a session.
    #[serde(default)]
    pub session_map: Vec<Place>,
    /// Where it has the fields of a `response.create`.
    #[serde(default)]
    pub request_map: Vec<Place>,
    /// Where it has the fields of a response that the server reports.
    #[serde(default)]
    pub response_map: Vec<Place>,
    /// Canonical type of a part of the agent's items to the dialect's.
    #[serde(default)]
    pub parts: BTreeMap<String, String>,
    /// Audio formats it takes.
    pub formats: Vec<FormatRule>,
    /// What it assumes when nothing is said.
    pub defaults: Defaults,
    /// Numbers it enforces.
    pub limits: Limits,
    /// What it can do, by name.
    pub caps: BTreeMap<String, bool>,
    /// Names of functions that the server runs by itself.
    #[serde(default)]
    pub server_tools: Vec<String>,
    /// How a client asks for a protocol version that the server has withdrawn.
    #[serde(default)]
    pub withdrawn: Option<Withdrawn>,
    /// Named deviations.
    #[serde(default)]
    pub quirks: Vec<Quirk>,
    /// Close code to the name of a kind of end.
    pub close: BTreeMap<String, String>,
    /// HTTP status of a refused upgrade to the name of a kind of error.
    pub http: BTreeMap<String, String>,
    /// Error code to the name of a kind, for those that end a session.
    pub errors: BTreeMap<String, String>,
    /// Voice to its roles; a voice that is not listed is passed as it is.
    #[serde(default)]
    pub voices: BTreeMap<String, Vec<String>>,
}

/// How the model is named in the URL.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Query parameter.
    pub query: String,
    /// Other parameters under which a server takes it.
    #[serde(default)]
    pub also: Vec<String>,
    /// A model must begin with this.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Makes a full name of a `{folder}` and a `{model}`.
    #[serde(default)]
    pub template: Option<String>,
    /// Whether the server insists on one.
    #[serde(default)]
    pub required: bool,
}

/// How a client asks for a protocol version that the server has withdrawn.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawn {
    /// By sending this header, in lower case, whatever its value.
    pub header: String,
    /// By offering this subprotocol.
    pub subprotocol: String,
}

/// One form of credential: in a header, in the query or in a subprotocol.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Used for credentials that begin with this; absent fits all.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Header of the upgrade request.
    #[serde(default)]
    pub header: Option<String>,
    /// Parameter of the query, for clients that can set no header.
    #[serde(default)]
    pub query: Option<String>,
    /// Whether `value` is offered as a subprotocol, for clients that can set no header.
    #[serde(default)]
    pub subprotocol: bool,
    /// The value; `{key}` stands for the credential.
    pub value: String,
}

/// A parameter of the URL's query beside the model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryRule {
    /// Name of the parameter.
    pub name: String,
    /// What a client sends unless its user says otherwise.
    #[serde(default)]
    pub value: Option<String>,
    /// Whether a server refuses a request without it.
    #[serde(default)]
    pub required: bool,
}

/// An audio format with its rates.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormatRule {
    /// `audio/pcm`, `audio/pcmu` or `audio/pcma`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Rates it takes; absent where the format fixes it.
    #[serde(default)]
    pub rates_hz: Option<Range>,
}

/// An inclusive range.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Lowest.
    pub from: u32,
    /// Highest.
    pub to: u32,
}

/// What a dialect assumes when nothing is said.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Samples per second of audio we send.
    pub input_rate_hz: u32,
    /// Samples per second of audio we receive.
    pub output_rate_hz: u32,
    /// Voice.
    pub voice: String,
    /// Role of the voice.
    #[serde(default)]
    pub role: Option<String>,
    /// Probability above which a frame counts as speech.
    pub vad_threshold: f32,
    /// Milliseconds of audio kept before speech.
    pub vad_prefix_ms: u32,
    /// Milliseconds of silence that end a turn.
    pub vad_silence_ms: u32,
    /// Model for examples and the local server.
    pub model: String,
}

/// Numbers a dialect enforces.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Seconds a session lives.
    pub lifetime_s: u32,
    /// Seconds it can be made to live.
    pub lifetime_max_s: u32,
    /// Tokens of context.
    pub context_tokens: u32,
    /// Least audio of a commit, in milliseconds.
    pub commit_min_ms: u32,
    /// Most audio of one append, in bytes before base64.
    pub append_max_bytes: u32,
    /// Longest `event_id`, in bytes.
    pub event_id_max: u32,
    /// Sessions at once.
    pub sessions: u32,
    /// Most tokens of one response.
    pub output_tokens: u32,
}
