//! Credentials that Python is asked for: by a descriptor, as no thread of ours attaches to the
//! interpreter.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use pyo3::prelude::*;
use talkwire_core::{Error, Kind, Result};
use tokio::sync::oneshot;

use crate::alive::Alive;
use crate::session::Bell;

type Answer = oneshot::Sender<Result<String>>;

/// Where a dial asks, and the event loop answers.
pub(crate) struct Desk {
    bell: Arc<Bell>,
    asked: Mutex<VecDeque<Answer>>,
}

impl Desk {
    /// Waits for a credential.
    pub(crate) async fn ask(self: Arc<Self>) -> Result<String> {
        let (answer, told) = oneshot::channel();
        self.asked().push_back(answer);
        self.bell.wake_by_ref();
        let nobody = |_| {
            Err(Error::new(
                Kind::Auth,
                "nobody is left to give the credential",
            ))
        };
        told.await.unwrap_or_else(nobody)
    }

    fn asked(&self) -> MutexGuard<'_, VecDeque<Answer>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop's side of the desk.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Keys(Arc<Desk>, pub(crate) Alive);

impl Keys {
    pub(crate) fn desk(&self) -> Arc<Desk> {
        self.0.clone()
    }
}

#[pymethods]
impl Keys {
    #[new]
    fn new() -> PyResult<Self> {
        let desk = Desk {
            bell: Arc::new(Bell::new()?),
            asked: Mutex::default(),
        };
        Ok(Self(Arc::new(desk), Alive::new()))
    }

    /// A descriptor that is readable when somebody asks.
    #[getter]
    fn fd(&self) -> RawFd {
        self.0.bell.fd().as_raw_fd()
    }

    /// Whether somebody waits.
    fn wanted(&self) -> bool {
        self.0.bell.hush();
        // Whoever gave up does not wait any more.
        let mut asked = self.0.asked();
        asked.retain(|answer| !answer.is_closed());
        !asked.is_empty()
    }

    /// Gives all that wait the credential, or the kind and message of an error.
    fn answer(&self, key: Option<String>, kind: &str, message: &str) {
        let told = key.ok_or_else(|| {
            let is_it = |known: &&Kind| known.name() == kind;
            let kind = Kind::ALL.iter().find(is_it).copied();
            Error::new(kind.unwrap_or(Kind::Unreachable), message)
        });
        for answer in self.0.asked().drain(..) {
            // Whoever gave up needs none.
            let _ = answer.send(told.clone());
        }
    }
}
