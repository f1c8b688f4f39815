//! Whoever reads what a session tells: the application by its own mailbox, and subscriptions by
//! theirs. Each has its own bounds; what a slow one misses, the others get.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::mailbox::{Bounds, Mailbox, Pressure};
use crate::error::{Error, Kind, Result, Who};
use crate::event::{End, Event, Topic, Topics};

/// More in one session would be a leak.
const MOST: usize = 32;

/// The mailboxes of a session.
#[derive(Debug)]
pub(crate) struct Readers {
    own: Arc<Mailbox>,
    list: Mutex<List>,
    /// Topics of all of them together: what nobody wants is not even made.
    wanted: AtomicU8,
    opened: Instant,
    /// Errors that were told beside what the engine tells.
    faults: AtomicU64,
}

/// Those of subscriptions.
#[derive(Debug, Default)]
struct List {
    /// Shared with whoever tells them something: a reader that is woken may be anybody's code, which
    /// no lock may be held for.
    others: Arc<Vec<Arc<Mailbox>>>,
    /// How the session ended, for those who come late.
    end: Option<End>,
}

impl Readers {
    pub(super) fn new(own: Bounds) -> Self {
        Self {
            own: Arc::new(Mailbox::new(own)),
            list: Mutex::default(),
            wanted: AtomicU8::new(own.topics.bits()),
            opened: Instant::now(),
            faults: AtomicU64::new(0),
        }
    }

    /// The mailbox of the session itself.
    pub(crate) fn own(&self) -> &Arc<Mailbox> {
        &self.own
    }

    /// Milliseconds since the session was opened.
    pub(super) fn at_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether anybody reads about a topic.
    pub(super) fn want(&self, topic: Topic) -> bool {
        Topics::of_bits(self.wanted.load(Ordering::Relaxed)).has(topic)
    }

    /// Whether the session's own reader keeps up. A subscription that does not is over.
    pub(super) fn push(&self, event: Event) -> Pressure {
        let topic = event.topic();
        let others = self.lock().others.clone();
        for other in others.iter() {
            if other.topics().has(topic) && other.push(event.clone()) == Pressure::Full {
                let message = "events of a subscription were not read and their bound was reached";
                other.finish(End::new(Who::App, Kind::SlowReader, message));
            }
        }
        if self.own.topics().has(topic) {
            return self.own.push(event);
        }
        Pressure::Fine
    }

    /// Tells an error that nobody else will hear of. What the server reported is in the stream
    /// already, and so is the end.
    pub(crate) fn tell(&self, error: Error) {
        if !matches!(error.kind(), Kind::Server | Kind::Closed) {
            self.faults.fetch_add(1, Ordering::Relaxed);
            self.push(Event::fault(self.at_ms(), error, None));
        }
    }

    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// The session is over, for all of them: who is told by its own reader finds the others ended.
    pub(super) fn finish(&self, end: &End) {
        let mut list = self.lock();
        list.end.get_or_insert_with(|| end.clone());
        let others = std::mem::take(&mut list.others);
        drop(list);
        for other in others.iter() {
            other.finish(end.clone());
        }
        self.own.finish(end.clone());
    }

    /// One more reader of what is told from now on.
    pub(crate) fn add(&self, bounds: Bounds) -> Result<Arc<Mailbox>> {
        let mailbox = Arc::new(Mailbox::new(bounds));
        let mut list = self.lock();
        let List { others, end } = &mut *list;
        let others = Arc::make_mut(others);
        others.retain(|other| other.end().is_none());
        if others.len() >= MOST {
            let message = format!("a session has {MOST} subscriptions at most");
            return Err(Error::new(Kind::Refused, message));
        }
        match end {
            Some(end) => mailbox.finish(end.clone()),
            None => others.push(mailbox.clone()),
        }
        self.count(others);
        Ok(mailbox)
    }

    /// A reader wants nothing more; what waits for it can still be read.
    pub(crate) fn remove(&self, mailbox: &Arc<Mailbox>) {
        let mut list = self.lock();
        let others = Arc::make_mut(&mut list.others);
        others.retain(|other| !Arc::ptr_eq(other, mailbox));
        self.count(others);
        drop(list);
        mailbox.finish(End {
            expected: true,
            ..End::new(Who::App, Kind::Closed, "the subscription was closed")
        });
    }

    fn count(&self, others: &[Arc<Mailbox>]) {
        let all = others.iter().chain([&self.own]);
        let bits = all.fold(0, |bits, mailbox| bits | mailbox.topics().bits());
        self.wanted.store(bits, Ordering::Relaxed);
    }

    /// A panic elsewhere must not stop events: the list is valid between any two statements.
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::mailbox::Next;
    use super::*;
    use crate::event::Origin;
    use crate::wire::server::AudioDelta;
    use crate::wire::{Map, ServerEvent};

    fn bounds(topics: &[Topic], hard_events: usize) -> Bounds {
        Bounds {
            topics: topics.iter().copied().collect(),
            soft_bytes: 1 << 20,
            hard_events,
        }
    }

