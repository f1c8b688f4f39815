//! Sessions.

use std::borrow::Cow;
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use talkwire_core::runtime::dispatch::in_callback;
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::{Error, Kind, Result, Session, Subscription, SubscriptionOptions};

use crate::config::tw_config;
use crate::end::tw_end;
use crate::error::{TW_AGAIN, TW_CLOSED, TW_OK, tw_error, tw_status};
use crate::event::tw_event;
use crate::guard;
use crate::handle::{self, Handle, Mark};
use crate::push::{Owner, Push, Silence, tw_callbacks};
use crate::runtime::tw_runtime;
use crate::text::{Text, tw_str};

/// One conversation.
pub struct tw_session {
    mark: Mark,
    session: Session,
    /// There when events go to callbacks.
    pushed: Option<Arc<Silence>>,
    is_closing: AtomicBool,
    capabilities: Text,
}

impl Handle for tw_session {
    const NOUN: &'static str = "tw_session";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

impl tw_session {
    /// The session, as long as it takes commands.
    pub(crate) fn live(&self) -> Result<&Session> {
        if self.is_closing.load(Ordering::Acquire) || self.session.end().is_some() {
            return Err(Error::new(Kind::Closed, "the session is closed"));
        }
        Ok(&self.session)
    }

    /// The session, also when it is over: for whoever only looks.
    pub(crate) fn any(&self) -> &Session {
        &self.session
    }

    /// One more reader; of a session that is over it only gets the end.
    pub(crate) fn subscribe(&self, options: SubscriptionOptions) -> Result<Subscription> {
        self.session.subscribe(options)
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
        capabilities: Text::default(),
    });
    if let Some(owner) = owner {
        let delivery = owner.delivery;
        let push = Push {
            owner,
            session: handle.clone(),
        };
        session.deliver_to(Box::new(push), delivery)?;
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
/// @param timeout_ms  milliseconds for closing; then it is broken off, which has a second to be told
/// @param err         receives the error, may be NULL
/// @return TW_OK, TW_ERR_TIMEOUT (the close goes on), TW_ERR_WOULD_DEADLOCK, TW_ERR_ARGUMENT,
///         TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: no, TW_ERR_WOULD_DEADLOCK. Blocks: up to timeout_ms + 1000.
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

/// What the dialect of the session says it can do, as a JSON object with the keys `dialect`, `caps`,
/// `limits`, `voices` and `server_tools`. Known from the start, also without a connection, and the
/// same to the end. What it does not name may still work. Belongs to the session.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_capabilities(session: *const tw_session) -> tw_str {
    guard::value("tw_session_capabilities", tw_str::EMPTY, || {
        handle::peek(session).map_or(tw_str::EMPTY, |s| {
            let json = || Cow::Owned(s.session.capabilities().to_string());
            s.capabilities.get(|| Some(json()))
        })
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
            // The caller must not use it any more, but callbacks that are still to come are given it.
            if Arc::strong_count(&session) == 1 {
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
        pull(|within| session.next_within(within), timeout_ms, event)
    })
}

/// Takes the next event from a mailbox.
pub(crate) fn pull(
    next: impl Fn(Duration) -> Result<Next>,
    timeout_ms: u32,
    event: *mut *mut tw_event,
) -> Result<tw_status> {
    if event.is_null() {
        return Err(Error::new(Kind::Argument, "`event` is NULL"));
    }
    loop {
        match next(millis(timeout_ms))? {
            Next::Event(next) => {
                let next = || Ok(handle::give(tw_event::new(next)));
                handle::put(event, "event", next)?;
                return Ok(TW_OK);
            }
            Next::Empty if timeout_ms == FOREVER => {}
            Next::Empty => return Ok(TW_AGAIN),
            Next::End(_) => return Ok(TW_CLOSED),
        }
    }
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
