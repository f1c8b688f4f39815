//! What the agent does: responses from their request to their end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value;
use talkwire_core::audio::resample::resample;
use talkwire_core::wire::server::ResponseRef;
use talkwire_core::wire::{Item, Map, ServerEvent};

use crate::brain::{Answer, Clip, McpCall, Question};
use crate::context::{self, Cache};
use crate::error::{Judged, Problem, RATE_LIMIT};
use crate::flow::Flow;
use crate::io::PeerEffects;
use crate::item_rules::ItemRules;
use crate::jobs::Purpose;
use crate::peer::Peer;
use crate::question::since_answer;
use crate::quota::Quota;
use crate::response::{Ending, Need, Run, Scene};
use crate::settings::Request;
use crate::usage::{Read, Tokens};
use crate::voice::{Line, Speech};

/// Most responses at once: one in the conversation, the others out of band.
const MAX_RUNS: usize = 8;
/// Small operations of one step; the rest follows in the next one, after what the client sent.
const BUDGET: u32 = 64;
/// Most answers in a row to results of MCP calls: a script that always calls one would never end.
const MAX_FOLLOW_UPS: u32 = 8;

/// The responses of a session.
#[derive(Debug)]
pub(crate) struct Answering {
    pub(crate) runs: Vec<Run>,
    think: Duration,
    wake: Option<Instant>,
    cache: Cache,
    quota: Quota,
    /// Answers so far.
    turns: u32,
    /// Whether the agent has been heard.
    pub(crate) spoken: bool,
    /// A detected turn, or the result of an MCP call, waits for the running response to end.
    owed: bool,
    /// Approved MCP calls that wait for it, with the requests that the client approved.
    approved: VecDeque<(String, McpCall)>,
    /// Answers to results of MCP calls since the client last asked for something.
    follow_ups: u32,
}

impl Answering {
    pub(crate) fn new(think: Duration) -> Self {
        Self {
            runs: Vec::new(),
            think,
            cache: Cache::default(),
            quota: Quota::default(),
            wake: None,
            turns: 0,
            spoken: false,
            owed: false,
            approved: VecDeque::new(),
            follow_ups: 0,
        }
    }

    pub(crate) fn wake(&self) -> Option<Instant> {
        self.wake
    }

    pub(crate) fn has_spoken(&self) -> bool {
        self.spoken
    }

    pub(crate) fn transcripts_are_there(&mut self, now: Instant) {
        for run in &mut self.runs {
            run.heard(now + self.think);
        }
    }

    /// Whether a response runs in the conversation.
    pub(crate) fn is_answering(&self) -> bool {
        self.default_run().is_some()
    }

    /// The client wants something, so answers to results of MCP calls are counted anew.
    pub(crate) fn asked_by_client(&mut self) {
        self.follow_ups = 0;
    }

    fn default_run(&self) -> Option<usize> {
        let is_default = |run: &Run| run.request().in_conversation;
        self.runs.iter().position(is_default)
    }
}

impl Peer {
    pub(crate) fn response_create(
        &mut self,
        now: Instant,
        fields: &Map,
        fx: &mut PeerEffects,
    ) -> Judged<()> {
        self.know(fields, &["response"])?;
        let none = Map::new();
        let overrides = match fields.get("response") {
            None | Some(Value::Null) => &none,
            Some(Value::Object(overrides)) => overrides,
            Some(_) => return Err(Problem::kind("response", "an object")),
        };
        let mut request = self.settings.request(overrides)?;
        if !request.in_conversation && !self.out.dialect.can("out_of_band") {
            let message = "Responses beside the conversation are not supported.";
            return Err(Problem::value("response.conversation", message));
        }
        self.resolve(&mut request)?;
        let running = self.answering.default_run();
        if let Some(running) = running.filter(|_| request.in_conversation) {
            let running = &self.answering.runs[running];
            // Clients of lenient servers ask for an answer that the end of the turn asked for.
            if running.request().by_turn && !self.out.dialect.table().strict {
                return Ok(());
            }
            let message = format!(
                "Conversation already has an active response in progress: {}. Wait until the \
                 response is finished before creating a new one.",
                running.id()
            );
            let code = "conversation_already_has_active_response";
            return Err(Problem::new(code, message));
        }
        if self.answering.runs.len() >= MAX_RUNS {
            let message = format!("At most {MAX_RUNS} responses run at once.");
            return Err(Problem::new("rate_limit_exceeded", message));
        }
        self.start(now, request, fx)?;
        self.answering.asked_by_client();
        Ok(())
    }