    fn event(name: &str) -> Event {
        let event = match name {
            SOUND => ServerEvent::AudioDelta(AudioDelta::default()),
            _ => ServerEvent::from_fields(name, Map::new()),
        };
        Event::wire(event, Origin::default())
    }

    fn names(mailbox: &Mailbox) -> Vec<String> {
        let mut events = Vec::new();
        mailbox.drain(&mut events, usize::MAX);
        events.iter().map(|event| event.name().to_owned()).collect()
    }

    const SOUND: &str = "response.output_audio.delta";
    const WORDS: &str = "response.output_text.delta";
    const DONE: &str = "response.done";

    #[test]
    fn each_reader_gets_what_it_wants_from_when_it_was_added() {
        let readers = Readers::new(bounds(&[Topic::Control], 100));
        readers.push(event(WORDS));
        let words = readers.add(bounds(&[Topic::Transcript], 100)).unwrap();
        for name in [SOUND, WORDS, DONE] {
            readers.push(event(name));
        }
        assert_eq!(names(readers.own()), [DONE]);
        assert_eq!(names(&words), [WORDS]);
        assert!(!readers.want(Topic::Raw) && !readers.want(Topic::Audio));
        let frames = readers.add(bounds(&[Topic::Raw], 100)).unwrap();
        assert!(readers.want(Topic::Raw));
        readers.remove(&frames);
        assert!(!readers.want(Topic::Raw), "what nobody wants costs nothing");
        assert!(matches!(frames.try_next(), Next::End(end) if end.expected));
    }

    #[test]
    fn a_slow_subscription_ends_alone_and_its_events_can_still_be_read() {
        let readers = Readers::new(bounds(&[Topic::Control], 100));
        let slow = readers.add(bounds(&[Topic::Control], 3)).unwrap();
        for _ in 0..5 {
            assert_eq!(readers.push(event(DONE)), Pressure::Fine);
        }
        assert_eq!(names(&slow).len(), 3);
        assert_eq!(slow.end().map(|end| end.why), Some(Kind::SlowReader));
        assert_eq!(names(readers.own()).len(), 5);
        assert!(readers.own().end().is_none());
    }

    #[test]
    fn a_reader_that_is_woken_may_end_its_subscription_at_once() {
        struct Leaves(Arc<Readers>, Arc<Mailbox>);
        impl std::task::Wake for Leaves {
            fn wake(self: Arc<Self>) {
                self.0.remove(&self.1);
            }
        }
        let readers = Arc::new(Readers::new(bounds(&[], 100)));
        let mailbox = readers.add(bounds(&[Topic::Control], 100)).unwrap();
        let waker = Arc::new(Leaves(readers.clone(), mailbox.clone())).into();
        let mut context = std::task::Context::from_waker(&waker);
        assert!(mailbox.poll_next(&mut context).is_pending());
        readers.push(event(DONE));
        assert!(mailbox.end().is_some());
        assert_eq!(
            names(&mailbox),
            [DONE],
            "what came before the end can be read"
        );
    }

    #[test]
    fn who_is_told_the_end_of_the_session_finds_its_subscriptions_ended() {
        struct Looks(Arc<Mailbox>, std::sync::atomic::AtomicBool);
        impl std::task::Wake for Looks {
            fn wake(self: Arc<Self>) {
                self.1.store(self.0.end().is_some(), Ordering::Relaxed);
            }
        }
        let readers = Readers::new(bounds(&[], 100));
        let mailbox = readers.add(bounds(&[Topic::Audio], 100)).unwrap();
        let looks = Arc::new(Looks(mailbox, false.into()));
        let waker = looks.clone().into();
        let mut context = std::task::Context::from_waker(&waker);
        assert!(readers.own().poll_next(&mut context).is_pending());
        readers.finish(&End::new(Who::Network, Kind::Lost, "gone"));
        assert!(looks.1.load(Ordering::Relaxed));
    }

    #[test]
    fn the_end_of_the_session_is_told_to_all_and_to_whoever_comes_late() {
        let readers = Readers::new(bounds(&[Topic::Control], 100));
        let early = readers.add(bounds(&[Topic::Audio], 100)).unwrap();
        readers.finish(&End::new(Who::Network, Kind::Lost, "gone"));
        let late = readers.add(bounds(&[Topic::Audio], 100)).unwrap();
        for mailbox in [readers.own(), &early, &late] {
            assert_eq!(mailbox.end().map(|end| end.why), Some(Kind::Lost));
        }
    }

    #[test]
    fn subscriptions_are_bounded_and_those_that_ended_do_not_count() {
        let readers = Readers::new(bounds(&[], 100));
        let all: Vec<_> = (0..MOST)
            .map(|_| readers.add(bounds(&[Topic::Audio], 100)).unwrap())
            .collect();
        let one_more = readers.add(bounds(&[Topic::Audio], 100));
        assert_eq!(one_more.expect_err("too many").kind(), Kind::Refused);
        readers.remove(&all[0]);
        assert!(readers.add(bounds(&[Topic::Audio], 100)).is_ok());
    }
}
