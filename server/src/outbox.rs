//! Everything a peer sends goes through here: names of the dialect, ids, faults.

use std::sync::Arc;
use std::time::Instant;

use talkwire_core::dialect::Dialect;
use talkwire_core::wire::{Ids, ServerEvent};

use crate::emulate::Mask;
use crate::faults::{Fault, Faults, Moment, Verdict};
use crate::io::{PeerEffect, PeerEffects};

/// The way out of one peer.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) dialect: Arc<Dialect>,
    pub(crate) ids: Ids,
    pub(crate) mask: Mask,
    faults: Faults,
    fired: Vec<String>,
    ended: bool,
}

impl Outbox {
    pub(crate) fn new(dialect: Arc<Dialect>, ids: Ids, faults: Faults, mask: Mask) -> Self {
        Self {
            dialect,
            ids,
            mask,
            faults,
            fired: Vec::new(),
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

    /// Tells the mask the time and sends what it held back until now.
    pub(crate) fn tick(&mut self, now: Instant, fx: &mut PeerEffects) {
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
        let verdict = self.faults.at(Moment::Sent(event.name()), Some(&frame));
        if verdict.is_none() {
            fx.push(PeerEffect::Send(frame));
        } else {
            self.fired.push(format!("sent {}", event.name()));
        }
        self.carry_out(verdict, fx);
    }

    /// Lets faults act on an event of the client before it is handled.
    pub(crate) fn received(&mut self, name: &str, fx: &mut PeerEffects) {
        if !self.ended {
            let verdict = self.faults.at(Moment::Received(name), None);
            if verdict.is_some() {
                self.fired.push(format!("received {name}"));
            }
            self.carry_out(verdict, fx);
        }
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

    fn carry_out(&mut self, verdict: Option<Verdict>, fx: &mut PeerEffects) {
        let Some(verdict) = verdict else {
            return;
        };
        for effect in verdict.effects {
            fx.push(effect);
        }
        self.ended |= verdict.ends;
    }
}
