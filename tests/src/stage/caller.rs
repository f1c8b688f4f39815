//! A host with a media port in virtual time: it pushes what the customer says and pulls what the
//! agent says, 20 ms at a time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use talkwire_core::audio::codec::{decode_into, encode_into};
use talkwire_core::audio::format::Format;
use talkwire_core::audio::port::{self, Media, Options, Port, Track};
use talkwire_core::audio::stereo::Stereo;
use talkwire_core::engine::io::{Effect, Heard, Input, PartId};

use super::FRAME_MS;

/// What the listener's side sends back of the agent.
#[derive(Clone, Copy, Debug)]
pub struct Echo {
    /// After so many frames of 20 ms.
    pub frames: usize,
    /// Each sample divided by this.
    pub divisor: i16,
}

/// How a caller listens and speaks.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    /// Options of the media port; the formats are those of the flows, PCM16 at 24 kHz.
    pub options: Options,
    /// The echo, if there is one.
    pub echo: Option<Echo>,
}

/// The two ends of a port, and when its clock ticks next.
pub(super) struct Caller {
    port: Port,
    media: Media,
    due: Instant,
    frame: Vec<u8>,
    /// All that was heard.
    heard: Vec<i16>,
    /// Until when it does not pull.
    deaf_until: Option<Instant>,
    echo: Option<Echo>,
    /// On its way back.
    echoes: VecDeque<Vec<i16>>,
    /// What the customer says and nobody captured yet; only where there is an echo.
    unsaid: VecDeque<i16>,
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
    pub(super) fn new(now: Instant, habits: &Habits) -> Self {
        let options = habits.options.clone();
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
            deaf_until: None,
            echo: habits.echo,
            echoes: VecDeque::new(),
            unsaid: VecDeque::new(),
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
        if self.echo.is_some() {
            let mut said = Vec::new();
            decode_into(self.media.uplink(), bytes, &mut said);
            return self.unsaid.extend(said);
        }
        self.push(bytes);
    }

    fn push(&mut self, bytes: &[u8]) {
        let taken = self.media.push(Track::Customer, bytes);
        taken.expect("the ring has room for what is said in time");
        let format = self.media.uplink();
        decode_into(format, bytes, &mut self.said);
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

    /// Rate of what the customer says and of what was heard.
    pub(super) fn rates(&self) -> (u32, u32) {
        (
            self.media.uplink().rate_hz(),
            self.media.downlink().rate_hz(),
        )
    }

    /// Everything that was heard, silence included.
    pub(super) fn heard(&self) -> &[i16] {
        &self.heard
    }

    /// It pulls nothing until then.
    pub(super) fn be_deaf(&mut self, until: Instant) {
        self.deaf_until = Some(until);
    }

    /// Sound of the agent that was pulled, in milliseconds.
    pub(super) fn pulled_ms(&self) -> u64 {
        self.media.stats().pulled * 1_000 / u64::from(self.media.downlink().rate_hz())
    }

    /// One tick: the host pulls, then the session looks at the port. `wire` is the acknowledged
    /// format, or nothing while the session is not open.
    pub(super) fn tick(&mut self, now: Instant, wire: Option<Format>) -> Vec<Input> {
        self.due = now + Duration::from_millis(FRAME_MS.into());
        if self.deaf_until.is_none_or(|until| until <= now) {
            self.media.pull(&mut self.frame).expect("one listener");
        } else {
            self.frame.fill(0);
        }
        let mut frame = Vec::new();
        decode_into(self.media.downlink(), &self.frame, &mut frame);
        self.heard.extend(&frame);
        if let Some(echo) = self.echo {
            self.echo_back(echo, frame);
        }
        let mut inputs = Vec::new();
        self.port.listen(now, wire.is_some());
        self.stereo.take(now, &self.port.taken());
        self.recorded.extend(self.stereo.frames());
        while let Some(audio) = wire.and_then(|wire| self.port.captured(now, wire)) {
            inputs.push(Input::Captured(audio));
        }
        inputs.extend(self.port.echo().map(Input::Echo));
        let heard = told(self.port.heard());
        if !heard.is_empty() {
            inputs.push(Input::Heard(heard));
        }
        self.port.top_up();
        inputs
    }

    /// Captures a frame: what the customer says and what of the agent comes back now.
    fn echo_back(&mut self, echo: Echo, frame: Vec<i16>) {
        let samples = frame.len();
        self.echoes.push_back(frame);
        let back = match self.echoes.len() > echo.frames {
            true => self.echoes.pop_front().unwrap_or_default(),
            false => vec![0; samples],
        };
        let said = self.unsaid.drain(..samples.min(self.unsaid.len()));
        let said = said.chain(std::iter::repeat(0));
        let mixed: Vec<i16> = back
            .iter()
            .zip(said)
            .map(|(back, said)| said.saturating_add(back / echo.divisor))
            .collect();
        let mut bytes = Vec::new();
        encode_into(self.media.uplink(), &mixed, &mut bytes);
        self.push(&bytes);
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
