//! Plays a flow on a stage.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use super::ast::{Assertion, Common, Expect, Flow, Message, Pattern, Role, Stream, Verb};
use super::check::{Evidence, Logged};
use super::expand::{Act, Cue, expand};
use super::matcher::{Fit, Matcher};
use super::report::{Failure, Report, Verdict};
use super::stage::{End, OpenSpec, Seen, ServerAct, Sound, Stage};
use super::value::{Bindings, shorten};

/// How patient the runner is.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long nothing may happen while a line is awaited.
    pub within_ms: u32,
    /// How long the runner listens for unexpected events after the last line.
    pub settle_ms: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            within_ms: 5000,
            settle_ms: 100,
        }
    }
}

/// A peer that never falls silent must not keep a test alive for ever.
const EVENTS_MAX: usize = 20_000;
const LAST_SHOWN: usize = 10;

/// Plays `flow` as `profile` on `stage`, which was made for this flow.
///
/// A flow that is not meant for the profile is a mistake of the caller and fails.
pub fn run(
    flow: &Flow,
    profile: &str,
    common: &Common,
    stage: &mut dyn Stage,
    options: Options,
) -> Report {
    let mut runner = Runner::new(flow, profile, stage, options);
    let outcome = runner.play(&expand(flow, profile, common));
    let pending_steps = runner.pending_steps.clone();
    let verdict = match (outcome, &flow.pending) {
        (Ok(()), None) => Verdict::Passed,
        (Err(failure), None) => Verdict::Failed(failure),
        (Err(failure), Some(capability)) => Verdict::Pending(capability.clone(), failure),
        (Ok(()), Some(capability)) => {
            let reason = format!("the flow passes: remove `pending: {capability}`");
            Verdict::Failed(runner.failure_at_start(reason))
        }
    };
    Report {
        id: flow.id.clone(),
        profile: profile.to_owned(),
        verdict,
        pending_steps,
    }
}

/// Plays the first `steps` of a flow and leaves the session as it is then. Returns whether it is
/// open.
pub fn run_part(
    flow: &Flow,
    profile: &str,
    common: &Common,
    stage: &mut dyn Stage,
    steps: usize,
) -> Result<bool, Failure> {
    let mut runner = Runner::new(flow, profile, stage, Options::default());
    for cue in expand(flow, profile, common).iter().take(steps) {
        runner
            .act(cue)
            .map_err(|reason| runner.failure(cue, reason))?;
    }
    Ok(matches!(runner.phase, Phase::Open))
}

/// After how many steps of a flow something has happened since the moment before, the first of them
/// being that its session was opened; the end of a session is none.
pub fn moments(flow: &Flow, profile: &str, common: &Common) -> Vec<usize> {
    let is_one = |act: &Act| !matches!(act, Act::Assert(_) | Act::Drive(Verb::Mark(_)));
    let cues = expand(flow, profile, common);
    let steps = cues.iter().enumerate();
    let ends = |act: &Act| matches!(act, Act::Drive(Verb::ExpectEnd(_)));
    steps
        .take_while(|(_, cue)| !ends(&cue.act))
        .skip_while(|(_, cue)| !matches!(cue.act, Act::Drive(Verb::Open(_))))
        .filter(|(_, cue)| is_one(&cue.act))
        .map(|(at, _)| at + 1)
        .collect()
}

struct Runner<'a> {
    flow: &'a Flow,
    profile: &'a str,
    stage: &'a mut dyn Stage,
    options: Options,
    bindings: Bindings,
    log: Vec<Logged>,
    marks: BTreeMap<String, usize>,
    app: Lane,
    sent: Lane,
    phase: Phase,
    pending_steps: Vec<String>,
}

/// One stream: the events that no line was offered yet, and the open lines.
struct Lane {
    waiting: VecDeque<usize>,
    matcher: Matcher,
}

enum Phase {
    Before,
    Open,
    /// Ended, and no line has said yet how.
    Ended(End),
    Over,
}

type Outcome = Result<(), String>;

