//! The session object: a map that is patched, with typed views of what this library acts on.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Map;
use crate::audio::format::{Format, RATES_HZ};

/// A session, or a patch of one. In a patch an absent key keeps its value and a null clears it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Session(pub Map);

impl Session {
    /// An empty patch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the system prompt; an empty text clears it.
    #[must_use]
    pub fn instructions(self, text: impl Into<String>) -> Self {
        self.set("/instructions", Value::String(text.into()))
    }

    /// Sets the voice by its name.
    #[must_use]
    pub fn voice(self, voice: impl Into<String>) -> Self {
        self.set("/audio/output/voice", Value::String(voice.into()))
    }

    /// Sets the role (manner) of the voice, where the dialect has roles.
    #[must_use]
    pub fn role(self, role: impl Into<String>) -> Self {
        self.set("/audio/output/role", Value::String(role.into()))
    }

    /// Asks for answers as text or as audio.
    #[must_use]
    pub fn modality(self, modality: Modality) -> Self {
        self.set("/output_modalities", json!([modality.name()]))
    }

    /// Sets the format of the audio we send.
    #[must_use]
    pub fn input_format(self, format: Format) -> Self {
        self.set("/audio/input/format", format_value(format))
    }

    /// Sets the format of the audio we receive.
    #[must_use]
    pub fn output_format(self, format: Format) -> Self {
        self.set("/audio/output/format", format_value(format))
    }

    /// Turns the server's voice detection off: turns are committed by hand.
    #[must_use]
    pub fn manual_turns(self) -> Self {
        self.set("/audio/input/turn_detection", Value::Null)
    }

    /// Lets the server detect turns. `silence_ms` of silence end one.
    #[must_use]
    pub fn server_vad(self, silence_ms: u32) -> Self {
        let vad = json!({"type": "server_vad", "silence_duration_ms": silence_ms});
        self.set("/audio/input/turn_detection", vad)
    }

    /// Sets the functions the model may call, as JSON of the wire.
    #[must_use]
    pub fn tools(self, tools: Value) -> Self {
        self.set("/tools", tools)
    }

    /// Sets any field by JSON pointer, making the objects on the way.
    #[must_use]
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        put(&mut self.0, pointer, value);
        self
    }

    /// The value at a JSON pointer.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        let mut keys = pointer.split('/').skip(1);
        let first = self.0.get(keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))
    }

    /// Merges a patch: objects key by key, anything else replaced, null kept as null.
    pub fn merge(&mut self, patch: &Self) {
        merge(&mut self.0, &patch.0);
    }

    /// Format at `pointer`; a rate that is null, or that no telephone or studio has, reads as
    /// `fallback_hz`.
    pub fn format_at(&self, pointer: &str, fallback_hz: u32) -> Option<Format> {
        let value = self.pointer(pointer)?;
        match value.get("type").and_then(Value::as_str)? {
            "audio/pcm" => {
                let rate = value.get("rate").and_then(Value::as_u64);
                let rate_hz = rate
                    .and_then(|r| u32::try_from(r).ok())
                    .filter(|r| RATES_HZ.contains(r))
                    .unwrap_or(fallback_hz);
                Some(Format::Pcm16 { rate_hz })
            }
            "audio/pcmu" => Some(Format::Mulaw),
            "audio/pcma" => Some(Format::Alaw),
            _ => None,
        }
    }

    /// `id` of a session that the server describes.
    pub fn id(&self) -> Option<&str> {
        self.pointer("/id")?.as_str()
    }
}

/// What an answer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Modality {
    /// Text only.
    Text,
    /// Speech, with its transcript.
    Audio,
}

impl Modality {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Audio => "audio",
        }
    }
}

/// The wire's description of a sample format.
pub fn format_value(format: Format) -> Value {
    match format {
        Format::Pcm16 { rate_hz } => json!({"type": format.wire_name(), "rate": rate_hz}),
        _ => json!({"type": format.wire_name()}),
    }
}

/// Sets the value at a JSON pointer, making objects on the way.
pub fn put(map: &mut Map, pointer: &str, value: Value) {
    let Some((key, rest)) = step(pointer) else {
        return;
    };
    if rest.is_empty() {
        map.insert(key.to_owned(), value);
        return;
    }
    let child = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if !child.is_object() {
        *child = Value::Object(Map::new());
    }
    if let Value::Object(child) = child {
        put(child, rest, value);
    }
}

/// Removes and returns the value at a JSON pointer; objects left empty by that go too.
pub fn take(map: &mut Map, pointer: &str) -> Option<Value> {
    let (key, rest) = step(pointer)?;
    if rest.is_empty() {
        return map.remove(key);
    }
    let child = map.get_mut(key)?.as_object_mut()?;
    let value = take(child, rest)?;
    if child.is_empty() {
        map.remove(key);
    }
    Some(value)
}

fn step(pointer: &str) -> Option<(&str, &str)> {
    let path = pointer.strip_prefix('/')?;
    let end = path.find('/').unwrap_or(path.len());
    Some((&path[..end], &path[end..]))
}

fn merge(into: &mut Map, patch: &Map) {
    for (key, value) in patch {
        match (into.get_mut(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_keeps_absent_keys_and_null_clears() {
        let mut session = Session::new()
            .voice("marina")
            .server_vad(400)
            .instructions("a");
        session.merge(&Session::new().manual_turns().instructions(""));
        assert_eq!(
            session.pointer("/audio/output/voice"),
            Some(&json!("marina"))
        );
        assert_eq!(
            session.pointer("/audio/input/turn_detection"),
            Some(&Value::Null)
        );
        assert_eq!(session.pointer("/instructions"), Some(&json!("")));
    }

    #[test]
    fn put_and_take_are_inverse() {
        let mut map = Map::new();
        put(&mut map, "/a/b/c", json!(1));
        put(&mut map, "/a/d", json!(2));
        assert_eq!(take(&mut map, "/a/b/c"), Some(json!(1)));
        assert_eq!(Value::Object(map.clone()), json!({"a": {"d": 2}}));
        assert_eq!(take(&mut map, "/a/d"), Some(json!(2)));
        assert!(map.is_empty());
        assert_eq!(take(&mut map, "/nothing/here"), None);
    }

    #[test]
    fn a_rate_that_cannot_be_reads_as_the_fallback() {
        for rate in [
            json!(0),
            json!(1),
            json!(4_000_000_000_u32),
            json!(-1),
            json!("fast"),
        ] {
            let format = json!({"type": "audio/pcm", "rate": rate});
            let session = Session::new().set("/audio/input/format", format);
            let read = session.format_at("/audio/input/format", 24_000);
            assert_eq!(read, Some(Format::PCM16_24K), "{rate}");
        }
    }

    #[test]
    fn a_null_rate_reads_as_the_fallback() {
        let session = Session::new().set(
            "/audio/output/format",
            json!({"type": "audio/pcm", "rate": null}),
        );
        let format = session.format_at("/audio/output/format", 44_100);
        assert_eq!(format, Some(Format::Pcm16 { rate_hz: 44_100 }));
    }
}
