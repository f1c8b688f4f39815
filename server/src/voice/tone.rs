//! A voice of plain tones: sound always flows, whatever is installed.

use std::f64::consts::TAU;

use super::{Line, Speech, Voice};
use crate::brain::Clip;

/// Each letter sounds this long, at least [`MIN_MS`] altogether.
const LETTER_MS: usize = 60;
const MIN_MS: usize = 200;
/// Longest sound of one text.
const MAX_MS: usize = 120_000;
/// -20 dBFS: audible, and far from clipping when mixed.
const AMPLITUDE: f64 = 3276.0;

/// Beeps one tone per letter; the pitch follows the letter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tone;

impl Voice for Tone {
    fn speak(&mut self, line: &Line<'_>) -> Speech {
        let beeps = || beep(line.text, line.rate_hz);
        Speech::Now(line.clip.cloned().unwrap_or_else(beeps))
    }
}

/// The tones of a text.
pub(super) fn beep(text: &str, rate_hz: u32) -> Clip {
    let letters: Vec<char> = text.chars().collect();
    let ms = (letters.len() * LETTER_MS).clamp(MIN_MS, MAX_MS);
    let rate = rate_hz as usize;
    let count = ms * rate / 1000;
    let letter_samples = (LETTER_MS * rate / 1000).max(1);
    let mut phase = 0.0;
    let mut samples = Vec::with_capacity(count);
    for i in 0..count {
        let letter = letters.get(i / letter_samples).copied().unwrap_or('a');
        // The phase runs on over letters, so that a change of pitch does not click.
        phase = (phase + TAU * pitch_hz(letter) / f64::from(rate_hz)) % TAU;
        samples.push((phase.sin() * AMPLITUDE * fade(i, count, rate)) as i16);
    }
    Clip { rate_hz, samples }
}

/// 300 to 780 Hz: within every telephone band.
fn pitch_hz(letter: char) -> f64 {
    300.0 + f64::from(u32::from(letter) % 25) * 20.0
}

/// 5 ms in and out.
fn fade(i: usize, count: usize, rate: usize) -> f64 {
    let edge = i.min(count - 1 - i) as f64;
    (edge / (rate as f64 / 200.0)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_texts_sound_longer_and_none_is_silent() {
        for rate_hz in [8_000, 24_000, 44_100] {
            let ms = |text: &str| {
                let clip = beep(text, rate_hz);
                assert!(clip.samples.iter().any(|s| s.unsigned_abs() > 2000));
                clip.samples.len() * 1000 / rate_hz as usize
            };
            assert_eq!((ms(""), ms("abc"), ms("0123456789")), (200, 200, 600));
        }
        assert_eq!(beep(&"x".repeat(100_000), 8_000).samples.len(), 960_000);
    }
}
