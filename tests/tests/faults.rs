//! What can go wrong with a server: nothing hangs, nothing is silent, every end says who, why,
//! whether it was expected and what was unsent.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::{Client, End, Event, Kind, Options, Session, Settings, Who};
use talkwire_server::{Config, LocalServer};
use talkwire_tests::flow::ServerAct;
use talkwire_tests::one_link;
use talkwire_tests::stage::hostile::Hostile;

const PATIENCE: Duration = Duration::from_secs(20);

fn client(url: &str) -> Client {
    Client::new().url(url).dialect("openai").expect("built in")
}

fn open(url: &str) -> Session {
    client(url).open(one_link()).expect("valid options")
}

fn next(session: &Session) -> Next {
    session.next_within(PATIENCE).expect("not in a callback")
}

/// Reads to the end; a session that says nothing for the time of patience has failed the test.
fn end(session: &Session) -> (Vec<Event>, End) {
    let mut events = Vec::new();
    loop {
        match next(session) {
            Next::Event(event) => events.push(event),
            Next::End(end) => return (events, end),
            Next::Empty => panic!("the session is silent after {events:?}"),
        }
    }
}

fn wait_for(session: &Session, name: &str) -> Event {
    loop {
        match next(session) {
            Next::Event(event) if event.name() == name => return event,
            Next::Event(_) => {}
            Next::End(end) => panic!("ended before {name}: {end:?}"),
            Next::Empty => panic!("no {name}"),
        }
    }
}

/// A scripted server whose client is greeted.
fn greeted() -> (Hostile, Session) {
    let server = Hostile::start();
    let session = open(&server.url);
    say(
        &server,
        json!({"type": "session.created", "event_id": "e", "session": {"id": "s",
        "audio": {"input": {"turn_detection": null}, "output": {"format": {"type": "audio/pcm", "rate": 24000}}}}}),
    );
    wait_for(&session, "session.created");
    (server, session)
}

fn say(server: &Hostile, event: Value) {
    server.act(ServerAct::Text(event.to_string()));
}

#[test]
fn a_wrong_key_is_an_end_with_status_401_that_is_not_retried() {
    let server =
        LocalServer::start(Config::new().profile("openai").api_key("right")).expect("starts");
    let session = client(server.url())
        .key("wrong")
        .open(one_link())
        .expect("opens");
    let (events, end) = end(&session);
    assert!(events.is_empty());
    assert_eq!(
        (end.why, end.who, end.http_status, end.expected),
        (Kind::Auth, Who::App, Some(401), false)
    );
    let error = end.error.expect("an error");
    assert!(
        error
            .provider()
            .body
            .as_deref()
            .is_some_and(|body| body.contains("invalid_api_key"))
    );
    assert!(
        !format!("{error:?}").contains("wrong"),
        "the credential is never repeated"
    );
}

#[test]
fn an_unknown_model_is_not_found() {
    let server = LocalServer::start(Config::new().profile("openai").models(["known".to_owned()]));
    let server = server.expect("starts");
    let options = Options {
        model: Some("unknown".into()),
        ..one_link()
    };
    let session = client(server.url()).open(options).expect("opens");
    let (_, end) = end(&session);
    assert_eq!((end.why, end.http_status), (Kind::NotFound, Some(404)));
}

#[test]
fn no_server_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound")
        .port();
    let session = open(&format!("ws://127.0.0.1:{port}/v1/realtime"));
    let (events, end) = end(&session);
    assert!(events.is_empty());
    assert_eq!((end.why, end.who), (Kind::Unreachable, Who::Network));
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused_and_accepted_as_an_extra_ca() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let dir = std::env::temp_dir().join(format!("talkwire-tls-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let server =
        LocalServer::start(Config::new().profile("openai").tls(&cert, &key)).expect("starts");
    let url = server.url().replace("127.0.0.1", "localhost");
    let (_, refused) = end(&open(&url));
    assert_eq!((refused.why, refused.expected), (Kind::Tls, false));
    let session = client(&url)
        .extra_ca(made.cert.pem())
        .open(one_link())
        .expect("opens");
    wait_for(&session, "session.created");
    session.close();
    assert!(end(&session).1.expected);
    std::fs::remove_dir_all(dir).expect("removed");
}

#[test]
fn a_server_that_accepts_and_never_answers_ends_in_a_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/v1/realtime", silent.local_addr().expect("bound"));
    let options = Options {
        handshake_timeout_ms: 200,
        ..one_link()
    };
    let session = client(&url).open(options).expect("opens");
    session.send_text("hello").expect("queued");
    session.append(vec![0; 4_800]).expect("queued");
    let (_, end) = end(&session);
    assert_eq!((end.why, end.who), (Kind::Timeout, Who::Network));
    assert_eq!((end.unsent.commands, end.unsent.audio_ms), (1, 100));
}

