//! Readers of a part of what a session tells, each with bounds of its own.

use std::time::Duration;

use serde_json::Value;
use talkwire_core::event::local::Local;
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::{
    Client, Event, Kind, Options, Session, Subscription, SubscriptionOptions, Topic,
};
use talkwire_server::{Config, LocalServer};

const PATIENCE: Duration = Duration::from_secs(30);

fn server() -> LocalServer {
    LocalServer::start(Config::new().profile("openai")).expect("it starts")
}

fn open(server: &LocalServer, topics: &str) -> Session {
    let json = format!(
        r#"{{"topics": {topics}, "session": {{"audio": {{"input": {{"turn_detection": null}}}}}}}}"#
    );
    let options = Options::from_json(&json).expect("valid");
    Client::new()
        .url(server.url())
        .dialect("openai")
        .expect("built in")
        .open(options)
        .expect("it opens")
}

/// Events up to one of that name.
fn until(next: impl Fn() -> Next, name: &str) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        match next() {
            Next::Event(event) => events.push(event),
            Next::Empty => panic!("{name} does not come after {events:?}"),
            Next::End(end) => panic!("it ends before {name}: {}", end.message),
        }
        if events.last().is_some_and(|event| event.name() == name) {
            return events;
        }
    }
}

fn own(session: &Session, name: &str) -> Vec<Event> {
    until(|| session.next_within(PATIENCE).expect("no callback"), name)
}

fn told(subscription: &Subscription, name: &str) -> Vec<Event> {
    until(
        || subscription.next_within(PATIENCE).expect("no callback"),
        name,
    )
}

fn waiting(subscription: &Subscription) -> Vec<Event> {
    let mut events = Vec::new();
    subscription.drain(&mut events, usize::MAX);
    events
}

fn ask(session: &Session) {
    drop(session.send_text("good day").expect("sent"));
    drop(session.respond(None).expect("sent"));
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(Event::name).collect()
}

#[test]
fn each_reader_is_told_its_topics_and_the_session_what_it_asked_for() {
    let server = server();
    let session = open(&server, r#"["control"]"#);
    let subscribe = |topic| session.subscribe(SubscriptionOptions::of([topic]));
    let audio = subscribe(Topic::Audio).expect("added");
    let words = subscribe(Topic::Transcript).expect("added");
    let both = session
        .subscribe(SubscriptionOptions::of([Topic::Control, Topic::Transcript]))
        .expect("added");
    ask(&session);
    let control = own(&session, "response.done");
    assert!(control.iter().all(|event| event.topic() == Topic::Control));
    let spoken = told(&words, "response.output_audio_transcript.done");
    let said = spoken.last().and_then(Event::text).expect("a text");
    let deltas = spoken.iter().filter(|e| e.name().ends_with(".delta"));
    assert_eq!(deltas.filter_map(Event::text).collect::<String>(), said);
    let sound = waiting(&audio);
    assert!(!sound.is_empty() && sound.iter().all(|event| event.audio().is_some()));
    let joined = told(&both, "response.done");
    let of = |topic| joined.iter().filter(move |event| event.topic() == topic);
    assert_eq!(of(Topic::Control).count(), control.len());
    assert_eq!(of(Topic::Transcript).count(), spoken.len());
}

#[test]
fn the_wire_is_told_in_both_directions_from_the_first_frame() {
    let server = server();
    let session = open(&server, r#"["control", "raw"]"#);
    ask(&session);
    session.append(vec![0_u8; 960]).expect("sent");
    let events = own(&session, "response.done");
    let frames: Vec<(bool, Value)> = events
        .iter()
        .filter_map(|event| match event.own() {
            Some(Local::Frame(frame)) => {
                assert_eq!((frame.link, frame.missed), (1, 0));
                Some((
                    frame.is_sent,
                    serde_json::from_str(&frame.text).expect("JSON"),
                ))
            }
            _ => None,
        })
        .collect();
    let named = |is_sent: bool| {
        let of = frames.iter().filter(move |(sent, _)| *sent == is_sent);
        of.map(|(_, frame)| frame["type"].as_str().expect("a type"))
            .collect::<Vec<_>>()
    };
    assert_eq!(named(false).first(), Some(&"session.created"));
    assert!(named(false).contains(&"response.output_audio.delta"));
    assert_eq!(
        named(true),
        [
            "session.update",
            "conversation.item.create",
            "response.create",
            "input_audio_buffer.append"
        ]
    );
    // The frame comes before what is made of it.
    let at = |name: &str| names(&events).iter().position(|n| *n == name);
    assert!(at("wire.frame") < at("session.created"));
}

#[test]
fn who_is_slow_at_reading_one_misses_something_in_that_one_only() {
    let server = server();
    let session = open(&server, r#"["control"]"#);
    let limited = |topic, max_bytes, max_events| {
        let options = SubscriptionOptions {
            max_bytes,
            max_events,
            ..SubscriptionOptions::of([topic])
        };
        session.subscribe(options).expect("added")
    };
    let few = limited(Topic::Control, 1 << 20, 3);
    let audio = limited(Topic::Audio, 20_000, 100);
    let frames = limited(Topic::Raw, 20_000, 100);
    let all = limited(Topic::Audio, 64 << 20, 100);
    ask(&session);
    own(&session, "response.done");
    let end = few.end().expect("it was too slow");
    assert_eq!((end.why, end.expected), (Kind::SlowReader, false));
    assert_eq!(names(&waiting(&few)).len(), 3, "what was taken is kept");
    let ms = |events: &[Event]| events.iter().map(Event::audio_ms).sum::<u64>();
    let dropped_ms = audio.backlog().dropped_ms;
    assert!(dropped_ms > 0);
    assert_eq!(ms(&waiting(&audio)) + dropped_ms, ms(&waiting(&all)));
    let dropped = frames.backlog().dropped_frames;
    let first = waiting(&frames).remove(0);
    assert!(matches!(first.own(), Some(Local::Frame(frame)) if frame.missed == dropped));
    assert!(dropped > 0 && session.end().is_none());
}

#[test]
fn a_subscription_ends_with_its_session_or_when_it_is_closed() {
    let server = server();
    let session = open(&server, r#"["control"]"#);
    let closed = session
        .subscribe(SubscriptionOptions::of([Topic::Raw]))
        .expect("added");
    let open = session
        .subscribe(SubscriptionOptions::of([Topic::Control]))
        .expect("added");
    own(&session, "session.created");
    closed.close();
    assert_eq!(names(&waiting(&closed))[..1], ["wire.frame"]);
    assert!(matches!(closed.try_next(), Next::End(end) if end.expected));
    session.close();
    let end = session.ended_within(PATIENCE).expect("no callback");
    while let Next::Event(_) = open.next_within(PATIENCE).expect("no callback") {}
    assert_eq!(open.end(), end);
    let late = session.subscribe(SubscriptionOptions::of([Topic::Raw]));
    assert!(matches!(late.expect("added").try_next(), Next::End(_)));
}

#[test]
fn a_subscription_to_nothing_is_refused() {
    let server = server();
    let session = open(&server, r#"["control"]"#);
    let nothing = session.subscribe(SubscriptionOptions::default());
    assert_eq!(nothing.expect_err("refused").kind(), Kind::Argument);
}
