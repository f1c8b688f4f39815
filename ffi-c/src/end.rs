//! How a session ended.

use std::borrow::Cow;
use std::sync::OnceLock;

use talkwire_core::{End, Kind};

use crate::error::{self, TW_ERR_ARGUMENT, TW_ERR_PANIC, TW_WHO_NOBODY, tw_error, tw_status};
use crate::guard;
use crate::handle::{self, Handle, Mark};
use crate::text::{Text, tw_str};

/// How a session ended: who, why, whether it was expected, and what was never sent.
pub struct tw_end {
    mark: Mark,
    end: End,
    message: Text,
    json: Text,
    error: OnceLock<Option<tw_error>>,
}

impl Handle for tw_end {
    const NOUN: &'static str = "tw_end";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

impl tw_end {
    pub(crate) fn new(end: End) -> Self {
        Self {
            mark: Mark::default(),
            end,
            message: Text::default(),
            json: Text::default(),
            error: OnceLock::new(),
        }
    }
}

/// Who ended the session: a TW_WHO_*.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_end_who(end: *const tw_end) -> i32 {
    guard::value("tw_end_who", TW_WHO_NOBODY, || {
        handle::peek(end).map_or(TW_WHO_NOBODY, |e| error::who_number(e.end.who))
    })
}

/// Why: a TW_ERR_*, of which TW_ERR_CLOSED is the normal end.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_end_why(end: *const tw_end) -> tw_status {
    guard::value("tw_end_why", TW_ERR_PANIC, || {
        handle::peek(end).map_or(TW_ERR_ARGUMENT, |e| e.end.why as tw_status)
    })
}

/// The code of the WebSocket close frame, or 0 if none was seen.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_end_code(end: *const tw_end) -> i32 {
    guard::value("tw_end_code", 0, || {
        let code = handle::peek(end).and_then(|e| e.end.close_code);
        code.map_or(0, i32::from)
    })
}

/// The HTTP status if the upgrade was refused, or 0.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_end_http_status(end: *const tw_end) -> i32 {
    guard::value("tw_end_http_status", 0, || {
        let status = handle::peek(end).and_then(|e| e.end.http_status);
        status.map_or(0, i32::from)
    })
}

/// Whether the application asked for it.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_end_expected(end: *const tw_end) -> bool {
    guard::value("tw_end_expected", false, || {
        handle::peek(end).is_some_and(|e| e.end.expected)
    })
}

/// Whether somebody was speaking, a response was running or a function call was unanswered.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_end_mid_turn(end: *const tw_end) -> bool {
    guard::value("tw_end_mid_turn", false, || {
        handle::peek(end).is_some_and(|e| e.end.mid_turn)
    })
}

/// Milliseconds of audio that were taken from the application and never sent.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_end_unsent_audio_ms(end: *const tw_end) -> u64 {
    guard::value("tw_end_unsent_audio_ms", 0, || {
        handle::peek(end).map_or(0, |e| e.end.unsent.audio_ms)
    })
}

/// Commands that were taken from the application and never sent.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_end_unsent_commands(end: *const tw_end) -> u64 {
    guard::value("tw_end_unsent_commands", 0, || {
        handle::peek(end).map_or(0, |e| e.end.unsent.commands)
    })
}

/// A sentence for people. Belongs to the end.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_end_message(end: *const tw_end) -> tw_str {
    guard::value("tw_end_message", tw_str::EMPTY, || {
        let Some(e) = handle::peek(end) else {
            return tw_str::EMPTY;
        };
        e.message.get(|| Some(Cow::Borrowed(&e.end.message)))
    })
}

/// All of it as one line of JSON: who, why, code, http_status, expected, mid_turn, unsent, message.
/// Belongs to the end.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_end_json(end: *const tw_end) -> tw_str {
    guard::value("tw_end_json", tw_str::EMPTY, || {
        let Some(e) = handle::peek(end) else {
            return tw_str::EMPTY;
        };
        e.json.get(|| Some(e.end.to_json().to_string().into()))
    })
}

/// The error behind the end, with the server's own words, or NULL if it was a normal end. Belongs to
/// the end: do not free it.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_end_error(end: *const tw_end) -> *const tw_error {
    guard::value("tw_end_error", std::ptr::null(), || {
        let Some(e) = handle::peek(end) else {
            return std::ptr::null();
        };
        let is_normal = e.end.why == Kind::Closed && e.end.error.is_none();
        let error = e
            .error
            .get_or_init(|| (!is_normal).then(|| tw_error::new(e.end.to_error())));
        error.as_ref().map_or(std::ptr::null(), |e| e)
    })
}

/// Keeps an end beyond its callback; returns it. Needs one tw_end_free() more.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_end_retain(end: *const tw_end) -> *mut tw_end {
    guard::value("tw_end_retain", std::ptr::null_mut(), || {
        handle::retain(end)
    })
}

/// Gives an end back. NULL is allowed.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_end_free(end: *mut tw_end) {
    guard::release("tw_end_free", || drop(handle::take(end)));
}
