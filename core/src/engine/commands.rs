//! What the application wants: judged, given an id, sent, and answered exactly once.

use std::time::Instant;

use serde_json::{Value, json};

use super::io::{Command, Effect, Effects, Frame, Reply, Ticket};
use super::requests::until;
use super::responses::{Granted, Wish};
use super::{Engine, answer, uplink};
use crate::dialect::check::Check;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::options::WhenBusy;
use crate::wire::client::ResponseCreate;
use crate::wire::{ClientEvent, Item, Session};

/// What becomes of a wish that [`WhenBusy::Replace`] overtakes.
pub(super) const REPLACED: &str = "another wish for a response took its place";

/// An event that is ready to be sent.
struct Ready {
    event: ClientEvent,
    event_id: String,
    frame: String,
}

impl Engine {
    pub(super) fn command(
        &mut self,
        now: Instant,
        command: Command,
        ticket: Option<Ticket>,
        fx: &mut Effects,
    ) {
        let done = match command {
            Command::Settings => Some(Ok(Reply::Settings(self.config.acknowledged().clone()))),
            _ if self.is_ending() => Some(Err(Error::new(Kind::Closed, "the session is closed"))),
            Command::Played(mark) => {
                self.marked(now, &mark, fx);
                Some(Ok(Reply::nothing()))
            }
            Command::Interrupt(is_one) => {
                Some(self.interrupt(now, is_one, fx).map(|()| Reply::nothing()))
            }
            Command::Send(ClientEvent::Append(append)) if self.rollover.is_recovering() => {
                self.keep(now, append.audio);
                Some(Ok(Reply::nothing()))
            }
            command if !self.link.is_open() => self.hold(command, ticket, fx).err().map(Err),
            _ if ticket.is_some() && self.requests.is_full() => Some(Err(Error::new(
                Kind::QueueFull,
                "too many unanswered commands",
            ))),
            command => self.send(now, command, ticket, fx).err().map(Err),
        };
        if let Some(result) = done {
            self.settle(now, ticket, result, fx);
        }
    }

    fn hold(&mut self, command: Command, ticket: Option<Ticket>, fx: &mut Effects) -> Result<()> {
        let format = self.config.input_format(&self.dialect);
        let dropped = self.held.keep(command, ticket, format)?;
        self.lose_audio(dropped.audio_ms);
        let full = || {
            Error::new(
                Kind::QueueFull,
                "dropped for newer audio before the session opened",
            )
        };
        answer(dropped.tickets.into_iter().map(|t| (t, Err(full()))), fx);
        Ok(())
    }

