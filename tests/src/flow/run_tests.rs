//! The runner and the matcher against a peer that only plays back.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::stage::{End, OpenSpec, Seen, ServerAct, Sound, Stage, StageError};
use super::{Options, Summary, Verdict, parse_common, parse_flows, run};

/// Plays back one batch of events for each event the application sends.
#[derive(Default)]
struct Playback {
    batches: VecDeque<Vec<Value>>,
    ready: VecDeque<Seen>,
    sent: Vec<String>,
    refusal: Option<End>,
}

impl Stage for Playback {
    fn open(&mut self, _: &OpenSpec) -> Result<(), End> {
        if let Some(end) = self.refusal.take() {
            return Err(end);
        }
        self.release();
        Ok(())
    }

    fn send(&mut self, json: &str) -> Result<(), StageError> {
        self.sent.push(json.to_owned());
        self.release();
        Ok(())
    }

    fn append_audio(&mut self, _: Sound, _: u32) -> Result<(), StageError> {
        self.release();
        Ok(())
    }

    fn next(&mut self, _: u32) -> Option<Seen> {
        self.ready.pop_front()
    }

    fn wait(&mut self, _: u32) {}

    fn serve(&mut self, act: ServerAct) -> Result<(), StageError> {
        self.sent.push(format!("{act:?}"));
        self.release();
        Ok(())
    }

    fn close(&mut self) {
        let end = End {
            why: "closed".into(),
            who: "app".into(),
            expected: true,
            ..End::default()
        };
        self.ready.push_back(Seen::End(end));
    }
}

impl Playback {
    fn release(&mut self) {
        let batch = self.batches.pop_front().unwrap_or_default();
        self.ready
            .extend(batch.into_iter().map(|event| match event.get("sent") {
                Some(_) => Seen::Sent(event),
                None => Seen::Event(event),
            }));
    }
}

fn ev(name: &str, mut body: Value) -> Value {
    body["type"] = name.into();
    body
}

fn delta(text: &str) -> Value {
    ev("response.output_text.delta", json!({"delta": text}))
}

fn done(text: &str) -> Value {
    ev("response.output_text.done", json!({"text": text}))
}

fn play_as(profile: &str, head: &str, steps: &str, batches: Vec<Vec<Value>>) -> super::Report {
    let common = "profiles: p q\ncapabilities: later\nmacro D($t)\n<* response.output_text.delta \
                  {delta:$d+}\n< response.output_text.done {text:$t}\n! $d == $t\nend\n";
    let common = parse_common("common.flow", common).unwrap();
    let text = format!("flow 1: x\nprofiles: p q\nprologue: none\n{head}% open\n{steps}\n");
    let flow = parse_flows("a.flow", &text, &common).unwrap().remove(0);
    let mut stage = Playback {
        batches: batches.into(),
        ..Playback::default()
    };
    run(&flow, profile, &common, &mut stage, Options::default())
}

fn play(steps: &str, events: Vec<Value>) -> Verdict {
    play_as("p", "", steps, vec![events]).verdict
}

#[track_caller]
fn passes(steps: &str, events: Vec<Value>) {
    assert_eq!(play(steps, events), Verdict::Passed);
}

#[track_caller]
fn fails(steps: &str, events: Vec<Value>, line: usize, reason: &str) {
    let Verdict::Failed(failure) = play(steps, events) else {
        panic!("did not fail")
    };
    assert_eq!(failure.place.line, line, "{failure}");
    assert!(failure.reason.contains(reason), "{failure}");
}

#[test]
fn an_optional_line_may_be_missing_but_not_come_twice() {
    let steps = "<? response.created\n< response.done";
    let (created, over) = (
        ev("response.created", json!({})),
        ev("response.done", json!({})),
    );
    passes(steps, vec![over.clone()]);
    passes(steps, vec![created.clone(), over.clone()]);
    fails(
        steps,
        vec![created.clone(), created, over],
        6,
        "unexpected event",
    );
}

#[test]
fn an_optional_line_does_not_take_what_a_required_one_waits_for() {
    passes(
        "<? error\n< error {a:1}",
        vec![ev("error", json!({"a": 1}))],
    );
}

