//! Every flow on both stages, in each profile it is meant for.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use talkwire_tests::chaos::replay;
use talkwire_tests::flow::{Flow, Flows, Options, Stage, Summary, run};
use talkwire_tests::stage::{in_simulator, over_websocket, root};

/// Flows that only virtual time can play: minutes of waiting each.
const SIM_ONLY: &[&str] = &["14b", "20i"];

/// Tells the numbers to whoever started the tests: the output of a test that passes is captured.
fn note(stage: &str, summary: &Summary) {
    let Some(file) = std::env::var_os("TALKWIRE_NOTES_FILE") else {
        return;
    };
    let text = summary.to_string();
    let numbers = text.lines().last().unwrap_or_default();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .expect("the file of notes can be written");
    file.write_all(format!("{stage}: {numbers}\n").as_bytes())
        .expect("the file of notes can be written");
}

fn play_all(stage: &str, make: impl Fn(&Flow, &str) -> Box<dyn Stage> + Sync, skip: &[&str]) {
    let flows = Flows::committed().expect("the committed flows parse");
    let profiles = flows.common.profiles.iter();
    let wanted: Vec<_> = profiles
        .flat_map(|profile| flows.of_profile(profile).map(move |flow| (flow, profile)))
        .filter(|(flow, _)| !skip.contains(&flow.id.as_str()))
        .filter(|(flow, _)| {
            std::env::var("FLOW").is_ok_and(|id| id == flow.id) || std::env::var("FLOW").is_err()
        })
        .collect();
    let (summary, next) = (Mutex::new(Summary::default()), AtomicUsize::new(0));
    // Most of the time of a real flow is waiting for speech, so many play at once.
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some((flow, profile)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    let mut played = make(flow, profile);
                    let report = run(
                        flow,
                        profile,
                        &flows.common,
                        &mut *played,
                        Options::default(),
                    );
                    drop(played);
                    println!(
                        "{} ({profile}) took {:.1} s",
                        flow.id,
                        started.elapsed().as_secs_f64()
                    );
                    summary.lock().expect("no panic under it").add(report);
                }
            });
        }
    });
    let summary = summary.into_inner().expect("no panic under it");
    note(stage, &summary);
    println!("{summary}");
    assert!(summary.is_ok(), "{summary}");
}

/// A flow in a file of its own, as the random calls hand them out.
fn play_file(path: &str) {
    let common = Flows::committed()
        .expect("the committed flows parse")
        .common;
    // Tests run in the directory of their package.
    let text = std::fs::read_to_string(root().join(path)).expect("the file that FLOW names");
    let broken = replay(&text, &common, None);
    assert!(broken.is_none(), "{path}: {}", broken.unwrap_or_default());
}

#[test]
fn all_flows_pass_in_the_simulator() {
    if let Some(path) = std::env::var("FLOW").ok().filter(|id| id.contains('/')) {
        return play_file(&path);
    }
    play_all("simulator", in_simulator, &[]);
}

#[test]
fn all_flows_pass_over_a_real_websocket() {
    play_all("websocket", over_websocket, SIM_ONLY);
}
