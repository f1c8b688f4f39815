//! A connection of the simulator: what is on its way over it in either direction, and who is at the
//! other end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use talkwire_core::engine::io::{Down, LinkId};
use talkwire_server::Peer;

/// A connection, while anything is on its way over it.
pub(super) struct Line {
    pub link: LinkId,
    pub far: Far,
    pub up: VecDeque<(Instant, Up)>,
    pub down: VecDeque<(Instant, Downward)>,
    /// What the server sends leaves no earlier.
    pub held_until: Option<Instant>,
    /// How long each frame of the client waits to be read, and until when the next one does.
    pub slow_read: Option<(Duration, Instant)>,
}

/// What is at the other end.
pub(super) enum Far {
    Nothing,
    Peer(Box<Peer>),
    Script,
}

/// On its way to the server.
pub(super) enum Up {
    Text(String),
    Ping,
    Close,
    Gone,
}

/// On its way to the client.
pub(super) enum Downward {
    Up,
    Text(String),
    Binary(usize),
    Pong,
    Down(Down),
}

impl Line {
    pub(super) fn new(link: LinkId) -> Self {
        Self {
            link,
            far: Far::Nothing,
            up: VecDeque::new(),
            down: VecDeque::new(),
            held_until: None,
            slow_read: None,
        }
    }

    /// When the server reads what the client sent next.
    pub(super) fn up_at(&self) -> Option<Instant> {
        let (at, _) = self.up.front()?;
        let read_at = self.slow_read.map_or(*at, |(_, read_at)| read_at);
        Some(read_at.max(*at))
    }

    pub(super) fn peer_at(&self) -> Option<Instant> {
        match &self.far {
            Far::Peer(peer) => peer.deadline(),
            Far::Nothing | Far::Script => None,
        }
    }

    /// When anything happens on it.
    pub(super) fn soonest(&self) -> Option<Instant> {
        let down = self.down.front().map(|(at, _)| *at);
        [self.peer_at(), self.up_at(), down]
            .into_iter()
            .flatten()
            .min()
    }
}
