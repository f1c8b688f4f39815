//! Statuses and error objects.

use std::borrow::Cow;
use std::ffi::{CString, c_char};
use std::sync::LazyLock;

use talkwire_core::{Error, Kind, Retry, Who};

use crate::guard;
use crate::handle::{self, Handle, Mark};
use crate::text::{Text, tw_str};

/// What a call returns: TW_OK, another positive answer, or a negative TW_ERR_*.
pub type tw_status = i32;

/// It is done.
pub const TW_OK: tw_status = 0;
/// No event yet: not an error.
pub const TW_AGAIN: tw_status = 1;
/// No event any more, the session has ended: not an error.
pub const TW_CLOSED: tw_status = 2;

/// An argument is missing, out of range or not valid UTF-8.
pub const TW_ERR_ARGUMENT: tw_status = -1;
/// The session is closed or closing; as the reason of an end: the normal one.
pub const TW_ERR_CLOSED: tw_status = -2;
/// The call would wait for itself: a blocking call inside a callback.
pub const TW_ERR_WOULD_DEADLOCK: tw_status = -3;
/// The process forked after the library started its threads.
pub const TW_ERR_FORKED: tw_status = -4;
/// A queue is full; nothing was taken.
pub const TW_ERR_QUEUE_FULL: tw_status = -5;
/// A deadline passed.
pub const TW_ERR_TIMEOUT: tw_status = -6;
/// The dialect of this endpoint cannot do that.
pub const TW_ERR_UNSUPPORTED: tw_status = -7;
/// The dialect's table knows the value to be wrong; nothing was sent.
pub const TW_ERR_REFUSED: tw_status = -8;
/// A configuration, dialect table or script has an error.
pub const TW_ERR_CONFIG: tw_status = -9;
/// No connection could be made.
pub const TW_ERR_UNREACHABLE: tw_status = -10;
/// The TLS certificate or handshake failed.
pub const TW_ERR_TLS: tw_status = -11;
/// The server answered the WebSocket upgrade with something else.
pub const TW_ERR_HANDSHAKE: tw_status = -12;
/// The credential is missing, wrong or without the needed role.
pub const TW_ERR_AUTH: tw_status = -13;
/// The endpoint, folder or model does not exist.
pub const TW_ERR_NOT_FOUND: tw_status = -14;
/// A quota or rate limit was hit.
pub const TW_ERR_RATE_LIMITED: tw_status = -15;
/// The peer broke the protocol.
pub const TW_ERR_PROTOCOL: tw_status = -16;
/// The server reported an error event.
pub const TW_ERR_SERVER: tw_status = -17;
/// The session reached its maximum duration.
pub const TW_ERR_EXPIRED: tw_status = -18;
/// The connection was lost without a closing handshake.
pub const TW_ERR_LOST: tw_status = -19;
/// The server closed the connection although nobody asked.
pub const TW_ERR_SERVER_CLOSED: tw_status = -20;
/// The server closed for a reason that will not go away: policy, bad model, withdrawn API.
pub const TW_ERR_FATAL: tw_status = -21;
/// The server is overloaded or shutting down.
pub const TW_ERR_OVERLOADED: tw_status = -22;
/// Events were not read and the hard bound of the mailbox was reached.
pub const TW_ERR_SLOW_READER: tw_status = -23;
/// The call was cancelled before it had an answer.
pub const TW_ERR_CANCELLED: tw_status = -24;
/// A file could not be read or written.
pub const TW_ERR_IO: tw_status = -25;
/// A bug in this library; it was contained.
pub const TW_ERR_PANIC: tw_status = -26;
/// Two threads called a function that is for one thread at a time; nothing was done.
pub const TW_ERR_BUSY: tw_status = -27;

/// Nobody is known to blame.
pub const TW_WHO_NOBODY: i32 = 0;
/// The application that uses this library.
pub const TW_WHO_APP: i32 = 1;
/// This library.
pub const TW_WHO_LIBRARY: i32 = 2;
/// The server at the other end.
pub const TW_WHO_SERVER: i32 = 3;
/// Whatever lies between us and the server.
pub const TW_WHO_NETWORK: i32 = 4;

