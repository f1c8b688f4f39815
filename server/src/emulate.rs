//! What real servers of this protocol do beside it, switched on by a script: a mask between a peer
//! and its wire. The peer stays as the protocol wants it; the mask rewrites what comes and goes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use talkwire_core::dialect::Dialect;
use talkwire_core::wire::server::{Delta, Transcription};
use talkwire_core::wire::session::{put, take};
use talkwire_core::wire::{Map, Response, ServerEvent, Session};

use crate::error::{Judged, Problem};

/// A deviation that a script can switch on. `server/SCRIPT.md` says what each does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Emulated {
    /// `session.updated` comes twice.
    RepeatedSessionUpdated,
    /// A transcript is told word by word, each time from its start.
    GrowingTranscripts,
    /// A transcript begins with those of the items before.
    CumulativeTranscripts,
    /// The text of a spoken answer comes under both names.
    TextOnTwoTracks,
    /// An interrupted response has no `response.done`.
    ResponseDoneMayBeMissing,
    /// A detected turn has no `input_audio_buffer.committed`.
    CommitEventMayBeMissing,
    /// After an update of an older shape rates are null and the output has the dialect's own.
    FixedOutputRate,
    /// A model that does not exist is refused after the upgrade, by close 1008.
    ModelErrorAfterUpgrade,
    /// An item of the agent is refused, and nothing is answered from then on.
    AssistantItemsBreak,
    /// A prompt variable without its twin in braces ends the session.
    PromptVariablesTwice,
    /// Transcripts are late, and an answer asked for before them knows nothing of the turn.
    HastyAnswersAreDeaf,
    /// Errors have no code.
    CodelessErrors,
    /// A role stays, whatever the voice, and a voice without it makes no sound.
    StickyRole,
    /// Pings are not answered.
    LatePong,
    /// Parameters of tools are echoed as a JSON text.
    TextToolParameters,
    /// A response before the first acknowledged `session.update` is refused.
    GreetingNeedsSettings,
}

/// How late a transcript is.
const LATE: Duration = Duration::from_millis(300);

const OUTPUT_FORMAT: &str = "/audio/output/format";
const ROLE: &str = "/audio/output/role";

/// What becomes of a client's event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// The peer handles it.
    Go,
    /// The server breaks down over it.
    Crash,
}

/// The mask of one peer.
#[derive(Debug)]
pub(crate) struct Mask {
    on: BTreeSet<Emulated>,
    dialect: Arc<Dialect>,
    now: Option<Instant>,
    /// Final transcripts by item, in their order.
    heard: Vec<(String, String)>,
    /// Transcripts that are to come.
    late: VecDeque<(Instant, ServerEvent)>,
    /// The item whose speech stopped last.
    stopped: Option<String>,
    /// Items that are spoken.
    spoken: BTreeSet<String>,
    /// The role that was asked for, and whether the voice lacks it.
    role: Option<String>,
    is_mute: bool,
    /// Responses that were to be spoken without a voice.
    failed: BTreeSet<String>,
    is_configured: bool,
    is_broken: bool,
    is_old_shape: bool,
}

impl Mask {
    pub(crate) fn new(on: &[Emulated], dialect: Arc<Dialect>) -> Self {
        Self {
            on: on.iter().copied().collect(),
            dialect,
            now: None,
            heard: Vec::new(),
            late: VecDeque::new(),
            stopped: None,
            spoken: BTreeSet::new(),
            role: None,
            is_mute: false,
            failed: BTreeSet::new(),
            is_configured: false,
            is_broken: false,
            is_old_shape: false,
        }
    }

    /// Whether nothing is masked.
    pub(crate) fn is_off(&self) -> bool {
        self.on.is_empty()
    }

    fn has(&self, what: Emulated) -> bool {
        self.on.contains(&what)
    }

