//! What a media port costs and how it sounds: `cargo bench -p talkwire-tests --bench media`.
//!
//! The cost of a packet for the media thread, that of 20 ms for the session, the memory of a port,
//! delay and alias of each change of rate (16 bits hold no alias below -91 dB); then calls on real sessions over the loopback, client and
//! server in this process, a packet each way every 20 ms. The number of calls may be given, else it
//! is 200; 0 leaves them out.

use std::alloc::{GlobalAlloc, Layout, System};
use std::f64::consts::TAU;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use talkwire_core::audio::format::Format;
use talkwire_core::audio::level::rms_dbfs;
use talkwire_core::audio::port::{Options as PortOptions, Track, open};
use talkwire_core::audio::resample::{Resampler, resample};
use talkwire_core::{Call, CallOptions, Client, Options, Session, Settings};
use talkwire_server::{Config, LocalServer};

/// The system's allocator, and how many bytes it has given out.
struct Counting;

static BYTES: AtomicI64 = AtomicI64::new(0);

// Safety: all is passed on.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as i64, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CALLS: usize = 200;
const PACKETS: usize = 20_000;
const SECONDS: u64 = 10;
const PCM_8K: Format = Format::Pcm16 { rate_hz: 8_000 };
const WIRE: Format = Format::PCM16_24K;

fn main() {
    // Cargo passes flags of the standard harness, which this one does not have.
    let mut numbers = std::env::args().filter_map(|arg| arg.parse().ok());
    let calls = numbers.next().unwrap_or(CALLS);
    for format in [PCM_8K, Format::Alaw, Format::Pcm16 { rate_hz: 48_000 }] {
        packet(format);
    }
    for (from, to) in [
        (8_000, 24_000),
        (24_000, 8_000),
        (16_000, 24_000),
        (24_000, 16_000),
        (44_100, 24_000),
        (24_000, 44_100),
        (48_000, 24_000),
        (24_000, 48_000),
    ] {
        change(from, to);
    }
    if calls > 0 {
        real(calls);
    }
}

/// One call at the pace of packets, as fast as it goes.
fn packet(format: Format) {
    let (mut media_ns, mut session_ns) = (vec![0; PACKETS], vec![0; PACKETS]);
    let before = BYTES.load(Ordering::Relaxed);
    let (mut port, media) = open(PortOptions::default().with_format(format)).expect("good options");
    let idle = BYTES.load(Ordering::Relaxed) - before;
    let mut packet = vec![0x55; format.bytes_of_ms(20) as usize];
    let answer = Bytes::from(vec![1; WIRE.bytes_of_ms(20) as usize]);
    let mut now = Instant::now();
    for (media_ns, session_ns) in media_ns.iter_mut().zip(&mut session_ns) {
        let start = Instant::now();
        media.push(Track::Customer, &packet).expect("open");
        media.pull(&mut packet).expect("open");
        *media_ns = start.elapsed().as_nanos() as u64;
        now += Duration::from_millis(20);
        let start = Instant::now();
        port.listen(now, true);
        while let Some(sound) = port.captured(now, WIRE) {
            std::hint::black_box(sound);
        }
        port.heard();
        port.play(1, answer.clone(), WIRE);
        port.top_up();
        *session_ns = start.elapsed().as_nanos() as u64;
    }
    let busy = BYTES.load(Ordering::Relaxed) - before;
    println!(
        "{format:?}: media thread {}; session {}; {idle} bytes idle, {busy} in use",
        spread(media_ns),
        spread(session_ns)
    );
}

fn spread(mut ns: Vec<u64>) -> String {
    ns.sort_unstable();
    let at = |share: f64| ns[((ns.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    format!(
        "{:.2} us median, {:.2} p99, {:.1} max",
        at(0.5),
        at(0.99),
        at(1.0)
    )
}

/// What a stream waits for its samples, and what is left of a tone that the new rate cannot hold.
fn change(from: u32, to: u32) {
    let mut resampler = Resampler::new(from, to).expect("rates");
    let (mut out, mut waits) = (Vec::new(), 0_usize);
    while out.is_empty() {
        resampler.process(&[1_000], &mut out);
        waits += 1;
    }
    let delay_ms = (waits - 1) as f64 * 1e3 / f64::from(from);
    let alias = (from > to).then(|| {
        let hz = 0.62 * f64::from(to);
        let tone: Vec<i16> = (0..from)
            .map(|i| (16_000.0 * (TAU * hz * f64::from(i) / f64::from(from)).sin()) as i16)
            .collect();
        let out = resample(&tone, from, to).expect("rates");
        let edge = to as usize / 10;
        rms_dbfs(&out[edge..out.len() - edge]) - rms_dbfs(&tone)
    });
    let alias = alias.map_or_else(|| "none possible".to_owned(), |db| format!("{db:.0} dB"));
    println!("{from} -> {to} Hz: delay {delay_ms:.2} ms, alias of 1.24 Nyquist {alias}");
}

/// Real sessions, each with a port, and two media threads for all of them.
fn real(calls: usize) {
    let config = Config::new().profile("openai").max_sessions(calls);
    let server = LocalServer::start(config).expect("starts");
    let client = Client::new().url(server.url()).dialect("openai");
    let client = client.expect("built in");
    let open = |_| -> (Session, Call) {
        let session = Settings::new().manual_turns();
        let options = Options {
            session,
            ..Options::default()
        };
        let session = client.open(options).expect("valid options");
        let options = CallOptions::default().with_format(PCM_8K);
        let call = session.attach(options).expect("attached");
        session
            .send_text("Tell me all that you know of keeping time, slowly and in order.")
            .expect("queued");
        session.respond(None).expect("queued");
        (session, call)
    };
    let all: Vec<_> = (0..calls).map(open).collect();
    let (stop, cpu) = (AtomicBool::new(false), cpu_time());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for half in all.chunks(calls.div_ceil(2)) {
            scope.spawn(|| host(half, &stop));
        }
        while start.elapsed() < Duration::from_secs(SECONDS) {
            for (session, _) in &all {
                while let talkwire_core::runtime::mailbox::Next::Event(_) = session.try_next() {}
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Release);
    });
    let used = cpu_time() - cpu;
    let sum = |of: fn(&Call) -> u64| all.iter().map(|(_, call)| of(call)).sum::<u64>();
    println!(
        "{calls} calls, {SECONDS} s: {:.0} % of a processor (server included); pushed {}, overrun {}, \
         silence inserted {}, pulled {}, underruns {}",
        used.as_secs_f64() * 100.0 / start.elapsed().as_secs_f64(),
        sum(|c| c.stats().pushed),
        sum(|c| c.stats().overrun),
        sum(|c| c.stats().inserted),
        sum(|c| c.stats().pulled),
        sum(|c| c.stats().underruns),
    );
}

fn host(calls: &[(Session, Call)], stop: &AtomicBool) {
    let mut due = Instant::now();
    let (mut worst, mut out) = (Duration::ZERO, [0; 320]);
    while !stop.load(Ordering::Acquire) {
        for (_, call) in calls {
            let start = Instant::now();
            let _ = call.push(Track::Customer, &[1; 320]);
            let _ = call.pull(&mut out);
            worst = worst.max(start.elapsed());
        }
        due += Duration::from_millis(20);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    println!("longest push and pull of one call: {worst:?}");
}

/// Processor time of this process so far.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let own = text.split(' ').next().and_then(|ns| ns.parse().ok());
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let sum: u64 = threads
        .flatten()
        .filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        })
        .sum();
    Duration::from_nanos(sum.max(own.unwrap_or(0)))
}
