//! Recordings of real sessions: what is in the files, when they cannot be written, and when the
//! process dies.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use talkwire_core::audio::format::Format;
use talkwire_core::audio::resample::resample;
use talkwire_core::audio::wav::Wav;
use talkwire_core::call::Track;
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::{Call, CallOptions, Client, Kind, Options, Recorder, RecorderOptions, Session};
use talkwire_server::{Config, LocalServer};

const PATIENCE: Duration = Duration::from_secs(60);
const FRAME: Duration = Duration::from_millis(20);
const PCM_8K: Format = Format::Pcm16 { rate_hz: 8_000 };

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn server() -> LocalServer {
    LocalServer::start(Config::new().profile("openai").brain("loop")).expect("starts")
}

fn session(server: &LocalServer) -> Session {
    let client = Client::new().url(server.url()).dialect("openai");
    let client = client.expect("built in");
    client.open(Options::default()).expect("valid options")
}

fn notes(recorder: &Recorder) -> Value {
    let text = std::fs::read_to_string(recorder.notes_path()).expect("notes");
    serde_json::from_str(&text).expect("JSON")
}

/// What the customer says.
fn words() -> Vec<i16> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/audio/en/answer-3.wav"
    );
    let wav = Wav::read(path.as_ref()).expect("a recording");
    resample(&wav.samples, wav.rate_hz, 8_000).expect("rates")
}

/// A host with a clock of 20 ms.
struct Host<'a> {
    session: &'a Session,
    call: &'a Call,
    said: &'a [i16],
    /// All that was pulled, silence among it.
    heard: Vec<i16>,
    events: Vec<String>,
}

impl<'a> Host<'a> {
    fn new(session: &'a Session, call: &'a Call, said: &'a [i16]) -> Self {
        Self {
            session,
            call,
            said,
            heard: Vec::new(),
            events: Vec::new(),
        }
    }

    fn run(&mut self, mut until: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        let mut due = start;
        while !until(self) {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.events);
            if due <= Instant::now() {
                due += FRAME;
                self.tick();
            }
            let wait = due.saturating_duration_since(Instant::now());
            if let Next::Event(event) = self.session.next_within(wait).expect("no callback") {
                self.events.push(event.name().to_owned());
            }
        }
    }

    fn tick(&mut self) {
        let (now, rest) = self.said.split_at(self.said.len().min(160));
        let taken = self.call.push_samples(Track::Customer, now);
        assert_eq!(taken, Ok(now.len()));
        self.said = rest;
        let mut out = [1; 160];
        self.call.pull_samples(&mut out).expect("an open session");
        self.heard.extend(out);
    }

    fn has_seen(&self, name: &str) -> bool {
        self.events.iter().any(|event| event == name)
    }

    /// An answer was there, and all of it was heard.
    fn is_answered(&self) -> bool {
        let stats = self.call.stats();
        self.has_seen("response.done") && stats.pulled > 0 && stats.depth + stats.queued_ms == 0
    }
}

fn sounds(track: impl IntoIterator<Item = i16>) -> Vec<i16> {
    track.into_iter().filter(|sample| *sample != 0).collect()
}

/// How much of a track's energy is within some milliseconds of it.
fn share(track: &[i16], start_ms: &Value, end_ms: &Value) -> f64 {
    let place = |ms: &Value| (ms.as_u64().expect("a time") * 8) as usize;
    let energy = |part: &[i16]| part.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    let end = place(end_ms).min(track.len());
    energy(&track[place(start_ms)..end]) / energy(track)
}