    /// Answers a command at once. Without a ticket an error goes to the event stream instead.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        ticket: Option<Ticket>,
        result: Result<Reply>,
        fx: &mut Effects,
    ) {
        match (ticket, result) {
            (Some(ticket), result) => fx.push(Effect::Reply(ticket, result)),
            (None, Err(error)) if !self.ended => {
                fx.push(Effect::Emit(Event::fault(self.at_ms(now), error, None)));
            }
            (None, _) => {}
        }
    }

    pub(super) fn send(
        &mut self,
        now: Instant,
        command: Command,
        ticket: Option<Ticket>,
        fx: &mut Effects,
    ) -> Result<()> {
        if !self.link.is_open() && !self.is_wish(&command) {
            return self.postpone(command, ticket, fx);
        }
        let when_busy = self.options.when_busy;
        match command {
            Command::Send(ClientEvent::Append(append)) => {
                self.judge(&ClientEvent::Append(append.clone()))?;
                self.append(now, append.audio, fx);
                self.settle(now, ticket, Ok(Reply::nothing()), fx);
                Ok(())
            }
            Command::Send(mut event) => {
                self.bring_home(now, &mut event, fx);
                let ready = self.prepare(event)?;
                self.dispatch(now, ready, when_busy, ticket, fx)
            }
            Command::Respond(response, when_busy) => {
                let event = ClientEvent::ResponseCreate(ResponseCreate { response });
                let ready = self.prepare(event)?;
                self.dispatch(now, ready, when_busy, ticket, fx)
            }
            Command::Json(text) => self.send_json(now, &text, ticket, fx),
            Command::Frame(text) => {
                fx.push(Effect::Send(self.link.id(), Frame::Text(text)));
                self.settle(now, ticket, Ok(Reply::nothing()), fx);
                Ok(())
            }
            Command::Register(tool) => self.register(now, tool, ticket, fx),
            Command::ToolResult { call_id, output } => {
                self.tool_result(now, &call_id, output, ticket, fx)
            }
            Command::Settings | Command::Played(_) | Command::Interrupt(_) => Ok(()),
        }
    }

    /// What comes up while there is no link: the new one is told of it, or nobody is any more.
    fn postpone(
        &mut self,
        command: Command,
        ticket: Option<Ticket>,
        fx: &mut Effects,
    ) -> Result<()> {
        let result = match command {
            // A new link is told of calls with their outputs.
            Command::Send(ClientEvent::ItemCreate(create)) if self.is_output(&create.item) => {
                self.tools.answered(&create.item);
                Ok(Reply::nothing())
            }
            // Of the old link's buffer, answers and items nothing is left to take back.
            Command::Send(
                ClientEvent::BufferClear(_)
                | ClientEvent::ResponseCancel(_)
                | ClientEvent::ItemTruncate(_)
                | ClientEvent::ItemDelete(_),
            ) => Ok(Reply::nothing()),
            _ if self.is_ending() => Err(Error::new(Kind::Closed, "the session is closed")),
            command => return self.hold(command, ticket, fx),
        };
        answer(ticket.map(|ticket| (ticket, result)), fx);
        Ok(())
    }

    /// Whether an item is the output of a call that the session knows.
    fn is_output(&self, item: &Item) -> bool {
        let call_id = item.call_id.as_deref().unwrap_or_default();
        item.kind == "function_call_output" && self.tools.knows(call_id)
    }

    /// Whether a command is a wish for a response, which waits for a link by itself.
    fn is_wish(&self, command: &Command) -> bool {
        let is_one = match command {
            Command::Respond(..) => true,
            Command::Send(ClientEvent::ResponseCreate(create)) => !is_aside(create),
            _ => false,
        };
        is_one && self.keeps_turns()
    }

    fn send_json(
        &mut self,
        now: Instant,
        text: &str,
        ticket: Option<Ticket>,
        fx: &mut Effects,
    ) -> Result<()> {
        let mut json = uplink::Json::parse(text)?;
        if let ClientEvent::Append(append) = json.event {
            return self.send(now, Command::Send(ClientEvent::Append(append)), ticket, fx);
        }
        self.judge(&json.event)?;
        if let (ClientEvent::SessionUpdate(update), Some(Value::Object(patch))) =
            (&mut json.event, json.fields.get_mut("session"))
        {
            self.adapt(patch);
            update.session = Session(patch.clone());
        }
        let event_id = json.event_id.unwrap_or_else(|| self.ids.next("evt"));
        let name = json.event.name();
        let frame = self
            .dialect
            .encode_client_fields(name, json.fields, Some(&event_id));
        let ready = Ready {
            event: json.event,
            event_id,
            frame,
        };
        self.dispatch(now, ready, self.options.when_busy, ticket, fx)
    }

    fn prepare(&mut self, mut event: ClientEvent) -> Result<Ready> {
        self.judge(&event)?;
        // With an id of ours its proof cannot be taken for that of another item. The prefix
        // keeps it apart from the ids of a server that makes them in the same way.
        if let ClientEvent::ItemCreate(create) = &mut event {
            create
                .item
                .id
                .get_or_insert_with(|| self.ids.next("item_c"));
        }
        if let ClientEvent::SessionUpdate(update) = &mut event {
            self.adapt(&mut update.session.0);
        }
        let event_id = self.ids.next("evt");
        let frame = self.dialect.encode_client(&event, Some(&event_id))?;
        Ok(Ready {
            event,
            event_id,
            frame,
        })
    }

    /// Sends, or lets a wish for a response wait for its turn.
    fn dispatch(
        &mut self,
        now: Instant,
        ready: Ready,
        when_busy: WhenBusy,
        ticket: Option<Ticket>,
        fx: &mut Effects,
    ) -> Result<()> {
        match &ready.event {
            ClientEvent::ResponseCreate(create) if self.keeps_turns() && !is_aside(create) => {
                let wish = Wish {
                    event_id: ready.event_id,
                    frame: ready.frame,
                    is_plain: create.response.as_ref().is_none_or(|r| r.is_empty()),
                    tickets: ticket.into_iter().collect(),
                    until: until(now, self.options.wish_timeout_ms),
                    is_refused: false,
                };
                self.wish(now, wish, when_busy, fx);
            }
            event => {
                self.sent(now, event, &ready.event_id, ticket, fx);
                let frame = self.aliases.outward(ready.frame);
                let frame = self.aliases.outward(frame);
                fx.push(Effect::Send(self.link.id(), Frame::Text(frame)));
            }
        }
        Ok(())
    }

    /// Whether wishes for a response wait for their turn.
    pub(super) fn keeps_turns(&self) -> bool {
        self.waived.wants(Check::Turn)
    }

    // ---- wishes -------------------------------------------------------------------------------

    fn wish(&mut self, now: Instant, wish: Wish, when_busy: WhenBusy, fx: &mut Effects) {
        let (tickets, result) = match self.responses.wish(wish, when_busy) {
            Granted::Queued => (Vec::new(), Ok(Reply::nothing())),
            Granted::Served(tickets, id) => (tickets, Ok(Reply::Merged { id })),
            Granted::Next(cancelled, dropped) => {
                for id in cancelled {
                    self.cancel(now, id, fx);
                }
                (dropped, Err(Error::new(Kind::Cancelled, REPLACED)))
            }
            Granted::Refused(tickets) => {
                let message = "a response runs, and this wish would not wait";
                (tickets, Err(Error::new(Kind::Refused, message)))
            }
            Granted::Full(tickets) => {
                let message = "too many responses are wished for";
                (tickets, Err(Error::new(Kind::QueueFull, message)))
            }
        };
        answer(tickets.into_iter().map(|t| (t, result.clone())), fx);
        self.next_wish(now, fx);
    }

    /// Sends the wish whose turn it is.
    pub(super) fn next_wish(&mut self, now: Instant, fx: &mut Effects) {
        if !self.link.is_open() {
            return;
        }
        let Some((event_id, frame, ticket)) = self.responses.next() else {
            return;
        };
        if let Some(ticket) = ticket {
            let event = ClientEvent::ResponseCreate(ResponseCreate { response: None });
            let until = until(now, self.options.reply_timeout_ms);
            answer(self.requests.sent(ticket, &event_id, &event, until), fx);
        }
        fx.push(Effect::Send(self.link.id(), Frame::Text(frame)));
    }

    // ---- judgement ----------------------------------------------------------------------------

    fn judge(&self, event: &ClientEvent) -> Result<()> {
        self.dialect
            .check_event(event, self.config.acknowledged(), &self.waived)?;
        let format = self.config.input_format(&self.dialect);
        match event {
            ClientEvent::BufferCommit(_) if self.waived.wants(Check::Commit) => {
                let least = self.dialect.table().limits.commit_min_ms;
                self.turns
                    .may_commit(format, least, self.config.detects_turns())
            }
            ClientEvent::Append(append)
                if self.waived.wants(Check::Append)
                    && !append.audio.len().is_multiple_of(format.sample_bytes()) =>
            {
                Err(Error::new(
                    Kind::Refused,
                    "an append must hold whole samples: the byte count is odd",
                ))
            }
            ClientEvent::ItemCreate(create) if self.keeps_turns() => self.may_answer(&create.item),
            _ => Ok(()),
        }
    }

    /// A call has one output.
    fn may_answer(&self, item: &Item) -> Result<()> {
        let is_output = item.kind == "function_call_output";
        match item.call_id.as_deref().filter(|_| is_output) {
            Some(call_id) => self.tools.may_answer(call_id),
            None => Ok(()),
        }
    }

    pub(super) fn sent(
        &mut self,
        now: Instant,
        event: &ClientEvent,
        event_id: &str,
        ticket: Option<Ticket>,
        fx: &mut Effects,
    ) {
        match event {
            ClientEvent::SessionUpdate(update) => self.config.sent(event_id, &update.session),
            ClientEvent::BufferCommit(_) | ClientEvent::BufferClear(_) => {
                match event {
                    ClientEvent::BufferCommit(_) => self.overlap.commit(event_id),
                    _ => self.overlap.clear(),
                }
                self.turns.emptied();
                self.responses.changed();
            }
            ClientEvent::ResponseCreate(create) => {
                self.responses.asked(event_id);
                if let Some(response) = create.response.as_ref().filter(|_| is_aside(create)) {
                    self.aside.sent(event_id, response);
                }
            }
            ClientEvent::ItemCreate(create) => {
                self.tools.answered(&create.item);
                self.responses.changed();
            }
            _ => {}
        }
        let until = until(now, self.options.reply_timeout_ms);
        self.unproven.sent(event, event_id, until);
        let Some(ticket) = ticket else { return };
        answer(self.requests.sent(ticket, event_id, event, until), fx);
    }
}

/// Whether a response stands beside the conversation.
fn is_aside(create: &ResponseCreate) -> bool {
    let response = create.response.as_ref();
    response.and_then(|r| r.get("conversation")) == Some(&json!("none"))
}
