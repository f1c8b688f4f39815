//! The ledger of the agent's audio: what was received of each part, what is queued, what was heard.
//!
//! ```text
//! part:  Opened -> Sounding -> Complete        (received to the end; what is left is being heard)
//!             \        \          \
//!              +--------+----------+--> gone   (heard to the end, cut, or its item is deleted)
//! ```

use super::io::{Heard, PartId};
use crate::audio::format::Format;
use crate::event::local::Cut;
use crate::wire::ServerEvent;
use crate::wire::server::{AudioDelta, ContentPart, OutputItem};

/// How far the audio of a part has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The item is there, no audio yet.
    Opened,
    /// Audio comes.
    Sounding,
    /// All of it came.
    Complete,
}

/// One part of an item's audio.
#[derive(Debug)]
struct Part {
    /// 0 until it sounds.
    id: PartId,
    response_id: String,
    item_id: String,
    content_index: u32,
    progress: Progress,
    rate_hz: u32,
    received_samples: u64,
    heard_samples: u64,
}

/// Who knows what the listener heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Listener {
    /// Nobody: the application plays by itself and tells nothing.
    #[default]
    Unknown,
    /// A media port counts the samples that were pulled.
    Port,
    /// The host owns the queue and tells by marks.
    Host,
}

/// The audio of the session that is not yet heard to its end.
#[derive(Debug, Default)]
pub(super) struct Playout {
    listener: Listener,
    parts: Vec<Part>,
    begun: u64,
    heard_ms: u64,
}

/// A response has few parts, and they go when they are heard; more means that nobody listens.
const MOST: usize = 256;

impl Part {
    fn ms(&self, samples: u64) -> u64 {
        samples * 1_000 / u64::from(self.rate_hz.max(1))
    }

    fn is_heard(&self) -> bool {
        self.progress == Progress::Complete && self.heard_samples >= self.received_samples
    }

    fn is_of(&self, item_id: &str, content_index: u32) -> bool {
        self.item_id == item_id && self.content_index == content_index
    }

    /// The audio that was not heard; truncation cuts at whole milliseconds that were.
    fn cut(&self) -> Cut {
        let heard_ms = self.ms(self.heard_samples);
        Cut {
            response_id: self.response_id.clone(),
            item_id: self.item_id.clone(),
            content_index: self.content_index,
            received_ms: self.ms(self.received_samples),
            heard_ms,
            truncated_ms: (heard_ms > 0).then_some(heard_ms),
        }
    }
}

impl Playout {
    /// Says who tells what was heard.
    pub(super) fn listen(&mut self, listener: Listener) {
        if listener == Listener::Unknown {
            self.parts.clear();
        }
        self.listener = listener;
    }

    pub(super) fn listener(&self) -> Listener {
        self.listener
    }

    /// Notes what an event says of an item other than its audio.
    pub(super) fn seen(&mut self, event: &ServerEvent) {
        if self.listener == Listener::Unknown {
            return;
        }
        match event {
            ServerEvent::OutputItemAdded(e) => self.item(e),
            ServerEvent::PartAdded(e) => self.part(e),
            ServerEvent::ItemDeleted(e) => self.parts.retain(|part| part.item_id != e.item_id),
            ServerEvent::ResponseDone(e) => {
                let id = e.response.id.as_deref().unwrap_or_default();
                self.close(|part| part.response_id == id);
                // One that was cancelled may leave an item behind of which nobody heard anything.
                if e.response.status.as_deref() != Some("cancelled") {
                    self.parts
                        .retain(|part| part.response_id != id || part.progress != Progress::Opened);
                }
            }
            _ => {}
        }
    }

    fn item(&mut self, event: &OutputItem) {
        let is_spoken =
            event.item.kind == "message" && event.item.role.as_deref() == Some("assistant");
        if let Some(item_id) = event.item.id.as_deref().filter(|_| is_spoken) {
            self.entry(&event.response_id, item_id, 0);
        }
    }

    /// A part of text is never heard.
    fn part(&mut self, event: &ContentPart) {
        if !event.part.kind.ends_with("audio") {
            let (id, index) = (event.item_id.as_str(), event.content_index);
            self.parts
                .retain(|part| !part.is_of(id, index) || part.progress != Progress::Opened);
        }
    }

    pub(super) fn item_of(&self, part: PartId) -> Option<&str> {
        let found = self.parts.iter().find(|known| known.id == part);
        found.map(|known| known.item_id.as_str())
    }

