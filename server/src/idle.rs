//! The prompt after silence: `idle_timeout_ms`, counted from the end of the agent's last answer as it
//! is heard, not as it is sent.

use std::time::{Duration, Instant};

use talkwire_core::wire::ServerEvent;
use talkwire_core::wire::server::Speech;

use crate::io::PeerEffects;
use crate::peer::Peer;

/// Since when nobody speaks.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    since: Option<Instant>,
}

impl Idle {
    /// The agent's answer has been heard at this time.
    pub(crate) fn answered(&mut self, at: Instant) {
        self.since = Some(at);
    }

    /// Somebody speaks.
    pub(crate) fn disturbed(&mut self) {
        self.since = None;
    }

    /// The settings changed: the silence before does not count against them.
    pub(crate) fn reconfigured(&mut self, now: Instant) {
        self.since = self.since.map(|since| since.max(now));
    }
}

impl Peer {
    /// When silence has lasted too long.
    pub(crate) fn idle_at(&self) -> Option<Instant> {
        let idle_ms = self.settings.turn_detection()?.idle_ms?;
        let is_quiet = !self.hearer.is_speaking() && !self.answering.is_answering();
        let since = self.idle.since.filter(|_| is_quiet)?;
        Some(since + Duration::from_millis(idle_ms))
    }

    /// Makes an item of the silence, to which there is nothing to listen, and answers it.
    pub(crate) fn idle_out(&mut self, now: Instant, fx: &mut PeerEffects) {
        self.idle.disturbed();
        let rules = self.settings.turn_detection();
        let idle_ms = rules.and_then(|rules| rules.idle_ms).unwrap_or_default();
        let (from_ms, end_ms) = self.hearer.buffer.span_ms();
        let start_ms = end_ms.saturating_sub(idle_ms).max(from_ms);
        let item_id = self.out.id("item");
        let event = ServerEvent::IdleTimeout(Speech {
            item_id: item_id.clone(),
            audio_start_ms: Some(start_ms),
            audio_end_ms: Some(end_ms),
        });
        self.out.send(&event, fx);
        let turn = self.hearer.buffer.take_turn(start_ms, end_ms);
        self.commit_turn(item_id, turn.recording, fx);
        self.answer_turn(now, fx);
    }
}
