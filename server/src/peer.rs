//! The server's side of one session: a machine that reads no clock and touches no socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use talkwire_core::dialect::{ClientFrame, Dialect, Quirk};
use talkwire_core::wire::envelope::{Envelope, Malformed};
use talkwire_core::wire::server::{ConversationEvent, SessionEvent};
use talkwire_core::wire::{Ids, Map, ServerEvent};

use crate::answering::Answering;
use crate::backends::Backends;
use crate::conversation::Conversation;
use crate::emulate::{Emulated, Mask, Passage};
use crate::error::{Judged, Problem};
use crate::faults::{Fault, Faults};
use crate::hearing::Hearer;
use crate::idle::Idle;
use crate::io::{Clock, PeerEffect, PeerEffects, PeerInput};
use crate::jobs::Jobs;
use crate::mcp::{Mcp, McpServers};
use crate::outbox::{Arrival, Outbox};
use crate::pace::Pacing;
use crate::response::Ending;
use crate::settings::{Circumstances, Settings};

/// What a peer is made of.
#[derive(Debug)]
pub struct Setup {
    /// The dialect it speaks.
    pub dialect: Arc<Dialect>,
    /// Model of the URL, decoded; absent means the dialect's default.
    pub model: Option<String>,
    /// Whether the session only transcribes.
    pub is_transcription: bool,
    /// Whether the client asked for a withdrawn version of the protocol.
    pub is_withdrawn: bool,
    /// Whether the model is to be refused although the upgrade was not.
    pub is_bad_model: bool,
    /// What answers, hears and speaks.
    pub backends: Backends,
    /// What is to go wrong.
    pub faults: Vec<Fault>,
    /// Deviations to show off that the dialect's real server has only now and then.
    pub emulate: Vec<Emulated>,
    /// The MCP servers that tools may be called of.
    pub mcp: McpServers,
    /// How fast answers are sent.
    pub pacing: Pacing,
    /// Time between a question and the first event of its answer after `response.created`.
    pub think: Duration,
    /// How long the session lives.
    pub lifetime: Duration,
    /// Seed of all identifiers.
    pub seed: u64,
    /// For `expires_at`.
    pub clock: Clock,
}

/// The server's side of one session.
///
/// Feed it [`PeerInput::Open`] first, then frames as they come, and [`PeerInput::Timeout`] whenever
/// [`deadline`](Self::deadline) has passed; carry out the effects in order. A deadline in the past
/// means "call me again at once": long answers are given in portions, so that the client can
/// interrupt them.
#[derive(Debug)]
pub struct Peer {
    pub(crate) out: Outbox,
    pub(crate) settings: Settings,
    pub(crate) talk: Conversation,
    pub(crate) hearer: Hearer,
    pub(crate) answering: Answering,
    pub(crate) backends: Backends,
    pub(crate) jobs: Jobs,
    pub(crate) pacing: Pacing,
    pub(crate) mcp: Mcp,
    pub(crate) idle: Idle,
    expires: (Instant, Duration),
    greeting: Greeting,
}

/// How a connection begins.
#[derive(Debug)]
enum Greeting {
    /// With `session.created`.
    Session,
    /// With an error and a close.
    Refusal(Problem, u16, &'static str),
}

/// Message of the error and reason of the close.
const INVALID_MODEL: &str = "Invalid model URI";

impl Peer {
    /// A peer that has said nothing yet. `now` is when its session begins to age.
    pub fn new(now: Instant, setup: Setup) -> Self {
        let mut ids = Ids::new(setup.seed);
        let greeting = Greeting::of(&setup);
        let expires = now + setup.lifetime;
        let model = setup
            .model
            .unwrap_or_else(|| setup.dialect.table().defaults.model.clone());
        let (id, expires_at) = (ids.next("sess"), setup.clock.unix_at(expires));
        let dialect = setup.dialect.clone();
        let settings = if setup.is_transcription {
            Settings::transcription(dialect, &id, expires_at)
        } else {
            Settings::new(dialect, &id, &model, expires_at)
        };
        let hearer = Hearer::new(&settings);
        let mask = Mask::new(&setup.emulate, setup.dialect.clone());
        Self {
            out: Outbox::new(
                setup.dialect,
                ids,
                Faults::new(&setup.faults, setup.seed, now),
                mask,
            ),
            settings,
            talk: Conversation::default(),
            hearer,
            answering: Answering::new(setup.think),
            backends: setup.backends,
            jobs: Jobs::default(),
            pacing: setup.pacing,
            mcp: Mcp::new(setup.mcp),
            idle: Idle::default(),
            expires: (expires, setup.lifetime),
            greeting,
        }
    }

