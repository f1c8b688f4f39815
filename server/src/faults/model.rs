//! What a fault is: its moment and what goes wrong then, as programs and files say it.

use serde::Deserialize;
use talkwire_core::wire::names::is_client_event;
use talkwire_core::wire::server::{ErrorBody, ErrorEvent};
use talkwire_core::wire::{EventType, ServerEvent};

use super::armed::Moment;
use crate::error::{RATE_LIMIT, kind_of};

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

    pub(super) fn reason(&self) -> &str {
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

    pub(super) fn is(&self, moment: Moment<'_>) -> bool {
        match moment {
            Moment::Sent(name) => self.sent.as_deref() == Some(name),
            Moment::Received(name) => self.received.as_deref() == Some(name),
            Moment::Connect => self.connect,
        }
    }

    /// Whether the clock alone makes its moment.
    pub(super) fn is_time(&self) -> bool {
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
            let why = "expected the canonical name of a server event";
            return Err(format!("when.sent: {why}, found `{name}`"));
        }
        let is_received = |name: &&String| is_client_event(name);
        if let Some(name) = self.received.as_ref().filter(|name| !is_received(name)) {
            let why = "expected the canonical name of a client event";
            return Err(format!("when.received: {why}, found `{name}`"));
        }
        Ok(())
    }
}

impl ErrorWith {
    /// What a used up quota is answered with.
    pub(crate) fn rate_limit() -> Self {
        Self::Full {
            code: RATE_LIMIT.to_owned(),
            kind: Some(kind_of(RATE_LIMIT).to_owned()),
            message: Some("Rate limit reached. Try again later.".to_owned()),
            param: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(name: &str) -> When {
        When::sent(name)
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
