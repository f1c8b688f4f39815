//! Callback threads: a fixed pool, every session pinned to one thread for life, so its callbacks
//! never run at once and no thread belongs to a call. Who promises not to block may be called on the
//! I/O thread instead.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::mailbox::{Mailbox, Next};
use super::quiet_signals;
use super::tally::{Presence, Tally};
use crate::error::{Error, Kind, Result};
use crate::event::{End, Event};

/// What gets the events of a session by callback.
///
/// Calls come one at a time, never under a lock of this library. `on_closed` is the last one; then
/// the handler is dropped, on the same thread.
pub trait Handler: Send {
    /// An event.
    fn on_event(&mut self, event: &Event);
    /// The end.
    fn on_closed(&mut self, end: &End);
}

/// On which thread a [`Handler`] is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// On a callback thread, always the same one: whoever takes long there delays only those that are
    /// called on it too.
    #[default]
    Pinned,
    /// On an I/O thread, which saves a change of threads. For handlers that never wait: they hold up
    /// every session of that thread, pings included. When the runtime goes, what is left is told on one
    /// of its threads or on that which ends it.
    Direct,
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
    lanes: Vec<Sender<Task>>,
    next: AtomicUsize,
    threads: Mutex<Threads>,
}

#[derive(Debug)]
struct Threads {
    handles: Vec<JoinHandle<()>>,
    alive: Arc<Tally>,
    is_stopped: bool,
}

/// What a callback thread is asked to do.
enum Task {
    Deliver(Arc<Post>),
    /// Deliver what is scheduled, then end.
    Stop,
}

/// A session's place in the pool.
pub(super) struct Post {
    mailbox: Arc<Mailbox>,
    lane: Lane,
    handler: Mutex<Option<Box<dyn Handler>>>,
    /// At most one entry of a post is in its lane, which bounds the lane by the sessions.
    is_scheduled: AtomicBool,
    myself: std::sync::Weak<Self>,
}

enum Lane {
    Thread(Sender<Task>),
    Io {
        runtime: tokio::runtime::Handle,
        /// The runtime waits for the last delivery as it waits for sessions.
        _alive: Presence,
    },
}

/// A delivery on an I/O thread. Whoever drops it makes it: the task that it is for, or the runtime
/// that goes before it ran one.
struct Errand(Arc<Post>);

impl Drop for Errand {
    fn drop(&mut self) {
        self.0.deliver();
    }
}

/// Events handed over before another session of the same thread has its turn.
const BATCH: usize = 64;

impl Dispatch {
    pub(super) fn new(threads: usize) -> Result<Self> {
        let (mut lanes, mut handles) = (Vec::new(), Vec::new());
        let alive = Arc::<Tally>::default();
        for i in 0..threads.max(1) {
            let (sender, receiver) = unbounded();
            let life = alive.enter();
            let handle = thread::Builder::new()
                .name(format!("tw-cb-{i}"))
                .spawn(move || {
                    work(&receiver);
                    drop(life);
                })
                .map_err(|e| Error::new(Kind::Io, format!("no thread for callbacks: {e}")))?;
            handles.push(handle);
            lanes.push(sender);
        }
        Ok(Self {
            lanes,
            next: AtomicUsize::new(0),
            threads: Mutex::new(Threads {
                handles,
                alive,
                is_stopped: false,
            }),
        })
    }

    /// Ends the threads once all that waits is delivered; returns whether they ended by `until`.
    /// To be called when every session has ended.
    pub(super) fn stop(&self, until: Instant) -> bool {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if !threads.is_stopped {
            threads.is_stopped = true;
            for lane in &self.lanes {
                let _ = lane.send(Task::Stop);
            }
        }
        if threads.alive.left(until) > 0 {
            return false;
        }
        for handle in threads.handles.drain(..) {
            let _ = handle.join();
        }
        true
    }

    pub(super) fn attach(&self, mailbox: &Arc<Mailbox>, handler: Box<dyn Handler>) -> Result<()> {
        // Held to the end: what is scheduled before a stop is still delivered.
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.is_stopped {
            return Err(Error::new(Kind::Closed, "the runtime is shut down"));
        }
        let lane = self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len();
        Post::attach(Lane::Thread(self.lanes[lane].clone()), mailbox, handler)
    }
}

/// Delivers on the I/O threads of a runtime.
pub(super) fn attach_directly(
    io: &tokio::runtime::Handle,
    alive: Presence,
    mailbox: &Arc<Mailbox>,
    handler: Box<dyn Handler>,
) -> Result<()> {
    let lane = Lane::Io {
        runtime: io.clone(),
        _alive: alive,
    };
    Post::attach(lane, mailbox, handler)
}

fn work(receiver: &Receiver<Task>) {
    quiet_signals();
    while let Ok(Task::Deliver(post)) = receiver.recv() {
        post.deliver();
    }
    // A post that has more than a batch schedules itself again, behind the request to stop.
    while let Ok(task) = receiver.try_recv() {
        if let Task::Deliver(post) = task {
            post.deliver();
        }
    }
}

impl Post {
    fn attach(lane: Lane, mailbox: &Arc<Mailbox>, handler: Box<dyn Handler>) -> Result<()> {
        mailbox.attach(Arc::new_cyclic(|myself| Self {
            mailbox: mailbox.clone(),
            lane,
            handler: Mutex::new(Some(handler)),
            is_scheduled: AtomicBool::new(false),
            myself: myself.clone(),
        }))
    }

