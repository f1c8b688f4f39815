//! Wishes for a response: which wait for their turn, and which the server was asked for.

use std::time::Instant;

use super::{REMEMBERED, Responses, Running};
use crate::engine::io::Ticket;
use crate::options::WhenBusy;

/// A wish for a response in the conversation, ready to be sent.
#[derive(Debug)]
pub(in crate::engine) struct Wish {
    pub event_id: String,
    /// The encoded `response.create`.
    pub frame: String,
    /// Whether it asks for nothing special, so that any response serves it.
    pub is_plain: bool,
    /// Who waits for it to begin.
    pub tickets: Vec<Ticket>,
    /// When nobody waits any longer.
    pub until: Instant,
    /// Whether the server has refused it once because another one ran.
    pub is_refused: bool,
}

/// What was asked of the server and did not begin yet.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) event_id: String,
    /// `None` for one beside the conversation, and where turns are not ours to keep.
    pub(super) wish: Option<Wish>,
    /// Nobody waits for it any more: it is cancelled as soon as it has a name.
    pub(super) is_orphan: bool,
}

/// What became of a wish.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::engine) enum Granted {
    /// It waits, or is to be sent now: [`Responses::next`] tells.
    Queued,
    /// The response that runs serves it.
    Served(Vec<Ticket>, String),
    /// It comes next: these are to be cancelled for it, and those tickets were dropped.
    Next(Vec<String>, Vec<Ticket>),
    /// The conversation is busy, and it would not wait.
    Refused(Vec<Ticket>),
    /// Too many wait.
    Full(Vec<Ticket>),
}

/// Nobody listens to so many answers in a row.
const WAITING: usize = 32;

impl Responses {
    /// Takes a wish for a response in the conversation.
    pub(in crate::engine) fn wish(&mut self, wish: Wish, when_busy: WhenBusy) -> Granted {
        if !self.is_taken() {
            self.waiting.push_back(wish);
            return Granted::Queued;
        }
        match when_busy {
            WhenBusy::Refuse => return Granted::Refused(wish.tickets),
            WhenBusy::Replace => return self.replace(wish),
            WhenBusy::Merge if wish.is_plain => {
                if let Some(same) = self.waiting.iter_mut().find(|w| w.is_plain) {
                    same.tickets.extend(wish.tickets);
                    return Granted::Queued;
                }
                let serves = |r: &&Running| r.is_settled() && r.fresh && !r.discarded;
                if let Some(running) = self.running.iter().find(serves) {
                    return Granted::Served(wish.tickets, running.id.clone());
                }
                let mut asked = self.asked.iter_mut().filter_map(|a| a.wish.as_mut());
                if let Some(same) = asked.find(|w| w.is_plain) {
                    same.tickets.extend(wish.tickets);
                    return Granted::Queued;
                }
            }
            WhenBusy::Merge | WhenBusy::Queue => {}
        }
        if self.waiting.len() == WAITING {
            return Granted::Full(wish.tickets);
        }
        self.waiting.push_back(wish);
        Granted::Queued
    }

    fn replace(&mut self, wish: Wish) -> Granted {
        let dropped = self.waiting.drain(..).flat_map(|w| w.tickets).collect();
        self.waiting.push_back(wish);
        self.asked
            .iter_mut()
            .for_each(|asked| asked.is_orphan |= asked.wish.is_some());
        Granted::Next(self.discard(false), dropped)
    }

    /// The wish to send now, as event id and frame, with the one who is answered as for any request;
    /// nobody when it is sent again. It counts as asked.
    pub(in crate::engine) fn next(&mut self) -> Option<(String, String, Option<Ticket>)> {
        if self.is_taken() {
            return None;
        }
        let mut wish = self.waiting.pop_front()?;
        let asks = !wish.is_refused && !wish.tickets.is_empty();
        let ticket = asks.then(|| wish.tickets.remove(0));
        let (event_id, frame) = (wish.event_id.clone(), wish.frame.clone());
        self.ask(&event_id, Some(wish));
        Some((event_id, frame, ticket))
    }

    /// The server has a response already: the wish waits for its end, once. Returns whether that
    /// settles the matter.
    pub(in crate::engine) fn bounced(&mut self, event_id: &str) -> bool {
        if self.served.iter().any(|served| served == event_id) {
            return true;
        }
        let Some(at) = self.asked.iter().position(|a| a.event_id == event_id) else {
            return false;
        };
        let can_wait = |wish: &Wish| !wish.is_refused;
        if !self.asked[at].wish.as_ref().is_some_and(can_wait) {
            return false;
        }
        let wish = self.asked.remove(at).and_then(|asked| asked.wish);
        self.waiting.extend(wish.map(|wish| Wish {
            is_refused: true,
            ..wish
        }));
        self.waiting.rotate_right(1);
        self.is_blocked = !self.running.iter().any(Running::is_settled);
        true
    }

    /// Whether the conversation has a response or waits for one to begin.
    fn is_taken(&self) -> bool {
        self.is_blocked
            || self.asked.iter().any(|asked| asked.wish.is_some())
            || self.running.iter().any(Running::is_settled)
    }

    /// Wishes that nobody waits for any longer.
    pub(in crate::engine) fn overdue(&mut self, now: Instant) -> Vec<Ticket> {
        let mut late = Vec::new();
        self.waiting.retain_mut(|wish| {
            let is_late = now >= wish.until;
            if is_late {
                late.append(&mut wish.tickets);
            }
            !is_late
        });
        late
    }

    pub(in crate::engine) fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|wish| wish.until).min()
    }

    /// Everybody who still waits, at the end.
    pub(in crate::engine) fn abandon(&mut self) -> Vec<Ticket> {
        let asked = self.asked.drain(..).filter_map(|asked| asked.wish);
        asked
            .chain(self.waiting.drain(..))
            .flat_map(|w| w.tickets)
            .collect()
    }

    // ---- what was sent ------------------------------------------------------------------------

    /// A `response.create` was sent past the wishes.
    pub(in crate::engine) fn asked(&mut self, event_id: &str) {
        self.ask(event_id, None);
    }

    fn ask(&mut self, event_id: &str, wish: Option<Wish>) {
        if self.asked.len() == REMEMBERED {
            let oldest = self.asked.iter().position(|asked| asked.wish.is_none());
            self.asked.remove(oldest.unwrap_or(0));
        }
        self.asked.push_back(Asked {
            event_id: event_id.to_owned(),
            wish,
            is_orphan: false,
        });
    }

    /// The server refused an event. Returns who else waited for it.
    pub(in crate::engine) fn refused(&mut self, event_id: &str) -> Vec<Ticket> {
        let at = self.asked.iter().position(|a| a.event_id == event_id);
        let asked = at.and_then(|at| self.asked.remove(at));
        asked
            .and_then(|a| a.wish)
            .map_or_else(Vec::new, |w| w.tickets)
    }

    /// The server did not begin in time what was asked for: if it does later, nobody wants it.
    pub(in crate::engine) fn timed_out(&mut self, event_id: &str) -> Vec<Ticket> {
        if let Some(at) = self.waiting.iter().position(|w| w.event_id == event_id) {
            let wish = self.waiting.remove(at);
            return wish.map_or_else(Vec::new, |wish| wish.tickets);
        }
        let Some(asked) = self.asked.iter_mut().find(|a| a.event_id == event_id) else {
            return Vec::new();
        };
        asked.is_orphan = true;
        // The conversation does not wait for it either.
        asked.wish.take().map_or_else(Vec::new, |wish| wish.tickets)
    }
}
