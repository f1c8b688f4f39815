//! Renaming and reshaping between the canonical form and a dialect's, in both directions.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::wire::Map;
use crate::wire::session::{put, take};

/// Older event names, accepted from every peer: protocol of 2024 and its preview versions.
const EVENT_ALIASES: &[(&str, &str)] = &[
    ("response.text.delta", "response.output_text.delta"),
    ("response.text.done", "response.output_text.done"),
    ("response.audio.delta", "response.output_audio.delta"),
    ("response.audio.done", "response.output_audio.done"),
    (
        "response.audio_transcript.delta",
        "response.output_audio_transcript.delta",
    ),
    (
        "response.audio_transcript.done",
        "response.output_audio_transcript.done",
    ),
    ("conversation.item.created", "conversation.item.added"),
    ("transcription_session.update", "session.update"),
    ("transcription_session.updated", "session.updated"),
    ("transcription_session.created", "session.created"),
];

/// Older places of session and response fields, accepted from every peer.
const FIELD_ALIASES: &[(&str, &str)] = &[
    ("/modalities", "/output_modalities"),
    ("/input_audio_format", "/audio/input/format"),
    ("/output_audio_format", "/audio/output/format"),
    ("/input_audio_transcription", "/audio/input/transcription"),
    (
        "/input_audio_noise_reduction",
        "/audio/input/noise_reduction",
    ),
    ("/turn_detection", "/audio/input/turn_detection"),
    ("/voice", "/audio/output/voice"),
    ("/speed", "/audio/output/speed"),
    ("/max_response_output_tokens", "/max_output_tokens"),
];

/// Event names of a dialect, both ways.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    to_wire: BTreeMap<String, Option<String>>,
    from_wire: BTreeMap<String, String>,
}

impl Names {
    pub(super) fn new(table: &BTreeMap<String, Option<String>>) -> Self {
        let renamed = table
            .iter()
            .filter_map(|(canonical, wire)| Some((wire.clone()?, canonical.clone())));
        Self {
            to_wire: table.clone(),
            from_wire: renamed.collect(),
        }
    }

    /// The dialect's name; `None` where it has no such event.
    pub(super) fn to_wire<'a>(&'a self, canonical: &'a str) -> Option<&'a str> {
        match self.to_wire.get(canonical) {
            Some(wire) => wire.as_deref(),
            None => Some(canonical),
        }
    }

    /// The canonical name of what the peer spelled.
    pub(super) fn canonical<'a>(&'a self, wire: &'a str, aliases: bool) -> &'a str {
        if let Some(canonical) = self.from_wire.get(wire) {
            return canonical;
        }
        let alias = EVENT_ALIASES
            .iter()
            .find(|(old, _)| aliases && *old == wire);
        alias.map_or(wire, |(_, canonical)| canonical)
    }
}

/// Moves the session's fields to where the dialect has them.
pub(super) fn session_to_wire(session: &mut Map, map: &[(String, String)]) {
    for (canonical, wire) in map {
        if let Some(value) = take(session, canonical) {
            put(session, wire, value);
        }
    }
}

/// Moves the session's fields back, then those of older shapes.
pub(super) fn session_from_wire(session: &mut Map, map: &[(String, String)], aliases: bool) {
    for (canonical, wire) in map {
        if let Some(value) = take(session, wire) {
            put(session, canonical, value);
        }
    }
    if aliases {
        undo_aliases(session);
    }
}

/// Rewrites the fields of older shapes, in a session or a response. A canonical field wins over an
/// older spelling of it: some servers echo both.
pub(super) fn undo_aliases(object: &mut Map) {
    for (old, canonical) in FIELD_ALIASES {
        let Some(value) = take(object, old) else {
            continue;
        };
        if lookup(object, canonical).is_none() {
            put(object, canonical, modern_value(value));
        }
    }
    if object.get("conversation").and_then(Value::as_str) == Some("default") {
        object.insert("conversation".to_owned(), json!("auto"));
    }
    object.remove("temperature");
}

fn lookup<'a>(object: &'a Map, pointer: &str) -> Option<&'a Value> {
    let mut keys = pointer.split('/').skip(1);
    let first = object.get(keys.next()?)?;
    keys.try_fold(first, |value, key| value.get(key))
}

fn modern_value(value: Value) -> Value {
    match value.as_str() {
        Some("pcm16") => json!({"type": "audio/pcm", "rate": 24_000}),
        Some("g711_ulaw") => json!({"type": "audio/pcmu"}),
        Some("g711_alaw") => json!({"type": "audio/pcma"}),
        _ => value,
    }
}

/// Older names of the agent's content parts, in an item.
pub(super) fn item_parts_from_wire(item: &mut Map) {
    if item.get("role").and_then(Value::as_str) != Some("assistant") {
        return;
    }
    let Some(Value::Array(parts)) = item.get_mut("content") else {
        return;
    };
    for part in parts.iter_mut().filter_map(Value::as_object_mut) {
        let kind = match part.get("type").and_then(Value::as_str) {
            Some("text") => "output_text",
            Some("audio") => "output_audio",
            _ => continue,
        };
        part.insert("type".to_owned(), json!(kind));
    }
}

/// Gathers the fields of an error that some servers send without an `error` object; returns whether
/// there was anything to gather.
pub(super) fn error_from_wire(fields: &mut Map) -> bool {
    if fields.get("error").is_some_and(Value::is_object) {
        return false;
    }
    let mut error = Map::new();
    for key in ["message", "code", "param"] {
        if let Some(value) = fields.remove(key) {
            error.insert(key.to_owned(), value);
        }
    }
    fields.insert("error".to_owned(), Value::Object(error));
    true
}
