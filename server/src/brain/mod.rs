//! Brains: what to answer.

mod chat;
mod echo;
mod host;
mod script;

pub use chat::ChatBrain;
pub use echo::{Echo, Loop};
pub use host::HostBrain;
pub use script::ScriptBrain;

pub use crate::mcp::McpCall;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use talkwire_core::wire::Item;

use crate::io::Job;

/// What is to be answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question<'a> {
    /// Number of this answer in the session, from 1.
    pub turn: u32,
    /// What the customer said since the last answer, or wrote if they did not speak; empty if
    /// nothing was understood.
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
    /// The functions, as the wire describes them.
    pub tools: &'a [Value],
    /// How they are to be chosen, as the wire says it.
    pub tool_choice: Option<&'a Value>,
    /// Most tokens of the answer.
    pub max_tokens: Option<u64>,
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
    /// A function that the server itself runs, where the dialect and the session have it.
    ServerCall {
        /// Name of the function.
        name: String,
        /// JSON text.
        arguments: String,
    },
    /// A call of a tool of an MCP server, where the session has it.
    Mcp(McpCall),
    /// The answer fails.
    Fail {
        /// Code of the error, e.g. `rate_limit_exceeded`.
        code: String,
        /// For people.
        message: String,
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

/// What a brain makes of a question.
#[derive(Debug)]
pub enum Answer {
    /// These steps; none make an empty answer.
    Now(Vec<Step>),
    /// What the reader finds in the output of this job, while it comes.
    Later(Job, Box<dyn AnswerReader>),
}

/// A piece of an answer that is still being made. Texts that follow each other are one message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Piece {
    /// More of a message.
    Text(String),
    /// More of a message, with its sound.
    Speech {
        /// Its words.
        text: String,
        /// How they sound.
        clip: Clip,
    },
    /// A function call begins.
    Call {
        /// Name of the function.
        name: String,
    },
    /// More of the arguments of the call that began last, as JSON text.
    Arguments(String),
    /// The answer ends before it is complete, for this reason of the protocol.
    Cut(&'static str),
}

/// Reads the output of a job that answers. One reader belongs to one answer.
pub trait AnswerReader: Send + fmt::Debug {
    /// The pieces that more output completes. An error ends the answer.
    fn read(&mut self, output: &[u8]) -> Result<Vec<Piece>, String>;

    /// The pieces that the end of the output completes. An error says that there should be more.
    fn end(&mut self) -> Result<Vec<Piece>, String>;
}

/// Decides what to answer. One brain belongs to one session.
pub trait Brain: Send + fmt::Debug {
    /// The answer, now or when a job is done.
    fn answer(&mut self, question: &Question<'_>) -> Answer;
}
