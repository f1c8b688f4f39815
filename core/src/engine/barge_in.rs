//! Interruption by the customer: what sounds is held at once, and a moment later it is decided
//! whether that was an interruption.
//!
//! ```text
//! Idle --speech over the agent--> Held --long enough, words, the application--> Idle  (confirmed)
//!                                   \---too short, no words, undecided--------> Idle  (resumed)
//! ```
//!
//! Policy `immediate` confirms without holding; `off` notices nothing. Speech that is only an echo of
//! the agent waits for the customer's voice to make it an interruption.

use std::time::{Duration, Instant};

use crate::event::local::BargeIn as Told;
use crate::options::barge_in::{BargeIn as Rules, Confirm, Policy};

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Held {
        since: Instant,
        until: Instant,
        item_id: String,
        speaks: bool,
    },
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Nothing.
    Stay,
    /// Make the agent quiet.
    Hold(Told),
    /// Let it speak on.
    Resume(Told),
    /// Interrupt it.
    Confirm(Told),
}

/// The interruption that is being decided, if there is one.
#[derive(Debug)]
pub(super) struct BargeIn {
    rules: Rules,
    state: State,
    /// Whether nothing but an echo of the agent is captured.
    only_echo: bool,
    /// Speech that lasts and was taken for an echo.
    echo: Option<String>,
}

