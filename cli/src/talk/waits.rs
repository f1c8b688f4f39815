//! What a call still waits for.

use std::collections::BTreeSet;

use talkwire_core::event::local::Local;
use talkwire_core::event::{Body, Event};
use talkwire_core::wire::{ClientEvent, ServerEvent};

/// Turns without an answer, answers without an end, speech without a transcript.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    is_speaking: bool,
    /// A turn was detected and the server will answer it by itself.
    is_owed: bool,
    /// Requests for a response that did not begin yet.
    asked: u32,
    running: BTreeSet<String>,
    unheard: BTreeSet<String>,
    turns: u32,
    answers: u32,
    failure: Option<String>,
    changed_ms: u64,
}

impl Waits {
    /// Notes what was sent.
    pub(crate) fn sent(&mut self, at_ms: u64, event: &ClientEvent) {
        self.changed_ms = at_ms;
        match event {
            ClientEvent::ResponseCreate(_) => self.asked += 1,
            ClientEvent::BufferCommit(_) => self.turns += 1,
            _ => {}
        }
    }

    /// Notes an event; `answers_turns` says that the server answers turns by itself.
    pub(crate) fn seen(&mut self, event: &Event, answers_turns: bool) {
        self.changed_ms = event.at_ms();
        if let Body::Local(Local::Fault(error)) = event.body() {
            self.fail(error.message());
        }
        let Some(event) = event.server() else { return };
        match event {
            ServerEvent::SpeechStarted(_) => self.is_speaking = true,
            ServerEvent::SpeechStopped(e) => {
                self.is_speaking = false;
                self.is_owed = answers_turns;
                self.turns += 1;
                self.unheard.insert(e.item_id.clone());
            }
            ServerEvent::BufferCommitted(e) => {
                self.unheard.insert(e.item_id.clone());
            }
            ServerEvent::TranscriptionCompleted(e) => {
                self.unheard.remove(&e.item_id);
            }
            ServerEvent::TranscriptionFailed(e) => {
                self.unheard.remove(&e.item_id);
                self.failure.get_or_insert_with(|| e.error.message.clone());
            }
            ServerEvent::ResponseCreated(e) => {
                self.is_owed = false;
                self.asked = self.asked.saturating_sub(1);
                self.running.extend(e.response.id.clone());
            }
            ServerEvent::ResponseDone(e) => self.done(e),
            ServerEvent::Error(e) => {
                self.fail(&e.error.message);
            }
            _ => {}
        }
    }

    fn done(&mut self, event: &talkwire_core::wire::server::ResponseEvent) {
        let response = &event.response;
        match &response.id {
            Some(id) => drop(self.running.remove(id)),
            None => self.running.clear(),
        }
        match response.status.as_deref() {
            Some("failed") => {
                let details = response.status_details.as_ref();
                let message = details.and_then(|d| d.pointer("/error/message")?.as_str());
                let message = message.unwrap_or("the server failed to answer");
                self.failure.get_or_insert_with(|| message.to_owned());
            }
            // What the change of a link has cut is still to come.
            Some("cancelled") => self.is_owed |= response.reason() == Some("link_changed"),
            _ => self.answers += 1,
        }
    }

    /// An error of the server. A request that it may be about will not be answered.
    fn fail(&mut self, message: &str) {
        self.failure.get_or_insert_with(|| message.to_owned());
        if self.running.is_empty() {
            self.asked = 0;
        }
    }

    /// Whether nobody speaks and nothing was asked for that did not come.
    pub(crate) fn is_nothing(&self) -> bool {
        !self.is_speaking && !self.is_owed && self.asked == 0 && self.running.is_empty()
    }

    /// Whether a response runs.
    pub(crate) fn is_answering(&self) -> bool {
        !self.running.is_empty()
    }

    /// Whether the customer is being heard.
    pub(crate) fn is_speaking(&self) -> bool {
        self.is_speaking
    }

    /// Whether a transcript of the customer's speech is missing.
    pub(crate) fn is_unheard(&self) -> bool {
        !self.unheard.is_empty()
    }

    /// Turns of the customer that were detected or made.
    pub(crate) fn turns(&self) -> u32 {
        self.turns
    }

    /// Responses that came to their own end.
    pub(crate) fn answers(&self) -> u32 {
        self.answers
    }

    /// What went wrong first.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Milliseconds since anything happened.
    pub(crate) fn quiet_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.changed_ms)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use talkwire_core::dialect::Dialect;
    use talkwire_core::event::Origin;

    use super::*;

    fn seen(waits: &mut Waits, frame: serde_json::Value) {
        let dialect = Dialect::default_dialect();
        let decoded = dialect.decode_server(&frame.to_string()).expect("decodes");
        waits.seen(&Event::wire(decoded.event, Origin::default()), true);
    }

    #[test]
    fn a_detected_turn_waits_for_its_answer_and_its_transcript() {
        let mut waits = Waits::default();
        assert!(waits.is_nothing());
        seen(
            &mut waits,
            json!({"type": "input_audio_buffer.speech_started", "item_id": "i"}),
        );
        assert!(waits.is_speaking() && !waits.is_nothing());
        seen(
            &mut waits,
            json!({"type": "input_audio_buffer.speech_stopped", "item_id": "i"}),
        );
        assert!(!waits.is_nothing() && waits.is_unheard());
        seen(
            &mut waits,
            json!({"type": "response.created", "response": {"id": "r"}}),
        );
        assert!(!waits.is_nothing() && waits.is_answering());
        let done = json!({"type": "response.done", "response": {"id": "r", "status": "completed"}});
        seen(&mut waits, done);
        assert!(waits.is_nothing() && waits.is_unheard());
        seen(
            &mut waits,
            json!({
                "type": "conversation.item.input_audio_transcription.completed",
                "item_id": "i", "transcript": "yes",
            }),
        );
        assert!(!waits.is_unheard());
        assert_eq!(
            (waits.turns(), waits.answers(), waits.failure()),
            (1, 1, None)
        );
    }

    #[test]
    fn an_error_ends_the_wait_for_what_was_asked() {
        let mut waits = Waits::default();
        waits.sent(0, &ClientEvent::ResponseCreate(Default::default()));
        assert!(!waits.is_nothing());
        let error = json!({"type": "invalid_request_error", "code": null, "message": "no"});
        seen(&mut waits, json!({"type": "error", "error": error}));
        assert!(waits.is_nothing());
        assert_eq!((waits.answers(), waits.failure()), (0, Some("no")));
    }

    #[test]
    fn a_cancelled_response_is_no_answer_and_a_failed_one_is_a_failure() {
        for (status, failed) in [("cancelled", false), ("failed", true)] {
            let mut waits = Waits::default();
            seen(
                &mut waits,
                json!({"type": "response.created", "response": {"id": "r"}}),
            );
            let response = json!({"id": "r", "status": status});
            seen(
                &mut waits,
                json!({"type": "response.done", "response": response}),
            );
            assert_eq!((waits.answers(), waits.failure().is_some()), (0, failed));
        }
    }
}
