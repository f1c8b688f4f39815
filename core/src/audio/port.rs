//! The media port of a session: two ends of two rings. The host has a [`Media`], whose push and pull
//! may be called from real-time threads; the session has a [`Port`], which converts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtrb::RingBuffer;

use super::downlink::Downlink;
pub use super::echo::EchoGate;
use super::format::Format;
pub use super::host::{Options, Sent, Track, Tracks};
use super::ring::{Device, Play, Pull, Push, Pushed, State, Tap, Words};
use super::sound::{Level, Quiet, silence};
pub use super::tap::Taken;
use super::tap::Taps;
use super::uplink::{Lane, Uplink};
use super::words::{Counter, Solo};
use crate::error::{Kind, Result};

/// What may wait in a ring of the uplink: longer than the longest pause between two looks at it.
const UPLINK_MS: u64 = 500;

/// After this long without a sound in either direction the session looks less often.
const IDLE: Duration = Duration::from_secs(1);

/// Bits of the milliseconds in a published position; the part has the rest.
const POSITION_MS_BITS: u32 = 40;

/// The two ends of a new port. Fails when the options make no sense.
pub fn open(options: Options) -> Result<(Port, Media)> {
    options.check()?;
    let channels = if options.tracks == Tracks::Stereo {
        2
    } else {
        1
    };
    let frame_bytes = channels * options.uplink.sample_bytes();
    let shared = Arc::new(Shared::new(u64::from(options.latency_ms)));
    let (mut lanes, mut pushes) = (Vec::new(), Vec::new());
    let rings = if options.tracks == Tracks::Two { 2 } else { 1 };
    for counts in shared.pushed.iter().take(rings) {
        let bytes = options.uplink.bytes_of_ms(UPLINK_MS) as usize * channels;
        let (ring, consumer) = RingBuffer::new(bytes);
        lanes.push(Lane::new(consumer, frame_bytes));
        let counts = counts.clone();
        pushes.push(Solo::new(Push {
            ring,
            frame_bytes,
            counts,
        }));
    }
    let mut pushes = pushes.into_iter();
    let (taps, tap) = Taps::new(&options, shared.pushed.clone(), &shared.words);
    let (play, pull) = downlink(&options, &shared.words, tap);
    let media = Media {
        customer: pushes.next().expect("at least one ring"),
        agent: pushes.next(),
        pull: Solo::new(pull),
        frame_bytes,
        uplink: options.uplink,
        downlink: options.downlink,
        confirms: options.confirm,
        shared: shared.clone(),
    };
    let port = Port {
        uplink: Uplink::new(&options, lanes),
        downlink: Downlink::new(
            options.downlink,
            play,
            options.queue_max_ms,
            options.echo_gate.is_some(),
        ),
        taps,
        is_touched: true,
        active: None,
        options,
        shared,
    };
    Ok((port, media))
}

fn downlink(options: &Options, words: &Arc<Words>, tap: Tap) -> (Play, Pull) {
    let host = options.downlink;
    let samples_of = |ms: u32| u64::from(ms) * u64::from(host.rate_hz()) / 1000;
    let bytes = samples_of(options.ring_ms) as usize * host.sample_bytes();
    let (producer, ring) = RingBuffer::new(bytes);
    let play = Play {
        ring: producer,
        sample_bytes: host.sample_bytes(),
        written: 0,
        skipped: 0,
        words: words.clone(),
    };
    let prebuffer = samples_of(options.prebuffer_ms);
    let pull = Pull {
        ring,
        words: words.clone(),
        sample_bytes: host.sample_bytes(),
        quiet: Quiet::new(host, options.comfort_noise_dbfs),
        level: Level::new(host, options.hold_db, samples_of(options.fade_ms)),
        prebuffer,
        rebuffer: samples_of(options.rebuffer_ms),
        front: 0,
        state: State::Waits { until: prebuffer },
        is_sounding: false,
        tap,
    };
    (play, pull)
}

