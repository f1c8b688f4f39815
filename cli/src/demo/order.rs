//! The order by telephone: its lines, recordings, settings and the server's script.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use talkwire_core::audio::format::Format;
use talkwire_core::audio::resample::resample;
use talkwire_core::audio::wav::Wav;
use talkwire_core::error::{Error, Kind, Result};
use talkwire_core::wire::Session as Settings;
use talkwire_core::wire::session::Modality;

use super::broken;
use crate::args::Lang;

const LINES: &str = include_str!("../../demo/audio/lines.json");
const ORDER: &str = include_str!("../../demo/order.json");

macro_rules! recording {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../../demo/audio/", $name)).as_slice(),
        )
    };
}

/// All recordings, by the names that the lines give them.
const RECORDINGS: [(&str, &[u8]); 8] = [
    recording!("caller.wav"),
    recording!("ru/answer-1.wav"),
    recording!("ru/answer-2.wav"),
    recording!("ru/answer-3.wav"),
    recording!("caller-en.wav"),
    recording!("en/answer-1.wav"),
    recording!("en/answer-2.wav"),
    recording!("en/answer-3.wav"),
];

/// Silence that ends a turn: longer than any pause within the customer's lines.
const TURN_SILENCE_MS: u32 = 500;
/// What the agent seems to think before it answers.
const THINK_MS: u64 = 250;
/// Cut lines keep this much around them.
const MARGIN_MS: u64 = 60;
/// What a server takes for a part of the turn before and after the words.
const AROUND_MS: u64 = 850;
/// The quiet of the line, from the start of the customer's file.
const QUIET_MS: u64 = 480;

/// One line of the call.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    role: String,
    file: String,
    text: String,
    #[serde(default)]
    start_ms: u64,
    #[serde(default)]
    end_ms: u64,
}

/// One call, in one language.
#[derive(Debug)]
pub(super) struct Order {
    lines: Vec<Line>,
    caller: Wav,
    words: Value,
    tool: Value,
    result: Value,
}

impl Order {
    pub(super) fn new(lang: Lang) -> Result<Self> {
        let key = match lang {
            Lang::Ru => "ru",
            Lang::En => "en",
        };
        let lines: Value = serde_json::from_str(LINES).map_err(|_| broken("lines"))?;
        let order: Value = serde_json::from_str(ORDER).map_err(|_| broken("order"))?;
        let lines: Vec<Line> =
            serde_json::from_value(lines[key].clone()).map_err(|_| broken("lines"))?;
        let caller = lines.iter().find(|line| line.role == "customer");
        let caller = caller.ok_or_else(|| broken("lines"))?;
        let caller = Wav::parse(recording(&caller.file)?)?;
        Ok(Self {
            lines,
            caller,
            words: order[key].clone(),
            tool: order["tool"].clone(),
            result: order["result"].clone(),
        })
    }

    /// Lines of both parties.
    pub(super) fn lines(&self) -> usize {
        self.lines.len()
    }

    fn of(&self, role: &str) -> Vec<&Line> {
        self.lines.iter().filter(|line| line.role == role).collect()
    }

    /// What the customer says, line by line; the first begins with the quiet of the file.
    pub(super) fn customer(&self, rate_hz: u32) -> Result<Vec<Vec<i16>>> {
        let mut from = 0;
        let cut = |line: &&Line| {
            let start = if from == 0 {
                0
            } else {
                line.start_ms - MARGIN_MS
            };
            from = line.end_ms;
            self.cut(start, line.end_ms + MARGIN_MS, rate_hz)
        };
        self.of("customer").iter().map(cut).collect()
    }

    /// The noise of the customer's line.
    pub(super) fn quiet(&self, rate_hz: u32) -> Result<Vec<i16>> {
        self.cut(0, QUIET_MS, rate_hz)
    }

    fn cut(&self, from_ms: u64, to_ms: u64, rate_hz: u32) -> Result<Vec<i16>> {
        let mono = self.caller.to_mono();
        let at = |ms: u64| (ms * u64::from(self.caller.rate_hz) / 1000) as usize;
        let piece = mono.get(at(from_ms)..at(to_ms).min(mono.len()));
        let piece = piece.ok_or_else(|| broken("lines"))?;
        resample(piece, self.caller.rate_hz, rate_hz)
    }

    // ---- settings -------------------------------------------------------------------------------

    /// The settings with which the call begins. `input_hz`: a rate other than the usual one.
    pub(super) fn settings(&self, input_hz: Option<u32>) -> Settings {
        let input = input_hz.map_or(Format::PCM16_24K, |rate_hz| Format::Pcm16 { rate_hz });
        self.words("first")
            .modality(Modality::Audio)
            .input_format(input)
            .output_format(Format::PCM16_24K)
            .server_vad(TURN_SILENCE_MS)
            .tools(json!([self.tool]))
    }

