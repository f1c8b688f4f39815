//! What a session is opened with.

use std::ffi::c_char;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};
use talkwire_core::{Client, Error, Kind, Options, Result, Runtime};

use crate::error::{tw_error, tw_status};
use crate::guard;
use crate::handle::{self, Handle, Mark};
use crate::text;

/// What a session is opened with. Opening copies it, so it may be changed, used again or freed.
pub struct tw_config {
    mark: Mark,
    state: Mutex<State>,
}

struct State {
    client: Client,
    /// As JSON, because that is how they are merged and judged.
    options: Map<String, Value>,
}

impl Handle for tw_config {
    const NOUN: &'static str = "tw_config";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

impl tw_config {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the credential is asked for.
    pub(crate) fn ask_for_key(&self, ask: impl Fn() -> Result<String> + Send + Sync + 'static) {
        let mut state = self.state();
        state.client = state.client.clone().key_from_blocking(ask);
    }

    /// Everything that opening needs.
    pub(crate) fn ready(&self, runtime: Option<Runtime>) -> Result<(Client, Options)> {
        let state = self.state();
        let mut client = state.client.clone();
        if let Some(runtime) = runtime {
            client = client.runtime(runtime);
        }
        Ok((client, options(&state.options)?))
    }
}

impl State {
    fn set(&mut self, key: &str, value: impl Into<Value>) -> Result<()> {
        let mut wanted = self.options.clone();
        wanted.insert(key.to_owned(), value.into());
        options(&wanted)?;
        self.options = wanted;
        Ok(())
    }

    /// A change of the first settings of the session.
    fn patch(&mut self, patch: Map<String, Value>) -> Result<()> {
        let mut session = match self.options.get("session") {
            Some(Value::Object(session)) => session.clone(),
            _ => Map::new(),
        };
        merge(&mut session, patch);
        self.set("session", session)
    }
}

fn options(map: &Map<String, Value>) -> Result<Options> {
    Options::from_json(&Value::Object(map.clone()).to_string())
}

fn merge(into: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, value) in patch {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The body of the setters that take one text.
fn set(
    config: *mut tw_config,
    (value, len, name): (*const c_char, usize, &str),
    change: impl FnOnce(&mut State, &str) -> Result<()>,
) -> Result<()> {
    let config = handle::borrow(config)?;
    let value = text::input(value, len, name)?;
    change(&mut config.state(), value)
}

/// A configuration with all defaults: the default dialect's own endpoint, no credential.
///
/// @param config  receives it; give it back with tw_config_free()
/// @param err     receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_new(
    config: *mut *mut tw_config,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_new", err, || {
        handle::put(config, "config", || {
            let state = State {
                client: Client::new(),
                options: Map::new(),
            };
            Ok(handle::give(tw_config {
                mark: Mark::default(),
                state: Mutex::new(state),
            }))
        })
    })
}

/// Another endpoint: `ws://` or `wss://`, path included, query allowed.
///
/// @param config  the configuration
/// @param url     the URL
/// @param len     its bytes, or TW_NTS
/// @param err     receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED; a wrong URL is reported when a session is opened
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_set_url(
    config: *mut tw_config,
    url: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_set_url", err, || {
        set(config, (url, len, "url"), |state, url| {
            state.client = state.client.clone().url(url);
            Ok(())
        })
    })
}

/// The dialect that the server speaks: the name of a built-in one, the JSON text of a table, or the
/// path of a file that holds one.
///
/// @param config   the configuration
/// @param dialect  name, JSON or path
/// @param len      its bytes, or TW_NTS
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_CONFIG (no such dialect, or an error in the table), TW_ERR_IO (the file
///         cannot be read), TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no, but for reading a file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_set_dialect(
    config: *mut tw_config,
    dialect: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_set_dialect", err, || {
        set(config, (dialect, len, "dialect"), |state, dialect| {
            state.client = state.client.clone().dialect(dialect)?;
            Ok(())
        })
    })
}

/// The credential, without control characters. It is sent as the dialect says, and never logged. A
/// server on this machine (a loopback address) needs none.
///
/// @param config  the configuration
/// @param key     the credential
/// @param len     its bytes, or TW_NTS
/// @param err     receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_set_key(
    config: *mut tw_config,
    key: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_set_key", err, || {
        set(config, (key, len, "key"), |state, key| {
            state.client = state.client.clone().key(text::of_one_line(key, "key")?);
            Ok(())
        })
    })
}

