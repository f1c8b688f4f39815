//! The telephone line of a call: a media port, and a thread with the clock of the line that listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use talkwire_core::audio::format::Format;
use talkwire_core::call::Track;
use talkwire_core::error::{Error, Kind, Result};
use talkwire_core::{Call, CallOptions, Session};

/// What telephones take at once.
const FRAME_MS: u64 = 20;
/// Frames that wait to be noted: ten seconds, more than anybody who notes them is ever busy.
const WAITING: usize = 500;

/// What was heard within one frame.
#[derive(Debug)]
pub(crate) struct Frame {
    /// When it was taken.
    pub(crate) at: Instant,
    pub(crate) samples: Vec<i16>,
    /// How many samples, the first ones, were sound.
    pub(crate) sound: usize,
}

/// A line that is open; dropping it hangs up.
#[derive(Debug)]
pub(crate) struct Line {
    call: Call,
    uplink: Format,
    frames: Option<Receiver<Frame>>,
    is_over: Arc<AtomicBool>,
    clock: Option<JoinHandle<()>>,
}

impl Line {
    /// Opens a line to a session; the customer speaks in `uplink` and listens at `rate_hz`.
    pub(crate) fn open(session: &Session, uplink: Format, rate_hz: u32) -> Result<Self> {
        let call = session.attach(CallOptions {
            uplink,
            downlink: Format::Pcm16 { rate_hz },
            // The customer's quiet is spoken into the line like everything else.
            silence_max_ms: 0,
            ..CallOptions::default()
        })?;
        let (sender, frames) = sync_channel(WAITING);
        let is_over = Arc::new(AtomicBool::new(false));
        let (ears, over) = (call.clone(), is_over.clone());
        let samples = (u64::from(rate_hz) * FRAME_MS / 1000) as usize;
        let clock = Builder::new()
            .name("line".to_owned())
            .spawn(move || listen(&ears, samples, &sender, &over))
            .map_err(|e| Error::new(Kind::Io, format!("a thread: {e}")))?;
        Ok(Self {
            call,
            uplink,
            frames: Some(frames),
            is_over,
            clock: Some(clock),
        })
    }

    /// Speaks into the line; returns the milliseconds that were lost because the session was busy.
    pub(crate) fn push(&self, audio: &[u8]) -> Result<u64> {
        let taken = self.call.push(Track::Customer, audio)?;
        let lost = audio.len() - taken * self.uplink.sample_bytes();
        Ok(self.uplink.ms_of_bytes(lost as u64))
    }

    /// Whether sound waits to be heard.
    pub(crate) fn has_sound(&self) -> bool {
        let stats = self.call.stats();
        stats.depth > 0 || stats.queued_ms > 0
    }

    /// What was heard since the last call.
    pub(crate) fn heard(&self) -> impl Iterator<Item = Frame> {
        self.frames.iter().flat_map(Receiver::try_iter)
    }

    /// Listens no more; returns what was heard last.
    pub(crate) fn hang_up(mut self) -> Vec<Frame> {
        self.is_over.store(true, Ordering::Release);
        let frames = self.frames.take();
        frames.iter().flat_map(Receiver::iter).collect()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // A thread that finds nobody to tell stops as well.
        self.frames = None;
        if let Some(clock) = self.clock.take() {
            // It has nothing to say but what was heard.
            let _ = clock.join();
        }
        self.call.detach();
    }
}

/// Takes a frame each 20 ms, and as many at once as were missed: the line goes on while this machine
/// is busy.
fn listen(call: &Call, samples: usize, frames: &SyncSender<Frame>, is_over: &AtomicBool) {
    let mut due = Instant::now();
    while !is_over.load(Ordering::Acquire) {
        let mut frame = Frame {
            at: Instant::now(),
            samples: vec![0; samples],
            sound: 0,
        };
        match call.pull_samples(&mut frame.samples) {
            Ok(sound) => frame.sound = sound,
            // The session ended, and all of it was heard.
            Err(_) => return,
        }
        if frames.send(frame).is_err() {
            return;
        }
        due += Duration::from_millis(FRAME_MS);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
