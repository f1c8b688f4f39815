//! Every event and every field that the facts know, through every dialect.

use serde_json::{Map, Value, json};
use talkwire_core::dialect::{ClientFrame, Dialect};
use talkwire_core::wire::session::put;
use talkwire_core::wire::{ClientEvent, ServerEvent};

const FACTS: &str = include_str!("../wire/events.json");
const VECTORS: &str = include_str!("../wire/vectors.jsonl");

fn facts() -> Vec<Value> {
    serde_json::from_str(FACTS).expect("the facts are JSON")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect(key)
}

/// A value that a field of this type can have.
fn sample(field: &Value) -> Value {
    let kind = text(field, "type").split('|').next().expect("a type");
    match kind {
        "string" => json!("AAAA"),
        "integer" => json!(7),
        "number" => json!(0.5),
        "boolean" => json!(true),
        "enum" => field["allowed"][0].clone(),
        "any" => json!({"k": [1, null]}),
        "object" => json!({}),
        array if array.starts_with("array") => match &array[5..] {
            "<object>" => json!([{}]),
            "<integer>" => json!([7]),
            _ => json!(["AAAA"]),
        },
        other => panic!("a type the facts did not have before: {other}"),
    }
}

/// The steps of a path without its variants: `item<message/user>.content[].text`.
fn steps(path: &str) -> Vec<(String, bool)> {
    let mut plain = String::new();
    let mut depth = 0;
    for c in path.chars() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let step = |step: &str| match step.strip_suffix("[]") {
        Some(name) => (name.to_owned(), true),
        None => (step.to_owned(), false),
    };
    plain.split('.').map(step).collect()
}

fn nest(steps: &[(String, bool)], value: Value) -> Value {
    let Some(((name, is_list), rest)) = steps.split_first() else {
        return value;
    };
    let inner = nest(rest, value);
    let inner = if *is_list { json!([inner]) } else { inner };
    json!({ name: inner })
}

fn follow<'a>(steps: &[(String, bool)], value: &'a Value) -> &'a Value {
    steps.iter().fold(value, |value, (name, is_list)| {
        let value = &value[name];
        if *is_list { &value[0] } else { value }
    })
}

/// Whether `found` has all of `value`; typed objects may add the fields they always write.
fn holds(found: &Value, value: &Value) -> bool {
    match (found, value) {
        (Value::Object(found), Value::Object(value)) => value
            .iter()
            .all(|(key, value)| found.get(key).is_some_and(|f| holds(f, value))),
        (Value::Array(found), Value::Array(value)) => {
            found.len() == value.len() && found.iter().zip(value).all(|(f, v)| holds(f, v))
        }
        (found, value) => found == value,
    }
}

fn frame(name: &str, fields: Value) -> String {
    let mut map: Map<String, Value> = fields.as_object().cloned().unwrap_or_default();
    map.insert("type".to_owned(), json!(name));
    Value::Object(map).to_string()
}

/// Fields of older shapes, which decoding moves to their canonical places.
fn is_older_shape(steps: &[(String, bool)]) -> bool {
    const OLD: &[&str] = &[
        "modalities",
        "input_audio_format",
        "output_audio_format",
        "input_audio_transcription",
        "turn_detection",
        "voice",
        "speed",
    ];
    matches!(steps, [(first, _), (second, _), ..]
        if ["session", "response"].contains(&first.as_str()) && OLD.contains(&second.as_str()))
}

#[test]
fn every_event_of_the_facts_is_typed() {
    for event in facts() {
        let name = text(&event, "name");
        let fields = Map::new();
        let other = match text(&event, "direction") {
            "client" if name == "input_audio_buffer.append" => false,
            "client" => matches!(
                ClientEvent::from_fields(name, fields),
                ClientEvent::Other { .. }
            ),
            _ if name == "response.output_audio.delta" => false,
            _ => matches!(
                ServerEvent::from_fields(name, fields),
                ServerEvent::Other { .. }
            ),
        };
        assert!(!other, "{name} has no type of its own");
    }
}

