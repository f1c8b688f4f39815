//! A connection of the simulator: what is on its way over it in either direction, and who is at the
//! other end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use talkwire_core::engine::io::{Down, LinkId};
use talkwire_core::{Error, Kind};
use talkwire_server::Peer;

use crate::flow::Fault;

/// A driver waits so long for a connection; the default of `connect_timeout_ms`.
const CONNECT: Duration = Duration::from_secs(10);

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
    /// Nothing passes any more, and nobody says so.
    pub is_dark: bool,
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
            is_dark: false,
        }
    }

    /// Something happens to it: nothing that is at the other end hears or says anything more, and
    /// what it has said comes only before the close of a server.
    pub(super) fn break_by(&mut self, now: Instant, latency: Duration, fault: Fault) {
        let is_dialled = self.is_dialled();
        (self.far, self.is_dark) = (Far::Nothing, fault == Fault::BlackHole);
        self.up.clear();
        if fault != Fault::Kill {
            self.down.clear();
        }
        let (wait, down) = match fault {
            Fault::Kill => (latency, closed(1011, "the server is going down")),
            Fault::Reset => (latency, failed(Kind::Lost, "the connection was reset")),
            Fault::BlackHole if is_dialled => (CONNECT, failed(Kind::Timeout, "nobody answers")),
            Fault::BlackHole => return,
        };
        let last = self.down.back().map_or(now, |(at, _)| *at);
        let at = last.max(now + wait);
        self.down.push_back((at, Downward::Down(down)));
    }

    /// The client lets go of it, and hears of nothing but that.
    pub(super) fn abort(&mut self, at: Instant) {
        self.down.clear();
        let down = failed(Kind::Lost, "aborted");
        self.down.push_back((at, Downward::Down(down)));
    }

    /// Whether it is not there yet.
    fn is_dialled(&self) -> bool {
        let is_up = |(_, down): &(Instant, Downward)| matches!(down, Downward::Up);
        self.down.iter().any(is_up)
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

fn failed(kind: Kind, message: &str) -> Down {
    Down::Failed(Error::new(kind, message))
}

fn closed(code: u16, reason: &str) -> Down {
    let reason = reason.to_owned();
    Down::Closed { code, reason }
}
