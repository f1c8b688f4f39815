//! What may be kept of a session: no credential, and no audio.

use serde_json::{Value, json};
use talkwire_core::audio::format::Format;
use talkwire_core::dialect::Dialect;
use talkwire_core::wire::ServerEvent;
use talkwire_core::wire::envelope::Envelope;
use talkwire_core::wire::server::AUDIO_DELTA;

use crate::scan::{self, Text};
use crate::upgrade::Knock;

/// Stands where a secret was.
pub(crate) const REMOVED: &str = "[removed]";

/// Strings longer than this are no text that anybody reads: pictures, mostly.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// Keys whose strings are secrets, without case and with `-` as `_`.
const SECRET_KEYS: &[&str] = &[
    "access_token",
    "api_key",
    "apikey",
    "authorization",
    "client_secret",
    "password",
    "secret",
    "token",
    "x_api_key",
];

/// Knows what is secret.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redactor {
    known: Vec<String>,
}

impl Redactor {
    /// Also removes these texts, wherever they stand.
    pub(crate) fn new(known: impl IntoIterator<Item = String>) -> Self {
        // A key of three letters would take words apart.
        let known = known.into_iter().filter(|secret| secret.len() >= 4);
        Self {
            known: known.collect(),
        }
    }

    /// The JSON to put in place of a string that holds a secret.
    pub(crate) fn secret(&self, text: &Text<'_>) -> Option<String> {
        let in_headers = text
            .keys
            .iter()
            .any(|key| key.eq_ignore_ascii_case("headers"));
        if is_secret_key(text.key()) || (in_headers && text.key() != "headers") {
            return Some(format!("\"{REMOVED}\""));
        }
        let clean = self.without_known(text.raw)?;
        Some(format!("\"{clean}\""))
    }

    /// `text` without known secrets; `None` if it holds none.
    fn without_known(&self, text: &str) -> Option<String> {
        let mut clean: Option<String> = None;
        for secret in &self.known {
            let text = clean.as_deref().unwrap_or(text);
            if text.contains(secret.as_str()) {
                clean = Some(text.replace(secret.as_str(), REMOVED));
            }
        }
        clean
    }

    /// A line for people, without known secrets.
    pub(crate) fn line(&self, text: &str) -> String {
        self.without_known(text).unwrap_or_else(|| text.to_owned())
    }

    /// An upgrade request.
    pub(crate) fn knock(&self, knock: &Knock) -> Value {
        let pairs = knock
            .query
            .split('&')
            .map(|pair| match pair.split_once('=') {
                Some((key, _)) if is_secret_name(key) => format!("{key}={REMOVED}"),
                _ => self.line(pair),
            });
        let query = pairs.collect::<Vec<_>>().join("&");
        let headers = knock.headers.iter().map(|(name, value)| {
            let value = if is_secret_name(name) {
                // The scheme tells which form of credential was sent.
                let scheme = value.split_once(' ').map(|(scheme, _)| scheme);
                scheme.map_or_else(|| REMOVED.to_owned(), |s| format!("{s} {REMOVED}"))
            } else {
                self.line(&without_offered_key(value))
            };
            json!([name, value])
        });
        json!({"path": knock.path, "query": query, "headers": headers.collect::<Vec<_>>()})
    }
}

fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    SECRET_KEYS.contains(&key.as_str())
}

/// Headers and query parameters have no text of conversations in them, so a hint suffices. The
/// key of the handshake is no key.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let hints = [
        "auth", "key", "token", "secret", "cookie", "sig", "password",
    ];
    hints.iter().any(|hint| name.contains(hint)) && name != "sec-websocket-key"
}

/// Browsers offer their credential as a subprotocol that ends in it.
fn without_offered_key(value: &str) -> String {
    let offers = value
        .split(',')
        .map(|offer| match offer.split_once("key.") {
            Some((before, _)) => format!("{before}key.{REMOVED}"),
            None => offer.to_owned(),
        });
    offers.collect::<Vec<_>>().join(",")
}

/// The formats of a session's audio, as the server last said them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Formats {
    /// What the client sends.
    pub(crate) input: Format,
    /// What the server sends.
    pub(crate) output: Format,
}

impl Formats {
    pub(crate) fn new(dialect: &Dialect) -> Self {
        let defaults = &dialect.table().defaults;
        let pcm = |rate_hz| Format::Pcm16 { rate_hz };
        Self {
            input: pcm(defaults.input_rate_hz),
            output: pcm(defaults.output_rate_hz),
        }
    }