#[test]
fn a_star_joins_what_it_takes_and_needs_one() {
    passes(
        "use D($t)\n! $t == \"one two\"",
        vec![delta("one "), delta("two"), done("one two")],
    );
    fails(
        "use D($t)",
        vec![delta("one"), done("two")],
        6,
        "does not hold",
    );
    fails("use D($t)", vec![done("")], 4, "unexpected event");
}

#[test]
fn private_variables_of_a_macro_are_new_in_each_use() {
    passes(
        "use D($t)\nuse D($u)",
        vec![delta("a"), done("a"), delta("b"), done("b")],
    );
}

#[test]
fn a_floating_line_is_met_anywhere_later_and_is_owed() {
    let (error, over) = (ev("error", json!({})), ev("response.done", json!({})));
    passes(
        "~ error\n< response.done",
        vec![error.clone(), over.clone()],
    );
    passes("~ error\n< response.done", vec![over.clone(), error]);
    passes("~? error\n< response.done", vec![over.clone()]);
    fails("~ error\n< response.done", vec![over], 5, "nothing came");
}

#[test]
fn lines_together_come_in_any_order() {
    let steps =
        "together\n<* response.output_text.delta\n< error\n< response.output_text.done\nend";
    let error = ev("error", json!({}));
    passes(
        steps,
        vec![done("x"), delta("x"), error.clone(), delta("y")],
    );
    fails(steps, vec![done("x"), error], 5, "nothing came");
}

#[test]
fn a_variable_binds_once_and_compares_after() {
    let steps = "< response.created {id:$r}\n< response.done {id:$r}";
    let pair = |a, b| {
        vec![
            ev("response.created", json!({"id": a})),
            ev("response.done", json!({"id": b})),
        ]
    };
    passes(steps, pair(1, 1));
    fails(steps, pair(1, 2), 6, "id: expected $r = 1, found 2");
}

#[test]
fn values_match_by_alternatives_bounds_and_kinds() {
    let good = json!({"s": "abc", "n": 3, "z": null, "l": [1, 2], "b": "AAA="});
    let steps = "< error {s:\"x\"|~\"b\", n:>2 & <=3, z:null, gone:absent, l:[1, ..], b:pcm}";
    passes(steps, vec![ev("error", good.clone())]);
    for (key, bad) in [
        ("s", json!("c")),
        ("n", json!(4)),
        ("z", json!(0)),
        ("gone", json!(null)),
        ("l", json!([])),
        ("b", json!("AA==")),
    ] {
        let mut event = good.clone();
        event[key] = bad;
        fails(
            steps,
            vec![ev("error", event)],
            5,
            &format!("{key}: expected"),
        );
    }
}

#[test]
fn unknown_events_are_passed_over_and_known_ones_are_not() {
    let over = ev("response.done", json!({}));
    passes(
        "< response.done",
        vec![ev("future.event", json!({})), over.clone()],
    );
    fails(
        "< response.done",
        vec![over, ev("error", json!({}))],
        1,
        "unexpected event",
    );
}

#[test]
fn lines_of_another_profile_do_not_count() {
    let steps = "< error @q\n< response.done @p";
    let over = || vec![vec![ev("response.done", json!({}))]];
    assert_eq!(play_as("p", "", steps, over()).verdict, Verdict::Passed);
    assert!(matches!(
        play_as("q", "", steps, over()).verdict,
        Verdict::Failed(_)
    ));
}

#[test]
fn a_pending_line_is_counted_and_must_not_pass() {
    let steps = "<? error pending: later\n! count(error) == 1 pending: later\n< response.done";
    let over = ev("response.done", json!({}));
    let report = play_as("p", "", steps, vec![vec![over.clone()]]);
    assert_eq!(
        (report.verdict.clone(), report.pending_steps.len()),
        (Verdict::Passed, 2)
    );
    let mut summary = Summary::default();
    summary.add(report);
    assert_eq!(
        summary.to_string(),
        "flows: 1 passed, 0 failed, 2 pending (later 2)"
    );
    fails(
        "< error pending: later\n< response.done",
        vec![ev("error", json!({})), over.clone()],
        6,
        "remove the mark",
    );
    fails(
        "! count(error) == 0 pending: later\n< response.done",
        vec![over],
        5,
        "remove `pending: later`",
    );
}

