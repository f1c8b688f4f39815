//! Control events that were sent and that nothing has proven yet: a new link needs them once more.

use std::collections::VecDeque;
use std::time::Instant;

use super::requests::{Proof, proof_of};
use crate::wire::{ClientEvent, ServerEvent};

#[derive(Debug)]
struct Sent {
    event_id: String,
    event: ClientEvent,
    proof: Proof,
    until: Instant,
}

/// What the server has not confirmed, oldest first.
#[derive(Debug, Default)]
pub(super) struct Unproven {
    sent: VecDeque<Sent>,
}

/// A server that confirms nothing confirms no older ones either.
const MOST: usize = 256;

impl Unproven {
    /// Notes an event; one that nothing has proven when the link says something after `until` counts
    /// as taken.
    pub(super) fn sent(&mut self, event: &ClientEvent, event_id: &str, until: Instant) {
        let Some(proof) = proof_of(event) else {
            return;
        };
        if self.sent.len() == MOST {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent {
            event_id: event_id.to_owned(),
            event: event.clone(),
            proof,
            until,
        });
    }

    /// The link says something: it had the time to prove what is older. One that is silent may have
    /// been dead all the while.
    pub(super) fn heard(&mut self, now: Instant) {
        self.sent.retain(|sent| now < sent.until);
    }

    /// The link knows an item by its id.
    pub(super) fn knows(&mut self, item_id: &str) {
        let is_it = |sent: &Sent| sent.proof == Proof::ItemAdded(item_id.to_owned());
        self.sent.retain(|sent| !is_it(sent));
    }

    /// `granted` is the request that begins a response, if the event tells of one.
    pub(super) fn seen(&mut self, event: &ServerEvent, granted: Option<&str>) {
        let is_proof = |sent: &Sent| match sent.proof {
            Proof::ResponseCreated => granted == Some(sent.event_id.as_str()),
            _ => sent.proof.is_given_by(event),
        };
        if let Some(at) = self.sent.iter().position(is_proof) {
            self.sent.remove(at);
        }
    }

    /// The server has refused an event, or whoever waits for its proof does so no longer.
    pub(super) fn refused(&mut self, event_id: &str) {
        self.sent.retain(|sent| sent.event_id != event_id);
    }

    /// Whether something waits for its proof.
    pub(super) fn is_waiting(&self, now: Instant) -> bool {
        self.sent.iter().any(|sent| now < sent.until)
    }

    /// What waits, with the ids of the events.
    pub(super) fn take(&mut self) -> Vec<(String, ClientEvent)> {
        let sent = self.sent.drain(..);
        sent.map(|sent| (sent.event_id, sent.event)).collect()
    }
}