#[test]
fn a_recording_holds_what_was_pushed_and_pulled_and_says_who_spoke_where() {
    let server = server();
    let session = session(&server);
    let options = RecorderOptions::from_json(r#"{"rate_hz": 8000}"#).expect("valid options");
    // Before the port, so that nothing of it is missing.
    let recorder = session.record(file("call.wav"), options).expect("a file");
    let call = session.attach(CallOptions::default().with_format(PCM_8K));
    let call = call.expect("attached");
    let said = words();
    let mut host = Host::new(&session, &call, &said);
    host.run(Host::is_answered);
    let heard = host.heard;
    session.close();
    recorder.finished_within(PATIENCE).expect("it is written");
    let wav = Wav::read(recorder.path()).expect("a whole file");
    assert_eq!((wav.rate_hz, wav.channels), (8_000, 2));
    assert_eq!(recorder.written_ms(), wav.duration_ms());
    let (left, right): (Vec<_>, Vec<_>) =
        wav.samples.chunks(2).map(|pair| (pair[0], pair[1])).unzip();
    assert!(sounds(left.clone()) == sounds(said), "the customer");
    assert!(sounds(right.clone()) == sounds(heard), "the agent");
    let notes = notes(&recorder);
    assert_eq!(notes["duration_ms"], wav.duration_ms());
    assert_eq!(notes["end"]["why"], "closed");
    assert_eq!(notes["links"].as_array().map(Vec::len), Some(1));
    for (role, track) in [("customer", &left), ("agent", &right)] {
        let segments = notes["segments"].as_array().expect("segments");
        let segment = segments.iter().find(|s| s["role"] == role);
        let segment = segment.unwrap_or_else(|| panic!("{role} in {notes}"));
        let share = share(track, &segment["start_ms"], &segment["end_ms"]);
        assert!(share > 0.9, "{role}: {share} in {notes}");
    }
}

#[test]
fn a_recording_that_cannot_begin_is_an_error_of_whoever_began_it_and_nothing_else() {
    let server = server();
    let session = session(&server);
    let call = session.attach(CallOptions::default()).expect("attached");
    let begin = |path: &Path| session.record(path, RecorderOptions::default());
    for (path, kind) in [
        ("/nonexistent/call.wav", Kind::Io),
        ("/dev/full", Kind::Io),
        ("/tmp/call.json", Kind::Argument),
    ] {
        let error = begin(path.as_ref()).expect_err(path);
        assert_eq!(error.kind(), kind, "{error}");
    }
    let recorder = begin(&file("first.wav")).expect("a file");
    assert_eq!(recorder.rate_hz(), 24_000);
    let twice = begin(&file("second.wav")).expect_err("one at a time");
    assert_eq!(twice.kind(), Kind::Argument);
    recorder.stop().expect("it is told");
    recorder.finished_within(PATIENCE).expect("it is written");
    assert_eq!(notes(&recorder)["end"], Value::Null, "the session goes on");
    let next = begin(&file("second.wav")).expect("after the first");
    assert_eq!(call.push(Track::Customer, &[0; 2]), Ok(1));
    session.close();
    next.finished_within(PATIENCE)
        .expect("it ends with its session");
    assert_eq!(notes(&next)["end"]["expected"], true);
}

/// Set in the child process: where it records.
const PATH: &str = "TALKWIRE_TEST_RECORDS_TO";

#[test]
fn a_recording_whose_process_was_killed_is_a_whole_file() {
    if let Some(path) = std::env::var_os(PATH) {
        return record_for_ever(path.as_ref());
    }
    let path = file("killed.wav");
    let myself = std::env::current_exe().expect("a path");
    let mut child = Command::new(myself)
        .args([
            "--exact",
            "a_recording_whose_process_was_killed_is_a_whole_file",
        ])
        .arg("--nocapture")
        .env(PATH, &path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let told = lines.find_map(|line| line.expect("text").strip_prefix("written ")?.parse().ok());
    child.kill().expect("it lives");
    child.wait().expect("it is gone");
    let told: u64 = told.expect("the child told what is safe");
    let wav = Wav::read(&path).expect("a whole file");
    assert!(
        wav.duration_ms() >= told,
        "{} of {told} ms",
        wav.duration_ms()
    );
    assert!(
        wav.samples.chunks(2).any(|pair| pair[0] != 0),
        "the customer"
    );
    let text = std::fs::read_to_string(path.with_extension("json")).expect("notes");
    let notes: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(notes["end"], Value::Null);
}

fn record_for_ever(path: &Path) {
    let server = server();
    let session = session(&server);
    let call = session.attach(CallOptions::default().with_format(PCM_8K));
    let call = call.expect("attached");
    let recorder = session.record(path, RecorderOptions::default());
    let recorder = recorder.expect("a file");
    let said = words().repeat(20);
    let mut told = false;
    Host::new(&session, &call, &said).run(|_| {
        let ms = recorder.written_ms();
        if ms > 1_500 && recorder.notes_path().exists() && !std::mem::replace(&mut told, true) {
            println!("\nwritten {ms}");
        }
        false
    });
}
