//! The `talkwire` command, run in a thread of its own so that signals reach the interpreter.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;
use talkwire_cli::{Stop, run};

/// The exit code of a command that panicked; the panic itself is on stderr.
const PANICKED: i32 = 101;

/// A command under way.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Command {
    stop: Stop,
    finished: Mutex<Receiver<i32>>,
}

#[pymethods]
impl Command {
    /// Starts a command; `args` begin with the name of the program.
    #[new]
    fn new(args: Vec<String>) -> PyResult<Self> {
        let stop = Stop::new();
        let (report, finished) = channel();
        let wish = stop.clone();
        thread::Builder::new()
            .name("tw-cli".to_owned())
            .spawn(move || {
                // Nobody listens any more if the interpreter went on to its exit.
                let _ = report.send(run(args, &wish));
            })?;
        Ok(Self {
            stop,
            finished: Mutex::new(finished),
        })
    }

    /// Waits for the end, at most `within_ms`; returns the exit code, or None before the end.
    fn wait(&self, py: Python<'_>, within_ms: u64) -> Option<i32> {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        let wait = || {
            let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
            finished.recv_timeout(Duration::from_millis(within_ms))
        };
        match py.detach(wait) {
            Ok(code) => Some(code),
            Err(Timeout) => None,
            Err(Disconnected) => Some(PANICKED),
        }
    }

    /// Asks it to stop, as Ctrl-C does.
    fn stop(&self) {
        self.stop.set();
    }
}
