//! What an event is about, for readers that want only a part of what a session tells.

use serde::{Deserialize, Serialize};

use super::local::Local;
use super::{Body, Event};
use crate::wire::ServerEvent;

/// What an event is about; each event is about one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Sound of the agent, and the gaps in it.
    Audio,
    /// Words of either party, in pieces and whole.
    Transcript,
    /// Everything else: states, items, calls, errors.
    Control,
    /// Frames as they went over the wire, in both directions and over every link.
    Raw,
}

/// A set of topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Topic>", into = "Vec<Topic>")]
pub struct Topics(u8);

impl Topics {
    /// What a session tells unless it is asked for something else: all but frames.
    pub const USUAL: Self =
        Self(Topic::Audio.bit() | Topic::Transcript.bit() | Topic::Control.bit());

    /// Whether the set has a topic.
    pub const fn has(self, topic: Topic) -> bool {
        self.0 & topic.bit() != 0
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    pub(crate) const fn of_bits(bits: u8) -> Self {
        Self(bits)
    }
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Audio, Self::Transcript, Self::Control, Self::Raw];

    const fn bit(self) -> u8 {
        match self {
            Self::Audio => 1,
            Self::Transcript => 2,
            Self::Control => 4,
            Self::Raw => 8,
        }
    }
}

impl FromIterator<Topic> for Topics {
    fn from_iter<T: IntoIterator<Item = Topic>>(topics: T) -> Self {
        Self(topics.into_iter().fold(0, |bits, topic| bits | topic.bit()))
    }
}

impl From<Vec<Topic>> for Topics {
    fn from(topics: Vec<Topic>) -> Self {
        topics.into_iter().collect()
    }
}

impl From<Topics> for Vec<Topic> {
    fn from(topics: Topics) -> Self {
        let mut all = Topic::ALL.to_vec();
        all.retain(|topic| topics.has(*topic));
        all
    }
}

impl Event {
    /// What it is about.
    pub fn topic(&self) -> Topic {
        match self.body() {
            Body::Local(Local::Frame(_)) => Topic::Raw,
            Body::Local(Local::Gap { .. }) => Topic::Audio,
            Body::Local(_) => Topic::Control,
            Body::Wire(event) => of_wire(event),
        }
    }
}

fn of_wire(event: &ServerEvent) -> Topic {
    match event {
        ServerEvent::AudioDelta(_) | ServerEvent::TranslationAudioDelta(_) => Topic::Audio,
        ServerEvent::TextDelta(_)
        | ServerEvent::TextDone(_)
        | ServerEvent::TranscriptDelta(_)
        | ServerEvent::TranscriptDone(_)
        | ServerEvent::TranscriptionCompleted(_)
        | ServerEvent::TranscriptionDelta(_)
        | ServerEvent::TranscriptionFailed(_)
        | ServerEvent::TranscriptionSegment(_)
        | ServerEvent::TranslationInputDelta(_)
        | ServerEvent::TranslationOutputDelta(_) => Topic::Transcript,
        _ => Topic::Control,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_written_as_lists_in_one_order() {
        let topics: Topics = serde_json::from_str(r#"["control", "audio", "audio"]"#).unwrap();
        assert!(topics.has(Topic::Audio) && topics.has(Topic::Control));
        assert!(!topics.has(Topic::Transcript) && !topics.has(Topic::Raw));
        assert_eq!(
            serde_json::to_string(&topics).unwrap(),
            r#"["audio","control"]"#
        );
        assert!(serde_json::from_str::<Topics>(r#"["sound"]"#).is_err());
    }

    #[test]
    fn each_event_is_about_one_thing() {
        let about = |name: &str| {
            let event = ServerEvent::from_fields(name, crate::wire::Map::new());
            Event::wire(event, super::super::Origin::default()).topic()
        };
        let sound = ServerEvent::AudioDelta(crate::wire::server::AudioDelta::default());
        let sound = Event::wire(sound, super::super::Origin::default());
        assert_eq!(sound.topic(), Topic::Audio);
        assert_eq!(about("response.output_audio.done"), Topic::Control);
        assert_eq!(about("response.output_text.delta"), Topic::Transcript);
        assert_eq!(
            about("conversation.item.input_audio_transcription.completed"),
            Topic::Transcript
        );
        assert_eq!(about("response.done"), Topic::Control);
        assert_eq!(about("something.newer"), Topic::Control);
    }
}
