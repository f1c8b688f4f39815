//! Random calls with seeds, and the proof that one that fails is handed out as a flow.

use std::path::{Path, PathBuf};

use serde_json::Value;
use talkwire_tests::chaos::{play, replay};
use talkwire_tests::flow::{Common, Flows};
use talkwire_tests::scaled;

fn common() -> Common {
    Flows::committed()
        .expect("the committed flows parse")
        .common
}

/// Where the flow of a seed is written.
fn place(seed: u64) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}.flow"))
}

/// Seeds are dealt out, so that every part has as many of each kind.
const PARTS: u64 = 4;

fn seeds(part: u64) {
    let (common, all) = (common(), u64::from(scaled(1_000)));
    let mut broken = Vec::new();
    for seed in (part..all).step_by(PARTS as usize) {
        if let Err(what) = play(seed, &common, None) {
            let path = place(seed);
            std::fs::write(&path, &what.flow).expect("the directory of tests");
            let path = path.display();
            println!("seed {seed}: {}\nFLOW={path}\n{}", what.reason, what.flow);
            broken.push(seed);
        }
    }
    assert!(broken.is_empty(), "seeds {broken:?}");
}

#[test]
fn no_call_breaks_a_rule_whatever_happens_part_0() {
    seeds(0);
}

#[test]
fn no_call_breaks_a_rule_whatever_happens_part_1() {
    seeds(1);
}

#[test]
fn no_call_breaks_a_rule_whatever_happens_part_2() {
    seeds(2);
}

#[test]
fn no_call_breaks_a_rule_whatever_happens_part_3() {
    seeds(3);
}

/// A rule that calls break all the time.
fn nobody_truncates(frame: &Value) -> Option<&'static str> {
    (frame["type"] == "conversation.item.truncate").then_some("nobody truncates")
}

#[test]
fn a_call_that_breaks_a_rule_is_handed_out_as_a_flow_that_breaks_it_again() {
    let common = common();
    let broken = (0..100).find_map(|seed| play(seed, &common, Some(nobody_truncates)).err());
    let broken = broken.expect("somebody truncates in a hundred calls");
    assert!(
        broken.reason.contains("nobody truncates"),
        "{}",
        broken.reason
    );
    let again = replay(&broken.flow, &common, Some(nobody_truncates));
    let again = again.expect("the flow fails");
    assert!(
        again.contains("nobody truncates"),
        "{again}\n{}",
        broken.flow
    );
    let steps = broken
        .flow
        .lines()
        .filter(|line| line.starts_with(['%', '>']))
        .count();
    assert!(steps <= 12, "it is short:\n{}", broken.flow);
}

#[test]
fn the_same_seed_is_the_same_call() {
    let common = common();
    let flow = |seed| play(seed, &common, Some(|_| Some("nothing is sent"))).err();
    let one = flow(3).expect("something is sent");
    let two = flow(3).expect("something is sent");
    assert_eq!((one.flow, one.reason), (two.flow, two.reason));
}
