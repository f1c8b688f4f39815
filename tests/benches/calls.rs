//! What many calls cost: `cargo bench -p talkwire-tests --bench calls`.
//!
//! Each call has a media port of 8 kHz A-law. One host thread with a clock of 20 ms pushes a frame
//! into every call and pulls one from it, in a loop by deadline; events come by callback. All
//! customers say the same at the same time, again and again, and get it back from the local server,
//! which runs in another process. The number of calls and the seconds may be given, else they are
//! 1,000 and 30; with `law` sound goes over the wire as A-law, too. The limit of open files is raised
//! by who starts this: each side has a socket per call.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use talkwire_core::audio::format::Format;
use talkwire_core::audio::resample::resample;
use talkwire_core::audio::{codec, wav::Wav};
use talkwire_core::call::Track;
use talkwire_core::runtime::dispatch::{Delivery, Handler};
use talkwire_core::{Call, CallOptions, Client, End, Event, Options, Session};
use talkwire_server::{Config, LocalServer};

const CALLS: usize = 1_000;
const SECONDS: u64 = 30;
const FRAME: Duration = Duration::from_millis(20);
const FRAME_BYTES: usize = 160;
/// The customer's pause after each line: the server finds a turn in it, and its answer is heard.
const PAUSE_MS: u64 = 4_000;
/// Calls begin in groups, as on a busy exchange.
const GROUP: usize = 50;
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    if std::env::args().any(|arg| arg == "serve") {
        return serve();
    }
    let mut numbers = std::env::args().filter_map(|arg| arg.parse().ok());
    let calls = numbers.next().unwrap_or(CALLS);
    let seconds = numbers.next().map_or(SECONDS, |seconds| seconds as u64);
    let itself = std::env::current_exe().expect("a program");
    let mut server = Command::new(itself)
        .args(["serve", &calls.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut url = String::new();
    let mut said = BufReader::new(server.stdout.take().expect("piped"));
    said.read_line(&mut url).expect("a line");
    let before = Process::of("self");
    let told = Arc::new(Told::default());
    let calls: Vec<_> = open(calls, url.trim(), &told);
    let opened = Process::of("self");
    let there = server.id().to_string();
    let server_before = Process::of(&there);
    let rounds = run(&calls, seconds);
    let after = Process::of("self");
    let server_after = Process::of(&there);
    report(&calls, rounds, &told);
    println!(
        "this process: {:.0} % of a processor, {} threads, {:.1} MB before the calls, {:.1} MB when they were open, {:.1} MB at the end",
        after.share_since(&opened),
        after.threads,
        before.mb,
        opened.mb,
        after.mb
    );
    println!(
        "the server: {:.0} % of a processor, {} threads, {:.1} MB",
        server_after.share_since(&server_before),
        server_after.threads,
        server_after.mb
    );
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{processors} processors, load {}", load.trim());
    drop(calls);
    // The end of its input is the end of the server.
    drop(server.stdin.take());
    let _ = server.wait();
}

fn serve() {
    let mut numbers = std::env::args().filter_map(|arg| arg.parse().ok());
    let sessions: usize = numbers.next().unwrap_or(CALLS);
    let config = Config::new().profile("openai").brain("loop");
    let server = LocalServer::start(config.max_sessions(sessions + 1)).expect("starts");
    println!("{}", server.url());
    let mut nothing = String::new();
    let _ = std::io::stdin().read_line(&mut nothing);
}

// ---- the calls ----------------------------------------------------------------------------------

/// What was told by events.
#[derive(Debug, Default)]
struct Told {
    open: AtomicU64,
    events: AtomicU64,
    turns: AtomicU64,
    errors: AtomicU64,
    ends: AtomicU64,
}

struct Listener(Arc<Told>);

impl Handler for Listener {
    fn on_event(&mut self, event: &Event) {
        let told = &self.0;
        told.events.fetch_add(1, Ordering::Relaxed);
        let counter = match event.name() {
            "session.updated" => &told.open,
            "turn.timeline" => &told.turns,
            "error" | "protocol.fault" => &told.errors,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn on_closed(&mut self, _: &End) {
        self.0.ends.fetch_add(1, Ordering::Relaxed);
    }
}

/// With the word `law` sound goes over the wire as the host has it, else at 24 kHz.
fn options() -> Options {
    let law = r#"{"session": {"audio": {"input": {"format": {"type": "audio/pcma"}},
        "output": {"format": {"type": "audio/pcma"}}}}}"#;
    let json = if std::env::args().any(|arg| arg == "law") {
        law
    } else {
        "{}"
    };
    Options::from_json(json).expect("valid options")
}

