//! A realtime server in this process, for tests and demonstrations.

use std::borrow::Cow;
use std::ffi::c_char;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use talkwire_core::dialect::Dialect;
use talkwire_core::runtime::dispatch::in_callback;
use talkwire_core::runtime::guard_forks;
use talkwire_core::{Error, Kind, Result};
use talkwire_server::{Config, Fault, LocalServer, Pacing};

use crate::error::{tw_error, tw_status};
use crate::guard;
use crate::handle::{self, Handle, Mark};
use crate::text::{self, Text, tw_str};

/// A realtime server in this process, on threads of its own.
pub struct tw_local_server {
    mark: Mark,
    address: String,
    url: Text,
    control: Option<String>,
    control_url: Text,
    server: Mutex<Option<LocalServer>>,
}

impl Handle for tw_local_server {
    const NOUN: &'static str = "tw_local_server";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

impl tw_local_server {
    fn stop(&self) {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = server.take() {
            server.stop();
        }
    }
}

/// The JSON of tw_local_server_start(); absent keys leave the server's own defaults.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    listen: Option<String>,
    allow_remote: bool,
    profile: Option<String>,
    dialect: Option<Value>,
    script: Option<Value>,
    script_base: PathBuf,
    script_file: Option<PathBuf>,
    brain: Option<String>,
    ears: Option<String>,
    voice: Option<String>,
    api_key: Option<String>,
    tls: Option<Tls>,
    models: Option<Vec<String>>,
    max_sessions: Option<usize>,
    lifetime_ms: Option<u64>,
    pacing: Option<Pace>,
    think_ms: Option<u64>,
    seed: Option<u64>,
    faults: Vec<Fault>,
    control: bool,
    journal: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    cert: PathBuf,
    key: PathBuf,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Pace {
    Instant,
    Realtime,
}

/// Applies a setting if it was given.
fn with<T>(config: Config, value: Option<T>, set: impl FnOnce(Config, T) -> Config) -> Config {
    match value {
        Some(value) => set(config, value),
        None => config,
    }
}

impl Wanted {
    fn config(self) -> Result<Config> {
        let dialect = self
            .dialect
            .map(|table| Dialect::from_json(&table.to_string()));
        let base = self.script_base;
        let config = Config::new().allow_remote(self.allow_remote);
        let config = with(config, self.listen, Config::listen);
        let config = with(config, self.profile, Config::profile);
        let config = with(config, dialect.transpose()?, |c, d| c.dialect(d.into()));
        let config = with(config, self.script, |c, script| {
            c.script_text(script_text(script), base)
        });
        let config = with(config, self.script_file, Config::script_file);
        let config = with(config, self.brain, Config::brain);
        let config = with(config, self.ears, Config::ears);
        let config = with(config, self.voice, Config::voice);
        let config = with(config, self.api_key, Config::api_key);
        let config = with(config, self.tls, |c, tls| c.tls(tls.cert, tls.key));
        let config = with(config, self.models, Config::models);
        let config = with(config, self.max_sessions, Config::max_sessions);
        let millis = |ms: Option<u64>| ms.map(Duration::from_millis);
        let config = with(config, millis(self.lifetime_ms), Config::lifetime);
        let config = with(config, millis(self.think_ms), Config::think);
        let config = with(config, self.seed, Config::seed);
        let config = with(config, self.journal, Config::journal);
        let config = self.faults.into_iter().fold(config, Config::fault);
        let config = with(config, self.control.then_some(0), Config::control);
        Ok(with(config, self.pacing, |c, pace| {
            c.pacing(match pace {
                Pace::Instant => Pacing::Instant,
                Pace::Realtime => Pacing::Realtime,
            })
        }))
    }
}

/// A script is YAML text, or an object: JSON is YAML too.
fn script_text(script: Value) -> String {
    match script {
        Value::String(text) => text,
        object => object.to_string(),
    }
}

/// Starts a realtime server in this process, for tests and demonstrations, and returns when it
/// listens.
///
/// Keys of the JSON object, all optional: `listen` ("127.0.0.1:0"), `allow_remote`, `profile` (name
/// of a dialect), `dialect` (a table), `script` (YAML text or an object), `script_base` (directory
/// of the script's WAV files), `script_file`, `brain`, `ears`, `voice` (names), `api_key` (the only
/// one accepted), `tls` {`cert`, `key`} (PEM files), `models`, `max_sessions`, `lifetime_ms`,
/// `pacing` ("instant" or "realtime"), `think_ms`, `seed`, `faults` (a list of what goes wrong, as in
/// a script), `journal` (directory for a file of each session), `control` (true: a port of this
/// machine for looking into it, see tw_local_server_control_url()).
///
/// @param config  the object, or NULL for a server that echoes
/// @param len     its bytes, or TW_NTS
/// @param server  receives the server; give it back with tw_local_server_free()
/// @param err     receives the error, may be NULL
/// @return TW_OK, TW_ERR_CONFIG (a wrong script, name or file), TW_ERR_IO, TW_ERR_ARGUMENT (also for
///         an unknown key), TW_ERR_CLOSED (the process ends), TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: while it reads its files.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_local_server_start(
    config: *const c_char,
    len: usize,
    server: *mut *mut tw_local_server,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_local_server_start", err, || {
        let config = text::optional(config, len, "config")?;
        let wanted: Wanted = match config {
            Some(config) => text::json(config, "config")?,
            None => Wanted::default(),
        };
        let config = wanted.config()?;
        // P15 is about all threads of the library, also those of a server alone.
        guard_forks();
        handle::put(server, "server", || {
            let server = LocalServer::start(config)?;
            Ok(handle::give(tw_local_server {
                mark: Mark::default(),
                address: server.url().to_owned(),
                url: Text::default(),
                control: server.control_url().map(str::to_owned),
                control_url: Text::default(),
                server: Mutex::new(Some(server)),
            }))
        })
    })
}

