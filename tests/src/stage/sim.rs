//! The simulator: engine and local server, or engine and script, joined by a network of queues in
//! virtual time. The same inputs give the same bytes, and a minute takes no time.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use talkwire_core::audio::port;
use talkwire_core::dialect::Dialect;
use talkwire_core::engine::Engine;
use talkwire_core::engine::history::Segment;
use talkwire_core::engine::io::{
    Command, Down, Effect, Effects, Frame, Input, LinkId, Mark, Reply, Ticket,
};
use talkwire_core::error::Provider;
use talkwire_core::options::rollover::Recovery;
use talkwire_core::wire::ClientEvent;
use talkwire_core::wire::client::Append;
use talkwire_core::{Error, Kind, Settings, Unsent};
use talkwire_server::{Clock, Knock, PeerEffect, PeerEffects, PeerInput, Plan};

use super::caller::{Caller, Habits, Recorded};
use super::line::{Downward, Far, Line, Up};
use super::rules::Rules;
use super::{FRAME_MS, Speaker, config, end, input_format, is_event, options, seen};
use crate::flow::{
    AppAct, End, Fault, Flow, OpenSpec, Role, Seen, ServerAct, Sound, Stage, StageError,
};

/// One way through the network.
const LATENCY: Duration = Duration::from_millis(5);

/// A world of one session.
pub struct Sim {
    now: Instant,
    clock: Clock,
    dialect: Arc<Dialect>,
    plan: Plan,
    engine: Option<Engine>,
    lines: Vec<Line>,
    /// What a script says, for the link that is the newest when it comes there.
    script: VecDeque<(Instant, Downward)>,
    latency: Duration,
    spec: Option<OpenSpec>,
    seen: VecDeque<Seen>,
    replies: Vec<(Ticket, talkwire_core::Result<Reply>)>,
    speaker: Option<Speaker>,
    crowd: u32,
    tickets: u64,
    caller: Option<Caller>,
    habits: Habits,
    rules: Option<Rules>,
    /// The session is over: its host has nobody to talk to.
    is_over: bool,
    /// Tickets without an answer.
    asked: HashSet<Ticket>,
    /// Tool calls without an answer.
    calls: VecDeque<String>,
    recovers: bool,
    redial: Redial,
    frames: Option<Vec<(u32, String)>>,
    /// The part of the agent's audio that came last, and milliseconds of it.
    sounding: Option<Mark>,
}

/// Who answers when a session with a scripted server dials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redial {
    /// The script.
    #[default]
    Script,
    /// The local server.
    Served,
    /// Nobody: it is refused for good.
    Refused,
}

impl Sim {
    /// A world for one flow in one profile.
    ///
    /// Fails where the local server does not understand the flow's script.
    pub fn new(flow: &Flow, profile: &str) -> talkwire_core::Result<Self> {
        let plan = Plan::new(&config(flow, profile))?;
        let now = Instant::now();
        Ok(Self {
            now,
            clock: Clock {
                at: now,
                unix_s: 1_800_000_000,
            },
            dialect: Dialect::named(profile).expect("a built-in dialect"),
            plan,
            engine: None,
            lines: Vec::new(),
            script: VecDeque::new(),
            latency: LATENCY,
            spec: None,
            seen: VecDeque::new(),
            replies: Vec::new(),
            speaker: None,
            crowd: 0,
            tickets: 0,
            caller: None,
            habits: Habits::default(),
            rules: None,
            is_over: false,
            asked: HashSet::new(),
            calls: VecDeque::new(),
            recovers: false,
            redial: Redial::Script,
            frames: None,
            sounding: None,
        })
    }

    /// A world whose caller has these habits.
    #[must_use]
    pub fn with_habits(mut self, habits: Habits) -> Self {
        self.habits = habits;
        self
    }

