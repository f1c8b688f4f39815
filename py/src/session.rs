//! A session as the event loop drives it: never blocks, wakes the loop through descriptors.

use std::future::Future;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use talkwire_core::options::WhenBusy;
use talkwire_core::options::tool::Tool;
use talkwire_core::transcript::Form;
use talkwire_core::wire::audio;
use talkwire_core::{End, Error, Event, Kind, Result, SubscriptionOptions};

use crate::call::Call;
use crate::error::{OrRaise, details};
use crate::event::Made;
use crate::recorder::Recorder;
use crate::subscription::Subscription;

/// One conversation.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Session(pub(crate) talkwire_core::Session);

#[pymethods]
impl Session {
    /// Waits until the session is configured.
    fn opened(&self) -> PyResult<Waiting> {
        let session = self.0.clone();
        Waiting::new(async move { session.opened().await })
    }

    /// Waits until a command can be taken.
    fn room(&self) -> PyResult<Waiting> {
        let session = self.0.clone();
        Waiting::new(async move { session.room().await })
    }

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
        let mut events = Vec::new();
        self.0.drain(&mut events, most);
        dressed(py, events, classes, unknown)
    }

    /// How the session ended, as JSON, once it has. Events may still wait.
    fn end(&self) -> Option<String> {
        self.0.end().as_ref().map(ended)
    }

    /// One more reader; options as JSON.
    fn subscribe(&self, py: Python<'_>, options: &str) -> PyResult<Subscription> {
        let options = SubscriptionOptions::from_json(options).or_raise(py)?;
        self.0.subscribe(options).or_raise(py).map(Subscription)
    }

    /// Queues an event given as JSON text. What is found to be wrong later comes as an event.
    fn send_json(&self, py: Python<'_>, json: String) -> PyResult<()> {
        self.0.post_json(json).or_raise(py)
    }

    /// Queues audio given as bytes: one copy, which leaves the caller's buffer free.
    fn append(&self, py: Python<'_>, audio: PyBuffer<u8>) -> PyResult<()> {
        self.0.append(audio.to_vec(py)?).or_raise(py)
    }

    /// Queues audio given as base64 text.
    fn append_base64(&self, py: Python<'_>, text: &str) -> PyResult<()> {
        let refuse = |e| Error::new(Kind::Argument, format!("{e}"));
        let audio = audio::decode(text).map_err(refuse).or_raise(py)?;
        self.0.append(audio).or_raise(py)
    }

    /// Lets the model call a tool, given as JSON.
    fn register_tool(&self, py: Python<'_>, tool: &str) -> PyResult<()> {
        let tool = serde_json::from_str::<Tool>(tool);
        let tool = tool.map_err(|e| Error::new(Kind::Argument, format!("a tool: {e}")));
        let tool = tool.or_raise(py)?;
        self.0.register_tool(tool).or_raise(py).map(drop)
    }

    /// Gives the result of a tool: output, or the error that the model is told.
    fn answer_tool(
        &self,
        py: Python<'_>,
        call_id: &str,
        output: Option<String>,
        error: Option<String>,
    ) -> PyResult<()> {
        let output = output.ok_or_else(|| error.unwrap_or_default());
        self.0.answer_tool(call_id, output).or_raise(py).map(drop)
    }

    /// Decides an interruption that is held, or interrupts.
    fn interrupt(&self, py: Python<'_>, is_one: bool) -> PyResult<()> {
        self.0.interrupt(is_one).or_raise(py).map(drop)
    }

    /// Tells what the listener of a host that owns the queue has heard.
    fn played(
        &self,
        py: Python<'_>,
        item_id: &str,
        content_index: u32,
        heard_ms: u64,
    ) -> PyResult<()> {
        let played = self.0.played(item_id, content_index, heard_ms);
        played.or_raise(py)
    }

    /// Asks for a response; `when_busy` as options have it.
    fn respond(&self, py: Python<'_>, overrides: Option<&str>, when_busy: &str) -> PyResult<()> {
        let wrong = |e| Error::new(Kind::Argument, format!("a response: {e}"));
        let overrides = overrides.map(serde_json::from_str).transpose();
        let overrides = overrides.map_err(wrong).or_raise(py)?;
        let when_busy = serde_json::from_value::<WhenBusy>(when_busy.into());
        let when_busy = when_busy.map_err(wrong).or_raise(py)?;
        let wish = self.0.respond_when(overrides, when_busy);
        wish.or_raise(py).map(drop)
    }

    /// Tokens used so far, as JSON.
    fn usage(&self) -> String {
        serde_json::json!(self.0.usage()).to_string()
    }

    /// What the session did so far, as JSON.
    fn stats(&self) -> String {
        serde_json::json!(self.0.stats()).to_string()
    }

    /// The conversation so far, as a JSON list.
    fn history(&self) -> String {
        let history = self.0.history();
        let segments = history.iter().map(|segment| segment.to_json());
        serde_json::Value::from_iter(segments).to_string()
    }

    /// Attaches a media port; options as JSON.
    fn attach(&self, py: Python<'_>, options: &str) -> PyResult<Call> {
        let options = talkwire_core::CallOptions::from_json(options).or_raise(py)?;
        self.0.attach(options).or_raise(py).map(Call)
    }

    /// Records into a WAV file; options as JSON. Blocks while the file is created.
    fn record(&self, py: Python<'_>, path: PathBuf, options: &str) -> PyResult<Recorder> {
        let options = talkwire_core::RecorderOptions::from_json(options).or_raise(py)?;
        let recorder = py.detach(|| self.0.record(path, options));
        recorder.or_raise(py).map(Recorder)
    }

    /// The conversation so far, as `json`, `vtt` or `srt`.
    fn transcript(&self, py: Python<'_>, form: &str) -> PyResult<String> {
        let form = Form::named(form).or_raise(py)?;
        Ok(self.0.transcript(form))
    }

    /// Asks for the end, which then comes within the given time.
    fn close(&self, within_ms: Option<u64>) {
        match within_ms {
            Some(ms) => self.0.close_within(Duration::from_millis(ms)),
            None => self.0.close(),
        }
    }

    /// The flight recorder.
    fn flight_record(&self) -> String {
        self.0.flight_record()
    }

    /// What this endpoint can do, as JSON.
    fn capabilities(&self) -> String {
        self.0.capabilities().to_string()
    }
}

