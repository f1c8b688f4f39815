//! Function calls of the model and whether each was answered. Running them is the application's.

use crate::dialect::Dialect;
use crate::wire::{Item, ServerEvent};

/// The calls that wait for an output.
#[derive(Debug, Default)]
pub(super) struct Tools {
    open: Vec<String>,
}

/// The model calls few functions at once; a server that goes on for ever is cut here.
const MOST: usize = 256;

impl Tools {
    /// Notes the calls an event offers.
    pub(super) fn seen(&mut self, event: &ServerEvent, dialect: &Dialect) {
        let ServerEvent::OutputItemDone(e) = event else {
            return;
        };
        let ours = |item: &&Item| {
            let name = item.name.as_deref().unwrap_or_default();
            item.kind == "function_call" && !dialect.table().server_tools.iter().any(|t| t == name)
        };
        let Some(call_id) = Some(&e.item)
            .filter(ours)
            .and_then(|item| item.call_id.as_ref())
        else {
            return;
        };
        if !self.open.contains(call_id) && self.open.len() < MOST {
            self.open.push(call_id.clone());
        }
    }

    /// Notes an output that is about to be sent.
    pub(super) fn answered(&mut self, item: &Item) {
        if item.kind == "function_call_output" {
            self.open.retain(|call| Some(call) != item.call_id.as_ref());
        }
    }

    /// Whether a call waits for its output.
    pub(super) fn is_waiting(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn check(&self) {
        let mut calls = self.open.clone();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), self.open.len(), "I5: a call is offered once");
    }
}
