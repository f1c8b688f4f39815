//! What a session did, in numbers.

use serde::Serialize;

/// What a session did so far. Times are in milliseconds; all numbers but those of what waits, of the
/// last turn and of the last ping only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// How long the session has been open, until its last step.
    pub age_ms: u64,
    /// Links that were opened.
    pub links: u64,
    /// Links that were lost.
    pub losses: u64,
    /// Changes to a new link by plan.
    pub rollovers: u64,
    /// Changes to a new link after a loss.
    pub recoveries: u64,
    /// Frames given to links to be sent.
    pub frames_sent: u64,
    /// Frames that came.
    pub frames_received: u64,
    /// Audio given to links to be sent.
    pub audio_sent_ms: u64,
    /// Captured audio that was dropped because it could not be sent, as `uplink.gap` told.
    pub audio_dropped_ms: u64,
    /// Audio of answers that came.
    pub audio_received_ms: u64,
    /// Interruptions by the customer.
    pub barge_ins: u64,
    /// Calls of registered tools.
    pub tool_calls: u64,
    /// Errors that the server told.
    pub server_errors: u64,
    /// Broken frames, and commands that failed with nobody waiting for them.
    pub faults: u64,
    /// Turns whose answer was heard; the three below are about these.
    pub answers: u64,
    /// From the customer's last word, or what is known of it, to the first sound of the answer: of the
    /// last turn.
    pub answer_ms: u64,
    /// Of the slowest turn.
    pub answer_max_ms: u64,
    /// Of all turns together.
    pub answer_sum_ms: u64,
    /// Pings that were answered.
    pub round_trips: u64,
    /// How long the last one took there and back.
    pub round_trip_ms: u64,
    /// Events that wait to be read by the session's own reader.
    pub unread_events: u64,
    /// Bytes that they hold in memory, roughly.
    pub unread_bytes: u64,
    /// Audio that was dropped because it was not read.
    pub unread_dropped_ms: u64,
    /// Commands that wait to be looked at.
    pub waiting_commands: u64,
}
