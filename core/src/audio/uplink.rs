//! From the host to the session: tracks apart, decoded, resampled, in whole frames.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtrb::Consumer;

use super::codec;
use super::echo::Gate;
use super::format::Format;
use super::host::{Options, Sent, Tracks};
use super::level::{FLOOR_DBFS, rms_dbfs};
use super::resample::{Resampler, resample};

/// Sound that goes out at once at most, so that a pre-roll is no single huge frame.
const MOST_FRAMES: usize = 10;

/// A frame of the wire is 20 ms: so many in a second.
const FRAMES_PER_SECOND: u32 = 50;

/// Sound converted at once, in ms: a bound for the memory of a call that does nothing.
const BLOCK_MS: u64 = 100;

/// How far one of two tracks may be behind before it counts as silent, in ms.
const LAG_MS: u64 = 60;

/// The session's end of what a host pushes.
pub(super) struct Uplink {
    host: Format,
    tracks: Tracks,
    sent: Sent,
    lanes: Vec<Lane>,
    chain: Option<Chain>,
    /// Samples at the rate of the chain that do not make a frame yet.
    pending: Vec<i16>,
    clock: Clock,
    preroll_ms: u64,
    /// Samples dropped because they were too old when the session opened.
    pub dropped: u64,
    /// Loudness of the last block of each track.
    pub levels_dbfs: [f32; 2],
    /// For the echo of the agent in the track of the customer.
    pub gate: Option<Gate>,
}

/// One ring.
pub(super) struct Lane {
    ring: Consumer<u8>,
    backlog: VecDeque<u8>,
    frame_bytes: usize,
    /// A copy of what was pushed, while it is recorded.
    tapped: Option<Vec<u8>>,
}

/// What makes the samples of the host those of the wire.
struct Chain {
    wire: Format,
    resampler: Resampler,
}

/// When silence is due.
struct Clock {
    after: Duration,
    most: Duration,
    /// When something was pushed last.
    last: Option<Instant>,
    /// Samples of silence since then.
    inserted: u64,
    /// Samples of silence in all.
    total: u64,
}

impl Lane {
    pub(super) fn new(ring: Consumer<u8>, frame_bytes: usize) -> Self {
        Self {
            ring,
            backlog: VecDeque::new(),
            frame_bytes,
            tapped: None,
        }
    }

    /// Takes what was pushed; whether it was anything.
    fn drain(&mut self) -> bool {
        let there = self.ring.slots();
        let chunk = self.ring.read_chunk(there).expect("slots that are there");
        let (one, two) = chunk.as_slices();
        self.backlog.extend(one);
        self.backlog.extend(two);
        if let Some(tapped) = &mut self.tapped {
            tapped.extend_from_slice(one);
            tapped.extend_from_slice(two);
        }
        chunk.commit_all();
        there > 0
    }

    fn frames(&self) -> usize {
        self.backlog.len() / self.frame_bytes
    }

    /// Frames that wait, in the ring and behind it.
    fn waiting(&self) -> usize {
        self.frames() + self.ring.slots() / self.frame_bytes
    }

    /// Drops the oldest frames beyond `most`; returns how many.
    fn trim(&mut self, most: usize) -> u64 {
        let over = self.frames().saturating_sub(most);
        self.backlog.drain(..over * self.frame_bytes);
        over as u64
    }

    /// Up to `most` frames, decoded.
    fn take(&mut self, most: usize, host: Format) -> Vec<i16> {
        let bytes = self.frames().min(most) * self.frame_bytes;
        let bytes: Vec<u8> = self.backlog.drain(..bytes).collect();
        if self.backlog.is_empty() {
            // After a long pre-roll the memory is given back.
            self.backlog.shrink_to(1 << 12);
        }
        let mut samples = Vec::with_capacity(bytes.len() / host.sample_bytes());
        codec::decode_into(host, &bytes, &mut samples);
        samples
    }
}

impl Uplink {
    pub(super) fn new(options: &Options, lanes: Vec<Lane>) -> Self {
        let ms = |ms: u32| Duration::from_millis(u64::from(ms));
        Self {
            host: options.uplink,
            tracks: options.tracks,
            sent: options.send,
            lanes,
            chain: None,
            pending: Vec::new(),
            clock: Clock {
                after: ms(options.silence_after_ms),
                most: ms(options.silence_max_ms),
                last: None,
                inserted: 0,
                total: 0,
            },
            preroll_ms: u64::from(options.preroll_ms),
            dropped: 0,
            levels_dbfs: [FLOOR_DBFS; 2],
            gate: options.echo_gate.map(Gate::new),
        }
    }

