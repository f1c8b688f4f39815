//! The wish to stop, from a signal handler or another thread.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A flag that wakes whoever waits for it. Clones are the same flag; it is never taken back.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag. May be called from any thread and more than once.
    pub fn set(&self) {
        *self.lock() = true;
        self.0.changed.notify_all();
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        *self.lock()
    }

    /// Blocks until it is set.
    pub fn wait(&self) {
        let waited = self.0.changed.wait_while(self.lock(), |is_set| !*is_set);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Blocks until it is set, at most `within`; returns whether it is set.
    pub fn wait_for(&self, within: Duration) -> bool {
        let not_set = |is_set: &mut bool| !*is_set;
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.lock(), within, not_set);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_thread_is_woken_by_a_clone() {
        let stop = Stop::new();
        assert!(!stop.wait_for(Duration::ZERO) && !stop.is_set());
        let other = stop.clone();
        let waiting = std::thread::spawn(move || other.wait());
        stop.set();
        waiting.join().expect("the thread ends");
        assert!(stop.wait_for(Duration::from_secs(60)));
    }
}
