//! Sessions.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use talkwire_core::runtime::dispatch::in_callback;
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::session::Pending;
use talkwire_core::{Error, Kind, Result, Session};

use crate::config::tw_config;
use crate::end::tw_end;
use crate::error::{TW_AGAIN, TW_CLOSED, TW_OK, tw_error, tw_status};
use crate::event::tw_event;
use crate::guard;
use crate::handle::{self, Handle, Mark};
use crate::push::{Owner, Push, Silence, tw_callbacks};
use crate::runtime::tw_runtime;
use crate::text;

/// One conversation.
pub struct tw_session {
    mark: Mark,
    session: Session,
    /// There when events go to callbacks.
    pushed: Option<Arc<Silence>>,
    is_closing: AtomicBool,
}

impl Handle for tw_session {
    const NOUN: &'static str = "tw_session";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

impl tw_session {
    /// The session, as long as it takes commands.
    fn live(&self) -> Result<&Session> {
        if self.is_closing.load(Ordering::Acquire) || self.session.end().is_some() {
            return Err(Error::new(Kind::Closed, "the session is closed"));
        }
        Ok(&self.session)
    }

    fn close(&self, timeout_ms: u32) {
        if !self.is_closing.swap(true, Ordering::AcqRel) {
            self.session.close_within(millis(timeout_ms));
        }
    }

    fn pulled(&self) -> Result<&Session> {
        match self.pushed {
            None => Ok(&self.session),
            Some(_) => Err(Error::new(
                Kind::Argument,
                "the events of this session go to callbacks",
            )),
        }
    }
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

/// The body of the functions that send one command. An answer that nobody waits for comes as an
/// event if it is an error.
fn send(session: *mut tw_session, command: impl FnOnce(&Session) -> Result<Pending>) -> Result<()> {
    command(handle::borrow(session)?.live()?).map(drop)
}

// ---- life ---------------------------------------------------------------------------------------

/// Opens a session and returns at once; connecting goes on behind it. What is sent meanwhile waits
/// for the connection. A connection that fails is told by the end of the session.
///
/// With callbacks, events are pushed, possibly before this call returns: use the session that the
/// callback is given. Without (NULL), they are pulled by tw_session_next_event().
///
/// @param runtime    threads to use, or NULL for shared ones
/// @param config     copied; may be changed or freed afterwards
/// @param callbacks  copied, or NULL; when the call fails, its `drop` was called before the return,
///                   unless the struct itself was refused for its size
/// @param session    receives the session; give it back with tw_session_free()
/// @param err        receives the error, may be NULL
/// @return TW_OK; without having connected: TW_ERR_AUTH (no credential for another machine),
///         TW_ERR_REFUSED (a model name known to be wrong), TW_ERR_CONFIG, TW_ERR_TLS (unreadable
///         certificates), TW_ERR_CLOSED (the runtime is shut down), TW_ERR_IO, TW_ERR_ARGUMENT,
///         TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_open(
    runtime: *mut tw_runtime,
    config: *const tw_config,
    callbacks: *const tw_callbacks,
    session: *mut *mut tw_session,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_open", err, || {
        let owner = Owner::new(callbacks)?;
        handle::put(session, "session", || {
            let runtime = handle::peek(runtime.cast_const());
            let (client, options) =
                handle::borrow(config)?.ready(runtime.map(|r| r.runtime.clone()))?;
            open(&client.open(options)?, owner)
        })
    })
}

fn open(session: &Session, owner: Option<Owner>) -> Result<*mut tw_session> {
    let handle = Arc::new(tw_session {
        mark: Mark::default(),
        session: session.clone(),
        pushed: owner.as_ref().map(|owner| owner.silence.clone()),
        is_closing: AtomicBool::new(false),
    });
    if let Some(owner) = owner {
        let push = Push {
            owner,
            session: handle.clone(),
        };
        session.deliver_to(Box::new(push))?;
    }
    Ok(handle::give_ref(handle))
}

/// Asks for the end and returns at once: what was sent before still goes out, then the connection is
/// closed properly; a session that is not open yet is broken off. From now on sending fails with
/// TW_ERR_CLOSED. Closing twice is one close.
///
/// @param session     the session
/// @param timeout_ms  milliseconds for all of it; 0 breaks off
/// @param err         receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_close(
    session: *mut tw_session,
    timeout_ms: u32,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_close", err, || {
        handle::borrow(session)?.close(timeout_ms);
        Ok(())
    })
}

