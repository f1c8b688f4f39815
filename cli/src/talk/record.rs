//! Everything that happened in a call, on its clock: milliseconds since it was dialled.

use serde::Serialize;
use serde_json::{Map, Value, json};
use talkwire_core::audio::format::Format;
use talkwire_core::dialect::{Dialect, Quirk};
use talkwire_core::event::local::{Cut, Local};
use talkwire_core::event::{Body, End, Event, Usage};
use talkwire_core::wire::server::Speech;
use talkwire_core::wire::{ClientEvent, Item, ServerEvent, Session as Settings};

use super::agreed::Agreed;
use super::floor::Floor;
use super::line::Frame;
use super::lines::{Lines, Utterance};
use super::links::Links;
use super::playout::{Lasts, Playout};
use super::uplink::Uplink;
use crate::captions::Captions;

/// A call of a function.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ToolCall {
    pub(crate) call_id: String,
    pub(crate) name: String,
    /// As JSON where it is JSON, else as text.
    pub(crate) arguments: Value,
    /// Likewise; null while there is none.
    pub(crate) output: Value,
    pub(crate) start_ms: u64,
    pub(crate) end_ms: Option<u64>,
}

/// A moment worth a label in the picture.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) at_ms: u64,
    pub(crate) text: String,
}

/// How the mark of an interruption begins.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// The record of a call.
#[derive(Debug)]
pub(crate) struct Record {
    captions: Captions,
    /// Whether a transcript comes whole several times, each with more words, instead of in pieces.
    grows: bool,
    agreed: Agreed,
    lines: Lines,
    tools: Vec<ToolCall>,
    playout: Playout,
    floor: Floor,
    links: Links,
    usage: Usage,
    sending: Sending,
    asked_ms: Option<u64>,
    latencies_ms: Vec<u64>,
    marks: Vec<Mark>,
    rows: Vec<Value>,
}

/// What was sent of the customer's audio.
#[derive(Debug, Default)]
struct Sending {
    start_ms: Option<u64>,
    sent_ms: u64,
    /// Whether a position in the audio tells the time.
    is_real: bool,
    samples: Vec<i16>,
    rate_hz: u32,
}

impl Record {
    /// A record of a call that begins. `wanted` is what is asked of the session first.
    pub(crate) fn new(dialect: &Dialect, wanted: &Settings, captions: Captions) -> Self {
        let agreed = Agreed::new(dialect, wanted);
        Self {
            captions,
            grows: dialect.has(Quirk::GrowingTranscripts),
            lines: Lines::default(),
            tools: Vec::new(),
            playout: Playout::new(agreed.output_format()),
            floor: Floor::default(),
            links: Links::default(),
            usage: Usage::default(),
            agreed,
            sending: Sending::default(),
            asked_ms: None,
            latencies_ms: Vec::new(),
            marks: Vec::new(),
            rows: Vec::new(),
        }
    }

    // ---- what happens ---------------------------------------------------------------------------

    /// Audio will be sent, or will not, at the speed of speech.
    pub(crate) fn audio_is_real(&mut self, is_real: bool) {
        self.sending.is_real = is_real;
    }

    /// Audio was sent.
    pub(crate) fn appended(&mut self, at_ms: u64, ms: u64) {
        self.sending.start_ms.get_or_insert(at_ms);
        self.sending.sent_ms += ms;
        self.rows.push(json!({
            "at_ms": at_ms, "direction": "sent",
            "type": "input_audio_buffer.append", "audio_ms": ms,
        }));
    }

    /// An event was sent.
    pub(crate) fn sent(&mut self, at_ms: u64, event: &ClientEvent) {
        let fields = event.to_fields();
        self.row(at_ms, "sent", event.name(), fields);
        match event {
            ClientEvent::SessionUpdate(update) => {
                if let Some(text) = self.agreed.asked(&update.session) {
                    self.captions.line(at_ms, "settings", &text);
                }
            }
            ClientEvent::ItemCreate(create) => {
                let item = &create.item;
                if let (Some(call_id), Some(output)) = (&item.call_id, &item.output) {
                    self.answered(at_ms, call_id, output);
                }
            }
            ClientEvent::ResponseCreate(_) => {
                self.asked_ms.get_or_insert(at_ms);
            }
            _ => {}
        }
    }

