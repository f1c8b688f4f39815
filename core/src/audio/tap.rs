//! Copies of what goes through a media port, for a recording of it.

use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};

use super::codec;
use super::format::Format;
use super::host::{Options, Tracks};
use super::ring::{Pushed, Tap, Words};

/// Room for copies of what is pulled: more than the longest pause between two looks at a port.
const TAP_MS: u64 = 1_000;

/// What went through a port, in samples of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// The customer, as pushed.
    pub customer: Vec<i16>,
    /// The human agent, as pushed; nothing where there is none.
    pub agent: Vec<i16>,
    /// What the listener was given, silence among it.
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
        };
        let tap = Tap {
            arrivals,
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
        self.words.tapped.set(u64::from(is_on));
    }

    pub(super) fn is_on(&self) -> bool {
        self.words.tapped.get() != 0
    }

    /// What was pulled since the last call, beside what was pushed.
    pub(super) fn taken(&mut self, customer: Vec<i16>, agent: Vec<i16>) -> Taken {
        let lost = self.lost();
        let bytes = self.drain();
        let mut heard = Vec::with_capacity(bytes.len() / self.downlink.sample_bytes());
        codec::decode_into(self.downlink, &bytes, &mut heard);
        let new = std::array::from_fn(|i| lost[i].saturating_sub(self.told[i]));
        self.told = lost;
        Taken {
            customer,
            agent,
            heard,
            lost: new,
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
        [first, agent, self.words.untapped.get()]
    }
}