    /// Notes audio; returns the part it belongs to, if it is to be played by a port.
    pub(super) fn received(&mut self, delta: &AudioDelta, format: Format) -> Option<PartId> {
        if self.listener == Listener::Unknown || delta.audio.is_empty() {
            return None;
        }
        let samples = (delta.audio.len() / format.sample_bytes()) as u64;
        let next = PartId(self.begun + 1);
        let part = self.entry(&delta.response_id, &delta.item_id, delta.content_index);
        if part.progress == Progress::Complete {
            return None;
        }
        if part.progress == Progress::Opened {
            part.id = next;
        }
        part.progress = Progress::Sounding;
        part.rate_hz = format.rate_hz();
        part.received_samples += samples;
        let id = part.id;
        self.begun = self.begun.max(id.0);
        (self.listener == Listener::Port).then_some(id)
    }

    /// The audio of a part is complete; returns the part if a port plays it.
    pub(super) fn ended(&mut self, item_id: &str, content_index: u32) -> Option<PartId> {
        let part = self
            .parts
            .iter()
            .find(|part| part.is_of(item_id, content_index))
            .filter(|part| part.progress != Progress::Opened)?
            .id;
        self.close(|p| p.id == part);
        (self.listener == Listener::Port).then_some(part)
    }

    /// Nothing more comes of the parts that sound; those that were heard are gone.
    fn close(&mut self, is_meant: impl Fn(&Part) -> bool) {
        for part in &mut self.parts {
            if part.progress == Progress::Sounding && is_meant(part) {
                part.progress = Progress::Complete;
            }
        }
        self.parts.retain(|part| !part.is_heard());
    }

    /// The link is gone: nothing more comes. Returns the parts that a port plays to their end.
    pub(super) fn end_all(&mut self) -> Vec<PartId> {
        let sounding = |part: &&Part| part.progress == Progress::Sounding;
        let ended = self.parts.iter().filter(sounding).map(|p| p.id).collect();
        self.close(|_| true);
        self.parts.retain(|part| part.progress != Progress::Opened);
        match self.listener {
            Listener::Port => ended,
            Listener::Host | Listener::Unknown => Vec::new(),
        }
    }

    /// Notes what a port let be heard; returns the response of the first sound of a part.
    pub(super) fn heard(&mut self, heard: &[Heard]) -> Option<String> {
        let mut first = None;
        for told in heard {
            let Some(part) = self.parts.iter_mut().find(|part| part.id == told.part) else {
                continue;
            };
            let samples = told.samples.min(part.received_samples);
            if samples <= part.heard_samples {
                continue;
            }
            if part.heard_samples == 0 {
                first.get_or_insert_with(|| part.response_id.clone());
            }
            let before_ms = part.ms(part.heard_samples);
            part.heard_samples = samples;
            self.heard_ms += part.ms(samples) - before_ms;
        }
        self.parts.retain(|part| !part.is_heard());
        first
    }

    /// Notes what the host says was heard, in milliseconds; returns what [`Playout::heard`] does.
    pub(super) fn marked(&mut self, item_id: &str, content_index: u32, ms: u64) -> Option<String> {
        let part = self
            .parts
            .iter()
            .find(|part| part.is_of(item_id, content_index))?;
        let heard = Heard {
            part: part.id,
            samples: ms.saturating_mul(u64::from(part.rate_hz)) / 1_000,
        };
        self.heard(&[heard])
    }

    /// Whether audio waits to be heard or is on its way.
    pub(super) fn is_sounding(&self) -> bool {
        self.parts
            .iter()
            .any(|part| part.heard_samples < part.received_samples)
    }

    /// All audio that was heard in this session.
    pub(super) fn heard_ms(&self) -> u64 {
        self.heard_ms
    }

    /// Takes out everything that was not heard: what is to be truncated, or deleted where nothing
    /// of it was. Items without any audio are told only where `is_over` says so of their response.
    pub(super) fn cut(&mut self, is_over: impl Fn(&str) -> bool) -> Vec<Cut> {
        let is_cut =
            |part: &mut Part| part.progress != Progress::Opened || is_over(&part.response_id);
        self.parts
            .extract_if(.., is_cut)
            .filter(|part| !part.is_heard())
            .map(|part| part.cut())
            .collect()
    }

    fn entry(&mut self, response_id: &str, item_id: &str, content_index: u32) -> &mut Part {
        let known = self
            .parts
            .iter()
            .position(|part| part.is_of(item_id, content_index));
        if let Some(index) = known {
            return &mut self.parts[index];
        }
        if self.parts.len() == MOST {
            self.parts.remove(0);
        }
        self.parts.push(Part {
            id: PartId(0),
            response_id: response_id.to_owned(),
            item_id: item_id.to_owned(),
            content_index,
            progress: Progress::Opened,
            rate_hz: 0,
            received_samples: 0,
            heard_samples: 0,
        });
        let last = self.parts.len() - 1;
        &mut self.parts[last]
    }