/// The model; a short name is completed by the folder where the dialect builds full names.
///
/// @param config  the configuration
/// @param model   the model
/// @param len     its bytes, or TW_NTS
/// @param err     receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED; a wrong name is reported when a session is opened
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_set_model(
    config: *mut tw_config,
    model: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_set_model", err, || {
        set(config, (model, len, "model"), |state, model| {
            state.set("model", model)
        })
    })
}

/// The folder that a short model name belongs to.
///
/// @param config  the configuration
/// @param folder  the folder
/// @param len     its bytes, or TW_NTS
/// @param err     receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_set_folder(
    config: *mut tw_config,
    folder: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_set_folder", err, || {
        set(config, (folder, len, "folder"), |state, folder| {
            state.set("folder", folder)
        })
    })
}

/// The system prompt.
///
/// @param config        the configuration
/// @param instructions  the prompt
/// @param len           its bytes, or TW_NTS
/// @param err           receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_set_instructions(
    config: *mut tw_config,
    instructions: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_set_instructions", err, || {
        set(
            config,
            (instructions, len, "instructions"),
            |state, text| state.patch(object(json!({"instructions": text}))),
        )
    })
}

/// The voice, by its name.
///
/// @param config  the configuration
/// @param voice   the name
/// @param len     its bytes, or TW_NTS
/// @param err     receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_set_voice(
    config: *mut tw_config,
    voice: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_set_voice", err, || {
        set(config, (voice, len, "voice"), |state, voice| {
            state.patch(object(json!({"audio": {"output": {"voice": voice}}})))
        })
    })
}

/// The role (manner) of the voice, where the dialect has roles.
///
/// @param config  the configuration
/// @param role    the role
/// @param len     its bytes, or TW_NTS
/// @param err     receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_set_role(
    config: *mut tw_config,
    role: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_set_role", err, || {
        set(config, (role, len, "role"), |state, role| {
            state.patch(object(json!({"audio": {"output": {"role": role}}})))
        })
    })
}

/// The first settings of the session as a JSON object in the shape of `session.update`, merged into
/// what was set before.
///
/// @param config   the configuration
/// @param session  the object
/// @param len      its bytes, or TW_NTS
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT (also for text that is no JSON object), TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_set_session_json(
    config: *mut tw_config,
    session: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_set_session_json", err, || {
        set(config, (session, len, "session"), |state, session| {
            state.patch(text::json(session, "session")?)
        })
    })
}

/// Certificates to trust beside those of the system.
///
/// @param config  the configuration
/// @param pem     certificates in PEM form
/// @param len     their bytes, or TW_NTS
/// @param err     receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED; wrong certificates are reported when a session is
///         opened
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_set_extra_ca(
    config: *mut tw_config,
    pem: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_set_extra_ca", err, || {
        set(config, (pem, len, "pem"), |state, pem| {
            state.client = state.client.clone().extra_ca(pem);
            Ok(())
        })
    })
}

/// One more header of the upgrade request, without control characters. The same name again replaces it.
///
/// @param config     the configuration
/// @param name       name of the header
/// @param name_len   its bytes, or TW_NTS
/// @param value      its value
/// @param value_len  its bytes, or TW_NTS
/// @param err        receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_set_header(
    config: *mut tw_config,
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_set_header", err, || {
        let value = text::of_one_line(text::input(value, value_len, "value")?, "value")?;
        set(config, (name, name_len, "name"), |state, name| {
            text::of_one_line(name, "name")?;
            if name.is_empty() {
                return Err(Error::new(Kind::Argument, "`name` is empty"));
            }
            let mut headers = match state.options.get("headers") {
                Some(Value::Array(headers)) => headers.clone(),
                _ => Vec::new(),
            };
            let same = |h: &Value| h[0].as_str().is_some_and(|n| n.eq_ignore_ascii_case(name));
            headers.retain(|header| !same(header));
            headers.push(json!([name, value]));
            state.set("headers", headers)
        })
    })
}

