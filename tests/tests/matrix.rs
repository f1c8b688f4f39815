//! Each golden flow with its link killed, reset and made deaf and dumb at each of its steps.

use std::collections::BTreeMap;

use talkwire_tests::flow::Flows;
use talkwire_tests::matrix::{AGAIN, Outcome, cases};
use talkwire_tests::scaled;

/// Plays every second case.
fn play(part: usize) {
    let flows = Flows::committed().expect("the committed flows parse");
    let only = std::env::var("FLOW").ok();
    let mut outcomes: BTreeMap<Outcome, usize> = BTreeMap::new();
    let mut broken = Vec::new();
    let again = AGAIN.into_iter().filter(|_| scaled(1) > 1);
    let times = std::iter::once(None).chain(again);
    let all: Vec<_> = times.flat_map(|again_ms| cases(&flows, again_ms)).collect();
    for case in all.iter().skip(part).step_by(2) {
        if only.as_ref().is_some_and(|id| *id != case.flow.id) {
            continue;
        }
        match case.play(&flows.common) {
            Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
            Err(reason) => broken.push(format!("{case}: {reason}")),
        }
    }
    println!("{outcomes:?}");
    assert!(
        broken.is_empty(),
        "{}\n{} broken",
        broken.join("\n"),
        broken.len()
    );
    let recovered = outcomes.get(&Outcome::Recovered).copied();
    let is_most = recovered.is_some_and(|count| count > 2_000);
    assert!(is_most || only.is_some(), "{outcomes:?}");
}

#[test]
fn a_link_that_breaks_at_any_step_of_any_flow_is_recovered_or_a_typed_end_even_cases() {
    play(0);
}

#[test]
fn a_link_that_breaks_at_any_step_of_any_flow_is_recovered_or_a_typed_end_odd_cases() {
    play(1);
}