/// Its complete URL, for example "ws://127.0.0.1:40123/v1/realtime". Belongs to the server.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_local_server_url(server: *const tw_local_server) -> tw_str {
    guard::value("tw_local_server_url", tw_str::EMPTY, || {
        let Some(server) = handle::peek(server) else {
            return tw_str::EMPTY;
        };
        server.url.get(|| Some(Cow::Borrowed(&server.address)))
    })
}

/// The URL for looking into it and steering it, for example "http://127.0.0.1:40124/": a page for
/// people, and endpoints for programs (journal, events, clock, faults). Empty unless `control` was
/// asked for. Belongs to the server.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_local_server_control_url(server: *const tw_local_server) -> tw_str {
    guard::value("tw_local_server_control_url", tw_str::EMPTY, || {
        let Some(server) = handle::peek(server) else {
            return tw_str::EMPTY;
        };
        let url = || server.control.as_deref().map(Cow::Borrowed);
        server.control_url.get(url)
    })
}

/// Stops a server: its sessions are closed with code 1001. Stopping twice is one stop.
///
/// @param server  the server
/// @param err     receives the error, may be NULL
/// @return TW_OK, TW_ERR_WOULD_DEADLOCK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: no, TW_ERR_WOULD_DEADLOCK. Blocks: up to two seconds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_local_server_stop(
    server: *mut tw_local_server,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_local_server_stop", err, || {
        let server = handle::borrow(server)?;
        if in_callback() {
            let message = "a callback cannot wait for a server to stop";
            return Err(Error::new(Kind::WouldDeadlock, message));
        }
        server.stop();
        Ok(())
    })
}

/// Stops a server and gives it back. NULL is allowed.
///
/// Thread-safe: yes. In a callback: better not. Blocks: up to two seconds, if it was not stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_local_server_free(server: *mut tw_local_server) {
    guard::release("tw_local_server_free", || drop(handle::take(server)));
}