    pub(crate) fn response_cancel(
        &mut self,
        now: Instant,
        fields: &Map,
        fx: &mut PeerEffects,
    ) -> Judged<()> {
        self.know(fields, &["response_id"])?;
        let at = match fields.get("response_id") {
            Some(Value::String(id)) => self.answering.runs.iter().position(|r| r.id() == id),
            None | Some(Value::Null) => self.answering.default_run(),
            Some(_) => return Err(Problem::kind("response_id", "a string")),
        };
        let Some(at) = at else {
            let message = "Cancellation failed: no active response found.";
            return Err(Problem::new("response_cancel_not_active", message));
        };
        self.finish(now, at, &Ending::Cancelled("client_cancelled"), fx);
        Ok(())
    }

    /// Drops the sound that is still to come: that of the response that runs.
    pub(crate) fn output_clear(
        &mut self,
        now: Instant,
        fields: &Map,
        fx: &mut PeerEffects,
    ) -> Judged<()> {
        self.know(fields, &[])?;
        let running = self.answering.default_run();
        let id = running.map(|at| self.answering.runs[at].id().to_owned());
        self.interrupt(now, &Ending::Cancelled("client_cancelled"), fx);
        let response_id = id.unwrap_or_default();
        let event = ServerEvent::OutputBufferCleared(ResponseRef { response_id });
        self.out.send(&event, fx);
        Ok(())
    }

    /// Answers a detected turn, now or after the response that runs.
    pub(crate) fn answer_turn(&mut self, now: Instant, fx: &mut PeerEffects) {
        if self.answering.default_run().is_some() {
            self.answering.owed = true;
            return;
        }
        if self.settings.is_transcription() {
            return;
        }
        let request = self.own_request();
        if let Err(problem) = self.start(now, request, fx) {
            self.out.send(&problem.into_event(None), fx);
        }
    }

    /// Runs an MCP call that the client approved, now or after the response that runs.
    pub(crate) fn run_approved(&mut self, approved: (String, McpCall)) {
        self.answering.asked_by_client();
        self.answering.approved.push_back(approved);
    }

    /// A response that the client did not ask for.
    fn own_request(&self) -> Request {
        let request = self.settings.request(&Map::new());
        let mut request = request.expect("no overrides are valid overrides");
        request.by_turn = true;
        request
    }

    /// Ends the response that began last: a fault says that a quota is used up.
    pub(crate) fn exceed_limit(&mut self, now: Instant, fx: &mut PeerEffects) {
        if let Some(at) = self.answering.runs.len().checked_sub(1) {
            let message = "Rate limit reached. Try again later.".to_owned();
            let ending = Ending::Refused(RATE_LIMIT.to_owned(), message);
            self.finish(now, at, &ending, fx);
        }
    }

    /// Ends the response in the conversation, if one runs.
    pub(crate) fn interrupt(&mut self, now: Instant, ending: &Ending, fx: &mut PeerEffects) {
        if let Some(at) = self.answering.default_run() {
            self.finish(now, at, ending, fx);
        }
    }

    /// Ends all responses.
    pub(crate) fn finish_all(&mut self, now: Instant, ending: &Ending, fx: &mut PeerEffects) {
        while !self.answering.runs.is_empty() {
            self.finish(now, 0, ending, fx);
        }
    }

    /// Does what is due in all responses.
    pub(crate) fn advance(&mut self, now: Instant, fx: &mut PeerEffects) {
        let mut budget = BUDGET;
        let mut wake: Option<Instant> = None;
        let mut at = 0;
        while at < self.answering.runs.len() && !self.out.has_ended() {
            let Some(due) = self.advance_one(now, at, &mut budget, fx) else {
                continue;
            };
            wake = due.map_or(wake, |due| Some(wake.map_or(due, |wake| wake.min(due))));
            at += 1;
        }
        self.answering.wake = wake;
        let free = self.answering.default_run().is_none();
        if free && !self.out.has_ended() && self.catch_up(now, fx) {
            self.advance(now, fx);
        }
    }

