//! `semantic_vad`: at each pause the ears are asked for the words so far, and the words tell whether
//! the turn is over. Words that leave it open, or none at all, give the caller more time.

use std::time::Instant;

use crate::ears::Hearing;
use crate::hearing::Words;
use crate::io::{JobId, PeerEffects};
use crate::jobs::Purpose;
use crate::peer::Peer;

/// How soon the agent takes the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eagerness {
    Low,
    Medium,
    High,
}

/// What is known of the words before a pause.
#[derive(Debug)]
pub(crate) enum Probe {
    /// The ears are at it.
    Asking(JobId),
    /// These, or why there are none.
    Known(Words),
}

/// Words that nobody ends with, in the languages that the examples speak.
const OPEN_ENDS: &[&str] = &[
    "a",
    "an",
    "and",
    "because",
    "but",
    "er",
    "erm",
    "for",
    "from",
    "if",
    "in",
    "is",
    "my",
    "of",
    "on",
    "or",
    "so",
    "that",
    "the",
    "to",
    "uh",
    "um",
    "with",
    "а",
    "без",
    "в",
    "для",
    "до",
    "если",
    "и",
    "из",
    "или",
    "к",
    "как",
    "мне",
    "мой",
    "моя",
    "на",
    "но",
    "ну",
    "о",
    "от",
    "по",
    "потому",
    "с",
    "так",
    "то",
    "у",
    "что",
    "чтобы",
    "э",
    "эм",
    "это",
];

impl Eagerness {
    /// The setting's name; `auto` is medium.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "low" => Self::Low,
            "high" => Self::High,
            _ => Self::Medium,
        }
    }

    /// Silence that ends a turn whatever was said.
    pub(crate) const fn patience_ms(self) -> u64 {
        match self {
            Self::Low => 8_000,
            Self::Medium => 4_000,
            Self::High => 2_000,
        }
    }

    /// Whether somebody who said this has said all.
    pub(crate) fn ends(self, words: &str) -> bool {
        let words = words.trim_end();
        let Some(last) = words.chars().next_back() else {
            return false;
        };
        if words.ends_with("...") || matches!(last, ',' | ';' | ':' | '-' | '–' | '—' | '…') {
            return false;
        }
        let is_sentence = matches!(last, '.' | '!' | '?' | '。');
        let word = words.split_whitespace().next_back().unwrap_or_default();
        let word = word.to_lowercase();
        match self {
            Self::High => true,
            Self::Medium => is_sentence || !OPEN_ENDS.contains(&word.as_str()),
            Self::Low => is_sentence,
        }
    }
}

impl Peer {
    /// The caller pauses: asks the ears for the words so far.
    pub(crate) fn paused(&mut self, now: Instant, fx: &mut PeerEffects) {
        self.drop_probe(fx);
        let Some(start_ms) = self.hearer.speaks_since_ms() else {
            return;
        };
        // Within the same piece of audio the caller may have gone on.
        if !self.hearer.buffer.is_paused() {
            return;
        }
        let clip = self.hearer.buffer.peek(start_ms);
        match self.backends.ears.hear(&clip) {
            Hearing::Now(words) => self.probed(now, Ok(words), fx),
            Hearing::Failed(message) => self.probed(now, Err(message), fx),
            Hearing::Later(job) => {
                let job = self.jobs.start(Purpose::Probe, job, fx);
                self.hearer.probe = Some(Probe::Asking(job));
            }
            Hearing::Stream(job, reader) => {
                let job = self.jobs.start(Purpose::Probe, job, fx);
                self.hearer.readers.insert(job, reader);
                self.hearer.probe = Some(Probe::Asking(job));
            }
        }
    }

    /// The words before a pause are known, or will not be.
    pub(crate) fn probed(&mut self, now: Instant, words: Words, fx: &mut PeerEffects) {
        let rules = self.settings.turn_detection();
        let eagerness = rules.and_then(|rules| rules.eagerness);
        let said = words.as_ref().ok().and_then(Option::as_deref);
        let ends = eagerness.is_some_and(|e| said.is_some_and(|said| e.ends(said)));
        self.hearer.probe = Some(Probe::Known(words));
        if ends && self.hearer.buffer.is_paused() {
            let end_ms = self.hearer.buffer.end_turn();
            self.speech_stopped(now, end_ms, fx);
        }
    }

    /// Takes what is known of the words before the pause that ended a turn.
    pub(crate) fn take_probe(&mut self, fx: &mut PeerEffects) -> Option<Words> {
        match self.hearer.probe.take()? {
            Probe::Known(words) => Some(words),
            Probe::Asking(job) => {
                self.jobs.stop(job, fx);
                self.hearer.readers.remove(&job);
                None
            }
        }
    }

    /// Forgets it: the caller went on, or the turn is another.
    pub(crate) fn drop_probe(&mut self, fx: &mut PeerEffects) {
        self.take_probe(fx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_tell_whether_somebody_has_said_all() {
        let cases = [
            ("", [false, false, false]),
            ("A pizza.", [true, true, true]),
            ("a pizza", [false, true, true]),
            ("a pizza and", [false, false, true]),
            ("пиццу и", [false, false, true]),
            ("well, ", [false, false, false]),
            ("I think...", [false, false, false]),
        ];
        for (words, [low, medium, high]) in cases {
            assert_eq!(Eagerness::Low.ends(words), low, "{words}");
            assert_eq!(Eagerness::Medium.ends(words), medium, "{words}");
            assert_eq!(Eagerness::High.ends(words), high, "{words}");
        }
        assert_eq!(Eagerness::named("auto"), Eagerness::Medium);
    }
}