    /// From now on what is pushed is copied for a recording, or no more.
    pub(super) fn tap(&mut self, is_on: bool) {
        for lane in &mut self.lanes {
            lane.tapped = is_on.then(Vec::new);
        }
    }

    /// What was pushed by customer and human agent since the last call, while that is recorded.
    pub(super) fn tapped(&mut self) -> [Vec<i16>; 2] {
        let host = self.host;
        let mut lanes = self.lanes.iter_mut().map(|lane| {
            let bytes = lane.tapped.as_mut().map(std::mem::take).unwrap_or_default();
            let mut samples = Vec::with_capacity(bytes.len() / host.sample_bytes());
            codec::decode_into(host, &bytes, &mut samples);
            samples
        });
        let first = lanes.next().unwrap_or_default();
        match self.tracks {
            Tracks::Stereo => split(&first),
            Tracks::Mono | Tracks::Two => [first, lanes.next().unwrap_or_default()],
        }
    }

    /// Samples of silence that were sent because nothing was pushed.
    pub(super) fn silence(&self) -> u64 {
        self.clock.total
    }

    /// Milliseconds of the customer that were pushed and not sent.
    pub(super) fn unsent_ms(&self) -> u64 {
        let waiting = self.lanes.first().map_or(0, Lane::waiting) as u64;
        waiting * 1000 / u64::from(self.host.rate_hz())
    }

