//! Makes the event transcripts of different languages and runs comparable.
//!
//! The rules, in this order:
//! 1. `rate_limits.updated` and `conversation.created` are left out: they may come at any time.
//! 2. The fields of [`DROPPED`] are left out wherever they stand: ids of single events, times,
//!    and counts that follow from how fast audio was sent.
//! 3. Ids become `#1`, `#2`, ... in the order of their first appearance: every string in a field
//!    of [`IDS`], and afterwards every other string that is exactly such an id. `null` stays.
//! 4. Base64 audio (`delta` of `response.output_audio.delta`, `audio` that is a string) becomes
//!    its number of bytes and a digest of the bytes.
//! 5. Events whose type ends in `.delta` and which agree in type and in all fields but `delta`
//!    are one line at the place of the first of them; their deltas are joined before rule 4.
//! 6. What remains is printed as the type, a blank, and the JSON with sorted keys.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::base64;
use super::names::FREE_EVENTS;

/// Fields that differ between two runs of the same dialogue.
pub const DROPPED: &[&str] = &[
    "event_id",
    "expires_at",
    "created_at",
    "received_at",
    "audio_start_ms",
    "audio_end_ms",
    "usage",
];

/// Fields that hold an id.
pub const IDS: &[&str] = &[
    "id",
    "item_id",
    "previous_item_id",
    "response_id",
    "call_id",
    "conversation_id",
    "approval_request_id",
];

/// The transcript of a session: one line for each event, deltas of a part joined.
pub fn normalise(events: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut parts = BTreeMap::new();
    let mut ids = Ids::default();
    for event in events {
        let Value::Object(event) = event else {
            continue;
        };
        let name = event.get("type").and_then(Value::as_str).unwrap_or("?");
        if FREE_EVENTS.contains(&name) {
            continue;
        }
        let mut body = without_noise(event);
        ids.number(&mut body);
        let delta = match name.ends_with(".delta") {
            true => body.remove("delta"),
            false => None,
        };
        let Some(Value::String(delta)) = delta else {
            lines.push(Line {
                name: name.to_owned(),
                body,
                deltas: Vec::new(),
            });
            continue;
        };
        let key = format!("{name} {}", Value::Object(body.clone()));
        let at = *parts.entry(key).or_insert(lines.len());
        if at == lines.len() {
            lines.push(Line {
                name: name.to_owned(),
                body,
                deltas: Vec::new(),
            });
        }
        lines[at].deltas.push(delta);
    }
    lines.into_iter().map(Line::print).collect()
}

struct Line {
    name: String,
    body: Map<String, Value>,
    deltas: Vec<String>,
}

impl Line {
    fn print(mut self) -> String {
        if !self.deltas.is_empty() {
            let audio = self.name == "response.output_audio.delta";
            let text = if audio {
                digest(&self.deltas)
            } else {
                self.deltas.concat()
            };
            self.body.insert("delta".into(), Value::String(text));
        }
        // Sorted by hand: whether a map keeps its order is decided by a feature of another crate.
        format!("{} {}", self.name, sorted(&Value::Object(self.body)))
    }
}

fn without_noise(event: &Map<String, Value>) -> Map<String, Value> {
    let kept = event
        .iter()
        .filter(|(key, _)| *key != "type" && !DROPPED.contains(&key.as_str()));
    kept.map(|(key, value)| (key.clone(), quiet(key, value)))
        .collect()
}

fn quiet(key: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if key == "audio" => Value::String(digest(std::slice::from_ref(text))),
        Value::Object(map) => {
            let kept = map
                .iter()
                .filter(|(key, _)| !DROPPED.contains(&key.as_str()));
            Value::Object(
                kept.map(|(key, value)| (key.clone(), quiet(key, value)))
                    .collect(),
            )
        }
        Value::Array(all) => Value::Array(all.iter().map(|one| quiet("", one)).collect()),
        other => other.clone(),
    }
}

