//! Random walks of a client against the machine, in virtual time: the six invariants of the protocol
//! and its order of events, hold whatever the client does.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::walk_judge::Judge;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Value, json};
use talkwire_server::{
    Clock, Config, Pacing, Peer, PeerEffect, PeerEffects, PeerInput, Plan, Visit,
};

const SCRIPT: &str = r#"
ears: ["one", "two and", "two and three", {fail: {message: "inaudible"}}, "five, ", "six"]
turns:
  - when: {tool: find}
    say: "Found."
  - when: {turn: 3}
    say: "One moment."
    mcp_call: {server: crm, name: find, arguments: {phone: "1"}, output: {city: Kazan}}
  - when: {turn: 6}
    mcp_call: {server: crm, name: find, error: "no such customer"}
  - when: {turn: 7}
    server_tool: {name: web_search, arguments: {query: pizza}}
    say: "Three pages."
  - when: {turn: 8}
    fail: {code: rate_limit_exceeded, message: "Slow down."}
  - when: {turn: 2}
    say: "One moment."
    call: {name: f, arguments: {a: [1, 2, 3], b: "some words to fill several deltas"}}
  - when: {turn: 4}
    steps: [{say: "Wait"}, {after_ms: 300, say: "a bit"}, {after_ms: 50, call: {name: g}}]
"#;

/// One peer with its time and what it sent.
struct World {
    peer: Peer,
    now: Instant,
    effects: PeerEffects,
    judge: Judge,
}

impl World {
    fn new(profile: &str, pacing: Pacing, seed: u64) -> Self {
        let config = Config::new()
            .profile(profile)
            .script_text(SCRIPT, ".")
            .voice("tone")
            .pacing(pacing)
            .seed(seed);
        let plan = Plan::new(&config).expect("a plan");
        let now = Instant::now();
        let clock = Clock {
            at: now,
            unix_s: 1_800_000_000,
        };
        let mut world = Self {
            peer: plan.peer(now, clock, Visit::default(), 0),
            now,
            effects: PeerEffects::new(),
            judge: Judge::new(profile == "openai"),
        };
        world.step(PeerInput::Open);
        world
    }

    fn step(&mut self, input: PeerInput) {
        self.peer.handle(self.now, input, &mut self.effects);
        for effect in self.effects.drain() {
            match effect {
                PeerEffect::Send(frame) => self.judge.judge(&frame),
                PeerEffect::Close { .. } => self.judge.ended = true,
                other => panic!("{other:?}"),
            }
        }
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(deadline) = self.peer.deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.step(PeerInput::Timeout);
        }
        self.now = until;
    }
}

/// What a client does next.
#[derive(Clone, Debug)]
enum Act {
    Send(Value),
    /// About the n-th item that was told of.
    About(&'static str, usize),
    /// The output of the n-th call.
    Output(usize),
    /// The answer to the n-th request for approval.
    Approve(usize, bool),
    /// A response beside the conversation that reads the n-th item.
    Aside(usize),
    /// An item after the n-th one.
    After(usize),
    Audio(bool, u16),
    Wait(u16),
    Raw(String),
}

fn act() -> impl Strategy<Value = Act> {
    let create = |response: Value| json!({"type": "response.create", "response": response});
    let content = json!([{"type": "input_text", "text": "some words"}]);
    let item = json!({"type": "message", "role": "user", "content": content});
    let update = |mut session: Value| {
        session["type"] = json!("realtime");
        json!({"type": "session.update", "session": session})
    };
    let detection = |value: Value| update(json!({"audio": {"input": {"turn_detection": value}}}));
    let tools = json!([{"type": "function", "name": "web_search", "parameters": "{}"},
        {"type": "function", "name": "f"}]);
    let mcp = |approval: &str| {
        json!({"tools": [{"type": "mcp", "server_label": "crm", "server_url": "https://h/mcp",
            "require_approval": approval}, {"type": "function", "name": "web_search"}]})
    };
    let put = |item: Value| json!({"type": "conversation.item.create", "item": item});
    let sound = talkwire_core::wire::audio::encode(&[0; 4_800]);
    let heard = json!({"type": "input_audio", "audio": sound});
    let events = vec![
        update(mcp("always")),
        update(mcp("never")),
        update(mcp("never")),
        update(json!({"tools": tools})),
        update(
            json!({"truncation": {"type": "retention_ratio", "retention_ratio": 0.5,
            "token_limits": {"post_instructions": 20}}}),
        ),
        update(json!({"truncation": "disabled"})),
        update(json!({"audio": {"input": {"transcription": {"model": "any"}}}})),
        detection(json!({"type": "server_vad", "idle_timeout_ms": 700})),
        detection(json!({"type": "semantic_vad", "eagerness": "high"})),
        detection(json!({"type": "server_vad", "create_response": false})),
        put(json!({"type": "message", "role": "system",
            "content": [{"type": "input_text", "text": "facts"}]})),
        put(json!({"type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": "I said so."}]})),
        put(json!({"type": "message", "role": "user", "content": [heard]})),
        put(json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"})),
        json!({"type": "conversation.item.create", "previous_item_id": "root", "item": item}),
        json!({"type": "output_audio_buffer.clear"}),
        json!({"type": "transcription_session.update", "session": {}}),
        json!({"type": "response.cancel", "response_id": "resp_of_nobody"}),
        create(json!({"conversation": "none", "metadata": {"topic": "summary"}})),
        create(json!({"input": [], "metadata": {"topic": "empty"}})),
        create(json!({})),
        create(json!({"output_modalities": ["text"]})),
        create(json!({"conversation": "none", "output_modalities": ["text"]})),
        create(json!({"max_output_tokens": 2})),
        create(json!({"tool_choice": "none"})),
        json!({"type": "response.cancel"}),
        json!({"type": "conversation.item.create", "item": item}),
        json!({"type": "input_audio_buffer.commit"}),
        json!({"type": "input_audio_buffer.clear"}),
        update(json!({"output_modalities": ["text"]})),
        update(json!({"output_modalities": ["audio"]})),
        update(json!({"foo": 1})),
        detection(Value::Null),
        detection(json!({"type": "server_vad", "silence_duration_ms": 200})),
        detection(json!({"type": "semantic_vad", "interrupt_response": false})),
        json!({"type": "no.such.event"}),
    ];
    let about = prop::sample::select(vec![
        "conversation.item.delete",
        "conversation.item.retrieve",
        "conversation.item.truncate",
    ]);
    prop_oneof![
        8 => prop::sample::select(events).prop_map(Act::Send),
        2 => (about, 0_usize..30).prop_map(|(kind, n)| Act::About(kind, n)),
        1 => (0_usize..10).prop_map(Act::Output),
        1 => (0_usize..10, any::<bool>()).prop_map(|(n, yes)| Act::Approve(n, yes)),
        1 => (0_usize..30).prop_map(Act::Aside),
        1 => (0_usize..30).prop_map(Act::After),
        4 => (any::<bool>(), 1_u16..900).prop_map(|(loud, ms)| Act::Audio(loud, ms)),
        4 => (0_u16..2000).prop_map(Act::Wait),
        1 => ".{0,30}".prop_map(Act::Raw),
    ]
}