    /// One step: takes an input and leaves in `fx` what is to be done.
    pub fn handle(&mut self, now: Instant, input: PeerInput, fx: &mut PeerEffects) {
        if self.out.has_ended() {
            return;
        }
        self.out.tick(now, fx);
        if !matches!(input, PeerInput::Open) {
            self.out.let_faults_act(fx);
        }
        match input {
            _ if self.out.has_ended() => {}
            PeerInput::Open => self.open(fx),
            PeerInput::Frame(raw) => self.frame(now, &raw, fx),
            PeerInput::Binary => {
                let problem = Problem::event("Binary frames are not part of the protocol.");
                self.out.send(&problem.into_event(None), fx);
            }
            PeerInput::JobProgress { job, piece } => self.job_progress(now, job, &piece, fx),
            PeerInput::JobDone { job, outcome } => self.job_done(now, job, outcome, fx),
            PeerInput::Timeout if now >= self.expires.0 => self.expire(now, fx),
            PeerInput::Timeout if self.idle_at().is_some_and(|at| now >= at) => {
                self.idle_out(now, fx);
            }
            PeerInput::Timeout => {}
            PeerInput::Shutdown => self.out.close(1001, "the server is shutting down", fx),
            PeerInput::Gone => self.out.gone(),
        }
        if !self.out.has_ended() {
            self.advance(now, fx);
        }
        if self.out.take_expiry() && !self.out.has_ended() {
            self.expire(now, fx);
        }
        if self.out.has_ended() {
            self.jobs.stop_all(fx);
        }
    }

    /// When [`PeerInput::Timeout`] is wanted; `None` after the end.
    pub fn deadline(&self) -> Option<Instant> {
        if self.out.has_ended() {
            return None;
        }
        let wakes = [
            self.answering.wake(),
            self.out.wake(),
            self.idle_at(),
            Some(self.expires.0),
        ];
        wakes.into_iter().flatten().min()
    }

    /// Whether the peer has said its last word.
    pub fn has_ended(&self) -> bool {
        self.out.has_ended()
    }

    /// Adds a fault that counts from now on.
    pub fn plant(&mut self, fault: Fault) {
        self.out.plant(fault);
    }

    /// The moments at which faults acted since this was asked last, e.g. `sent response.done`.
    pub fn take_fired(&mut self) -> Vec<String> {
        self.out.take_fired()
    }

    fn open(&mut self, fx: &mut PeerEffects) {
        match std::mem::replace(&mut self.greeting, Greeting::Session) {
            Greeting::Session => {
                let session = self.settings.session().clone();
                let event = ServerEvent::SessionCreated(SessionEvent { session });
                self.out.send(&event, fx);
                if self.out.dialect.can("conversation_created") {
                    let conversation = self.settings.conversation();
                    let event = ConversationEvent { conversation };
                    self.out.send(&ServerEvent::ConversationCreated(event), fx);
                }
            }
            Greeting::Refusal(problem, code, reason) => {
                self.out.send(&problem.into_event(None), fx);
                self.out.close(code, reason, fx);
            }
        }
    }

    fn expire(&mut self, now: Instant, fx: &mut PeerEffects) {
        self.finish_all(now, &Ending::Cancelled("client_cancelled"), fx);
        let lifetime_s = self.expires.1.as_secs();
        let text = match (lifetime_s / 60, lifetime_s % 60) {
            (minutes, 0) if minutes > 0 => format!("{minutes} minutes"),
            _ => format!("{lifetime_s} seconds"),
        };
        let text = format!("Your session hit the maximum duration of {text}.");
        let problem = Problem::new("session_expired", text.clone());
        self.out.send(&problem.into_event(None), fx);
        self.out.close(1001, &text, fx);
    }

    fn frame(&mut self, now: Instant, raw: &str, fx: &mut PeerEffects) {
        let dialect = self.out.dialect.clone();
        let decoded = match dialect.decode_client(raw) {
            Ok(decoded) => decoded,
            Err(malformed) => {
                let event = malformed_event(raw, &malformed);
                return self.out.send(&event, fx);
            }
        };
        let (event_id, is_rewritten) = (decoded.event_id, decoded.rewritten);
        let name = match &decoded.event {
            ClientFrame::Append(_) => talkwire_core::wire::client::APPEND,
            ClientFrame::Fields { name, .. } => name,
        };
        let is_limited = match self.out.received(name, event_id.as_deref(), fx) {
            Arrival::Refused => return,
            Arrival::Limited => true,
            Arrival::Welcome => false,
        };
        let most = dialect.table().limits.event_id_max as usize;
        let judged = match decoded.event {
            _ if event_id.as_ref().is_some_and(|id| id.len() > most) => {
                let message = format!("An event_id has at most {most} characters.");
                Err(Problem::value("event_id", message))
            }
            ClientFrame::Append(append)
                if append.audio.is_empty() && !raw.contains("\"audio\"") =>
            {
                Err(Problem::missing("audio"))
            }
            ClientFrame::Append(append) => self.append(now, &append.audio, fx),
            ClientFrame::Fields {
                foreign: Some(path),
                ..
            } => Err(Problem::unknown(path)),
            ClientFrame::Fields {
                name, mut fields, ..
            } => match self.out.mask.incoming(&name, &mut fields, is_rewritten) {
                Ok(Passage::Go) => self.event(now, &name, &fields, fx),
                Ok(Passage::Crash) => return self.crash(event_id, fx),
                Err(problem) => Err(problem),
            },
        };
        match judged {
            Err(problem) => self.out.send(&problem.into_event(event_id), fx),
            Ok(()) if is_limited => self.exceed_limit(now, fx),
            Ok(()) => {}
        }
    }