/// What went wrong, whose fault it is, and the server's own words.
pub struct tw_error {
    mark: Mark,
    error: Error,
    message: Text,
    provider_code: Text,
    provider_type: Text,
    provider_param: Text,
    event_id: Text,
    body: Text,
}

impl Handle for tw_error {
    const NOUN: &'static str = "tw_error";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

impl tw_error {
    pub(crate) fn new(error: Error) -> Self {
        Self {
            mark: Mark::default(),
            error,
            message: Text::default(),
            provider_code: Text::default(),
            provider_type: Text::default(),
            provider_param: Text::default(),
            event_id: Text::default(),
            body: Text::default(),
        }
    }
}

/// Gives an error to the caller, if there is room for it, and returns its status.
pub(crate) fn report(error: Error, err: *mut *mut tw_error) -> tw_status {
    let status = error.kind() as tw_status;
    if !err.is_null() {
        // Safety: not NULL, and by contract it points to room for a pointer.
        unsafe { err.write(handle::give(tw_error::new(error))) };
    }
    status
}

/// The number that C knows somebody by.
pub(crate) fn who_number(who: Who) -> i32 {
    match who {
        Who::App => TW_WHO_APP,
        Who::Library => TW_WHO_LIBRARY,
        Who::Server => TW_WHO_SERVER,
        Who::Network => TW_WHO_NETWORK,
        _ => TW_WHO_NOBODY,
    }
}

/// The kind of error that a status is, if it is one.
pub(crate) fn kind_of(status: tw_status) -> Option<Kind> {
    let is_it = |kind: &&Kind| **kind as tw_status == status;
    Kind::ALL.iter().find(is_it).copied()
}

static KIND_NAMES: LazyLock<Vec<(tw_status, CString)>> = LazyLock::new(|| {
    let name = |kind: &Kind| {
        let text = CString::new(kind.name()).expect("a name holds no NUL");
        (*kind as tw_status, text)
    };
    Kind::ALL.iter().map(name).collect()
});

/// The lower-case name of a status, for example "queue_full"; "unknown" for a number that is none.
/// Static; never freed.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn tw_status_name(status: tw_status) -> *const c_char {
    guard::value("tw_status_name", c"unknown".as_ptr(), || match status {
        TW_OK => c"ok".as_ptr(),
        TW_AGAIN => c"again".as_ptr(),
        TW_CLOSED => c"ended".as_ptr(),
        _ => KIND_NAMES
            .iter()
            .find(|(number, _)| *number == status)
            .map_or(c"unknown".as_ptr(), |(_, name)| name.as_ptr()),
    })
}

/// The lower-case name of a TW_WHO_*: "app", "library", "server", "network", else "nobody".
/// Static; never freed.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn tw_who_name(who: i32) -> *const c_char {
    guard::value("tw_who_name", c"nobody".as_ptr(), || match who {
        TW_WHO_APP => c"app".as_ptr(),
        TW_WHO_LIBRARY => c"library".as_ptr(),
        TW_WHO_SERVER => c"server".as_ptr(),
        TW_WHO_NETWORK => c"network".as_ptr(),
        _ => c"nobody".as_ptr(),
    })
}

/// The status of an error, always negative; TW_OK for NULL.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_error_code(error: *const tw_error) -> tw_status {
    guard::value("tw_error_code", TW_ERR_PANIC, || {
        handle::peek(error).map_or(TW_OK, |e| e.error.kind() as tw_status)
    })
}

/// tw_status_name() of its status. Static; never freed.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_error_name(error: *const tw_error) -> *const c_char {
    guard::value("tw_error_name", c"unknown".as_ptr(), || {
        tw_status_name(handle::peek(error).map_or(TW_OK, |e| e.error.kind() as tw_status))
    })
}

/// A sentence for people, without the name of the status. Belongs to the error.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_error_message(error: *const tw_error) -> tw_str {
    guard::value("tw_error_message", tw_str::EMPTY, || {
        let Some(e) = handle::peek(error) else {
            return tw_str::EMPTY;
        };
        e.message.get(|| Some(Cow::Borrowed(e.error.message())))
    })
}

