//! The outside of a frame: read in one pass, borrowing, without a JSON tree.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Type, ids and payload strings of one frame. Absent, null and mistyped fields read as empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    name: Text<'a>,
    #[serde(borrow)]
    event_id: Text<'a>,
    #[serde(borrow)]
    response_id: Text<'a>,
    #[serde(borrow)]
    item_id: Text<'a>,
    #[serde(borrow)]
    delta: Text<'a>,
    #[serde(borrow)]
    audio: Text<'a>,
    output_index: Number,
    content_index: Number,
}

/// Why a frame is not an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// Not JSON, or not a JSON object.
    Json(String),
    /// A JSON object without a `type`. Holds the `event_id` if there was one.
    Untyped(Option<String>),
    /// The base64 of an audio field is broken.
    Audio(String),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(why) => write!(f, "not a JSON object: {why}"),
            Self::Untyped(_) => f.write_str("the field `type` is missing"),
            Self::Audio(why) => write!(f, "audio is not base64: {why}"),
        }
    }
}

impl<'a> Envelope<'a> {
    /// Reads the outside of a frame.
    pub fn parse(raw: &'a str) -> Result<Self, Malformed> {
        // serde would take an array for a struct, field by field.
        if !raw.trim_start().starts_with('{') {
            return Err(Malformed::Json("it does not begin with {".to_owned()));
        }
        let envelope: Self =
            serde_json::from_str(raw).map_err(|e| Malformed::Json(e.to_string()))?;
        if envelope.name.0.is_empty() {
            return Err(Malformed::Untyped(envelope.event_id()));
        }
        Ok(envelope)
    }

    /// `type`, as the peer spelled it.
    pub fn name(&self) -> &str {
        &self.name.0
    }

    /// `event_id`, if any.
    pub fn event_id(&self) -> Option<String> {
        (!self.event_id.0.is_empty()).then(|| self.event_id.0.to_string())
    }

    /// `response_id`, or empty.
    pub fn response_id(&self) -> &str {
        &self.response_id.0
    }

    /// `item_id`, or empty.
    pub fn item_id(&self) -> &str {
        &self.item_id.0
    }

    /// `delta`, or empty; a slice of the frame unless it held escapes.
    pub fn delta(&self) -> &str {
        &self.delta.0
    }

    /// `audio`, or empty; a slice of the frame unless it held escapes.
    pub fn audio(&self) -> &str {
        &self.audio.0
    }

    /// `output_index`, or 0.
    pub fn output_index(&self) -> u32 {
        self.output_index.0
    }

    /// `content_index`, or 0.
    pub fn content_index(&self) -> u32 {
        self.content_index.0
    }
}

#[derive(Debug, Default)]
struct Text<'a>(Cow<'a, str>);

#[derive(Debug, Default)]
struct Number(u32);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyText)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNumber)
    }
}

struct AnyText;
struct AnyNumber;

/// Swallows every JSON type a field should not have.
macro_rules! otherwise {
    ($value:ty, $life:lifetime, $default:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<$value, E> {
            Ok($default)
        }
        fn visit_f64<E>(self, _: f64) -> Result<$value, E> {
            Ok($default)
        }
        fn visit_unit<E>(self) -> Result<$value, E> {
            Ok($default)
        }
        fn visit_seq<A: SeqAccess<$life>>(self, mut seq: A) -> Result<$value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok($default)
        }
        fn visit_map<A: MapAccess<$life>>(self, mut map: A) -> Result<$value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($default)
        }
    };
}

impl<'de> Visitor<'de> for AnyText {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(v)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(v.to_owned())))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Text::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Text::default())
    }

    otherwise!(Text<'de>, 'de, Text::default());
}

impl<'de> Visitor<'de> for AnyNumber {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_u64<E>(self, v: u64) -> Result<Number, E> {
        Ok(Number(u32::try_from(v).unwrap_or_default()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Number, E> {
        Ok(Number::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Number, E> {
        Ok(Number::default())
    }

    otherwise!(Number, 'de, Number::default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_is_a_slice_of_the_frame() {
        let raw =
            r#"{"type":"x","delta":"AAAA","item_id":"i","output_index":2,"new":[1,{"a":null}]}"#;
        let envelope = Envelope::parse(raw).expect("parses");
        assert!(matches!(envelope.delta.0, Cow::Borrowed(_)));
        assert_eq!(
            (envelope.name(), envelope.item_id(), envelope.output_index()),
            ("x", "i", 2)
        );
    }

    #[test]
    fn escapes_are_undone() {
        let envelope = Envelope::parse(r#"{"delta":"A\/A\/","type":"x"}"#).expect("parses");
        assert_eq!(envelope.delta(), "A/A/");
    }

    #[test]
    fn null_and_mistyped_fields_read_as_empty() {
        let raw = r#"{"type":"x","delta":null,"item_id":5,"response_id":{"a":1},"event_id":[1],
                      "audio":1.5,"output_index":"2","content_index":-1}"#;
        let e = Envelope::parse(raw).expect("parses");
        assert_eq!(
            (e.delta(), e.item_id(), e.response_id(), e.audio()),
            ("", "", "", "")
        );
        assert_eq!(
            (e.event_id(), e.output_index(), e.content_index()),
            (None, 0, 0)
        );
    }

    #[test]
    fn what_is_no_event_says_why() {
        for raw in ["", "nonsense", "[\"type\"]", "5", "{\"type\":", "null"] {
            assert!(
                matches!(Envelope::parse(raw), Err(Malformed::Json(_))),
                "{raw}"
            );
        }
        let untyped = Envelope::parse(r#"{"event_id":"a"}"#).expect_err("no type");
        assert_eq!(untyped, Malformed::Untyped(Some("a".to_owned())));
        assert!(matches!(
            Envelope::parse(r#"{"type":7}"#),
            Err(Malformed::Untyped(None))
        ));
    }
}
