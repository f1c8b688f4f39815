//! What is found out before threads are started. The async runtime panics when it does not get the
//! first of its threads or a descriptor, and waits for ever for the others when it lacks a later one.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use crate::error::{Error, Kind, Result};

/// More threads of a kind than any machine has a use for.
pub(super) const MOST_THREADS: usize = 1_024;

/// A little more than polling, waking and watching programs take.
const PAIRS: usize = 4;

/// Fails unless the system has so many threads, and the descriptors of an I/O loop.
pub(super) fn check_resources(threads: usize) -> Result<()> {
    let pairs: Result<Vec<_>, _> = (0..PAIRS).map(|_| UnixStream::pair()).collect();
    pairs.map_err(|e| Error::new(Kind::Io, format!("no descriptors for I/O: {e}")))?;
    check_threads(threads, Builder::new)
}

/// Has so many threads at once, for a moment.
fn check_threads(count: usize, thread: impl Fn() -> Builder) -> Result<()> {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
    let start = |_| {
        let gate = gate.clone();
        thread().spawn(move || {
            super::quiet_signals();
            drop(gate.lock());
        })
    };
    let mut refusal = None;
    let started = (0..count).map(start);
    let started = started.map_while(|thread| thread.map_err(|e| refusal = Some(e)).ok());
    let started: Vec<_> = started.collect();
    drop(closed);
    for thread in started {
        let _ = thread.join();
    }
    match refusal {
        Some(e) => Err(Error::new(Kind::Io, format!("no threads for I/O: {e}"))),
        None => Ok(()),
    }
}

/// Fails where the process ends, in `atexit` handlers and destructors of statics: what the async
/// runtime keeps for a thread is gone there.
pub(crate) fn check_not_ending() -> Result<()> {
    let here = tokio::runtime::Handle::try_current();
    if here.is_err_and(|error| error.is_thread_local_destroyed()) {
        let message = "the process ends: this has to be done before `exit`";
        return Err(Error::new(Kind::Closed, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn threads_that_cannot_be_had_are_an_error_and_those_that_could_end() {
        let started = Cell::new(0);
        let third_is_too_large = || {
            started.set(started.get() + 1);
            let stack = if started.get() == 3 {
                usize::MAX / 4
            } else {
                0
            };
            Builder::new().stack_size(stack)
        };
        let error = check_threads(4, third_is_too_large).expect_err("no such stack");
        assert_eq!((error.kind(), started.get()), (Kind::Io, 3));
        assert!(check_resources(4).is_ok());
        assert!(check_not_ending().is_ok());
    }
}
