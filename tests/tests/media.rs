//! A media port on a real session: sound by the host's clock, over a real socket.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use talkwire_core::audio::format::Format;
use talkwire_core::audio::resample::resample;
use talkwire_core::audio::wav::Wav;
use talkwire_core::call::Track;
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::{Call, CallOptions, Client, Kind, Options, Session};
use talkwire_server::{Config, LocalServer, Pacing};
use talkwire_tests::flow::ServerAct;
use talkwire_tests::stage::hostile::Hostile;

const PATIENCE: Duration = Duration::from_secs(60);
const FRAME: Duration = Duration::from_millis(20);
const PCM_8K: Format = Format::Pcm16 { rate_hz: 8_000 };

fn caller() -> Vec<i16> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/audio/en/answer-3.wav"
    );
    let wav = Wav::read(path.as_ref()).expect("a recording");
    resample(&wav.samples, wav.rate_hz, 8_000).expect("rates")
}

fn server() -> LocalServer {
    LocalServer::start(Config::new().profile("openai").brain("loop")).expect("starts")
}

fn session(server: &LocalServer) -> Session {
    let client = Client::new().url(server.url()).dialect("openai");
    let client = client.expect("built in");
    client.open(Options::default()).expect("valid options")
}

/// A host with a clock of 20 ms and nothing to say but `said`; returns the names of the events up to
/// `last`, and the sound in them.
fn run(session: &Session, call: &Call, said: &[i16], last: &str) -> (Vec<String>, Vec<u8>) {
    let (mut names, mut audio) = (Vec::new(), Vec::new());
    let mut frames = said.chunks(160);
    let start = Instant::now();
    let mut due = start;
    while start.elapsed() < PATIENCE {
        if due <= Instant::now() {
            due += FRAME;
            if let Some(frame) = frames.next() {
                let taken = call.push_samples(Track::Customer, frame);
                assert_eq!(taken, Ok(frame.len()));
            }
            let mut out = [1; 160];
            let given = call.pull_samples(&mut out).expect("an open session");
            assert!(out[given..].iter().all(|sample| *sample == 0));
        }
        let wait = due.saturating_duration_since(Instant::now());
        if let Next::Event(event) = session.next_within(wait).expect("no callback") {
            audio.extend(event.audio().into_iter().flatten());
            names.push(event.name().to_owned());
            if event.name() == last {
                return (names, audio);
            }
        }
    }
    panic!("no {last} after {names:?}");
}

#[test]
fn a_host_that_falls_silent_after_its_speech_gets_an_answer_to_all_of_it() {
    let server = server();
    let session = session(&server);
    // Before the session is open: the beginning is its pre-roll.
    let call = session
        .attach(CallOptions::default().with_format(PCM_8K))
        .expect("attached");
    let said = caller();
    let (names, audio) = run(&session, &call, &said, "response.done");
    for name in [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "response.created",
    ] {
        assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
    }
    let stats = call.stats();
    assert_eq!((stats.pushed, stats.overrun), (said.len() as u64, 0));
    assert_eq!(stats.preroll_dropped, 0);
    assert!(stats.inserted > 0, "silence by the clock ended the turn");
    let back_ms = Format::PCM16_24K.ms_of_bytes(audio.len() as u64);
    let said_ms = said.len() as u64 / 8;
    assert!(back_ms * 10 > said_ms * 8, "{back_ms} of {said_ms} ms");
    listen_to_the_end(&session, &call, audio.len() as u64 / 2);
}

