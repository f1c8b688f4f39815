//! Function calls of the model and whether each was answered. Running them is the application's.

use std::collections::VecDeque;

use crate::dialect::Dialect;
use crate::wire::{Item, ServerEvent};

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Offered,
    Answered,
}

/// The calls of the session, by `call_id`.
#[derive(Debug, Default)]
pub(super) struct Tools {
    book: VecDeque<(String, State)>,
}

/// The model calls few functions at once; older entries have been settled long ago.
const MOST: usize = 256;

impl Tools {
    /// Notes the call an event offers. Arguments may be complete before the item is, and an
    /// application may answer in between: the item then says nothing new.
    pub(super) fn seen(&mut self, event: &ServerEvent, dialect: &Dialect) {
        let ServerEvent::OutputItemDone(e) = event else {
            return;
        };
        let ours = |item: &&Item| {
            let name = item.name.as_deref().unwrap_or_default();
            item.kind == "function_call" && !dialect.table().server_tools.iter().any(|t| t == name)
        };
        if let Some(call_id) = Some(&e.item)
            .filter(ours)
            .and_then(|item| item.call_id.as_ref())
            && self.entry(call_id).is_none()
        {
            self.note(call_id, State::Offered);
        }
    }

    /// Notes an output that is about to be sent.
    pub(super) fn answered(&mut self, item: &Item) {
        let is_output = item.kind == "function_call_output";
        let Some(call_id) = item.call_id.as_ref().filter(|_| is_output) else {
            return;
        };
        match self.entry(call_id) {
            Some(state) => *state = State::Answered,
            None => self.note(call_id, State::Answered),
        }
    }

    fn entry(&mut self, call_id: &str) -> Option<&mut State> {
        let entry = self.book.iter_mut().find(|(call, _)| call == call_id)?;
        Some(&mut entry.1)
    }

    fn note(&mut self, call_id: &str, state: State) {
        if self.book.len() == MOST {
            self.book.pop_front();
        }
        self.book.push_back((call_id.to_owned(), state));
    }

    /// Whether a call waits for its output.
    pub(super) fn is_waiting(&self) -> bool {
        self.book.iter().any(|(_, state)| *state == State::Offered)
    }

    pub(super) fn check(&self) {
        let mut calls: Vec<_> = self.book.iter().map(|(call, _)| call).collect();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), self.book.len(), "I5: a call is offered once");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn offer(call_id: &str) -> ServerEvent {
        let item = json!({"type": "function_call", "name": "n", "call_id": call_id});
        let fields = serde_json::from_value(json!({"item": item})).expect("a map");
        ServerEvent::from_fields("response.output_item.done", fields)
    }

    #[test]
    fn a_call_waits_until_it_is_answered_whichever_comes_first() {
        let dialect = Dialect::default_dialect();
        let mut tools = Tools::default();
        tools.seen(&offer("a"), &dialect);
        assert!(tools.is_waiting());
        tools.answered(&Item::function_call_output("a", "{}"));
        assert!(!tools.is_waiting());
        tools.answered(&Item::function_call_output("b", "{}"));
        tools.seen(&offer("b"), &dialect);
        tools.seen(&offer("a"), &dialect);
        assert!(!tools.is_waiting(), "an answered call is not offered again");
        tools.check();
    }
}
