//! The task of one session: frames, time and jobs in, effects out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::driver::stopped;
use crate::exec;
use crate::faults::{Action, Fault, When};
use crate::host;
use crate::io::{Job, JobId, PeerEffect, PeerEffects, PeerInput};
use crate::journal::Pen;
use crate::peer::Peer;
use crate::time::ServerTime;
use crate::upstream;

/// Unsent bytes above which answers wait for the client to read.
const HIGH_WATER_BYTES: usize = 1 << 20;
/// Unsent bytes above which the client is given up.
const MAX_UNSENT_BYTES: usize = 64 << 20;
/// News of jobs that wait for the session; a job with more waits itself.
const MAX_NEWS: usize = 64;
/// Time one frame may take to be written.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// Time a client has to answer a close, and to take what was sent before it.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// What a job tells.
#[derive(Debug)]
pub(crate) enum News {
    /// A piece of its output.
    Piece(Vec<u8>),
    /// It has ended.
    Done(Result<Vec<u8>, String>),
}

type Sink<S> = SplitSink<WebSocketStream<S>, Message>;

/// How a session ended, for the socket's sake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// A close was sent: wait for its answer.
    Close,
    /// A close was sent to a client whose message was too large: read what it still sends.
    Drain,
    /// Go without a word.
    Drop,
    /// Keep the socket and do nothing.
    Hang,
}

/// What a session has beside its socket and its peer.
pub(crate) struct Link {
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) time: ServerTime,
    pub(crate) pen: Pen,
    pub(crate) orders: mpsc::Receiver<Order>,
}

/// What somebody who controls the server wants of a session.
#[derive(Debug)]
pub(crate) enum Order {
    /// Send this text frame to the client.
    Send(String),
    /// Take this text frame as one of the client.
    Receive(String),
    /// Let this go wrong at its moment.
    Plant(Fault),
    /// Let this go wrong now.
    Now(Action),
}

struct Driver<S> {
    peer: Peer,
    time: ServerTime,
    pen: Pen,
    effects: PeerEffects,
    stream: SplitStream<WebSocketStream<S>>,
    writer: Option<JoinHandle<Option<Sink<S>>>>,
    outgoing: Option<mpsc::UnboundedSender<Outgoing>>,
    /// What is sent leaves no earlier.
    held_until: Option<Instant>,
    /// How long each frame of the client waits, and until when the next one does.
    slow_read: Option<(Duration, Instant)>,
    unsent: Arc<Unsent>,
    jobs: HashMap<JobId, AbortHandle>,
    news: mpsc::Sender<(JobId, News)>,
    last: Option<Last>,
}

/// What the writer does next.
#[derive(Debug)]
enum Outgoing {
    Write(Message),
    Wait(Instant),
}

/// Bytes that wait to be written.
#[derive(Debug, Default)]
struct Unsent {
    bytes: AtomicUsize,
    fell: Notify,
}

/// Runs a session to its end.
pub(crate) async fn run<S>(ws: WebSocketStream<S>, peer: Peer, link: Link)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sink, stream) = ws.split();
    let Link {
        mut stopping,
        time,
        pen,
        mut orders,
    } = link;
    let mut changes = time.changes();
    let unsent = Arc::new(Unsent::default());
    // Unbounded, as its bytes are counted and bounded here.
    let (outgoing, queue) = mpsc::unbounded_channel();
    let (news, mut told) = mpsc::channel(MAX_NEWS);
    let mut driver = Driver {
        peer,
        time,
        pen,
        effects: PeerEffects::new(),
        stream,
        writer: Some(tokio::spawn(write(sink, queue, unsent.clone()))),
        outgoing: Some(outgoing),
        held_until: None,
        slow_read: None,
        unsent,
        jobs: HashMap::new(),
        news,
        last: None,
    };
    driver.step(PeerInput::Open);
    while driver.last.is_none() {
        tokio::select! {
            input = driver.next(&mut told, &mut stopping) => driver.step(input),
            Some(order) = orders.recv() => driver.obey(order),
            // What was far away may be due now.
            Ok(()) = changes.changed() => {}
        }
    }
    driver.end(&mut stopping).await;
}

