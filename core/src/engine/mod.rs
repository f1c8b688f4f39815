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

mod check;
mod config;
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

use std::sync::Arc;
use std::time::{Duration, Instant};

use config::{Acknowledged, Config};
use history::History;
use io::{Command, Down, Effect, Effects, Frame, Input, Reply, Ticket};
use link::{Asked, Link};
use playout::Playout;
use requests::{Answer, Requests, until};
use responses::{Responses, Verdict};
use tools::Tools;
use tracks::Tracks;
use turns::Turns;
use uplink::Held;

use crate::dialect::check::{Check, Waived};
use crate::dialect::{Decoded, Dialect, Quirk};
use crate::error::{Error, Kind, Result};
use crate::event::{End, Event, Origin, Unsent};
use crate::options::Options;
use crate::wire::client::SessionUpdate;
use crate::wire::envelope::Malformed;
use crate::wire::{ClientEvent, Ids, ServerEvent, Session};

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
        [self.link.deadline(), self.requests.deadline()]
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
        self.link
            .up(now, Duration::from_millis(self.options.greeting_timeout_ms));
    }

    fn close(&mut self, now: Instant, grace_ms: u64, asked: Asked, fx: &mut Effects) {
        if self.link.is_ending() {
            return;
        }
        let id = self.link.id();
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
        let overdue = self.requests.overdue(now);
        answer(overdue, fx);
        if self.link.is_overdue(now) {
            // A closing handshake that took too long is still the close that was asked for.
            let message = "the server accepted the connection and sent no session.created in time";
            self.link
                .abort(Asked::Us(Error::new(Kind::Timeout, message)));
            fx.push(Effect::Abort(self.link.id()));
        }
    }

    fn down(&mut self, now: Instant, down: &Down, unsent: Unsent, fx: &mut Effects) {
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
            command if !self.link.is_open() => self.hold(command, ticket).err().map(Err),
            command => self.send(now, command, ticket, fx).err().map(Err),
        };
        if let Some(result) = done {
            self.settle(now, ticket, result, fx);
        }
    }

    fn hold(&mut self, command: Command, ticket: Option<Ticket>) -> Result<()> {
        let format = self.config.input_format(&self.dialect);
        self.unsent.audio_ms += self.held.keep(command, ticket, format)?;
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
            Command::Send(event) => {
                self.judge(&event)?;
                let event_id = self.ids.next("evt");
                let frame = self.dialect.encode_client(&event, Some(&event_id))?;
                self.sent(now, &event, &event_id, ticket, fx);
                fx.push(Effect::Send(link, Frame::Text(frame)));
            }
            Command::Json(text) => {
                let json = uplink::Json::parse(&text)?;
                if let ClientEvent::Append(append) = json.event {
                    return self.send(now, Command::Send(ClientEvent::Append(append)), ticket, fx);
                }
                self.judge(&json.event)?;
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

    // ---- frames -------------------------------------------------------------------------------

    fn text(&mut self, now: Instant, raw: &Arc<str>, fx: &mut Effects) {
        match self.dialect.decode_server(raw) {
            Ok(decoded) => self.event(now, decoded, raw, fx),
            Err(malformed) => self.fault(now, &malformed, raw, fx),
        }
    }

    fn binary(&mut self, now: Instant, bytes: usize, fx: &mut Effects) {
        let message = format!("a binary frame of {bytes} bytes: this protocol has none");
        let event = Event::fault(self.at_ms(now), Error::new(Kind::Protocol, message), None);
        fx.push(Effect::Emit(event));
    }

    fn fault(&mut self, now: Instant, malformed: &Malformed, raw: &Arc<str>, fx: &mut Effects) {
        let error = Error::new(
            Kind::Protocol,
            format!("a frame of the server is {malformed}"),
        );
        fx.push(Effect::Emit(Event::fault(
            self.at_ms(now),
            error,
            Some(raw.clone()),
        )));
    }

    fn event(
        &mut self,
        now: Instant,
        decoded: Decoded<ServerEvent>,
        raw: &Arc<str>,
        fx: &mut Effects,
    ) {
        let Decoded {
            event_id,
            mut rewritten,
            mut event,
        } = decoded;
        let at_ms = self.at_ms(now);
        match self.responses.seen(&event) {
            Verdict::Pass => {}
            Verdict::Late => return fx.push(Effect::Note(format!("late {}", event.name()))),
            Verdict::After(end) => {
                let origin = Origin {
                    at_ms,
                    rewritten: true,
                    ..Origin::default()
                };
                fx.push(Effect::Emit(Event::wire(*end, origin)));
            }
        }
        if let ServerEvent::SessionUpdated(e) = &event
            && self.config.updated(&e.session, &self.dialect) == Acknowledged::Repeated
        {
            return fx.push(Effect::Note("repeated session.updated".to_owned()));
        }
        if self.dialect.has(Quirk::SpokenTextIsOutputText) && self.tracks.is_second(&event) {
            return fx.push(Effect::Note(format!("second track {}", event.name())));
        }
        rewritten |= self.seen(at_ms, &mut event);
        let proven = self.requests.proven(&event);
        let halved = self.frame(&mut event, &mut rewritten);
        let failed = self.failed(&event);
        let audio_ms = self.audio_ms(&event);
        let origin = Origin {
            at_ms,
            event_id,
            raw: Some(raw.clone()),
            rewritten,
            audio_ms,
        };
        fx.push(Effect::Emit(Event::wire(event.clone(), origin)));
        if halved {
            let error = Error::new(Kind::Protocol, "the audio of a part ended within a sample");
            fx.push(Effect::Emit(Event::fault(at_ms, error, None)));
        }
        answer(proven, fx);
        answer(failed, fx);
        self.advance(now, &event, fx);
    }

    /// Lets every machine note the event; returns whether one had to mend it.
    fn seen(&mut self, at_ms: u64, event: &mut ServerEvent) -> bool {
        self.turns.seen(event);
        self.tools.seen(event, &self.dialect);
        self.history.seen(at_ms, event, &self.dialect)
    }

    /// Keeps samples whole; returns whether half a sample was left over.
    fn frame(&mut self, event: &mut ServerEvent, rewritten: &mut bool) -> bool {
        match event {
            ServerEvent::AudioDelta(delta) => {
                let bytes = self.config.output_format(&self.dialect).sample_bytes();
                *rewritten |= self.playout.received(delta, bytes);
                false
            }
            ServerEvent::AudioDone(done) => self.playout.ended_in_half(done),
            _ => false,
        }
    }

    fn audio_ms(&self, event: &ServerEvent) -> u64 {
        let ServerEvent::AudioDelta(delta) = event else {
            return 0;
        };
        self.config
            .output_format(&self.dialect)
            .ms_of_bytes(delta.audio.len() as u64)
    }

    /// An error of the server: remembered for the end, and given to whom it concerns.
    fn failed(&mut self, event: &ServerEvent) -> Option<Answer> {
        let ServerEvent::Error(e) = event else {
            return None;
        };
        self.link.remember(e);
        let culprit = e.error.event_id.as_deref()?;
        self.responses.refused(culprit);
        let error = Error::new(Kind::Server, e.error.message.as_str())
            .with_provider(link::provider(&e.error));
        if self.first_update.as_deref() == Some(culprit) {
            self.config.refused();
        }
        self.requests.failed(culprit, &error)
    }

    /// Moves the link on: greeting, first settings, open.
    fn advance(&mut self, now: Instant, event: &ServerEvent, fx: &mut Effects) {
        match event {
            ServerEvent::SessionCreated(e) if self.link.greeted(now) => {
                self.config.greeted(&e.session);
                self.configure(now, fx);
            }
            ServerEvent::SessionUpdated(_) if self.first_update.take().is_some() => {
                self.opened(now, fx)
            }
            // Refused first settings leave the session with the server's defaults; the application
            // reads the error.
            ServerEvent::Error(e)
                if self.first_update.is_some() && e.error.event_id == self.first_update =>
            {
                self.first_update = None;
                self.opened(now, fx);
            }
            _ => {}
        }
    }

    fn configure(&mut self, now: Instant, fx: &mut Effects) {
        if self.options.session.0.is_empty() {
            return self.opened(now, fx);
        }
        let event = first_update(&self.options);
        let event_id = self.ids.next("evt");
        match self.dialect.encode_client(&event, Some(&event_id)) {
            Ok(frame) => {
                self.sent(now, &event, &event_id, None, fx);
                self.first_update = Some(event_id);
                fx.push(Effect::Send(self.link.id(), Frame::Text(frame)));
            }
            Err(error) => self.close(now, 0, Asked::Us(error), fx),
        }
    }

    fn opened(&mut self, now: Instant, fx: &mut Effects) {
        if !self.link.configured() {
            return;
        }
        fx.push(Effect::Ready);
        for (command, ticket) in self.held.release() {
            self.command(now, command, ticket, fx);
        }
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
mod tests {
    use super::io::LinkId;
    use super::*;
    use serde_json::{Value, json};

    const LINK: LinkId = LinkId(1);

    struct Bench {
        engine: Engine,
        now: Instant,
    }

    impl Bench {
        fn new(options: Options) -> Self {
            let dialect = Dialect::named("openai").expect("built in");
            Self {
                engine: Engine::new(dialect, options, 1).expect("valid"),
                now: Instant::now(),
            }
        }

        fn open() -> Self {
            let mut bench = Self::new(Options::default());
            bench.input(Input::Open);
            bench.input(Input::LinkUp(LINK));
            let fx = bench.server(json!({"type": "session.created", "session": {"id": "s"}}));
            assert!(fx.iter().any(|e| matches!(e, Effect::Ready)));
            bench
        }

        fn input(&mut self, input: Input) -> Effects {
            let mut fx = Effects::new();
            self.engine.handle(self.now, input, &mut fx);
            fx
        }

        /// The driver's report of a socket that was dropped with two commands unsent.
        fn dropped(&mut self) -> Effects {
            let down = Down::Failed(Error::new(Kind::Lost, "aborted"));
            let unsent = Unsent {
                audio_ms: 0,
                commands: 2,
            };
            self.input(Input::LinkDown(LINK, down, unsent))
        }

        fn server(&mut self, event: Value) -> Effects {
            self.input(Input::Text(LINK, event.to_string().into()))
        }

        fn json(&mut self, event: Value, ticket: u64) -> Effects {
            self.input(Input::Command(
                Command::Json(event.to_string()),
                Some(Ticket(ticket)),
            ))
        }
    }

    fn end(fx: &Effects) -> &End {
        let ends: Vec<_> = fx
            .iter()
            .filter_map(|e| {
                if let Effect::End(end) = e {
                    Some(end)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(ends.len(), 1, "exactly one end");
        ends[0]
    }

    fn reply(fx: &Effects, ticket: u64) -> Option<&Result<Reply>> {
        fx.iter().find_map(|e| match e {
            Effect::Reply(t, result) if t.0 == ticket => Some(result),
            _ => None,
        })
    }

    #[test]
    fn a_server_that_never_greets_ends_in_a_timeout() {
        let mut bench = Bench::new(Options::default());
        bench.input(Input::Open);
        bench.input(Input::LinkUp(LINK));
        bench.now = bench.engine.deadline().expect("armed");
        let fx = bench.input(Input::Timeout);
        assert!(matches!(&fx[..], [Effect::Abort(LINK)]));
        let fx = bench.dropped();
        let end = end(&fx);
        assert_eq!((end.why, end.expected), (Kind::Timeout, false));
        assert!(bench.input(Input::Text(LINK, "{}".into())).is_empty());
    }

    #[test]
    fn what_is_asked_before_the_link_is_open_is_sent_after_the_first_settings() {
        let session = Session::new().voice("alloy");
        let mut bench = Bench::new(Options {
            session,
            ..Options::default()
        });
        bench.input(Input::Open);
        let fx = bench.json(json!({"type": "response.create"}), 7);
        assert!(fx.is_empty());
        bench.input(Input::LinkUp(LINK));
        let fx = bench.server(json!({"type": "session.created", "session": {}}));
        let sent = |fx: &Effects| fx.iter().filter(|e| matches!(e, Effect::Send(..))).count();
        assert_eq!(sent(&fx), 1, "only the settings");
        let fx = bench.server(json!({"type": "session.updated", "session": {}}));
        assert_eq!(sent(&fx), 1, "then the wish");
    }

    #[test]
    fn a_command_is_answered_by_its_proof_by_its_error_by_time_or_by_the_end() {
        let mut bench = Bench::open();
        bench.json(
            json!({"type": "session.update", "session": {}, "event_id": "a"}),
            1,
        );
        let fx = bench.server(json!({"type": "session.updated", "session": {}}));
        assert!(matches!(reply(&fx, 1), Some(Ok(_))));
        bench.json(
            json!({"type": "conversation.item.delete", "item_id": "x", "event_id": "b"}),
            2,
        );
        let error =
            json!({"type": "error", "error": {"code": "c", "message": "m", "event_id": "b"}});
        let fx = bench.server(error);
        let failed = reply(&fx, 2)
            .expect("answered")
            .clone()
            .expect_err("refused");
        assert_eq!(
            (failed.kind(), failed.provider().code.as_deref()),
            (Kind::Server, Some("c"))
        );
        assert!(
            fx.iter().any(|e| matches!(e, Effect::Emit(_))),
            "the stream has it too"
        );
        bench.json(json!({"type": "response.create"}), 3);
        bench.now = bench.engine.deadline().expect("armed");
        let fx = bench.input(Input::Timeout);
        assert_eq!(
            reply(&fx, 3)
                .expect("answered")
                .clone()
                .expect_err("late")
                .kind(),
            Kind::Timeout
        );
        bench.json(json!({"type": "response.create"}), 4);
        let fx = bench.input(Input::LinkDown(
            LINK,
            Down::Closed {
                code: 1011,
                reason: String::new(),
            },
            Unsent::default(),
        ));
        assert!(matches!(reply(&fx, 4), Some(Err(_))));
        assert!(end(&fx).mid_turn);
    }

    #[test]
    fn an_end_in_the_middle_of_a_call_of_a_function_is_mid_turn() {
        let mut bench = Bench::open();
        let item = json!({"type": "function_call", "id": "f", "call_id": "c", "name": "n"});
        bench
            .server(json!({"type": "response.output_item.done", "response_id": "r", "item": item}));
        let fx = bench.input(Input::LinkDown(
            LINK,
            Down::Closed {
                code: 1000,
                reason: String::new(),
            },
            Unsent::default(),
        ));
        assert!(end(&fx).mid_turn && !end(&fx).expected);
    }

    #[test]
    fn what_is_no_event_is_told_and_the_session_lives() {
        let mut bench = Bench::open();
        let bad_audio = r#"{"type":"response.output_audio.delta","delta":"A*A="}"#;
        for raw in ["nonsense", "[]", "{}", bad_audio] {
            let fx = bench.input(Input::Text(LINK, raw.into()));
            let [Effect::Emit(event)] = &fx[..] else {
                panic!("{raw}: {fx:?}")
            };
            assert_eq!((event.name(), event.raw()), ("protocol.fault", Some(raw)));
        }
        let fx = bench.input(Input::Binary(LINK, 3));
        assert!(matches!(&fx[..], [Effect::Emit(event)] if event.name() == "protocol.fault"));
        let fx = bench.server(json!({"type": "of.tomorrow", "x": {"y": null}}));
        let [Effect::Emit(event)] = &fx[..] else {
            panic!("{fx:?}")
        };
        assert_eq!((event.name(), event.number()), ("of.tomorrow", 0));
        assert!(event.json().contains("\"y\":null"));
    }

    #[test]
    fn a_commit_of_nothing_is_refused_before_it_is_sent() {
        let mut bench = Bench::open();
        let fx = bench.json(json!({"type": "input_audio_buffer.commit"}), 1);
        let [Effect::Reply(_, Err(error))] = &fx[..] else {
            panic!("{fx:?}")
        };
        assert_eq!(error.kind(), Kind::Refused);
    }

    #[test]
    fn a_close_is_said_and_bounded() {
        let mut bench = Bench::open();
        let fx = bench.input(Input::Close { grace_ms: 500 });
        assert!(matches!(&fx[..], [Effect::Hangup(LINK)]));
        assert!(
            bench.input(Input::Close { grace_ms: 9 }).is_empty(),
            "closing is idempotent"
        );
        let fx = bench.json(json!({"type": "response.create"}), 1);
        assert_eq!(
            reply(&fx, 1)
                .expect("answered")
                .clone()
                .expect_err("closed")
                .kind(),
            Kind::Closed
        );
        bench.now += Duration::from_millis(500);
        let fx = bench.input(Input::Timeout);
        assert!(matches!(&fx[..], [Effect::Abort(LINK)]));
        assert!(
            bench.input(Input::Timeout).is_empty(),
            "an abort is said once"
        );
        let fx = bench.dropped();
        assert!(end(&fx).expected);
        assert_eq!(end(&fx).unsent.commands, 2);
    }
}
