//! Which endpoint of a session's list the next link is dialled at: the one that it has, until that
//! fails twice in a row or for good; then the others in turn, each without a wait in one round.

use std::sync::Arc;

use serde_json::Value;

use super::io::Fallback;
use crate::dialect::Dialect;
use crate::wire::{Map, Session};

/// Attempts at an endpoint before the next one has its turn.
const TRIES: u32 = 2;

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The next attempt waits: it goes to the same endpoint, or all have had their turn.
    Wait,
    /// The next attempt goes to another endpoint, at once.
    Now,
    /// No endpoint is left that may still take the session.
    Nowhere,
}

/// The list, and the place in it.
#[derive(Debug)]
pub(super) struct Endpoints {
    own: Arc<Dialect>,
    /// The first settings, as the application wants them at its own endpoint.
    first: Session,
    fallbacks: Vec<Fallback>,
    /// That of the link.
    at: usize,
    /// That of the next link.
    next: usize,
    tries: u32,
    /// Those that refuse the session for good.
    out: Vec<bool>,
}

impl Endpoints {
    pub(super) fn new(own: Arc<Dialect>, first: &Session) -> Self {
        Self {
            own,
            first: first.clone(),
            fallbacks: Vec::new(),
            at: 0,
            next: 0,
            tries: 0,
            out: vec![false],
        }
    }

    pub(super) fn add(&mut self, fallback: Fallback) {
        self.fallbacks.push(fallback);
        self.out.push(false);
    }

    pub(super) fn count(&self) -> usize {
        self.out.len()
    }

    /// The endpoint of the link.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The endpoint of the next link.
    pub(super) fn next(&self) -> usize {
        self.next
    }

    pub(super) fn dialect(&self, endpoint: usize) -> &Arc<Dialect> {
        match endpoint.checked_sub(1) {
            Some(index) => &self.fallbacks[index].dialect,
            None => &self.own,
        }
    }

    /// Settings of the endpoint of the link, as the next one is to have them. What is only for the one
    /// does not follow to the other.
    pub(super) fn settings(&self, session: &Session) -> Session {
        let mut settings = session.clone();
        if self.next != self.at {
            if let Some(patch) = self.patch(self.at) {
                undo(&mut settings.0, &patch.0, &self.first.0);
            }
            if let Some(patch) = self.patch(self.next) {
                settings.merge(patch);
            }
        }
        settings
    }

    /// What is different at an endpoint.
    fn patch(&self, endpoint: usize) -> Option<&Session> {
        let index = endpoint.checked_sub(1)?;
        Some(&self.fallbacks[index].session)
    }

    /// The link has its endpoint.
    pub(super) fn reached(&mut self) {
        self.go();
        self.begin();
    }

    /// The link is dialled at its endpoint; whether it will have it is not known.
    pub(super) fn go(&mut self) {
        self.at = self.next;
    }

    /// The link is lost; `is_final` says that its endpoint takes the session no more.
    pub(super) fn lost(&mut self, is_final: bool) {
        self.next = self.at;
        self.begin();
        if is_final {
            self.failed(true, false);
        }
    }

    fn begin(&mut self) {
        self.tries = 0;
        self.out.fill(false);
    }

    /// An attempt failed, for good or because the endpoint wants to be left alone for a while.
    pub(super) fn failed(&mut self, is_final: bool, is_put_off: bool) -> Turn {
        self.tries += 1;
        self.out[self.next] |= is_final;
        if !is_final && !is_put_off && self.tries < TRIES {
            return Turn::Wait;
        }
        let count = self.out.len();
        let is_in = |step: &usize| !self.out[(self.next + step) % count];
        let Some(step) = (1..=count).find(is_in) else {
            return Turn::Nowhere;
        };
        let turned = (self.next + count - self.at) % count + step;
        self.next = (self.next + step) % count;
        self.tries = 0;
        match turned < count {
            true => Turn::Now,
            false => Turn::Wait,
        }
    }
}

/// Gives what a patch has changed its first values again.
fn undo(settings: &mut Map, patch: &Map, first: &Map) {
    let none = Map::new();
    for (key, changed) in patch {
        let was = first.get(key);
        match (settings.get_mut(key), changed) {
            (Some(Value::Object(settings)), Value::Object(changed)) => {
                undo(
                    settings,
                    changed,
                    was.and_then(Value::as_object).unwrap_or(&none),
                );
            }
            _ => {
                settings.remove(key);
                settings.extend(was.map(|was| (key.clone(), was.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(fallbacks: usize) -> Endpoints {
        let dialect = Dialect::default_dialect();
        let first = Session::new().voice("own").instructions("Be kind.");
        let mut endpoints = Endpoints::new(dialect.clone(), &first);
        for index in 0..fallbacks {
            endpoints.add(Fallback {
                dialect: dialect.clone(),
                session: Session::new().voice(format!("voice {index}")),
            });
        }
        endpoints
    }

    fn walk(endpoints: &mut Endpoints, count: usize) -> Vec<(Turn, usize)> {
        (0..count)
            .map(|_| (endpoints.failed(false, false), endpoints.next()))
            .collect()
    }

    #[test]
    fn one_endpoint_is_tried_again_and_again_until_it_refuses() {
        let mut endpoints = list(0);
        assert_eq!(walk(&mut endpoints, 5), [(Turn::Wait, 0); 5]);
        assert_eq!(endpoints.failed(true, false), Turn::Nowhere);
    }

    #[test]
    fn each_has_two_attempts_and_only_whole_rounds_wait() {
        let mut endpoints = list(2);
        use Turn::{Now, Wait};
        let one_round = [
            (Wait, 0),
            (Now, 1),
            (Wait, 1),
            (Now, 2),
            (Wait, 2),
            (Wait, 0),
        ];
        assert_eq!(walk(&mut endpoints, 6), one_round);
        assert_eq!(walk(&mut endpoints, 6), one_round);
        assert_eq!(
            endpoints.failed(false, true),
            Now,
            "it wants to be left alone"
        );
        endpoints.reached();
        assert_eq!((endpoints.at(), endpoints.next()), (1, 1));
    }

    #[test]
    fn what_is_for_one_endpoint_does_not_follow_to_the_next_one() {
        let mut endpoints = list(2);
        let now = Session::new().voice("own").instructions("Be brief.");
        assert_eq!(endpoints.settings(&now), now);
        for (to, voice) in [(1, "voice 0"), (2, "voice 1"), (0, "own")] {
            endpoints.next = to;
            let settings = endpoints.settings(&now);
            endpoints.reached();
            let wanted = Session::new().voice(voice).instructions("Be brief.");
            assert_eq!(settings, wanted);
            let changed = Session::new().voice("changed since");
            assert_eq!(endpoints.settings(&changed), changed);
        }
    }

    #[test]
    fn who_refuses_is_left_out_until_a_link_is_there() {
        let mut endpoints = list(2);
        endpoints.lost(true);
        assert_eq!(endpoints.next(), 1);
        assert_eq!(endpoints.failed(true, false), Turn::Now);
        assert_eq!(walk(&mut endpoints, 4), [(Turn::Wait, 2); 4]);
        endpoints.reached();
        assert_eq!(endpoints.at(), 2);
        endpoints.lost(false);
        assert_eq!(endpoints.next(), 2);
        for turn in [Turn::Now, Turn::Now, Turn::Nowhere] {
            assert_eq!(endpoints.failed(true, false), turn);
        }
    }
}
