//! The session engine: state in, effects out, time as an argument.
//!
//! [`Engine`] is the router. It alone touches several machines; they never call each other.
//!
//! | machine | owns |
//! |---|---|
//! | `link` | one connection's protocol life, and the verdict on its end |
//! | `rollover` | the next link: when, how often tried, whether ready |
//! | `endpoints` | where the next link is dialled |
//! | `gap` | captured audio that could not be sent, until it is told |
//! | `liveness` | silence of a link, and the ping after it |
//! | `overlap` | captured audio that a next link would need |
//! | `unproven` | control events that a next link would need |
//! | `config` | wanted and acknowledged settings |
//! | `requests` | commands that await a proof |
//! | `turns` | the input buffer and the customer's speech |
//! | `responses` | which responses run and which are over |
//! | `playout` | the agent's audio: received, heard, cut |
//! | `barge_in` | the interruption that is being decided |
//! | `aside` | responses that the server gives only over a link of their own |
//! | `halves` | the half sample a delta ended with |
//! | `tools` | function calls, each answered once |
//! | `timeline` | the times of a turn |
//! | `usage` | tokens so far |
//! | `tracks` | which of two tracks of the same text is passed on |
//! | `history` | the conversation in its order |
//! | `aliases` | names for ids that meet again on another link |
//! | `watch` | silence, and the prompt after it |

mod aliases;
mod aside;
mod barge_in;
mod change;
mod check;
mod commands;
mod config;
mod endpoints;
mod frames;
mod gap;
mod halves;
pub mod history;
pub mod io;
mod link;
mod liveness;
mod mcp;
mod media;
mod overlap;
mod playout;
mod posture;
mod replay;
mod requests;
mod responses;
mod rollover;
mod standby;
mod timeline;
mod toolbox;
mod tools;
mod tracks;
mod turns;
mod unproven;
mod uplink;
mod usage;
mod watch;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aliases::Aliases;
use aside::Aside;
use barge_in::BargeIn;
use change::Owed;
use config::Config;
use endpoints::Endpoints;
use gap::Gap;
use halves::Halves;
use history::History;
use io::{Down, Effect, Effects, Fallback, Frame, Input, Ticket};
use link::{Asked, Link, Verdict};
use liveness::{Alive, Liveness};
use overlap::Overlap;
use playout::Playout;
use requests::{Answer, Requests, until};
use responses::Responses;
use rollover::Rollover;
use timeline::Timeline;
use tools::Tools;
use tracks::Tracks;
use turns::Turns;
use unproven::Unproven;
use uplink::Held;
use usage::Usage;
use watch::Watch;

use crate::dialect::check::Waived;
use crate::dialect::{Dialect, Quirk};
use crate::error::{Error, Kind, Result};
use crate::event::Unsent;
use crate::event::local::Local;
use crate::options::Options;
use crate::wire::client::SessionUpdate;
use crate::wire::{ClientEvent, Ids, Map, Session};

/// The machine of one session.
#[derive(Debug)]
pub struct Engine {
    dialect: Arc<Dialect>,
    options: Options,
    waived: Waived,
    ids: Ids,
    opened: Option<Instant>,
    /// The system's clock at that moment.
    unix_ms: u64,
    links: u32,
    first_update: Option<String>,
    held: Held,
    unsent: Unsent,
    gap: Gap,
    ended: bool,
    link: Link,
    config: Config,
    requests: Requests,
    turns: Turns,
    responses: Responses,
    playout: Playout,
    tools: Tools,
    tracks: Tracks,
    history: History,
    watch: Watch,
    halves: Halves,
    aside: Aside,
    barge_in: BargeIn,
    timeline: Timeline,
    usage: Usage,
    rollover: Rollover,
    endpoints: Endpoints,
    liveness: Liveness,
    /// Whether the session was open: a loss before is told to whoever opens it.
    was_open: bool,
    overlap: Overlap,
    unproven: Unproven,
    owed: Owed,
    /// Items that the link was told, or that it does not know.
    restored: HashSet<String>,
    aliases: Aliases,
}

