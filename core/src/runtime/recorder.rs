//! The recording of a session as its task sees it: it looks at the port, notes what happens and
//! hands blocks to whoever writes.

mod notes;
mod sink;

use std::sync::Arc;
use std::time::{Duration, Instant};

use notes::Notes;
use sink::Block;
pub(crate) use sink::Sink;

use crate::audio::format::Format;
use crate::audio::port::Port;
use crate::audio::stereo::Stereo;
use crate::engine::history::Segment;
use crate::engine::io::{Input, PartId};
use crate::event::{End, Event};

/// What is written at once, in ms: few writes, and little is lost with the process.
const BLOCK_MS: u64 = 200;

/// How often the notes are written anew at most.
const NOTES: Duration = Duration::from_secs(1);

/// A recording that runs. Begins with the first port.
pub(super) struct Recording {
    sink: Arc<Sink>,
    stereo: Option<Stereo>,
    notes: Notes,
    /// Samples that do not make a block yet.
    gathered: Vec<i16>,
    /// Frames that the disk was too slow for.
    missed: u64,
    noted: Option<Instant>,
    is_over: bool,
}

impl Recording {
    /// `session_id` is the server's, if there is a link already.
    pub(super) fn new(sink: Arc<Sink>, session_id: Option<&str>) -> Self {
        let mut notes = Notes::default();
        if let Some(id) = session_id {
            notes.linked(id);
        }
        Self {
            sink,
            stereo: None,
            notes,
            gathered: Vec::new(),
            missed: 0,
            noted: None,
            is_over: false,
        }
    }

    pub(super) fn is_of(&self, sink: &Arc<Sink>) -> bool {
        Arc::ptr_eq(&self.sink, sink)
    }

    /// A port that is attached from now on. `session_ms` is the time of the session.
    pub(super) fn attach(&mut self, now: Instant, session_ms: u64, port: &Port) {
        let stereo = match &mut self.stereo {
            Some(stereo) => stereo,
            none => {
                self.notes.begin(session_ms);
                none.insert(Stereo::new(self.sink.rate_hz(), now))
            }
        };
        let silence = stereo.attach(now, port.options());
        if silence > 0 {
            self.flush();
            self.put(Block::Silence(silence), silence);
        }
    }

    /// Takes what went through the port. `inputs` are what else this look at it found.
    pub(super) fn look(
        &mut self,
        now: Instant,
        port: &mut Port,
        inputs: &[Input],
        wire: Option<Format>,
    ) {
        let Some(stereo) = &mut self.stereo else {
            return;
        };
        let lost = stereo.take(now, &port.taken());
        if lost > 0 {
            let lost_ms = lost * 1000 / u64::from(stereo.rate_hz());
            self.notes.gap(stereo.customer_ms(), lost_ms, "overrun");
        }
        for input in inputs {
            match input {
                Input::Captured(audio) => {
                    let ms = wire.map_or(0, |wire| wire.ms_of_bytes(audio.len() as u64));
                    self.notes.sent(ms);
                }
                Input::Heard(heard) | Input::Flushed(heard) => {
                    self.notes.heard(heard, stereo.heard_ms());
                }
                _ => {}
            }
        }
        self.notes.customer_is_at(stereo.customer_ms());
        self.gathered.extend(stereo.frames());
        let block = u64::from(stereo.rate_hz()) * BLOCK_MS / 1000 * 2;
        if self.gathered.len() as u64 >= block {
            self.flush();
        }
    }

    /// The port is gone.
    pub(super) fn detach(&mut self) {
        if let Some(stereo) = &mut self.stereo {
            self.gathered.extend(stereo.detach());
            self.flush();
        }
    }

    /// Notes an event of the session.
    pub(super) fn seen(&mut self, event: &Event) {
        self.notes.seen(event);
    }

    /// Audio of an item is queued to be heard.
    pub(super) fn plays(&mut self, part: PartId, item_id: Option<&str>, format: Format) {
        self.notes.plays(part, item_id, format);
    }

    /// Whether the notes are to be written anew.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let has_rested = self
            .noted
            .is_none_or(|at| now.saturating_duration_since(at) >= NOTES);
        self.stereo.is_some() && self.notes.is_new() && has_rested
    }

    /// Writes the notes anew.
    pub(super) fn note(&mut self, now: Instant, segments: &[Arc<Segment>]) {
        self.noted = Some(now);
        let notes = self.told(segments, None);
        self.put(Block::Notes(notes), 0);
    }

    /// The recording ends, with its session or before it.
    pub(super) fn finish(mut self, segments: &[Arc<Segment>], end: Option<&End>) {
        self.detach();
        let notes = self.told(segments, end);
        self.put(Block::End(Some(notes)), 0);
        self.is_over = true;
    }

    fn told(&mut self, segments: &[Arc<Segment>], end: Option<&End>) -> serde_json::Value {
        let duration_ms = self.stereo.as_ref().map_or(0, Stereo::given_ms);
        let (path, rate_hz) = (self.sink.path(), self.sink.rate_hz());
        self.notes.tell(path, rate_hz, duration_ms, segments, end)
    }

    fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let frames = self.gathered.len() as u64 / 2;
        let samples = std::mem::take(&mut self.gathered);
        self.put(Block::Sound(samples), frames);
    }

    /// What a slow disk has no time for is silence, so that what follows stands where it belongs.
    fn put(&mut self, block: Block, frames: u64) {
        let missed = std::mem::take(&mut self.missed);
        if missed > 0 && self.sink.put(Block::Silence(missed)).is_err() {
            self.missed = missed;
        }
        let is_kept = self.missed == 0 || frames == 0;
        if !is_kept || self.sink.put(block).is_err() {
            let at_ms = self.stereo.as_ref().map_or(0, Stereo::given_ms);
            let lost_ms = frames * 1000 / u64::from(self.sink.rate_hz());
            self.notes.gap(at_ms, lost_ms, "disk");
            self.missed += frames;
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.is_over {
            // The task died. What was noted before stays.
            self.detach();
            self.put(Block::End(None), 0);
        }
    }
}