impl BargeIn {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            rules: rules.clone(),
            state: State::Idle,
            only_echo: false,
            echo: None,
        }
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The customer speaks while the agent has the floor; `heard_ms` of the session's audio were
    /// heard so far.
    pub(super) fn speech_over(&mut self, now: Instant, item_id: &str, heard_ms: u64) -> Move {
        if let State::Held { speaks, .. } = &mut self.state {
            *speaks = true;
            return Move::Stay;
        }
        if self.only_echo {
            self.echo = Some(item_id.to_owned());
            return Move::Stay;
        }
        if heard_ms < self.rules.protect_greeting_ms {
            return Move::Stay;
        }
        let told = Told {
            item_id: item_id.to_owned(),
            ..Told::default()
        };
        match self.rules.policy {
            Policy::Off => Move::Stay,
            Policy::Immediate => Move::Confirm(Told {
                by: Some("policy"),
                ..told
            }),
            Policy::Staged => {
                let ms = match self.rules.confirm {
                    Confirm::Speech => self.rules.min_speech_ms.min(self.rules.decision_ms),
                    Confirm::Transcript | Confirm::App => self.rules.decision_ms,
                };
                self.state = State::Held {
                    since: now,
                    until: now + Duration::from_millis(ms.min(60_000)),
                    item_id: item_id.to_owned(),
                    speaks: true,
                };
                Move::Hold(told)
            }
        }
    }

    /// What is captured is nothing but an echo of the agent, or may be the customer: then the item of
    /// the speech that was taken for an echo, if it lasts.
    pub(super) fn echo(&mut self, is_echo: bool) -> Option<String> {
        self.only_echo = is_echo;
        self.echo.take_if(|_| !is_echo)
    }

    /// The customer is quiet again.
    pub(super) fn speech_stopped(&mut self, now: Instant) -> Move {
        self.echo = None;
        let State::Held { speaks, .. } = &mut self.state else {
            return Move::Stay;
        };
        *speaks = false;
        match self.rules.confirm {
            Confirm::Speech => self.resume(now, "too_short"),
            // The words come after the speech.
            Confirm::Transcript | Confirm::App => Move::Stay,
        }
    }

    /// Words of the customer, as far as they are known.
    pub(super) fn transcript(&mut self, now: Instant, text: &str, is_final: bool) -> Move {
        if self.state == State::Idle || self.rules.confirm != Confirm::Transcript {
            return Move::Stay;
        }
        if text.split_whitespace().count() >= self.rules.min_words {
            self.confirm(now, "transcript")
        } else if is_final {
            self.resume(now, "no_words")
        } else {
            Move::Stay
        }
    }

    /// The application has decided.
    pub(super) fn decided(&mut self, now: Instant, is_interruption: bool) -> Move {
        match is_interruption {
            true => self.confirm(now, "app"),
            false => self.resume(now, "app"),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Idle => None,
            State::Held { until, .. } => Some(*until),
        }
    }

    /// The time to decide is over.
    pub(super) fn timeout(&mut self, now: Instant) -> Move {
        match &self.state {
            State::Held { until, speaks, .. } if now >= *until => match *speaks {
                true => self.confirm(now, "speech"),
                false => self.resume(now, "undecided"),
            },
            State::Held { .. } | State::Idle => Move::Stay,
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.state != State::Idle
    }

    /// Nothing is to be decided any more.
    pub(super) fn stop(&mut self) {
        self.state = State::Idle;
        (self.only_echo, self.echo) = (false, None);
    }

    fn confirm(&mut self, now: Instant, by: &'static str) -> Move {
        self.leave(now, by).map_or(Move::Stay, Move::Confirm)
    }

    fn resume(&mut self, now: Instant, by: &'static str) -> Move {
        self.leave(now, by).map_or(Move::Stay, Move::Resume)
    }

    fn leave(&mut self, now: Instant, by: &'static str) -> Option<Told> {
        let State::Held { since, item_id, .. } = std::mem::replace(&mut self.state, State::Idle)
        else {
            return None;
        };
        let after = now.saturating_duration_since(since).as_millis();
        Some(Told {
            item_id,
            after_ms: u64::try_from(after).unwrap_or(u64::MAX),
            by: Some(by),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(rules: Rules) -> (BargeIn, Instant) {
        let (mut barge_in, now) = (BargeIn::new(&rules), Instant::now());
        let held = barge_in.speech_over(now, "u", 0);
        assert!(matches!(held, Move::Hold(told) if told.item_id == "u"));
        (barge_in, now)
    }

    fn by(decision: &Move) -> Option<&'static str> {
        match decision {
            Move::Confirm(told) | Move::Resume(told) => told.by,
            Move::Stay | Move::Hold(_) => None,
        }
    }

    #[test]
    fn speech_that_lasts_confirms_and_a_cough_resumes() {
        let (mut barge_in, now) = held(Rules::default());
        let due = now + Duration::from_millis(300);
        assert_eq!(barge_in.deadline(), Some(due));
        assert_eq!(barge_in.timeout(due - Duration::from_millis(1)), Move::Stay);
        let confirmed = barge_in.timeout(due);
        assert!(matches!(&confirmed, Move::Confirm(told) if told.after_ms == 300));
        assert_eq!(by(&confirmed), Some("speech"));
        let (mut barge_in, now) = held(Rules::default());
        let resumed = barge_in.speech_stopped(now + Duration::from_millis(200));
        assert!(matches!(&resumed, Move::Resume(told) if told.after_ms == 200));
        assert_eq!(barge_in.deadline(), None);
    }

    #[test]
    fn words_confirm_and_their_absence_resumes() {
        let rules = Rules {
            confirm: Confirm::Transcript,
            min_words: 2,
            ..Rules::default()
        };
        let (mut barge_in, now) = held(rules.clone());
        assert_eq!(barge_in.speech_stopped(now), Move::Stay, "words come later");
        assert_eq!(barge_in.transcript(now, "wait", false), Move::Stay);
        let confirmed = barge_in.transcript(now, "wait please", false);
        assert_eq!(by(&confirmed), Some("transcript"));
        let (mut barge_in, now) = held(rules.clone());
        let resumed = barge_in.transcript(now, "hm", true);
        assert_eq!(by(&resumed), Some("no_words"));
        let (mut barge_in, now) = held(rules);
        barge_in.speech_stopped(now);
        let resumed = barge_in.timeout(now + Duration::from_millis(1_500));
        assert_eq!(by(&resumed), Some("undecided"));
    }

    #[test]
    fn the_application_decides_once() {
        for (is_interruption, decision) in [(true, "confirmed"), (false, "resumed")] {
            let (mut barge_in, now) = held(Rules {
                confirm: Confirm::App,
                ..Rules::default()
            });
            let told = match barge_in.decided(now, is_interruption) {
                Move::Confirm(_) => "confirmed",
                Move::Resume(_) => "resumed",
                Move::Stay | Move::Hold(_) => "nothing",
            };
            assert_eq!(told, decision);
            assert_eq!(barge_in.decided(now, is_interruption), Move::Stay);
        }
    }

    #[test]
    fn a_greeting_is_protected_until_enough_of_it_was_heard() {
        let mut barge_in = BargeIn::new(&Rules {
            protect_greeting_ms: 1_000,
            policy: Policy::Immediate,
            ..Rules::default()
        });
        let now = Instant::now();
        assert_eq!(barge_in.speech_over(now, "u", 999), Move::Stay);
        assert!(matches!(
            barge_in.speech_over(now, "u", 1_000),
            Move::Confirm(_)
        ));
    }

    #[test]
    fn speech_that_is_an_echo_waits_for_a_voice() {
        let (mut barge_in, now) = (BargeIn::new(&Rules::default()), Instant::now());
        assert_eq!(barge_in.echo(true), None);
        assert_eq!(barge_in.speech_over(now, "u", 0), Move::Stay);
        assert_eq!(barge_in.echo(false).as_deref(), Some("u"));
        assert!(matches!(barge_in.speech_over(now, "u", 0), Move::Hold(_)));
        barge_in.stop();
        barge_in.echo(true);
        barge_in.speech_over(now, "v", 0);
        barge_in.speech_stopped(now);
        assert_eq!(barge_in.echo(false), None, "it was nothing else");
    }

    #[test]
    fn a_policy_of_off_notices_nothing() {
        let mut barge_in = BargeIn::new(&Rules {
            policy: Policy::Off,
            ..Rules::default()
        });
        assert_eq!(barge_in.speech_over(Instant::now(), "u", 0), Move::Stay);
        assert!(!barge_in.is_held());
    }
}
