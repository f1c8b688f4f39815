//! Responses: which run, and which are over so that nothing late of them is passed on.

use std::collections::VecDeque;

use serde_json::json;

use crate::wire::server::ResponseEvent;
use crate::wire::{Response, ServerEvent};

/// A response that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Running {
    id: String,
    /// Out of band: beside the conversation, and beside others.
    aside: bool,
    /// The customer spoke over it.
    interrupted: bool,
}

/// The responses of the session.
#[derive(Debug, Default)]
pub(super) struct Responses {
    asked: Vec<String>,
    running: Vec<Running>,
    over: VecDeque<String>,
    /// Whether the server names the conversation of a response, so that silence means "none".
    tells_conversation: bool,
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

impl Running {
    /// Whether it is the one that the conversation waits for.
    fn is_settled(&self) -> bool {
        !self.aside && !self.interrupted
    }
}

impl Responses {
    /// A `response.create` was sent.
    pub(super) fn asked(&mut self, event_id: &str) {
        if self.asked.len() == REMEMBERED {
            self.asked.remove(0);
        }
        self.asked.push(event_id.to_owned());
    }

    /// The server refused an event.
    pub(super) fn refused(&mut self, event_id: &str) {
        self.asked.retain(|asked| asked != event_id);
    }

    /// Judges an event.
    pub(super) fn seen(&mut self, event: &ServerEvent) -> Verdict {
        match event {
            ServerEvent::ResponseCreated(e) => self.created(&e.response),
            ServerEvent::ResponseDone(e) => self.done(&e.response),
            ServerEvent::SpeechStarted(_) => {
                self.running
                    .iter_mut()
                    .for_each(|r| r.interrupted |= !r.aside);
                Verdict::Pass
            }
            // Playout goes on after the response is made.
            ServerEvent::OutputBufferStarted(_)
            | ServerEvent::OutputBufferStopped(_)
            | ServerEvent::OutputBufferCleared(_) => Verdict::Pass,
            other => match other.response_id() {
                Some(id) if self.is_over(id) => Verdict::Late,
                _ => Verdict::Pass,
            },
        }
    }

    fn created(&mut self, response: &Response) -> Verdict {
        if !self.asked.is_empty() {
            self.asked.remove(0);
        }
        let Some(id) = response.id.clone() else {
            return Verdict::Pass;
        };
        if self.is_over(&id) {
            return Verdict::Late;
        }
        if self.running.iter().any(|r| r.id == id) {
            return Verdict::Pass;
        }
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
        self.running.push(Running {
            id,
            aside,
            interrupted: false,
        });
        match forgotten {
            Some(old) => {
                self.remember(old.id.clone());
                Verdict::After(Box::new(cancelled(old.id)))
            }
            None => Verdict::Pass,
        }
    }

    fn done(&mut self, response: &Response) -> Verdict {
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

    fn remember(&mut self, id: String) {
        if self.over.len() == REMEMBERED {
            self.over.pop_front();
        }
        self.over.push_back(id);
    }

    fn is_over(&self, id: &str) -> bool {
        self.over.iter().any(|over| over == id)
    }

    /// Whether a response runs or was asked for.
    pub(super) fn is_busy(&self) -> bool {
        !self.asked.is_empty() || !self.running.is_empty()
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
    }
}

/// The end of a response, as the server should have told it.
fn cancelled(id: String) -> ServerEvent {
    let response = Response {
        id: Some(id),
        object: Some("realtime.response".to_owned()),
        status: Some("cancelled".to_owned()),
        status_details: Some(json!({"type": "cancelled", "reason": "turn_detected"})),
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

    const DELTA: &str = "response.output_text.delta";

    #[test]
    fn nothing_of_a_response_is_passed_after_its_end() {
        let mut responses = Responses::default();
        responses.asked("e1");
        assert_eq!(
            responses.seen(&event("response.created", "a")),
            Verdict::Pass
        );
        assert_eq!(responses.seen(&event(DELTA, "a")), Verdict::Pass);
        assert_eq!(responses.seen(&event("response.done", "a")), Verdict::Pass);
        for late in [DELTA, "response.done", "response.created"] {
            assert_eq!(responses.seen(&event(late, "a")), Verdict::Late, "{late}");
        }
        assert!(!responses.is_busy());
        responses.check();
    }

    #[test]
    fn an_interrupted_response_whose_end_was_forgotten_ends_when_the_next_begins() {
        let mut responses = Responses::default();
        responses.seen(&event("response.created", "a"));
        responses.seen(&event("input_audio_buffer.speech_started", ""));
        let Verdict::After(end) = responses.seen(&event("response.created", "b")) else {
            panic!("the end of a was not told")
        };
        assert_eq!(end.response_id(), Some("a"));
        assert_eq!(responses.seen(&event(DELTA, "a")), Verdict::Late);
        assert_eq!(responses.seen(&event(DELTA, "b")), Verdict::Pass);
        responses.check();
    }

    #[test]
    fn one_beside_the_conversation_ends_nothing_in_it() {
        let mut responses = Responses::default();
        responses.seen(&event("response.created", "a"));
        responses.seen(&event("input_audio_buffer.speech_started", ""));
        let fields = json!({"response": {"id": "b", "conversation_id": null}});
        let fields = serde_json::from_value(fields).expect("a map");
        let beside = ServerEvent::from_fields("response.created", fields);
        assert_eq!(responses.seen(&beside), Verdict::Pass);
        assert_eq!(responses.seen(&event(DELTA, "a")), Verdict::Pass);
        responses.check();
    }

    #[test]
    fn a_response_that_begins_twice_runs_once() {
        let mut responses = Responses::default();
        for _ in 0..2 {
            let begin = event("response.created", "a");
            assert_eq!(responses.seen(&begin), Verdict::Pass);
            responses.check();
        }
        responses.seen(&event("response.done", "a"));
        responses.check();
        assert!(!responses.is_busy());
    }

    #[test]
    fn a_server_that_runs_two_in_the_conversation_is_heard_out() {
        let mut responses = Responses::default();
        for id in ["a", "b"] {
            let begin = event("response.created", id);
            assert_eq!(responses.seen(&begin), Verdict::Pass);
            responses.check();
        }
        for id in ["b", "a"] {
            assert_eq!(responses.seen(&event(DELTA, id)), Verdict::Pass);
            assert_eq!(responses.seen(&event("response.done", id)), Verdict::Pass);
        }
        assert!(!responses.is_busy());
    }

    #[test]
    fn a_server_that_never_ends_anything_fills_no_memory() {
        let mut responses = Responses::default();
        for n in 0..10 * REMEMBERED {
            responses.seen(&event("response.created", &n.to_string()));
            responses.check();
        }
        assert_eq!(responses.running.len(), REMEMBERED);
    }
}
