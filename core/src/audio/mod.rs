//! Samples: formats, files, rates, tones and speech numbers. Knows no protocol and no socket.
//!
//! | file | what it does |
//! |---|---|
//! | [`mod@format`] | the sample formats of the wire, their sizes and durations |
//! | [`codec`] | bytes of the wire to samples and back, G.711 included |
//! | [`framer`] | byte pieces of any length into whole samples |
//! | [`resample`] | one sample rate into another |
//! | [`wav`] | WAV files in and out |
//! | [`mix`] | two tracks into one stereo track |
//! | [`level`] | loudness in dBFS |
//! | [`vad`] | how likely each frame is speech; whether a turn is over is decided elsewhere |
//! | [`port`] | the media port of a session: rings to the host's media threads, chains behind them |
//! | [`stereo`] | a recording's two channels in step: the customer, and the agent as heard |
//! | [`dtmf`] | telephone digits as tones, made and recognised |
//!
//! Samples are `i16`, mono unless said otherwise. What is a stream (framer, resampler, detectors)
//! gives the same result however its input is cut into pieces.

pub mod codec;
mod downlink;
pub mod dtmf;
mod echo;
pub mod format;
pub mod framer;
mod host;
pub mod level;
pub mod mix;
pub mod port;
pub mod resample;
mod ring;
mod sound;
pub mod stereo;
mod tap;
mod uplink;
pub mod vad;
pub mod wav;
mod words;

#[cfg(test)]
mod numbers {
    use proptest::prelude::ProptestConfig;

    /// So many cases of a property, ten times as many in the deep tier of the tests.
    pub(super) fn cases(quick: u32) -> ProptestConfig {
        let is_deep = std::env::var_os("TALKWIRE_DEEP").is_some_and(|deep| deep == "1");
        ProptestConfig::with_cases(quick * if is_deep { 10 } else { 1 })
    }
}