    /// When something that was held back is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.late.front().map(|(due, _)| *due)
    }

    /// Tells the time and gives back what is due.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<ServerEvent> {
        self.now = Some(now);
        let mut due = Vec::new();
        while self.late.front().is_some_and(|(at, _)| *at <= now) {
            due.extend(self.late.pop_front().map(|(_, event)| event));
        }
        due
    }

    /// Looks at an event of the client before the peer does. `is_old_shape` says whether its shape
    /// was one of the past.
    pub(crate) fn incoming(
        &mut self,
        name: &str,
        fields: &mut Map,
        is_old_shape: bool,
    ) -> Judged<Passage> {
        if self.is_off() {
            return Ok(Passage::Go);
        }
        match name {
            "session.update" => {
                if let Some(Value::Object(session)) = fields.get_mut("session") {
                    return Ok(self.update(session, is_old_shape));
                }
            }
            "response.create" => return self.response(fields),
            "conversation.item.create" if self.has(Emulated::AssistantItemsBreak) => {
                let role = fields.get("item").and_then(|item| item.get("role"));
                if role.and_then(Value::as_str) == Some("assistant") {
                    self.is_broken = true;
                    let message = "MessageContentItemOutputText is not supported yet";
                    return Err(Problem::value("item.role", message));
                }
            }
            _ => {}
        }
        Ok(Passage::Go)
    }

    fn update(&mut self, session: &mut Map, is_old_shape: bool) -> Passage {
        if self.lacks_twins(session) {
            return Passage::Crash;
        }
        if self.has(Emulated::StickyRole)
            && let Some(role) = take(session, ROLE)
        {
            self.role = role.as_str().map(str::to_owned);
        }
        if self.has(Emulated::FixedOutputRate) {
            let names_format = Session(session.clone()).pointer(OUTPUT_FORMAT).is_some();
            if is_old_shape {
                self.is_old_shape = true;
                let rate = self.dialect.table().defaults.output_rate_hz;
                let format = json!({"type": "audio/pcm", "rate": rate});
                put(session, OUTPUT_FORMAT, format);
            } else if names_format {
                self.is_old_shape = false;
            }
        }
        Passage::Go
    }

    fn response(&mut self, fields: &mut Map) -> Judged<Passage> {
        if self.is_broken {
            return Err(Problem::new("server_error", "Internal error"));
        }
        if self.has(Emulated::GreetingNeedsSettings) && !self.is_configured {
            let message = "The session has no settings yet.";
            return Err(Problem::event(message));
        }
        if let Some(Value::Object(response)) = fields.get("response")
            && self.lacks_twins(response)
        {
            return Ok(Passage::Crash);
        }
        if !self.late.is_empty() {
            put(fields, "/response/input", json!([]));
        }
        Ok(Passage::Go)
    }

    /// Whether a variable of a stored prompt is given under one of its two names only.
    fn lacks_twins(&self, object: &Map) -> bool {
        let variables = object.get("prompt").and_then(|p| p.get("variables"));
        let Some(variables) = variables.and_then(Value::as_object) else {
            return false;
        };
        let has_twin = |name: &String| match name.strip_prefix("{{") {
            Some(rest) => variables.contains_key(rest.trim_end_matches("}}")),
            None => variables.contains_key(&format!("{{{{{name}}}}}")),
        };
        self.has(Emulated::PromptVariablesTwice) && !variables.keys().all(has_twin)
    }

    /// What is sent in place of an event of the peer.
    pub(crate) fn outgoing(&mut self, event: &ServerEvent) -> Vec<ServerEvent> {
        let mut event = event.clone();
        match &mut event {
            ServerEvent::SessionCreated(e) => self.describe(&mut e.session),
            ServerEvent::SessionUpdated(e) => {
                self.is_configured = true;
                self.describe(&mut e.session);
                if self.has(Emulated::RepeatedSessionUpdated) {
                    return vec![event.clone(), event];
                }
            }
            ServerEvent::TranscriptionCompleted(e) => {
                let e = e.clone();
                return self.transcript(&e);
            }
            ServerEvent::TranscriptionDelta(_) if self.has(Emulated::HastyAnswersAreDeaf) => {
                self.hold(event);
                return Vec::new();
            }
            ServerEvent::SpeechStopped(e) => self.stopped = Some(e.item_id.clone()),
            ServerEvent::BufferCommitted(e) => {
                let was_detected = self.stopped.take().as_ref() == Some(&e.item_id);
                if was_detected && self.has(Emulated::CommitEventMayBeMissing) {
                    return Vec::new();
                }
            }
            ServerEvent::Error(e) if self.has(Emulated::CodelessErrors) => e.error.code = None,
            ServerEvent::ResponseDone(e) => {
                if self.is_forgotten(&e.response) {
                    return Vec::new();
                }
                self.fail(&mut e.response);
            }
            _ => return self.speech(event),
        }
        vec![event]
    }

    /// The session as the client is told of it.
    fn describe(&mut self, session: &mut Session) {
        if self.has(Emulated::TextToolParameters) {
            let tools = session.0.get_mut("tools").and_then(Value::as_array_mut);
            for tool in tools.into_iter().flatten().filter_map(Value::as_object_mut) {
                if let Some(parameters) = tool.get_mut("parameters").filter(|p| !p.is_string()) {
                    *parameters = Value::String(parameters.to_string());
                }
            }
        }
        if let Some(role) = &self.role {
            put(&mut session.0, ROLE, json!(role));
            let voice = session.pointer("/audio/output/voice");
            let voice = voice.and_then(Value::as_str).unwrap_or_default();
            let roles = self.dialect.table().voices.get(voice);
            self.is_mute = roles.is_some_and(|roles| !roles.contains(role));
        }
        if self.is_old_shape {
            for pointer in ["/audio/input/format/rate", "/audio/output/format/rate"] {
                put(&mut session.0, pointer, Value::Null);
            }
        }
    }

    fn transcript(&mut self, event: &Transcription) -> Vec<ServerEvent> {
        let own = event.transcript.clone().unwrap_or_default();
        let mut whole = String::new();
        if self.has(Emulated::CumulativeTranscripts) {
            let earlier = self.heard.iter().filter(|(item, _)| *item != event.item_id);
            for (_, text) in earlier {
                whole.push_str(text);
                whole.push(' ');
            }
        }
        let start = whole.len();
        whole.push_str(&own);
        if !own.is_empty() {
            self.heard.push((event.item_id.clone(), own.clone()));
        }
        let mut ends = vec![whole.len()];
        if self.has(Emulated::GrowingTranscripts) {
            let words = own.match_indices(' ').map(|(at, _)| start + at);
            ends = words.chain(ends).collect();
        }
        let versions = ends.into_iter().map(|end| {
            ServerEvent::TranscriptionCompleted(Transcription {
                transcript: Some(whole[..end].to_owned()),
                ..event.clone()
            })
        });
        let versions: Vec<_> = versions.collect();
        if self.has(Emulated::HastyAnswersAreDeaf) {
            versions.into_iter().for_each(|version| self.hold(version));
            return Vec::new();
        }
        versions
    }

    fn hold(&mut self, event: ServerEvent) {
        if let Some(now) = self.now {
            self.late.push_back((now + LATE, event));
        }
    }

    /// The pieces of an answer.
    fn speech(&mut self, event: ServerEvent) -> Vec<ServerEvent> {
        match &event {
            ServerEvent::PartAdded(e) if e.part.kind.ends_with("audio") => {
                self.spoken.insert(e.item_id.clone());
            }
            ServerEvent::AudioDelta(e) if self.is_mute => {
                self.failed.insert(e.response_id.clone());
                return Vec::new();
            }
            _ => {}
        }
        if !self.has(Emulated::TextOnTwoTracks) {
            return vec![event];
        }
        let twin = self.twin(&event);
        [Some(event), twin].into_iter().flatten().collect()
    }

    fn twin(&self, event: &ServerEvent) -> Option<ServerEvent> {
        let spoken = |e: &Delta| self.spoken.contains(&e.item_id).then(|| e.clone());
        Some(match event {
            ServerEvent::TextDelta(e) => ServerEvent::TranscriptDelta(spoken(e)?),
            ServerEvent::TranscriptDelta(e) => ServerEvent::TextDelta(spoken(e)?),
            ServerEvent::TextDone(e) => ServerEvent::TranscriptDone(swapped(spoken(e)?)),
            ServerEvent::TranscriptDone(e) => ServerEvent::TextDone(swapped(spoken(e)?)),
            _ => return None,
        })
    }

    fn is_forgotten(&self, response: &Response) -> bool {
        self.has(Emulated::ResponseDoneMayBeMissing) && response.reason() == Some("turn_detected")
    }

    /// A response that had no voice failed, whatever the peer thinks of it.
    fn fail(&mut self, response: &mut Response) {
        let id = response.id.as_deref().unwrap_or_default();
        if self.failed.remove(id) && response.status.as_deref() == Some("completed") {
            response.status = Some("failed".to_owned());
            response.status_details = Some(json!({"type": "failed", "error": {
                "type": "server_error", "message": "speech synthesis failed"}}));
        }
    }
}

/// The whole text under the other field.
fn swapped(mut event: Delta) -> Delta {
    std::mem::swap(&mut event.text, &mut event.transcript);
    event
}
