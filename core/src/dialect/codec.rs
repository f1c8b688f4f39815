//! Frames of both directions, on both sides.

use serde_json::Value;

use super::shape::{self, Place};
use super::{Dialect, Quirk, rules};
use crate::error::Result;
use crate::wire::client::{APPEND, Append};
use crate::wire::envelope::{Envelope, Malformed};
use crate::wire::server::{AUDIO_DELTA, AudioDelta};
use crate::wire::{ClientEvent, Map, ServerEvent};

/// A frame that was understood: canonical name, `event_id` and content.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded<T> {
    /// What the peer called this event, if it set one.
    pub event_id: Option<String>,
    /// Whether name or fields were rewritten on the way in.
    pub rewritten: bool,
    /// The event.
    pub event: T,
}

/// A client frame on the server's side, before its fields are judged.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientFrame {
    /// `input_audio_buffer.append`, its audio decoded.
    Append(Append),
    /// Any other: canonical name and canonical fields without `type` and `event_id`.
    Fields {
        /// Canonical name.
        name: String,
        /// Canonical fields.
        fields: Map,
        /// In a strict dialect: the path of a field that only other shapes have.
        foreign: Option<String>,
    },
}

/// Who sends a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sender {
    Client,
    Server,
}

/// Canonical fields of a frame.
struct Fields {
    map: Map,
    reshaped: bool,
    foreign: Option<String>,
}

impl Dialect {
    /// Client: the frame of an event. Fails where the dialect has no such event.
    pub fn encode_client(&self, event: &ClientEvent, event_id: Option<&str>) -> Result<String> {
        self.require_event(event.name())?;
        Ok(self.encode_client_fields(event.name(), event.to_fields(), event_id))
    }

    /// Client: the frame of an event given by its canonical name and fields. A name the dialect
    /// lacks goes out as it is: whoever calls has judged it.
    pub fn encode_client_fields(
        &self,
        name: &str,
        mut fields: Map,
        event_id: Option<&str>,
    ) -> String {
        if self.has(Quirk::PromptVariablesTwice) {
            for object in ["session", "response"] {
                if let Some(Value::Object(object)) = fields.get_mut(object) {
                    rules::double_variables(object);
                }
            }
        }
        let name = self.names.to_wire(name).unwrap_or(name);
        self.encode(Sender::Client, name, fields, event_id)
    }

    /// Client: the frame of audio, into a buffer that is used again.
    pub fn encode_append(&self, pcm: &[u8], frame: &mut String) {
        let name = self.names.to_wire(APPEND).unwrap_or(APPEND);
        Append::encode_into(name, pcm, frame);
    }

    /// Server: the frame of an event, or `None` where the dialect has no such event.
    pub fn encode_server(&self, event: &ServerEvent, event_id: &str) -> Option<String> {
        let name = self.names.to_wire(event.name())?;
        let mut fields = event.to_fields();
        if let ServerEvent::Error(_) = event {
            self.rename_param(&mut fields, true);
        }
        Some(self.encode(Sender::Server, name, fields, Some(event_id)))
    }

    fn encode(
        &self,
        sender: Sender,
        name: &str,
        mut fields: Map,
        event_id: Option<&str>,
    ) -> String {
        for (key, places) in self.shapes(sender) {
            if let Some(Value::Object(object)) = fields.get_mut(key) {
                shape::to_wire(object, places);
            }
        }
        if !self.table.parts.is_empty() {
            rules::parts(&mut fields, |kind| self.table.parts.get(kind).cloned());
        }
        let mut frame = Map::new();
        frame.insert("type".to_owned(), Value::String(name.to_owned()));
        if let Some(id) = event_id {
            frame.insert("event_id".to_owned(), Value::String(id.to_owned()));
        }
        frame.append(&mut fields);
        Value::Object(frame).to_string()
    }

    /// Client: reads a frame of the server.
    pub fn decode_server(&self, raw: &str) -> Result<Decoded<ServerEvent>, Malformed> {
        let envelope = Envelope::parse(raw)?;
        let name = self.names.canonical(envelope.name(), true);
        let event_id = envelope.event_id();
        if name == AUDIO_DELTA {
            let event = ServerEvent::AudioDelta(AudioDelta::decode(&envelope)?);
            return Ok(Decoded {
                event_id,
                rewritten: name != envelope.name(),
                event,
            });
        }
        let mut fields = self.fields(Sender::Server, raw, true)?;
        let mended = name == "error" && rules::error_from_wire(&mut fields.map);
        let renamed = name == "error" && self.rename_param(&mut fields.map, false);
        let rewritten = fields.reshaped || mended || renamed || name != envelope.name();
        let event = ServerEvent::from_fields(name, fields.map);
        Ok(Decoded {
            event_id,
            rewritten,
            event,
        })
    }

