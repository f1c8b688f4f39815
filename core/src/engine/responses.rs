//! Responses: which run, which wait for their turn, and which are over so that nothing late of them
//! is passed on.
//!
//! ```text
//! wish --free--> Asked --created--> Running --done--> over
//!   |              ^ \                  \
//!   +--busy--> Waiting <--refused once   +--discarded: its deltas reach nobody
//! ```

mod wishes;

use std::collections::VecDeque;

use serde_json::json;

use super::io::Ticket;
use crate::wire::server::ResponseEvent;
use crate::wire::{Response, ServerEvent};
use wishes::Asked;
pub(super) use wishes::{Granted, Wish};

/// A response that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Running {
    id: String,
    /// Out of band: beside the conversation, and beside others.
    aside: bool,
    /// The customer spoke over it, and the server cancels it for that.
    interrupted: bool,
    /// Nobody shall hear or read more of it.
    discarded: bool,
    /// Whether the conversation is as it was when this one began.
    fresh: bool,
    /// Whether something of it came.
    has_begun: bool,
}

/// A response that a change of link has cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub id: String,
    /// Whether the conversation waits for it and nobody has interrupted it.
    pub is_wanted: bool,
    /// Whether something of it came.
    pub has_begun: bool,
}

/// The responses of the session.
#[derive(Debug, Default)]
pub(super) struct Responses {
    asked: VecDeque<Asked>,
    waiting: VecDeque<Wish>,
    running: Vec<Running>,
    over: VecDeque<String>,
    /// Whether the server names the conversation of a response, so that silence means "none".
    tells_conversation: bool,
    /// Responses that began and that nobody wants.
    unwanted: Vec<String>,
    /// Who waited for the response that just began beside the one who asked, with its id.
    begun: Vec<(Ticket, String)>,
    /// The request that the response that just began answers.
    granted: Option<String>,
    /// Wishes that another response served: the server may still refuse them.
    served: VecDeque<String>,
    /// A turn of the customer ended and the server answers that by itself.
    expects_answer: bool,
    /// The server says that a response runs of which we know nothing.
    is_blocked: bool,
}

/// What is to be done with an event of a response.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Give it to the application.
    Pass,
    /// It is late: its response is over.
    Late,
    /// Give it on, after the end of an earlier response that its server forgot to report.
    After(Box<ServerEvent>),
}

/// Late events come within moments, and no server runs so many at once; more would only cost.
const REMEMBERED: usize = 64;

/// Why a server cancels a response that was spoken over.
pub(super) const TURN_DETECTED: &str = "turn_detected";

/// Why a response is over whose link is gone: its rest, or all of it, is still to come.
pub(super) const LINK_CHANGED: &str = "link_changed";

impl Running {
    /// Whether it is the one that the conversation waits for.
    fn is_settled(&self) -> bool {
        !self.aside && !self.interrupted
    }
}

impl Responses {
    // ---- a change of link ---------------------------------------------------------------------

    /// Whether the server owes an answer that it has not begun.
    pub(super) fn is_awaited(&self) -> bool {
        self.expects_answer
    }

    /// The link is gone: what was asked for waits once more, and what ran is over. `ticket_of` gives
    /// back who waits for the answer to an event. Returns also who waits for what nobody wants any
    /// more: it will not begin.
    pub(super) fn carry(
        &mut self,
        mut ticket_of: impl FnMut(&str) -> Option<Ticket>,
    ) -> (Vec<Gone>, Vec<Ticket>) {
        let mut dropped = Vec::new();
        for asked in std::mem::take(&mut self.asked).into_iter().rev() {
            let Some(mut wish) = asked.wish else {
                continue;
            };
            if let Some(ticket) = ticket_of(&asked.event_id) {
                wish.tickets.insert(0, ticket);
            }
            if asked.is_orphan {
                dropped.append(&mut wish.tickets);
                continue;
            }
            wish.is_refused = false;
            self.waiting.push_front(wish);
        }
        let running = std::mem::take(&mut self.running);
        running.iter().for_each(|r| self.remember(r.id.clone()));
        self.served.clear();
        self.unwanted.clear();
        (
            self.expects_answer,
            self.is_blocked,
            self.tells_conversation,
        ) = (false, false, false);
        let gone = |r: Running| Gone {
            is_wanted: r.is_settled() && !r.discarded,
            id: r.id,
            has_begun: r.has_begun,
        };
        (running.into_iter().map(gone).collect(), dropped)
    }

