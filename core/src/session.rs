//! The session as an application holds it: it sends commands and reads a mailbox. No logic here.

use std::future::{Future, poll_fn};
use std::os::fd::RawFd;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use crate::audio::format::Format;
use crate::audio::port::{self, Media};
use crate::call::{Call, CallOptions};
use crate::dialect::Dialect;
use crate::engine::history::Segment;
use crate::engine::io::{Command, Mark, Reply};
use crate::error::{Error, Kind, Result};
use crate::event::local::ToolCall;
use crate::event::{End, Event, Usage};
use crate::options::WhenBusy;
use crate::options::tool::Tool;
use crate::recorder::{Recorder, RecorderOptions};
use crate::runtime::account::Account;
use crate::runtime::dispatch::{Delivery, Handler, in_callback};
use crate::runtime::flight::Flight;
use crate::runtime::mailbox::Next;
use crate::runtime::readers::Readers;
use crate::runtime::recorder::Sink;
use crate::runtime::tools::{self, Runner};
use crate::runtime::{Launched, Message, Runtime, check_not_forked};
use crate::stats::Stats;
use crate::subscription::{Subscription, SubscriptionOptions};
use crate::transcript::{self, Form};
use crate::wire::client::{
    Append, Empty, ItemCreate, ItemId, ItemTruncate, ResponseCancel, ResponseCreate, SessionUpdate,
};
use crate::wire::{ClientEvent, Item, Map, Session as Settings};

/// The rate of most wires.
const WIRE_HZ: u32 = 24_000;

/// One conversation. Cheap to clone; all methods may be called from any thread and from callbacks,
/// and none but those that say so blocks.
///
/// When the last clone is dropped, the session is closed.
#[derive(Clone, Debug)]
pub struct Session(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    commands: mpsc::Sender<Message>,
    close: watch::Sender<Option<u64>>,
    readers: Arc<Readers>,
    ready: watch::Receiver<bool>,
    flight: Arc<Flight>,
    account: Arc<Account>,
    dialect: Arc<Dialect>,
    runtime: Runtime,
    close_ms: u64,
    /// The media port, if one is attached.
    call: Mutex<Weak<Media>>,
    /// The recording, if one runs.
    recorder: Mutex<Weak<Sink>>,
}

/// The answer to a command, once the server has given it. Need not be awaited: an error that
/// nobody waits for comes as an event.
#[derive(Debug)]
pub struct Pending {
    answer: oneshot::Receiver<Result<Reply>>,
    readers: Arc<Readers>,
}

impl Future for Pending {
    type Output = Result<Reply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let lost = |_| Err(Error::new(Kind::Closed, "the session ended"));
        Pin::new(&mut self.answer)
            .poll(cx)
            .map(|answer| answer.unwrap_or_else(lost))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(Err(error)) = self.answer.try_recv() {
            self.readers.tell(error);
        }
    }
}

impl Session {
    pub(crate) fn new(
        launched: Launched,
        dialect: Arc<Dialect>,
        runtime: Runtime,
        close_ms: u64,
    ) -> Self {
        let Launched {
            commands,
            close,
            readers,
            ready,
            flight,
            account,
        } = launched;
        Self(Arc::new(Shared {
            commands,
            close,
            readers,
            ready,
            flight,
            account,
            dialect,
            runtime,
            close_ms,
            call: Mutex::new(Weak::new()),
            recorder: Mutex::new(Weak::new()),
        }))
    }

    // ---- life -----------------------------------------------------------------------------------

