//! A brain of the local server that is written in Python: by a descriptor, as no thread of ours
//! attaches to the interpreter.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use talkwire_core::{Error, Kind};
use talkwire_server::{Host, HostQuestion};
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::alive::Alive;
use crate::error::raised;
use crate::session::{Bell, Waiting};

/// A number, the question as JSON, and the customer's speech with its rate.
type Asked<'py> = (u64, String, Option<(u32, Bound<'py, PyBytes>)>);

/// Where the server asks, and an event loop answers.
#[derive(Debug)]
pub(crate) struct Room {
    bell: Arc<Bell>,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    last: u64,
    asked: VecDeque<(u64, HostQuestion)>,
    answers: HashMap<u64, mpsc::Sender<String>>,
}

impl Room {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for Room {
    fn ask(&self, question: HostQuestion, answer: mpsc::Sender<String>) {
        let mut book = self.book();
        book.last += 1;
        let number = book.last;
        book.asked.push_back((number, question));
        book.answers.insert(number, answer);
        drop(book);
        self.bell.wake_by_ref();
    }

    fn over(&self) {
        self.bell.wake_by_ref();
    }
}

/// The loop's side of it.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Brain(Arc<Room>, pub(crate) Alive);

impl Brain {
    pub(crate) fn host(&self) -> Arc<dyn Host> {
        self.0.clone()
    }

    /// Where an answer goes; the book is closed again, as code of Python may come back to it.
    fn answer(&self, number: u64) -> Option<mpsc::Sender<String>> {
        self.0.book().answers.get(&number).cloned()
    }
}

#[pymethods]
impl Brain {
    #[new]
    fn new() -> PyResult<Self> {
        let room = Room {
            bell: Arc::new(Bell::new()?),
            book: Mutex::default(),
        };
        Ok(Self(Arc::new(room), Alive::new()))
    }

    /// A descriptor that is readable when something is asked, or is not wanted any more.
    #[getter]
    fn fd(&self) -> RawFd {
        self.0.bell.fd().as_raw_fd()
    }

    /// The questions since the last call.
    fn asked<'py>(&self, py: Python<'py>) -> Vec<Asked<'py>> {
        self.0.bell.hush();
        let asked: Vec<_> = self.0.book().asked.drain(..).collect();
        let told = asked.into_iter().map(|(number, question)| {
            let speech = question.speech.map(|clip| {
                let bytes: Vec<u8> = clip.samples.iter().flat_map(|s| s.to_le_bytes()).collect();
                (clip.rate_hz, PyBytes::new(py, &bytes))
            });
            (number, question.json.to_string(), speech)
        });
        told.collect()
    }

    /// Whether an answer is still wanted.
    fn is_wanted(&self, number: u64) -> bool {
        self.answer(number).is_some_and(|a| !a.is_closed())
    }

    /// Tells a piece, as JSON; `queue_full` while the session is busy with others.
    fn tell(&self, py: Python<'_>, number: u64, piece: String) -> PyResult<()> {
        match self.answer(number).map(|answer| answer.try_send(piece)) {
            Some(Err(TrySendError::Full(_))) => Err(raised(py, &Error::from(Kind::QueueFull))),
            // Nobody wants it any more.
            Some(Ok(()) | Err(TrySendError::Closed(_))) | None => Ok(()),
        }
    }

    /// Waits until another piece of an answer can be taken.
    fn room(&self, number: u64) -> PyResult<Waiting> {
        let answer = self.answer(number);
        Waiting::new(async move {
            if let Some(answer) = answer {
                // One that is not wanted any more takes all.
                let _ = answer.reserve().await;
            }
            Ok(())
        })
    }

    /// An answer is complete.
    fn done(&self, number: u64) {
        self.0.book().answers.remove(&number);
    }
}
