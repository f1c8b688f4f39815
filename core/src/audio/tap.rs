//! Copies of what goes through a media port, for a recording of it.

use std::collections::VecDeque;
use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};

use super::codec;
use super::format::Format;
use super::host::{Options, Tracks};
use super::ring::{Pushed, Tap, Words};

/// Room for copies of what is pulled: more than the longest pause between two looks at a port.
const TAP_MS: u64 = 1_000;

/// What a host may queue before the oldest of it counts as lost: a bound for memory, where a host never
/// confirms anything.
const QUEUE_MS: u64 = 60_000;

/// What went through a port, in samples of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// The customer, as pushed.
    pub customer: Vec<i16>,
    /// The human agent, as pushed; nothing where there is none.
    pub agent: Vec<i16>,
    /// What the listener was given, silence among it; where the host confirms what has arrived, that
    /// and no silence.
    pub heard: Vec<i16>,
    /// Samples of each of the three that are missing at the end, because nobody took them in time.
    pub lost: [u64; 3],
}

/// The session's end of the copies.
pub(super) struct Taps {
    tracks: Tracks,
    downlink: Format,
    pushed: [Arc<Pushed>; 2],
    words: Arc<Words>,
    /// Takes the other end of `heard` to whoever pulls.
    arrivals: Producer<Producer<u8>>,
    /// There from the first recording on.
    heard: Option<Consumer<u8>>,
    /// The losses that were told.
    told: [u64; 3],
    queue: Option<Queue>,
    /// What had arrived before the last cut, and was not taken yet.
    cut: Vec<i16>,
    /// Samples that waited for too long.
    unconfirmed: u64,
}

/// What a host queues that tells what of it has arrived.
#[derive(Default)]
struct Queue {
    /// Of all samples that were pulled as sound, the place of the first that waits.
    place: u64,
    waiting: VecDeque<i16>,
}

impl Queue {
    /// What has arrived of what waits, when the host confirms so many samples.
    fn arrived(&mut self, confirmed: u64) -> Vec<i16> {
        let arrived = confirmed.saturating_sub(self.place);
        let most = self.waiting.len();
        let arrived = usize::try_from(arrived).map_or(most, |arrived| arrived.min(most));
        self.place += arrived as u64;
        self.waiting.drain(..arrived).collect()
    }

    /// Lets go of the oldest of more than `most` that wait; returns how many.
    fn trim(&mut self, most: u64) -> u64 {
        let over = (self.waiting.len() as u64).saturating_sub(most);
        self.arrived(self.place + over).len() as u64
    }

    /// The host drops what waits.
    fn cut(&mut self) {
        self.place += self.waiting.len() as u64;
        self.waiting.clear();
    }
}

impl Taps {
    /// The session's end, and that of whoever pulls.
    pub(super) fn new(
        options: &Options,
        pushed: [Arc<Pushed>; 2],
        words: &Arc<Words>,
    ) -> (Self, Tap) {
        let (sender, arrivals) = RingBuffer::new(1);
        let taps = Self {
            tracks: options.tracks,
            downlink: options.downlink,
            pushed,
            words: words.clone(),
            arrivals: sender,
            heard: None,
            told: [0; 3],
            queue: options.confirm.then(Queue::default),
            cut: Vec::new(),
            unconfirmed: 0,
        };
        let tap = Tap {
            arrivals,
            is_sound_only: options.confirm,
            ring: None,
        };
        (taps, tap)
    }

    /// Begins or ends to copy what is pulled.
    pub(super) fn tap(&mut self, is_on: bool) {
        if is_on && self.heard.is_none() {
            let bytes = self.downlink.bytes_of_ms(TAP_MS) as usize;
            let (producer, consumer) = RingBuffer::new(bytes);
            self.arrivals
                .push(producer)
                .expect("room for the only ring that is ever sent");
            self.heard = Some(consumer);
        }
        // What an earlier recording left, and what was lost before this one, are none of its business.
        self.drain();
        self.told = self.lost();
        self.cut.clear();
        if let Some(queue) = &mut self.queue {
            queue.waiting.clear();
            queue.place = self.words.pulled.get();
        }
        self.words.tapped.set(u64::from(is_on));
    }

    pub(super) fn is_on(&self) -> bool {
        self.words.tapped.get() != 0
    }

    /// What was pulled since the last call, beside what was pushed; of what a host queues, what has
    /// arrived when it confirms so many samples.
    pub(super) fn taken(&mut self, pushed: [Vec<i16>; 2], confirmed: u64) -> Taken {
        let mut heard = std::mem::take(&mut self.cut);
        heard.extend(self.heard(confirmed));
        let lost = self.lost();
        let new = std::array::from_fn(|i| lost[i].saturating_sub(self.told[i]));
        self.told = lost;
        let [customer, agent] = pushed;
        Taken {
            customer,
            agent,
            heard,
            lost: new,
        }
    }

    /// What the host queues will not be heard.
    pub(super) fn cut(&mut self, confirmed: u64) {
        if self.is_on() && self.queue.is_some() {
            let heard = self.heard(confirmed);
            self.cut.extend(heard);
            self.queue.iter_mut().for_each(Queue::cut);
        }
    }

    fn heard(&mut self, confirmed: u64) -> Vec<i16> {
        let bytes = self.drain();
        let mut pulled = Vec::with_capacity(bytes.len() / self.downlink.sample_bytes());
        codec::decode_into(self.downlink, &bytes, &mut pulled);
        match &mut self.queue {
            None => pulled,
            Some(queue) => {
                queue.waiting.extend(pulled);
                let arrived = queue.arrived(confirmed);
                let most = QUEUE_MS * u64::from(self.downlink.rate_hz()) / 1000;
                self.unconfirmed += queue.trim(most);
                arrived
            }
        }
    }

    fn drain(&mut self) -> Vec<u8> {
        let Some(ring) = &mut self.heard else {
            return Vec::new();
        };
        let there = ring.slots();
        let chunk = ring.read_chunk(there).expect("slots that are there");
        let (one, two) = chunk.as_slices();
        let bytes = [one, two].concat();
        chunk.commit_all();
        bytes
    }

    fn lost(&self) -> [u64; 3] {
        let [first, second] = [0, 1].map(|ring| self.pushed[ring].overrun.get());
        let agent = match self.tracks {
            Tracks::Mono => 0,
            Tracks::Stereo => first,
            Tracks::Two => second,
        };
        [first, agent, self.words.untapped.get() + self.unconfirmed]
    }
}
