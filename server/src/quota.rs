//! What is left of the quotas that `rate_limits.updated` tells. They are told only: a session that
//! has used them up is refused nothing, for that there is a fault.

use std::time::{Duration, Instant};

use serde_json::json;
use talkwire_core::wire::server::RateLimits;
use talkwire_core::wire::{Map, ServerEvent};

/// Time from the first use to the return of all that was used.
const WINDOW: Duration = Duration::from_secs(60);
/// Responses of a window.
const REQUESTS: u64 = 1_000;
/// Tokens of a window, read and written.
const TOKENS: u64 = 1_000_000;

/// The quotas of a session.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    /// What was used of each, and when all of it returns.
    used: Option<(Used, Instant)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    requests: u64,
    tokens: u64,
}

impl Quota {
    /// A response was asked for and has cost this much.
    pub(crate) fn spend(&mut self, now: Instant, tokens: u64) {
        let (used, _) = self.window(now);
        used.requests += 1;
        used.tokens = used.tokens.saturating_add(tokens);
    }

    /// Tokens are used up until the window ends.
    pub(crate) fn exhaust(&mut self, now: Instant) {
        self.window(now).0.tokens = TOKENS;
    }

    /// The event that tells what is left.
    pub(crate) fn event(&mut self, now: Instant) -> ServerEvent {
        let (used, until) = *self.window(now);
        let reset = until.saturating_duration_since(now);
        // Whole milliseconds: finer ones would differ from run to run.
        let reset_s = reset.as_millis() as f64 / 1e3;
        ServerEvent::RateLimits(RateLimits {
            rate_limits: vec![
                limit("requests", REQUESTS, used.requests, reset_s),
                limit("tokens", TOKENS, used.tokens, reset_s),
            ],
        })
    }

    /// The window at this time; a new one if the last one is over.
    fn window(&mut self, now: Instant) -> &mut (Used, Instant) {
        self.used = self.used.filter(|(_, until)| *until > now);
        self.used
            .get_or_insert_with(|| (Used::default(), now + WINDOW))
    }
}

fn limit(name: &str, limit: u64, used: u64, reset_s: f64) -> Map {
    let left = limit.saturating_sub(used);
    let value = json!({"name": name, "limit": limit, "remaining": left, "reset_seconds": reset_s});
    value.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(quota: &mut Quota, now: Instant) -> (u64, u64, f64) {
        let ServerEvent::RateLimits(told) = quota.event(now) else {
            panic!("another event")
        };
        let of = |at: usize| {
            told.rate_limits[at]["remaining"]
                .as_u64()
                .expect("a number")
        };
        let reset = told.rate_limits[1]["reset_seconds"].as_f64();
        (of(0), of(1), reset.expect("a number"))
    }

    #[test]
    fn what_is_left_falls_with_use_and_returns_with_time() {
        let (mut quota, began) = (Quota::default(), Instant::now());
        let at = |ms| began + Duration::from_millis(ms);
        quota.spend(began, 300);
        assert_eq!(left(&mut quota, began), (999, 999_700, 60.0));
        quota.spend(at(15_500), 700);
        assert_eq!(left(&mut quota, at(15_500)), (998, 999_000, 44.5));
        assert_eq!(left(&mut quota, at(59_999)), (998, 999_000, 0.001));
        assert_eq!(left(&mut quota, at(60_000)), (1_000, 1_000_000, 60.0));
    }

    #[test]
    fn nothing_is_left_below_zero() {
        let (mut quota, began) = (Quota::default(), Instant::now());
        quota.exhaust(began);
        quota.spend(began, u64::MAX);
        assert_eq!(left(&mut quota, began), (999, 0, 60.0));
    }
}
