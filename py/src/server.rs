//! The embedded local server.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use talkwire_core::dialect::Dialect;
use talkwire_core::{Error, Kind, Result};
use talkwire_server::{Config, Fault, LocalServer as Core, Pacing};

use crate::alive::Alive;
use crate::brain::Brain;
use crate::error::OrRaise;

/// A local server, from the start on.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct LocalServer {
    url: String,
    server: Mutex<Option<Core>>,
    _alive: Alive,
}

/// The keyword arguments of `talkwire.testing.LocalServer`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Given {
    listen: Option<String>,
    allow_remote: bool,
    profile: Option<String>,
    dialect: Option<String>,
    script_file: Option<PathBuf>,
    script_text: Option<String>,
    script_base: PathBuf,
    brain: Option<String>,
    host: Option<Py<Brain>>,
    ears: Option<String>,
    voice: Option<String>,
    api_key: Option<String>,
    tls: Option<(PathBuf, PathBuf)>,
    models: Option<Vec<String>>,
    max_sessions: Option<usize>,
    lifetime_ms: Option<u64>,
    pacing: Option<String>,
    think_ms: Option<u64>,
    seed: Option<u64>,
    faults: Option<String>,
    control: bool,
    journal: bool,
    journal_dir: Option<PathBuf>,
}

#[pymethods]
impl LocalServer {
    /// Starts a server; returns when it listens.
    #[new]
    fn new(py: Python<'_>, given: Given) -> PyResult<Self> {
        let start = || Core::start(given.config()?);
        let server = py.detach(start).or_raise(py)?;
        Ok(Self {
            url: server.url().to_owned(),
            server: Mutex::new(Some(server)),
            _alive: Alive::new(),
        })
    }

    /// The complete URL.
    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    /// The URL for looking into it, if it was asked for.
    #[getter]
    fn control_url(&self) -> Option<String> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.as_ref()?.control_url().map(str::to_owned)
    }

    /// The journal of a session as lines of JSON; without a number, of all of them.
    fn journal(&self, session: Option<u64>) -> Vec<String> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(server) = server.as_ref() else {
            return Vec::new();
        };
        let journal = server.journal();
        let sessions = journal.sessions().into_iter().map(|summary| summary.number);
        let wanted = sessions.filter(|number| session.is_none_or(|only| only == *number));
        let entries = wanted.filter_map(|number| journal.entries(number, 0));
        entries.flatten().map(|entry| entry.to_line()).collect()
    }

    /// Whether it has been neither stopped nor killed.
    #[getter]
    fn is_running(&self) -> bool {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.is_some()
    }

    /// Stops it: sessions are closed. Blocks for at most two seconds; stopping twice is one stop.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| drop(self.take()));
    }

    /// Ends it as a crash would: connections vanish without a closing handshake.
    fn kill(&self, py: Python<'_>) {
        py.detach(|| self.take().map(Core::kill));
    }
}

impl LocalServer {
    fn take(&self) -> Option<Core> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.take()
    }
}

impl Given {
    fn config(self) -> Result<Config> {
        let (pacing, dialect) = (self.pacing()?, self.dialect()?);
        let ms = Duration::from_millis;
        let mut config = Config::new().allow_remote(self.allow_remote);
        config = with(config, self.listen, Config::listen);
        config = with(config, self.profile, Config::profile);
        config = with(config, dialect, Config::dialect);
        config = with(config, self.script_file, Config::script_file);
        config = with(config, self.script_text, |c, text| {
            c.script_text(text, self.script_base)
        });
        config = with(config, self.brain, Config::brain);
        config = with(config, self.host, |c, brain| {
            c.answered_by(brain.get().host())
        });
        config = with(config, self.ears, Config::ears);
        config = with(config, self.voice, Config::voice);
        config = with(config, self.api_key, Config::api_key);
        config = with(config, self.tls, |c, (cert, key)| c.tls(cert, key));
        config = with(config, self.models, Config::models);
        config = with(config, self.max_sessions, Config::max_sessions);
        config = with(config, self.lifetime_ms.map(ms), Config::lifetime);
        config = with(config, pacing, Config::pacing);
        config = with(config, self.think_ms.map(ms), Config::think);
        config = with(config, self.journal_dir, Config::journal);
        config = config.journal_in_memory(self.journal);
        config = if self.control {
            config.control(0)
        } else {
            config
        };
        for fault in faults(self.faults.as_deref())? {
            config = config.fault(fault);
        }
        Ok(with(config, self.seed, Config::seed))
    }

    fn pacing(&self) -> Result<Option<Pacing>> {
        match self.pacing.as_deref() {
            None => Ok(None),
            Some("instant") => Ok(Some(Pacing::Instant)),
            Some("realtime") => Ok(Some(Pacing::Realtime)),
            Some(other) => Err(Error::new(
                Kind::Config,
                format!("no pacing is named `{other}`: there are instant, realtime"),
            )),
        }
    }

    fn dialect(&self) -> Result<Option<Arc<Dialect>>> {
        let table = self
            .dialect
            .as_deref()
            .map(Dialect::from_json)
            .transpose()?;
        Ok(table.map(Arc::new))
    }
}

fn faults(text: Option<&str>) -> Result<Vec<Fault>> {
    let faults = text.map(serde_json::from_str).transpose();
    let faults = faults.map_err(|e| Error::new(Kind::Config, format!("faults: {e}")))?;
    Ok(faults.unwrap_or_default())
}

fn with<T>(config: Config, value: Option<T>, set: impl FnOnce(Config, T) -> Config) -> Config {
    match value {
        Some(value) => set(config, value),
        None => config,
    }
}
