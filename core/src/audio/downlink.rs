//! From the session to the host: what waits to be heard, converted when there is room for it, and
//! how much of what was heard.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;

use super::codec;
use super::format::Format;
use super::level::{FLOOR_DBFS, rms_dbfs};
use super::resample::Resampler;
use super::ring::{Device, Play};

/// Pieces of an answer are converted in blocks of 20 ms: so many in a second.
const BLOCKS_PER_SECOND: usize = 50;

/// Blocks converted at once: more than a second, which is more than any ring needs between two looks.
const MOST_BLOCKS: usize = 64;

/// The session's end of what a host pulls.
pub(super) struct Downlink {
    host: Format,
    play: Play,
    queue: VecDeque<Piece>,
    queued_us: u64,
    most_us: u64,
    chain: Option<Chain>,
    /// Bytes of the host that did not fit into the ring yet.
    pending: Vec<u8>,
    /// Samples of the host that were ever made, those that wait in `pending` among them.
    made: u64,
    /// Whether what was made so far ends a part.
    is_end: bool,
    ledger: Ledger,
    /// How loud what was made and not pulled yet is; only where there is a gate for its echo.
    levels: Option<VecDeque<Loud>>,
}

/// A stretch of what was made.
struct Loud {
    places: Range<u64>,
    dbfs: f32,
}

/// What waits to be converted.
enum Piece {
    Sound(u64, Bytes, Format),
    End(u64),
}

/// What makes the samples of the wire those of the host.
struct Chain {
    /// What goes through it; nothing between parts.
    open: Option<(u64, Format)>,
    from_hz: u32,
    resampler: Resampler,
}

/// Which samples of the host are which of the parts.
#[derive(Default)]
struct Ledger {
    /// What was made and not heard to its end, in the order in which it sounds.
    spans: VecDeque<Span>,
    /// Samples of each open part that were converted.
    converted: BTreeMap<u64, u64>,
    /// The furthest place that was told: a latency that grows takes nothing back.
    told: u64,
    /// Where in its part that is, in ms.
    told_ms: u64,
}

/// A stretch of one part in the stream of the host.
struct Span {
    part: u64,
    /// Where it begins, in samples of the host.
    start: u64,
    /// Samples of the host that it has.
    length: u64,
    /// Samples of the part before it.
    wire_start: u64,
    /// Samples of the part that it has.
    wire_length: u64,
    wire_hz: u32,
    host_hz: u32,
    is_done: bool,
    /// Samples of the part that were told as heard.
    told: u64,
}

impl Downlink {
    pub(super) fn new(host: Format, play: Play, most_ms: u64, has_gate: bool) -> Self {
        Self {
            host,
            play,
            queue: VecDeque::new(),
            queued_us: 0,
            most_us: most_ms.saturating_mul(1000),
            chain: None,
            pending: Vec::new(),
            made: 0,
            is_end: false,
            ledger: Ledger::default(),
            levels: has_gate.then(VecDeque::new),
        }
    }

    /// Queues more of a part; returns the milliseconds that there was no room for.
    pub(super) fn play(&mut self, part: u64, mut bytes: Bytes, format: Format) -> u64 {
        let sample = format.sample_bytes();
        let room_us = self.most_us.saturating_sub(self.queued_us);
        let room = room_us.saturating_mul(u64::from(format.rate_hz())) / 1_000_000;
        let samples = bytes.len() / sample;
        let taken = samples.min(usize::try_from(room).unwrap_or(usize::MAX));
        bytes.truncate(taken * sample);
        if taken > 0 {
            let piece = Piece::Sound(part, bytes, format);
            self.queued_us += piece.us();
            self.queue.push_back(piece);
        }
        format.ms_of_bytes(((samples - taken) * sample) as u64)
    }

    pub(super) fn play_end(&mut self, part: u64) {
        self.queue.push_back(Piece::End(part));
    }

    /// Nothing more comes at all: what was received of the last part is all of it.
    pub(super) fn end(&mut self) {
        let last = self.queue.iter().rev().find_map(|piece| match piece {
            Piece::Sound(part, ..) => Some(*part),
            Piece::End(_) => None,
        });
        if let Some(part) = last.or_else(|| self.open_part()) {
            self.play_end(part);
        }
    }

    /// Whether all of it is in the ring.
    pub(super) fn is_written(&self) -> bool {
        self.queue.is_empty() && self.pending.is_empty() && !self.is_end
    }

