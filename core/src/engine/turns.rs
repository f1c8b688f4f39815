//! The input buffer and the customer's speech, as far as we can know them.

use crate::audio::format::Format;
use crate::error::{Error, Kind, Result};
use crate::wire::ServerEvent;

/// Speech of the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    Quiet,
    Speaking,
}

/// What was appended since the last turn, and whether the customer speaks.
#[derive(Debug)]
pub(super) struct Turns {
    speech: Speech,
    /// Bytes since the last commit or clear.
    buffered: u64,
    appended: u64,
    committed: u64,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            speech: Speech::Quiet,
            buffered: 0,
            appended: 0,
            committed: 0,
        }
    }

    pub(super) fn appended(&mut self, bytes: usize) {
        self.buffered += bytes as u64;
        self.appended += bytes as u64;
    }

    /// Judges a commit that is about to be sent.
    pub(super) fn may_commit(
        &self,
        format: Format,
        least_ms: u32,
        detects_turns: bool,
    ) -> Result<()> {
        let ms = format.ms_of_bytes(self.buffered);
        // While the server cuts turns by itself, it may hold audio that we count as committed.
        let enough = if detects_turns {
            self.appended > 0
        } else {
            ms >= u64::from(least_ms)
        };
        if enough {
            return Ok(());
        }
        let message =
            format!("the input buffer holds {ms} ms of audio, a commit needs {least_ms} ms");
        Err(Error::new(Kind::Refused, message))
    }

    pub(super) fn emptied(&mut self) {
        self.committed += self.buffered;
        self.buffered = 0;
    }

    pub(super) fn seen(&mut self, event: &ServerEvent) {
        match event {
            ServerEvent::SpeechStarted(_) => self.speech = Speech::Speaking,
            ServerEvent::SpeechStopped(_) => {
                self.speech = Speech::Quiet;
                self.emptied();
            }
            _ => {}
        }
    }

    pub(super) fn is_speaking(&self) -> bool {
        self.speech == Speech::Speaking
    }

    /// Whether audio waits for a commit that only the application can make.
    pub(super) fn is_cut(&self, detects_turns: bool) -> bool {
        self.is_speaking() || (!detects_turns && self.buffered > 0)
    }

    pub(super) fn check(&self) {
        assert_eq!(
            self.committed + self.buffered,
            self.appended,
            "I2: committed ms <= appended ms"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_of_too_little_is_refused_until_there_is_enough() {
        let mut turns = Turns::new();
        let judge = |turns: &Turns| turns.may_commit(Format::PCM16_24K, 100, false);
        assert!(judge(&turns).expect_err("empty").message().contains("0 ms"));
        turns.appended(4_798);
        assert!(
            judge(&turns)
                .expect_err("99 ms")
                .message()
                .contains("99 ms")
        );
        turns.appended(2);
        judge(&turns).expect("100 ms");
        turns.emptied();
        assert!(judge(&turns).is_err());
    }

    #[test]
    fn a_server_that_cuts_turns_may_hold_audio_we_do_not_know_of() {
        let mut turns = Turns::new();
        assert!(turns.may_commit(Format::PCM16_24K, 100, true).is_err());
        turns.appended(960);
        turns.emptied();
        turns
            .may_commit(Format::PCM16_24K, 100, true)
            .expect("may hold a rest");
    }
}
