//! Endpoint, credential and dialect; and the threads that all sessions of the process share.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use talkwire_core::runtime::RuntimeOptions;
use talkwire_core::{Client as Core, Options, Result, Runtime};

use crate::alive::Alive;
use crate::error::OrRaise;
use crate::key::Keys;
use crate::session::Session;

/// The threads of this process. Never taken out again: after the shutdown at exit, opening fails.
static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

pub(crate) fn runtime() -> Result<Runtime> {
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if runtime.is_none() {
        *runtime = Some(Runtime::new(RuntimeOptions::default())?);
    }
    Ok(runtime.clone().expect("was just made"))
}

/// Closes all sessions and stops the threads, within the given time. For the exit of the
/// interpreter; sessions cannot be opened after.
#[pyfunction]
pub(crate) fn shutdown(py: Python<'_>, within_ms: u64) -> PyResult<()> {
    let stop = || {
        let runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
        let within = Duration::from_millis(within_ms);
        runtime.as_ref().map_or(Ok(()), |r| r.shutdown(within))
    };
    py.detach(stop).or_raise(py)
}

/// Opens sessions at one endpoint.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Client(Core, pub(crate) Alive);

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (*, url, dialect, key, keys, extra_ca))]
    fn new(
        py: Python<'_>,
        url: Option<String>,
        dialect: Option<&str>,
        key: Option<String>,
        keys: Option<PyRef<'_, Keys>>,
        extra_ca: Option<Vec<u8>>,
    ) -> PyResult<Self> {
        let mut client = Core::new();
        if let Some(dialect) = dialect {
            client = client.dialect(dialect).or_raise(py)?;
        }
        if let Some(url) = url {
            client = client.url(url);
        }
        if let Some(key) = key {
            client = client.key(key);
        }
        if let Some(keys) = keys {
            let desk = keys.desk();
            client = client.key_from(move || desk.clone().ask());
        }
        if let Some(pem) = extra_ca {
            client = client.extra_ca(pem);
        }
        Ok(Self(client, Alive::new()))
    }

    /// The environment variable that usually holds this dialect's credential.
    #[getter]
    fn key_env(&self) -> Option<&str> {
        self.0.key_env()
    }

    /// One more endpoint, with its options as JSON; `env_key` as in `open`.
    fn fallback(
        &self,
        py: Python<'_>,
        other: &Self,
        options: &str,
        env_key: Option<String>,
    ) -> PyResult<Self> {
        let options = Options::from_json(options).or_raise(py)?;
        let other = other.keyed(&options, env_key);
        let client = self.0.clone().fallback(other, options);
        Ok(Self(client, Alive::new()))
    }

    /// Begins a session with options given as JSON. `env_key` is only used where a credential is
    /// needed and none was given.
    fn open(&self, py: Python<'_>, options: &str, env_key: Option<String>) -> PyResult<Session> {
        let options = Options::from_json(options).or_raise(py)?;
        // Certificates of the system may be read from disk.
        let session = py.detach(|| self.open_with(options, env_key));
        Ok(Session(session.or_raise(py)?, Alive::new()))
    }
}

impl Client {
    /// With the credential of the environment where one is needed and none was given.
    fn keyed(&self, options: &Options, env_key: Option<String>) -> Core {
        match env_key.filter(|_| self.0.needs_key(options)) {
            Some(key) => self.0.clone().key(key),
            None => self.0.clone(),
        }
    }

    fn open_with(
        &self,
        options: Options,
        env_key: Option<String>,
    ) -> Result<talkwire_core::Session> {
        let client = self.keyed(&options, env_key);
        client.runtime(runtime()?).open(options)
    }
}
