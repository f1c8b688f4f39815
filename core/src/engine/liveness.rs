//! Whether the other end of a link is still there: any frame says so, and after a silence a ping
//! asks.

use std::time::{Duration, Instant};

/// What silence calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alive {
    /// Ask.
    Ping,
    /// Nothing came: the link is dead.
    Gone,
}

/// The clock of silence of one link.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    after: Option<Duration>,
    patience: Duration,
    heard: Option<Instant>,
    asked: Option<Instant>,
}

impl Liveness {
    /// Asks after `ping_ms` of silence and waits `pong_ms` for anything; 0 never asks.
    pub(super) fn new(ping_ms: u64, pong_ms: u64) -> Self {
        let ms = |ms: u64| Duration::from_millis(ms.min(86_400_000));
        Self {
            after: (ping_ms > 0).then(|| ms(ping_ms)),
            patience: ms(pong_ms),
            ..Self::default()
        }
    }

    /// A frame came, or the link has just opened. Returns the round trip if it answers a ping.
    pub(super) fn heard(&mut self, now: Instant) -> Option<Duration> {
        self.heard = Some(now);
        let asked = self.asked.take()?;
        Some(now.saturating_duration_since(asked))
    }

    /// There is no link to ask.
    pub(super) fn stop(&mut self) {
        (self.heard, self.asked) = (None, None);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.asked {
            Some(asked) => Some(asked + self.patience),
            None => Some(self.heard? + self.after?),
        }
    }

    /// What is due; each once.
    pub(super) fn due(&mut self, now: Instant) -> Option<Alive> {
        if self.deadline().is_none_or(|due| now < due) {
            return None;
        }
        if self.asked.is_some() {
            self.stop();
            return Some(Alive::Gone);
        }
        self.asked = Some(now);
        Some(Alive::Ping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn silence_asks_once_and_any_frame_answers() {
        let (mut liveness, now) = (Liveness::new(15_000, 10_000), Instant::now());
        assert_eq!(liveness.deadline(), None, "no link, no silence");
        liveness.heard(now);
        assert_eq!(liveness.due(now + 14 * S), None);
        assert_eq!(liveness.due(now + 15 * S), Some(Alive::Ping));
        assert_eq!(liveness.due(now + 24 * S), None);
        assert_eq!(liveness.heard(now + 24 * S), Some(9 * S));
        assert_eq!(liveness.due(now + 39 * S), Some(Alive::Ping));
        assert_eq!(liveness.due(now + 49 * S), Some(Alive::Gone));
        assert_eq!(liveness.deadline(), None);
    }

    #[test]
    fn who_never_asks_never_doubts() {
        let (mut liveness, now) = (Liveness::new(0, 10_000), Instant::now());
        liveness.heard(now);
        assert_eq!(liveness.deadline(), None);
    }
}
