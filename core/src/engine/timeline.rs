//! When what happened in a turn, from the customer's last word to the agent's first.

use crate::event::local::Timeline as Told;
use crate::wire::{Response, ServerEvent};

/// The turn that waits for its answer to be heard.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    turn: Option<Told>,
}

impl Timeline {
    /// Notes an event. `last_sample_ms` is when the customer's speech that stopped had its end.
    pub(super) fn seen(&mut self, at_ms: u64, event: &ServerEvent, last_sample_ms: Option<u64>) {
        match event {
            ServerEvent::SpeechStopped(_) => {
                self.turn = Some(Told {
                    last_sample_ms,
                    speech_stop_ms: Some(at_ms),
                    ..Told::default()
                });
            }
            ServerEvent::BufferCommitted(_) => {
                let turn = self.turn.take_if(|turn| turn.created_ms.is_none());
                let mut turn = turn.unwrap_or_default();
                turn.commit_ms = Some(at_ms);
                self.turn = Some(turn);
            }
            ServerEvent::ResponseCreated(e) => {
                let turn = self.turn.get_or_insert_default();
                if turn.created_ms.is_none() {
                    turn.created_ms = Some(at_ms);
                    turn.response_id = e.response.id.clone().unwrap_or_default();
                }
            }
            ServerEvent::AudioDelta(e) => {
                let turn = self.turn.as_mut();
                if let Some(turn) = turn.filter(|turn| turn.response_id == e.response_id) {
                    turn.first_delta_ms.get_or_insert(at_ms);
                }
            }
            ServerEvent::ResponseDone(e) => self.done(&e.response),
            _ => {}
        }
    }

    /// A response that is done and brought no sound: one that calls functions leaves the turn to the
    /// next one, and with any other the turn is over.
    fn done(&mut self, response: &Response) {
        let id = response.id.as_deref().unwrap_or_default();
        let is_silent = |turn: &mut Told| turn.response_id == id && turn.first_delta_ms.is_none();
        let Some(turn) = self.turn.take_if(is_silent) else {
            return;
        };
        if response
            .output
            .iter()
            .any(|item| item.kind == "function_call")
        {
            self.turn = Some(Told {
                response_id: String::new(),
                created_ms: None,
                ..turn
            });
        }
    }

    /// The listener hears a response; returns the turn it answers, once.
    pub(super) fn heard(&mut self, at_ms: u64, response_id: &str) -> Option<Told> {
        let mut turn = self.turn.take_if(|turn| turn.response_id == response_id)?;
        turn.first_heard_ms = Some(at_ms);
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(name: &str, fields: serde_json::Value) -> ServerEvent {
        ServerEvent::from_fields(name, serde_json::from_value(fields).expect("a map"))
    }

    #[test]
    fn a_turn_that_calls_a_function_is_answered_by_the_response_after_it() {
        for (kind, stop_ms) in [("function_call", Some(900)), ("message", None)] {
            let mut timeline = Timeline::default();
            let done = json!({"response": {"id": "f", "output": [{"type": kind}]}});
            let delta = json!({"response_id": "r", "item_id": "i", "delta": "AAAA"});
            for (name, fields) in [
                ("input_audio_buffer.speech_stopped", json!({"item_id": "u"})),
                ("response.created", json!({"response": {"id": "f"}})),
                ("response.done", done),
                ("response.created", json!({"response": {"id": "r"}})),
                ("response.output_audio.delta", delta),
            ] {
                timeline.seen(900, &event(name, fields), None);
            }
            let told = timeline.heard(950, "r").expect("a turn");
            assert_eq!(told.speech_stop_ms, stop_ms, "{kind}");
        }
    }

    #[test]
    fn a_turn_is_told_once_when_its_answer_is_heard() {
        let mut timeline = Timeline::default();
        let response = json!({"response": {"id": "r"}});
        let delta = json!({"response_id": "r", "item_id": "i", "delta": "AAAA"});
        let steps = [
            (
                "input_audio_buffer.speech_stopped",
                json!({"item_id": "u"}),
                900,
            ),
            ("input_audio_buffer.committed", json!({"item_id": "u"}), 901),
            ("response.created", response, 950),
            ("response.output_audio.delta", delta, 1_100),
        ];
        for (name, fields, at_ms) in steps {
            timeline.seen(at_ms, &event(name, fields), Some(400));
        }
        assert_eq!(timeline.heard(1_150, "another"), None);
        let told = timeline.heard(1_180, "r").expect("a turn");
        let times = [
            told.last_sample_ms,
            told.speech_stop_ms,
            told.commit_ms,
            told.created_ms,
            told.first_heard_ms,
        ];
        assert_eq!(times.map(Option::unwrap), [400, 900, 901, 950, 1_180]);
        assert_eq!(timeline.heard(1_200, "r"), None);
    }
}
