//! Faults that somebody asks for: what a server may do wrong, at a moment that can be named. The same
//! seed makes the same faults.

use std::time::{Duration, Instant};

use serde::Deserialize;
use talkwire_core::wire::audio;
use talkwire_core::wire::envelope::Envelope;
use talkwire_core::wire::names::is_client_event;
use talkwire_core::wire::server::{ErrorBody, ErrorEvent};
use talkwire_core::wire::{EventType, ServerEvent};

use crate::io::PeerEffect;

/// A fault: acts once, when its moment has come for the `count`-th time.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When.
    pub when: When,
    /// What.
    #[serde(rename = "do")]
    pub action: Action,
    /// Also each time after that.
    #[serde(default)]
    pub every: bool,
}

/// The moment of a fault. Exactly one of `sent`, `received` and `connect` is given, or `after_ms`
/// alone; anything else is refused.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// An event of this canonical name is being sent.
    #[serde(default)]
    pub sent: Option<String>,
    /// An event of this canonical name arrived and is not handled yet.
    #[serde(default)]
    pub received: Option<String>,
    /// A client connects: the upgrade is not answered yet. Counted over all clients.
    #[serde(default)]
    pub connect: bool,
    /// So many milliseconds of the session have passed; beside an event: not before they have.
    #[serde(default)]
    pub after_ms: Option<u64>,
    /// The how-manieth time; 1 is the first.
    #[serde(default = "one")]
    pub count: u32,
    /// How likely the fault is each time from then on, above 0 and at most 1.
    #[serde(default = "certain")]
    pub probability: f64,
}

const fn one() -> u32 {
    1
}

const fn certain() -> f64 {
    1.0
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Close with this code, or `{code, reason}`.
    Close(CloseWith),
    /// Vanish without a closing handshake.
    Drop,
    /// Keep the connection and never answer again.
    Hang,
    /// Hold the event, and whatever comes after it, for so many milliseconds, or `{ms, jitter_ms}`.
    Delay(DelayBy),
    /// The same for a random time of at most so many milliseconds.
    Jitter(u64),
    /// From now on wait so many milliseconds before each frame of the client is read.
    SlowRead(u64),
    /// Send an error event with this code, or `{code, type, message, param}`, after the event. An
    /// event that arrived is answered by it and not handled.
    Error(ErrorWith),
    /// A quota is used up: the response that was asked for fails, any other event is answered by an
    /// error, and a client that connects by HTTP 429.
    RateLimit,
    /// The session reaches its maximum duration, after the event.
    Expire,
    /// Send text that is no JSON, after the event.
    Malformed,
    /// Send a binary frame, after the event.
    Binary,
    /// Send a text frame of 20 MiB, after the event.
    Oversized,
    /// Put a character into the event's base64 that does not belong there.
    BadBase64,
    /// Cut the event's audio in the middle of a sample.
    OddBytes,
    /// Send an event of a type that does not exist, after the event.
    UnknownEvent,
    /// Send the event twice.
    Duplicate,
    /// Do not send the event; do not handle the one that arrived.
    Omit,
    /// Send this text frame, after the event.
    Send(String),
    /// Send these text frames, after the event.
    Raw(Vec<String>),
    /// Refuse the upgrade with this HTTP status (only `connect`).
    Http(u16),
}

/// How to close.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum CloseWith {
    /// With a code and no reason.
    Code(u16),
    /// With both.
    Full {
        /// Close code.
        code: u16,
        /// Reason.
        reason: String,
    },
}

/// How long to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum DelayBy {
    /// So many milliseconds.
    Ms(u64),
    /// And a random time beside them.
    Full {
        /// At least so many milliseconds.
        ms: u64,
        /// And at most so many more.
        jitter_ms: u64,
    },
}

