//! How the customer interrupts the agent.

use serde::Deserialize;

/// What speech of the customer does while the agent speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Nothing: the application decides everything by itself.
    Off,
    /// It interrupts at once.
    Immediate,
    /// It makes the agent quiet at once and interrupts when it is confirmed.
    #[default]
    Staged,
}

/// What confirms an interruption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirm {
    /// Speech that lasts `min_speech_ms`.
    #[default]
    Speech,
    /// A transcript with `min_words`.
    Transcript,
    /// The application, by a command.
    App,
}

/// What follows an interruption that was none, where the server has cancelled the answer already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resume {
    /// The agent says what was received and then is silent.
    #[default]
    Silent,
    /// The agent is asked to go on where it was cut.
    AskRest,
}

/// How the customer interrupts the agent.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a JSON object")]
pub struct BargeIn {
    /// What speech over the agent does.
    pub policy: Policy,
    /// What confirms a held interruption.
    pub confirm: Confirm,
    /// Speech that is long enough to confirm, in milliseconds from the moment it is noticed.
    pub min_speech_ms: u64,
    /// Words of a transcript that are enough to confirm.
    pub min_words: usize,
    /// Longest hold in milliseconds. Then speech that still lasts confirms, and silence resumes.
    pub decision_ms: u64,
    /// The first milliseconds of the session's first answer cannot be interrupted: a greeting.
    pub protect_greeting_ms: u64,
    /// What follows a hold that was no interruption, where the server has cancelled by itself.
    pub resume: Resume,
}

impl Default for BargeIn {
    fn default() -> Self {
        Self {
            policy: Policy::Staged,
            confirm: Confirm::Speech,
            min_speech_ms: 300,
            min_words: 1,
            decision_ms: 1_500,
            protect_greeting_ms: 0,
            resume: Resume::Silent,
        }
    }
}