    /// A world in which a broken rule panics.
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = Some(rules);
        self
    }

    /// The call so far beside its recording, which ends; nothing without a caller.
    pub fn recorded(&mut self) -> Recorded {
        let caller = self.caller.as_mut();
        caller.map(Caller::recorded).unwrap_or_default()
    }

    /// Sound of the agent that the caller pulled, in milliseconds.
    pub fn pulled_ms(&self) -> u64 {
        self.caller.as_ref().map_or(0, Caller::pulled_ms)
    }

    /// The time that each way through the network takes from now on.
    pub fn set_latency(&mut self, latency: Duration) {
        self.latency = latency;
    }

    /// The caller says something, and time passes with it. Samples are PCM at the first of
    /// [`Sim::rates`].
    pub fn say(&mut self, samples: &[i16]) {
        let Some((rate_hz, _)) = self.rates() else {
            return;
        };
        for frame in samples.chunks((rate_hz * FRAME_MS / 1_000) as usize) {
            let bytes: Vec<u8> = frame.iter().flat_map(|s| s.to_le_bytes()).collect();
            if let Some(caller) = &mut self.caller {
                caller.say(&bytes);
            }
            self.run_for(FRAME_MS);
        }
    }

    /// Rates of what the caller says and of what they hear; nothing without a caller.
    pub fn rates(&self) -> Option<(u32, u32)> {
        self.caller.as_ref().map(Caller::rates)
    }

    /// All that the caller heard, silence included.
    pub fn heard(&self) -> &[i16] {
        self.caller.as_ref().map_or(&[], Caller::heard)
    }

    /// The conversation as the application can ask for it.
    pub fn history(&self) -> &[Arc<Segment>] {
        self.engine.as_ref().map_or(&[], Engine::segments)
    }

    /// Cuts every connection.
    pub fn cut(&mut self) {
        self.break_links(Fault::Reset);
    }

    /// Something happens to every connection that there is now.
    pub fn break_links(&mut self, fault: Fault) {
        self.script.clear();
        for line in &mut self.lines {
            line.break_by(self.now, self.latency, fault);
        }
    }

    /// A world whose sessions recover even where the flow does not say so.
    #[must_use]
    pub fn with_recovery(mut self) -> Self {
        self.recovers = true;
        self
    }

    /// Who answers a scripted flow's session that dials once more: nothing of the script is meant
    /// for it.
    pub fn redial(&mut self, redial: Redial) {
        self.redial = redial;
    }

    /// Writes down what is sent of control from now on, with its link.
    pub fn record_frames(&mut self) {
        self.frames.get_or_insert_default();
    }

    /// What was sent of control since then.
    pub fn frames(&self) -> &[(u32, String)] {
        self.frames.as_deref().unwrap_or_default()
    }

    /// Asks for an event with a ticket.
    pub fn ask_event(&mut self, json: &str) -> Ticket {
        self.wish(Command::Json(json.to_owned()))
    }

    /// What a question was answered with; nothing while it is not.
    pub fn answer_to(&self, ticket: Ticket) -> Option<&talkwire_core::Result<Reply>> {
        let is_it = |(answered, _): &&(Ticket, _)| *answered == ticket;
        self.replies.iter().find(is_it).map(|(_, result)| result)
    }

    /// How many questions have no answer yet.
    pub fn unanswered(&self) -> usize {
        self.asked.len()
    }

    /// Whether the session is over.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether a loss is not made good yet, as far as the application knows.
    pub fn is_lost(&self) -> bool {
        self.rules.as_ref().is_some_and(Rules::is_lost)
    }

    /// Whether the session takes sound.
    pub fn is_open(&self) -> bool {
        self.engine.as_ref().is_some_and(Engine::is_open)
    }

    fn input(&mut self, input: Input) {
        let Some(engine) = &mut self.engine else {
            return;
        };
        let mut fx = Effects::new();
        engine.handle(self.now, input, &mut fx);
        engine.check();
        for effect in fx {
            self.effect(effect);
        }
    }

    fn effect(&mut self, effect: Effect) {
        if self.is_over {
            self.rules.iter().for_each(|rules| rules.after_end(&effect));
        }
        match effect {
            Effect::Dial(link, _) => {
                self.lines.push(Line::new(link));
                self.dial(self.lines.len() - 1);
            }
            Effect::Send(link, frame) => {
                let text = match frame {
                    Frame::Text(text) => {
                        self.rules
                            .iter_mut()
                            .for_each(|rules| rules.sent(link.0, &text));
                        if let Some(frames) = &mut self.frames {
                            frames.push((link.0, text.clone()));
                        }
                        text
                    }
                    Frame::Ping => return self.send_up(link, Up::Ping),
                    Frame::Audio(pcm, _) => {
                        self.rules.iter_mut().for_each(|rules| rules.speaks(link.0));
                        let mut text = String::new();
                        self.dialect.encode_append(&pcm, &mut text);
                        text
                    }
                };
                self.send_up(link, Up::Text(text));
            }
            Effect::Hangup(link) => {
                self.rules
                    .iter_mut()
                    .for_each(|rules| rules.hangs_up(link.0));
                self.send_up(link, Up::Close);
            }
            Effect::Abort(link) => {
                self.rules
                    .iter_mut()
                    .for_each(|rules| rules.lets_go(link.0));
                self.send_up(link, Up::Gone);
                if let Some(at) = self.find(link) {
                    self.lines[at].abort(self.now + self.latency);
                }
            }
            Effect::Emit(event) => self.emitted(seen(&event)),
            Effect::Reply(ticket, result) => {
                let is_first = self.asked.remove(&ticket);
                let is_done = result.is_ok();
                self.rules
                    .iter_mut()
                    .for_each(|rules| rules.answered(ticket, is_first, is_done));
                self.replies.push((ticket, result));
            }
            Effect::End(it) => {
                let unanswered = self.asked.len();
                // What was not said by then is told as such.
                let is_all_said = it.expected && it.unsent.commands == 0;
                self.rules
                    .iter_mut()
                    .for_each(|rules| rules.ended(unanswered, is_all_said));
                self.is_over = true;
                self.seen.push_back(Seen::End(end(&it)));
            }
            Effect::Ready | Effect::Note(_) => {}
            port => {
                let input = self.caller.as_mut().and_then(|caller| caller.effect(port));
                if let Some(input) = input {
                    self.input(input);
                }
            }
        }
    }

    fn find(&self, link: LinkId) -> Option<usize> {
        self.lines.iter().position(|line| line.link == link)
    }

    fn emitted(&mut self, event: Value) {
        self.rules.iter_mut().for_each(|rules| rules.told(&event));
        if event["type"] == "tool.call" {
            let call_id = event["call_id"].as_str().unwrap_or_default();
            self.calls.push_back(call_id.to_owned());
        }
        if event["type"] == "response.output_audio.delta" {
            self.sounds(&event);
        }
        self.seen.push_back(Seen::Event(event));
    }

    /// The host has more of a part to play.
    fn sounds(&mut self, event: &Value) {
        let item_id = event["item_id"].as_str().unwrap_or_default().to_owned();
        let content_index = event["content_index"].as_u64().unwrap_or(0) as u32;
        let is_same = |mark: &Mark| mark.item_id == item_id && mark.content_index == content_index;
        if !self.sounding.as_ref().is_some_and(is_same) {
            self.sounding = Some(Mark {
                item_id,
                content_index,
                heard_ms: 0,
            });
        }
    }

    /// A host that owns the queue says that its listener has heard more of what came last.
    fn mark(&mut self, ms: u32) {
        if let Some(mark) = &mut self.sounding {
            mark.heard_ms += u64::from(ms);
            let mark = mark.clone();
            self.wish(Command::Played(mark));
        }
    }

    fn dial(&mut self, at: usize) {
        let spec = self.spec.clone().expect("dialling follows an open");
        match (spec.role, self.redial) {
            (Role::ClientUnderTest, Redial::Script) => {
                self.lines[at].far = Far::Script;
                // Nothing that the script says on a link comes before the link is there.
                return self.lines[at].down.push_front((self.now, Downward::Up));
            }
            (Role::ClientUnderTest, Redial::Refused) => return self.refuse(at, 401, "no entry"),
            (Role::ClientUnderTest, Redial::Served) | (Role::Session, _) => {}
        }
        let url = self.dialect.url(
            Some("ws://sim/v1/realtime"),
            spec.model.as_deref(),
            &spec.query,
        );
        let mut headers = spec.headers.clone();
        let key = spec.key.as_deref().filter(|key| !key.is_empty());
        headers.extend(key.and_then(|key| self.dialect.auth_header(key)));
        match self
            .plan
            .rules()
            .judge(&Knock::new(&url, headers), self.crowd as usize)
        {
            Ok(visit) => {
                // Sessions of one server name nothing alike.
                let seed = u64::from(self.lines[at].link.0 - 1);
                self.send_down(at, Downward::Up);
                let peer = self.plan.peer(self.now, self.clock, visit, seed);
                self.lines[at].far = Far::Peer(Box::new(peer));
                self.peer(at, PeerInput::Open);
            }
            Err(refusal) => self.refuse(at, refusal.status, &refusal.body),
        }
    }

    fn refuse(&mut self, at: usize, status: u16, body: &str) {
        let provider = Provider {
            http_status: Some(status),
            ..Provider::default()
        };
        let kind = self.dialect.http_kind(status);
        let error = Error::new(kind, body).with_provider(provider);
        self.send_down(at, Downward::Down(Down::Failed(error)));
    }

    fn peer(&mut self, at: usize, input: PeerInput) {
        let Far::Peer(peer) = &mut self.lines[at].far else {
            return;
        };
        let mut fx = PeerEffects::new();
        peer.handle(self.now, input, &mut fx);
        let effects: Vec<_> = fx.drain().collect();
        for effect in effects {
            match effect {
                PeerEffect::Send(text) => self.send_down(at, Downward::Text(text)),
                PeerEffect::SendBinary(bytes) => {
                    self.send_down(at, Downward::Binary(bytes.len()));
                }
                PeerEffect::Close { code, reason } => {
                    self.send_down(at, Downward::Down(Down::Closed { code, reason }));
                }
                PeerEffect::Drop => self.lose(at),
                PeerEffect::Hold(time) => {
                    let held = &mut self.lines[at].held_until;
                    *held = (*held).max(Some(self.now + time));
                }
                PeerEffect::SlowRead(wait) => {
                    self.lines[at].slow_read = Some((wait, self.now + wait));
                }
                PeerEffect::Start { id, .. } => {
                    let outcome = Err("the simulator runs no programs".to_owned());
                    self.peer(at, PeerInput::JobDone { job: id, outcome });
                }
                _ => {}
            }
        }
    }

    fn lose(&mut self, at: usize) {
        let lost = Error::new(Kind::Lost, "the connection was reset");
        self.send_down(at, Downward::Down(Down::Failed(lost)));
    }

    fn send_up(&mut self, link: LinkId, up: Up) {
        let is_there = |line: &&mut Line| line.link == link && !line.is_dark;
        if let Some(line) = self.lines.iter_mut().find(is_there) {
            line.up.push_back((self.now + self.latency, up));
        }
    }

    fn send_down(&mut self, at: usize, down: Downward) {
        let held = self.lines[at].held_until;
        let leaves = held.map_or(self.now, |held| held.max(self.now));
        self.lines[at].down.push_back((leaves + self.latency, down));
    }

    /// The next moment at which anything happens.
    fn soonest(&self) -> Option<Instant> {
        let lines = self.lines.iter().filter_map(Line::soonest).min();
        let script = self.script.front().map(|(at, _)| *at);
        let engine = self.engine.as_ref().and_then(Engine::deadline);
        let caller = self.caller.as_ref().filter(|_| !self.is_over);
        let caller = caller.map(Caller::due);
        [lines, script, engine, caller].into_iter().flatten().min()
    }

    /// Lets the next thing happen if it is due by `limit`.
    fn step(&mut self, limit: Instant) -> bool {
        let Some(at) = self.soonest().filter(|at| *at <= limit) else {
            self.now = self.now.max(limit);
            return false;
        };
        self.now = self.now.max(at);
        let now = self.now;
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        let up = self.lines.iter().position(|line| is_due(line.up_at()));
        let is_down = |line: &Line| is_due(line.down.front().map(|(at, _)| *at));
        let down = self.lines.iter().position(is_down);
        if let Some(at) = up {
            self.arrive_up(at);
        } else if let Some(at) = down {
            self.arrive_down(at);
        } else if is_due(self.script.front().map(|(at, _)| *at)) {
            let (_, said) = self.script.pop_front().expect("just seen");
            if let Some(line) = self.lines.last_mut().filter(|line| !line.is_dark) {
                line.down.push_back((now, said));
            }
        } else if is_due(self.engine.as_ref().and_then(Engine::deadline)) {
            self.input(Input::Timeout);
        } else if !self.is_over && is_due(self.caller.as_ref().map(Caller::due)) {
            self.tick();
        } else if let Some(at) = self.lines.iter().position(|line| is_due(line.peer_at())) {
            self.peer(at, PeerInput::Timeout);
        }
        true
    }

    /// The host's clock.
    fn tick(&mut self) {
        let wire = self.engine.as_ref().filter(|engine| engine.is_open());
        let wire = wire.map(Engine::input_format);
        let Some(caller) = &mut self.caller else {
            return;
        };
        for input in caller.tick(self.now, wire) {
            self.input(input);
        }
    }

    fn arrive_up(&mut self, at: usize) {
        let now = self.now;
        let line = &mut self.lines[at];
        let (_, up) = line.up.pop_front().expect("just seen");
        if let Some((wait, next)) = &mut line.slow_read {
            *next = now + *wait;
        }
        match (up, &line.far) {
            (Up::Text(text), Far::Peer(_)) => self.peer(at, PeerInput::Frame(text)),
            (Up::Text(_), Far::Nothing) => {}
            (Up::Text(text), Far::Script) => {
                let value = serde_json::from_str(&text).unwrap_or_default();
                self.seen.push_back(Seen::Sent(value));
            }
            (Up::Ping, Far::Nothing) => {}
            (Up::Ping, _) => self.send_down(at, Downward::Pong),
            (Up::Close, _) => {
                self.peer(at, PeerInput::Gone);
                self.lines[at].far = Far::Nothing;
                let closed = Down::Closed {
                    code: 1000,
                    reason: String::new(),
                };
                self.send_down(at, Downward::Down(closed));
            }
            (Up::Gone, _) => {
                self.peer(at, PeerInput::Gone);
                self.lines[at].far = Far::Nothing;
            }
        }
    }

    fn arrive_down(&mut self, at: usize) {
        let line = &mut self.lines[at];
        let link = line.link;
        self.rules.iter_mut().for_each(|rules| rules.hears(link.0));
        let (_, down) = line.down.pop_front().expect("just seen");
        let input = match down {
            Downward::Up => Input::LinkUp(link),
            Downward::Text(text) => Input::Text(link, text.into()),
            Downward::Pong => Input::Pong(link),
            Downward::Binary(bytes) => Input::Binary(link, bytes),
            Downward::Down(down) => {
                self.lines.remove(at);
                self.rules
                    .iter_mut()
                    .for_each(|rules| rules.lets_go(link.0));
                Input::LinkDown(link, down, Unsent::default())
            }
        };
        self.input(input);
    }

    fn run_for(&mut self, ms: u32) {
        let limit = self.now + Duration::from_millis(ms.into());
        while self.step(limit) {}
    }

    /// Asks the engine something.
    fn wish(&mut self, command: Command) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.asked.insert(ticket);
        if let Command::ToolResult { output, .. } = &command {
            let (Ok(words) | Err(words)) = output;
            self.rules
                .iter_mut()
                .for_each(|rules| rules.gives(ticket, words));
        }
        self.input(Input::Command(command, Some(ticket)));
        ticket
    }

    /// Asks the engine something that it answers at once.
    fn ask(&mut self, command: Command) -> Option<Reply> {
        let ticket = self.wish(command);
        let index = self.replies.iter().position(|(t, _)| *t == ticket)?;
        self.replies.swap_remove(index).1.ok()
    }

    fn settings(&mut self) -> Settings {
        match self.ask(Command::Settings) {
            Some(Reply::Settings(settings)) => settings,
            _ => Settings::new(),
        }
    }
}

