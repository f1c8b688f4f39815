//! The agent's audio as a listener hears it.

use talkwire_core::audio::codec;
use talkwire_core::audio::format::Format;
use talkwire_core::audio::resample::resample;
use talkwire_core::error::Result;

/// Audio waits this long before it is played, so that pieces which come a little late leave no
/// gap: what telephones call a jitter buffer.
const LEAD_MS: u64 = 60;

/// The track of the agent on the clock of the call.
#[derive(Debug)]
pub(crate) struct Playout {
    format: Format,
    /// Samples per second of the track: those of the format that came first.
    rate_hz: Option<u32>,
    heard: Vec<i16>,
    received: Vec<i16>,
}

impl Playout {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            rate_hz: None,
            heard: Vec::new(),
            received: Vec::new(),
        }
    }

    /// The format of what comes from now on.
    pub(crate) fn set_format(&mut self, format: Format) {
        self.format = format;
    }

    /// Samples per second of both tracks.
    pub(crate) fn rate_hz(&self) -> u32 {
        self.rate_hz.unwrap_or_else(|| self.format.rate_hz())
    }

    /// A piece arrives; returns from when to when it is heard.
    pub(crate) fn received(&mut self, at_ms: u64, bytes: &[u8]) -> Result<(u64, u64)> {
        let mut samples = Vec::new();
        codec::decode_into(self.format, bytes, &mut samples);
        let rate_hz = *self.rate_hz.get_or_insert_with(|| self.format.rate_hz());
        if rate_hz != self.format.rate_hz() {
            samples = resample(&samples, self.format.rate_hz(), rate_hz)?;
        }
        self.received.extend_from_slice(&samples);
        if self.ends_ms() < at_ms {
            let start = self.samples_of(at_ms + LEAD_MS);
            self.heard.resize(start, 0);
        }
        let start_ms = self.ends_ms();
        self.heard.extend_from_slice(&samples);
        Ok((start_ms, self.ends_ms()))
    }

    /// The customer interrupts: what was not played by then never will be.
    pub(crate) fn flush(&mut self, at_ms: u64) {
        let played = self.samples_of(at_ms);
        self.heard.truncate(played);
    }

    /// When the last sample is heard.
    pub(crate) fn ends_ms(&self) -> u64 {
        self.heard.len() as u64 * 1000 / u64::from(self.rate_hz())
    }

    /// What is heard, from the start of the call.
    pub(crate) fn heard(&self) -> &[i16] {
        &self.heard
    }

    /// What was received, without pauses.
    pub(crate) fn all(&self) -> &[i16] {
        &self.received
    }

    /// Milliseconds received.
    pub(crate) fn received_ms(&self) -> u64 {
        self.received.len() as u64 * 1000 / u64::from(self.rate_hz())
    }

    fn samples_of(&self, ms: u64) -> usize {
        (ms * u64::from(self.rate_hz()) / 1000) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format::Pcm16 { rate_hz: 8_000 };

    fn piece(ms: usize) -> Vec<u8> {
        [1, 0].repeat(ms * 8)
    }

    #[test]
    fn playout_begins_after_arrival_and_goes_on_in_sequence() {
        let mut playout = Playout::new(FORMAT);
        let mut hear = |at, ms| playout.received(at, &piece(ms)).expect("plays");
        assert_eq!(hear(1_000, 100), (1_060, 1_160));
        assert_eq!(hear(1_001, 100), (1_160, 1_260), "sent ahead of time");
        assert_eq!(hear(1_250, 100), (1_260, 1_360), "a little late");
        assert_eq!(hear(3_000, 100), (3_060, 3_160), "another answer");
        assert_eq!(playout.heard()[8 * 3_060 - 1..8 * 3_060 + 1], [0, 1]);
        assert_eq!(playout.received_ms(), 400);
    }

    #[test]
    fn an_interruption_takes_what_was_not_played() {
        let mut playout = Playout::new(FORMAT);
        playout.received(0, &piece(500)).expect("plays");
        playout.flush(200);
        assert_eq!((playout.ends_ms(), playout.received_ms()), (200, 500));
    }

    #[test]
    fn another_rate_in_the_middle_does_not_change_the_track() {
        let mut playout = Playout::new(FORMAT);
        playout.received(0, &piece(100)).expect("plays");
        playout.set_format(Format::PCM16_24K);
        let (from, to) = playout.received(0, &[1, 0].repeat(2_400)).expect("plays");
        assert_eq!(to - from, 100);
        assert_eq!(playout.rate_hz(), 8_000);
    }
}
