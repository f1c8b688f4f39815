//! Events the server sends.

use bytes::Bytes;
use serde_json::{Value, json};

use super::envelope::{Envelope, Malformed};
use super::{Item, Map, Part, Response, Session, audio, event_enum, wire_struct};

event_enum! {
    /// One event of the server, by its canonical name (OpenAI GA names).
    pub enum ServerEvent {
        /// Something went wrong; usually the session goes on.
        Error(ErrorEvent) = "error",
        /// First event of every session: its whole configuration.
        SessionCreated(SessionEvent) = "session.created",
        /// Answer to `session.update`: the whole effective configuration.
        SessionUpdated(SessionEvent) = "session.updated",
        /// Beta only.
        ConversationCreated(ConversationEvent) = "conversation.created",
        /// An item entered the conversation.
        ItemAdded(ItemEvent) = "conversation.item.added",
        /// Older name of `conversation.item.added`.
        ItemCreated(ItemEvent) = "conversation.item.created",
        /// An item is final.
        ItemDone(ItemEvent) = "conversation.item.done",
        /// Answer to `conversation.item.retrieve`.
        ItemRetrieved(RetrievedItem) = "conversation.item.retrieved",
        /// Answer to `conversation.item.delete`.
        ItemDeleted(ItemRef) = "conversation.item.deleted",
        /// Answer to `conversation.item.truncate`.
        ItemTruncated(ItemTruncated) = "conversation.item.truncated",
        /// Transcript of customer speech, final so far.
        TranscriptionCompleted(Transcription) = "conversation.item.input_audio_transcription.completed",
        /// A piece of it.
        TranscriptionDelta(Transcription) = "conversation.item.input_audio_transcription.delta",
        /// There will be none for this item.
        TranscriptionFailed(TranscriptionFailed) = "conversation.item.input_audio_transcription.failed",
        /// A piece with its speaker.
        TranscriptionSegment(Segment) = "conversation.item.input_audio_transcription.segment",
        /// The input buffer became an item.
        BufferCommitted(Committed) = "input_audio_buffer.committed",
        /// The input buffer was emptied.
        BufferCleared(Bare) = "input_audio_buffer.cleared",
        /// Speech began; `item_id` is the item it will become.
        SpeechStarted(Speech) = "input_audio_buffer.speech_started",
        /// Speech ended.
        SpeechStopped(Speech) = "input_audio_buffer.speech_stopped",
        /// Nothing was said for `idle_timeout_ms`.
        IdleTimeout(Speech) = "input_audio_buffer.timeout_triggered",
        /// A key was pressed on the telephone (SIP).
        DtmfReceived(Dtmf) = "input_audio_buffer.dtmf_event_received",
        /// Tools of an MCP server are being listed.
        McpListInProgress(ItemRef) = "mcp_list_tools.in_progress",
        /// They are listed.
        McpListCompleted(ItemRef) = "mcp_list_tools.completed",
        /// They are not.
        McpListFailed(ItemRef) = "mcp_list_tools.failed",
        /// Playout began (WebRTC, SIP).
        OutputBufferStarted(ResponseRef) = "output_audio_buffer.started",
        /// Playout ended (WebRTC, SIP).
        OutputBufferStopped(ResponseRef) = "output_audio_buffer.stopped",
        /// Playout was dropped (WebRTC, SIP).
        OutputBufferCleared(ResponseRef) = "output_audio_buffer.cleared",
        /// Quotas as they stand.
        RateLimits(RateLimits) = "rate_limits.updated",
        /// A response began.
        ResponseCreated(ResponseEvent) = "response.created",
        /// A response ended, however it did.
        ResponseDone(ResponseEvent) = "response.done",
        /// A response has a new item.
        OutputItemAdded(OutputItem) = "response.output_item.added",
        /// An item of a response is final.
        OutputItemDone(OutputItem) = "response.output_item.done",
        /// An item has a new part.
        PartAdded(ContentPart) = "response.content_part.added",
        /// A part is final.
        PartDone(ContentPart) = "response.content_part.done",
        /// A piece of text.
        TextDelta(Delta) = "response.output_text.delta",
        /// The whole text.
        TextDone(Delta) = "response.output_text.done",
        /// The audio of a part is complete.
        AudioDone(Delta) = "response.output_audio.done",
        /// A piece of what is being spoken, as text.
        TranscriptDelta(Delta) = "response.output_audio_transcript.delta",
        /// All of it.
        TranscriptDone(Delta) = "response.output_audio_transcript.done",
        /// A piece of a function call's arguments.
        ArgumentsDelta(Arguments) = "response.function_call_arguments.delta",
        /// All of them: the call can be run.
        ArgumentsDone(Arguments) = "response.function_call_arguments.done",
        /// A piece of an MCP call's arguments.
        McpArgumentsDelta(Arguments) = "response.mcp_call_arguments.delta",
        /// All of them.
        McpArgumentsDone(Arguments) = "response.mcp_call_arguments.done",
        /// The server runs an MCP call.
        McpCallInProgress(OutputRef) = "response.mcp_call.in_progress",
        /// It succeeded.
        McpCallCompleted(OutputRef) = "response.mcp_call.completed",
        /// It failed.
        McpCallFailed(OutputRef) = "response.mcp_call.failed",
        /// Transcription sessions (beta).
        TranscriptionSessionUpdated(SessionEvent) = "transcription_session.updated",
        /// Translation sessions.
        TranslationClosed(Bare) = "session.closed",
        /// Translation sessions.
        TranslationInputDelta(TranslationDelta) = "session.input_transcript.delta",
        /// Translation sessions; `delta` is base64.
        TranslationAudioDelta(TranslationDelta) = "session.output_audio.delta",
        /// Translation sessions.
        TranslationOutputDelta(TranslationDelta) = "session.output_transcript.delta",
        ;
        /// A piece of speech. Decoded without a JSON tree.
        AudioDelta(AudioDelta) = "response.output_audio.delta",
    }
}

