//! How likely each 16 ms of sound is speech: numbers only. Whether a turn has begun or ended is the
//! business of whoever reads them.
//!
//! Measured with the speech of `examples/audio` and made-up sounds:
//!
//! | sound | median | frames above 0.5 |
//! |---|---|---|
//! | a customer's lines (festival, flite), short pauses included | 0.92-0.94 | 92-97 % |
//! | the same through 8 kHz A-law | 0.83-0.87 | 94-97 % |
//! | an agent's answers (espeak-ng, flite) | 0.91-0.96 | 87-99 % |
//! | between the lines (noise at -70 dBFS), from 100 ms after a line | 0.16-0.22, at most 0.46 | 0 % |
//! | digital silence | 0.14 | 0 % |
//! | white noise at -50, -40, -30, -20, -10 dBFS | 0.13, 0.20, 0.28, 0.19, 0.67 | 0, 0, 2, 1, 98 % |
//! | low-pass noise at -40, -30, -20 dBFS | 0.14, 0.25, 0.86 | 0, 0, 96 % |
//! | a sine of 440 Hz at -15 dBFS | 0.48 | 6 % |
//! | [`dtmf::tones`](super::dtmf::tones) of 16 digits, tones | 0.76-0.79 | 99-100 % |
//! | the 60 ms pauses between them | 0.81-0.84 | 94 % |
//! | a lone digit of 100 ms at 24 kHz | 0.69-0.79 at best | 9-11 frames |
//! | a digit held for 0.2 s and longer | 0.2 (8, 0) to 0.8 (3, A) | 0-100 % |
//!
//! So a threshold of 0.5 finds speech; the longest dip inside a customer's line is 208 ms, and a soft
//! first consonant can hide up to 90 ms of it (the prefix padding of a turn is for that). After speech
//! ends the probability needs 50 to 110 ms to fall. It also finds telephone digits of 100 ms, but not
//! every key that is held down: who has to hear those adds [`Frame::rms_dbfs`] or a
//! [`dtmf::Detector`](super::dtmf::Detector). Music and loud noise count as speech. A minute of sound
//! takes 0.3-0.5 s of a core in a development build.

use earshot::Detector;

use super::format::check_rate;
use super::level::rms_dbfs;
use super::resample::Resampler;
use crate::error::Result;

/// The rate and frame length that the network was trained on.
const NET_RATE_HZ: u32 = 16_000;
const NET_FRAME_SAMPLES: usize = 256;

/// One frame of 16 ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Position of the frame's first sample in the stream, at the stream's own rate.
    pub start_sample: u64,
    /// Length of the frame at the stream's own rate; frames follow each other without a gap.
    pub samples: u32,
    /// 0 to 1; above 0.5 it is probably speech.
    pub probability: f32,
    /// Loudness below 8 kHz, as [`rms_dbfs`] gives it.
    pub rms_dbfs: f32,
}

/// Voice activity of a mono stream that arrives in pieces.
pub struct Vad {
    rate_hz: u32,
    resampler: Resampler,
    net: Box<Detector>,
    waiting: Vec<i16>,
    frames: u64,
}

impl Vad {
    /// A detector for mono samples at `rate_hz`.
    pub fn new(rate_hz: u32) -> Result<Self> {
        check_rate(rate_hz)?;
        Ok(Self {
            rate_hz,
            resampler: Resampler::new(rate_hz, NET_RATE_HZ)?,
            net: Detector::default_boxed(),
            waiting: Vec::new(),
            frames: 0,
        })
    }

    /// Calls `on_frame` for each frame that `samples` completes.
    ///
    /// A frame is complete up to 5 ms after its last sample: the resampler looks that far ahead.
    pub fn push(&mut self, samples: &[i16], on_frame: &mut impl FnMut(Frame)) {
        self.resampler.process(samples, &mut self.waiting);
        let mut done = 0;
        while let Some(frame) = self.waiting[done..].first_chunk::<NET_FRAME_SAMPLES>() {
            let (start_sample, end_sample) =
                (self.position(self.frames), self.position(self.frames + 1));
            on_frame(Frame {
                start_sample,
                samples: (end_sample - start_sample) as u32,
                probability: self.net.predict_i16(frame),
                rms_dbfs: rms_dbfs(frame),
            });
            self.frames += 1;
            done += NET_FRAME_SAMPLES;
        }
        self.waiting.drain(..done);
    }

