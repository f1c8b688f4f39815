//! One sample rate into another, as a stream.

use speexdsp_resampler::State;

use super::format::check_rate;
use crate::error::Result;

/// Flat to 0.85 of the lower Nyquist frequency and more than 110 dB down beyond it, at 1.7-5 ms of
/// delay; one step less lets the band edge sag by 1 dB.
const QUALITY: usize = 5;

/// Input samples converted at once: 20 ms at 24 kHz.
const BLOCK_SAMPLES: usize = 480;

/// Changes the rate of a mono stream that arrives in pieces.
///
/// The output is the same to the bit however the input is cut, has no added delay against the
/// input (the filter's own delay is taken off the front and flushed by [`finish`](Self::finish))
/// and its total length is the input's times the ratio, rounded.
pub struct Resampler {
    from_hz: u32,
    to_hz: u32,
    taken_samples: u64,
    given_samples: u64,
    /// `None` when the rates are equal.
    filter: Option<Filter>,
}

struct Filter {
    state: State,
    input: Vec<f32>,
    output: Vec<f32>,
}

impl Resampler {
    /// A resampler between two rates of [`RATES_HZ`](super::format::RATES_HZ); equal rates pass samples through.
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self> {
        check_rate(from_hz)?;
        check_rate(to_hz)?;
        let filter = (from_hz != to_hz).then(|| Filter::new(from_hz, to_hz));
        Ok(Self {
            from_hz,
            to_hz,
            taken_samples: 0,
            given_samples: 0,
            filter,
        })
    }

    /// Appends to `out` what `input` completes.
    pub fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        self.taken_samples += input.len() as u64;
        let before = out.len();
        match &mut self.filter {
            None => out.extend_from_slice(input),
            Some(filter) => filter.process(input, out),
        }
        self.given_samples += (out.len() - before) as u64;
    }

    /// Ends the stream: appends what the filter still holds; the next sample starts a new stream.
    pub fn finish(&mut self, out: &mut Vec<i16>) {
        let (from, to) = (u64::from(self.from_hz), u64::from(self.to_hz));
        let due = (self.taken_samples * to + from / 2) / from - self.given_samples;
        if let Some(filter) = &mut self.filter {
            let end = out.len() + due as usize;
            while out.len() < end {
                filter.process(&[0; BLOCK_SAMPLES], out);
            }
            out.truncate(end);
        }
        self.reset();
    }

    /// Forgets the stream so far.
    pub fn reset(&mut self) {
        (self.taken_samples, self.given_samples) = (0, 0);
        if let Some(filter) = &mut self.filter {
            filter.reset();
        }
    }
}

impl Filter {
    fn new(from_hz: u32, to_hz: u32) -> Self {
        let state = State::new(1, from_hz as usize, to_hz as usize, QUALITY)
            .expect("creation has no error path for rates that are not zero");
        let most_samples = BLOCK_SAMPLES * to_hz as usize / from_hz as usize + 2;
        let mut filter = Self {
            state,
            input: Vec::with_capacity(BLOCK_SAMPLES),
            output: vec![0.0; most_samples],
        };
        filter.reset();
        filter
    }

    fn reset(&mut self) {
        self.state.reset();
        self.state.skip_zeros();
    }

    fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        for block in input.chunks(BLOCK_SAMPLES) {
            self.input.clear();
            self.input
                .extend(block.iter().map(|&sample| f32::from(sample)));
            let mut done = 0;
            while done < self.input.len() {
                let (taken, given) = self
                    .state
                    .process_float(0, &self.input[done..], &mut self.output)
                    .expect("a filter that was built processes");
                // The cast saturates, which is the clamp.
                out.extend(
                    self.output[..given]
                        .iter()
                        .map(|sample| sample.round() as i16),
                );
                done += taken;
            }
        }
    }
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resampler({} -> {} Hz)", self.from_hz, self.to_hz)
    }
}