#[test]
fn a_pending_flow_must_fail() {
    let over = || vec![vec![ev("response.done", json!({}))]];
    let report = play_as("p", "pending: later\n", "< error", over());
    assert!(matches!(report.verdict, Verdict::Pending(ref name, _) if name == "later"));
    let report = play_as("p", "pending: later\n", "< response.done", over());
    assert!(
        matches!(report.verdict, Verdict::Failed(ref failure) if failure.reason.contains("remove"))
    );
}

#[test]
fn conditions_see_marks_counts_and_order() {
    let steps = "< error {n:$n}\n% mark here\n< response.done\n! none error since here\n\
                 ! count(error until here) == 1\n! before error response.done\n! 0 < $n + 1 <= 2";
    passes(
        steps,
        vec![ev("error", json!({"n": 1})), ev("response.done", json!({}))],
    );
    fails(
        "< error\n! none error",
        vec![ev("error", json!({}))],
        6,
        "there is one",
    );
}

#[test]
fn a_sent_event_carries_bound_values() {
    let created = vec![ev("response.created", json!({"id": "r1"}))];
    let answer = vec![ev("response.done", json!({}))];
    let steps = "< response.created {id:$r}\n> response.cancel {response_id:$r}\n< response.done";
    assert_eq!(
        play_as("p", "", steps, vec![created, answer]).verdict,
        Verdict::Passed
    );
    fails(
        "> response.cancel {response_id:$r}",
        vec![],
        5,
        "$r is not bound",
    );
}

#[test]
fn an_end_must_be_expected_and_is_shown_with_the_last_ten_events() {
    passes(
        "% close\n% expect-end {why:\"closed\", expected:true}",
        vec![],
    );
    fails("% close\n< error", vec![], 6, "the session has ended");
    let many = (0..12)
        .map(|n| ev("future.event", json!({"n": n})))
        .collect();
    let Verdict::Failed(failure) = play("< error", many) else {
        panic!("did not fail")
    };
    assert_eq!(failure.last.len(), 10);
    assert!(failure.last[0].contains("\"n\":2"), "{failure}");
    assert!(
        failure.to_string().starts_with("a.flow:5: `< error {}`"),
        "{failure}"
    );
}

#[test]
fn a_refused_opening_is_an_end() {
    let common = parse_common("common.flow", "profiles: p\n").unwrap();
    let text = "flow 1: x\nprofiles: p\nprologue: none\n% open\n% expect-end {http_status:401}";
    let flow = parse_flows("a.flow", text, &common).unwrap().remove(0);
    for (status, passed) in [(401, true), (404, false)] {
        let end = End {
            http_status: Some(status),
            ..End::default()
        };
        let mut stage = Playback {
            refusal: Some(end),
            ..Playback::default()
        };
        let report = run(&flow, "p", &common, &mut stage, Options::default());
        assert_eq!(
            report.verdict == Verdict::Passed,
            passed,
            "{:?}",
            report.verdict
        );
    }
}

#[test]
fn a_client_under_test_is_judged_by_what_it_sends_and_by_what_it_tells() {
    let sent = |name| ev(name, json!({"sent": true}));
    let greeting = || vec![sent("session.update")];
    let head = "role: client-under-test\n";
    let steps = ">? session.update\n% app session.update {a:1}\n> session.update\n\
                 < error {a:1}\n^ error {a:1}\n! none sent response.cancel";
    let told = || vec![ev("error", json!({"a": 1}))];
    let good = vec![greeting(), vec![sent("session.update")], told()];
    assert_eq!(play_as("p", head, steps, good).verdict, Verdict::Passed);
    let extra = vec![
        greeting(),
        greeting(),
        vec![told().remove(0), sent("response.cancel")],
    ];
    assert!(matches!(
        play_as("p", head, steps, extra).verdict,
        Verdict::Failed(_)
    ));
    let silent = vec![greeting(), vec![], told()];
    assert!(matches!(
        play_as("p", head, steps, silent).verdict,
        Verdict::Failed(_)
    ));
}
