//! One response: from `response.created` to `response.done`, paced, cancellable at any point.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use talkwire_core::audio::format::Format;
use talkwire_core::wire::server::{RateLimits, ResponseEvent};
use talkwire_core::wire::session::Modality;
use talkwire_core::wire::{Item, Map, Response, ServerEvent};

use crate::brain::{Act, Clip, Step};
use crate::conversation::Conversation;
use crate::io::{JobId, PeerEffects};
use crate::outbox::Outbox;
use crate::pace::{Op, Pacing, plan_call, plan_speech, plan_text};
use crate::part::{Open, Place};
use crate::settings::Request;
use crate::usage::{Tokens, usage};

/// What a response works on.
pub(crate) struct Scene<'a> {
    pub(crate) now: Instant,
    pub(crate) pacing: Pacing,
    pub(crate) out: &'a mut Outbox,
    pub(crate) fx: &'a mut PeerEffects,
    pub(crate) talk: &'a mut Conversation,
}

/// What a response needs to go on.
#[derive(Debug)]
pub(crate) enum Need {
    /// To be called again at this time; `None` waits for somebody's answer.
    Time(Option<Instant>),
    /// A brain's answer: [`Run::answer`].
    Answer,
    /// Sound: [`Run::sound`] or [`Run::await_sound`].
    Sound {
        text: String,
        clip: Option<Arc<Clip>>,
    },
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
}

/// A response that runs.
///
/// ```text
///  Hearing --(ears are done)--> Thinking --(brain answers)--> Writing <--> Voicing
///     any stage --(finish)--> over
/// ```
#[derive(Debug)]
pub(crate) struct Run {
    id: String,
    request: Request,
    stage: Stage,
    output: Vec<Item>,
    open: Option<Open>,
    input: Tokens,
    written: Tokens,
}

#[derive(Debug)]
enum Stage {
    /// Waits for the transcript of what it is to answer.
    Hearing,
    /// Answers at this time.
    Thinking(Instant),
    Writing(Writing),
    /// Waits for a job of the voice; holds the text that is to be spoken.
    Voicing(JobId, String, Writing),
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
        input: Tokens,
        scene: &mut Scene<'_>,
    ) -> Self {
        let run = Self {
            id: scene.out.id("resp"),
            request,
            stage: think_at.map_or(Stage::Hearing, Stage::Thinking),
            output: Vec::new(),
            open: None,
            input,
            written: Tokens::default(),
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

    /// The job it waits for.
    pub(crate) fn job(&self) -> Option<JobId> {
        match &self.stage {
            Stage::Voicing(job, ..) => Some(*job),
            Stage::Hearing | Stage::Thinking(_) | Stage::Writing(_) => None,
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

    /// Takes the sound it needed; `samples` have the rate of its format.
    pub(crate) fn sound(&mut self, text: &str, samples: &[i16], scene: &Scene<'_>) {
        let format = self.format();
        let mut writing = self.take_writing();
        writing.plan(plan_speech(scene.now, scene.pacing, text, samples, format));
        self.stage = Stage::Writing(writing);
    }

    /// Notes that the sound comes from a job.
    pub(crate) fn await_sound(&mut self, job: JobId, text: String) {
        let writing = self.take_writing();
        self.stage = Stage::Voicing(job, text, writing);
    }

    /// The text whose sound it waits for.
    pub(crate) fn awaited_text(&self) -> &str {
        match &self.stage {
            Stage::Voicing(_, text, _) => text,
            Stage::Hearing | Stage::Thinking(_) | Stage::Writing(_) => "",
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
                Stage::Hearing | Stage::Voicing(..) => return Need::Time(None),
                Stage::Thinking(at) if *at > scene.now => return Need::Time(Some(*at)),
                Stage::Thinking(_) => return Need::Answer,
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
            if let Some(need) = self.begin(step.act, scene) {
                return need;
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
            Op::Text(delta) => {
                self.written.text += Tokens::of_text(&delta);
                let most = self.request.settings.max_tokens();
                if most.is_some_and(|most| self.written.text > most) {
                    self.finish(&Ending::Incomplete("max_output_tokens"), scene);
                    return false;
                }
                self.open().text(delta, scene);
            }
            Op::Audio(bytes) => {
                let format = self.format();
                let ms = format.ms_of_bytes(bytes.len() as u64);
                self.written.audio += Tokens::of_audio_ms(ms);
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
        };
        let mut response = self.report(status, details);
        response.usage = Some(usage(self.input, self.written));
        let event = ServerEvent::ResponseDone(ResponseEvent { response });
        scene.out.send(&event, scene.fx);
        scene.out.send(&rate_limits(), scene.fx);
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
            Stage::Writing(writing) | Stage::Voicing(_, _, writing) => writing,
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

/// Quotas that never run out.
fn rate_limits() -> ServerEvent {
    let limit = |name: &str, limit: u64| {
        let value = json!({"name": name, "limit": limit, "remaining": limit - 1,
            "reset_seconds": 0.0});
        value.as_object().cloned().unwrap_or_default()
    };
    ServerEvent::RateLimits(RateLimits {
        rate_limits: vec![limit("requests", 1000), limit("tokens", 1_000_000)],
    })
}