/// What an error says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ErrorWith {
    /// Its code.
    Code(String),
    /// All of it.
    Full {
        /// Its code.
        code: String,
        /// Its type. Default: `server_error`.
        #[serde(default, rename = "type")]
        kind: Option<String>,
        /// Its message.
        #[serde(default)]
        message: Option<String>,
        /// The parameter it blames.
        #[serde(default)]
        param: Option<String>,
    },
}

impl CloseWith {
    /// The close code.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Code(code) | Self::Full { code, .. } => *code,
        }
    }

    fn reason(&self) -> &str {
        match self {
            Self::Code(_) => "",
            Self::Full { reason, .. } => reason,
        }
    }
}

impl ErrorWith {
    /// The event; `event_id` is what the client called the event that it answers.
    pub(crate) fn event(&self, event_id: Option<&str>) -> ServerEvent {
        let mut error = ErrorBody {
            kind: "server_error".to_owned(),
            message: "A fault that was asked for.".to_owned(),
            event_id: event_id.map(str::to_owned),
            ..ErrorBody::default()
        };
        match self {
            Self::Code(code) => error.code = Some(code.clone()),
            Self::Full {
                code,
                kind,
                message,
                param,
            } => {
                error.code = Some(code.clone());
                error.param.clone_from(param);
                error.kind = kind.clone().unwrap_or(error.kind);
                error.message = message.clone().unwrap_or(error.message);
            }
        }
        ServerEvent::Error(ErrorEvent { error })
    }
}

impl Fault {
    /// A fault that acts once.
    pub fn new(when: When, action: Action) -> Self {
        Self {
            when,
            action,
            every: false,
        }
    }

    /// Acts each time from then on.
    #[must_use]
    pub fn every(mut self) -> Self {
        self.every = true;
        self
    }

    /// Says what is wrong with it, if anything is.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.when.check()?;
        if self.every && self.when.is_time() && self.when.after_ms == Some(0) {
            return Err("expected an `after_ms` of at least 1 for what happens again".to_owned());
        }
        let connect = self.when.connect;
        match &self.action {
            Action::Http(_) if !connect => Err("`http` is possible at `connect` only".to_owned()),
            Action::Http(status) if !(400..=599).contains(status) => Err(format!(
                "expected an HTTP status of 400 to 599, found {status}"
            )),
            Action::Http(_)
            | Action::Hang
            | Action::Drop
            | Action::RateLimit
            | Action::Delay(_)
            | Action::Jitter(_) => Ok(()),
            _ if connect => {
                let known = "`hang`, `drop`, `delay`, `jitter`, `rate_limit` or `http`";
                Err(format!("at `connect` expected {known}"))
            }
            Action::Close(with) if !is_sendable(with.code()) => Err(format!(
                "expected a close code that may be sent (1000-1003, 1007-1014, 3000-4999), \
                 found {}; 1005 and 1006 mean that none came: use `drop`",
                with.code()
            )),
            Action::BadBase64 | Action::OddBytes | Action::Duplicate
                if self.when.sent.is_none() =>
            {
                Err("this is done to an event that is `sent`".to_owned())
            }
            Action::Omit if self.when.is_time() => {
                Err("expected an event that is to be left out: `sent` or `received`".to_owned())
            }
            _ => Ok(()),
        }
    }
}

const fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

impl Default for When {
    /// No moment yet.
    fn default() -> Self {
        Self {
            sent: None,
            received: None,
            connect: false,
            after_ms: None,
            count: one(),
            probability: certain(),
        }
    }
}

impl std::fmt::Display for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(name) = &self.sent {
            write!(f, "sent {name}")?;
        }
        if let Some(name) = &self.received {
            write!(f, "received {name}")?;
        }
        if self.connect {
            f.write_str("connect")?;
        }
        if let Some(ms) = self.after_ms {
            let space = if self.is_time() { "" } else { " " };
            write!(f, "{space}after {ms} ms")?;
        }
        write!(f, ", count {}", self.count)
    }
}

impl When {
    /// When an event of this canonical name is sent.
    pub fn sent(name: impl Into<String>) -> Self {
        Self {
            sent: Some(name.into()),
            ..Self::default()
        }
    }