/// Options as a JSON object; each key replaces what was set before. All keys, with defaults:
/// `model`, `folder` (none), `session` {}, `query` [], `headers` [] (lists of [name, value]),
/// `waive` [] (checks to switch off), `connect_timeout_ms` 10000, `handshake_timeout_ms` 10000,
/// `greeting_timeout_ms` 10000, `reply_timeout_ms` 10000, `close_timeout_ms` 3000, `uplink_max_ms`
/// 30000 (audio kept while it cannot be sent), `topics` ["audio", "transcript", "control"] (what the
/// session's own reader is told; "raw" too, see tw_subscription_open()), `mailbox_bytes` 8388608 (unread events before text is
/// joined and audio dropped), `mailbox_events` 20000 (unread events at which the session ends with
/// TW_ERR_SLOW_READER), `flight_lines` 500 and `flight_dir` (none; see tw_flight_read()), `seed` (of
/// identifiers; random), `proxy` (`http://`, `https://` or
/// `socks5://`, user and password allowed; "" goes straight; absent asks HTTPS_PROXY, HTTP_PROXY,
/// ALL_PROXY and NO_PROXY when dialling, never for this machine), `only_ca` (PEM certificates to
/// trust and no other ones), `client_cert` and `client_key` (PEM, shown to servers that ask),
/// `rollover` {"enabled": true, "margin_ms": 30000, "overlap_ms": 1000, "replay_tokens": 8000} (the
/// change to a new link before the server's session is too old), `recovery` {"budget_ms": 30000,
/// "delay_ms": 250, "delay_max_ms": 8000, "audio_ms": 5000, "answer": "go_on" or "silent"} (what
/// follows a lost link; a budget of 0 ends the session with it), `ping_ms` 15000 (silence after which
/// the server and the system are asked for a sign of life, 0 never), `pong_timeout_ms` 10000 (time for
/// it; a server of a dialect whose servers may leave pings unanswered is only held to them once it has
/// answered one).
///
/// @param config   the configuration
/// @param options  the object
/// @param len      its bytes, or TW_NTS
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_CONFIG (an unknown key or a wrong value; nothing was changed),
///         TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_set_json(
    config: *mut tw_config,
    options: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_set_json", err, || {
        set(config, (options, len, "options"), |state, text| {
            let mut wanted = state.options.clone();
            wanted.extend(text::json::<Map<String, Value>>(text, "options")?);
            self::options(&wanted)?;
            state.options = wanted;
            Ok(())
        })
    })
}

/// One more endpoint, tried when those before it fail: at the opening, and after a loss. A planned
/// change of link stays where the session is.
///
/// Of the other configuration, which is copied, count its URL, dialect and credential, what reaching
/// it takes (model, folder, `query`, headers, proxy, certificates, times to connect) and its session:
/// a patch of the settings for this endpoint, such as a voice that it has. All else is as the session
/// was opened. TW_EVENT_SESSION_RECOVERED has the number of the endpoint, counted from 1, in
/// `endpoint`.
///
/// @param config    the configuration
/// @param fallback  another one; may be freed afterwards
/// @param err       receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED; what is wrong with it is reported when a session is
///         opened
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_add_fallback(
    config: *mut tw_config,
    fallback: *const tw_config,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_add_fallback", err, || {
        let config = handle::borrow(config)?;
        let (client, options) = handle::borrow(fallback)?.ready(None)?;
        let mut state = config.state();
        state.client = state.client.clone().fallback(client, options);
        Ok(())
    })
}

/// Gives a configuration back. NULL is allowed.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_free(config: *mut tw_config) {
    guard::release("tw_config_free", || drop(handle::take(config)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setters_of_the_session_are_merged_and_a_wrong_option_changes_nothing() {
        let mut state = State {
            client: Client::new(),
            options: Map::new(),
        };
        let patch = json!({"audio": {"output": {"speed": 1.5}}, "instructions": "a"});
        state.patch(object(patch)).expect("valid");
        let patch = json!({"audio": {"output": {"voice": "v"}}, "instructions": "b"});
        state.patch(object(patch)).expect("valid");
        let merged = json!({
            "audio": {"output": {"speed": 1.5, "voice": "v"}}, "instructions": "b"
        });
        assert_eq!(state.options["session"], merged);
        let error = state.set("modle", "x").expect_err("unknown key");
        assert!(error.message().contains("modle"), "{error}");
        assert!(!state.options.contains_key("modle"));
    }
}
