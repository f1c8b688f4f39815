//! The media port of a session. Nothing here blocks, so the interpreter is not let go of.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use talkwire_core::call::Track;
use talkwire_core::{Error, Kind};

use crate::alive::Alive;
use crate::error::raised;

/// The media port of a session.
#[pyclass(frozen, module = "talkwire._native")]
pub(crate) struct Call(pub(crate) talkwire_core::Call, pub(crate) Alive);

fn told<T>(py: Python<'_>, result: Result<T, Kind>) -> PyResult<T> {
    result.map_err(|kind| raised(py, &Error::from(kind)))
}

fn track(is_agent: bool) -> Track {
    match is_agent {
        true => Track::Agent,
        false => Track::Customer,
    }
}

/// Samples from -1 to 1 as little-endian ones of 16 bits; what is beyond is cut off, what is no number
/// is silence.
pub(crate) fn pcm16(py: Python<'_>, audio: &PyBuffer<f32>) -> PyResult<Vec<u8>> {
    let scaled = audio.to_vec(py)?.into_iter().map(|sample| {
        #[allow(clippy::cast_possible_truncation, reason = "the cast saturates")]
        let sample = (sample * 32_768.0).round_ties_even() as i16;
        sample.to_le_bytes()
    });
    Ok(scaled.flatten().collect())
}

#[pymethods]
impl Call {
    /// Gives whole samples of the customer, or of the human agent; the samples taken.
    fn push(&self, py: Python<'_>, audio: PyBuffer<u8>, is_agent: bool) -> PyResult<usize> {
        told(py, self.0.push(track(is_agent), &audio.to_vec(py)?))
    }

    /// The same of samples from -1 to 1.
    fn push_float(&self, py: Python<'_>, audio: PyBuffer<f32>, is_agent: bool) -> PyResult<usize> {
        if self.0.uplink().sample_bytes() != 2 {
            return told(py, Err(Kind::Argument));
        }
        told(py, self.0.push(track(is_agent), &pcm16(py, &audio)?))
    }

    /// So many samples, and how many of them are sound.
    fn pull<'py>(&self, py: Python<'py>, samples: usize) -> PyResult<(Bound<'py, PyBytes>, usize)> {
        let mut real = 0;
        let bytes = samples.saturating_mul(self.0.downlink().sample_bytes());
        let audio = PyBytes::new_with(py, bytes, |out| {
            real = told(py, self.0.pull(out))?;
            Ok(())
        })?;
        Ok((audio, real))
    }

    /// Fills a buffer; how many of its samples are sound.
    fn pull_into(&self, py: Python<'_>, out: PyBuffer<u8>) -> PyResult<usize> {
        let mut audio = vec![0; out.len_bytes()];
        let real = self.0.pull(&mut audio);
        out.copy_from_slice(py, &audio)?;
        told(py, real)
    }

    /// Part and milliseconds of what was heard last.
    fn position(&self) -> Option<(u64, u64)> {
        self.0
            .position()
            .map(|position| (position.part, position.ms))
    }

    /// The numbers so far, in the order of the class that holds them.
    #[allow(clippy::type_complexity)]
    fn stats(&self) -> ([u64; 11], f32, f32) {
        let now = self.0.stats();
        let numbers = [
            now.pushed,
            now.overrun,
            now.overruns,
            now.pulled,
            now.silence,
            now.underruns,
            now.depth,
            now.queued_ms,
            now.play_dropped_ms,
            now.preroll_dropped,
            now.inserted,
        ];
        (numbers, now.customer_dbfs, now.agent_dbfs)
    }

    fn played(&self, py: Python<'_>, samples: u64) -> PyResult<()> {
        told(py, self.0.played(samples))
    }

    fn set_latency_ms(&self, ms: u32) {
        self.0.set_latency_ms(ms);
    }

    fn flush(&self) {
        self.0.flush();
    }

    fn detach(&self) {
        self.0.detach();
    }
}
