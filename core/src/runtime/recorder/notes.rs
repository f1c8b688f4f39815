//! What stands beside a recording: who said what, where in it, and what went wrong. All times are
//! milliseconds of the recording.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::audio::format::Format;
use crate::engine::history::{Role, Segment};
use crate::engine::io::{Heard, PartId};
use crate::event::local::Local;
use crate::event::{Body, End, Event};
use crate::wire::ServerEvent;

/// Entries of each kind that are kept: more than any conversation has.
const MOST: usize = 4_096;

/// A shift between the audio that was sent and that of the recording, below which it is jitter.
const JITTER_MS: i64 = 40;

/// The notes of one recording.
#[derive(Default)]
pub(super) struct Notes {
    started_unix_ms: u64,
    /// Where the recording begins, on the clock of the session, once it has begun.
    started_ms: Option<u64>,
    links: Vec<Value>,
    barge_ins: Vec<Value>,
    cuts: Vec<Value>,
    gaps: Vec<Value>,
    speech: Speech,
    playout: Playout,
    is_new: bool,
}

/// Where in the sent audio the customer spoke, and where that is in the recording.
#[derive(Default)]
struct Speech {
    sent_ms: u64,
    /// From so many milliseconds of what was sent on, this is added.
    shifts: Vec<(u64, i64)>,
    items: HashMap<String, (Option<u64>, Option<u64>)>,
}

/// When the items of the agent were heard.
#[derive(Default)]
struct Playout {
    parts: HashMap<PartId, (String, u32)>,
    items: HashMap<String, Option<(u64, u64)>>,
}

impl Notes {
    /// The link that is there already, by the server's name of its session.
    pub(super) fn linked(&mut self, session_id: &str) {
        let link = json!({"session_id": session_id, "start_ms": null});
        self.keep(|notes| &mut notes.links, link);
    }

    /// The recording begins at this time of the session.
    pub(super) fn begin(&mut self, session_ms: u64) {
        self.started_ms = Some(session_ms);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let ms = now.map_or(0, |since| since.as_millis());
        self.started_unix_ms = u64::try_from(ms).unwrap_or(u64::MAX);
        self.is_new = true;
    }

    /// Whether there is more than was told.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// So much more of the customer was sent.
    pub(super) fn sent(&mut self, ms: u64) {
        self.speech.sent_ms += ms;
    }

    /// Where in the recording the audio ends of which all was sent.
    pub(super) fn customer_is_at(&mut self, at_ms: u64) {
        let Speech {
            sent_ms, shifts, ..
        } = &mut self.speech;
        let signed = |ms| i64::try_from(ms).unwrap_or(i64::MAX);
        let shift = signed(at_ms) - signed(*sent_ms);
        let is_full = shifts.len() >= MOST;
        match shifts.last_mut() {
            Some((_, last)) if (shift - *last).abs() <= JITTER_MS => {}
            Some((from, last)) if from == sent_ms => *last = shift,
            _ if is_full => {}
            _ => shifts.push((*sent_ms, shift)),
        }
    }

    /// Audio of an item is queued to be heard.
    pub(super) fn plays(&mut self, part: PartId, item_id: Option<&str>, format: Format) {
        let Playout { parts, items } = &mut self.playout;
        if let Some(item_id) = item_id.filter(|_| parts.len() < MOST) {
            let known = parts.entry(part);
            known.or_insert_with(|| (item_id.to_owned(), format.rate_hz()));
            items.entry(item_id.to_owned()).or_insert(None);
        }
    }

    /// More was heard of some parts, the last of it at this time.
    pub(super) fn heard(&mut self, heard: &[Heard], at_ms: u64) {
        let Playout { parts, items } = &mut self.playout;
        for Heard { part, samples } in heard {
            let Some((item_id, rate_hz)) = parts.get(part) else {
                continue;
            };
            let ms = samples * 1000 / u64::from((*rate_hz).max(1));
            if let Some(item) = items.get_mut(item_id).filter(|_| ms > 0) {
                let start = item.map_or(at_ms.saturating_sub(ms), |(start, _)| start);
                *item = Some((start, at_ms));
            }
        }
    }

    /// Samples are missing.
    pub(super) fn gap(&mut self, at_ms: u64, lost_ms: u64, why: &str) {
        let gap = json!({"at_ms": at_ms, "lost_ms": lost_ms, "why": why});
        self.keep(|notes| &mut notes.gaps, gap);
    }

    fn keep(&mut self, which: fn(&mut Self) -> &mut Vec<Value>, what: Value) {
        self.is_new = true;
        let list = which(self);
        if list.len() < MOST {
            list.push(what);
        }
    }

    /// Notes what an event says.
    pub(super) fn seen(&mut self, event: &Event) {
        match event.body() {
            Body::Wire(wire) => self.wire(event.at_ms(), wire),
            Body::Local(local) => self.local(event.at_ms(), local),
        }
    }

    fn wire(&mut self, session_ms: u64, event: &ServerEvent) {
        let items = &mut self.speech.items;
        match event {
            ServerEvent::SessionCreated(e) => {
                let id = e.session.0.get("id").cloned().unwrap_or_default();
                let link = json!({"session_id": id, "start_ms": self.time(session_ms)});
                self.keep(|notes| &mut notes.links, link);
            }
            ServerEvent::SpeechStarted(e) if items.len() < MOST => {
                items.entry(e.item_id.clone()).or_default().0 = e.audio_start_ms;
            }
            ServerEvent::SpeechStopped(e) if items.len() < MOST => {
                items.entry(e.item_id.clone()).or_default().1 = e.audio_end_ms;
            }
            ServerEvent::TranscriptionCompleted(_)
            | ServerEvent::TranscriptionFailed(_)
            | ServerEvent::TextDone(_)
            | ServerEvent::TranscriptDone(_)
            | ServerEvent::ItemDone(_)
            | ServerEvent::ItemDeleted(_) => self.is_new = true,
            _ => {}
        }
    }

