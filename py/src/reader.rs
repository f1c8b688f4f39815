//! A reader of events, as an event loop or a thread drives it: never blocks, wakes through a
//! descriptor.

use std::os::fd::RawFd;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use talkwire_core::{End, Event, Result};

use crate::alive::Alive;
use crate::error::{OrRaise, details};
use crate::event::Made;

/// Who reads.
pub(crate) enum Source {
    /// The session's own reader.
    Session(talkwire_core::Session),
    /// One more.
    Subscription(talkwire_core::Subscription),
}

impl Source {
    fn wakeup_fd(&self) -> Result<RawFd> {
        match self {
            Self::Session(session) => session.wakeup_fd(),
            Self::Subscription(subscription) => subscription.wakeup_fd(),
        }
    }

    fn drain(&self, most: usize) -> Vec<Event> {
        let mut events = Vec::new();
        match self {
            Self::Session(session) => session.drain(&mut events, most),
            Self::Subscription(subscription) => subscription.drain(&mut events, most),
        }
        events
    }

    fn end(&self) -> Option<End> {
        match self {
            Self::Session(session) => session.end(),
            Self::Subscription(subscription) => subscription.end(),
        }
    }
}

/// What takes the events of a session or of a subscription.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Reader(pub(crate) Source, pub(crate) Alive);

#[pymethods]
impl Reader {
    /// A descriptor that is readable while an event or the end waits.
    fn wakeup_fd(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.0.wakeup_fd().or_raise(py)
    }

    /// Takes up to `most` events that wait, in order, each as an object of the class that
    /// `classes` gives its name, or of `unknown`.
    fn drain<'py>(
        &self,
        py: Python<'py>,
        classes: &Bound<'py, PyDict>,
        unknown: &Bound<'py, PyAny>,
        most: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for event in self.0.drain(most) {
            let class = classes.get_item(event.name())?;
            let class = class.as_ref().unwrap_or(unknown);
            list.append(class.call1((Made(event),))?)?;
        }
        Ok(list)
    }

    /// How it ended, as JSON with its error, once it has. Events may still wait.
    fn end(&self) -> Option<String> {
        let end = self.0.end()?;
        let mut json = end.to_json();
        json["error"] = details(&end.to_error());
        Some(json.to_string())
    }
}
