//! Calls that outlive the sessions of their server: what was said is told once, in order, whatever
//! becomes of the links.

use std::time::Duration;

use serde_json::{Value, json};
use talkwire_core::audio::dtmf::{Detector, tones};
use talkwire_core::dialect::Dialect;
use talkwire_tests::flow::{Flow, Flows, OpenSpec, Role, Seen, Sound, Stage, parse_flows};
use talkwire_tests::scaled;
use talkwire_tests::stage::sim::Sim;

/// A server that hears digits and repeats them, and that looks something up for a `9`.
const FLOW: &str = r#"
flow 1: A call
profiles: PROFILE
call: {}
config: {lifetime_ms:LIFETIME}
server:
  ears: dtmf
  voice: dtmf
  turns:
    - when: {tool: look_up}
      say: "9"
    - when: {user: /^9$/}
      call: {name: look_up, arguments: {number: 9}}

% wait 1ms
"#;

/// One way; 80 ms there and back.
const LATENCY: Duration = Duration::from_millis(40);

struct Call {
    sim: Sim,
    events: Vec<Value>,
    random: u64,
}

fn flow(profile: &str, lifetime_ms: u64) -> Flow {
    let common = Flows::committed()
        .expect("the committed flows parse")
        .common;
    let text = FLOW.trim_start().replace("PROFILE", profile);
    let text = text.replace("LIFETIME", &lifetime_ms.to_string());
    parse_flows("call", &text, &common)
        .expect("it parses")
        .remove(0)
}

impl Call {
    fn open(profile: &str, lifetime_ms: u64, seed: u64) -> Self {
        Self::open_with(profile, lifetime_ms, seed, true)
    }

    fn open_with(profile: &str, lifetime_ms: u64, seed: u64, rolls: bool) -> Self {
        let mut sim = Sim::new(&flow(profile, lifetime_ms), profile).expect("a server");
        sim.set_latency(LATENCY);
        let session = json!({"output_modalities": ["audio"], "audio": {
            "input": {"format": {"type": "audio/pcm", "rate": 24_000},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 400},
                "transcription": {"model": "any"}},
            "output": {"format": {"type": "audio/pcm", "rate": 24_000}}}});
        let tool = json!({"name": "look_up", "parameters": {"type": "object"}});
        let spec = OpenSpec {
            profile: profile.to_owned(),
            role: Role::Session,
            model: None,
            call: Some(
                json!({"session": session, "rollover": {"enabled": rolls}, "recovery": {}, "tools": [tool],
                "barge_in": {"policy": "off"}}),
            ),
            options: None,
            key: None,
            headers: Vec::new(),
            query: Vec::new(),
        };
        sim.open(&spec).expect("it opens");
        let mut call = Self {
            sim,
            events: Vec::new(),
            random: seed,
        };
        call.pause(1_000);
        call
    }

    /// Any number below `most`.
    fn any(&mut self, most: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % most
    }

    /// Reads what came, and answers the tools that are called.
    fn read(&mut self) {
        while let Some(seen) = self.sim.next(0) {
            let Seen::Event(event) = seen else {
                panic!("the session ended: {seen:?}")
            };
            if event["type"] == "tool.call" {
                let output = json!({"type": "conversation.item.create", "item": {
                    "type": "function_call_output", "call_id": event["call_id"],
                    "output": "found"}});
                self.sim.send(&output.to_string()).expect("it is sent");
                self.sim
                    .send(r#"{"type":"response.create"}"#)
                    .expect("it is sent");
            }
            self.events.push(event);
        }
    }

    fn pause(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            self.sim
                .append_audio(Sound::Silence, 20)
                .expect("it takes sound");
            self.read();
        }
    }

    /// The caller presses a key, and waits for a time that is not always long enough.
    fn press(&mut self, digit: char) {
        let (rate_hz, _) = self.sim.rates().expect("there is a caller");
        let sound = tones(&digit.to_string(), rate_hz).expect("a digit");
        self.sim.say(&sound);
        let wait = 2_000 + self.any(2_000);
        self.pause(wait);
    }

    fn named(&self, name: &str) -> Vec<&Value> {
        let is_it = |event: &&Value| event["type"] == name;
        self.events.iter().filter(is_it).collect()
    }

    fn numbers(&self, name: &str, key: &str) -> Vec<u64> {
        let number = |event: &&Value| event[key].as_u64().expect("a number");
        self.named(name).iter().map(number).collect()
    }

    /// What the server understood, as the history has it.
    fn understood(&mut self) -> String {
        let segments = self.sim.history();
        let customer = segments.iter().filter(|s| s.role.name() == "customer");
        customer.map(|s| s.text.clone()).collect()
    }

    /// What the agent said, as the caller heard it.
    fn heard(&self) -> String {
        let (_, rate_hz) = self.sim.rates().expect("there is a caller");
        let mut digits = Vec::new();
        let mut detector = Detector::new(rate_hz).expect("a usual rate");
        detector.push(self.sim.heard(), &mut digits);
        digits.into_iter().collect()
    }
}

