//! The configuration a session starts with.

use std::sync::Arc;

use serde_json::{Value, json};
use talkwire_core::audio::format::Format;
use talkwire_core::dialect::Dialect;
use talkwire_core::wire::session::format_value;
use talkwire_core::wire::{Map, Session};

use crate::settings::{INPUT_FORMAT, OUTPUT_FORMAT, ROLE, Settings, TURN_DETECTION, VOICE};

impl Settings {
    /// The configuration a session starts with.
    pub(crate) fn new(dialect: Arc<Dialect>, id: &str, model: &str, expires_at: u64) -> Self {
        let defaults = &dialect.table().defaults;
        let pcm = |rate_hz| format_value(Format::Pcm16 { rate_hz });
        let mut session = Session(Map::new())
            .set("/type", json!("realtime"))
            .set("/object", json!("realtime.session"))
            .set("/id", json!(id))
            .set("/model", json!(model))
            .set("/expires_at", json!(expires_at))
            .set("/output_modalities", json!(["audio"]))
            .set("/instructions", json!("You are a helpful voice agent."))
            .set(INPUT_FORMAT, pcm(defaults.input_rate_hz))
            .set("/audio/input/transcription", Value::Null)
            .set("/audio/input/noise_reduction", Value::Null)
            .set(TURN_DETECTION, detection_defaults(&dialect, "server_vad"))
            .set(OUTPUT_FORMAT, pcm(defaults.output_rate_hz))
            .set(VOICE, json!(defaults.voice))
            .set("/audio/output/speed", json!(1.0))
            .set("/tools", json!([]))
            .set("/tool_choice", json!("auto"))
            .set("/max_output_tokens", json!("inf"))
            .set("/truncation", json!("auto"))
            .set("/prompt", Value::Null)
            .set("/tracing", Value::Null)
            .set("/include", Value::Null);
        if dialect.can("voice_roles") {
            session = session.set(ROLE, json!(defaults.role));
        }
        if dialect.can("temperature") {
            session = session.set("/temperature", json!(0.8));
        }
        if dialect.can("languages") {
            session = session.set("/audio/input/languages", json!([]));
        }
        Self { dialect, session }
    }

    /// The configuration a session that only transcribes starts with.
    pub(crate) fn transcription(dialect: Arc<Dialect>, id: &str, expires_at: u64) -> Self {
        let defaults = &dialect.table().defaults;
        let rate_hz = defaults.input_rate_hz;
        let mut detection = detection_defaults(&dialect, "server_vad");
        if let Some(fields) = detection.as_object_mut() {
            // There is nothing that could answer, be interrupted or prompt.
            fields.retain(|key, _| !key.ends_with("_response") && key != "idle_timeout_ms");
        }
        let session = Session(Map::new())
            .set("/type", json!("transcription"))
            .set("/object", json!("realtime.transcription_session"))
            .set("/id", json!(id))
            .set("/expires_at", json!(expires_at))
            .set(INPUT_FORMAT, format_value(Format::Pcm16 { rate_hz }))
            .set("/audio/input/transcription", Value::Null)
            .set("/audio/input/noise_reduction", Value::Null)
            .set(TURN_DETECTION, detection)
            .set("/include", Value::Null);
        Self { dialect, session }
    }
}

/// What a turn detection of this type starts with.
pub(crate) fn detection_defaults(dialect: &Dialect, kind: &str) -> Value {
    let defaults = &dialect.table().defaults;
    if kind == "semantic_vad" {
        return json!({"type": kind, "eagerness": "auto", "create_response": true,
            "interrupt_response": true});
    }
    // Written as text first: 0.4_f32 would show as 0.4000000059604645.
    let threshold: f64 = defaults.vad_threshold.to_string().parse().unwrap_or(0.5);
    json!({"type": kind, "threshold": threshold, "prefix_padding_ms": defaults.vad_prefix_ms,
        "silence_duration_ms": defaults.vad_silence_ms, "create_response": true,
        "interrupt_response": true, "idle_timeout_ms": null})
}
