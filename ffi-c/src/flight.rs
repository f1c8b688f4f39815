//! The flight recorder of a session.

use crate::error::{tw_error, tw_status};
use crate::guard;
use crate::handle::{self, Handle, Mark};
use crate::session::tw_session;
use crate::text::{Text, tw_str};

/// The last steps of a session as they were when they were read.
pub struct tw_flight {
    mark: Mark,
    record: String,
    text: Text,
}

impl Handle for tw_flight {
    const NOUN: &'static str = "tw_flight";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

/// Reads the flight recorder: the last steps of the session, oldest first, a JSON object in each line
/// with `at_ms`, `what` and `name`, and with `id`, `count`, `bytes` where there are any. It says what
/// was sent, received and decided, and nothing of what anybody said, nor a credential; so it may be
/// passed on. Also after the end. `flight_lines` of tw_config_set_json() says how many steps are kept,
/// `flight_dir` where they are written when the session ends in a way that nobody asked for.
///
/// @param session  the session
/// @param flight   receives the record; give it back with tw_flight_free()
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_flight_read(
    session: *const tw_session,
    flight: *mut *mut tw_flight,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_flight_read", err, || {
        let session = handle::borrow(session)?;
        handle::put(flight, "flight", || {
            Ok(handle::give(tw_flight {
                mark: Mark::default(),
                record: session.any().flight_record(),
                text: Text::default(),
            }))
        })
    })
}

/// The lines; they belong to the record. Empty for NULL.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_flight_text(flight: *const tw_flight) -> tw_str {
    guard::value("tw_flight_text", tw_str::EMPTY, || {
        handle::peek(flight).map_or(tw_str::EMPTY, |handle| {
            handle.text.get(|| Some(handle.record.as_str().into()))
        })
    })
}

/// Gives the record back. NULL is allowed.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_flight_free(flight: *mut tw_flight) {
    guard::release("tw_flight_free", || drop(handle::take(flight)));
}
