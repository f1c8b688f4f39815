//! What the caller says: the input buffer, detected turns, transcripts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::json;
use talkwire_core::dialect::Quirk;
use talkwire_core::wire::server::{
    Bare, Committed, ErrorBody, ItemEvent, Speech, Transcription, TranscriptionFailed,
};
use talkwire_core::wire::{Item, Map, Part, ServerEvent};

use crate::brain::Clip;
use crate::conversation::{Place, Recording, unread};
use crate::ears::{Hearing, WordReader};
use crate::error::{Judged, Problem};
use crate::io::{JobId, PeerEffects};
use crate::jobs::Purpose;
use crate::pause::Probe;
use crate::peer::Peer;
use crate::response::Ending;
use crate::settings::Settings;
use crate::turn::{Boundary, InputBuffer, Turn};

/// The input side of a session.
#[derive(Debug)]
pub(crate) struct Hearer {
    pub(crate) buffer: InputBuffer,
    /// The item that the caller is speaking, and where it starts.
    speaking: Option<(String, u64)>,
    /// What is known of its words, where they tell whether it is over.
    pub(crate) probe: Option<Probe>,
    /// Speech since the last answer.
    pub(crate) unanswered: Option<Clip>,
    /// Reads the words of jobs that tell them while they are found.
    pub(crate) readers: BTreeMap<JobId, WordReader>,
    /// The item whose words were told while they were found.
    told: BTreeSet<String>,
}

/// What became of listening to a turn.
pub(crate) type Words = Result<Option<String>, String>;

impl Hearer {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            buffer: InputBuffer::new(settings.input_format(), settings.turn_detection()),
            speaking: None,
            probe: None,
            unanswered: None,
            readers: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    /// Takes over changed settings.
    pub(crate) fn configure(&mut self, settings: &Settings) {
        let rules = settings.turn_detection();
        if rules.is_none() {
            self.speaking = None;
        }
        self.buffer.configure(settings.input_format(), rules);
    }

    /// Whether the caller is speaking.
    pub(crate) fn is_speaking(&self) -> bool {
        self.speaking.is_some()
    }

    /// Where the speech begins that is being spoken.
    pub(crate) fn speaks_since_ms(&self) -> Option<u64> {
        self.speaking.as_ref().map(|(_, start_ms)| *start_ms)
    }

    fn add_unanswered(&mut self, clip: &Clip) {
        match &mut self.unanswered {
            Some(before) if before.rate_hz == clip.rate_hz => {
                before.samples.extend_from_slice(&clip.samples);
            }
            unanswered => *unanswered = Some(clip.clone()),
        }
    }
}

impl Peer {
    pub(crate) fn append(
        &mut self,
        now: Instant,
        audio: &[u8],
        fx: &mut PeerEffects,
    ) -> Judged<()> {
        let most = self.out.dialect.table().limits.append_max_bytes as usize;
        if audio.len() > most {
            let message = format!(
                "An append of {} bytes: at most {most} are taken.",
                audio.len()
            );
            return Err(Problem::value("audio", message));
        }
        self.hearer.buffer.judge_room(audio.len())?;
        let rules = self.settings.turn_detection();
        let piece = match rules.and_then(|rules| rules.eagerness) {
            Some(_) => self.hearer.buffer.piece_bytes(),
            None => audio.len().max(1),
        };
        for piece in audio.chunks(piece) {
            for boundary in self.hearer.buffer.append(piece) {
                match boundary {
                    Boundary::Started { start_ms } => self.speech_started(now, start_ms, fx),
                    Boundary::Stopped { end_ms } => self.speech_stopped(now, end_ms, fx),
                    Boundary::Paused => self.paused(now, fx),
                }
            }
        }
        Ok(())
    }

    fn speech_started(&mut self, now: Instant, start_ms: u64, fx: &mut PeerEffects) {
        self.idle.disturbed();
        let item_id = self.out.id("item");
        self.hearer.speaking = Some((item_id.clone(), start_ms));
        let event = ServerEvent::SpeechStarted(Speech {
            item_id,
            audio_start_ms: Some(start_ms),
            audio_end_ms: None,
        });
        self.out.send(&event, fx);
        // The cause before its effect: clients stop playing at the former.
        let rules = self.settings.turn_detection();
        if rules.is_some_and(|rules| rules.interrupt_response) {
            self.interrupt(now, &Ending::Cancelled("turn_detected"), fx);
        }
    }

    /// The turn that is spoken is over.
    pub(crate) fn speech_stopped(&mut self, now: Instant, end_ms: u64, fx: &mut PeerEffects) {
        let Some((item_id, start_ms)) = self.hearer.speaking.take() else {
            return;
        };
        let event = ServerEvent::SpeechStopped(Speech {
            item_id: item_id.clone(),
            audio_start_ms: None,
            audio_end_ms: Some(end_ms),
        });
        self.out.send(&event, fx);
        let turn = self.hearer.buffer.take_turn(start_ms, end_ms);
        let words = self.take_probe(fx);
        self.take_turn(now, item_id, turn, words, fx);
        let rules = self.settings.turn_detection();
        if rules.is_some_and(|rules| rules.create_response) {
            self.answering.asked_by_client();
            self.answer_turn(now, fx);
        }
    }

