//! The default conversation: items in order, their audio, and the checks of what clients put in.

use serde_json::Value;
use talkwire_core::audio::format::Format;
use talkwire_core::wire::{Item, Map, Part};

use crate::error::{Judged, Problem};
use crate::usage::Tokens;

/// Most items of a conversation.
const MAX_ITEMS: usize = 10_000;
/// Most audio kept for `conversation.item.retrieve`, in bytes; the oldest goes first.
const MAX_AUDIO_BYTES: usize = 64 << 20;
/// Most text of clients' items, in bytes.
const MAX_TEXT_BYTES: usize = 64 << 20;

/// Audio of an item, as the wire carries it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Recording {
    pub(crate) format: Option<Format>,
    pub(crate) bytes: Vec<u8>,
}

impl Recording {
    /// Whole milliseconds.
    pub(crate) fn ms(&self) -> u64 {
        let bytes = self.bytes.len() as u64;
        self.format.map_or(0, |format| format.ms_of_bytes(bytes))
    }
}

#[derive(Clone, Debug)]
struct Entry {
    item: Item,
    recording: Recording,
    /// Left out of what the model reads.
    is_forgotten: bool,
}

impl Entry {
    const fn new(item: Item, recording: Recording) -> Self {
        Self {
            item,
            recording,
            is_forgotten: false,
        }
    }

    /// What the model reads of it: the sound of a caller, not its transcript.
    fn tokens(&self) -> Tokens {
        let ms = self.recording.ms();
        let is_heard = ms > 0 && self.item.role.as_deref() == Some("user");
        let text = if is_heard {
            0
        } else {
            Tokens::of_items(std::iter::once(&self.item))
        };
        let audio = Tokens::of_audio_ms(ms);
        Tokens { text, audio }
    }
}

/// Items in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conversation {
    entries: Vec<Entry>,
    audio_bytes: usize,
    /// Text that clients put in.
    text_bytes: usize,
}

/// Where a client wants an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the end.
    End,
    /// Before all others.
    Start,
    /// After an item.
    After(String),
}

impl Place {
    /// Reads `previous_item_id`.
    pub(crate) fn read(fields: &Map) -> Judged<Self> {
        match fields.get("previous_item_id") {
            None | Some(Value::Null) => Ok(Self::End),
            Some(Value::String(id)) if id == "root" => Ok(Self::Start),
            Some(Value::String(id)) => Ok(Self::After(id.clone())),
            Some(_) => Err(Problem::kind("previous_item_id", "a string")),
        }
    }
}

impl Conversation {
    /// The last item's id.
    pub(crate) fn last_id(&self) -> Option<String> {
        self.entries.last()?.item.id.clone()
    }

    /// All items in order.
    pub(crate) fn items(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.entries.iter().map(|entry| &entry.item)
    }

    /// The item of that id.
    pub(crate) fn find(&self, id: &str) -> Option<&Item> {
        self.entry(id).map(|entry| &entry.item)
    }

    /// The audio of the item of that id.
    pub(crate) fn recording(&self, id: &str) -> Option<&Recording> {
        self.entry(id).map(|entry| &entry.recording)
    }

    /// Puts an item in its place and returns the id of the one before it.
    pub(crate) fn insert(
        &mut self,
        place: &Place,
        item: Item,
        recording: Recording,
    ) -> Judged<Option<String>> {
        if self.entries.len() >= MAX_ITEMS {
            let message = format!("A conversation holds at most {MAX_ITEMS} items.");
            return Err(Problem::value("item", message));
        }
        let at = match place {
            Place::End => self.entries.len(),
            Place::Start => 0,
            Place::After(id) => 1 + self.position(id).ok_or_else(|| unknown_previous(id))?,
        };
        let text_bytes = bytes_of(&item);
        if self.text_bytes + text_bytes > MAX_TEXT_BYTES {
            let message = format!("A conversation holds at most {MAX_TEXT_BYTES} bytes of text.");
            return Err(Problem::value("item", message));
        }
        self.text_bytes += text_bytes;
        self.audio_bytes += recording.bytes.len();
        self.entries.insert(at, Entry::new(item, recording));
        self.forget_old_audio();
        let before = at.checked_sub(1).map(|i| &self.entries[i].item);
        Ok(before.and_then(|item| item.id.clone()))
    }

    /// Puts an item at the end, whatever the bound says: the server's own items are bounded by
    /// what the client asked for.
    pub(crate) fn push(&mut self, item: Item, recording: Recording) -> Option<String> {
        let before = self.last_id();
        self.audio_bytes += recording.bytes.len();
        self.entries.push(Entry::new(item, recording));
        self.forget_old_audio();
        before
    }

    /// Replaces an item by a later state of itself.
    pub(crate) fn replace(&mut self, item: &Item) {
        let id = item.id.as_deref().unwrap_or_default();
        if let Some(entry) = self.entry_mut(id) {
            entry.item = item.clone();
        }
    }

