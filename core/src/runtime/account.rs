//! What a session did so far, for anybody to look at: its conversation, its cost, its numbers. The
//! session's task writes it before it tells the events, so who has read an event finds it in here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::audio::format::Format;
use crate::engine::Engine;
use crate::engine::history::Segment;
use crate::engine::io::{Effect, Frame, Input};
use crate::event::local::{Local, Timeline};
use crate::event::{Event, Usage};
use crate::stats::Stats;
use crate::wire::ServerEvent;

/// The account of a session; still there when the session is over.
#[derive(Debug, Default)]
pub(crate) struct Account(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    history: Vec<Arc<Segment>>,
    usage: Usage,
    stats: Stats,
    /// Of what can be appended; none before the server has told its settings.
    input_format: Option<Format>,
}

impl Account {
    pub(crate) fn history(&self) -> Vec<Arc<Segment>> {
        self.lock().history.clone()
    }

    pub(crate) fn usage(&self) -> Usage {
        self.lock().usage
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().stats
    }

    pub(crate) fn input_format(&self) -> Option<Format> {
        self.lock().input_format
    }

    /// Counts what goes into the engine.
    pub(super) fn input(&self, at_ms: u64, input: &Input) {
        let stats = &mut self.lock().stats;
        stats.age_ms = at_ms;
        match input {
            Input::Text(..) | Input::Binary(..) => stats.frames_received += 1,
            Input::LinkUp(_) => stats.links += 1,
            _ => {}
        }
    }

    /// Counts what came out of it, and writes down what has changed.
    pub(super) fn effects(&self, engine: &mut Engine, effects: &[Effect]) {
        let mut state = self.lock();
        let State {
            history,
            usage,
            stats,
            input_format,
        } = &mut *state;
        if let Some(first) = engine.changed_from() {
            history.truncate(first);
            history.extend_from_slice(&engine.segments()[first..]);
        }
        *usage = engine.usage();
        for effect in effects {
            match effect {
                Effect::Send(_, frame) => sent(stats, frame),
                Effect::Emit(event) => {
                    told(stats, event);
                    if tells_settings(event) {
                        *input_format = Some(engine.input_format());
                    }
                }
                _ => {}
            }
        }
    }

    /// A panic elsewhere must not hide what was done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sent(stats: &mut Stats, frame: &Frame) {
    match frame {
        Frame::Text(_) => stats.frames_sent += 1,
        Frame::Audio(_, ms) => {
            stats.frames_sent += 1;
            stats.audio_sent_ms += ms;
        }
        Frame::Ping => {}
    }
}

fn told(stats: &mut Stats, event: &Event) {
    match event.own() {
        Some(Local::Confirmed(_)) => stats.barge_ins += 1,
        Some(Local::ToolCall(_)) => stats.tool_calls += 1,
        Some(Local::Fault(_)) => stats.faults += 1,
        Some(Local::Timeline(turn)) => answered(stats, turn),
        Some(Local::Rolled(_)) => stats.rollovers += 1,
        Some(Local::Lost(_)) => stats.losses += 1,
        Some(Local::Recovered(_)) => stats.recoveries += 1,
        Some(Local::UplinkGap { dropped_ms }) => stats.audio_dropped_ms += dropped_ms,
        Some(Local::RoundTrip { ms }) => {
            stats.round_trips += 1;
            stats.round_trip_ms = *ms;
        }
        Some(_) => {}
        None => stats.audio_received_ms += event.audio_ms(),
    }
    if matches!(event.server(), Some(ServerEvent::Error(_))) {
        stats.server_errors += 1;
    }
}

fn tells_settings(event: &Event) -> bool {
    use ServerEvent::{SessionCreated, SessionUpdated};
    matches!(event.server(), Some(SessionCreated(_) | SessionUpdated(_)))
}

fn answered(stats: &mut Stats, turn: &Timeline) {
    let asked_ms = turn.last_sample_ms.or(turn.speech_stop_ms);
    let asked_ms = asked_ms.or(turn.commit_ms).or(turn.created_ms);
    let (Some(asked_ms), Some(heard_ms)) = (asked_ms, turn.first_heard_ms) else {
        return;
    };
    let ms = heard_ms.saturating_sub(asked_ms);
    stats.answers += 1;
    stats.answer_ms = ms;
    stats.answer_max_ms = stats.answer_max_ms.max(ms);
    stats.answer_sum_ms += ms;
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::dialect::Dialect;
    use crate::engine::io::LinkId;
    use crate::options::Options;

    fn engine() -> Engine {
        let dialect = Dialect::named("openai").expect("built in");
        Engine::new(dialect, Options::default(), 1).expect("valid")
    }

    #[test]
    fn frames_sound_and_answers_are_counted() {
        let (account, mut engine) = (Account::default(), engine());
        account.input(40, &Input::Text(LinkId(1), "{}".into()));
        account.input(50, &Input::Timeout);
        let turn = |asked_ms, heard_ms| {
            let turn = Timeline {
                last_sample_ms: Some(asked_ms),
                first_heard_ms: Some(heard_ms),
                ..Timeline::default()
            };
            Effect::Emit(Event::local(0, Local::Timeline(turn)))
        };
        let audio = Frame::Audio(Bytes::from_static(b"1234"), 20);
        let effects = [
            Effect::Send(LinkId(1), audio),
            Effect::Send(LinkId(1), Frame::Ping),
            turn(100, 900),
            turn(1_000, 1_300),
            Effect::Emit(Event::local(0, Local::UplinkGap { dropped_ms: 7 })),
            Effect::Emit(Event::local(0, Local::RoundTrip { ms: 12 })),
        ];
        account.effects(&mut engine, &effects);
        let stats = account.stats();
        assert_eq!((stats.age_ms, stats.frames_received), (50, 1));
        assert_eq!((stats.frames_sent, stats.audio_sent_ms), (1, 20));
        assert_eq!(stats.audio_dropped_ms, 7);
        let answers = (stats.answers, stats.answer_ms, stats.answer_max_ms);
        assert_eq!(answers, (2, 300, 800));
        assert_eq!(stats.answer_sum_ms, 1_100);
        assert_eq!((stats.round_trips, stats.round_trip_ms), (1, 12));
    }
}