/// What both ends see.
#[derive(Debug)]
struct Shared {
    words: Arc<Words>,
    pushed: [Arc<Pushed>; 2],
    latency_ms: AtomicU64,
    /// Pulled samples that the host knows to have arrived, where it tells.
    confirmed: AtomicU64,
    /// The session is over: it takes nothing more.
    is_ended: AtomicBool,
    /// The session let go of its end.
    is_closed: AtomicBool,
    /// The host let go of its end.
    is_detached: AtomicBool,
    wants_flush: AtomicBool,
    /// Part and milliseconds of what was heard last; 0 for nothing.
    position: AtomicU64,
    told: Told,
}

/// Numbers that the session counts for the host's statistics.
#[derive(Debug, Default)]
struct Told {
    queued_ms: Counter,
    play_dropped_ms: Counter,
    preroll_dropped: Counter,
    inserted: Counter,
    levels_dbfs: [Counter; 2],
}

impl Shared {
    fn new(latency_ms: u64) -> Self {
        Self {
            words: Arc::new(Words::new()),
            pushed: Default::default(),
            latency_ms: AtomicU64::new(latency_ms),
            confirmed: AtomicU64::new(0),
            is_ended: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            is_detached: AtomicBool::new(false),
            wants_flush: AtomicBool::new(false),
            position: AtomicU64::new(0),
            told: Told::default(),
        }
    }
}

/// The host's end. All methods may be called from any thread; push and pull each by one thread at a
/// time, the two of them at once.
///
/// Neither takes a lock, memory or time from the system, so both may be called from a real-time
/// thread. Their errors are bare [`Kind`]s for the same reason.
pub struct Media {
    customer: Solo<Push>,
    agent: Option<Solo<Push>>,
    pull: Solo<Pull>,
    frame_bytes: usize,
    uplink: Format,
    downlink: Format,
    confirms: bool,
    shared: Arc<Shared>,
}

/// What was heard last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Position {
    /// The part, counted from 1 in the order in which parts begin to sound.
    pub part: u64,
    /// Milliseconds of it.
    pub ms: u64,
}

/// What went through a port, in samples of the host where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Taken from pushes, both tracks.
    pub pushed: u64,
    /// Pushed and dropped, because the session did not keep up.
    pub overrun: u64,
    /// Pushes of which something was dropped.
    pub overruns: u64,
    /// Given to pulls as sound.
    pub pulled: u64,
    /// Given to pulls as silence.
    pub silence: u64,
    /// How often speech ran dry in its middle.
    pub underruns: u64,
    /// Waits in the ring to be pulled.
    pub depth: u64,
    /// Waits to get into the ring, in ms.
    pub queued_ms: u64,
    /// Speech of the agent that was dropped because too much of it waited, in ms.
    pub play_dropped_ms: u64,
    /// Dropped because it was too old when the session opened.
    pub preroll_dropped: u64,
    /// Silence sent because nothing was pushed.
    pub inserted: u64,
    /// Loudness of the customer in dBFS, -100 for silence.
    pub customer_dbfs: f32,
    /// Loudness of the agent in dBFS, -100 for silence.
    pub agent_dbfs: f32,
}

impl Media {
    /// Takes `bytes` of a track, whole samples of all its channels; any number of them. Returns the
    /// samples taken: what does not fit is dropped and counted. Real-time safe.
    ///
    /// With interleaved tracks `track` is the customer.
    pub fn push(&self, track: Track, bytes: &[u8]) -> Result<usize, Kind> {
        if !bytes.len().is_multiple_of(self.frame_bytes) {
            return Err(Kind::Argument);
        }
        let push = match (track, &self.agent) {
            (Track::Customer, _) => &self.customer,
            (Track::Agent, Some(agent)) => agent,
            (Track::Agent, None) => return Err(Kind::Argument),
        };
        if !self.is_live() {
            return Err(Kind::Closed);
        }
        push.with(|push| push.push(bytes)).ok_or(Kind::Busy)
    }

    /// Silence in the format of the downlink, byte by byte.
    pub const fn silence(&self) -> u8 {
        silence(self.downlink)
    }