    pub(super) fn schedule(&self) {
        if self.is_scheduled.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some(post) = self.myself.upgrade() else {
            return;
        };
        match &self.lane {
            // The lane lives as long as its thread, which ends when no post is left.
            Lane::Thread(lane) => drop(lane.send(Task::Deliver(post))),
            Lane::Io { runtime, .. } => {
                let errand = Errand(post);
                drop(runtime.spawn(async move { drop(errand) }));
            }
        }
    }

    fn deliver(&self) {
        // Before anything is taken: of two threads that are in here, the second takes what comes later.
        let mut slot = self.handler.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(handler) = slot.as_mut() else { return };
        let mut events = Vec::with_capacity(BATCH);
        self.mailbox.drain(&mut events, BATCH);
        for event in &events {
            guarded(|| handler.on_event(event));
        }
        self.is_scheduled.store(false, Ordering::Release);
        // Scheduling may deliver at once, and needs the handler for it.
        if events.len() == BATCH {
            drop(slot);
            return self.schedule();
        }
        match self.mailbox.try_next() {
            Next::Event(event) => {
                guarded(|| handler.on_event(&event));
                drop(slot);
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

/// Runs user code: marked as a callback, and a panic of it stays here; then there is no result.
pub(super) fn guarded<T>(call: impl FnOnce() -> T) -> Option<T> {
    let before = IN_CALLBACK.replace(true);
    // Nothing of ours is broken by a panic of theirs; the session goes on.
    let result = catch_unwind(AssertUnwindSafe(call));
    IN_CALLBACK.set(before);
    result.ok()
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Post")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Who;
    use crate::event::Topics;
    use crate::event::local::Local;
    use crate::runtime::mailbox::Bounds;
    use std::time::Duration;

    struct Count(Sender<&'static str>);

    impl Handler for Count {
        fn on_event(&mut self, _: &Event) {
            let _ = self.0.send("event");
        }

        fn on_closed(&mut self, _: &End) {
            let _ = self.0.send("closed");
        }
    }

    fn gap(i: usize) -> Local {
        Local::Gap {
            item_id: format!("item_{i}"),
            dropped_ms: 1,
        }
    }

    fn ended(events: usize) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::new(Bounds {
            topics: Topics::USUAL,
            soft_bytes: 1 << 20,
            hard_events: 1_000,
        }));
        for i in 0..events {
            mailbox.push(Event::local(0, gap(i)));
        }
        mailbox.finish(End::new(Who::App, Kind::Closed, ""));
        mailbox
    }

    #[test]
    fn a_stop_waits_for_all_that_is_scheduled_and_refuses_what_comes_later() {
        let dispatch = Dispatch::new(1).expect("a thread");
        let (sender, seen) = unbounded();
        let events = 3 * BATCH;
        dispatch
            .attach(&ended(events), Box::new(Count(sender.clone())))
            .expect("attached");
        assert!(dispatch.stop(Instant::now() + Duration::from_secs(60)));
        let seen: Vec<_> = seen.try_iter().collect();
        assert_eq!((seen.len(), seen.last()), (events + 1, Some(&"closed")));
        let late = dispatch.attach(&ended(0), Box::new(Count(sender)));
        assert_eq!(late.expect_err("refused").kind(), Kind::Closed);
    }

    #[test]
    fn what_is_delivered_directly_is_all_told_also_when_the_runtime_is_gone() {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .expect("a thread");
        let handle = io.handle().clone();
        let (sender, seen) = unbounded();
        let attach = |mailbox| {
            let count = Box::new(Count(sender.clone()));
            attach_directly(&handle, Arc::<Tally>::default().enter(), &mailbox, count)
        };
        attach(ended(3 * BATCH)).expect("attached");
        let told: Vec<_> = seen.iter().take(3 * BATCH + 1).collect();
        assert_eq!(told.last(), Some(&"closed"));
        io.shutdown_timeout(Duration::from_secs(60));
        attach(ended(3 * BATCH)).expect("attached");
        assert_eq!(seen.try_iter().count(), 3 * BATCH + 1, "before it returned");
    }

    struct Order(Sender<Option<String>>);

    impl Handler for Order {
        fn on_event(&mut self, event: &Event) {
            let _ = self.0.send(event.item_id().map(str::to_owned));
        }

        fn on_closed(&mut self, _: &End) {
            let _ = self.0.send(None);
        }
    }

    #[test]
    fn what_several_threads_deliver_directly_stays_in_order() {
        const EVENTS: usize = 20_000;
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .build()
            .expect("threads");
        let mailbox = Arc::new(Mailbox::new(Bounds {
            topics: Topics::USUAL,
            soft_bytes: 1 << 30,
            hard_events: usize::MAX,
        }));
        let (sender, seen) = unbounded();
        let alive = Arc::<Tally>::default().enter();
        attach_directly(io.handle(), alive, &mailbox, Box::new(Order(sender))).expect("attached");
        for i in 0..EVENTS {
            mailbox.push(Event::local(0, gap(i)));
        }
        mailbox.finish(End::new(Who::App, Kind::Closed, ""));
        let told: Vec<_> = seen.iter().collect();
        let wanted = (0..EVENTS).map(|i| Some(format!("item_{i}")));
        assert!(told.into_iter().eq(wanted.chain([None])));
    }

    #[test]
    fn a_callback_within_a_callback_does_not_end_it() {
        guarded(|| {
            guarded(|| ());
            assert!(in_callback());
        })
        .expect("no panic");
        assert!(!in_callback());
    }
}
