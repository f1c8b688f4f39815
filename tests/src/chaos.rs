//! Random calls as flows: a seed makes a flow of what application, host and server do, and the
//! simulator plays it under rules that hold for every call. What fails is a flow already; it is made
//! shorter and handed out.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use talkwire_core::dialect::check::Check;

use crate::flow::names::SERVER_EVENTS;
use crate::flow::{Common, Options, Verdict, parse_flows, run};
use crate::stage::rules::{Rule, Rules};
use crate::stage::sim::Sim;

/// A small generator, so that a failing call can be had again.
#[derive(Debug)]
struct Seeded(u64);

impl Seeded {
    fn new(seed: u64) -> Self {
        // Neighbouring seeds must not make similar calls, and zero would stay zero.
        Self((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn upto(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % most
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.upto(of.len() as u64) as usize]
    }

    /// Milliseconds in whole frames.
    fn ms(&mut self, most: u64) -> u64 {
        self.upto(most / 20) * 20 + 20
    }
}

/// A call as it is told in a flow.
#[derive(Clone, Debug)]
struct Story {
    head: String,
    steps: Vec<String>,
}

/// How a story came out.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// The session was over at this step, or at the last one.
    Ended(Option<usize>),
    Broken(String),
}

/// A call that breaks a rule.
#[derive(Clone, Debug)]
pub struct Broken {
    /// What is broken.
    pub reason: String,
    /// The flow that shows it.
    pub flow: String,
}

/// Plays the call of a seed under the rules of every call and one more.
pub fn play(seed: u64, common: &Common, rule: Option<Rule>) -> Result<(), Broken> {
    let story = Story::random(seed);
    match story.settled(common, rule) {
        (_, Outcome::Passed) => Ok(()),
        (story, outcome) => {
            let story = story.shorter(common, rule, &outcome);
            Err(Broken {
                reason: format!("{outcome:?}"),
                flow: story.text(),
            })
        }
    }
}

/// What breaks when a flow is played under the rules and one more, if anything does.
pub fn replay(text: &str, common: &Common, rule: Option<Rule>) -> Option<String> {
    match outcome(text, 0, common, rule) {
        Outcome::Passed => None,
        outcome => Some(format!("{outcome:?}")),
    }
}

/// Plays the only flow of a text; its steps begin after so many lines.
fn outcome(text: &str, head_lines: usize, common: &Common, rule: Option<Rule>) -> Outcome {
    let flow = match parse_flows("chaos.flow", text, common) {
        Ok(mut flows) => flows.remove(0),
        Err(error) => panic!("{error}\n{text}"),
    };
    let profile = flow.profiles[0].clone();
    let played = catch_unwind(AssertUnwindSafe(|| {
        let sim = Sim::new(&flow, &profile).expect("a script that is understood");
        let rules = Rules::with(rule).with_repetitions(text.contains("duplicate"));
        let mut sim = sim.with_rules(rules);
        run(&flow, &profile, common, &mut sim, Options::default()).verdict
    }));
    match played {
        Ok(Verdict::Passed) => Outcome::Passed,
        Ok(Verdict::Failed(failure) | Verdict::Pending(_, failure)) => {
            match failure.reason.starts_with("the session has ended") {
                true => Outcome::Ended(failure.place.line.checked_sub(head_lines + 1)),
                false => Outcome::Broken(failure.reason),
            }
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Outcome::Broken(text.unwrap_or_else(|| "a panic".to_owned()))
        }
    }
}

impl Story {
    fn text(&self) -> String {
        let mut text = self.head.clone();
        for step in &self.steps {
            let _ = writeln!(text, "{step}");
        }
        text
    }

    fn outcome(&self, common: &Common, rule: Option<Rule>) -> Outcome {
        outcome(&self.text(), self.head.lines().count(), common, rule)
    }

    /// The story up to where its session ends, if it does by itself, and how that comes out.
    fn settled(mut self, common: &Common, rule: Option<Rule>) -> (Self, Outcome) {
        let mut outcome = self.outcome(common, rule);
        if let Outcome::Ended(step) = outcome {
            self.steps.truncate(step.unwrap_or(self.steps.len()));
            self.steps.push("% expect-end {}".to_owned());
            outcome = self.outcome(common, rule);
        }
        (self, outcome)
    }

