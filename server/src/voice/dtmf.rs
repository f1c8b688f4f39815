//! A voice of telephone digits.

use talkwire_core::audio::dtmf;

use super::tone::beep;
use super::{Line, Speech, Voice};
use crate::brain::Clip;

/// Most digits of one text.
const MAX_DIGITS: usize = 500;

/// Sounds the digits of a text; a text without digits beeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Digits;

impl Voice for Digits {
    fn speak(&mut self, line: &Line<'_>) -> Speech {
        let Line {
            text,
            clip,
            rate_hz,
            ..
        } = *line;
        if let Some(clip) = clip {
            return Speech::Now(clip.clone());
        }
        let is_key = |c: &char| matches!(c, '0'..='9' | '*' | '#');
        let keys: String = text.chars().filter(is_key).take(MAX_DIGITS).collect();
        let sound = match dtmf::tones(&keys, rate_hz) {
            Ok(samples) if !keys.is_empty() => Clip { rate_hz, samples },
            _ => beep(text, rate_hz),
        };
        Speech::Now(sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_of_a_text_are_heard_again() {
        for rate_hz in [8_000, 24_000, 44_100] {
            let line = Line {
                text: "Pin 1 2, 9#",
                clip: None,
                rate_hz,
                voice: "",
            };
            let Speech::Now(clip) = Digits.speak(&line) else {
                panic!("later")
            };
            let mut heard = Vec::new();
            let mut detector = dtmf::Detector::new(rate_hz).expect("a rate");
            detector.push(&clip.samples, &mut heard);
            assert_eq!(heard, ['1', '2', '9', '#']);
        }
    }
}