    /// Converts and writes as much as the ring has room for, within a bound: a host that pulls without
    /// end would else never let its session do anything else.
    pub(super) fn top_up(&mut self) {
        for _ in 0..MOST_BLOCKS {
            let written = self.play.write(&self.pending);
            self.pending.drain(..written);
            if !self.pending.is_empty() {
                return;
            }
            if std::mem::take(&mut self.is_end) {
                self.play.complete();
            }
            match self.queue.pop_front() {
                None => return,
                Some(piece) => self.convert(piece),
            }
        }
    }

    fn convert(&mut self, piece: Piece) {
        self.queued_us -= piece.us();
        match piece {
            Piece::Sound(part, mut bytes, format) => {
                let block = format.rate_hz() as usize / BLOCKS_PER_SECOND * format.sample_bytes();
                let now = bytes.split_to(block.min(bytes.len()));
                if !bytes.is_empty() {
                    let rest = Piece::Sound(part, bytes, format);
                    self.queued_us += rest.us();
                    self.queue.push_front(rest);
                }
                self.convert_block(part, &now, format);
            }
            Piece::End(part) => {
                if self.open_part() == Some(part) {
                    self.finish_span();
                    self.is_end = true;
                }
                self.ledger.converted.remove(&part);
            }
        }
    }

    fn open_part(&self) -> Option<u64> {
        let (part, _) = self.chain.as_ref()?.open?;
        Some(part)
    }

    fn convert_block(&mut self, part: u64, bytes: &[u8], format: Format) {
        if self.chain.as_ref().and_then(|chain| chain.open) != Some((part, format)) {
            self.finish_span();
            self.start_span(part, format);
        }
        let (mut samples, mut made) = (Vec::new(), Vec::new());
        codec::decode_into(format, bytes, &mut samples);
        let chain = self.chain.as_mut().expect("a span has a chain");
        chain.resampler.process(&samples, &mut made);
        self.ledger.feed(part, samples.len() as u64);
        self.give(&made);
    }

    fn start_span(&mut self, part: u64, format: Format) {
        let from_hz = format.rate_hz();
        if self
            .chain
            .as_ref()
            .is_none_or(|chain| chain.from_hz != from_hz)
        {
            let resampler = Resampler::new(from_hz, self.host.rate_hz());
            self.chain = Some(Chain {
                open: None,
                from_hz,
                resampler: resampler.expect("rates that options and session were checked for"),
            });
        }
        self.chain.as_mut().expect("just made").open = Some((part, format));
        self.ledger
            .start(part, self.made, from_hz, self.host.rate_hz());
    }

    /// Ends the stream of the open part, if there is one, with all its samples.
    fn finish_span(&mut self) {
        let Some(chain) = self.chain.as_mut().filter(|chain| chain.open.is_some()) else {
            return;
        };
        let mut made = Vec::new();
        chain.open = None;
        chain.resampler.finish(&mut made);
        self.give(&made);
        self.ledger.finish();
    }

    fn give(&mut self, made: &[i16]) {
        codec::encode_into(self.host, made, &mut self.pending);
        let start = self.made;
        self.made += made.len() as u64;
        if let Some(levels) = self.levels.as_mut().filter(|_| !made.is_empty()) {
            levels.push_back(Loud {
                places: start..self.made,
                dbfs: rms_dbfs(made),
            });
        }
        self.ledger.grow(made.len() as u64);
    }

    /// How loud what was pulled since the last call was; the floor without a gate.
    pub(super) fn pulled_dbfs(&mut self) -> f32 {
        let place = self.play.words.cursor.place();
        let mut loudest = FLOOR_DBFS;
        let Some(levels) = &mut self.levels else {
            return loudest;
        };
        while let Some(loud) = levels.front().filter(|loud| loud.places.start < place) {
            loudest = loudest.max(loud.dbfs);
            if loud.places.end > place {
                break;
            }
            levels.pop_front();
        }
        loudest
    }

    /// The parts of which more was heard since the last call, with all that was heard of them, in
    /// samples of the wire.
    pub(super) fn heard(&mut self, device: Device) -> Vec<(u64, u64)> {
        let place = self.play.place(device);
        self.ledger.heard(place)
    }

    /// Milliseconds of the part that was told last.
    pub(super) fn told_ms(&self) -> u64 {
        self.ledger.told_ms
    }

