//! The recording of a session.

use pyo3::prelude::*;

use crate::alive::Alive;
use crate::error::OrRaise;
use crate::session::Waiting;

/// A recording; it goes on without this, to the end of its session.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Recorder(pub(crate) talkwire_core::Recorder, pub(crate) Alive);

#[pymethods]
impl Recorder {
    /// Samples per second.
    #[getter]
    fn rate_hz(&self) -> u32 {
        self.0.rate_hz()
    }

    /// Milliseconds that a reader of the file finds.
    #[getter]
    fn written_ms(&self) -> u64 {
        self.0.written_ms()
    }

    /// Asks for the end.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.0.stop().or_raise(py)
    }

    /// Waits until the files are complete.
    fn finished(&self) -> PyResult<Waiting> {
        let recorder = self.0.clone();
        Waiting::new(async move { recorder.finished().await })
    }
}
