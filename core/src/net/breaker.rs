//! The circuit breaker of one endpoint, shared by everybody who dials it: when it fails again and
//! again, a thousand sessions do not all have to find that out.
//!
//! ```text
//!               MOST failures in a row              the wait is over, one may try
//! Closed(failures) ------------------> Open(until) -----------------------------> Trial(until)
//!    ^                                    ^                                            |
//!    +---------- success -----------------|--------------------------------------------+
//!                                         +------------- failure ----------------------+
//! ```
//!
//! Only attempts that are made by themselves ask it. An application that opens a session is always
//! let through to its first endpoint, and what comes of that counts.

use std::time::{Duration, Instant};

/// Failures in a row that are no accident.
const MOST: u32 = 5;

/// The first wait; each further one is twice as long.
const WAIT: Duration = Duration::from_secs(1);

/// The longest wait: a server that is back is found within it.
const LONGEST: Duration = Duration::from_secs(10);

/// Time for an attempt whose outcome nobody tells, as its session is gone.
const TRIAL: Duration = Duration::from_secs(15);

/// The breaker of one endpoint.
#[derive(Debug, Default)]
pub struct Breaker {
    state: State,
    /// Times that it opened since the last success.
    openings: u32,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Trial { until: Instant },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether an attempt may be made now, or how long it has to wait.
    pub fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        match self.state {
            State::Closed { .. } => Ok(()),
            State::Open { until } | State::Trial { until } if now < until => Err(until - now),
            State::Open { .. } | State::Trial { .. } => {
                self.state = State::Trial { until: now + TRIAL };
                Ok(())
            }
        }
    }

    /// The endpoint answered, be it with a refusal.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// It did not, or said that it cannot now.
    pub fn failed(&mut self, now: Instant) {
        match &mut self.state {
            State::Closed { failures } if *failures + 1 < MOST => *failures += 1,
            // Attempts that were under way when it opened say nothing new.
            State::Open { .. } => {}
            State::Closed { .. } | State::Trial { .. } => {
                let wait = WAIT.saturating_mul(1 << self.openings.min(16)).min(LONGEST);
                self.openings += 1;
                self.state = State::Open { until: now + wait };
            }
        }
    }

    /// Whether nothing is to be remembered of it.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Closed { failures: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..MOST {
            assert_eq!(breaker.admit(now), Ok(()));
            breaker.failed(now);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..3 * MOST {
            breaker.failed(now);
            breaker.succeeded();
            assert!(breaker.is_idle());
        }
        assert_eq!(opened(now).admit(now), Err(WAIT));
    }

    #[test]
    fn one_may_try_when_the_wait_is_over_and_decides_for_all() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + WAIT;
        assert_eq!(breaker.admit(later), Ok(()));
        assert_eq!(breaker.admit(later), Err(TRIAL), "one is enough");
        breaker.failed(later);
        assert_eq!(breaker.admit(later), Err(2 * WAIT));
        let later = later + 2 * WAIT;
        assert_eq!(breaker.admit(later), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.admit(later), Ok(()));
        assert_eq!(breaker.admit(later), Ok(()));
    }

    #[test]
    fn waits_grow_up_to_a_limit_and_a_trial_without_an_outcome_is_followed_by_another() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for _ in 0..20 {
            let wait = breaker.admit(now).expect_err("it is open");
            assert!(wait <= LONGEST, "{wait:?}");
            now += wait;
            assert_eq!(breaker.admit(now), Ok(()));
            breaker.failed(now);
        }
        now += LONGEST;
        assert_eq!(breaker.admit(now), Ok(()));
        assert_eq!(breaker.admit(now + TRIAL), Ok(()));
    }

    #[test]
    fn late_failures_do_not_make_the_wait_longer() {
        let now = Instant::now();
        let mut breaker = opened(now);
        for _ in 0..1_000 {
            breaker.failed(now);
        }
        assert_eq!(breaker.admit(now), Err(WAIT));
    }
}
