//! A reader of some topics of a session.

use pyo3::prelude::*;

use crate::alive::Alive;
use crate::reader::{Reader, Source};

/// A subscription; it ends when this and its reader are dropped.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Subscription(pub(crate) talkwire_core::Subscription, pub(crate) Alive);

#[pymethods]
impl Subscription {
    /// What takes its events.
    fn reader(&self) -> Reader {
        Reader(Source::Subscription(self.0.clone()), Alive::new())
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
