//! The sample formats of the wire.

use std::ops::RangeInclusive;

use crate::error::{Error, Kind, Result};

/// Sample rates that files, resamplers and detectors accept, in Hz: telephone to studio.
pub const RATES_HZ: RangeInclusive<u32> = 8_000..=48_000;

/// Refuses a rate outside [`RATES_HZ`].
pub(super) fn check_rate(rate_hz: u32) -> Result<()> {
    if RATES_HZ.contains(&rate_hz) {
        return Ok(());
    }
    let (low, high) = (RATES_HZ.start(), RATES_HZ.end());
    Err(Error::new(
        Kind::Argument,
        format!("a sample rate of {rate_hz} Hz; wanted is {low} to {high} Hz"),
    ))
}

/// How audio bytes are to be read. Always mono.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Signed 16-bit little-endian samples (`audio/pcm`).
    Pcm16 {
        /// Samples per second.
        rate_hz: u32,
    },
    /// G.711 mu-law, 8 kHz (`audio/pcmu`).
    Mulaw,
    /// G.711 A-law, 8 kHz (`audio/pcma`).
    Alaw,
    /// Mu-law at a rate of its own: between a host and its media port, never on the wire.
    WideMulaw {
        /// Samples per second.
        rate_hz: u32,
    },
    /// A-law at a rate of its own: between a host and its media port, never on the wire.
    WideAlaw {
        /// Samples per second.
        rate_hz: u32,
    },
}

impl Format {
    /// The canonical 24 kHz PCM16.
    pub const PCM16_24K: Self = Self::Pcm16 { rate_hz: 24_000 };

    /// Samples per second.
    pub const fn rate_hz(self) -> u32 {
        match self {
            Self::Pcm16 { rate_hz } | Self::WideMulaw { rate_hz } | Self::WideAlaw { rate_hz } => {
                rate_hz
            }
            Self::Mulaw | Self::Alaw => 8_000,
        }
    }

    /// Bytes of one sample.
    pub const fn sample_bytes(self) -> usize {
        match self {
            Self::Pcm16 { .. } => 2,
            Self::Mulaw | Self::Alaw | Self::WideMulaw { .. } | Self::WideAlaw { .. } => 1,
        }
    }

    /// The value of `format.type` on the wire.
    pub const fn wire_name(self) -> &'static str {
        match self {
            Self::Pcm16 { .. } => "audio/pcm",
            Self::Mulaw | Self::WideMulaw { .. } => "audio/pcmu",
            Self::Alaw | Self::WideAlaw { .. } => "audio/pcma",
        }
    }

    /// Whole milliseconds that `bytes` last, counted in samples so that 44.1 kHz is exact.
    pub const fn ms_of_bytes(self, bytes: u64) -> u64 {
        bytes / self.sample_bytes() as u64 * 1000 / self.rate_hz() as u64
    }

    /// Bytes of `ms`, rounded down to whole samples.
    pub const fn bytes_of_ms(self, ms: u64) -> u64 {
        ms * self.rate_hz() as u64 / 1000 * self.sample_bytes() as u64
    }
}
