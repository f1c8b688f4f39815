//! One connection's protocol life, and why it ended.
//!
//! ```text
//! Idle -> Dialing -> Greeting -> Configuring -> Open -> Closing -> Aborting -> Closed
//!            |          |            |           |         |          ^          ^
//!            +----------+------------+-----------+---------+----------+----------+
//!            (a loss goes to Closed at once; Aborting waits only for the report of the drop)
//! ```

use std::time::{Duration, Instant};

use super::io::{Down, LinkId};
use crate::dialect::Dialect;
use crate::error::{Error, Kind, Provider, Who};
use crate::wire::server::{ErrorBody, ErrorEvent};

/// State of the link.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Dialing,
    Greeting { until: Instant },
    Configuring { since: Instant, until: Instant },
    Open { since: Instant },
    Closing { until: Instant, asked: Asked },
    Aborting { asked: Asked },
    Closed,
}

/// An error announces a close only for so long; after that it was about something else.
const FRESH: Duration = Duration::from_secs(10);

/// Who asked for the closing handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    App,
    Us(Error),
}

/// The link of the session.
#[derive(Debug)]
pub(super) struct Link {
    id: LinkId,
    state: State,
    last_error: Option<(Instant, ErrorBody)>,
}

/// The blame part of an end; the engine adds what was unsent and whether a turn was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub who: Who,
    pub why: Kind,
    pub close_code: Option<u16>,
    pub http_status: Option<u16>,
    pub expected: bool,
    pub message: String,
    pub error: Option<Error>,
}

impl Link {
    pub(super) fn new() -> Self {
        Self::numbered(LinkId(1))
    }

    pub(super) fn numbered(id: LinkId) -> Self {
        Self {
            id,
            state: State::Idle,
            last_error: None,
        }
    }

    pub(super) fn id(&self) -> LinkId {
        self.id
    }

    pub(super) fn is(&self, id: LinkId) -> bool {
        self.id == id && self.state != State::Closed
    }

    /// The state, for people.
    pub(super) fn name(&self) -> &'static str {
        match self.state {
            State::Idle => "idle",
            State::Dialing => "dialing",
            State::Greeting { .. } => "greeting",
            State::Configuring { .. } => "configuring",
            State::Open { .. } => "open",
            State::Closing { .. } => "closing",
            State::Aborting { .. } => "aborting",
            State::Closed => "closed",
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    pub(super) fn is_ending(&self) -> bool {
        matches!(
            self.state,
            State::Closing { .. } | State::Aborting { .. } | State::Closed
        )
    }

    pub(super) fn dial(&mut self) {
        debug_assert_eq!(self.state, State::Idle, "a link is dialled once");
        self.state = State::Dialing;
    }

    pub(super) fn up(&mut self, until: Instant) {
        if self.state == State::Dialing {
            self.state = State::Greeting { until };
        }
    }

    /// The server greeted; returns whether that is news.
    pub(super) fn greeted(&mut self, now: Instant, until: Instant) -> bool {
        let greets = matches!(self.state, State::Greeting { .. });
        if greets {
            self.state = State::Configuring { since: now, until };
        }
        greets
    }

    /// The first settings are acknowledged, or there were none.
    pub(super) fn configured(&mut self) -> bool {
        let State::Configuring { since, .. } = self.state else {
            return false;
        };
        self.state = State::Open { since };
        true
    }

    /// Begins to close, or brings the limit of a close under way forward.
    pub(super) fn close(&mut self, limit: Instant, asked: Asked) {
        match &mut self.state {
            State::Closing { until, .. } => *until = limit.min(*until),
            // Who closes wants no other link, whatever this one is dropped for.
            State::Aborting { asked: reason } if asked == Asked::App => *reason = asked,
            State::Aborting { .. } | State::Closed => {}
            _ => {
                self.state = State::Closing {
                    until: limit,
                    asked,
                }
            }
        }
    }

    /// What a timeout means: which answer did not come.
    pub(super) fn overdue_for(&self) -> &'static str {
        match self.state {
            State::Configuring { .. } => {
                "the server greeted and did not answer the first session.update in time"
            }
            _ => "the server accepted the connection and sent no session.created in time",
        }
    }

    /// The socket is being dropped; what is left to come is the report of that.
    pub(super) fn abort(&mut self, reason: Asked) {
        let asked = match std::mem::replace(&mut self.state, State::Closed) {
            State::Closing { asked, .. } | State::Aborting { asked } => asked,
            _ => reason,
        };
        self.state = State::Aborting { asked };
    }