    /// When an event of this canonical name arrives.
    pub fn received(name: impl Into<String>) -> Self {
        Self {
            received: Some(name.into()),
            ..Self::default()
        }
    }

    /// When a client connects.
    pub fn connect() -> Self {
        Self {
            connect: true,
            ..Self::default()
        }
    }

    /// So many milliseconds after the session began.
    pub fn time_ms(after_ms: u64) -> Self {
        Self::default().after_ms(after_ms)
    }

    /// Not before so many milliseconds of the session have passed.
    #[must_use]
    pub fn after_ms(mut self, after_ms: u64) -> Self {
        self.after_ms = Some(after_ms);
        self
    }

    /// The how-manieth time; 1 is the first.
    #[must_use]
    pub fn count(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    /// How likely it is each time.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    fn is(&self, moment: Moment<'_>) -> bool {
        match moment {
            Moment::Sent(name) => self.sent.as_deref() == Some(name),
            Moment::Received(name) => self.received.as_deref() == Some(name),
            Moment::Connect => self.connect,
        }
    }

    /// Whether the clock alone makes its moment.
    fn is_time(&self) -> bool {
        self.moments() == 0 && self.after_ms.is_some()
    }

    fn moments(&self) -> usize {
        usize::from(self.sent.is_some())
            + usize::from(self.received.is_some())
            + usize::from(self.connect)
    }

    fn check(&self) -> Result<(), String> {
        if self.moments() != 1 && !self.is_time() {
            return Err("expected one of `sent`, `received`, `connect` and `after_ms`".to_owned());
        }
        if self.connect && self.after_ms.is_some() {
            return Err("expected no `after_ms` at `connect`: no session has begun".to_owned());
        }
        if self.count == 0 {
            return Err("expected a `count` of at least 1".to_owned());
        }
        if !(self.probability > 0.0 && self.probability <= 1.0) {
            return Err("expected a `probability` above 0 and at most 1".to_owned());
        }
        let is_sent = |name: &&String| EventType::from_name(name) != EventType::Unknown;
        if let Some(name) = self.sent.as_ref().filter(|name| !is_sent(name)) {
            return Err(format!(
                "expected the name of a server event, found `{name}`"
            ));
        }
        let is_received = |name: &&String| is_client_event(name);
        if let Some(name) = self.received.as_ref().filter(|name| !is_received(name)) {
            return Err(format!(
                "expected the name of a client event, found `{name}`"
            ));
        }
        Ok(())
    }
}

/// A moment that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment<'a> {
    Sent(&'a str),
    Received(&'a str),
    Connect,
}

/// What faults make of a moment, in place of what would have happened.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Comes first.
    pub(crate) before: Vec<PeerEffect>,
    /// The event, if there was one and it is still to be sent.
    pub(crate) event: Option<String>,
    /// Comes after the event.
    pub(crate) after: Vec<PeerEffect>,
    /// Errors that come after that.
    pub(crate) errors: Vec<ErrorWith>,
    /// How the connection ends.
    pub(crate) end: Option<PeerEffect>,
    /// The event that arrived is not to be handled.
    pub(crate) is_refused: bool,
    /// A quota is used up.
    pub(crate) is_limited: bool,
    /// The session is to expire.
    pub(crate) expires: bool,
}

/// Bytes of the frame that [`Action::Oversized`] sends.
const OVERSIZED_BYTES: usize = 20 << 20;

/// The faults of one peer, or of the door, with their counters.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    armed: Vec<Armed>,
    began: Instant,
    dice: Dice,
}

#[derive(Clone, Debug)]
struct Armed {
    fault: Fault,
    seen: u32,
    is_spent: bool,
}

