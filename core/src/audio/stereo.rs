//! The two channels of a recording in step: the customer on the left, the agent as heard on the
//! right.
//!
//! The samples of the host are the time: what was pushed and pulled stands in the file to the
//! sample. Where a track stays behind the clock, nothing was pushed or pulled, and that is silence.
//! The clock is the track that the listener pulls, as long as anything is pulled; then the
//! customer's; then the wall's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::host::{Options, Tracks};
use super::port::Taken;
use super::resample::Resampler;

/// How far a track may be behind before that is silence: the jitter of a host, and two looks.
const LATE: Duration = Duration::from_millis(300);

/// A track without samples for so long has paused: what comes then comes now, to one look.
const PAUSE: Duration = Duration::from_millis(60);
const LOOK: Duration = Duration::from_millis(20);

/// A host whose samples are further from the wall's time than this pushes or pulls by no clock.
const CLOCK: Duration = Duration::from_secs(1);

/// How far one track may be ahead of another: a bound for memory.
const AHEAD: Duration = Duration::from_secs(30);

/// Where the parts of [`Taken`] are.
const CUSTOMER: usize = 0;
const HEARD: usize = 2;

/// Makes one stereo track of what goes through media ports, one after the other.
#[derive(Debug)]
pub struct Stereo {
    rate_hz: u32,
    tracks: [Track; 3],
    /// When the clock was where, in frames.
    clock: (Instant, u64),
    /// Frames that were given.
    given: u64,
}

/// Samples of one party at the rate of the recording.
#[derive(Debug, Default)]
struct Track {
    /// `None` while there is nobody whose samples they could be.
    chain: Option<Chain>,
    /// What was made before the chain.
    base: u64,
    /// Made and not given.
    pending: VecDeque<i16>,
    /// When it had samples last.
    last: Option<Instant>,
}

/// The way from the rate of a host.
#[derive(Debug)]
struct Chain {
    resampler: Resampler,
    host_hz: u32,
    rate_hz: u32,
    /// Samples of the host that went in.
    fed: u64,
}

impl Stereo {
    /// A recording that begins now. `rate_hz` must be in [`RATES_HZ`](super::format::RATES_HZ).
    pub fn new(rate_hz: u32, now: Instant) -> Self {
        Self {
            rate_hz,
            tracks: Default::default(),
            clock: (now, 0),
            given: 0,
        }
    }

    /// From now on a port with these options is recorded. Returns the frames of silence since the
    /// one before.
    pub fn attach(&mut self, now: Instant, options: &Options) -> u64 {
        let at = self.at(now).max(self.given);
        let silence = at - self.given;
        let up = options.uplink.rate_hz();
        let agent_hz = (options.tracks != Tracks::Mono).then_some(up);
        let hosts = [Some(up), agent_hz, Some(options.downlink.rate_hz())];
        for (track, host_hz) in self.tracks.iter_mut().zip(hosts) {
            (track.base, track.last) = (at, Some(now));
            track.chain = host_hz.map(|host_hz| Chain::new(host_hz, self.rate_hz));
        }
        (self.clock, self.given) = ((now, at), at);
        silence
    }

    /// The port is gone. Returns what is left of it, interleaved: all tracks end where the longest
    /// does.
    pub fn detach(&mut self) -> Vec<i16> {
        let end = self.reached();
        for track in &mut self.tracks {
            track.silence_to(end);
            track.finish();
        }
        let longest = self.tracks.iter().map(|track| track.pending.len()).max();
        self.give(longest.unwrap_or(0))
    }