fn digits(call: &mut Call, count: usize) -> String {
    (0..count)
        .map(|_| char::from(b'0' + call.any(10) as u8))
        .collect()
}

/// Some 3.2 s for each digit.
fn talk(profile: &str, lifetime_ms: u64, count: usize) -> (String, Call) {
    say_all(Call::open(profile, lifetime_ms, 7), count)
}

fn say_all(mut call: Call, count: usize) -> (String, Call) {
    let script = digits(&mut call, count);
    for digit in script.chars() {
        call.press(digit);
    }
    call.pause(4_000);
    (script, call)
}

/// What was said, by whom, in order: the history without ids and times.
fn said(call: &mut Call) -> Vec<(&'static str, String)> {
    let segments = call.sim.history();
    let said = |s: &std::sync::Arc<talkwire_core::engine::history::Segment>| {
        (s.role.name(), s.text.clone())
    };
    segments.iter().map(said).collect()
}

/// A call whose server gives it 20 s at a time.
fn a_call_loses_and_repeats_nothing(profile: &str, count: usize) -> Call {
    let (script, mut call) = talk(profile, 20_000, count);
    let rolls = call.named("session.rolled").len();
    assert!(rolls >= count * 85 / 560, "{rolls} changes");
    assert_eq!(call.named("session.lost"), Vec::<&Value>::new());
    assert_eq!(call.named("error"), Vec::<&Value>::new());
    let gaps = call.numbers("session.rolled", "gap_ms");
    assert!(gaps.iter().all(|ms| *ms < 250), "{gaps:?}");
    assert_eq!(
        call.numbers("session.rolled", "lost_ms"),
        vec![0; rolls],
        "nothing is lost"
    );
    assert_eq!(call.understood(), script);
    assert_eq!(call.heard(), script);
    let nines = script.chars().filter(|digit| *digit == '9').count();
    assert_eq!(call.named("tool.call").len(), nines, "a tool runs once");
    call
}

/// Half an hour of it.
fn a_long_call_loses_and_repeats_nothing(profile: &str) {
    a_call_loses_and_repeats_nothing(profile, 560);
}

#[test]
fn in_every_profile_the_history_is_that_of_a_call_over_one_session() {
    // Ten minutes is the longest session of a dialect.
    let count = scaled(17) as usize;
    for profile in Dialect::names() {
        let mut call = a_call_loses_and_repeats_nothing(profile, count);
        let (_, mut unbroken) = say_all(Call::open_with(profile, 600_000, 7, false), count);
        assert_eq!(unbroken.named("session.rolled"), Vec::<&Value>::new());
        assert_eq!(said(&mut call), said(&mut unbroken), "{profile}");
    }
}

#[test]
fn calls_over_sessions_of_20_seconds_in_the_other_profiles() {
    // Half an hour of each in the deep tier.
    for profile in Dialect::names().filter(|name| !["yandex", "openai"].contains(name)) {
        a_call_loses_and_repeats_nothing(profile, scaled(56) as usize);
    }
}

#[test]
fn half_an_hour_over_sessions_of_20_seconds_in_the_profile_yandex() {
    a_long_call_loses_and_repeats_nothing("yandex");
}

#[test]
fn half_an_hour_over_sessions_of_20_seconds_in_the_profile_openai() {
    a_long_call_loses_and_repeats_nothing("openai");
}

#[test]
fn a_call_whose_connection_is_cut_again_and_again_tells_everything_once() {
    for profile in ["yandex", "openai"] {
        for seed in 1..10 {
            let mut call = Call::open(profile, 300_000, seed);
            let script = digits(&mut call, 12);
            for digit in script.chars() {
                let cut_after = call.any(4_000);
                let (rate_hz, _) = call.sim.rates().expect("there is a caller");
                let sound = tones(&digit.to_string(), rate_hz).expect("a digit");
                call.sim.say(&sound);
                call.pause(cut_after);
                call.sim.cut();
                call.pause(4_000);
            }
            call.pause(4_000);
            assert!(!call.named("session.recovered").is_empty());
            assert_eq!(call.understood(), script, "{profile}, seed {seed}");
            let tools = call.named("tool.call").len();
            let nines = script.chars().filter(|digit| *digit == '9').count();
            assert_eq!(tools, nines, "{profile}, seed {seed}: a tool runs once");
        }
    }
}
