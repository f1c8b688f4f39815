//! The session engine: state in, effects out, time as an argument.
//!
//! [`Engine`] is the router. It alone touches several machines; they never call each other.
//!
//! | machine | owns |
//! |---|---|
//! | `link` | one connection's protocol life, and the verdict on its end |
//! | `config` | wanted and acknowledged settings |
//! | `requests` | commands that await a proof |
//! | `turns` | the input buffer and the customer's speech |
//! | `responses` | which responses run and which are over |
//! | `playout` | audio received |
//! | `tools` | function calls that wait for an output |
//! | `tracks` | which of two tracks of the same text is passed on |
//! | `history` | the conversation in its order |
//! | `watch` | silence, and the prompt after it |

mod check;
mod config;
mod frames;
pub mod history;
pub mod io;
mod link;
mod playout;
mod requests;
mod responses;
mod tools;
mod tracks;
mod turns;
mod uplink;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use config::Config;
use history::History;
use io::{Command, Down, Effect, Effects, Frame, Input, Reply, Ticket};
use link::{Asked, Link};
use playout::Playout;
use requests::{Answer, Requests, until};
use responses::Responses;
use tools::Tools;
use tracks::Tracks;
use turns::Turns;
use uplink::Held;
use watch::{PROMPT, Watch};

use crate::dialect::Dialect;
use crate::dialect::check::{Check, Waived};
use crate::error::{Error, Kind, Result};
use crate::event::{End, Event, Unsent};
use crate::options::Options;
use crate::wire::client::{ResponseCreate, SessionUpdate};
use crate::wire::{ClientEvent, Ids, Map, Session};

/// The machine of one session.
#[derive(Debug)]
pub struct Engine {
    dialect: Arc<Dialect>,
    options: Options,
    waived: Waived,
    ids: Ids,
    opened: Option<Instant>,
    first_update: Option<String>,
    held: Held,
    unsent: Unsent,
    ended: bool,
    link: Link,
    config: Config,
    requests: Requests,
    turns: Turns,
    responses: Responses,
    playout: Playout,
    tools: Tools,
    tracks: Tracks,
    history: History,
    watch: Watch,
}

impl Engine {
    /// An engine that does nothing until [`Input::Open`]. `seed` makes its identifiers.
    pub fn new(dialect: Arc<Dialect>, options: Options, seed: u64) -> Result<Self> {
        let waived = options.waived()?;
        dialect.check_event(&first_update(&options), &Session::new(), &waived)?;
        Ok(Self {
            held: Held::new(options.uplink_max_ms),
            dialect,
            waived,
            ids: Ids::new(seed),
            opened: None,
            first_update: None,
            unsent: Unsent::default(),
            ended: false,
            link: Link::new(),
            config: Config::new(&options.session),
            requests: Requests::default(),
            turns: Turns::new(),
            responses: Responses::default(),
            playout: Playout::default(),
            tools: Tools::default(),
            tracks: Tracks::default(),
            history: History::default(),
            watch: Watch::default(),
            options,
        })
    }

    /// Takes one input and appends what is to be done.
    pub fn handle(&mut self, now: Instant, input: Input, fx: &mut Effects) {
        match input {
            Input::Open => self.open(now, fx),
            Input::Command(command, ticket) => self.command(now, command, ticket, fx),
            Input::Close { grace_ms } => self.close(now, grace_ms, Asked::App, fx),
            Input::LinkUp(id) if self.link.is(id) => self.link_up(now),
            Input::Text(id, raw) if self.link.is(id) => self.text(now, &raw, fx),
            Input::Binary(id, bytes) if self.link.is(id) => self.binary(now, bytes, fx),
            Input::LinkDown(id, down, unsent) if self.link.is(id) => {
                self.down(now, &down, unsent, fx)
            }
            Input::UplinkDropped { ms } => {
                self.unsent.audio_ms += ms;
                fx.push(Effect::Note(format!("uplink dropped {ms} ms")));
            }
            Input::Captured(audio) => self.captured(audio, fx),
            // Not yet of consequence.
            Input::Port(_) | Input::Heard(_) | Input::Flushed(_) => {}
            Input::SlowReader => self.slow_reader(now, fx),
            Input::Timeout => self.timeout(now, fx),
            Input::LinkUp(_) | Input::Text(..) | Input::Binary(..) | Input::LinkDown(..) => {}
        }
        if cfg!(debug_assertions) {
            self.check();
        }
    }

