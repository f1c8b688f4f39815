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
    /// Whether a missing pong says anything: where servers may leave pings unanswered, one that has
    /// answered before would answer again.
    is_sure: bool,
    heard: Option<Instant>,
    /// The last ping, until it is answered.
    asked: Option<Instant>,
    is_doubted: bool,
}

impl Liveness {
    /// Asks after `ping_ms` of silence and waits `pong_ms` for anything; 0 never asks.
    pub(super) fn new(ping_ms: u64, pong_ms: u64, is_sure: bool) -> Self {
        let ms = |ms: u64| Duration::from_millis(ms.min(86_400_000));
        Self {
            after: (ping_ms > 0).then(|| ms(ping_ms)),
            patience: ms(pong_ms),
            is_sure,
            ..Self::default()
        }
    }

    /// A frame came, or the link has just opened.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.is_doubted = false;
    }

    /// A ping is answered. Returns the round trip.
    pub(super) fn answered(&mut self, now: Instant) -> Option<Duration> {
        self.heard(now);
        self.is_sure = true;
        let asked = self.asked.take()?;
        Some(now.saturating_duration_since(asked))
    }

    /// There is no link to ask.
    pub(super) fn stop(&mut self) {
        (self.heard, self.asked, self.is_doubted) = (None, None, false);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.asked.filter(|_| self.is_doubted) {
            Some(asked) => Some(asked + self.patience),
            None => Some(self.heard? + self.after?),
        }
    }

    /// What is due; each once.
    pub(super) fn due(&mut self, now: Instant) -> Option<Alive> {
        if self.deadline().is_none_or(|due| now < due) {
            return None;
        }
        if self.is_doubted && self.is_sure {
            self.stop();
            return Some(Alive::Gone);
        }
        if self.is_doubted {
            // Nothing follows from it, but the next silence begins.
            self.heard(now);
            return None;
        }
        (self.asked, self.is_doubted) = (Some(now), true);
        Some(Alive::Ping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn silence_asks_once_and_any_frame_answers() {
        let (mut liveness, now) = (Liveness::new(15_000, 10_000, true), Instant::now());
        assert_eq!(liveness.deadline(), None, "no link, no silence");
        liveness.heard(now);
        assert_eq!(liveness.due(now + 14 * S), None);
        assert_eq!(liveness.due(now + 15 * S), Some(Alive::Ping));
        assert_eq!(liveness.due(now + 24 * S), None);
        liveness.heard(now + 24 * S);
        assert_eq!(liveness.answered(now + 25 * S), Some(10 * S));
        assert_eq!(liveness.answered(now + 25 * S), None, "nobody asked");
        assert_eq!(liveness.due(now + 40 * S), Some(Alive::Ping));
        assert_eq!(liveness.due(now + 50 * S), Some(Alive::Gone));
        assert_eq!(liveness.deadline(), None);
    }

    #[test]
    fn where_pongs_may_be_missing_one_that_came_makes_the_next_one_count() {
        let (mut liveness, now) = (Liveness::new(15_000, 10_000, false), Instant::now());
        liveness.heard(now);
        assert_eq!(liveness.due(now + 15 * S), Some(Alive::Ping));
        assert_eq!(liveness.due(now + 25 * S), None, "it says nothing");
        assert_eq!(liveness.due(now + 40 * S), Some(Alive::Ping));
        assert_eq!(liveness.answered(now + 41 * S), Some(S));
        assert_eq!(liveness.due(now + 56 * S), Some(Alive::Ping));
        assert_eq!(liveness.due(now + 66 * S), Some(Alive::Gone));
    }

    #[test]
    fn who_never_asks_never_doubts() {
        let (mut liveness, now) = (Liveness::new(0, 10_000, true), Instant::now());
        liveness.heard(now);
        assert_eq!(liveness.deadline(), None);
    }
}
