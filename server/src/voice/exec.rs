//! A voice that is a program: text on its standard input, a WAV file on its standard output.

use std::time::Duration;

use talkwire_core::audio::wav::Wav;

use super::{Line, Speech, Voice};
use crate::brain::Clip;
use crate::io::Job;

/// Runs a program for each text.
#[derive(Clone, Debug)]
pub struct ExecVoice {
    argv: Vec<String>,
    limit: Duration,
}

impl ExecVoice {
    /// A voice that runs `argv` and kills it after `limit`.
    pub fn new(argv: Vec<String>, limit: Duration) -> Self {
        Self { argv, limit }
    }
}

impl Voice for ExecVoice {
    fn speak(&mut self, line: &Line<'_>) -> Speech {
        if let Some(clip) = line.clip {
            return Speech::Now(clip.clone());
        }
        Speech::Later(Job::Command {
            argv: self.argv.clone(),
            stdin: format!("{}\n", line.text).into_bytes(),
            limit: self.limit,
        })
    }

    fn spoken(&mut self, output: &[u8]) -> Result<Clip, String> {
        let mut output = output.to_vec();
        mend_sizes(&mut output);
        let wav = Wav::parse(&output).map_err(|e| {
            let program = self.argv.first().map_or("", String::as_str);
            format!(
                "the voice program `{program}` gave no usable WAV: {}",
                e.message()
            )
        })?;
        Ok(Clip {
            rate_hz: wav.rate_hz,
            samples: wav.to_mono(),
        })
    }
}

/// Programs that write to a pipe cannot go back to fill in the sizes of a WAV file and leave a huge
/// number or zero there.
fn mend_sizes(wav: &mut [u8]) {
    let total = wav.len();
    let mut at = 12;
    while at + 8 <= total {
        let size =
            u32::from_le_bytes([wav[at + 4], wav[at + 5], wav[at + 6], wav[at + 7]]) as usize;
        let rest = total - at - 8;
        if &wav[at..at + 4] == b"data" {
            if size > rest || size == 0 {
                wav[at + 4..at + 8].copy_from_slice(&(rest as u32).to_le_bytes());
                wav[4..8].copy_from_slice(&((total - 8) as u32).to_le_bytes());
            }
            return;
        }
        at = at.saturating_add(8).saturating_add(size + size % 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ears::wav_bytes;

    #[test]
    fn a_wav_from_a_pipe_is_read_although_its_sizes_are_not() {
        let mut voice = ExecVoice::new(vec!["say".to_owned()], Duration::from_secs(1));
        let mut wav = wav_bytes(16_000, &[1, 2, 3]);
        wav[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
        wav[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let clip = voice.spoken(&wav).expect("reads");
        assert_eq!((clip.rate_hz, clip.samples), (16_000, vec![1, 2, 3]));
        let error = voice.spoken(b"hello").expect_err("no WAV");
        assert!(error.contains("say"), "{error}");
    }
}