    /// When [`Input::Timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        [
            self.link.deadline(),
            self.requests.deadline(),
            self.watch.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The format of the audio we send, as the server acknowledged it.
    pub fn input_format(&self) -> crate::audio::format::Format {
        self.config.input_format(&self.dialect)
    }

    fn open(&mut self, now: Instant, fx: &mut Effects) {
        self.opened = Some(now);
        self.link.dial();
        fx.push(Effect::Dial(self.link.id()));
    }

    fn link_up(&mut self, now: Instant) {
        self.link.up(until(now, self.options.greeting_timeout_ms));
    }

    fn close(&mut self, now: Instant, grace_ms: u64, asked: Asked, fx: &mut Effects) {
        self.watch.stop();
        let id = self.link.id();
        if self.link.is_ending() {
            // Closing twice is one close, but the second may be in more of a hurry.
            return self.link.close(until(now, grace_ms), asked);
        }
        if self.link.is_open() {
            self.link.close(until(now, grace_ms), asked);
            return fx.push(Effect::Hangup(id));
        }
        // Before it is open there is nobody to say goodbye to, nor to wait for.
        self.link.abort(asked);
        fx.push(Effect::Abort(id));
    }

    fn slow_reader(&mut self, now: Instant, fx: &mut Effects) {
        let error = Error::new(
            Kind::SlowReader,
            "events were not read and their bound was reached",
        );
        self.close(now, 0, Asked::Us(error), fx);
    }

    fn timeout(&mut self, now: Instant, fx: &mut Effects) {
        let (culprits, overdue) = self.requests.overdue(now);
        culprits.iter().for_each(|id| self.responses.refused(id));
        answer(overdue, fx);
        if self.watch.is_due(now) {
            self.prompt(now, fx);
        }
        if self.link.is_overdue(now) {
            // A closing handshake that took too long is still the close that was asked for.
            let silence = Error::new(Kind::Timeout, self.link.overdue_for());
            self.link.abort(Asked::Us(silence));
            fx.push(Effect::Abort(self.link.id()));
        }
    }

    /// Lets the agent speak into silence, in place of a server that does not.
    fn prompt(&mut self, now: Instant, fx: &mut Effects) {
        let session = self.config.acknowledged();
        let instructions = session.pointer("/instructions").and_then(Value::as_str);
        let text = match instructions.filter(|text| !text.is_empty()) {
            Some(instructions) => format!("{instructions}\n\n{PROMPT}"),
            None => PROMPT.to_owned(),
        };
        let response = Some(Map::from_iter([("instructions".to_owned(), text.into())]));
        let create = ClientEvent::ResponseCreate(ResponseCreate { response });
        let sent = self.send(now, Command::Send(create), None, fx);
        if let Err(error) = sent {
            self.settle(now, None, Err(error), fx);
        }
    }

    /// Keeps for itself what the server cannot do of a patch of the session.
    fn take_over(&mut self, patch: &mut Map) {
        if !self.dialect.can("idle_timeout") {
            self.watch.take_over(patch);
        }
    }

    fn down(&mut self, now: Instant, down: &Down, unsent: Unsent, fx: &mut Effects) {
        self.watch.stop();
        let mid_turn = self.is_mid_turn();
        let verdict = self.link.down(now, down, &self.dialect);
        let held = self.held.abandon();
        held.add_to(&mut self.unsent);
        self.unsent.audio_ms += unsent.audio_ms;
        self.unsent.commands += unsent.commands;
        let end = End {
            who: verdict.who,
            why: verdict.why,
            close_code: verdict.close_code,
            http_status: verdict.http_status,
            expected: verdict.expected,
            mid_turn,
            unsent: self.unsent,
            message: verdict.message,
            error: verdict.error,
        };
        let error = end.to_error();
        answer(
            held.tickets.into_iter().map(|t| (t, Err(error.clone()))),
            fx,
        );
        answer(self.requests.abandon(&error), fx);
        self.ended = true;
        fx.push(Effect::End(end));
    }

    fn is_mid_turn(&self) -> bool {
        self.turns.is_cut(self.config.detects_turns())
            || self.responses.is_busy()
            || self.tools.is_waiting()
    }

    // ---- commands -----------------------------------------------------------------------------