#[test]
fn every_field_of_the_facts_survives_reading_and_writing() {
    let dialect = Dialect::named("openai").expect("built in");
    let mut seen = 0;
    for event in facts() {
        let name = text(&event, "name");
        for field in event["fields"].as_array().expect("fields") {
            let path = text(field, "path");
            let steps = steps(path);
            if ["type", "event_id"].contains(&path) || is_older_shape(&steps) {
                continue;
            }
            let value = sample(field);
            let frame = frame(name, nest(&steps, value.clone()));
            let written = Value::Object(round(&dialect, text(&event, "direction"), &frame));
            let found = follow(&steps, &written);
            assert!(
                holds(found, &value),
                "{name}: {path}: {value} became {written}"
            );
            seen += 1;
        }
    }
    assert!(seen > 600, "only {seen} fields were tried");
}

fn round(dialect: &Dialect, direction: &str, frame: &str) -> Map<String, Value> {
    if direction == "server" {
        return dialect.decode_server(frame).expect(frame).event.to_fields();
    }
    match dialect.decode_client(frame).expect(frame).event {
        ClientFrame::Append(append) => ClientEvent::Append(append).to_fields(),
        ClientFrame::Fields { name, fields, .. } => {
            ClientEvent::from_fields(&name, fields).to_fields()
        }
    }
}

#[test]
fn no_field_that_is_null_missing_or_of_another_type_fails_an_event() {
    for dialect in Dialect::names().map(|n| Dialect::named(n).expect("built in")) {
        for event in facts() {
            let name = text(&event, "name");
            for field in event["fields"].as_array().expect("fields") {
                let steps = steps(text(field, "path"));
                if steps[0].0 == "type" {
                    continue;
                }
                for odd in [
                    Value::Null,
                    json!(5),
                    json!({"a": []}),
                    json!([null]),
                    json!("***"),
                ] {
                    let is_audio = name.ends_with("audio.delta") || name.ends_with("append");
                    if is_audio && odd == json!("***") {
                        continue;
                    }
                    let frame = frame(name, nest(&steps, odd));
                    dialect.decode_server(&frame).expect(&frame);
                    dialect.decode_client(&frame).expect(&frame);
                }
            }
        }
    }
}

#[test]
fn what_one_side_writes_the_other_reads_in_every_dialect() {
    let mut pairs = 0;
    for dialect in Dialect::names().map(|n| Dialect::named(n).expect("built in")) {
        for event in facts() {
            let name = text(&event, "name");
            for field in event["fields"].as_array().expect("fields") {
                let steps = steps(text(field, "path"));
                if ["type", "event_id"].contains(&steps[0].0.as_str()) || is_older_shape(&steps) {
                    continue;
                }
                let fields = nest(&steps, sample(field));
                if is_lost(&dialect, name, &fields) {
                    continue;
                }
                let is_client = text(&event, "direction") == "client";
                pairs += u32::from(if is_client {
                    client_agrees(&dialect, name, &fields)
                } else {
                    server_agrees(&dialect, name, &fields)
                });
            }
        }
    }
    assert!(pairs > 3_000, "only {pairs} pairs were tried");
}

/// Whether the fields hold what the dialect's table says it loses: a field it has not, or a value
/// that is spelled like another one.
fn is_lost(dialect: &Dialect, name: &str, fields: &Value) -> bool {
    let table = dialect.table();
    let response = match name {
        "response.create" => &table.request_map,
        _ => &table.response_map,
    };
    [("session", &table.session_map), ("response", response)]
        .into_iter()
        .any(|(key, places)| {
            places.iter().any(|place| {
                let value = fields[key].pointer(&place.canonical);
                let spelled = |pairs: &[(Value, Value)]| {
                    let pair = pairs.iter().position(|(ours, _)| Some(ours) == value);
                    pair.is_some_and(|at| pairs[..at].iter().any(|(_, w)| *w == pairs[at].1))
                };
                value.is_some() && (place.wire.is_none() || spelled(&place.values))
            })
        })
}

/// Names and shapes of the past are read as canonical ones: that loss is declared.
fn is_renamed(name: &str) -> bool {
    name.starts_with("transcription_session.") || name == "conversation.item.created"
}

