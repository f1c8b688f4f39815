//! WAV files: PCM16 in, PCM16 out.
//!
//! Reading is done here and not by `hound`, which takes a cut file for a whole one, stumbles over
//! chunks of odd length and has one word for every encoding it does not know. Writing is hound's.

use std::fs::File;
use std::io::{BufWriter, Read};
use std::path::Path;

use super::codec;
use super::format::{Format, RATES_HZ};
use crate::error::{Error, Kind, Result};

/// Files above this size are refused: nobody means to send three hours of studio sound.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The sizes in a WAV header have 32 bits; some bytes are left for the header itself.
const MAX_DATA_BYTES: u64 = u32::MAX as u64 - 1024;

const WANTED: &str = "wanted is PCM16, 8 to 48 kHz, mono or stereo";

/// The samples of a WAV file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wav {
    /// Samples per second of each channel.
    pub rate_hz: u32,
    /// 1 or 2.
    pub channels: u16,
    /// Interleaved: left, right, left, right…
    pub samples: Vec<i16>,
}

impl Wav {
    /// Reads a file; the error names the path.
    pub fn read(path: &Path) -> Result<Self> {
        let unreadable = |e| Error::new(Kind::Io, format!("{}: {e}", path.display()));
        let mut bytes = Vec::new();
        File::open(path)
            .map_err(unreadable)?
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(refused(format!("{}: larger than 1 GiB", path.display())));
        }
        Self::parse(&bytes)
            .map_err(|e| Error::new(e.kind(), format!("{}: {}", path.display(), e.message())))
    }

    /// Reads the bytes of a file.
    ///
    /// Accepts PCM16 of 8 to 48 kHz, mono or stereo, also as `WAVE_FORMAT_EXTENSIBLE`. Everything
    /// else, no samples, and fewer samples than the header promises are errors.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Err(refused(format!("the file is empty; {WANTED}")));
        }
        if bytes.len() < 12 || &bytes[..4] != b"RIFF" || &bytes[8..12] != b"WAVE" {
            let start = bytes[..bytes.len().min(4)].escape_ascii();
            return Err(refused(format!(
                "not a WAV file, it starts with \"{start}\"; {WANTED}"
            )));
        }
        let mut layout = None;
        let mut rest = &bytes[12..];
        while let Some((header, body)) = rest.split_first_chunk::<8>() {
            let size = le32(&header[4..]) as usize;
            match &header[..4] {
                b"fmt " => {
                    layout = Some(Layout::parse(
                        body.get(..size).ok_or_else(|| cut("its format"))?,
                    )?)
                }
                b"data" => {
                    let layout = layout
                        .ok_or_else(|| refused("the samples come before their format".into()))?;
                    return layout.samples(body, size);
                }
                _ => {}
            }
            // Chunks start at even positions.
            let next = size.saturating_add(size % 2).min(body.len());
            rest = &body[next..];
        }
        Err(cut(if layout.is_some() {
            "its samples"
        } else {
            "its format"
        }))
    }

    /// One channel: the average of both, rounded towards zero.
    pub fn to_mono(&self) -> Vec<i16> {
        let channels = usize::from(self.channels.max(1));
        let average = |frame: &[i16]| {
            let sum: i32 = frame.iter().map(|&sample| i32::from(sample)).sum();
            (sum / channels as i32) as i16
        };
        self.samples.chunks_exact(channels).map(average).collect()
    }

    /// Whole milliseconds that the file lasts.
    pub fn duration_ms(&self) -> u64 {
        let frames = self.samples.len() as u64 / u64::from(self.channels.max(1));
        frames * 1000 / u64::from(self.rate_hz.max(1))
    }
}

struct Layout {
    rate_hz: u32,
    channels: u16,
}

impl Layout {
    fn parse(chunk: &[u8]) -> Result<Self> {
        const EXTENSIBLE: u16 = 0xFFFE;
        if chunk.len() < 16 {
            return Err(refused(format!(
                "a format chunk of {} bytes; {WANTED}",
                chunk.len()
            )));
        }
        let (mut tag, channels, rate_hz) = (le16(chunk), le16(&chunk[2..]), le32(&chunk[4..]));
        let (frame_bytes, bits) = (le16(&chunk[12..]), le16(&chunk[14..]));
        if tag == EXTENSIBLE && chunk.len() >= 40 {
            // The first two bytes of the sub-format's GUID are a tag of the old kind.
            tag = le16(&chunk[24..]);
        }
        let encoding = match tag {
            1 => format!("PCM{bits}"),
            2 | 0x11 => "ADPCM".into(),
            3 => format!("{bits}-bit float"),
            6 => "A-law".into(),
            7 => "mu-law".into(),
            0x55 => "MP3".into(),
            other => format!("encoding {other:#06x}"),
        };
        let fits = (tag, bits) == (1, 16) && frame_bytes == channels.saturating_mul(2);
        if !fits || !RATES_HZ.contains(&rate_hz) || !(1..=2).contains(&channels) {
            let plural = if channels == 1 { "" } else { "s" };
            return Err(refused(format!(
                "{encoding} at {rate_hz} Hz with {channels} channel{plural} in frames of {frame_bytes} bytes; {WANTED}"
            )));
        }
        Ok(Self { rate_hz, channels })
    }

