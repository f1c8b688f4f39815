//! The script as it is written. Unknown keys are errors.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::backends::{RawExec, Told};
use crate::emulate::Emulated;
use crate::faults::Fault;
use crate::pace::Pacing;
use crate::upstream::RawUpstream;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawScript {
    pub(super) brain: Option<BackendKey>,
    pub(super) ears: Option<EarsKey>,
    pub(super) voice: Option<BackendKey>,
    pub(super) turns: Vec<Spanned<RawTurn>>,
    pub(super) lines: BTreeMap<String, Spanned<String>>,
    pub(super) models: Option<Vec<String>>,
    pub(super) pacing: Option<Pacing>,
    pub(super) think_ms: Option<u64>,
    pub(super) lifetime_ms: Option<u64>,
    pub(super) emulate: Vec<Emulated>,
    pub(super) faults: Vec<Spanned<Fault>>,
    pub(super) mcp: BTreeMap<String, RawMcpServer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTurn {
    #[serde(default)]
    pub(super) when: WhenTurn,
    #[serde(default)]
    pub(super) after_ms: u64,
    #[serde(default)]
    pub(super) say: Option<Say>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) call: Vec<Call>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) server_tool: Vec<Call>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) mcp_call: Vec<RawMcpCall>,
    #[serde(default)]
    pub(super) fail: Option<FailedAnswer>,
    #[serde(default)]
    pub(super) steps: Vec<RawStep>,
    #[serde(default)]
    pub(super) times: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    #[serde(default)]
    pub(super) after_ms: u64,
    #[serde(default)]
    pub(super) say: Option<Say>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) call: Vec<Call>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) server_tool: Vec<Call>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) mcp_call: Vec<RawMcpCall>,
    #[serde(default)]
    pub(super) fail: Option<FailedAnswer>,
}

impl RawStep {
    pub(super) fn is_empty(&self) -> bool {
        let calls = self.call.len() + self.server_tool.len() + self.mcp_call.len();
        self.say.is_none() && calls == 0 && self.fail.is_none()
    }
}

/// A call of a tool of an MCP server: what it brings is an output, or an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMcpCall {
    pub(super) server: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) arguments: Option<serde_json::Value>,
    #[serde(default)]
    pub(super) output: Option<serde_json::Value>,
    #[serde(default)]
    pub(super) error: Option<String>,
}

/// What an MCP server lists.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMcpServer {
    pub(super) tools: Vec<RawMcpTool>,
    pub(super) fail: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMcpTool {
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) input_schema: Option<serde_json::Value>,
}

/// An answer that fails.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FailedAnswer {
    #[serde(default = "server_error")]
    pub(super) code: String,
    pub(super) message: String,
}

fn server_error() -> String {
    "server_error".to_owned()
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WhenTurn {
    pub(super) user: Option<Spanned<String>>,
    pub(super) audio: Option<AnyOr>,
    pub(super) tool: Option<Spanned<String>>,
    pub(super) output: Option<Spanned<String>>,
    pub(super) turn: Option<u32>,
    pub(super) start: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) name: String,
    #[serde(default)]
    pub(super) arguments: Option<serde_json::Value>,
}

/// What is said: a text, or a text with its recording.
#[derive(Debug)]
pub(super) enum Say {
    Text(String),
    Full { text: String, wav: Spanned<String> },
}

/// What is heard: a text, or a text for turns of a length, or a failure.
#[derive(Debug)]
pub(super) enum HeardLine {
    Text(String),
    Full {
        text: String,
        fail: Option<Failure>,
        min_ms: Option<u64>,
        max_ms: Option<u64>,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    #[serde(default, rename = "type")]
    _kind: Option<String>,
    pub(super) message: String,
}

/// The keys `brain` and `voice`: a name, or a program or server in full.
#[derive(Debug)]
pub(super) struct BackendKey(pub(super) Told);

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum FullBackend {
    Exec(RawExec),
    Http(RawUpstream),
}

impl FullBackend {
    fn told(self) -> Told {
        match self {
            Self::Exec(raw) => Told::Exec(raw),
            Self::Http(raw) => Told::Http(raw),
        }
    }
}

impl<'de> Deserialize<'de> for BackendKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = |name: String| Self(Told::Name(name));
        let full = |full: FullBackend| Self(full.told());
        let expected = "a name, {exec: {command}} or {http: {url}}";
        deserializer.deserialize_any(TextOrMap::new(expected, name, full))
    }
}

