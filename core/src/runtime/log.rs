//! What the sessions of a runtime log, on its way to whoever reads it: bounded, and never in the way
//! of a session.
//!
//! Sessions speak by `tracing`, target `talkwire`. A program that has a subscriber of its own sees
//! that; a runtime whose log is asked for runs its sessions under a subscriber of their own, and
//! nothing of the process is touched.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Metadata, Subscriber, span};

use super::dispatch::{guarded, in_callback};
use super::tally::Tally;
use super::wake::WakeFd;
use super::{check_not_forked, quiet_signals};
use crate::error::{Error, Kind, Result};

/// The target of what this library logs by `tracing`.
pub const TARGET: &str = "talkwire";

/// How much somebody wants to know; each level has all those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// What ends a session by a fault of this library.
    Error = 1,
    /// What somebody should look at: losses, errors of the server, audio that was dropped, an end that
    /// nobody asked for.
    Warn = 2,
    /// The life of sessions and links.
    Info = 3,
    /// Each step that is not one of a stream: events, frames, commands, decisions.
    Debug = 4,
    /// Pieces of streams as well.
    Trace = 5,
}

/// One line. It has names, numbers and identifiers: nothing of what anybody said, no audio, no
/// credential.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// How much it matters.
    pub level: Level,
    /// Milliseconds since 1970, by the clock of the system.
    pub unix_ms: u64,
    /// The line, without a line break.
    pub message: String,
}

/// Reads the log of a runtime. Dropping it ends the log.
#[derive(Debug)]
pub struct Log {
    book: Arc<Book>,
    desk: Arc<Desk>,
}

impl Log {
    /// Takes all lines that wait.
    pub fn drain(&self) -> Vec<Record> {
        self.book.lock().take()
    }

    /// Waits for lines, at most `within`; none at the end. Blocks the calling thread; fails in a
    /// callback.
    pub fn next_within(&self, within: Duration) -> Result<Vec<Record>> {
        check_not_forked()?;
        if in_callback() && !within.is_zero() {
            let message = "a callback cannot wait for the log";
            return Err(Error::new(Kind::WouldDeadlock, message));
        }
        Ok(self.book.wait(within))
    }

    /// A descriptor that is readable while lines wait. It belongs to the log: only poll it.
    pub fn wakeup_fd(&self) -> Result<RawFd> {
        let mut pages = self.book.lock();
        if pages.fd.is_none() {
            let mut fd = WakeFd::new()?;
            if !pages.lines.is_empty() {
                fd.raise();
            }
            pages.fd = Some(fd);
        }
        Ok(pages.fd.as_ref().map_or(-1, WakeFd::fd))
    }

    /// How much is logged from now on; `None` is nothing.
    pub fn set_level(&self, level: Option<Level>) {
        let level = level.map_or(0, |level| level as u8);
        self.desk.level.store(level, Ordering::Relaxed);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.book.close();
    }
}

/// The log of a runtime: who reads it, and under which subscriber sessions run.
#[derive(Debug, Default)]
pub(super) struct Logs {
    state: Mutex<State>,
    /// Held by whoever changes the function: one after the other.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Made when somebody asks first, and kept: sessions that run under it log to whoever reads then.
    desk: Option<(Arc<Desk>, tracing::Dispatch)>,
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    handle: JoinHandle<()>,
    alive: Arc<Tally>,
}

impl Logs {
    /// The log from now on.
    pub(super) fn open(&self, level: Level) -> Result<Log> {
        let mut state = self.lock();
        let (desk, _) = state.desk.get_or_insert_with(|| {
            let desk = Arc::<Desk>::default();
            (desk.clone(), tracing::Dispatch::new(Collector(desk)))
        });
        let book = Arc::new(Book::default());
        let mut reader = desk.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if reader.as_ref().is_some_and(|book| !book.lock().is_closed) {
            let message = "the log of this runtime is read already";
            return Err(Error::new(Kind::Argument, message));
        }
        *reader = Some(book.clone());
        let log = Log {
            book,
            desk: desk.clone(),
        };
        log.set_level(Some(level));
        Ok(log)
    }

