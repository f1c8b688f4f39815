//! Dialects as data: every shape both ways, on both sides; a server of several shapes; a table of
//! a user.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};
use talkwire_core::dialect::{ClientFrame, Dialect, Place};
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::wire::session::put;
use talkwire_core::wire::{ClientEvent, ServerEvent};
use talkwire_core::{Client, Event, Kind, Options, Session, Settings};
use talkwire_server::{Config, LocalServer};

const VECTORS: &str = include_str!("../wire/dialects.jsonl");
const PATIENCE: Duration = Duration::from_secs(20);

// ---- shapes -------------------------------------------------------------------------------------

/// Fields of a session or a response with values that tables have names for.
fn fields() -> Vec<(&'static str, Vec<Value>)> {
    let pcm = |rate: u32| json!({"type": "audio/pcm", "rate": rate});
    let formats = vec![
        pcm(24_000),
        json!({"type": "audio/pcmu"}),
        json!({"type": "audio/pcma"}),
    ];
    vec![
        (
            "/output_modalities",
            vec![json!(["audio"]), json!(["text"])],
        ),
        ("/instructions", vec![json!("Be brief."), json!("")]),
        ("/audio/output/format", formats.clone()),
        (
            "/audio/output/voice",
            vec![
                json!("alloy"),
                json!("en-US-AvaNeural"),
                json!({"id": "own"}),
            ],
        ),
        ("/max_output_tokens", vec![json!(100), json!("inf")]),
        (
            "/tools",
            vec![json!([]), json!([{"type": "function", "name": "f"}])],
        ),
        (
            "/tool_choice",
            vec![json!("auto"), json!({"type": "function", "name": "f"})],
        ),
        ("/audio/input/format", formats),
        (
            "/audio/input/transcription",
            vec![Value::Null, json!({"model": "m"})],
        ),
        (
            "/audio/input/noise_reduction",
            vec![Value::Null, json!({"type": "near_field"})],
        ),
        (
            "/audio/input/turn_detection",
            vec![
                Value::Null,
                json!({"type": "server_vad", "silence_duration_ms": 400}),
                json!({"type": "semantic_vad", "create_response": false}),
            ],
        ),
        ("/metadata", vec![json!({"k": "v"})]),
        ("/conversation", vec![json!("none")]),
    ]
}

/// Only the first of these are in a response.
const OF_A_RESPONSE: usize = 7;

fn object(count: usize) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((any::<bool>(), any::<Index>()), count).prop_map(|choices| {
        let mut map = Map::new();
        for ((pointer, values), (is_there, which)) in fields().into_iter().zip(choices) {
            if is_there {
                put(&mut map, pointer, which.get(&values).clone());
            }
        }
        map
    })
}

fn dialect() -> impl Strategy<Value = Arc<Dialect>> {
    select(Dialect::built_in().collect::<Vec<_>>())
}

/// An object with what its dialect says it loses gone.
fn without_losses(places: &[Place], object: &Map<String, Value>) -> Map<String, Value> {
    let mut object = object.clone();
    for place in places.iter().filter(|place| place.wire.is_none()) {
        talkwire_core::wire::session::take(&mut object, &place.canonical);
    }
    object
}

fn client_round(dialect: &Dialect, name: &str, fields: Map<String, Value>) -> ClientEvent {
    let event = ClientEvent::from_fields(name, fields);
    let frame = dialect.encode_client(&event, Some("e")).expect("has it");
    match dialect.decode_client(&frame).expect(&frame).event {
        ClientFrame::Fields {
            name,
            fields,
            foreign,
        } => {
            assert_eq!(foreign, None, "{frame}");
            ClientEvent::from_fields(&name, fields)
        }
        ClientFrame::Append(append) => ClientEvent::Append(append),
    }
}

fn server_round(dialect: &Dialect, event: &ServerEvent) -> ServerEvent {
    let frame = dialect.encode_server(event, "e").expect("has it");
    dialect.decode_server(&frame).expect(&frame).event
}

fn wrapped(key: &str, object: Map<String, Value>) -> Map<String, Value> {
    Map::from_iter([(key.to_owned(), Value::Object(object))])
}

