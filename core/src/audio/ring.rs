//! The two rings of a media port: bytes of the host, each with one thread at either end. What a media
//! thread calls here copies and counts; it takes no lock, no memory and no time from the system.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rtrb::{Consumer, Producer};

use super::sound::{Level, Quiet};
use super::words::{Counter, Cursor, Word};

/// What the two ends of the downlink tell each other.
#[derive(Debug)]
pub(super) struct Words {
    /// In samples.
    pub cursor: Cursor<AtomicU64>,
    /// Up to here there are whole parts, in samples. The player writes it.
    pub complete: AtomicU64,
    /// Samples that were ever written. The player writes it.
    pub written: Counter,
    /// 1 while what sounds is to be quiet. The player writes it.
    pub held: Counter,
    /// Samples that were sound. The puller writes it, and what follows.
    pub pulled: Counter,
    /// Samples that were silence.
    pub silence: Counter,
    /// How often it ran dry in the middle of a part.
    pub underruns: Counter,
    /// 1 while what is pulled is copied for a recording. The player writes it.
    pub tapped: Counter,
    /// Samples that there was no room to copy.
    pub untapped: Counter,
}

impl Words {
    pub(super) fn new() -> Self {
        Self {
            cursor: Cursor::new(),
            complete: AtomicU64::new(0),
            written: Counter::default(),
            held: Counter::default(),
            pulled: Counter::default(),
            silence: Counter::default(),
            underruns: Counter::default(),
            tapped: Counter::default(),
            untapped: Counter::default(),
        }
    }
}

/// What a media thread has pushed. It writes it.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    /// Samples that were taken.
    pub samples: Counter,
    /// Samples that did not fit.
    pub overrun: Counter,
    /// How often something did not fit.
    pub overruns: Counter,
}

/// The media thread's end of the uplink.
pub(super) struct Push {
    pub ring: Producer<u8>,
    /// Bytes of one sample of all channels.
    pub frame_bytes: usize,
    pub counts: Arc<Pushed>,
}

impl Push {
    /// Takes whole frames of `bytes` as far as there is room and returns how many; the rest of them
    /// is dropped and counted.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        let frames = bytes.len() / self.frame_bytes;
        let taken = frames.min(self.ring.slots() / self.frame_bytes);
        let whole = bytes.get(..taken * self.frame_bytes).unwrap_or_default();
        // There is room, as only this end makes it less.
        let _ = self.ring.push_entire_slice(whole);
        self.counts.samples.add(taken as u64);
        if taken < frames {
            self.counts.overrun.add((frames - taken) as u64);
            self.counts.overruns.add(1);
        }
        taken
    }
}

/// The media thread's end of the downlink.
///
/// ```text
///          enough there, or the end of a part
///   Waits ------------------------------------> Plays
///     ^  at the end of a part, or cut             |
///     +-------------------------------------------+
///     +--------------- runs dry (an underrun) ----+
/// ```
pub(super) struct Pull {
    pub ring: Consumer<u8>,
    pub words: Arc<Words>,
    pub sample_bytes: usize,
    pub quiet: Quiet,
    pub level: Level,
    /// Samples that must be there to begin.
    pub prebuffer: u64,
    /// Samples that must be there to go on after an underrun.
    pub rebuffer: u64,
    /// Samples that left the ring: where its front is.
    pub front: u64,
    pub state: State,
    /// Whether the last sample that was given was sound.
    pub is_sounding: bool,
    pub tap: Tap,
}

/// Where a copy of all that is pulled goes while it is recorded.
pub(super) struct Tap {
    /// The ring of the copies arrives here with the first recording.
    pub arrivals: Consumer<Producer<u8>>,
    /// Only what is sound: of a host that queues what it pulls, the silences mean nothing.
    pub is_sound_only: bool,
    /// It stays for good: to let go of it would give memory back on a media thread.
    pub ring: Option<Producer<u8>>,
}

impl Tap {
    /// Copies whole samples; returns the bytes that there was no room for.
    fn copy(&mut self, pulled: &[u8], sample_bytes: usize) -> usize {
        if self.ring.is_none() {
            self.ring = self.arrivals.pop().ok();
        }
        let Some(ring) = &mut self.ring else {
            return pulled.len();
        };
        let room = ring.slots() / sample_bytes * sample_bytes;
        let (kept, lost) = pulled.split_at(room.min(pulled.len()));
        // There is room, as only this end makes it less.
        let _ = ring.push_entire_slice(kept);
        lost.len()
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    Waits { until: u64 },
    Plays,
}

impl Pull {
    /// Fills `out` and returns how many of its samples are sound; the others, at its end, are
    /// silence.
    ///
    /// The first pull after a cut is silence but for the fade of what was cut, which counts as
    /// silence too: where the cut was is told already.
    pub(super) fn pull(&mut self, out: &mut [u8]) -> usize {
        let wanted = out.len() / self.sample_bytes;
        let is_held = self.words.held.get() != 0;
        let place = self.words.cursor.place();
        let (mut given, mut faded) = (0, self.skip_to(place, out));
        if faded == 0 {
            if !self.is_sounding {
                self.level.begin(is_held);
            }
            given = self.decide(self.level.most(wanted as u64, is_held)) as usize;
            if given > 0 && !self.give(out, place, given as u64) {
                given = 0;
                faded = self.skip_to(self.words.cursor.place(), out);
            }
        }
        let (sound, rest) = out.split_at_mut(((given + faded) * self.sample_bytes).min(out.len()));
        match faded {
            0 => self.level.apply(sound, is_held),
            _ => self.level.fade_out(sound),
        }
        self.quiet.fill(rest);
        self.is_sounding = given > 0 && given == wanted || wanted == 0 && self.is_sounding;
        self.count(given as u64, wanted as u64);
        if self.words.tapped.get() != 0 {
            let copied = match self.tap.is_sound_only {
                true => out.get(..given * self.sample_bytes).unwrap_or_default(),
                false => &*out,
            };
            let lost = self.tap.copy(copied, self.sample_bytes);
            let lost = lost / self.sample_bytes;
            self.words.untapped.add(lost as u64);
        }
        given
    }

