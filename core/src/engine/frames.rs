//! What the engine makes of the server's frames.

use std::sync::Arc;
use std::time::Instant;

use super::config::Acknowledged;
use super::io::{Effect, Effects, Frame};
use super::link::{self, Asked};
use super::requests::{Answer, until};
use super::responses::Verdict;
use super::{Engine, answer, first_update};
use crate::dialect::{Decoded, Quirk};
use crate::error::{Error, Kind};
use crate::event::{Event, Origin};
use crate::wire::envelope::Malformed;
use crate::wire::{ClientEvent, ServerEvent};

impl Engine {
    pub(super) fn text(&mut self, now: Instant, raw: &Arc<str>, fx: &mut Effects) {
        match self.dialect.decode_server(raw) {
            Ok(decoded) => self.event(now, decoded, raw, fx),
            Err(malformed) => self.fault(now, &malformed, raw, fx),
        }
    }

    pub(super) fn binary(&mut self, now: Instant, bytes: usize, fx: &mut Effects) {
        let message = format!("a binary frame of {bytes} bytes: this protocol has none");
        let event = Event::fault(self.at_ms(now), Error::new(Kind::Protocol, message), None);
        fx.push(Effect::Emit(event));
    }

    fn fault(&mut self, now: Instant, malformed: &Malformed, raw: &Arc<str>, fx: &mut Effects) {
        let error = Error::new(
            Kind::Protocol,
            format!("a frame of the server is {malformed}"),
        );
        fx.push(Effect::Emit(Event::fault(
            self.at_ms(now),
            error,
            Some(raw.clone()),
        )));
    }

    fn event(
        &mut self,
        now: Instant,
        decoded: Decoded<ServerEvent>,
        raw: &Arc<str>,
        fx: &mut Effects,
    ) {
        let Decoded {
            event_id,
            mut rewritten,
            mut event,
        } = decoded;
        let at_ms = self.at_ms(now);
        match self.responses.seen(&event) {
            Verdict::Pass => {}
            Verdict::Late => {
                fx.push(Effect::Note(format!("late {}", event.name())));
                return answer(self.requests.proven(&event), fx);
            }
            Verdict::After(end) => {
                let origin = Origin {
                    at_ms,
                    rewritten: true,
                    ..Origin::default()
                };
                answer(self.requests.proven(&end), fx);
                fx.push(Effect::Emit(Event::wire(*end, origin)));
            }
        }
        if let ServerEvent::SessionUpdated(e) = &event
            && self.config.updated(&e.session, &self.dialect) == Acknowledged::Repeated
        {
            return fx.push(Effect::Note("repeated session.updated".to_owned()));
        }
        if self.dialect.has(Quirk::SpokenTextIsOutputText) && self.tracks.is_second(&event) {
            return fx.push(Effect::Note(format!("second track {}", event.name())));
        }
        rewritten |= self.seen(at_ms, &mut event);
        let proven = self.requests.proven(&event);
        let halved = self.frame(&mut event, &mut rewritten);
        let failed = self.failed(now, &event);
        let audio_ms = self.audio_ms(&event);
        self.watch.seen(now, &event, audio_ms);
        let origin = Origin {
            at_ms,
            event_id,
            raw: Some(raw.clone()),
            rewritten,
            audio_ms,
        };
        fx.push(Effect::Emit(Event::wire(event.clone(), origin)));
        if halved {
            let error = Error::new(Kind::Protocol, "the audio of a part ended within a sample");
            fx.push(Effect::Emit(Event::fault(at_ms, error, None)));
        }
        answer(proven, fx);
        answer(failed, fx);
        self.advance(now, &event, fx);
    }

    /// Lets every machine note the event; returns whether one had to mend it.
    fn seen(&mut self, at_ms: u64, event: &mut ServerEvent) -> bool {
        self.turns.seen(event);
        self.tools.seen(event, &self.dialect);
        self.history.seen(at_ms, event, &self.dialect)
    }

    /// Keeps samples whole; returns whether half a sample was left over.
    fn frame(&mut self, event: &mut ServerEvent, rewritten: &mut bool) -> bool {
        match event {
            ServerEvent::AudioDelta(delta) => {
                let bytes = self.config.output_format(&self.dialect).sample_bytes();
                *rewritten |= self.playout.received(delta, bytes);
                false
            }
            ServerEvent::AudioDone(done) => self.playout.ended_in_half(done),
            _ => false,
        }
    }

    fn audio_ms(&self, event: &ServerEvent) -> u64 {
        let ServerEvent::AudioDelta(delta) = event else {
            return 0;
        };
        self.config
            .output_format(&self.dialect)
            .ms_of_bytes(delta.audio.len() as u64)
    }

    /// An error of the server: remembered for the end, and given to whom it concerns.
    fn failed(&mut self, now: Instant, event: &ServerEvent) -> Option<Answer> {
        let ServerEvent::Error(e) = event else {
            return None;
        };
        self.link.remember(now, e);
        // Before the first settings are answered nothing else was sent, so it is about them.
        let named = e.error.event_id.as_deref();
        let culprit = named.or(self.first_update.as_deref())?.to_owned();
        let culprit = culprit.as_str();
        self.responses.refused(culprit);
        let error = Error::new(Kind::Server, e.error.message.as_str())
            .with_provider(link::provider(&e.error));
        if self.first_update.as_deref() == Some(culprit) {
            self.config.refused();
        }
        self.requests.failed(culprit, &error)
    }

    /// Moves the link on: greeting, first settings, open.
    fn advance(&mut self, now: Instant, event: &ServerEvent, fx: &mut Effects) {
        match event {
            ServerEvent::SessionCreated(e)
                if self
                    .link
                    .greeted(now, until(now, self.options.reply_timeout_ms)) =>
            {
                self.config.greeted(&e.session);
                self.configure(now, fx);
            }
            ServerEvent::SessionUpdated(_) if self.first_update.take().is_some() => {
                self.opened(now, fx)
            }
            // Refused first settings leave the session with the server's defaults; the application
            // reads the error.
            ServerEvent::Error(e)
                if self.first_update.is_some()
                    && (e.error.event_id.is_none() || e.error.event_id == self.first_update) =>
            {
                self.first_update = None;
                self.opened(now, fx);
            }
            _ => {}
        }
    }

    fn configure(&mut self, now: Instant, fx: &mut Effects) {
        if self.options.session.0.is_empty() {
            return self.opened(now, fx);
        }
        let mut event = first_update(&self.options);
        if let ClientEvent::SessionUpdate(update) = &mut event {
            self.take_over(&mut update.session.0);
        }
        let event_id = self.ids.next("evt");
        match self.dialect.encode_client(&event, Some(&event_id)) {
            Ok(frame) => {
                self.sent(now, &event, &event_id, None, fx);
                self.first_update = Some(event_id);
                fx.push(Effect::Send(self.link.id(), Frame::Text(frame)));
            }
            Err(error) => self.close(now, 0, Asked::Us(error), fx),
        }
    }

    fn opened(&mut self, now: Instant, fx: &mut Effects) {
        if !self.link.configured() {
            return;
        }
        fx.push(Effect::Ready);
        for (command, ticket) in self.held.release() {
            self.command(now, command, ticket, fx);
        }
    }
}
