//! What faults do to time in the simulator.

use serde_json::json;

use super::*;
use crate::flow::{parse_common, parse_flows};

/// A session that is open, with a server that has these faults.
fn open(faults: &str) -> Sim {
    let text =
        format!("flow 1: x\nprofiles: openai\nserver:\n  faults: [{faults}]\n\n% wait 1ms\n");
    let common = parse_common("common.flow", "profiles: openai\n").expect("parses");
    let flows = parse_flows("a.flow", &text, &common).expect("parses");
    let mut sim = Sim::new(&flows[0], "openai").expect("a server");
    let spec = OpenSpec {
        call: None,
        options: None,
        profile: "openai".to_owned(),
        role: Role::Session,
        model: None,
        key: None,
        headers: Vec::new(),
        query: Vec::new(),
    };
    sim.open(&spec).expect("opens");
    until(&mut sim, "session.created");
    sim
}

/// Milliseconds until the application sees this event.
fn until(sim: &mut Sim, name: &str) -> u128 {
    let from = sim.now;
    loop {
        match sim.next(10_000) {
            Some(Seen::Event(event)) if event["type"] == name => break,
            Some(_) => {}
            None => panic!("no {name}"),
        }
    }
    (sim.now - from).as_millis()
}

/// Milliseconds until the server answers something that is always wrong.
fn answer(sim: &mut Sim) -> u128 {
    let event = json!({"type": "conversation.item.retrieve", "item_id": "item_none"});
    sim.send(&event.to_string()).expect("takes it");
    until(sim, "error")
}

fn clear(sim: &mut Sim) {
    let event = json!({"type": "input_audio_buffer.clear"});
    sim.send(&event.to_string()).expect("takes it");
}

const ROUND_TRIP_MS: u128 = 2 * LATENCY.as_millis();

#[test]
fn what_is_held_arrives_later_and_nothing_overtakes_it() {
    let mut sim = open("{when: {received: input_audio_buffer.clear}, do: {delay: 400}}");
    clear(&mut sim);
    assert_eq!(answer(&mut sim), 400 + ROUND_TRIP_MS);
    assert_eq!(answer(&mut sim), ROUND_TRIP_MS);
}

#[test]
fn a_server_that_reads_slowly_waits_before_each_frame() {
    let mut sim = open("{when: {received: input_audio_buffer.clear}, do: {slow_read: 300}}");
    clear(&mut sim);
    let at_once = until(&mut sim, "input_audio_buffer.cleared");
    assert_eq!(at_once, ROUND_TRIP_MS);
    clear(&mut sim);
    clear(&mut sim);
    let waits = [(); 2].map(|()| until(&mut sim, "input_audio_buffer.cleared"));
    assert_eq!(waits, [300, 300]);
}
