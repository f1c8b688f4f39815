//! Ears for telephone digits.

use talkwire_core::audio::dtmf::Detector;

use super::{Ears, Hearing};
use crate::brain::Clip;

/// Hears digits, written with spaces between them: `1 2 3`.
#[derive(Clone, Copy, Debug, Default)]
pub struct DigitEars;

impl Ears for DigitEars {
    fn hear(&mut self, turn: &Clip) -> Hearing {
        let mut digits = Vec::new();
        if let Ok(mut detector) = Detector::new(turn.rate_hz) {
            detector.push(&turn.samples, &mut digits);
        }
        let words: Vec<String> = digits.iter().map(char::to_string).collect();
        Hearing::Now(Some(words.join(" ")).filter(|text| !text.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkwire_core::audio::dtmf::tones;

    #[test]
    fn digits_are_written_with_spaces_and_silence_is_nothing() {
        let turn = |samples| Clip {
            rate_hz: 24_000,
            samples,
        };
        let spoken = turn(tones("123", 24_000).expect("digits"));
        assert_eq!(
            DigitEars.hear(&spoken),
            Hearing::Now(Some("1 2 3".to_owned()))
        );
        assert_eq!(DigitEars.hear(&turn(vec![0; 24_000])), Hearing::Now(None));
    }
}
