//! What a session is told: settings, sound, text, answers.

use std::ffi::{c_char, c_void};

use bytes::Bytes;
use talkwire_core::session::Pending;
use talkwire_core::{Result, Session};

use crate::error::{tw_error, tw_status};
use crate::guard;
use crate::handle;
use crate::session::tw_session;
use crate::text;

/// The body of the functions that send one command. An answer that nobody waits for comes as an
/// event if it is an error.
fn send(session: *mut tw_session, command: impl FnOnce(&Session) -> Result<Pending>) -> Result<()> {
    command(handle::borrow(session)?.live()?).map(drop)
}

/// Changes settings: keys that are absent keep their values, null clears. The server answers with
/// TW_EVENT_SESSION_UPDATED.
///
/// @param session  the session
/// @param patch    JSON object in the shape of `session.update`
/// @param len      its bytes, or TW_NTS
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT (also for text that is no JSON object), TW_ERR_CLOSED,
///         TW_ERR_QUEUE_FULL, TW_ERR_FORKED; what the dialect refuses comes as
///         TW_EVENT_PROTOCOL_FAULT
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_update(
    session: *mut tw_session,
    patch: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_update", err, || {
        let patch = text::input(patch, len, "patch")?;
        send(session, |s| s.update(text::json(patch, "patch")?))
    })
}

/// Appends audio of the customer. The bytes are copied.
///
/// @param session  the session
/// @param audio    whole samples, mono, in the input format of the session (PCM16: little-endian)
/// @param len      bytes
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL (nothing was taken), TW_ERR_ARGUMENT,
///         TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_append(
    session: *mut tw_session,
    audio: *const c_void,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_append", err, || {
        let session = handle::borrow(session)?.live()?;
        match text::bytes(audio.cast(), len, "audio")? {
            [] => Ok(()),
            audio => session.append(Bytes::copy_from_slice(audio)),
        }
    })
}

/// Makes a turn of the audio appended so far. Asks for no response.
///
/// @param session  the session
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED; an empty turn is
///         refused by TW_EVENT_PROTOCOL_FAULT or TW_EVENT_ERROR
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_commit(
    session: *mut tw_session,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_commit", err, || send(session, Session::commit))
}

/// Forgets the audio appended since the last turn.
///
/// @param session  the session
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_clear(
    session: *mut tw_session,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_clear", err, || send(session, Session::clear))
}

/// Puts a text of the customer into the conversation. Asks for no response.
///
/// @param session  the session
/// @param text     the text
/// @param len      its bytes, or TW_NTS
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_send_text(
    session: *mut tw_session,
    text: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_send_text", err, || {
        let text = text::input(text, len, "text")?;
        send(session, |s| s.send_text(text))
    })
}

/// Sends any event of the protocol, by its current name; unknown types and fields pass as they are.
///
/// @param session  the session
/// @param json     a JSON object with a `type`
/// @param len      its bytes, or TW_NTS
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT (also for text that is no JSON
///         object), TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_send_json(
    session: *mut tw_session,
    json: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_send_json", err, || {
        let json = text::input(json, len, "json")?;
        // The engine would tell too, but later and as an event.
        text::json::<Object>(json, "json")?;
        send(session, |s| s.send_json(json))
    })
}

/// Any JSON object, read without keeping it.
#[derive(serde::Deserialize)]
struct Object {
    #[serde(rename = "type")]
    _type: serde::de::IgnoredAny,
}

/// Asks for a response.
///
/// @param session    the session
/// @param overrides  NULL, or a JSON object with fields of the wire's `response`, for this one only
/// @param len        its bytes, or TW_NTS
/// @param err        receives the error, may be NULL
/// @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_respond(
    session: *mut tw_session,
    overrides: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_respond", err, || {
        let overrides = text::optional(overrides, len, "overrides")?;
        let overrides = overrides.map(|o| text::json(o, "overrides")).transpose()?;
        send(session, |s| s.respond(overrides))
    })
}

/// Stops a response.
///
/// @param session      the session
/// @param response_id  the response, or NULL for the one that runs
/// @param len          its bytes, or TW_NTS
/// @param err          receives the error, may be NULL
/// @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_cancel(
    session: *mut tw_session,
    response_id: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_cancel", err, || {
        let id = text::optional(response_id, len, "response_id")?;
        send(session, |s| s.cancel(id.map(str::to_owned)))
    })
}

/// Answers a function call. Asks for no response.
///
/// @param session      the session
/// @param call_id      the call, see tw_event_call_id()
/// @param call_id_len  its bytes, or TW_NTS
/// @param output       what the function returned, usually JSON text
/// @param output_len   its bytes, or TW_NTS
/// @param err          receives the error, may be NULL
/// @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_answer_call(
    session: *mut tw_session,
    call_id: *const c_char,
    call_id_len: usize,
    output: *const c_char,
    output_len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_answer_call", err, || {
        let call_id = text::input(call_id, call_id_len, "call_id")?;
        let output = text::input(output, output_len, "output")?;
        send(session, |s| s.answer_call(call_id, output))
    })
}