    /// The same, to a function on a thread of its own, `tw-log`, instead of the one before.
    pub(super) fn open_to(
        &self,
        level: Level,
        mut tell: impl FnMut(&Record) + Send + 'static,
        until: Instant,
    ) -> Result<()> {
        let _turn = self.turn()?;
        self.end(until)?;
        let log = self.open(level)?;
        let alive = Arc::<Tally>::default();
        let life = alive.enter();
        let work = move || {
            quiet_signals();
            loop {
                let (lines, is_closed) = log.book.wait_or_end();
                for line in &lines {
                    guarded(|| tell(line));
                }
                if is_closed && lines.is_empty() {
                    break;
                }
            }
            guarded(|| drop(tell));
            drop(life);
        };
        let handle = thread::Builder::new().name("tw-log".into()).spawn(work);
        let handle =
            handle.map_err(|e| Error::new(Kind::Io, format!("no thread for the log: {e}")))?;
        self.lock().thread = Some(Thread { handle, alive });
        Ok(())
    }

    /// Ends the log, and waits until its function has returned for the last time; fails if it has not
    /// by `until`, and may be called again then.
    pub(super) fn close(&self, until: Instant) -> Result<()> {
        let _turn = self.turn()?;
        self.end(until)
    }

    /// A function that changes the log would wait for itself.
    fn turn(&self) -> Result<MutexGuard<'_, ()>> {
        if in_callback() {
            let message = "a log cannot be changed from a callback";
            return Err(Error::new(Kind::WouldDeadlock, message));
        }
        Ok(self.turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end(&self, until: Instant) -> Result<()> {
        let mut state = self.lock();
        if let Some((desk, _)) = &state.desk {
            desk.close();
        }
        let Some(thread) = state.thread.take() else {
            return Ok(());
        };
        drop(state);
        if thread.alive.left(until) > 0 {
            self.lock().thread = Some(thread);
            let message = "the function that gets the log did not return in time";
            return Err(Error::new(Kind::Timeout, message));
        }
        let _ = thread.handle.join();
        Ok(())
    }

    /// What a session of this runtime is to run under; nothing when nobody has asked for the log.
    pub(super) fn subscriber(&self) -> Option<tracing::Dispatch> {
        Some(self.lock().desk.as_ref()?.1.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        if let Some((desk, _)) = &self.lock().desk {
            desk.close();
        }
    }
}

/// Between sessions and the reader.
#[derive(Debug, Default)]
struct Desk {
    /// 0 while nobody reads.
    level: AtomicU8,
    reader: Mutex<Option<Arc<Book>>>,
}

impl Desk {
    fn close(&self) {
        self.level.store(0, Ordering::Relaxed);
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(book) = reader.as_ref() {
            book.close();
        }
    }

    fn write(&self, level: Level, message: String) {
        let book = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(book) = book.clone() {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
            let unix_ms = since_1970.map_or(0, |time| time.as_millis());
            book.push(Record {
                level,
                unix_ms: u64::try_from(unix_ms).unwrap_or(0),
                message,
            });
        }
    }
}

/// Lines that wait; the oldest go when there are too many.
#[derive(Debug, Default)]
struct Book {
    pages: Mutex<Pages>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Pages {
    lines: VecDeque<Record>,
    dropped: u64,
    fd: Option<WakeFd>,
    is_closed: bool,
}

/// Lines that wait at most.
const MOST: usize = 4_096;

impl Book {
    fn push(&self, record: Record) {
        let mut pages = self.lock();
        if pages.is_closed {
            return;
        }
        if pages.lines.len() == MOST {
            pages.lines.pop_front();
            pages.dropped += 1;
        }
        pages.lines.push_back(record);
        if let Some(fd) = &mut pages.fd {
            fd.raise();
        }
        drop(pages);
        self.arrived.notify_one();
    }

    fn close(&self) {
        let mut pages = self.lock();
        pages.is_closed = true;
        // Who polls learns of the end as well.
        if let Some(fd) = &mut pages.fd {
            fd.raise();
        }
        drop(pages);
        self.arrived.notify_all();
    }

    fn wait(&self, within: Duration) -> Vec<Record> {
        let idle = |pages: &mut Pages| pages.lines.is_empty() && !pages.is_closed;
        let waited = self.arrived.wait_timeout_while(self.lock(), within, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }

    fn wait_or_end(&self) -> (Vec<Record>, bool) {
        let idle = |pages: &mut Pages| pages.lines.is_empty() && !pages.is_closed;
        let waited = self.arrived.wait_while(self.lock(), idle);
        let mut pages = waited.unwrap_or_else(PoisonError::into_inner);
        (pages.take(), pages.is_closed)
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn take(&mut self) -> Vec<Record> {
        if let Some(fd) = self.fd.as_mut().filter(|_| !self.is_closed) {
            fd.lower();
        }
        let mut lines = Vec::with_capacity(self.lines.len() + 1);
        if let Some(first) = self.lines.front().filter(|_| self.dropped > 0) {
            lines.push(Record {
                level: Level::Warn,
                unix_ms: first.unix_ms,
                message: format!("{} older lines were dropped unread", self.dropped),
            });
            self.dropped = 0;
        }
        lines.extend(self.lines.drain(..));
        lines
    }
}

/// Takes what sessions log.
struct Collector(Arc<Desk>);

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let wanted = self.0.level.load(Ordering::Relaxed);
        metadata.target() == TARGET && level(*metadata.level()) as u8 <= wanted
    }

    /// The level may change at any time.
    fn register_callsite(
        &self,
        metadata: &'static Metadata<'static>,
    ) -> tracing::subscriber::Interest {
        match metadata.target() == TARGET {
            true => tracing::subscriber::Interest::sometimes(),
            false => tracing::subscriber::Interest::never(),
        }
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        // Names come from servers: none of them may begin a line of its own.
        let message = (line.message + &line.fields).replace(char::is_control, " ");
        self.0.write(level(*event.metadata().level()), message);
    }

    // There are no spans.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

/// The text of an event: its message, then its fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields += &format!(" {name}={value:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn said(logs: &Logs, level: Level) {
        let subscriber = logs.subscriber().expect("asked for");
        tracing::dispatcher::with_default(&subscriber, || match level {
            Level::Warn => tracing::warn!(target: TARGET, session = 1_u64, "lost"),
            _ => tracing::debug!(target: TARGET, id = "x", "seen"),
        });
    }

    #[test]
    fn lines_of_the_wanted_level_are_read_with_their_fields() {
        let logs = Logs::default();
        assert!(logs.subscriber().is_none(), "nobody asked");
        let log = logs.open(Level::Warn).expect("free");
        said(&logs, Level::Debug);
        said(&logs, Level::Warn);
        let lines = log.drain();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].message, "lost session=1");
        assert!(logs.open(Level::Info).is_err(), "it has a reader");
        drop(log);
        let log = logs.open(Level::Debug).expect("free again");
        said(&logs, Level::Debug);
        let lines = log
            .next_within(Duration::from_secs(60))
            .expect("no callback");
        assert_eq!(lines[0].message, "seen id=x");
    }

