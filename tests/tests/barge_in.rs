//! A long call that is interrupted again and again: what the host pulled, what the ledger says and
//! what the server keeps are the same.

use serde_json::{Value, json};
use talkwire_tests::flow::{Flow, Flows, OpenSpec, Role, Seen, Sound, Stage, parse_flows};
use talkwire_tests::scaled;
use talkwire_tests::stage::sim::Sim;

/// An answer of several seconds, which nobody hears to its end.
const FLOW: &str = r#"
flow 1: A call
profiles: PROFILE
call: {}
server:
  turns:
    - when: {user: any}
      say: "One two three four five six seven eight nine ten eleven twelve thirteen fourteen."

% wait 1ms
"#;

/// As many as fit into the shortest session.
const TURNS: u32 = 40;

/// A small generator, so that a failing call can be had again.
struct Seeded(u64);

impl Seeded {
    fn upto(&mut self, most: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % u64::from(most)) as u32
    }
}

struct Call {
    sim: Sim,
    events: Vec<Value>,
}

fn flow(profile: &str) -> Flow {
    let common = Flows::committed()
        .expect("the committed flows parse")
        .common;
    let text = FLOW.trim_start().replace("PROFILE", profile);
    parse_flows("call", &text, &common)
        .expect("it parses")
        .remove(0)
}

impl Call {
    fn open(profile: &str) -> Self {
        let flow = flow(profile);
        let mut sim = Sim::new(&flow, profile).expect("a server");
        let session = json!({"output_modalities": ["audio"], "audio": {
            "input": {"format": {"type": "audio/pcm", "rate": 24_000},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 400}},
            "output": {"format": {"type": "audio/pcm", "rate": 24_000}}}});
        let spec = OpenSpec {
            profile: profile.to_owned(),
            role: Role::Session,
            model: None,
            call: Some(json!({"session": session, "barge_in": {"policy": "staged"}})),
            options: None,
            key: None,
            headers: Vec::new(),
            query: Vec::new(),
        };
        sim.open(&spec).expect("it opens");
        let mut call = Self {
            sim,
            events: Vec::new(),
        };
        call.until("session.updated", 2_000);
        call.sim
            .append_audio(Sound::Silence, 300)
            .expect("it takes sound");
        call
    }

    /// Everything up to the next event of that name, which is returned.
    fn until(&mut self, name: &str, within_ms: u32) -> Value {
        while let Some(seen) = self.sim.next(within_ms) {
            let Seen::Event(event) = seen else {
                panic!("the session ended: {seen:?}")
            };
            self.events.push(event.clone());
            if event["type"] == name {
                return event;
            }
        }
        let names: Vec<_> = self.events.iter().map(|e| e["type"].clone()).collect();
        panic!("no {name} after {names:?}")
    }

    fn say(&mut self, sound: Sound, ms: u32) {
        self.sim.append_audio(sound, ms).expect("it takes sound");
    }

    /// The milliseconds of audio that the server keeps of an item.
    fn kept_ms(&mut self, item_id: &str) -> u64 {
        let ask = json!({"type": "conversation.item.retrieve", "item_id": item_id});
        self.sim.send(&ask.to_string()).expect("it is sent");
        let item = self.until("conversation.item.retrieved", 2_000);
        let audio = item["item"]["content"][0]["audio"]
            .as_str()
            .expect("the item has audio");
        audio.len() as u64 / 4 * 3 / 48
    }
}

fn interrupted_again_and_again(profile: &str, seed: u64, turns: u32) {
    let mut random = Seeded(seed);
    let mut call = Call::open(profile);
    call.say(Sound::Speech, 1_000);
    let (mut truncated, mut heard_ms) = (0, 0);
    for turn in 0..turns {
        call.say(Sound::Silence, 600);
        call.until("response.output_audio.delta", 5_000);
        call.say(Sound::Silence, random.upto(1_500) / 20 * 20 + 20);
        call.say(Sound::Speech, 1_000);
        let cut = call.until("playout.cut", 2_000);
        let told = |name: &str| cut[name].as_u64();
        let (heard, received) = (
            told("heard_ms").expect("told"),
            told("received_ms").expect("told"),
        );
        assert!(heard <= received, "turn {turn}: {cut}");
        heard_ms += heard;
        let item_id = cut["item_id"].as_str().expect("an item").to_owned();
        if heard == 0 {
            assert_eq!(cut["truncated_ms"], Value::Null);
            call.until("conversation.item.deleted", 2_000);
            continue;
        }
        let server = call.until("conversation.item.truncated", 2_000);
        assert_eq!(server["audio_end_ms"], json!(heard), "turn {turn}");
        let kept = call.kept_ms(&item_id);
        assert!(
            kept.abs_diff(heard) <= 1,
            "turn {turn}: {kept} ms kept, {heard} ms heard"
        );
        truncated += 1;
    }
    // A millisecond is rounded off for each answer.
    let pulled_ms = call.sim.pulled_ms();
    assert!(
        heard_ms <= pulled_ms && pulled_ms <= heard_ms + u64::from(turns),
        "the host pulled {pulled_ms} ms of sound, the ledger says {heard_ms} ms (seed {seed})"
    );
    assert!(
        truncated > turns / 2,
        "only {truncated} answers were heard in part"
    );
    recorded_as_heard(&mut call.sim);
}

/// A cut answer is cut in the recording where it was cut for the listener, to the sample.
fn recorded_as_heard(sim: &mut Sim) {
    let call = sim.recorded();
    let sounds =
        |track: &[i16]| -> Vec<i16> { track.iter().copied().filter(|s| *s != 0).collect() };
    assert!(!sounds(&call.heard).is_empty());
    assert!(
        call.right[..call.heard.len()] == call.heard[..],
        "the agent"
    );
    assert_eq!(call.left.len(), call.right.len());
    // Between its words nothing was pushed, which is silence in the file.
    assert!(sounds(&call.left) == sounds(&call.said), "the customer");
}

#[test]
fn after_every_truncation_host_ledger_and_server_agree_on_what_was_heard() {
    for profile in ["yandex", "openai"] {
        for seed in 7..7 + u64::from(scaled(1)) {
            interrupted_again_and_again(profile, seed, TURNS);
        }
    }
}
