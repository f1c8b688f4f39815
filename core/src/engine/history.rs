//! The conversation in its order: who said what, and when.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::dialect::{Dialect, Quirk};
use crate::wire::{Item, ServerEvent};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The caller; `user` on the wire.
    Customer,
    /// The model; `assistant` on the wire.
    Agent,
    /// Instructions among the items.
    System,
}

impl Role {
    /// The name in every transcript of ours.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Agent => "agent",
            Self::System => "system",
        }
    }
}

/// One utterance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The item it belongs to.
    pub item_id: String,
    /// Who said it.
    pub role: Role,
    /// The words, as far as they are known.
    pub text: String,
    /// Start in milliseconds: of session audio for speech, of the session for the rest.
    pub start_ms: Option<u64>,
    /// End, likewise.
    pub end_ms: Option<u64>,
    /// Whether the words will not change.
    pub is_final: bool,
    /// How much of an answer that was cut was heard.
    pub cut: Option<Cut>,
}

/// How much of the sound of an answer was heard before it was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Milliseconds that were heard.
    pub heard_ms: u64,
    /// Milliseconds that were received.
    pub received_ms: u64,
}

impl Segment {
    fn new(item_id: &str, role: Role) -> Self {
        Self {
            item_id: item_id.to_owned(),
            role,
            text: String::new(),
            start_ms: None,
            end_ms: None,
            is_final: false,
            cut: None,
        }
    }

    /// The words that were heard: all of them, or of an answer that was cut about those of the part
    /// of its sound that was.
    pub fn heard(&self) -> Cow<'_, str> {
        match self.cut {
            Some(cut) => Cow::Owned(spoken(&self.text, cut)),
            None => Cow::Borrowed(&self.text),
        }
    }

    /// Its fields under their names; unknown times are null. Of an answer that was cut it has also
    /// `heard`, `heard_ms` and `received_ms`.
    pub fn to_json(&self) -> Value {
        let mut fields = json!({
            "role": self.role.name(), "text": self.text, "start_ms": self.start_ms,
            "end_ms": self.end_ms, "item_id": self.item_id, "is_final": self.is_final,
        });
        if let Some(cut) = self.cut {
            fields["heard"] = json!(self.heard());
            fields["heard_ms"] = json!(cut.heard_ms);
            fields["received_ms"] = json!(cut.received_ms);
        }
        fields
    }
}

/// The conversation.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Shared with whoever looks at them, so only what changes is copied.
    segments: Vec<Arc<Segment>>,
    /// The first of them that changed since somebody asked.
    changed: Option<usize>,
    /// The last transcripts of customer speech as the server told them, by item.
    told: VecDeque<(String, String)>,
}

/// Longer conversations do not fit any context; the oldest entries go.
const MOST: usize = 4_096;

/// A transcript repeats those just before it.
const TOLD: usize = 4;

impl History {
    /// Notes what an event says of the conversation. May shorten a transcript that repeats the one
    /// before it; returns whether it did.
    pub(super) fn seen(&mut self, at_ms: u64, event: &mut ServerEvent, dialect: &Dialect) -> bool {
        match event {
            ServerEvent::SpeechStarted(e) => {
                let segment = self.entry(&e.item_id, Role::Customer, None);
                segment.start_ms = e.audio_start_ms.or(Some(at_ms));
            }
            ServerEvent::SpeechStopped(e) => {
                let segment = self.entry(&e.item_id, Role::Customer, None);
                segment.end_ms = e.audio_end_ms.or(Some(at_ms));
            }
            ServerEvent::ItemAdded(e) | ServerEvent::ItemDone(e) => {
                let previous = e.previous_item_id.clone();
                self.item(&e.item, previous.as_deref(), at_ms);
            }
            ServerEvent::TranscriptionCompleted(e) => {
                let text = e.transcript.clone().unwrap_or_default();
                let heard = Some(self.heard(&e.item_id, text, dialect));
                let mended = heard != e.transcript;
                e.transcript = heard;
                return mended;
            }
            // There are no words to wait for.
            ServerEvent::TranscriptionFailed(e) => {
                self.entry(&e.item_id, Role::Customer, None).is_final = true;
            }
            ServerEvent::TextDelta(e) | ServerEvent::TranscriptDelta(e) => {
                let delta = e.delta.clone().unwrap_or_default();
                let segment = self.entry(&e.item_id, Role::Agent, None);
                segment.start_ms.get_or_insert(at_ms);
                segment.text.push_str(&delta);
            }
            ServerEvent::TextDone(e) => self.said(&e.item_id, e.text.as_deref(), at_ms),
            ServerEvent::TranscriptDone(e) => self.said(&e.item_id, e.transcript.as_deref(), at_ms),
            ServerEvent::ItemDeleted(e) => self.remove(&e.item_id),
            _ => {}
        }
        false
    }

