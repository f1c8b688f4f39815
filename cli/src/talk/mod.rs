//! One conversation as it happens.
//!
//! | file | what it does |
//! |---|---|
//! | `uplink` | the customer's audio, at the speed of speech or as fast as possible |
//! | `line` | the telephone: a media port and a clock |
//! | `playout` | the agent's audio, when it is heard |
//! | `floor` | interruptions, and the times of turns |
//! | `waits` | what the call still waits for |
//! | `agreed` | the settings of the session |
//! | `lines` | who said what, and when |
//! | `record` | everything that happened, on the clock of the call |

pub(crate) mod agreed;
pub(crate) mod floor;
mod line;
pub(crate) mod lines;
pub(crate) mod links;
pub(crate) mod playout;
pub(crate) mod record;
pub(crate) mod uplink;
pub(crate) mod waits;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use talkwire_core::dialect::Dialect;
use talkwire_core::error::{Kind, Result};
use talkwire_core::event::{End, Event};
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::wire::client::{Empty, ItemCreate, ResponseCreate, SessionUpdate};
use talkwire_core::wire::{ClientEvent, Item, ServerEvent, Session as Settings};
use talkwire_core::{Client, Options, Recorder, RecorderOptions, Session};

use crate::args::Pace;
use crate::captions::Captions;
use crate::report;
use crate::stop::Stop;
use line::{Frame, Line};
use record::Record;
use uplink::Uplink;
use waits::Waits;

/// How long a wish to stop may go unseen.
const STOP_SEEN: Duration = Duration::from_millis(50);

/// What a step of a call decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The call goes on.
    GoOn,
    /// The customer hangs up.
    HangUp,
}

/// Why a call came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// A step hung up.
    HungUp,
    /// The session ended by itself.
    Ended,
    /// Somebody wants to stop.
    Stopped,
}

/// A conversation: the session, the audio that goes out, and the record.
#[derive(Debug)]
pub(crate) struct Talk {
    session: Session,
    opened: Instant,
    /// How much later than `opened` the clock of the session's events seems to have started: what
    /// the event that was read fastest took to get here. `None` before the first.
    ahead_ms: Option<u64>,
    /// When the last event came, on that clock.
    seen_ms: u64,
    stop: Stop,
    /// Whether nothing was asked of the session first.
    is_configured: bool,
    /// Functions that the server runs by itself.
    server_tools: Vec<String>,
    pub(crate) record: Record,
    pub(crate) waits: Waits,
    pub(crate) uplink: Option<Uplink>,
    line: Option<Line>,
    /// Where the line is to be recorded.
    pub(crate) recording: Option<PathBuf>,
    recorder: Option<Recorder>,
}

impl Talk {
    /// Dials; the call's clock starts.
    pub(crate) fn open(
        client: &Client,
        dialect: &Dialect,
        options: Options,
        captions: Captions,
        stop: &Stop,
    ) -> Result<Self> {
        let record = Record::new(dialect, &options.session, captions);
        let opened = Instant::now();
        let patch = options.session.clone();
        let mut talk = Self {
            session: client.open(options)?,
            opened,
            ahead_ms: None,
            seen_ms: 0,
            stop: stop.clone(),
            is_configured: patch.0.is_empty(),
            server_tools: dialect.table().server_tools.clone(),
            record,
            waits: Waits::default(),
            uplink: None,
            line: None,
            recording: None,
            recorder: None,
        };
        if !patch.0.is_empty() {
            let update = ClientEvent::SessionUpdate(SessionUpdate { session: patch });
            // The session sends it by itself, first of all.
            talk.record.sent(0, &update);
        }
        Ok(talk)
    }

    /// Milliseconds on the clock of the call, which is that of the session's events: what is sent
    /// now is never younger than its answer, nor older than what it answers.
    pub(crate) fn now_ms(&self) -> u64 {
        self.ms_of(Instant::now()).max(self.seen_ms)
    }

