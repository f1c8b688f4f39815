//! Whose turn it is: wishes for a response, interruption, and what was heard.

use std::ffi::c_char;

use talkwire_core::options::WhenBusy;
use talkwire_core::{Error, Kind};

use crate::error::{tw_error, tw_status};
use crate::guard;
use crate::handle;
use crate::session::tw_session;
use crate::text;

/// The wish waits for its turn.
pub const TW_WHEN_BUSY_QUEUE: i32 = 0;
/// It waits, and wishes for the same get one response together. What tw_session_respond() does.
pub const TW_WHEN_BUSY_MERGE: i32 = 1;
/// What runs is cancelled, what waits is dropped, and the wish comes next.
pub const TW_WHEN_BUSY_REPLACE: i32 = 2;
/// It is refused.
pub const TW_WHEN_BUSY_REFUSE: i32 = 3;

/// Asks for a response, and says what becomes of the wish while the conversation has one that runs.
/// A wish that comes to nothing is told by TW_EVENT_PROTOCOL_FAULT.
///
/// @param session    the session
/// @param overrides  NULL, or a JSON object with fields of the wire's `response`, for this one only
/// @param len        its bytes, or TW_NTS
/// @param when_busy  one of TW_WHEN_BUSY_QUEUE, _MERGE, _REPLACE, _REFUSE
/// @param err        receives the error, may be NULL
/// @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_respond_when(
    session: *mut tw_session,
    overrides: *const c_char,
    len: usize,
    when_busy: i32,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_respond_when", err, || {
        let when_busy = match when_busy {
            TW_WHEN_BUSY_QUEUE => WhenBusy::Queue,
            TW_WHEN_BUSY_MERGE => WhenBusy::Merge,
            TW_WHEN_BUSY_REPLACE => WhenBusy::Replace,
            TW_WHEN_BUSY_REFUSE => WhenBusy::Refuse,
            _ => return Err(Error::new(Kind::Argument, "when_busy: no such policy")),
        };
        let overrides = text::optional(overrides, len, "overrides")?;
        let overrides = overrides.map(|o| text::json(o, "overrides")).transpose()?;
        let session = handle::borrow(session)?.live()?;
        session.respond_when(overrides, when_busy).map(drop)
    })
}

/// Decides an interruption that TW_EVENT_BARGE_IN_HELD told of, or interrupts the agent by the
/// host's own judgement. What was not heard is dropped here and at the server.
///
/// @param session  the session
/// @param is_one   not 0: it is an interruption; 0: it is none, and the agent goes on
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED; that there is
///         nothing to interrupt is told by TW_EVENT_PROTOCOL_FAULT
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_interrupt(
    session: *mut tw_session,
    is_one: i32,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_interrupt", err, || {
        let session = handle::borrow(session)?.live()?;
        session.interrupt(is_one != 0).map(drop)
    })
}

/// Tells how much of an agent's audio was heard, for a host that plays the events' audio by itself
/// and owns the queue (a telephone server with marks). The first such call makes the session count
/// what is heard, so that an interruption cuts the answer there. With a media port (`tw_call_*`) it
/// is not needed.
///
/// @param session        the session
/// @param item_id        the item, see tw_event_item_id()
/// @param len            its bytes, or TW_NTS
/// @param content_index  the part, 0 for the first
/// @param heard_ms       milliseconds from the beginning of the part
/// @param err            receives the error, may be NULL
/// @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_played(
    session: *mut tw_session,
    item_id: *const c_char,
    len: usize,
    content_index: u32,
    heard_ms: u64,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_played", err, || {
        let item_id = text::input(item_id, len, "item_id")?;
        let session = handle::borrow(session)?.live()?;
        session.played(item_id, content_index, heard_ms)
    })
}
