//! One response: from `response.created` to `response.done`, paced, cancellable at any point.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use talkwire_core::audio::format::Format;
use talkwire_core::wire::server::ResponseEvent;
use talkwire_core::wire::session::Modality;
use talkwire_core::wire::{Item, Map, Response, ServerEvent};

use crate::brain::{Act, Clip, McpCall, Step};
use crate::conversation::Conversation;
use crate::error;
use crate::flow::{Flow, Manner, Next};
use crate::io::{JobId, PeerEffects};
use crate::mcp::{Approvals, Leave};
use crate::outbox::Outbox;
use crate::pace::{Op, Pacing, plan_approval, plan_call, plan_mcp, plan_speech, plan_text};
use crate::part::{Open, Place};
use crate::quota::Quota;
use crate::settings::Request;
use crate::usage::{Read, Tokens, usage};

/// What a response works on.
pub(crate) struct Scene<'a> {
    pub(crate) now: Instant,
    pub(crate) pacing: Pacing,
    pub(crate) out: &'a mut Outbox,
    pub(crate) fx: &'a mut PeerEffects,
    pub(crate) talk: &'a mut Conversation,
    pub(crate) approvals: &'a mut Approvals,
    pub(crate) quota: &'a mut Quota,
}

/// What a response needs to go on.
#[derive(Debug)]
pub(crate) enum Need {
    /// To be called again at this time; `None` waits for somebody's answer.
    Time(Option<Instant>),
    /// A brain's answer: [`Run::answer`].
    Answer,
    /// Sound: [`Run::sound`], or the sound of a flow: [`Run::flow`].
    Sound {
        text: String,
        clip: Option<Arc<Clip>>,
    },
    /// Sound of a clause of its flow.
    Clause { number: u64, text: String },
    /// Nothing: it is over.
    Nothing,
}