    pub(super) fn remember(&mut self, now: Instant, event: &ErrorEvent) {
        self.last_error = Some((now, event.error.clone()));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Greeting { until }
            | State::Configuring { until, .. }
            | State::Closing { until, .. } => Some(until),
            State::Idle
            | State::Dialing
            | State::Open { .. }
            | State::Aborting { .. }
            | State::Closed => None,
        }
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|until| now >= until)
    }

    /// Ends the link and says why. Called once: a closed link takes no inputs.
    pub(super) fn down(&mut self, now: Instant, down: &Down, dialect: &Dialect) -> Verdict {
        let before = std::mem::replace(&mut self.state, State::Closed);
        if let State::Closing { asked, .. } | State::Aborting { asked } = before {
            return Verdict::of_our_close(asked, down);
        }
        match down {
            Down::Failed(error) => Verdict::of_error(error.clone()),
            Down::Closed { code, reason } => {
                self.of_their_close(now, &before, *code, reason, dialect)
            }
        }
    }

    fn of_their_close(
        &self,
        now: Instant,
        before: &State,
        code: u16,
        reason: &str,
        dialect: &Dialect,
    ) -> Verdict {
        let last_error = self.last_error.as_ref();
        let fresh = last_error.filter(|(at, _)| now.saturating_duration_since(*at) < FRESH);
        let fresh = fresh.map(|(_, error)| error);
        let announced = fresh.and_then(|e| dialect.fatal_error(e.code.as_deref()?));
        let by_code = dialect.close_kind(code).unwrap_or(match code {
            1003 | 1007 | 1009 | 1010 => Kind::Protocol,
            4000..=4999 => Kind::Fatal,
            _ => Kind::ServerClosed,
        });
        let old = match before {
            State::Configuring { since, .. } | State::Open { since } => {
                is_old(now - *since, dialect)
            }
            _ => false,
        };
        let why = match (announced, by_code) {
            (Some(kind), _) => kind,
            (None, _) if old => Kind::Expired,
            // Going away is only an expiry when the server said so or the session is old enough.
            (None, Kind::Expired) => Kind::ServerClosed,
            (None, kind) => kind,
        };
        let relevant = fresh.filter(|_| announced.is_some() || by_code == Kind::Fatal);
        let mut provider = relevant.map(provider).unwrap_or_default();
        provider.close_code = Some(code);
        let said = relevant.map_or(reason, |e| e.message.as_str());
        let message = if said.is_empty() {
            format!("the server closed the session with code {code}")
        } else {
            format!("the server closed the session with code {code}: {said}")
        };
        let error = Error::new(why, message).with_provider(provider);
        Verdict {
            close_code: Some(code),
            ..Verdict::of_error(error)
        }
    }
}

/// Near enough to the maximum duration to call a close an expiry.
fn is_old(age: Duration, dialect: &Dialect) -> bool {
    let lifetime = Duration::from_secs(dialect.table().limits.lifetime_s.into());
    age >= lifetime * 19 / 20
}

/// What the server said, for an error object.
pub(super) fn provider(body: &ErrorBody) -> Provider {
    Provider {
        kind: Some(body.kind.clone()).filter(|k| !k.is_empty()),
        code: body.code.clone(),
        param: body.param.clone(),
        event_id: body.event_id.clone(),
        ..Provider::default()
    }
}

impl Verdict {
    fn of_our_close(asked: Asked, down: &Down) -> Self {
        let close_code = match down {
            Down::Closed { code, .. } => Some(*code),
            Down::Failed(_) => None,
        };
        Self {
            close_code,
            ..Self::of_asked(asked)
        }
    }

    /// A close that we asked for.
    pub(super) fn of_asked(asked: Asked) -> Self {
        match asked {
            Asked::App => Self {
                who: Who::App,
                why: Kind::Closed,
                close_code: None,
                http_status: None,
                expected: true,
                message: "closed by the application".to_owned(),
                error: None,
            },
            Asked::Us(error) => Self::of_error(error),
        }
    }

    pub(super) fn of_error(error: Error) -> Self {
        Self {
            who: error.who(),
            why: error.kind(),
            close_code: error.provider().close_code,
            http_status: error.provider().http_status,
            expected: false,
            message: error.message().to_owned(),
            error: Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn open(dialect: &str) -> (Link, Instant, Arc<Dialect>) {
        let (mut link, now) = (Link::new(), Instant::now());
        link.dial();
        link.up(now);
        assert!(link.greeted(now, now));
        assert!(link.configured());
        (link, now, Dialect::named(dialect).expect("built in"))
    }

    fn closed(code: u16) -> Down {
        Down::Closed {
            code,
            reason: String::new(),
        }
    }

    #[test]
    fn no_close_that_we_did_not_ask_for_is_expected() {
        let cases = [
            (1000, Kind::ServerClosed),
            (1001, Kind::ServerClosed),
            (1005, Kind::ServerClosed),
            (1008, Kind::Fatal),
            (1009, Kind::Protocol),
            (1011, Kind::ServerClosed),
            (1013, Kind::Overloaded),
            (4000, Kind::Fatal),
            (4999, Kind::Fatal),
        ];
        for (code, why) in cases {
            for dialect in ["yandex", "openai"] {
                let (mut link, now, dialect) = open(dialect);
                let verdict = link.down(now, &closed(code), &dialect);
                assert_eq!(
                    (verdict.why, verdict.expected, verdict.who),
                    (why, false, Who::Server),
                    "{code}"
                );
                assert_eq!(verdict.close_code, Some(code));
            }
        }
    }

    #[test]
    fn an_old_session_or_an_announced_expiry_is_an_expiry_whatever_the_code() {
        for code in [1000, 1001, 1008, 1011] {
            let (mut link, now, dialect) = open("yandex");
            let verdict = link.down(now + Duration::from_secs(290), &closed(code), &dialect);
            assert_eq!(verdict.why, Kind::Expired, "{code}");
        }
        let (mut link, now, dialect) = open("openai");
        let mut event = ErrorEvent::default();
        event.error.code = Some("session_expired".to_owned());
        event.error.message = "Your session hit the maximum duration".to_owned();
        link.remember(now, &event);
        let verdict = link.down(now, &closed(1001), &dialect);
        assert_eq!(verdict.why, Kind::Expired);
        let error = verdict.error.expect("carries the server's words");
        assert_eq!(error.provider().code.as_deref(), Some("session_expired"));
    }

    #[test]
    fn a_close_we_asked_for_is_ours_however_it_comes_about() {
        let lost = Down::Failed(Error::new(Kind::Lost, "reset"));
        for down in [closed(1000), closed(1006), lost] {
            let (mut link, now, dialect) = open("openai");
            link.close(now + Duration::from_secs(3), Asked::App);
            let verdict = link.down(now, &down, &dialect);
            assert_eq!(
                (verdict.why, verdict.expected, verdict.who),
                (Kind::Closed, true, Who::App)
            );
        }
    }
}