/// A reproducible source of chance (splitmix64).
#[derive(Clone, Copy, Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn happens(&mut self, probability: f64) -> bool {
        // 53 bits fill the numbers between 0 and 1 evenly.
        probability >= 1.0 || (self.roll() >> 11) as f64 / ((1_u64 << 53) as f64) < probability
    }

    fn at_most(&mut self, most: u64) -> u64 {
        self.roll() % most.saturating_add(1).max(1)
    }
}

impl Armed {
    /// Counts a moment of this fault and says whether it acts.
    fn acts(&mut self, dice: &mut Dice) -> bool {
        self.seen = self.seen.saturating_add(1);
        let is_due = !self.is_spent && self.seen >= self.fault.when.count;
        // A die that is always rolled keeps later rolls the same.
        let acts = dice.happens(self.fault.when.probability) && is_due;
        self.is_spent |= acts && !self.fault.every;
        acts
    }

    /// When the clock alone makes its next moment.
    fn wakes_at(&self, began: Instant) -> Option<Instant> {
        if self.is_spent || !self.fault.when.is_time() {
            return None;
        }
        let ms = self.fault.when.after_ms?;
        let ms = ms.saturating_mul(u64::from(self.seen) + 1);
        began.checked_add(Duration::from_millis(ms))
    }
}

impl Faults {
    /// The faults of a session that begins at `began`.
    pub(crate) fn new(faults: &[Fault], seed: u64, began: Instant) -> Self {
        let armed = faults.iter().cloned().map(Armed::new);
        Self {
            armed: armed.collect(),
            began,
            dice: Dice(seed),
        }
    }

    /// When the session began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Adds one.
    pub(crate) fn add(&mut self, fault: Fault) {
        self.armed.push(Armed::new(fault));
    }

    /// When [`time`](Self::time) is to be called.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let times = self.armed.iter().filter_map(|a| a.wakes_at(self.began));
        times.min()
    }

    /// What the faults whose time has come make of it.
    pub(crate) fn time(&mut self, now: Instant) -> Option<Verdict> {
        let mut verdict = None;
        for armed in &mut self.armed {
            let is_due = armed.wakes_at(self.began).is_some_and(|at| at <= now);
            if is_due && armed.acts(&mut self.dice) {
                let verdict = verdict.get_or_insert_with(Verdict::default);
                verdict.apply(&armed.fault.action, None, &mut self.dice);
            }
        }
        verdict
    }

    /// Counts the moment and returns what the faults that are due make of it.
    pub(crate) fn at(
        &mut self,
        now: Instant,
        moment: Moment<'_>,
        frame: Option<&str>,
    ) -> Option<Verdict> {
        let mut verdict: Option<Verdict> = None;
        for action in self.due(now, moment) {
            let verdict = verdict.get_or_insert_with(|| Verdict {
                event: frame.map(str::to_owned),
                ..Verdict::default()
            });
            verdict.apply(&action, frame, &mut self.dice);
        }
        verdict
    }

    fn due(&mut self, now: Instant, moment: Moment<'_>) -> Vec<Action> {
        let passed = now.saturating_duration_since(self.began);
        let mut due = Vec::new();
        for armed in &mut self.armed {
            let when = &armed.fault.when;
            let from = Duration::from_millis(when.after_ms.unwrap_or(0));
            if when.is(moment) && passed >= from && armed.acts(&mut self.dice) {
                due.push(armed.fault.action.clone());
            }
        }
        due
    }
}

impl Armed {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            seen: 0,
            is_spent: false,
        }
    }
}

