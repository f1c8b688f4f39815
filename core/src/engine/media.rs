//! What the engine makes of a listener: it keeps the ledger, and lets the customer interrupt.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Engine;
use super::barge_in::Move;
use super::io::{Command, Effect, Effects, Frame, Heard};
use super::playout::Listener;
use super::watch::{PROMPT, Silent};
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::event::local::{Cut, Local};
use crate::options::barge_in::{Policy, Resume};
use crate::wire::client::{ItemId, ItemTruncate, ResponseCreate, SessionUpdate};
use crate::wire::server::AudioDelta;
use crate::wire::{ClientEvent, Map, ServerEvent};

/// What a server is asked for that was cut off by something that was no interruption.
pub(super) const GO_ON: &str = "You were cut off in the middle of an answer. Go on exactly where you were cut, without repeating what you have said.";

impl Engine {
    // ---- the listener -------------------------------------------------------------------------

    pub(super) fn port(&mut self, now: Instant, is_there: bool, fx: &mut Effects) {
        let listener = match is_there {
            true => Listener::Port,
            false => Listener::Unknown,
        };
        self.playout.listen(listener);
        if !is_there {
            self.barge_in.stop();
        }
        self.claim_interruption(now, fx);
    }

    /// Sound of the media port: it comes with the clock, whether or not it can be sent.
    pub(super) fn captured(&mut self, now: Instant, audio: bytes::Bytes, fx: &mut Effects) {
        if self.link.is_open() {
            return self.append(now, audio, fx);
        }
        if self.rollover.is_recovering() {
            return self.keep(now, audio);
        }
        let format = self.config.input_format(&self.dialect);
        self.unsent.audio_ms += format.ms_of_bytes(audio.len() as u64);
    }

    pub(super) fn echo(&mut self, now: Instant, is_echo: bool, fx: &mut Effects) {
        let speech = self.barge_in.echo(is_echo).filter(|_| self.has_floor());
        if let Some(item_id) = speech {
            let heard_ms = self.playout.heard_ms();
            let step = self.barge_in.speech_over(now, &item_id, heard_ms);
            self.carry_out(now, step, fx);
        }
    }

    pub(super) fn heard(&mut self, now: Instant, heard: &[Heard], fx: &mut Effects) {
        let first = self.playout.heard(heard);
        self.heard_first(now, first, fx);
    }

    /// The host says how much of a part its listener has heard.
    pub(super) fn marked(&mut self, now: Instant, mark: &super::io::Mark, fx: &mut Effects) {
        if self.playout.listener() == Listener::Unknown {
            self.playout.listen(Listener::Host);
            self.claim_interruption(now, fx);
        }
        let first = self
            .playout
            .marked(&mark.item_id, mark.content_index, mark.heard_ms);
        self.heard_first(now, first, fx);
    }

    fn heard_first(&mut self, now: Instant, response_id: Option<String>, fx: &mut Effects) {
        let at_ms = self.at_ms(now);
        let turn = response_id.and_then(|id| self.timeline.heard(at_ms, &id));
        if let Some(turn) = turn {
            self.tell(now, Local::Timeline(turn), fx);
        }
    }

    /// Where the server can leave interruption to us, it shall, unless the application has said
    /// otherwise.
    pub(super) fn claim_interruption(&mut self, now: Instant, fx: &mut Effects) {
        let is_ours = self.playout.listener() != Listener::Unknown
            && self.barge_in.rules().policy == Policy::Staged
            && self.dialect.can("interrupt_response")
            && self.link.is_open();
        if !is_ours {
            return;
        }
        if let Some(session) = self.config.claim_interruption(&self.options.session) {
            let update = ClientEvent::SessionUpdate(SessionUpdate { session });
            self.post(now, update, fx);
        }
    }

    // ---- audio of the agent -------------------------------------------------------------------

