//! One task per session: the only place where the engine meets sockets, clocks and queues.

use std::collections::HashMap;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

use super::Count;
use super::account::Account;
use super::attached::Attached;
use super::crew::Crew;
use super::flight::Flight;
use super::lines::Lines;
use super::mailbox::Pressure;
use super::readers::Readers;
use super::recorder::{Recording, Sink};
use super::socket::Happened;
use super::tools::{Output, Runner, Tools};
use crate::audio::format::Format;
use crate::audio::port::Port;
use crate::engine::Engine;
use crate::engine::io::{Command, Down, Effect, Effects, Frame, Input, LinkId, Reply, Ticket};
use crate::error::{Error, Kind, Result, Who};
use crate::event::local::{self, Local};
use crate::event::{End, Event, Topic, Unsent};
use crate::options::tool::Tool;
use crate::wire::ClientEvent;

/// What a handle asks of the task.
pub(crate) enum Message {
    /// A command, and who waits for its reply.
    Command(Command, Option<oneshot::Sender<Result<Reply>>>),
    /// From now on this is the media port.
    Attach(Box<Port>),
    /// From now on the session is recorded there.
    Record(Arc<Sink>),
    /// And no more.
    Unrecord(Arc<Sink>),
    /// The model may call this tool, which is run in this way.
    Tool(Tool, Runner, oneshot::Sender<Result<Reply>>),
}

/// The task of a session.
pub(crate) struct Driver {
    engine: Engine,
    lines: Lines,
    /// Before the readers, also when dropped: who sees the end finds the port closed.
    call: Option<Attached>,
    /// Of ports that are gone.
    unsent_ms: u64,
    recording: Option<Recording>,
    tools: Tools,
    readers: Ends,
    waiting: HashMap<Ticket, oneshot::Sender<Result<Reply>>>,
    tickets: u64,
    ready: watch::Sender<bool>,
    fx: Effects,
    end: Option<End>,
    flight: Arc<Flight>,
    flight_dir: Option<String>,
    crew: Arc<Crew>,
    account: Arc<Account>,
}

/// Tells the end even when the task is dropped in the middle.
struct Ends(Arc<Readers>);

impl Drop for Ends {
    fn drop(&mut self) {
        let (who, why, message) = if std::thread::panicking() {
            let message = "a bug in this library ended the session";
            (Who::Library, Kind::Panic, message)
        } else {
            let message = "the runtime was shut down under the session";
            (Who::App, Kind::Cancelled, message)
        };
        self.0.finish(&End::new(who, why, message));
    }
}

/// Time for writing the flight recorder.
const DISK_PATIENCE: Duration = Duration::from_secs(1);

/// What woke the task.
enum Woken {
    Socket(LinkId, Happened),
    Message(Message),
    Room,
    Close(u64),
    Deadline,
    Tick,
    Tool(String, Output),
}

/// Which sources of a wish to close are still to be listened to.
struct Wishes {
    handles: watch::Receiver<Option<u64>>,
    has_handles: bool,
    runtime: Arc<Count>,
    is_asked: bool,
    /// For a close that nobody bounded.
    close_ms: u64,
}

impl Wishes {
    /// The next wish, in milliseconds of grace. Losing the future loses nothing.
    async fn next(&mut self) -> u64 {
        tokio::select! {
            changed = self.handles.changed(), if self.has_handles => {
                self.has_handles = changed.is_ok();
                self.handles.borrow_and_update().unwrap_or(self.close_ms)
            }
            () = self.runtime.wanted(), if !self.is_asked => {
                self.is_asked = true;
                self.close_ms
            }
            else => std::future::pending().await,
        }
    }
}

impl Driver {
    pub(crate) fn new(
        engine: Engine,
        lines: Lines,
        readers: Arc<Readers>,
        ready: watch::Sender<bool>,
    ) -> Self {
        Self {
            engine,
            lines,
            call: None,
            unsent_ms: 0,
            recording: None,
            tools: Tools::default(),
            readers: Ends(readers),
            waiting: HashMap::new(),
            tickets: 0,
            ready,
            fx: Effects::new(),
            end: None,
            flight: Arc::new(Flight::new(0, 0)),
            flight_dir: None,
            crew: Arc::default(),
            account: Arc::default(),
        }
    }

    /// Where anybody can see what the session did.
    pub(crate) fn account(&self) -> Arc<Account> {
        self.account.clone()
    }

