//! Callback threads: a fixed pool, every session pinned to one thread for life, so its callbacks
//! never run at once and no thread belongs to a call.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::mailbox::{Mailbox, Next};
use super::quiet_signals;
use crate::error::{Error, Kind, Result};
use crate::event::{End, Event};

/// What gets the events of a session by callback.
///
/// Calls come one at a time, from a thread of the pool, never under a lock of this library.
/// `on_closed` is the last one; then the handler is dropped, on the same thread.
pub trait Handler: Send {
    /// An event.
    fn on_event(&mut self, event: &Event);
    /// The end.
    fn on_closed(&mut self, end: &End);
}

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is inside a callback: waiting there would wait for itself.
pub fn in_callback() -> bool {
    IN_CALLBACK.get()
}

/// The threads.
#[derive(Debug)]
pub(super) struct Dispatch {
    lanes: Vec<Sender<Arc<Post>>>,
    next: AtomicUsize,
}

/// A session's place in the pool.
pub(super) struct Post {
    mailbox: Arc<Mailbox>,
    lane: Sender<Arc<Self>>,
    handler: Mutex<Option<Box<dyn Handler>>>,
    /// At most one entry of a post is in its lane, which bounds the lane by the sessions.
    is_scheduled: AtomicBool,
    myself: std::sync::Weak<Self>,
}

/// Events handed over before another session of the same thread has its turn.
const BATCH: usize = 64;

impl Dispatch {
    pub(super) fn new(threads: usize) -> Result<Self> {
        let mut lanes = Vec::new();
        for i in 0..threads.max(1) {
            let (sender, receiver) = unbounded();
            thread::Builder::new()
                .name(format!("tw-cb-{i}"))
                .spawn(move || work(&receiver))
                .map_err(|e| Error::new(Kind::Io, format!("no thread for callbacks: {e}")))?;
            lanes.push(sender);
        }
        Ok(Self {
            lanes,
            next: AtomicUsize::new(0),
        })
    }

    pub(super) fn attach(&self, mailbox: &Arc<Mailbox>, handler: Box<dyn Handler>) {
        let lane = self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len();
        let post = Arc::new_cyclic(|myself| Post {
            mailbox: mailbox.clone(),
            lane: self.lanes[lane].clone(),
            handler: Mutex::new(Some(handler)),
            is_scheduled: AtomicBool::new(false),
            myself: myself.clone(),
        });
        mailbox.attach(post);
    }
}

fn work(receiver: &Receiver<Arc<Post>>) {
    quiet_signals();
    while let Ok(post) = receiver.recv() {
        post.deliver();
    }
}

impl Post {
    pub(super) fn schedule(&self) {
        if self.is_scheduled.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(post) = self.myself.upgrade() {
            // The lane lives as long as its thread, which ends when no post is left.
            let _ = self.lane.send(post);
        }
    }

    fn deliver(&self) {
        let mut events = Vec::with_capacity(BATCH);
        self.mailbox.drain(&mut events, BATCH);
        let mut slot = self.handler.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(handler) = slot.as_mut() else { return };
        for event in &events {
            guarded(|| handler.on_event(event));
        }
        self.is_scheduled.store(false, Ordering::Release);
        if events.len() == BATCH {
            return self.schedule();
        }
        match self.mailbox.try_next() {
            Next::Event(event) => {
                guarded(|| handler.on_event(&event));
                self.schedule();
            }
            Next::Empty => {}
            Next::End(end) => {
                guarded(|| handler.on_closed(&end));
                let handler = slot.take();
                drop(slot);
                guarded(|| drop(handler));
                self.mailbox.detach();
            }
        }
    }
}

/// Runs user code: marked as a callback, and a panic of it stays here.
fn guarded(call: impl FnOnce()) {
    IN_CALLBACK.set(true);
    // Nothing of ours is broken by a panic of theirs; the session goes on.
    let _ = catch_unwind(AssertUnwindSafe(call));
    IN_CALLBACK.set(false);
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Post")
    }
}