impl<S> Driver<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    async fn next(
        &mut self,
        told: &mut mpsc::Receiver<(JobId, News)>,
        stopping: &mut watch::Receiver<bool>,
    ) -> PeerInput {
        loop {
            let deadline = self.peer.deadline().unwrap_or_else(|| self.time.now());
            let deadline = self.time.real(deadline);
            let is_full = self.unsent.bytes.load(Ordering::Acquire) > HIGH_WATER_BYTES;
            let writer = self.writer.as_mut().expect("it is taken at the end only");
            let read_at = self.slow_read.map(|(_, at)| at);
            let is_read_due = read_at.is_none_or(|at| at <= Instant::now());
            tokio::select! {
                message = self.stream.next(), if is_read_due => {
                    if let Some((wait, at)) = &mut self.slow_read {
                        *at = Instant::now() + *wait;
                    }
                    if let Some(input) = self.read(message) {
                        return input;
                    }
                }
                () = sleep_until(read_at), if !is_read_due => {}
                Some((job, news)) = told.recv() => match news {
                    News::Piece(piece) => return PeerInput::JobProgress { job, piece },
                    News::Done(outcome) => {
                        self.jobs.remove(&job);
                        return PeerInput::JobDone { job, outcome };
                    }
                },
                // A client that does not read makes answers wait, not memory grow.
                () = self.unsent.fell.notified(), if is_full => {}
                () = tokio::time::sleep_until(deadline.into()), if !is_full => {
                    return PeerInput::Timeout;
                }
                () = stopped(stopping) => return PeerInput::Shutdown,
                _ = writer => {
                    self.writer = None;
                    self.last = Some(Last::Drop);
                    return PeerInput::Gone;
                }
            }
        }
    }

    fn read(&mut self, message: Option<Result<Message, Error>>) -> Option<PeerInput> {
        match message {
            Some(Ok(Message::Text(text))) => Some(PeerInput::Frame(text.as_str().to_owned())),
            Some(Ok(Message::Binary(_))) => Some(PeerInput::Binary),
            // The library answers pings and closes by itself.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => None,
            Some(Err(Error::Capacity(_))) => {
                self.send_close(1009, "message too big");
                self.last = Some(Last::Drain);
                Some(PeerInput::Gone)
            }
            Some(Ok(Message::Close(frame))) => {
                let code = frame.as_ref().map(|f| u16::from(f.code));
                let reason = frame.as_ref().map(|f| f.reason.as_str());
                let what = json!({"by": "client", "code": code, "reason": reason});
                self.pen.ended("closed", &what);
                self.last = Some(Last::Close);
                Some(PeerInput::Gone)
            }
            Some(Err(_)) | None => {
                self.last = Some(Last::Drop);
                Some(PeerInput::Gone)
            }
        }
    }

    fn step(&mut self, input: PeerInput) {
        let mut effects = std::mem::take(&mut self.effects);
        if let PeerInput::Frame(raw) = &input {
            self.pen.client(raw);
        }
        if matches!(input, PeerInput::Binary) {
            self.pen.binary();
        }
        self.peer.handle(self.time.now(), input, &mut effects);
        for moment in self.peer.take_fired() {
            self.pen.note("fault", &json!({ "at": moment }));
        }
        for effect in effects.drain() {
            self.carry_out(effect);
        }
        self.effects = effects;
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Send(frame) => {
                self.pen.note("injected", &json!({"to": "client"}));
                self.carry_out(PeerEffect::Send(frame));
            }
            Order::Receive(frame) => {
                self.pen.note("injected", &json!({"to": "server"}));
                self.step(PeerInput::Frame(frame));
            }
            Order::Plant(fault) => {
                self.pen
                    .note("planted", &json!({"when": fault.when.to_string()}));
                self.peer.plant(fault);
            }
            Order::Now(action) => {
                // Its time is the beginning of the session, which has passed.
                self.peer.plant(Fault::new(When::time_ms(0), action));
                self.step(PeerInput::Timeout);
            }
        }
    }

    fn carry_out(&mut self, effect: PeerEffect) {
        match effect {
            // The client was given up in the middle of a step: what follows is for nobody.
            PeerEffect::Send(_) | PeerEffect::SendBinary(_) if self.last.is_some() => {}
            PeerEffect::Send(frame) => {
                self.pen.server(&frame);
                self.send(Message::text(frame));
            }
            PeerEffect::SendBinary(bytes) => self.send(Message::binary(bytes)),
            PeerEffect::Close { code, reason } => {
                let what = json!({"by": "server", "code": code, "reason": reason});
                self.pen.ended("closed", &what);
                self.send_close(code, &reason);
                self.last.get_or_insert(Last::Close);
            }
            PeerEffect::Hold(time) => {
                let until = Instant::now() + time;
                self.held_until = self.held_until.max(Some(until));
                self.tell_writer(Outgoing::Wait(until));
            }
            PeerEffect::SlowRead(wait) => self.slow_read = Some((wait, Instant::now() + wait)),
            PeerEffect::Drop => {
                self.pen.ended("dropped", &json!({"by": "server"}));
                self.last = Some(Last::Drop);
            }
            PeerEffect::Hang => {
                self.pen.ended("hung", &json!({"by": "server"}));
                self.last = Some(Last::Hang);
            }
            PeerEffect::Start { id, job } => self.start(id, job),
            PeerEffect::Stop(id) => {
                if let Some(job) = self.jobs.remove(&id) {
                    job.abort();
                }
            }
        }
    }

    fn send(&mut self, message: Message) {
        let bytes = message.len();
        let before = self.unsent.bytes.fetch_add(bytes, Ordering::AcqRel);
        // One frame may be as large as it likes: the script may ask for it.
        if before > MAX_UNSENT_BYTES && self.last.is_none() {
            self.last = Some(Last::Close);
            let reason = "overloaded: the client does not read";
            let what = json!({"by": "server", "code": 1013, "reason": reason});
            self.pen.ended("closed", &what);
            self.send_close(1013, reason);
            return;
        }
        self.tell_writer(Outgoing::Write(message));
    }

    fn tell_writer(&self, what: Outgoing) {
        if let Some(outgoing) = &self.outgoing {
            // A writer that is gone is noticed by its handle.
            let _ = outgoing.send(what);
        }
    }

    fn send_close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        self.send(Message::Close(Some(frame)));
    }

    fn start(&mut self, id: JobId, job: Job) {
        let news = self.news.clone();
        let task = tokio::spawn(async move {
            let outcome = match job {
                Job::Command { argv, stdin, limit } => exec::run(&argv, stdin, limit).await,
                Job::Http(job) => upstream::run(id, job, &news).await,
                Job::Host(job) => host::run(id, job, &news).await,
            };
            // Nobody waits for it when the session has ended.
            let _ = news.send((id, News::Done(outcome))).await;
        });
        self.jobs.insert(id, task.abort_handle());
    }

    /// Leaves the connection as the last effect wants it.
    async fn end(mut self, stopping: &mut watch::Receiver<bool>) {
        for (_, job) in self.jobs.drain() {
            job.abort();
        }
        // The writer ends when it has written what is queued.
        self.outgoing = None;
        let writer = self.writer.take();
        let now = Instant::now();
        let held = self
            .held_until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let limit = tokio::time::sleep(CLOSE_LIMIT + held);
        tokio::pin!(limit);
        let mut sink = None;
        if let Some(mut writer) = writer {
            tokio::select! {
                written = &mut writer => sink = written.ok().flatten(),
                () = &mut limit => writer.abort(),
            }
        }
        match self.last {
            Some(Last::Hang) => {
                // Both halves stay alive until then.
                stopped(stopping).await;
            }
            Some(Last::Close) => {
                let answered = async { while let Some(Ok(_)) = self.stream.next().await {} };
                tokio::select! { () = answered => {}, () = &mut limit => {} }
            }
            Some(Last::Drain) => {
                if let Some(ws) = sink.and_then(|sink| sink.reunite(self.stream).ok()) {
                    let drained = drain(ws.into_inner());
                    tokio::select! { () = drained => {}, () = &mut limit => {} }
                }
            }
            Some(Last::Drop) | None => {}
        }
    }
}

/// Reads and forgets: closing a socket with unread bytes would reset it, and the client would lose
/// the close frame.
async fn drain<S: AsyncRead + Unpin>(mut stream: S) {
    let mut scrap = vec![0; 64 << 10];
    let mut left = MAX_UNSENT_BYTES;
    while left > 0 {
        match stream.read(&mut scrap).await {
            Ok(read @ 1..) => left = left.saturating_sub(read),
            Ok(0) | Err(_) => return,
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn write<S>(
    mut sink: Sink<S>,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
    unsent: Arc<Unsent>,
) -> Option<Sink<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(next) = queue.recv().await {
        let message = match next {
            Outgoing::Write(message) => message,
            Outgoing::Wait(until) => {
                tokio::time::sleep_until(until.into()).await;
                continue;
            }
        };
        let bytes = message.len();
        let sent = tokio::time::timeout(WRITE_LIMIT, sink.send(message)).await;
        unsent.bytes.fetch_sub(bytes, Ordering::AcqRel);
        unsent.fell.notify_one();
        if !matches!(sent, Ok(Ok(()))) {
            return None;
        }
    }
    Some(sink)
}
