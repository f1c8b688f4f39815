//! Ears that are a program: a WAV file on its standard input, text on its standard output.

use std::time::Duration;

use super::{Ears, Hearing};
use crate::brain::Clip;
use crate::io::Job;

/// Runs a program for each turn.
#[derive(Clone, Debug)]
pub struct ExecEars {
    argv: Vec<String>,
    limit: Duration,
}

impl ExecEars {
    /// Ears that run `argv` and kill it after `limit`.
    pub fn new(argv: Vec<String>, limit: Duration) -> Self {
        Self { argv, limit }
    }
}

impl Ears for ExecEars {
    fn hear(&mut self, turn: &Clip) -> Hearing {
        Hearing::Later(Job::Command {
            argv: self.argv.clone(),
            stdin: wav_bytes(turn.rate_hz, &turn.samples),
            limit: self.limit,
        })
    }

    fn heard(&mut self, output: &[u8]) -> Result<Option<String>, String> {
        let program = self.argv.first().map_or("", String::as_str);
        let text = std::str::from_utf8(output)
            .map_err(|_| format!("the ears program `{program}` wrote no UTF-8"))?;
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(Some(words.join(" ")).filter(|text| !text.is_empty()))
    }
}

/// A mono PCM16 WAV file.
pub(crate) fn wav_bytes(rate_hz: u32, samples: &[i16]) -> Vec<u8> {
    let data = samples.len() as u32 * 2;
    let mut wav = Vec::with_capacity(44 + data as usize);
    let mut words = |words: &[&[u8]]| words.iter().for_each(|w| wav.extend_from_slice(w));
    words(&[b"RIFF", &(36 + data).to_le_bytes(), b"WAVEfmt "]);
    words(&[&16_u32.to_le_bytes(), &[1, 0, 1, 0]]);
    words(&[&rate_hz.to_le_bytes(), &(rate_hz * 2).to_le_bytes()]);
    words(&[&[2, 0, 16, 0], b"data", &data.to_le_bytes()]);
    wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkwire_core::audio::wav::Wav;

    #[test]
    fn the_program_gets_a_wav_and_its_words_are_joined() {
        let wav = Wav::parse(&wav_bytes(8_000, &[5, -5])).expect("reads");
        assert_eq!(
            (wav.rate_hz, wav.channels, wav.samples),
            (8_000, 1, vec![5, -5])
        );
        let mut ears = ExecEars::new(vec!["listen".to_owned()], Duration::from_secs(1));
        assert_eq!(
            ears.heard(b" two\n words \n"),
            Ok(Some("two words".to_owned()))
        );
        assert_eq!(ears.heard(b"\n"), Ok(None));
        assert!(ears.heard(&[0xff]).is_err());
    }
}
