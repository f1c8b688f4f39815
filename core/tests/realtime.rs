//! Push and pull ask the system for nothing: no memory, no system call, on whatever path they take.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use talkwire_core::audio::format::Format;
use talkwire_core::audio::port::{Media, Options, Port, Track, Tracks, open};

/// Counts what a watched thread asks of the allocator.
struct Watched;

thread_local! {
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

fn asked() {
    if IS_WATCHED.get() {
        ASKED.set(ASKED.get() + 1);
    }
}

// Safety: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        asked();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        asked();
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        asked();
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// How often `work` asks the allocator for something or gives something back.
fn requests(work: impl FnOnce()) -> u64 {
    ASKED.set(0);
    IS_WATCHED.set(true);
    work();
    IS_WATCHED.set(false);
    ASKED.get()
}

const FORMATS: [Format; 5] = [
    Format::PCM16_24K,
    Format::Pcm16 { rate_hz: 8_000 },
    Format::Alaw,
    Format::Mulaw,
    Format::WideAlaw { rate_hz: 44_100 },
];

/// Ports of every kind, each with a session that plays, holds, flushes and reads all the time.
struct Calls {
    medias: Vec<Arc<Media>>,
    stop: Arc<AtomicBool>,
    session: Option<thread::JoinHandle<()>>,
}

impl Calls {
    fn start() -> Self {
        let (mut ports, mut medias) = (Vec::new(), Vec::new());
        for format in FORMATS {
            for (tracks, hold_db) in [
                (Tracks::Mono, Some(18.0)),
                (Tracks::Stereo, None),
                (Tracks::Two, Some(6.0)),
            ] {
                let mut options = Options::default().with_format(format);
                (options.tracks, options.hold_db) = (tracks, hold_db);
                options.comfort_noise_dbfs = hold_db.map(|_| -50.0);
                let (port, media) = open(options).expect("good options");
                ports.push(port);
                medias.push(Arc::new(media));
            }
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let session = thread::spawn(move || {
            for round in 1.. {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                ports.iter_mut().for_each(|port| serve(port, round));
            }
        });
        Self {
            medias,
            stop,
            session: Some(session),
        }
    }
}

impl Calls {
    /// Whether there was sound, silence and too much of either.
    fn has_seen_all(&self) -> bool {
        let any = |of: fn(&Media) -> u64| self.medias.iter().any(|media| of(media) > 0);
        any(|m| m.stats().pulled) && any(|m| m.stats().silence) && any(|m| m.stats().overruns)
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(session) = self.session.take() {
            session.join().expect("the session does not panic");
        }
    }
}

fn serve(port: &mut Port, round: u64) {
    if round.is_multiple_of(3) {
        port.play(round, Bytes::from_static(&[0x40; 9_600]), Format::PCM16_24K);
        port.play_end(round);
    }
    port.hold(round.is_multiple_of(7));
    if round.is_multiple_of(5) {
        port.record(round.is_multiple_of(2));
    }
    port.taken();
    if round.is_multiple_of(11) {
        port.flush();
    }
    port.top_up();
    port.heard();
    port.listen(Instant::now(), true);
    while port.captured(Instant::now(), Format::PCM16_24K).is_some() {}
}

const ROUNDS: usize = 3_000;

/// What media threads do, right and wrong: sound, silence, overruns, odd sizes, other formats.
fn use_media(medias: &[Arc<Media>], rounds: usize) {
    let mut out = [0; 4_096];
    let mut samples = [0; 700];
    for round in 0..rounds {
        let size = 1 + round * 37 % 900;
        for media in medias {
            let _ = media.push(Track::Customer, &[0x55; 4_096][..4 * size]);
            let _ = media.push(Track::Agent, &[0x55; 3_840]);
            let _ = media.push(Track::Customer, &[0; 3]);
            let _ = media.push_samples(Track::Customer, &[1; 600]);
            let _ = media.pull(&mut out[..2 * size]);
            let _ = media.pull(&mut out[..size]);
            let _ = media.pull_samples(&mut samples);
            let _ = (media.stats(), media.position());
            media.set_latency_ms(round as u32 % 100);
        }
    }
}

#[test]
fn push_and_pull_never_ask_for_memory() {
    assert!(
        requests(|| drop(std::hint::black_box(Box::new(1)))) >= 2,
        "the allocator watches"
    );
    let calls = Calls::start();
    // As long as it takes until the session beside it has had its turns.
    let asked = requests(|| {
        use_media(&calls.medias, ROUNDS);
        while !calls.has_seen_all() {
            use_media(&calls.medias, 1);
        }
    });
    assert_eq!(asked, 0);
    let medias = calls.medias.clone();
    drop(calls);
    assert_eq!(requests(|| use_media(&medias, 10)), 0, "after the end");
}

/// Set in the child process: what it is to do under the filter.
const TASK: &str = "TALKWIRE_TEST_UNDER_FILTER";

/// The exit code of a child that did it, and of one that could not set the filter up.
const DID: i32 = 42;
const COULD_NOT: i32 = 77;

#[test]
fn push_and_pull_never_call_the_system() {
    match std::env::var(TASK).as_deref() {
        Ok("media") => {
            let calls = Calls::start();
            under_filter(|| {
                use_media(&calls.medias, ROUNDS);
                while !calls.has_seen_all() {
                    use_media(&calls.medias, 1);
                }
            })
        }
        Ok(_) => under_filter(|| {
            // Safety: has no arguments and no effect.
            unsafe { libc::syscall(libc::SYS_getppid) };
        }),
        Err(_) => {
            let control = child("control");
            if control.code() == Some(COULD_NOT) {
                return skip("this system has no seccomp filters");
            }
            assert_eq!(control.code(), None, "the filter kills on a system call");
            assert_eq!(child("media").code(), Some(DID));
        }
    }
}

fn child(task: &str) -> std::process::ExitStatus {
    let name = "push_and_pull_never_call_the_system";
    let myself = std::env::current_exe().expect("a path");
    let mut command = Command::new(myself);
    command
        .args(["--exact", name, "--nocapture"])
        .env(TASK, task);
    command.status().expect("starts")
}

fn skip(reason: &str) {
    use std::io::Write as _;
    let line = format!("push_and_pull_never_call_the_system: {reason}\n");
    if let Some(path) = std::env::var_os("TALKWIRE_SKIP_FILE") {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// Runs `work` on this thread with a filter that kills the process on any system call but the one
/// that ends it; ends the process.
fn under_filter(work: impl FnOnce()) {
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    let op = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    // The number of the call is the first word of what the filter sees.
    let mut filter = [
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        op(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_exit_group as u32,
        ),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, ALLOW),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, KILL),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // Safety: the program and its instructions outlive the calls, which copy them.
    unsafe {
        let refused = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) != 0;
        if refused {
            libc::_exit(COULD_NOT);
        }
        work();
        libc::_exit(DID);
    }
}
