//! Shapes: where a dialect has the fields of an object, and how it calls their values.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json::Value;

use crate::wire::Map;
use crate::wire::session::{put, take};

/// Stands for any text in a pair of values.
const ANY_TEXT: &str = "{}";

/// One field of a shape. In a table it is a list: canonical JSON pointer, the dialect's pointer or
/// null where it has no such field, and optionally pairs of values, canonical then the dialect's.
///
/// The first pair that fits is used, so that several spellings can be read and one is written. A
/// value that no pair fits stays as it is. `{}` in a pair stands for any text. Where the dialect
/// has no such field, a value with a pair goes without saying.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Canonical JSON pointer.
    pub canonical: String,
    /// The dialect's JSON pointer; `None` where it has no such field.
    pub wire: Option<String>,
    /// Canonical values and the dialect's.
    pub values: Vec<(Value, Value)>,
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Places;
        impl<'de> Visitor<'de> for Places {
            type Value = Place;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[canonical pointer, pointer or null, pairs of values]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Place, A::Error> {
                let short = |n| A::Error::invalid_length(n, &self);
                let canonical: String = seq.next_element()?.ok_or_else(|| short(0))?;
                let wire: Option<String> = seq.next_element()?.ok_or_else(|| short(1))?;
                for pointer in [Some(&canonical), wire.as_ref()].into_iter().flatten() {
                    if !pointer.starts_with('/') {
                        let message = format!("`{pointer}` is no JSON pointer");
                        return Err(A::Error::custom(message));
                    }
                }
                Ok(Place {
                    canonical,
                    wire,
                    values: seq.next_element()?.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_seq(Places)
    }
}

impl Place {
    fn value_to_wire(&self, value: Value) -> Value {
        translate(
            value,
            self.values.iter().map(|(ours, theirs)| (ours, theirs)),
        )
    }

    fn value_from_wire(&self, value: Value) -> Value {
        translate(
            value,
            self.values.iter().map(|(ours, theirs)| (theirs, ours)),
        )
    }

    /// Whether the dialect cannot be told this value.
    pub(super) fn loses(&self, value: &Value) -> bool {
        let implied = || self.values.iter().any(|(ours, _)| ours == value);
        self.wire.is_none() && !value.is_null() && !implied()
    }

    /// Whether the field is elsewhere than canonically.
    fn moves(&self) -> bool {
        self.wire.as_ref() != Some(&self.canonical)
    }
}

/// Moves fields to where the dialect has them.
pub(super) fn to_wire(object: &mut Map, places: &[Place]) {
    // All are taken before any is put: the pointers of the two sides may overlap.
    let taken: Vec<_> = places
        .iter()
        .filter_map(|place| Some((place, take(object, &place.canonical)?)))
        .collect();
    for (place, value) in taken {
        if let Some(wire) = &place.wire {
            put_merged(object, wire, place.value_to_wire(value));
        }
    }
}

/// Takes the fields out of where the dialect has them: canonical pointers and values.
pub(super) fn take_from_wire<'a>(object: &mut Map, places: &'a [Place]) -> Vec<(&'a str, Value)> {
    let taken = places.iter().filter_map(|place| {
        let value = take(object, place.wire.as_ref()?)?;
        Some((place.canonical.as_str(), place.value_from_wire(value)))
    });
    taken.collect()
}

/// Puts what was taken where it is canonically.
pub(super) fn put_canonical(object: &mut Map, taken: Vec<(&str, Value)>) {
    for (pointer, value) in taken {
        put_merged(object, pointer, value);
    }
}

/// The first canonical field in an object of the dialect's shape that has it elsewhere, as a path
/// with dots.
pub(super) fn foreign(object: &Map, places: &[Place]) -> Option<String> {
    let is_theirs = |pointer: &str| {
        let wires = places.iter().filter_map(|place| place.wire.as_deref());
        wires.into_iter().any(|wire| is_within(wire, pointer))
    };
    let place = places.iter().find(|place| {
        place.moves() && lookup(object, &place.canonical).is_some() && !is_theirs(&place.canonical)
    })?;
    // A strict server names the first key that it does not know.
    let keys: Vec<_> = place.canonical.split('/').skip(1).collect();
    let known = |count: usize| is_theirs(&format!("/{}", keys[..count].join("/")));
    let unknown = (1..=keys.len()).find(|count| !known(*count))?;
    Some(keys[..unknown].join("."))
}

/// Renames a path such as `session.audio.output.voice`, whose object's shape is given.
pub(super) fn rename_path(path: &str, object: &str, places: &[Place], outward: bool) -> String {
    let Some(rest) = path.strip_prefix(object).and_then(|p| p.strip_prefix('.')) else {
        return path.to_owned();
    };
    let pointer = format!("/{}", rest.replace('.', "/"));
    let sides = places.iter().filter_map(|place| {
        let wire = place.wire.as_deref()?;
        Some(if outward {
            (place.canonical.as_str(), wire)
        } else {
            (wire, place.canonical.as_str())
        })
    });
    let longest = sides
        .filter(|(from, _)| is_within(&pointer, from))
        .max_by_key(|(from, _)| from.len());
    let Some((from, to)) = longest else {
        return path.to_owned();
    };
    let renamed = format!("{to}{}", &pointer[from.len()..]);
    format!("{object}{}", renamed.replace('/', "."))
}

/// Whether a pointer is `outer` or leads into it.
fn is_within(pointer: &str, outer: &str) -> bool {
    pointer
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) fn lookup<'a>(object: &'a Map, pointer: &str) -> Option<&'a Value> {
    let mut keys = pointer.split('/').skip(1);
    let first = object.get(keys.next()?)?;
    keys.try_fold(first, |value, key| value.get(key))
}

