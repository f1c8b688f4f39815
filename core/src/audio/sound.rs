//! How the downlink sounds where nothing is said (silence, or noise that says that the line lives) and
//! where it is made quieter, which is done by and by: a step in the level of a sound is a click.
//! Media threads call it, so it takes no lock, no memory and no time from the system.

use super::codec;
use super::format::Format;

/// What a pull is filled with where it has no sound to give.
pub(super) struct Quiet {
    sample_bytes: usize,
    silence: u8,
    noise: Option<Noise>,
}

/// Every byte of silence.
pub(super) const fn silence(format: Format) -> u8 {
    match format {
        Format::Pcm16 { .. } => 0,
        Format::Mulaw | Format::WideMulaw { .. } => 0xFF,
        Format::Alaw | Format::WideAlaw { .. } => 0xD5,
    }
}

impl Quiet {
    /// Silence, or noise of this level in dBFS.
    pub(super) fn new(format: Format, noise_dbfs: Option<f32>) -> Self {
        Self {
            sample_bytes: format.sample_bytes(),
            silence: silence(format),
            noise: noise_dbfs.map(|dbfs| Noise::new(format, dbfs)),
        }
    }

    /// Fills whole samples.
    pub(super) fn fill(&mut self, out: &mut [u8]) {
        match &mut self.noise {
            None => out.fill(self.silence),
            Some(noise) => out
                .chunks_mut(self.sample_bytes)
                .for_each(|sample| noise.next(sample)),
        }
    }
}

/// White noise: samples that were encoded before, in an order that does not repeat within a call.
struct Noise {
    samples: [[u8; 2]; 256],
    state: u32,
}

impl Noise {
    fn new(format: Format, dbfs: f32) -> Self {
        // All magnitudes up to a peak are as likely: their mean square is a third of the peak's.
        let peak = 32_768.0 * 10f32.powf(dbfs / 20.0) * 3f32.sqrt();
        let mut samples = [[0; 2]; 256];
        for (sample, index) in samples.iter_mut().zip(0_u8..=255) {
            let place = (2.0 * f32::from(index) - 255.0) / 256.0;
            *sample = codec::encode_one(format, (peak * place).round() as i16);
        }
        Self { samples, state: 1 }
    }

    fn next(&mut self, sample: &mut [u8]) {
        // The constants of Numerical Recipes; the high bits are the random ones.
        self.state = self
            .state
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        let index = usize::from(self.state.to_be_bytes()[0]);
        // A byte is always an index of 256.
        let bytes = self.samples.get(index).copied().unwrap_or_default();
        for (to, from) in sample.iter_mut().zip(bytes) {
            *to = from;
        }
    }
}

/// A gain that changes nothing.
const UNITY: i32 = 1 << 15;

/// How loud the sound is, in 1/32768: all of it, less while it is held, and what lies between them
/// for the length of a fade.
pub(super) struct Level {
    format: Format,
    /// Of what is held; nothing where it stands still.
    held: Option<i32>,
    /// By how much the gain may change from one sample to the next.
    step: i32,
    fade_samples: u64,
    /// Of the sample that was given last.
    now: i32,
}

impl Level {
    /// What is held is quieter by `hold_db`, or stands still.
    pub(super) fn new(format: Format, hold_db: Option<f32>, fade_samples: u64) -> Self {
        let held = hold_db.map(|db| (10f32.powf(-db / 20.0) * UNITY as f32) as i32);
        let step = u64::from(UNITY.unsigned_abs()).div_ceil(fade_samples.max(1));
        Self {
            format,
            held,
            step: step as i32,
            fade_samples,
            now: UNITY,
        }
    }

    /// The longest fade, in samples.
    pub(super) const fn fade_samples(&self) -> u64 {
        self.fade_samples
    }

    /// Nothing sounded just before: there is nothing to fade from.
    pub(super) fn begin(&mut self, is_held: bool) {
        if is_held {
            self.now = self.now.min(self.held.unwrap_or(0));
        }
    }

    /// How many of `wanted` samples may be given: what stands still gives what its fade needs.
    pub(super) fn most(&self, wanted: u64, is_held: bool) -> u64 {
        if !is_held || self.held.is_some() {
            return wanted;
        }
        let left = (self.now + self.step - 1) / self.step;
        match self.fade_samples {
            0 => 0,
            _ => wanted.min(u64::from(left.unsigned_abs())),
        }
    }

    /// Gives whole samples their level.
    pub(super) fn apply(&mut self, out: &mut [u8], is_held: bool) {
        let target = match is_held {
            true => self.held.unwrap_or(0),
            false => UNITY,
        };
        if self.now == target && target == UNITY {
            return;
        }
        codec::scale(self.format, out, || {
            self.now = match self.now < target {
                true => (self.now + self.step).min(target),
                false => (self.now - self.step).max(target),
            };
            self.now
        });
    }

    /// Lets whole samples, the last of a sound, fade to nothing.
    pub(super) fn fade_out(&mut self, out: &mut [u8]) {
        let samples = (out.len() / self.format.sample_bytes()) as i64;
        let (from, mut left) = (i64::from(self.now), samples);
        codec::scale(self.format, out, || {
            left -= 1;
            (from * left / samples.max(1)) as i32
        });
        self.now = UNITY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::level::rms_dbfs;

    fn filled(quiet: &mut Quiet, format: Format, samples: usize) -> Vec<i16> {
        let mut bytes = vec![0x11; samples * format.sample_bytes()];
        quiet.fill(&mut bytes);
        let mut decoded = Vec::new();
        codec::decode_into(format, &bytes, &mut decoded);
        decoded
    }

    #[test]
    fn noise_has_its_level_in_every_format_and_every_tenth_of_a_second() {
        for format in [
            Format::PCM16_24K,
            Format::Alaw,
            Format::WideMulaw { rate_hz: 16_000 },
        ] {
            for dbfs in [-70.0, -60.0, -45.0, -30.0] {
                let mut quiet = Quiet::new(format, Some(dbfs));
                let noise = filled(&mut quiet, format, 8_000);
                for part in noise.chunks(800) {
                    let off = (rms_dbfs(part) - dbfs).abs();
                    assert!(off <= 1.0, "{format:?} at {dbfs} dBFS: {off:.2} dB off");
                }
            }
        }
    }

    #[test]
    fn noise_does_not_hum() {
        let mut quiet = Quiet::new(Format::PCM16_24K, Some(-30.0));
        let noise = filled(&mut quiet, Format::PCM16_24K, 24_000);
        let power: f64 = noise.iter().map(|s| f64::from(*s).powi(2)).sum();
        let alike = |lag: usize| {
            let pairs = noise.iter().zip(&noise[lag..]);
            pairs
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum::<f64>()
                / power
        };
        for lag in 1..2_000 {
            assert!(alike(lag).abs() < 0.05, "like itself {lag} samples later");
        }
    }

    #[test]
    fn noise_is_the_same_however_it_is_cut() {
        let (mut one, mut two) = (
            Quiet::new(Format::Alaw, Some(-40.0)),
            Quiet::new(Format::Alaw, Some(-40.0)),
        );
        let whole = filled(&mut one, Format::Alaw, 300);
        let mut parts = filled(&mut two, Format::Alaw, 1);
        parts.extend(filled(&mut two, Format::Alaw, 299));
        assert_eq!(whole, parts);
    }
}
