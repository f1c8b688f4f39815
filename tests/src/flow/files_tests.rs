//! The committed files.

use std::collections::BTreeSet;

use super::ast::{Action, Role, Step};
use super::expand::expand;
use super::{Flows, parse_flows};

fn flows() -> Flows {
    Flows::committed().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_committed_flow_parses() {
    assert!(!flows().flows.is_empty());
}

#[test]
fn every_scenario_of_the_reference_is_there_with_its_variants() {
    let flows = flows();
    let ids = flows
        .flows
        .iter()
        .map(|flow| flow.id.as_str())
        .collect::<BTreeSet<_>>();
    let lettered = "1 1b 2 3 4 4b 4c 5 5b 5c 5d 6 6b 6c 6d 6e 7 7b 7c 8 9 9b 9c 10 10b 11 12 \
                    13a.1 13a.2 13b 13c 13d 13e 14 14b 14c.1 14c.2 14c.3 14c.4 15 16 17 18 19 \
                    20a 20b 20c 20d 20e 20f 20g 20h 20i 20j 20k 20l 20m 20n 21 21b";
    for id in lettered.split_whitespace() {
        assert!(ids.contains(id), "flow {id} is missing");
    }
}

#[test]
fn the_flows_that_must_pass_now_are_not_pending_as_a_whole() {
    let now = [
        "1", "2", "3", "4", "5", "6", "8", "10", "11", "12", "13", "17",
    ];
    for flow in flows().flows {
        let number = flow.id.trim_end_matches(|c: char| !c.is_ascii_digit());
        let number = number
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap_or_default();
        if now.contains(&number) && flow.id != "6e" {
            assert_eq!(flow.pending, None, "flow {}", flow.id);
        }
    }
}

#[test]
fn printing_and_reading_again_gives_the_same_flow() {
    let flows = flows();
    for flow in &flows.flows {
        let text = flow.to_string();
        let again = parse_flows("printed", &text, &flows.common);
        let again = again.unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(again.len(), 1, "{text}");
        assert_eq!(again[0].steps, flow.steps, "{text}");
        assert_eq!(again[0].server, flow.server, "{text}");
        assert_eq!(again[0].to_string(), text);
    }
}

#[test]
fn every_profile_of_every_flow_has_something_to_check() {
    let flows = flows();
    for flow in &flows.flows {
        for profile in &flow.profiles {
            let cues = expand(flow, profile, &flows.common);
            assert!(
                cues.iter().any(|cue| cue.checks()),
                "flow {} as {profile}",
                flow.id
            );
        }
    }
}

#[test]
fn every_profile_and_capability_of_the_lists_is_used() {
    let flows = flows();
    let mut used = BTreeSet::new();
    for flow in &flows.flows {
        used.extend(flow.pending.clone());
        used.extend(flow.profiles.clone());
        used.extend(pending(&flow.steps));
    }
    for name in flows
        .common
        .profiles
        .iter()
        .chain(&flows.common.capabilities)
    {
        assert!(used.contains(name), "{name} is listed and not used");
    }
}

fn pending(steps: &[Step]) -> Vec<String> {
    let mut all = Vec::new();
    for step in steps {
        all.extend(step.pending.clone());
        if let Action::Together(lines) = &step.action {
            all.extend(pending(lines));
        }
    }
    all
}

#[test]
fn both_roles_are_transcribed() {
    let flows = flows();
    for role in [Role::Session, Role::ClientUnderTest] {
        assert!(flows.flows.iter().any(|flow| flow.role == role), "{role:?}");
    }
}
