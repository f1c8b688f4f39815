//! Loudness in dBFS: 0 dB is a full-scale square wave, so a full-scale sine has -3.0 dB RMS.

/// What digital silence reads as: below anything 16 bits can hold for a whole frame.
pub const FLOOR_DBFS: f32 = -100.0;

/// Root mean square of `samples` in dBFS, at least [`FLOOR_DBFS`]; no samples are silence.
pub fn rms_dbfs(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return FLOOR_DBFS;
    }
    let sum: u64 = samples
        .iter()
        .map(|&s| i64::from(s).pow(2).unsigned_abs())
        .sum();
    dbfs((sum as f64 / samples.len() as f64).sqrt())
}

/// The largest magnitude of `samples` in dBFS, at least [`FLOOR_DBFS`]; no samples are silence.
pub fn peak_dbfs(samples: &[i16]) -> f32 {
    let peak = samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
    dbfs(f64::from(peak))
}

fn dbfs(magnitude: f64) -> f32 {
    // log10(0) is minus infinity, which `max` turns into the floor.
    ((20.0 * (magnitude / 32768.0).log10()) as f32).max(FLOOR_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_and_nothing_read_as_the_floor() {
        for samples in [&[][..], &[0; 480][..]] {
            assert_eq!(rms_dbfs(samples), FLOOR_DBFS);
            assert_eq!(peak_dbfs(samples), FLOOR_DBFS);
        }
    }

    #[test]
    fn a_full_scale_square_wave_is_zero_and_half_of_it_six_less() {
        let full: Vec<i16> = [i16::MIN, i16::MAX].repeat(100);
        assert!(rms_dbfs(&full).abs() < 0.001, "{}", rms_dbfs(&full));
        assert_eq!(peak_dbfs(&full), 0.0);
        let half = [-16384, 16384].repeat(100);
        assert!((rms_dbfs(&half) + 6.0206).abs() < 0.001);
        assert!((peak_dbfs(&half) + 6.0206).abs() < 0.001);
    }

    #[test]
    fn a_sine_has_three_decibels_between_peak_and_rms() {
        let sine: Vec<i16> = (0..2400)
            .map(|i| (16000.0 * (f64::from(i) * 0.1 * std::f64::consts::PI).sin()) as i16)
            .collect();
        assert!((peak_dbfs(&sine) - rms_dbfs(&sine) - 3.01).abs() < 0.02);
    }
}