    /// Those whose response has begun, with its id.
    pub(super) fn begun(&mut self) -> Vec<(Ticket, String)> {
        std::mem::take(&mut self.begun)
    }

    /// Responses that began and are to be cancelled.
    pub(super) fn unwanted(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unwanted)
    }

    /// The conversation has changed: what runs does not answer to that.
    pub(super) fn changed(&mut self) {
        self.running.iter_mut().for_each(|r| r.fresh = false);
    }

    // ---- what the server says -----------------------------------------------------------------

    /// Judges an event. By itself, the server may interrupt for speech, and `answers` after it.
    pub(super) fn seen(&mut self, event: &ServerEvent, interrupts: bool, answers: bool) -> Verdict {
        match event {
            ServerEvent::ResponseCreated(e) => self.created(&e.response),
            ServerEvent::ResponseDone(e) => self.done(&e.response),
            ServerEvent::SpeechStarted(_) if interrupts => {
                self.running
                    .iter_mut()
                    .for_each(|r| r.interrupted |= !r.aside);
                Verdict::Pass
            }
            ServerEvent::BufferCommitted(_) => {
                self.changed();
                Verdict::Pass
            }
            ServerEvent::SpeechStopped(_) => {
                self.expects_answer = answers;
                Verdict::Pass
            }
            // Playout goes on after the response is made.
            ServerEvent::OutputBufferStarted(_)
            | ServerEvent::OutputBufferStopped(_)
            | ServerEvent::OutputBufferCleared(_) => Verdict::Pass,
            other => match other.response_id() {
                Some(id) if self.is_over(id) => Verdict::Late,
                Some(id) if is_delta(other) && self.is_discarded(id) => Verdict::Late,
                Some(id) if is_delta(other) => {
                    let id = id.to_owned();
                    let mut running = self.running.iter_mut();
                    running
                        .find(|r| r.id == id)
                        .iter_mut()
                        .for_each(|r| r.has_begun = true);
                    Verdict::Pass
                }
                _ => Verdict::Pass,
            },
        }
    }

    fn created(&mut self, response: &Response) -> Verdict {
        self.is_blocked = false;
        let Some(id) = response.id.clone() else {
            let asked = self.answered();
            self.granted = asked.as_ref().map(|asked| asked.event_id.clone());
            self.begin(asked, "");
            return Verdict::Pass;
        };
        if self.is_over(&id) {
            return Verdict::Late;
        }
        if self.running.iter().any(|r| r.id == id) {
            return Verdict::Pass;
        }
        let asked = self.answered();
        self.granted = asked.as_ref().map(|asked| asked.event_id.clone());
        let is_told = response.conversation_id.is_some();
        let says_aside = response.extra.get("conversation") == Some(&json!("none"))
            || (self.tells_conversation && !is_told);
        self.tells_conversation |= is_told;
        // One beside the conversation says nothing of the one in it.
        let forgotten = self.running.iter().position(|r| r.interrupted);
        let forgotten = forgotten.filter(|_| !says_aside);
        let forgotten = forgotten.map(|i| self.running.remove(i));
        // A server that runs two in the conversation at once breaks its own rule; taking the second
        // for one beside it loses nothing of either.
        let aside = says_aside || self.running.iter().any(Running::is_settled);
        if self.running.len() == REMEMBERED {
            self.running.remove(0);
        }
        let discarded = asked.as_ref().is_some_and(|asked| asked.is_orphan);
        if discarded {
            self.unwanted.push(id.clone());
        }
        self.begin(asked, &id);
        self.running.push(Running {
            id,
            aside,
            interrupted: false,
            discarded,
            fresh: true,
            has_begun: false,
        });
        match forgotten {
            Some(old) => {
                self.remember(old.id.clone());
                Verdict::After(Box::new(cancelled(old.id, TURN_DETECTED)))
            }
            None => Verdict::Pass,
        }
    }

    /// Those who waited for a response beside the one who asked know it now.
    fn begin(&mut self, asked: Option<Asked>, id: &str) {
        let tickets = asked
            .and_then(|a| a.wish)
            .map_or_else(Vec::new, |w| w.tickets);
        let told = tickets.into_iter().map(|ticket| (ticket, id.to_owned()));
        self.begun.extend(told);
    }

    /// Which request a response that begins answers. Servers do not say; what is wanted comes
    /// before what nobody waits for, and after a turn of the customer the server answers that.
    fn answered(&mut self) -> Option<Asked> {
        let expects_answer = std::mem::take(&mut self.expects_answer);
        let is_plain = |asked: &Asked| asked.wish.as_ref().is_none_or(|wish| wish.is_plain);
        let at = self
            .asked
            .iter()
            .position(|asked| !asked.is_orphan && (!expects_answer || is_plain(asked)));
        let at = at.or_else(|| {
            self.asked
                .iter()
                .position(|a| a.is_orphan && !expects_answer)
        });
        let asked = at.and_then(|at| self.asked.remove(at))?;
        if expects_answer {
            if self.served.len() == REMEMBERED {
                self.served.pop_front();
            }
            self.served.push_back(asked.event_id.clone());
        }
        Some(asked)
    }

    /// The request that the event just seen answers by beginning a response.
    pub(super) fn granted(&mut self) -> Option<String> {
        self.granted.take()
    }

    fn done(&mut self, response: &Response) -> Verdict {
        self.is_blocked = false;
        let Some(id) = &response.id else {
            self.running.pop();
            return Verdict::Pass;
        };
        if self.is_over(id) {
            return Verdict::Late;
        }
        self.running.retain(|r| r.id != *id);
        self.remember(id.clone());
        Verdict::Pass
    }

    // ---- interruption -------------------------------------------------------------------------

    /// Lets nobody hear or read more of the responses in the conversation; returns those that the
    /// server is to cancel: all, unless it `cancels` those that were spoken over by itself.
    pub(super) fn discard(&mut self, cancels: bool) -> Vec<String> {
        let mut running = Vec::new();
        for response in self.running.iter_mut().filter(|r| !r.aside) {
            let is_cancelled = cancels && response.interrupted;
            if !is_cancelled && !response.discarded {
                running.push(response.id.clone());
            }
            response.discarded = true;
        }
        running
    }

    /// Whether a response of the conversation runs that somebody still wants.
    pub(super) fn has_floor(&self) -> bool {
        self.running.iter().any(|r| !r.aside && !r.discarded)
    }

    /// Whether nothing more of a response will reach anybody.
    pub(super) fn is_finished(&self, id: &str) -> bool {
        self.is_over(id) || self.is_discarded(id)
    }

    fn is_discarded(&self, id: &str) -> bool {
        self.running.iter().any(|r| r.id == id && r.discarded)
    }

    fn remember(&mut self, id: String) {
        if self.over.len() == REMEMBERED {
            self.over.pop_front();
        }
        self.over.push_back(id);
    }

    /// The responses that are over, as far as they are remembered.
    pub(super) fn past_ids(&self) -> impl Iterator<Item = &String> {
        self.over.iter()
    }

    fn is_over(&self, id: &str) -> bool {
        self.over.iter().any(|over| over == id)
    }

    /// Whether a response runs or is waited for.
    pub(super) fn is_busy(&self) -> bool {
        self.asked.iter().any(|asked| !asked.is_orphan)
            || !self.running.is_empty()
            || !self.waiting.is_empty()
    }

    pub(super) fn check(&self) {
        for running in &self.running {
            assert!(
                !self.is_over(&running.id),
                "I3: a response is over or runs, not both"
            );
        }
        let settled = self.running.iter().filter(|r| r.is_settled()).count();
        assert!(
            settled <= 1,
            "I4: at most one response runs in the conversation"
        );
        let asked = self.asked.iter().filter(|a| a.wish.is_some()).count();
        assert!(asked <= 1, "I10: wishes are sent one at a time");
    }
}