    /// Puts in what went through the port since the last call. Returns the frames of silence that
    /// stand for samples that were lost.
    pub fn take(&mut self, now: Instant, taken: &Taken) -> u64 {
        let parts = [&taken.customer, &taken.agent, &taken.heard];
        let counts = [CUSTOMER, 1, HEARD].map(|i| parts[i].len() as u64 + taken.lost[i]);
        if let Some(lead) = [HEARD, CUSTOMER].into_iter().find(|i| counts[*i] > 0) {
            self.catch_up(lead, now, counts[lead]);
            // The samples of the host are the clock, if it has one.
            let track = &self.tracks[lead];
            let told = track.made() + track.frames_of(counts[lead]);
            if told.abs_diff(self.at(now)) <= self.frames_of(CLOCK) {
                self.clock = (now, told);
            }
        }
        let mut lost = 0;
        for (index, samples) in parts.into_iter().enumerate() {
            self.catch_up(index, now, counts[index]);
            let track = &mut self.tracks[index];
            track.feed(samples);
            lost = track.lose(taken.lost[index]).max(lost);
            if counts[index] > 0 {
                track.last = Some(now);
            }
        }
        lost
    }

    /// Puts silence before the new samples of a track where it is behind. They came until now, so
    /// what is missing came before them.
    fn catch_up(&mut self, index: usize, now: Instant, samples: u64) {
        let track = &self.tracks[index];
        let has_paused = track
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
        let late = match samples > 0 && has_paused {
            true => LOOK,
            false => LATE,
        };
        let start = self.at(now).saturating_sub(track.frames_of(samples));
        if track.made() + self.frames_of(late) < start {
            self.tracks[index].silence_to(start);
        }
    }

    /// The frames that are complete, interleaved.
    pub fn frames(&mut self) -> Vec<i16> {
        let least = self.reached().saturating_sub(self.frames_of(AHEAD));
        for track in &mut self.tracks {
            track.silence_to(least);
        }
        let tracks = self.tracks.iter().filter(|track| track.chain.is_some());
        let there = tracks.map(|track| track.pending.len()).min();
        self.give(there.unwrap_or(0))
    }

    fn give(&mut self, frames: usize) -> Vec<i16> {
        let [customer, agent, heard] = self.tracks.each_mut().map(|track| {
            track.fill(frames);
            track.pending.drain(..frames)
        });
        let right = agent.zip(heard).map(|(a, h)| a.saturating_add(h));
        let both = customer.zip(right).flat_map(|(left, right)| [left, right]);
        self.given += frames as u64;
        both.collect()
    }

    /// Milliseconds of the customer so far.
    pub fn customer_ms(&self) -> u64 {
        self.ms(self.tracks[CUSTOMER].made())
    }

    /// Milliseconds of what was heard so far.
    pub fn heard_ms(&self) -> u64 {
        self.ms(self.tracks[HEARD].made())
    }

    /// Milliseconds that were given.
    pub fn given_ms(&self) -> u64 {
        self.ms(self.given)
    }

    /// Samples per second.
    pub const fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    fn ms(&self, frames: u64) -> u64 {
        frames * 1000 / u64::from(self.rate_hz)
    }

    fn frames_of(&self, time: Duration) -> u64 {
        let frames = time.as_micros() * u128::from(self.rate_hz) / 1_000_000;
        u64::try_from(frames).unwrap_or(u64::MAX)
    }

    /// What the clock says.
    fn at(&self, now: Instant) -> u64 {
        let (since, frames) = self.clock;
        frames + self.frames_of(now.saturating_duration_since(since))
    }

    fn reached(&self) -> u64 {
        let made = self.tracks.iter().map(Track::made);
        made.max().unwrap_or(0)
    }
}

impl Track {
    /// Frames so far, those among them that are still in the filter.
    fn made(&self) -> u64 {
        self.base + self.chain.as_ref().map_or(0, Chain::made)
    }

    /// What samples of the host will be.
    fn frames_of(&self, samples: u64) -> u64 {
        self.chain
            .as_ref()
            .map_or(0, |chain| chain.frames_of(samples))
    }

    fn feed(&mut self, samples: &[i16]) {
        if let Some(chain) = &mut self.chain {
            chain.feed(samples, &mut self.pending);
        }
    }