    /// Hands on what an event brings to the listener.
    pub(super) fn play(&mut self, event: &ServerEvent, fx: &mut Effects) {
        self.playout.seen(event);
        match event {
            ServerEvent::AudioDelta(delta) => self.play_delta(delta, fx),
            ServerEvent::AudioDone(done) => {
                let ended = self.playout.ended(&done.item_id, done.content_index);
                fx.extend(ended.map(Effect::PlayEnd));
            }
            _ => {}
        }
    }

    fn play_delta(&mut self, delta: &AudioDelta, fx: &mut Effects) {
        let format = self.config.output_format(&self.dialect);
        if let Some(part) = self.playout.received(delta, format) {
            fx.push(Effect::Play(part, delta.audio.clone(), format));
        }
    }

    // ---- interruption -------------------------------------------------------------------------

    /// Lets the interruption machine see an event.
    pub(super) fn overheard(&mut self, now: Instant, event: &ServerEvent, fx: &mut Effects) {
        if self.playout.listener() == Listener::Unknown {
            return;
        }
        let step = match event {
            ServerEvent::SpeechStarted(e) if self.has_floor() => {
                self.barge_in
                    .speech_over(now, &e.item_id, self.playout.heard_ms())
            }
            ServerEvent::SpeechStopped(_) => self.barge_in.speech_stopped(now),
            ServerEvent::TranscriptionDelta(e) => {
                let text = e.delta.as_deref().unwrap_or_default();
                self.barge_in.transcript(now, text, false)
            }
            ServerEvent::TranscriptionCompleted(e) => {
                let text = e.transcript.as_deref().unwrap_or_default();
                self.barge_in.transcript(now, text, true)
            }
            ServerEvent::TranscriptionFailed(_) => self.barge_in.transcript(now, "", true),
            _ => Move::Stay,
        };
        self.carry_out(now, step, fx);
    }

    fn has_floor(&self) -> bool {
        self.playout.is_sounding() || self.responses.has_floor()
    }

    /// The application decides a held interruption, or interrupts by itself.
    pub(super) fn interrupt(
        &mut self,
        now: Instant,
        is_interruption: bool,
        fx: &mut Effects,
    ) -> Result<()> {
        if self.barge_in.is_held() {
            let step = self.barge_in.decided(now, is_interruption);
            self.carry_out(now, step, fx);
            return Ok(());
        }
        if is_interruption && self.has_floor() {
            let told = crate::event::local::BargeIn {
                by: Some("app"),
                ..Default::default()
            };
            self.carry_out(now, Move::Confirm(told), fx);
            return Ok(());
        }
        let message = "there is nothing to interrupt";
        Err(Error::new(Kind::Refused, message))
    }

    pub(super) fn carry_out(&mut self, now: Instant, step: Move, fx: &mut Effects) {
        match step {
            Move::Stay => {}
            Move::Hold(told) => {
                fx.push(Effect::Hold(true));
                self.tell(now, Local::Held(told), fx);
            }
            Move::Resume(told) => {
                fx.push(Effect::Hold(false));
                self.tell(now, Local::Resumed(told), fx);
                self.ask_rest(now, fx);
            }
            Move::Confirm(told) => {
                self.tell(now, Local::Confirmed(told), fx);
                match self.playout.listener() {
                    // What was heard is known to the sample only once it has stopped.
                    Listener::Port => fx.push(Effect::Flush),
                    Listener::Host | Listener::Unknown => self.cut(now, fx),
                }
            }
        }
    }

    /// Where the server has cancelled for a noise and nobody else will ask for an answer.
    fn ask_rest(&mut self, now: Instant, fx: &mut Effects) {
        let is_cancelled = self.config.interrupts() && !self.responses.has_floor();
        if !is_cancelled || self.config.answers() || self.barge_in.rules().resume == Resume::Silent
        {
            return;
        }
        self.ask(now, GO_ON, fx);
    }

    /// Asks for a response of our own making.
    pub(super) fn ask(&mut self, now: Instant, instructions: &str, fx: &mut Effects) {
        let session = self.config.acknowledged();
        let theirs = session.pointer("/instructions").and_then(Value::as_str);
        let text = match theirs.filter(|text| !text.is_empty()) {
            Some(theirs) => format!("{theirs}\n\n{instructions}"),
            None => instructions.to_owned(),
        };
        let response = Some(Map::from_iter([("instructions".to_owned(), text.into())]));
        let create = ClientEvent::ResponseCreate(ResponseCreate { response });
        self.post(now, create, fx);
    }