fn server_agrees(dialect: &Dialect, name: &str, fields: &Value) -> bool {
    if is_renamed(name) {
        return false;
    }
    let event = dialect
        .decode_server(&frame(name, fields.clone()))
        .expect(name)
        .event;
    let Some(frame) = dialect.encode_server(&event, "event_1") else {
        return false;
    };
    let decoded = dialect.decode_server(&frame).expect(&frame);
    assert_eq!(
        decoded.event,
        event,
        "{name} in {}: {frame}",
        dialect.name()
    );
    assert_eq!(decoded.event_id.as_deref(), Some("event_1"));
    true
}

fn client_agrees(dialect: &Dialect, name: &str, fields: &Value) -> bool {
    if name == "input_audio_buffer.append" || is_renamed(name) {
        return false;
    }
    let map = fields.as_object().cloned().unwrap_or_default();
    let event = ClientEvent::from_fields(name, map);
    let Ok(frame) = dialect.encode_client(&event, None) else {
        return false;
    };
    let ClientFrame::Fields { name, fields, .. } =
        dialect.decode_client(&frame).expect(&frame).event
    else {
        panic!("{name} was read as audio");
    };
    let same = ClientEvent::from_fields(&name, fields);
    assert_eq!(same, event, "{name} in {}: {frame}", dialect.name());
    true
}

#[test]
fn frames_as_others_saw_them_read_as_expected() {
    let mut seen = 0;
    for (number, line) in VECTORS.lines().enumerate().filter(|(_, l)| !l.is_empty()) {
        let vector: Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("line {}: {e}", number + 1));
        let source = text(&vector, "source");
        assert!(!source.is_empty());
        let dialect = Dialect::named(text(&vector, "dialect")).expect("built in");
        let raw = match &vector["frame"] {
            Value::String(raw) => raw.clone(),
            frame => frame.to_string(),
        };
        let read = match dialect.decode_server(&raw) {
            Ok(decoded) => {
                let mut fields = decoded.event.to_fields();
                fields.insert("type".to_owned(), json!(decoded.event.name()));
                fields
            }
            Err(malformed) => {
                Map::from_iter([("malformed".to_owned(), json!(malformed.to_string()))])
            }
        };
        let read = Value::Object(read);
        for (pointer, expected) in vector["expect"].as_object().expect("expect") {
            let found = read.pointer(pointer).unwrap_or(&Value::Null);
            assert_eq!(
                found,
                expected,
                "line {} ({source}): {pointer} of {read}",
                number + 1
            );
        }
        seen += 1;
    }
    assert!(seen >= 30, "only {seen} vectors");
}

#[test]
fn a_table_of_a_user_maps_shapes_both_ways_without_new_code() {
    let table = include_str!("../../core/src/dialect/tables/openai.json");
    let mut table: Value = serde_json::from_str(table).expect("JSON");
    table["name"] = json!("mine");
    table["events"]["response.output_text.delta"] = json!("say.piece");
    table["session_map"] = json!([
        ["/instructions", "/prompt/system"],
        ["/audio/output/voice", "/tts/name"]
    ]);
    let dialect = Dialect::from_json(&table.to_string()).expect("valid");
    let mut fields = Map::new();
    put(&mut fields, "/session/instructions", json!("Be brief."));
    put(
        &mut fields,
        "/session/audio/output/voice",
        json!("my-voice"),
    );
    let event = ClientEvent::from_fields("session.update", fields);
    let frame: Value =
        serde_json::from_str(&dialect.encode_client(&event, None).expect("has it")).expect("JSON");
    assert_eq!(
        frame["session"],
        json!({"prompt": {"system": "Be brief."}, "tts": {"name": "my-voice"}})
    );
    let ClientFrame::Fields { name, fields, .. } = dialect
        .decode_client(&frame.to_string())
        .expect("reads")
        .event
    else {
        panic!("not audio");
    };
    assert_eq!(ClientEvent::from_fields(&name, fields), event);
    let piece = r#"{"type":"say.piece","delta":"a","item_id":"i"}"#;
    assert_eq!(
        dialect.decode_server(piece).expect("reads").event.name(),
        "response.output_text.delta"
    );
}