    /// The story without the steps that its failure does not need.
    fn shorter(mut self, common: &Common, rule: Option<Rule>, failure: &Outcome) -> Self {
        let kind = kind(failure);
        let mut size = self.steps.len() / 2;
        while size > 0 {
            let mut at = FIXED_STEPS;
            while at + LAST_STEPS < self.steps.len() {
                let mut less = self.clone();
                let end = (at + size).min(self.steps.len() - LAST_STEPS);
                less.steps.drain(at..end);
                match self::kind(&less.outcome(common, rule)) == kind {
                    true => self = less,
                    false => at += size,
                }
            }
            size /= 2;
        }
        self
    }
}

/// What makes two failures the same: not the ids in them.
fn kind(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Broken(reason) => {
            let words = reason
                .split([',', '\n', '{', '"'])
                .next()
                .unwrap_or_default();
            Some(words.to_owned())
        }
        Outcome::Passed | Outcome::Ended(_) => None,
    }
}

// ---- what happens ---------------------------------------------------------------------------------

/// Steps that every story has: all events are expected, and the session is opened.
const FIXED_STEPS: usize = 2;

/// It is closed, and there is one end; or that came by itself.
const LAST_STEPS: usize = 2;

const WORDS: &str = "One two three four five six seven eight nine ten eleven twelve thirteen.";

impl Story {
    fn random(seed: u64) -> Self {
        let mut random = Seeded::new(seed);
        let profile = random.one(&["openai", "yandex"]);
        let mut head = format!(
            "flow {}: Chaos of seed {seed}\nprofiles: {profile}\nprologue: none\n",
            seed + 1
        );
        // Who has no media port owns the queue, and tells by marks what was heard.
        let has_port = random.upto(4) > 0;
        let _ = writeln!(head, "{}", options(&mut random, has_port));
        let pacing = random.one(&["realtime", "realtime", "instant"]);
        let lifetime = match random.upto(3) {
            0 => format!(", lifetime_ms:{}", 6_000 + random.ms(20_000)),
            _ => String::new(),
        };
        let _ = writeln!(head, "config: {{pacing:\"{pacing}\"{lifetime}}}");
        head.push_str(&server(&mut random));
        let mut steps = vec![
            format!("~* {}", SERVER_EVENTS.join(" | ")),
            "% open".to_owned(),
        ];
        for _ in 0..6 + random.upto(20) {
            steps.push(step(&mut random, has_port));
        }
        // Nobody waits for silence: a server that cuts every answer is asked for the rest for ever.
        steps.extend([
            "% close".to_owned(),
            "% expect-end {expected:true}".to_owned(),
        ]);
        Self { head, steps }
    }
}