    /// What changes in the middle of the call.
    pub(super) fn later(&self) -> Settings {
        self.words("later")
    }

    fn words(&self, when: &str) -> Settings {
        let word = |key: &str| self.words[when][key].as_str().unwrap_or_default();
        Settings::new()
            .instructions(word("instructions"))
            .voice(word("voice"))
            .role(word("role"))
    }

    /// What the function gives.
    pub(super) fn result(&self) -> &Value {
        &self.result
    }

    /// The server's script. JSON is YAML.
    pub(super) fn script(&self, recorded: bool) -> String {
        let answers = self.of("agent");
        let say = |i: usize| match (answers.get(i), recorded) {
            (Some(line), true) => json!({"text": line.text, "wav": line.file}),
            (Some(line), false) => json!(line.text),
            (None, _) => Value::Null,
        };
        let call = json!({"name": self.tool["name"], "arguments": self.words["arguments"]});
        let mut script = json!({
            "brain": "script",
            "think_ms": THINK_MS,
            "emulate": ["growing_transcripts"],
            "turns": [
                {"when": {"tool": self.tool["name"]}, "say": say(1)},
                {"when": {"turn": 1}, "say": say(0)},
                {"when": {"turn": 2}, "call": call},
                {"say": say(2)},
            ],
        });
        if recorded {
            let said = |i: usize| json!({"user": self.of("customer").get(i).map(|l| &l.text)});
            // By what was said, as a session that takes over does not begin with the first turn. What
            // it is told of before holds earlier lines only.
            script["turns"] = json!([
                {"when": {"tool": self.tool["name"]}, "say": say(1)},
                {"when": said(2), "say": say(2)},
                {"when": said(1), "call": call},
                {"when": said(0), "say": say(0)},
                {"say": say(2)},
            ]);
            script["ears"] = self.ears();
            script["voice"] = json!("wav");
        }
        script.to_string()
    }
}

impl Order {
    /// What is heard, each line by its length: any session recognises any of them.
    fn ears(&self) -> Value {
        let lines = self.of("customer");
        let length = |line: &Line| line.end_ms - line.start_ms;
        let between = |a: u64, b: u64| (a + b) / 2 + AROUND_MS;
        let heard = lines.iter().map(|line| {
            let ms = length(line);
            let lengths = || lines.iter().map(|other| length(other));
            let shorter = lengths().filter(|other| *other < ms).max();
            let longer = lengths().filter(|other| *other > ms).min();
            json!({
                "text": line.text,
                "min_ms": shorter.map_or(0, |shorter| between(shorter, ms)),
                "max_ms": longer.map_or(60_000, |longer| between(longer, ms)),
            })
        });
        heard.collect()
    }
}

fn recording(name: &str) -> Result<&'static [u8]> {
    let found = RECORDINGS.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, bytes)| *bytes)
        .ok_or_else(|| broken("recordings"))
}

/// The recordings as files, where the server's script finds them; removed when dropped.
#[derive(Debug)]
pub(super) struct Recordings(PathBuf);

impl Recordings {
    pub(super) fn unpack(order: &Order) -> Result<Self> {
        let name = format!("talkwire-demo-{}", std::process::id());
        let recordings = Self(std::env::temp_dir().join(name));
        for line in order.of("agent") {
            let path = recordings.0.join(&line.file);
            let dir = path.parent().unwrap_or(&recordings.0);
            let bytes = recording(&line.file)?;
            let written = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&path, bytes));
            written.map_err(|e| Error::new(Kind::Io, format!("{}: {e}", path.display())))?;
        }
        Ok(recordings)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.0
    }
}

impl Drop for Recordings {
    fn drop(&mut self) {
        // What cannot be removed from the folder for such files harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use talkwire_server::Script;

    use super::*;

    #[test]
    fn both_languages_have_lines_recordings_and_a_script_the_server_takes() {
        for lang in [Lang::Ru, Lang::En] {
            let order = Order::new(lang).expect("reads");
            assert_eq!(order.lines(), 6);
            let lines = order.customer(16_000).expect("cuts");
            assert_eq!(lines.len(), 3);
            assert!(lines.iter().all(|line| line.len() > 16_000));
            let recordings = Recordings::unpack(&order).expect("writes");
            for recorded in [true, false] {
                let script = order.script(recorded);
                Script::parse(&script, Path::new("script"), recordings.dir()).expect("reads");
            }
            let dir = recordings.dir().to_owned();
            drop(recordings);
            assert!(!dir.exists());
        }
    }

    #[test]
    fn voice_and_prompt_change_in_the_middle_of_the_call() {
        let order = Order::new(Lang::Ru).expect("reads");
        let (first, later) = (order.settings(None), order.later());
        for pointer in ["/instructions", "/audio/output/voice", "/audio/output/role"] {
            assert_ne!(first.pointer(pointer), later.pointer(pointer), "{pointer}");
        }
    }
}
