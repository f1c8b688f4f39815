//! The recording of a session as an application holds it: a WAV file with the customer on the left
//! and the agent, as heard, on the right, and a JSON file of notes beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc::WeakSender;

use crate::error::{Error, Kind, Result};
use crate::json;
use crate::runtime::dispatch::in_callback;
use crate::runtime::recorder::Sink;
use crate::runtime::{Message, Runtime, check_not_ending, check_not_forked};

/// How a session is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RecorderOptions {
    /// Samples per second of the file, 8000 to 48000. By default the higher rate of the media port's
    /// two directions, so that what was pushed and pulled is recorded as it was and a telephone call
    /// takes no more room than it needs; 24000, the rate of the wire, where no port is attached yet.
    pub rate_hz: Option<u32>,
}

impl RecorderOptions {
    /// Reads options from JSON; an unknown key is an error that names it.
    pub fn from_json(text: &str) -> Result<Self> {
        json::object(text)
            .map_err(|e| Error::new(Kind::Config, format!("options of a recorder: {e}")))
    }
}

/// A recording. Cheap to clone; all methods may be called from any thread. It goes on when this is
/// dropped, to the end of the session.
#[derive(Clone, Debug)]
pub struct Recorder {
    sink: Arc<Sink>,
    commands: WeakSender<Message>,
    runtime: Runtime,
}

impl Recorder {
    pub(crate) fn new(sink: Arc<Sink>, commands: WeakSender<Message>, runtime: Runtime) -> Self {
        Self {
            sink,
            commands,
            runtime,
        }
    }

    /// The WAV file.
    pub fn path(&self) -> &Path {
        self.sink.path()
    }

    /// The notes beside it: segments, interruptions, cuts, gaps, the end.
    pub fn notes_path(&self) -> PathBuf {
        self.sink.notes_path()
    }

    /// Samples per second.
    pub fn rate_hz(&self) -> u32 {
        self.sink.rate_hz()
    }

    /// Milliseconds that a reader of the file finds, whatever becomes of this process.
    pub fn written_ms(&self) -> u64 {
        self.sink.written_ms()
    }

    /// Ends the recording before its session. Returns at once; [`Recorder::finished`] says when the
    /// files are complete. Fails with `QueueFull` when commands come faster than they can be taken.
    pub fn stop(&self) -> Result<()> {
        check_not_forked()?;
        let Some(commands) = self.commands.upgrade() else {
            return Ok(());
        };
        match commands.try_send(Message::Unrecord(self.sink.clone())) {
            Err(tokio::sync::mpsc::error::TrySendError::Full(_)) => {
                let message = "commands come faster than they can be sent";
                Err(Error::new(Kind::QueueFull, message))
            }
            // A session that ended has ended its recording.
            _ => Ok(()),
        }
    }

    /// Waits until the recording has ended, by [`Recorder::stop`] or with its session, and the files
    /// are complete. Fails with what ended it otherwise, such as a full disk.
    pub async fn finished(&self) -> Result<()> {
        let mut outcome = self.sink.outcome();
        let over = outcome.wait_for(Option::is_some).await;
        match over.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            // The sender lives as long as this.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// [`Recorder::finished`], at most `within`; fails with `Timeout` then. Blocks the calling
    /// thread; fails in a callback, and with `Closed` where the process ends.
    pub fn finished_within(&self, within: Duration) -> Result<()> {
        check_not_forked()?;
        if in_callback() && !within.is_zero() {
            let message = "a callback cannot wait for a recording";
            return Err(Error::new(Kind::WouldDeadlock, message));
        }
        check_not_ending()?;
        let finished = async { tokio::time::timeout(within, self.finished()).await };
        self.runtime.block_on(finished).unwrap_or_else(|_| {
            let message = "the recording goes on";
            Err(Error::new(Kind::Timeout, message))
        })
    }
}
