//! Where a session is dialled: credentials that are asked for each time, and endpoints to fall back
//! to; and what is left to explain an end.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::{Client, Error, Event, Kind, Options, Session};
use talkwire_server::{Config, LocalServer};

const PATIENCE: Duration = Duration::from_secs(30);

fn server(profile: &str, script: &str) -> LocalServer {
    let config = Config::new().profile(profile).script_text(script, ".");
    LocalServer::start(config.api_key("t1.good").journal_in_memory(true)).expect("it starts")
}

fn client(url: &str, dialect: &str) -> Client {
    Client::new().url(url).dialect(dialect).expect("built in")
}

/// A session of texts.
fn texts(more: &str) -> Options {
    let json = format!(
        r#"{{"session": {{"output_modalities": ["text"],
            "audio": {{"input": {{"turn_detection": null}}}}}}{more}}}"#
    );
    Options::from_json(&json).expect("valid")
}

/// A place where nobody listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    format!("ws://127.0.0.1:{port}/v1/realtime")
}

fn until(session: &Session, name: &str) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        match session.next_within(PATIENCE).expect("no callback") {
            Next::Event(event) => events.push(event),
            Next::Empty => panic!("{name} does not come after {events:?}"),
            Next::End(end) => panic!("it ends before {name}: {}", end.message),
        }
        if events.last().is_some_and(|event| event.name() == name) {
            return events;
        }
    }
}

fn last(events: &[Event]) -> Value {
    let event = events.last().expect("one at least");
    serde_json::from_str(&event.json()).expect("JSON")
}

fn ask(session: &Session, text: &str) -> String {
    drop(session.send_text(text).expect("sent"));
    drop(session.respond(None).expect("sent"));
    let events = until(session, "response.done");
    let done = |event: &&Event| event.name() == "response.output_text.done";
    let text = events.iter().find(done).and_then(Event::text);
    text.unwrap_or_default().to_owned()
}

/// The end, and what was told before it.
fn end(session: &Session) -> (talkwire_core::End, Vec<Event>) {
    let end = session.ended_within(PATIENCE).expect("no callback");
    let mut events = Vec::new();
    session.drain(&mut events, usize::MAX);
    (end.expect("it ends in time"), events)
}