/// Whether an event brings something to be heard or read.
fn is_delta(event: &ServerEvent) -> bool {
    matches!(
        event,
        ServerEvent::AudioDelta(_)
            | ServerEvent::TextDelta(_)
            | ServerEvent::TranscriptDelta(_)
            | ServerEvent::ArgumentsDelta(_)
            | ServerEvent::McpArgumentsDelta(_)
    )
}

/// The end of a response, as the server should have told it.
pub(super) fn cancelled(id: String, reason: &str) -> ServerEvent {
    let response = Response {
        id: Some(id),
        object: Some("realtime.response".to_owned()),
        status: Some("cancelled".to_owned()),
        status_details: Some(json!({"type": "cancelled", "reason": reason})),
        ..Response::default()
    };
    ServerEvent::ResponseDone(ResponseEvent { response })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Map;

    fn event(name: &str, id: &str) -> ServerEvent {
        let fields = match name {
            "response.created" | "response.done" => {
                json!({"response": {"id": id, "conversation_id": "c"}})
            }
            _ => json!({"response_id": id, "delta": "x"}),
        };
        let fields: Map = serde_json::from_value(fields).expect("a map");
        ServerEvent::from_fields(name, fields)
    }

    /// Of a server that interrupts and answers by itself.
    fn seen(responses: &mut Responses, event: &ServerEvent) -> Verdict {
        let verdict = responses.seen(event, true, true);
        responses.check();
        verdict
    }

    const DELTA: &str = "response.output_text.delta";

    #[test]
    fn nothing_of_a_response_is_passed_after_its_end() {
        let mut responses = Responses::default();
        responses.asked("e1");
        assert_eq!(
            seen(&mut responses, &event("response.created", "a")),
            Verdict::Pass
        );
        assert_eq!(seen(&mut responses, &event(DELTA, "a")), Verdict::Pass);
        assert_eq!(
            seen(&mut responses, &event("response.done", "a")),
            Verdict::Pass
        );
        for late in [DELTA, "response.done", "response.created"] {
            assert_eq!(
                seen(&mut responses, &event(late, "a")),
                Verdict::Late,
                "{late}"
            );
        }
        assert!(!responses.is_busy());
        responses.check();
    }

    #[test]
    fn an_interrupted_response_whose_end_was_forgotten_ends_when_the_next_begins() {
        let mut responses = Responses::default();
        seen(&mut responses, &event("response.created", "a"));
        seen(
            &mut responses,
            &event("input_audio_buffer.speech_started", ""),
        );
        let Verdict::After(end) = seen(&mut responses, &event("response.created", "b")) else {
            panic!("the end of a was not told")
        };
        assert_eq!(end.response_id(), Some("a"));
        assert_eq!(seen(&mut responses, &event(DELTA, "a")), Verdict::Late);
        assert_eq!(seen(&mut responses, &event(DELTA, "b")), Verdict::Pass);
        responses.check();
    }

    #[test]
    fn one_beside_the_conversation_ends_nothing_in_it() {
        let mut responses = Responses::default();
        seen(&mut responses, &event("response.created", "a"));
        seen(
            &mut responses,
            &event("input_audio_buffer.speech_started", ""),
        );
        let fields = json!({"response": {"id": "b", "conversation_id": null}});
        let fields = serde_json::from_value(fields).expect("a map");
        let beside = ServerEvent::from_fields("response.created", fields);
        assert_eq!(seen(&mut responses, &beside), Verdict::Pass);
        assert_eq!(seen(&mut responses, &event(DELTA, "a")), Verdict::Pass);
        responses.check();
    }

    #[test]
    fn a_response_that_begins_twice_runs_once() {
        let mut responses = Responses::default();
        for _ in 0..2 {
            let begin = event("response.created", "a");
            assert_eq!(seen(&mut responses, &begin), Verdict::Pass);
            responses.check();
        }
        seen(&mut responses, &event("response.done", "a"));
        responses.check();
        assert!(!responses.is_busy());
    }

    #[test]
    fn a_server_that_runs_two_in_the_conversation_is_heard_out() {
        let mut responses = Responses::default();
        for id in ["a", "b"] {
            let begin = event("response.created", id);
            assert_eq!(seen(&mut responses, &begin), Verdict::Pass);
            responses.check();
        }
        for id in ["b", "a"] {
            assert_eq!(seen(&mut responses, &event(DELTA, id)), Verdict::Pass);
            assert_eq!(
                seen(&mut responses, &event("response.done", id)),
                Verdict::Pass
            );
        }
        assert!(!responses.is_busy());
    }

    #[test]
    fn a_server_that_never_ends_anything_fills_no_memory() {
        let mut responses = Responses::default();
        for n in 0..10 * REMEMBERED {
            seen(&mut responses, &event("response.created", &n.to_string()));
            responses.check();
        }
        assert_eq!(responses.running.len(), REMEMBERED);
    }
}