    fn item(&mut self, item: &Item, previous: Option<&str>, at_ms: u64) {
        let role = match (item.kind.as_str(), item.role.as_deref()) {
            ("message", Some("user")) => Role::Customer,
            ("message", Some("assistant")) => Role::Agent,
            ("message", Some("system")) => Role::System,
            _ => return,
        };
        let Some(id) = &item.id else { return };
        let segment = self.entry(id, role, previous);
        segment.start_ms.get_or_insert(at_ms);
        let text = item.text();
        if !text.is_empty() {
            segment.text = text;
            segment.is_final = item.status.as_deref() != Some("in_progress");
        }
    }

    /// The transcript of customer speech, without what it repeats of the item before.
    fn heard(&mut self, item_id: &str, text: String, dialect: &Dialect) -> String {
        let text = if dialect.has(Quirk::GrowingTranscripts) {
            self.told_anew(item_id, text)
        } else {
            text
        };
        let segment = self.entry(item_id, Role::Customer, None);
        segment.text.clone_from(&text);
        segment.is_final = true;
        text
    }

    /// What a transcript says beyond those before it. A server that repeats them repeats what it
    /// told, which itself may have begun with a repetition.
    fn told_anew(&mut self, item_id: &str, text: String) -> String {
        self.told.retain(|(item, _)| item != item_id);
        let earlier = self.told.iter().rev().map(|(_, told)| told.as_str());
        let earlier = earlier.filter(|told| !told.is_empty());
        let mut rests = earlier.map(|told| without_prefix(&text, told));
        let rest = rests.find(|rest| *rest != text);
        if self.told.len() == TOLD {
            self.told.pop_front();
        }
        let rest = rest.unwrap_or_else(|| text.clone());
        self.told.push_back((item_id.to_owned(), text));
        rest
    }

    fn said(&mut self, item_id: &str, text: Option<&str>, at_ms: u64) {
        let segment = self.entry(item_id, Role::Agent, None);
        if let Some(text) = text {
            text.clone_into(&mut segment.text);
        }
        segment.end_ms = Some(at_ms);
        segment.is_final = true;
    }

    fn entry(&mut self, item_id: &str, role: Role, previous: Option<&str>) -> &mut Segment {
        let index = self.place(item_id).unwrap_or_else(|| {
            if self.segments.len() == MOST {
                self.segments.remove(0);
                self.changed = Some(0);
            }
            let after = previous.and_then(|id| self.place(id));
            let index = after.map_or(self.segments.len(), |i| i + 1);
            let segment = Arc::new(Segment::new(item_id, role));
            self.segments.insert(index, segment);
            index
        });
        self.change(index)
    }

    fn place(&self, item_id: &str) -> Option<usize> {
        self.segments.iter().position(|s| s.item_id == item_id)
    }

    fn change(&mut self, index: usize) -> &mut Segment {
        self.changed = Some(self.changed.map_or(index, |first| first.min(index)));
        Arc::make_mut(&mut self.segments[index])
    }

    fn retain(&mut self, is_kept: impl Fn(&Segment) -> bool) {
        let before = self.segments.len();
        self.segments.retain(|segment| is_kept(segment));
        if self.segments.len() < before {
            self.changed = Some(0);
        }
    }

    /// An answer was heard in part.
    pub(super) fn cut(&mut self, item_id: &str, heard_ms: u64, received_ms: u64) {
        if let Some(index) = self.place(item_id) {
            self.change(index).cut = Some(Cut {
                heard_ms,
                received_ms,
            });
        }
    }

    /// These turns will come once more, and so will the one that nobody has ended.
    pub(super) fn forget(&mut self, item_ids: &[String]) {
        self.retain(|segment| {
            let is_open = !segment.is_final && segment.role == Role::Customer;
            let is_meant = is_open || item_ids.contains(&segment.item_id);
            !(is_meant && segment.text.is_empty())
        });
    }

    /// An item is no part of the conversation any more.
    pub(super) fn remove(&mut self, item_id: &str) {
        self.retain(|segment| segment.item_id != item_id);
    }

    /// The conversation as it was heard: of an answer that was cut, about the words of that part.
    pub(super) fn as_heard(&self) -> Vec<Segment> {
        let heard = |segment: &Arc<Segment>| Segment {
            text: segment.heard().into_owned(),
            ..Segment::clone(segment)
        };
        self.segments.iter().map(heard).collect()
    }

    /// What changed since this was asked last: the segments from this one on.
    pub(super) fn take_changed(&mut self) -> Option<usize> {
        self.changed.take()
    }