fn options(random: &mut Seeded, has_port: bool) -> String {
    let recovery = random.one(&[
        "{}",
        "{}",
        "{}",
        r#"{"answer": "silent"}"#,
        r#"{"budget_ms": 3000}"#,
        r#"{"budget_ms": 0}"#,
    ]);
    let rollover = random.one(&["{}", "{}", "{}", r#"{"enabled": false}"#]);
    let call = call(random);
    let lasting = format!(r#""recovery": {recovery}, "rollover": {rollover}"#);
    match has_port {
        true => format!("call: {{{lasting}, {call}}}"),
        false => {
            let waived = Check::ALL.iter().map(|check| check.name());
            let waived: Vec<_> = waived.filter(|name| *name != "turn").collect();
            format!("options: {{\"waive\": {waived:?}, {lasting}, {call}}}")
        }
    }
}

fn call(random: &mut Seeded) -> String {
    let policy = random.one(&["off", "immediate", "staged", "staged"]);
    let confirm = random.one(&["speech", "transcript", "app"]);
    let resume = random.one(&["silent", "ask_rest"]);
    let busy = random.one(&["queue", "merge", "replace", "refuse"]);
    let interrupts = random.one(&["", "", r#", "interrupt_response": false"#]);
    let silence = random.one(&["0", "0", "4000"]);
    let agent = random.one(&["20000", "2000"]);
    format!(
        r#""session": {{"output_modalities": ["audio"], "audio": {{
  "input": {{"format": {{"type": "audio/pcm", "rate": 24000}},
  "turn_detection": {{"type": "server_vad", "silence_duration_ms": 400{interrupts}}}}},
  "output": {{"format": {{"type": "audio/pcm", "rate": 24000}}}}}}}},
  "barge_in": {{"policy": "{policy}", "confirm": "{confirm}", "resume": "{resume}"}},
  "when_busy": "{busy}", "tools": [{{"name": "f", "timeout_ms": 3000, "overdue_ms": 1000}}],
  "customer_silence_ms": {silence}, "agent_silence_ms": {agent}"#
    )
}

fn server(random: &mut Seeded) -> String {
    let mut text = "server:\n  turns:\n".to_owned();
    for turn in 1..6 {
        let answer = match random.upto(5) {
            0 => "      call: {name: f, arguments: {a: 1}}\n".to_owned(),
            1 => {
                "      call: [{name: f, arguments: {}}, {name: f, arguments: {b: 2}}]\n".to_owned()
            }
            2 => "      steps: [{say: \"Wait.\"}, {after_ms: 300, say: \"A bit.\"}]\n".to_owned(),
            _ => format!("      say: \"{WORDS}\"\n"),
        };
        let _ = write!(text, "    - when: {{turn: {turn}}}\n{answer}");
    }
    let _ = write!(text, "    - when: {{user: any}}\n      say: \"{WORDS}\"\n");
    let faults = random.upto(4);
    if faults > 0 {
        text.push_str("  faults:\n");
    }
    for _ in 0..faults {
        let _ = writeln!(text, "    - {}", fault(random));
    }
    text
}

fn fault(random: &mut Seeded) -> String {
    if random.upto(4) == 0 {
        let what = random.one(&["drop", "{close: 1011}", "expire"]);
        return format!("{{when: {{after_ms: {}}}, do: {what}}}", random.ms(20_000));
    }
    if random.upto(4) == 0 {
        let event = random.one(&[
            "response.create",
            "conversation.item.create",
            "conversation.item.truncate",
            "response.cancel",
            "session.update",
        ]);
        let count = random.upto(3) + 1;
        let code = random.one(&["server_error", "invalid_value"]);
        return format!("{{when: {{received: {event}, count: {count}}}, do: {{error: {code}}}}}");
    }
    let event = random.one(&[
        "response.created",
        "response.done",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_audio.delta",
        "response.output_audio.done",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "session.updated",
        "conversation.item.truncated",
    ]);
    let what = match random.upto(6) {
        0 => format!("{{delay: {}}}", random.ms(600)),
        1 => format!("{{jitter: {}}}", random.ms(300)),
        2 => "duplicate".to_owned(),
        3 => "unknown_event".to_owned(),
        4 => "malformed".to_owned(),
        _ => "{error: server_error}".to_owned(),
    };
    let probability = random.one(&["0.1", "0.3", "1.0"]);
    let every = random.one(&["", ", every: true"]);
    format!("{{when: {{sent: {event}, probability: {probability}}}, do: {what}{every}}}")
}

fn step(random: &mut Seeded, has_port: bool) -> String {
    match random.upto(24) {
        20..22 => format!(
            "% cut {}",
            random.one(&["kill", "reset", "reset", "black-hole"])
        ),
        22 if !has_port => format!("% heard {}ms", random.ms(1_000)),
        // Time enough to find out that nobody is there.
        23 => format!("% wait {}ms", random.ms(40_000)),
        0..5 => format!("% speak {}ms", random.ms(1_500)),
        5..8 => format!("% silence {}ms", random.ms(1_200)),
        8..10 => format!("% wait {}ms", random.ms(3_000)),
        10 => "% interrupt".to_owned(),
        11 => "% go-on".to_owned(),
        12..14 => {
            let policy = random.one(&["queue", "merge", "replace", "refuse"]);
            format!("% respond {policy}")
        }
        14 => format!("% tool \"found, {}.\"", random.upto(1_000_000)),
        15 => format!("% tool-fails \"it is lost, {}.\"", random.upto(1_000_000)),
        16 if has_port => format!("% deaf {}ms", random.ms(800)),
        16 => format!("% heard {}ms", random.ms(1_000)),
        _ => sent(random),
    }
}

fn sent(random: &mut Seeded) -> String {
    match random.upto(8) {
        // In words that are said only once, so that they can be found again.
        0..3 => format!(
            concat!(
                r#"> conversation.item.create {{item:{{type:"message", role:"user", "#,
                r#"content:[{{type:"input_text", text:"Some words, {}."}}]}}}}"#
            ),
            random.upto(1_000_000)
        ),
        3 => "> response.create {}".to_owned(),
        4 => "> response.cancel {}".to_owned(),
        5 => format!(
            r#"> session.update {{session:{{instructions:"Be brief, {}."}}}}"#,
            random.upto(1_000_000)
        ),
        6 => random
            .one(&[
                "> input_audio_buffer.clear {}",
                "> input_audio_buffer.commit {}",
            ])
            .to_owned(),
        _ => r#"> conversation.item.retrieve {item_id:"item_none"}"#.to_owned(),
    }
}