    /// Samples of the host that are missing; returns how many frames they are.
    fn lose(&mut self, samples: u64) -> u64 {
        let before = self.made();
        if let Some(chain) = &mut self.chain {
            chain.silence(samples, &mut self.pending);
        }
        self.made() - before
    }

    fn silence_to(&mut self, at: u64) {
        let frames = at.saturating_sub(self.made());
        if let Some(chain) = &mut self.chain {
            let samples = frames * u64::from(chain.host_hz) / u64::from(chain.rate_hz);
            chain.silence(samples, &mut self.pending);
        }
    }

    /// Ends the stream of the host with all its samples.
    fn finish(&mut self) {
        if let Some(mut chain) = self.chain.take() {
            self.base += chain.made();
            let mut rest = Vec::new();
            chain.resampler.finish(&mut rest);
            self.pending.extend(rest);
        }
    }

    /// Has at least so many frames to give.
    fn fill(&mut self, frames: usize) {
        let missing = frames.saturating_sub(self.pending.len());
        self.base += missing as u64;
        self.pending.resize(self.pending.len() + missing, 0);
    }
}

impl Chain {
    fn new(host_hz: u32, rate_hz: u32) -> Self {
        Self {
            resampler: Resampler::new(host_hz, rate_hz)
                .expect("rates that the port and the recording were checked for"),
            host_hz,
            rate_hz,
            fed: 0,
        }
    }

    fn made(&self) -> u64 {
        self.frames_of(self.fed)
    }

    fn frames_of(&self, samples: u64) -> u64 {
        samples * u64::from(self.rate_hz) / u64::from(self.host_hz)
    }

    fn feed(&mut self, samples: &[i16], out: &mut VecDeque<i16>) {
        let mut made = Vec::with_capacity(samples.len());
        self.resampler.process(samples, &mut made);
        self.fed += samples.len() as u64;
        out.extend(made);
    }

