//! Renaming and reshaping between the canonical form and a dialect's, in both directions.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::shape::{self, Place};
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

/// Moves fields back from where the dialect has them, then those of older shapes.
pub(super) fn from_wire(object: &mut Map, places: &[Place], aliases: bool) {
    let taken = shape::take_from_wire(object, places);
    if aliases {
        undo_aliases(object);
    }
    shape::put_canonical(object, taken);
}

/// Rewrites the fields of older shapes, in a session or a response. A canonical field wins over an
/// older spelling of it: some servers echo both.
fn undo_aliases(object: &mut Map) {
    for (old, canonical) in FIELD_ALIASES {
        let Some(value) = take(object, old) else {
            continue;
        };
        if shape::lookup(object, canonical).is_none() {
            put(object, canonical, modern_value(value));
        }
    }
    if object.get("conversation").and_then(Value::as_str) == Some("default") {
        object.insert("conversation".to_owned(), json!("auto"));
    }
    object.remove("temperature");
}

fn modern_value(value: Value) -> Value {
    match value.as_str() {
        Some("pcm16") => json!({"type": "audio/pcm", "rate": 24_000}),
        Some("g711_ulaw") => json!({"type": "audio/pcmu"}),
        Some("g711_alaw") => json!({"type": "audio/pcma"}),
        _ => value,
    }
}

/// Older names of the agent's content parts.
const OLD_PARTS: &[(&str, &str)] = &[("text", "output_text"), ("audio", "output_audio")];

/// Parts of the agent's items in an event: of the item itself, of a response's output or input.
pub(super) fn parts(fields: &mut Map, rename: impl Fn(&str) -> Option<String>) {
    if let Some(Value::Object(item)) = fields.get_mut("item") {
        item_parts(item, &rename);
    }
    let Some(Value::Object(response)) = fields.get_mut("response") else {
        return;
    };
    for list in ["output", "input"] {
        let items = response.get_mut(list).and_then(Value::as_array_mut);
        for item in items.into_iter().flatten() {
            if let Value::Object(item) = item {
                item_parts(item, &rename);
            }
        }
    }
}

fn item_parts(item: &mut Map, rename: &impl Fn(&str) -> Option<String>) {
    if item.get("role").and_then(Value::as_str) != Some("assistant") {
        return;
    }
    let Some(Value::Array(parts)) = item.get_mut("content") else {
        return;
    };
    for part in parts.iter_mut().filter_map(Value::as_object_mut) {
        let kind = part.get("type").and_then(Value::as_str);
        if let Some(kind) = kind.and_then(rename) {
            part.insert("type".to_owned(), Value::String(kind));
        }
    }
}

/// The canonical name of a part, by the table or by what it was called in the past.
pub(super) fn part_from_wire(
    table: &BTreeMap<String, String>,
    kind: &str,
    aliases: bool,
) -> Option<String> {
    let by_table = table.iter().find(|(_, wire)| *wire == kind);
    let old = || {
        let old = OLD_PARTS.iter().find(|(old, _)| aliases && *old == kind);
        old.map(|(_, canonical)| (*canonical).to_owned())
    };
    by_table
        .map(|(canonical, _)| canonical.clone())
        .or_else(old)
}

/// Gives every variable of a stored prompt a twin with braces around its name.
pub(super) fn double_variables(object: &mut Map) {
    let prompt = object.get_mut("prompt").and_then(Value::as_object_mut);
    let variables = prompt.and_then(|p| p.get_mut("variables")?.as_object_mut());
    let Some(variables) = variables else {
        return;
    };
    let twins: Vec<_> = variables
        .iter()
        .filter(|(name, _)| !name.starts_with("{{"))
        .map(|(name, value)| (format!("{{{{{name}}}}}"), value.clone()))
        .collect();
    for (name, value) in twins {
        variables.entry(name).or_insert(value);
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
