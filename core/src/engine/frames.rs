//! What the engine makes of the server's frames.

use std::sync::Arc;
use std::time::Instant;

use super::config::Acknowledged;
use super::io::{Effect, Effects, Frame, Reply};
use super::link::{self, Asked};
use super::requests::{Answer, until};
use super::responses::Verdict;
use super::{Engine, answer, first_update};
use crate::dialect::{Decoded, Quirk};
use crate::error::{Error, Kind};
use crate::event::local::Local;
use crate::event::{Event, Origin};
use crate::wire::client::ResponseCancel;
use crate::wire::envelope::Malformed;
use crate::wire::{ClientEvent, ServerEvent};

/// The conversation has a response: protocol.md 9 of the facts.
const ALREADY_ACTIVE: &str = "conversation_already_has_active_response";

/// A repetition comes right after what it repeats.
const DOUBT_MS: u64 = 500;

/// There is no response to cancel.
const NOT_ACTIVE: &str = "response_cancel_not_active";

impl Engine {
    pub(super) fn text(&mut self, now: Instant, raw: &Arc<str>, fx: &mut Effects) {
        let decoded = match self.dialect.decode_server(raw) {
            Ok(decoded) => decoded,
            Err(malformed) => return self.fault(now, &malformed, raw, fx),
        };
        if !self.aliases.seen(&decoded.event) {
            return self.event(now, decoded, raw, fx);
        }
        let renamed: Option<Arc<str>> = self.aliases.inward(raw).map(Arc::from);
        let renamed = renamed.as_ref().unwrap_or(raw);
        match self.dialect.decode_server(renamed) {
            Ok(decoded) => self.event(now, decoded, renamed, fx),
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
        if self.is_settled(now, &event, fx) {
            return;
        }
        if self.is_replayed(&event) {
            // Somebody may wait for it: it may stand for an item of the application.
            answer(self.requests.proven(&event, None), fx);
            self.unproven.knows(event.item_id().unwrap_or_default());
            return fx.push(Effect::Note(format!("replayed {}", event.name())));
        }
        rewritten |= self.in_call_time(&mut event);
        let (interrupts, answers) = (self.config.may_interrupt(), self.config.answers());
        let verdict = self.responses.seen(&event, interrupts, answers);
        let granted = self.responses.granted();
        let granted = granted.as_deref();
        match verdict {
            Verdict::Pass => {}
            Verdict::Late => {
                fx.push(Effect::Note(format!("late {}", event.name())));
                return answer(self.requests.proven(&event, granted), fx);
            }
            Verdict::After(end) => {
                answer(self.requests.proven(&end, None), fx);
                fx.push(Effect::Emit(Event::wire(*end, Origin::ours(at_ms))));
            }
        }
        let Some(is_doubtful) = self.acknowledge(now, &event) else {
            return fx.push(Effect::Note("repeated session.updated".to_owned()));
        };
        if self.dialect.has(Quirk::SpokenTextIsOutputText) && self.tracks.is_second(&event) {
            return fx.push(Effect::Note(format!("second track {}", event.name())));
        }
        rewritten |= self.seen(now, &mut event);
        let proven = match is_doubtful {
            true => None,
            false => self.requests.proven(&event, granted),
        };
        self.unproven.seen(&event, granted);
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
        self.react(now, &event, fx);
    }

    /// Takes settings that the server acknowledges; returns whether it is in doubt what they answer,
    /// or nothing where they are a repetition.
    fn acknowledge(&mut self, now: Instant, event: &ServerEvent) -> Option<bool> {
        let ServerEvent::SessionUpdated(e) = event else {
            return Some(false);
        };
        match self.config.updated(&e.session, &self.dialect) {
            Acknowledged::News => Some(false),
            Acknowledged::Doubtful => Some(self.requests.doubt(until(now, DOUBT_MS))),
            Acknowledged::Repeated => None,
        }
    }

    /// What follows from an event that the application knows of.
    fn react(&mut self, now: Instant, event: &ServerEvent, fx: &mut Effects) {
        self.begun(now, fx);
        self.play(event, fx);
        self.overheard(now, event, fx);
        self.calls(now, event, fx);
        self.counted(now, event, fx);
        self.advance(now, event, fx);
    }

    /// An error that says of a wish or a cancel only that its time was wrong: that is known how to
    /// settle, and concerns nobody.
    fn is_settled(&mut self, now: Instant, event: &ServerEvent, fx: &mut Effects) -> bool {
        let ServerEvent::Error(e) = event else {
            return false;
        };
        if self.is_aside_refused(now, &e.error, fx) {
            return true;
        }
        if !self.keeps_turns() {
            return false;
        }
        let about = e.error.event_id.as_deref().unwrap_or_default();
        match e.error.code.as_deref() {
            Some(ALREADY_ACTIVE) => about.is_empty() || self.responses.bounced(about),
            Some(NOT_ACTIVE) => {
                fx.extend(
                    self.requests
                        .done(about)
                        .map(|t| Effect::Reply(t, Ok(Reply::nothing()))),
                );
                true
            }
            _ => false,
        }
    }

    /// Answers those whose response began, and takes back what nobody wants.
    fn begun(&mut self, now: Instant, fx: &mut Effects) {
        let begun = self.responses.begun().into_iter();
        answer(
            begun.map(|(ticket, id)| (ticket, Ok(Reply::Merged { id }))),
            fx,
        );
        for id in self.responses.unwanted() {
            self.cancel(now, id, fx);
        }
    }

    pub(super) fn cancel(&mut self, now: Instant, id: String, fx: &mut Effects) {
        let response_id = Some(id);
        let cancel = ResponseCancel { response_id };
        self.post(now, ClientEvent::ResponseCancel(cancel), fx);
    }

    pub(super) fn counted(&mut self, now: Instant, event: &ServerEvent, fx: &mut Effects) {
        let ServerEvent::ResponseDone(e) = event else {
            return;
        };
        let limit_tokens = u64::from(self.dialect.table().limits.context_tokens);
        if let Some(tokens) = self.usage.done(&e.response, limit_tokens) {
            let warning = Local::Context {
                tokens,
                limit_tokens,
            };
            self.tell(now, warning, fx);
        }
    }

    /// Lets every machine note the event; returns whether one had to mend it.
    fn seen(&mut self, now: Instant, event: &mut ServerEvent) -> bool {
        let at_ms = self.at_ms(now);
        self.timeline
            .seen(at_ms, event, self.last_sample_ms(now, event));
        self.turns.seen(event);
        self.overlaps(event);
        self.history.seen(at_ms, event, &self.dialect)
    }

    /// Whether an event is about an item that the link was told of by us.
    fn is_replayed(&self, event: &ServerEvent) -> bool {
        let (ServerEvent::ItemAdded(e) | ServerEvent::ItemDone(e)) = event else {
            return false;
        };
        self.is_hidden(&e.item)
    }

    /// Puts the times of a link's audio into those of the call; returns whether that changed them.
    fn in_call_time(&self, event: &mut ServerEvent) -> bool {
        let base_ms = self.overlap.link_ms();
        let (ServerEvent::SpeechStarted(e) | ServerEvent::SpeechStopped(e)) = event else {
            return false;
        };
        for ms in [&mut e.audio_start_ms, &mut e.audio_end_ms] {
            ms.iter_mut().for_each(|ms| *ms += base_ms);
        }
        base_ms > 0
    }

    /// What an event says of the audio that a next link would need.
    fn overlaps(&mut self, event: &ServerEvent) {
        match event {
            ServerEvent::SpeechStarted(e) => self.overlap.speech_started(e.audio_start_ms),
            ServerEvent::SpeechStopped(e) => self.overlap.speech_stopped(e.audio_end_ms),
            ServerEvent::BufferCommitted(e) => self.overlap.committed(&e.item_id),
            ServerEvent::TranscriptionCompleted(e) => self.overlap.settled(&e.item_id),
            ServerEvent::TranscriptionFailed(e) => self.overlap.settled(&e.item_id),
            ServerEvent::ResponseDone(e) if e.response.status.as_deref() == Some("completed") => {
                self.overlap.answered();
            }
            _ => {}
        }
    }

    /// When the customer's speech that stopped had its last sample.
    fn last_sample_ms(&self, now: Instant, event: &ServerEvent) -> Option<u64> {
        let ServerEvent::SpeechStopped(e) = event else {
            return None;
        };
        let silence_ms = self.config.silence_ms();
        let ago = self
            .overlap
            .ago_ms(now, e.audio_end_ms?.saturating_sub(silence_ms))?;
        Some(self.at_ms(now).saturating_sub(ago))
    }

    /// Keeps samples whole; returns whether half a sample was left over.
    fn frame(&mut self, event: &mut ServerEvent, rewritten: &mut bool) -> bool {
        match event {
            ServerEvent::AudioDelta(delta) => {
                let bytes = self.config.output_format(&self.dialect).sample_bytes();
                *rewritten |= self.halves.mend(delta, bytes);
                false
            }
            ServerEvent::AudioDone(done) => self.halves.ended_in_half(done),
            _ => false,
        }
    }

    pub(super) fn audio_ms(&self, event: &ServerEvent) -> u64 {
        let ServerEvent::AudioDelta(delta) = event else {
            return 0;
        };
        self.config
            .output_format(&self.dialect)
            .ms_of_bytes(delta.audio.len() as u64)
    }

    /// An error of the server: remembered for the end, and given to whom it concerns.
    fn failed(&mut self, now: Instant, event: &ServerEvent) -> Vec<Answer> {
        let ServerEvent::Error(e) = event else {
            return Vec::new();
        };
        self.link.remember(now, e);
        // Before the first settings are answered nothing else was sent, so it is about them.
        let named = e.error.event_id.as_deref();
        let Some(culprit) = named.or(self.first_update.as_deref()) else {
            return Vec::new();
        };
        let culprit = culprit.to_owned();
        let culprit = culprit.as_str();
        let also = self.responses.refused(culprit);
        self.unproven.refused(culprit);
        let error = Error::new(Kind::Server, e.error.message.as_str())
            .with_provider(link::provider(&e.error));
        self.config.refused(culprit);
        let mut failed: Vec<Answer> = also.into_iter().map(|t| (t, Err(error.clone()))).collect();
        failed.extend(self.requests.failed(culprit, &error));
        failed
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
                let age = self.age(now, &e.session);
                self.rollover.began(Some(age));
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
        let mut event = first_update(&self.options);
        if let ClientEvent::SessionUpdate(update) = &mut event {
            self.take_over(&mut update.session.0);
            if update.session.0.is_empty() {
                return self.opened(now, fx);
            }
            self.config.name_type(&mut update.session.0, &self.dialect);
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
        self.was_open = true;
        self.endpoints.reached();
        self.liveness.heard(now);
        fx.push(Effect::Ready);
        self.claim_interruption(now, fx);
        for (command, ticket) in self.held.release() {
            self.command(now, command, ticket, fx);
        }
    }
}