#[test]
fn a_server_that_upgrades_and_never_greets_ends_in_a_timeout() {
    let server = Hostile::start();
    let options = Options {
        greeting_timeout_ms: 200,
        ..one_link()
    };
    let (_, end) = end(&client(&server.url).open(options).expect("opens"));
    assert_eq!(end.why, Kind::Timeout);
    assert!(end.message.contains("session.created"), "{}", end.message);
}

#[test]
fn frames_that_are_no_events_are_told_and_the_session_lives() {
    let (server, session) = greeted();
    for raw in [
        "not json",
        "[]",
        "{}",
        "\u{0}",
        r#"{"type":"response.output_audio.delta","delta":"A*A="}"#,
    ] {
        server.act(ServerAct::Text(raw.to_owned()));
        let event = wait_for(&session, "protocol.fault");
        assert_eq!(event.raw(), Some(raw));
    }
    server.act(ServerAct::Binary(vec![1, 2, 3]));
    assert!(
        wait_for(&session, "protocol.fault")
            .json()
            .contains("binary")
    );
    say(&server, json!({"type": "of.tomorrow", "answer": 42}));
    assert!(wait_for(&session, "of.tomorrow").json().contains("42"));
    session.close();
    assert!(end(&session).1.expected);
}

#[test]
fn an_odd_byte_count_makes_whole_samples_and_is_told_where_it_cannot() {
    let (server, session) = greeted();
    let delta = |audio: &str| json!({"type": "response.output_audio.delta", "item_id": "i", "delta": audio});
    say(&server, delta("AQID"));
    assert_eq!(
        wait_for(&session, "response.output_audio.delta")
            .audio()
            .map(|a| a.len()),
        Some(2)
    );
    say(
        &server,
        json!({"type": "response.output_audio.done", "item_id": "i"}),
    );
    wait_for(&session, "response.output_audio.done");
    assert!(
        wait_for(&session, "protocol.fault")
            .json()
            .contains("within a sample")
    );
}

#[test]
fn a_frame_of_20_mib_ends_the_session_as_a_protocol_error() {
    let (server, session) = greeted();
    server.act(ServerAct::Text("x".repeat(20 << 20)));
    let (_, end) = end(&session);
    assert_eq!(
        (end.why, end.who, end.expected),
        (Kind::Protocol, Who::Server, false)
    );
}

#[test]
fn nothing_is_delivered_after_the_end_and_commands_say_closed() {
    let (server, session) = greeted();
    server.act(ServerAct::Close(1000, String::new()));
    say(
        &server,
        json!({"type": "response.created", "response": {"id": "late"}}),
    );
    let (events, _) = end(&session);
    assert!(
        events
            .iter()
            .all(|event| event.name() != "response.created")
    );
    let refused = session.send_text("late").err().map(|error| error.kind());
    assert_eq!(refused, Some(Kind::Closed));
    assert_eq!(
        session.append(vec![0; 960]).err().map(|error| error.kind()),
        Some(Kind::Closed)
    );
}

/// Where a session is when its server goes.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Idle,
    MidResponse,
    MidTool,
}

fn at(stage: Stage) -> (Hostile, Session) {
    let (server, session) = greeted();
    let response = json!({"id": "r", "status": "in_progress", "conversation_id": "c"});
    match stage {
        Stage::Idle => {}
        Stage::MidResponse => {
            say(
                &server,
                json!({"type": "response.created", "response": response}),
            );
            say(
                &server,
                json!({"type": "response.output_text.delta", "response_id": "r", "item_id": "i", "delta": "He"}),
            );
            wait_for(&session, "response.output_text.delta");
        }
        Stage::MidTool => {
            say(
                &server,
                json!({"type": "response.created", "response": response}),
            );
            let item = json!({"id": "f", "type": "function_call", "name": "n", "call_id": "c", "arguments": "{}"});
            say(
                &server,
                json!({"type": "response.output_item.done", "response_id": "r", "item": item}),
            );
            say(
                &server,
                json!({"type": "response.done", "response": {"id": "r", "status": "completed"}}),
            );
            wait_for(&session, "response.done");
        }
    }
    (server, session)
}

#[test]
fn every_close_code_at_every_stage_is_a_typed_unexpected_end() {
    let meanings = [
        (1000, Kind::ServerClosed),
        (1001, Kind::ServerClosed),
        (1008, Kind::Fatal),
        (1011, Kind::ServerClosed),
        (4000, Kind::Fatal),
    ];
    for stage in [Stage::Idle, Stage::MidResponse, Stage::MidTool] {
        for (code, why) in meanings {
            let (server, session) = at(stage);
            server.act(ServerAct::Close(code, "because".to_owned()));
            let (_, end) = end(&session);
            assert_eq!(
                (end.why, end.who, end.close_code),
                (why, Who::Server, Some(code)),
                "{stage:?} {code}"
            );
            assert!(
                !end.expected && end.message.contains("because"),
                "{stage:?} {code}: {end:?}"
            );
            assert_eq!(
                end.mid_turn,
                !matches!(stage, Stage::Idle),
                "{stage:?} {code}"
            );
        }
    }
}

