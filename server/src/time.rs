//! The server's clock: real time, and what it was put ahead.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::io::Clock;

/// The most that one request may put the clock ahead; far more would leave what an [`Instant`]
/// can hold.
pub(crate) const MAX_ADVANCE: Duration = Duration::from_secs(7 * 24 * 3600);
/// The most that the clock may be ahead in all.
const MAX_AHEAD: Duration = Duration::from_secs(366 * 24 * 3600);

/// A clock that only goes forward, and can be put forward. Clones are the same clock.
#[derive(Clone, Debug)]
pub(crate) struct ServerTime {
    ahead: Arc<watch::Sender<Duration>>,
}

impl ServerTime {
    pub(crate) fn new() -> Self {
        let ahead = Arc::new(watch::channel(Duration::ZERO).0);
        Self { ahead }
    }

    /// How far it is ahead of real time.
    pub(crate) fn ahead(&self) -> Duration {
        *self.ahead.borrow()
    }

    /// The instant it shows.
    pub(crate) fn now(&self) -> Instant {
        Instant::now() + self.ahead()
    }

    /// The instant it shows, with the wall clock's reading.
    pub(crate) fn clock(&self) -> Clock {
        Clock {
            at: self.now(),
            unix_s: self.unix_ms() / 1000,
        }
    }

    /// Milliseconds since 1970.
    pub(crate) fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since.unwrap_or_default() + self.ahead();
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    }

    /// The real instant at which it will show `at`, if nobody puts it ahead before.
    pub(crate) fn real(&self, at: Instant) -> Instant {
        at.checked_sub(self.ahead()).unwrap_or_else(Instant::now)
    }

    /// Puts it ahead; `false` if it would be too far.
    pub(crate) fn advance(&self, by: Duration) -> bool {
        let mut is_done = false;
        self.ahead.send_if_modified(|ahead| {
            is_done = by <= MAX_ADVANCE && *ahead + by <= MAX_AHEAD;
            if is_done {
                *ahead += by;
            }
            is_done
        });
        is_done
    }

    /// Tells when it is put ahead.
    pub(crate) fn changes(&self) -> watch::Receiver<Duration> {
        self.ahead.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_forward_and_never_too_far() {
        let time = ServerTime::new();
        let (before, unix) = (time.now(), time.unix_ms());
        let hour = Duration::from_secs(3600);
        assert!(time.clone().advance(hour));
        assert!(time.now() >= before + hour);
        assert!(time.unix_ms() >= unix + 3_600_000);
        let due = time.now() + hour;
        assert!(time.real(due) <= Instant::now() + hour);
        assert!(!time.advance(MAX_ADVANCE + hour));
        assert_eq!(time.ahead(), hour);
    }
}
