//! The recording of a session.

use std::ffi::c_char;
use std::time::Duration;

use talkwire_core::{Recorder, RecorderOptions};

use crate::error::{tw_error, tw_status};
use crate::guard;
use crate::handle::{self, Handle, Mark};
use crate::session::tw_session;
use crate::text;

/// A recording: a WAV file, and notes in JSON beside it.
pub struct tw_recorder {
    mark: Mark,
    recorder: Recorder,
}

impl Handle for tw_recorder {
    const NOUN: &'static str = "tw_recorder";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

/// Records a call into a WAV file (PCM16), replacing what is there: the customer as pushed on the
/// left, the agent on the right as the host pulled it, with its cuts and silences. Beside it stands
/// NAME.json: `segments` (`role`, `text`, `start_ms`, `end_ms`, `item_id`, `is_final`), `barge_ins`,
/// `cuts` (`item_id`, `heard_ms`), `gaps`, `end`; all times are milliseconds of the recording. Both
/// files are readable at any time, also when this process is killed, and lack at most their last
/// second. The recording begins with the media port if one is attached, else when one is, and ends
/// with the session, which has one recording at a time. A full disk ends the recording, which
/// TW_EVENT_PROTOCOL_FAULT tells, and never the session.
///
/// The options are a JSON object: `rate_hz`, 8000 to 48000; without it the higher rate of the media
/// port, or 24000 when none is attached yet.
///
/// @param session      the session
/// @param path         the WAV file
/// @param path_len     bytes of the path, or TW_NTS
/// @param options      JSON object, or NULL
/// @param options_len  its bytes, or TW_NTS
/// @param recorder     receives the recording; give it back with tw_recorder_free()
/// @param err          receives the error, may be NULL
/// @return TW_OK, TW_ERR_IO (the file cannot be written, or is no regular one), TW_ERR_ARGUMENT
///         (also when there is a recording already), TW_ERR_CONFIG, TW_ERR_CLOSED,
///         TW_ERR_QUEUE_FULL, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: while the file is created.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_recorder_start(
    session: *mut tw_session,
    path: *const c_char,
    path_len: usize,
    options: *const c_char,
    options_len: usize,
    recorder: *mut *mut tw_recorder,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_recorder_start", err, || {
        let session = handle::borrow(session)?.live()?;
        let path = text::input(path, path_len, "path")?;
        let options = match text::optional(options, options_len, "options")? {
            None => RecorderOptions::default(),
            Some(json) => RecorderOptions::from_json(json)?,
        };
        handle::put(recorder, "recorder", || {
            Ok(handle::give(tw_recorder {
                mark: Mark::default(),
                recorder: session.record(path, options)?,
            }))
        })
    })
}

/// Ends the recording before its session and returns at once; tw_recorder_wait() says when the files
/// are complete.
///
/// @param recorder  the recording
/// @param err       receives the error, may be NULL
/// @return TW_OK, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_recorder_stop(
    recorder: *mut tw_recorder,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_recorder_stop", err, || {
        handle::borrow(recorder)?.recorder.stop()
    })
}

/// Waits until the recording has ended, by tw_recorder_stop() or with its session, and the files are
/// complete.
///
/// @param recorder    the recording
/// @param timeout_ms  milliseconds to wait
/// @param err         receives the error, may be NULL
/// @return TW_OK, TW_ERR_TIMEOUT (it goes on), TW_ERR_IO (what ended it, such as a full disk),
///         TW_ERR_WOULD_DEADLOCK (in a callback), TW_ERR_CLOSED (the process ends), TW_ERR_ARGUMENT,
///         TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: no. Blocks: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_recorder_wait(
    recorder: *mut tw_recorder,
    timeout_ms: u32,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_recorder_wait", err, || {
        let within = Duration::from_millis(timeout_ms.into());
        handle::borrow(recorder)?.recorder.finished_within(within)
    })
}

/// Milliseconds that a reader of the file finds, whatever becomes of this process. 0 for NULL.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_recorder_written_ms(recorder: *const tw_recorder) -> u64 {
    guard::value("tw_recorder_written_ms", 0, || {
        handle::peek(recorder).map_or(0, |handle| handle.recorder.written_ms())
    })
}

/// Gives the handle back. The recording goes on to the end of its session. NULL is allowed.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_recorder_free(recorder: *mut tw_recorder) {
    guard::release("tw_recorder_free", || drop(handle::take(recorder)));
}