    /// Fills `out` with what the agent says, whole samples; any number of them. Returns how many are
    /// sound; the others, at the end, are silence or comfort noise. Real-time safe.
    ///
    /// After the end of the session what was received still comes, if the application did not ask for
    /// the end, else what is in the ring; then [`Kind::Closed`]. `out` is filled with silence on any
    /// error.
    pub fn pull(&self, out: &mut [u8]) -> Result<usize, Kind> {
        let silence = self.silence();
        if !out.len().is_multiple_of(self.downlink.sample_bytes()) {
            out.fill(silence);
            return Err(Kind::Argument);
        }
        // Looked at before: what was written before the end is pulled first.
        let is_over = self.is_over();
        match self.pull.with(|pull| pull.pull(out)) {
            Some(0) if is_over => {
                out.fill(silence);
                Err(Kind::Closed)
            }
            Some(samples) => Ok(samples),
            None => {
                out.fill(silence);
                Err(Kind::Busy)
            }
        }
    }

    /// [`push`](Self::push) of samples. Only where the format of the uplink is PCM.
    pub fn push_samples(&self, track: Track, samples: &[i16]) -> Result<usize, Kind> {
        self.check_pcm(self.uplink)?;
        let mut taken = 0;
        let mut block = [0; BLOCK_BYTES];
        for part in samples.chunks(BLOCK_BYTES / 2) {
            for (to, from) in block.chunks_exact_mut(2).zip(part) {
                to.copy_from_slice(&from.to_le_bytes());
            }
            let bytes = block.get(..2 * part.len()).unwrap_or_default();
            taken += self.push(track, bytes)?;
        }
        Ok(taken)
    }

    /// [`pull`](Self::pull) into samples. Only where the format of the downlink is PCM.
    pub fn pull_samples(&self, out: &mut [i16]) -> Result<usize, Kind> {
        out.fill(0);
        self.check_pcm(self.downlink)?;
        let (mut given, mut wanted) = (0, 0);
        let mut block = [0; BLOCK_BYTES];
        for part in out.chunks_mut(BLOCK_BYTES / 2) {
            let bytes = block.get_mut(..2 * part.len()).unwrap_or_default();
            // Sound that comes meanwhile must not follow silence in one pull.
            let pulled = match given < wanted {
                true => self.pad(bytes),
                false => self.pull(bytes),
            };
            given += match pulled {
                Err(Kind::Closed) if given > 0 => return Ok(given),
                result => result?,
            };
            wanted += part.len();
            for (to, from) in part.iter_mut().zip(bytes.chunks_exact(2)) {
                if let [low, high] = from {
                    *to = i16::from_le_bytes([*low, *high]);
                }
            }
        }
        Ok(given)
    }

    /// The end of a pull that has no more sound to give.
    fn pad(&self, bytes: &mut [u8]) -> Result<usize, Kind> {
        let padded = self.pull.with(|pull| pull.pad(bytes));
        padded.map(|()| 0).ok_or(Kind::Busy)
    }

    const fn check_pcm(&self, format: Format) -> Result<(), Kind> {
        match format {
            Format::Pcm16 { .. } => Ok(()),
            _ => Err(Kind::Argument),
        }
    }

    /// Whether there is a session at the other end.
    pub fn is_live(&self) -> bool {
        !self.is_over() && !self.shared.is_ended.load(Ordering::Acquire)
    }

    fn is_over(&self) -> bool {
        self.shared.is_closed.load(Ordering::Acquire) || self.is_detached()
    }

    fn is_detached(&self) -> bool {
        self.shared.is_detached.load(Ordering::Acquire)
    }

    /// Format of what is pushed.
    pub const fn uplink(&self) -> Format {
        self.uplink
    }

    /// Format of what is pulled.
    pub const fn downlink(&self) -> Format {
        self.downlink
    }

    /// What was heard last, as of the session's last look (at most `tick_ms` ago).
    pub fn position(&self) -> Option<Position> {
        let packed = self.shared.position.load(Ordering::Acquire);
        let ms = packed & ((1 << POSITION_MS_BITS) - 1);
        (packed != 0).then_some(Position {
            part: packed >> POSITION_MS_BITS,
            ms,
        })
    }