impl<'a> Runner<'a> {
    fn new(flow: &'a Flow, profile: &'a str, stage: &'a mut dyn Stage, options: Options) -> Self {
        let lane = |stream| Lane {
            waiting: VecDeque::new(),
            matcher: Matcher::new(stream),
        };
        Self {
            flow,
            profile,
            stage,
            options,
            bindings: Bindings::default(),
            log: Vec::new(),
            marks: BTreeMap::new(),
            app: lane(Stream::App),
            sent: lane(Stream::Sent),
            phase: Phase::Before,
            pending_steps: Vec::new(),
        }
    }

    fn play(&mut self, cues: &[Cue]) -> Result<(), Failure> {
        if !self
            .flow
            .profiles
            .iter()
            .any(|profile| profile == self.profile)
        {
            return Err(self.failure_at_start(format!("not meant for {}", self.profile)));
        }
        let mut outcome = cues
            .iter()
            .try_for_each(|cue| self.act(cue).map_err(|reason| self.failure(cue, reason)));
        if outcome.is_ok() {
            outcome = self.finish().map_err(|(cue, reason)| match cue {
                Some(cue) => self.failure(&cue, reason),
                None => self.failure_at_start(reason),
            });
        }
        if outcome.is_err() && matches!(self.phase, Phase::Open) {
            self.stage.close();
        }
        outcome
    }

    fn act(&mut self, cue: &Cue) -> Outcome {
        self.pending_steps.extend(cue.pending.clone());
        if matches!(cue.act, Act::Send(_) | Act::Drive(_)) {
            self.catch_up()?;
        }
        match &cue.act {
            Act::Send(message) => self.send(message),
            Act::Expect(expects) => self.expect(expects, cue),
            Act::Drive(verb) => self.drive(verb),
            Act::Assert(assertion) => self.assert(assertion, cue.pending.as_deref()),
        }
    }

    fn send(&mut self, message: &Message) -> Outcome {
        let text = self.render(message)?;
        self.scripted(text)
    }

    /// The scripted end sends: the server of a client under test, the application otherwise.
    fn scripted(&mut self, text: String) -> Outcome {
        self.need_open()?;
        match self.flow.role {
            Role::Session => self.stage.send(&text),
            Role::ClientUnderTest => self.stage.serve(ServerAct::Text(text)),
        }
        .map_err(|error| error.to_string())
    }

    fn render(&self, message: &Message) -> Result<String, String> {
        let body = self.bindings.render(&message.body);
        let mut body = body.map_err(|variable| format!("{variable} is not bound"))?;
        if let Value::Object(map) = &mut body {
            map.insert("type".into(), Value::String(message.name.text.clone()));
        }
        Ok(body.to_string())
    }

