//! Models: every order in which two threads can meet in these words.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64 as Modelled, Ordering};
use loom::thread;

use super::*;

impl Word for Modelled {
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

/// The ring around the cursor, one word a sample: a writer that writes, cuts and writes again, a
/// puller that pulls by ones and twos. What is heard is exactly what the cut says.
fn cut_while_pulling(pulls: &'static [u64]) {
    loom::model(move || {
        let cursor = Arc::new(Cursor::<Modelled>::new());
        let written = Arc::new(Modelled::new(0));
        let cells: Arc<Vec<loom::cell::UnsafeCell<u64>>> =
            Arc::new((0..3).map(loom::cell::UnsafeCell::new).collect());
        let (c, w, data) = (cursor.clone(), written.clone(), cells.clone());
        let puller = thread::spawn(move || {
            let mut heard = Vec::new();
            for most in pulls {
                let place = c.place();
                let there = w.load(Ordering::Acquire).saturating_sub(place);
                let samples = there.min(*most);
                let copied: Vec<u64> = (place..place + samples)
                    .map(|i| data[i as usize].with(unsafe_read))
                    .collect();
                if samples > 0 && c.advance(place, samples) {
                    heard.extend(copied);
                }
            }
            heard
        });
        let write = |at: u64, value: u64| {
            cells[at as usize].with_mut(|cell| unsafe_write(cell, value));
            written.store(at + 1, Ordering::Release);
        };
        write(0, 100);
        write(1, 101);
        let place = cursor.cut(2);
        write(2, 102);
        let heard = puller.join().expect("no panic");
        let before: Vec<_> = heard.iter().filter(|v| **v < 102).copied().collect();
        assert_eq!(before, (100..100 + place).collect::<Vec<_>>());
        assert!(heard.is_sorted(), "nothing twice, nothing out of order");
        let left = cursor.cut(3);
        assert_eq!(left == 3, heard.last() == Some(&102));
    });
}

#[allow(unsafe_code)]
fn unsafe_read(cell: *const u64) -> u64 {
    // Safety: loom calls it while no writer is in the cell, or fails the model.
    unsafe { *cell }
}

#[allow(unsafe_code)]
fn unsafe_write(cell: *mut u64, value: u64) {
    // Safety: as above.
    unsafe { *cell = value }
}

#[test]
fn a_cut_tells_exactly_what_was_heard_and_nothing_of_the_rest_is() {
    cut_while_pulling(&[1, 2]);
    cut_while_pulling(&[2, 1]);
}

#[test]
fn the_place_behind_a_device_is_never_too_far() {
    loom::model(|| {
        let cursor = Arc::new(Cursor::<Modelled>::new());
        let c = cursor.clone();
        // Sounds 1, then silence 2, then sounds 1 more; the device is 2 behind.
        let puller = thread::spawn(move || {
            assert!(c.advance(0, 1));
            c.was_silent(2);
            assert!(c.advance(1, 1));
        });
        let place = cursor.place();
        let heard = cursor.behind(place, 2);
        assert!(heard <= place.min(1), "{heard} of {place}");
        puller.join().expect("no panic");
        assert_eq!(cursor.behind(cursor.place(), 0), 2);
    });
}

#[test]
fn only_one_is_ever_inside() {
    loom::model(|| {
        let solo = Arc::new(Solo::<_, Modelled>::new(loom::cell::UnsafeCell::new(0_u64)));
        let other = solo.clone();
        let enter = |solo: &Solo<loom::cell::UnsafeCell<u64>, Modelled>| {
            solo.with(|cell| {
                cell.with_mut(|value| unsafe_write(value, 1));
                thread::yield_now();
            })
            .is_some()
        };
        let second = thread::spawn(move || enter(&other));
        let first = enter(&solo);
        let second = second.join().expect("no panic");
        assert!(first || second, "one of the two always comes in");
    });
}

#[test]
fn a_place_behind_follows_the_silence_up_to_what_was_pulled() {
    let cursor = Cursor::<AtomicU64>::new();
    assert!(cursor.advance(0, 100));
    assert_eq!(cursor.behind(cursor.place(), 30), 70);
    cursor.was_silent(20);
    assert_eq!(cursor.behind(cursor.place(), 30), 90);
    cursor.was_silent(20);
    assert_eq!(cursor.behind(cursor.place(), 30), 100);
    assert!(!cursor.advance(50, 10), "not from an old place");
    assert_eq!(cursor.cut(400), 100);
    assert_eq!(cursor.place(), 400);
}
