//! How the engine changes its link: by plan, or after a loss.

use std::collections::HashSet;
use std::time::Instant;

use super::commands::REPLACED;
use super::config::Config;
use super::endpoints::Turn;
use super::history::Segment;
use super::io::{Command, Down, Effect, Effects, Frame, LinkId, Ticket};
use super::link::{Link, Verdict};
use super::media::GO_ON;
use super::overlap::Piece;
use super::replay::Plan;
use super::requests::until;
use super::responses::{Gone, LINK_CHANGED, TURN_DETECTED, cancelled};
use super::rollover::{Outage, Standby};
use super::turns::Turns;
use super::uplink::Json;
use super::{Engine, answer};
use crate::error::{Error, Kind, Who};
use crate::event::local::{Cut, Local, Lost, Rolled};
use crate::event::{End, Event, Origin, Unsent};
use crate::options::WhenBusy;
use crate::options::rollover::Answer;
use crate::wire::client::{ItemCreate, SessionUpdate};
use crate::wire::{ClientEvent, Item};

/// What a change of link left of the conversation's answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Owed {
    /// Nothing, or somebody else asks for it.
    #[default]
    Nothing,
    /// One that has not begun.
    Answer,
    /// The rest of one that was cut.
    Rest,
}

/// What was sent of the conversation to a new link.
struct Told {
    items: u64,
    tokens: u64,
    is_whole: bool,
}

impl Engine {
    // ---- a loss -------------------------------------------------------------------------------

    pub(super) fn down(&mut self, now: Instant, down: &Down, unsent: Unsent, fx: &mut Effects) {
        let mid_turn = self.is_mid_turn();
        let verdict = self.link.down(now, down, &self.dialect);
        self.liveness.stop();
        let is_asked = verdict.expected || !self.was_open;
        let error = verdict.error.as_ref().filter(|_| !is_asked);
        if verdict.why == Kind::Expired {
            self.rollover.expired(now);
        }
        if !verdict.expected && !self.was_open && self.open_elsewhere(now, &verdict, fx) {
            return;
        }
        match error {
            Some(error) if self.may_recover(error) => self.lost(now, verdict, mid_turn, fx),
            _ => {
                self.unsent.audio_ms += unsent.audio_ms;
                self.unsent.commands += unsent.commands;
                self.conclude(now, verdict, mid_turn, fx);
            }
        }
    }

    /// Whether the session goes on after an end of its link: where the same may pass, or where another
    /// endpoint may take what this one refuses.
    pub(super) fn may_recover(&self, error: &Error) -> bool {
        let is_theirs =
            error.who() != Who::App || matches!(error.kind(), Kind::Auth | Kind::NotFound);
        let is_elsewhere = self.endpoints.count() > 1 && is_theirs;
        self.rollover.recovers() && (error.may_pass() || is_elsewhere)
    }

    /// Opens the session at the next endpoint; returns whether there is one that was not tried.
    fn open_elsewhere(&mut self, now: Instant, verdict: &Verdict, fx: &mut Effects) -> bool {
        if self.endpoints.failed(true, false) == Turn::Nowhere {
            return false;
        }
        let (id, endpoint) = (self.new_link(), self.endpoints.next());
        let error = verdict
            .error
            .clone()
            .unwrap_or_else(|| Kind::ServerClosed.into());
        let at_ms = self.at_ms(now);
        fx.push(Effect::Emit(Event::fault(at_ms, error, None)));
        self.dialect = self.endpoints.dialect(endpoint).clone();
        let session = self.endpoints.settings(&self.options.session);
        self.endpoints.go();
        self.config = Config::new(&session);
        self.options.session = session;
        self.rollover.began(None);
        self.first_update = None;
        self.link = Link::numbered(id);
        self.link.dial();
        fx.push(Effect::Dial(id, endpoint));
        true
    }

