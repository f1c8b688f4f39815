//! Silence: of a customer who says nothing after an answer, and of an agent whose answer does not
//! begin to come.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::wire::session::take;
use crate::wire::{Map, ServerEvent};

/// Where the settings of a session have it.
const IDLE_TIMEOUT: &str = "/audio/input/turn_detection/idle_timeout_ms";

/// What the agent is told, after the instructions of the session.
pub(super) const PROMPT: &str =
    "The caller has said nothing for a while. Ask briefly whether they are still there.";

/// Who is silent, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silent {
    Customer(Duration),
    Agent(Duration),
}

/// The clocks of silence. That of the customer runs from the end of an answer, as it is heard, until
/// somebody speaks; that of the agent from the beginning of a response to its first piece.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// What the application wants told.
    customer: Option<Duration>,
    agent: Option<Duration>,
    /// Since when a response has begun and brought nothing.
    awaited: Option<Instant>,
    timeout: Option<Duration>,
    /// When the first sound of the answer came, and how long all of it lasts.
    sounds: Option<(Instant, Duration)>,
    /// Since when nobody speaks.
    since: Option<Instant>,
}

impl Watch {
    /// Clocks that ring after these times; 0 is never.
    pub(super) fn new(customer_ms: u64, agent_ms: u64) -> Self {
        let some = |ms: u64| (ms > 0).then(|| Duration::from_millis(ms.min(86_400_000)));
        Self {
            customer: some(customer_ms),
            agent: some(agent_ms),
            ..Self::default()
        }
    }

    /// Takes the timeout out of a patch of the session, for a server that knows none.
    pub(super) fn take_over(&mut self, patch: &mut Map) {
        let detection = patch
            .get("audio")
            .and_then(|a| a.get("input")?.get("turn_detection"));
        if detection.is_some_and(Value::is_null) {
            self.timeout = None;
        }
        if let Some(asked) = take(patch, IDLE_TIMEOUT) {
            let ms = asked.as_u64().filter(|ms| *ms > 0);
            self.timeout = ms.map(Duration::from_millis);
        }
    }

    /// Notes what an event says of silence. `audio_ms` is how long its audio lasts.
    pub(super) fn seen(&mut self, now: Instant, event: &ServerEvent, audio_ms: u64) {
        match event {
            ServerEvent::ResponseCreated(_) => {
                self.since = None;
                self.sounds = None;
                self.awaited = Some(now);
            }
            ServerEvent::TextDelta(_)
            | ServerEvent::TranscriptDelta(_)
            | ServerEvent::ArgumentsDelta(_)
            | ServerEvent::McpArgumentsDelta(_) => self.awaited = None,
            ServerEvent::AudioDelta(_) => {
                self.awaited = None;
                let (_, lasts) = self.sounds.get_or_insert((now, Duration::ZERO));
                *lasts += Duration::from_millis(audio_ms);
            }
            ServerEvent::ResponseDone(_) => {
                self.awaited = None;
                let heard = self.sounds.take().map_or(now, |(from, lasts)| from + lasts);
                self.since = Some(heard.max(now));
            }
            ServerEvent::SpeechStarted(_) => self.since = None,
            _ => {}
        }
    }

    /// When the next clock rings.
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.customer_due(), self.agent_due()]
            .into_iter()
            .flatten()
            .min()
    }

    fn customer_due(&self) -> Option<Instant> {
        Some(self.since? + self.timeout.or(self.customer)?)
    }

    fn agent_due(&self) -> Option<Instant> {
        Some(self.awaited? + self.agent?)
    }

    /// Whose clock rings; each rings once.
    pub(super) fn due(&mut self, now: Instant) -> Option<Silent> {
        if self.customer_due().is_some_and(|due| now >= due) {
            self.since = None;
            return self.timeout.or(self.customer).map(Silent::Customer);
        }
        if self.agent_due().is_some_and(|due| now >= due) {
            self.awaited = None;
            return self.agent.map(Silent::Agent);
        }
        None
    }

    /// Watches no more.
    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use serde_json::json;

    use crate::wire::server::AudioDelta;

    fn event(name: &str) -> ServerEvent {
        ServerEvent::from_fields(name, Map::new())
    }

    fn wants(ms: Value) -> Map {
        let detection = json!({"type": "server_vad", "idle_timeout_ms": ms});
        let patch = json!({"audio": {"input": {"turn_detection": detection}}});
        patch.as_object().expect("an object").clone()
    }

    fn watching() -> Watch {
        let mut watch = Watch::default();
        let mut patch = wants(json!(6_000));
        watch.take_over(&mut patch);
        let detection = &patch["audio"]["input"]["turn_detection"];
        assert_eq!(*detection, json!({"type": "server_vad"}));
        watch
    }

    #[test]
    fn the_prompt_is_due_once_and_counted_from_what_is_heard() {
        let (mut watch, now) = (watching(), Instant::now());
        assert_eq!(watch.deadline(), None, "nobody has spoken yet");
        watch.seen(now, &event("response.created"), 0);
        let sound = ServerEvent::AudioDelta(AudioDelta {
            audio: Bytes::from_static(&[0, 0]),
            ..AudioDelta::default()
        });
        watch.seen(now, &sound, 1_500);
        watch.seen(now, &sound, 500);
        watch.seen(now, &event("response.done"), 0);
        let due = now + Duration::from_secs(8);
        assert_eq!(watch.deadline(), Some(due));
        assert_eq!(watch.due(due - Duration::from_millis(1)), None);
        assert_eq!(
            watch.due(due),
            Some(Silent::Customer(Duration::from_secs(6)))
        );
        assert_eq!(watch.due(due), None);
    }

    #[test]
    fn whoever_speaks_and_whoever_turns_it_off_stops_the_clock() {
        let now = Instant::now();
        let ends: [fn(&mut Watch); 4] = [
            |watch| {
                watch.seen(
                    Instant::now(),
                    &event("input_audio_buffer.speech_started"),
                    0,
                )
            },
            |watch| watch.take_over(&mut wants(Value::Null)),
            |watch| {
                let off = json!({"audio": {"input": {"turn_detection": null}}});
                watch.take_over(&mut off.as_object().expect("an object").clone());
            },
            Watch::stop,
        ];
        for end in ends {
            let mut watch = watching();
            watch.seen(now, &event("response.done"), 0);
            assert!(watch.deadline().is_some());
            end(&mut watch);
            assert_eq!(watch.deadline(), None);
        }
    }

    #[test]
    fn an_answer_that_does_not_begin_to_come_is_told_once() {
        let (mut watch, now) = (Watch::new(0, 5_000), Instant::now());
        let due = now + Duration::from_secs(5);
        watch.seen(now, &event("response.created"), 0);
        assert_eq!(watch.deadline(), Some(due));
        assert_eq!(watch.due(due), Some(Silent::Agent(Duration::from_secs(5))));
        assert_eq!(watch.due(due), None);
        for ends in ["response.output_text.delta", "response.done"] {
            watch.seen(now, &event("response.created"), 0);
            watch.seen(now, &event(ends), 0);
            assert_eq!(watch.deadline(), None, "{ends}");
        }
    }
}
