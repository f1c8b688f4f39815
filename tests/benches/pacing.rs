//! Whether the local server keeps the pace of speech: `cargo bench -p talkwire-tests --bench pacing`.
//!
//! Many sessions at once get a spoken answer at the pace of real time. A frame of 20 ms is due that
//! long after the frame before it, the first one with the first delta of its answer; what arrives
//! after it is due is late. Server and clients share this process and its processors. The number
//! of sessions may be given, else it is 200.

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use talkwire_core::runtime::dispatch::{Delivery, Handler};
use talkwire_core::{Client, End, Event, Options, Settings};
use talkwire_server::{Config, LocalServer, Pacing};

const SESSIONS: usize = 200;
const FRAME_MS: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    // Cargo passes flags of the standard harness, which this one does not have.
    let mut numbers = std::env::args().filter_map(|arg| arg.parse().ok());
    let sessions = numbers.next().unwrap_or(SESSIONS);
    let config = Config::new().profile("openai").pacing(Pacing::Realtime);
    let server = LocalServer::start(config.max_sessions(sessions)).expect("starts");
    let options = || Options {
        session: Settings::new().manual_turns(),
        ..Options::default()
    };
    let client = Client::new().url(server.url()).dialect("openai");
    let client = client.expect("built in");
    let (done, all) = channel();
    let calls: Vec<_> = (0..sessions)
        .map(|_| {
            let session = client.open(options()).expect("valid options");
            let call = Heard {
                first: None,
                frames: 0,
                late: Vec::new(),
                done: done.clone(),
            };
            session
                .deliver_to(Box::new(call), Delivery::Pinned)
                .expect("once");
            let words = "Tell me everything that you know of keeping time, slowly and in order.";
            session.send_text(words).expect("queued");
            session.respond(None).expect("queued");
            session
        })
        .collect();
    let mut late: Vec<Duration> = Vec::new();
    for _ in &calls {
        late.extend(all.recv_timeout(PATIENCE).expect("an answer"));
    }
    drop(calls);
    report(sessions, late);
}

/// What one caller heard.
struct Heard {
    first: Option<Instant>,
    frames: u64,
    late: Vec<Duration>,
    done: Sender<Vec<Duration>>,
}

impl Handler for Heard {
    fn on_event(&mut self, event: &Event) {
        let now = Instant::now();
        if event.name() == "response.done" {
            // An error means that the others failed already.
            let _ = self.done.send(std::mem::take(&mut self.late));
        }
        for _ in 0..event.audio_ms() / FRAME_MS {
            let first = *self.first.get_or_insert(now);
            let due = first + Duration::from_millis(FRAME_MS * self.frames);
            self.late.push(now.saturating_duration_since(due));
            self.frames += 1;
        }
    }

    fn on_closed(&mut self, _: &End) {}
}

fn report(sessions: usize, mut late: Vec<Duration>) {
    late.sort();
    let ms = |late: Duration| late.as_secs_f64() * 1e3;
    let mean = ms(late.iter().sum::<Duration>()) / late.len() as f64;
    let at = |share: f64| ms(late[((late.len() - 1) as f64 * share) as usize]);
    println!(
        "{sessions} sessions, {} frames of 20 ms: late {mean:.2} ms on average, {:.2} ms at p95, {:.2} ms at p99, {:.2} ms at most",
        late.len(),
        at(0.95),
        at(0.99),
        at(1.0)
    );
}