    fn lost(&mut self, now: Instant, verdict: Verdict, mid_turn: bool, fx: &mut Effects) {
        let session_id = self.name_of_session();
        let (why, close_code, message) = (
            verdict.why.name(),
            verdict.close_code,
            verdict.message.clone(),
        );
        let (owed, gone) = self.carry(now, fx);
        self.overlap.outage(self.options.recovery.audio_ms);
        self.owed = owed;
        let error = verdict.error.as_ref();
        self.endpoints
            .lost(error.is_some_and(|error| !error.may_pass()));
        self.rollover.lost(now, verdict, mid_turn);
        let cut = gone.into_iter().filter(|g| g.is_wanted).map(|g| g.id);
        let lost = Lost {
            session_id,
            why,
            close_code,
            message,
            cut: cut.collect(),
        };
        self.tell(now, Local::Lost(lost), fx);
        self.change_due(now, fx);
    }

    fn name_of_session(&self) -> String {
        self.config
            .acknowledged()
            .id()
            .unwrap_or_default()
            .to_owned()
    }

    /// Takes what the old link leaves unfinished: commands wait for the new one, answers are over.
    fn carry(&mut self, now: Instant, fx: &mut Effects) -> (Owed, Vec<Gone>) {
        let is_awaited = self.responses.is_awaited() | self.tools.mcp.forget();
        let (responses, requests) = (&mut self.responses, &mut self.requests);
        let (gone, dropped) = responses.carry(|event_id| requests.take(event_id));
        let replaced = || Err(Error::new(Kind::Cancelled, REPLACED));
        answer(dropped.into_iter().map(|t| (t, replaced())), fx);
        self.carry_commands(now, fx);
        for gone in &gone {
            self.end_response(now, gone, fx);
        }
        fx.extend(self.playout.end_all().into_iter().map(Effect::PlayEnd));
        if self.barge_in.is_held() {
            self.barge_in.stop();
            fx.push(Effect::Hold(false));
        }
        let wanted = || gone.iter().filter(|gone| gone.is_wanted);
        let has_begun = wanted().any(|gone| gone.has_begun);
        if has_begun {
            self.overlap.answered();
        }
        let is_heard_again = self.overlap.has_turns() && self.config.answers();
        let owed = match has_begun {
            _ if self.tools.is_waiting() => Owed::Nothing,
            true => match self.options.recovery.answer {
                Answer::GoOn => Owed::Rest,
                Answer::Silent => Owed::Nothing,
            },
            false if is_heard_again => Owed::Nothing,
            false if is_awaited || wanted().next().is_some() => Owed::Answer,
            false => Owed::Nothing,
        };
        (owed, gone)
    }

    /// Events that nothing has proven wait for the new link, with those who wait for them.
    fn carry_commands(&mut self, now: Instant, fx: &mut Effects) {
        let mut commands: Vec<(Command, Option<Ticket>)> = Vec::new();
        for (event_id, event) in self.unproven.take() {
            let ticket = match &event {
                // It waits with the audio before it.
                ClientEvent::BufferCommit(_) => continue,
                _ => self.requests.take(&event_id),
            };
            match event {
                // Of the old link's buffer, answers and items nothing is left to take back.
                ClientEvent::BufferClear(_)
                | ClientEvent::ResponseCancel(_)
                | ClientEvent::ItemTruncate(_) => {
                    self.settle(now, ticket, Ok(super::io::Reply::nothing()), fx)
                }
                ClientEvent::ItemDelete(ref e) => {
                    self.history.remove(&e.item_id);
                    self.settle(now, ticket, Ok(super::io::Reply::nothing()), fx);
                }
                // Its output brings the call along.
                ClientEvent::ItemCreate(ref create) if self.is_call(&create.item) => {}
                // What we told a link by ourselves, the next one is told anew.
                ClientEvent::ItemCreate(ref create) if self.is_hidden(&create.item) => {
                    self.settle(now, ticket, Ok(super::io::Reply::nothing()), fx)
                }
                ClientEvent::ItemCreate(mut create) => {
                    self.tools.reopened(&create.item);
                    create.previous_item_id = None;
                    commands.push((Command::Send(ClientEvent::ItemCreate(create)), ticket));
                }
                event => commands.push((Command::Send(event), ticket)),
            }
        }
        self.held.put_back(commands);
    }