impl Engine {
    /// An engine that does nothing until [`Input::Open`]. `seed` makes its identifiers.
    pub fn new(dialect: Arc<Dialect>, options: Options, seed: u64) -> Result<Self> {
        let waived = options.waived()?;
        dialect.check_event(&first_update(&options), &Session::new(), &waived)?;
        let mut ids = Ids::new(seed);
        let is_sure = !dialect.has(Quirk::PongsMayBeMissing);
        Ok(Self {
            held: Held::new(options.uplink_max_ms),
            endpoints: Endpoints::new(dialect.clone(), &options.session),
            dialect,
            waived,
            opened: None,
            unix_ms: 0,
            links: 1,
            first_update: None,
            unsent: Unsent::default(),
            gap: Gap::default(),
            ended: false,
            link: Link::new(),
            config: Config::new(&options.session),
            requests: Requests::default(),
            turns: Turns::new(),
            responses: Responses::default(),
            playout: Playout::default(),
            tools: Tools::new(options.tools.clone(), ids.next("call")),
            tracks: Tracks::default(),
            history: History::default(),
            watch: Watch::new(options.customer_silence_ms, options.agent_silence_ms),
            halves: Halves::default(),
            aside: Aside::default(),
            barge_in: BargeIn::new(&options.barge_in),
            timeline: Timeline::default(),
            usage: Usage::default(),
            liveness: Liveness::new(options.ping_ms, options.pong_timeout_ms, is_sure),
            was_open: false,
            rollover: Rollover::new(&options.rollover, &options.recovery),
            overlap: Overlap::new(
                options.rollover.overlap_ms,
                options.recovery.audio_ms,
                options.uplink_max_ms,
            ),
            unproven: Unproven::default(),
            owed: Owed::Nothing,
            restored: HashSet::new(),
            aliases: Aliases::default(),
            ids,
            options,
        })
    }

    /// Adds endpoints to fall back to. Fails when the settings of the session, changed for one of
    /// them, are known to be wrong there.
    pub fn with_fallbacks(mut self, fallbacks: Vec<Fallback>) -> Result<Self> {
        for fallback in fallbacks {
            let mut session = self.options.session.clone();
            session.merge(&fallback.session);
            let update = ClientEvent::SessionUpdate(SessionUpdate { session });
            let dialect = &fallback.dialect;
            dialect.check_event(&update, &Session::new(), &self.waived)?;
            self.endpoints.add(fallback);
        }
        Ok(self)
    }

    /// Takes one input and appends what is to be done.
    pub fn handle(&mut self, now: Instant, input: Input, fx: &mut Effects) {
        let before = self.posture();
        self.route(now, input, fx);
        self.change_when_quiet(now, fx);
        self.next_wish(now, fx);
        if let Some(dropped_ms) = self.gap.due(now).filter(|_| !self.ended) {
            self.tell(now, Local::UplinkGap { dropped_ms }, fx);
        }
        let end = fx.pop_if(|effect| matches!(effect, Effect::End(_)));
        fx.extend(posture::changes(&before, &self.posture()).map(Effect::Note));
        fx.extend(end);
        if cfg!(debug_assertions) {
            self.check();
        }
    }