    fn local(&mut self, session_ms: u64, event: &Local) {
        let (step, barge_in) = match event {
            Local::Held(e) => ("held", e),
            Local::Resumed(e) => ("resumed", e),
            Local::Confirmed(e) => ("confirmed", e),
            Local::Cut(cut) => {
                let cut = self.at(session_ms, json!(cut));
                return self.keep(|notes| &mut notes.cuts, cut);
            }
            _ => return,
        };
        let mut told = self.at(session_ms, json!(barge_in));
        told["step"] = step.into();
        self.keep(|notes| &mut notes.barge_ins, told);
    }

    fn at(&self, session_ms: u64, fields: Value) -> Value {
        let mut told = Map::new();
        told.insert("at_ms".to_owned(), json!(self.time(session_ms)));
        if let Value::Object(fields) = fields {
            told.extend(fields);
        }
        told.into()
    }

    /// A time of the session; nothing for what was before the recording.
    fn time(&self, session_ms: u64) -> Option<u64> {
        session_ms.checked_sub(self.started_ms?)
    }

    /// Start and end of what was said. Not from where its text came, but from where it sounds.
    fn times(&self, segment: &Segment) -> (Option<u64>, Option<u64>) {
        let id = &segment.item_id;
        let speech = self.speech.items.get(id);
        let told = |ms: Option<u64>| ms.and_then(|ms| self.time(ms));
        match (segment.role, speech, self.playout.items.get(id)) {
            (Role::Customer, Some((start, end)), _) if start.or(*end).is_some() => {
                let place = |ms: Option<u64>| ms.and_then(|ms| self.speech.place(ms));
                (place(*start), place(*end))
            }
            (Role::Agent, _, Some(heard)) => heard.unzip(),
            _ => (told(segment.start_ms), told(segment.end_ms)),
        }
    }

    /// All notes so far.
    pub(super) fn tell(
        &mut self,
        path: &Path,
        rate_hz: u32,
        duration_ms: u64,
        segments: &[Arc<Segment>],
        end: Option<&End>,
    ) -> Value {
        self.is_new = false;
        let segment = |segment: &Arc<Segment>| {
            let mut told = segment.to_json();
            let (start_ms, end_ms) = self.times(segment);
            told["start_ms"] = json!(start_ms);
            told["end_ms"] = json!(end_ms);
            told
        };
        json!({
            "version": 1,
            "audio": path.file_name().map(|name| name.to_string_lossy()),
            "started_unix_ms": self.started_unix_ms,
            "rate_hz": rate_hz,
            "channels": ["customer", "agent"],
            "duration_ms": duration_ms,
            "links": self.links,
            "segments": segments.iter().map(segment).collect::<Vec<_>>(),
            "barge_ins": self.barge_ins,
            "cuts": self.cuts,
            "gaps": self.gaps,
            "end": end.map(End::to_json),
        })
    }
}

impl Speech {
    /// Where in the recording a moment of the sent audio is.
    fn place(&self, sent_ms: u64) -> Option<u64> {
        let before = self.shifts.iter().rev().find(|(from, _)| *from <= sent_ms);
        let (_, shift) = before.or_else(|| self.shifts.first())?;
        Some(sent_ms.saturating_add_signed(*shift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_is_placed_where_it_was_pushed_also_after_a_pause_that_was_not_sent() {
        let mut notes = Notes::default();
        notes.customer_is_at(15);
        for _ in 0..50 {
            notes.sent(20);
        }
        notes.customer_is_at(1_010);
        // The host holds for a minute, of which three seconds are sent as silence.
        notes.sent(3_000);
        for at_ms in (4_010..=61_010).step_by(1_000) {
            notes.customer_is_at(at_ms);
        }
        let place = |ms| notes.speech.place(ms);
        assert_eq!(place(500), Some(515));
        assert_eq!(place(3_999), Some(4_014));
        assert_eq!(place(4_100), Some(61_110));
        assert_eq!(notes.speech.shifts.len(), 2);
    }

    #[test]
    fn an_item_of_the_agent_stands_where_it_was_heard() {
        let mut notes = Notes::default();
        notes.begin(0);
        notes.plays(PartId(1), Some("a"), Format::PCM16_24K);
        notes.plays(PartId(2), Some("b"), Format::PCM16_24K);
        let heard = |samples| {
            [Heard {
                part: PartId(1),
                samples,
            }]
        };
        notes.heard(&heard(480), 2_020);
        notes.heard(&heard(24_000), 3_000);
        let segment = |id: &str| Segment {
            item_id: id.into(),
            role: Role::Agent,
            text: "x".into(),
            start_ms: Some(1),
            end_ms: Some(2),
            is_final: true,
            cut: None,
        };
        assert_eq!(notes.times(&segment("a")), (Some(2_000), Some(3_000)));
        assert_eq!(notes.times(&segment("b")), (None, None), "not heard yet");
        assert_eq!(notes.times(&segment("text")), (Some(1), Some(2)));
    }
}
