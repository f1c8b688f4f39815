//! A session as an event loop or a thread drives it: never blocks, wakes through descriptors.

use std::future::Future;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use talkwire_core::engine::io::Reply;
use talkwire_core::options::WhenBusy;
use talkwire_core::options::tool::Tool;
use talkwire_core::session::Pending;
use talkwire_core::transcript::Form;
use talkwire_core::wire::audio;
use talkwire_core::{Error, Kind, Result, SubscriptionOptions};

use crate::alive::Alive;
use crate::call::{Call, pcm16};
use crate::error::{OrRaise, raised};
use crate::reader::{Reader, Source};
use crate::recorder::Recorder;
use crate::subscription::Subscription;

/// One conversation.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Session(pub(crate) talkwire_core::Session, pub(crate) Alive);

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

    /// What takes the events of the session itself.
    fn reader(&self) -> Reader {
        Reader(Source::Session(self.0.clone()), Alive::new())
    }

    /// One more reader; options as JSON.
    fn subscribe(&self, py: Python<'_>, options: &str) -> PyResult<Subscription> {
        let options = SubscriptionOptions::from_json(options).or_raise(py)?;
        let subscription = self.0.subscribe(options).or_raise(py)?;
        Ok(Subscription(subscription, Alive::new()))
    }

    /// Queues an event given as JSON text. What is found to be wrong later comes as an event.
    fn send_json(&self, py: Python<'_>, json: String) -> PyResult<()> {
        self.0.post_json(json).or_raise(py)
    }

    /// Queues audio given as bytes: one copy, which leaves the caller's buffer free.
    fn append(&self, py: Python<'_>, audio: PyBuffer<u8>) -> PyResult<()> {
        self.0.append(audio.to_vec(py)?).or_raise(py)
    }

    /// Queues audio given as samples from -1 to 1.
    fn append_float(&self, py: Python<'_>, audio: PyBuffer<f32>) -> PyResult<()> {
        let format = self.0.input_format();
        if format.is_some_and(|format| format.sample_bytes() != 2) {
            return Err(raised(py, &Error::from(Kind::Argument)));
        }
        self.0.append(pcm16(py, &audio)?).or_raise(py)
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

    /// Asks for a response; `when_busy` as options have it. What is found to be wrong later comes as
    /// an event.
    fn respond(&self, py: Python<'_>, overrides: Option<&str>, when_busy: &str) -> PyResult<()> {
        self.wish(overrides, Some(when_busy)).or_raise(py).map(drop)
    }

    /// Asks for a response, and tells its id once it has begun.
    fn ask(
        &self,
        py: Python<'_>,
        overrides: Option<&str>,
        when_busy: Option<&str>,
    ) -> PyResult<Waiting> {
        let wish = self.wish(overrides, when_busy).or_raise(py)?;
        Waiting::telling(async move {
            match wish.await? {
                Reply::Done { id } | Reply::Merged { id } => Ok(id),
                _ => Ok(String::new()),
            }
        })
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
        let call = self.0.attach(options).or_raise(py)?;
        Ok(Call(call, Alive::new()))
    }

    /// Records into a WAV file; options as JSON. Blocks while the file is created.
    fn record(&self, py: Python<'_>, path: PathBuf, options: &str) -> PyResult<Recorder> {
        let options = talkwire_core::RecorderOptions::from_json(options).or_raise(py)?;
        let recorder = py.detach(|| self.0.record(path, options));
        Ok(Recorder(recorder.or_raise(py)?, Alive::new()))
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

impl Session {
    fn wish(&self, overrides: Option<&str>, when_busy: Option<&str>) -> Result<Pending> {
        let wrong = |e| Error::new(Kind::Argument, format!("a response: {e}"));
        let overrides = overrides.map(serde_json::from_str).transpose();
        let overrides = overrides.map_err(wrong)?;
        let Some(when_busy) = when_busy else {
            return self.0.respond(overrides);
        };
        let when_busy = serde_json::from_value::<WhenBusy>(when_busy.into());
        self.0.respond_when(overrides, when_busy.map_err(wrong)?)
    }
}

/// Something to wait for: poll it once, then whenever `fd` is readable.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Waiting {
    future: Mutex<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
    bell: Arc<Bell>,
    told: Arc<OnceLock<String>>,
    _alive: Alive,
}

impl Waiting {
    pub(crate) fn new(future: impl Future<Output = Result<()>> + Send + 'static) -> PyResult<Self> {
        Ok(Self {
            future: Mutex::new(Box::pin(future)),
            bell: Arc::new(Bell::new()?),
            told: Arc::default(),
            _alive: Alive::new(),
        })
    }

    /// One whose result is read by `told`.
    fn telling(future: impl Future<Output = Result<String>> + Send + 'static) -> PyResult<Self> {
        let told = Arc::<OnceLock<String>>::default();
        let tell = told.clone();
        let waiting = Self::new(async move {
            // It is told once; there is nobody else to tell.
            let _ = tell.set(future.await?);
            Ok(())
        })?;
        Ok(Self { told, ..waiting })
    }
}

#[pymethods]
impl Waiting {
    #[getter]
    fn fd(&self) -> RawFd {
        self.bell.fd().as_raw_fd()
    }

    /// What it told, once it has come about.
    fn told(&self) -> Option<&str> {
        self.told.get().map(String::as_str)
    }

    /// Whether it has come about; raises what prevented it.
    fn poll(&self, py: Python<'_>) -> PyResult<bool> {
        self.bell.hush();
        // The lock is let go of first: to raise is to run code of Python, which may come back here.
        match self.step() {
            Poll::Ready(about) => about.or_raise(py).map(|()| true),
            Poll::Pending => Ok(false),
        }
    }
}

impl Waiting {
    fn step(&self) -> Poll<Result<()>> {
        let waker = Waker::from(self.bell.clone());
        let mut future = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

/// A waker that makes a descriptor readable. Any thread may ring it and any may hush it: there is a
/// byte in the pipe exactly while it is rung, so neither side ever waits for the pipe.
#[derive(Debug)]
pub(crate) struct Bell {
    reader: PipeReader,
    writer: PipeWriter,
    is_rung: Mutex<bool>,
}

impl Bell {
    pub(crate) fn new() -> std::io::Result<Self> {
        let (reader, writer) = std::io::pipe()?;
        Ok(Self {
            reader,
            writer,
            is_rung: Mutex::new(false),
        })
    }

    pub(crate) fn fd(&self) -> &PipeReader {
        &self.reader
    }

    pub(crate) fn hush(&self) {
        let mut is_rung = self.is_rung();
        if *is_rung && (&self.reader).read_exact(&mut [0]).is_ok() {
            *is_rung = false;
        }
    }

    fn is_rung(&self) -> MutexGuard<'_, bool> {
        self.is_rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut is_rung = self.is_rung();
        if !*is_rung {
            // The reader lives as long as the writer, so this cannot fail.
            let _ = (&self.writer).write_all(&[1]);
            *is_rung = true;
        }
    }
}