/// Whose fault it is: a TW_WHO_*.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_error_who(error: *const tw_error) -> i32 {
    guard::value("tw_error_who", TW_WHO_NOBODY, || {
        handle::peek(error).map_or(TW_WHO_NOBODY, |e| who_number(e.error.who()))
    })
}

/// Whether the same call may succeed later.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_error_is_retryable(error: *const tw_error) -> bool {
    guard::value("tw_error_is_retryable", false, || {
        handle::peek(error).is_some_and(|e| e.error.retry() == Retry::Later)
    })
}

/// The server's own code, for example "invalid_value". Belongs to the error.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_error_provider_code(error: *const tw_error) -> tw_str {
    guard::value("tw_error_provider_code", tw_str::EMPTY, || {
        said(error, |e| (&e.provider_code, &e.error.provider().code))
    })
}

/// The server's own class, for example "invalid_request_error". Belongs to the error.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_error_provider_type(error: *const tw_error) -> tw_str {
    guard::value("tw_error_provider_type", tw_str::EMPTY, || {
        said(error, |e| (&e.provider_type, &e.error.provider().kind))
    })
}

/// The path of the field that the server complains about. Belongs to the error.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_error_provider_param(error: *const tw_error) -> tw_str {
    guard::value("tw_error_provider_param", tw_str::EMPTY, || {
        said(error, |e| (&e.provider_param, &e.error.provider().param))
    })
}

/// The `event_id` of the client event that caused it. Belongs to the error.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_error_event_id(error: *const tw_error) -> tw_str {
    guard::value("tw_error_event_id", tw_str::EMPTY, || {
        said(error, |e| (&e.event_id, &e.error.provider().event_id))
    })
}

/// The body of a refused upgrade, at most 4 KiB. Belongs to the error.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_error_body(error: *const tw_error) -> tw_str {
    guard::value("tw_error_body", tw_str::EMPTY, || {
        said(error, |e| (&e.body, &e.error.provider().body))
    })
}

/// The HTTP status of a refused upgrade, or 0.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_error_http_status(error: *const tw_error) -> i32 {
    guard::value("tw_error_http_status", 0, || {
        let status = handle::peek(error).and_then(|e| e.error.provider().http_status);
        status.map_or(0, i32::from)
    })
}

/// The code of the WebSocket close frame, or 0.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_error_close_code(error: *const tw_error) -> i32 {
    guard::value("tw_error_close_code", 0, || {
        let code = handle::peek(error).and_then(|e| e.error.provider().close_code);
        code.map_or(0, i32::from)
    })
}

/// Gives an error back. NULL is allowed.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_error_free(error: *mut tw_error) {
    guard::release("tw_error_free", || drop(handle::take(error)));
}

fn said(
    error: *const tw_error,
    field: impl for<'a> FnOnce(&'a tw_error) -> (&'a Text, &'a Option<String>),
) -> tw_str {
    let Some(error) = handle::peek(error) else {
        return tw_str::EMPTY;
    };
    let (cache, value) = field(error);
    cache.get(|| value.as_deref().map(Cow::Borrowed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    /// The constants of this file, read from its text: C sees those and nothing else.
    fn constants() -> Vec<(String, tw_status)> {
        let lines = include_str!("error.rs").lines();
        let errors = lines.filter_map(|l| l.strip_prefix("pub const TW_ERR_"));
        errors
            .map(|line| {
                let (name, rest) = line.split_once(": tw_status = ").expect("a status");
                let number = rest.trim_end_matches(';').parse().expect("a number");
                (name.to_lowercase(), number)
            })
            .collect()
    }

    #[test]
    fn the_constants_are_the_kinds_of_the_core() {
        let kinds: Vec<_> = Kind::ALL
            .iter()
            .map(|kind| (kind.name().to_owned(), *kind as tw_status))
            .collect();
        assert_eq!(constants(), kinds);
    }

    #[test]
    fn every_status_has_its_name() {
        for (name, number) in constants() {
            // Safety: a static text.
            let text = unsafe { CStr::from_ptr(tw_status_name(number)) };
            assert_eq!(text.to_str(), Ok(name.as_str()));
        }
    }
}