    fn answered(&mut self, at_ms: u64, call_id: &str, output: &str) {
        let tool = self.tools.iter_mut().find(|tool| tool.call_id == call_id);
        let Some(tool) = tool else { return };
        tool.output = json_or_text(output);
        tool.end_ms = Some(at_ms);
        let text = format!("{} gives {output}", tool.name);
        self.captions.line(at_ms, "tool", &text);
    }

    /// An event came.
    pub(crate) fn seen(&mut self, event: &Event) {
        let at_ms = event.at_ms();
        self.log(event);
        self.floor.seen(event);
        match event.body() {
            Body::Wire(event) => self.wire(at_ms, event),
            Body::Local(event) => self.local(at_ms, event),
            _ => {}
        }
    }

    fn local(&mut self, at_ms: u64, event: &Local) {
        match event {
            Local::Fault(error) => self.trouble(at_ms, error.message()),
            Local::Gap { dropped_ms, .. } => {
                self.trouble(at_ms, &format!("{dropped_ms} ms of audio were dropped"));
            }
            Local::Held(_) => self.told(at_ms, "the customer speaks over the agent"),
            Local::Resumed(_) => self.told(at_ms, "no interruption: the agent goes on"),
            Local::Confirmed(_) => {
                self.told(at_ms, "the agent is interrupted");
                self.mark(at_ms, INTERRUPTED);
            }
            Local::Cut(cut) => self.cut(at_ms, cut),
            other => {
                if matches!(other, Local::Rolled(_) | Local::Recovered(_)) {
                    self.lines.anew();
                }
                if let Some(text) = self.links.seen(other) {
                    self.captions.line(at_ms, "link", &text);
                    self.mark(at_ms, &format!("link: {text}"));
                }
            }
        }
    }

    fn told(&mut self, at_ms: u64, text: &str) {
        self.captions.line(at_ms, "barge-in", text);
    }

    fn cut(&mut self, at_ms: u64, cut: &Cut) {
        self.playout.flush(at_ms);
        let text = format!("heard {} of {} ms", cut.heard_ms, cut.received_ms);
        self.told(at_ms, &text);
        if let Some(mark) = self.marks.last_mut().filter(|m| m.text == INTERRUPTED) {
            mark.text = format!("{INTERRUPTED}: {text}");
        }
    }

    // ---- the line -------------------------------------------------------------------------------

    /// From now on a line says what is heard of the agent.
    pub(crate) fn listen(&mut self) {
        self.playout.listen();
    }

    /// A frame was taken from the line.
    pub(crate) fn taken(&mut self, at_ms: u64, frame: &Frame) {
        if frame.sound < frame.samples.len() {
            self.floor.silent(at_ms);
        }
        let lasts = self.playout.taken(at_ms, &frame.samples, frame.sound);
        self.last(lasts);
    }

    fn last(&mut self, lasts: Vec<Lasts>) {
        for (item_id, start_ms, end_ms) in lasts {
            self.lines.lasts(&item_id, start_ms, end_ms);
        }
    }

    /// The line was too busy for some of the customer's audio.
    pub(crate) fn lost(&mut self, at_ms: u64, ms: u64) {
        self.trouble(at_ms, &format!("{ms} ms of audio were not sent"));
    }

    fn wire(&mut self, at_ms: u64, event: &ServerEvent) {
        match event {
            ServerEvent::SessionCreated(e) | ServerEvent::SessionUpdated(e) => {
                self.configured(at_ms, &e.session);
            }
            ServerEvent::SpeechStarted(e) => self.speech_started(at_ms, e),
            ServerEvent::SpeechStopped(e) => self.speech_stopped(at_ms, e),
            ServerEvent::BufferCommitted(e) => self.committed(at_ms, &e.item_id),
            ServerEvent::ItemAdded(e) | ServerEvent::ItemDone(e) => self.lines.item(&e.item, at_ms),
            ServerEvent::TranscriptionDelta(e) => {
                let delta = e.delta.as_deref().unwrap_or_default();
                let text = self.lines.heard(&e.item_id, delta, true);
                // Versions of the whole would go back to the first words after it.
                if !self.grows {
                    self.captions.partial(at_ms, "customer", text);
                }
            }
            ServerEvent::TranscriptionCompleted(e) => {
                let text = e.transcript.as_deref().unwrap_or_default();
                let text = self.lines.heard(&e.item_id, text, false);
                match self.grows {
                    true => self.captions.growing(at_ms, "customer", &e.item_id, text),
                    false => self.captions.line(at_ms, "customer", text),
                }
            }
            ServerEvent::TextDelta(e) | ServerEvent::TranscriptDelta(e) => {
                let delta = e.delta.as_deref().unwrap_or_default();
                let text = self.lines.said(&e.item_id, delta);
                self.captions.partial(at_ms, "agent", text);
                self.written(at_ms, &e.item_id);
            }
            ServerEvent::TextDone(e) => self.all_said(at_ms, &e.item_id, e.text.as_deref()),
            ServerEvent::TranscriptDone(e) => {
                self.all_said(at_ms, &e.item_id, e.transcript.as_deref());
            }
            ServerEvent::AudioDelta(e) => self.audio(at_ms, &e.item_id, &e.audio),
            ServerEvent::OutputItemDone(e) => self.called(at_ms, &e.item),
            ServerEvent::Error(e) => {
                self.trouble(at_ms, &e.error.message);
            }
            _ => {}
        }
    }