/// Telephone tones, as they are always taken for speech.
fn sound(loud: bool, ms: u16) -> Value {
    let tones = talkwire_core::audio::dtmf::tones("159D", 24_000).expect("digits");
    let count = usize::from(ms) * 24;
    let tone = tones.iter().copied().cycle().take(count);
    let samples: Vec<i16> = tone.map(|s| if loud { s } else { 0 }).collect();
    crate::common::append(&samples)
}

/// The n-th of them, round and round; an empty name where there are none.
fn nth(names: &[String], n: usize) -> String {
    let name = names.get(n % names.len().max(1));
    name.cloned().unwrap_or_default()
}

/// The frame of an act; none for waiting.
fn frame(act: &Act, judge: &Judge) -> Option<String> {
    let put = |item: Value| json!({"type": "conversation.item.create", "item": item});
    let event = match act {
        Act::Wait(_) => return None,
        Act::Raw(text) => return Some(text.clone()),
        Act::Send(event) => event.clone(),
        Act::Audio(loud, ms) => sound(*loud, *ms),
        Act::About(kind, n) => {
            let mut event = json!({"type": kind, "item_id": nth(&judge.items, *n)});
            if *kind == "conversation.item.truncate" {
                event["content_index"] = json!(0);
                event["audio_end_ms"] = json!(n * 10 + 1);
            }
            event
        }
        Act::Output(n) => put(json!({"type": "function_call_output", "output": "{}",
            "call_id": nth(&judge.calls, *n)})),
        Act::Approve(n, approve) => put(json!({"type": "mcp_approval_response",
            "approve": approve, "approval_request_id": nth(&judge.approvals, *n)})),
        Act::Aside(n) => {
            let input = json!([{"type": "item_reference", "id": nth(&judge.items, *n)}]);
            json!({"type": "response.create", "response": {"conversation": "none",
                "input": input, "metadata": {"n": n.to_string()}}})
        }
        Act::After(n) => {
            let part = json!({"type": "input_text", "text": "in between"});
            let item = json!({"type": "message", "role": "user", "content": [part]});
            json!({"type": "conversation.item.create", "item": item,
                "previous_item_id": nth(&judge.items, *n)})
        }
    };
    Some(event.to_string())
}

/// Returns the names of all events that came.
fn walk(profile: &str, pacing: Pacing, acts: &[Act]) -> HashSet<String> {
    let mut world = World::new(profile, pacing, 3);
    for act in acts {
        match (act, frame(act, &world.judge)) {
            (Act::Wait(ms), _) => world.wait(u64::from(*ms)),
            (_, frame) => world.step(PeerInput::Frame(frame.expect("not waiting"))),
        }
    }
    // Without turns the agent speaks no more by itself.
    let session = json!({"type": "realtime", "audio": {"input": {"turn_detection": null}}});
    let last = json!({"type": "session.update", "session": session});
    world.step(PeerInput::Frame(last.to_string()));
    world.wait(60_000);
    world.judge.judge_rest();
    world.judge.names
}

