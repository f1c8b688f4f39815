//! The conversation written down.

use std::ffi::c_char;
use std::time::Duration;

use talkwire_core::transcript::Form;

use crate::error::{tw_error, tw_status};
use crate::guard;
use crate::handle::{self, Handle, Mark};
use crate::session::tw_session;
use crate::text::{self, Text, tw_str};

/// A conversation as it was when it was written down.
pub struct tw_transcript {
    mark: Mark,
    written: String,
    text: Text,
}

impl Handle for tw_transcript {
    const NOUN: &'static str = "tw_transcript";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

/// Writes the conversation so far down: as JSON (`segments` with `role`, `text`, `start_ms`,
/// `end_ms`, `item_id`, `is_final`), or for players as WebVTT or SubRip. Before the session is
/// closed: what is over has forgotten it.
///
/// @param session     the session
/// @param form        "json", "vtt" or "srt"
/// @param len         its bytes, or TW_NTS
/// @param timeout_ms  milliseconds to wait for the session
/// @param transcript  receives the transcript; give it back with tw_transcript_free()
/// @param err         receives the error, may be NULL
/// @return TW_OK, TW_ERR_TIMEOUT, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_WOULD_DEADLOCK (in a
///         callback), TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: no. Blocks: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_transcript_write(
    session: *mut tw_session,
    form: *const c_char,
    len: usize,
    timeout_ms: u32,
    transcript: *mut *mut tw_transcript,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_transcript_write", err, || {
        let session = handle::borrow(session)?.live()?;
        let form = Form::named(text::input(form, len, "form")?)?;
        handle::put(transcript, "transcript", || {
            let within = Duration::from_millis(timeout_ms.into());
            Ok(handle::give(tw_transcript {
                mark: Mark::default(),
                written: session.transcript_within(form, within)?,
                text: Text::default(),
            }))
        })
    })
}

/// The text; it belongs to the transcript. Empty for NULL.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_transcript_text(transcript: *const tw_transcript) -> tw_str {
    guard::value("tw_transcript_text", tw_str::EMPTY, || {
        handle::peek(transcript).map_or(tw_str::EMPTY, |handle| {
            handle.text.get(|| Some(handle.written.as_str().into()))
        })
    })
}

/// Gives the transcript back. NULL is allowed.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_transcript_free(transcript: *mut tw_transcript) {
    guard::release("tw_transcript_free", || drop(handle::take(transcript)));
}
