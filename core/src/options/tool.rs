//! A tool that the model may call and the application runs.

use serde::Deserialize;
use serde_json::{Value, json};

/// A function that the model may call.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub struct Tool {
    /// Name by which the model calls it.
    pub name: String,
    /// What it is good for, in the words the model reads.
    #[serde(default)]
    pub description: String,
    /// JSON schema of its arguments, an object.
    #[serde(default = "no_parameters")]
    pub parameters: Value,
    /// Longest run in milliseconds; then the model is told that it took too long.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// After so many milliseconds it is told to be overdue; 0 never.
    #[serde(default = "overdue_ms")]
    pub overdue_ms: u64,
    /// What the agent says when it is overdue; absent, it says nothing.
    #[serde(default)]
    pub filler: Option<String>,
}

fn no_parameters() -> Value {
    json!({"type": "object", "properties": {}})
}

const fn timeout_ms() -> u64 {
    30_000
}

/// About as long as a caller waits before asking whether anybody is there.
const fn overdue_ms() -> u64 {
    4_000
}

impl Tool {
    /// A tool without arguments.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            parameters: no_parameters(),
            timeout_ms: timeout_ms(),
            overdue_ms: overdue_ms(),
            filler: None,
        }
    }

    /// Says what it is good for.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Sets the JSON schema of its arguments.
    #[must_use]
    pub fn parameters(mut self, schema: Value) -> Self {
        self.parameters = schema;
        self
    }

    /// As the wire's `session.tools` has it.
    pub(crate) fn to_wire(&self) -> Value {
        json!({"type": "function", "name": self.name, "description": self.description,
            "parameters": self.parameters})
    }
}
