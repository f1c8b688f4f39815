//! The next link before it is the link: when it is needed, dialled, greeted and configured.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Engine;
use super::config::Config;
use super::io::{Down, Effect, Effects, Frame, LinkId};
use super::link;
use super::requests::until;
use super::rollover::{Age, Due, LEAST_LIFE};
use crate::dialect::{Decoded, Dialect};
use crate::error::{Error, Kind};
use crate::wire::client::SessionUpdate;
use crate::wire::{ClientEvent, ServerEvent, Session};

impl Engine {
    // ---- age ----------------------------------------------------------------------------------

    /// The age of the session that greets now.
    pub(super) fn age(&self, now: Instant, session: &Session) -> Age {
        let limits = &self.endpoints.dialect(self.endpoints.next()).table().limits;
        let expires_s = session
            .pointer("/expires_at")
            .and_then(serde_json::Value::as_u64);
        let told = expires_s.and_then(|at| self.until_unix(now, at));
        self.rollover.age(now, limits.lifetime_s, told)
    }

    /// How long it is until a moment of the system's clock, if it is not over.
    fn until_unix(&self, now: Instant, at_s: u64) -> Option<Duration> {
        let (since, unix_ms) = (self.opened?, self.unix_ms);
        let now_ms = unix_ms + u64::try_from((now - since).as_millis()).unwrap_or(0);
        let left = at_s.checked_mul(1_000)?.checked_sub(now_ms)?;
        // Less is a clock that is wrong, here or there.
        Some(Duration::from_millis(left)).filter(|left| *left >= LEAST_LIFE)
    }

    // ---- the standby link ---------------------------------------------------------------------

    pub(super) fn new_link(&mut self) -> LinkId {
        self.links += 1;
        LinkId(self.links)
    }

    pub(super) fn change_due(&mut self, now: Instant, fx: &mut Effects) {
        for due in self.rollover.timeout(now) {
            match due {
                Due::Dial => self.dial_standby(fx),
                Due::Silent(id, message) => {
                    fx.push(Effect::Abort(id));
                    self.standby_failed(now, &Error::new(Kind::Timeout, message), fx);
                }
                Due::Change => self.change_link(now, fx),
                Due::Over => self.give_up(now, None, fx),
                Due::Drained(id) => fx.push(Effect::Abort(id)),
            }
        }
    }

    fn dial_standby(&mut self, fx: &mut Effects) {
        let (id, endpoint) = (self.new_link(), self.endpoints.next());
        self.rollover
            .dial(id, Config::new(&self.standby_settings()));
        let note = format!("standby link {} dialled at endpoint {endpoint}", id.0);
        fx.push(Effect::Note(note));
        fx.push(Effect::Dial(id, endpoint));
    }

    /// What the server is to agree to over a standby link.
    pub(super) fn standby_settings(&self) -> Session {
        let mut settings = self.endpoints.settings(self.config.agreed());
        if !settings.0.is_empty() {
            self.config
                .name_type(&mut settings.0, &self.standby_dialect());
        }
        settings
    }

    /// What is spoken over a standby link.
    fn standby_dialect(&self) -> Arc<Dialect> {
        self.endpoints.dialect(self.endpoints.next()).clone()
    }

    pub(super) fn standby_up(&mut self, now: Instant) {
        let until = until(now, self.options.greeting_timeout_ms);
        if let Some(standby) = self.rollover.preparing() {
            standby.link.up(until);
        }
    }

    pub(super) fn standby_down(&mut self, now: Instant, down: &Down, fx: &mut Effects) {
        let error = match down {
            Down::Failed(error) => error.clone(),
            Down::Closed { code, reason } => {
                let kind = self.standby_dialect().close_kind(*code);
                let kind = kind.unwrap_or(Kind::ServerClosed);
                Error::new(
                    kind,
                    format!("the new session was closed with code {code}: {reason}"),
                )
            }
        };
        self.standby_failed(now, &error, fx);
    }

    fn standby_failed(&mut self, now: Instant, error: &Error, fx: &mut Effects) {
        fx.push(Effect::Note(format!(
            "standby link failed: {}",
            error.outline()
        )));
        let random = self.ids.next_u64();
        let is_put_off = error.provider().retry_after_ms.is_some();
        let turn = self.endpoints.failed(!error.may_pass(), is_put_off);
        let goes_on = self.rollover.failed(now, error, turn, random);
        if !goes_on && self.rollover.is_recovering() {
            self.give_up(now, Some(error), fx);
        }
    }

    /// What a standby link says before it is the link: its greeting and the answer to its settings.
    pub(super) fn standby_text(&mut self, now: Instant, raw: &str, fx: &mut Effects) {
        let dialect = self.standby_dialect();
        let Ok(Decoded { event, .. }) = dialect.decode_server(raw) else {
            return;
        };
        match event {
            ServerEvent::SessionCreated(e) => self.standby_greeted(now, &e.session, fx),
            ServerEvent::SessionUpdated(e) => {
                let Some(standby) = self.rollover.preparing() else {
                    return;
                };
                standby.config.updated(&e.session, &dialect);
                standby.link.configured();
                self.rollover.ready();
            }
            ServerEvent::Error(e) => {
                let code = e.error.code.as_deref();
                let kind = code.and_then(|code| dialect.fatal_error(code));
                let error = Error::new(kind.unwrap_or(Kind::Server), e.error.message.as_str())
                    .with_provider(link::provider(&e.error));
                if let Some(standby) = self.rollover.preparing() {
                    fx.push(Effect::Abort(standby.link.id()));
                    self.standby_failed(now, &error, fx);
                }
            }
            _ => {}
        }
    }

    fn standby_greeted(&mut self, now: Instant, session: &Session, fx: &mut Effects) {
        let age = self.age(now, session);
        let until = until(now, self.options.reply_timeout_ms);
        let event_id = self.ids.next("evt");
        let (dialect, agreed) = (self.standby_dialect(), self.standby_settings());
        let Some(standby) = self.rollover.preparing() else {
            return;
        };
        if !standby.link.greeted(now, until) {
            return;
        }
        standby.age = Some(age);
        standby.config.greeted(session);
        if agreed.0.is_empty() {
            standby.link.configured();
            return self.rollover.ready();
        }
        let id = standby.link.id();
        let update = ClientEvent::SessionUpdate(SessionUpdate {
            session: agreed.clone(),
        });
        match dialect.encode_client(&update, Some(&event_id)) {
            Ok(frame) => {
                standby.config.sent(&event_id, &agreed);
                standby.first_update = Some(event_id);
                fx.push(Effect::Send(id, Frame::Text(frame)));
            }
            Err(error) => {
                fx.push(Effect::Abort(id));
                self.standby_failed(now, &error, fx);
            }
        }
    }
}
