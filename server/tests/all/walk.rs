//! Random walks of a client against the machine, in virtual time: the six invariants of the
//! protocol hold whatever the client does.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};
use talkwire_server::{
    Clock, Config, Pacing, Peer, PeerEffect, PeerEffects, PeerInput, Plan, Visit,
};

const SCRIPT: &str = r#"
ears: ["one", "two", "three"]
turns:
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

/// Checks every event as it comes.
#[derive(Default)]
struct Judge {
    seen: HashSet<String>,
    first: bool,
    running: HashMap<String, Response>,
    over: HashSet<String>,
    /// Items that clients may name.
    items: Vec<String>,
    ended: bool,
}

#[derive(Default)]
struct Response {
    is_default: bool,
    open_items: HashMap<String, Item>,
}

#[derive(Default)]
struct Item {
    text: String,
    arguments: String,
    audio: bool,
    part_is_open: bool,
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
            judge: Judge::default(),
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

impl Judge {
    fn judge(&mut self, frame: &str) {
        assert!(!self.ended, "after the end: {frame}");
        let event: Value = serde_json::from_str(frame).expect("JSON");
        let kind = event["type"].as_str().expect("a type").to_owned();
        let event_id = event["event_id"].as_str().expect("an event_id").to_owned();
        assert!(
            self.seen.insert(event_id),
            "the event_id comes twice: {frame}"
        );
        assert_eq!(kind == "session.created", !self.first, "{frame}");
        self.first = true;
        if let Some(id) = event["item"]["id"].as_str() {
            self.items.push(id.to_owned());
        }
        match kind.as_str() {
            "response.created" => self.created(&event["response"]),
            "response.done" => self.done(&event["response"]),
            _ => {
                if let Some(id) = event["response_id"].as_str() {
                    let response = self.running.get_mut(id);
                    response
                        .unwrap_or_else(|| panic!("not running: {frame}"))
                        .take(&kind, &event);
                }
            }
        }
    }

    fn created(&mut self, response: &Value) {
        let id = response["id"].as_str().expect("an id").to_owned();
        let is_default = !response["conversation_id"].is_null();
        let default_runs = self.running.values().any(|r| r.is_default);
        assert!(
            !(is_default && default_runs),
            "two responses in the conversation"
        );
        let new = Response {
            is_default,
            ..Response::default()
        };
        assert!(self.running.insert(id, new).is_none());
    }

    fn done(&mut self, response: &Value) {
        let id = response["id"].as_str().expect("an id").to_owned();
        let running = self.running.remove(&id).expect("it ran");
        assert!(running.open_items.is_empty(), "an item stays open");
        assert!(self.over.insert(id), "it ends twice");
        assert!(response["usage"]["total_tokens"].as_u64() > Some(0));
        let is_cut = response["status"] != "completed";
        for item in response["output"].as_array().expect("an array") {
            assert!(is_cut || item["status"] == "completed", "{item}");
        }
    }
}

impl Response {
    fn take(&mut self, kind: &str, event: &Value) {
        if kind == "response.output_item.added" {
            let id = event["item"]["id"].as_str().expect("an id").to_owned();
            assert!(self.open_items.insert(id, Item::default()).is_none());
            return;
        }
        if kind == "response.output_item.done" {
            let id = event["item"]["id"].as_str().expect("an id");
            let item = self.open_items.remove(id).expect("it was open");
            assert!(!item.part_is_open && !item.audio, "a part stays open");
            return;
        }
        let id = event["item_id"].as_str().expect("an item_id");
        let item = self.open_items.get_mut(id).expect("an open item");
        item.take(kind, event);
    }
}

impl Item {
    fn take(&mut self, kind: &str, event: &Value) {
        let text = |key: &str| event[key].as_str().unwrap_or_default();
        match kind {
            "response.content_part.added" => self.part_is_open = true,
            "response.content_part.done" => {
                let part = &event["part"];
                let whole = part["text"]
                    .as_str()
                    .or_else(|| part["transcript"].as_str());
                assert_eq!(whole, Some(self.text.as_str()));
                self.part_is_open = false;
            }
            "response.output_text.delta" | "response.output_audio_transcript.delta" => {
                assert!(self.part_is_open);
                self.text.push_str(text("delta"));
            }
            "response.output_text.done" => assert_eq!(text("text"), self.text),
            "response.output_audio_transcript.done" => assert_eq!(text("transcript"), self.text),
            "response.output_audio.delta" => {
                assert!(self.part_is_open);
                self.audio = true;
                let bytes = talkwire_core::wire::audio::decode(text("delta")).expect("base64");
                assert!(
                    !bytes.is_empty() && bytes.len().is_multiple_of(2),
                    "half a sample"
                );
            }
            "response.output_audio.done" => self.audio = false,
            "response.function_call_arguments.delta" => self.arguments.push_str(text("delta")),
            "response.function_call_arguments.done" => {
                assert_eq!(text("arguments"), self.arguments);
            }
            other => panic!("{other}"),
        }
    }
}

/// What a client does next.
#[derive(Clone, Debug)]
enum Act {
    Send(Value),
    /// About the n-th item that was told of.
    About(&'static str, usize),
    Audio(bool, u16),
    Wait(u16),
    Raw(String),
}

fn act() -> impl Strategy<Value = Act> {
    let create = |response: Value| json!({"type": "response.create", "response": response});
    let content = json!([{"type": "input_text", "text": "some words"}]);
    let item = json!({"type": "message", "role": "user", "content": content});
    let update = |session: Value| json!({"type": "session.update", "session": session});
    let detection = |value: Value| update(json!({"audio": {"input": {"turn_detection": value}}}));
    let events = vec![
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

fn walk(profile: &str, pacing: Pacing, acts: &[Act]) {
    let mut world = World::new(profile, pacing, 3);
    for act in acts {
        let frame = match act {
            Act::Send(event) => event.to_string(),
            Act::About(kind, n) => {
                let items = &world.judge.items;
                let id = items
                    .get(n % items.len().max(1))
                    .cloned()
                    .unwrap_or_default();
                json!({"type": kind, "item_id": id, "content_index": 0, "audio_end_ms": n * 10 + 1})
                    .to_string()
            }
            Act::Audio(loud, ms) => sound(*loud, *ms).to_string(),
            Act::Wait(ms) => {
                world.wait(u64::from(*ms));
                continue;
            }
            Act::Raw(text) => text.clone(),
        };
        world.step(PeerInput::Frame(frame));
    }
    world.wait(60_000);
    assert!(world.judge.running.is_empty(), "a response never ends");
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
    fn whatever_a_client_does_the_six_invariants_hold(
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