    /// Somebody is silent for too long: it is told, and something is done about it.
    pub(super) fn silence(&mut self, now: Instant, fx: &mut Effects) {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match self.watch.due(now) {
            Some(Silent::Customer(time)) => {
                let (who, ms) = ("customer", ms(time));
                self.tell(now, Local::Silence { who, ms }, fx);
                self.ask(now, PROMPT, fx);
            }
            Some(Silent::Agent(time)) => {
                let (who, ms) = ("agent", ms(time));
                self.tell(now, Local::Silence { who, ms }, fx);
                for id in self.responses.discard(false) {
                    self.cancel(now, id, fx);
                }
            }
            None => {}
        }
    }

    /// The port has stopped: what it tells is final.
    pub(super) fn flushed(&mut self, now: Instant, heard: &[Heard], fx: &mut Effects) {
        self.heard(now, heard, fx);
        self.cut(now, fx);
        fx.push(Effect::Hold(false));
    }

    /// Takes back, everywhere, what nobody heard.
    fn cut(&mut self, now: Instant, fx: &mut Effects) {
        for id in self.responses.discard(self.config.interrupts()) {
            self.cancel(now, id, fx);
        }
        let cuts = self.playout.cut(|id| self.responses.is_finished(id));
        for cut in &cuts {
            self.history
                .cut(&cut.item_id, cut.heard_ms, cut.received_ms);
            let is_heard = cuts
                .iter()
                .any(|other| other.item_id == cut.item_id && other.heard_ms > 0);
            self.take_back(now, cut, is_heard, fx);
            self.tell(now, Local::Cut(cut.clone()), fx);
        }
    }

    /// Nothing can be cut to nothing: an item of which nothing was heard is deleted.
    fn take_back(&mut self, now: Instant, cut: &Cut, is_heard: bool, fx: &mut Effects) {
        // The next link is told only what was heard.
        if self.rollover.is_recovering() {
            return;
        }
        if self.restored.contains(&cut.item_id) {
            return self.tell_cut(now, cut, fx);
        }
        let event = match cut.truncated_ms {
            Some(audio_end_ms) => ClientEvent::ItemTruncate(ItemTruncate {
                item_id: cut.item_id.clone(),
                content_index: cut.content_index,
                audio_end_ms,
            }),
            None if is_heard || cut.content_index > 0 => return,
            None => ClientEvent::ItemDelete(ItemId {
                item_id: cut.item_id.clone(),
            }),
        };
        self.post(now, event, fx);
    }

    // ---- small ones ---------------------------------------------------------------------------

    /// Sends something of our own; an error of the server about it is an event like any other.
    pub(super) fn post(&mut self, now: Instant, event: ClientEvent, fx: &mut Effects) {
        let sent = self.send(now, Command::Send(event), None, fx);
        if let Err(error) = sent {
            self.settle(now, None, Err(error), fx);
        }
    }

    pub(super) fn tell(&mut self, now: Instant, local: Local, fx: &mut Effects) {
        fx.push(Effect::Emit(Event::local(self.at_ms(now), local)));
    }

    /// Keeps audio for a link that may need it.
    pub(super) fn keep(&mut self, now: Instant, audio: bytes::Bytes) {
        let format = self.config.input_format(&self.dialect);
        let detects = self.config.detects_turns();
        self.overlap.push(now, audio, format, detects);
    }

    pub(super) fn append(&mut self, now: Instant, audio: bytes::Bytes, fx: &mut Effects) {
        let format = self.config.input_format(&self.dialect);
        self.turns.appended(audio.len());
        self.keep(now, audio.clone());
        let ms = format.ms_of_bytes(audio.len() as u64);
        fx.push(Effect::Send(self.link.id(), Frame::Audio(audio, ms)));
    }
}
