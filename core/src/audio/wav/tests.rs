use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::audio::numbers::cases;

/// A file in the temporary folder that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("talkwire-{}-{name}.wav", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(body);
    bytes.extend(vec![0; body.len() % 2]);
    bytes
}

fn fmt(tag: u16, channels: u16, rate_hz: u32, bits: u16) -> Vec<u8> {
    let frame_bytes = channels * bits / 8;
    let mut body = Vec::new();
    body.extend(tag.to_le_bytes());
    body.extend(channels.to_le_bytes());
    body.extend(rate_hz.to_le_bytes());
    body.extend((rate_hz * u32::from(frame_bytes)).to_le_bytes());
    body.extend(frame_bytes.to_le_bytes());
    body.extend(bits.to_le_bytes());
    body
}

fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = chunks.concat();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((body.len() as u32 + 4).to_le_bytes());
    bytes.extend(b"WAVE");
    bytes.extend(body);
    bytes
}

fn mono_24k() -> Vec<u8> {
    riff(&[
        chunk(b"fmt ", &fmt(1, 1, 24_000, 16)),
        chunk(b"data", &[1, 0, 2, 0, 0xFF, 0xFF]),
    ])
}

fn refusal(bytes: &[u8]) -> String {
    let error = Wav::parse(bytes).unwrap_err();
    assert_eq!(error.kind(), Kind::Argument);
    error.message().to_owned()
}

#[test]
fn a_plain_file_is_read() {
    let wav = Wav::parse(&mono_24k()).unwrap();
    assert_eq!(
        wav,
        Wav {
            rate_hz: 24_000,
            channels: 1,
            samples: vec![1, 2, -1]
        }
    );
}

#[test]
fn chunks_of_odd_length_and_chunks_after_the_samples_are_skipped() {
    let bytes = riff(&[
        chunk(b"LIST", b"odd"),
        chunk(b"fmt ", &fmt(1, 2, 8_000, 16)),
        chunk(b"fact", &[0; 5]),
        chunk(b"data", &[1, 0, 2, 0]),
        chunk(b"LIST", b"after"),
    ]);
    assert_eq!(
        Wav::parse(&bytes).unwrap(),
        Wav {
            rate_hz: 8_000,
            channels: 2,
            samples: vec![1, 2]
        }
    );
}

#[test]
fn an_extensible_header_is_read_by_its_sub_format() {
    let extensible = |sub_format: u16, bits| {
        let mut body = fmt(0xFFFE, 1, 48_000, bits);
        body.extend([22, 0]);
        body.extend(bits.to_le_bytes());
        body.extend([4, 0, 0, 0]);
        body.extend(sub_format.to_le_bytes());
        body.extend([0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71]);
        riff(&[chunk(b"fmt ", &body), chunk(b"data", &[5, 0, 6, 0])])
    };
    assert_eq!(Wav::parse(&extensible(1, 16)).unwrap().samples, [5, 6]);
    assert!(refusal(&extensible(3, 32)).contains("32-bit float"));
    assert!(refusal(&extensible(1, 24)).contains("PCM24"));
}

#[test]
fn another_encoding_is_named_beside_what_is_wanted() {
    let with = |tag, channels, rate_hz, bits| {
        refusal(&riff(&[
            chunk(b"fmt ", &fmt(tag, channels, rate_hz, bits)),
            chunk(b"data", &[0; 48]),
        ]))
    };
    for (message, found) in [
        (
            with(3, 1, 24_000, 32),
            "32-bit float at 24000 Hz with 1 channel ",
        ),
        (with(1, 1, 24_000, 8), "PCM8 "),
        (with(1, 2, 24_000, 24), "PCM24 "),
        (with(6, 1, 8_000, 8), "A-law "),
        (with(7, 1, 8_000, 8), "mu-law "),
        (with(0x1234, 1, 8_000, 16), "encoding 0x1234 "),
        (with(1, 1, 7_999, 16), "PCM16 at 7999 Hz"),
        (with(1, 1, 96_000, 16), "PCM16 at 96000 Hz"),
        (with(1, 0, 24_000, 16), "with 0 channels"),
        (with(1, 6, 24_000, 16), "with 6 channels"),
    ] {
        assert!(
            message.starts_with(found) || message.contains(found),
            "{message}"
        );
        assert!(message.contains(WANTED), "{message}");
    }
}

#[test]
fn no_wav_and_nothing_at_all_are_told_apart() {
    assert!(refusal(b"").contains("the file is empty"));
    assert!(refusal(b"ID3\x03 and an mp3 after it").contains("starts with \"ID3\\x03\""));
    assert!(refusal(b"RI").contains("starts with \"RI\""));
    assert!(refusal(b"RIFF\x04\0\0\0AVI ").contains("not a WAV file"));
}

#[test]
fn a_file_without_samples_says_so() {
    let bytes = riff(&[chunk(b"fmt ", &fmt(1, 1, 24_000, 16)), chunk(b"data", &[])]);
    assert_eq!(refusal(&bytes), "the file holds no samples");
}

#[test]
fn a_file_cut_anywhere_is_never_taken_for_a_whole_one() {
    let whole = mono_24k();
    for length in 0..whole.len() {
        refusal(&whole[..length]);
    }
    let message = refusal(&whole[..whole.len() - 2]);
    assert_eq!(
        message,
        "the file is cut: 6 bytes of samples are promised, 4 are there"
    );
    assert!(refusal(&whole[..36]).contains("cut before its samples"));
    assert!(refusal(&whole[..30]).contains("cut before its format"));
}

