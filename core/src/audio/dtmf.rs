//! Telephone digits as pairs of tones, made and recognised.

use std::f64::consts::TAU;

use super::format::check_rate;
use crate::error::{Error, Kind, Result};

/// How long [`tones`] sounds each digit, in ms. The standard (ITU-T Q.24) asks for 40 to be heard.
pub const TONE_MS: u32 = 100;

/// How long [`tones`] is silent before the first and after each digit, in ms; 40 must be heard.
pub const PAUSE_MS: u32 = 60;

/// Rises and falls over 2 ms: a hard edge would click across the whole band.
const RAMP_MS: u32 = 2;

const ROWS_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS_HZ: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const KEYS: [[char; 4]; 4] = [
    ['1', '2', '3', 'A'],
    ['4', '5', '6', 'B'],
    ['7', '8', '9', 'C'],
    ['*', '0', '#', 'D'],
];

/// The tones of `digits` (0-9, *, #, A-D in either case) at -10 dBFS RMS, with a pause before the
/// first and after each.
pub fn tones(digits: &str, rate_hz: u32) -> Result<Vec<i16>> {
    check_rate(rate_hz)?;
    let pause = vec![0; (rate_hz * PAUSE_MS / 1000) as usize];
    let mut samples = pause.clone();
    for digit in digits.chars() {
        let (row_hz, column_hz) = pair(digit).ok_or_else(|| {
            Error::new(
                Kind::Argument,
                format!("{digit:?} is no telephone digit; wanted are 0-9 * # A-D"),
            )
        })?;
        tone(row_hz, column_hz, rate_hz, &mut samples);
        samples.extend_from_slice(&pause);
    }
    Ok(samples)
}

fn pair(digit: char) -> Option<(f64, f64)> {
    let digit = digit.to_ascii_uppercase();
    let row = KEYS.iter().position(|keys| keys.contains(&digit))?;
    let column = KEYS[row].iter().position(|&key| key == digit)?;
    Some((ROWS_HZ[row], COLUMNS_HZ[column]))
}

fn tone(row_hz: f64, column_hz: f64, rate_hz: u32, samples: &mut Vec<i16>) {
    // Two sines of this amplitude together have an RMS of -10 dBFS.
    let amplitude = 32768.0 * 10f64.powf(-10.0 / 20.0);
    let (length, ramp) = (
        rate_hz * TONE_MS / 1000,
        f64::from(rate_hz * RAMP_MS) / 1000.0,
    );
    samples.extend((0..length).map(|i| {
        let turn = TAU * f64::from(i) / f64::from(rate_hz);
        let edge = (f64::from(i.min(length - 1 - i)) / ramp).min(1.0);
        (edge * amplitude * ((turn * row_hz).sin() + (turn * column_hz).sin())).round() as i16
    }));
}

/// Recognises digits in a stream that arrives in pieces, each exactly once per press.
///
/// ```text
///            digit              same digit: report it
///   Quiet ----------> Heard -----------------------------> Down
///     ^   none         |  ^ another digit                   |
///     +----------------+  +-- after 2 blocks without it ----+
///     +---------------------- after 2 blocks without it ----+
/// ```
///
/// A digit needs two blocks of 12.75 ms in a row and ends after two blocks without it, so that a
/// press of 40 ms is heard, one of 12 ms is not, and a dropout within one block does not double it.
#[derive(Clone, Debug)]
pub struct Detector {
    block: Block,
    block_samples: u32,
    press: Press,
}

#[derive(Clone, Copy, Debug)]
enum Press {
    Quiet,
    Heard(char),
    Down { digit: char, missed: u8 },
}

impl Detector {
    /// A detector for mono samples at `rate_hz`.
    pub fn new(rate_hz: u32) -> Result<Self> {
        check_rate(rate_hz)?;
        // 102 samples at 8 kHz: the shortest block in which neighbouring tones, 73 Hz apart, fall
        // about into each other's first zero.
        let block_samples = (rate_hz * 102 + 4_000) / 8_000;
        Ok(Self {
            block: Block::new(rate_hz),
            block_samples,
            press: Press::Quiet,
        })
    }

    /// Appends the digits that `samples` complete to `digits`.
    pub fn push(&mut self, samples: &[i16], digits: &mut Vec<char>) {
        for &sample in samples {
            self.block.add(f64::from(sample));
            if self.block.samples == self.block_samples {
                let heard = self.block.digit();
                self.block.clear();
                digits.extend(self.step(heard));
            }
        }
    }

    /// Forgets the stream so far.
    pub fn reset(&mut self) {
        self.block.clear();
        self.press = Press::Quiet;
    }

