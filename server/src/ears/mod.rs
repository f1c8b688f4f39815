//! Ears: what was heard.

mod dtmf;
mod exec;
mod http;
mod script;
mod words;

pub use dtmf::DigitEars;
pub use exec::ExecEars;
pub(crate) use exec::wav_bytes;
pub use http::HttpEars;
pub use script::{Heard, ScriptEars};
pub use words::WordReader;

use std::fmt;

use crate::brain::Clip;
use crate::io::Job;

/// What ears make of a turn.
#[derive(Debug, PartialEq, Eq)]
pub enum Hearing {
    /// This text, or nothing that could be understood.
    Now(Option<String>),
    /// There is no transcript, for this reason.
    Failed(String),
    /// A job has to be done first; [`Ears::heard`] reads its outcome.
    Later(Job),
    /// The words that the reader finds in the output of this job, while it comes.
    Stream(Job, WordReader),
}

/// Turns a turn's sound into text. One pair of ears belongs to one session.
pub trait Ears: Send + fmt::Debug {
    /// The words of one turn.
    fn hear(&mut self, turn: &Clip) -> Hearing;

    /// Reads the outcome of a job these ears asked for.
    fn heard(&mut self, output: &[u8]) -> Result<Option<String>, String> {
        let _ = output;
        Err("these ears have no jobs".to_owned())
    }
}

/// Ears that understand nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deaf;

impl Ears for Deaf {
    fn hear(&mut self, _turn: &Clip) -> Hearing {
        Hearing::Now(None)
    }
}
