//! What client and server agreed on: settings, as they were asked for and as they were acknowledged.

use serde_json::Value;
use talkwire_core::audio::format::Format;
use talkwire_core::dialect::Dialect;
use talkwire_core::wire::Session as Settings;

/// The settings of a session.
#[derive(Debug)]
pub(crate) struct Agreed {
    default_hz: (u32, u32),
    wanted: Settings,
    acknowledged: Settings,
}

impl Agreed {
    /// Before the server has said anything. `wanted` is what is asked of it first.
    pub(crate) fn new(dialect: &Dialect, wanted: &Settings) -> Self {
        let defaults = &dialect.table().defaults;
        Self {
            default_hz: (defaults.input_rate_hz, defaults.output_rate_hz),
            wanted: wanted.clone(),
            acknowledged: Settings::new(),
        }
    }

    /// Something is asked for; returns what of it people notice, in a few words.
    pub(crate) fn asked(&mut self, patch: &Settings) -> Option<String> {
        self.wanted.merge(patch);
        asked_for(patch)
    }

    /// The server says what holds from now on; returns what is new about it, in a few words.
    pub(crate) fn acknowledged(&mut self, session: &Settings) -> String {
        let what = match self.acknowledged.0.is_empty() {
            true => "session open".to_owned(),
            false => changed(&self.acknowledged, session),
        };
        self.acknowledged = session.clone();
        what
    }

    fn format(&self, pointer: &str, default_hz: u32) -> Format {
        // A server may echo a null rate; what was asked for is then the better guess.
        let wanted = self.wanted.format_at(pointer, default_hz);
        let fallback = wanted.map_or(default_hz, Format::rate_hz);
        let acknowledged = self.acknowledged.format_at(pointer, fallback);
        acknowledged.or(wanted).unwrap_or(Format::Pcm16 {
            rate_hz: default_hz,
        })
    }

    /// The format in which the customer's audio is to be sent.
    pub(crate) fn input_format(&self) -> Format {
        self.format("/audio/input/format", self.default_hz.0)
    }

    /// The format in which the agent's audio comes.
    pub(crate) fn output_format(&self) -> Format {
        self.format("/audio/output/format", self.default_hz.1)
    }

    /// A time of turn detection; 0 if there is none.
    pub(crate) fn detection_ms(&self, field: &str) -> u64 {
        let pointer = format!("/audio/input/turn_detection/{field}");
        let value = self.acknowledged.pointer(&pointer);
        value.and_then(Value::as_u64).unwrap_or_default()
    }

    /// Milliseconds of silence that end a turn; `None` if the server does not detect turns.
    pub(crate) fn turn_silence_ms(&self) -> Option<u64> {
        let detection = self.acknowledged.pointer("/audio/input/turn_detection")?;
        let silence_ms = detection.as_object()?.get("silence_duration_ms");
        Some(silence_ms.and_then(Value::as_u64).unwrap_or(500))
    }

    /// Whether the server answers a detected turn by itself.
    pub(crate) fn answers_turns(&self) -> bool {
        let pointer = "/audio/input/turn_detection/create_response";
        let creates = self.acknowledged.pointer(pointer).and_then(Value::as_bool);
        self.turn_silence_ms().is_some() && creates != Some(false)
    }

    /// Whether answers have sound.
    pub(crate) fn is_spoken(&self) -> bool {
        let modalities = self.acknowledged.pointer("/output_modalities");
        let modalities = modalities.and_then(Value::as_array);
        modalities.is_none_or(|all| all.iter().any(|m| m == "audio"))
    }
}

/// The settings that people notice.
const NOTICED: [(&str, &str); 3] = [
    ("/audio/output/voice", "voice"),
    ("/audio/output/role", "role"),
    ("/instructions", "prompt"),
];

/// What a patch of the session asks for, in a few words.
fn asked_for(patch: &Settings) -> Option<String> {
    let words = NOTICED.iter().filter_map(|(pointer, name)| {
        let value = patch.pointer(pointer)?.as_str()?;
        Some(format!("{name} \"{value}\""))
    });
    let words: Vec<_> = words.collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// What is new in acknowledged settings, in a few words.
fn changed(before: &Settings, after: &Settings) -> String {
    let is_new = |pointer: &&str| before.pointer(pointer) != after.pointer(pointer);
    let new = NOTICED.iter().filter(|(pointer, _)| is_new(pointer));
    let names: Vec<_> = new.map(|(_, name)| *name).collect();
    if names.is_empty() {
        return "settings changed".to_owned();
    }
    format!("new {}", names.join(", "))
}
