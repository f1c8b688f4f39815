//! Who had the floor: interruptions by the customer, and the times of each turn.

use serde::Serialize;
use talkwire_core::event::Event;
use talkwire_core::event::local::{Cut, Local};

/// One of the agent's items that the customer interrupted. Durations in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct BargeIn {
    /// The agent's item; null where the agent was interrupted before it had one.
    pub(crate) item_id: Option<String>,
    /// Audio that came of it.
    pub(crate) received_ms: u64,
    /// Audio that was heard of it.
    pub(crate) heard_ms: u64,
    /// Where the server was told to cut it; null when nothing was heard and it is deleted.
    pub(crate) truncated_ms: Option<u64>,
    /// From the confirmation to the first silence on the line; null when the call ended before.
    pub(crate) silence_after_ms: Option<u64>,
}

/// The times of one turn that was answered aloud, on the clock of the call; null where a step did
/// not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Turn {
    pub(crate) speech_stop_ms: Option<u64>,
    pub(crate) first_delta_ms: Option<u64>,
    pub(crate) first_heard_ms: Option<u64>,
}

/// An interruption, and what it cut.
#[derive(Debug)]
struct Interruption {
    at_ms: u64,
    cuts: Vec<Cut>,
}

/// Interruptions and turns of a call.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    interruptions: Vec<Interruption>,
    turns: Vec<Turn>,
    /// When the line was found silent, in order.
    silent_ms: Vec<u64>,
}

impl Floor {
    /// Notes an event.
    pub(crate) fn seen(&mut self, event: &Event) {
        match event.own() {
            Some(Local::Confirmed(_)) => self.interruptions.push(Interruption {
                at_ms: event.at_ms(),
                cuts: Vec::new(),
            }),
            Some(Local::Cut(cut)) => {
                if let Some(last) = self.interruptions.last_mut() {
                    last.cuts.push(cut.clone());
                }
            }
            Some(Local::Timeline(turn)) => self.turns.push(Turn {
                speech_stop_ms: turn.speech_stop_ms,
                first_delta_ms: turn.first_delta_ms,
                first_heard_ms: turn.first_heard_ms,
            }),
            _ => {}
        }
    }

    /// The line was silent at the end of what was taken from it at `at_ms`.
    pub(crate) fn silent(&mut self, at_ms: u64) {
        self.silent_ms.push(at_ms);
    }

    /// The items that were interrupted, in order.
    pub(crate) fn barge_ins(&self) -> Vec<BargeIn> {
        let of = |interruption: &Interruption| -> Vec<BargeIn> {
            let (at_ms, cuts) = (interruption.at_ms, &interruption.cuts);
            let after = self.silent_ms.iter().find(|silent_ms| **silent_ms >= at_ms);
            let silence_after_ms = after.map(|silent_ms| silent_ms - at_ms);
            let nothing = BargeIn {
                item_id: None,
                received_ms: 0,
                heard_ms: 0,
                truncated_ms: None,
                silence_after_ms,
            };
            if cuts.is_empty() {
                return vec![nothing];
            }
            let cut = |cut: &Cut| BargeIn {
                item_id: Some(cut.item_id.clone()),
                received_ms: cut.received_ms,
                heard_ms: cut.heard_ms,
                truncated_ms: cut.truncated_ms,
                silence_after_ms,
            };
            cuts.iter().map(cut).collect()
        };
        self.interruptions.iter().flat_map(of).collect()
    }

    /// The turns that were answered aloud, in order.
    pub(crate) fn turns(&self) -> &[Turn] {
        &self.turns
    }
}

#[cfg(test)]
mod tests {
    use talkwire_core::event::local::{BargeIn as Told, Timeline};

    use super::*;

    fn confirmed(floor: &mut Floor, at_ms: u64) {
        let told = Local::Confirmed(Told::default());
        floor.seen(&Event::local(at_ms, told));
    }

    #[test]
    fn an_interruption_has_what_it_cut_and_the_first_silence_after_it() {
        let mut floor = Floor::default();
        [100, 120].into_iter().for_each(|at_ms| floor.silent(at_ms));
        confirmed(&mut floor, 500);
        // The line is noted before the event is read, or after it.
        [512, 532].into_iter().for_each(|at_ms| floor.silent(at_ms));
        let cut = Cut {
            item_id: "a".to_owned(),
            received_ms: 900,
            heard_ms: 400,
            truncated_ms: Some(400),
            ..Cut::default()
        };
        floor.seen(&Event::local(501, Local::Cut(cut)));
        confirmed(&mut floor, 700);
        let all = floor.barge_ins();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].item_id.as_deref(), Some("a"));
        assert_eq!((all[0].received_ms, all[0].heard_ms), (900, 400));
        assert_eq!(all[0].truncated_ms, Some(400));
        assert_eq!(all[0].silence_after_ms, Some(12));
        assert_eq!((&all[1].item_id, all[1].silence_after_ms), (&None, None));
    }

    #[test]
    fn turns_are_those_of_the_timeline() {
        let mut floor = Floor::default();
        let turn = Timeline {
            speech_stop_ms: Some(1),
            first_delta_ms: Some(2),
            first_heard_ms: Some(3),
            ..Timeline::default()
        };
        floor.seen(&Event::local(3, Local::Timeline(turn)));
        let turns = serde_json::to_string(floor.turns()).expect("JSON");
        let wanted = r#"[{"speech_stop_ms":1,"first_delta_ms":2,"first_heard_ms":3}]"#;
        assert_eq!(turns, wanted);
    }
}
