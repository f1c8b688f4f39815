//! Each golden flow with its link broken at each of its steps: what a session makes of that, whatever
//! was under way.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};
use talkwire_core::Kind;
use talkwire_core::dialect::{Dialect, Quirk};
use talkwire_core::engine::io::Ticket;

use crate::flow::ast::{Action, Step, Verb};
use crate::flow::{AppAct, Common, Fault, Flow, Flows, Role, Seen, Stage, moments, run_part};
use crate::stage::rules::Rules;
use crate::stage::sim::{Redial, Sim};

/// A flow, how far it is played, and what happens then.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// The profile.
    pub profile: &'a str,
    /// So many steps are played.
    pub steps: usize,
    /// What happens to the link.
    pub fault: Fault,
    /// Who answers when a session with a scripted server dials again.
    pub redial: Redial,
    /// So much later the links that there are then are reset as well.
    pub again_ms: Option<u32>,
}

/// What a session made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It was over or about to be.
    Over,
    /// It noticed nothing.
    Unnoticed,
    /// It went on over a new link.
    Recovered,
    /// It ended, and says why.
    Ended,
}

/// Time that passes after a fault that is seen at once: for all answers, and some more.
const AFTER_MS: u32 = 30_000;

/// Time that passes after one that is to be found first.
const AFTER_SILENCE_MS: u32 = 60_000;

const SLICE_MS: u32 = 250;

/// Longest time in which a session notices a link over which nothing comes: `ping_ms` and
/// `pong_timeout_ms` by default, and some for the network.
const NOTICED_MS: u32 = 26_000;

/// What the application says before the fault without asking for an answer.
const QUIET: &str = "the quiet one";

/// What the application says when all should be well again.
const LAST: &str = "the last one";

/// What `close` allows, and some for the network.
const CLOSED_MS: u32 = 3_500;

/// When the links break a second time: while the next one is dialled, greeted, or just there.
pub const AGAIN: [Option<u32>; 3] = [Some(8), Some(18), Some(26)];

/// All cases of all flows; `again_ms` is when the links break a second time, if they do.
pub fn cases(flows: &Flows, again_ms: Option<u32>) -> Vec<Case<'_>> {
    let mut cases = Vec::new();
    for flow in &flows.flows {
        let redials: &[Redial] = match flow.role {
            Role::Session => &[Redial::Script],
            Role::ClientUnderTest => &[Redial::Served, Redial::Refused],
        };
        for profile in &flow.profiles {
            for steps in moments(flow, profile, &flows.common) {
                for fault in Fault::ALL {
                    cases.extend(redials.iter().map(|redial| Case {
                        flow,
                        profile,
                        steps,
                        fault,
                        redial: *redial,
                        again_ms,
                    }));
                }
            }
        }
    }
    cases
}

impl Case<'_> {
    /// Plays it; a broken rule, invariant or promise is told as an error.
    pub fn play(&self, common: &Common) -> Result<Outcome, String> {
        let played = catch_unwind(AssertUnwindSafe(|| self.played(common)));
        played.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(text.unwrap_or_else(|| "a panic".to_owned()))
        })
    }

    fn played(&self, common: &Common) -> Result<Outcome, String> {
        let sim = Sim::new(self.flow, self.profile).map_err(|error| error.to_string())?;
        // Where there is no media port, flows check what they send themselves.
        let rules = match self.flow.call.is_some() {
            true => Rules::default(),
            false => Rules::of_unchecked(),
        };
        let mut sim = sim.with_rules(rules).with_recovery();
        sim.record_frames();
        let open = run_part(self.flow, self.profile, common, &mut sim, self.steps);
        let open = open.map_err(|failure| failure.reason)?;
        sim.redial(self.redial);
        if !open || sim.is_over() {
            return Ok(Outcome::Over);
        }
        Drive::new(self, sim).play()
    }

    /// Whether the flow closes its session by itself.
    fn closes(&self) -> bool {
        let is_it = |step: &Step| matches!(step.action, Action::Drive(Verb::Close));
        self.flow.steps.iter().any(is_it)
    }

    /// Whether a link over which nothing passes can be noticed.
    fn is_noticed(&self) -> bool {
        let dialect = Dialect::named(self.profile).expect("a built-in dialect");
        self.fault != Fault::BlackHole || !dialect.has(Quirk::PongsMayBeMissing)
    }
}

impl std::fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (id, profile, steps) = (&self.flow.id, self.profile, self.steps);
        let (fault, redial, again) = (self.fault.name(), self.redial, self.again_ms);
        write!(
            f,
            "flow {id} as {profile}, {fault} after {steps} steps, {redial:?}, again {again:?}"
        )
    }
}

/// An event by which the application has something said.
fn said(text: &str) -> String {
    json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": text}]}})
    .to_string()
}

/// A session after the fault.
struct Drive<'a> {
    case: &'a Case<'a>,
    sim: Sim,
    /// What the application wanted said, by what it says.
    asked: Vec<(String, Ticket)>,
    passed_ms: u32,
    noticed_ms: Option<u32>,
    /// How often it went on over a new link.
    changes: usize,
    ends: Vec<String>,
}

