//! The detector of turns: where in the caller's audio speech begins, pauses and ends.

use talkwire_core::audio::dtmf;
use talkwire_core::audio::format::Format;
use talkwire_core::audio::vad::{Frame, Vad};

use crate::pause::Eagerness;
use crate::settings::TurnDetection;

/// Frames of speech in a row that begin a turn: 48 ms. Single frames of noise reach the threshold.
const ONSET_FRAMES: u32 = 3;
/// A key that is held counts as speech while it is about as loud as when it was recognised.
const TONE_DROP_DB: f32 = 10.0;

/// Finds turns in audio as it comes.
#[derive(Debug)]
pub(crate) struct Detector {
    pub(crate) rules: TurnDetection,
    rate_hz: u64,
    vad: Vad,
    keys: dtmf::Detector,
    /// Where the detector's sample 0 lies in the session's audio.
    origin_sample: u64,
    /// A telephone key was recognised since the last frame.
    key_is_due: bool,
    /// Loudness of a telephone key that is down.
    key_dbfs: Option<f32>,
    pub(crate) state: State,
}

/// What the caller does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// `run` frames of speech in a row, the first at `since`.
    Quiet { run: u32, since: u64 },
    /// A turn; speech was last heard until `last`, and a pause after it was told of.
    Speaking { last: u64, is_paused: bool },
}

/// A boundary in samples of the session's audio.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edge {
    Start(u64),
    Stop(u64),
    Pause,
}

impl State {
    pub(crate) const QUIET: Self = Self::Quiet { run: 0, since: 0 };
}

impl Detector {
    pub(crate) fn new(rules: TurnDetection, format: Format, origin_sample: u64) -> Option<Self> {
        let rate_hz = format.rate_hz();
        Some(Self {
            rules,
            rate_hz: u64::from(rate_hz),
            vad: Vad::new(rate_hz).ok()?,
            keys: dtmf::Detector::new(rate_hz).ok()?,
            origin_sample,
            key_is_due: false,
            key_dbfs: None,
            state: State::QUIET,
        })
    }

    pub(crate) fn push(&mut self, samples: &[i16]) -> Vec<Edge> {
        let mut edges = Vec::new();
        // In pieces shorter than a frame, so that a key is laid to the frame that completes it.
        for piece in samples.chunks(self.rate_hz as usize / 100) {
            let mut keys = Vec::new();
            let mut frames = Vec::new();
            self.keys.push(piece, &mut keys);
            self.vad.push(piece, &mut |frame| frames.push(frame));
            self.key_is_due |= !keys.is_empty();
            for frame in frames {
                let key = std::mem::take(&mut self.key_is_due);
                edges.extend(self.step(&frame, key));
            }
        }
        edges
    }

    fn step(&mut self, frame: &Frame, key: bool) -> Option<Edge> {
        let start = self.origin_sample + frame.start_sample;
        let end = start + u64::from(frame.samples);
        let speech = self.is_speech(frame, key);
        match &mut self.state {
            State::Quiet { run, since } => {
                if !speech {
                    self.state = State::QUIET;
                    return None;
                }
                if *run == 0 {
                    *since = start;
                }
                *run += 1;
                if *run < ONSET_FRAMES && !key {
                    return None;
                }
                let since = *since;
                self.state = State::Speaking {
                    last: end,
                    is_paused: false,
                };
                Some(Edge::Start(since))
            }
            State::Speaking { last, is_paused } if speech => {
                *last = end;
                *is_paused = false;
                None
            }
            State::Speaking { last, is_paused } => {
                let silence_ms = (end - *last) * 1000 / self.rate_hz;
                if silence_ms < self.rules.silence_ms {
                    return None;
                }
                let patience = self.rules.eagerness.map(Eagerness::patience_ms);
                if patience.is_some_and(|most| silence_ms < most) {
                    let is_news = !std::mem::replace(is_paused, true);
                    return is_news.then_some(Edge::Pause);
                }
                self.state = State::QUIET;
                Some(Edge::Stop(end))
            }
        }
    }

    fn is_speech(&mut self, frame: &Frame, key: bool) -> bool {
        if key {
            self.key_dbfs = Some(frame.rms_dbfs);
        }
        let held = |dbfs: f32| frame.rms_dbfs > dbfs - TONE_DROP_DB;
        self.key_dbfs = self.key_dbfs.filter(|dbfs| held(*dbfs));
        self.key_dbfs.is_some() || frame.probability > self.rules.threshold
    }
}