/// The key `ears`: the same, or the lines of scripted ears.
#[derive(Debug)]
pub(super) enum EarsKey {
    Told(Told),
    Lines(Vec<HeardLine>),
}

/// A file of faults: a list, or a map with the key `faults`.
#[derive(Debug)]
pub(super) struct FaultsKey(pub(super) Vec<Spanned<Fault>>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FullFaults {
    faults: Vec<Spanned<Fault>>,
}

impl<'de> Deserialize<'de> for FaultsKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Key;
        impl<'de> Visitor<'de> for Key {
            type Value = FaultsKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of faults or {faults}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<FaultsKey, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(FaultsKey)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FaultsKey, A::Error> {
                let full = FullFaults::deserialize(MapAccessDeserializer::new(map))?;
                Ok(FaultsKey(full.faults))
            }
        }
        deserializer.deserialize_any(Key)
    }
}

/// `any` or a boolean.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnyOr(pub(super) bool);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FullSay {
    text: String,
    #[serde(default)]
    wav: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FullHeard {
    #[serde(default)]
    text: String,
    #[serde(default)]
    fail: Option<Failure>,
    #[serde(default)]
    min_ms: Option<u64>,
    #[serde(default)]
    max_ms: Option<u64>,
}

impl<'de> Deserialize<'de> for Say {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let full = |full: FullSay| match full.wav {
            Some(wav) => Self::Full {
                text: full.text,
                wav,
            },
            None => Self::Text(full.text),
        };
        let expected = "a text or {text, wav}";
        deserializer.deserialize_any(TextOrMap::new(expected, Self::Text, full))
    }
}

impl<'de> Deserialize<'de> for HeardLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let full = |full: FullHeard| Self::Full {
            text: full.text,
            fail: full.fail,
            min_ms: full.min_ms,
            max_ms: full.max_ms,
        };
        let expected = "a text, {text, min_ms, max_ms} or {fail}";
        deserializer.deserialize_any(TextOrMap::new(expected, Self::Text, full))
    }
}

/// Reads a text or a map, with an error that says what both are.
struct TextOrMap<T, M, F> {
    expected: &'static str,
    text: fn(String) -> T,
    full: F,
    map: PhantomData<M>,
}

impl<T, M, F: FnOnce(M) -> T> TextOrMap<T, M, F> {
    fn new(expected: &'static str, text: fn(String) -> T, full: F) -> Self {
        Self {
            expected,
            text,
            full,
            map: PhantomData,
        }
    }
}

impl<'de, T, M: Deserialize<'de>, F: FnOnce(M) -> T> Visitor<'de> for TextOrMap<T, M, F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok((self.text)(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        M::deserialize(MapAccessDeserializer::new(map)).map(self.full)
    }
}

impl<'de> Deserialize<'de> for EarsKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Key;
        impl<'de> Visitor<'de> for Key {
            type Value = EarsKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, {exec: {command}}, {http: {url}} or a list of what is heard")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<EarsKey, E> {
                Ok(EarsKey::Told(Told::Name(name.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EarsKey, A::Error> {
                let full = FullBackend::deserialize(MapAccessDeserializer::new(map))?;
                Ok(EarsKey::Told(full.told()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<EarsKey, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(EarsKey::Lines)
            }
        }
        deserializer.deserialize_any(Key)
    }
}

impl<'de> Deserialize<'de> for AnyOr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Key;
        impl Visitor<'_> for Key {
            type Value = AnyOr;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`any`, true or false")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<AnyOr, E> {
                Ok(AnyOr(value))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<AnyOr, E> {
                match text {
                    "any" => Ok(AnyOr(true)),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(Key)
    }
}

/// Reads one of something or a list of them.
fn one_or_many<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Many<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Many<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object such as {name, arguments}, or a list of them")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(|one| vec![one])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Vec<T>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(seq))
        }
    }
    deserializer.deserialize_any(Many(PhantomData))
}