proptest! {
    #[test]
    fn what_a_client_says_arrives_as_it_was_meant(
        dialect in dialect(),
        session in object(fields().len() - 2),
        response in object(OF_A_RESPONSE),
    ) {
        let table = dialect.table();
        for (name, key, object, places) in [
            ("session.update", "session", session, &table.session_map),
            ("response.create", "response", response, &table.request_map),
        ] {
            let arrived = client_round(&dialect, name, wrapped(key, object.clone()));
            let meant = without_losses(places, &object);
            prop_assert_eq!(arrived, ClientEvent::from_fields(name, wrapped(key, meant)));
        }
    }

    #[test]
    fn what_a_server_says_arrives_as_it_was_meant(
        dialect in dialect(),
        session in object(fields().len() - 2),
        response in object(OF_A_RESPONSE),
        part in select(vec!["output_text", "output_audio"]),
    ) {
        let table = dialect.table();
        let meant = wrapped("session", without_losses(&table.session_map, &session));
        let said = ServerEvent::from_fields("session.updated", wrapped("session", session));
        let expected = ServerEvent::from_fields("session.updated", meant);
        prop_assert_eq!(server_round(&dialect, &said), expected);

        let item = json!({"id": "i", "type": "message", "role": "assistant",
            "content": [{"type": part, "text": "x"}]});
        let mut response = response;
        response.insert("output".to_owned(), json!([item.clone()]));
        let done = ServerEvent::from_fields("response.done", wrapped("response", response));
        prop_assert_eq!(server_round(&dialect, &done), done);
        let added = wrapped("item", item.as_object().cloned().expect("an object"));
        let added = ServerEvent::from_fields("conversation.item.added", added);
        prop_assert_eq!(server_round(&dialect, &added), added);
    }
}

#[test]
fn frames_of_other_clients_and_servers_read_and_write_as_expected() {
    let mut seen = std::collections::BTreeSet::new();
    for (number, line) in VECTORS.lines().enumerate().filter(|(_, l)| !l.is_empty()) {
        let vector: Value = serde_json::from_str(line).expect(line);
        let at = format!("line {}", number + 1);
        let dialect = Dialect::named(vector["dialect"].as_str().expect("a name")).expect(&at);
        seen.insert(dialect.name().to_owned());
        assert!(
            vector["source"].as_str().is_some_and(|s| !s.is_empty()),
            "{at}"
        );
        let (ours, theirs) = (&vector["canonical"], &vector["wire"]);
        let name = ours["type"].as_str().expect("a type");
        let mut fields = ours.as_object().cloned().expect("an object");
        fields.remove("type");
        let raw = theirs.to_string();
        if vector["side"] == "client" {
            let ClientFrame::Fields {
                name: read,
                fields: found,
                ..
            } = dialect.decode_client(&raw).expect(&at).event
            else {
                panic!("{at}: read as audio");
            };
            assert_eq!((read.as_str(), &found), (name, &fields), "{at}");
            let written = dialect.encode_client_fields(name, fields, None);
            let written: Value = serde_json::from_str(&written).expect("JSON");
            assert_eq!(&written, theirs, "{at}");
        } else {
            let event = ServerEvent::from_fields(name, fields);
            assert_eq!(dialect.decode_server(&raw).expect(&at).event, event, "{at}");
            let written = dialect.encode_server(&event, "e").expect(&at);
            let mut written: Value = serde_json::from_str(&written).expect("JSON");
            written
                .as_object_mut()
                .expect("an object")
                .remove("event_id");
            assert_eq!(&written, theirs, "{at}");
        }
    }
    let flat: Vec<_> = seen.iter().map(String::as_str).collect();
    assert_eq!(flat, ["azure", "azure-preview", "openai-beta", "voicelive"]);
}

#[test]
fn a_strict_dialect_names_a_field_of_another_shape() {
    let foreign = |name: &str, frame: Value| {
        let dialect = Dialect::named(name).expect("built in");
        match dialect
            .decode_client(&frame.to_string())
            .expect("reads")
            .event
        {
            ClientFrame::Fields { foreign, .. } => foreign,
            ClientFrame::Append(_) => None,
        }
    };
    let nested =
        json!({"type": "session.update", "session": {"audio": {"output": {"voice": "a"}}}});
    assert_eq!(
        foreign("openai-beta", nested.clone()).as_deref(),
        Some("session.audio")
    );
    assert_eq!(foreign("voicelive", nested.clone()), None);
    assert_eq!(foreign("azure", nested), None);
    let create = json!({"type": "response.create", "response": {"output_modalities": ["text"]}});
    assert_eq!(
        foreign("azure-preview", create).as_deref(),
        Some("response.output_modalities")
    );
}

// ---- a server of several shapes -----------------------------------------------------------------