/// tw_session_close(), and waits until it is over: with callbacks until `drop` has returned, so that
/// nothing is called any more; without, until the end is known (events that wait can still be read).
///
/// @param session     the session
/// @param timeout_ms  milliseconds for closing and for the wait
/// @param err         receives the error, may be NULL
/// @return TW_OK, TW_ERR_TIMEOUT (the close goes on), TW_ERR_WOULD_DEADLOCK, TW_ERR_ARGUMENT,
///         TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: no, TW_ERR_WOULD_DEADLOCK. Blocks: up to timeout_ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_close_wait(
    session: *mut tw_session,
    timeout_ms: u32,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_close_wait", err, || {
        let session = handle::borrow(session)?;
        if in_callback() {
            let message = "a callback cannot wait for the end of a session";
            return Err(Error::new(Kind::WouldDeadlock, message));
        }
        session.close(timeout_ms);
        // What the closing handshake may take, and a moment for the threads to tell of it.
        let within = millis(timeout_ms.saturating_add(WAIT_MARGIN_MS));
        let is_over = match &session.pushed {
            Some(silence) => silence.wait(within),
            None => session.session.ended_within(within)?.is_some(),
        };
        if is_over {
            return Ok(());
        }
        let message = "the session did not end in time";
        Err(Error::new(Kind::Timeout, message))
    })
}

/// A session that is broken off at its deadline still has to tell its end across two threads.
const WAIT_MARGIN_MS: u32 = 1_000;

/// How the session ended, once it has.
///
/// @param session  the session
/// @param end      receives the end; give it back with tw_end_free()
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_AGAIN (it goes on), TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_end(
    session: *const tw_session,
    end: *mut *mut tw_end,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::status("tw_session_end", err, || {
        let Some(how) = handle::borrow(session)?.session.end() else {
            return Ok(TW_AGAIN);
        };
        handle::put(end, "end", || Ok(handle::give(tw_end::new(how))))?;
        Ok(TW_OK)
    })
}

/// Gives a session back. NULL is allowed. One that was not closed is broken off; its callbacks still
/// get their end, and `drop` comes after that. Legal in the session's own callbacks.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_free(session: *mut tw_session) {
    guard::release("tw_session_free", || {
        if let Some(session) = handle::take(session) {
            session.close(0);
            // Callbacks that are still to come hold the object, but the caller must not use it.
            if session.pushed.is_none() {
                session.mark.retire();
            }
        }
    });
}

// ---- events -------------------------------------------------------------------------------------

/// Takes the next event.
///
/// @param session     a session without callbacks
/// @param timeout_ms  milliseconds to wait for one; 0 only looks, TW_FOREVER waits for ever
/// @param event       receives the event; give it back with tw_event_free()
/// @param err         receives the error, may be NULL
/// @return TW_OK; TW_AGAIN: no event in that time; TW_CLOSED: no event any more, see
///         tw_session_end(); TW_ERR_WOULD_DEADLOCK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes, each event goes to one caller. In a callback: only with timeout_ms 0. Blocks: up to timeout_ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_next_event(
    session: *mut tw_session,
    timeout_ms: u32,
    event: *mut *mut tw_event,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::status("tw_session_next_event", err, || {
        let session = handle::borrow(session)?.pulled()?;
        let mut status = TW_OK;
        if event.is_null() {
            return Err(Error::new(Kind::Argument, "`event` is NULL"));
        }
        loop {
            match session.next_within(millis(timeout_ms))? {
                Next::Event(next) => {
                    let next = || Ok(handle::give(tw_event::new(next)));
                    handle::put(event, "event", next)?;
                }
                Next::Empty if timeout_ms == FOREVER => continue,
                Next::Empty => status = TW_AGAIN,
                Next::End(_) => status = TW_CLOSED,
            }
            return Ok(status);
        }
    })
}

/// TW_FOREVER of the header.
const FOREVER: u32 = u32::MAX;

/// A descriptor that is readable while an event, or the end, waits, for poll() and the like. It
/// belongs to the session: only poll it. After it became readable, call tw_session_next_event() with
/// timeout 0 until TW_AGAIN.
///
/// @param session  a session without callbacks
/// @param fd       receives the descriptor
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_IO (no descriptor to be had), TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_wakeup_fd(
    session: *mut tw_session,
    fd: *mut c_int,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_wakeup_fd", err, || {
        let session = handle::borrow(session)?.pulled()?;
        handle::put(fd, "fd", || session.wakeup_fd())
    })
}

// ---- commands -----------------------------------------------------------------------------------

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