    pub(super) fn last_id(&self) -> Option<&str> {
        self.segments.last().map(|segment| segment.item_id.as_str())
    }

    pub(super) fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    pub(super) fn check(&self) {
        let mut ids: Vec<_> = self.segments.iter().map(|s| &s.item_id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), self.segments.len(), "I6: an item has one place");
    }
}

/// The words of a text that fit into the part of its sound that was heard.
fn spoken(text: &str, cut: Cut) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let letters = text.chars().count() as u64;
    let heard = letters * cut.heard_ms / cut.received_ms.max(1);
    let mut so_far = 0;
    let fits = |word: &&&str| {
        so_far += word.chars().count() as u64 + 1;
        so_far <= heard + 1
    };
    let kept: Vec<&str> = words.iter().take_while(fits).copied().collect();
    kept.join(" ")
}

/// Cuts `before` off only where it is repeated whole and something follows.
fn without_prefix(text: &str, before: &str) -> String {
    match text.strip_prefix(before) {
        Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim_start().to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(item_id: &str, transcript: &str) -> ServerEvent {
        let fields = json!({"item_id": item_id, "transcript": transcript});
        let name = "conversation.item.input_audio_transcription.completed";
        ServerEvent::from_fields(name, serde_json::from_value(fields).expect("a map"))
    }

    fn texts(history: &History) -> Vec<&str> {
        history.segments().iter().map(|s| s.text.as_str()).collect()
    }

    #[test]
    fn a_growing_transcript_keeps_one_line_with_the_last_text() {
        let dialect = Dialect::named("yandex").expect("built in");
        let mut history = History::default();
        for text in ["a", "a b", "a b c"] {
            history.seen(0, &mut completed("u", text), &dialect);
        }
        assert_eq!(texts(&history), ["a b c"]);
        history.check();
    }

    #[test]
    fn a_cumulative_transcript_loses_its_prefix_only_where_all_of_it_matches() {
        let dialect = Dialect::named("yandex").expect("built in");
        let mut history = History::default();
        for (item, text) in [
            ("u1", "one two"),
            ("u2", "one two three"),
            ("u3", "threefold"),
        ] {
            history.seen(0, &mut completed(item, text), &dialect);
        }
        assert_eq!(texts(&history), ["one two", "three", "threefold"]);
        let mut chain = History::default();
        for (item, text) in [("u1", "one"), ("u2", "one two"), ("u3", "one two three")] {
            chain.seen(0, &mut completed(item, text), &dialect);
        }
        assert_eq!(texts(&chain), ["one", "two", "three"]);
        let plain = Dialect::named("openai").expect("built in");
        history.seen(0, &mut completed("u4", "threefold more"), &plain);
        assert_eq!(texts(&history)[3], "threefold more");
    }

    #[test]
    fn an_answer_that_was_cut_keeps_its_words_and_tells_those_that_were_heard() {
        let mut history = History::default();
        history.said("a", Some("one two three four"), 900);
        history.cut("a", 500, 1_000);
        history.cut("unknown", 1, 2);
        let segment = &history.segments()[0];
        assert_eq!(
            (segment.text.as_str(), &*segment.heard()),
            ("one two three four", "one two")
        );
        assert_eq!(segment.to_json()["heard_ms"], 500);
        assert_eq!(history.as_heard()[0].text, "one two");
    }

    #[test]
    fn what_changed_is_told_once_from_its_first_place_on() {
        let mut history = History::default();
        for item in ["a", "b", "c"] {
            history.said(item, Some(item), 0);
        }
        let seen = history.segments().to_vec();
        assert_eq!(
            (history.take_changed(), history.take_changed()),
            (Some(0), None)
        );
        history.said("c", Some("more"), 1);
        history.said("b", Some("more"), 1);
        assert_eq!(history.take_changed(), Some(1));
        assert_eq!(seen[1].text, "b", "who looked has what was there then");
        history.remove("nobody");
        assert_eq!(history.take_changed(), None);
        history.remove("c");
        assert_eq!(history.take_changed(), Some(0));
    }

    #[test]
    fn items_stand_in_conversational_order_however_they_come() {
        let dialect = Dialect::named("openai").expect("built in");
        let mut history = History::default();
        let added = |id: &str, previous: Option<&str>| {
            let fields = json!({"previous_item_id": previous, "item": {"id": id, "type": "message",
                "role": "user", "content": [{"type": "input_text", "text": id}]}});
            ServerEvent::from_fields(
                "conversation.item.added",
                serde_json::from_value(fields).expect("a map"),
            )
        };
        for (id, previous) in [("a", None), ("c", Some("a")), ("b", Some("a"))] {
            history.seen(0, &mut added(id, previous), &dialect);
        }
        assert_eq!(texts(&history), ["a", "b", "c"]);
    }
}
