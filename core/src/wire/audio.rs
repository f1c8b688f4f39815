//! Base64 between frames and sample buffers: the only place that knows the codec.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use super::envelope::Malformed;

/// The standard alphabet; padding is written, and accepted or not on input.
const CODEC: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes into the buffer that the application gets.
pub fn decode(text: &str) -> Result<Bytes, Malformed> {
    CODEC
        .decode(text)
        .map(Bytes::from)
        .map_err(|e| Malformed::Audio(e.to_string()))
}

/// Decodes into a buffer that is used again for the next frame; what it held is replaced.
pub fn decode_into(text: &str, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
    buffer.clear();
    CODEC
        .decode_vec(text, buffer)
        .map_err(|e| Malformed::Audio(e.to_string()))
}

/// Appends the base64 of `audio` to a frame under construction.
pub fn encode_into(audio: &[u8], frame: &mut String) {
    CODEC.encode_string(audio, frame);
}

/// The base64 of `audio`.
pub fn encode(audio: &[u8]) -> String {
    CODEC.encode(audio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_optional_on_input_and_present_on_output() {
        assert_eq!(
            decode("AAE").expect("decodes"),
            decode("AAE=").expect("decodes")
        );
        assert_eq!(encode(&[0, 1]), "AAE=");
    }

    #[test]
    fn a_bad_character_is_an_error_that_names_its_place() {
        let error = decode("AA!A").expect_err("refused").to_string();
        assert!(error.contains('2') && error.contains("base64"), "{error}");
    }

    #[test]
    fn the_reused_buffer_holds_only_the_last_frame() {
        let mut buffer = vec![9; 100];
        decode_into("AAEC", &mut buffer).expect("decodes");
        assert_eq!(buffer, [0, 1, 2]);
    }
}
