//! The sockets of a session, each with what is queued for it: one, and sometimes a second.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::crew::Crew;
use super::lanes::Lanes;
use super::socket::{Happened, Socket};
use super::target::{Breakers, Target};
use crate::dialect::Dialect;
use crate::engine::io::{Frame, LinkId};
use crate::event::Unsent;

struct Line {
    id: LinkId,
    dialect: Arc<Dialect>,
    socket: Socket,
    lanes: Lanes,
}

/// The lines that are dialled or open.
pub(super) struct Lines {
    targets: Vec<Arc<Target>>,
    breakers: Arc<Breakers>,
    crew: Arc<Crew>,
    uplink_max_ms: u64,
    lines: Vec<Line>,
}

impl Lines {
    /// Lines to the endpoints of a session, of which there is one at least.
    pub(super) fn new(
        targets: Vec<Target>,
        breakers: Arc<Breakers>,
        crew: Arc<Crew>,
        uplink_max_ms: u64,
    ) -> Self {
        Self {
            targets: targets.into_iter().map(Arc::new).collect(),
            breakers,
            crew,
            uplink_max_ms,
            lines: Vec::new(),
        }
    }

    /// Dials an endpoint of the list. Only the first link is one that somebody asked for.
    pub(super) fn dial(&mut self, id: LinkId, endpoint: usize) {
        let (target, breakers) = (self.targets[endpoint].clone(), self.breakers.clone());
        let crew = self.crew.clone();
        let dialect = target.dialect.clone();
        let is_again = id != LinkId(1);
        let dialing = async move { target.dial(&breakers, &crew, is_again).await };
        self.lines.push(Line {
            id,
            dialect,
            socket: Socket::dial(dialing),
            lanes: Lanes::new(self.uplink_max_ms),
        });
    }

    /// Writes an append as it goes over a line.
    pub(super) fn append(&self, id: LinkId, audio: &[u8]) -> String {
        let mut text = String::new();
        if let Some(line) = self.lines.iter().find(|line| line.id == id) {
            line.dialect.encode_append(audio, &mut text);
        }
        text
    }

    /// Queues a frame; returns the milliseconds of older audio that had to go.
    pub(super) fn push(&mut self, id: LinkId, frame: Frame) -> u64 {
        self.find(id).map_or(0, |line| line.lanes.push(frame))
    }

    pub(super) fn hang_up(&mut self, id: LinkId) {
        if let Some(line) = self.find(id) {
            line.socket.hang_up();
        }
    }

    /// Drops a line; returns what was queued for it.
    pub(super) fn drop(&mut self, id: LinkId) -> Unsent {
        let Some(at) = self.lines.iter().position(|line| line.id == id) else {
            return Unsent::default();
        };
        self.lines.remove(at).lanes.abandon()
    }

    /// Drops all of them.
    pub(super) fn clear(&mut self) {
        self.lines.clear();
    }

    /// Whether further commands can be queued.
    pub(super) fn has_room(&self) -> bool {
        self.lines.iter().all(|line| line.lanes.has_room())
    }

    /// Writes what can be written, then waits for the next thing on any of them. Losing the future
    /// loses nothing.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(LinkId, Happened)> {
        for line in &mut self.lines {
            if let Poll::Ready(happened) = line.socket.poll(cx, &mut line.lanes, &line.dialect) {
                return Poll::Ready((line.id, happened));
            }
        }
        Poll::Pending
    }

    fn find(&mut self, id: LinkId) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.id == id)
    }
}