    fn command(
        &mut self,
        now: Instant,
        command: Command,
        ticket: Option<Ticket>,
        fx: &mut Effects,
    ) {
        let done = match command {
            Command::History => Some(Ok(Reply::History(self.history.segments().to_vec()))),
            Command::Settings => Some(Ok(Reply::Settings(self.config.acknowledged().clone()))),
            _ if self.link.is_ending() => {
                Some(Err(Error::new(Kind::Closed, "the session is closed")))
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
        self.unsent.audio_ms += dropped.audio_ms;
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
    fn settle(
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

    fn send(
        &mut self,
        now: Instant,
        command: Command,
        ticket: Option<Ticket>,
        fx: &mut Effects,
    ) -> Result<()> {
        let link = self.link.id();
        match command {
            Command::Send(ClientEvent::Append(append)) => {
                self.judge(&ClientEvent::Append(append.clone()))?;
                self.append(append.audio, fx);
                self.settle(now, ticket, Ok(Reply::Done { id: String::new() }), fx);
            }
            Command::Send(mut event) => {
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
                    self.take_over(&mut update.session.0);
                }
                let event_id = self.ids.next("evt");
                let frame = self.dialect.encode_client(&event, Some(&event_id))?;
                self.sent(now, &event, &event_id, ticket, fx);
                fx.push(Effect::Send(link, Frame::Text(frame)));
            }
            Command::Json(text) => {
                let mut json = uplink::Json::parse(&text)?;
                if let ClientEvent::Append(append) = json.event {
                    return self.send(now, Command::Send(ClientEvent::Append(append)), ticket, fx);
                }
                self.judge(&json.event)?;
                if let (ClientEvent::SessionUpdate(update), Some(Value::Object(patch))) =
                    (&mut json.event, json.fields.get_mut("session"))
                {
                    self.take_over(patch);
                    update.session = Session(patch.clone());
                }
                let event_id = json.event_id.unwrap_or_else(|| self.ids.next("evt"));
                let frame = self.dialect.encode_client_fields(
                    json.event.name(),
                    json.fields,
                    Some(&event_id),
                );
                self.sent(now, &json.event, &event_id, ticket, fx);
                fx.push(Effect::Send(link, Frame::Text(frame)));
            }
            Command::Frame(text) => {
                fx.push(Effect::Send(link, Frame::Text(text)));
                self.settle(now, ticket, Ok(Reply::Done { id: String::new() }), fx);
            }
            Command::History | Command::Settings => {}
        }
        Ok(())
    }

    fn append(&mut self, audio: bytes::Bytes, fx: &mut Effects) {
        let format = self.config.input_format(&self.dialect);
        self.turns.appended(audio.len());
        let ms = format.ms_of_bytes(audio.len() as u64);
        fx.push(Effect::Send(self.link.id(), Frame::Audio(audio, ms)));
    }

    /// Sound of the media port: it comes with the clock, whether or not it can be sent.
    fn captured(&mut self, audio: bytes::Bytes, fx: &mut Effects) {
        if self.link.is_open() {
            return self.append(audio, fx);
        }
        let format = self.config.input_format(&self.dialect);
        self.unsent.audio_ms += format.ms_of_bytes(audio.len() as u64);
    }

    /// Whether sound of a media port can be sent; what is captured before is its pre-roll.
    pub fn is_open(&self) -> bool {
        self.link.is_open()
    }

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
            _ => Ok(()),
        }
    }

    fn sent(
        &mut self,
        now: Instant,
        event: &ClientEvent,
        event_id: &str,
        ticket: Option<Ticket>,
        fx: &mut Effects,
    ) {
        match event {
            ClientEvent::SessionUpdate(update) => self.config.sent(&update.session),
            ClientEvent::BufferCommit(_) | ClientEvent::BufferClear(_) => self.turns.emptied(),
            ClientEvent::ResponseCreate(_) => self.responses.asked(event_id),
            ClientEvent::ItemCreate(create) => self.tools.answered(&create.item),
            _ => {}
        }
        let Some(ticket) = ticket else { return };
        let until = until(now, self.options.reply_timeout_ms);
        answer(self.requests.sent(ticket, event_id, event, until), fx);
    }

    fn at_ms(&self, now: Instant) -> u64 {
        let since = self.opened.map_or(Duration::ZERO, |opened| {
            now.saturating_duration_since(opened)
        });
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

fn first_update(options: &Options) -> ClientEvent {
    ClientEvent::SessionUpdate(SessionUpdate {
        session: options.session.clone(),
    })
}

fn answer(answers: impl IntoIterator<Item = Answer>, fx: &mut Effects) {
    fx.extend(
        answers
            .into_iter()
            .map(|(ticket, result)| Effect::Reply(ticket, result)),
    );
}

#[cfg(test)]
mod tests;