/// All of `samples` at another rate; both rates must be in [`RATES_HZ`](super::format::RATES_HZ).
pub fn resample(samples: &[i16], from_hz: u32, to_hz: u32) -> Result<Vec<i16>> {
    let mut resampler = Resampler::new(from_hz, to_hz)?;
    let mut out = Vec::with_capacity(samples.len() * to_hz as usize / from_hz as usize + 2);
    resampler.process(samples, &mut out);
    resampler.finish(&mut out);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use proptest::prelude::*;

    use super::*;
    use crate::audio::level::rms_dbfs;
    use crate::audio::numbers::cases;

    const RATES: [u32; 8] = [
        8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000,
    ];

    fn pairs() -> impl Iterator<Item = (u32, u32)> {
        RATES
            .into_iter()
            .flat_map(|from| RATES.into_iter().map(move |to| (from, to)))
    }

    fn sine(hz: f64, amplitude: f64, rate_hz: u32, ms: u32) -> Vec<i16> {
        (0..rate_hz * ms / 1000)
            .map(|i| {
                (amplitude * (TAU * hz * f64::from(i) / f64::from(rate_hz)).sin()).round() as i16
            })
            .collect()
    }

    /// Amplitude of `hz` by projection, and the RMS in dBFS of all that is not this tone.
    fn tone_and_rest(samples: &[i16], hz: f64, rate_hz: u32) -> (f64, f32) {
        let angle = |i: usize| TAU * hz * i as f64 / f64::from(rate_hz);
        let n = samples.len() as f64;
        let project = |f: fn(f64) -> f64| {
            2.0 / n
                * samples
                    .iter()
                    .enumerate()
                    .map(|(i, &s)| f64::from(s) * f(angle(i)))
                    .sum::<f64>()
        };
        let (c, s) = (project(f64::cos), project(f64::sin));
        let rest: Vec<i16> = samples
            .iter()
            .enumerate()
            .map(|(i, &x)| (f64::from(x) - c * angle(i).cos() - s * angle(i).sin()).round() as i16)
            .collect();
        (c.hypot(s), rms_dbfs(&rest))
    }

    /// Without the first and last 100 ms and of whole periods of 100 Hz.
    fn middle(samples: &[i16], rate_hz: u32) -> &[i16] {
        let edge = rate_hz as usize / 10;
        let whole = (samples.len() - 2 * edge) / (rate_hz as usize / 10) * (rate_hz as usize / 10);
        &samples[edge..edge + whole]
    }

    #[test]
    fn a_rate_outside_the_range_is_an_error_that_names_it() {
        for (from, to, named) in [
            (0, 8_000, "0 Hz"),
            (24_000, 96_000, "96000 Hz"),
            (7_999, 8_000, "7999 Hz"),
        ] {
            let error = Resampler::new(from, to).unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::Argument);
            assert!(error.message().contains(named), "{error}");
        }
        assert!(resample(&[], 0, 8_000).is_err());
    }

    #[test]
    fn equal_rates_pass_samples_through() {
        let samples: Vec<i16> = (0..1000).map(|i| (i * 37 % 30_011) as i16).collect();
        assert_eq!(resample(&samples, 24_000, 24_000).unwrap(), samples);
    }

    #[test]
    fn a_tone_keeps_its_level_and_gains_no_image() {
        for (from, to) in pairs().filter(|(from, to)| from != to) {
            for hz in [300.0, 1_000.0, 0.4 * f64::from(from.min(to))] {
                let hz = (hz / 100.0).round() * 100.0;
                let out = resample(&sine(hz, 16_000.0, from, 1000), from, to).unwrap();
                let (amplitude, rest) = tone_and_rest(middle(&out, to), hz, to);
                let gain = 20.0 * (amplitude / 16_000.0).log10();
                assert!(gain.abs() < 0.1, "{from}->{to}, {hz} Hz: {gain:.3} dB");
                assert!(
                    rest < -75.0,
                    "{from}->{to}, {hz} Hz: {rest:.1} dBFS beside the tone"
                );
            }
        }
    }

    #[test]
    fn a_tone_above_the_new_band_is_gone() {
        for (from, to) in pairs().filter(|(from, to)| f64::from(*from) > 1.3 * f64::from(*to)) {
            let out =
                resample(&sine(0.62 * f64::from(to), 16_000.0, from, 1000), from, to).unwrap();
            let left = rms_dbfs(middle(&out, to));
            assert!(
                left < -90.0,
                "{from}->{to}: {left:.1} dBFS of the alias left"
            );
        }
    }

    #[test]
    fn a_click_stays_where_it_was() {
        for (from, to) in pairs() {
            let mut samples = vec![0; from as usize / 5];
            samples[from as usize / 25] = 20_000;
            let out = resample(&samples, from, to).unwrap();
            let at = (0..out.len())
                .max_by_key(|&i| out[i].unsigned_abs())
                .unwrap();
            assert_eq!(at, to as usize / 25, "{from}->{to}");
        }
    }

    #[test]
    fn full_scale_is_clamped_and_never_wraps() {
        let square: Vec<i16> = (0..8_000)
            .map(|i| if i / 40 % 2 == 0 { i16::MAX } else { i16::MIN })
            .collect();
        let out = resample(&square, 8_000, 24_000).unwrap();
        // 30 samples off each edge the overshoot is over; a wrapped sample would have the other sign.
        for (i, &sample) in out
            .iter()
            .enumerate()
            .filter(|(i, _)| (30..90).contains(&(i % 120)))
        {
            let up = i / 120 % 2 == 0;
            assert!(
                if up {
                    sample > 30_000
                } else {
                    sample < -30_000
                },
                "{sample} at {i}"
            );
        }
    }

    #[test]
    fn after_finish_it_is_as_new() {
        let samples = sine(440.0, 9_000.0, 44_100, 90);
        let mut resampler = Resampler::new(44_100, 24_000).unwrap();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for out in [&mut first, &mut second] {
            resampler.process(&samples, out);
            resampler.finish(out);
        }
        assert_eq!(first, second);
    }

    proptest! {
        #![proptest_config(cases(48))]
        #[test]
        fn any_cutting_gives_the_same_bits_and_the_exact_length(
            samples in prop::collection::vec(any::<i16>(), 0..3000),
            cuts in prop::collection::vec(0usize..700, 1..20),
            pair in prop::sample::select(pairs().collect::<Vec<_>>()),
        ) {
            let (from, to) = pair;
            let whole = resample(&samples, from, to).unwrap();
            let length = (samples.len() as f64 * f64::from(to) / f64::from(from)).round() as usize;
            prop_assert_eq!(whole.len(), length);
            let mut resampler = Resampler::new(from, to).unwrap();
            let (mut pieces, mut rest) = (Vec::new(), &samples[..]);
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                resampler.process(piece, &mut pieces);
                rest = after;
            }
            resampler.process(rest, &mut pieces);
            resampler.finish(&mut pieces);
            prop_assert_eq!(pieces, whole);
        }

        // A WAV file may have any rate, also one whose ratio has no small terms.
        #[test]
        fn rates_without_a_common_factor_keep_length_and_level(from in 8_000u32..=48_000, to in 8_000u32..=48_000) {
            let out = resample(&sine(500.0, 16_000.0, from, 500), from, to).unwrap();
            let length = (f64::from(from * 500 / 1000) * f64::from(to) / f64::from(from)).round() as usize;
            prop_assert_eq!(out.len(), length);
            let edge = to as usize / 10;
            let level = rms_dbfs(&out[edge..out.len() - edge]);
            prop_assert!((level + 9.24).abs() < 0.1, "{} dBFS", level);
        }
    }
}