    /// Whether an item is a call that the session knows.
    fn is_call(&self, item: &Item) -> bool {
        let call_id = item.call_id.as_deref().unwrap_or_default();
        item.kind == "function_call" && self.tools.knows(call_id)
    }

    /// Tells that nothing more comes of a response.
    fn end_response(&mut self, now: Instant, gone: &Gone, fx: &mut Effects) {
        let reason = match gone.is_wanted {
            true => LINK_CHANGED,
            false => TURN_DETECTED,
        };
        let end = cancelled(gone.id.clone(), reason);
        let origin = Origin::ours(self.at_ms(now));
        answer(self.requests.proven(&end, None), fx);
        self.watch.seen(now, &end, 0);
        self.tools.response_done(&gone.id, false);
        fx.push(Effect::Emit(Event::wire(end, origin)));
    }

    /// There will be no other link.
    pub(super) fn give_up(&mut self, now: Instant, error: Option<&Error>, fx: &mut Effects) {
        let Some(outage) = self.rollover.outage() else {
            return;
        };
        let (mut verdict, mid_turn) = (outage.verdict.clone(), outage.mid_turn);
        let attempts = outage.attempts;
        if let Some(error) = error.filter(|error| error.retry() == crate::error::Retry::Never) {
            verdict = Verdict::of_error(error.clone());
        }
        let message = format!("{}; {attempts} attempts to go on failed", verdict.message);
        verdict.message = message;
        self.conclude(now, verdict, mid_turn, fx);
    }

    /// The end of the session.
    pub(super) fn conclude(
        &mut self,
        now: Instant,
        verdict: Verdict,
        mid_turn: bool,
        fx: &mut Effects,
    ) {
        self.watch.stop();
        self.unsent.audio_ms += self.overlap.unsent_ms();
        let (standby, _) = self.rollover.stop();
        fx.extend(standby.map(Effect::Abort));
        self.overlap.stop();
        let held = self.held.abandon();
        held.add_to(&mut self.unsent);
        let end = End {
            who: verdict.who,
            why: verdict.why,
            close_code: verdict.close_code,
            http_status: verdict.http_status,
            expected: verdict.expected,
            mid_turn,
            unsent: self.unsent,
            message: verdict.message,
            error: verdict.error,
        };
        let error = end.to_error();
        let failed = |ticket: Ticket| (ticket, Err(error.clone()));
        answer(held.tickets.into_iter().map(failed), fx);
        answer(self.requests.abandon(&error), fx);
        answer(self.responses.abandon().into_iter().map(failed), fx);
        self.abandon_tools(now, fx);
        self.barge_in.stop();
        self.aside.stop();
        self.unproven = Default::default();
        self.gap = Default::default();
        self.ended = true;
        fx.push(Effect::End(end));
    }

    /// The application closes while there is no link.
    pub(super) fn close_unlinked(&mut self, now: Instant, verdict: Verdict, fx: &mut Effects) {
        let mid_turn = self.rollover.outage().is_some_and(|outage| outage.mid_turn);
        self.conclude(now, verdict, mid_turn, fx);
    }

    // ---- the change ---------------------------------------------------------------------------

    /// Changes the link as soon as nothing is under way that the old one has to finish.
    pub(super) fn change_when_quiet(&mut self, now: Instant, fx: &mut Effects) {
        if self.rollover.is_ready() && !self.link.is_ending() && self.is_quiet(now)
            || self.rollover.is_ready() && self.rollover.is_recovering()
        {
            self.change_link(now, fx);
        }
    }

    fn is_quiet(&self, now: Instant) -> bool {
        let is_busy = self.is_mid_turn()
            || self.overlap.has_turns()
            || self.responses.is_awaited()
            || self.barge_in.is_held()
            || self.unproven.is_waiting(now)
            || self.requests.len() > 0;
        !is_busy
    }