wire_struct! {
    /// Body of `error`.
    pub struct ErrorEvent {
        /// What the server says.
        pub error: ErrorBody,
    }

    /// The `error` object.
    pub struct ErrorBody {
        /// Class, e.g. `invalid_request_error`.
        #[serde(rename = "type")]
        pub kind: String,
        /// Code, e.g. `invalid_value`.
        pub code: Option<String>,
        /// For people.
        pub message: String,
        /// Path of the offending field.
        pub param: Option<String>,
        /// The client event that caused it.
        pub event_id: Option<String>,
    }

    /// A session.
    pub struct SessionEvent {
        /// All of it.
        pub session: Session,
    }

    /// A conversation.
    pub struct ConversationEvent {
        /// Id and object.
        pub conversation: Map,
    }

    /// An item and its place.
    pub struct ItemEvent {
        /// The item before it; null for the first.
        pub previous_item_id: Option<String>,
        /// The item.
        pub item: Item,
    }

    /// An item as it was asked for: its place is not told.
    pub struct RetrievedItem {
        /// The item, with its audio.
        pub item: Item,
    }

    /// An item by its id.
    pub struct ItemRef {
        /// The item.
        pub item_id: String,
    }

    /// An item made of the input buffer, and its place.
    pub struct Committed {
        /// The item.
        pub item_id: String,
        /// The item before it; null for the first.
        pub previous_item_id: Option<String>,
    }

    /// Result of a truncation.
    pub struct ItemTruncated {
        /// The item.
        pub item_id: String,
        /// The part.
        pub content_index: u32,
        /// Milliseconds that remain.
        pub audio_end_ms: u64,
    }

    /// A transcript of customer speech, whole or a piece.
    pub struct Transcription {
        /// The item.
        pub item_id: String,
        /// The part.
        pub content_index: u32,
        /// The whole text, in `completed`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub transcript: Option<String>,
        /// A piece, in `delta`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub delta: Option<String>,
        /// What it cost.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub usage: Option<Value>,
        /// Every other field.
        #[serde(flatten)]
        pub extra: Map,
    }

    /// A transcript that will not come.
    pub struct TranscriptionFailed {
        /// The item.
        pub item_id: String,
        /// The part.
        pub content_index: u32,
        /// Why.
        pub error: ErrorBody,
    }

    /// A piece of a transcript with its speaker.
    pub struct Segment {
        /// Identifier of the segment.
        pub id: String,
        /// The item.
        pub item_id: String,
        /// The part.
        pub content_index: u32,
        /// The words.
        pub text: String,
        /// Who said them.
        pub speaker: String,
        /// Start in seconds.
        pub start: f64,
        /// End in seconds.
        pub end: f64,
    }

    /// A boundary of speech, in milliseconds of session audio.
    pub struct Speech {
        /// The item it is or will be.
        pub item_id: String,
        /// Start, prefix padding included.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub audio_start_ms: Option<u64>,
        /// End, closing silence included.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub audio_end_ms: Option<u64>,
    }

    /// A telephone key.
    pub struct Dtmf {
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        pub event: String,
        /// Unix seconds.
        pub received_at: u64,
    }

    /// A response by its id.
    pub struct ResponseRef {
        /// The response, where one is meant.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub response_id: String,
    }

    /// Quotas.
    pub struct RateLimits {
        /// One entry a quota.
        pub rate_limits: Vec<Map>,
    }

    /// A response.
    pub struct ResponseEvent {
        /// All of it, as known now.
        pub response: Response,
    }

    /// An item of a response.
    pub struct OutputItem {
        /// The response.
        pub response_id: String,
        /// Position in `response.output`.
        pub output_index: u32,
        /// The item.
        pub item: Item,
    }

    /// A part of an item of a response.
    pub struct ContentPart {
        /// The response.
        pub response_id: String,
        /// The item.
        pub item_id: String,
        /// Position of the item.
        pub output_index: u32,
        /// Position of the part.
        pub content_index: u32,
        /// The part.
        pub part: Part,
    }

    /// Text of a part: a piece (`delta`) or the whole (`text` or `transcript`).
    pub struct Delta {
        /// The response.
        pub response_id: String,
        /// The item.
        pub item_id: String,
        /// Position of the item.
        pub output_index: u32,
        /// Position of the part.
        pub content_index: u32,
        /// A piece.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub delta: Option<String>,
        /// The whole text.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub text: Option<String>,
        /// The whole transcript.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub transcript: Option<String>,
    }

    /// Arguments of a function call: a piece or the whole.
    pub struct Arguments {
        /// The response.
        pub response_id: String,
        /// The item.
        pub item_id: String,
        /// Position of the item.
        pub output_index: u32,
        /// The call.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub call_id: String,
        /// Name of the function; not every server sends it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub name: Option<String>,
        /// A piece.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub delta: Option<String>,
        /// All of them, JSON text.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub arguments: Option<String>,
        /// Every other field.
        #[serde(flatten)]
        pub extra: Map,
    }

    /// An item of a response by its place.
    pub struct OutputRef {
        /// The item.
        pub item_id: String,
        /// Its position.
        pub output_index: u32,
    }

    /// A piece of a translation.
    pub struct TranslationDelta {
        /// Text or base64.
        pub delta: String,
        /// Time since the session began.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub elapsed_ms: Option<u64>,
        /// Every other field.
        #[serde(flatten)]
        pub extra: Map,
    }

    /// An event without a body.
    pub struct Bare {
        /// Fields it had all the same.
        #[serde(flatten)]
        pub extra: Map,
    }
}