    /// Forgets the stream so far: the next sample is sample 0.
    pub fn reset(&mut self) {
        self.resampler.reset();
        self.net.reset();
        self.waiting.clear();
        self.frames = 0;
    }

    /// Where frame `index` starts. Computed from the stream's start, so that 44.1 kHz does not drift.
    fn position(&self, index: u64) -> u64 {
        index * NET_FRAME_SAMPLES as u64 * u64::from(self.rate_hz) / u64::from(NET_RATE_HZ)
    }
}

impl std::fmt::Debug for Vad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vad({} Hz, {} frames)", self.rate_hz, self.frames)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::audio::codec;
    use crate::audio::dtmf;
    use crate::audio::format::Format;
    use crate::audio::numbers::cases;
    use crate::audio::resample::resample;
    use crate::audio::wav::Wav;

    const THRESHOLD: f32 = 0.5;

    fn frames(samples: &[i16], rate_hz: u32) -> Vec<Frame> {
        let mut frames = Vec::new();
        Vad::new(rate_hz)
            .unwrap()
            .push(samples, &mut |frame| frames.push(frame));
        frames
    }

    fn folder() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/audio"))
    }

    fn caller(name: &str) -> Vec<i16> {
        Wav::read(&folder().join(name)).unwrap().samples
    }

    /// Start and end of each of the customer's lines in ms.
    fn lines(lang: &str) -> Vec<(u64, u64)> {
        let text = std::fs::read_to_string(folder().join("lines.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let customer = json[lang]
            .as_array()
            .unwrap()
            .iter()
            .filter(|line| line["role"] == "customer");
        customer
            .map(|line| {
                (
                    line["start_ms"].as_u64().unwrap(),
                    line["end_ms"].as_u64().unwrap(),
                )
            })
            .collect()
    }

    fn telephone(samples: &[i16]) -> Vec<i16> {
        let narrow = resample(samples, 24_000, 8_000).unwrap();
        let (mut bytes, mut back) = (Vec::new(), Vec::new());
        codec::encode_into(Format::Alaw, &narrow, &mut bytes);
        codec::decode_into(Format::Alaw, &bytes, &mut back);
        back
    }

    /// Times in ms at which speech starts and ends when 400 ms of no speech end it.
    fn turns(frames: &[Frame], rate_hz: u32) -> Vec<(u64, u64)> {
        let mut turns: Vec<(u64, u64)> = Vec::new();
        for frame in frames.iter().filter(|frame| frame.probability > THRESHOLD) {
            let start_ms = frame.start_sample * 1000 / u64::from(rate_hz);
            match turns.last_mut() {
                Some((_, end_ms)) if start_ms < *end_ms + 400 => *end_ms = start_ms + 16,
                _ => turns.push((start_ms, start_ms + 16)),
            }
        }
        turns
    }

    #[test]
    fn the_customers_three_lines_are_found_where_they_are() {
        for (lang, name) in [("ru", "caller.wav"), ("en", "caller-en.wav")] {
            let samples = caller(name);
            let studio = resample(&samples, 24_000, 44_100).unwrap();
            for (rate_hz, samples) in [
                (24_000, &samples),
                (8_000, &telephone(&samples)),
                (44_100, &studio),
            ] {
                let (found, expected) = (turns(&frames(samples, rate_hz), rate_hz), lines(lang));
                assert_eq!(
                    found.len(),
                    expected.len(),
                    "{name} at {rate_hz} Hz: {found:?}"
                );
                for ((start, end), (line_start, line_end)) in found.into_iter().zip(expected) {
                    assert!(
                        start.abs_diff(line_start) <= 100,
                        "{start} for {line_start} ms, {name}, {rate_hz} Hz"
                    );
                    assert!(
                        end.abs_diff(line_end) <= 120,
                        "{end} for {line_end} ms, {name}, {rate_hz} Hz"
                    );
                }
            }
        }
    }

    #[test]
    fn silence_is_no_speech_and_reads_as_the_floor() {
        let frames = frames(&[0; 48_000], 24_000);
        assert_eq!(frames.len(), 124);
        assert!(
            frames.iter().all(|frame| frame.probability < 0.4),
            "{frames:?}"
        );
        assert!(
            frames
                .iter()
                .all(|frame| frame.rms_dbfs == crate::audio::level::FLOOR_DBFS)
        );
    }

    #[test]
    fn digits_count_as_speech_in_a_row_and_alone() {
        for rate_hz in [8_000, 24_000, 44_100] {
            let row = frames(&dtmf::tones("1234567890*#ABCD", rate_hz).unwrap(), rate_hz);
            let loud: Vec<_> = row.iter().filter(|frame| frame.rms_dbfs > -30.0).collect();
            let speech = loud
                .iter()
                .filter(|frame| frame.probability > THRESHOLD)
                .count();
            assert!(
                speech * 100 >= loud.len() * 95,
                "{speech} of {} at {rate_hz} Hz",
                loud.len()
            );
            for digit in "0123456789*#ABCD".chars() {
                let quiet = vec![0; rate_hz as usize / 2];
                let press = dtmf::tones(&digit.to_string(), rate_hz).unwrap();
                let alone = frames(&[&quiet[..], &press, &quiet].concat(), rate_hz);
                let speech = alone
                    .iter()
                    .filter(|frame| frame.probability > THRESHOLD)
                    .count();
                assert!(speech >= 6, "{speech} frames for {digit} at {rate_hz} Hz");
                let within = alone
                    .iter()
                    .filter(|frame| (frame.rms_dbfs + 10.0).abs() < 1.0)
                    .count();
                assert!(
                    within >= 4,
                    "{within} frames within {digit} at {rate_hz} Hz"
                );
            }
        }
    }

    #[test]
    fn frames_follow_each_other_without_a_gap_or_drift() {
        for rate_hz in [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000] {
            let mut next = 0;
            for (i, frame) in frames(&vec![100; rate_hz as usize * 3], rate_hz)
                .iter()
                .enumerate()
            {
                assert_eq!(frame.start_sample, next, "{rate_hz} Hz");
                assert_eq!(
                    frame.start_sample,
                    i as u64 * 16 * u64::from(rate_hz) / 1000,
                    "{rate_hz} Hz"
                );
                next += u64::from(frame.samples);
            }
            assert!(
                next >= u64::from(rate_hz) * 2_970 / 1000,
                "{next} of three seconds at {rate_hz} Hz"
            );
        }
    }

    #[test]
    fn after_reset_it_is_as_new() {
        let samples = &caller("caller.wav")[24_000..48_000];
        let (mut vad, mut first, mut second) = (Vad::new(24_000).unwrap(), Vec::new(), Vec::new());
        vad.push(samples, &mut |frame| first.push(frame));
        vad.reset();
        vad.push(samples, &mut |frame| second.push(frame));
        assert_eq!(first, second);
    }

    #[test]
    fn a_rate_outside_the_range_is_an_error() {
        assert_eq!(
            Vad::new(4_000).unwrap_err().kind(),
            crate::error::Kind::Argument
        );
    }

    proptest! {
        #![proptest_config(cases(16))]
        #[test]
        fn any_cutting_gives_the_same_frames(
            rate_hz in prop::sample::select(vec![8_000u32, 16_000, 24_000, 44_100]),
            cuts in prop::collection::vec(0usize..3_000, 1..20),
        ) {
            let samples = &caller("caller.wav")[12_000..36_000];
            let (mut vad, mut pieces, mut rest) = (Vad::new(rate_hz).unwrap(), Vec::new(), samples);
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                vad.push(piece, &mut |frame| pieces.push(frame));
                rest = after;
            }
            vad.push(rest, &mut |frame| pieces.push(frame));
            prop_assert_eq!(pieces, frames(samples, rate_hz));
        }
    }
}
