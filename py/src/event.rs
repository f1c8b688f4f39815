//! Events: frozen, decoded, turned into Python objects only as far as they are looked at.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString};
use talkwire_core::event::{Body, Event as Core};
use talkwire_core::wire::ServerEvent;
use talkwire_core::wire::audio::encode;

use crate::alive::Alive;

/// An event that waits for its Python class; only [`Event`] takes it.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Made(pub(crate) Core);

/// Base of all event classes.
#[pyclass(frozen, subclass, module = "talkwire._native")]
pub(crate) struct Event {
    core: Core,
    audio: PyOnceLock<Py<PyBytes>>,
    _alive: Alive,
}

#[pymethods]
impl Event {
    #[new]
    fn new(made: &Bound<'_, Made>) -> Self {
        Self {
            core: made.get().0.clone(),
            audio: PyOnceLock::new(),
            _alive: Alive::new(),
        }
    }

    /// Name on the wire, e.g. `response.output_text.delta`.
    #[getter]
    fn r#type<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::intern(py, self.core.name())
    }

    /// The server's id of the event; not every server sets one.
    #[getter]
    fn event_id(&self) -> Option<&str> {
        self.core.event_id()
    }

    /// The frame as it came, if it came from the server as one frame.
    #[getter]
    fn raw(&self) -> Option<&str> {
        self.core.raw()
    }

    /// Milliseconds since the session was opened.
    #[getter]
    fn at_ms(&self) -> u64 {
        self.core.at_ms()
    }

    /// Decoded audio: little-endian samples, whole ones, in the output format of the session.
    #[getter]
    fn audio<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyBytes>> {
        let audio = self.core.audio()?;
        let make = || PyBytes::new(py, audio).unbind();
        Some(self.audio.get_or_init(py, make).bind(py))
    }

    /// How long its audio lasts, in milliseconds.
    #[getter]
    fn audio_ms(&self) -> u64 {
        self.core.audio_ms()
    }

    /// The event as canonical JSON text.
    fn to_json(&self) -> std::borrow::Cow<'_, str> {
        self.core.json()
    }

    /// A field of a piece of audio, without reading its frame again; None for any other event.
    fn _audio_field<'py>(
        &self,
        py: Python<'py>,
        name: &str,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Body::Wire(ServerEvent::AudioDelta(delta)) = self.core.body() else {
            return Ok(None);
        };
        let field = match name {
            "delta" => encode(&delta.audio).into_pyobject(py)?.into_any(),
            "item_id" => PyString::intern(py, &delta.item_id).into_any(),
            "response_id" => PyString::intern(py, &delta.response_id).into_any(),
            "output_index" => delta.output_index.into_pyobject(py)?.into_any(),
            "content_index" => delta.content_index.into_pyobject(py)?.into_any(),
            _ => return Ok(None),
        };
        Ok(Some(field))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        // Never the content: it may be speech.
        let class = slf.get_type().name()?;
        let event = slf.get();
        Ok(format!(
            "<{class} {} at {} ms>",
            event.core.name(),
            event.at_ms()
        ))
    }
}
