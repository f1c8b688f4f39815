//! Brains: what to answer.

mod echo;
mod script;

pub use echo::{Echo, Loop};
pub use script::ScriptBrain;

use std::fmt;
use std::sync::Arc;

use talkwire_core::wire::Item;

/// What is to be answered.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Number of this answer in the session, from 1.
    pub turn: u32,
    /// What the customer said or wrote since the last answer; empty if nothing was understood.
    pub heard: &'a str,
    /// The customer's speech since the last answer, if there was any.
    pub speech: Option<&'a Clip>,
    /// Outputs of functions since the last answer.
    pub outputs: &'a [ToolOutput],
    /// The system prompt.
    pub instructions: &'a str,
    /// The whole conversation, or the input that the request brought.
    pub items: &'a [Item],
    /// Whether functions may be called.
    pub may_call: bool,
}

/// What a function returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolOutput {
    /// Its name, as it was called.
    pub name: String,
    /// The call.
    pub call_id: String,
    /// The text given back.
    pub output: String,
}

/// Mono samples with their rate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clip {
    /// Samples per second.
    pub rate_hz: u32,
    /// The samples.
    pub samples: Vec<i16>,
}

/// One step of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Milliseconds after the step before it, or after the question.
    pub after_ms: u64,
    /// What to do then.
    pub act: Act,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Act {
    /// A message.
    Say {
        /// Its text, or the transcript of what is spoken.
        text: String,
        /// How it sounds; absent leaves that to the voice.
        clip: Option<Arc<Clip>>,
    },
    /// A function call.
    Call {
        /// Name of the function.
        name: String,
        /// JSON text.
        arguments: String,
    },
}

impl Step {
    /// Says a text at once.
    pub fn say(text: impl Into<String>) -> Self {
        let text = text.into();
        let act = Act::Say { text, clip: None };
        Self { after_ms: 0, act }
    }
}

/// Decides what to answer. One brain belongs to one session.
pub trait Brain: Send + fmt::Debug {
    /// The steps of the answer; none make an empty answer.
    fn answer(&mut self, question: &Question<'_>) -> Vec<Step>;
}