fn open(calls: usize, url: &str, told: &Arc<Told>) -> Vec<(Session, Call)> {
    let client = Client::new().url(url).dialect("openai").expect("built in");
    let options = options();
    let begun = Instant::now();
    let mut all = Vec::new();
    while all.len() < calls {
        for _ in all.len()..calls.min(all.len() + GROUP) {
            let session = client.open(options.clone()).expect("valid options");
            let listener = Listener(told.clone());
            session
                .deliver_to(Box::new(listener), Delivery::Pinned)
                .expect("once");
            let options = CallOptions::default().with_format(Format::Alaw);
            let call = session.attach(options).expect("attached");
            all.push((session, call));
        }
        // The port asks for the interruption to be left to it: the first answer of the server.
        while told.open.load(Ordering::Relaxed) < all.len() as u64 {
            let ended = told.ends.load(Ordering::Relaxed);
            assert_eq!(
                ended, 0,
                "sessions ended: is the limit of open files too low?"
            );
            assert!(begun.elapsed() < PATIENCE, "{told:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    println!(
        "{calls} calls open after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    all
}

/// How late each round of the host's clock began and how long it took.
#[derive(Debug, Default)]
struct Rounds {
    late: Vec<Duration>,
    took: Vec<Duration>,
}

fn run(calls: &[(Session, Call)], seconds: u64) -> Rounds {
    let said = speech();
    let mut frames = said.chunks_exact(FRAME_BYTES).cycle();
    let mut rounds = Rounds::default();
    let mut heard = [0; FRAME_BYTES];
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut due = Instant::now();
    while due < end {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let begun = Instant::now();
        rounds.late.push(begun - due);
        let frame = frames.next().expect("endless");
        for (_, call) in calls {
            // What cannot be taken is counted, and so is who ended.
            let _ = call.push(Track::Customer, frame);
            let _ = call.pull(&mut heard);
        }
        rounds.took.push(begun.elapsed());
        due += FRAME;
    }
    rounds
}

/// A line and a pause, in whole frames of A-law.
fn speech() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../examples/audio/en/answer-3.wav");
    let wav = Wav::read(&path).expect("a recording");
    let mut samples = resample(&wav.to_mono(), wav.rate_hz, 8_000).expect("rates");
    let quiet = Format::Alaw.bytes_of_ms(PAUSE_MS) as usize;
    samples.resize((samples.len() + quiet).next_multiple_of(FRAME_BYTES), 0);
    let mut bytes = Vec::new();
    codec::encode_into(Format::Alaw, &samples, &mut bytes);
    bytes
}

// ---- figures ------------------------------------------------------------------------------------

fn report(calls: &[(Session, Call)], rounds: Rounds, told: &Told) {
    spread("rounds late", rounds.late);
    spread("rounds took", rounds.took);
    let stats: Vec<_> = calls.iter().map(|(_, call)| call.stats()).collect();
    let sum = |of: fn(&talkwire_core::call::CallStats) -> u64| stats.iter().map(of).sum::<u64>();
    println!(
        "pushed {} s, {} ms of it dropped; pulled {} s of sound with {} underruns; {} s of silence inserted",
        sum(|s| s.pushed) / 8_000,
        sum(|s| s.overrun) / 8,
        sum(|s| s.pulled) / 8_000,
        sum(|s| s.underruns),
        sum(|s| s.inserted) / 8_000
    );
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} events by callback, {} answers heard, {} errors, {} sessions ended",
        count(&told.events),
        count(&told.turns),
        count(&told.errors),
        count(&told.ends)
    );
}

fn spread(name: &str, mut all: Vec<Duration>) {
    all.sort();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{name}: {:.2} ms at p50, {:.2} at p95, {:.2} at p99, {:.2} at most of {}",
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0),
        all.len()
    );
}

/// What the system says of a process.
struct Process {
    at: Instant,
    cpu_s: f64,
    threads: u64,
    mb: f64,
}

impl Process {
    fn of(process: &str) -> Self {
        let read = |file: &str| {
            let path = format!("/proc/{process}/{file}");
            std::fs::read_to_string(path).expect("Linux")
        };
        // The name in parentheses may hold spaces; after it, times in hundredths of a second.
        let stat = read("stat");
        let (_, stat) = stat.rsplit_once(')').expect("a name");
        let stat: Vec<_> = stat.split_whitespace().collect();
        let ticks = |field: usize| stat[field - 3].parse::<f64>().expect("a number");
        let status = read("status");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            number
                .and_then(|n| n.parse::<u64>().ok())
                .expect("a number")
        };
        Self {
            at: Instant::now(),
            cpu_s: (ticks(14) + ticks(15)) / 100.0,
            threads: field("Threads:"),
            mb: field("VmRSS:") as f64 / 1_024.0,
        }
    }

    /// Per cent of one processor.
    fn share_since(&self, before: &Self) -> f64 {
        let wall = self.at.duration_since(before.at).as_secs_f64();
        (self.cpu_s - before.cpu_s) / wall * 100.0
    }
}
