//! Commands that await a proof: every ticket is answered exactly once.

use std::time::{Duration, Instant};

use super::io::{Reply, Ticket};
use crate::error::{Error, Kind, Result};
use crate::wire::{ClientEvent, Item, ServerEvent};

/// The event of the server that proves a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    SessionUpdated,
    Committed,
    Cleared,
    ItemAdded(String),
    /// An item that has no id of ours.
    ItemLike(Likeness),
    Retrieved(String),
    Deleted(String),
    Truncated(String),
    ResponseCreated,
    ResponseDone(Option<String>),
}

/// What an item that the server adds has in common with the one that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Likeness {
    kind: String,
    role: Option<String>,
    call_id: Option<String>,
    part: Option<String>,
}

impl Likeness {
    fn of(item: &Item) -> Self {
        Self {
            kind: item.kind.clone(),
            role: item.role.clone(),
            call_id: item.call_id.clone(),
            part: first_part(item).map(str::to_owned),
        }
    }

    /// Whether an item can be it. Items of the model and of turns of the customer come in between.
    fn is_of(&self, item: &Item) -> bool {
        let is_part = |ours: &str| first_part(item).is_none_or(|theirs| theirs == ours);
        self.kind == item.kind
            && self.role == item.role
            && self.call_id == item.call_id
            && self.part.as_deref().is_none_or(is_part)
    }
}

fn first_part(item: &Item) -> Option<&str> {
    let part = item.content.as_ref()?.first()?;
    Some(part.kind.as_str())
}

#[derive(Debug)]
struct Request {
    event_id: String,
    ticket: Ticket,
    proof: Proof,
    until: Instant,
    /// What came may have been the proof already; if nothing else comes, it was.
    is_doubted: bool,
}

/// The open requests, oldest first.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: Vec<Request>,
}

/// An answer to give.
pub(super) type Answer = (Ticket, Result<Reply>);

/// More would mean that the server answers nothing.
const MOST: usize = 1024;

impl Requests {
    /// Remembers a command that was sent. Answers at once where nothing will prove it.
    pub(super) fn sent(
        &mut self,
        ticket: Ticket,
        event_id: &str,
        event: &ClientEvent,
        until: Instant,
    ) -> Option<Answer> {
        let Some(proof) = proof_of(event) else {
            return Some((ticket, Ok(Reply::Done { id: String::new() })));
        };
        self.open.push(Request {
            event_id: event_id.to_owned(),
            ticket,
            proof,
            until,
            is_doubted: false,
        });
        None
    }

    /// The commands that an event proves.
    /// `granted` is the request that begins a response, if the event tells of one.
    pub(super) fn proven(&mut self, event: &ServerEvent, granted: Option<&str>) -> Option<Answer> {
        let is_proof = |request: &Request| match request.proof {
            Proof::ResponseCreated => granted == Some(request.event_id.as_str()),
            _ => request.proof.is_given_by(event),
        };
        let index = self.open.iter().position(is_proof)?;
        let request = self.open.remove(index);
        let id = event
            .item_id()
            .or_else(|| event.response_id())
            .unwrap_or_default();
        Some((request.ticket, Ok(Reply::Done { id: id.to_owned() })))
    }

    /// A command of which the server says that it is done without its help.
    pub(super) fn done(&mut self, event_id: &str) -> Option<Ticket> {
        let is_it = |request: &Request| request.event_id == event_id;
        let index = self.open.iter().position(is_it)?;
        Some(self.open.remove(index).ticket)
    }

    /// Who waits for the proof of an event; nobody does from now on.
    pub(super) fn take(&mut self, event_id: &str) -> Option<Ticket> {
        self.done(event_id)
    }

    /// The command that an error of the server is about.
    pub(super) fn failed(&mut self, event_id: &str, error: &Error) -> Option<Answer> {
        let index = self
            .open
            .iter()
            .position(|request| request.event_id == event_id)?;
        Some((self.open.remove(index).ticket, Err(error.clone())))
    }

