//! Events on their way to one reader. Bounded in bytes; one wake-up for a whole batch.
//!
//! Events of topics that the reader does not want never come here, see `readers`.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::check_not_forked;
use super::dispatch::{Post, in_callback};
use super::wake::WakeFd;
use crate::error::{Error, Kind, Result};
use crate::event::local::{Frame, Local};
use crate::event::{Body, End, Event, Topics};

/// The queue between a session and whoever reads its events.
#[derive(Debug)]
pub struct Mailbox {
    state: Mutex<State>,
    arrived: Condvar,
    bounds: Bounds,
}

/// What a reader wants, and how much of it waits for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub topics: Topics,
    /// Where text is joined, and audio and frames are dropped.
    pub soft_bytes: usize,
    /// Where it is over.
    pub hard_events: usize,
}

/// What waits for a reader, and what was dropped because it was not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// Events that wait.
    pub events: u64,
    /// Bytes that they hold in memory, roughly.
    pub bytes: u64,
    /// Audio that was dropped so far, in milliseconds; `audio.gap` tells where.
    pub dropped_ms: u64,
    /// Frames that were dropped so far; `missed` of `wire.frame` tells where.
    pub dropped_frames: u64,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Event>,
    bytes: usize,
    /// Events in the queue, what may be dropped and its markers apart.
    control: usize,
    dropped_ms: u64,
    dropped_frames: u64,
    /// Frames dropped since the last one that was read.
    missed: u64,
    end: Option<End>,
    wakers: Vec<Waker>,
    fd: Option<WakeFd>,
    post: Option<Arc<Post>>,
    is_attached: bool,
}

/// What a look into the mailbox found.
#[derive(Clone, Debug)]
pub enum Next {
    /// An event; it is yours.
    Event(Event),
    /// Nothing yet.
    Empty,
    /// Nothing any more.
    End(End),
}

/// Whether the reader keeps up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pressure {
    Fine,
    Full,
}