fn server(profile: &str) -> LocalServer {
    let script = "turns: [{say: \"Here you are.\"}]";
    let config = Config::new().profile(profile).script_text(script, ".");
    LocalServer::start(config).expect("starts")
}

fn next(session: &Session) -> Next {
    session.next_within(PATIENCE).expect("not in a callback")
}

fn wait_for(session: &Session, name: &str) -> Event {
    loop {
        match next(session) {
            Next::Event(event) if event.name() == name => return event,
            Next::Event(event) => assert_ne!(event.name(), "error", "{}", event.json()),
            other => panic!("no {name}: {other:?}"),
        }
    }
}

fn at_path(server: &LocalServer, dialect: &str) -> String {
    let path = Dialect::named(dialect)
        .expect("built in")
        .table()
        .path
        .clone();
    let path = path.unwrap_or_else(|| "/v1/realtime".to_owned());
    format!("ws://127.0.0.1:{}{path}", server.port())
}

/// A call with text and speech by an application that knows canonical words only.
fn talk(url: &str, dialect: &str) {
    let options = Options {
        session: Settings::new().manual_turns().voice("alloy"),
        ..Options::default()
    };
    let client = Client::new().dialect(dialect).expect("built in").url(url);
    let session = client.open(options).expect(dialect);
    let updated = wait_for(&session, "session.updated");
    let told: Value = serde_json::from_str(&updated.json()).expect("JSON");
    let told = &told["session"];
    assert_eq!(told["audio"]["output"]["voice"], "alloy", "{dialect}");
    assert_eq!(
        told["audio"]["input"]["turn_detection"],
        Value::Null,
        "{dialect}"
    );
    assert_eq!(told["output_modalities"], json!(["audio"]), "{dialect}");
    session.respond(None).expect("sent");
    let audio = wait_for(&session, "response.output_audio.delta");
    assert!(
        audio.audio().is_some_and(|audio| !audio.is_empty()),
        "{dialect}"
    );
    wait_for(&session, "response.output_audio_transcript.done");
    wait_for(&session, "response.done");
    session
        .update(Settings::new().modality(talkwire_core::Modality::Text))
        .expect("sent");
    session.send_text("hello").expect("sent");
    wait_for(&session, "conversation.item.added");
    session.respond(None).expect("sent");
    let text = wait_for(&session, "response.output_text.done");
    assert_eq!(text.text(), Some("Here you are."), "{dialect}");
    let done = wait_for(&session, "response.done");
    let done: Value = serde_json::from_str(&done.json()).expect("JSON");
    let part = &done["response"]["output"][0]["content"][0];
    assert_eq!(part["type"], "output_text", "{dialect}");
    session.close();
}

#[test]
fn one_server_speaks_the_shape_of_each_path() {
    let server = server("openai");
    for dialect in ["openai", "azure", "azure-preview", "voicelive"] {
        talk(&at_path(&server, dialect), dialect);
    }
}

#[test]
fn every_dialect_is_a_profile_too() {
    for dialect in ["openai-beta", "azure", "azure-preview", "voicelive"] {
        talk(server(dialect).url(), dialect);
    }
}

#[test]
fn a_strict_server_of_the_flat_shape_refuses_the_nested_one() {
    let server = server("openai");
    let url = at_path(&server, "azure-preview");
    let client = Client::new().dialect("azure-preview").expect("built in");
    let session = client.url(url).open(Options::default()).expect("opens");
    wait_for(&session, "session.created");
    let nested = r#"{"type":"session.update","session":{"audio":{"output":{"voice":"ash"}}}}"#;
    session.send_frame(nested).expect("sent");
    loop {
        match next(&session) {
            Next::Event(event) if event.name() == "error" => {
                let error: Value = serde_json::from_str(&event.json()).expect("JSON");
                let error = &error["error"];
                assert_eq!(error["code"], "unknown_parameter");
                assert_eq!(error["param"], "session.audio");
                break;
            }
            Next::Event(event) => assert_ne!(event.name(), "session.updated"),
            other => panic!("no error: {other:?}"),
        }
    }
}

#[test]
fn a_version_that_a_path_needs_is_a_bad_request_without_it() {
    let server = server("openai");
    let url = at_path(&server, "azure-preview");
    let client = Client::new().dialect("openai").expect("built in").url(url);
    let session = client.open(Options::default()).expect("opens");
    let Next::End(end) = next(&session) else {
        panic!("it was let in")
    };
    assert_eq!((end.why, end.http_status), (Kind::Argument, Some(400)));
}