    /// Server: reads a frame of the client. Names and shapes of older versions are accepted unless
    /// the dialect is strict.
    pub fn decode_client(&self, raw: &str) -> Result<Decoded<ClientFrame>, Malformed> {
        let envelope = Envelope::parse(raw)?;
        let aliases = !self.table.strict;
        let name = self.names.canonical(envelope.name(), aliases);
        let event_id = envelope.event_id();
        if name == APPEND {
            let event = ClientFrame::Append(Append::decode(&envelope)?);
            return Ok(Decoded {
                event_id,
                rewritten: name != envelope.name(),
                event,
            });
        }
        let fields = self.fields(Sender::Client, raw, aliases)?;
        let rewritten = fields.reshaped || name != envelope.name();
        let event = ClientFrame::Fields {
            name: name.to_owned(),
            fields: fields.map,
            foreign: fields.foreign,
        };
        Ok(Decoded {
            event_id,
            rewritten,
            event,
        })
    }

    fn fields(&self, sender: Sender, raw: &str, aliases: bool) -> Result<Fields, Malformed> {
        let mut map: Map = serde_json::from_str(raw).map_err(|e| Malformed::Json(e.to_string()))?;
        map.remove("type");
        map.remove("event_id");
        let reshapable = ["session", "response", "item"]
            .iter()
            .any(|key| map.contains_key(*key));
        let mut foreign = None;
        if !reshapable {
            return Ok(Fields {
                map,
                reshaped: false,
                foreign,
            });
        }
        let before = map.clone();
        for (key, places) in self.shapes(sender) {
            if let Some(Value::Object(object)) = map.get_mut(key) {
                if !aliases {
                    let path = shape::foreign(object, places);
                    foreign = foreign.or_else(|| Some(format!("{key}.{}", path?)));
                }
                rules::from_wire(object, places, aliases);
            }
        }
        let parts = &self.table.parts;
        if aliases || !parts.is_empty() {
            rules::parts(&mut map, |kind| rules::part_from_wire(parts, kind, aliases));
        }
        let reshaped = map != before;
        Ok(Fields {
            map,
            reshaped,
            foreign,
        })
    }

    /// The objects of a sender that have shapes.
    fn shapes(&self, sender: Sender) -> [(&'static str, &[Place]); 2] {
        let table = &self.table;
        let response = match sender {
            Sender::Client => &table.request_map,
            Sender::Server => &table.response_map,
        };
        [("session", &table.session_map), ("response", response)]
    }

    /// Renames the path of an offending field; returns whether it had another name. On the way out
    /// also in the message, which people compare with what they sent.
    fn rename_param(&self, fields: &mut Map, outward: bool) -> bool {
        let Some(Value::Object(error)) = fields.get_mut("error") else {
            return false;
        };
        let Some(param) = error.get("param").and_then(Value::as_str) else {
            return false;
        };
        // Errors are about what a client sent.
        let renamed = self
            .shapes(Sender::Client)
            .iter()
            .fold(param.to_owned(), |path, (object, places)| {
                shape::rename_path(&path, object, places, outward)
            });
        if renamed == param {
            return false;
        }
        let message = error.get("message").and_then(Value::as_str);
        if let Some(message) = message.filter(|_| outward) {
            let message = message.replace(param, &renamed);
            error.insert("message".to_owned(), Value::String(message));
        }
        error.insert("param".to_owned(), Value::String(renamed));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use serde_json::json;

    #[test]
    fn names_are_renamed_on_the_way_out_and_back() {
        let dialect = Dialect::named("yandex").expect("built in");
        let added = ServerEvent::from_fields("conversation.item.added", Map::new());
        let frame = dialect.encode_server(&added, "e1").expect("has it");
        assert!(frame.contains("conversation.item.created"), "{frame}");
        let decoded = dialect.decode_server(&frame).expect("decodes");
        assert_eq!((decoded.event, decoded.rewritten), (added, true));
        let clear = ClientEvent::BufferClear(crate::wire::client::Empty::default());
        let error = dialect.encode_client(&clear, None).expect_err("has it not");
        assert_eq!(error.kind(), Kind::Unsupported);
    }

    #[test]
    fn older_names_and_shapes_are_read_as_canonical_ones() {
        let dialect = Dialect::named("openai").expect("built in");
        let raw = r#"{"type":"response.audio.delta","delta":"AAA=","item_id":"i"}"#;
        let decoded = dialect.decode_server(raw).expect("decodes");
        assert_eq!(decoded.event.name(), AUDIO_DELTA);
        let raw = json!({"type": "session.updated", "session": {"modalities": ["text"], "voice": "alena",
            "input_audio_format": "pcm16", "turn_detection": null, "temperature": 0.8}});
        let decoded = dialect.decode_server(&raw.to_string()).expect("decodes");
        let ServerEvent::SessionUpdated(e) = decoded.event else {
            panic!("session.updated")
        };
        let expected = json!({"output_modalities": ["text"], "audio": {
            "input": {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": null},
            "output": {"voice": "alena"}}});
        assert_eq!(Value::Object(e.session.0), expected);
    }

    #[test]
    fn a_strict_server_leaves_older_shapes_for_its_judge() {
        let raw = r#"{"type":"session.update","session":{"modalities":["text"]}}"#;
        let strict = Dialect::named("openai")
            .expect("built in")
            .decode_client(raw)
            .expect("reads");
        let ClientFrame::Fields { fields, .. } = strict.event else {
            panic!("fields")
        };
        assert_eq!(fields["session"], json!({"modalities": ["text"]}));
    }
}
