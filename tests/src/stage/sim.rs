//! The simulator: engine and local server, or engine and script, joined by a network of queues in
//! virtual time. The same inputs give the same bytes, and a minute takes no time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use talkwire_core::audio::port;
use talkwire_core::dialect::Dialect;
use talkwire_core::engine::Engine;
use talkwire_core::engine::io::{
    Command, Down, Effect, Effects, Frame, Input, LinkId, Reply, Ticket,
};
use talkwire_core::error::Provider;
use talkwire_core::wire::ClientEvent;
use talkwire_core::wire::client::Append;
use talkwire_core::{Error, Kind, Settings, Unsent};
use talkwire_server::{Clock, Knock, Peer, PeerEffect, PeerEffects, PeerInput, Plan};

use super::caller::{Caller, Recorded};
use super::{FRAME_MS, Speaker, config, end, input_format, is_event, options, seen};
use crate::flow::{End, Flow, OpenSpec, Role, Seen, ServerAct, Sound, Stage, StageError};

/// One way through the network.
const LATENCY: Duration = Duration::from_millis(5);

/// A world of one session.
pub struct Sim {
    now: Instant,
    clock: Clock,
    dialect: Arc<Dialect>,
    plan: Plan,
    link: LinkId,
    engine: Option<Engine>,
    far: Far,
    spec: Option<OpenSpec>,
    up: VecDeque<(Instant, Up)>,
    down: VecDeque<(Instant, Downward)>,
    /// What the server sends leaves no earlier.
    held_until: Option<Instant>,
    /// How long each frame of the client waits to be read, and until when the next one does.
    slow_read: Option<(Duration, Instant)>,
    seen: VecDeque<Seen>,
    replies: Vec<(Ticket, talkwire_core::Result<Reply>)>,
    speaker: Option<Speaker>,
    crowd: u32,
    tickets: u64,
    caller: Option<Caller>,
}

/// What is at the other end.
enum Far {
    Nothing,
    Peer(Box<Peer>),
    Script,
}

/// On its way to the server.
enum Up {
    Text(String),
    Close(LinkId),
    Gone,
}

