//! Bytes of the wire to samples and back, for every [`Format`].

use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

use super::format::Format;

/// Appends the samples of `bytes` to `samples`.
///
/// A trailing half sample is left out; [`Framer`](super::framer::Framer) carries it over to the
/// next piece.
pub fn decode_into(format: Format, bytes: &[u8], samples: &mut Vec<i16>) {
    match format {
        Format::Pcm16 { .. } => {
            samples.extend(
                bytes
                    .chunks_exact(2)
                    .map(|pair| i16::from_le_bytes([pair[0], pair[1]])),
            );
        }
        Format::Mulaw | Format::WideMulaw { .. } => {
            samples.extend(bytes.iter().map(|&byte| decode_ulaw(byte)));
        }
        Format::Alaw | Format::WideAlaw { .. } => {
            samples.extend(bytes.iter().map(|&byte| decode_alaw(byte)));
        }
    }
}

/// Appends the bytes of `samples` to `bytes`.
pub fn encode_into(format: Format, samples: &[i16], bytes: &mut Vec<u8>) {
    match format {
        Format::Pcm16 { .. } => {
            bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()))
        }
        Format::Mulaw | Format::WideMulaw { .. } => {
            bytes.extend(samples.iter().map(|&sample| encode_ulaw(sample)));
        }
        Format::Alaw | Format::WideAlaw { .. } => {
            bytes.extend(samples.iter().map(|&sample| encode_alaw(sample)));
        }
    }
}

/// The bytes of one sample; a format with one byte has it first. Takes no memory.
pub(super) fn encode_one(format: Format, sample: i16) -> [u8; 2] {
    match format {
        Format::Pcm16 { .. } => sample.to_le_bytes(),
        Format::Mulaw | Format::WideMulaw { .. } => [encode_ulaw(sample), 0],
        Format::Alaw | Format::WideAlaw { .. } => [encode_alaw(sample), 0],
    }
}

/// Multiplies each sample of `bytes`, in their order, by what `gain` says, in 1/32768; at most that
/// much. Takes no memory.
pub(super) fn scale(format: Format, bytes: &mut [u8], mut gain: impl FnMut() -> i32) {
    let mut scaled = |sample: i16| ((i32::from(sample) * gain()) >> 15) as i16;
    match format {
        Format::Pcm16 { .. } => {
            for pair in bytes.chunks_exact_mut(2) {
                if let [low, high] = pair {
                    let sample = scaled(i16::from_le_bytes([*low, *high]));
                    [*low, *high] = sample.to_le_bytes();
                }
            }
        }
        Format::Mulaw | Format::WideMulaw { .. } => {
            for byte in bytes {
                *byte = encode_ulaw(scaled(decode_ulaw(*byte)));
            }
        }
        Format::Alaw | Format::WideAlaw { .. } => {
            for byte in bytes {
                *byte = encode_alaw(scaled(decode_alaw(*byte)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(format: Format, bytes: &[u8]) -> Vec<i16> {
        let mut samples = Vec::new();
        decode_into(format, bytes, &mut samples);
        samples
    }

    fn encode(format: Format, samples: &[i16]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_into(format, samples, &mut bytes);
        bytes
    }

    #[test]
    fn pcm16_is_little_endian_and_comes_back_bit_for_bit() {
        assert_eq!(
            encode(Format::PCM16_24K, &[1, -2, 0x1234]),
            [1, 0, 0xFE, 0xFF, 0x34, 0x12]
        );
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        assert_eq!(
            decode(Format::PCM16_24K, &encode(Format::PCM16_24K, &all)),
            all
        );
    }

    #[test]
    fn a_trailing_half_sample_is_left_out() {
        assert_eq!(decode(Format::PCM16_24K, &[1, 0, 2]), [1]);
    }

    // Values of ITU-T G.711: silence, the smallest steps and both ends of the scale.
    #[test]
    fn g711_codes_are_those_of_the_standard() {
        let mulaw = [
            (0xFF, 0),
            (0x7F, 0),
            (0x80, 32124),
            (0x00, -32124),
            (0xFE, 8),
            (0x7E, -8),
        ];
        let alaw = [
            (0xD5, 8),
            (0x55, -8),
            (0xAA, 32256),
            (0x2A, -32256),
            (0x80, 5504),
        ];
        for (format, table) in [(Format::Mulaw, &mulaw[..]), (Format::Alaw, &alaw[..])] {
            for &(byte, sample) in table {
                assert_eq!(decode(format, &[byte]), [sample], "{format:?} {byte:#04x}");
            }
        }
        assert_eq!(
            encode(Format::Mulaw, &[0, i16::MAX, i16::MIN]),
            [0xFF, 0x80, 0x00]
        );
        assert_eq!(
            encode(Format::Alaw, &[0, i16::MAX, i16::MIN]),
            [0xD5, 0xAA, 0x2A]
        );
    }

    #[test]
    fn every_g711_code_survives_decoding_and_encoding() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(encode(Format::Alaw, &decode(Format::Alaw, &all)), all);
        // Mu-law has two zeros, which are one sample.
        let mut expected = all.clone();
        expected[0x7F] = 0xFF;
        assert_eq!(
            encode(Format::Mulaw, &decode(Format::Mulaw, &all)),
            expected
        );
    }

    #[test]
    fn g711_is_never_further_off_than_half_its_step() {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        for format in [Format::Mulaw, Format::Alaw] {
            for (sample, back) in all.iter().zip(decode(format, &encode(format, &all))) {
                let off = (i32::from(*sample) - i32::from(back)).abs();
                let magnitude = i32::from(*sample).abs();
                assert!(
                    off <= magnitude / 32 + 16 || magnitude > 32000,
                    "{format:?}: {sample} became {back}"
                );
            }
        }
    }
}
