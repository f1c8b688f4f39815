//! How many native objects there are, for the tests.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::prelude::*;

static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Lives as long as the object that holds it.
pub(crate) struct Alive(());

impl Alive {
    pub(crate) fn new() -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many native objects are alive: events, and whatever holds a session, a server or a descriptor.
#[pyfunction]
pub(crate) fn alive() -> usize {
    ALIVE.load(Ordering::Relaxed)
}