#[test]
fn half_a_frame_and_samples_before_their_format_are_refused() {
    let half = riff(&[
        chunk(b"fmt ", &fmt(1, 2, 24_000, 16)),
        chunk(b"data", &[0; 6]),
    ]);
    assert_eq!(refusal(&half), "6 bytes of samples end inside a frame");
    let swapped = riff(&[
        chunk(b"data", &[0; 4]),
        chunk(b"fmt ", &fmt(1, 1, 24_000, 16)),
    ]);
    assert_eq!(refusal(&swapped), "the samples come before their format");
}

#[test]
fn mono_is_the_average_of_the_channels() {
    let stereo = Wav {
        rate_hz: 8_000,
        channels: 2,
        samples: vec![100, 200, -32768, -32768, 32767, 32767],
    };
    assert_eq!(stereo.to_mono(), [150, -32768, 32767]);
    assert_eq!(stereo.duration_ms(), 0);
    let mono = Wav {
        rate_hz: 8_000,
        channels: 1,
        samples: vec![1; 8_000],
    };
    assert_eq!(mono.to_mono(), mono.samples);
    assert_eq!(mono.duration_ms(), 1_000);
}

#[test]
fn what_is_written_is_read_back_by_us_and_by_others() {
    let scratch = Scratch::new("round");
    for (rate_hz, channels) in [(8_000, 1), (44_100, 2), (48_000, 1)] {
        let samples: Vec<i16> = (0..30_000)
            .map(|i| (i * 7919 % 65_536 - 32_768) as i16)
            .collect();
        write(&scratch.0, rate_hz, channels, &samples).unwrap();
        assert_eq!(
            Wav::read(&scratch.0).unwrap(),
            Wav {
                rate_hz,
                channels,
                samples: samples.clone()
            }
        );
        let other = hound::WavReader::open(&scratch.0).unwrap();
        assert_eq!(
            (other.spec().sample_rate, other.spec().channels),
            (rate_hz, channels)
        );
        assert_eq!(
            other
                .into_samples::<i16>()
                .map(Result::unwrap)
                .collect::<Vec<_>>(),
            samples
        );
    }
}

#[test]
fn a_recording_whose_process_died_keeps_all_but_its_last_second() {
    let scratch = Scratch::new("died");
    let mut writer = Writer::create(&scratch.0, 8_000, 2).unwrap();
    for i in 0..125 {
        writer.write(&[i; 320]).unwrap();
    }
    // Neither the buffer nor the header is completed any more, as after a SIGKILL.
    std::mem::forget(writer);
    let wav = Wav::read(&scratch.0).unwrap();
    assert_eq!(wav.duration_ms(), 2_000, "2.5 s were written");
    assert_eq!(
        wav.samples[..],
        (0..100).flat_map(|i| [i; 320]).collect::<Vec<i16>>()
    );
}

#[test]
fn the_writer_takes_whole_frames_or_nothing() {
    let scratch = Scratch::new("frames");
    let mut writer = Writer::create(&scratch.0, 8_000, 2).unwrap();
    assert_eq!(writer.write(&[1, 2, 3]).unwrap_err().kind(), Kind::Argument);
    writer.write(&[4, 5]).unwrap();
    writer.finish().unwrap();
    assert_eq!(Wav::read(&scratch.0).unwrap().samples, [4, 5]);
    assert_eq!(
        write(&scratch.0, 7_000, 1, &[]).unwrap_err().kind(),
        Kind::Argument
    );
    assert_eq!(
        write(&scratch.0, 8_000, 3, &[]).unwrap_err().kind(),
        Kind::Argument
    );
}

#[test]
fn an_unreadable_or_unwritable_path_is_an_io_error_that_names_it() {
    let nowhere = Path::new("/nonexistent/folder/call.wav");
    for error in [
        Wav::read(nowhere).unwrap_err(),
        write(nowhere, 8_000, 1, &[0]).unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Io);
        assert!(
            error
                .message()
                .starts_with("/nonexistent/folder/call.wav: "),
            "{error}"
        );
    }
    assert_eq!(
        Wav::read(&std::env::temp_dir()).unwrap_err().kind(),
        Kind::Io
    );
}

#[test]
fn a_bad_file_is_named_in_the_error() {
    let scratch = Scratch::new("bad");
    std::fs::write(&scratch.0, b"hello").unwrap();
    let error = Wav::read(&scratch.0).unwrap_err();
    assert_eq!(error.kind(), Kind::Argument);
    assert!(
        error
            .message()
            .starts_with(&scratch.0.display().to_string()),
        "{error}"
    );
}

#[test]
fn the_speech_of_the_examples_is_as_its_readme_says() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/audio"));
    for name in [
        "caller.wav",
        "caller-en.wav",
        "ru/answer-1.wav",
        "en/answer-3.wav",
    ] {
        let wav = Wav::read(&folder.join(name)).unwrap();
        assert_eq!((wav.rate_hz, wav.channels), (24_000, 1), "{name}");
        assert!(
            crate::audio::level::peak_dbfs(&wav.samples) <= -1.0,
            "{name}"
        );
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Wav::parse(&bytes);
        let _ = Wav::parse(&[b"RIFF\0\0\0\0WAVE", &bytes[..]].concat());
    }

    #[test]
    fn a_damaged_header_gives_samples_or_an_error(at in 12usize..44, byte in any::<u8>()) {
        let mut bytes = mono_24k();
        bytes[at] = byte;
        if let Ok(wav) = Wav::parse(&bytes) {
            prop_assert!(!wav.samples.is_empty());
        }
    }
}
