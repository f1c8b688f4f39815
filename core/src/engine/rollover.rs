//! The change of links under a session: planned, before the server's session is too old, or after a
//! loss.
//!
//! ```text
//! Idle --margin reached, loss--> Preparing --greeted and configured--> Ready --boundary--> Idle
//!                                  |   ^                                  \--deadline------^
//!                                  v   |
//!                                 Waiting       (an attempt failed; gives up when no time is left)
//! ```

use std::time::{Duration, Instant};

use super::config::Config;
use super::endpoints::Turn;
use super::io::LinkId;
use super::link::{Link, Verdict};
use crate::error::Error;
use crate::options::rollover::{Recovery, Rollover as Rules};

/// How old a server's session is and may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Age {
    pub since: Instant,
    pub lifetime: Duration,
}

/// The link that is to be the next.
#[derive(Debug)]
pub(super) struct Standby {
    pub link: Link,
    pub config: Config,
    pub first_update: Option<String>,
    pub age: Option<Age>,
}

/// No link is open.
#[derive(Debug)]
pub(super) struct Outage {
    pub since: Instant,
    until: Instant,
    pub attempts: u32,
    /// What the session ends with if it is not open again in time.
    pub verdict: Verdict,
    pub mid_turn: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Waiting {
        at: Instant,
    },
    Preparing(Box<Standby>),
    Ready(Box<Standby>),
}

/// What the time brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A standby link is to be dialled.
    Dial,
    /// The standby link did not answer.
    Silent(LinkId, &'static str),
    /// The change can wait no longer.
    Change,
    /// No further attempt is made.
    Over,
    /// A link that was hung up did not go.
    Drained(LinkId),
}

/// The machine of the change.
#[derive(Debug)]
pub(super) struct Rollover {
    rules: Rules,
    recovery: Recovery,
    age: Option<Age>,
    /// The shortest life at whose end a server called its session too old.
    shortest: Option<Duration>,
    state: State,
    outage: Option<Outage>,
    /// When the last outage ended, and until when its budget lasts.
    recovered: Option<(Instant, Instant)>,
    failures: u32,
    /// For the current link no standby can be had.
    has_given_up: bool,
    draining: Vec<(LinkId, Instant)>,
}

/// A link that is lost sooner after an outage was no recovery: that outage goes on.
const STABLE: Duration = Duration::from_secs(3);

/// No server makes sessions that are meant to live shorter.
pub(super) const LEAST_LIFE: Duration = Duration::from_secs(2);

/// A change needs this much time at the least.
const LEAST: Duration = Duration::from_millis(200);

impl Rollover {
    pub(super) fn new(rules: &Rules, recovery: &Recovery) -> Self {
        Self {
            rules: rules.clone(),
            recovery: recovery.clone(),
            age: None,
            shortest: None,
            state: State::Idle,
            outage: None,
            recovered: None,
            failures: 0,
            has_given_up: false,
            draining: Vec::new(),
        }
    }

    /// The state, for people.
    pub(super) fn name(&self) -> &'static str {
        match self.state {
            State::Idle => "none",
            State::Waiting { .. } => "waiting",
            State::Preparing(_) => "preparing",
            State::Ready(_) => "ready",
        }
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    // ---- age ----------------------------------------------------------------------------------

    /// The age of a session that begins now: what the dialect allows, what the server says, and what
    /// was seen before; the least counts.
    pub(super) fn age(&self, now: Instant, allowed_s: u32, told: Option<Duration>) -> Age {
        let allowed = Duration::from_secs(allowed_s.into());
        let known = [told, self.shortest].into_iter().flatten();
        Age {
            since: now,
            lifetime: known.fold(allowed, Duration::min),
        }
    }

    /// The current link's session has this age.
    pub(super) fn began(&mut self, age: Option<Age>) {
        self.age = age.filter(|age| !age.lifetime.is_zero());
    }

    /// The server has called its session too old. One that did so at once would do so again: no plan
    /// helps against that.
    pub(super) fn expired(&mut self, now: Instant) {
        let lived = self.age.map(|age| now.saturating_duration_since(age.since));
        if let Some(lived) = lived.filter(|lived| *lived >= LEAST_LIFE) {
            self.shortest = Some(self.shortest.map_or(lived, |shortest| shortest.min(lived)));
        }
    }

    fn margin(&self, age: Age) -> Duration {
        Duration::from_millis(self.rules.margin_ms).min(age.lifetime / 4)
    }

    /// When a standby link is needed.
    fn due(&self) -> Option<Instant> {
        let age = self
            .age
            .filter(|_| self.rules.enabled && !self.has_given_up)?;
        Some(age.since + age.lifetime.saturating_sub(self.margin(age)))
    }

    /// When the change can wait no longer.
    fn last(&self) -> Option<Instant> {
        let age = self.age?;
        let least = (self.margin(age) / 8).max(LEAST);
        Some(age.since + age.lifetime.saturating_sub(least))
    }

    // ---- the standby link ---------------------------------------------------------------------

    pub(super) fn dial(&mut self, id: LinkId, config: Config) {
        let mut link = Link::numbered(id);
        link.dial();
        if let Some(outage) = &mut self.outage {
            outage.attempts += 1;
        }
        self.state = State::Preparing(Box::new(Standby {
            link,
            config,
            first_update: None,
            age: None,
        }));
    }

    /// The standby link, while it is not ready.
    pub(super) fn preparing(&mut self) -> Option<&mut Standby> {
        match &mut self.state {
            State::Preparing(standby) => Some(standby),
            State::Idle | State::Waiting { .. } | State::Ready(_) => None,
        }
    }