    #[test]
    fn the_oldest_lines_go_and_that_is_told() {
        let logs = Logs::default();
        let log = logs.open(Level::Trace).expect("free");
        for _ in 0..MOST + 3 {
            said(&logs, Level::Warn);
        }
        let lines = log.drain();
        assert_eq!(lines.len(), MOST + 1);
        assert_eq!(lines[0].message, "3 older lines were dropped unread");
    }

    #[test]
    fn a_function_gets_every_line_and_is_dropped_when_the_log_is_closed() {
        let logs = Logs::default();
        let (sender, told) = mpsc::channel();
        let tell = move |line: &Record| sender.send(line.message.clone()).expect("a reader");
        let soon = || Instant::now() + Duration::from_secs(60);
        logs.open_to(Level::Debug, tell, soon()).expect("free");
        said(&logs, Level::Debug);
        said(&logs, Level::Warn);
        logs.close(soon()).expect("in time");
        let told: Vec<_> = told.iter().collect();
        assert_eq!(told, ["seen id=x", "lost session=1"]);
        assert!(logs.open(Level::Debug).is_ok());
    }

    #[test]
    fn a_function_that_does_not_return_is_waited_for_again() {
        let logs = Logs::default();
        let (go_on, held) = mpsc::channel::<()>();
        let (holds, is_held) = mpsc::channel();
        let tell = move |_: &Record| {
            holds.send(()).expect("a test");
            held.recv().expect("a test");
        };
        let soon = || Instant::now() + Duration::from_secs(60);
        logs.open_to(Level::Debug, tell, soon()).expect("free");
        said(&logs, Level::Warn);
        is_held.recv().expect("called");
        for _ in 0..2 {
            let error = logs.close(Instant::now()).expect_err("it runs");
            assert_eq!(error.kind(), Kind::Timeout);
        }
        assert!(logs.open_to(Level::Debug, |_| (), Instant::now()).is_err());
        go_on.send(()).expect("it waits");
        logs.close(soon()).expect("in time");
    }

    #[test]
    fn a_name_of_a_server_begins_no_line_of_its_own() {
        let logs = Logs::default();
        let log = logs.open(Level::Warn).expect("free");
        let subscriber = logs.subscriber().expect("asked for");
        tracing::dispatcher::with_default(&subscriber, || {
            tracing::warn!(target: TARGET, id = "x\ny\0", "seen\r\nforged");
        });
        assert_eq!(log.drain()[0].message, "seen  forged id=x y ");
    }
}