impl<'a> Drive<'a> {
    fn new(case: &'a Case<'a>, sim: Sim) -> Self {
        Self {
            case,
            sim,
            asked: Vec::new(),
            passed_ms: 0,
            noticed_ms: None,
            changes: 0,
            ends: Vec::new(),
        }
    }

    fn play(mut self) -> Result<Outcome, String> {
        let was_open = self.sim.is_open();
        self.ask("the one before");
        self.tell(QUIET);
        self.sim.break_links(self.case.fault);
        self.ask("the one after");
        if let Some(ms) = self.case.again_ms {
            self.pass(ms)?;
            self.sim.break_links(Fault::Reset);
        }
        let all_ms = match self.case.fault {
            Fault::Kill | Fault::Reset => AFTER_MS,
            Fault::BlackHole => AFTER_SILENCE_MS,
        };
        while self.passed_ms < all_ms && self.ends.is_empty() {
            self.pass(SLICE_MS)?;
            if self.passed_ms >= all_ms - 15_000 && self.asked.len() == 2 {
                self.ask(LAST);
            }
        }
        let outcome = self.outcome(was_open)?;
        self.close()?;
        Ok(outcome)
    }

    /// The application wants something said.
    fn ask(&mut self, text: &str) {
        let ticket = self.sim.ask_event(&said(text));
        self.asked.push((text.to_owned(), ticket));
    }

    /// The same, and nobody waits for an answer.
    fn tell(&mut self, text: &str) {
        self.sim.send(&said(text)).expect("a simulator sends it");
    }

    fn pass(&mut self, ms: u32) -> Result<(), String> {
        self.sim.wait(ms);
        self.passed_ms += ms;
        while let Some(seen) = self.sim.next(0) {
            match seen {
                Seen::Event(event) => self.told(&event),
                Seen::End(end) => self.ends.push(end.why),
                Seen::Sent(_) => {}
            }
        }
        match self.ends.len() {
            0 | 1 => Ok(()),
            _ => Err(format!("more than one end: {:?}", self.ends)),
        }
    }

    fn told(&mut self, event: &Value) {
        match event["type"].as_str().unwrap_or_default() {
            "session.lost" => {
                self.noticed_ms.get_or_insert(self.passed_ms);
            }
            "session.recovered" | "session.rolled" => self.changes += 1,
            "tool.call" => {
                let done = AppAct::Tool(Ok("done".to_owned()));
                self.sim.act(&done).expect("a simulator does it");
            }
            _ => {}
        }
    }

    fn outcome(&self, was_open: bool) -> Result<Outcome, String> {
        if let Some(why) = self.ends.first() {
            let is_typed = why != "closed" || self.case.closes();
            return match is_typed {
                true => Ok(Outcome::Ended),
                false => Err("nobody has closed it".to_owned()),
            };
        }
        if self.sim.unanswered() > 0 {
            return Err(format!("{} questions hang", self.sim.unanswered()));
        }
        if self.sim.is_lost() {
            return Err("it is lost, and neither recovered nor over".to_owned());
        }
        if self.changes == 0 {
            return match was_open && self.case.is_noticed() {
                true => Err("the loss was not noticed".to_owned()),
                false => Ok(Outcome::Unnoticed),
            };
        }
        if self.noticed_ms.is_some_and(|ms| ms > NOTICED_MS) {
            return Err(format!("noticed after {:?} ms", self.noticed_ms));
        }
        self.nothing_is_lost()?;
        Ok(Outcome::Recovered)
    }

    /// What the application said was answered, and the link that is there knows it, once.
    fn nothing_is_lost(&self) -> Result<(), String> {
        let frames = self.sim.frames();
        let is_last = |(_, frame): &&(u32, String)| frame.contains(LAST);
        let last = frames.iter().find(is_last).map(|(link, _)| *link);
        let times = |text: &str| {
            let told = frames.iter().filter(|(link, _)| Some(*link) == last);
            // An agent that repeats what was said is told of with its own words.
            let said = told.filter(|(_, frame)| !frame.contains(r#""role":"assistant""#));
            said.filter(|(_, frame)| frame.contains(text)).count()
        };
        // Nothing tells of a black hole before the time of an answer is over.
        let may_time_out = self.case.fault == Fault::BlackHole;
        for (text, ticket) in &self.asked {
            let told = times(text);
            match self.sim.answer_to(*ticket) {
                Some(Ok(_)) if told == 1 => {}
                Some(Err(error)) if error.kind() != Kind::Timeout => {}
                Some(Err(_)) if may_time_out && text != LAST && told <= 1 => {}
                answer => {
                    let found = format!("told {told} times, answered {answer:?}");
                    return Err(format!("`{text}`: {found}"));
                }
            }
        }
        match times(QUIET) {
            1 => Ok(()),
            told => Err(format!("`{QUIET}`: told {told} times")),
        }
    }

    /// However it stands, closing is the end, in time and once.
    fn close(&mut self) -> Result<(), String> {
        self.sim.close();
        self.pass(CLOSED_MS)?;
        if self.ends.len() != 1 {
            return Err(format!("closing gave {} ends", self.ends.len()));
        }
        if self.sim.unanswered() > 0 {
            let hang = self.sim.unanswered();
            return Err(format!("{hang} questions hang after the end"));
        }
        self.pass(30_000)
    }
}