    fn configured(&mut self, at_ms: u64, session: &Settings) {
        let what = self.agreed.acknowledged(session);
        self.playout.set_format(self.agreed.output_format());
        // The first settings belong to the opening.
        if what == "session open" || self.sending.start_ms.is_some() {
            self.mark(at_ms, &what);
            self.captions.line(at_ms, "session", &what);
        }
    }

    fn speech_started(&mut self, at_ms: u64, speech: &Speech) {
        let padding_ms = self.agreed.detection_ms("prefix_padding_ms");
        let start_ms = self.on_clock(at_ms, speech.audio_start_ms, |ms| ms + padding_ms);
        self.lines.began(&speech.item_id, start_ms);
        // With a line the session decides whether that is an interruption.
        if self.playout.has_line() {
            return;
        }
        if self.playout.ends_ms() > at_ms {
            self.mark(at_ms, INTERRUPTED);
        }
        self.playout.flush(at_ms);
        self.lines.cut(at_ms);
    }

    fn speech_stopped(&mut self, at_ms: u64, speech: &Speech) {
        let silence_ms = self.agreed.detection_ms("silence_duration_ms");
        let end_ms = self.on_clock(at_ms, speech.audio_end_ms, |ms| {
            ms.saturating_sub(silence_ms)
        });
        self.lines.ended(&speech.item_id, end_ms, end_ms);
        self.asked_ms = Some(end_ms);
        self.mark(at_ms, "turn detected");
    }

    /// A turn that the server did not detect began with the audio.
    fn committed(&mut self, at_ms: u64, item_id: &str) {
        if self.lines.end_ms(item_id).is_none() {
            let start_ms = self.sending.start_ms.unwrap_or(at_ms);
            self.lines.ended(item_id, start_ms, at_ms);
        }
    }

    /// An answer without audio takes the time of its text.
    fn written(&mut self, at_ms: u64, item_id: &str) {
        if !self.agreed.is_spoken() {
            self.lines.lasts(item_id, at_ms, at_ms);
        }
    }