    pub(super) fn change_link(&mut self, now: Instant, fx: &mut Effects) {
        let agreed = self.standby_settings();
        let old = self.name_of_session();
        if !self.rollover.is_recovering() {
            let (owed, _) = self.carry(now, fx);
            self.owed = owed;
            self.hang_up(now, self.link.id(), fx);
        }
        let Some((standby, outage)) = self.rollover.change(now) else {
            return;
        };
        let is_agreed = standby.config.agreed() == &agreed;
        self.take_link(now, standby);
        if !is_agreed {
            let session = agreed;
            self.post(
                now,
                ClientEvent::SessionUpdate(SessionUpdate { session }),
                fx,
            );
        }
        self.forget_deleted(now, fx);
        let told = self.replay(fx);
        let lost_ms = self.send_again(now, fx);
        let rolled = Rolled {
            old,
            new: self.name_of_session(),
            at_ms: self.at_ms(now),
            gap_ms: outage.as_ref().map_or(0, |o| ms_since(now, o.since)),
            lost_ms,
            items: told.items,
            replayed_tokens: told.tokens,
            state_restored: told.is_whole,
            attempts: outage.as_ref().map_or(0, |o| o.attempts),
            endpoint: self.endpoints.at() as u32,
        };
        self.tell_change(now, rolled, outage.as_ref(), fx);
        for (command, ticket) in self.held.release() {
            self.command(now, command, ticket, fx);
        }
        self.go_on(now, fx);
        self.ask_owed(now, fx);
    }

    fn take_link(&mut self, now: Instant, standby: Standby) {
        self.link = standby.link;
        self.endpoints.reached();
        self.dialect = self.endpoints.dialect(self.endpoints.at()).clone();
        self.liveness.heard(now);
        self.config = standby.config;
        self.first_update = None;
        self.turns = Turns::new();
        self.tracks = Default::default();
        self.halves = Default::default();
        let ids = self.history.segments().iter().map(|s| s.item_id.clone());
        self.restored = ids.collect();
        self.aliases.relinked(self.link.id().0, self.past_ids());
    }

    /// What the application has deleted while there was no link, the next one is not told.
    fn forget_deleted(&mut self, now: Instant, fx: &mut Effects) {
        let mut kept = Vec::new();
        for (command, ticket) in self.held.release() {
            let is_there = |id: &String| self.history.segments().iter().any(|s| s.item_id == *id);
            match deleted(&command).filter(is_there) {
                Some(id) => {
                    self.history.remove(&id);
                    self.settle(now, ticket, Ok(super::io::Reply::nothing()), fx);
                }
                None => kept.push((command, ticket)),
            }
        }
        self.held.put_back(kept);
    }

    /// The ids that the session remembers and the link is not going to be told of.
    fn past_ids(&self) -> HashSet<String> {
        let mut past: HashSet<String> = self.responses.past_ids().cloned().collect();
        past.extend(self.tools.call_ids().cloned());
        match self.dialect.can("assistant_items") {
            true => {
                for pair in self.tools.pairs() {
                    past.remove(&pair.call_id);
                }
            }
            // It is told words, and knows no id of them.
            false => past.extend(self.restored.iter().cloned()),
        }
        past
    }

    /// An answer of an earlier link was cut: this one knows its words at the most, which cannot be
    /// truncated, so it is told in words.
    pub(super) fn tell_cut(&mut self, now: Instant, cut: &Cut, fx: &mut Effects) {
        let segments = self.history.as_heard();
        let heard = segments.iter().find(|s| s.item_id == cut.item_id);
        let heard = heard.map_or("", |segment| segment.text.as_str());
        let text = format!("The customer has interrupted the agent and heard only: \"{heard}\"");
        let mut item = match self.dialect.can("assistant_items") {
            true => Item::system_text(text),
            false => Item::user_text(text),
        };
        item.id = Some(self.hidden_id());
        let create = ItemCreate {
            previous_item_id: None,
            item,
        };
        self.post(now, ClientEvent::ItemCreate(create), fx);
    }