/// A piece of speech, in the output format that the server acknowledged.
#[derive(Clone, Default, PartialEq)]
pub struct AudioDelta {
    /// The response.
    pub response_id: String,
    /// The item.
    pub item_id: String,
    /// Position of the item.
    pub output_index: u32,
    /// Position of the part.
    pub content_index: u32,
    /// Bytes as sent: may end in the middle of a sample.
    pub audio: Bytes,
}

/// Canonical name of the one event that is decoded without a tree.
pub const AUDIO_DELTA: &str = "response.output_audio.delta";

/// Never the audio itself.
impl std::fmt::Debug for AudioDelta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "AudioDelta({}, {} bytes)",
            self.item_id,
            self.audio.len()
        )
    }
}

impl AudioDelta {
    /// Decodes the audio straight out of the frame.
    pub fn decode(envelope: &Envelope<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            response_id: envelope.response_id().to_owned(),
            item_id: envelope.item_id().to_owned(),
            output_index: envelope.output_index(),
            content_index: envelope.content_index(),
            audio: audio::decode(envelope.delta())?,
        })
    }
}

impl ServerEvent {
    /// The frame's fields without `type` and `event_id`. Audio becomes base64.
    pub fn to_fields(&self) -> Map {
        let value = match self {
            Self::AudioDelta(d) => Some(json!({
                "response_id": d.response_id, "item_id": d.item_id,
                "output_index": d.output_index, "content_index": d.content_index,
                "delta": audio::encode(&d.audio),
            })),
            other => other.body(),
        };
        match value {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }

    /// The response this event belongs to.
    pub fn response_id(&self) -> Option<&str> {
        let id = match self {
            Self::ResponseCreated(e) | Self::ResponseDone(e) => {
                return e.response.id.as_deref();
            }
            Self::OutputItemAdded(e) | Self::OutputItemDone(e) => &e.response_id,
            Self::PartAdded(e) | Self::PartDone(e) => &e.response_id,
            Self::TextDelta(e)
            | Self::TextDone(e)
            | Self::AudioDone(e)
            | Self::TranscriptDelta(e)
            | Self::TranscriptDone(e) => &e.response_id,
            Self::ArgumentsDelta(e)
            | Self::ArgumentsDone(e)
            | Self::McpArgumentsDelta(e)
            | Self::McpArgumentsDone(e) => &e.response_id,
            Self::AudioDelta(e) => &e.response_id,
            Self::OutputBufferStarted(e)
            | Self::OutputBufferStopped(e)
            | Self::OutputBufferCleared(e) => &e.response_id,
            _ => return None,
        };
        (!id.is_empty()).then_some(id)
    }

    /// The item this event is about.
    pub fn item_id(&self) -> Option<&str> {
        let id = match self {
            Self::ItemAdded(e) | Self::ItemCreated(e) | Self::ItemDone(e) => {
                return e.item.id.as_deref();
            }
            Self::ItemRetrieved(e) => return e.item.id.as_deref(),
            Self::OutputItemAdded(e) | Self::OutputItemDone(e) => return e.item.id.as_deref(),
            Self::ItemDeleted(e) => &e.item_id,
            Self::BufferCommitted(e) => &e.item_id,
            Self::McpListInProgress(e) | Self::McpListCompleted(e) | Self::McpListFailed(e) => {
                &e.item_id
            }
            Self::ItemTruncated(e) => &e.item_id,
            Self::TranscriptionCompleted(e) | Self::TranscriptionDelta(e) => &e.item_id,
            Self::TranscriptionFailed(e) => &e.item_id,
            Self::TranscriptionSegment(e) => &e.item_id,
            Self::SpeechStarted(e) | Self::SpeechStopped(e) | Self::IdleTimeout(e) => &e.item_id,
            Self::PartAdded(e) | Self::PartDone(e) => &e.item_id,
            Self::TextDelta(e)
            | Self::TextDone(e)
            | Self::AudioDone(e)
            | Self::TranscriptDelta(e)
            | Self::TranscriptDone(e) => &e.item_id,
            Self::ArgumentsDelta(e)
            | Self::ArgumentsDone(e)
            | Self::McpArgumentsDelta(e)
            | Self::McpArgumentsDone(e) => &e.item_id,
            Self::McpCallInProgress(e) | Self::McpCallCompleted(e) | Self::McpCallFailed(e) => {
                &e.item_id
            }
            Self::AudioDelta(e) => &e.item_id,
            _ => return None,
        };
        (!id.is_empty()).then_some(id)
    }
}
