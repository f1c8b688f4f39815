//! How many are there, and a wait until nobody is: by a condition variable, as the threads of a
//! runtime may be stuck and what a thread keeps for itself is gone where a process ends.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Counts those who hold a [`Presence`].
#[derive(Debug, Default)]
pub(super) struct Tally {
    count: Mutex<usize>,
    changed: Condvar,
}

/// One that is counted until it is dropped.
#[derive(Debug)]
pub(super) struct Presence(Arc<Tally>);

impl Tally {
    pub(super) fn enter(self: &Arc<Self>) -> Presence {
        self.add();
        Presence(self.clone())
    }

    /// For one that cannot hold anything; owes a [`Tally::remove`].
    pub(super) fn add(&self) {
        *self.lock() += 1;
    }

    pub(super) fn remove(&self) {
        *self.lock() -= 1;
        self.changed.notify_all();
    }

    /// Waits until nobody is there; returns how many still are at `until`.
    pub(super) fn left(&self, until: Instant) -> usize {
        let within = until.saturating_duration_since(Instant::now());
        let some = |count: &mut usize| *count > 0;
        let waited = self.changed.wait_timeout_while(self.lock(), within, some);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.remove();
    }
}