    /// The numbers so far.
    pub fn stats(&self) -> Stats {
        let Shared {
            words,
            pushed,
            told,
            ..
        } = &*self.shared;
        let sum = |of: fn(&Pushed) -> &Counter| pushed.iter().map(|p| of(p).get()).sum();
        let level = |track: usize| f32::from_bits(told.levels_dbfs[track].get() as u32);
        Stats {
            pushed: sum(|p| &p.samples),
            overrun: sum(|p| &p.overrun),
            overruns: sum(|p| &p.overruns),
            pulled: words.pulled.get(),
            silence: words.silence.get(),
            underruns: words.underruns.get(),
            depth: words.written.get().saturating_sub(words.cursor.place()),
            queued_ms: told.queued_ms.get(),
            play_dropped_ms: told.play_dropped_ms.get(),
            preroll_dropped: told.preroll_dropped.get(),
            inserted: told.inserted.get(),
            customer_dbfs: level(0),
            agent_dbfs: level(1),
        }
    }

    /// How long a pulled sample takes to the listener's ear, from now on.
    pub fn set_latency_ms(&self, ms: u32) {
        self.shared
            .latency_ms
            .store(u64::from(ms), Ordering::Release);
    }

    /// Tells that of all samples pulled as sound so many have arrived at the listener. Only where the
    /// options say `confirm`; fewer than before change nothing. Real-time safe.
    pub fn played(&self, samples: u64) -> Result<(), Kind> {
        if !self.confirms {
            return Err(Kind::Argument);
        }
        self.shared.confirmed.fetch_max(samples, Ordering::AcqRel);
        Ok(())
    }

    /// Wishes that what waits to be heard is dropped; it happens within `tick_ms`.
    pub fn flush(&self) {
        self.shared.wants_flush.store(true, Ordering::Release);
    }

    /// Lets go of the session: pushes fail from now on, pulls as soon as the ring is empty.
    pub fn detach(&self) {
        self.shared.is_detached.store(true, Ordering::Release);
    }
}

/// A block of [`Media::push_samples`], on the stack.
const BLOCK_BYTES: usize = 960;

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Media({:?}, {:?})", self.uplink, self.downlink)
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        self.detach();
    }
}

/// The session's end. Owned by one task, so it has no lock.
pub struct Port {
    uplink: Uplink,
    downlink: Downlink,
    taps: Taps,
    options: Options,
    shared: Arc<Shared>,
    /// Whether something was done since the last look.
    is_touched: bool,
    /// When something happened last.
    active: Option<Instant>,
}

impl Port {
    /// Takes what was pushed so far; while the session is not open, only the newest sound is kept.
    pub fn listen(&mut self, now: Instant, is_open: bool) {
        self.uplink.listen(now, is_open);
        let latency = self.shared.latency_ms.load(Ordering::Acquire);
        if let Some(gate) = &mut self.uplink.gate {
            let pulled_dbfs = self.downlink.pulled_dbfs();
            gate.look(now, pulled_dbfs, Duration::from_millis(latency));
        }
        self.is_touched |= self.uplink.is_busy(now);
        self.tell_uplink();
    }

    fn tell_uplink(&self) {
        let told = &self.shared.told;
        told.preroll_dropped.set(self.uplink.dropped);
        told.inserted.set(self.uplink.silence());
        for (word, level) in told.levels_dbfs.iter().zip(self.uplink.levels_dbfs) {
            word.set(u64::from(level.to_bits()));
        }
    }

    /// What is next to be sent of what was taken, at most 200 ms in whole frames of 20 ms; to be
    /// called until there is none. `wire` is the acknowledged format.
    pub fn captured(&mut self, now: Instant, wire: Format) -> Option<Bytes> {
        let bytes = self.uplink.captured(now, wire);
        self.tell_uplink();
        bytes
    }

    /// Whether, if that has changed since the last call, what was captured lately is nothing but an
    /// echo of the agent. Without a gate it never is.
    pub fn echo(&mut self) -> Option<bool> {
        self.uplink.gate.as_mut()?.change()
    }

    /// All that is left to be sent, with the last part of a frame: the host is gone.
    pub fn finish(&mut self, now: Instant, wire: Format) -> Option<Bytes> {
        self.uplink.finish(now, wire)
    }

    /// Milliseconds of the customer that were pushed and not sent.
    pub fn unsent_ms(&self) -> u64 {
        self.uplink.unsent_ms()
    }