    fn ms_of(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.opened).as_millis();
        let since_ms = u64::try_from(since).unwrap_or(u64::MAX);
        since_ms.saturating_sub(self.ahead_ms.unwrap_or(0))
    }

    // ---- sound ----------------------------------------------------------------------------------

    /// The customer begins to speak, in the format that was agreed on: into a line that listens as
    /// well, if the speech has the speed of speech and the server is to find its turns. Otherwise
    /// nobody can say what is heard when, and what is sent is just appended.
    pub(crate) fn speak(&mut self, uplink: Uplink) -> Result<()> {
        let is_real = uplink.pace() == Pace::Real;
        self.record.audio_is_real(is_real);
        let agreed = self.record.agreed();
        if is_real && agreed.turn_silence_ms().is_some() && agreed.is_spoken() {
            let rate_hz = self.record.playout().rate_hz();
            // Before the line, so that nothing of it is missing.
            self.recorder = match self.recording.take() {
                None => None,
                Some(path) => match self.session.record(path, RecorderOptions::default()) {
                    Err(error) if error.kind() == Kind::Closed => None,
                    recorder => Some(recorder?),
                },
            };
            self.line = match Line::open(&self.session, uplink.format(), rate_hz) {
                // The end, which the mailbox holds, says why.
                Err(error) if error.kind() == Kind::Closed => None,
                line => Some(line?),
            };
            self.record.listen();
        }
        self.uplink = Some(uplink);
        Ok(())
    }

    fn listen(&mut self) {
        let frames: Vec<_> = self.line.iter().flat_map(Line::heard).collect();
        self.listened(frames);
    }

    fn listened(&mut self, frames: Vec<Frame>) {
        for frame in frames {
            let at_ms = self.ms_of(frame.at);
            self.record.taken(at_ms, &frame);
        }
    }

    /// Whether the customer, who listens, has not yet heard everything.
    pub(crate) fn is_sounding(&self) -> bool {
        self.line.as_ref().is_some_and(Line::has_sound)
    }

    // ---- events ---------------------------------------------------------------------------------

    /// Goes on until the session is configured, which is known when the events that say so are read
    /// and not before: the formats of the audio depend on them.
    pub(crate) fn wait_until_open(&mut self) -> Result<Option<Over>> {
        let is_configured = self.is_configured;
        let over = self.go_on(|_, event| {
            Ok(match event.and_then(Event::server) {
                Some(ServerEvent::SessionCreated(_)) if is_configured => Step::HangUp,
                // Refused settings leave those of the server.
                Some(ServerEvent::SessionUpdated(_) | ServerEvent::Error(_)) => Step::HangUp,
                _ => Step::GoOn,
            })
        })?;
        Ok(Some(over).filter(|over| *over != Over::HungUp))
    }

    /// Lets the call go on; `step` sees each event, and is called without one now and then.
    pub(crate) fn go_on(
        &mut self,
        mut step: impl FnMut(&mut Self, Option<&Event>) -> Result<Step>,
    ) -> Result<Over> {
        loop {
            if self.stop.is_set() {
                return Ok(Over::Stopped);
            }
            let wait = self.pump()?.min(STOP_SEEN);
            let event = match self.session.next_within(wait)? {
                Next::Event(event) => Some(event),
                Next::Empty => None,
                Next::End(_) => return Ok(Over::Ended),
            };
            if let Some(event) = &event {
                self.take(event);
            }
            if step(self, event.as_ref())? == Step::HangUp {
                return Ok(Over::HungUp);
            }
        }
    }

    fn take(&mut self, event: &Event) {
        // Rounded up, so that what is rounded down later is never ahead of the session's clock.
        let since_ms = self.opened.elapsed().as_nanos().div_ceil(1_000_000);
        let since_ms = u64::try_from(since_ms).unwrap_or(u64::MAX);
        let lag_ms = since_ms.saturating_sub(event.at_ms());
        self.seen_ms = event.at_ms();
        self.ahead_ms = Some(self.ahead_ms.map_or(lag_ms, |ms| ms.min(lag_ms)));
        // What was taken from the line before a cut is noted before it.
        self.listen();
        self.waits.seen(event, self.record.agreed().answers_turns());
        self.record.seen(event);
    }

    /// Sends what is due; returns the time until more is.
    fn pump(&mut self) -> Result<Duration> {
        self.listen();
        let now_ms = self.now_ms();
        let Some(uplink) = &mut self.uplink else {
            return Ok(STOP_SEEN);
        };
        let (session, record, line) = (&self.session, &mut self.record, &self.line);
        uplink
            .pump(Instant::now(), |audio, ms| {
                let lost_ms = match line {
                    Some(line) => line.push(&audio)?,
                    None => session.append(audio).map(|()| 0)?,
                };
                record.appended(now_ms, ms);
                if lost_ms > 0 {
                    record.lost(now_ms, lost_ms);
                }
                Ok(())
            })
            .or_else(|error| match error.kind() {
                Kind::Closed => Ok(STOP_SEEN),
                _ => Err(error),
            })
    }

    /// Sends an event; a refusal comes as an event. What comes too late for an ended session is
    /// left out: the end itself, which the mailbox holds, says why.
    pub(crate) fn send(&mut self, event: ClientEvent) -> Result<()> {
        let now_ms = self.now_ms();
        match self.session.send(event.clone()) {
            Ok(pending) => drop(pending),
            Err(error) if error.kind() == Kind::Closed => return Ok(()),
            Err(error) => return Err(error),
        }
        self.record.sent(now_ms, &event);
        self.waits.sent(now_ms, &event);
        Ok(())
    }

    /// Changes settings.
    pub(crate) fn update(&mut self, patch: Settings) -> Result<()> {
        self.send(ClientEvent::SessionUpdate(SessionUpdate { session: patch }))
    }

    /// Puts an item into the conversation.
    pub(crate) fn create(&mut self, item: Item) -> Result<()> {
        self.send(ClientEvent::ItemCreate(ItemCreate {
            previous_item_id: None,
            item,
        }))
    }

    /// Asks for a response.
    pub(crate) fn respond(&mut self) -> Result<()> {
        self.send(ClientEvent::ResponseCreate(ResponseCreate::default()))
    }

    /// Answers each function that an event calls with `output`, and asks to go on once the response
    /// that called is over.
    pub(crate) fn answer_calls(&mut self, event: Option<&Event>, output: &str) -> Result<()> {
        match event.and_then(Event::server) {
            Some(ServerEvent::OutputItemDone(e)) if self.is_ours(&e.item) => {
                let call_id = e.item.call_id.as_deref().unwrap_or_default();
                self.create(Item::function_call_output(call_id, output))
            }
            Some(ServerEvent::ResponseDone(e)) => {
                let called = e.response.output.iter().any(|item| self.is_ours(item));
                if called { self.respond() } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn is_ours(&self, item: &Item) -> bool {
        let name = item.name.as_deref().unwrap_or_default();
        item.kind == "function_call" && !self.server_tools.iter().any(|tool| tool == name)
    }

    /// Makes a turn of the audio sent so far.
    pub(crate) fn commit(&mut self) -> Result<()> {
        self.send(ClientEvent::BufferCommit(Empty::default()))
    }

    /// Hangs up and waits for the end, which the options bound.
    pub(crate) fn finish(mut self) -> Result<(Record, End)> {
        let last = self.line.take().map_or_else(Vec::new, Line::hang_up);
        self.listened(last);
        self.session.close();
        let end = loop {
            match self.session.next_within(Duration::from_secs(60))? {
                Next::Event(event) => self.take(&event),
                Next::Empty => {}
                Next::End(end) => break end,
            }
        };
        if let Some(recorder) = self.recorder.take() {
            recorder.finished_within(Duration::from_secs(60))?;
        }
        if let Some(path) = &self.recording {
            let path = path.display();
            report::warn(&format!("{path}: there was no line that could be recorded"));
        }
        let now_ms = self.now_ms();
        let usage = self.session.usage();
        self.record.ended(now_ms, &end, self.uplink.take(), usage);
        Ok((self.record, end))
    }
}

#[cfg(test)]
mod tests {
    use talkwire_core::audio::format::Format;
    use talkwire_core::error::Who;
    use talkwire_server::{Config, LocalServer};

    use super::*;
    use crate::args::Pace;

    #[test]
    fn what_comes_too_late_for_an_ended_session_leaves_the_word_to_the_end() {
        let server = LocalServer::start(Config::new()).expect("starts");
        let client = Client::new().url(format!("{}?model=zzz", server.url()));
        let dialect = Dialect::default_dialect();
        let (captions, stop) = (Captions::new(false), Stop::new());
        let mut talk =
            Talk::open(&client, &dialect, Options::default(), captions, &stop).expect("dials");
        let ended = talk.session.ended_within(Duration::from_secs(60));
        ended.expect("no callback").expect("the server refuses");
        let mut uplink = Uplink::new(Format::PCM16_24K, Pace::Max, Vec::new());
        uplink.speak(&[1; 24_000]);
        talk.uplink = Some(uplink);
        talk.respond().expect("is left out");
        let over = talk.go_on(|talk, _| talk.respond().map(|()| Step::GoOn));
        assert_eq!(over.expect("no error"), Over::Ended);
        assert!(talk.waits.is_nothing(), "nothing was asked of anybody");
        let (record, end) = talk.finish().expect("ends");
        assert_eq!((end.who, end.why), (Who::Server, Kind::Fatal), "{end:?}");
        assert_eq!(end.close_code, Some(1008));
        assert_eq!(record.sent_ms(), 0);
    }

    #[test]
    fn what_is_sent_and_what_comes_are_on_one_clock_however_long_dialling_took() {
        let server = LocalServer::start(Config::new()).expect("starts");
        let client = Client::new().url(server.url());
        let dialect = Dialect::default_dialect();
        let (captions, stop) = (Captions::new(false), Stop::new());
        let mut talk =
            Talk::open(&client, &dialect, Options::default(), captions, &stop).expect("dials");
        talk.opened -= Duration::from_secs(60);
        assert_eq!(talk.wait_until_open().expect("opens"), None);
        talk.create(Item::user_text("hi")).expect("sends");
        talk.respond().expect("sends");
        let done = talk.go_on(|talk, _| {
            let is_answered = talk.waits.answers() > 0;
            Ok(if is_answered {
                Step::HangUp
            } else {
                Step::GoOn
            })
        });
        assert_eq!(done.expect("answers"), Over::HungUp);
        let (record, _) = talk.finish().expect("ends");
        let at_ms = |name: &str| {
            let row = record.rows().iter().find(|row| row["type"] == name);
            row.and_then(|row| row["at_ms"].as_u64()).expect(name)
        };
        assert!(at_ms("session.created") <= at_ms("conversation.item.create"));
        assert!(at_ms("response.create") <= at_ms("response.created"));
        assert!(at_ms("response.done") <= at_ms("end"));
    }
}
