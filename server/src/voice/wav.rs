//! A voice of recordings: what the script gives a WAV file for sounds like it, the rest like tones.

use std::sync::Arc;

use super::tone::beep;
use super::{Line, Speech, Voice};
use crate::brain::Clip;

/// Plays a text's recording.
#[derive(Clone, Debug, Default)]
pub struct WavVoice {
    recordings: Vec<(String, Arc<Clip>)>,
}

impl WavVoice {
    /// A voice that knows these texts.
    pub fn new(recordings: Vec<(String, Arc<Clip>)>) -> Self {
        Self { recordings }
    }
}

impl Voice for WavVoice {
    fn speak(&mut self, line: &Line<'_>) -> Speech {
        let recorded = || {
            let known = self.recordings.iter().find(|(known, _)| known == line.text);
            known.map(|(_, clip)| Clip::clone(clip))
        };
        let clip = line.clip.cloned().or_else(recorded);
        Speech::Now(clip.unwrap_or_else(|| beep(line.text, line.rate_hz)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_text_sounds_like_its_recording_and_others_like_tones() {
        let clip = |sample| Clip {
            rate_hz: 8_000,
            samples: vec![sample; 3],
        };
        let mut voice = WavVoice::new(vec![("yes".to_owned(), Arc::new(clip(1)))]);
        let mut now = |text: &str, clip: Option<&Clip>| {
            let (rate_hz, name) = (8_000, "");
            match voice.speak(&Line {
                text,
                clip,
                rate_hz,
                voice: name,
            }) {
                Speech::Now(clip) => clip,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(now("yes", None), clip(1));
        assert_eq!(now("yes", Some(&clip(2))), clip(2));
        assert_eq!(now("no", None), beep("no", 8_000));
    }
}
