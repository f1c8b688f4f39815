//! The input buffer and the turns that are found in it.

use talkwire_core::audio::format::Format;
use talkwire_core::audio::framer::Framer;

use crate::brain::Clip;
use crate::conversation::Recording;
use crate::detector::{Detector, Edge, State};
use crate::error::{Judged, Problem};
use crate::settings::TurnDetection;

/// Most audio the buffer holds.
const MAX_BUFFER_MS: u64 = 600_000;
/// Audio kept while a detector waits for speech: what a manual commit could still want.
const IDLE_KEEP_MS: u64 = 30_000;
/// A boundary that the detector found; times in ms of session audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boundary {
    /// Speech began, prefix padding included.
    Started { start_ms: u64 },
    /// Speech ended, closing silence included.
    Stopped { end_ms: u64 },
    /// Speech paused: its words may tell whether the turn is over.
    Paused,
}

/// The caller's audio that is not an item yet.
#[derive(Debug)]
pub(crate) struct InputBuffer {
    format: Format,
    framer: Framer,
    samples: Vec<i16>,
    /// Position of `samples[0]` in the session's audio, in samples of this format.
    start_sample: u64,
    /// Session audio before this format was chosen.
    base_ms: u64,
    detector: Option<Detector>,
}

/// A turn's audio, taken out of the buffer.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) clip: Clip,
    pub(crate) recording: Recording,
}

impl InputBuffer {
    pub(crate) fn new(format: Format, rules: Option<TurnDetection>) -> Self {
        let mut buffer = Self {
            format,
            framer: Framer::new(format),
            samples: Vec::new(),
            start_sample: 0,
            base_ms: 0,
            detector: None,
        };
        buffer.configure(format, rules);
        buffer
    }

    /// Takes over changed settings. A change of the rules forgets speech that has begun.
    pub(crate) fn configure(&mut self, format: Format, rules: Option<TurnDetection>) {
        let same_format = self.format == format;
        if !same_format {
            self.base_ms = self.position_ms(self.end_sample());
            self.format = format;
            self.framer = Framer::new(format);
            self.samples.clear();
            self.start_sample = 0;
        }
        match (&mut self.detector, rules) {
            (Some(detector), Some(rules)) if same_format => detector.rules = rules,
            (detector, rules) => {
                let origin = self.start_sample + self.samples.len() as u64;
                *detector = rules.and_then(|rules| Detector::new(rules, format, origin));
            }
        }
    }

    /// Milliseconds of audio that wait.
    pub(crate) fn ms(&self) -> u64 {
        self.samples.len() as u64 * 1000 / u64::from(self.format.rate_hz())
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.framer.pending() == 0
    }

    /// Refuses audio for which there is no room.
    pub(crate) fn judge_room(&self, bytes: usize) -> Judged<()> {
        let new_ms = self.format.ms_of_bytes(bytes as u64);
        if self.ms() + new_ms > MAX_BUFFER_MS {
            let most = MAX_BUFFER_MS / 1000;
            let message = format!("The input buffer holds at most {most} s: commit or clear it.");
            return Err(Problem::value("audio", message));
        }
        Ok(())
    }

    /// Bytes of 20 ms: pieces so small that a pause is noticed before what follows it.
    pub(crate) const fn piece_bytes(&self) -> usize {
        self.format.bytes_of_ms(20) as usize
    }

