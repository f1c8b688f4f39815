//! Voices: how an answer sounds.

mod dtmf;
mod exec;
mod http;
mod tone;
mod wav;

pub use dtmf::Digits;
pub use exec::ExecVoice;
pub use http::HttpVoice;
pub use tone::Tone;
pub use wav::WavVoice;

use std::fmt;

use crate::brain::Clip;
use crate::io::Job;

/// What a voice makes of a text.
#[derive(Debug)]
pub enum Speech {
    /// This sound; any rate, it is resampled.
    Now(Clip),
    /// A job has to be done first; [`Voice::spoken`] reads its outcome.
    Later(Job),
    /// The sound that the reader finds in the output of this job, while it comes.
    Stream(Job, Box<dyn SoundReader>),
}

/// Reads the output of a job that speaks. One reader belongs to one text.
pub trait SoundReader: Send + fmt::Debug {
    /// Samples per second; asked for when the first samples have been read.
    fn rate_hz(&self) -> u32;

    /// The mono samples that more output completes. An error ends the answer.
    fn read(&mut self, output: &[u8]) -> Result<Vec<i16>, String>;

    /// The samples that the end of the output completes. An error says that there should be more.
    fn end(&mut self) -> Result<Vec<i16>, String>;
}

/// What a voice is to speak.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The text.
    pub text: &'a str,
    /// What the brain wants it to sound like, if it said so.
    pub clip: Option<&'a Clip>,
    /// Samples per second that need no resampling.
    pub rate_hz: u32,
    /// Name of the voice that the session, or the response, asks for; may be empty.
    pub voice: &'a str,
}

/// Turns text into sound. One voice belongs to one session.
pub trait Voice: Send + fmt::Debug {
    /// The sound of a line.
    fn speak(&mut self, line: &Line<'_>) -> Speech;

    /// Reads the outcome of a job this voice asked for.
    fn spoken(&mut self, output: &[u8]) -> Result<Clip, String> {
        let _ = output;
        Err("this voice has no jobs".to_owned())
    }
}
