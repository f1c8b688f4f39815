//! The log of a runtime.

use std::ffi::c_void;
use std::time::Duration;

use talkwire_core::runtime::log::{Level, Record};
use talkwire_core::{Error, Kind, Result, Runtime};

use crate::error::{tw_error, tw_status};
use crate::guard;
use crate::handle;
use crate::key::Owner;
use crate::runtime::tw_runtime;
use crate::text::{Text, tw_str};

/// No log.
pub const TW_LOG_OFF: i32 = 0;
/// A session ended by a fault of this library.
pub const TW_LOG_ERROR: i32 = 1;
/// What somebody should look at: losses, errors of the server, audio that was dropped, an end that
/// nobody asked for.
pub const TW_LOG_WARN: i32 = 2;
/// The life of sessions and links.
pub const TW_LOG_INFO: i32 = 3;
/// Each step that is not one of a stream: events, frames, commands, decisions.
pub const TW_LOG_DEBUG: i32 = 4;
/// Pieces of streams as well.
pub const TW_LOG_TRACE: i32 = 5;

/// Gets one line of the log, without a line break: TW_LOG_*, milliseconds since 1970, and the text,
/// which is there for the call. Lines have names, numbers and identifiers: nothing of what anybody
/// said, no audio, no credential.
pub type tw_log_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, unix_ms: u64, message: tw_str)>;

/// The caller's function.
struct Sink {
    tell: unsafe extern "C" fn(*mut c_void, i32, u64, tw_str),
    owner: Owner,
}

// Safety: by contract both functions may be called on any thread, one at a time.
unsafe impl Send for Sink {}

/// Sends the log of a runtime to a function, from now on and instead of the one before. What sessions
/// do is logged that were opened since this was called first. The function is called on a thread
/// `tw-log` of the runtime, one line at a time, and holds up nobody: when it is slow, the oldest lines
/// go, which a line tells. It counts as a callback: a call that would wait fails in it.
///
/// @param runtime    the runtime, or NULL for the shared one
/// @param level      how much is logged, TW_LOG_*; TW_LOG_OFF ends the log
/// @param log        the function; NULL ends the log
/// @param user_data  passed to both functions
/// @param drop       called once when nothing will be logged any more: by another call, a shutdown or
///                   the end of the runtime, or because this call failed; may be NULL
/// @param err        receives the error, may be NULL
/// @return TW_OK: the function before is not called any more; TW_ERR_TIMEOUT (the one before did not
///         return within 3 seconds: it gets the lines that wait and no later ones; try again),
///         TW_ERR_CLOSED (the runtime is shut down), TW_ERR_WOULD_DEADLOCK, TW_ERR_IO (no thread to be
///         had), TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: no, TW_ERR_WOULD_DEADLOCK. Blocks: while the function before runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_runtime_set_log(
    runtime: *mut tw_runtime,
    level: i32,
    log: tw_log_callback,
    user_data: *mut c_void,
    drop: Option<unsafe extern "C" fn(user_data: *mut c_void)>,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_runtime_set_log", err, || {
        let owner = Owner { drop, user_data };
        let level = named(level)?;
        let runtime = match handle::peek(runtime.cast_const()) {
            Some(runtime) => runtime.runtime.clone(),
            None => Runtime::shared()?,
        };
        let (Some(tell), Some(level)) = (log, level) else {
            return runtime.close_log(PATIENCE);
        };
        let sink = Sink { tell, owner };
        let tell = move |line: &Record| {
            // All of it: a part of it alone could not go to another thread.
            let Sink { tell, owner } = &sink;
            let text = Text::default();
            let message = text.get(|| Some(line.message.as_str().into()));
            // Safety: by contract callable; the text outlives the call.
            unsafe { tell(owner.user_data, line.level as i32, line.unix_ms, message) };
        };
        runtime.log_to(level, tell, PATIENCE)
    })
}

/// A function that gets the log has so long to return.
const PATIENCE: Duration = Duration::from_secs(3);

fn named(level: i32) -> Result<Option<Level>> {
    match level {
        TW_LOG_OFF => Ok(None),
        TW_LOG_ERROR => Ok(Some(Level::Error)),
        TW_LOG_WARN => Ok(Some(Level::Warn)),
        TW_LOG_INFO => Ok(Some(Level::Info)),
        TW_LOG_DEBUG => Ok(Some(Level::Debug)),
        TW_LOG_TRACE => Ok(Some(Level::Trace)),
        other => {
            let message = format!("`level` is one of TW_LOG_*, not {other}");
            Err(Error::new(Kind::Argument, message))
        }
    }
}