    /// Begins what waited for the conversation to be free; false if nothing did.
    fn catch_up(&mut self, now: Instant, fx: &mut PeerEffects) -> bool {
        if let Some((request_id, call)) = self.answering.approved.pop_front() {
            let request = self.own_request();
            match self.start(now, request, fx) {
                Ok(()) => {
                    let run = self.answering.runs.last_mut().expect("it was just begun");
                    run.run_approved(now, call, request_id);
                }
                Err(problem) => self.out.send(&problem.into_event(None), fx),
            }
            return true;
        }
        if std::mem::take(&mut self.answering.owed) {
            self.answer_turn(now, fx);
            return true;
        }
        false
    }

    /// When response `at` wants to be called again; `None` when it is over.
    fn advance_one(
        &mut self,
        now: Instant,
        at: usize,
        budget: &mut u32,
        fx: &mut PeerEffects,
    ) -> Option<Option<Instant>> {
        loop {
            let (run, mut scene) = self.scene(now, at, fx);
            match run.advance(&mut scene, budget) {
                Need::Time(due) => return Some(due),
                Need::Nothing => {
                    self.stop_jobs(at, fx);
                    let run = self.answering.runs.remove(at);
                    self.ended(now, &run);
                    self.follow_up(&run);
                    return None;
                }
                Need::Answer => self.think(now, at, fx),
                Need::Sound { text, clip } => {
                    self.answering.spoken = true;
                    let run = &mut self.answering.runs[at];
                    let rate_hz = run.format().rate_hz();
                    let voice = &mut self.backends.voice;
                    let line = Line {
                        text: &text,
                        clip: clip.as_deref(),
                        rate_hz,
                        voice: run.request().settings.voice(),
                    };
                    match voice.speak(&line) {
                        Speech::Now(clip) => {
                            if !self.sound(now, at, &text, &clip, fx) {
                                return None;
                            }
                        }
                        later => {
                            let manner = run.manner(self.pacing);
                            run.flow(Flow::of_speech(now, manner, text));
                            self.voice_later(at, crate::flow::ONLY_CLAUSE, later, fx);
                        }
                    }
                }
                Need::Clause { number, text } => {
                    if !self.voice(now, at, number, &text, fx) {
                        return None;
                    }
                }
            }
        }
    }

    /// Answers results of MCP calls, where that is not left to the client.
    fn follow_up(&mut self, run: &Run) {
        let answers = run.has_news() && self.out.dialect.can("mcp_answers");
        if answers && self.answering.follow_ups < MAX_FOLLOW_UPS {
            self.answering.follow_ups += 1;
            self.answering.owed = true;
        }
    }

    fn start(&mut self, now: Instant, request: Request, fx: &mut PeerEffects) -> Judged<()> {
        let think_at = (!self.jobs.hears()).then_some(now + self.answering.think);
        let read = self.read(&request)?;
        if request.in_conversation {
            self.idle.disturbed();
        }
        let mut scene = Scene {
            now,
            pacing: self.pacing,
            out: &mut self.out,
            fx,
            talk: &mut self.talk,
            approvals: &mut self.mcp.approvals,
            quota: &mut self.answering.quota,
        };
        let run = Run::start(request, think_at, read, &mut scene);
        self.answering.runs.push(run);
        Ok(())
    }

    /// Ends response `at`; what is still being made for it is not wanted any more.
    pub(crate) fn finish(
        &mut self,
        now: Instant,
        at: usize,
        ending: &Ending,
        fx: &mut PeerEffects,
    ) {
        self.stop_jobs(at, fx);
        let (run, mut scene) = self.scene(now, at, fx);
        run.finish(ending, &mut scene);
        let run = self.answering.runs.remove(at);
        self.ended(now, &run);
    }

