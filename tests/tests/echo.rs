//! A telephone that sends the agent back: what its own voice does to a call, without a gate and with
//! one.

use serde_json::{Value, json};
use talkwire_core::call::{CallOptions, EchoGate};
use talkwire_tests::flow::{Flows, OpenSpec, Role, Seen, Sound, Stage, parse_flows};
use talkwire_tests::stage::caller::{Echo, Habits};
use talkwire_tests::stage::sim::Sim;

/// The agent says what it heard, so that its echo is speech.
const FLOW: &str = r#"
flow 1: A call
profiles: openai
call: {}
config: {brain:"loop", pacing:"realtime"}

% wait 1ms
"#;

/// A customer who says something, listens for two seconds, and speaks again, with an echo that is
/// 80 ms late and 12 dB weaker. The names of what happened while they listened and after that.
fn call(gate: Option<EchoGate>) -> [Vec<String>; 2] {
    let common = Flows::committed().expect("the flows parse").common;
    let flow = parse_flows("call", FLOW.trim_start(), &common).expect("it parses");
    let options = CallOptions {
        echo_gate: gate,
        ..CallOptions::default()
    };
    let echo = Some(Echo {
        frames: 4,
        divisor: 4,
    });
    let sim = Sim::new(&flow[0], "openai").expect("a server");
    let mut sim = sim.with_habits(Habits { options, echo });
    let session = json!({"output_modalities": ["audio"], "audio": {
        "input": {"format": {"type": "audio/pcm", "rate": 24_000},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 400}},
        "output": {"format": {"type": "audio/pcm", "rate": 24_000}}}});
    let spec = OpenSpec {
        profile: "openai".to_owned(),
        role: Role::Session,
        model: None,
        call: Some(json!({"session": session, "barge_in": {"policy": "staged"}})),
        options: None,
        key: None,
        headers: Vec::new(),
        query: Vec::new(),
    };
    sim.open(&spec).expect("it opens");
    let mut say = |sound, ms| sim.append_audio(sound, ms).expect("it takes sound");
    say(Sound::Silence, 300);
    say(Sound::Speech, 3_000);
    say(Sound::Silence, 600);
    names(&mut sim);
    sim.append_audio(Sound::Silence, 2_000).expect("sound");
    let listened = names(&mut sim);
    sim.append_audio(Sound::Speech, 1_000).expect("sound");
    [listened, names(&mut sim)]
}

/// What was seen since the last call.
fn names(sim: &mut Sim) -> Vec<String> {
    let name = |seen| match seen {
        Seen::Event(event) => Value::as_str(&event["type"]).unwrap_or_default().to_owned(),
        other => panic!("the session ended: {other:?}"),
    };
    std::iter::from_fn(|| sim.next(0)).map(name).collect()
}

fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|one| one == name)
}

const STARTED: &str = "input_audio_buffer.speech_started";
const HELD: &str = "barge_in.held";

#[test]
fn without_a_gate_the_agent_interrupts_itself() {
    let [listened, _] = call(None);
    assert!(
        has(&listened, STARTED) && has(&listened, HELD),
        "{listened:?}"
    );
}

#[test]
fn with_a_gate_only_the_customer_interrupts() {
    for mute in [true, false] {
        let [listened, spoke] = call(Some(EchoGate {
            erl_db: 9.0,
            mute,
            ..EchoGate::default()
        }));
        assert!(
            has(&listened, "response.output_audio.delta"),
            "{listened:?}"
        );
        assert_eq!(has(&listened, STARTED), !mute, "what the server hears");
        assert!(!has(&listened, HELD), "{listened:?}");
        assert!(
            has(&spoke, HELD) && has(&spoke, "barge_in.confirmed"),
            "{spoke:?}"
        );
    }
}
