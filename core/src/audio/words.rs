//! The words that a media thread and the session share: small atomics, each with one writer or one
//! rule, modelled with loom. Nothing here waits.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// A word that two threads see. Generic so that a model checker can put its own in.
pub(super) trait Word {
    fn new(value: u64) -> Self;
    /// Sees all that was written before the value was stored.
    fn see(&self) -> u64;
    /// Lets readers of the value see all that was written before.
    fn tell(&self, value: u64);
    /// Stores `to` if the word is `from`; both ways as `see` and `tell` do.
    fn replace(&self, from: u64, to: u64) -> Result<(), u64>;
}

impl Word for AtomicU64 {
    fn new(value: u64) -> Self {
        Self::new(value)
    }

    fn see(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    fn tell(&self, value: u64) {
        self.store(value, Ordering::Release);
    }

    fn replace(&self, from: u64, to: u64) -> Result<(), u64> {
        self.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }
}

/// How far the listener is in the stream of samples of the downlink, and how long it was silent
/// after that.
///
/// Samples before the cursor were heard or cut; nothing of them will be heard any more. One thread
/// pulls and advances it, one thread plays and cuts. As the cursor only grows, a pull that a cut came
/// into always finds it changed: no generation is needed to tell one position from the same one
/// later.
#[derive(Debug)]
pub(super) struct Cursor<W> {
    place: W,
    silence: W,
}

impl<W: Word> Cursor<W> {
    pub(super) fn new() -> Self {
        Self {
            place: W::new(0),
            silence: W::new(0),
        }
    }

    /// Where the next sample to be heard is.
    pub(super) fn place(&self) -> u64 {
        self.place.see()
    }

    /// The puller gives out `samples` from `place`. Whether they count: if not, a cut came in between
    /// and none of them may be heard.
    pub(super) fn advance(&self, place: u64, samples: u64) -> bool {
        // Before the cursor: whoever sees it moved must not add a silence from before the move.
        self.silence.tell(0);
        self.place.replace(place, place + samples).is_ok()
    }

    /// The puller gave out so much silence, after what it gave out last.
    pub(super) fn was_silent(&self, samples: u64) {
        self.silence.tell(self.silence.see() + samples);
    }

    /// Cuts everything up to `written`; returns where the listener was. The one who cuts is the one
    /// who writes, so nothing beyond `written` is there yet.
    pub(super) fn cut(&self, written: u64) -> u64 {
        let mut place = self.place.see();
        while let Err(moved) = self.place.replace(place, written) {
            place = moved;
        }
        place
    }

    /// The place of what leaves a device that is `behind` samples behind the pulls, if `place` is
    /// the cursor's; never too far. What was pulled last goes on through the device while silence is
    /// pulled after it.
    pub(super) fn behind(&self, place: u64, behind: u64) -> u64 {
        let silence = self.silence.see().min(behind);
        place.saturating_sub(behind - silence)
    }
}

/// A number that one thread counts and others read.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Only ever from the thread that counts.
    pub(super) fn add(&self, more: u64) {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now.wrapping_add(more), Ordering::Relaxed);
    }

    /// Only ever from the thread that counts.
    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Lets one caller at a time in and never waits: a second one is turned away.
///
/// A handle that C passes around cannot prove that only one thread uses each of its directions; this
/// makes a mistake there an error instead of undefined behaviour.
#[derive(Debug)]
pub(super) struct Solo<T, W = AtomicU64> {
    taken: W,
    inner: UnsafeCell<T>,
}

// Safety: `inner` is reached in `with` only, by one thread at a time, as `taken` shows.
#[allow(unsafe_code)]
unsafe impl<T: Send, W: Sync> Sync for Solo<T, W> {}

impl<T, W: Word> Solo<T, W> {
    pub(super) fn new(inner: T) -> Self {
        Self {
            taken: W::new(0),
            inner: UnsafeCell::new(inner),
        }
    }

    /// Runs `work` on the inside, or returns `None` when somebody else is there. A `work` that
    /// panics leaves it closed for good.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.taken.replace(0, 1).ok()?;
        // Safety: only the caller that changed `taken` from 0 to 1 comes here, until it stores 0.
        #[allow(unsafe_code)]
        let inner = unsafe { &mut *self.inner.get() };
        let result = work(inner);
        self.taken.tell(0);
        Some(result)
    }
}

#[cfg(test)]
mod tests;