/// So many cases, ten times as many in the deep tier of the tests.
fn cases(quick: u32) -> u32 {
    let is_deep = std::env::var_os("TALKWIRE_DEEP").is_some_and(|deep| deep == "1");
    quick * if is_deep { 10 } else { 1 }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(25),
        // A failing walk is printed whole; nothing is to be written beside the sources.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    // 25 walks (250 in the deep tier) of about 45 events in two dialects and two paces: more than 2,000 events.
    #[test]
    fn whatever_a_client_does_the_invariants_hold(
        acts in prop::collection::vec(act(), 20..70),
        realtime in any::<bool>(),
    ) {
        let pacing = if realtime { Pacing::Realtime } else { Pacing::Instant };
        for profile in ["yandex", "openai"] {
            walk(profile, pacing, &acts);
        }
    }
}

#[test]
fn the_walks_meet_every_kind_of_event() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut names = HashSet::new();
    for _ in 0..40 {
        let acts = prop::collection::vec(act(), 80).new_tree(&mut runner);
        let acts = acts.expect("a walk").current();
        names.extend(walk("openai", Pacing::Instant, &acts));
    }
    for name in [
        "conversation.item.deleted",
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.input_audio_transcription.failed",
        "conversation.item.retrieved",
        "conversation.item.truncated",
        "input_audio_buffer.cleared",
        "input_audio_buffer.timeout_triggered",
        "mcp_list_tools.completed",
        "rate_limits.updated",
        "response.function_call_arguments.done",
        "response.mcp_call.completed",
        "response.output_audio.delta",
        "response.output_text.delta",
    ] {
        assert!(names.contains(name), "{name} is in none of {names:?}");
    }
}

#[test]
fn the_same_seed_and_the_same_inputs_give_the_same_bytes() {
    let run = || {
        let config = Config::new().profile("openai").seed(5);
        let plan = Plan::new(&config).expect("a plan");
        let now = Instant::now();
        let clock = Clock { at: now, unix_s: 7 };
        let mut peer = plan.peer(now, clock, Visit::default(), 0);
        let mut effects = PeerEffects::new();
        peer.handle(now, PeerInput::Open, &mut effects);
        let create = json!({"type": "response.create"}).to_string();
        peer.handle(now, PeerInput::Frame(create), &mut effects);
        for ms in 0..50 {
            let at = now + Duration::from_millis(ms);
            peer.handle(at, PeerInput::Timeout, &mut effects);
        }
        effects.drain().collect::<Vec<_>>()
    };
    let first = run();
    assert!(first.len() > 10);
    assert_eq!(first, run());
}

#[test]
fn a_session_expires_in_virtual_time() {
    let mut world = World::new("yandex", Pacing::Realtime, 1);
    world.wait(299_000);
    assert!(!world.judge.ended);
    world.wait(1_000);
    assert!(world.judge.ended && world.peer.has_ended());
    assert_eq!(world.peer.deadline(), None);
}

#[test]
fn what_is_left_of_a_quota_falls_with_each_answer_and_returns_with_time() {
    let plan = Plan::new(&Config::new().profile("openai")).expect("a plan");
    let mut now = Instant::now();
    let clock = Clock { at: now, unix_s: 7 };
    let mut peer = plan.peer(now, clock, Visit::default(), 0);
    let mut effects = PeerEffects::new();
    peer.handle(now, PeerInput::Open, &mut effects);
    let mut told: Vec<(u64, u64, u64)> = Vec::new();
    for wait_s in [0, 1, 60] {
        now += Duration::from_secs(wait_s);
        let create = json!({"type": "response.create"}).to_string();
        peer.handle(now, PeerInput::Frame(create), &mut effects);
        loop {
            for effect in effects.drain() {
                let PeerEffect::Send(frame) = effect else {
                    panic!("{effect:?}")
                };
                let event: Value = serde_json::from_str(&frame).expect("JSON");
                let left = |at: usize| event["rate_limits"][at]["remaining"].as_u64();
                if let (Some(requests), Some(tokens)) = (left(0), left(1)) {
                    told.push((wait_s, requests, tokens));
                }
            }
            if told.last().is_some_and(|(at, ..)| *at == wait_s) {
                break;
            }
            now = now.max(peer.deadline().expect("it lives"));
            peer.handle(now, PeerInput::Timeout, &mut effects);
        }
    }
    let requests: Vec<_> = told.iter().map(|(_, requests, _)| *requests).collect();
    assert_eq!(requests, [999, 998, 999]);
    assert!(told[0].2 < 1_000_000 && told[1].2 < told[0].2 && told[2].2 > told[1].2);
}