    /// Its steps are recorded, and written to a directory after an end that nobody asked for.
    pub(crate) fn with_flight(
        mut self,
        flight: Arc<Flight>,
        dir: Option<String>,
        crew: Arc<Crew>,
    ) -> Self {
        (self.flight, self.flight_dir, self.crew) = (flight, dir, crew);
        self
    }

    /// Runs the session to its end. `close_ms` bounds a close that nobody bounded.
    pub(crate) async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        handles: watch::Receiver<Option<u64>>,
        runtime: Arc<Count>,
        close_ms: u64,
    ) {
        let mut wishes = Wishes {
            handles,
            has_handles: true,
            runtime,
            is_asked: false,
            close_ms,
        };
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let unix_ms = since_1970.map_or(0, |time| time.as_millis());
        self.input(Input::Open {
            unix_ms: u64::try_from(unix_ms).unwrap_or(0),
        });
        while self.end.is_none() {
            match self.next(&mut messages, &mut wishes).await {
                Woken::Socket(link, happened) => self.happened(link, happened),
                Woken::Message(message) => self.message(message),
                // The next turn of the loop listens to messages again.
                Woken::Room => {}
                Woken::Close(grace_ms) => {
                    // What was asked before the close is sent before it.
                    while let Ok(message) = messages.try_recv() {
                        self.message(message);
                    }
                    self.look();
                    self.input(Input::Close { grace_ms });
                }
                Woken::Deadline => self.input(Input::Timeout),
                Woken::Tick => self.look(),
                Woken::Tool(call_id, output) => {
                    self.command(Command::ToolResult { call_id, output }, None);
                }
            }
        }
        messages.close();
        self.explain().await;
        let rest = self.conclude(messages);
        if let Some(call) = rest {
            tokio::select! {
                () = call.play_out() => {}
                () = wishes.runtime.wanted() => {}
            }
        }
    }

    /// Writes the flight recorder down if somebody will want to have the end explained.
    async fn explain(&mut self) {
        let is_wanted = self.end.as_ref().is_some_and(|end| !end.expected);
        let Some(dir) = self.flight_dir.take().filter(|_| is_wanted) else {
            return;
        };
        // Sessions that never had a name still had a time.
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let unix_ms = since_1970.map_or(0, |time| time.as_millis());
        let id = self.engine.session_id().unwrap_or("unnamed");
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let id: String = id.chars().filter(is_plain).take(64).collect();
        let (flight, name) = (self.flight.clone(), format!("talkwire-{unix_ms}-{id}"));
        let asked = self.crew.ask(move || flight.write(Path::new(&dir), &name));
        let written = async { asked?.await.ok().transpose() };
        // A disk that hangs must not keep anybody from the end.
        if let Ok(Err(error)) = tokio::time::timeout(DISK_PATIENCE, written).await {
            self.readers.0.tell(error);
        }
    }

    /// Tells the end. Returns the port if something of the last answer is still to be heard from it.
    ///
    /// What was taken from the application in the session's last moment is unsent as well.
    fn conclude(mut self, mut messages: mpsc::Receiver<Message>) -> Option<Attached> {
        let mut left = Unsent::default();
        while let Ok(message) = messages.try_recv() {
            let Message::Command(command, reply) = message else {
                continue;
            };
            match &command {
                Command::Send(ClientEvent::Append(append)) => {
                    let bytes = append.audio.len() as u64;
                    left.audio_ms += self.engine.input_format().ms_of_bytes(bytes);
                }
                Command::Settings | Command::Played(_) | Command::Interrupt(_) => {}
                Command::Send(_)
                | Command::Json(_)
                | Command::Frame(_)
                | Command::Respond(..)
                | Command::Register(_)
                | Command::ToolResult { .. } => left.commands += 1,
            }
            self.command(command, reply);
        }
        left.audio_ms += self.unsent_ms;
        self.overhear(&[]);
        let is_asked = self.end.as_ref().is_some_and(|end| end.expected);
        let mut call = self.call.take();
        left.audio_ms += call.as_ref().map_or(0, Attached::unsent_ms);
        // Who sees the end finds that nothing can be pushed any more.
        let rest = call.take_if(|call| call.end() && !is_asked);
        drop(call);
        if let Some(mut end) = self.end.take() {
            end.unsent.audio_ms += left.audio_ms;
            end.unsent.commands += left.commands;
            if let Some(recording) = self.recording.take() {
                recording.finish(self.engine.segments(), Some(&end));
            }
            self.readers.0.finish(&end);
        }
        rest
    }

    async fn next(&mut self, messages: &mut mpsc::Receiver<Message>, wishes: &mut Wishes) -> Woken {
        let deadline = self.engine.deadline();
        let at = tokio::time::Instant::from_std(deadline.unwrap_or_else(Instant::now));
        let tick = self.call.as_ref().map(Attached::due);
        let tick_at = tokio::time::Instant::from_std(tick.unwrap_or_else(Instant::now));
        let has_room = self.lines.has_room();
        let (lines, tools) = (&mut self.lines, &mut self.tools);
        let socket = poll_fn(|cx| match lines.poll(cx) {
            Poll::Ready((link, happened)) => Poll::Ready(Woken::Socket(link, happened)),
            Poll::Pending if !has_room && lines.has_room() => Poll::Ready(Woken::Room),
            Poll::Pending => Poll::Pending,
        });
        tokio::select! {
            woken = socket => woken,
            (call_id, output) = tools.next() => Woken::Tool(call_id, output),
            Some(message) = messages.recv(), if has_room => Woken::Message(message),
            grace_ms = wishes.next() => Woken::Close(grace_ms),
            () = sleep_until(at), if deadline.is_some() => Woken::Deadline,
            () = sleep_until(tick_at), if tick.is_some() => Woken::Tick,
        }
    }

    fn happened(&mut self, link: LinkId, happened: Happened) {
        let input = match happened {
            Happened::Up => Input::LinkUp(link),
            Happened::Text(text) => {
                self.frame(link, false, || text.clone());
                Input::Text(link, text)
            }
            Happened::Pong => Input::Pong(link),
            Happened::Binary(bytes) => Input::Binary(link, bytes),
            Happened::Down(down) => Input::LinkDown(link, down, self.lines.drop(link)),
        };
        self.input(input);
    }

    /// Tells a frame to those who read the wire.
    fn frame(&self, link: LinkId, is_sent: bool, text: impl FnOnce() -> Arc<str>) {
        if self.readers.0.want(Topic::Raw) {
            let frame = local::Frame {
                is_sent,
                link: link.0,
                missed: 0,
                text: text(),
            };
            // What waits of these is bounded by what is dropped, never by an end.
            let _ = self
                .readers
                .0
                .push(Event::local(self.readers.0.at_ms(), Local::Frame(frame)));
        }
    }

    fn sends(&self, link: LinkId, frame: &Frame) {
        match frame {
            Frame::Text(text) => self.frame(link, true, || text.as_str().into()),
            Frame::Audio(audio, _) => {
                self.frame(link, true, || self.lines.append(link, audio).into());
            }
            Frame::Ping => {}
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Command(command, reply) => {
                // What was pushed before a command is sent before it.
                self.look();
                self.command(command, reply);
            }
            Message::Tool(tool, runner, reply) => {
                self.tools.register(tool.name.clone(), runner);
                self.command(Command::Register(tool), Some(reply));
            }
            Message::Attach(port) => {
                self.detach();
                self.call = Some(Attached::new(port, Instant::now()));
                self.record();
                self.input(Input::Port(true));
            }
            Message::Record(sink) => {
                self.look();
                self.recording = Some(Recording::new(sink, self.engine.session_id()));
                self.record();
            }
            Message::Unrecord(sink) => self.unrecord(&sink),
        }
    }

    /// Begins to record the port that is there.
    fn record(&mut self) {
        if let (Some(recording), Some(call)) = (&mut self.recording, &mut self.call) {
            call.record(true);
            recording.attach(Instant::now(), self.readers.0.at_ms(), call.port());
        }
    }

    fn unrecord(&mut self, sink: &Arc<Sink>) {
        self.look();
        if let Some(recording) = self.recording.take_if(|recording| recording.is_of(sink)) {
            if let Some(call) = &mut self.call {
                call.record(false);
            }
            recording.finish(self.engine.segments(), None);
        }
    }

    /// Records what a look at the port found.
    fn overhear(&mut self, inputs: &[Input]) {
        let (now, wire) = (Instant::now(), self.wire());
        let (Some(recording), Some(call)) = (&mut self.recording, &mut self.call) else {
            return;
        };
        recording.look(now, call.port_mut(), inputs, wire);
        if recording.is_due(now) {
            recording.note(now, self.engine.segments());
        }
    }

    fn command(&mut self, command: Command, reply: Option<oneshot::Sender<Result<Reply>>>) {
        let ticket = reply.map(|reply| {
            self.tickets += 1;
            self.waiting.insert(Ticket(self.tickets), reply);
            Ticket(self.tickets)
        });
        self.input(Input::Command(command, ticket));
    }

    /// Moves sound between the media port and the engine.
    fn look(&mut self) {
        let (now, wire) = (Instant::now(), self.wire());
        let Some(call) = &mut self.call else { return };
        let (inputs, is_detached) = (call.look(now, wire), call.is_detached());
        self.overhear(&inputs);
        for input in inputs {
            self.input(input);
        }
        if is_detached {
            self.detach();
        }
    }

    fn detach(&mut self) {
        let wire = self.wire();
        let rest = self
            .call
            .as_mut()
            .and_then(|call| call.finish(Instant::now(), wire));
        self.overhear(rest.as_slice());
        let Some(call) = self.call.take() else {
            return;
        };
        if let Some(recording) = &mut self.recording {
            recording.detach();
        }
        if let Some(rest) = rest {
            self.input(rest);
        }
        self.unsent_ms += call.unsent_ms();
        self.input(Input::Port(false));
    }

    /// The format of what can be sent now.
    fn wire(&self) -> Option<Format> {
        self.engine.is_open().then(|| self.engine.input_format())
    }

    fn input(&mut self, input: Input) {
        let mut fx = std::mem::take(&mut self.fx);
        let at_ms = self.readers.0.at_ms();
        self.flight.input(at_ms, &input);
        self.account.input(at_ms, &input);
        self.engine.handle(Instant::now(), input, &mut fx);
        self.account.effects(&mut self.engine, &fx);
        let mut dropped_ms = 0;
        let (mut is_full, mut is_played) = (false, false);
        let (mut flushed, mut aborted) = (None, Vec::new());
        for effect in fx.drain(..) {
            self.flight.effect(at_ms, &effect);
            match effect {
                Effect::Dial(link, endpoint) => self.lines.dial(link, endpoint),
                Effect::Send(link, frame) => {
                    self.sends(link, &frame);
                    dropped_ms += self.lines.push(link, frame);
                }
                Effect::Hangup(link) => self.lines.hang_up(link),
                Effect::Abort(link) => aborted.push(link),
                Effect::Ready => drop(self.ready.send(true)),
                Effect::Emit(event) => {
                    self.tools.seen(&event);
                    if let Some(recording) = &mut self.recording {
                        recording.seen(&event);
                    }
                    is_full |= self.readers.0.push(event) == Pressure::Full;
                }
                Effect::Reply(ticket, result) => self.reply(ticket, result),
                Effect::End(end) => {
                    self.lines.clear();
                    self.end = Some(end);
                }
                Effect::Flush => {
                    let call = self.call.as_mut();
                    flushed = Some(call.map(Attached::flush).unwrap_or_default());
                }
                Effect::Play(..) | Effect::PlayEnd(_) | Effect::Hold(_) => {
                    is_played = true;
                    self.sound(effect);
                }
                Effect::Note(_) => {}
            }
        }
        self.fx = fx;
        if let Some(call) = self.call.as_mut().filter(|_| is_played) {
            call.top_up(Instant::now());
        }
        if let Some(heard) = flushed {
            let input = Input::Flushed(heard);
            self.overhear(std::slice::from_ref(&input));
            self.input(input);
        }
        if dropped_ms > 0 {
            self.input(Input::UplinkDropped { ms: dropped_ms });
        }
        for link in aborted {
            let down = Down::Failed(Error::new(Kind::Lost, "the connection was dropped"));
            let unsent = self.lines.drop(link);
            self.input(Input::LinkDown(link, down, unsent));
        }
        if is_full && self.end.is_none() {
            self.input(Input::SlowReader);
        }
    }

    /// Effects that a media port carries out; without one they are nothing.
    fn sound(&mut self, effect: Effect) {
        let Some(call) = &mut self.call else { return };
        match effect {
            Effect::Play(part, audio, format) => {
                if let Some(recording) = &mut self.recording {
                    recording.plays(part, self.engine.item_of(part), format);
                }
                call.play(part, audio, format);
            }
            Effect::PlayEnd(part) => call.play_end(part),
            Effect::Hold(is_held) => call.hold(is_held),
            _ => {}
        }
    }

    /// Nobody waiting for an error must not mean that it is lost: it goes to the event stream.
    fn reply(&mut self, ticket: Ticket, result: Result<Reply>) {
        let Some(waiting) = self.waiting.remove(&ticket) else {
            return;
        };
        if let Err(Err(error)) = waiting.send(result) {
            self.readers.0.tell(error);
        }
    }
}