impl Stage for Sim {
    fn open(&mut self, spec: &OpenSpec) -> Result<(), End> {
        self.spec = Some(spec.clone());
        let mut options = options(spec);
        if self.recovers && options.recovery.budget_ms == 0 {
            options.recovery = Recovery::default();
        }
        let engine = Engine::new(self.dialect.clone(), options, 7);
        self.engine = Some(engine.expect("the options of flows are valid"));
        if spec.call.is_some() {
            self.caller = Some(Caller::new(self.now, &self.habits));
            self.input(Input::Port(true));
        }
        self.input(Input::Open {
            unix_ms: self.clock.unix_s * 1_000,
        });
        if spec.role == Role::ClientUnderTest {
            self.run_for(2 * LATENCY.as_millis() as u32);
            return Ok(());
        }
        let limit = self.now + Duration::from_secs(30);
        while self.seen.is_empty() && self.step(limit) {}
        match self.seen.pop_front() {
            Some(Seen::End(it)) => Err(it),
            first => {
                self.seen.extend(first);
                Ok(())
            }
        }
    }

    fn send(&mut self, json: &str) -> Result<(), StageError> {
        self.rules.iter_mut().for_each(|rules| rules.wants(json));
        let command = if is_event(json) {
            Command::Json
        } else {
            Command::Frame
        };
        self.input(Input::Command(command(json.to_owned()), None));
        Ok(())
    }