/// Events as objects of their classes.
pub(crate) fn dressed<'py>(
    py: Python<'py>,
    events: Vec<Event>,
    classes: &Bound<'py, PyDict>,
    unknown: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for event in events {
        let class = classes.get_item(event.name())?;
        let class = class.as_ref().unwrap_or(unknown);
        list.append(class.call1((Made(event),))?)?;
    }
    Ok(list)
}

/// An end as JSON, with its error.
pub(crate) fn ended(end: &End) -> String {
    let mut json = end.to_json();
    json["error"] = details(&end.to_error());
    json.to_string()
}

/// Something to wait for on an event loop: poll it once, then whenever `fd` is readable.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Waiting {
    future: Mutex<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
    bell: Arc<Bell>,
}

impl Waiting {
    pub(crate) fn new(future: impl Future<Output = Result<()>> + Send + 'static) -> PyResult<Self> {
        Ok(Self {
            future: Mutex::new(Box::pin(future)),
            bell: Arc::new(Bell::new()?),
        })
    }
}

#[pymethods]
impl Waiting {
    #[getter]
    fn fd(&self) -> RawFd {
        self.bell.fd().as_raw_fd()
    }

    /// Whether it has come about; raises what prevented it.
    fn poll(&self, py: Python<'_>) -> PyResult<bool> {
        self.bell.hush();
        let waker = Waker::from(self.bell.clone());
        let mut future = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(opened) => opened.or_raise(py).map(|()| true),
            Poll::Pending => Ok(false),
        }
    }
}

/// A waker that makes a descriptor readable.
pub(crate) struct Bell {
    reader: PipeReader,
    writer: PipeWriter,
    is_rung: AtomicBool,
}

impl Bell {
    pub(crate) fn new() -> std::io::Result<Self> {
        let (reader, writer) = std::io::pipe()?;
        let is_rung = AtomicBool::new(false);
        Ok(Self {
            reader,
            writer,
            is_rung,
        })
    }

    pub(crate) fn fd(&self) -> &PipeReader {
        &self.reader
    }

    /// At most one byte is ever in the pipe, so neither side can block.
    pub(crate) fn hush(&self) {
        if self.is_rung.load(Ordering::Acquire) && (&self.reader).read_exact(&mut [0]).is_ok() {
            self.is_rung.store(false, Ordering::Release);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            // The reader lives as long as the writer, so this cannot fail.
            let _ = (&self.writer).write_all(&[1]);
        }
    }
}