    /// Waits until the server has greeted and acknowledged the first settings. Fails with the
    /// reason when the session ends before.
    pub async fn opened(&self) -> Result<()> {
        let mut ready = self.0.ready.clone();
        match ready.wait_for(|ready| *ready).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.end().map_or_else(
                || Error::new(Kind::Closed, "the session ended"),
                |end| end.to_error(),
            )),
        }
    }

    /// Asks for the end: what is queued is sent, then the closing handshake is made, all within
    /// `within`. Returns at once; closing twice is one close.
    pub fn close_within(&self, within: Duration) {
        let ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        // Beside the queue of commands, which may be full.
        self.0.close.send_replace(Some(ms));
    }

    /// [`Session::close_within`] the time of the options.
    pub fn close(&self) {
        self.close_within(Duration::from_millis(self.0.close_ms));
    }

    /// Reads and drops what events are left, and returns the end.
    pub async fn closed(&self) -> End {
        while self.next().await.is_some() {}
        self.end().expect("a mailbox without events has an end")
    }

    /// How the session ended, once it has. Events may still wait.
    pub fn end(&self) -> Option<End> {
        self.0.readers.own().end()
    }

    /// Waits for the end, at most `within`; events that wait stay. Blocks the calling thread; fails
    /// in a callback.
    pub fn ended_within(&self, within: Duration) -> Result<Option<End>> {
        check_not_forked()?;
        if in_callback() {
            let message = "a callback cannot wait for the end";
            return Err(Error::new(Kind::WouldDeadlock, message));
        }
        Ok(self.0.readers.own().ended_within(within))
    }

    // ---- events ---------------------------------------------------------------------------------

    /// The next event, or `None` at the end. Dropping the future loses no event.
    pub async fn next(&self) -> Option<Event> {
        poll_fn(|cx| self.0.readers.own().poll_next(cx)).await
    }

    /// The next event if there is one.
    pub fn try_next(&self) -> Next {
        self.0.readers.own().try_next()
    }

    /// Waits for the next event. Blocks the calling thread; fails in a callback.
    pub fn next_within(&self, within: Duration) -> Result<Next> {
        self.0.readers.own().next_within(within)
    }

    /// Takes up to `most` events that wait, in order.
    pub fn drain(&self, into: &mut Vec<Event>, most: usize) {
        self.0.readers.own().drain(into, most);
    }

    /// A descriptor that is readable while an event or the end waits, for a host's own loop. It
    /// belongs to the session: only poll it.
    pub fn wakeup_fd(&self) -> Result<RawFd> {
        self.0.readers.own().wakeup_fd()
    }

    /// From now on `handler` gets the events.
    pub fn deliver_to(&self, handler: Box<dyn Handler>, delivery: Delivery) -> Result<()> {
        let own = self.0.readers.own();
        self.0.runtime.attach(own, handler, delivery)
    }

    /// One more reader, of some topics and with bounds of its own: of what is told from now on. Who
    /// is slow at reading one misses something in that one only. May be called before the session is
    /// open, which then misses nothing.
    pub fn subscribe(&self, options: SubscriptionOptions) -> Result<Subscription> {
        check_not_forked()?;
        Subscription::new(&self.0.readers, &self.0.runtime, options)
    }

    // ---- sound ----------------------------------------------------------------------------------

    /// Attaches a media port: sound goes to the server as it is pushed, and what the agent says is
    /// there to be pulled. May be called before the session is open; what is pushed until then is
    /// its pre-roll. A session has one port at a time.
    pub fn attach(&self, options: CallOptions) -> Result<Call> {
        self.check_open()?;
        let mut attached = self.0.call.lock().unwrap_or_else(PoisonError::into_inner);
        if attached.upgrade().is_some_and(|media| media.is_live()) {
            let message = "the session has a media port: detach it first";
            return Err(Error::new(Kind::Argument, message));
        }
        let (mut port, media) = port::open(options)?;
        if self
            .recording()
            .upgrade()
            .is_some_and(|sink| !sink.is_over())
        {
            // Before the host can push or pull anything.
            port.record(true);
        }
        let media = Arc::new(media);
        self.message(Message::Attach(Box::new(port)))?;
        *attached = Arc::downgrade(&media);
        Ok(Call::new(media))
    }

    /// Records the call into a WAV file, replacing what is there: the customer as pushed on the left,
    /// the agent on the right as the listener pulled it, cuts and silence included. Beside it stands
    /// `NAME.json` with who said what and where, interruptions, cuts, gaps and the end. Both are
    /// readable at any time, also when this process is killed, and lack at most their last second.
    ///
    /// The recording begins with the media port if one is attached, else when one is, and ends with
    /// the session; what is pulled out of the ring after that is not in it. Where the host confirms
    /// what has arrived at the listener, that is what counts as heard. A session has one at a time. Nothing is written by the caller, a media thread or
    /// the session; but creating the file blocks as files do. A full disk ends the recording, which
    /// `protocol.fault` tells, and never the session.
    pub fn record(&self, path: impl AsRef<Path>, options: RecorderOptions) -> Result<Recorder> {
        self.check_open()?;
        let mut recording = self.recording();
        if recording.upgrade().is_some_and(|sink| !sink.is_over()) {
            let message = "the session is recorded already: stop that first";
            return Err(Error::new(Kind::Argument, message));
        }
        let attached = self.0.call.lock().unwrap_or_else(PoisonError::into_inner);
        let media = attached.upgrade().filter(|media| media.is_live());
        drop(attached);
        let of_port = |media: Arc<Media>| media.uplink().rate_hz().max(media.downlink().rate_hz());
        let rate_hz = options
            .rate_hz
            .or_else(|| media.map(of_port))
            .unwrap_or(WIRE_HZ);
        let readers = self.0.readers.clone();
        let sink = self.0.runtime.record(path.as_ref(), rate_hz, readers)?;
        self.message(Message::Record(sink.clone()))?;
        *recording = Arc::downgrade(&sink);
        let commands = self.0.commands.downgrade();
        Ok(Recorder::new(sink, commands, self.0.runtime.clone()))
    }

    fn recording(&self) -> MutexGuard<'_, Weak<Sink>> {
        let recorder = &self.0.recorder;
        recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- commands -------------------------------------------------------------------------------

    fn command(&self, command: Command) -> Result<Pending> {
        let (reply, answer) = oneshot::channel();
        self.put(command, Some(reply))?;
        let readers = self.0.readers.clone();
        Ok(Pending { answer, readers })
    }

    fn put(&self, command: Command, reply: Option<oneshot::Sender<Result<Reply>>>) -> Result<()> {
        self.check_open()?;
        self.message(Message::Command(command, reply))
    }

    fn check_open(&self) -> Result<()> {
        check_not_forked()?;
        if self.0.close.borrow().is_some() {
            return Err(Error::new(Kind::Closed, "the session is closed"));
        }
        Ok(())
    }

    fn message(&self, message: Message) -> Result<()> {
        self.0
            .commands
            .try_send(message)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Error::new(
                    Kind::QueueFull,
                    "commands come faster than they can be sent",
                ),
                mpsc::error::TrySendError::Closed(_) => {
                    Error::new(Kind::Closed, "the session is closed")
                }
            })
    }

    /// Sends a typed event.
    pub fn send(&self, event: ClientEvent) -> Result<Pending> {
        self.command(Command::Send(event))
    }

    /// Sends an event given as JSON text by its canonical name; unknown fields pass as they are.
    pub fn send_json(&self, json: impl Into<String>) -> Result<Pending> {
        self.command(Command::Json(json.into()))
    }

    /// [`Session::send_json`] for a caller that will not wait: an error always comes as an event.
    pub fn post_json(&self, json: impl Into<String>) -> Result<()> {
        self.put(Command::Json(json.into()), None)
    }

    /// Waits until a command can be taken. Another caller may be faster, so try and wait again.
    pub async fn room(&self) -> Result<()> {
        let closed = |_| Error::new(Kind::Closed, "the session is closed");
        self.0.commands.reserve().await.map(drop).map_err(closed)
    }

    /// Sends a text frame as it is, without any check. For tests of servers.
    #[doc(hidden)]
    pub fn send_frame(&self, frame: impl Into<String>) -> Result<Pending> {
        self.command(Command::Frame(frame.into()))
    }

    /// Appends audio in the input format of the session: whole samples, mono.
    pub fn append(&self, audio: impl Into<Bytes>) -> Result<()> {
        let append = Append {
            audio: audio.into(),
        };
        self.put(Command::Send(ClientEvent::Append(append)), None)
    }

    /// The format of what can be appended, as the server acknowledged it last.
    pub fn input_format(&self) -> Option<Format> {
        self.0.account.input_format()
    }

    /// Changes settings: absent keys keep their values, null clears.
    pub fn update(&self, patch: Settings) -> Result<Pending> {
        self.send(ClientEvent::SessionUpdate(SessionUpdate { session: patch }))
    }

    /// Makes a turn of the audio appended so far. Asks for no response.
    pub fn commit(&self) -> Result<Pending> {
        self.send(ClientEvent::BufferCommit(Empty::default()))
    }

    /// Forgets the audio appended since the last turn.
    pub fn clear(&self) -> Result<Pending> {
        self.send(ClientEvent::BufferClear(Empty::default()))
    }

    /// Puts a text of the customer into the conversation. Asks for no response.
    pub fn send_text(&self, text: impl Into<String>) -> Result<Pending> {
        self.create_item(Item::user_text(text), None)
    }

    /// Answers a function call. Asks for no response.
    pub fn answer_call(
        &self,
        call_id: impl Into<String>,
        output: impl Into<String>,
    ) -> Result<Pending> {
        self.create_item(Item::function_call_output(call_id, output), None)
    }

    /// Puts an item into the conversation, at the end or after another (`root` for the start).
    pub fn create_item(&self, item: Item, previous_item_id: Option<String>) -> Result<Pending> {
        self.send(ClientEvent::ItemCreate(ItemCreate {
            previous_item_id,
            item,
        }))
    }

    /// Asks for an item with its audio; it comes as an event.
    pub fn retrieve_item(&self, item_id: impl Into<String>) -> Result<Pending> {
        self.send(ClientEvent::ItemRetrieve(ItemId {
            item_id: item_id.into(),
        }))
    }

    /// Removes an item.
    pub fn delete_item(&self, item_id: impl Into<String>) -> Result<Pending> {
        self.send(ClientEvent::ItemDelete(ItemId {
            item_id: item_id.into(),
        }))
    }

    /// Tells the server how much of an agent's audio was heard.
    pub fn truncate_item(
        &self,
        item_id: impl Into<String>,
        content_index: u32,
        audio_end_ms: u64,
    ) -> Result<Pending> {
        let item_id = item_id.into();
        self.send(ClientEvent::ItemTruncate(ItemTruncate {
            item_id,
            content_index,
            audio_end_ms,
        }))
    }

    /// Asks for a response; `overrides` are fields of the wire's `response` for this one.
    pub fn respond(&self, overrides: Option<Map>) -> Result<Pending> {
        self.send(ClientEvent::ResponseCreate(ResponseCreate {
            response: overrides,
        }))
    }

    /// [`Session::respond`] with a policy of its own for a conversation that is busy. The answer
    /// says whether a response was made for it or another one serves it.
    pub fn respond_when(&self, overrides: Option<Map>, when_busy: WhenBusy) -> Result<Pending> {
        self.command(Command::Respond(overrides, when_busy))
    }

    /// Stops a response; without an id, the one that runs.
    pub fn cancel(&self, response_id: Option<String>) -> Result<Pending> {
        self.send(ClientEvent::ResponseCancel(ResponseCancel { response_id }))
    }

    // ---- the listener, interruption, tools ------------------------------------------------------

    /// Tells how much of a part the listener of a host that owns the queue has heard, in
    /// milliseconds from its beginning. The first such mark makes this session count what is heard.
    pub fn played(
        &self,
        item_id: impl Into<String>,
        content_index: u32,
        heard_ms: u64,
    ) -> Result<()> {
        let mark = Mark {
            item_id: item_id.into(),
            content_index,
            heard_ms,
        };
        self.put(Command::Played(mark), None)
    }

    /// Decides an interruption that is held: it is one, or the agent goes on. Without one that is
    /// held, `true` interrupts the agent; fails when there is nothing to interrupt.
    pub fn interrupt(&self, is_interruption: bool) -> Result<Pending> {
        self.command(Command::Interrupt(is_interruption))
    }

    /// Lets the model call a tool. Each call comes as an event `tool.call` and is owed exactly one
    /// [`Session::answer_tool`]; the response after it is asked for here.
    pub fn register_tool(&self, tool: Tool) -> Result<Pending> {
        self.command(Command::Register(tool))
    }

    /// [`Session::register_tool`] for a tool that runs here: each call runs once, in a task beside
    /// the session, and its result is given to the model. The task shares a thread with sessions, so
    /// it must not block; it is dropped when nobody waits for its result any more.
    pub fn run_tool<F, R>(&self, tool: Tool, run: F) -> Result<Pending>
    where
        F: Fn(ToolCall) -> R + Send + Sync + 'static,
        R: Future<Output = std::result::Result<String, String>> + Send + 'static,
    {
        self.tool(tool, Arc::new(move |call| Box::pin(run(call))))
    }

    /// [`Session::run_tool`] for a function that may block: it runs on a thread of its own, and to
    /// its end, even when nobody waits for it any more.
    pub fn run_blocking_tool<F>(&self, tool: Tool, run: F) -> Result<Pending>
    where
        F: Fn(ToolCall) -> std::result::Result<String, String> + Send + Sync + 'static,
    {
        self.tool(tool, tools::blocking(self.0.runtime.crew(), run))
    }

    fn tool(&self, tool: Tool, runner: Runner) -> Result<Pending> {
        self.check_open()?;
        let (reply, answer) = oneshot::channel();
        self.message(Message::Tool(tool, runner, reply))?;
        let readers = self.0.readers.clone();
        Ok(Pending { answer, readers })
    }

    /// The result of a registered tool: output for the model, or the error that it is told. A second
    /// one for the same call, or one that is too late, is refused.
    pub fn answer_tool(
        &self,
        call_id: impl Into<String>,
        output: std::result::Result<String, String>,
    ) -> Result<Pending> {
        let call_id = call_id.into();
        self.command(Command::ToolResult { call_id, output })
    }

    /// The conversation so far, in its order; also after the end. At least as new as the last event
    /// that was read.
    pub fn history(&self) -> Vec<Arc<Segment>> {
        self.0.account.history()
    }

    /// The conversation so far, written down; also after the end.
    pub fn transcript(&self, form: Form) -> String {
        transcript::text(&self.history(), form)
    }

    /// Tokens used so far, cancelled responses included; also after the end.
    pub fn usage(&self) -> Usage {
        self.0.account.usage()
    }

    /// What the session did so far; also after the end.
    pub fn stats(&self) -> Stats {
        let mut stats = self.0.account.stats();
        let backlog = self.0.readers.own().backlog();
        stats.faults += self.0.readers.faults();
        stats.unread_events = backlog.events;
        stats.unread_bytes = backlog.bytes;
        stats.unread_dropped_ms = backlog.dropped_ms;
        let waiting = self.0.commands.max_capacity() - self.0.commands.capacity();
        stats.waiting_commands = waiting as u64;
        stats
    }

    /// The settings that the server acknowledged.
    pub async fn settings(&self) -> Result<Settings> {
        match self.command(Command::Settings)?.await? {
            Reply::Settings(settings) => Ok(settings),
            _ => Ok(Settings::new()),
        }
    }

    /// The flight recorder: the last steps of the session, oldest first, a JSON object in each line with
    /// `at_ms`, `what` and `name`. It says what was sent, received and decided, and nothing of what
    /// anybody said. Also after the end. How many steps it keeps is an option, and so is a directory
    /// where it is written when the session ends in a way that nobody asked for.
    pub fn flight_record(&self) -> String {
        self.0.flight.text()
    }

    /// What this endpoint can do, as its dialect's table says: `caps`, `limits`, `voices`.
    pub fn capabilities(&self) -> Value {
        let table = self.0.dialect.table();
        json!({
            "dialect": table.name, "caps": table.caps, "limits": table.limits,
            "voices": table.voices, "server_tools": table.server_tools,
        })
    }

    /// The runtime that carries this session.
    pub fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }
}