    fn step(&mut self, heard: Option<char>) -> Option<char> {
        let fresh = heard.map_or(Press::Quiet, Press::Heard);
        match self.press {
            Press::Quiet => self.press = fresh,
            Press::Heard(digit) if heard == Some(digit) => {
                self.press = Press::Down { digit, missed: 0 };
                return Some(digit);
            }
            Press::Heard(_) => self.press = fresh,
            Press::Down { digit, .. } if heard == Some(digit) => {
                self.press = Press::Down { digit, missed: 0 }
            }
            Press::Down { digit, missed: 0 } => self.press = Press::Down { digit, missed: 1 },
            Press::Down { .. } => self.press = fresh,
        }
        None
    }
}

/// The quietest tone of a pair that counts. Lines deliver -25 dBFS and more; speech and noise far
/// below that should not get a chance.
const MIN_TONE_DBFS: f64 = -38.0;

/// The column may be this much louder than the row: long lines and handsets do that.
const MAX_TWIST: f64 = 6.31;

/// The row may be this much louder than the column.
const MAX_REVERSE_TWIST: f64 = 4.0;

/// Each tone must exceed the others of its group by 8 dB.
const MIN_PEAK: f64 = 6.31;

/// The pair's least share of the block's energy. Vowels have harmonics beside any two of theirs; a
/// pair off by the permitted 1.5 % still has 0.8.
const MIN_SHARE: f64 = 0.75;

/// Eight Goertzel filters and the energy over one block.
#[derive(Clone, Debug)]
struct Block {
    samples: u32,
    energy: f64,
    filters: [Goertzel; 8],
}

#[derive(Clone, Copy, Debug)]
struct Goertzel {
    coefficient: f64,
    last: f64,
    before: f64,
}

impl Block {
    fn new(rate_hz: u32) -> Self {
        let filter = |hz: f64| Goertzel {
            coefficient: 2.0 * (TAU * hz / f64::from(rate_hz)).cos(),
            last: 0.0,
            before: 0.0,
        };
        let mut hz = ROWS_HZ.into_iter().chain(COLUMNS_HZ);
        let filters = [(); 8].map(|()| filter(hz.next().expect("four rows and four columns")));
        Self {
            samples: 0,
            energy: 0.0,
            filters,
        }
    }

    fn add(&mut self, sample: f64) {
        self.samples += 1;
        self.energy += sample * sample;
        for filter in &mut self.filters {
            let next = sample + filter.coefficient * filter.last - filter.before;
            (filter.before, filter.last) = (filter.last, next);
        }
    }

    fn clear(&mut self) {
        (self.samples, self.energy) = (0, 0.0);
        for filter in &mut self.filters {
            (filter.last, filter.before) = (0.0, 0.0);
        }
    }

    fn digit(&self) -> Option<char> {
        // As mean squares, so that a pure tone gives half its amplitude squared.
        let scale = 2.0 / f64::from(self.samples).powi(2);
        let powers = self.filters.map(|filter| scale * filter.power());
        let (rows, columns) = powers.split_at(4);
        let (row, column) = (loudest(rows)?, loudest(columns)?);
        let (low, high) = (rows[row], columns[column]);
        let floor = 32768f64.powi(2) * 10f64.powf(MIN_TONE_DBFS / 10.0);
        let clear = low.min(high) >= floor
            && high <= low * MAX_TWIST
            && low <= high * MAX_REVERSE_TWIST
            && low + high >= MIN_SHARE * self.energy / f64::from(self.samples);
        clear.then_some(KEYS[row][column])
    }
}

impl Goertzel {
    fn power(&self) -> f64 {
        self.last * self.last + self.before * self.before
            - self.coefficient * self.last * self.before
    }
}