    /// The standby link is greeted and configured.
    pub(super) fn ready(&mut self) {
        self.state = match std::mem::take(&mut self.state) {
            State::Preparing(standby) => State::Ready(standby),
            other => other,
        };
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready(_))
    }

    /// Whether a link is the standby link.
    pub(super) fn is(&self, id: LinkId) -> bool {
        self.standby().is_some_and(|standby| standby.link.is(id))
    }

    fn standby(&self) -> Option<&Standby> {
        match &self.state {
            State::Preparing(standby) | State::Ready(standby) => Some(standby),
            State::Idle | State::Waiting { .. } => None,
        }
    }

    /// The standby link becomes the link: it is given away.
    pub(super) fn change(&mut self, now: Instant) -> Option<(Standby, Option<Outage>)> {
        match std::mem::take(&mut self.state) {
            State::Ready(standby) => {
                self.has_given_up = false;
                self.began(standby.age);
                let outage = self.outage.take();
                self.recovered = outage.as_ref().map(|outage| (now, outage.until));
                Some((*standby, outage))
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// An attempt came to nothing. Returns whether there will be another one, whose turn it is;
    /// `random` is any number.
    pub(super) fn failed(&mut self, now: Instant, error: &Error, turn: Turn, random: u64) -> bool {
        self.failures += 1;
        let asked = error.provider().retry_after_ms.map(Duration::from_millis);
        let at = match turn {
            Turn::Now => now,
            Turn::Wait | Turn::Nowhere => now + asked.unwrap_or_default().max(self.wait(random)),
        };
        let limit = self
            .outage
            .as_ref()
            .map(|outage| outage.until)
            .or_else(|| self.last());
        let has_time = limit.is_some_and(|limit| at < limit);
        if has_time && turn != Turn::Nowhere {
            self.state = State::Waiting { at };
            return true;
        }
        self.state = State::Idle;
        self.has_given_up = true;
        false
    }

    fn wait(&self, random: u64) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(20);
        let longest = self.recovery.delay_ms.saturating_mul(1 << doublings);
        let longest = longest.min(self.recovery.delay_max_ms);
        Duration::from_millis(longest - random % (longest / 2 + 1))
    }

    // ---- a loss -------------------------------------------------------------------------------

    /// Whether sessions go on after the loss of their link.
    pub(super) fn recovers(&self) -> bool {
        self.recovery.budget_ms > 0
    }

    /// The link is lost, and a standby link is needed now.
    pub(super) fn lost(&mut self, now: Instant, verdict: Verdict, mid_turn: bool) {
        let is_stable = |at: Instant| now.saturating_duration_since(at) >= STABLE;
        let same = self.recovered.take().filter(|(at, _)| !is_stable(*at));
        let budget = Duration::from_millis(self.recovery.budget_ms.min(86_400_000));
        let until = same.map_or_else(|| now + budget, |(_, until)| until);
        self.outage = Some(Outage {
            since: now,
            until,
            attempts: 0,
            verdict,
            mid_turn,
        });
        self.age = None;
        self.has_given_up = false;
        if matches!(self.state, State::Idle | State::Waiting { .. }) {
            let wait = match same {
                Some(_) => self.wait(0),
                None => Duration::ZERO,
            };
            self.failures = same.map_or(0, |_| self.failures + 1);
            self.state = State::Waiting { at: now + wait };
        }
    }

    /// Whether there is no link.
    pub(super) fn is_recovering(&self) -> bool {
        self.outage.is_some()
    }

    pub(super) fn outage(&self) -> Option<&Outage> {
        self.outage.as_ref()
    }

    /// There will be no other link; returns that of the standby, and the outage.
    pub(super) fn stop(&mut self) -> (Option<LinkId>, Option<Outage>) {
        let standby = self.standby().map(|standby| standby.link.id());
        self.state = State::Idle;
        self.age = None;
        self.draining.clear();
        (standby, self.outage.take())
    }

    /// A link was hung up; it is dropped if it does not go by itself.
    pub(super) fn drain(&mut self, id: LinkId, until: Instant) {
        self.draining.push((id, until));
    }

    /// A link that was hung up is gone.
    pub(super) fn drained(&mut self, id: LinkId) {
        self.draining.retain(|(draining, _)| *draining != id);
    }

    // ---- time ---------------------------------------------------------------------------------

    pub(super) fn deadline(&self) -> Option<Instant> {
        let step = match &self.state {
            State::Idle => self.due(),
            State::Waiting { at } => Some(*at),
            State::Preparing(standby) => standby.link.deadline(),
            State::Ready(_) => self.last(),
        };
        let budget = self.outage.as_ref().map(|outage| outage.until);
        let drained = self.draining.iter().map(|(_, until)| *until).min();
        [step, budget, drained].into_iter().flatten().min()
    }

    pub(super) fn timeout(&mut self, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        let gone = self.draining.extract_if(.., |(_, until)| now >= *until);
        due.extend(gone.map(|(id, _)| Due::Drained(id)));
        if self.outage.as_ref().is_some_and(|o| now >= o.until) {
            due.push(Due::Over);
            return due;
        }
        let passed = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        match &self.state {
            State::Idle if passed(self.due()) => due.push(Due::Dial),
            State::Waiting { at } if now >= *at => due.push(Due::Dial),
            State::Preparing(standby) if standby.link.is_overdue(now) => {
                due.push(Due::Silent(standby.link.id(), standby.link.overdue_for()));
            }
            State::Ready(_) if passed(self.last()) => due.push(Due::Change),
            _ => {}
        }
        due
    }

    pub(super) fn check(&self) {
        if let (State::Ready(standby), true) = (&self.state, self.outage.is_none()) {
            assert!(standby.link.is_open(), "I11: a standby link is open");
        }
        assert!(
            self.draining.len() <= 8,
            "I11: links that were hung up do not pile up"
        );
    }
}