    pub(super) fn check(&self) {
        for part in &self.parts {
            assert!(
                part.heard_samples <= part.received_samples,
                "I9: heard audio never exceeds received audio"
            );
            assert!(
                part.progress != Progress::Opened || part.received_samples == 0,
                "I9: a part with audio is counted as such"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn event(name: &str, fields: serde_json::Value) -> ServerEvent {
        ServerEvent::from_fields(name, serde_json::from_value(fields).expect("a map"))
    }

    fn opened(item_id: &str) -> ServerEvent {
        let item = json!({"id": item_id, "type": "message", "role": "assistant"});
        event(
            "response.output_item.added",
            json!({"response_id": "r", "item": item}),
        )
    }

    fn audio(item_id: &str, ms: usize) -> AudioDelta {
        AudioDelta {
            response_id: "r".to_owned(),
            item_id: item_id.to_owned(),
            audio: Bytes::from(vec![0; 48 * ms]),
            ..AudioDelta::default()
        }
    }

    /// A ledger that has received so many milliseconds of each item.
    fn playing(items: &[(&str, usize)]) -> Playout {
        let mut playout = Playout::default();
        playout.listen(Listener::Port);
        for (item_id, ms) in items {
            playout.seen(&opened(item_id));
            playout.received(&audio(item_id, *ms), Format::PCM16_24K);
        }
        playout
    }

    fn heard(playout: &mut Playout, part: u64, samples: u64) -> Option<String> {
        let part = PartId(part);
        let first = playout.heard(&[Heard { part, samples }]);
        playout.check();
        first
    }

    #[test]
    fn a_cut_names_the_whole_milliseconds_that_were_heard_and_no_more_than_came() {
        for (samples, heard_ms, truncated_ms) in [
            (0, 0, None),
            (23, 0, None),
            (24, 1, Some(1)),
            (7_223, 300, Some(300)),
            (99_999, 1_000, Some(1_000)),
        ] {
            let mut playout = playing(&[("i", 1_000)]);
            heard(&mut playout, 1, samples);
            let cuts = playout.cut(|_| false);
            assert_eq!(cuts.len(), 1);
            let cut = &cuts[0];
            assert_eq!(
                (cut.received_ms, cut.heard_ms, cut.truncated_ms),
                (1_000, heard_ms, truncated_ms)
            );
            assert!(!playout.is_sounding());
        }
    }

    #[test]
    fn what_was_heard_to_its_end_is_not_cut_and_what_comes_after_it_is() {
        let mut playout = playing(&[("a", 100), ("b", 100)]);
        playout.ended("a", 0);
        heard(&mut playout, 1, 2_400);
        let cuts = playout.cut(|_| false);
        assert_eq!(cuts.len(), 1);
        assert_eq!(
            (cuts[0].item_id.as_str(), cuts[0].truncated_ms),
            ("b", None)
        );
    }

    #[test]
    fn an_item_without_audio_is_cut_only_with_its_response() {
        let mut playout = playing(&[]);
        playout.seen(&opened("i"));
        assert!(playout.cut(|_| false).is_empty());
        let cuts = playout.cut(|response| response == "r");
        assert_eq!(cuts[0].truncated_ms, None);
    }

    #[test]
    fn text_is_never_cut() {
        let mut playout = playing(&[]);
        playout.seen(&opened("i"));
        let part = json!({"response_id": "r", "item_id": "i", "part": {"type": "output_text"}});
        playout.seen(&event("response.content_part.added", part));
        assert!(playout.cut(|_| true).is_empty());
    }

    #[test]
    fn the_first_sound_of_a_part_is_told_once() {
        let mut playout = playing(&[("i", 100)]);
        assert_eq!(heard(&mut playout, 1, 10).as_deref(), Some("r"));
        assert_eq!(heard(&mut playout, 1, 20), None);
        assert_eq!(heard(&mut playout, 1, 15), None, "it never goes back");
        assert_eq!(heard(&mut playout, 7, 15), None, "nobody knows that part");
    }

    #[test]
    fn a_host_that_owns_the_queue_tells_by_marks() {
        let mut playout = playing(&[("i", 1_000)]);
        playout.listen(Listener::Host);
        assert_eq!(playout.marked("i", 0, 250).as_deref(), Some("r"));
        assert_eq!(playout.heard_ms(), 250);
        assert_eq!(playout.cut(|_| false)[0].truncated_ms, Some(250));
    }

    #[test]
    fn without_a_listener_nothing_is_kept() {
        let mut playout = Playout::default();
        playout.seen(&opened("i"));
        assert_eq!(playout.received(&audio("i", 100), Format::PCM16_24K), None);
        assert!(playout.cut(|_| true).is_empty());
    }
}