impl Mailbox {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            bounds,
        }
    }

    pub(super) fn topics(&self) -> Topics {
        self.bounds.topics
    }

    /// A panic elsewhere must not stop events: the queue is valid between any two statements.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, event: Event) -> Pressure {
        let mut state = self.lock();
        if state.end.is_some() {
            return Pressure::Fine;
        }
        let was_empty = state.queue.is_empty();
        let Bounds {
            soft_bytes,
            hard_events,
            ..
        } = self.bounds;
        state.add(event, soft_bytes);
        // One frame larger than the bound is no sign of a slow reader.
        let heavy = state.queue.len() > 1 && state.bytes > 4 * soft_bytes;
        let full = state.control >= hard_events || heavy;
        if was_empty {
            self.wake(state);
        }
        if full { Pressure::Full } else { Pressure::Fine }
    }

    /// What waits, and what was dropped.
    pub(crate) fn backlog(&self) -> Backlog {
        let state = self.lock();
        Backlog {
            events: state.queue.len() as u64,
            bytes: state.bytes as u64,
            dropped_ms: state.dropped_ms,
            dropped_frames: state.dropped_frames,
        }
    }

    pub(super) fn finish(&self, end: End) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.end = Some(end);
            self.wake(state);
        }
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if let Some(fd) = &mut state.fd {
            fd.raise();
        }
        let (wakers, post) = (std::mem::take(&mut state.wakers), state.post.clone());
        drop(state);
        self.arrived.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        if let Some(post) = post {
            post.schedule();
        }
    }

    /// Takes the next event if there is one. Never blocks.
    pub fn try_next(&self) -> Next {
        self.lock().take()
    }

    /// Takes all events that wait, in order; the end stays for [`Mailbox::try_next`].
    pub fn drain(&self, into: &mut Vec<Event>, most: usize) {
        let mut state = self.lock();
        while into.len() < most {
            match state.pop() {
                Some(event) => into.push(event),
                None => break,
            }
        }
        state.settle();
    }

    /// Waits for the next event, at most `within`. Blocks the calling thread; fails in a callback.
    pub(crate) fn next_within(&self, within: Duration) -> Result<Next> {
        check_not_forked()?;
        if in_callback() && !within.is_zero() {
            return Err(Error::new(
                Kind::WouldDeadlock,
                "a callback cannot wait for events",
            ));
        }
        let idle = |state: &mut State| state.queue.is_empty() && state.end.is_none();
        let waited = self.arrived.wait_timeout_while(self.lock(), within, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        Ok(state.take())
    }

    /// Waits for the end, at most `within`, and leaves the events where they are.
    pub fn ended_within(&self, within: Duration) -> Option<End> {
        let goes_on = |state: &mut State| state.end.is_none();
        let waited = self
            .arrived
            .wait_timeout_while(self.lock(), within, goes_on);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.end.clone()
    }

    /// The next event, or `None` at the end. Losing the future loses nothing.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut state = self.lock();
        match state.take() {
            Next::Event(event) => Poll::Ready(Some(event)),
            Next::End(_) => Poll::Ready(None),
            Next::Empty => {
                // Clones of a session may wait in several tasks; each must learn of the end.
                if !state.wakers.iter().any(|w| w.will_wake(cx.waker())) {
                    state.wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// How the session ended, once it has.
    pub fn end(&self) -> Option<End> {
        self.lock().end.clone()
    }

    /// A descriptor that is readable while an event or the end waits. It belongs to the mailbox.
    pub fn wakeup_fd(&self) -> Result<RawFd> {
        let mut state = self.lock();
        if state.fd.is_none() {
            let mut fd = WakeFd::new()?;
            if !state.queue.is_empty() || state.end.is_some() {
                fd.raise();
            }
            state.fd = Some(fd);
        }
        Ok(state.fd.as_ref().map_or(-1, WakeFd::fd))
    }

    /// From now on callbacks read this mailbox. Fails when they do already: two readers would
    /// split the events.
    pub(super) fn attach(&self, post: Arc<Post>) -> Result<()> {
        let mut state = self.lock();
        if state.is_attached {
            let message = "the events of this session go to a handler already";
            return Err(Error::new(Kind::Argument, message));
        }
        state.is_attached = true;
        state.post = Some(post);
        if !state.queue.is_empty() || state.end.is_some() {
            self.wake(state);
        }
        Ok(())
    }

    pub(super) fn detach(&self) {
        // Dropped after the lock: its handler may look into this mailbox when it goes.
        let post = self.lock().post.take();
        drop(post);
    }
}

impl State {
    fn add(&mut self, event: Event, soft_bytes: usize) {
        if self.bytes > soft_bytes && self.join(&event) {
            return;
        }
        self.bytes += event.weight();
        self.control += usize::from(is_control(&event));
        self.queue.push_back(event);
        while self.bytes > soft_bytes && self.queue.len() > 1 && self.drop_oldest() {}
    }

    /// Joins text to the last of its part, over the audio that is interleaved with it.
    fn join(&mut self, event: &Event) -> bool {
        for index in (0..self.queue.len()).rev() {
            let last = &self.queue[index];
            if let Some(joined) = last.joined(event) {
                self.bytes = self.bytes - last.weight() + joined.weight();
                self.queue[index] = joined;
                return true;
            }
            if is_control(last) {
                return false;
            }
        }
        false
    }

    /// Drops the oldest of what may be dropped; returns whether there was any.
    fn drop_oldest(&mut self) -> bool {
        let may_go = |e: &Event| e.audio().is_some() || frame(e).is_some();
        let Some(index) = self.queue.iter().position(may_go) else {
            return false;
        };
        if frame(&self.queue[index]).is_none() {
            self.drop_audio(index);
        } else if let Some(event) = self.queue.remove(index) {
            self.bytes = self.bytes.saturating_sub(event.weight());
            self.dropped_frames += 1;
            self.missed += 1;
        }
        true
    }

    /// Puts a marker in the place of audio, or adds to the marker before it.
    fn drop_audio(&mut self, index: usize) {
        let event = self.queue[index].clone();
        self.dropped_ms += event.audio_ms();
        let item = event.item_id().unwrap_or_default();
        let marker = index
            .checked_sub(1)
            .and_then(|before| match self.queue[before].body() {
                Body::Local(Local::Gap {
                    item_id,
                    dropped_ms,
                }) if item_id == item => Some((before, *dropped_ms)),
                _ => None,
            });
        let (index, gap) = match marker {
            Some((before, ms)) => {
                self.queue.remove(index);
                (before, ms + event.audio_ms())
            }
            None => {
                self.bytes += 200;
                (index, event.audio_ms())
            }
        };
        let marker = Local::Gap {
            item_id: item.to_owned(),
            dropped_ms: gap,
        };
        self.queue[index] = Event::local(event.at_ms(), marker);
        self.bytes = self.bytes.saturating_sub(event.weight());
    }

    fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        self.bytes = self.bytes.saturating_sub(event.weight());
        self.control -= usize::from(is_control(&event));
        match frame(&event) {
            // The oldest go first, so what was dropped stood before this one.
            Some(frame) if self.missed > 0 => {
                let missed = std::mem::take(&mut self.missed);
                let frame = Frame {
                    missed,
                    ..frame.clone()
                };
                Some(Event::local(event.at_ms(), Local::Frame(frame)))
            }
            _ => Some(event),
        }
    }

    fn take(&mut self) -> Next {
        let next = match (self.pop(), &self.end) {
            (Some(event), _) => Next::Event(event),
            (None, Some(end)) => Next::End(end.clone()),
            (None, None) => Next::Empty,
        };
        self.settle();
        next
    }

    /// The descriptor stays readable at the end: there is always that to be read.
    fn settle(&mut self) {
        let is_idle = self.queue.is_empty() && self.end.is_none();
        if let Some(fd) = self.fd.as_mut().filter(|_| is_idle) {
            fd.lower();
        }
    }
}

/// Whether an event is kept whatever happens. Audio is dropped and told by markers, frames by those
/// that follow.
fn is_control(event: &Event) -> bool {
    let is_told_of = matches!(
        event.body(),
        Body::Local(Local::Gap { .. } | Local::Frame(_))
    );
    event.audio().is_none() && !is_told_of
}

fn frame(event: &Event) -> Option<&Frame> {
    match event.body() {
        Body::Local(Local::Frame(frame)) => Some(frame),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Who;
    use crate::event::Origin;
    use crate::wire::ServerEvent;
    use crate::wire::server::{AudioDelta, Delta};
    use bytes::Bytes;

    fn mailbox(soft_bytes: usize, hard_events: usize) -> Mailbox {
        Mailbox::new(Bounds {
            topics: Topics::USUAL,
            soft_bytes,
            hard_events,
        })
    }

    fn framed(i: u32) -> Event {
        let frame = Frame {
            is_sent: false,
            link: i,
            missed: 0,
            text: "x".repeat(800).into(),
        };
        Event::local(0, Local::Frame(frame))
    }

    fn text(piece: &str) -> Event {
        let delta = Delta {
            item_id: "i".into(),
            delta: Some(piece.into()),
            ..Delta::default()
        };
        Event::wire(ServerEvent::TextDelta(delta), Origin::default())
    }

    fn audio(item: &str, ms: u64) -> Event {
        let audio = Bytes::from(vec![0; ms as usize * 48]);
        let delta = AudioDelta {
            item_id: item.into(),
            audio,
            ..AudioDelta::default()
        };
        Event::wire(
            ServerEvent::AudioDelta(delta),
            Origin {
                audio_ms: ms,
                ..Origin::default()
            },
        )
    }

    fn control(name: &str) -> Event {
        let event = ServerEvent::from_fields(name, crate::wire::Map::new());
        Event::wire(event, Origin::default())
    }

    fn end() -> End {
        End {
            expected: true,
            ..End::new(Who::App, Kind::Closed, "")
        }
    }

    fn names(mailbox: &Mailbox) -> Vec<String> {
        let mut events = Vec::new();
        mailbox.drain(&mut events, usize::MAX);
        events.iter().map(|e| e.name().to_owned()).collect()
    }

    #[test]
    fn a_slow_reader_gets_joined_text_a_marker_for_dropped_audio_and_all_control() {
        let mailbox = mailbox(10_000, 1_000);
        mailbox.push(control("response.created"));
        for _ in 0..10 {
            mailbox.push(audio("i", 100));
        }
        mailbox.push(control("response.done"));
        let mut events = Vec::new();
        mailbox.drain(&mut events, usize::MAX);
        let heard: u64 = events.iter().map(Event::audio_ms).sum();
        let gaps: Vec<_> = events
            .iter()
            .filter_map(|e| match e.body() {
                Body::Local(Local::Gap { dropped_ms, .. }) => Some(*dropped_ms),
                _ => None,
            })
            .collect();
        assert_eq!(gaps.len(), 1, "one marker");
        assert_eq!(heard + gaps[0], 1_000, "every millisecond is heard or told");
        assert_eq!(
            (events[0].name(), events.last().expect("events").name()),
            ("response.created", "response.done")
        );
    }

    #[test]
    fn the_oldest_frames_go_and_the_next_one_says_how_many() {
        let mailbox = mailbox(3_000, 1_000);
        for i in 1..=10 {
            mailbox.push(framed(i));
            mailbox.push(control("response.done"));
        }
        let backlog = mailbox.backlog();
        let mut events = Vec::new();
        mailbox.drain(&mut events, usize::MAX);
        let frames: Vec<_> = events
            .iter()
            .filter_map(|e| frame(e).map(|frame| (frame.link, frame.missed)))
            .collect();
        assert_eq!(
            frames
                .first()
                .map(|(link, missed)| u64::from(*link) - 1 == *missed),
            Some(true)
        );
        assert!(
            frames[1..].iter().all(|(_, missed)| *missed == 0),
            "{frames:?}"
        );
        assert_eq!(backlog.dropped_frames + frames.len() as u64, 10);
        assert_eq!(events.len() - frames.len(), 10, "control stays");
    }

    #[test]
    fn text_is_joined_only_when_the_bound_is_reached_and_nothing_of_it_is_lost() {
        let mailbox = mailbox(1_000, 1_000);
        for i in 0..100 {
            mailbox.push(text(&format!("{i} ")));
        }
        let mut events = Vec::new();
        mailbox.drain(&mut events, usize::MAX);
        assert!(events.len() < 20);
        let all: String = events.iter().filter_map(Event::text).collect();
        assert_eq!(all, (0..100).map(|i| format!("{i} ")).collect::<String>());
    }

    #[test]
    fn too_many_control_events_are_reported_and_kept() {
        let mailbox = mailbox(1 << 20, 3);
        assert_eq!(mailbox.push(control("a")), Pressure::Fine);
        mailbox.push(control("b"));
        assert_eq!(mailbox.push(control("c")), Pressure::Full);
        assert_eq!(names(&mailbox), ["a", "b", "c"]);
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_something_waits() {
        let mailbox = mailbox(1 << 20, 100);
        let fd = mailbox.wakeup_fd().expect("a pipe");
        let raised = |m: &Mailbox| m.lock().fd.as_ref().expect("made").is_raised;
        assert_eq!(mailbox.wakeup_fd().expect("the same"), fd);
        mailbox.push(text("a"));
        mailbox.push(control("b"));
        assert!(raised(&mailbox));
        assert!(matches!(mailbox.try_next(), Next::Event(_)));
        assert!(raised(&mailbox), "one is left");
        assert!(matches!(mailbox.try_next(), Next::Event(_)));
        assert!(!raised(&mailbox));
        mailbox.finish(end());
        assert!(matches!(mailbox.try_next(), Next::End(_)));
        assert!(raised(&mailbox), "the end can be read again");
    }

    #[test]
    fn nothing_comes_after_the_end_and_there_is_only_one() {
        let mailbox = mailbox(1 << 20, 100);
        mailbox.push(control("a"));
        mailbox.finish(end());
        mailbox.push(control("b"));
        mailbox.finish(End {
            expected: false,
            ..end()
        });
        assert!(matches!(mailbox.try_next(), Next::Event(_)));
        assert!(matches!(
            mailbox.next_within(Duration::ZERO),
            Ok(Next::End(End { expected: true, .. }))
        ));
    }
}
