//! The conversation has one response at a time, and every wish for one gets an answer.

use std::time::Duration;

use super::*;
use crate::options::WhenBusy;

fn created(bench: &mut Bench, id: &str) -> Effects {
    bench.server(json!({"type": "response.created",
        "response": {"id": id, "status": "in_progress", "conversation_id": "c"}}))
}

fn done(bench: &mut Bench, id: &str) -> Effects {
    bench.server(json!({"type": "response.done",
        "response": {"id": id, "status": "completed", "conversation_id": "c"}}))
}

fn wish(bench: &mut Bench, when_busy: WhenBusy, ticket: u64) -> Effects {
    let response = json!({"instructions": format!("number {ticket}")});
    let response = response.as_object().cloned();
    let command = Command::Respond(response, when_busy);
    bench.input(Input::Command(command, Some(Ticket(ticket))))
}

fn plain(bench: &mut Bench, ticket: u64) -> Effects {
    let command = Command::Respond(None, WhenBusy::Merge);
    bench.input(Input::Command(command, Some(Ticket(ticket))))
}

fn types(fx: &Effects) -> Vec<String> {
    let name = |frame: &Value| frame["type"].as_str().unwrap_or_default().to_owned();
    sent(fx).iter().map(name).collect()
}

fn events(fx: &Effects) -> Vec<&str> {
    fx.iter()
        .filter_map(|effect| match effect {
            Effect::Emit(event) => Some(event.name()),
            _ => None,
        })
        .collect()
}

fn error(bench: &mut Bench, code: &str, event_id: &str) -> Effects {
    bench.server(
        json!({"type": "error", "error": {"type": "invalid_request_error",
        "code": code, "message": "no", "event_id": event_id}}),
    )
}

#[test]
fn wishes_wait_for_their_turn_and_come_in_their_order() {
    let mut bench = Bench::open();
    assert_eq!(
        types(&wish(&mut bench, WhenBusy::Queue, 1)),
        ["response.create"]
    );
    for ticket in [2, 3] {
        assert!(sent(&wish(&mut bench, WhenBusy::Queue, ticket)).is_empty());
    }
    for (ticket, id) in [(1, "a"), (2, "b"), (3, "c")] {
        let fx = created(&mut bench, id);
        assert_eq!(
            reply(&fx, ticket),
            Some(&Ok(Reply::Done { id: id.to_owned() }))
        );
        let next = sent(&done(&mut bench, id));
        assert_eq!(next.len(), usize::from(ticket < 3), "one after the other");
    }
}

#[test]
fn a_wish_that_would_not_wait_is_refused_and_the_newest_replaces_what_runs() {
    let mut bench = Bench::open();
    wish(&mut bench, WhenBusy::Queue, 1);
    created(&mut bench, "a");
    let refused = wish(&mut bench, WhenBusy::Refuse, 2);
    assert_eq!(
        reply(&refused, 2)
            .and_then(|r| r.as_ref().err())
            .map(Error::kind),
        Some(Kind::Refused)
    );
    wish(&mut bench, WhenBusy::Queue, 3);
    let fx = wish(&mut bench, WhenBusy::Replace, 4);
    assert_eq!(sent(&fx)[0]["response_id"], "a");
    assert_eq!(types(&fx), ["response.cancel"]);
    assert_eq!(
        reply(&fx, 3)
            .and_then(|r| r.as_ref().err())
            .map(Error::kind),
        Some(Kind::Cancelled)
    );
    let late = bench.server(
        json!({"type": "response.output_text.delta", "response_id": "a",
        "item_id": "i", "delta": "x"}),
    );
    assert_eq!(
        events(&late),
        [""; 0],
        "nobody reads more of what was replaced"
    );
    let next = sent(&done(&mut bench, "a"));
    assert_eq!(next[0]["response"]["instructions"], "number 4");
}

