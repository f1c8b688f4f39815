//! A part of what a session tells, for a reader of its own.
//!
//! ```no_run
//! use talkwire_core::{Client, Options, SubscriptionOptions, Topic};
//!
//! # async fn read() -> talkwire_core::Result<()> {
//! let session = Client::new().connect(Options::default()).await?;
//! let words = session.subscribe(SubscriptionOptions::of([Topic::Transcript]))?;
//! while let Some(event) = words.next().await {
//!     println!("{} {}", event.name(), event.text().unwrap_or_default());
//! }
//! # Ok(())
//! # }
//! ```

use std::future::poll_fn;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::event::{End, Event, Topic, Topics};
use crate::json;
use crate::runtime::Runtime;
use crate::runtime::dispatch::{Delivery, Handler};
pub use crate::runtime::mailbox::Backlog;
use crate::runtime::mailbox::{Bounds, Mailbox, Next};
use crate::runtime::readers::Readers;

/// What a subscription is told, and how much of it waits for its reader.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubscriptionOptions {
    /// Of what: `audio`, `transcript`, `control`, `raw`.
    pub topics: Topics,
    /// Unread bytes beyond which text is joined and the oldest audio and frames are dropped, which
    /// is told and counted.
    pub max_bytes: usize,
    /// Unread events, audio and frames apart, at which the subscription ends with `slow_reader`. The
    /// session and its other readers go on.
    pub max_events: usize,
}

impl Default for SubscriptionOptions {
    fn default() -> Self {
        Self {
            topics: Topics::default(),
            max_bytes: 2 << 20,
            max_events: 20_000,
        }
    }
}

impl SubscriptionOptions {
    /// A subscription to topics, with the usual bounds.
    pub fn of(topics: impl IntoIterator<Item = Topic>) -> Self {
        Self {
            topics: topics.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Reads options from JSON. An unknown key or topic is an error that names it.
    pub fn from_json(text: &str) -> Result<Self> {
        json::object(text).map_err(|e| Error::new(Kind::Config, format!("a subscription: {e}")))
    }
}

/// A reader of some topics of a session, beside the session's own. Cheap to clone; clones share the
/// events. All methods may be called from any thread and from callbacks.
///
/// When the last clone is dropped, or the session ends, it ends.
#[derive(Clone, Debug)]
pub struct Subscription(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    readers: Arc<Readers>,
    mailbox: Arc<Mailbox>,
    runtime: Runtime,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.readers.remove(&self.mailbox);
    }
}

impl Subscription {
    pub(crate) fn new(
        readers: &Arc<Readers>,
        runtime: &Runtime,
        options: SubscriptionOptions,
    ) -> Result<Self> {
        if options.topics.is_empty() {
            let message = "a subscription is to `audio`, `transcript`, `control` or `raw`";
            return Err(Error::new(Kind::Argument, message));
        }
        let mailbox = readers.add(Bounds {
            topics: options.topics,
            soft_bytes: options.max_bytes,
            hard_events: options.max_events.max(1),
        })?;
        Ok(Self(Arc::new(Inner {
            readers: readers.clone(),
            mailbox,
            runtime: runtime.clone(),
        })))
    }

    /// The next event, or `None` at the end. Dropping the future loses no event.
    pub async fn next(&self) -> Option<Event> {
        poll_fn(|cx| self.0.mailbox.poll_next(cx)).await
    }

    /// The next event if there is one.
    pub fn try_next(&self) -> Next {
        self.0.mailbox.try_next()
    }

    /// Waits for the next event. Blocks the calling thread; fails in a callback.
    pub fn next_within(&self, within: Duration) -> Result<Next> {
        self.0.mailbox.next_within(within)
    }

    /// Takes up to `most` events that wait, in order.
    pub fn drain(&self, into: &mut Vec<Event>, most: usize) {
        self.0.mailbox.drain(into, most);
    }

    /// A descriptor that is readable while an event or the end waits. It belongs to the
    /// subscription: only poll it.
    pub fn wakeup_fd(&self) -> Result<RawFd> {
        self.0.mailbox.wakeup_fd()
    }

    /// From now on `handler` gets the events. Two subscriptions, or one and its session, may be served
    /// by two threads at once.
    pub fn deliver_to(&self, handler: Box<dyn Handler>, delivery: Delivery) -> Result<()> {
        self.0.runtime.attach(&self.0.mailbox, handler, delivery)
    }

    /// How it ended, once it has: with its session, by [`Subscription::close`], or with
    /// [`Kind::SlowReader`]. Events may still wait.
    pub fn end(&self) -> Option<End> {
        self.0.mailbox.end()
    }

    /// What waits to be read, and what was dropped because it was not.
    pub fn backlog(&self) -> Backlog {
        self.0.mailbox.backlog()
    }

    /// Ends it; what waits can still be read. The session goes on.
    pub fn close(&self) {
        self.0.readers.remove(&self.0.mailbox);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_topic_or_key_is_named() {
        for (json, name) in [
            (r#"{"topics": ["sound"]}"#, "sound"),
            (r#"{"topic": ["audio"]}"#, "topic"),
        ] {
            let error = SubscriptionOptions::from_json(json).expect_err("wrong");
            assert!(error.message().contains(name), "{error}");
        }
    }
}
