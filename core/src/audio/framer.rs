//! Byte pieces of any length into whole samples.

use super::codec;
use super::format::Format;

/// Decodes a byte stream that may be cut anywhere, also in the middle of a sample.
///
/// Peers do send pieces with an odd number of bytes. Decoding each piece by itself would shift all
/// that follows by one byte and turn speech into noise, so the odd byte waits for the next piece.
#[derive(Clone, Debug)]
pub struct Framer {
    format: Format,
    carried: Option<u8>,
}

impl Framer {
    /// A framer at a sample boundary.
    pub const fn new(format: Format) -> Self {
        Self {
            format,
            carried: None,
        }
    }

    /// Appends the samples that `bytes` completes to `samples`.
    pub fn push(&mut self, bytes: &[u8], samples: &mut Vec<i16>) {
        let mut rest = bytes;
        if let (Some(low), Some((&high, after))) = (self.carried, bytes.split_first()) {
            codec::decode_into(self.format, &[low, high], samples);
            self.carried = None;
            rest = after;
        }
        let odd = rest.len() % self.format.sample_bytes();
        let (whole, half) = rest.split_at(rest.len() - odd);
        codec::decode_into(self.format, whole, samples);
        if let Some(&byte) = half.first() {
            self.carried = Some(byte);
        }
    }

    /// Bytes that wait for the rest of their sample: 0 or 1.
    pub const fn pending(&self) -> usize {
        self.carried.is_some() as usize
    }

    /// Forgets the waiting byte: the next byte starts a sample.
    pub const fn reset(&mut self) {
        self.carried = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audio::numbers::cases;

    fn push(framer: &mut Framer, bytes: &[u8]) -> Vec<i16> {
        let mut samples = Vec::new();
        framer.push(bytes, &mut samples);
        samples
    }

    #[test]
    fn the_odd_byte_waits_for_the_next_piece() {
        let mut framer = Framer::new(Format::PCM16_24K);
        assert_eq!(push(&mut framer, &[1, 0, 2]), [1]);
        assert_eq!(framer.pending(), 1);
        assert!(push(&mut framer, &[]).is_empty());
        assert_eq!(framer.pending(), 1, "an empty piece changes nothing");
        assert_eq!(push(&mut framer, &[0, 3, 0]), [2, 3]);
        assert_eq!(framer.pending(), 0);
    }

    #[test]
    fn reset_starts_at_a_sample_boundary() {
        let mut framer = Framer::new(Format::PCM16_24K);
        push(&mut framer, &[9]);
        framer.reset();
        assert_eq!(framer.pending(), 0);
        assert_eq!(push(&mut framer, &[1, 0]), [1]);
    }

    #[test]
    fn one_byte_formats_never_wait() {
        let mut framer = Framer::new(Format::Alaw);
        assert_eq!(push(&mut framer, &[0xD5; 3]), [8; 3]);
        assert_eq!(framer.pending(), 0);
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn any_cutting_gives_the_same_samples(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            cuts in prop::collection::vec(0usize..20, 1..60),
        ) {
            for format in [Format::PCM16_24K, Format::Mulaw, Format::Alaw] {
                let whole = push(&mut Framer::new(format), &bytes);
                let mut framer = Framer::new(format);
                let (mut pieces, mut rest) = (Vec::new(), &bytes[..]);
                for cut in cuts.iter().cycle().take(1000) {
                    let (piece, after) = rest.split_at((*cut).min(rest.len()));
                    framer.push(piece, &mut pieces);
                    rest = after;
                }
                framer.push(rest, &mut pieces);
                prop_assert_eq!(&pieces, &whole);
                prop_assert_eq!(framer.pending(), bytes.len() % format.sample_bytes());
            }
        }
    }
}