    fn samples(self, body: &[u8], promised_bytes: usize) -> Result<Wav> {
        let Some(data) = body.get(..promised_bytes) else {
            return Err(refused(format!(
                "the file is cut: {promised_bytes} bytes of samples are promised, {} are there",
                body.len()
            )));
        };
        if data.is_empty() {
            return Err(refused("the file holds no samples".into()));
        }
        if !data.len().is_multiple_of(usize::from(self.channels) * 2) {
            return Err(refused(format!(
                "{} bytes of samples end inside a frame",
                data.len()
            )));
        }
        let mut samples = Vec::with_capacity(data.len() / 2);
        codec::decode_into(
            Format::Pcm16 {
                rate_hz: self.rate_hz,
            },
            data,
            &mut samples,
        );
        Ok(Wav {
            rate_hz: self.rate_hz,
            channels: self.channels,
            samples,
        })
    }
}

/// Writes interleaved `samples` as a PCM16 file, replacing what is there.
pub fn write(path: &Path, rate_hz: u32, channels: u16, samples: &[i16]) -> Result<()> {
    let mut writer = Writer::create(path, rate_hz, channels)?;
    writer.write(samples)?;
    writer.finish()
}

/// Records a PCM16 file as it comes.
///
/// The file is completed once per second of sound, so that a recording whose process dies remains
/// a readable file and lacks at most its last second.
pub struct Writer {
    inner: hound::WavWriter<BufWriter<File>>,
    path: String,
    samples_per_second: u64,
    written_samples: u64,
    completed_samples: u64,
}

impl Writer {
    /// Creates the file, replacing what is there.
    pub fn create(path: &Path, rate_hz: u32, channels: u16) -> Result<Self> {
        if !RATES_HZ.contains(&rate_hz) || !(1..=2).contains(&channels) {
            return Err(refused(format!(
                "cannot write {channels} channels at {rate_hz} Hz; {WANTED}"
            )));
        }
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate_hz,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let path_text = path.display().to_string();
        let inner = hound::WavWriter::create(path, spec).map_err(|e| unwritable(&path_text, &e))?;
        Ok(Self {
            inner,
            path: path_text,
            samples_per_second: u64::from(rate_hz) * u64::from(channels),
            written_samples: 0,
            completed_samples: 0,
        })
    }

    /// Appends interleaved samples: whole frames, or nothing is taken.
    pub fn write(&mut self, samples: &[i16]) -> Result<()> {
        if !samples
            .len()
            .is_multiple_of(usize::from(self.inner.spec().channels))
        {
            return Err(refused(format!(
                "{} samples end inside a frame",
                samples.len()
            )));
        }
        if (self.written_samples + samples.len() as u64) * 2 > MAX_DATA_BYTES {
            return Err(Error::new(
                Kind::Io,
                format!("{}: a WAV file ends at 4 GiB", self.path),
            ));
        }
        for &sample in samples {
            self.inner
                .write_sample(sample)
                .map_err(|e| unwritable(&self.path, &e))?;
        }
        self.written_samples += samples.len() as u64;
        if self.written_samples - self.completed_samples >= self.samples_per_second {
            self.complete()?;
        }
        Ok(())
    }

    /// Makes what was written so far a whole file, to which more may be written.
    pub fn complete(&mut self) -> Result<()> {
        self.inner.flush().map_err(|e| unwritable(&self.path, &e))?;
        self.completed_samples = self.written_samples;
        Ok(())
    }

    /// Completes the file. Dropping does that too, but keeps errors to itself.
    pub fn finish(self) -> Result<()> {
        self.inner
            .finalize()
            .map_err(|e| unwritable(&self.path, &e))
    }
}

fn refused(message: String) -> Error {
    Error::new(Kind::Argument, message)
}

fn cut(before: &str) -> Error {
    refused(format!("the file is cut before {before}; {WANTED}"))
}

fn unwritable(path: &str, e: &hound::Error) -> Error {
    Error::new(Kind::Io, format!("{path}: {e}"))
}

fn le16(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests;