    pub(crate) fn commit(
        &mut self,
        now: Instant,
        fields: &Map,
        fx: &mut PeerEffects,
    ) -> Judged<()> {
        self.know(fields, &[])?;
        let least_ms = u64::from(self.out.dialect.table().limits.commit_min_ms);
        let ms = self.hearer.buffer.ms();
        if ms < least_ms {
            let message = format!(
                "Error committing input audio buffer: buffer too small. Expected at least \
                 {least_ms}ms of audio, but buffer only has {ms}ms of audio."
            );
            return Err(Problem::new("input_audio_buffer_commit_empty", message));
        }
        // A turn that has begun ends here under the id it was announced with.
        let begun = self.hearer.speaking.take();
        let item_id = begun.map_or_else(|| self.out.id("item"), |(item_id, _)| item_id);
        let turn = self.hearer.buffer.take();
        self.hearer.buffer.clear();
        self.drop_probe(fx);
        self.take_turn(now, item_id, turn, None, fx);
        Ok(())
    }

    pub(crate) fn clear(&mut self, fields: &Map, fx: &mut PeerEffects) -> Judged<()> {
        self.know(fields, &[])?;
        self.hearer.speaking = None;
        self.drop_probe(fx);
        self.hearer.buffer.clear();
        self.out
            .send(&ServerEvent::BufferCleared(Bare::default()), fx);
        Ok(())
    }

    /// Makes an item of a turn and listens to it, unless its words are known.
    fn take_turn(
        &mut self,
        now: Instant,
        item_id: String,
        turn: Turn,
        words: Option<Words>,
        fx: &mut PeerEffects,
    ) {
        self.commit_turn(item_id.clone(), turn.recording, fx);
        match words {
            None => self.listen(now, item_id, &turn.clip, fx),
            Some(words) => {
                self.hearer.add_unanswered(&turn.clip);
                self.heard(now, &item_id, words, fx);
            }
        }
    }

    /// Makes an item of audio.
    pub(crate) fn commit_turn(
        &mut self,
        item_id: String,
        recording: Recording,
        fx: &mut PeerEffects,
    ) {
        let item = Item {
            id: Some(item_id.clone()),
            object: Some("realtime.item".to_owned()),
            kind: "message".to_owned(),
            status: Some("completed".to_owned()),
            role: Some("user".to_owned()),
            content: Some(vec![unread(Part {
                kind: "input_audio".to_owned(),
                ..Part::default()
            })]),
            ..Item::default()
        };
        let event = ServerEvent::BufferCommitted(Committed {
            item_id,
            previous_item_id: self.talk.last_id(),
        });
        self.out.send(&event, fx);
        let previous_item_id = self.talk.push(item.clone(), recording);
        self.tell_item(previous_item_id, item, fx);
    }

    /// Tells of an item that is complete from the start.
    pub(crate) fn tell_item(&mut self, previous: Option<String>, item: Item, fx: &mut PeerEffects) {
        let entry = ItemEvent {
            previous_item_id: previous,
            item,
        };
        self.out.send(&ServerEvent::ItemAdded(entry.clone()), fx);
        self.out.send(&ServerEvent::ItemDone(entry), fx);
    }

    /// Finds the words of a turn.
    pub(crate) fn listen(
        &mut self,
        now: Instant,
        item_id: String,
        clip: &Clip,
        fx: &mut PeerEffects,
    ) {
        self.hearer.add_unanswered(clip);
        match self.backends.ears.hear(clip) {
            Hearing::Now(words) => self.heard(now, &item_id, Ok(words), fx),
            Hearing::Failed(message) => self.heard(now, &item_id, Err(message), fx),
            Hearing::Later(job) => {
                self.jobs.start(Purpose::Hear { item_id }, job, fx);
            }
            Hearing::Stream(job, reader) => {
                let job = self.jobs.start(Purpose::Hear { item_id }, job, fx);
                self.hearer.readers.insert(job, reader);
            }
        }
    }

    /// A job that hears brought a piece of its output. An error ends it; a `Probe` tells nobody.
    pub(crate) fn hear_on(&mut self, now: Instant, job: JobId, piece: &[u8], fx: &mut PeerEffects) {
        let Some(reader) = self.hearer.readers.get_mut(&job) else {
            return;
        };
        match reader.read(piece) {
            Ok(words) => {
                if let Some(Purpose::Hear { item_id }) = self.jobs.purpose(job).cloned() {
                    self.tell_piece(item_id, words, fx);
                }
            }
            Err(why) => {
                let purpose = self.jobs.purpose(job).cloned();
                self.hearer.readers.remove(&job);
                self.jobs.stop(job, fx);
                match purpose {
                    Some(Purpose::Hear { item_id }) => self.heard(now, &item_id, Err(why), fx),
                    _ => self.probed(now, Err(why), fx),
                }
            }
        }
    }