    fn append_audio(&mut self, sound: Sound, ms: u32) -> Result<(), StageError> {
        let format = match &self.caller {
            Some(_) => port::Options::default().uplink,
            None => input_format(&self.settings()),
        };
        for _ in 0..ms / FRAME_MS {
            let speaker = self.speaker.get_or_insert_with(|| Speaker::new(format));
            let audio = speaker.frame(sound);
            if let Some(caller) = &mut self.caller {
                caller.say(&audio);
            } else {
                let audio = audio.into();
                let append = ClientEvent::Append(Append { audio });
                self.input(Input::Command(Command::Send(append), None));
            }
            self.run_for(FRAME_MS);
        }
        Ok(())
    }

    fn next(&mut self, within_ms: u32) -> Option<Seen> {
        let limit = self.now + Duration::from_millis(within_ms.into());
        while self.seen.is_empty() && self.step(limit) {}
        self.seen.pop_front()
    }

    fn wait(&mut self, ms: u32) {
        self.run_for(ms);
    }

    fn close(&mut self) {
        self.input(Input::Close { grace_ms: 3_000 });
    }

    /// A caller listens all the time; without one the flow truncates by itself.
    fn played(&mut self, ms: u32) -> Result<(), StageError> {
        self.run_for(ms);
        Ok(())
    }

