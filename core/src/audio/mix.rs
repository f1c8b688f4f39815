//! Two mono tracks into one stereo track.

/// Interleaves `left` and `right`; the shorter one is continued with silence.
pub fn stereo(left: &[i16], right: &[i16]) -> Vec<i16> {
    let frames = left.len().max(right.len());
    let at = |track: &[i16], i: usize| track.get(i).copied().unwrap_or(0);
    (0..frames)
        .flat_map(|i| [at(left, i), at(right, i)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_track_is_padded_with_silence() {
        assert_eq!(stereo(&[1, 2, 3], &[-1]), [1, -1, 2, 0, 3, 0]);
        assert_eq!(stereo(&[], &[7, 8]), [0, 7, 0, 8]);
        assert!(stereo(&[], &[]).is_empty());
    }
}
