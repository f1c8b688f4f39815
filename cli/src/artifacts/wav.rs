//! `call.wav`: both parties as they were heard, customer left and agent right.

use std::path::Path;

use talkwire_core::audio::mix;
use talkwire_core::audio::resample::resample;
use talkwire_core::audio::wav;
use talkwire_core::error::Result;

use crate::talk::record::Record;

/// Both tracks at one rate, from the start of the call.
#[derive(Debug)]
pub(crate) struct Tracks {
    pub(crate) rate_hz: u32,
    pub(crate) customer: Vec<i16>,
    pub(crate) agent: Vec<i16>,
}

impl Tracks {
    /// The tracks of a call, at the rate of the agent.
    pub(crate) fn of(record: &Record) -> Result<Self> {
        let playout = record.playout();
        let rate_hz = playout.rate_hz();
        let (start_ms, samples, customer_hz) = record.customer();
        let mut customer = vec![0; (start_ms * u64::from(rate_hz) / 1000) as usize];
        if !samples.is_empty() {
            customer.extend(resample(samples, customer_hz, rate_hz)?);
        }
        Ok(Self {
            rate_hz,
            customer,
            agent: playout.heard().to_vec(),
        })
    }

    /// Milliseconds of the longer one.
    pub(crate) fn duration_ms(&self) -> u64 {
        let samples = self.customer.len().max(self.agent.len()) as u64;
        samples * 1000 / u64::from(self.rate_hz)
    }

    /// Writes the file.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let samples = mix::stereo(&self.customer, &self.agent);
        wav::write(path, self.rate_hz, 2, &samples)
    }
}