    /// Whether something is still to come without a push.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.clock.last.is_some_and(|last| {
            now.saturating_duration_since(last) <= self.clock.after + self.clock.most
        })
    }

    /// Takes what was pushed so far. While the session is not open, only the newest sound is kept.
    ///
    /// Apart from [`captured`](Self::captured), because a host that pushes without end would else
    /// never let its session do anything else.
    pub(super) fn listen(&mut self, now: Instant, is_open: bool) {
        let mut has_pushed = false;
        for lane in &mut self.lanes {
            has_pushed |= lane.drain();
        }
        if has_pushed {
            self.clock.pushed(now);
        }
        if !is_open {
            let most = self.samples_of_ms(self.preroll_ms);
            self.dropped += self
                .lanes
                .iter_mut()
                .map(|lane| lane.trim(most))
                .sum::<u64>();
        }
    }

    /// What is next to be sent of what was taken, at most 200 ms of it in whole frames; to be called
    /// until there is none.
    pub(super) fn captured(&mut self, now: Instant, wire: Format) -> Option<Bytes> {
        self.convert_to(wire);
        let frame = (wire.rate_hz() / FRAMES_PER_SECOND) as usize;
        while self.pending.len() < MOST_FRAMES * frame {
            let block = self.block();
            if block.is_empty() {
                break;
            }
            self.convert(&block);
        }
        if self.pending.len() < frame {
            let due = self.clock.due(now, self.host.rate_hz());
            let due = due.min(self.samples_of_ms(BLOCK_MS) as u64);
            self.clock.inserted(due);
            self.convert(&vec![0; due as usize]);
        }
        let frames = (self.pending.len() / frame).min(MOST_FRAMES);
        self.emit(frames * frame, wire)
    }

    /// All that is left, with the last part of a frame and the tail of the filter.
    pub(super) fn finish(&mut self, now: Instant, wire: Format) -> Option<Bytes> {
        let mut all = Vec::new();
        // No turn is left for which silence would matter.
        self.listen(now, true);
        self.clock.last = None;
        while let Some(bytes) = self.captured(now, wire) {
            all.extend_from_slice(&bytes);
        }
        while let Some(block) = Some(self.block_behind(0)).filter(|b| !b.is_empty()) {
            self.convert(&block);
        }
        if let Some(chain) = &mut self.chain {
            chain.resampler.finish(&mut self.pending);
        }
        let rest = self.pending.len();
        all.extend(self.emit(rest, wire).into_iter().flatten());
        (!all.is_empty()).then(|| all.into())
    }

    fn samples_of_ms(&self, ms: u64) -> usize {
        (ms * u64::from(self.host.rate_hz()) / 1000) as usize
    }

    fn emit(&mut self, samples: usize, wire: Format) -> Option<Bytes> {
        let mut bytes = Vec::with_capacity(samples * wire.sample_bytes());
        codec::encode_into(wire, &self.pending[..samples], &mut bytes);
        self.pending.drain(..samples);
        (!bytes.is_empty()).then(|| bytes.into())
    }

    /// The next samples for the server.
    fn block(&mut self) -> Vec<i16> {
        self.block_behind(LAG_MS)
    }

    fn block_behind(&mut self, lag_ms: u64) -> Vec<i16> {
        let most = self.samples_of_ms(BLOCK_MS);
        let [mut customer, agent] = match (self.tracks, self.lanes.as_mut_slice()) {
            (Tracks::Stereo, [lane]) => split(&lane.take(most, self.host)),
            (Tracks::Two, [customer, agent]) => {
                let (there, other) = (customer.frames(), agent.frames());
                let lag = (lag_ms * u64::from(self.host.rate_hz()) / 1000) as usize;
                let both = there.min(other).max(there.max(other).saturating_sub(lag));
                let most = match self.sent {
                    Sent::Mix => both.min(most),
                    Sent::Customer | Sent::Agent => most,
                };
                [customer, agent].map(|lane| lane.take(most, self.host))
            }
            (_, lanes) => {
                let lane = lanes.first_mut().expect("a port has a lane");
                [lane.take(most, self.host), Vec::new()]
            }
        };
        for (level, track) in self.levels_dbfs.iter_mut().zip([&customer, &agent]) {
            if !track.is_empty() {
                *level = rms_dbfs(track);
            }
        }
        if let Some(gate) = &mut self.gate {
            gate.pass(&mut customer, self.host.rate_hz());
        }
        match self.sent {
            Sent::Customer => customer,
            Sent::Agent => agent,
            Sent::Mix => sum(customer, agent),
        }
    }

    fn convert(&mut self, samples: &[i16]) {
        let chain = self.chain.as_mut().expect("converted for a format");
        chain.resampler.process(samples, &mut self.pending);
    }

    /// Makes the chain one for `wire`. What the old one holds is kept, in the new rate.
    fn convert_to(&mut self, wire: Format) {
        if self.chain.as_ref().is_some_and(|chain| chain.wire == wire) {
            return;
        }
        let rates = "rates that the options and the session were checked for";
        if let Some(mut old) = self.chain.take() {
            old.resampler.finish(&mut self.pending);
            let (from_hz, to_hz) = (old.wire.rate_hz(), wire.rate_hz());
            self.pending = resample(&self.pending, from_hz, to_hz).expect(rates);
        }
        let resampler = Resampler::new(self.host.rate_hz(), wire.rate_hz()).expect(rates);
        self.chain = Some(Chain { wire, resampler });
    }
}

impl Clock {
    fn pushed(&mut self, now: Instant) {
        self.last = Some(now);
        self.inserted = 0;
    }

    /// Samples of silence that are to be inserted now.
    fn due(&self, now: Instant, rate_hz: u32) -> u64 {
        let Some(last) = self.last else { return 0 };
        let since = now.saturating_duration_since(last);
        if since <= self.after {
            return 0;
        }
        let due = since.min(self.most).as_micros() as u64 * u64::from(rate_hz) / 1_000_000;
        due.saturating_sub(self.inserted)
    }

    fn inserted(&mut self, samples: u64) {
        self.inserted += samples;
        self.total += samples;
    }
}

/// Interleaved samples as two tracks.
fn split(stereo: &[i16]) -> [Vec<i16>; 2] {
    let (left, right) = stereo
        .chunks_exact(2)
        .map(|pair| (pair[0], pair[1]))
        .unzip();
    [left, right]
}

/// Both at once; the shorter one is continued with silence.
fn sum(mut one: Vec<i16>, mut two: Vec<i16>) -> Vec<i16> {
    if one.len() < two.len() {
        std::mem::swap(&mut one, &mut two);
    }
    for (sample, other) in one.iter_mut().zip(two) {
        *sample = sample.saturating_add(other);
    }
    one
}
