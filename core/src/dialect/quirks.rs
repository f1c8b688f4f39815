//! The closed list of deviations that code knows about. A dialect's table names the ones it has;
//! code branches on these names, never on a vendor.

use serde::Deserialize;

/// A named deviation of a server from the canonical protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Quirk {
    /// The text of a spoken answer comes as `response.output_text.*`. Seen in wire logs.
    SpokenTextIsOutputText,
    /// `session.updated` can come twice for one update. Seen in wire logs.
    RepeatedSessionUpdated,
    /// `transcription.completed` repeats for one item with a growing text. Seen in wire logs.
    GrowingTranscripts,
    /// `response.done` of an interrupted response may never come. Reported by integrators.
    ResponseDoneMayBeMissing,
    /// `input_audio_buffer.committed` may not be sent after detected speech. Seen in wire logs.
    CommitEventMayBeMissing,
    /// A bad model is accepted by the upgrade and refused by close 1008. Seen in wire logs.
    ModelErrorAfterUpgrade,
    /// A PONG can be late by more than 10 s while the session is healthy. Seen in wire logs.
    LatePong,
    /// The header of the withdrawn beta shape is answered by an error and close 4000.
    BetaHeaderRefused,
}