/// Sets a value; where both the old and the new one are objects, keys of both remain.
fn put_merged(object: &mut Map, pointer: &str, value: Value) {
    let value = match (lookup(object, pointer), value) {
        (Some(Value::Object(old)), Value::Object(new)) => {
            let mut both = old.clone();
            both.extend(new);
            Value::Object(both)
        }
        (_, value) => value,
    };
    put(object, pointer, value);
}

fn translate<'a>(value: Value, pairs: impl Iterator<Item = (&'a Value, &'a Value)>) -> Value {
    for (from, to) in pairs {
        let mut bound = None;
        if fits(&value, from, &mut bound) {
            return fill(to, bound.as_deref());
        }
    }
    value
}

/// Whether a value is the one of a pair; a null in it is as good as nothing.
fn fits(value: &Value, pattern: &Value, bound: &mut Option<String>) -> bool {
    match (value, pattern) {
        (Value::String(text), Value::String(any)) if any == ANY_TEXT => {
            *bound = Some(text.clone());
            true
        }
        (Value::Object(value), Value::Object(pattern)) => {
            let told = value.iter().filter(|(_, v)| !v.is_null());
            told.clone().count() == pattern.len()
                && told
                    .into_iter()
                    .all(|(key, v)| pattern.get(key).is_some_and(|p| fits(v, p, bound)))
        }
        (value, pattern) => value == pattern,
    }
}

fn fill(pattern: &Value, bound: Option<&str>) -> Value {
    match (pattern, bound) {
        (Value::String(any), Some(text)) if any == ANY_TEXT => Value::String(text.to_owned()),
        (Value::Object(map), _) => {
            let filled = map.iter().map(|(k, v)| (k.clone(), fill(v, bound)));
            Value::Object(filled.collect())
        }
        (other, _) => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn places(value: Value) -> Vec<Place> {
        serde_json::from_value(value).expect("places")
    }

    fn object(value: Value) -> Map {
        serde_json::from_value(value).expect("an object")
    }

    fn round(places: &[Place], canonical: &Value, wire: &Value) {
        let mut there = object(canonical.clone());
        to_wire(&mut there, places);
        assert_eq!(Value::Object(there.clone()), *wire);
        let taken = take_from_wire(&mut there, places);
        put_canonical(&mut there, taken);
        assert_eq!(Value::Object(there), *canonical);
    }

    #[test]
    fn fields_are_split_and_joined_on_the_way() {
        let places = places(json!([
            ["/audio/input/format/rate", "/rate"],
            ["/audio/input/format", "/format", [[{"type": "audio/pcm"}, "pcm16"]]],
            ["/detection/type", "/vad/type", [["semantic", "clever"]]],
            ["/detection", "/vad"]
        ]));
        round(
            &places,
            &json!({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 8000}}},
                "detection": {"type": "semantic", "ms": 5}, "other": 1}),
            &json!({"rate": 8000, "format": "pcm16", "vad": {"type": "clever", "ms": 5},
                "other": 1}),
        );
        round(&places, &json!({"detection": null}), &json!({"vad": null}));
    }

    #[test]
    fn a_value_goes_by_its_pair_and_others_stay() {
        let places = places(json!([["/voice", "/tts", [
            ["alloy", {"type": "own", "name": "alloy"}],
            ["{}", {"type": "standard", "name": "{}"}]
        ]]]));
        for (ours, theirs) in [
            (json!("alloy"), json!({"type": "own", "name": "alloy"})),
            (json!("Ava"), json!({"type": "standard", "name": "Ava"})),
            (json!({"id": "x"}), json!({"id": "x"})),
            (
                json!({"type": "standard", "name": "Ava", "style": "sad"}),
                json!({"type": "standard", "name": "Ava", "style": "sad"}),
            ),
        ] {
            round(&places, &json!({"voice": ours}), &json!({"tts": theirs}));
        }
    }

    #[test]
    fn a_field_that_the_dialect_lacks_is_lost_unless_it_goes_without_saying() {
        let places = places(json!([["/type", null, [["realtime", null]]]]));
        let mut there = object(json!({"type": "realtime"}));
        to_wire(&mut there, &places);
        assert!(there.is_empty());
        assert!(!places[0].loses(&json!("realtime")));
        assert!(places[0].loses(&json!("transcription")));
    }

    #[test]
    fn a_canonical_field_in_another_shape_is_named_by_the_first_unknown_key() {
        let places = places(json!([
            ["/audio/output/voice", "/voice"],
            ["/type", null],
            ["/tools", "/tools"]
        ]));
        let of = |value| foreign(&object(value), &places);
        assert_eq!(of(json!({"voice": "a", "tools": []})), None);
        let nested = json!({"audio": {"output": {"voice": "a"}}});
        assert_eq!(of(nested).as_deref(), Some("audio"));
        assert_eq!(of(json!({"type": "realtime"})).as_deref(), Some("type"));
    }

    #[test]
    fn paths_of_errors_are_renamed_both_ways() {
        let places = places(json!([
            ["/audio/input/format/rate", "/rate"],
            ["/audio/input/format", "/format"]
        ]));
        for (ours, theirs) in [
            ("session.audio.input.format", "session.format"),
            ("session.audio.input.format.rate", "session.rate"),
            ("session.audio.input.format.type", "session.format.type"),
            ("session.tools[0].name", "session.tools[0].name"),
            ("item.content", "item.content"),
        ] {
            assert_eq!(rename_path(ours, "session", &places, true), theirs);
            assert_eq!(rename_path(theirs, "session", &places, false), ours);
        }
    }
}