    /// Learns from a frame of the server.
    pub(crate) fn learn(&mut self, name: &str, raw: &str, dialect: &Dialect) {
        if !name.contains("session.") {
            return;
        }
        let Ok(decoded) = dialect.decode_server(raw) else {
            return;
        };
        if let ServerEvent::SessionCreated(event) | ServerEvent::SessionUpdated(event) =
            decoded.event
        {
            let at = |pointer, old: Format| {
                let said = event.session.format_at(pointer, old.rate_hz());
                said.unwrap_or(old)
            };
            self.input = at("/audio/input/format", self.input);
            self.output = at("/audio/output/format", self.output);
        }
    }
}

/// Whether a string of an event of that name is audio, and whose.
pub(crate) fn is_audio(name: &str, text: &Text<'_>) -> bool {
    match text.key() {
        "audio" => true,
        "delta" => name == AUDIO_DELTA || name.ends_with("audio.delta"),
        _ => false,
    }
}

/// An event as it may be kept: `(name, JSON)`. Audio becomes its size and duration.
pub(crate) fn event(raw: &str, format: Format, redactor: &Redactor) -> (String, String) {
    let unreadable = || (String::new(), json!({"bytes": raw.len()}).to_string());
    let Ok(envelope) = Envelope::parse(raw) else {
        return unreadable();
    };
    let name = envelope.name();
    let kept = scan::rewrite(raw, |text| {
        let bytes = text.raw.len();
        if is_audio(name, text) {
            let padding = text.raw.bytes().rev().take_while(|b| *b == b'=').count();
            let bytes = (bytes - padding.min(bytes)) * 3 / 4;
            let ms = format.ms_of_bytes(bytes as u64);
            return Some(json!({"bytes": bytes, "ms": ms}).to_string());
        }
        let secret = redactor.secret(text);
        secret.or_else(|| (bytes > MAX_TEXT_BYTES).then(|| json!({"bytes": bytes}).to_string()))
    });
    kept.map_or_else(unreadable, |kept| {
        (name.to_owned(), kept.replace(['\n', '\r'], " "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPOKEN: &str = r#"{"type":"input_audio_buffer.append","audio":"AAAAAAAAAAA=","x":"ab"}"#;

    #[test]
    fn audio_becomes_its_size_and_duration() {
        let (name, json) = event(
            SPOKEN,
            Format::Pcm16 { rate_hz: 8_000 },
            &Redactor::default(),
        );
        assert_eq!(name, "input_audio_buffer.append");
        assert_eq!(
            json,
            r#"{"type":"input_audio_buffer.append","audio":{"bytes":8,"ms":0},"x":"ab"}"#
        );
    }

    #[test]
    fn secrets_go_and_words_that_look_like_them_stay() {
        let redactor = Redactor::new(["hunter2".to_owned(), "ab".to_owned()]);
        let raw = r#"{"type":"session.update","session":{"instructions":"the token is hunter2!",
            "tools":[{"type":"mcp","authorization":"x1","headers":{"X-Any":"x2"},
            "parameters":{"token":{"type":"string"}}}],"api-key":"x3","max_output_tokens":5}}"#;
        let (_, json) = event(raw, Format::PCM16_24K, &redactor);
        for gone in ["hunter2", "x1", "x2", "x3"] {
            assert!(!json.contains(gone), "{gone}: {json}");
        }
        for kept in ["the token is [removed]!", "\"string\"", "max_output_tokens"] {
            assert!(json.contains(kept), "{kept}: {json}");
        }
        assert!(!json.contains('\n'));
    }

    #[test]
    fn an_upgrade_request_keeps_the_form_of_its_credential_only() {
        let headers = [
            ("Authorization", "Bearer hunter2"),
            ("api-key", "hunter2"),
            (
                "Sec-WebSocket-Protocol",
                "realtime, openai-insecure-api-key.hunter2",
            ),
            ("User-Agent", "test/1"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let url = "ws://h/v1/realtime?model=m&api-key=hunter2";
        let text = Redactor::default()
            .knock(&Knock::new(url, headers.to_vec()))
            .to_string();
        assert!(!text.contains("hunter2"), "{text}");
        for kept in ["Bearer [removed]", "model=m", "test/1", "realtime"] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }

    #[test]
    fn what_is_no_event_is_kept_as_its_size() {
        let kept = event("{\"type\":", Format::PCM16_24K, &Redactor::default());
        assert_eq!(kept, (String::new(), "{\"bytes\":8}".to_owned()));
    }
}