/// Bytes and FNV-1a of the audio: enough to see a lost, doubled or damaged byte.
fn digest(pieces: &[String]) -> String {
    let (mut bytes, mut hash) = (0, 0xcbf2_9ce4_8422_2325_u64);
    for piece in pieces {
        let Some(audio) = base64::decode(piece) else {
            return "not base64".to_owned();
        };
        bytes += audio.len();
        for byte in audio {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{bytes} bytes of audio, {hash:016x}")
}

#[derive(Default)]
struct Ids {
    known: BTreeMap<String, String>,
}

impl Ids {
    /// Ids first, so that a mention before the id field within one event is found too.
    fn number(&mut self, body: &mut Map<String, Value>) {
        for (key, value) in sorted_fields(body) {
            self.learn(key, value);
        }
        for value in body.values_mut() {
            self.replace(value);
        }
    }

    fn learn(&mut self, key: &str, value: &Value) {
        match value {
            Value::String(id) if IDS.contains(&key) => {
                let next = format!("#{}", self.known.len() + 1);
                self.known.entry(id.clone()).or_insert(next);
            }
            Value::Object(map) => {
                for (key, value) in sorted_fields(map) {
                    self.learn(key, value);
                }
            }
            Value::Array(all) => all.iter().for_each(|one| self.learn("", one)),
            _ => {}
        }
    }

    fn replace(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(number) = self.known.get(text.as_str()) {
                    text.clone_from(number);
                }
            }
            Value::Object(map) => map.values_mut().for_each(|value| self.replace(value)),
            Value::Array(all) => all.iter_mut().for_each(|value| self.replace(value)),
            _ => {}
        }
    }
}

fn sorted_fields(map: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let mut all = map
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect::<Vec<_>>();
    all.sort_by_key(|(key, _)| *key);
    all
}

fn sorted(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let fields = sorted_fields(map).into_iter();
            let fields =
                fields.map(|(key, value)| format!("{}:{}", Value::from(key), sorted(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(all) => {
            format!("[{}]", all.iter().map(sorted).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::normalise;

    #[test]
    fn ids_are_numbered_in_order_of_appearance_and_followed_everywhere() {
        let lines = normalise(&[
            json!({"type": "response.created", "event_id": "e1", "response": {"id": "resp_9"}}),
            json!({"type": "response.output_item.added", "response_id": "resp_9", "item": {"id": "item_4"}}),
            json!({"type": "error", "error": {"message": "resp_9", "param": null, "event_id": "x"}}),
        ]);
        assert_eq!(
            lines,
            [
                r##"response.created {"response":{"id":"#1"}}"##,
                r##"response.output_item.added {"item":{"id":"#2"},"response_id":"#1"}"##,
                r##"error {"error":{"message":"#1","param":null}}"##,
            ]
        );
    }

    #[test]
    fn deltas_of_a_part_are_one_line_even_when_parts_interleave() {
        let delta = |item: &str, text: &str| json!({"type": "response.output_text.delta", "item_id": item, "delta": text});
        let lines = normalise(&[delta("a", "one "), delta("b", "x"), delta("a", "two")]);
        assert_eq!(
            lines,
            [
                r##"response.output_text.delta {"delta":"one two","item_id":"#1"}"##,
                r##"response.output_text.delta {"delta":"x","item_id":"#2"}"##,
            ]
        );
    }

    #[test]
    fn audio_is_compared_by_its_bytes_and_not_by_how_it_was_cut() {
        let audio = |text: &str| json!({"type": "response.output_audio.delta", "item_id": "a", "delta": text});
        let whole = normalise(&[audio("AQIDBAUG")]);
        assert_eq!(whole, normalise(&[audio("AQI="), audio("AwQFBg==")]));
        assert_ne!(whole, normalise(&[audio("AQIDBAUH")]));
        assert!(whole[0].contains("6 bytes of audio"), "{whole:?}");
    }

    #[test]
    fn times_and_events_without_a_fixed_place_are_left_out() {
        let started = |ms: u32| json!({"type": "input_audio_buffer.speech_started", "audio_start_ms": ms, "item_id": "i"});
        let limits = json!({"type": "rate_limits.updated", "rate_limits": []});
        assert_eq!(normalise(&[limits, started(3)]), normalise(&[started(7)]));
        assert_eq!(normalise(&[Value::Null]), Vec::<String>::new());
    }
}
