//! A reader of some topics of a session.

use std::os::fd::RawFd;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::error::OrRaise;
use crate::session::{dressed, ended};

/// A subscription; it ends when this is dropped.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Subscription(pub(crate) talkwire_core::Subscription);

#[pymethods]
impl Subscription {
    /// A descriptor that is readable while an event or the end waits.
    fn wakeup_fd(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.0.wakeup_fd().or_raise(py)
    }

    /// Takes up to `most` events that wait, in order, as the session's own reader does.
    fn drain<'py>(
        &self,
        py: Python<'py>,
        classes: &Bound<'py, PyDict>,
        unknown: &Bound<'py, PyAny>,
        most: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut events = Vec::new();
        self.0.drain(&mut events, most);
        dressed(py, events, classes, unknown)
    }

    /// How it ended, as JSON, once it has. Events may still wait.
    fn end(&self) -> Option<String> {
        self.0.end().as_ref().map(ended)
    }

    /// Events and bytes that wait, milliseconds and frames that were dropped.
    fn backlog(&self) -> (u64, u64, u64, u64) {
        let backlog = self.0.backlog();
        (
            backlog.events,
            backlog.bytes,
            backlog.dropped_ms,
            backlog.dropped_frames,
        )
    }

    /// Ends it.
    fn close(&self) {
        self.0.close();
    }
}