/// Pulls until all of one answer of so many samples at 24 kHz was heard, to the sample.
fn listen_to_the_end(session: &Session, call: &Call, samples: u64) {
    let (start, mut out) = (Instant::now(), [0; 160]);
    while call.stats().pulled < (samples + 1) / 3 {
        assert!(start.elapsed() < PATIENCE, "{:?}", call.stats());
        call.pull_samples(&mut out).expect("an open session");
        session.next_within(FRAME).expect("no callback");
    }
    assert_eq!(call.stats().pulled, (samples + 1) / 3);
    while call.position().is_none_or(|p| p.ms < samples / 24) {
        assert!(start.elapsed() < PATIENCE, "{:?}", call.position());
        session.next_within(FRAME).expect("no callback");
    }
    let position = call.position().expect("it was heard");
    assert_eq!((position.part, position.ms), (1, samples / 24));
}

#[test]
fn a_session_has_one_port_at_a_time_and_ends_it() {
    let server = server();
    let session = session(&server);
    let call = session.attach(CallOptions::default()).expect("attached");
    let twice = session.attach(CallOptions::default());
    assert_eq!(twice.expect_err("one at a time").kind(), Kind::Argument);
    call.detach();
    assert_eq!(call.push(Track::Customer, &[0; 2]), Err(Kind::Closed));
    let call = session.attach(CallOptions::default()).expect("again");
    assert_eq!(call.push(Track::Customer, &[0; 2]), Ok(1));
    session.close();
    session.ended_within(PATIENCE).expect("no callback");
    assert_eq!(call.push(Track::Customer, &[0; 2]), Err(Kind::Closed));
    let mut out = [1; 4];
    assert_eq!(call.pull(&mut out), Err(Kind::Closed));
    assert_eq!(out, [0; 4]);
    let late = session.attach(CallOptions::default());
    assert_eq!(late.expect_err("closed").kind(), Kind::Closed);
}

#[test]
fn what_was_pushed_to_a_session_that_never_opens_is_told_as_unsent() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/", silent.local_addr().expect("an address"));
    let client = Client::new().url(url).dialect("openai");
    let session = client.expect("built in").open(Options::default());
    let session = session.expect("valid options");
    for frames in [800, 1_600] {
        let call = session.attach(CallOptions::default().with_format(PCM_8K));
        let call = call.expect("attached");
        assert_eq!(
            call.push_samples(Track::Customer, &vec![1; frames]),
            Ok(frames)
        );
        if frames == 800 {
            call.detach();
            continue;
        }
        session.close_within(Duration::ZERO);
        let end = session.ended_within(PATIENCE).expect("no callback");
        assert_eq!(end.expect("it is closed").unsent.audio_ms, 300);
    }
}

/// Lets a server say two seconds at once.
fn say_last_words(server: &Hostile) {
    let audio = "A".repeat(2 * 24_000 * 2 / 3 * 4);
    let delta = |name: &str, more: Value| {
        let mut event = json!({"type": name, "response_id": "r", "item_id": "i", "content_index": 0,
            "output_index": 0});
        event
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("too").clone());
        event
    };
    let item = json!({"id": "i", "type": "message", "role": "assistant", "status": "in_progress"});
    for event in [
        json!({"type": "response.created", "response": {"id": "r", "status": "in_progress"}}),
        delta("response.output_item.added", json!({"item": item})),
        delta("response.output_audio.delta", json!({"delta": audio})),
    ] {
        server.act(ServerAct::Text(event.to_string()));
    }
}

