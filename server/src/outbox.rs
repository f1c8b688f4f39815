//! Everything a peer sends goes through here: names of the dialect, ids, faults.

use std::sync::Arc;
use std::time::Instant;

use talkwire_core::dialect::Dialect;
use talkwire_core::wire::{Ids, ServerEvent};

use crate::emulate::Mask;
use crate::faults::{ErrorWith, Fault, Faults, Moment, Verdict};
use crate::io::{PeerEffect, PeerEffects};

/// The way out of one peer.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) dialect: Arc<Dialect>,
    pub(crate) ids: Ids,
    pub(crate) mask: Mask,
    faults: Faults,
    fired: Vec<String>,
    now: Instant,
    /// A fault wants the session to expire.
    expires: bool,
    ended: bool,
}

/// What faults make of an event that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is to be handled.
    Welcome,
    /// It was answered, or never seen.
    Refused,
    /// A quota is used up.
    Limited,
}

impl Outbox {
    pub(crate) fn new(dialect: Arc<Dialect>, ids: Ids, faults: Faults, mask: Mask) -> Self {
        Self {
            dialect,
            ids,
            mask,
            now: faults.began(),
            faults,
            fired: Vec::new(),
            expires: false,
            ended: false,
        }
    }

    /// Adds a fault that counts from now on.
    pub(crate) fn plant(&mut self, fault: Fault) {
        self.faults.add(fault);
    }

    /// The moments at which faults acted since this was asked last.
    pub(crate) fn take_fired(&mut self) -> Vec<String> {
        std::mem::take(&mut self.fired)
    }

    /// Whether nothing more may be sent.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// A new identifier.
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        self.ids.next(prefix)
    }

    /// Sends an event, or what the mask makes of it.
    pub(crate) fn send(&mut self, event: &ServerEvent, fx: &mut PeerEffects) {
        if self.mask.is_off() {
            return self.put(event, fx);
        }
        for event in self.mask.outgoing(event) {
            self.put(&event, fx);
        }
    }

    /// Notes the time and sends what the mask held back until now.
    pub(crate) fn tick(&mut self, now: Instant, fx: &mut PeerEffects) {
        self.now = now;
        for event in self.mask.tick(now) {
            self.put(&event, fx);
        }
    }

    /// Sends an event, unless the dialect has none of that name.
    fn put(&mut self, event: &ServerEvent, fx: &mut PeerEffects) {
        if self.ended || !self.dialect.has_event(event.name()) {
            return;
        }
        let event_id = self.ids.next("event");
        let Some(frame) = self.dialect.encode_server(event, &event_id) else {
            return;
        };
        match self
            .faults
            .at(self.now, Moment::Sent(event.name()), Some(&frame))
        {
            None => fx.push(PeerEffect::Send(frame)),
            Some(verdict) => {
                self.fired.push(format!("sent {}", event.name()));
                self.carry_out(verdict, None, fx);
            }
        }
    }

    /// Lets faults act on an event of the client before it is handled.
    pub(crate) fn received(
        &mut self,
        name: &str,
        event_id: Option<&str>,
        fx: &mut PeerEffects,
    ) -> Arrival {
        let verdict = self.faults.at(self.now, Moment::Received(name), None);
        let Some(mut verdict) = verdict.filter(|_| !self.ended) else {
            return Arrival::Welcome;
        };
        self.fired.push(format!("received {name}"));
        // A response that was asked for tells by itself that it failed.
        let fails_itself = verdict.is_limited && name == "response.create";
        verdict.is_limited &= !fails_itself;
        let is_answered = verdict.is_refused || verdict.is_limited;
        self.carry_out(verdict, event_id, fx);
        if self.ended || is_answered {
            return Arrival::Refused;
        }
        if fails_itself {
            Arrival::Limited
        } else {
            Arrival::Welcome
        }
    }

    /// Lets faults act whose time has come.
    pub(crate) fn let_faults_act(&mut self, fx: &mut PeerEffects) {
        if let Some(verdict) = self.faults.time(self.now) {
            self.fired.push("a time".to_owned());
            self.carry_out(verdict, None, fx);
        }
    }

    /// When the mask or a fault has something to do.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let wakes = [self.mask.deadline(), self.faults.wake()];
        wakes.into_iter().flatten().min()
    }

    /// Whether a fault wants the session to expire; it says so once.
    pub(crate) fn take_expiry(&mut self) -> bool {
        std::mem::take(&mut self.expires)
    }

    /// Ends the connection with a closing handshake.
    pub(crate) fn close(&mut self, code: u16, reason: &str, fx: &mut PeerEffects) {
        if !self.ended {
            self.ended = true;
            let reason = reason.to_owned();
            fx.push(PeerEffect::Close { code, reason });
        }
    }

    /// The connection is gone by itself.
    pub(crate) fn gone(&mut self) {
        self.ended = true;
    }

    fn carry_out(&mut self, verdict: Verdict, event_id: Option<&str>, fx: &mut PeerEffects) {
        verdict
            .before
            .into_iter()
            .for_each(|effect| fx.push(effect));
        if let Some(frame) = verdict.event {
            fx.push(PeerEffect::Send(frame));
        }
        verdict.after.into_iter().for_each(|effect| fx.push(effect));
        let limit = verdict.is_limited.then(ErrorWith::rate_limit);
        for error in verdict.errors.into_iter().chain(limit) {
            let id = self.ids.next("event");
            let frame = self.dialect.encode_server(&error.event(event_id), &id);
            fx.push(PeerEffect::Send(frame.expect("every dialect has errors")));
        }
        self.expires |= verdict.expires;
        if let Some(end) = verdict.end {
            fx.push(end);
            self.ended = true;
        }
    }
}
