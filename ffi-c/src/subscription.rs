//! Readers of a part of what a session tells.

use std::ffi::{c_char, c_int};

use talkwire_core::{Error, Kind, Result, Subscription, SubscriptionOptions};

use crate::error::{TW_CLOSED, tw_error, tw_status};
use crate::event::tw_event;
use crate::guard;
use crate::handle::{self, Handle, Mark};
use crate::push::{Owner, Push, tw_callbacks};
use crate::session::{pull, tw_session};
use crate::text;

/// A reader of some topics of a session, with bounds of its own.
pub struct tw_subscription {
    mark: Mark,
    subscription: Subscription,
    is_pushed: bool,
}

impl Handle for tw_subscription {
    const NOUN: &'static str = "tw_subscription";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

impl tw_subscription {
    fn pulled(&self) -> Result<&Subscription> {
        if self.is_pushed {
            let message = "the events of this subscription go to callbacks";
            return Err(Error::new(Kind::Argument, message));
        }
        Ok(&self.subscription)
    }
}

/// What waits for a reader, and what was dropped because it was not read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct tw_backlog {
    /// Events that wait.
    pub events: u64,
    /// Bytes that they hold in memory, roughly.
    pub bytes: u64,
    /// Audio that was dropped so far, in milliseconds; TW_EVENT_AUDIO_GAP tells where.
    pub dropped_ms: u64,
    /// Frames that were dropped so far; `missed` of TW_EVENT_WIRE_FRAME tells where.
    pub dropped_frames: u64,
}

/// One more reader of a session, of some topics: it is told what happens from now on, and has bounds
/// of its own. Who is slow at reading one misses something in that one only.
///
/// The options are a JSON object: `topics`, which must be there, a list of
/// "audio" (sound of the agent and gaps in it),
/// "transcript" (words of either party), "control" (everything else), "raw" (TW_EVENT_WIRE_FRAME: each
/// frame in both directions, audio included, so keep it to yourself); `max_bytes` 2097152 (unread
/// bytes beyond which text is joined and the oldest audio and frames are dropped); `max_events` 20000
/// (unread events, audio and frames apart, at which the subscription ends with TW_ERR_SLOW_READER,
/// while the session goes on). What the session's own reader is told is chosen by `topics` of
/// tw_config_set_json().
///
/// With callbacks its events are pushed, as those of a session are; on_closed tells how it ended: with
/// its session, by tw_subscription_free(), or because it was too slow. Callbacks of two subscriptions,
/// or of one and its session, may run at the same time.
///
/// @param session       the session, which need not be open yet
/// @param options       JSON object
/// @param options_len   its bytes, or TW_NTS
/// @param callbacks     copied, or NULL to pull; when the call fails, its `drop` was called before the
///                      return, unless the struct itself was refused for its size
/// @param subscription  receives the subscription; give it back with tw_subscription_free()
/// @param err           receives the error, may be NULL
/// @return TW_OK, TW_ERR_CONFIG (no such topic or option), TW_ERR_REFUSED (more than 32),
///         TW_ERR_ARGUMENT, TW_ERR_CLOSED (the runtime is shut down), TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_subscription_open(
    session: *mut tw_session,
    options: *const c_char,
    options_len: usize,
    callbacks: *const tw_callbacks,
    subscription: *mut *mut tw_subscription,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_subscription_open", err, || {
        let owner = Owner::new(callbacks)?;
        let of = handle::borrow(session)?;
        let options =
            SubscriptionOptions::from_json(text::input(options, options_len, "options")?)?;
        handle::put(subscription, "subscription", || {
            let subscription = of.subscribe(options)?;
            let is_pushed = owner.is_some();
            if let Some(owner) = owner {
                let (session, delivery) = (handle::keep(of), owner.delivery);
                subscription.deliver_to(Box::new(Push { owner, session }), delivery)?;
            }
            Ok(handle::give(tw_subscription {
                mark: Mark::default(),
                subscription,
                is_pushed,
            }))
        })
    })
}

/// Takes the next event.
///
/// @param subscription  a subscription without callbacks
/// @param timeout_ms    milliseconds to wait for one; 0 only looks, TW_FOREVER waits for ever
/// @param event         receives the event; give it back with tw_event_free()
/// @param err           receives the error, may be NULL
/// @return TW_OK; TW_AGAIN: no event in that time; TW_CLOSED: no event any more;
///         TW_ERR_SLOW_READER: none any more, because they were not read in time;
///         TW_ERR_WOULD_DEADLOCK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes, each event goes to one caller. In a callback: only with timeout_ms 0. Blocks: up to timeout_ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_subscription_next_event(
    subscription: *mut tw_subscription,
    timeout_ms: u32,
    event: *mut *mut tw_event,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::status("tw_subscription_next_event", err, || {
        let subscription = handle::borrow(subscription)?.pulled()?;
        let status = pull(|within| subscription.next_within(within), timeout_ms, event)?;
        match subscription.end().filter(|_| status == TW_CLOSED) {
            Some(end) if end.why == Kind::SlowReader && !end.expected => Err(end.to_error()),
            _ => Ok(status),
        }
    })
}

/// A descriptor that is readable while an event, or the end, waits, for poll() and the like. It
/// belongs to the subscription: only poll it.
///
/// @param subscription  a subscription without callbacks
/// @param fd            receives the descriptor
/// @param err           receives the error, may be NULL
/// @return TW_OK, TW_ERR_IO (no descriptor to be had), TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_subscription_wakeup_fd(
    subscription: *mut tw_subscription,
    fd: *mut c_int,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_subscription_wakeup_fd", err, || {
        let subscription = handle::borrow(subscription)?.pulled()?;
        handle::put(fd, "fd", || subscription.wakeup_fd())
    })
}

/// What waits to be read, and what was dropped because it was not.
///
/// @param subscription  the subscription
/// @param backlog       receives the numbers
/// @param err           receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_subscription_backlog(
    subscription: *const tw_subscription,
    backlog: *mut tw_backlog,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_subscription_backlog", err, || {
        let now = handle::borrow(subscription)?.subscription.backlog();
        handle::put(backlog, "backlog", || {
            Ok(tw_backlog {
                events: now.events,
                bytes: now.bytes,
                dropped_ms: now.dropped_ms,
                dropped_frames: now.dropped_frames,
            })
        })
    })
}

/// Ends a subscription and gives it back. NULL is allowed. The session goes on. Its callbacks still
/// get what waits and their end, and `drop` comes after that. Legal in its own callbacks.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_subscription_free(subscription: *mut tw_subscription) {
    guard::release("tw_subscription_free", || {
        if let Some(subscription) = handle::take(subscription) {
            subscription.subscription.close();
        }
    });
}