#[test]
fn the_last_words_of_a_server_are_heard_to_their_end() {
    for is_asked in [false, true] {
        let server = Hostile::start();
        let greeting = json!({"type": "session.created", "session": {"id": "s"}});
        server.act(ServerAct::Text(greeting.to_string()));
        let client = Client::new().url(&server.url).dialect("openai");
        let session = client.expect("built in").open(Options::default());
        let session = session.expect("valid options");
        let call = session.attach(CallOptions::default().with_format(PCM_8K));
        let call = call.expect("attached");
        let opened = session.runtime().block_on(session.opened());
        opened.expect("it opens");
        say_last_words(&server);
        loop {
            match session.next_within(PATIENCE).expect("no callback") {
                Next::Event(event) if event.name() == "response.output_audio.delta" => break,
                Next::Event(_) => {}
                other => panic!("no audio but {other:?}"),
            }
        }
        if is_asked {
            session.close_within(Duration::ZERO);
        } else {
            server.act(ServerAct::Close(1000, String::new()));
        }
        let end = session.ended_within(PATIENCE).expect("no callback");
        assert_eq!(end.expect("it is over").expected, is_asked);
        assert_eq!(call.push(Track::Customer, &[0; 2]), Err(Kind::Closed));
        let (start, mut out) = (Instant::now(), [0; 160]);
        while call.pull_samples(&mut out) != Err(Kind::Closed) {
            assert!(start.elapsed() < PATIENCE, "{:?}", call.stats());
            // Whoever tops up runs on another thread.
            std::thread::yield_now();
        }
        let pulled = call.stats().pulled;
        match is_asked {
            false => assert_eq!(pulled, 16_000, "all of it"),
            true => assert!(pulled <= 2_000, "{pulled} of a quarter of a second"),
        }
    }
}

#[test]
fn options_that_make_no_sense_are_refused_before_anything_is_attached() {
    let server = server();
    let session = session(&server);
    let wrong = CallOptions {
        tick_ms: 0,
        ..CallOptions::default()
    };
    assert_eq!(session.attach(wrong).expect_err("no").kind(), Kind::Config);
    session.attach(CallOptions::default()).expect("attached");
}

#[test]
fn what_the_server_is_told_after_a_flush_is_what_was_pulled_to_the_sample() {
    let config = Config::new().profile("openai").pacing(Pacing::Realtime);
    let server = LocalServer::start(config).expect("starts");
    let session = session(&server);
    let options = CallOptions::default().with_format(PCM_8K);
    let call = session.attach(options).expect("attached");
    session
        .send_text("Tell me everything about keeping time, slowly and in order.")
        .expect("queued");
    session.respond(None).expect("queued");
    let (start, mut out, mut has_flushed) = (Instant::now(), [0; 163], false);
    let truncated = loop {
        assert!(start.elapsed() < PATIENCE, "{:?}", call.stats());
        call.pull_samples(&mut out).expect("an open session");
        if call.stats().pulled > 6_000 && !has_flushed {
            has_flushed = true;
            call.flush();
        }
        if let Next::Event(event) = session.next_within(FRAME).expect("no callback")
            && event.name() == "conversation.item.truncated"
        {
            let raw = event.raw().expect("the server's frame").to_owned();
            break serde_json::from_str::<Value>(&raw).expect("JSON");
        }
    };
    // Whatever was cut stays cut.
    let pulled = call.stats().pulled;
    call.pull_samples(&mut out).expect("an open session");
    assert_eq!(call.stats().pulled, pulled);
    assert_eq!(truncated["audio_end_ms"], pulled / 8);
}

#[test]
fn a_commit_comes_after_what_was_pushed_before_it() {
    let server = server();
    let manual = r#"{"session": {"audio": {"input": {"turn_detection": null}}}}"#;
    let client = Client::new().url(server.url()).dialect("openai");
    let options = Options::from_json(manual).expect("valid options");
    let session = client.expect("built in").open(options).expect("it dials");
    let call = session.attach(CallOptions::default().with_format(PCM_8K));
    let call = call.expect("attached");
    session
        .runtime()
        .block_on(session.opened())
        .expect("it opens");
    let said = &caller()[..8 * 400];
    assert_eq!(call.push_samples(Track::Customer, said), Ok(said.len()));
    drop(session.commit().expect("sent"));
    drop(session.respond(None).expect("sent"));
    let (names, audio) = run(&session, &call, &[], "response.done");
    assert!(
        names
            .iter()
            .any(|name| name == "input_audio_buffer.committed"),
        "{names:?}"
    );
    let back_ms = Format::PCM16_24K.ms_of_bytes(audio.len() as u64);
    assert!((360..=400).contains(&back_ms), "{back_ms} ms of 400");
}
