//! Conversation items, their parts, responses and usage.

use serde_json::Value;

use super::{Map, wire_struct};

wire_struct! {
    /// One entry of the conversation. The fields that count depend on `kind`.
    pub struct Item {
        /// Identifier; the client may choose it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub id: Option<String>,
        /// `realtime.item` where the server says so.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub object: Option<String>,
        /// `message`, `function_call`, `function_call_output`, or a kind newer than this library.
        #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
        pub kind: String,
        /// `in_progress`, `completed` or `incomplete`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub status: Option<String>,
        /// `user`, `assistant` or `system` of a message.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub role: Option<String>,
        /// Parts of a message.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub content: Option<Vec<Part>>,
        /// Name of a called function.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub name: Option<String>,
        /// Ties a function call to its output.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub call_id: Option<String>,
        /// JSON text of a function call's arguments.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub arguments: Option<String>,
        /// Text of a function call's output.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub output: Option<String>,
        /// Every other field.
        #[serde(flatten)]
        pub extra: Map,
    }

    /// One part of a message or of a response's item.
    pub struct Part {
        /// `input_text`, `input_audio`, `output_text`, `output_audio`, `text`, `audio`, ...
        #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
        pub kind: String,
        /// Text of a text part.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub text: Option<String>,
        /// Transcript of an audio part.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub transcript: Option<String>,
        /// Base64 audio, where the server includes it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub audio: Option<String>,
        /// Every other field.
        #[serde(flatten)]
        pub extra: Map,
    }

    /// A response as the server reports it. All fields are always written, null or not: strict
    /// clients refuse a response that lacks one.
    pub struct Response {
        /// Identifier.
        pub id: Option<String>,
        /// `realtime.response`.
        pub object: Option<String>,
        /// `in_progress`, `completed`, `cancelled`, `incomplete` or `failed`.
        pub status: Option<String>,
        /// Type, reason and error of the status.
        pub status_details: Option<Value>,
        /// Items made by the response.
        pub output: Vec<Item>,
        /// Conversation it belongs to; null when out of band.
        pub conversation_id: Option<String>,
        /// `["audio"]` or `["text"]`.
        pub output_modalities: Vec<String>,
        /// A number or `"inf"`.
        pub max_output_tokens: Value,
        /// Output format and voice.
        pub audio: Option<Value>,
        /// Token counts, in the final event.
        pub usage: Option<Usage>,
        /// What the client attached.
        pub metadata: Option<Map>,
        /// Every other field.
        #[serde(flatten)]
        pub extra: Map,
    }

    /// Token counts of a response.
    pub struct Usage {
        /// All tokens.
        pub total_tokens: u64,
        /// Tokens read.
        pub input_tokens: u64,
        /// Tokens written.
        pub output_tokens: u64,
        /// Of those read: by modality.
        pub input_token_details: TokenDetails,
        /// Of those written: by modality.
        pub output_token_details: TokenDetails,
        /// Every other field.
        #[serde(flatten)]
        pub extra: Map,
    }

    /// Token counts by modality.
    pub struct TokenDetails {
        /// Text tokens.
        pub text_tokens: u64,
        /// Audio tokens.
        pub audio_tokens: u64,
        /// Tokens served from the provider's cache.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cached_tokens: Option<u64>,
        /// Every other field.
        #[serde(flatten)]
        pub extra: Map,
    }
}

impl Item {
    /// A message of the customer holding text.
    pub fn user_text(text: impl Into<String>) -> Self {
        Self::message("user", "input_text", text)
    }

    /// A message that instructs the model.
    pub fn system_text(text: impl Into<String>) -> Self {
        Self::message("system", "input_text", text)
    }

    /// A message of the agent, for replaying a conversation where the dialect allows it.
    pub fn assistant_text(text: impl Into<String>) -> Self {
        Self::message("assistant", "output_text", text)
    }

    /// The answer to a function call. `output` is the text given to the model.
    pub fn function_call_output(call_id: impl Into<String>, output: impl Into<String>) -> Self {
        Self {
            kind: "function_call_output".to_owned(),
            call_id: Some(call_id.into()),
            output: Some(output.into()),
            ..Self::default()
        }
    }

    fn message(role: &str, part: &str, text: impl Into<String>) -> Self {
        let part = Part {
            kind: part.to_owned(),
            text: Some(text.into()),
            ..Part::default()
        };
        Self {
            kind: "message".to_owned(),
            role: Some(role.to_owned()),
            content: Some(vec![part]),
            ..Self::default()
        }
    }

    /// Text and transcripts of all parts, joined.
    pub fn text(&self) -> String {
        let parts = self.content.iter().flatten();
        parts
            .filter_map(|p| p.text.as_deref().or(p.transcript.as_deref()))
            .collect()
    }
}

impl Response {
    /// `status_details.reason`, e.g. `turn_detected`.
    pub fn reason(&self) -> Option<&str> {
        self.status_details.as_ref()?.get("reason")?.as_str()
    }

    /// Whether the server will send nothing more for it.
    pub fn is_final(&self) -> bool {
        !matches!(self.status.as_deref(), None | Some("in_progress"))
    }
}