    /// Whether no further command can be remembered.
    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= MOST
    }

    /// What came may be the answer to the first update that waits; returns whether one does.
    pub(super) fn doubt(&mut self, until: Instant) -> bool {
        let waits = |request: &&mut Request| request.proof == Proof::SessionUpdated;
        let Some(request) = self.open.iter_mut().find(waits) else {
            return false;
        };
        request.is_doubted = true;
        request.until = request.until.min(until);
        true
    }

    /// Updates whose answer was in doubt and for which nothing else came.
    pub(super) fn undoubted(&mut self, now: Instant) -> Vec<Answer> {
        let is_it = |request: &mut Request| request.is_doubted && now >= request.until;
        let done = |r: Request| (r.ticket, Ok(Reply::Done { id: String::new() }));
        self.open.extract_if(.., is_it).map(done).collect()
    }

    /// Commands whose time is over: their events and the answers.
    pub(super) fn overdue(&mut self, now: Instant) -> (Vec<String>, Vec<Answer>) {
        let late = |request: &mut Request| now >= request.until;
        let silence = |r: Request| {
            let message = format!("the server did not answer within the time ({:?})", r.proof);
            let answer = (r.ticket, Err(Error::new(Kind::Timeout, message)));
            (r.event_id, answer)
        };
        self.open.extract_if(.., late).map(silence).unzip()
    }

    /// Everybody still waiting, at the end of the session.
    pub(super) fn abandon(&mut self, error: &Error) -> Vec<Answer> {
        self.open
            .drain(..)
            .map(|request| (request.ticket, Err(error.clone())))
            .collect()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.iter().map(|request| request.until).min()
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

/// A moment `ms` from now; a time beyond any call is a day.
pub(super) fn until(now: Instant, ms: u64) -> Instant {
    const DAY_MS: u64 = 86_400_000;
    now + Duration::from_millis(ms.min(DAY_MS))
}

pub(super) fn proof_of(event: &ClientEvent) -> Option<Proof> {
    Some(match event {
        ClientEvent::SessionUpdate(_) | ClientEvent::TranscriptionSessionUpdate(_) => {
            Proof::SessionUpdated
        }
        ClientEvent::BufferCommit(_) => Proof::Committed,
        ClientEvent::BufferClear(_) => Proof::Cleared,
        ClientEvent::ItemCreate(e) => match &e.item.id {
            Some(id) => Proof::ItemAdded(id.clone()),
            None => Proof::ItemLike(Likeness::of(&e.item)),
        },
        ClientEvent::ItemRetrieve(e) => Proof::Retrieved(e.item_id.clone()),
        ClientEvent::ItemDelete(e) => Proof::Deleted(e.item_id.clone()),
        ClientEvent::ItemTruncate(e) => Proof::Truncated(e.item_id.clone()),
        ClientEvent::ResponseCreate(_) => Proof::ResponseCreated,
        ClientEvent::ResponseCancel(e) => Proof::ResponseDone(e.response_id.clone()),
        ClientEvent::Append(_)
        | ClientEvent::OutputBufferClear(_)
        | ClientEvent::TranslationClose(_)
        | ClientEvent::TranslationAppend(_)
        | ClientEvent::Other { .. } => return None,
    })
}

impl Proof {
    pub(super) fn is_given_by(&self, event: &ServerEvent) -> bool {
        match (self, event) {
            (Self::SessionUpdated, ServerEvent::SessionUpdated(_))
            | (Self::Committed, ServerEvent::BufferCommitted(_))
            | (Self::Cleared, ServerEvent::BufferCleared(_)) => true,
            (Self::ItemLike(likeness), ServerEvent::ItemAdded(e)) => likeness.is_of(&e.item),
            (Self::ItemAdded(id), ServerEvent::ItemAdded(e)) => e.item.id.as_ref() == Some(id),
            (Self::Retrieved(id), ServerEvent::ItemRetrieved(e)) => e.item.id.as_ref() == Some(id),
            (Self::Deleted(id), ServerEvent::ItemDeleted(e)) => e.item_id == *id,
            (Self::Truncated(id), ServerEvent::ItemTruncated(e)) => e.item_id == *id,
            (Self::ResponseDone(None), ServerEvent::ResponseDone(_)) => true,
            (Self::ResponseDone(Some(id)), ServerEvent::ResponseDone(e)) => {
                e.response.id.as_ref() == Some(id)
            }
            _ => false,
        }
    }
}