    fn ended(&mut self, now: Instant, run: &Run) {
        if run.request().in_conversation {
            self.idle.answered(run.plays_until(now));
        }
    }

    /// Finds the items of a response's own input.
    fn resolve(&self, request: &mut Request) -> Judged<()> {
        if let Some(values) = &request.input {
            let rules = ItemRules {
                talk: &self.talk,
                approvals: &self.mcp.approvals,
                dialect: &self.out.dialect,
            };
            request.items = Some(rules.input(values)?);
        }
        Ok(())
    }

    /// What a response reads: its own input, or what the window holds of the conversation.
    fn read(&mut self, request: &Request) -> Judged<Read> {
        let cache = &mut self.answering.cache;
        match &request.items {
            Some(items) => {
                let instructions = Tokens::of_text(request.settings.instructions());
                let text = instructions + Tokens::of_items(items.iter());
                let all = Tokens { text, audio: 0 };
                let cached = Tokens::default();
                Ok(Read { all, cached })
            }
            None if request.in_conversation => {
                context::read(&mut self.talk, &request.settings, cache)
            }
            // One beside the conversation does not make the next one in it read all again.
            None => context::read(&mut self.talk, &request.settings, &mut Cache::default()),
        }
    }

    fn stop_jobs(&mut self, at: usize, fx: &mut PeerEffects) {
        for job in self.answering.runs[at].jobs() {
            self.jobs.stop(job, fx);
        }
    }

    /// Gives response `at` its sound; false if that ended it.
    fn sound(
        &mut self,
        now: Instant,
        at: usize,
        text: &str,
        clip: &Clip,
        fx: &mut PeerEffects,
    ) -> bool {
        let rate_hz = self.answering.runs[at].format().rate_hz();
        match resample(&clip.samples, clip.rate_hz, rate_hz) {
            Ok(samples) => {
                let (run, scene) = self.scene(now, at, fx);
                run.sound(text, &samples, &scene);
                true
            }
            Err(error) => {
                let message = format!("the voice gave sound of {} Hz: {error}", clip.rate_hz);
                self.finish(now, at, &Ending::Failed(message), fx);
                false
            }
        }
    }

    fn scene<'a>(
        &'a mut self,
        now: Instant,
        at: usize,
        fx: &'a mut PeerEffects,
    ) -> (&'a mut Run, Scene<'a>) {
        let scene = Scene {
            now,
            pacing: self.pacing,
            out: &mut self.out,
            fx,
            talk: &mut self.talk,
            approvals: &mut self.mcp.approvals,
            quota: &mut self.answering.quota,
        };
        (&mut self.answering.runs[at], scene)
    }

    /// Asks the brain.
    fn think(&mut self, now: Instant, at: usize, fx: &mut PeerEffects) {
        let run = &mut self.answering.runs[at];
        let request = run.request();
        let own_input = request.items.as_ref();
        let items: Vec<Item> = match own_input {
            Some(items) => items.clone(),
            None => self.talk.context().cloned().collect(),
        };
        let (heard, outputs) = since_answer(&items);
        let speech = match request.in_conversation {
            true => self.hearer.unanswered.take(),
            // Beside the conversation nothing is answered: it only looks on.
            false if own_input.is_none() => self.hearer.unanswered.clone(),
            false => None,
        };
        self.answering.turns += u32::from(request.in_conversation);
        let (tools, tool_choice) = request.settings.tools();
        let question = Question {
            turn: self.answering.turns.max(1),
            heard: &heard,
            speech: speech.as_ref(),
            outputs: &outputs,
            instructions: request.settings.instructions(),
            items: &items,
            may_call: request.settings.allows_tools(),
            tools,
            tool_choice,
            max_tokens: request.settings.max_tokens(),
        };
        match self.backends.brain.answer(&question) {
            Answer::Now(steps) => run.answer(now, steps),
            Answer::Later(job, reader) => {
                let response_id = run.id().to_owned();
                let job = self.jobs.start(Purpose::Think { response_id }, job, fx);
                let manner = run.manner(self.pacing);
                run.flow(Flow::of_brain(now, manner, job, reader));
            }
        }
    }
}