    /// Adds the transcript of a user's audio.
    pub(crate) fn set_transcript(&mut self, id: &str, transcript: &str) {
        let part = self
            .entry_mut(id)
            .and_then(|entry| entry.item.content.as_mut()?.first_mut());
        if let Some(part) = part {
            part.extra.remove("transcript");
            part.transcript = Some(transcript.to_owned());
        }
    }

    /// Adds audio that was sent for an item.
    pub(crate) fn record(&mut self, id: &str, format: Format, bytes: &[u8]) {
        if let Some(entry) = self.entry_mut(id) {
            entry.recording.format = Some(format);
            entry.recording.bytes.extend_from_slice(bytes);
            self.audio_bytes += bytes.len();
            self.forget_old_audio();
        }
    }

    /// Removes an item.
    pub(crate) fn remove(&mut self, id: &str) -> Judged<()> {
        let at = self.position(id).ok_or_else(|| {
            let message = format!("Item '{id}' does not exist.");
            Problem::new("item_delete_invalid_item_id", message).at("item_id")
        })?;
        let entry = self.entries.remove(at);
        self.audio_bytes -= entry.recording.bytes.len();
        // Items of the server's own were never counted.
        self.text_bytes = self.text_bytes.saturating_sub(bytes_of(&entry.item));
        Ok(())
    }

    /// An item as `conversation.item.retrieve` answers it: with its audio.
    pub(crate) fn retrieve(&self, id: &str) -> Judged<Item> {
        let entry = self.entry(id).ok_or_else(|| {
            let message = format!("Item '{id}' does not exist.");
            Problem::new("item_retrieve_invalid_item_id", message).at("item_id")
        })?;
        let mut item = entry.item.clone();
        let spoken = item
            .content
            .iter_mut()
            .flatten()
            .find(|part| part.kind.ends_with("audio"));
        if let Some(part) = spoken.filter(|_| !entry.recording.bytes.is_empty()) {
            part.audio = Some(talkwire_core::wire::audio::encode(&entry.recording.bytes));
        }
        Ok(item)
    }

    /// Cuts an agent's audio after `end_ms` and its transcript with it.
    pub(crate) fn truncate(&mut self, id: &str, content_index: u64, end_ms: u64) -> Judged<()> {
        let at = self.position(id).ok_or_else(|| {
            let message = format!("Item '{id}' does not exist.");
            Problem::new("item_truncate_invalid_item_id", message).at("item_id")
        })?;
        let entry = &mut self.entries[at];
        let had_ms = entry.recording.ms();
        if entry.item.role.as_deref() != Some("assistant") || had_ms == 0 || end_ms == 0 {
            let message = "Only model output audio messages can be truncated";
            return Err(Problem::new("unsupported_content_type", message));
        }
        let parts = entry.item.content.as_deref().map_or(0, <[Part]>::len) as u64;
        if content_index >= parts.max(1) {
            let message = format!("Item '{id}' has no part {content_index}.");
            return Err(Problem::value("content_index", message));
        }
        if end_ms > had_ms {
            let message = format!("Audio content of {had_ms}ms is already shorter than {end_ms}ms");
            return Err(Problem::value("audio_end_ms", message));
        }
        let format = entry.recording.format.expect("audio has a format");
        let keep = format.bytes_of_ms(end_ms) as usize;
        self.audio_bytes -= entry.recording.bytes.len() - keep;
        entry.recording.bytes.truncate(keep);
        for part in entry.item.content.iter_mut().flatten() {
            if let Some(text) = &mut part.transcript {
                let keep = text.chars().count() as u64 * end_ms / had_ms;
                *text = text.chars().take(keep as usize).collect();
            }
        }
        Ok(())
    }

    /// The items that the model reads.
    pub(crate) fn context(&self) -> impl Iterator<Item = &Item> {
        self.remembered().map(|entry| &entry.item)
    }

    /// What it reads, in all.
    pub(crate) fn context_tokens(&self) -> Tokens {
        let sizes = self.remembered().map(Entry::tokens);
        sizes.fold(Tokens::default(), |all, tokens| all + tokens)
    }

    /// What it reads, by item.
    pub(crate) fn context_sizes(&self) -> Vec<(String, Tokens)> {
        let size = |entry: &Entry| (entry.item.id.clone().unwrap_or_default(), entry.tokens());
        self.remembered().map(size).collect()
    }

    /// Leaves out the oldest items until the rest has `most` tokens; the last one always stays. An
    /// output whose call is left out goes with it.
    pub(crate) fn forget_oldest(&mut self, most: u64) {
        let mut left = self.context_tokens().all();
        let last = self.entries.len().saturating_sub(1);
        let mut calls = Vec::new();
        for entry in &mut self.entries[..last] {
            let item = &entry.item;
            let is_orphan = item.kind == "function_call_output" && calls.contains(&item.call_id);
            if entry.is_forgotten || (left <= most && !is_orphan) {
                continue;
            }
            entry.is_forgotten = true;
            left -= entry.tokens().all();
            if item.kind == "function_call" {
                calls.push(item.call_id.clone());
            }
        }
    }