    fn silence(&mut self, samples: u64, out: &mut VecDeque<i16>) {
        const BLOCK: [i16; 480] = [0; 480];
        let mut left = samples;
        while left > 0 {
            let now = left.min(BLOCK.len() as u64);
            self.feed(&BLOCK[..now as usize], out);
            left -= now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::format::Format;

    const RATE: u32 = 8_000;

    fn options(tracks: Tracks) -> Options {
        let options = Options::default().with_format(Format::Pcm16 { rate_hz: RATE });
        Options { tracks, ..options }
    }

    /// A host that is looked at every 20 ms.
    struct Host {
        now: Instant,
        stereo: Stereo,
        frames: Vec<i16>,
    }

    impl Host {
        fn new(tracks: Tracks) -> Self {
            let now = Instant::now();
            let mut stereo = Stereo::new(RATE, now);
            assert_eq!(stereo.attach(now, &options(tracks)), 0);
            Self {
                now,
                stereo,
                frames: Vec::new(),
            }
        }

        /// So many looks, between each of which as many samples were pushed and pulled.
        fn run(&mut self, looks: usize, pushed: &[i16], pulled: &[i16]) {
            for _ in 0..looks {
                self.now += Duration::from_millis(20);
                let taken = Taken {
                    customer: pushed.to_vec(),
                    heard: pulled.to_vec(),
                    ..Taken::default()
                };
                self.stereo.take(self.now, &taken);
                self.frames.extend(self.stereo.frames());
            }
        }

        fn end(mut self) -> (Vec<i16>, Vec<i16>) {
            self.frames.extend(self.stereo.detach());
            self.frames.chunks(2).map(|pair| (pair[0], pair[1])).unzip()
        }
    }

    /// Where a track sounds, in whole frames of 20 ms.
    fn sounding(track: &[i16]) -> Vec<usize> {
        let frames = track.chunks(160).enumerate();
        let there = frames.filter(|(_, frame)| frame.iter().any(|sample| *sample != 0));
        there.map(|(index, _)| index).collect()
    }

    #[test]
    fn a_host_in_step_is_recorded_to_the_sample() {
        let mut host = Host::new(Tracks::Mono);
        host.run(10, &[5; 160], &[7; 160]);
        let (left, right) = host.end();
        assert_eq!((left, right), (vec![5; 1_600], vec![7; 1_600]));
    }

    #[test]
    fn a_customer_who_is_not_pushed_is_silent_for_as_long_as_the_listener_pulls() {
        let mut host = Host::new(Tracks::Mono);
        host.run(10, &[5; 160], &[7; 160]);
        host.run(40, &[], &[7; 160]);
        host.run(10, &[5; 160], &[7; 160]);
        let (left, right) = host.end();
        assert_eq!(right, vec![7; 60 * 160]);
        assert_eq!(left.len(), right.len());
        let there: Vec<_> = (0..10).chain(50..60).collect();
        assert_eq!(sounding(&left), there);
    }

    #[test]
    fn a_host_that_does_nothing_is_recorded_as_silence_by_the_clock() {
        let mut host = Host::new(Tracks::Mono);
        host.run(5, &[5; 160], &[7; 160]);
        host.run(50, &[], &[]);
        host.run(5, &[5; 160], &[7; 160]);
        let (left, right) = host.end();
        let there: Vec<_> = (0..5).chain(55..60).collect();
        assert_eq!(sounding(&left), there);
        assert_eq!(sounding(&right), there);
    }

    #[test]
    fn a_clock_of_the_host_that_is_fast_moves_no_track_against_the_other() {
        let mut host = Host::new(Tracks::Mono);
        // 1 % fast, for 20 s, in which the customer is quiet for 10 s.
        host.run(250, &[5; 162], &[7; 162]);
        host.run(500, &[], &[7; 162]);
        host.run(250, &[5; 162], &[7; 162]);
        let (left, right) = host.end();
        assert_eq!(right, vec![7; 162_000]);
        let back = left.iter().rposition(|s| *s == 0).expect("a pause") + 1;
        assert!(back.abs_diff(750 * 162) <= 162, "{back}");
    }

    #[test]
    fn what_comes_faster_than_it_is_heard_waits_within_a_bound() {
        let mut host = Host::new(Tracks::Mono);
        host.run(1, &vec![5; 8_000], &[7; 160]);
        assert_eq!(host.frames.len(), 2 * 160);
        host.run(1, &vec![5; 40 * 8_000], &[7; 160]);
        assert!(host.stereo.tracks[CUSTOMER].pending.len() <= 30 * 8_000 + 160);
        let (left, right) = host.end();
        assert_eq!(left, vec![5; 41 * 8_000]);
        assert_eq!(right.len(), left.len());
    }

    #[test]
    fn losses_are_silence_in_their_place_and_both_agents_are_on_the_right() {
        let mut host = Host::new(Tracks::Two);
        host.now += Duration::from_millis(20);
        let taken = Taken {
            customer: vec![5; 100],
            agent: vec![1; 160],
            heard: vec![i16::MAX; 160],
            lost: [60, 0, 0],
        };
        assert_eq!(host.stereo.take(host.now, &taken), 60);
        let (left, right) = host.end();
        assert_eq!(left, [vec![5; 100], vec![0; 60]].concat());
        assert_eq!(right, vec![i16::MAX; 160]);
    }

    #[test]
    fn another_port_comes_after_the_silence_between() {
        let mut host = Host::new(Tracks::Mono);
        host.run(5, &[5; 160], &[7; 160]);
        host.frames.extend(host.stereo.detach());
        host.now += Duration::from_secs(1);
        let mut wide = options(Tracks::Mono);
        wide.downlink = Format::Pcm16 { rate_hz: 48_000 };
        assert_eq!(host.stereo.attach(host.now, &wide), 8_000);
        host.frames.clear();
        host.run(5, &[5; 160], &[7; 960]);
        let (left, right) = host.end();
        assert_eq!(left, vec![5; 800]);
        assert_eq!(right.len(), 800);
    }
}
