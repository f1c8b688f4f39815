//! Faults that a script asks for: what a server may do wrong, at a moment that can be named.

use serde::Deserialize;
use talkwire_core::wire::audio;
use talkwire_core::wire::envelope::Envelope;

use crate::io::PeerEffect;

/// A fault of a script: once, when the moment has come for the `count`-th time.
#[derive(Clone, Debug, Deserialize)]
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

/// The moment of a fault. Exactly one of the three is given; a script with none or more is refused.
#[derive(Clone, Debug, Default, Deserialize)]
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
    /// The how-manieth time; 1 is the first.
    #[serde(default = "one")]
    pub count: u32,
}

const fn one() -> u32 {
    1
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
    /// Do not send the event.
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

/// A moment that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment<'a> {
    Sent(&'a str),
    Received(&'a str),
    Connect,
}

/// What a fault makes of a moment, in place of what would have happened.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) effects: Vec<PeerEffect>,
    pub(crate) ends: bool,
}

/// Bytes of the frame that [`Action::Oversized`] sends.
const OVERSIZED_BYTES: usize = 20 << 20;

/// The faults of one peer with their counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Vec<(Fault, u32)>);

impl Faults {
    pub(crate) fn new(faults: &[Fault]) -> Self {
        Self(faults.iter().map(|fault| (fault.clone(), 0)).collect())
    }

    /// Adds one that counts from now on.
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push((fault, 0));
    }

    /// Counts the moment and returns what the first fault due makes of it.
    pub(crate) fn at(&mut self, moment: Moment<'_>, frame: Option<&str>) -> Option<Verdict> {
        let action = self.due(moment)?;
        Some(verdict(&action, frame))
    }

    /// Counts the moment and returns the first fault due.
    pub(crate) fn due(&mut self, moment: Moment<'_>) -> Option<Action> {
        let mut due = None;
        for (fault, seen) in &mut self.0 {
            if !fault.when.is(moment) {
                continue;
            }
            *seen = seen.saturating_add(1);
            let now = *seen == fault.when.count || (fault.every && *seen > fault.when.count);
            if now && due.is_none() {
                due = Some(fault.action.clone());
            }
        }
        due
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
        write!(f, ", count {}", self.count)
    }
}

impl When {
    fn is(&self, moment: Moment<'_>) -> bool {
        match moment {
            Moment::Sent(name) => self.sent.as_deref() == Some(name),
            Moment::Received(name) => self.received.as_deref() == Some(name),
            Moment::Connect => self.connect,
        }
    }

    /// Says what is wrong with it, if anything is.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.moments() != 1 {
            return Err("expected one of `sent`, `received` and `connect`");
        }
        if self.count == 0 {
            return Err("expected a `count` of at least 1");
        }
        Ok(())
    }

    /// How many moments are named.
    pub(crate) fn moments(&self) -> usize {
        usize::from(self.sent.is_some())
            + usize::from(self.received.is_some())
            + usize::from(self.connect)
    }
}

/// What an action makes of a frame, or of nothing.
pub(crate) fn verdict(action: &Action, frame: Option<&str>) -> Verdict {
    let event = frame.map(|frame| PeerEffect::Send(frame.to_owned()));
    let text = |text: &str| PeerEffect::Send(text.to_owned());
    let end = match action {
        Action::Close(with) => Some(PeerEffect::Close {
            code: with.code(),
            reason: with.reason().to_owned(),
        }),
        Action::Drop | Action::Http(_) => Some(PeerEffect::Drop),
        Action::Hang => Some(PeerEffect::Hang),
        _ => None,
    };
    let after = match action {
        Action::Malformed => vec![text(r#"{"type":"response.output_text.delta","delta":"#)],
        Action::Binary => vec![PeerEffect::SendBinary(vec![0, 1, 2, 3])],
        Action::Oversized => vec![PeerEffect::Send(oversized())],
        Action::UnknownEvent => vec![text(
            r#"{"type":"response.reasoning.delta","event_id":"event_of_tomorrow","delta":"hm"}"#,
        )],
        Action::Duplicate => event.iter().cloned().collect(),
        Action::Send(raw) => vec![text(raw)],
        Action::Raw(frames) => frames.iter().map(|raw| text(raw)).collect(),
        _ => Vec::new(),
    };
    let event = match action {
        Action::Omit => None,
        Action::BadBase64 => frame.map(|frame| PeerEffect::Send(bad_base64(frame))),
        Action::OddBytes => frame.map(|frame| PeerEffect::Send(odd_bytes(frame))),
        _ => event,
    };
    let ends = end.is_some();
    let effects = event.into_iter().chain(after).chain(end).collect();
    Verdict { effects, ends }
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

    fn fault(sent: &str, count: u32, action: Action) -> Fault {
        let when = When {
            sent: Some(sent.to_owned()),
            count,
            ..When::default()
        };
        Fault {
            when,
            action,
            every: false,
        }
    }

    const DELTA: &str =
        r#"{"type":"response.output_audio.delta","event_id":"event_1","delta":"AAEAAQ=="}"#;

    #[test]
    fn a_fault_acts_once_at_its_count() {
        let mut faults = Faults::new(&[fault("a", 2, Action::Drop)]);
        assert!(faults.due(Moment::Sent("a")).is_none());
        assert!(faults.due(Moment::Received("a")).is_none());
        assert!(faults.due(Moment::Sent("b")).is_none());
        assert_eq!(faults.due(Moment::Sent("a")), Some(Action::Drop));
        assert!(faults.due(Moment::Sent("a")).is_none());
    }

    #[test]
    fn a_close_comes_after_the_event_and_ends_all() {
        let action = Action::Close(CloseWith::Code(1011));
        let verdict = Faults::new(&[fault("x", 1, action)])
            .at(Moment::Sent("x"), Some("{}"))
            .expect("due");
        assert!(verdict.ends);
        let close = PeerEffect::Close {
            code: 1011,
            reason: String::new(),
        };
        assert_eq!(verdict.effects, [PeerEffect::Send("{}".to_owned()), close]);
    }

    #[test]
    fn audio_is_spoiled_in_place() {
        let sent = |action| match &verdict(&action, Some(DELTA)).effects[..] {
            [PeerEffect::Send(frame)] => frame.clone(),
            other => panic!("{other:?}"),
        };
        let bad = sent(Action::BadBase64);
        assert!(audio::decode(Envelope::parse(&bad).expect("json").delta()).is_err());
        let odd = sent(Action::OddBytes);
        let bytes = audio::decode(Envelope::parse(&odd).expect("json").delta()).expect("base64");
        assert_eq!(bytes.len(), 3);
        assert_eq!(
            verdict(&Action::Omit, Some(DELTA)).effects,
            Vec::<PeerEffect>::new()
        );
    }

    #[test]
    fn the_oversized_frame_is_twenty_mebibytes() {
        assert_eq!(oversized().len(), 20 << 20);
    }
}
