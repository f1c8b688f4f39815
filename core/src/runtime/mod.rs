//! The outside: threads, sockets, clocks and queues around the engine.
//!
//! A [`Runtime`] owns the I/O worker threads (`tw-io-*`), the callback threads (`tw-cb-*`) and, while
//! something may block, others (`tw-job-*`).
//! Each session is one task on a worker, so no lock guards an engine and no thread belongs to a
//! session. The library sets no signal handler and blocks every signal in its own threads.

pub(crate) mod account;
mod attached;
pub(crate) mod crew;
pub mod dispatch;
mod driver;
pub(crate) mod flight;
mod lanes;
mod launch;
mod lines;
pub mod log;
pub mod mailbox;
pub(crate) mod readers;
pub(crate) mod recorder;
mod socket;
mod start;
mod tally;
pub(crate) mod target;
pub(crate) mod tools;
mod wake;

use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::instrument::WithSubscriber;

pub(crate) use driver::Message;
pub(crate) use launch::{Launch, Launched};

use crate::error::{Error, Kind, Result};
use crew::Crew;
use dispatch::{Delivery, Dispatch, Handler};
use log::{Level, Log, Logs, Record};
use mailbox::Mailbox;
use readers::Readers;
use recorder::Sink;
use start::MOST_THREADS;
pub(crate) use start::check_not_ending;
use tally::Tally;
use target::{Ask, Breakers};

/// How many threads a runtime has.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RuntimeOptions {
    /// Threads that do I/O; sessions are spread over them.
    pub io_threads: usize,
    /// Threads that run callbacks; a session stays on one.
    pub callback_threads: usize,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self {
            io_threads: 1,
            callback_threads: 2,
        }
    }
}

/// Threads for sessions. Cheap to clone; several in one process do not know of each other.
#[derive(Clone, Debug)]
pub struct Runtime(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tokio: Mutex<Option<tokio::runtime::Runtime>>,
    handle: tokio::runtime::Handle,
    /// I/O threads that run.
    io: Arc<Tally>,
    crew: Arc<Crew>,
    dispatch: OnceLock<Dispatch>,
    callback_threads: usize,
    sessions: Arc<Count>,
    breakers: Arc<Breakers>,
    logs: Logs,
    /// Sessions that were ever opened.
    opened: AtomicU64,
}

/// Sessions that have not ended, and whoever is called for them on an I/O thread until that has had
/// the end.
#[derive(Debug, Default)]
pub(crate) struct Count {
    alive: Arc<Tally>,
    closing: AtomicBool,
    changed: Notify,
}

static SHARED: OnceLock<Runtime> = OnceLock::new();
static FORKED: AtomicBool = AtomicBool::new(false);
static FORK_GUARD: OnceLock<()> = OnceLock::new();

extern "C" fn in_forked_child() {
    FORKED.store(true, Ordering::Relaxed);
}

/// Fails in a forked child: the threads of the parent do not exist there.
pub fn check_not_forked() -> Result<()> {
    if FORKED.load(Ordering::Relaxed) {
        let message =
            "this process was forked from one that uses the library: start it after the fork";
        return Err(Error::new(Kind::Forked, message));
    }
    Ok(())
}

/// From now on [`check_not_forked`] fails in a child that is forked.
pub fn guard_forks() {
    FORK_GUARD.get_or_init(|| {
        // Safety: the handler only stores to an atomic, which is allowed after a fork.
        #[allow(unsafe_code)]
        unsafe {
            libc::pthread_atfork(None, None, Some(in_forked_child));
        }
    });
}

/// To be called before threads are started, with how many they are: fails in a forked child, where the
/// process ends, and with [`Kind::Io`] where the system lacks threads or descriptors.
pub fn prepare(threads: usize) -> Result<()> {
    check_not_forked()?;
    check_not_ending()?;
    start::check_resources(threads)
}