    /// Fills `out` with silence that belongs to the pull before.
    pub(super) fn pad(&mut self, out: &mut [u8]) {
        self.quiet.fill(out);
        self.count(0, (out.len() / self.sample_bytes) as u64);
    }

    /// Lets go of what was cut. Where that interrupts a sound, the next samples of it are put into
    /// `out` to be faded; returns how many.
    fn skip_to(&mut self, place: u64, out: &mut [u8]) -> usize {
        let cut = place.saturating_sub(self.front);
        if cut == 0 {
            return 0;
        }
        let most = match self.is_sounding {
            true => (out.len() / self.sample_bytes) as u64,
            false => 0,
        };
        let faded = cut.min(most).min(self.level.fade_samples()) as usize;
        if let Ok(chunk) = self.ring.read_chunk(cut as usize * self.sample_bytes) {
            let (one, two) = chunk.as_slices();
            let tail = out.get_mut(..faded * self.sample_bytes).unwrap_or_default();
            let (head, tail) = tail.split_at_mut(one.len().min(tail.len()));
            copy(head, one);
            copy(tail, two);
            chunk.commit_all();
        }
        self.front = place;
        self.state = State::Waits {
            until: self.prebuffer,
        };
        faded
    }

    /// How many samples are to be heard now, at most `wanted`.
    fn decide(&mut self, wanted: u64) -> u64 {
        let there = (self.ring.slots() / self.sample_bytes) as u64;
        // After the slots: whoever sees the last samples of a part sees that it is complete.
        let complete = self.words.complete.see();
        let end = self.front + there;
        if let State::Waits { until } = self.state {
            let has_end = self.front < complete && complete <= end;
            if !has_end && (there < until || there == 0) {
                return 0;
            }
            self.state = State::Plays;
        }
        if there < wanted || (there == wanted && complete == end) {
            let until = if complete == end {
                self.prebuffer
            } else {
                self.words.underruns.add(1);
                self.rebuffer
            };
            self.state = State::Waits { until };
        }
        there.min(wanted)
    }

    /// Copies `samples` from `place` to the front of `out`. Not so when a cut came in between.
    fn give(&mut self, out: &mut [u8], place: u64, samples: u64) -> bool {
        let bytes = samples as usize * self.sample_bytes;
        let (Ok(chunk), Some(out)) = (self.ring.read_chunk(bytes), out.get_mut(..bytes)) else {
            return false;
        };
        let (one, two) = chunk.as_slices();
        let (head, tail) = out.split_at_mut(one.len().min(bytes));
        copy(head, one);
        copy(tail, two);
        let counts = self.words.cursor.advance(place, samples);
        if counts {
            chunk.commit_all();
            self.front = place + samples;
        }
        counts
    }

    fn count(&self, given: u64, wanted: u64) {
        self.words.pulled.add(given);
        if given < wanted {
            self.words.silence.add(wanted - given);
            self.words.cursor.was_silent(wanted - given);
        }
    }
}

/// What `copy_from_slice` does, without its panic for lengths that differ.
fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// The session's end of the downlink.
pub(super) struct Play {
    pub ring: Producer<u8>,
    pub sample_bytes: usize,
    /// Samples that were ever written.
    pub written: u64,
    /// Samples that were cut: as many places are ahead of what was pulled.
    pub skipped: u64,
    pub words: Arc<Words>,
}

impl Play {
    /// Writes as many whole samples of `bytes` as there is room for and returns how many bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let room = self.ring.slots().min(bytes.len());
        let samples = room / self.sample_bytes;
        let whole = bytes.get(..samples * self.sample_bytes).unwrap_or_default();
        // There is room, as only this end makes it less.
        let _ = self.ring.push_entire_slice(whole);
        self.written += samples as u64;
        self.words.written.set(self.written);
        whole.len()
    }

    /// What was written so far ends a part: it may be heard without waiting for more.
    pub(super) fn complete(&self) {
        self.words.complete.tell(self.written);
    }

    /// What the listener hears now, at the end of a device.
    pub(super) fn place(&self, device: Device) -> u64 {
        self.heard(self.words.cursor.place(), device)
    }

    /// Cuts all that was written; returns what the listener heard last.
    pub(super) fn cut(&mut self, device: Device) -> u64 {
        let place = self.words.cursor.cut(self.written);
        let heard = self.heard(place, device);
        self.skipped += self.written - place;
        heard
    }

    fn heard(&self, place: u64, device: Device) -> u64 {
        match device {
            Device::Behind(samples) => self.words.cursor.behind(place, samples),
            Device::Confirmed(samples) => place.min(samples.saturating_add(self.skipped)),
        }
    }
}

/// What is known of the way from a pull to the listener's ear.
#[derive(Clone, Copy, Debug)]
pub(super) enum Device {
    /// It takes so many samples.
    Behind(u64),
    /// So many of all samples that were pulled as sound have arrived.
    Confirmed(u64),
}

#[cfg(test)]
mod tests;