    /// Adds audio, for which there is room, and returns the boundaries it completes, in order.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Vec<Boundary> {
        let before = self.samples.len();
        self.framer.push(bytes, &mut self.samples);
        let boundaries = match &mut self.detector {
            Some(detector) => detector.push(&self.samples[before..]),
            None => Vec::new(),
        };
        let mut told = Vec::new();
        let mut floor = self.start_sample;
        for boundary in boundaries {
            told.push(match boundary {
                Edge::Start(sample) => {
                    let rate = u64::from(self.format.rate_hz());
                    let prefix_ms = self.detector.as_ref().map_or(0, |d| d.rules.prefix_ms);
                    let first = sample.saturating_sub(prefix_ms * rate / 1000);
                    let start_ms = self.position_ms(first.max(floor));
                    Boundary::Started { start_ms }
                }
                Edge::Stop(sample) => {
                    floor = sample;
                    let end_ms = self.position_ms(sample);
                    Boundary::Stopped { end_ms }
                }
                Edge::Pause => Boundary::Paused,
            });
        }
        self.trim();
        told
    }

    /// Whether the turn that is spoken pauses.
    pub(crate) fn is_paused(&self) -> bool {
        let state = self.detector.as_ref().map(|detector| detector.state);
        matches!(
            state,
            Some(State::Speaking {
                is_paused: true,
                ..
            })
        )
    }

    /// The turn that is spoken ends here; returns where that is.
    pub(crate) fn end_turn(&mut self) -> u64 {
        if let Some(detector) = &mut self.detector {
            detector.state = State::QUIET;
        }
        self.span_ms().1
    }

    /// A copy of the audio since then.
    pub(crate) fn peek(&self, start_ms: u64) -> Clip {
        let rate_hz = self.format.rate_hz();
        let sample = start_ms.saturating_sub(self.base_ms) * u64::from(rate_hz) / 1000;
        let at = (sample.saturating_sub(self.start_sample) as usize).min(self.samples.len());
        Clip {
            rate_hz,
            samples: self.samples[at..].to_vec(),
        }
    }

    /// Where the audio that waits begins and ends.
    pub(crate) fn span_ms(&self) -> (u64, u64) {
        let end = self.position_ms(self.end_sample());
        (self.position_ms(self.start_sample), end)
    }

    /// Takes out all audio.
    pub(crate) fn take(&mut self) -> Turn {
        let all = self.end_sample();
        self.take_between(self.start_sample, all)
    }

    /// Takes out the audio of a detected turn; what came after it stays.
    pub(crate) fn take_turn(&mut self, start_ms: u64, end_ms: u64) -> Turn {
        let rate = u64::from(self.format.rate_hz());
        let sample = |ms: u64| ms.saturating_sub(self.base_ms) * rate / 1000;
        self.take_between(sample(start_ms), sample(end_ms))
    }

    /// Empties the buffer and forgets speech that has begun.
    pub(crate) fn clear(&mut self) {
        self.start_sample = self.end_sample();
        self.samples.clear();
        self.framer.reset();
        if let Some(detector) = &mut self.detector {
            detector.state = State::QUIET;
        }
    }

    fn take_between(&mut self, from: u64, to: u64) -> Turn {
        let start = self.start_sample;
        let len = self.samples.len();
        let index = |sample: u64| (sample.saturating_sub(start) as usize).min(len);
        let (from, to) = (index(from), index(to));
        let samples = self.samples[from.min(to)..to].to_vec();
        self.samples.drain(..to);
        self.start_sample += to as u64;
        let mut bytes = Vec::with_capacity(samples.len() * self.format.sample_bytes());
        talkwire_core::audio::codec::encode_into(self.format, &samples, &mut bytes);
        Turn {
            clip: Clip {
                rate_hz: self.format.rate_hz(),
                samples,
            },
            recording: Recording {
                format: Some(self.format),
                bytes,
            },
        }
    }

    fn end_sample(&self) -> u64 {
        self.start_sample + self.samples.len() as u64
    }

    fn position_ms(&self, sample: u64) -> u64 {
        self.base_ms + sample * 1000 / u64::from(self.format.rate_hz())
    }

    fn trim(&mut self) {
        let Some(detector) = &self.detector else {
            return;
        };
        let keep = (IDLE_KEEP_MS * u64::from(self.format.rate_hz()) / 1000) as usize;
        // Trimmed in large steps: each moves what is kept.
        if matches!(detector.state, State::Quiet { .. }) && self.samples.len() > 2 * keep {
            let gone = self.samples.len() - keep;
            self.samples.drain(..gone);
            self.start_sample += gone as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pause::Eagerness;
    use talkwire_core::audio::dtmf::tones;

    const RULES: TurnDetection = TurnDetection {
        threshold: 0.5,
        prefix_ms: 100,
        silence_ms: 300,
        create_response: true,
        interrupt_response: true,
        eagerness: None,
        idle_ms: None,
    };

    fn bytes(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|s| s.to_le_bytes()).collect()
    }

    fn silence(ms: usize) -> Vec<i16> {
        vec![0; ms * 24]
    }

    fn digits(text: &str) -> Vec<i16> {
        tones(text, 24_000).expect("digits")
    }

    fn boundaries(samples: &[i16], piece: usize) -> Vec<Boundary> {
        let mut buffer = InputBuffer::new(Format::PCM16_24K, Some(RULES));
        let append = |piece: &[i16]| buffer.append(&bytes(piece));
        samples.chunks(piece).flat_map(append).collect()
    }

    #[test]
    fn turns_are_found_in_the_same_places_however_the_audio_is_cut() {
        let sound = [
            silence(500),
            digits("12"),
            silence(600),
            digits("3"),
            silence(600),
        ];
        let sound = sound.concat();
        let found = boundaries(&sound, sound.len());
        assert!(
            matches!(
                found[..],
                [
                    Boundary::Started {
                        start_ms: 430..=490
                    },
                    Boundary::Stopped {
                        end_ms: 1150..=1300
                    },
                    Boundary::Started { .. },
                    Boundary::Stopped { .. }
                ]
            ),
            "{found:?}"
        );
        for piece in [480, 1000, 24_000] {
            assert_eq!(boundaries(&sound, piece), found);
        }
        assert_eq!(boundaries(&silence(3000), 480), []);
    }

    #[test]
    fn a_turn_is_taken_with_its_padding_and_the_rest_stays() {
        let mut buffer = InputBuffer::new(Format::PCM16_24K, Some(RULES));
        let sound = [silence(500), digits("5"), silence(1000)].concat();
        let found = buffer.append(&bytes(&sound));
        let [Boundary::Started { start_ms }, Boundary::Stopped { end_ms }] = found[..] else {
            panic!("{found:?}")
        };
        let turn = buffer.take_turn(start_ms, end_ms);
        assert_eq!(turn.recording.ms(), end_ms - start_ms);
        assert_eq!(turn.clip.samples.len() as u64, (end_ms - start_ms) * 24);
        let total_ms = sound.len() as u64 / 24;
        assert_eq!(buffer.ms(), total_ms - end_ms);
    }

    #[test]
    fn without_a_detector_audio_only_waits() {
        let mut buffer = InputBuffer::new(Format::PCM16_24K, None);
        assert_eq!(buffer.append(&bytes(&digits("1"))), []);
        assert_eq!(buffer.take().clip.samples, digits("1"));
        assert!(buffer.is_empty());
    }

    #[test]
    fn the_buffer_is_bounded_in_both_modes() {
        let minute = vec![0; 8_000 * 60];
        let mut manual = InputBuffer::new(Format::Alaw, None);
        for _ in 0..10 {
            manual.judge_room(minute.len()).expect("fits");
            manual.append(&minute);
        }
        let full = manual.judge_room(8).expect_err("full");
        assert_eq!(full.param(), Some("audio"));
        let mut detecting = InputBuffer::new(Format::PCM16_24K, Some(RULES));
        for _ in 0..90 {
            detecting.append(&bytes(&silence(1000)));
        }
        assert!(
            detecting.ms() <= 2 * IDLE_KEEP_MS + 1000,
            "{}",
            detecting.ms()
        );
    }

    #[test]
    fn time_goes_on_over_a_change_of_format() {
        let mut buffer = InputBuffer::new(Format::PCM16_24K, Some(RULES));
        buffer.append(&bytes(&silence(1000)));
        buffer.clear();
        buffer.configure(Format::Pcm16 { rate_hz: 8_000 }, Some(RULES));
        let sound = tones("77", 8_000).expect("digits");
        let found = buffer.append(&bytes(&sound));
        let [Boundary::Started { start_ms }] = found[..] else {
            panic!("{found:?}")
        };
        assert!((1000..1100).contains(&start_ms), "{start_ms}");
    }

    #[test]
    fn a_patient_detector_tells_of_pauses_and_ends_turns_at_last() {
        let rules = TurnDetection {
            eagerness: Some(Eagerness::High),
            ..RULES
        };
        let mut buffer = InputBuffer::new(Format::PCM16_24K, Some(rules));
        let sound = [digits("1"), silence(600), digits("2"), silence(2_500)].concat();
        let mut found = Vec::new();
        for piece in bytes(&sound).chunks(buffer.piece_bytes()) {
            let told = buffer.append(piece);
            assert!(!told.contains(&Boundary::Paused) || buffer.is_paused());
            found.extend(told);
        }
        assert!(
            matches!(
                found[..],
                [
                    Boundary::Started { .. },
                    Boundary::Paused,
                    Boundary::Paused,
                    Boundary::Stopped { .. }
                ]
            ),
            "{found:?}"
        );
    }

    #[test]
    fn a_turn_can_be_ended_from_outside() {
        let rules = TurnDetection {
            eagerness: Some(Eagerness::Low),
            ..RULES
        };
        let mut buffer = InputBuffer::new(Format::PCM16_24K, Some(rules));
        let sound = [digits("1"), silence(500)].concat();
        let found = buffer.append(&bytes(&sound));
        let [Boundary::Started { start_ms }, Boundary::Paused] = found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(buffer.peek(start_ms).samples, sound);
        let end_ms = buffer.end_turn();
        assert_eq!(end_ms, buffer.span_ms().1);
        assert!(!buffer.is_paused());
        assert_eq!(buffer.take_turn(start_ms, end_ms).recording.ms(), end_ms);
    }
}