#[test]
fn plain_wishes_for_the_same_get_one_response_together() {
    let mut bench = Bench::open();
    plain(&mut bench, 1);
    assert!(sent(&plain(&mut bench, 2)).is_empty());
    let fx = created(&mut bench, "a");
    let (id, merged) = ("a".to_owned(), "a".to_owned());
    assert_eq!(reply(&fx, 1), Some(&Ok(Reply::Done { id })));
    assert_eq!(
        reply(&fx, 2),
        Some(&Ok(Reply::Merged { id: merged.clone() }))
    );
    let served = plain(&mut bench, 3);
    assert_eq!(reply(&served, 3), Some(&Ok(Reply::Merged { id: merged })));
    let item = json!({"type": "conversation.item.create", "item": {"type": "message",
        "role": "user", "content": [{"type": "input_text", "text": "more"}]}});
    bench.json(item, 4);
    assert!(
        reply(&plain(&mut bench, 5), 5).is_none(),
        "a does not answer to more"
    );
    assert_eq!(types(&done(&mut bench, "a")), ["response.create"]);
}

#[test]
fn a_wish_that_the_server_has_no_room_for_is_sent_again_once_and_nobody_hears_of_it() {
    let mut bench = Bench::open();
    let first = sent(&wish(&mut bench, WhenBusy::Queue, 1));
    let event_id = first[0]["event_id"].as_str().expect("an id").to_owned();
    let code = "conversation_already_has_active_response";
    let fx = error(&mut bench, code, &event_id);
    assert_eq!(events(&fx), [""; 0]);
    assert!(sent(&fx).is_empty(), "it waits for the one that runs");
    let again = sent(&done(&mut bench, "of_the_server"));
    assert_eq!(again, first);
    let fx = error(&mut bench, code, &event_id);
    assert_eq!(events(&fx), ["error"], "twice is an error");
    assert!(matches!(reply(&fx, 1), Some(Err(_))));
}

#[test]
fn a_response_that_began_too_late_is_cancelled_by_its_id_and_never_heard() {
    let mut bench = Bench::open();
    wish(&mut bench, WhenBusy::Queue, 1);
    bench.now += Duration::from_secs(11);
    let fx = bench.input(Input::Timeout);
    assert_eq!(
        reply(&fx, 1)
            .and_then(|r| r.as_ref().err())
            .map(Error::kind),
        Some(Kind::Timeout)
    );
    assert!(!bench.engine.is_mid_turn(), "nobody waits for anything");
    let fx = created(&mut bench, "late");
    assert_eq!(sent(&fx)[0]["response_id"], "late");
    let audio = json!({"type": "response.output_audio.delta", "response_id": "late",
        "item_id": "i", "delta": "AAAA"});
    assert_eq!(events(&bench.server(audio)), [""; 0]);
}

#[test]
fn a_cancel_of_what_has_ended_counts_as_done() {
    let mut bench = Bench::open();
    let cancel = json!({"type": "response.cancel", "event_id": "x"});
    bench.json(cancel, 1);
    let fx = error(&mut bench, "response_cancel_not_active", "x");
    assert_eq!(events(&fx), [""; 0]);
    assert_eq!(reply(&fx, 1), Some(&Ok(Reply::Done { id: String::new() })));
}

#[test]
fn one_beside_the_conversation_waits_for_nobody() {
    let mut bench = Bench::open();
    wish(&mut bench, WhenBusy::Queue, 1);
    let aside = json!({"type": "response.create", "response": {"conversation": "none"}});
    assert_eq!(types(&bench.json(aside, 2)), ["response.create"]);
}

#[test]
fn a_wish_nobody_came_to_is_answered_in_time_and_at_the_end() {
    let mut bench = Bench::open();
    wish(&mut bench, WhenBusy::Queue, 1);
    created(&mut bench, "a");
    wish(&mut bench, WhenBusy::Queue, 2);
    bench.now += Duration::from_secs(60);
    let fx = bench.input(Input::Timeout);
    assert_eq!(
        reply(&fx, 2)
            .and_then(|r| r.as_ref().err())
            .map(Error::kind),
        Some(Kind::Timeout)
    );
    wish(&mut bench, WhenBusy::Queue, 3);
    let fx = bench.dropped();
    assert!(matches!(reply(&fx, 3), Some(Err(_))));
}
