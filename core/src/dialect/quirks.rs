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
    /// A variable of a stored prompt must be given twice, as `name` and as `{{name}}`. Reported by
    /// an integrator; the server breaks down otherwise.
    PromptVariablesTwice,
    /// A bad model is accepted by the upgrade and refused by close 1008. Seen in wire logs.
    ModelErrorAfterUpgrade,
    /// Pings may stay unanswered on a connection that lives. Seen by an integrator.
    PongsMayBeMissing,
    /// The header of the withdrawn beta shape is answered by an error and close 4000.
    BetaHeaderRefused,
}