    fn route(&mut self, now: Instant, input: Input, fx: &mut Effects) {
        match input {
            Input::Open { unix_ms } => self.open(now, unix_ms, fx),
            Input::Command(command, ticket) => self.command(now, command, ticket, fx),
            Input::Close { grace_ms } => self.close(now, grace_ms, Asked::App, fx),
            Input::LinkUp(id) if self.link.is(id) => self.link_up(now),
            Input::LinkUp(id) if self.rollover.is(id) => self.standby_up(now),
            Input::Text(id, raw) if self.rollover.is(id) => self.standby_text(now, &raw, fx),
            Input::LinkDown(id, down, _) if self.rollover.is(id) => {
                self.standby_down(now, &down, fx)
            }
            Input::LinkUp(id) if self.aside.is(id) => self.aside_up(now),
            Input::Text(id, raw) if self.aside.is(id) => self.aside_text(now, &raw, fx),
            Input::LinkDown(id, down, _) if self.aside.is(id) => self.aside_down(now, &down, fx),
            Input::Text(id, raw) if self.link.is(id) => {
                self.liveness.heard(now);
                self.overlap.heard();
                self.text(now, &raw, fx);
                self.unproven.heard(now);
            }
            Input::Pong(id) if self.link.is(id) => {
                self.overlap.heard();
                self.unproven.heard(now);
                if let Some(time) = self.liveness.answered(now) {
                    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                    self.tell(now, Local::RoundTrip { ms }, fx);
                }
            }
            Input::Binary(id, bytes) if self.link.is(id) => self.binary(now, bytes, fx),
            Input::LinkDown(id, down, unsent) if self.link.is(id) => {
                self.down(now, &down, unsent, fx)
            }
            Input::UplinkDropped { ms } => self.lose_audio(ms),
            Input::Port(is_there) => self.port(now, is_there, fx),
            Input::Captured(audio) => self.captured(now, audio, fx),
            Input::Echo(is_echo) => self.echo(now, is_echo, fx),
            Input::Heard(heard) => self.heard(now, &heard, fx),
            Input::Flushed(heard) => self.flushed(now, &heard, fx),
            Input::SlowReader => self.slow_reader(now, fx),
            Input::Timeout => self.timeout(now, fx),
            Input::LinkDown(id, ..) => self.rollover.drained(id),
            Input::LinkUp(_) | Input::Text(..) | Input::Binary(..) | Input::Pong(_) => {}
        }
    }

    /// When [`Input::Timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        [
            self.link.deadline(),
            self.requests.deadline(),
            self.watch.deadline(),
            self.responses.deadline(),
            self.tools.deadline(),
            self.barge_in.deadline(),
            self.aside.deadline(),
            self.rollover.deadline(),
            self.liveness.deadline(),
            self.gap.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The format of the audio we send, as the server acknowledged it.
    pub fn input_format(&self) -> crate::audio::format::Format {
        self.config.input_format(&self.dialect)
    }

    fn open(&mut self, now: Instant, unix_ms: u64, fx: &mut Effects) {
        self.opened = Some(now);
        self.unix_ms = unix_ms;
        self.link.dial();
        fx.push(Effect::Dial(self.link.id(), self.endpoints.next()));
    }

    fn link_up(&mut self, now: Instant) {
        self.link.up(until(now, self.options.greeting_timeout_ms));
    }

    fn close(&mut self, now: Instant, grace_ms: u64, asked: Asked, fx: &mut Effects) {
        self.watch.stop();
        self.liveness.stop();
        if self.rollover.is_recovering() {
            return self.close_unlinked(now, Verdict::of_asked(asked), fx);
        }
        let (standby, _) = self.rollover.stop();
        fx.extend(standby.map(Effect::Abort));
        let id = self.link.id();
        if self.link.is_ending() {
            // Closing twice is one close, but the second may be in more of a hurry.
            return self.link.close(until(now, grace_ms), asked);
        }
        if self.link.is_open() {
            self.link.close(until(now, grace_ms), asked);
            return fx.push(Effect::Hangup(id));
        }
        // Before it is open there is nobody to say goodbye to, nor to wait for.
        self.link.abort(asked);
        fx.push(Effect::Abort(id));
    }

    fn slow_reader(&mut self, now: Instant, fx: &mut Effects) {
        let error = Error::new(
            Kind::SlowReader,
            "events were not read and their bound was reached",
        );
        self.close(now, 0, Asked::Us(error), fx);
    }

