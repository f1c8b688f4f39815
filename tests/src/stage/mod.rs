//! What flows are played on: the simulator in virtual time, and a real WebSocket.

mod broken;
pub mod caller;
pub mod hostile;
mod line;
pub mod rules;
pub mod sim;
mod wanted;
pub mod ws;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use talkwire_core::audio::codec::encode_into;
use talkwire_core::audio::format::Format;
use talkwire_core::audio::resample::resample;
use talkwire_core::audio::wav::Wav;
use talkwire_core::dialect::check::Check;
use talkwire_core::wire::Envelope;
use talkwire_core::{Event, Options, Retry};
use talkwire_server::{Config, Pacing};

use crate::flow::{End, Flow, OpenSpec, Sound, Stage};

/// A stage in the simulator. A flow whose server cannot be made gets a stage that says so.
pub fn in_simulator(flow: &Flow, profile: &str) -> Box<dyn Stage> {
    match sim::Sim::new(flow, profile) {
        Ok(stage) => Box::new(stage),
        Err(error) => Box::new(broken::Broken::new(error)),
    }
}

/// A stage over loopback, likewise.
pub fn over_websocket(flow: &Flow, profile: &str) -> Box<dyn Stage> {
    match ws::Ws::new(flow, profile) {
        Ok(stage) => Box::new(stage),
        Err(error) => Box::new(broken::Broken::new(error)),
    }
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The local server that a flow wants.
pub fn config(flow: &Flow, profile: &str) -> Config {
    let mut config = Config::new().profile(profile);
    if let Some(script) = &flow.server {
        config = config.script_text(script, root());
    }
    for (key, value) in &flow.config {
        config = set(config, key, value);
    }
    config
}

fn set(config: Config, key: &str, value: &Value) -> Config {
    let text = || value.as_str().unwrap_or_default().to_owned();
    let number = || value.as_u64().unwrap_or_default();
    match key {
        "brain" => config.brain(text()),
        "ears" => config.ears(text()),
        "voice" => config.voice(text()),
        "api_key" => config.api_key(text()),
        "model" => config.models([text()]),
        "sessions_max" => config.max_sessions(usize::try_from(number()).unwrap_or(usize::MAX)),
        "lifetime_ms" => config.lifetime(Duration::from_millis(number())),
        "pacing" if value == "realtime" => config.pacing(Pacing::Realtime),
        "pacing" => config.pacing(Pacing::Instant),
        other => panic!("no stage knows the setting `{other}`"),
    }
}

/// Options of an application that checks nothing unless it says what: flows send what they like. Its session ends with
/// its first link unless the flow says otherwise.
fn options(spec: &OpenSpec) -> Options {
    let given = spec.call.as_ref().or(spec.options.as_ref());
    let mut options = match given {
        Some(given) => Options::from_json(&given.to_string()).expect("a flow's options are valid"),
        None => Options::default(),
    };
    let says = |key: &str| given.is_some_and(|given| given.get(key).is_some());
    options.rollover.enabled &= says("rollover");
    if !says("recovery") {
        options.recovery.budget_ms = 0;
    }
    options.model.clone_from(&spec.model);
    options.query.clone_from(&spec.query);
    options.headers.clone_from(&spec.headers);
    if !says("waive") {
        options.waive = Check::ALL
            .iter()
            .map(|check| check.name().to_owned())
            // Who has a call leaves its turns to the session.
            .filter(|check| spec.call.is_none() || check != "turn")
            .collect();
    }
    options.seed = Some(7);
    options
}

/// Whether a text is an event that the session can send as such; anything else goes out raw.
fn is_event(json: &str) -> bool {
    let Ok(envelope) = Envelope::parse(json) else {
        return false;
    };
    envelope.name() != "input_audio_buffer.append"
}

/// The canonical JSON of what the application got.
fn seen(event: &Event) -> Value {
    serde_json::from_str(&event.json()).expect("an event's JSON is JSON")
}

fn end(end: &talkwire_core::End) -> End {
    let retry = end.error.as_ref().map(|error| match error.retry() {
        Retry::Later => "later".to_owned(),
        _ => "never".to_owned(),
    });
    End {
        why: end.why.name().to_owned(),
        who: end.who.name().to_owned(),
        retry,
        expected: end.expected,
        mid_turn: Some(end.mid_turn),
        close_code: end.close_code,
        http_status: end.http_status,
        message: end.message.clone(),
    }
}

/// An endless speaker: real speech, again and again, in frames of 20 ms.
struct Speaker {
    speech: Vec<i16>,
    at: usize,
    format: Format,
}

/// The first utterance of the caller, without the silence around it, and its rate.
static UTTERANCE: LazyLock<(Vec<i16>, u32)> = LazyLock::new(|| {
    let wav = Wav::read(&root().join("examples/audio/caller.wav")).expect("a committed file");
    let ms = |ms: usize| ms * wav.rate_hz as usize / 1000;
    (wav.to_mono()[ms(650)..ms(4_900)].to_vec(), wav.rate_hz)
});

/// Milliseconds of a frame.
const FRAME_MS: u32 = 20;

impl Speaker {
    fn new(format: Format) -> Self {
        let (speech, rate_hz) = &*UTTERANCE;
        let speech = resample(speech, *rate_hz, format.rate_hz()).expect("rates are valid");
        Self {
            speech,
            at: 0,
            format,
        }
    }

    /// The next frame, encoded.
    fn frame(&mut self, sound: Sound) -> Vec<u8> {
        let samples = (self.format.rate_hz() * FRAME_MS / 1000) as usize;
        let mut frame = vec![0; samples];
        if sound == Sound::Speech {
            for sample in &mut frame {
                *sample = self.speech[self.at % self.speech.len()];
                self.at += 1;
            }
        }
        let mut bytes = Vec::new();
        encode_into(self.format, &frame, &mut bytes);
        bytes
    }
}

/// The input format that a session acknowledged.
fn input_format(settings: &talkwire_core::Settings) -> Format {
    settings
        .format_at("/audio/input/format", 24_000)
        .unwrap_or(Format::PCM16_24K)
}
