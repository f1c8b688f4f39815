//! The text of a spoken answer, where a server may send it on two tracks: the first one seen for a
//! part is the one that is passed on.

use std::collections::VecDeque;

use crate::wire::ServerEvent;

/// Which events carry the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Track {
    Text,
    Transcript,
}

/// The tracks of the parts that were last spoken.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    parts: VecDeque<(String, u32, Track)>,
}

/// More parts than an answer has at once.
const REMEMBERED: usize = 32;

impl Tracks {
    /// Whether the event is text that was already passed on under another name.
    pub(super) fn is_second(&mut self, event: &ServerEvent) -> bool {
        let (track, part) = match event {
            ServerEvent::TextDelta(e) | ServerEvent::TextDone(e) => (Track::Text, e),
            ServerEvent::TranscriptDelta(e) | ServerEvent::TranscriptDone(e) => {
                (Track::Transcript, e)
            }
            _ => return false,
        };
        let is_this = |(item, index, _): &&(String, u32, Track)| {
            *item == part.item_id && *index == part.content_index
        };
        if let Some((_, _, first)) = self.parts.iter().find(is_this) {
            return *first != track;
        }
        if self.parts.len() == REMEMBERED {
            self.parts.pop_front();
        }
        self.parts
            .push_back((part.item_id.clone(), part.content_index, track));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_track_of_each_part_wins() {
        let mut tracks = Tracks::default();
        let mut second = |name: &str, item: &str| {
            let fields = json!({"item_id": item, "content_index": 0, "delta": "x"});
            let fields = serde_json::from_value(fields).expect("a map");
            tracks.is_second(&ServerEvent::from_fields(name, fields))
        };
        let (text, transcript) = (
            "response.output_text.delta",
            "response.output_audio_transcript.delta",
        );
        assert!(!second(text, "a"));
        assert!(second(transcript, "a"));
        assert!(!second(text, "a"));
        assert!(!second(transcript, "b"));
        assert!(second("response.output_text.done", "b"));
    }
}