    /// The id of an item that only the link is told of, and not the application.
    pub(super) fn hidden_id(&mut self) -> String {
        let id = self.ids.next("item_c");
        self.restored.insert(id.clone());
        self.aliases.told(&id);
        id
    }

    /// Whether only the link is told of an item.
    pub(super) fn is_hidden(&self, item: &Item) -> bool {
        item.id
            .as_ref()
            .is_some_and(|id| self.restored.contains(id))
    }

    /// Lets go of a link that is not needed any more.
    pub(super) fn hang_up(&mut self, now: Instant, id: LinkId, fx: &mut Effects) {
        self.rollover
            .drain(id, until(now, self.options.close_timeout_ms));
        fx.push(Effect::Hangup(id));
    }

    /// Tells the new link the conversation.
    fn replay(&mut self, fx: &mut Effects) -> Told {
        let segments: Vec<Segment> = self.history.as_heard();
        let recap_id = self.hidden_id();
        let plan = Plan::new(
            &segments,
            &self.tools.pairs(),
            self.dialect.can("assistant_items"),
            self.rollover.rules().replay_tokens,
            || recap_id,
        );
        let (mut items, mut is_whole) = (0, plan.is_whole);
        for mut item in plan.items {
            // Calls and outputs have no id of the conversation, and are not told to anybody again.
            if item.id.is_none() {
                item.id = Some(self.hidden_id());
            }
            let create = ClientEvent::ItemCreate(ItemCreate {
                previous_item_id: None,
                item,
            });
            let event_id = self.ids.next("evt");
            match self.dialect.encode_client(&create, Some(&event_id)) {
                Ok(frame) => {
                    items += 1;
                    fx.push(Effect::Send(self.link.id(), Frame::Text(frame)));
                }
                Err(_) => is_whole = false,
            }
        }
        Told {
            items,
            tokens: plan.tokens,
            is_whole,
        }
    }

    /// Sends the audio that the new link needs; returns the milliseconds that were lost.
    fn send_again(&mut self, now: Instant, fx: &mut Effects) -> u64 {
        let (pieces, lost_ms, turns) = self.overlap.again(self.config.detects_turns());
        self.history.forget(&turns);
        for piece in pieces {
            match piece {
                Piece::Audio(audio) => self.append(now, audio, fx),
                Piece::Commit(event_id) => {
                    let ticket = self.requests.take(&event_id);
                    let commit = Command::Send(ClientEvent::BufferCommit(Default::default()));
                    if let Err(error) = self.send(now, commit, ticket, fx) {
                        self.settle(now, ticket, Err(error), fx);
                    }
                }
            }
        }
        lost_ms
    }

    fn tell_change(
        &mut self,
        now: Instant,
        rolled: Rolled,
        outage: Option<&Outage>,
        fx: &mut Effects,
    ) {
        let local = match outage {
            None => Local::Rolled(rolled),
            Some(_) => Local::Recovered(rolled),
        };
        self.tell(now, local, fx);
    }

    /// Asks for what a change of link has cut.
    fn ask_owed(&mut self, now: Instant, fx: &mut Effects) {
        let owed = std::mem::take(&mut self.owed);
        if self.responses.is_busy() || self.tools.is_waiting() {
            return;
        }
        match owed {
            Owed::Nothing => {}
            Owed::Rest => self.ask(now, GO_ON, fx),
            Owed::Answer => {
                let wish = Command::Respond(None, WhenBusy::Merge);
                if let Err(error) = self.send(now, wish, None, fx) {
                    self.settle(now, None, Err(error), fx);
                }
            }
        }
    }
}

/// The item that a command deletes, if it does that.
fn deleted(command: &Command) -> Option<String> {
    let event = match command {
        Command::Send(event) => event.clone(),
        Command::Json(text) => Json::parse(text).ok()?.event,
        _ => return None,
    };
    match event {
        ClientEvent::ItemDelete(e) => Some(e.item_id),
        _ => None,
    }
}

fn ms_since(now: Instant, since: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
}