#[test]
fn a_connection_that_is_cut_at_any_stage_is_lost() {
    for stage in [Stage::Idle, Stage::MidResponse, Stage::MidTool] {
        let (server, session) = at(stage);
        server.act(ServerAct::Drop);
        let (_, end) = end(&session);
        assert_eq!(
            (end.why, end.who, end.close_code),
            (Kind::Lost, Who::Network, None),
            "{stage:?}"
        );
        assert_eq!(
            (end.expected, end.mid_turn),
            (false, !matches!(stage, Stage::Idle)),
            "{stage:?}"
        );
    }
}

#[test]
fn a_local_server_killed_in_the_middle_of_an_answer_is_lost() {
    let config = Config::new()
        .profile("openai")
        .pacing(talkwire_server::Pacing::Realtime);
    let server = LocalServer::start(config).expect("starts");
    let session = open(server.url());
    wait_for(&session, "session.created");
    session
        .send_text("tell me a long story about everything that you know")
        .expect("sent");
    session.respond(None).expect("sent");
    wait_for(&session, "response.output_audio.delta");
    server.kill();
    let (_, end) = end(&session);
    assert_eq!(
        (end.why, end.mid_turn, end.expected),
        (Kind::Lost, true, false)
    );
}

#[test]
fn an_error_of_the_server_reaches_the_caller_and_the_stream() {
    let server = LocalServer::start(Config::new().profile("openai")).expect("starts");
    let session = open(server.url());
    wait_for(&session, "session.created");
    let pending = session.delete_item("nope").expect("sent");
    let error = session.runtime().block_on(pending).expect_err("refused");
    assert_eq!(error.kind(), Kind::Server);
    assert_eq!(
        error.provider().code.as_deref(),
        Some("item_delete_invalid_item_id")
    );
    assert!(
        wait_for(&session, "error")
            .json()
            .contains("item_delete_invalid_item_id")
    );
}

#[test]
fn a_reader_that_does_not_read_gets_a_marker_for_what_was_dropped() {
    let server = Hostile::start();
    let options = Options {
        mailbox_bytes: 100_000,
        ..one_link()
    };
    let session = client(&server.url).open(options).expect("opens");
    let format = json!({"type": "audio/pcm", "rate": 24000});
    say(
        &server,
        json!({"type": "session.created", "session": {"audio": {"output": {"format": format}}}}),
    );
    let second = "A".repeat(64_000);
    for _ in 0..20 {
        say(
            &server,
            json!({"type": "response.output_audio.delta", "item_id": "i", "delta": second}),
        );
    }
    server.act(ServerAct::Close(1000, String::new()));
    while session.end().is_none() {
        std::thread::yield_now();
    }
    let (events, _) = end(&session);
    let heard: u64 = events.iter().map(Event::audio_ms).sum();
    let told: u64 = events
        .iter()
        .filter(|e| e.name() == "audio.gap")
        .map(dropped)
        .sum();
    assert_eq!(heard + told, 20_000, "every millisecond is heard or told");
    assert!(told > 0);
}

fn dropped(event: &Event) -> u64 {
    let json: Value = serde_json::from_str(&event.json()).expect("JSON");
    json["dropped_ms"].as_u64().expect("a number")
}

#[test]
fn a_reader_that_never_reads_control_events_ends_the_session() {
    let server = Hostile::start();
    let options = Options {
        mailbox_events: 50,
        ..one_link()
    };
    let session = client(&server.url).open(options).expect("opens");
    say(&server, json!({"type": "session.created", "session": {}}));
    for i in 0..100 {
        say(
            &server,
            json!({"type": "rate_limits.updated", "event_id": format!("e{i}"), "rate_limits": []}),
        );
    }
    while session.end().is_none() {
        std::thread::yield_now();
    }
    let (events, end) = end(&session);
    assert_eq!((end.why, end.who), (Kind::SlowReader, Who::App));
    assert!(events.len() >= 50, "what was taken is kept");
}

#[test]
fn first_settings_that_the_table_knows_to_be_wrong_are_refused_before_dialling() {
    let wrong = Settings::new().voice("john").role("good");
    let options = Options {
        session: wrong,
        ..one_link()
    };
    let client = Client::new()
        .url("ws://127.0.0.1:1/v1/realtime")
        .dialect("yandex")
        .expect("built in");
    assert_eq!(
        client.open(options).expect_err("refused").kind(),
        Kind::Refused
    );
}