impl Verdict {
    fn apply(&mut self, action: &Action, frame: Option<&str>, dice: &mut Dice) {
        let text = |text: &str| PeerEffect::Send(text.to_owned());
        match action {
            Action::Delay(DelayBy::Ms(ms)) => self.before.push(hold(*ms)),
            Action::Delay(DelayBy::Full { ms, jitter_ms }) => {
                let ms = ms.saturating_add(dice.at_most(*jitter_ms));
                self.before.push(hold(ms));
            }
            Action::Jitter(most) => self.before.push(hold(dice.at_most(*most))),
            Action::SlowRead(ms) => {
                let wait = Duration::from_millis(*ms);
                self.before.push(PeerEffect::SlowRead(wait));
            }
            Action::Error(with) => {
                self.errors.push(with.clone());
                self.is_refused = true;
            }
            Action::RateLimit => self.is_limited = true,
            Action::Expire => self.expires = true,
            Action::Omit => {
                self.event = None;
                self.is_refused = true;
            }
            Action::BadBase64 => self.event = self.event.take().map(|f| bad_base64(&f)),
            Action::OddBytes => self.event = self.event.take().map(|f| odd_bytes(&f)),
            Action::Duplicate => self.after.extend(frame.map(text)),
            Action::Malformed => self.after.push(text(MALFORMED)),
            Action::UnknownEvent => self.after.push(text(UNKNOWN_EVENT)),
            Action::Binary => self.after.push(PeerEffect::SendBinary(vec![0, 1, 2, 3])),
            Action::Oversized => self.after.push(PeerEffect::Send(oversized())),
            Action::Send(raw) => self.after.push(text(raw)),
            Action::Raw(frames) => self.after.extend(frames.iter().map(|raw| text(raw))),
            Action::Close(with) => {
                self.end.get_or_insert(PeerEffect::Close {
                    code: with.code(),
                    reason: with.reason().to_owned(),
                });
            }
            Action::Drop | Action::Http(_) => drop(self.end.get_or_insert(PeerEffect::Drop)),
            Action::Hang => drop(self.end.get_or_insert(PeerEffect::Hang)),
        }
    }
}

impl ErrorWith {
    /// What a used up quota is answered with.
    pub(crate) fn rate_limit() -> Self {
        Self::Code("rate_limit_exceeded".to_owned())
    }
}

/// How a client is received at the door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Door {
    /// It waits so long.
    pub(crate) wait: Duration,
    /// What happens to it then.
    pub(crate) turn: DoorTurn,
}

/// What happens to a client at the door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DoorTurn {
    /// It is let in.
    #[default]
    In,
    /// It is sent away.
    Away,
    /// It waits for ever.
    Wait,
    /// It gets this HTTP status.
    Status(u16),
}

impl Faults {
    /// A client connects.
    pub(crate) fn door(&mut self, now: Instant) -> Door {
        let mut door = Door::default();
        for action in self.due(now, Moment::Connect) {
            let wait = match action {
                Action::Delay(DelayBy::Ms(ms)) => ms,
                Action::Delay(DelayBy::Full { ms, jitter_ms }) => {
                    ms.saturating_add(self.dice.at_most(jitter_ms))
                }
                Action::Jitter(most) => self.dice.at_most(most),
                _ => 0,
            };
            door.wait += Duration::from_millis(wait);
            if door.turn == DoorTurn::In {
                door.turn = match action {
                    Action::Hang => DoorTurn::Wait,
                    Action::Drop => DoorTurn::Away,
                    Action::Http(status) => DoorTurn::Status(status),
                    Action::RateLimit => DoorTurn::Status(429),
                    _ => DoorTurn::In,
                };
            }
        }
        door
    }
}

const MALFORMED: &str = r#"{"type":"response.output_text.delta","delta":"#;
const UNKNOWN_EVENT: &str =
    r#"{"type":"response.reasoning.delta","event_id":"event_of_tomorrow","delta":"hm"}"#;

fn hold(ms: u64) -> PeerEffect {
    PeerEffect::Hold(Duration::from_millis(ms))
}

