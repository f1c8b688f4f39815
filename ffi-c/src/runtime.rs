//! Threads for sessions.

use std::time::Duration;

use talkwire_core::Runtime;
use talkwire_core::runtime::RuntimeOptions;

use crate::error::{tw_error, tw_status};
use crate::guard;
use crate::handle::{self, Handle, Mark};

/// Threads for sessions: some that do I/O and some that run callbacks; none belongs to a session.
pub struct tw_runtime {
    mark: Mark,
    pub(crate) runtime: Runtime,
}

impl Handle for tw_runtime {
    const NOUN: &'static str = "tw_runtime";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

/// Starts threads of your own.
///
/// You need this only to choose their number, or to stop them at a time you know: where a
/// `tw_runtime *` is asked for, NULL means threads that all such callers share and that live as long
/// as the process.
/// Beside those of the two numbers, key callbacks and recordings have threads `tw-job-N`, which come
/// and go.
///
/// @param io_threads        threads `tw-io-N`, 1024 at most; 0 for the default, 1
/// @param callback_threads  threads `tw-cb-N`, 1024 at most, started with the first callback; 0 for the
///                          default, 2
/// @param runtime           receives the runtime; give it back with tw_runtime_free()
/// @param err               receives the error, may be NULL
/// @return TW_OK, TW_ERR_IO (no threads or descriptors to be had), TW_ERR_ARGUMENT (too many),
///         TW_ERR_CLOSED (the process ends), TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_runtime_new(
    io_threads: u32,
    callback_threads: u32,
    runtime: *mut *mut tw_runtime,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_runtime_new", err, || {
        handle::put(runtime, "runtime", || {
            let mut options = RuntimeOptions::default();
            if io_threads > 0 {
                options.io_threads = io_threads as usize;
            }
            if callback_threads > 0 {
                options.callback_threads = callback_threads as usize;
            }
            let runtime = Runtime::new(options)?;
            let mark = Mark::default();
            Ok(handle::give(tw_runtime { mark, runtime }))
        })
    })
}

/// Closes all sessions of a runtime, delivers their last events and ends to their callbacks, and
/// stops the threads. After it, opening a session on this runtime fails with TW_ERR_CLOSED.
///
/// @param runtime     the runtime
/// @param timeout_ms  milliseconds for all of it
/// @param err         receives the error, may be NULL
/// @return TW_OK when no thread of the runtime is left; TW_ERR_TIMEOUT (what was left is dropped; the
///         message says how many sessions or that a callback, of a key too, did not return; call it
///         again to wait on),
///         TW_ERR_WOULD_DEADLOCK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: no, TW_ERR_WOULD_DEADLOCK. Blocks: up to timeout_ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_runtime_shutdown(
    runtime: *mut tw_runtime,
    timeout_ms: u32,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_runtime_shutdown", err, || {
        let within = Duration::from_millis(timeout_ms.into());
        handle::borrow(runtime)?.runtime.shutdown(within)
    })
}

/// Gives a runtime back. NULL is allowed. Sessions keep the threads they need, so the order of
/// freeing does not matter; without tw_runtime_shutdown() the threads end some time after the last
/// session.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_runtime_free(runtime: *mut tw_runtime) {
    guard::release("tw_runtime_free", || drop(handle::take(runtime)));
}