    fn all_said(&mut self, at_ms: u64, item_id: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.lines.all_said(item_id, text);
            self.captions.line(at_ms, "agent", text);
        }
        self.written(at_ms, item_id);
    }

    fn audio(&mut self, at_ms: u64, item_id: &str, bytes: &[u8]) {
        if let Some(asked_ms) = self.asked_ms.take() {
            let latency_ms = at_ms.saturating_sub(asked_ms);
            self.latencies_ms.push(latency_ms);
            let text = format!("first audio after {latency_ms} ms");
            self.captions.line(at_ms, "latency", &text);
            self.mark(at_ms, &text);
        }
        match self.playout.received(at_ms, item_id, bytes) {
            Ok(lasts) => self.last(lasts),
            Err(error) => self.trouble(at_ms, error.message()),
        }
    }

    fn called(&mut self, at_ms: u64, item: &Item) {
        if item.kind != "function_call" {
            return;
        }
        let arguments = item.arguments.clone().unwrap_or_default();
        let name = item.name.clone().unwrap_or_default();
        let text = format!("{name} is called with {arguments}");
        self.captions.line(at_ms, "tool", &text);
        self.tools.push(ToolCall {
            call_id: item.call_id.clone().unwrap_or_default(),
            name,
            arguments: json_or_text(&arguments),
            output: Value::Null,
            start_ms: at_ms,
            end_ms: None,
        });
    }

    fn trouble(&mut self, at_ms: u64, text: &str) {
        self.captions.line(at_ms, "error", text);
        self.mark(at_ms, &format!("error: {text}"));
    }

    /// The call is over.
    pub(crate) fn ended(&mut self, at_ms: u64, end: &End, uplink: Option<Uplink>, usage: Usage) {
        self.usage = usage;
        if let Some(uplink) = uplink {
            self.sending.rate_hz = uplink.format().rate_hz();
            self.sending.samples = uplink.sent().to_vec();
        }
        self.captions.line(at_ms, "end", &end.message);
        self.mark(at_ms, "end");
        let mut row = json!({"at_ms": at_ms, "direction": "received", "type": "end"});
        row["end"] = end.to_json();
        self.rows.push(row);
    }

    // ---- the log --------------------------------------------------------------------------------

    fn log(&mut self, event: &Event) {
        let mut fields = match event.server() {
            // Decoding the base64 text again would cost more than all the rest.
            Some(ServerEvent::AudioDelta(delta)) => {
                let ids = json!({"response_id": delta.response_id, "item_id": delta.item_id});
                let mut fields = ids.as_object().cloned().unwrap_or_default();
                fields.insert("audio_ms".to_owned(), json!(event.audio_ms()));
                fields
            }
            _ => serde_json::from_str(&event.json()).unwrap_or_default(),
        };
        fields.remove("type");
        if let Some(id) = event.event_id() {
            fields.insert("event_id".to_owned(), json!(id));
        }
        self.row(event.at_ms(), "received", event.name(), fields);
    }

    fn row(&mut self, at_ms: u64, direction: &str, name: &str, mut fields: Map<String, Value>) {
        let format = self.agreed.input_format();
        fields
            .values_mut()
            .for_each(|value| without_audio(value, format));
        let mut row = json!({"at_ms": at_ms, "direction": direction, "type": name});
        if let Value::Object(row) = &mut row {
            row.extend(fields);
        }
        self.rows.push(row);
    }

    fn mark(&mut self, at_ms: u64, text: &str) {
        let text = text.to_owned();
        self.marks.push(Mark { at_ms, text });
    }

    // ---- what is known --------------------------------------------------------------------------

    /// What was agreed on with the server.
    pub(crate) fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// A position in the customer's audio on the clock of the call.
    fn on_clock(&self, at_ms: u64, audio_ms: Option<u64>, mend: impl Fn(u64) -> u64) -> u64 {
        match (self.sending.start_ms, audio_ms) {
            (Some(start_ms), Some(ms)) if self.sending.is_real => (start_ms + mend(ms)).min(at_ms),
            _ => at_ms,
        }
    }

    /// Who said what.
    pub(crate) fn transcript(&self) -> Vec<Utterance> {
        self.lines.utterances()
    }

    /// Functions that were called.
    pub(crate) fn tool_calls(&self) -> &[ToolCall] {
        &self.tools
    }

    /// From the end of the customer's first turn, or the request, to the first audio of its answer.
    pub(crate) fn first_audio_ms(&self) -> Option<u64> {
        self.latencies_ms.first().copied()
    }

    /// Milliseconds of audio sent.
    pub(crate) fn sent_ms(&self) -> u64 {
        self.sending.sent_ms
    }

    /// Milliseconds of audio received.
    pub(crate) fn received_ms(&self) -> u64 {
        self.playout.received_ms()
    }

    /// Who had the floor.
    pub(crate) fn floor(&self) -> &Floor {
        &self.floor
    }

    /// What became of its links.
    pub(crate) fn links(&self) -> &Links {
        &self.links
    }

    /// What it cost.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// The agent's audio.
    pub(crate) fn playout(&self) -> &Playout {
        &self.playout
    }

    /// When the customer's audio began, its samples and their rate.
    pub(crate) fn customer(&self) -> (u64, &[i16], u32) {
        let start_ms = self.sending.start_ms.unwrap_or_default();
        (start_ms, &self.sending.samples, self.sending.rate_hz)
    }

    /// Moments for the picture.
    pub(crate) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Rows of the event log.
    pub(crate) fn rows(&self) -> &[Value] {
        &self.rows
    }
}

fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

/// Puts the length of base64 audio in its place, wherever it is.
fn without_audio(value: &mut Value, format: Format) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|v| without_audio(v, format)),
        Value::Object(map) => {
            if let Some(Value::String(audio)) = map.get("audio") {
                let ms = format.ms_of_bytes(audio.len() as u64 / 4 * 3);
                map.remove("audio");
                map.insert("audio_ms".to_owned(), json!(ms));
            }
            map.values_mut().for_each(|v| without_audio(v, format));
        }
        _ => {}
    }
}
