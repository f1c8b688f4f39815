//! Decode, encode and loopback throughput: `cargo bench -p talkwire-tests`.
//!
//! Prints the median of several rounds with their range. Figures are of this machine and moment;
//! only ratios within one run say anything.

use std::hint::black_box;
use std::time::{Duration, Instant};

use talkwire_core::dialect::Dialect;
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::wire::audio;
use talkwire_core::{Client, Options, Session, Settings};
use talkwire_server::{Config, LocalServer};

const ROUNDS: usize = 9;

fn main() {
    // Cargo passes flags of the standard harness, which this one does not have.
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    let dialect = Dialect::named("openai").expect("built in");
    let pcm = vec![7; 4_800];
    let delta = format!(
        r#"{{"type":"response.output_audio.delta","event_id":"event_1","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"delta":"{}"}}"#,
        audio::encode(&pcm)
    );
    let text = r#"{"type":"response.output_text.delta","event_id":"event_1","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"delta":"Hello"}"#;
    if wanted("decode audio") {
        per_event("decode audio delta, 100 ms", 20_000, || {
            black_box(dialect.decode_server(black_box(&delta)).expect("valid"));
        });
    }
    if wanted("decode text") {
        per_event("decode text delta", 20_000, || {
            black_box(dialect.decode_server(black_box(text)).expect("valid"));
        });
    }
    if wanted("encode") {
        let mut frame = String::new();
        per_event("encode append, 20 ms", 50_000, || {
            dialect.encode_append(black_box(&pcm[..960]), &mut frame);
            black_box(&frame);
        });
    }
    if wanted("loopback") {
        loopback();
    }
}

fn per_event(name: &str, events: u32, mut work: impl FnMut()) {
    let mut round = || {
        let start = Instant::now();
        for _ in 0..events {
            work();
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(events)
    };
    round();
    report(name, "us each", (0..ROUNDS).map(|_| round()).collect());
}

/// Audio to the local server and proof that it has all of it, then its echo back.
fn loopback() {
    let config = Config::new().profile("openai").brain("loop");
    let server = LocalServer::start(config).expect("starts");
    let options = Options {
        session: Settings::new().manual_turns(),
        ..Options::default()
    };
    let client = Client::new()
        .url(server.url())
        .dialect("openai")
        .expect("built in");
    let session = client.open(options).expect("opens");
    let mut there = Vec::new();
    let mut back = Vec::new();
    for _ in 0..=ROUNDS {
        there.push(send(&session));
        back.push(receive(&session));
    }
    // The first round warms caches and buffers up.
    report(
        "loopback, 60 s of audio to the server",
        "x real time",
        there.split_off(1),
    );
    report(
        "loopback, 60 s of audio from the server",
        "x real time",
        back.split_off(1),
    );
}

const SECONDS: u32 = 60;

fn send(session: &Session) -> f64 {
    let start = Instant::now();
    for _ in 0..SECONDS * 50 {
        let frame = vec![1; 960];
        while session.append(frame.clone()).is_err() {
            std::thread::yield_now();
        }
    }
    let committed = session.commit().expect("queued");
    session.runtime().block_on(committed).expect("committed");
    f64::from(SECONDS) / start.elapsed().as_secs_f64()
}

fn receive(session: &Session) -> f64 {
    let start = Instant::now();
    session.respond(None).expect("queued");
    let mut heard = 0;
    loop {
        match session
            .next_within(Duration::from_secs(30))
            .expect("not in a callback")
        {
            Next::Event(event) if event.name() == "response.done" => break,
            Next::Event(event) => heard += event.audio_ms(),
            other => panic!("no answer: {other:?}"),
        }
    }
    assert_eq!(
        heard,
        u64::from(SECONDS) * 1000,
        "the whole minute came back"
    );
    f64::from(SECONDS) / start.elapsed().as_secs_f64()
}

fn report(name: &str, unit: &str, mut figures: Vec<f64>) {
    figures.sort_by(f64::total_cmp);
    let (least, median, most) = (
        figures[0],
        figures[figures.len() / 2],
        figures[figures.len() - 1],
    );
    println!("{name:<42} {median:>9.2} {unit} [{least:.2}-{most:.2}]");
}