    /// Drops all that waits. The parts of which something was left, with what was heard of them.
    pub(super) fn flush(&mut self, device: Device) -> Vec<(u64, u64)> {
        let place = self.play.cut(device);
        let mut cut = self.ledger.cut(place, self.play.written);
        for piece in &self.queue {
            if let Piece::Sound(part, ..) = piece
                && cut.iter().all(|(known, _)| known != part)
            {
                cut.push((*part, self.ledger.converted.get(part).copied().unwrap_or(0)));
            }
        }
        self.ledger.converted.clear();
        self.levels.iter_mut().for_each(VecDeque::clear);
        self.queue.clear();
        (self.queued_us, self.is_end) = (0, false);
        self.pending.clear();
        self.made = self.play.written;
        if let Some(chain) = &mut self.chain {
            chain.open = None;
            chain.resampler.reset();
        }
        cut
    }

    pub(super) fn hold(&self, is_held: bool) {
        self.play.words.held.set(u64::from(is_held));
    }

    /// Milliseconds that wait outside of the ring.
    pub(super) fn queued_ms(&self) -> u64 {
        self.queued_us / 1000 + self.host.ms_of_bytes(self.pending.len() as u64)
    }
}

impl Piece {
    fn us(&self) -> u64 {
        match self {
            Self::End(_) => 0,
            Self::Sound(_, bytes, format) => {
                let samples = (bytes.len() / format.sample_bytes()) as u64;
                samples * 1_000_000 / u64::from(format.rate_hz())
            }
        }
    }
}

impl Ledger {
    fn start(&mut self, part: u64, start: u64, wire_hz: u32, host_hz: u32) {
        let wire_start = *self.converted.entry(part).or_insert(0);
        self.spans.push_back(Span {
            part,
            start,
            length: 0,
            wire_start,
            wire_length: 0,
            wire_hz,
            host_hz,
            is_done: false,
            told: wire_start,
        });
    }

    fn feed(&mut self, part: u64, samples: u64) {
        *self.converted.entry(part).or_insert(0) += samples;
        if let Some(span) = self.spans.back_mut() {
            span.wire_length += samples;
        }
    }

    fn grow(&mut self, samples: u64) {
        if let Some(span) = self.spans.back_mut().filter(|span| !span.is_done) {
            span.length += samples;
        }
    }

    fn finish(&mut self) {
        if let Some(span) = self.spans.back_mut() {
            span.is_done = true;
        }
    }

    fn heard(&mut self, place: u64) -> Vec<(u64, u64)> {
        self.told = self.told.max(place);
        let mut heard: Vec<(u64, u64)> = Vec::new();
        for span in self.spans.iter_mut().take_while(|s| s.start <= self.told) {
            let now = span.heard(self.told);
            if now > span.told {
                span.told = now;
                self.told_ms = now * 1000 / u64::from(span.wire_hz);
                note(&mut heard, span.part, now);
            }
        }
        while self
            .spans
            .front()
            .is_some_and(|span| span.is_over(self.told))
        {
            self.spans.pop_front();
        }
        heard
    }

    fn cut(&mut self, place: u64, written: u64) -> Vec<(u64, u64)> {
        let place = self.told.max(place);
        let mut cut = Vec::new();
        for span in &self.spans {
            let now = span.heard(place);
            if !span.is_over(place) || now > span.told {
                note(&mut cut, span.part, now);
            }
        }
        self.spans.clear();
        self.told = written;
        cut
    }
}

/// One entry for each part, the later one counts.
fn note(parts: &mut Vec<(u64, u64)>, part: u64, samples: u64) {
    match parts.iter_mut().find(|(known, _)| *known == part) {
        Some((_, told)) => *told = samples.max(*told),
        None => parts.push((part, samples)),
    }
}

impl Span {
    /// Samples of the part that were heard when `place` of the host is reached.
    fn heard(&self, place: u64) -> u64 {
        let samples = place.saturating_sub(self.start).min(self.length);
        if self.is_done && samples == self.length && self.start <= place {
            return self.wire_start + self.wire_length;
        }
        let wire = samples * u64::from(self.wire_hz) / u64::from(self.host_hz);
        self.wire_start + wire.min(self.wire_length)
    }

    fn is_over(&self, place: u64) -> bool {
        self.is_done && self.start + self.length <= place
    }
}
