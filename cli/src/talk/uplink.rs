//! The customer's audio on its way out: frames by deadline.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use talkwire_core::audio::codec;
use talkwire_core::audio::format::Format;
use talkwire_core::error::{Kind, Result};

use crate::args::Pace;

/// What telephones send at once.
const FRAME_MS: u64 = 20;
/// Wait of a sender whose queue is full.
const FULL: Duration = Duration::from_millis(5);

/// Sends speech while there is some, and the quiet of the line otherwise.
#[derive(Debug)]
pub(crate) struct Uplink {
    format: Format,
    pace: Pace,
    speech: VecDeque<i16>,
    quiet: Vec<i16>,
    quiet_at: usize,
    quiet_ms: u64,
    due: Option<Instant>,
    held: bool,
    sent: Vec<i16>,
}

impl Uplink {
    /// A line in `format`. `quiet` is what is sent between speech, over and over; nothing means
    /// digital silence.
    pub(crate) fn new(format: Format, pace: Pace, quiet: Vec<i16>) -> Self {
        let quiet = if quiet.is_empty() { vec![0] } else { quiet };
        Self {
            format,
            pace,
            speech: VecDeque::new(),
            quiet,
            quiet_at: 0,
            quiet_ms: 0,
            due: None,
            held: false,
            sent: Vec::new(),
        }
    }

    /// Says something after what is still to be said.
    pub(crate) fn speak(&mut self, samples: &[i16]) {
        self.speech.extend(samples);
    }

    /// Sends no more, not even quiet.
    pub(crate) fn hold(&mut self) {
        self.held = true;
    }

    /// How long the line has been quiet: milliseconds sent since the speech ran out.
    pub(crate) fn quiet_ms(&self) -> u64 {
        if self.speech.is_empty() {
            self.quiet_ms
        } else {
            0
        }
    }

    /// Everything sent so far.
    pub(crate) fn sent(&self) -> &[i16] {
        &self.sent
    }

    /// How fast speech is sent.
    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    /// The format of what is sent.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Gives all frames that are due to `send`, with their milliseconds; returns the time until the
    /// next one. A full queue is tried again, so that nothing is lost or doubled.
    pub(crate) fn pump(
        &mut self,
        now: Instant,
        mut send: impl FnMut(Vec<u8>, u64) -> Result<()>,
    ) -> Result<Duration> {
        let mut due = *self.due.get_or_insert(now);
        while due <= now && !self.held {
            let is_speech = !self.speech.is_empty();
            let (frame, from_speech) = self.frame();
            let mut bytes = Vec::new();
            codec::encode_into(self.format, &frame, &mut bytes);
            match send(bytes, FRAME_MS) {
                Ok(()) => self.gone(&frame, from_speech),
                Err(error) if error.kind() == Kind::QueueFull => return Ok(FULL),
                Err(error) => return Err(error),
            }
            if self.pace == Pace::Real || !is_speech {
                // Speech that went out in no time does not have to be caught up with by quiet.
                let from = if self.pace == Pace::Max { now } else { due };
                due = from + Duration::from_millis(FRAME_MS);
                self.due = Some(due);
            }
        }
        if self.held {
            return Ok(Duration::MAX);
        }
        Ok(due.saturating_duration_since(now))
    }

    /// The next frame, and how many samples of it are speech.
    fn frame(&self) -> (Vec<i16>, usize) {
        let samples = (u64::from(self.format.rate_hz()) * FRAME_MS / 1000) as usize;
        let from_speech = samples.min(self.speech.len());
        let mut frame: Vec<i16> = self.speech.range(..from_speech).copied().collect();
        let quiet = self.quiet.iter().cycle().skip(self.quiet_at);
        frame.extend(quiet.take(samples - from_speech));
        (frame, from_speech)
    }

    fn gone(&mut self, frame: &[i16], from_speech: usize) {
        self.speech.drain(..from_speech);
        self.quiet_at = (self.quiet_at + frame.len() - from_speech) % self.quiet.len();
        self.quiet_ms = if from_speech > 0 {
            0
        } else {
            self.quiet_ms + FRAME_MS
        };
        self.sent.extend_from_slice(frame);
    }
}

#[cfg(test)]
mod tests {
    use talkwire_core::error::Error;

    use super::*;

    const TELEPHONE: Format = Format::Pcm16 { rate_hz: 8_000 };

    fn pump(uplink: &mut Uplink, now: Instant) -> (usize, Duration) {
        let mut frames = 0;
        let wait = uplink.pump(now, |bytes, ms| {
            assert_eq!((bytes.len(), ms), (320, 20));
            frames += 1;
            Ok(())
        });
        (frames, wait.expect("sends"))
    }

    #[test]
    fn real_pace_sends_one_frame_each_20_ms_and_catches_up_when_late() {
        let mut uplink = Uplink::new(TELEPHONE, Pace::Real, Vec::new());
        uplink.speak(&[7; 400]);
        let start = Instant::now();
        let ms = Duration::from_millis;
        assert_eq!(pump(&mut uplink, start), (1, ms(20)));
        assert_eq!(pump(&mut uplink, start + ms(5)), (0, ms(15)));
        assert_eq!(pump(&mut uplink, start + ms(90)), (4, ms(10)));
        assert_eq!(uplink.sent()[..401], [[7; 400].as_slice(), &[0]].concat());
        assert_eq!((uplink.sent().len(), uplink.quiet_ms()), (800, 40));
    }

    #[test]
    fn max_pace_sends_speech_at_once_and_quiet_at_the_speed_of_speech() {
        let mut uplink = Uplink::new(TELEPHONE, Pace::Max, vec![1, 2, 3]);
        uplink.speak(&[7; 1600]);
        let start = Instant::now();
        assert_eq!(pump(&mut uplink, start).0, 11);
        assert_eq!(uplink.quiet_ms(), 20);
        assert_eq!(uplink.sent()[1600..1605], [1, 2, 3, 1, 2]);
    }

    #[test]
    fn a_full_queue_loses_and_doubles_nothing_and_a_held_line_is_silent() {
        let mut uplink = Uplink::new(TELEPHONE, Pace::Max, Vec::new());
        let speech: Vec<i16> = (0..480).collect();
        uplink.speak(&speech);
        let now = Instant::now();
        let mut room = 2;
        let wait = uplink.pump(now, |_, _| {
            room -= 1;
            if room < 0 {
                return Err(Error::new(Kind::QueueFull, "full"));
            }
            Ok(())
        });
        assert_eq!(wait.expect("waits"), FULL);
        assert_eq!(uplink.sent(), &speech[..320]);
        pump(&mut uplink, now);
        assert_eq!(uplink.sent()[..480], speech);
        uplink.hold();
        assert_eq!(pump(&mut uplink, now + Duration::from_secs(9)).0, 0);
    }
}