/// How a response ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Completed,
    Cancelled(&'static str),
    Incomplete(&'static str),
    Failed(String),
    /// Failed with this code of an error and message.
    Refused(String, String),
}

/// A response that runs.
///
/// ```text
///  Hearing --(ears are done)--> Thinking --(brain answers)--> Writing <--> Flowing
///     any stage --(finish)--> over
/// ```
#[derive(Debug)]
pub(crate) struct Run {
    id: String,
    request: Request,
    stage: Stage,
    output: Vec<Item>,
    open: Option<Open>,
    read: Read,
    written: Tokens,
    /// When its first sound was sent, and how long all of it lasts.
    sounds: Option<(Instant, Duration)>,
    /// A tool of an MCP server brought something that is to be answered.
    has_news: bool,
}

#[derive(Debug)]
enum Stage {
    /// Waits for the transcript of what it is to answer.
    Hearing,
    /// Answers at this time.
    Thinking(Instant),
    Writing(Writing),
    /// Gives what jobs of brain and voice bring, and then the rest.
    Flowing(Flow, Writing),
}

/// What is left to do.
#[derive(Debug, Default)]
struct Writing {
    steps: VecDeque<Step>,
    ops: VecDeque<(Instant, Op)>,
    /// When the step before ends.
    free_at: Option<Instant>,
}

impl Run {
    /// Begins: sends `response.created`.
    pub(crate) fn start(
        request: Request,
        think_at: Option<Instant>,
        read: Read,
        scene: &mut Scene<'_>,
    ) -> Self {
        let run = Self {
            id: scene.out.id("resp"),
            request,
            stage: think_at.map_or(Stage::Hearing, Stage::Thinking),
            output: Vec::new(),
            open: None,
            read,
            written: Tokens::default(),
            sounds: None,
            has_news: false,
        };
        let response = run.report("in_progress", Value::Null);
        let event = ServerEvent::ResponseCreated(ResponseEvent { response });
        scene.out.send(&event, scene.fx);
        run
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// The jobs it waits for.
    pub(crate) fn jobs(&self) -> Vec<JobId> {
        match &self.stage {
            Stage::Flowing(flow, _) => flow.jobs(),
            Stage::Hearing | Stage::Thinking(_) | Stage::Writing(_) => Vec::new(),
        }
    }

    /// The transcript it waited for is there, or will not come.
    pub(crate) fn heard(&mut self, at: Instant) {
        if matches!(self.stage, Stage::Hearing) {
            self.stage = Stage::Thinking(at);
        }
    }

    /// Takes the brain's answer.
    pub(crate) fn answer(&mut self, now: Instant, steps: Vec<Step>) {
        self.stage = Stage::Writing(Writing {
            steps: steps.into(),
            ops: VecDeque::new(),
            free_at: Some(now),
        });
    }

    /// Runs a call that the client approved, and nothing else.
    pub(crate) fn run_approved(&mut self, now: Instant, call: McpCall, approved: String) {
        let mut writing = Writing::default();
        writing.plan(plan_mcp(now, call, Some(approved)));
        self.stage = Stage::Writing(writing);
    }

    /// When a listener has heard all that was sent until now.
    pub(crate) fn plays_until(&self, now: Instant) -> Instant {
        self.sounds
            .map_or(now, |(from, lasts)| (from + lasts).max(now))
    }

    /// Whether it ended with something that is to be answered.
    pub(crate) fn has_news(&self) -> bool {
        self.has_news
    }

    /// Takes the sound it needed; `samples` have the rate of its format.
    pub(crate) fn sound(&mut self, text: &str, samples: &[i16], scene: &Scene<'_>) {
        let format = self.format();
        let mut writing = self.take_writing();
        writing.plan(plan_speech(scene.now, scene.pacing, text, samples, format));
        self.stage = Stage::Writing(writing);
    }

    /// Gives what this flow brings before it goes on.
    pub(crate) fn flow(&mut self, flow: Flow) {
        let writing = self.take_writing();
        self.stage = Stage::Flowing(flow, writing);
    }

    /// The flow it gives.
    pub(crate) fn flowing(&mut self) -> Option<&mut Flow> {
        match &mut self.stage {
            Stage::Flowing(flow, _) => Some(flow),
            Stage::Hearing | Stage::Thinking(_) | Stage::Writing(_) => None,
        }
    }

    /// How a flow of this response is given.
    pub(crate) fn manner(&self, pacing: Pacing) -> Manner {
        let settings = &self.request.settings;
        Manner {
            spoken: (settings.modality() != Modality::Text).then(|| self.format()),
            pacing,
            may_call: settings.allows_tools(),
        }
    }

    /// Format of its audio.
    pub(crate) fn format(&self) -> Format {
        self.request.settings.output_format()
    }

    /// Does what is due, at most `budget` small operations, and says what it needs to go on.
    pub(crate) fn advance(&mut self, scene: &mut Scene<'_>, budget: &mut u32) -> Need {
        loop {
            let writing = match &mut self.stage {
                Stage::Hearing => return Need::Time(None),
                Stage::Thinking(at) if *at > scene.now => return Need::Time(Some(*at)),
                Stage::Thinking(_) => return Need::Answer,
                Stage::Flowing(..) => match self.advance_flow(scene, budget) {
                    Some(need) => return need,
                    None => continue,
                },
                Stage::Writing(writing) => writing,
            };
            if let Some((at, _)) = writing.ops.front() {
                if *at > scene.now || *budget == 0 {
                    return Need::Time(Some(*at));
                }
                *budget -= 1;
                let (_, op) = writing.ops.pop_front().expect("there is a front");
                if !self.run(op, scene) {
                    return Need::Nothing;
                }
                continue;
            }
            let Some(step) = writing.steps.front() else {
                self.finish(&Ending::Completed, scene);
                return Need::Nothing;
            };
            let free_at = writing.free_at.unwrap_or(scene.now);
            let due = free_at + Duration::from_millis(step.after_ms);
            if due > scene.now {
                return Need::Time(Some(due));
            }
            let step = writing.steps.pop_front().expect("there is a front");
            if let Act::Fail { code, message } = step.act {
                self.finish(&Ending::Refused(code, message), scene);
                return Need::Nothing;
            }
            if let Some(need) = self.begin(step.act, scene) {
                return need;
            }
        }
    }

    /// Does the next thing of the flow; `None` if there may be more to do.
    fn advance_flow(&mut self, scene: &mut Scene<'_>, budget: &mut u32) -> Option<Need> {
        let flow = self.flowing()?;
        if let Some((number, text)) = flow.wish() {
            return Some(Need::Clause { number, text });
        }
        if *budget == 0 {
            return Some(Need::Time(Some(scene.now)));
        }
        match flow.next(scene.now) {
            Next::Op(op) => {
                *budget -= 1;
                (!self.run(op, scene)).then_some(Need::Nothing)
            }
            Next::At(at) => Some(Need::Time(at)),
            Next::Over(None) => {
                let free_at = flow.free_at();
                let mut writing = self.take_writing();
                writing.free_at = Some(free_at);
                self.stage = Stage::Writing(writing);
                None
            }
            Next::Over(Some(reason)) => {
                self.finish(&Ending::Incomplete(reason), scene);
                Some(Need::Nothing)
            }
        }
    }

    fn begin(&mut self, act: Act, scene: &Scene<'_>) -> Option<Need> {
        let text_only = self.request.settings.modality() == Modality::Text;
        let ops = match act {
            Act::Say { text, .. } if text_only => plan_text(scene.now, scene.pacing, &text),
            Act::Say { text, clip } => return Some(Need::Sound { text, clip }),
            Act::Call { .. } if !self.request.settings.allows_tools() => return None,
            Act::Call { name, arguments } => plan_call(scene.now, &name, &arguments),
            Act::ServerCall { name, arguments } => {
                let tools = &scene.out.dialect.table().server_tools;
                if !tools.contains(&name) || !self.request.settings.offers(&name) {
                    return None;
                }
                plan_call(scene.now, &name, &arguments)
            }
            // Its question and its result are items of the conversation.
            Act::Mcp(_) if !self.request.in_conversation => return None,
            Act::Mcp(call) => match call.leave(&self.request.settings) {
                Leave::No => return None,
                Leave::Ask => plan_approval(scene.now, call),
                Leave::Yes => plan_mcp(scene.now, call, None),
            },
            Act::Fail { .. } => return None,
        };
        if let Stage::Writing(writing) = &mut self.stage {
            writing.plan(ops);
        }
        None
    }

    /// Does one operation; false when the response is over.
    fn run(&mut self, op: Op, scene: &mut Scene<'_>) -> bool {
        match op {
            Op::BeginMessage { spoken } => {
                let place = self.place(scene);
                self.open = Some(Open::message(place, spoken, scene));
            }
            Op::BeginCall { name } => {
                let place = self.place(scene);
                self.open = Some(Open::call(place, name, scene));
            }
            Op::BeginMcp(call, approved) => {
                let place = self.place(scene);
                self.open = Some(Open::mcp(place, call, approved, scene));
            }
            Op::RunMcp => {
                self.has_news = true;
                self.open().run_mcp(scene);
            }
            Op::AskMcp(call) => {
                let place = self.place(scene);
                self.open = Some(Open::approval(place, call, scene));
            }
            Op::Text(delta) => {
                let text = self.written.text + Tokens::of_text(&delta);
                let most = self.request.settings.max_tokens();
                if most.is_some_and(|most| text > most) {
                    self.finish(&Ending::Incomplete("max_output_tokens"), scene);
                    return false;
                }
                self.written.text = text;
                self.open().text(delta, scene);
            }
            Op::Audio(bytes) => {
                let format = self.format();
                let ms = format.ms_of_bytes(bytes.len() as u64);
                self.written.audio += Tokens::of_audio_ms(ms);
                let (_, lasts) = self.sounds.get_or_insert((scene.now, Duration::ZERO));
                *lasts += Duration::from_millis(ms);
                self.open().audio(bytes, format, scene);
            }
            Op::Arguments(delta) => {
                self.written.text += Tokens::of_text(&delta);
                self.open().arguments(delta, scene);
            }
            Op::End => self.close("completed", scene),
        }
        true
    }

    /// Ends it, whatever stage it is in: closes what is open, then `response.done`.
    pub(crate) fn finish(&mut self, ending: &Ending, scene: &mut Scene<'_>) {
        self.has_news &= *ending == Ending::Completed;
        self.close("incomplete", scene);
        let (status, details) = match ending {
            Ending::Completed => ("completed", Value::Null),
            Ending::Cancelled(reason) => {
                ("cancelled", json!({"type": "cancelled", "reason": reason}))
            }
            Ending::Incomplete(reason) => (
                "incomplete",
                json!({"type": "incomplete", "reason": reason}),
            ),
            Ending::Failed(message) => {
                let error =
                    json!({"type": "server_error", "code": "server_error", "message": message});
                ("failed", json!({"type": "failed", "error": error}))
            }
            Ending::Refused(code, message) => {
                if code == error::RATE_LIMIT {
                    scene.quota.exhaust(scene.now);
                }
                let kind = error::kind_of(code);
                let error = json!({"type": kind, "code": code, "message": message});
                ("failed", json!({"type": "failed", "error": error}))
            }
        };
        let mut response = self.report(status, details);
        let usage = usage(self.read, self.written);
        scene.quota.spend(scene.now, usage.total_tokens);
        response.usage = Some(usage);
        let event = ServerEvent::ResponseDone(ResponseEvent { response });
        scene.out.send(&event, scene.fx);
        scene.out.send(&scene.quota.event(scene.now), scene.fx);
    }

    fn open(&mut self) -> &mut Open {
        self.open.as_mut().expect("a plan begins an item first")
    }

    fn close(&mut self, status: &str, scene: &mut Scene<'_>) {
        if let Some(open) = self.open.take() {
            self.output.push(open.close(status, scene));
        }
    }

    fn place(&self, scene: &mut Scene<'_>) -> Place {
        Place {
            response_id: self.id.clone(),
            item_id: scene.out.id("item"),
            output_index: self.output.len() as u32,
            in_conversation: self.request.in_conversation,
        }
    }

    fn take_writing(&mut self) -> Writing {
        match std::mem::replace(&mut self.stage, Stage::Hearing) {
            Stage::Writing(writing) | Stage::Flowing(_, writing) => writing,
            Stage::Hearing | Stage::Thinking(_) => Writing::default(),
        }
    }

    fn report(&self, status: &str, details: Value) -> Response {
        let settings = &self.request.settings;
        let conversation_id = self.request.in_conversation.then(|| {
            // One conversation a session, so its id needs no state of its own.
            let session_id = settings.echo("/id");
            let session_id = session_id.as_str().unwrap_or_default();
            session_id.replacen("sess_", "conv_", 1)
        });
        let modality = settings.modality().name().to_owned();
        let output = json!({"format": settings.echo("/audio/output/format"),
            "voice": settings.echo("/audio/output/voice")});
        Response {
            id: Some(self.id.clone()),
            object: Some("realtime.response".to_owned()),
            status: Some(status.to_owned()),
            status_details: Some(details).filter(|d| !d.is_null()),
            output: self.output.clone(),
            conversation_id,
            output_modalities: vec![modality],
            max_output_tokens: settings.echo("/max_output_tokens"),
            audio: Some(json!({"output": output})),
            usage: None,
            metadata: self.request.metadata.clone(),
            extra: Map::new(),
        }
    }
}

impl Writing {
    fn plan(&mut self, (ops, end): (Vec<(Instant, Op)>, Instant)) {
        self.ops = ops.into();
        self.free_at = Some(end);
    }
}
