//! A vendor's names, shapes, limits and failures as data, used in opposite directions by client
//! and server.
//!
//! A new vendor is a new JSON table; only a new *quirk* needs code.

pub mod check;
mod quirks;
mod rules;
mod table;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

pub use quirks::Quirk;
pub use table::{Auth, Defaults, FormatRule, Limits, Model, Range, Table, Withdrawn};

use crate::error::{Error, Kind, Result};
use crate::wire::client::{APPEND, Append};
use crate::wire::envelope::{Envelope, Malformed};
use crate::wire::server::{AUDIO_DELTA, AudioDelta};
use crate::wire::{ClientEvent, Map, ServerEvent};

/// The tables that are built in, by name.
const TABLES: &[&str] = &[
    include_str!("tables/yandex.json"),
    include_str!("tables/openai.json"),
];

static BUILT_IN: LazyLock<Vec<Arc<Dialect>>> = LazyLock::new(|| {
    let parse = |text: &&str| Dialect::from_json(text).expect("built-in tables are valid: tested");
    TABLES.iter().map(parse).map(Arc::new).collect()
});

/// An immutable dialect.
#[derive(Clone, Debug)]
pub struct Dialect {
    table: Table,
    names: rules::Names,
}

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
    },
}

impl Dialect {
    /// The built-in dialect of that name.
    pub fn named(name: &str) -> Option<Arc<Self>> {
        BUILT_IN.iter().find(|d| d.name() == name).cloned()
    }

    /// Names of the built-in dialects; the first is the default.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|d| d.name())
    }

    /// The dialect used when none is named.
    pub fn default_dialect() -> Arc<Self> {
        BUILT_IN[0].clone()
    }

    /// Reads a table. Errors name the key and the line.
    pub fn from_json(text: &str) -> Result<Self> {
        let table: Table = serde_json::from_str(text)
            .map_err(|e| Error::new(Kind::Config, format!("dialect table: {e}")))?;
        for (section, map) in [
            ("close", &table.close),
            ("http", &table.http),
            ("errors", &table.errors),
        ] {
            for (key, name) in map {
                if kind_named(name).is_none() {
                    let message =
                        format!("dialect table: {section}.{key}: no kind is named `{name}`");
                    return Err(Error::new(Kind::Config, message));
                }
            }
        }
        for pointer in table.session_map.iter().flat_map(|(a, b)| [a, b]) {
            if !pointer.starts_with('/') {
                let message = format!("dialect table: session_map: `{pointer}` is no JSON pointer");
                return Err(Error::new(Kind::Config, message));
            }
        }
        let names = rules::Names::new(&table.events);
        Ok(Self { table, names })
    }

    /// Name of the dialect.
    pub fn name(&self) -> &str {
        &self.table.name
    }

    /// The table itself.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Whether the dialect has a named deviation.
    pub fn has(&self, quirk: Quirk) -> bool {
        self.table.quirks.contains(&quirk)
    }

    /// Whether the dialect positively has an ability.
    pub fn can(&self, capability: &str) -> bool {
        self.table.caps.get(capability).copied().unwrap_or(false)
    }

    /// Whether the dialect has an event, by canonical name.
    pub fn has_event(&self, canonical: &str) -> bool {
        self.names.to_wire(canonical).is_some()
    }

    fn require_event(&self, canonical: &str) -> Result<()> {
        if self.has_event(canonical) {
            return Ok(());
        }
        Err(Error::new(
            Kind::Unsupported,
            format!("{} has no event `{canonical}`", self.name()),
        ))
    }

    /// The kind of end that a close code means.
    pub fn close_kind(&self, code: u16) -> Option<Kind> {
        self.table
            .close
            .get(&code.to_string())
            .and_then(|name| kind_named(name))
    }

    /// The kind of error that an HTTP status of a refused upgrade means.
    pub fn http_kind(&self, status: u16) -> Kind {
        let named = self
            .table
            .http
            .get(&status.to_string())
            .and_then(|name| kind_named(name));
        named.unwrap_or(Kind::Handshake)
    }

    /// The kind of end that an error code announces, for codes that end a session.
    pub fn fatal_error(&self, code: &str) -> Option<Kind> {
        self.table
            .errors
            .get(code)
            .and_then(|name| kind_named(name))
    }

    /// Client: the frame of an event. Fails where the dialect has no such event.
    pub fn encode_client(&self, event: &ClientEvent, event_id: Option<&str>) -> Result<String> {
        self.require_event(event.name())?;
        Ok(self.encode_client_fields(event.name(), event.to_fields(), event_id))
    }

    /// Client: the frame of an event given by its canonical name and fields. A name the dialect
    /// lacks goes out as it is: whoever calls has judged it.
    pub fn encode_client_fields(&self, name: &str, fields: Map, event_id: Option<&str>) -> String {
        self.encode(self.names.to_wire(name).unwrap_or(name), fields, event_id)
    }

    /// Client: the frame of audio, into a buffer that is used again.
    pub fn encode_append(&self, pcm: &[u8], frame: &mut String) {
        let name = self.names.to_wire(APPEND).unwrap_or(APPEND);
        Append::encode_into(name, pcm, frame);
    }

    /// Server: the frame of an event, or `None` where the dialect has no such event.
    pub fn encode_server(&self, event: &ServerEvent, event_id: &str) -> Option<String> {
        let name = self.names.to_wire(event.name())?;
        Some(self.encode(name, event.to_fields(), Some(event_id)))
    }

    fn encode(&self, name: &str, mut fields: Map, event_id: Option<&str>) -> String {
        if let Some(Value::Object(session)) = fields.get_mut("session") {
            rules::session_to_wire(session, &self.table.session_map);
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
        let (mut fields, reshaped) = self.fields(raw, true)?;
        let mended = name == "error" && rules::error_from_wire(&mut fields);
        let rewritten = reshaped || mended || name != envelope.name();
        let event = ServerEvent::from_fields(name, fields);
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
        let (fields, reshaped) = self.fields(raw, aliases)?;
        let rewritten = reshaped || name != envelope.name();
        let event = ClientFrame::Fields {
            name: name.to_owned(),
            fields,
        };
        Ok(Decoded {
            event_id,
            rewritten,
            event,
        })
    }

    fn fields(&self, raw: &str, aliases: bool) -> Result<(Map, bool), Malformed> {
        let mut map: Map = serde_json::from_str(raw).map_err(|e| Malformed::Json(e.to_string()))?;
        map.remove("type");
        map.remove("event_id");
        let reshapable = ["session", "response", "item"]
            .iter()
            .any(|key| map.contains_key(*key));
        if !reshapable {
            return Ok((map, false));
        }
        let before = map.clone();
        if let Some(Value::Object(session)) = map.get_mut("session") {
            rules::session_from_wire(session, &self.table.session_map, aliases);
        }
        if aliases {
            if let Some(Value::Object(response)) = map.get_mut("response") {
                rules::undo_aliases(response);
            }
            if let Some(Value::Object(item)) = map.get_mut("item") {
                rules::item_parts_from_wire(item);
            }
        }
        let changed = map != before;
        Ok((map, changed))
    }

    /// The URL to dial: endpoint, model and extra query, percent-encoded.
    pub fn url(
        &self,
        base: Option<&str>,
        model: Option<&str>,
        query: &[(String, String)],
    ) -> String {
        let base = base.unwrap_or(&self.table.url);
        let (path, given) = base.split_once('?').unwrap_or((base, ""));
        let mut pairs: Vec<Cow<'_, str>> = Vec::new();
        if !given.is_empty() {
            pairs.push(Cow::Borrowed(given));
        }
        let names_model = given
            .split('&')
            .any(|p| p.split('=').next() == Some(&self.table.model.query));
        if let Some(model) = model.filter(|_| !names_model) {
            pairs.push(Cow::Owned(format!(
                "{}={}",
                self.table.model.query,
                encode(model)
            )));
        }
        for (key, value) in query {
            pairs.push(Cow::Owned(format!("{}={}", encode(key), encode(value))));
        }
        if pairs.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", pairs.join("&"))
        }
    }

    /// Header name and value that carry a credential.
    pub fn auth_header(&self, key: &str) -> Option<(String, String)> {
        let fits = |auth: &&Auth| auth.prefix.as_deref().is_none_or(|p| key.starts_with(p));
        let auth = self.table.auth.iter().find(fits)?;
        Some((auth.header.clone(), auth.value.replace("{key}", key)))
    }

    /// The full model name of a short one, where the dialect builds it from a folder.
    pub fn model_name(&self, folder: Option<&str>, model: &str) -> String {
        let rule = &self.table.model;
        let complete = rule.prefix.as_deref().is_none_or(|p| model.starts_with(p));
        match (&rule.template, folder) {
            (Some(template), Some(folder)) if !complete => template
                .replace("{folder}", folder)
                .replace("{model}", model),
            _ => model.to_owned(),
        }
    }
}