#[test]
fn a_credential_is_asked_for_before_each_dial() {
    let cut = "faults: [{when: {sent: response.done}, do: drop}]";
    let server = server("yandex", cut);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let client = client(server.url(), "yandex").key_from_blocking(move || {
        count.fetch_add(1, Ordering::SeqCst);
        Ok("t1.good".to_owned())
    });
    let session = client.open(texts("")).expect("opens");
    ask(&session, "good day");
    until(&session, "session.recovered");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn why_there_is_no_credential_is_why_there_is_no_session() {
    let server = server("yandex", "");
    let ends = |ask: fn() -> talkwire_core::Result<String>| {
        let client = client(server.url(), "yandex").key_from_blocking(ask);
        end(&client.open(texts("")).expect("opens")).0
    };
    let refused = ends(|| Err(Error::new(Kind::Auth, "the account is closed")));
    assert_eq!(refused.why, Kind::Auth);
    assert!(refused.message.contains("the account is closed"));
    assert_eq!(ends(|| panic!("on purpose")).why, Kind::Panic);
    let never = client(server.url(), "yandex").key_from(std::future::pending);
    let session = never
        .open(texts(r#", "connect_timeout_ms": 50"#))
        .expect("opens");
    let late = end(&session).0;
    assert_eq!(late.why, Kind::Timeout);
    assert!(late.message.contains("credential"), "{}", late.message);
}

#[test]
fn a_session_opens_at_the_first_endpoint_that_takes_it() {
    let cut = "faults: [{when: {sent: response.done, count: 2}, do: drop}]";
    let server = server("openai", cut);
    let fallback = Options::from_json(r#"{"session": {"instructions": "Be brief."}}"#);
    let wrong = client(server.url(), "openai").key("wrong");
    let client = client(&nowhere(), "yandex")
        .fallback(wrong, Options::default())
        .fallback(
            client(server.url(), "openai").key("t1.good"),
            fallback.expect("valid"),
        );
    let session = client.open(texts("")).expect("opens");
    let events = until(&session, "session.updated");
    let faults = events
        .iter()
        .filter(|event| event.name() == "protocol.fault");
    assert_eq!(faults.count(), 2, "each failure is told");
    assert_eq!(last(&events)["session"]["instructions"], "Be brief.");
    assert_eq!(ask(&session, "good day"), "good day");
    // It stays there, with what was agreed since.
    let update = talkwire_core::Settings::new().instructions("Be very brief.");
    drop(session.update(update).expect("sent"));
    until(&session, "session.updated");
    assert_eq!(ask(&session, "cut"), "cut");
    assert_eq!(last(&until(&session, "session.recovered"))["endpoint"], 2);
    assert_eq!(ask(&session, "good bye"), "good bye");
    let journal = server.journal();
    let newest = journal.sessions().last().expect("a session").number;
    let told = journal.entries(newest, 0).expect("a session");
    let is_told = |entry: &talkwire_server::Entry| entry.to_line().contains("Be very brief.");
    assert!(told.iter().any(is_told));
}

#[test]
fn a_call_goes_on_at_another_endpoint_in_another_dialect_and_knows_what_was_said() {
    let own = server("yandex", "");
    let other = server("openai", "");
    let client = client(own.url(), "yandex").key("t1.good").fallback(
        client(other.url(), "openai").key("t1.good"),
        Options::default(),
    );
    let session = client.open(texts("")).expect("opens");
    assert_eq!(ask(&session, "my name is Anna"), "my name is Anna");
    own.kill();
    let recovered = last(&until(&session, "session.recovered"));
    assert_eq!(recovered["endpoint"], 1, "{recovered}");
    assert_eq!(recovered["items"], 2, "question and answer: {recovered}");
    assert_eq!(ask(&session, "good bye"), "good bye");
    let number = other.journal().sessions()[0].number;
    let told = other.journal().entries(number, 0).expect("a session");
    let is_told = |entry: &talkwire_server::Entry| entry.to_line().contains("my name is Anna");
    assert!(told.iter().any(is_told));
}

#[test]
fn without_an_endpoint_that_takes_it_the_session_ends_with_the_last_reason() {
    let server = server("openai", "");
    let wrong = client(server.url(), "openai").key("wrong");
    let client = client(&nowhere(), "yandex").fallback(wrong, Options::default());
    let (end, events) = end(&client.open(texts("")).expect("opens"));
    assert_eq!((end.why, end.http_status), (Kind::Auth, Some(401)));
    assert_eq!(events.len(), 1, "and the first one was told: {events:?}");
}

#[test]
fn settings_that_an_endpoint_is_known_to_refuse_are_refused_before_anything_is_dialled() {
    let voice = r#"{"session": {"audio": {"output": {"voice": "john", "role": "evil"}}}}"#;
    let voice = Options::from_json(voice);
    let other = client(&nowhere(), "yandex");
    let client = client(&nowhere(), "openai").fallback(other, voice.expect("valid"));
    assert_eq!(
        client
            .open(texts(""))
            .map(drop)
            .expect_err("refused")
            .kind(),
        Kind::Refused
    );
}

#[test]
fn an_end_that_nobody_asked_for_leaves_a_record_of_the_last_steps_without_words() {
    let cut = "faults: [{when: {sent: response.done}, do: drop}]";
    let server = server("yandex", cut);
    let dir = std::env::temp_dir().join(format!("talkwire-flight-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("made");
    let more = format!(
        r#", "recovery": {{"budget_ms": 0}}, "flight_dir": "{}""#,
        dir.display()
    );
    let client = client(server.url(), "yandex").key("t1.good");
    let session = client.open(texts(&more)).expect("opens");
    ask(&session, "a very private word");
    let (end, _) = end(&session);
    assert!(!end.expected);
    let files: Vec<_> = std::fs::read_dir(&dir).expect("there").flatten().collect();
    let written = std::fs::read_to_string(files[0].path()).expect("a file");
    std::fs::remove_dir_all(&dir).expect("there");
    assert_eq!(files.len(), 1);
    assert_eq!(written, session.flight_record());
    assert!(
        !written.contains("private") && !written.contains("t1.good"),
        "{written}"
    );
    let lines: Vec<Value> = written
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let has = |what: &str, name: &str| {
        lines
            .iter()
            .any(|line| line["what"] == what && line["name"] == name)
    };
    assert!(has("dial", "endpoint 0") && has("received", "session.created"));
    assert!(has("sent", "response.create") && has("note", "link: configuring -> open"));
    assert!(has("note", "responses: free -> busy") && has("end", end.why.name()));
}

#[test]
fn a_record_that_cannot_be_written_is_told_before_the_end() {
    let more = r#", "flight_dir": "/nonexistent""#;
    let (end, events) = end(&client(&nowhere(), "yandex")
        .open(texts(more))
        .expect("opens"));
    assert_eq!(end.why, Kind::Unreachable);
    let text = events.last().and_then(Event::text).unwrap_or_default();
    assert!(text.contains("/nonexistent"), "{text}");
}