/// On its way to the client.
enum Downward {
    Up,
    Text(String),
    Binary(usize),
    Down(LinkId, Down),
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
            link: LinkId(1),
            engine: None,
            far: Far::Nothing,
            spec: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            held_until: None,
            slow_read: None,
            seen: VecDeque::new(),
            replies: Vec::new(),
            speaker: None,
            crowd: 0,
            tickets: 0,
            caller: None,
        })
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
        match effect {
            Effect::Dial(link) => {
                self.link = link;
                self.dial();
            }
            Effect::Send(_, frame) => {
                let text = match frame {
                    Frame::Text(text) => text,
                    Frame::Audio(pcm, _) => {
                        let mut text = String::new();
                        self.dialect.encode_append(&pcm, &mut text);
                        text
                    }
                };
                self.send_up(Up::Text(text));
            }
            Effect::Hangup(link) => self.send_up(Up::Close(link)),
            Effect::Abort(link) => {
                self.send_up(Up::Gone);
                self.down.clear();
                let lost = Error::new(Kind::Lost, "aborted");
                self.send_down(Downward::Down(link, Down::Failed(lost)));
            }
            Effect::Emit(event) => self.seen.push_back(Seen::Event(seen(&event))),
            Effect::Reply(ticket, result) => self.replies.push((ticket, result)),
            Effect::End(it) => self.seen.push_back(Seen::End(end(&it))),
            Effect::Ready | Effect::Note(_) => {}
            port => {
                let input = self.caller.as_mut().and_then(|caller| caller.effect(port));
                if let Some(input) = input {
                    self.input(input);
                }
            }
        }
    }

    fn dial(&mut self) {
        let spec = self.spec.clone().expect("dialling follows an open");
        if spec.role == Role::ClientUnderTest {
            self.far = Far::Script;
            // Nothing that the script says on a link comes before the link is there.
            return self.down.push_front((self.now, Downward::Up));
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
                // A new connection knows nothing of the last one's faults.
                (self.held_until, self.slow_read) = (None, None);
                self.send_down(Downward::Up);
                let peer = self.plan.peer(self.now, self.clock, visit, 0);
                self.far = Far::Peer(Box::new(peer));
                self.peer(PeerInput::Open);
            }
            Err(refusal) => {
                let provider = Provider {
                    http_status: Some(refusal.status),
                    ..Provider::default()
                };
                let kind = self.dialect.http_kind(refusal.status);
                let error = Error::new(kind, refusal.body).with_provider(provider);
                self.send_down(Downward::Down(self.link, Down::Failed(error)));
            }
        }
    }

    fn peer(&mut self, input: PeerInput) {
        let Far::Peer(peer) = &mut self.far else {
            return;
        };
        let mut fx = PeerEffects::new();
        peer.handle(self.now, input, &mut fx);
        let effects: Vec<_> = fx.drain().collect();
        for effect in effects {
            match effect {
                PeerEffect::Send(text) => self.send_down(Downward::Text(text)),
                PeerEffect::SendBinary(bytes) => self.send_down(Downward::Binary(bytes.len())),
                PeerEffect::Close { code, reason } => {
                    self.send_down(Downward::Down(self.link, Down::Closed { code, reason }));
                }
                PeerEffect::Drop => self.lose(),
                PeerEffect::Hold(time) => {
                    self.held_until = self.held_until.max(Some(self.now + time));
                }
                PeerEffect::SlowRead(wait) => self.slow_read = Some((wait, self.now + wait)),
                PeerEffect::Start { id, .. } => {
                    let outcome = Err("the simulator runs no programs".to_owned());
                    self.peer(PeerInput::JobDone { job: id, outcome });
                }
                _ => {}
            }
        }
    }

    fn lose(&mut self) {
        let lost = Error::new(Kind::Lost, "the connection was reset");
        self.send_down(Downward::Down(self.link, Down::Failed(lost)));
    }

    fn send_up(&mut self, up: Up) {
        self.up.push_back((self.now + LATENCY, up));
    }

    fn send_down(&mut self, down: Downward) {
        let leaves = self.held_until.map_or(self.now, |held| held.max(self.now));
        self.down.push_back((leaves + LATENCY, down));
    }

    /// When the server reads what the client sent next.
    fn up_at(&self) -> Option<Instant> {
        let (at, _) = self.up.front()?;
        let read_at = self.slow_read.map_or(*at, |(_, read_at)| read_at);
        Some(read_at.max(*at))
    }

    /// The next moment at which anything happens.
    fn soonest(&self) -> Option<Instant> {
        let peer = match &self.far {
            Far::Peer(peer) => peer.deadline(),
            Far::Nothing | Far::Script => None,
        };
        let up = self.up_at();
        let down = self.down.front().map(|(at, _)| *at);
        let engine = self.engine.as_ref().and_then(Engine::deadline);
        let caller = self.caller.as_ref().map(Caller::due);
        [peer, up, down, engine, caller].into_iter().flatten().min()
    }

    /// Lets the next thing happen if it is due by `limit`.
    fn step(&mut self, limit: Instant) -> bool {
        let Some(at) = self.soonest().filter(|at| *at <= limit) else {
            self.now = self.now.max(limit);
            return false;
        };
        self.now = self.now.max(at);
        if self.up_at().is_some_and(|due| due <= self.now) {
            let (_, up) = self.up.pop_front().expect("just seen");
            if let Some((wait, next)) = &mut self.slow_read {
                *next = self.now + *wait;
            }
            self.arrive_up(up);
        } else if self.down.front().is_some_and(|(due, _)| *due <= self.now) {
            let (_, down) = self.down.pop_front().expect("just seen");
            self.arrive_down(down);
        } else if self
            .engine
            .as_ref()
            .and_then(Engine::deadline)
            .is_some_and(|due| due <= self.now)
        {
            self.input(Input::Timeout);
        } else if self.caller.as_ref().is_some_and(|c| c.due() <= self.now) {
            self.tick();
        } else {
            self.peer(PeerInput::Timeout);
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

    fn arrive_up(&mut self, up: Up) {
        match (up, &self.far) {
            (Up::Text(text), Far::Peer(_)) => self.peer(PeerInput::Frame(text)),
            (Up::Text(text), _) => {
                let value = serde_json::from_str(&text).unwrap_or_default();
                self.seen.push_back(Seen::Sent(value));
            }
            (Up::Close(link), _) => {
                self.peer(PeerInput::Gone);
                self.far = Far::Nothing;
                let closed = Down::Closed {
                    code: 1000,
                    reason: String::new(),
                };
                self.send_down(Downward::Down(link, closed));
            }
            (Up::Gone, _) => {
                self.peer(PeerInput::Gone);
                self.far = Far::Nothing;
            }
        }
    }

    fn arrive_down(&mut self, down: Downward) {
        let link = self.link;
        self.input(match down {
            Downward::Up => Input::LinkUp(link),
            Downward::Text(text) => Input::Text(link, text.into()),
            Downward::Binary(bytes) => Input::Binary(link, bytes),
            Downward::Down(link, down) => Input::LinkDown(link, down, Unsent::default()),
        });
    }

    fn run_for(&mut self, ms: u32) {
        let limit = self.now + Duration::from_millis(ms.into());
        while self.step(limit) {}
    }

    /// Asks the engine something that it answers at once.
    fn ask(&mut self, command: Command) -> Option<Reply> {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.input(Input::Command(command, Some(ticket)));
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
        let engine = Engine::new(self.dialect.clone(), options(spec), 7);
        self.engine = Some(engine.expect("the options of flows are valid"));
        if spec.call.is_some() {
            self.caller = Some(Caller::new(self.now, port::Options::default()));
            self.input(Input::Port(true));
        }
        self.input(Input::Open);
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
        let Some(Reply::History(segments)) = self.ask(Command::History) else {
            return Err(StageError("the engine tells no history".to_owned()));
        };
        Ok(segments
            .into_iter()
            .find(|s| s.item_id == item_id)
            .map(|s| s.text))
    }

    fn serve(&mut self, act: ServerAct) -> Result<(), StageError> {
        match act {
            ServerAct::Text(text) => self.send_down(Downward::Text(text)),
            ServerAct::Binary(bytes) => self.send_down(Downward::Binary(bytes.len())),
            ServerAct::Close(code, reason) => {
                self.send_down(Downward::Down(self.link, Down::Closed { code, reason }));
            }
            ServerAct::Drop => self.lose(),
            // There are no pings in this network.
            ServerAct::NoPong => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