/// The index of the one power that stands out, if one does.
fn loudest(powers: &[f64]) -> Option<usize> {
    let top = (0..powers.len()).max_by(|&a, &b| powers[a].total_cmp(&powers[b]))?;
    let stands_out = (0..powers.len()).all(|i| i == top || powers[i] * MIN_PEAK <= powers[top]);
    stands_out.then_some(top)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::audio::codec;
    use crate::audio::format::Format;
    use crate::audio::level::{peak_dbfs, rms_dbfs};
    use crate::audio::numbers::cases;
    use crate::audio::resample::resample;
    use crate::audio::wav::Wav;

    const RATES: [u32; 8] = [
        8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000,
    ];
    const ALL: &str = "0123456789*#ABCD";

    fn detect(samples: &[i16], rate_hz: u32) -> String {
        let mut digits = Vec::new();
        Detector::new(rate_hz).unwrap().push(samples, &mut digits);
        digits.into_iter().collect()
    }

    fn through(format: Format, samples: &[i16]) -> Vec<i16> {
        let (mut bytes, mut back) = (Vec::new(), Vec::new());
        codec::encode_into(format, samples, &mut bytes);
        codec::decode_into(format, &bytes, &mut back);
        back
    }

    fn louder(samples: &[i16], db: f64) -> Vec<i16> {
        samples
            .iter()
            .map(|&s| (f64::from(s) * 10f64.powf(db / 20.0)).round() as i16)
            .collect()
    }

    /// White noise of the given RMS, from a xorshift generator.
    fn noise(length: usize, rms_dbfs: f64, mut seed: u64) -> Vec<i16> {
        let amplitude = 3f64.sqrt() * 32768.0 * 10f64.powf(rms_dbfs / 20.0);
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        };
        (0..length).map(|_| (amplitude * next()) as i16).collect()
    }

    /// A pair of tones with the given levels relative to those of [`tones`] and no ramp.
    fn pressed(
        digit: char,
        rate_hz: u32,
        ms: u32,
        row_db: f64,
        column_db: f64,
        detune: f64,
    ) -> Vec<i16> {
        let (row_hz, column_hz) = pair(digit).unwrap();
        let wave = |hz: f64, db: f64, i: u32| {
            3000.0
                * 10f64.powf(db / 20.0)
                * (TAU * hz * detune * f64::from(i) / f64::from(rate_hz)).sin()
        };
        (0..rate_hz * ms / 1000)
            .map(|i| (wave(row_hz, row_db, i) + wave(column_hz, column_db, i)) as i16)
            .collect()
    }

    fn example(name: &str) -> Vec<i16> {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/audio"));
        Wav::read(&folder.join(name)).unwrap().samples
    }

    #[test]
    fn every_digit_is_made_and_recognised_at_every_rate() {
        for rate_hz in RATES {
            assert_eq!(
                detect(&tones(ALL, rate_hz).unwrap(), rate_hz),
                ALL,
                "{rate_hz} Hz"
            );
        }
        assert_eq!(detect(&tones("abcd", 8_000).unwrap(), 8_000), "ABCD");
    }

    #[test]
    fn the_tones_have_the_promised_length_and_level() {
        let samples = tones("15", 24_000).unwrap();
        assert_eq!(samples.len(), 24 * (60 + 2 * 160));
        assert!(samples[..24 * 60].iter().all(|&s| s == 0));
        let level = rms_dbfs(&samples[24 * 70..24 * 150]);
        assert!((level + 10.0).abs() < 0.1, "{level}");
        assert!(peak_dbfs(&samples) < -3.0);
    }

    #[test]
    fn what_is_no_digit_is_an_error_that_names_it() {
        for (digits, named) in [("12x", "'x'"), ("1 2", "' '"), ("E", "'E'")] {
            let error = tones(digits, 8_000).unwrap_err();
            assert_eq!(error.kind(), Kind::Argument);
            assert!(error.message().contains(named), "{error}");
        }
        assert!(tones("1", 4_000).is_err());
        assert!(Detector::new(0).is_err());
    }

    #[test]
    fn a_repeated_digit_counts_each_time_and_a_long_one_once() {
        assert_eq!(
            detect(&tones("1122211", 24_000).unwrap(), 24_000),
            "1122211"
        );
        assert_eq!(
            detect(&pressed('7', 24_000, 3_000, 0.0, 0.0, 1.0), 24_000),
            "7"
        );
    }

    #[test]
    fn a_press_needs_two_blocks_and_survives_a_dropout() {
        assert_eq!(detect(&pressed('5', 8_000, 40, 0.0, 0.0, 1.0), 8_000), "5");
        assert_eq!(
            detect(
                &[pressed('5', 8_000, 12, 0.0, 0.0, 1.0), vec![0; 800]].concat(),
                8_000
            ),
            ""
        );
        let mut dropout = pressed('5', 8_000, 200, 0.0, 0.0, 1.0);
        dropout[800..860].fill(0);
        assert_eq!(detect(&dropout, 8_000), "5");
    }

    #[test]
    fn one_digit_may_follow_another_without_a_pause() {
        let both = [
            pressed('5', 8_000, 80, 0.0, 0.0, 1.0),
            pressed('9', 8_000, 80, 0.0, 0.0, 1.0),
        ]
        .concat();
        assert_eq!(detect(&both, 8_000), "59");
    }

    #[test]
    fn levels_twist_and_detuning_are_taken_within_the_standard() {
        for digit in ALL.chars() {
            let expected = digit.to_string();
            for (row_db, column_db) in [(0.0, 6.0), (4.0, 0.0), (-12.0, -12.0), (12.0, 12.0)] {
                let press = pressed(digit, 8_000, 100, row_db, column_db, 1.0);
                assert_eq!(
                    detect(&press, 8_000),
                    expected,
                    "{digit} at {row_db}, {column_db} dB"
                );
            }
            for detune in [0.985, 1.015] {
                assert_eq!(
                    detect(&pressed(digit, 8_000, 100, 0.0, 0.0, detune), 8_000),
                    expected,
                    "{digit} x {detune}"
                );
            }
            for (row_db, column_db) in [(0.0, 12.0), (10.0, 0.0), (-30.0, -30.0), (0.0, -60.0)] {
                let press = pressed(digit, 8_000, 100, row_db, column_db, 1.0);
                assert_eq!(
                    detect(&press, 8_000),
                    "",
                    "{digit} at {row_db}, {column_db} dB"
                );
            }
        }
    }

    #[test]
    fn a_third_tone_is_no_digit() {
        let (a, b) = (
            pressed('1', 8_000, 200, 0.0, 0.0, 1.0),
            pressed('5', 8_000, 200, 0.0, 0.0, 1.0),
        );
        let sum: Vec<i16> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        assert_eq!(detect(&sum, 8_000), "");
    }

    #[test]
    fn digits_survive_noise_twenty_decibels_below() {
        let samples = tones(ALL, 8_000).unwrap();
        let noise = noise(samples.len(), -30.0, 7);
        let noisy: Vec<i16> = samples
            .iter()
            .zip(&noise)
            .map(|(s, n)| s.saturating_add(*n))
            .collect();
        assert_eq!(detect(&noisy, 8_000), ALL);
    }

    #[test]
    fn speech_is_no_digit() {
        for name in [
            "caller.wav",
            "caller-en.wav",
            "ru/answer-1.wav",
            "ru/answer-2.wav",
            "ru/answer-3.wav",
            "en/answer-1.wav",
            "en/answer-2.wav",
            "en/answer-3.wav",
        ] {
            let samples = example(name);
            for db in [-12.0, 0.0, 12.0] {
                let samples = louder(&samples, db);
                assert_eq!(detect(&samples, 24_000), "", "{name} {db:+} dB");
                let narrow = resample(&samples, 24_000, 8_000).unwrap();
                assert_eq!(detect(&narrow, 8_000), "", "{name} {db:+} dB at 8 kHz");
                assert_eq!(
                    detect(&through(Format::Mulaw, &narrow), 8_000),
                    "",
                    "{name} {db:+} dB mu-law"
                );
            }
        }
    }

    #[test]
    fn noise_and_single_tones_are_no_digits() {
        for rate_hz in RATES {
            for level in [-40.0, -20.0, -6.0] {
                let samples = noise(rate_hz as usize * 20, level, u64::from(rate_hz));
                assert_eq!(detect(&samples, rate_hz), "", "{rate_hz} Hz, {level} dBFS");
            }
            assert_eq!(
                detect(&pressed('1', rate_hz, 500, 0.0, -200.0, 1.0), rate_hz),
                ""
            );
        }
    }

    #[test]
    fn reset_forgets_a_press() {
        let (press, mut digits) = (pressed('3', 8_000, 60, 0.0, 0.0, 1.0), Vec::new());
        let mut detector = Detector::new(8_000).unwrap();
        detector.push(&press, &mut digits);
        detector.reset();
        detector.push(&press, &mut digits);
        assert_eq!(digits, ['3', '3']);
    }

    proptest! {
        #![proptest_config(cases(64))]
        #[test]
        fn digits_arrive_once_and_in_order_over_any_path(
            digits in "[0-9*#A-D]{0,8}",
            rate_hz in prop::sample::select(RATES.to_vec()),
            path in prop::collection::vec(prop::sample::select(RATES.to_vec()), 0..3),
            law in prop::sample::select(vec![Format::PCM16_24K, Format::Mulaw, Format::Alaw]),
            lead in 0usize..1000,
            cuts in prop::collection::vec(1usize..900, 1..20),
        ) {
            let mut samples = vec![0; lead];
            samples.extend(tones(&digits, rate_hz).unwrap());
            let mut at_hz = rate_hz;
            for to_hz in path {
                samples = resample(&samples, at_hz, to_hz).unwrap();
                at_hz = to_hz;
            }
            let samples = through(law, &samples);
            let (mut detector, mut heard, mut rest) = (Detector::new(at_hz).unwrap(), Vec::new(), &samples[..]);
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                detector.push(piece, &mut heard);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(heard.into_iter().collect::<String>(), digits);
        }
    }
}