    fn need_open(&self) -> Outcome {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::Before => Err("the session was not opened".into()),
            Phase::Ended(end) => Err(format!("the session has ended: {}", end.to_value())),
            Phase::Over => Err("the session is over".into()),
        }
    }

    fn lane(&mut self, stream: Stream) -> &mut Lane {
        match stream {
            Stream::App => &mut self.app,
            Stream::Sent => &mut self.sent,
        }
    }

    fn expect(&mut self, expects: &[Expect], cue: &Cue) -> Outcome {
        let stream = expects.first().map_or(Stream::App, |expect| expect.stream);
        let lane = self.lane(stream);
        lane.matcher.push(expects, cue);
        if cue.pending.is_some() {
            return Ok(());
        }
        while self.lane(stream).matcher.is_waiting() {
            if self.offer(stream)? {
                continue;
            }
            self.need_open()?;
            if !self.fetch(self.options.within_ms)? {
                return Err(format!("nothing came for {} ms", self.options.within_ms));
            }
        }
        Ok(())
    }

    /// Offers the oldest waiting event of a stream to its lines; false when there is none.
    fn offer(&mut self, stream: Stream) -> Result<bool, String> {
        let lane = match stream {
            Stream::App => &mut self.app,
            Stream::Sent => &mut self.sent,
        };
        let Some(index) = lane.waiting.pop_front() else {
            return Ok(false);
        };
        let event = &self.log[index].event;
        match lane.matcher.take(event, &mut self.bindings) {
            Fit::Taken | Fit::Ignored => Ok(true),
            Fit::Unexpected(why) => Err(format!(
                "unexpected event {} ({why})",
                shorten(&event.to_string())
            )),
            Fit::Premature(cue) => Err(format!(
                "{}: a pending line passes: remove the mark from `{}`",
                cue.place, cue.text
            )),
        }
    }

    /// Waits for the next thing to happen; false when nothing does.
    fn fetch(&mut self, within_ms: u32) -> Result<bool, String> {
        let Some(seen) = self.stage.next(within_ms) else {
            return Ok(false);
        };
        let (stream, event) = match seen {
            Seen::End(end) if matches!(self.phase, Phase::Open) => {
                self.phase = Phase::Ended(end);
                return Ok(true);
            }
            Seen::End(end) => return Err(format!("a second end: {}", end.to_value())),
            Seen::Event(event) => (Stream::App, event),
            Seen::Sent(event) => (Stream::Sent, event),
        };
        if stream == Stream::App && !matches!(self.phase, Phase::Open) {
            return Err(format!(
                "an event after the end: {}",
                shorten(&event.to_string())
            ));
        }
        if self.log.len() >= EVENTS_MAX {
            return Err(format!("more than {EVENTS_MAX} events"));
        }
        let index = self.log.len();
        self.lane(stream).waiting.push_back(index);
        self.log.push(Logged { stream, event });
        Ok(true)
    }

    fn drain(&mut self) -> Outcome {
        while matches!(self.phase, Phase::Open) && self.fetch(0)? {}
        Ok(())
    }

    /// What happened before the next action belongs to the lines before it.
    fn catch_up(&mut self) -> Outcome {
        self.drain()?;
        for lane in [&mut self.app, &mut self.sent] {
            while let Some(index) = lane.waiting.front() {
                let event = &self.log[*index].event;
                if !lane.matcher.take_early(event, &mut self.bindings) {
                    break;
                }
                lane.waiting.pop_front();
            }
        }
        Ok(())
    }

    fn drive(&mut self, verb: &Verb) -> Outcome {
        match verb {
            Verb::Open(spec) => self.open(spec),
            Verb::ExpectEnd(pattern) => self.expect_end(pattern),
            Verb::Mark(name) => {
                let next = self.app.waiting.front().copied().unwrap_or(self.log.len());
                self.marks.insert(name.clone(), next);
                Ok(())
            }
            Verb::Raw(text) => self.scripted(text.clone()),
            Verb::Crowd(sessions) => self
                .stage
                .crowd(*sessions)
                .map_err(|error| error.to_string()),
            Verb::Wait(ms) => {
                self.stage.wait(*ms);
                self.drain()
            }
            open => {
                self.need_open()?;
                self.drive_open(open)
            }
        }
    }

    /// Verbs that need a session.
    fn drive_open(&mut self, verb: &Verb) -> Outcome {
        let done = match verb {
            Verb::Close => {
                self.stage.close();
                Ok(())
            }
            Verb::Speak(ms) => self.stage.append_audio(Sound::Speech, *ms),
            Verb::Silence(ms) => self.stage.append_audio(Sound::Silence, *ms),
            Verb::Play(ms) => self.stage.played(*ms),
            Verb::Do(act) => self.stage.act(act),
            Verb::App(message) => {
                let text = self.render(message)?;
                self.stage.send(&text)
            }
            Verb::ServerClose(code, reason) => {
                self.stage.serve(ServerAct::Close(*code, reason.clone()))
            }
            Verb::Drop => self.stage.serve(ServerAct::Drop),
            Verb::Binary(bytes) => self
                .stage
                .serve(ServerAct::Binary(vec![0; *bytes as usize])),
            Verb::NoPong => self.stage.serve(ServerAct::NoPong),
            Verb::Open(_)
            | Verb::ExpectEnd(_)
            | Verb::Mark(_)
            | Verb::Raw(_)
            | Verb::Crowd(_)
            | Verb::Wait(_) => Ok(()),
        };
        done.map_err(|error| error.to_string())
    }

    fn open(&mut self, spec: &Pattern) -> Outcome {
        if !matches!(self.phase, Phase::Before) {
            return Err("the session was opened already".into());
        }
        let spec = self
            .bindings
            .render(spec)
            .map_err(|name| format!("{name} is not bound"))?;
        let text = |key: &str| spec.get(key).and_then(Value::as_str).map(str::to_owned);
        let opened = self.stage.open(&OpenSpec {
            profile: self.profile.to_owned(),
            role: self.flow.role,
            call: self.flow.call.clone(),
            options: self.flow.options.clone(),
            model: text("model"),
            key: text("key"),
            headers: pairs(spec.get("headers")),
            query: pairs(spec.get("query")),
        });
        self.phase = match opened {
            Ok(()) => Phase::Open,
            Err(end) => Phase::Ended(end),
        };
        Ok(())
    }

    fn expect_end(&mut self, pattern: &Pattern) -> Outcome {
        while matches!(self.phase, Phase::Open) {
            if !self.fetch(self.options.within_ms)? {
                return Err(format!("no end within {} ms", self.options.within_ms));
            }
        }
        while self.offer(Stream::App)? {}
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Ended(end) => self
                .bindings
                .take(pattern, &end.to_value())
                .map_err(|mismatch| format!("{mismatch}, in {}", end.to_value())),
            Phase::Before => Err("the session was not opened".into()),
            Phase::Open | Phase::Over => Err("the session is over".into()),
        }
    }

    fn assert(&mut self, assertion: &Assertion, pending: Option<&str>) -> Outcome {
        self.drain()?;
        let stage = &mut *self.stage;
        let mut line = |item: &str| stage.line(item).map_err(|error| error.to_string());
        let mut evidence = Evidence {
            log: &self.log,
            marks: &self.marks,
            bindings: &self.bindings,
            line: &mut line,
        };
        match (evidence.check(assertion), pending) {
            (outcome, None) => outcome,
            (Err(_), Some(_)) => Ok(()),
            (Ok(()), Some(capability)) => Err(format!(
                "the condition holds: remove `pending: {capability}`"
            )),
        }
    }

    /// Waits for what is owed, listens for what is unexpected, and ends the session.
    fn finish(&mut self) -> Result<(), (Option<Box<Cue>>, String)> {
        let plain = |reason| (None, reason);
        while let Some(cue) = self.app.matcher.owed().cloned() {
            let blame = |reason| (Some(Box::new(cue.clone())), reason);
            if self.offer(Stream::App).map_err(blame)? {
                continue;
            }
            self.need_open().map_err(blame)?;
            if !self.fetch(self.options.within_ms).map_err(blame)? {
                return Err(blame(format!(
                    "nothing came for {} ms",
                    self.options.within_ms
                )));
            }
        }
        while !matches!(self.phase, Phase::Before | Phase::Ended(_))
            && self.fetch(self.options.settle_ms).map_err(plain)?
        {}
        for stream in [Stream::App, Stream::Sent] {
            while self.offer(stream).map_err(plain)? {}
        }
        self.leave().map_err(plain)
    }

    fn leave(&mut self) -> Outcome {
        match &self.phase {
            Phase::Before | Phase::Over => return Ok(()),
            Phase::Ended(_) => return self.need_open(),
            Phase::Open => self.stage.close(),
        }
        while matches!(self.phase, Phase::Open) {
            if !self.fetch(self.options.within_ms)? {
                return Err(format!(
                    "close() gave no end within {} ms",
                    self.options.within_ms
                ));
            }
        }
        match &self.phase {
            Phase::Ended(end) if end.expected => Ok(()),
            Phase::Ended(end) => Err(format!(
                "close() gave an unexpected end: {}",
                end.to_value()
            )),
            Phase::Before | Phase::Open | Phase::Over => Ok(()),
        }
    }

    fn failure(&self, cue: &Cue, reason: String) -> Failure {
        Failure {
            place: cue.place.clone(),
            via: cue.via.clone(),
            line: cue.text.clone(),
            reason,
            last: self.last_seen(),
        }
    }

    fn failure_at_start(&self, reason: String) -> Failure {
        Failure {
            place: self.flow.place.clone(),
            via: None,
            line: format!("flow {}: {}", self.flow.id, self.flow.title),
            reason,
            last: self.last_seen(),
        }
    }

    fn last_seen(&self) -> Vec<String> {
        let from = self.log.len().saturating_sub(LAST_SHOWN);
        self.log[from..]
            .iter()
            .map(|logged| shorten(&logged.event.to_string()))
            .collect()
    }
}

fn pairs(object: Option<&Value>) -> Vec<(String, String)> {
    let map = object.and_then(Value::as_object).into_iter().flatten();
    map.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