    fn crowd(&mut self, sessions: u32) -> Result<(), StageError> {
        self.crowd = sessions;
        Ok(())
    }

    fn line(&mut self, item_id: &str) -> Result<Option<String>, StageError> {
        let line = self.history().iter().find(|s| s.item_id == item_id);
        Ok(line.map(|s| s.text.clone()))
    }

    fn act(&mut self, act: &AppAct) -> Result<(), StageError> {
        let command = match act {
            AppAct::Respond(policy) => {
                let policy = serde_json::from_value(policy.as_str().into());
                Command::Respond(None, policy.map_err(|e| StageError(e.to_string()))?)
            }
            AppAct::Interrupt(is_one) => Command::Interrupt(*is_one),
            AppAct::Tool(output) => Command::ToolResult {
                call_id: self
                    .calls
                    .pop_front()
                    .unwrap_or_else(|| "call_none".to_owned()),
                output: output.clone(),
            },
            AppAct::Deaf(ms) => {
                let until = self.now + Duration::from_millis((*ms).into());
                self.caller.iter_mut().for_each(|it| it.be_deaf(until));
                return Ok(());
            }
            AppAct::Cut(fault) => {
                self.break_links(*fault);
                return Ok(());
            }
            AppAct::Heard(ms) => {
                self.mark(*ms);
                return Ok(());
            }
        };
        self.wish(command);
        Ok(())
    }

    fn serve(&mut self, act: ServerAct) -> Result<(), StageError> {
        let lost = Error::new(Kind::Lost, "the connection was reset");
        let said = match act {
            ServerAct::Text(text) => Downward::Text(text),
            ServerAct::Binary(bytes) => Downward::Binary(bytes.len()),
            ServerAct::Close(code, reason) => Downward::Down(Down::Closed { code, reason }),
            ServerAct::Drop => Downward::Down(Down::Failed(lost)),
            // There are no pings in this network.
            ServerAct::NoPong => return Ok(()),
        };
        self.script.push_back((self.now + self.latency, said));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
