//! Errors on their way to the exception classes of `talkwire._errors`.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use serde_json::{Value, json};
use talkwire_core::{Error, Kind, Retry};

/// The status table as `(number, name, meaning)`, for the test of the exception classes.
#[pyfunction]
pub(crate) fn kinds() -> Vec<(i32, &'static str, &'static str)> {
    let row = |kind: &Kind| (*kind as i32, kind.name(), kind.meaning());
    Kind::ALL.iter().map(row).collect()
}

/// All that is known about an error, under the names of the exception's attributes.
pub(crate) fn details(error: &Error) -> Value {
    let said = error.provider();
    json!({
        "kind": error.kind().name(), "who": error.who().name(), "message": error.message(),
        "retryable": error.retry() == Retry::Later, "type": said.kind, "code": said.code,
        "param": said.param, "event_id": said.event_id, "http_status": said.http_status,
        "close_code": said.close_code, "body": said.body,
    })
}

/// The exception of an error.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = MAKE.import(py, "talkwire._errors", "from_native");
    match make.and_then(|make| make.call1((details(error).to_string(),))) {
        Ok(exception) => PyErr::from_value(exception),
        Err(broken) => broken,
    }
}

/// Results of the core as results of Python.
pub(crate) trait OrRaise<T> {
    /// Turns the error into its exception.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for talkwire_core::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| raised(py, &error))
    }
}
