//! Calls of MCP tools, which the server makes by itself. Where it leaves it to the client to ask for
//! an answer to what they brought, that is asked for once they are over and their response is, too:
//! either may be first.

use std::collections::VecDeque;

use crate::wire::server::OutputItem;

/// A model calls few tools at once; older entries have been settled long ago.
const MOST: usize = 256;

#[derive(Debug)]
struct McpCall {
    item_id: String,
    response_id: String,
    runs: bool,
}

/// The calls of MCP tools on this link.
#[derive(Debug, Default)]
pub(super) struct McpCalls(VecDeque<McpCall>);

impl McpCalls {
    /// Notes the call that an item of a response is.
    pub(super) fn seen(&mut self, event: &OutputItem) {
        let item_id = event.item.id.as_deref().unwrap_or_default();
        if event.item.kind == "mcp_call" && !self.0.iter().any(|call| call.item_id == item_id) {
            self.note(item_id, &event.response_id, true);
        }
    }

    /// A call is over; false if no response is known to have made it.
    pub(super) fn over(&mut self, item_id: &str) -> bool {
        let call = self.0.iter_mut().find(|call| call.item_id == item_id);
        match call {
            Some(call) => call.runs = false,
            None => self.note(item_id, "", false),
        }
        self.0
            .iter()
            .any(|call| call.item_id == item_id && !call.response_id.is_empty())
    }

    fn note(&mut self, item_id: &str, response_id: &str, runs: bool) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(McpCall {
            item_id: item_id.to_owned(),
            response_id: response_id.to_owned(),
            runs,
        });
    }

    pub(super) fn are_made_by(&self, response_id: &str) -> bool {
        self.0.iter().any(|call| call.response_id == response_id)
    }

    pub(super) fn run_for(&self, response_id: &str) -> bool {
        self.0
            .iter()
            .any(|call| call.runs && call.response_id == response_id)
    }

    pub(super) fn run(&self) -> bool {
        self.0.iter().any(|call| call.runs)
    }

    /// A response was stopped, and its calls with it.
    pub(super) fn stop(&mut self, response_id: &str) {
        self.0.retain(|call| call.response_id != response_id);
    }

    /// The link is gone: nothing more is told of them. Returns whether one was running.
    pub(super) fn forget(&mut self) -> bool {
        let run = self.run();
        self.0.clear();
        run
    }
}
