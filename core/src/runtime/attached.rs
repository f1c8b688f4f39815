//! The media port of a session while one is attached: when to look at it, and what it has to say.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::sleep_until;

use crate::audio::format::Format;
use crate::audio::port::Port;
use crate::engine::io::{Heard, Input, PartId};

/// Who has not pulled for so long after the end does not listen any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// A port and its clock. A media thread wakes nobody, so somebody has to look; the session's own
/// task does, because it owns the port and has a frame to send anyway.
pub(super) struct Attached {
    port: Box<Port>,
    due: Instant,
}

impl Attached {
    pub(super) fn new(port: Box<Port>, now: Instant) -> Self {
        Self { port, due: now }
    }

    /// When to look again.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// From now on what goes through the port is recorded, or no more.
    pub(super) fn record(&mut self, is_on: bool) {
        if self.port.is_recorded() != is_on {
            self.port.record(is_on);
        }
    }

    pub(super) fn port(&self) -> &Port {
        &self.port
    }

    pub(super) fn port_mut(&mut self) -> &mut Port {
        &mut self.port
    }

    pub(super) fn is_detached(&self) -> bool {
        self.port.is_detached()
    }

    /// What happened since the last look. `wire` is the format of what is sent, once it can be.
    pub(super) fn look(&mut self, now: Instant, wire: Option<Format>) -> Vec<Input> {
        let mut inputs = Vec::new();
        inputs.extend(told(self.port.heard()).map(Input::Heard));
        if self.port.wants_flush() {
            inputs.push(Input::Flushed(self.flush()));
        }
        self.port.listen(now, wire.is_some());
        while let Some(audio) = wire.and_then(|wire| self.port.captured(now, wire)) {
            inputs.push(Input::Captured(audio));
        }
        inputs.extend(self.port.echo().map(Input::Echo));
        self.port.top_up();
        // Counted from when it was due, so that looking takes no time; but never to catch up.
        let pause = self.port.pause(now);
        self.due = (self.due + pause).max(now + pause / 2);
        inputs
    }

    /// The last of the sound, when no more is to come.
    pub(super) fn finish(&mut self, now: Instant, wire: Option<Format>) -> Option<Input> {
        let audio = self.port.finish(now, wire?)?;
        Some(Input::Captured(audio))
    }

    /// The session is over; whether something of what it received waits to be heard.
    pub(super) fn end(&mut self) -> bool {
        self.port.end();
        self.port.top_up();
        !self.port.is_written()
    }

    /// Lets the rest be heard, for as long as somebody pulls.
    pub(super) async fn play_out(mut self) {
        let (mut pulled, mut last) = (self.port.pulled(), Instant::now());
        loop {
            let now = Instant::now();
            let pulled_before = std::mem::replace(&mut pulled, self.port.pulled());
            if pulled > pulled_before {
                last = now;
            }
            // For the position, which the host can still ask for.
            self.port.heard();
            self.port.top_up();
            let is_over = self.port.is_written() || self.port.is_detached();
            if is_over || now.saturating_duration_since(last) >= PATIENCE {
                return;
            }
            self.due = now + self.port.pause(now);
            sleep_until(self.due.into()).await;
        }
    }

    /// Milliseconds that were pushed and will not be sent.
    pub(super) fn unsent_ms(&self) -> u64 {
        self.port.unsent_ms()
    }

    pub(super) fn play(&mut self, part: PartId, audio: Bytes, format: Format) {
        self.port.play(part.0, audio, format);
    }

    pub(super) fn play_end(&mut self, part: PartId) {
        self.port.play_end(part.0);
    }

    /// What was played is there for the next pull, and somebody looks soon how far it got.
    pub(super) fn top_up(&mut self, now: Instant) {
        self.port.top_up();
        self.due = self.due.min(now + self.port.pause(now));
    }

    pub(super) fn hold(&mut self, is_held: bool) {
        self.port.hold(is_held);
    }

    pub(super) fn flush(&mut self) -> Vec<Heard> {
        told(self.port.flush()).unwrap_or_default()
    }
}

fn told(parts: Vec<(u64, u64)>) -> Option<Vec<Heard>> {
    let heard = |(part, samples)| Heard {
        part: PartId(part),
        samples,
    };
    (!parts.is_empty()).then(|| parts.into_iter().map(heard).collect())
}
