//! How a call outlives its links: a planned change before a session is too old, and recovery from a
//! loss.

use serde::Deserialize;

/// The planned change to a new link before the server's session reaches its maximum duration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a JSON object")]
pub struct Rollover {
    /// Whether it is done. Without it, the session ends with its first link.
    pub enabled: bool,
    /// Longest time before the end of the lifetime at which a standby link is opened, in
    /// milliseconds; never more than a quarter of the lifetime.
    pub margin_ms: u64,
    /// Audio that is sent to the new link once more while nobody is known to speak, in
    /// milliseconds: what the old one may have had too little of to notice speech.
    pub overlap_ms: u64,
    /// Most tokens of the conversation that a new link is told, estimated; the oldest go.
    pub replay_tokens: u64,
}

/// What follows the loss of a link.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a JSON object")]
pub struct Recovery {
    /// Time from a loss in which the session must be open again, in milliseconds; 0 ends the
    /// session with the loss.
    pub budget_ms: u64,
    /// Wait before the second attempt, in milliseconds; the first is made at once. Each further wait
    /// is twice as long, less a random part of up to half.
    pub delay_ms: u64,
    /// Longest wait between attempts, in milliseconds.
    pub delay_max_ms: u64,
    /// Audio captured during the outage that is kept, in milliseconds; older audio is dropped.
    pub audio_ms: u64,
    /// What becomes of an answer that was cut.
    pub answer: Answer,
}

/// What becomes of an answer that was cut by a loss. It is never begun anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The agent is asked to go on where it was cut.
    #[default]
    GoOn,
    /// The agent says what was received, and then is silent.
    Silent,
}

impl Default for Rollover {
    fn default() -> Self {
        Self {
            enabled: true,
            margin_ms: 30_000,
            overlap_ms: 1_000,
            replay_tokens: 8_000,
        }
    }
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            budget_ms: 30_000,
            delay_ms: 250,
            delay_max_ms: 8_000,
            audio_ms: 5_000,
            answer: Answer::GoOn,
        }
    }
}
