//! Events the client sends.

use bytes::Bytes;
use serde_json::{Value, json};

use super::envelope::{Envelope, Malformed};
use super::{Item, Map, Session, audio, event_enum, wire_struct};

event_enum! {
    /// One event of the client, by its canonical name.
    pub enum ClientEvent {
        /// Patches the session.
        SessionUpdate(SessionUpdate) = "session.update",
        /// Makes an item of the input buffer; asks for no response.
        BufferCommit(Empty) = "input_audio_buffer.commit",
        /// Empties the input buffer.
        BufferClear(Empty) = "input_audio_buffer.clear",
        /// Puts an item into the conversation.
        ItemCreate(ItemCreate) = "conversation.item.create",
        /// Asks for an item with its audio.
        ItemRetrieve(ItemId) = "conversation.item.retrieve",
        /// Forgets what was not heard of an agent's audio item.
        ItemTruncate(ItemTruncate) = "conversation.item.truncate",
        /// Removes an item.
        ItemDelete(ItemId) = "conversation.item.delete",
        /// Asks for a response.
        ResponseCreate(ResponseCreate) = "response.create",
        /// Stops a response.
        ResponseCancel(ResponseCancel) = "response.cancel",
        /// Drops queued output (WebRTC, SIP).
        OutputBufferClear(Empty) = "output_audio_buffer.clear",
        /// Transcription sessions (beta).
        TranscriptionSessionUpdate(SessionUpdate) = "transcription_session.update",
        /// Translation sessions.
        TranslationClose(Empty) = "session.close",
        /// Translation sessions; `audio` is base64.
        TranslationAppend(TranslationAppend) = "session.input_audio_buffer.append",
        ;
        /// Audio for the input buffer. Encoded and decoded without a JSON tree.
        Append(Append) = "input_audio_buffer.append",
    }
}

wire_struct! {
    /// A patch of the session.
    pub struct SessionUpdate {
        /// Present keys change; null clears.
        pub session: Session,
    }

    /// An item to put into the conversation.
    pub struct ItemCreate {
        /// After which item; null for the end, `root` for the start.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub previous_item_id: Option<String>,
        /// The item.
        pub item: Item,
    }

    /// An item by its id.
    pub struct ItemId {
        /// The item.
        pub item_id: String,
    }

    /// Where to cut an item.
    pub struct ItemTruncate {
        /// The item.
        pub item_id: String,
        /// The part.
        pub content_index: u32,
        /// Milliseconds to keep.
        pub audio_end_ms: u64,
    }

    /// What to answer and how; absent means as the session says.
    pub struct ResponseCreate {
        /// Overrides for this response.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub response: Option<Map>,
    }

    /// Which response to stop; absent means the one that runs.
    pub struct ResponseCancel {
        /// The response.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub response_id: Option<String>,
    }

    /// Audio of a translation session.
    pub struct TranslationAppend {
        /// Base64.
        pub audio: String,
    }

    /// An event without a body.
    pub struct Empty {
        /// Fields it had all the same.
        #[serde(flatten)]
        pub extra: Map,
    }
}

/// Audio for the input buffer, in the input format of the session.
#[derive(Clone, Default, PartialEq)]
pub struct Append {
    /// Raw samples.
    pub audio: Bytes,
}

/// Canonical name of the one event that is written without a tree.
pub const APPEND: &str = "input_audio_buffer.append";

/// Never the audio itself.
impl std::fmt::Debug for Append {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Append({} bytes)", self.audio.len())
    }
}

impl Append {
    /// Decodes the audio straight out of the frame.
    pub fn decode(envelope: &Envelope<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            audio: audio::decode(envelope.audio())?,
        })
    }

    /// Writes a whole frame under `name` into a buffer that is used again for the next one.
    pub fn encode_into(name: &str, pcm: &[u8], frame: &mut String) {
        frame.clear();
        frame.reserve(40 + name.len() + pcm.len().div_ceil(3) * 4);
        frame.push_str("{\"type\":\"");
        frame.push_str(name);
        frame.push_str("\",\"audio\":\"");
        audio::encode_into(pcm, frame);
        frame.push_str("\"}");
    }
}

impl ClientEvent {
    /// The frame's fields without `type` and `event_id`. Audio becomes base64.
    pub fn to_fields(&self) -> Map {
        let value = match self {
            Self::Append(append) => Some(json!({"audio": audio::encode(&append.audio)})),
            other => other.body(),
        };
        match value {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }
}