fn oversized() -> String {
    let mut frame = String::with_capacity(OVERSIZED_BYTES);
    frame.push_str(r#"{"type":"response.output_audio.delta","delta":""#);
    let fill = OVERSIZED_BYTES - frame.len() - 2;
    frame.extend(std::iter::repeat_n('A', fill));
    frame.push_str("\"}");
    frame
}

fn bad_base64(frame: &str) -> String {
    frame.replacen("\"delta\":\"", "\"delta\":\"#", 1)
}

fn odd_bytes(frame: &str) -> String {
    let cut = || {
        let envelope = Envelope::parse(frame).ok()?;
        let bytes = audio::decode(envelope.delta()).ok()?;
        let odd = bytes.len().checked_sub(1)?;
        Some(frame.replacen(envelope.delta(), &audio::encode(&bytes[..odd]), 1))
    };
    cut().unwrap_or_else(|| frame.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELTA: &str =
        r#"{"type":"response.output_audio.delta","event_id":"event_1","delta":"AAEAAQ=="}"#;

    struct World(Faults, Instant);

    impl World {
        fn new(faults: &[Fault], seed: u64) -> Self {
            let now = Instant::now();
            Self(Faults::new(faults, seed, now), now)
        }

        fn sent(&mut self, ms: u64, name: &str) -> Option<Verdict> {
            let at = self.1 + Duration::from_millis(ms);
            self.0.at(at, Moment::Sent(name), Some(DELTA))
        }

        fn time(&mut self, ms: u64) -> bool {
            self.0.time(self.1 + Duration::from_millis(ms)).is_some()
        }
    }

    fn sent(name: &str) -> When {
        When::sent(name)
    }

    fn verdict(action: Action) -> Verdict {
        let mut world = World::new(&[Fault::new(sent("x"), action)], 1);
        world.sent(0, "x").expect("due")
    }

    #[test]
    fn a_fault_acts_once_at_its_count_or_each_time_from_it() {
        let mut world = World::new(&[Fault::new(sent("a").count(2), Action::Drop)], 1);
        let acts = ["a", "b", "a", "a"].map(|name| world.sent(0, name).is_some());
        assert_eq!(acts, [false, false, true, false]);
        assert!(world.0.at(world.1, Moment::Received("a"), None).is_none());
        let again = Fault::new(sent("a").count(2), Action::Drop).every();
        let mut world = World::new(&[again], 1);
        let acts = ["a", "a", "a"].map(|name| world.sent(0, name).is_some());
        assert_eq!(acts, [false, true, true]);
    }

    #[test]
    fn a_time_is_a_moment_of_its_own_and_a_bound_beside_another() {
        let mut world = World::new(&[Fault::new(sent("a").after_ms(50), Action::Drop)], 1);
        let acts = [49, 50, 51].map(|ms| world.sent(ms, "a").is_some());
        assert_eq!(acts, [false, true, false]);
        assert_eq!(world.0.wake(), None);
        let once = Fault::new(When::time_ms(30), Action::Drop);
        let again = Fault::new(When::time_ms(20).count(2), Action::Drop).every();
        let mut world = World::new(&[once], 1);
        assert_eq!(world.0.wake(), Some(world.1 + Duration::from_millis(30)));
        let acts = [0, 30, 31].map(|ms| world.time(ms));
        assert_eq!((acts, world.0.wake()), ([false, true, false], None));
        let mut world = World::new(&[again], 1);
        let acts = [20, 39, 40, 60].map(|ms| world.time(ms));
        assert_eq!(acts, [false, false, true, true]);
    }

    #[test]
    fn chance_is_that_of_the_seed() {
        let fault = Fault::new(sent("a").probability(0.25), Action::Drop).every();
        let acts = |seed| {
            let mut world = World::new(std::slice::from_ref(&fault), seed);
            (0..400)
                .map(|_| world.sent(0, "a").is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(acts(7), acts(7));
        assert_ne!(acts(7), acts(8));
        let count = acts(7).into_iter().filter(|acts| *acts).count();
        assert!((60..140).contains(&count), "{count} of 400");
        let rare = Fault::new(sent("a").probability(0.25), Action::Drop);
        let mut world = World::new(&[rare], 7);
        assert_eq!((0..400).filter(|_| world.sent(0, "a").is_some()).count(), 1);
    }

    #[test]
    fn several_faults_of_one_moment_act_together() {
        let faults = [
            Action::Delay(DelayBy::Ms(5)),
            Action::Duplicate,
            Action::Expire,
        ]
        .map(|action| Fault::new(sent("x"), action));
        let verdict = World::new(&faults, 1).sent(0, "x").expect("due");
        assert_eq!(verdict.before, [hold(5)]);
        assert_eq!(verdict.after, [PeerEffect::Send(DELTA.to_owned())]);
        assert!(verdict.expires && verdict.event.as_deref() == Some(DELTA));
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_differs() {
        let held = |action: Action| {
            let fault = Fault::new(sent("x"), action).every();
            let mut world = World::new(&[fault], 3);
            let held = (0..100).map(|_| match world.sent(0, "x").expect("due").before[..] {
                [PeerEffect::Hold(time)] => time.as_millis(),
                ref other => panic!("{other:?}"),
            });
            held.collect::<Vec<_>>()
        };
        for (action, bounds) in [
            (Action::Jitter(30), 0..=30),
            (
                Action::Delay(DelayBy::Full {
                    ms: 100,
                    jitter_ms: 9,
                }),
                100..=109,
            ),
        ] {
            let held = held(action);
            assert!(held.iter().all(|ms| bounds.contains(ms)), "{held:?}");
            assert!(held.iter().any(|ms| *ms != held[0]), "{held:?}");
        }
        assert_eq!(verdict(Action::Jitter(0)).before, [hold(0)]);
    }

    #[test]
    fn a_door_waits_and_turns_away() {
        let at = |action| Fault::new(When::connect(), action);
        let now = Instant::now();
        let faults = [at(Action::Delay(DelayBy::Ms(7))), at(Action::RateLimit)];
        let mut faults = Faults::new(&faults, 1, now);
        let door = faults.door(now);
        assert_eq!(door.wait, Duration::from_millis(7));
        assert_eq!(door.turn, DoorTurn::Status(429));
        assert_eq!(faults.door(now), Door::default());
    }

    #[test]
    fn audio_is_spoiled_in_place() {
        let bad = verdict(Action::BadBase64).event.expect("sent");
        assert!(audio::decode(Envelope::parse(&bad).expect("json").delta()).is_err());
        let odd = verdict(Action::OddBytes).event.expect("sent");
        let bytes = audio::decode(Envelope::parse(&odd).expect("json").delta()).expect("base64");
        assert_eq!(bytes.len(), 3);
        assert_eq!(verdict(Action::Omit).event, None);
    }

    #[test]
    fn the_oversized_frame_is_twenty_mebibytes() {
        assert_eq!(oversized().len(), 20 << 20);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let done = || sent("response.done");
        let door = When::connect;
        for (fault, part) in [
            (Fault::new(When::default(), Action::Drop), "after_ms"),
            (Fault::new(done().count(0), Action::Drop), "count"),
            (
                Fault::new(done().probability(0.0), Action::Drop),
                "probability",
            ),
            (
                Fault::new(done().probability(f64::NAN), Action::Drop),
                "probability",
            ),
            (
                Fault::new(sent("response.create"), Action::Drop),
                "server event",
            ),
            (
                Fault::new(When::received("response.done"), Action::Drop),
                "client event",
            ),
            (Fault::new(door(), Action::Expire), "rate_limit"),
            (Fault::new(door().after_ms(1), Action::Drop), "after_ms"),
            (Fault::new(done(), Action::Http(500)), "connect"),
            (Fault::new(door(), Action::Http(200)), "599"),
            (Fault::new(When::time_ms(1), Action::Omit), "left out"),
            (
                Fault::new(When::time_ms(0), Action::Drop).every(),
                "at least 1",
            ),
            (
                Fault::new(When::received("response.create"), Action::Duplicate),
                "sent",
            ),
        ] {
            let error = fault.check().expect_err(part);
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(Fault::new(When::time_ms(0), Action::Expire).check(), Ok(()));
    }
}