    /// What a job that hears has heard in the end.
    pub(crate) fn words_of(&mut self, job: JobId, outcome: Result<Vec<u8>, String>) -> Words {
        let reader = self.hearer.readers.remove(&job);
        let output = outcome?;
        match reader {
            Some(reader) => reader.end(),
            None => self.backends.ears.heard(&output),
        }
    }

    fn tell_piece(&mut self, item_id: String, words: String, fx: &mut PeerEffects) {
        if words.is_empty() || !self.tells_transcripts() {
            return;
        }
        let event = Transcription {
            item_id: item_id.clone(),
            delta: Some(words),
            ..Transcription::default()
        };
        self.hearer.told.insert(item_id);
        self.out.send(&ServerEvent::TranscriptionDelta(event), fx);
    }

    fn tells_transcripts(&self) -> bool {
        // Servers whose transcripts grow send them without being asked.
        let unasked = self.out.dialect.has(Quirk::GrowingTranscripts);
        unasked || self.settings.wants_transcripts()
    }

    /// The words of a turn are known, or will not be.
    pub(crate) fn heard(
        &mut self,
        now: Instant,
        item_id: &str,
        words: Words,
        fx: &mut PeerEffects,
    ) {
        match words {
            Ok(words) => {
                let words = words.unwrap_or_default();
                self.talk.set_transcript(item_id, &words);
                self.tell_transcript(item_id, &words, fx);
            }
            Err(message) if self.settings.wants_transcripts() => {
                self.hearer.told.remove(item_id);
                let event = ServerEvent::TranscriptionFailed(TranscriptionFailed {
                    item_id: item_id.to_owned(),
                    content_index: 0,
                    error: ErrorBody {
                        kind: "server_error".to_owned(),
                        code: Some("transcription_failed".to_owned()),
                        message,
                        ..ErrorBody::default()
                    },
                });
                self.out.send(&event, fx);
            }
            Err(_) => {}
        }
        if !self.jobs.hears() {
            self.answering.transcripts_are_there(now);
        }
    }

    fn tell_transcript(&mut self, item_id: &str, words: &str, fx: &mut PeerEffects) {
        let is_told = self.hearer.told.remove(item_id);
        if !self.tells_transcripts() {
            return;
        }
        let piece = Transcription {
            item_id: item_id.to_owned(),
            ..Transcription::default()
        };
        let deltas = if is_told { "" } else { words };
        for word in deltas.split_inclusive(char::is_whitespace) {
            let delta = Some(word.to_owned());
            let event = Transcription {
                delta,
                ..piece.clone()
            };
            self.out.send(&ServerEvent::TranscriptionDelta(event), fx);
        }
        let seconds = self.talk.recording(item_id).map_or(0, |r| r.ms()) as f64 / 1000.0;
        let event = ServerEvent::TranscriptionCompleted(Transcription {
            transcript: Some(words.to_owned()),
            usage: Some(json!({"type": "duration", "seconds": seconds})),
            ..piece
        });
        self.out.send(&event, fx);
    }

    /// Puts a client's item in its place and listens to the audio it brought.
    pub(crate) fn insert(
        &mut self,
        now: Instant,
        place: &Place,
        mut item: Item,
        fx: &mut PeerEffects,
    ) -> Judged<()> {
        let format = self.settings.input_format();
        let brought = take_audio(&mut item, format)?;
        let item_id = item.id.clone().unwrap_or_default();
        let (recording, clip) = brought.map_or_else(Default::default, |(r, c)| (r, Some(c)));
        let previous = self.talk.insert(place, item.clone(), recording)?;
        let is_understood = !item.text().is_empty();
        self.tell_item(previous, item, fx);
        if let Some(clip) = clip {
            if is_understood {
                self.hearer.add_unanswered(&clip);
            } else {
                self.listen(now, item_id, &clip, fx);
            }
        }
        Ok(())
    }
}

/// Takes the audio out of a user's item: events never repeat it.
fn take_audio(
    item: &mut Item,
    format: talkwire_core::audio::format::Format,
) -> Judged<Option<(Recording, Clip)>> {
    if item.role.as_deref() != Some("user") {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    for (i, part) in item.content.iter_mut().flatten().enumerate() {
        if let Some(base64) = part.audio.take() {
            let param = format!("item.content[{i}].audio");
            let audio = talkwire_core::wire::audio::decode(&base64)
                .map_err(|why| Problem::value(param, format!("Invalid audio: {why}.")))?;
            bytes.extend_from_slice(&audio);
        }
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut samples = Vec::new();
    talkwire_core::audio::codec::decode_into(format, &bytes, &mut samples);
    let clip = Clip {
        rate_hz: format.rate_hz(),
        samples,
    };
    let format = Some(format);
    Ok(Some((Recording { format, bytes }, clip)))
}
