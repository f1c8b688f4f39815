//! Audio that was captured and could not be sent: told at once when it begins, and then once a second
//! for as long as it goes on.

use std::time::{Duration, Instant};

/// How often it is told.
const EVERY: Duration = Duration::from_secs(1);

/// The gap that was not told yet.
#[derive(Debug, Default)]
pub(super) struct Gap {
    ms: u64,
    told: Option<Instant>,
}

impl Gap {
    /// Audio was dropped.
    pub(super) fn dropped(&mut self, ms: u64) {
        self.ms += ms;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.told.map(|told| told + EVERY)
    }

    /// The milliseconds that are to be told now, if any are.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        if self.deadline().is_some_and(|due| now < due) {
            return None;
        }
        let ms = std::mem::take(&mut self.ms);
        self.told = (ms > 0).then_some(now);
        self.told.map(|_| ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_when_it_begins_and_then_once_a_second_until_nothing_is_missing() {
        let (mut gap, now) = (Gap::default(), Instant::now());
        assert_eq!((gap.due(now), gap.deadline()), (None, None));
        gap.dropped(20);
        assert_eq!(gap.due(now), Some(20));
        for _ in 0..10 {
            gap.dropped(20);
            assert_eq!(gap.due(now + EVERY / 2), None);
        }
        assert_eq!(gap.due(now + EVERY), Some(200));
        assert_eq!(gap.due(now + 2 * EVERY), None, "nothing more is missing");
        assert_eq!(gap.deadline(), None);
    }
}