    fn event(
        &mut self,
        now: Instant,
        name: &str,
        fields: &Map,
        fx: &mut PeerEffects,
    ) -> Judged<()> {
        if !self.out.dialect.has_event(name) {
            let message = format!("The event '{name}' is not supported.");
            return Err(Problem::value("type", message));
        }
        match name {
            "session.update" => self.session_update(now, fields, fx),
            "input_audio_buffer.commit" => self.commit(now, fields, fx),
            "input_audio_buffer.clear" => self.clear(fields, fx),
            "conversation.item.create" => self.item_create(now, fields, fx),
            "conversation.item.retrieve" => self.item_retrieve(fields, fx),
            "conversation.item.truncate" => self.item_truncate(fields, fx),
            "conversation.item.delete" => self.item_delete(fields, fx),
            "response.create" | "response.cancel" if self.settings.is_transcription() => {
                let message = format!("A transcription session takes no '{name}'.");
                Err(Problem::value("type", message))
            }
            "response.create" => self.response_create(now, fields, fx),
            "response.cancel" => self.response_cancel(now, fields, fx),
            "output_audio_buffer.clear" => self.output_clear(now, fields, fx),
            _ => {
                let message = format!("Invalid value: '{name}' is no event of this protocol.");
                Err(Problem::value("type", message))
            }
        }
    }

    fn session_update(&mut self, now: Instant, fields: &Map, fx: &mut PeerEffects) -> Judged<()> {
        self.know(fields, &["session"])?;
        let patch = match fields.get("session") {
            Some(Value::Object(patch)) => patch,
            None => return Err(Problem::missing("session")),
            Some(_) => return Err(Problem::kind("session", "an object")),
        };
        let around = Circumstances {
            has_spoken: self.answering.has_spoken(),
            has_input: !self.hearer.buffer.is_empty(),
        };
        self.settings.update(patch, around)?;
        self.drop_probe(fx);
        self.idle.reconfigured(now);
        self.hearer.configure(&self.settings);
        let session = self.settings.session().clone();
        let event = ServerEvent::SessionUpdated(SessionEvent { session });
        self.out.send(&event, fx);
        self.list_tools(fx);
        Ok(())
    }

    /// Breaks down as servers do that do not expect what they got.
    fn crash(&mut self, event_id: Option<String>, fx: &mut PeerEffects) {
        let problem = Problem::new("server_error", "Internal error");
        self.out.send(&problem.into_event(event_id), fx);
        fx.push(PeerEffect::Drop);
        self.out.gone();
    }

    /// Refuses fields beside the known ones where the dialect is strict.
    pub(crate) fn know(&self, fields: &Map, known: &[&str]) -> Judged<()> {
        let unknown = fields.keys().find(|key| !known.contains(&key.as_str()));
        match unknown {
            Some(key) if self.out.dialect.table().strict => Err(Problem::unknown(key)),
            _ => Ok(()),
        }
    }
}

impl Greeting {
    fn of(setup: &Setup) -> Self {
        let dialect = &setup.dialect;
        if setup.is_withdrawn && dialect.has(Quirk::BetaHeaderRefused) {
            let message = "The Realtime Beta API is no longer supported. Use the GA API.";
            let problem = Problem::new("beta_api_shape_disabled", message);
            let reason = "invalid_request_error.beta_api_shape_disabled";
            return Self::Refusal(problem, 4000, reason);
        }
        if setup.is_bad_model {
            let problem = Problem::new("invalid_model", INVALID_MODEL);
            return Self::Refusal(problem.at("model"), 1008, INVALID_MODEL);
        }
        if setup.is_transcription && setup.model.is_some() && dialect.table().strict {
            let message =
                "A transcription session names its model in its settings, not in the URL.";
            let problem = Problem::new("invalid_model", message).at("model");
            return Self::Refusal(problem, 4000, "invalid_request_error.invalid_model");
        }
        Self::Session
    }
}

fn malformed_event(raw: &str, malformed: &Malformed) -> ServerEvent {
    match malformed {
        Malformed::Untyped(event_id) => {
            let problem = Problem::event(format!("Invalid event: {malformed}."));
            problem.at("type").into_event(event_id.clone())
        }
        Malformed::Audio(why) => {
            let event_id = Envelope::parse(raw).ok().and_then(|e| e.event_id());
            let message = format!("Invalid 'audio': expected base64, {why}.");
            Problem::value("audio", message).into_event(event_id)
        }
        _ => Problem::event(format!("Invalid event: {malformed}.")).into_event(None),
    }
}