    fn remembered(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.is_forgotten)
    }

    fn position(&self, id: &str) -> Option<usize> {
        // From the end: clients mostly speak of recent items.
        self.entries
            .iter()
            .rposition(|entry| entry.item.id.as_deref() == Some(id))
    }

    fn entry(&self, id: &str) -> Option<&Entry> {
        self.position(id).map(|at| &self.entries[at])
    }

    fn entry_mut(&mut self, id: &str) -> Option<&mut Entry> {
        self.position(id).map(|at| &mut self.entries[at])
    }

    fn forget_old_audio(&mut self) {
        for entry in &mut self.entries {
            if self.audio_bytes <= MAX_AUDIO_BYTES {
                return;
            }
            self.audio_bytes -= entry.recording.bytes.len();
            entry.recording.bytes = Vec::new();
        }
    }
}

fn bytes_of(item: &Item) -> usize {
    let fields = [&item.name, &item.arguments, &item.output];
    let fields: usize = fields.into_iter().flatten().map(String::len).sum();
    fields + item.text().len()
}

fn unknown_previous(id: &str) -> Problem {
    let message = format!("Item '{id}' does not exist.");
    Problem::value("previous_item_id", message)
}

/// A part of speech that has no transcript yet, which servers say rather than leave out.
pub(crate) fn unread(mut part: Part) -> Part {
    if part.kind == "input_audio" && part.transcript.is_none() {
        part.extra.insert("transcript".to_owned(), Value::Null);
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(talk: &mut Conversation, place: &Place, id: &str) -> Judged<Option<String>> {
        let item = Item {
            id: Some(id.to_owned()),
            ..Item::user_text(id)
        };
        talk.insert(place, item, Recording::default())
    }

    fn ids(talk: &Conversation) -> Vec<&str> {
        talk.items().filter_map(|item| item.id.as_deref()).collect()
    }

    fn spoken(ms: u64) -> Conversation {
        let mut talk = Conversation::default();
        let item = Item {
            id: Some("a".to_owned()),
            role: Some("assistant".to_owned()),
            content: Some(vec![Part {
                kind: "output_audio".to_owned(),
                transcript: Some("0123456789".to_owned()),
                ..Part::default()
            }]),
            ..Item::default()
        };
        talk.push(item, Recording::default());
        let bytes = vec![0; Format::PCM16_24K.bytes_of_ms(ms) as usize];
        talk.record("a", Format::PCM16_24K, &bytes);
        talk
    }

    #[test]
    fn items_go_where_previous_item_id_says() {
        let mut talk = Conversation::default();
        assert_eq!(put(&mut talk, &Place::End, "b"), Ok(None));
        assert_eq!(put(&mut talk, &Place::Start, "a"), Ok(None));
        assert_eq!(
            put(&mut talk, &Place::After("a".into()), "ab"),
            Ok(Some("a".to_owned()))
        );
        assert_eq!(put(&mut talk, &Place::End, "c"), Ok(Some("b".to_owned())));
        assert_eq!(ids(&talk), ["a", "ab", "b", "c"]);
        let problem = put(&mut talk, &Place::After("nope".into()), "d").expect_err("unknown");
        assert_eq!(problem.param(), Some("previous_item_id"));
    }

    #[test]
    fn truncation_cuts_audio_and_transcript_and_refuses_more_than_there_is() {
        let mut talk = spoken(1000);
        talk.truncate("a", 0, 500).expect("cuts");
        assert_eq!(talk.recording("a").expect("there").ms(), 500);
        assert_eq!(talk.find("a").expect("there").text(), "01234");
        let long = talk.truncate("a", 0, 501).expect_err("too long");
        assert!(format!("{long:?}").contains("already shorter than"));
        assert_eq!(
            talk.truncate("a", 0, 0).expect_err("zero").code(),
            "unsupported_content_type"
        );
        assert_eq!(
            talk.truncate("a", 7, 1).expect_err("part").param(),
            Some("content_index")
        );
        assert_eq!(
            talk.truncate("x", 0, 1).expect_err("unknown").code(),
            "item_truncate_invalid_item_id"
        );
    }

    #[test]
    fn retrieving_brings_the_audio_and_a_deleted_item_is_gone() {
        let mut talk = spoken(10);
        let item = talk.retrieve("a").expect("there");
        assert!(item.content.expect("parts")[0].audio.is_some());
        talk.remove("a").expect("there");
        assert_eq!(
            talk.retrieve("a").expect_err("gone").code(),
            "item_retrieve_invalid_item_id"
        );
        assert_eq!(talk.audio_bytes, 0);
    }

    #[test]
    fn the_oldest_audio_is_forgotten_beyond_the_bound() {
        let mut talk = spoken(0);
        put(&mut talk, &Place::End, "b").expect("fits");
        talk.record("a", Format::PCM16_24K, &vec![0; MAX_AUDIO_BYTES]);
        talk.record("b", Format::PCM16_24K, &[0; 2]);
        assert_eq!(talk.recording("a").expect("there").bytes.len(), 0);
        assert_eq!(talk.recording("b").expect("there").bytes.len(), 2);
    }
}