    fn timeout(&mut self, now: Instant, fx: &mut Effects) {
        let undoubted = self.requests.undoubted(now);
        undoubted.iter().for_each(|_| self.config.undoubted());
        answer(undoubted, fx);
        let (culprits, overdue) = self.requests.overdue(now);
        answer(overdue, fx);
        culprits.iter().for_each(|id| self.unproven.refused(id));
        let late = culprits.iter().flat_map(|id| self.responses.timed_out(id));
        let mut late: Vec<Ticket> = late.collect();
        late.extend(self.responses.overdue(now));
        let silence = || Err(Error::new(Kind::Timeout, "no response began in time"));
        answer(late.into_iter().map(|ticket| (ticket, silence())), fx);
        let step = self.barge_in.timeout(now);
        self.carry_out(now, step, fx);
        self.tools_due(now, fx);
        self.aside_timeout(now, fx);
        self.silence(now, fx);
        self.change_due(now, fx);
        self.alive(now, fx);
        if self.link.is_overdue(now) {
            // A closing handshake that took too long is still the close that was asked for.
            let silence = Error::new(Kind::Timeout, self.link.overdue_for());
            self.link.abort(Asked::Us(silence));
            fx.push(Effect::Abort(self.link.id()));
        }
    }

    fn alive(&mut self, now: Instant, fx: &mut Effects) {
        let id = self.link.id();
        match self.liveness.due(now).filter(|_| self.link.is_open()) {
            Some(Alive::Ping) => fx.push(Effect::Send(id, Frame::Ping)),
            Some(Alive::Gone) => {
                let message = "nothing came over the connection, not even the answer to a ping";
                let error = Error::new(Kind::Lost, message);
                fx.push(Effect::Abort(id));
                if self.may_recover(&error) {
                    // Nothing that comes up until the drop is reported may go to a dead link.
                    return self.down(now, &Down::Failed(error), Unsent::default(), fx);
                }
                self.link.abort(Asked::Us(error));
            }
            None => {}
        }
    }

    /// Audio that was taken from the application is not sent.
    fn lose_audio(&mut self, ms: u64) {
        self.unsent.audio_ms += ms;
        self.gap.dropped(ms);
    }

    /// Makes a patch of the session one that this server takes.
    fn adapt(&mut self, patch: &mut Map) {
        self.take_over(patch);
        self.config.name_type(patch, &self.dialect);
    }

    /// Keeps for itself what the server cannot do of a patch of the session.
    fn take_over(&mut self, patch: &mut Map) {
        self.add_tools(patch);
        if !self.dialect.can("idle_timeout") {
            self.watch.take_over(patch);
        }
    }

    fn is_mid_turn(&self) -> bool {
        self.turns.is_cut(self.config.detects_turns())
            || self.responses.is_busy()
            || self.aside.deadline().is_some()
            || self.tools.is_waiting()
    }

    /// Whether sound of a media port is taken; what is captured before is its pre-roll.
    pub fn is_open(&self) -> bool {
        self.link.is_open() || self.rollover.is_recovering()
    }

    /// Whether no command is taken any more.
    fn is_ending(&self) -> bool {
        self.link.is_ending() && !self.rollover.is_recovering()
    }

    /// The server's name of the session, once it has told it.
    pub(crate) fn session_id(&self) -> Option<&str> {
        self.config.acknowledged().0.get("id")?.as_str()
    }

    /// The conversation so far, in its order.
    pub fn segments(&self) -> &[Arc<history::Segment>] {
        self.history.segments()
    }

    /// What changed in the conversation since this was asked last: the segments from this one on.
    pub(crate) fn changed_from(&mut self) -> Option<usize> {
        self.history.take_changed()
    }

    /// Tokens used so far.
    pub(crate) fn usage(&self) -> crate::event::Usage {
        self.usage.total()
    }

    /// The item of a part that is not yet heard to its end.
    pub(crate) fn item_of(&self, part: io::PartId) -> Option<&str> {
        self.playout.item_of(part)
    }

    fn at_ms(&self, now: Instant) -> u64 {
        let since = self.opened.map_or(Duration::ZERO, |opened| {
            now.saturating_duration_since(opened)
        });
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

fn first_update(options: &Options) -> ClientEvent {
    ClientEvent::SessionUpdate(SessionUpdate {
        session: options.session.clone(),
    })
}

fn answer(answers: impl IntoIterator<Item = Answer>, fx: &mut Effects) {
    fx.extend(
        answers
            .into_iter()
            .map(|(ticket, result)| Effect::Reply(ticket, result)),
    );
}

#[cfg(test)]
mod tests;
