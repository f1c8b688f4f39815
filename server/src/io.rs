//! What goes into a [`Peer`](crate::Peer) and what comes out of it.

use std::time::{Duration, Instant};

use talkwire_core::net::http;

use crate::host::HostJob;

/// An instant and the wall clock's reading at it, so that a machine can name unix times without
/// reading a clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The instant.
    pub at: Instant,
    /// Seconds since 1970 at that instant.
    pub unix_s: u64,
}

impl Clock {
    /// Unix seconds at a later instant.
    pub fn unix_at(&self, later: Instant) -> u64 {
        self.unix_s + later.saturating_duration_since(self.at).as_secs()
    }
}

/// Number of a [`Job`] within one peer.
pub type JobId = u64;

/// Work that cannot be done inside the machine. Its outcome comes back as [`PeerInput::JobDone`],
/// after the [`PeerInput::JobProgress`] of jobs that are read while they run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Job {
    /// Run a program: bytes to its standard input, bytes from its standard output.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// Standard input.
        stdin: Vec<u8>,
        /// It is killed after this time.
        limit: Duration,
    },
    /// Ask a server.
    Http(HttpJob),
    /// Ask the program that holds this server.
    Host(HostJob),
}

/// A request of a back end.
#[derive(Clone, Debug)]
pub struct HttpJob {
    /// Who asks, for messages.
    pub who: &'static str,
    /// Makes the request.
    pub client: http::Client,
    /// The request.
    pub request: http::Request,
    /// Its limits.
    pub limits: http::Limits,
    /// Whether the answer is told piece by piece; its outcome is empty then.
    pub is_stream: bool,
    /// Whether the answer is sound: text in its place is a failure.
    pub is_sound: bool,
}

impl PartialEq for HttpJob {
    /// Whether both ask the same.
    fn eq(&self, other: &Self) -> bool {
        (&self.request, self.limits, self.is_stream)
            == (&other.request, other.limits, other.is_stream)
    }
}

impl Eq for HttpJob {}

/// What happened to the peer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PeerInput {
    /// The upgrade was answered: the session begins.
    Open,
    /// A text frame of the client.
    Frame(String),
    /// A binary frame of the client; its content does not matter.
    Binary,
    /// A piece of the output of a job that is read while it runs.
    JobProgress {
        /// Its number.
        job: JobId,
        /// The bytes that came.
        piece: Vec<u8>,
    },
    /// A job ended: its standard output, or why there is none.
    JobDone {
        /// Which.
        job: JobId,
        /// Standard output, or one sentence.
        outcome: Result<Vec<u8>, String>,
    },
    /// [`Peer::deadline`](crate::Peer::deadline) has come.
    Timeout,
    /// The server is shutting down.
    Shutdown,
    /// The connection is gone.
    Gone,
}

/// What the driver, or the simulator, has to do; in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerEffect {
    /// Send a text frame.
    Send(String),
    /// Send a binary frame (only faults do).
    SendBinary(Vec<u8>),
    /// Do the closing handshake. The last effect of a peer.
    Close {
        /// Close code.
        code: u16,
        /// Reason, at most 123 bytes.
        reason: String,
    },
    /// Let what comes after this leave no earlier than after this time (only faults do).
    Hold(Duration),
    /// From now on wait so long before each frame of the client is read (only faults do).
    SlowRead(Duration),
    /// Vanish without a closing handshake. The last effect of a peer.
    Drop,
    /// Keep the connection but never read or write again. The last effect of a peer.
    Hang,
    /// Start a job.
    Start {
        /// Its number, for the answer.
        id: JobId,
        /// What to do.
        job: Job,
    },
    /// Stop a job; its outcome is not wanted any more.
    Stop(JobId),
}

/// The ordered effects of one step.
#[derive(Debug, Default)]
pub struct PeerEffects(Vec<PeerEffect>);

impl PeerEffects {
    /// No effects.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub(crate) fn push(&mut self, effect: PeerEffect) {
        self.0.push(effect);
    }

    /// Takes all effects out, leaving the room for the next step.
    pub fn drain(&mut self) -> impl Iterator<Item = PeerEffect> + '_ {
        self.0.drain(..)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