    /// From now on all that is pushed and pulled is copied for a recording, or no more.
    pub fn record(&mut self, is_on: bool) {
        self.uplink.tap(is_on);
        self.taps.tap(is_on);
    }

    /// Whether it is recorded.
    pub fn is_recorded(&self) -> bool {
        self.taps.is_on()
    }

    /// What was pushed, as of the last [`listen`](Self::listen), and pulled since the last call, while
    /// it is recorded. Nothing is kept for longer than a second.
    pub fn taken(&mut self) -> Taken {
        let confirmed = self.shared.confirmed.load(Ordering::Acquire);
        self.taps.taken(self.uplink.tapped(), confirmed)
    }

    /// What the host declared.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Queues more of a part to be heard, whole samples of `format`.
    pub fn play(&mut self, part: u64, bytes: Bytes, format: Format) {
        self.is_touched = true;
        let dropped_ms = self.downlink.play(part, bytes, format);
        self.shared.told.play_dropped_ms.add(dropped_ms);
    }

    /// Nothing more of a part comes: its last sample will be heard.
    pub fn play_end(&mut self, part: u64) {
        self.is_touched = true;
        self.downlink.play_end(part);
    }

    /// The session is over: nothing is taken any more, and nothing more is played.
    pub fn end(&mut self) {
        self.shared.is_ended.store(true, Ordering::Release);
        self.downlink.hold(false);
        self.downlink.end();
    }

    /// Whether all that was played is in the ring, from where it is pulled without this end.
    pub fn is_written(&self) -> bool {
        self.downlink.is_written()
    }

    /// Samples that were given to pulls as sound.
    pub fn pulled(&self) -> u64 {
        self.shared.words.pulled.get()
    }

    /// Converts as much as the ring has room for.
    pub fn top_up(&mut self) {
        self.downlink.top_up();
        self.shared.told.queued_ms.set(self.downlink.queued_ms());
    }

    /// The parts of which more was heard since the last call, each with all that was heard of it, in
    /// samples of the format it was played in.
    pub fn heard(&mut self) -> Vec<(u64, u64)> {
        let device = self.device();
        let heard = self.downlink.heard(device);
        if let Some((part, _)) = heard.last() {
            self.is_touched = true;
            let ms = self.downlink.told_ms().min((1 << POSITION_MS_BITS) - 1);
            let packed = part << POSITION_MS_BITS | ms;
            self.shared.position.store(packed, Ordering::Release);
        }
        heard
    }

    /// Drops all that waits to be heard: the next pull fades out and is silent. Returns the parts of which
    /// something was left, each with what was heard of it.
    pub fn flush(&mut self) -> Vec<(u64, u64)> {
        self.is_touched = true;
        let device = self.device();
        let cut = self.downlink.flush(device);
        self.taps.cut(self.shared.confirmed.load(Ordering::Acquire));
        cut
    }

    /// Makes what sounds quiet, or loud again, from the next pull on.
    pub fn hold(&mut self, is_held: bool) {
        self.downlink.hold(is_held);
    }

    /// Whether the host let go of its end.
    pub fn is_detached(&self) -> bool {
        self.shared.is_detached.load(Ordering::Acquire)
    }

    /// Whether the host wished for a flush since the last call.
    pub fn wants_flush(&self) -> bool {
        self.shared.wants_flush.swap(false, Ordering::AcqRel)
    }

    /// How long the session may wait before it looks again.
    pub fn pause(&mut self, now: Instant) -> Duration {
        if std::mem::take(&mut self.is_touched) {
            self.active = Some(now);
        }
        let is_idle = self
            .active
            .is_none_or(|active| now.saturating_duration_since(active) >= IDLE);
        let ms = match is_idle {
            true => self.options.idle_tick_ms,
            false => self.options.tick_ms,
        };
        Duration::from_millis(u64::from(ms))
    }

    fn device(&self) -> Device {
        if self.options.confirm {
            return Device::Confirmed(self.shared.confirmed.load(Ordering::Acquire));
        }
        let ms = self.shared.latency_ms.load(Ordering::Acquire);
        Device::Behind(ms * u64::from(self.options.downlink.rate_hz()) / 1000)
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({:?})", self.options)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