fn encode(text: &str) -> impl std::fmt::Display + '_ {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}

fn kind_named(name: &str) -> Option<Kind> {
    Kind::ALL.iter().copied().find(|kind| kind.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_built_in_tables_are_valid_and_the_first_is_the_default() {
        let names: Vec<_> = Dialect::names().collect();
        assert_eq!(names, ["yandex", "openai"]);
        assert_eq!(Dialect::default_dialect().name(), "yandex");
    }

    #[test]
    fn a_table_with_an_error_names_the_key() {
        let good = TABLES[0];
        let cases = [
            (good.replace("\"limits\"", "\"limitz\""), "limitz"),
            (
                good.replace("\"1008\": \"fatal\"", "\"1008\": \"fatl\""),
                "close.1008",
            ),
            (
                good.replace("\"late_pong\"", "\"late_pongs\""),
                "late_pongs",
            ),
            (
                good.replace("\"session_map\": []", "\"session_map\": [[\"a\", \"/b\"]]"),
                "session_map",
            ),
        ];
        for (text, key) in cases {
            let error = Dialect::from_json(&text).expect_err(key);
            assert!(error.message().contains(key), "{error}");
        }
    }

    #[test]
    fn the_model_is_percent_encoded_and_a_credential_chooses_its_form() {
        let dialect = Dialect::named("yandex").expect("built in");
        let model = dialect.model_name(Some("b1g"), "speech-realtime-260528/latest");
        let url = dialect.url(Some("ws://127.0.0.1:9/v1/realtime?x=1"), Some(&model), &[]);
        assert_eq!(
            url,
            "ws://127.0.0.1:9/v1/realtime?x=1&model=gpt%3A%2F%2Fb1g%2Fspeech%2Drealtime%2D260528%2Flatest"
        );
        let header = |key| dialect.auth_header(key).expect("has a form").1;
        assert_eq!(
            (header("t1.abc"), header("AQVN")),
            ("Bearer t1.abc".into(), "Api-Key AQVN".into())
        );
    }

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