/// Leaves all signals, SIGPIPE among them, to the threads of the application.
pub fn quiet_signals() {
    // Safety: `set` is a plain C struct that sigfillset initialises before it is read.
    #[allow(unsafe_code)]
    unsafe {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
        libc::sigfillset(set.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

impl Runtime {
    /// Starts the I/O threads; callback threads start with the first callback. Fails with
    /// [`Kind::Argument`] for more than 1,024 of a kind, and with [`Kind::Io`] when they cannot be had.
    pub fn new(options: RuntimeOptions) -> Result<Self> {
        let io_threads = options.io_threads.max(1);
        if io_threads.max(options.callback_threads) > MOST_THREADS {
            let message = format!("a runtime has {MOST_THREADS} threads of a kind at most");
            return Err(Error::new(Kind::Argument, message));
        }
        guard_forks();
        prepare(io_threads)?;
        let number = AtomicUsize::new(0);
        let io = Arc::<Tally>::default();
        let (began, ended) = (io.clone(), io.clone());
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(io_threads)
            .thread_name_fn(move || format!("tw-io-{}", number.fetch_add(1, Ordering::Relaxed)))
            .on_thread_start(move || {
                quiet_signals();
                began.add();
            })
            .on_thread_stop(move || ended.remove())
            .enable_io()
            .enable_time()
            .build()
            .map_err(|e| Error::new(Kind::Io, format!("no threads for I/O: {e}")))?;
        let handle = tokio.handle().clone();
        Ok(Self(Arc::new(Inner {
            tokio: Mutex::new(Some(tokio)),
            handle,
            io,
            crew: Arc::default(),
            dispatch: OnceLock::new(),
            callback_threads: options.callback_threads,
            sessions: Arc::default(),
            breakers: Arc::default(),
            logs: Logs::default(),
            opened: AtomicU64::new(0),
        })))
    }

    /// The runtime that is used when none is given. Never shut down by the library.
    pub fn shared() -> Result<Self> {
        if let Some(runtime) = SHARED.get() {
            check_not_forked()?;
            return Ok(runtime.clone());
        }
        let runtime = Self::new(RuntimeOptions::default())?;
        Ok(SHARED.get_or_init(|| runtime).clone())
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        check_not_forked()?;
        self.check_open()?;
        let alive = self.0.sessions.alive.enter();
        let task = async move {
            task.await;
            drop(alive);
        };
        match self.0.logs.subscriber() {
            Some(subscriber) => self.0.handle.spawn(task.with_subscriber(subscriber)),
            // Whoever has one of their own for the process sees it there.
            None => self.0.handle.spawn(task),
        };
        Ok(())
    }

    /// The number of one more session, counted from 1; the log tells sessions apart by it.
    pub(crate) fn number(&self) -> u64 {
        self.0.opened.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Reads the log: what the sessions do that are opened from now on, or were since it was first
    /// asked for. Fails with [`Kind::Argument`] while another one reads.
    ///
    /// Without it, sessions log to the `tracing` subscriber of the process, target `talkwire`, if it
    /// has one.
    pub fn log(&self, level: Level) -> Result<Log> {
        check_not_forked()?;
        self.check_open()?;
        self.0.logs.open(level)
    }

    /// The same, to a function on a thread of its own, `tw-log`, instead of the one before, until
    /// [`Runtime::close_log`] or the end of the runtime. A slow one loses the oldest lines, which is
    /// told, and holds up nobody. Blocks while the function before runs, at most `within`; fails in a
    /// callback.
    pub fn log_to(
        &self,
        level: Level,
        tell: impl FnMut(&Record) + Send + 'static,
        within: Duration,
    ) -> Result<()> {
        check_not_forked()?;
        self.check_open()?;
        self.0.logs.open_to(level, tell, Instant::now() + within)
    }

    /// Ends the log. When it has returned `Ok`, nothing is told any more. Blocks while the function
    /// runs, at most `within`; fails in a callback.
    pub fn close_log(&self, within: Duration) -> Result<()> {
        check_not_forked()?;
        self.0.logs.close(Instant::now() + within)
    }

    fn check_open(&self) -> Result<()> {
        match self.0.sessions.closing.load(Ordering::Acquire) {
            true => Err(Error::new(Kind::Closed, "the runtime is shut down")),
            false => Ok(()),
        }
    }

    pub(crate) fn attach(
        &self,
        mailbox: &Arc<Mailbox>,
        handler: Box<dyn Handler>,
        delivery: Delivery,
    ) -> Result<()> {
        check_not_forked()?;
        if delivery == Delivery::Direct {
            let alive = self.0.sessions.alive.enter();
            return dispatch::attach_directly(&self.0.handle, alive, mailbox, handler);
        }
        if self.0.dispatch.get().is_none() {
            let dispatch = Dispatch::new(self.0.callback_threads)?;
            // Another thread may have been first; its pool is as good.
            let _ = self.0.dispatch.set(dispatch);
        }
        self.0
            .dispatch
            .get()
            .expect("just set")
            .attach(mailbox, handler)
    }

    /// Creates the file of a recording; errors of writing it go to `readers`. Blocks as files do.
    pub(crate) fn record(
        &self,
        path: &Path,
        rate_hz: u32,
        readers: Arc<Readers>,
    ) -> Result<Arc<Sink>> {
        Sink::create(path, rate_hz, readers, self.crew())
    }

    pub(crate) fn breakers(&self) -> Arc<Breakers> {
        self.0.breakers.clone()
    }

    /// Threads for what may block.
    pub(crate) fn crew(&self) -> Arc<Crew> {
        self.0.crew.clone()
    }

    pub(crate) fn closing(&self) -> Arc<Count> {
        self.0.sessions.clone()
    }

    /// Runs a future on the calling thread, with the I/O of this runtime.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.handle.block_on(future)
    }

    /// Closes all sessions, delivers what is left to their callbacks and stops the threads. Blocks;
    /// fails with [`Kind::Timeout`] and the number of sessions left, after which they are dropped,
    /// or when a callback, also one that is asked for a credential, or a tool does not return in time.
    pub fn shutdown(&self, within: Duration) -> Result<()> {
        if dispatch::in_callback() {
            return Err(Error::new(
                Kind::WouldDeadlock,
                "a runtime cannot be shut down from a callback",
            ));
        }
        check_not_forked()?;
        let sessions = &self.0.sessions;
        sessions.closing.store(true, Ordering::Release);
        sessions.changed.notify_waiters();
        let until = Instant::now() + within;
        let left = sessions.alive.left(until);
        let is_quiet = self.stop(until);
        match left {
            0 if is_quiet => Ok(()),
            0 => Err(Error::new(
                Kind::Timeout,
                "a callback did not return in time",
            )),
            left => Err(Error::new(
                Kind::Timeout,
                format!("{left} sessions did not end in time"),
            )),
        }
    }

    /// Stops all threads; returns whether they ended by `until`.
    fn stop(&self, until: Instant) -> bool {
        let Inner {
            tokio, io, crew, ..
        } = &*self.0;
        let tokio = tokio.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tokio) = tokio {
            tokio.shutdown_timeout(until.saturating_duration_since(Instant::now()));
        }
        let has_stopped = [
            io.left(until) == 0,
            crew.stop(until),
            // Later, because the sessions' ends go to the callbacks.
            self.0.dispatch.get().is_none_or(|d| d.stop(until)),
            self.0.logs.close(until).is_ok(),
        ];
        has_stopped.into_iter().all(|has| has)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let tokio = self
            .tokio
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match tokio {
            // Its threads do not exist in the child; waiting for them would be for ever.
            Some(tokio) if FORKED.load(Ordering::Relaxed) => std::mem::forget(tokio),
            // May run on a worker of its own, where waiting for the workers would be for ever.
            Some(tokio) => {
                tokio.shutdown_background();
                self.crew.stop(Instant::now());
            }
            None => {}
        }
    }
}

impl Count {
    /// Resolves when the runtime wants all sessions to close.
    pub(crate) async fn wanted(&self) {
        loop {
            let changed = self.changed.notified();
            if self.closing.load(Ordering::Acquire) {
                return;
            }
            changed.await;
        }
    }
}

/// A function that may block, as one that asks for a credential: a callback on a thread of its own.
pub(crate) fn asking(ask: impl Fn() -> Result<String> + Send + Sync + 'static) -> Ask {
    let ask = Arc::new(ask);
    Arc::new(move |crew| {
        let ask = ask.clone();
        let asked = crew.ask(move || dispatch::guarded(|| ask()));
        Box::pin(async move {
            let panicked = || Error::new(Kind::Panic, "the callback for the credential panicked");
            let told = asked?.await.ok().flatten();
            told.unwrap_or_else(|| Err(panicked()))
        })
    })
}
