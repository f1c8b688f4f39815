//! A host with a media port in virtual time: it pushes what the customer says and pulls what the
//! agent says, 20 ms at a time.

use std::time::{Duration, Instant};

use talkwire_core::audio::format::Format;
use talkwire_core::audio::port::{self, Media, Options, Port, Track};
use talkwire_core::audio::stereo::Stereo;
use talkwire_core::engine::io::{Effect, Heard, Input, PartId};

use super::FRAME_MS;

/// The two ends of a port, and when its clock ticks next.
pub(super) struct Caller {
    port: Port,
    media: Media,
    due: Instant,
    frame: Vec<u8>,
    /// All that was heard.
    heard: Vec<i16>,
    /// All that was said.
    said: Vec<i16>,
    stereo: Stereo,
    /// What was recorded, interleaved.
    recorded: Vec<i16>,
}

/// A call as it was recorded, and as it was.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// The left channel of the recording.
    pub left: Vec<i16>,
    /// The right channel.
    pub right: Vec<i16>,
    /// What the customer said.
    pub said: Vec<i16>,
    /// What the host pulled.
    pub heard: Vec<i16>,
}

impl Caller {
    /// A caller whose clock begins to tick.
    pub(super) fn new(now: Instant, options: Options) -> Self {
        let samples = options.downlink.rate_hz() * FRAME_MS / 1_000;
        let frame = vec![0; samples as usize * options.downlink.sample_bytes()];
        let mut stereo = Stereo::new(options.downlink.rate_hz(), now);
        stereo.attach(now, &options);
        let (mut port, media) = port::open(options).expect("the options of tests are valid");
        port.record(true);
        Self {
            port,
            media,
            due: now,
            frame,
            heard: Vec::new(),
            said: Vec::new(),
            stereo,
            recorded: Vec::new(),
        }
    }

    /// When it ticks next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The customer says something, in the format of the port.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        let taken = self.media.push(Track::Customer, bytes);
        taken.expect("the ring has room for what is said in time");
        let format = self.media.uplink();
        talkwire_core::audio::codec::decode_into(format, bytes, &mut self.said);
    }

    /// The call so far, and its recording, which ends.
    pub(super) fn recorded(&mut self) -> Recorded {
        self.recorded.extend(self.stereo.detach());
        let pairs = self.recorded.chunks_exact(2);
        let (left, right) = pairs.map(|pair| (pair[0], pair[1])).unzip();
        Recorded {
            left,
            right,
            said: self.said.clone(),
            heard: self.heard.clone(),
        }
    }

    /// Sound of the agent that was pulled, in milliseconds.
    pub(super) fn pulled_ms(&self) -> u64 {
        self.media.stats().pulled * 1_000 / u64::from(self.media.downlink().rate_hz())
    }

    /// One tick: the host pulls, then the session looks at the port. `wire` is the acknowledged
    /// format, or nothing while the session is not open.
    pub(super) fn tick(&mut self, now: Instant, wire: Option<Format>) -> Vec<Input> {
        self.due = now + Duration::from_millis(FRAME_MS.into());
        self.media.pull(&mut self.frame).expect("one listener");
        let format = self.media.downlink();
        talkwire_core::audio::codec::decode_into(format, &self.frame, &mut self.heard);
        let mut inputs = Vec::new();
        self.port.listen(now, wire.is_some());
        self.stereo.take(now, &self.port.taken());
        self.recorded.extend(self.stereo.frames());
        while let Some(audio) = wire.and_then(|wire| self.port.captured(now, wire)) {
            inputs.push(Input::Captured(audio));
        }
        let heard = told(self.port.heard());
        if !heard.is_empty() {
            inputs.push(Input::Heard(heard));
        }
        self.port.top_up();
        inputs
    }

    /// Carries out an effect; returns what the engine must know at once.
    pub(super) fn effect(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Play(part, audio, format) => self.port.play(part.0, audio, format),
            Effect::PlayEnd(part) => self.port.play_end(part.0),
            Effect::Hold(is_held) => self.port.hold(is_held),
            Effect::Flush => return Some(Input::Flushed(told(self.port.flush()))),
            _ => {}
        }
        self.port.top_up();
        None
    }
}

fn told(heard: Vec<(u64, u64)>) -> Vec<Heard> {
    let one = |(part, samples)| Heard {
        part: PartId(part),
        samples,
    };
    heard.into_iter().map(one).collect()
}
