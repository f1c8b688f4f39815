//! The log of the sessions, for the `logging` module.

use std::os::fd::RawFd;

use pyo3::prelude::*;
use talkwire_core::runtime::log::Level;

use crate::client;
use crate::error::OrRaise;

/// Lines of the log; one object for the process.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Log(talkwire_core::runtime::log::Log);

/// Begins the log of the runtime that all sessions share.
#[pyfunction]
pub(crate) fn log(py: Python<'_>) -> PyResult<Log> {
    let runtime = client::runtime().or_raise(py)?;
    runtime.log(Level::Warn).or_raise(py).map(Log)
}

#[pymethods]
impl Log {
    /// Readable while lines wait.
    fn fd(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.0.wakeup_fd().or_raise(py)
    }

    /// Lines that wait: level, milliseconds since 1970, text.
    fn drain(&self) -> Vec<(u8, u64, String)> {
        let lines = self.0.drain().into_iter();
        lines
            .map(|line| (line.level as u8, line.unix_ms, line.message))
            .collect()
    }

    /// From 1 (errors) to 5 (all); 0 is nothing.
    fn set_level(&self, level: u8) {
        self.0.set_level(match level {
            0 => None,
            1 => Some(Level::Error),
            2 => Some(Level::Warn),
            3 => Some(Level::Info),
            4 => Some(Level::Debug),
            _ => Some(Level::Trace),
        });
    }
}