#[test]
fn a_table_of_a_user_serves_both_ends_without_new_code() {
    let table = json!({"extends": "openai-beta", "name": "mine", "path": "/mine",
        "auth": [{"query": "token", "value": "{key}"}],
        "events": {"response.output_text.delta": "say.piece"}});
    let path = std::env::temp_dir().join(format!("talkwire-mine-{}.json", std::process::id()));
    std::fs::write(&path, table.to_string()).expect("written");
    let name = path.to_str().expect("UTF-8");
    let config = Config::new().profile(name).api_key("sesame");
    let server = LocalServer::start(config).expect("starts");
    for url in [
        server.url().to_owned(),
        server.url().replace("/v1/realtime", "/mine"),
    ] {
        let client = Client::new().dialect(name).expect("valid").url(url);
        let session = client
            .clone()
            .key("sesame")
            .open(Options::default())
            .expect("opens");
        wait_for(&session, "session.created");
        session.close();
        let session = client.key("wrong").open(Options::default()).expect("opens");
        let Next::End(end) = next(&session) else {
            panic!("a wrong key was let in")
        };
        assert_eq!(end.http_status, Some(401));
    }
    std::fs::remove_file(&path).expect("there");
    let error = LocalServer::start(Config::new().profile(r#"{"limits": 5}"#)).expect_err("wrong");
    assert!(error.message().contains("limits"), "{error}");
}

// ---- HTTP ---------------------------------------------------------------------------------------

fn http(server: &LocalServer, request: &str) -> (String, Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).expect("listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("an answer and an end");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (
        head.to_owned(),
        serde_json::from_str(body).expect("a JSON body"),
    )
}

#[test]
fn a_request_that_is_no_upgrade_gets_an_answer() {
    let server = server("openai");
    for (line, status, code) in [
        ("GET /v1/realtime HTTP/1.1", "426", "upgrade_required"),
        (
            "GET /openai/v1/realtime?model=m HTTP/1.1",
            "426",
            "upgrade_required",
        ),
        ("GET / HTTP/1.1", "404", "not_found"),
        ("GET /v1/models HTTP/1.1", "404", "not_found"),
        ("POST /v1/realtime HTTP/1.1", "405", "method_not_allowed"),
        ("nonsense", "405", "method_not_allowed"),
    ] {
        let (head, body) = http(&server, &format!("{line}\r\nhost: h\r\n\r\n"));
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line}: {head}"
        );
        assert!(head.contains("content-type: application/json"), "{head}");
        assert_eq!(body["error"]["code"], code, "{line}");
        assert_eq!(
            head.contains("upgrade: websocket"),
            status == "426",
            "{head}"
        );
    }
}

#[test]
fn a_refused_upgrade_has_a_json_body() {
    let config = Config::new()
        .profile("openai")
        .api_key("right")
        .max_sessions(1);
    let server = LocalServer::start(config).expect("starts");
    let upgrade = |path: &str, key: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             authorization: Bearer {key}\r\n\r\n"
        );
        http(&server, &request)
    };
    let (head, body) = upgrade("/v1/realtime", "wrong");
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    assert_eq!(body["error"]["code"], "invalid_api_key");
    let (head, body) = upgrade("/v2", "right");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert_eq!(body["error"]["code"], "not_found");
    let client = Client::new().dialect("openai").expect("built in");
    let session = client
        .url(server.url())
        .key("right")
        .open(Options::default());
    let session = session.expect("opens");
    wait_for(&session, "session.created");
    let (head, body) = upgrade("/v1/realtime", "right");
    assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
    assert_eq!(body["error"]["code"], "rate_limit_exceeded");
}

#[test]
fn the_withdrawn_header_is_refused_by_error_and_close_where_the_profile_says_so() {
    let old = Options {
        headers: vec![("OpenAI-Beta".into(), "realtime=v1".into())],
        ..Options::default()
    };
    let open = |profile: &str| {
        let server = server(profile);
        let client = Client::new().dialect(profile).expect("built in");
        let session = client.url(server.url()).open(old.clone()).expect("opens");
        (server, session)
    };
    let (_server, session) = open("openai");
    let Next::Event(error) = next(&session) else {
        panic!("no error")
    };
    assert!(error.json().contains("beta_api_shape_disabled"));
    let Next::End(end) = next(&session) else {
        panic!("no end")
    };
    assert_eq!((end.why, end.close_code), (Kind::Fatal, Some(4000)));
    let (_server, session) = open("openai-beta");
    wait_for(&session, "session.created");
}
