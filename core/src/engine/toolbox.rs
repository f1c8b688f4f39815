//! What the engine makes of function calls.

use std::time::Instant;

use serde_json::Value;

use super::Engine;
use super::io::{Command, Effects, Ticket};
use super::tools::{Due, Offer, failure};
use crate::error::{Error, Kind, Result};
use crate::event::local::{Local, ToolRef};
use crate::options::WhenBusy;
use crate::options::tool::Tool;
use crate::wire::client::{ItemCreate, SessionUpdate};
use crate::wire::{ClientEvent, Item, Map, ServerEvent, Session};

impl Engine {
    /// Lets the book of calls see an event.
    pub(super) fn calls(&mut self, now: Instant, event: &ServerEvent, fx: &mut Effects) {
        if !self.dialect.can("mcp_answers") {
            self.mcp_calls(event);
        }
        match event {
            ServerEvent::OutputItemDone(e) => {
                let place = (self.link.id(), self.history.last_id());
                match self.tools.offered(now, e, &self.dialect, place) {
                    Some(Offer::Run(call)) => self.tell(now, Local::ToolCall(call), fx),
                    Some(Offer::Bad(call_id, message)) => {
                        self.give(now, &call_id, failure(&message), None, fx);
                    }
                    None => {}
                }
            }
            ServerEvent::ResponseDone(e) => {
                let id = e.response.id.as_deref().unwrap_or_default();
                let is_cancelled = e.response.status.as_deref() == Some("cancelled");
                self.tools.response_done(id, is_cancelled);
                self.go_on(now, fx);
            }
            ServerEvent::McpCallCompleted(_) | ServerEvent::McpCallFailed(_) => {
                self.go_on(now, fx);
            }
            _ => {}
        }
    }

    fn mcp_calls(&mut self, event: &ServerEvent) {
        match event {
            ServerEvent::OutputItemAdded(e) | ServerEvent::OutputItemDone(e) => {
                self.tools.mcp.seen(e);
            }
            ServerEvent::McpCallCompleted(e) | ServerEvent::McpCallFailed(e) => {
                self.tools.mcp_over(&e.item_id);
            }
            ServerEvent::ResponseDone(e) if e.response.status.as_deref() != Some("completed") => {
                let id = e.response.id.as_deref().unwrap_or_default();
                self.tools.mcp.stop(id);
            }
            _ => {}
        }
    }

    /// The model goes on once it has all the results that it asked for.
    pub(super) fn go_on(&mut self, now: Instant, fx: &mut Effects) {
        while self.tools.is_batch_ready() {
            let sent = self.send(now, Command::Respond(None, WhenBusy::Merge), None, fx);
            if let Err(error) = sent {
                self.settle(now, None, Err(error), fx);
            }
        }
    }

    pub(super) fn register(
        &mut self,
        now: Instant,
        tool: Tool,
        ticket: Option<Ticket>,
        fx: &mut Effects,
    ) -> Result<()> {
        self.tools.register(tool);
        let tools = self
            .tools
            .join(self.config.acknowledged().pointer("/tools"));
        let session = Session(Map::from_iter(
            tools.map(|tools| ("tools".to_owned(), tools)),
        ));
        let update = ClientEvent::SessionUpdate(SessionUpdate { session });
        self.send(now, Command::Send(update), ticket, fx)
    }

    pub(super) fn tool_result(
        &mut self,
        now: Instant,
        call_id: &str,
        output: std::result::Result<String, String>,
        ticket: Option<Ticket>,
        fx: &mut Effects,
    ) -> Result<()> {
        self.tools.may_answer(call_id)?;
        if !self.tools.knows(call_id) {
            let message = format!("there is no call {call_id}");
            return Err(Error::new(Kind::Argument, message));
        }
        let output = output.unwrap_or_else(|message| failure(&message));
        self.give(now, call_id, output, ticket, fx);
        Ok(())
    }

    /// Sends the one output of a call.
    fn give(
        &mut self,
        now: Instant,
        call_id: &str,
        output: String,
        ticket: Option<Ticket>,
        fx: &mut Effects,
    ) {
        let item = Item::function_call_output(call_id, output);
        let create = ClientEvent::ItemCreate(ItemCreate {
            previous_item_id: None,
            item,
        });
        if let Err(error) = self.send(now, Command::Send(create), ticket, fx) {
            self.settle(now, ticket, Err(error), fx);
        }
        self.go_on(now, fx);
    }

    /// An output whose call came over another link needs that call beside it, or both in words.
    pub(super) fn bring_home(&mut self, now: Instant, event: &mut ClientEvent, fx: &mut Effects) {
        let ClientEvent::ItemCreate(create) = event else {
            return;
        };
        let Some(pair) = self.tools.foreign(&create.item, self.link.id()) else {
            return;
        };
        if self.tools.may_answer(&pair.call_id).is_err() {
            return;
        }
        create.previous_item_id = None;
        if self.dialect.can("assistant_items") {
            let mut item = pair.call();
            item.id = Some(self.hidden_id());
            self.aliases.told(&pair.call_id);
            let call = ItemCreate {
                previous_item_id: None,
                item,
            };
            return self.post(now, ClientEvent::ItemCreate(call), fx);
        }
        self.tools.answered(&create.item);
        create.item = Item::user_text(pair.line());
        // The customer did not say that: it stands in no transcript.
        create.item.id = Some(self.hidden_id());
    }

    pub(super) fn tools_due(&mut self, now: Instant, fx: &mut Effects) {
        for due in self.tools.due(now) {
            match due {
                Due::Overdue(told, filler) => {
                    self.tell(now, Local::ToolOverdue(told), fx);
                    if let Some(words) = filler {
                        self.ask(now, &format!("Say only this: {words}"), fx);
                    }
                }
                Due::Over(told) => {
                    let output = failure("the tool did not answer in time");
                    let call_id = told.call_id.clone();
                    self.tell(now, Local::ToolCancelled(told), fx);
                    self.give(now, &call_id, output, None, fx);
                }
            }
        }
    }

    /// Tells whoever runs a tool that nobody waits for it any more.
    pub(super) fn abandon_tools(&mut self, now: Instant, fx: &mut Effects) {
        let left: Vec<ToolRef> = self.tools.abandon(now);
        for told in left {
            self.tell(now, Local::ToolCancelled(told), fx);
        }
    }

    /// Puts the registered tools beside those of the application into a patch of the session.
    pub(super) fn add_tools(&self, patch: &mut Map) {
        let theirs: Option<&Value> = patch.get("tools");
        if let Some(tools) = self.tools.join(theirs) {
            patch.insert("tools".to_owned(), tools);
        }
    }
}
