//! Ears that are told beforehand what they will hear.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::{Ears, Hearing};
use crate::brain::Clip;

/// What is heard of a turn, and the length of the turn it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The transcript, or why there is none.
    pub outcome: Result<String, String>,
    /// Length of the turn in milliseconds.
    pub length_ms: RangeInclusive<u64>,
}

impl Heard {
    /// A transcript for a turn of any length.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            outcome: Ok(text.into()),
            length_ms: 0..=u64::MAX,
        }
    }
}

/// Hears the lines of a script: each turn takes the first line left whose length fits.
#[derive(Clone, Debug, Default)]
pub struct ScriptEars {
    lines: VecDeque<Heard>,
}

impl ScriptEars {
    /// Ears that will hear these lines.
    pub fn new(lines: impl IntoIterator<Item = Heard>) -> Self {
        let lines = lines.into_iter().collect();
        Self { lines }
    }
}

impl Ears for ScriptEars {
    fn hear(&mut self, turn: &Clip) -> Hearing {
        let ms = turn.samples.len() as u64 * 1000 / u64::from(turn.rate_hz.max(1));
        let fits = self.lines.iter().position(|l| l.length_ms.contains(&ms));
        let line = fits.and_then(|at| self.lines.remove(at));
        match line.map(|line| line.outcome) {
            Some(Ok(text)) => Hearing::Now(Some(text)),
            Some(Err(message)) => Hearing::Failed(message),
            None => Hearing::Now(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_takes_the_first_line_left_that_fits_its_length() {
        let line = |text: &str, length_ms| Heard {
            outcome: Ok(text.to_owned()),
            length_ms,
        };
        let failure = Heard {
            outcome: Err("inaudible".to_owned()),
            length_ms: 2000..=2000,
        };
        let mut ears = ScriptEars::new([
            failure,
            line("long", 1000..=u64::MAX),
            line("first", 0..=u64::MAX),
            line("second", 0..=u64::MAX),
        ]);
        let mut hear = |ms: usize| {
            let turn = Clip {
                rate_hz: 8_000,
                samples: vec![0; ms * 8],
            };
            ears.hear(&turn)
        };
        let now = |text: &str| Hearing::Now(Some(text.to_owned()));
        assert_eq!(hear(500), now("first"));
        assert_eq!(hear(1500), now("long"));
        assert_eq!(hear(1500), now("second"));
        assert_eq!(hear(1500), Hearing::Now(None));
        assert_eq!(hear(2000), Hearing::Failed("inaudible".to_owned()));
    }
}
