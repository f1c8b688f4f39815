//! Calls whose links are lost for real: a server that is killed, a line that stalls, creeps, is cut in
//! the middle of a frame or reset, and a network that loses packets. Each goes on or ends with a reason, in bounded time, and
//! nothing is said or done twice.

mod caller;
mod namespace;
mod process;
mod proxy;

use std::time::{Duration, Instant};

use caller::{Caller, json};
use namespace::Network;
use process::Server;
use proxy::{Line, Proxy};
use serde_json::{Value, json};
use talkwire_core::event::local::Local;
use talkwire_core::{End, Kind, Who};

/// A server that looks something up, and can say something long.
const DESK: &str = r#"
turns:
  - when: {tool: look_up}
    say: "It is found."
  - when: {user: /^look$/}
    call: {name: look_up, arguments: {what: it}}
  - when: {user: /^tell$/}
    say: "Once upon a time there was a very long story, and nobody had ever heard it to its end, because it was so long."
  - say: "Yes."
"#;

/// A server that hears digits and repeats them, and that looks something up for a `9`. To a story of
/// what was before it says `0`.
const DIGITS: &str = r#"
ears: dtmf
voice: dtmf
turns:
  - when: {tool: look_up}
    say: "9"
  - when: {user: /^9$/}
    call: {name: look_up, arguments: {number: 9}}
  - when: {user: goes on from before}
    say: "0"
  - when: {user: has answered}
    say: "9"
"#;

/// Of a caller who writes, and hears the answers.
fn written() -> Value {
    options(json!({"output_modalities": ["audio"], "audio": {
        "input": {"turn_detection": null}}}))
}

/// Of a caller who presses keys.
fn pressed() -> Value {
    options(json!({"output_modalities": ["audio"], "audio": {
        "input": {"format": {"type": "audio/pcm", "rate": 24_000},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 400},
            "transcription": {"model": "any"}},
        "output": {"format": {"type": "audio/pcm", "rate": 24_000}}}}))
}

/// A line that is dead is noticed after four seconds: less would call a busy machine dead.
fn options(session: Value) -> Value {
    json!({
        "session": session,
        "tools": [{"name": "look_up", "parameters": {"type": "object"}}],
        "barge_in": {"policy": "off"},
        "ping_ms": 1_000, "pong_timeout_ms": 3_000,
        "recovery": {"budget_ms": 30_000, "delay_ms": 50, "delay_max_ms": 500},
    })
}

fn with(mut options: Value, key: &str, value: Value) -> Value {
    options[key] = value;
    options
}

// ---- a server that is killed --------------------------------------------------------------------

fn killed_in_the_middle_of_an_answer(profile: &str) {
    let mut server = Server::start(profile, DESK, 0);
    let mut caller = Caller::writes(&server.url, profile, &written());
    caller.write("look");
    caller.until_seen("response.done", 2);
    caller.write("tell");
    let heard = caller.count("response.output_audio.delta");
    caller.until_seen("response.output_audio.delta", heard + 2);
    server.kill();
    caller.until_seen("session.lost", 1);
    let again = Server::start(profile, DESK, server.port());
    caller.until_seen("session.recovered", 1);
    // The agent is asked for the rest of what was cut.
    caller.until_seen("response.done", 4);
    caller.write("look");
    caller.until_seen("response.done", 6);

    assert_eq!(caller.count("tool.call"), 2, "each ran once");
    let items = caller.named("conversation.item.added").map(json);
    let calls = items.filter(|event| event["item"]["type"] == "function_call");
    assert_eq!(
        calls.count(),
        2,
        "what the link is told again is told to nobody"
    );
    let answers = caller.answers();
    assert_eq!(answers[2], "cancelled", "{answers:?}");
    let completed = answers.iter().filter(|status| *status == "completed");
    assert_eq!(completed.count(), 5, "{answers:?}");
    assert_eq!(caller.count("session.lost"), 1);
    assert_eq!(caller.count("session.recovered"), 1);
    assert_eq!(caller.count("error"), 0, "{}", caller.told());
    told_in_order(&caller);
    caller.hang_up();
    drop(again);
}

/// The loss names the answer that it cut, and both are told before there is a link again.
fn told_in_order(caller: &Caller) {
    let at = |holds: &dyn Fn(&Value) -> bool| {
        let mut events = caller.events.iter().map(json);
        events.position(|event| holds(&event)).expect("is told")
    };
    let lost = at(&|event| event["type"] == "session.lost");
    let cancelled = at(&|event| event["response"]["status"] == "cancelled");
    let recovered = at(&|event| event["type"] == "session.recovered");
    assert!(lost < recovered && cancelled < recovered);
    let done = json(&caller.events[cancelled]);
    let reason = &done["response"]["status_details"]["reason"];
    assert_eq!(reason, "link_changed", "{done}");
    let told = json(&caller.events[lost]);
    assert_eq!(told["cut"], json!([done["response"]["id"]]));
}

#[test]
fn a_server_killed_in_the_middle_of_an_answer_and_started_again_in_the_profile_openai() {
    killed_in_the_middle_of_an_answer("openai");
}

#[test]
fn a_server_killed_in_the_middle_of_an_answer_and_started_again_in_the_profile_yandex() {
    killed_in_the_middle_of_an_answer("yandex");
}

#[test]
fn a_tool_that_is_out_when_its_server_is_killed_is_not_run_again_and_its_result_is_answered() {
    for profile in ["openai", "yandex"] {
        let mut server = Server::start(profile, DESK, 0);
        let mut caller = Caller::writes(&server.url, profile, &written());
        caller.answers_tools = false;
        caller.write("look");
        caller.until_seen("tool.call", 1);
        caller.until_seen("response.done", 1);
        server.kill();
        caller.until_seen("session.lost", 1);
        let again = Server::start(profile, DESK, server.port());
        caller.until_seen("session.recovered", 1);
        let call_id = caller.events.iter().find_map(|event| match event.own() {
            Some(Local::ToolCall(call)) => Some(call.call_id.clone()),
            _ => None,
        });
        caller.answer(&call_id.expect("a call"));
        caller.until_seen("response.done", 2);
        assert_eq!(caller.count("tool.call"), 1, "{profile}");
        let answers = caller.answers();
        assert_eq!(answers, ["completed", "completed"], "{profile}");
        caller.hang_up();
        drop(again);
    }
}

#[test]
fn a_server_that_stays_away_ends_the_call_with_the_first_reason_when_the_budget_is_spent() {
    let mut server = Server::start("openai", DESK, 0);
    let recovery = json!({"budget_ms": 1_000, "delay_ms": 50, "delay_max_ms": 200});
    let options = with(written(), "recovery", recovery);
    let mut caller = Caller::writes(&server.url, "openai", &options);
    caller.write("tell");
    caller.until_seen("response.output_audio.delta", 1);
    server.kill();
    let end = caller.ended();
    assert_eq!((end.why, end.who), (Kind::Lost, Who::Network), "{end:?}");
    assert!(!end.expected && end.mid_turn, "{end:?}");
    assert_eq!(caller.count("session.lost"), 1);
    assert_eq!(caller.answers(), ["cancelled"]);
}

// ---- a line that gets worse ---------------------------------------------------------------------

/// Moments of a turn at which its line is lost, by the event that tells of them.
const MOMENTS: [&str; 5] = [
    "input_audio_buffer.speech_started",
    "conversation.item.input_audio_transcription.completed",
    "response.created",
    "response.output_audio.delta",
    "tool.call",
];

/// A digit for each moment, the last of which calls the tool.
const KEYS: &str = "14729";

/// A call that loses its line at each moment of a turn: what was said is understood once and in
/// order, tools run once, and no digit is said twice.
fn lost_at_each_moment(profile: &str, line: Line) {
    let server = Server::start(profile, DIGITS, 0);
    let proxy = Proxy::to(server.port());
    let mut caller = Caller::presses(&proxy.url(), profile, &pressed());
    for (nth, (key, moment)) in KEYS.chars().zip(MOMENTS).enumerate() {
        let seen = caller.count(moment);
        caller.press(key);
        caller.until_seen(moment, seen + 1);
        proxy.make(line);
        caller.until_seen("session.recovered", nth + 1);
        caller.settle();
        let said = &KEYS[..=nth];
        assert_eq!(caller.understood(), said, "{line:?} at {moment}");
    }
    let tools = caller.count("tool.call");
    assert_eq!(tools, 1, "a tool runs once; {}", caller.told());
    assert_eq!(caller.count("error"), 0, "{}", caller.told());
    heard_in_order(&caller);
    caller.hang_up();
}

/// Digits are heard in order, and none is missing or heard twice but that of an answer that was cut:
/// of its rest a server that repeats only knows the digit, or nothing.
fn heard_in_order(caller: &Caller) {
    let heard = caller.heard().replace('0', "");
    let mut once: Vec<_> = heard.chars().collect();
    once.dedup();
    let mut keys = KEYS.chars();
    let is_in_order = once.iter().all(|digit| keys.any(|key| key == *digit));
    let answers = caller.answers();
    let cut = answers.iter().filter(|status| *status == "cancelled");
    let (cut, told) = (cut.count(), caller.told());
    assert!(is_in_order, "{heard}, {answers:?}; {told}");
    assert!(
        heard.len() <= KEYS.len() + cut,
        "{heard}, {answers:?}; {told}"
    );
    assert!(
        once.len() + cut >= KEYS.len(),
        "{heard}, {answers:?}; {told}"
    );
}

#[test]
fn a_line_that_is_reset_at_each_moment_of_a_turn_in_the_profile_openai() {
    lost_at_each_moment("openai", Line::Reset);
}

#[test]
fn a_line_that_is_reset_at_each_moment_of_a_turn_in_the_profile_yandex() {
    lost_at_each_moment("yandex", Line::Reset);
}

#[test]
fn a_line_that_is_cut_in_a_frame_of_the_server_at_each_moment_of_a_turn() {
    lost_at_each_moment("openai", Line::CutDown);
}

#[test]
fn a_line_that_is_cut_in_a_frame_of_the_client_at_each_moment_of_a_turn() {
    lost_at_each_moment("yandex", Line::CutUp);
}

#[test]
fn a_line_that_stalls_at_each_moment_of_a_turn() {
    lost_at_each_moment("openai", Line::Stalled);
}

#[test]
fn a_line_that_stays_dead_ends_the_call_with_a_reason_when_the_budget_is_spent() {
    let server = Server::start("openai", DESK, 0);
    let proxy = Proxy::to(server.port());
    let recovery = json!({"budget_ms": 3_000, "delay_ms": 50, "delay_max_ms": 200});
    let mut options = with(written(), "recovery", recovery);
    options["handshake_timeout_ms"] = json!(500);
    let mut caller = Caller::writes(&proxy.url(), "openai", &options);
    caller.write("tell");
    caller.until_seen("response.output_audio.delta", 1);
    proxy.make_all(Line::Stalled);
    let end = caller.ended();
    assert_eq!((end.why, end.who), (Kind::Lost, Who::Network), "{end:?}");
    assert!(!end.expected && end.mid_turn, "{end:?}");
    assert!(proxy.made() > 1, "it was tried again");
    assert_eq!(caller.count("session.recovered"), 0);
}

#[test]
fn a_close_over_a_line_that_has_stalled_is_over_in_its_time() {
    let server = Server::start("openai", DESK, 0);
    let proxy = Proxy::to(server.port());
    let options = with(written(), "close_timeout_ms", json!(300));
    let options = with(options, "ping_ms", json!(0));
    let mut caller = Caller::writes(&proxy.url(), "openai", &options);
    caller.write("tell");
    caller.until_seen("response.output_audio.delta", 1);
    proxy.make_all(Line::Stalled);
    let events = caller.hang_up();
    assert!(events.iter().all(|event| event.name() != "session.lost"));
}

#[test]
fn a_line_that_creeps_is_not_taken_for_a_dead_one() {
    let server = Server::start("openai", DESK, 0);
    let proxy = Proxy::to(server.port());
    let written =
        json!({"output_modalities": ["text"], "audio": {"input": {"turn_detection": null}}});
    let mut caller = Caller::writes(&proxy.url(), "openai", &options(written));
    // 2 kB a second: a second and more for a single answer.
    proxy.make_all(Line::Slow(20));
    caller.write("tell");
    caller.until_seen("response.done", 1);
    caller.write("look");
    caller.until_seen("response.done", 3);
    assert_eq!(caller.answers(), ["completed"; 3]);
    assert_eq!(caller.count("tool.call"), 1);
    assert_eq!(caller.count("session.lost"), 0);
    assert_eq!(proxy.made(), 1);
    caller.hang_up();
}

/// Sound is 64 kB a second on the wire. What cannot be sent is dropped, the oldest first, and counted. A
/// sign of life that waits behind it may come too late: then the call goes on over another connection.
#[test]
fn a_line_too_slow_for_the_sound_of_the_customer_costs_sound_and_not_the_call() {
    let server = Server::start("openai", DIGITS, 0);
    let proxy = Proxy::to(server.port());
    let options = with(pressed(), "uplink_max_ms", json!(1_000));
    let mut caller = Caller::presses(&proxy.url(), "openai", &options);
    caller.press('1');
    caller.until_seen("response.done", 1);
    proxy.make_all(Line::Slow(100));
    let begun = Instant::now();
    caller.until("ten seconds of sound", |_| {
        begun.elapsed() > Duration::from_secs(10)
    });
    assert_eq!(caller.end, None);
    caller.session.close();
    let end = caller.ended();
    assert!(end.expected, "{end:?}");
    assert!(end.unsent.audio_ms > 0, "{end:?}");
}

// ---- a network that loses packets ---------------------------------------------------------------

#[test]
fn a_call_outlives_a_network_that_loses_packets_and_then_all_of_them() {
    namespace::enter(
        "a_call_outlives_a_network_that_loses_packets_and_then_all_of_them",
        over_a_bad_network,
    );
}

fn over_a_bad_network() {
    let network = Network::with_server("openai", DESK);
    let recovery = json!({"budget_ms": 60_000, "delay_ms": 50, "delay_max_ms": 500});
    let options = with(written(), "recovery", recovery);
    let options = with(options, "connect_timeout_ms", json!(1_000));
    let mut caller = Caller::writes(&network.server.url, "openai", &options);
    network.lose(2);
    caller.write("look");
    caller.until_seen("response.done", 2);
    network.heal();
    let lost = caller.count("session.lost");
    caller.write("tell");
    let heard = caller.count("response.output_audio.delta");
    caller.until_seen("response.output_audio.delta", heard + 1);
    // No packet tells either side of it.
    network.lose(16);
    caller.until_seen("session.lost", lost + 1);
    network.heal();
    caller.until_seen("session.recovered", lost + 1);
    // The rest of what was cut, and then two answers.
    let done = caller.count("response.done");
    caller.until_seen("response.done", done + 1);
    caller.write("look");
    caller.until_seen("response.done", done + 3);
    assert_eq!(caller.count("tool.call"), 2, "{}", caller.told());
    assert_eq!(caller.count("error"), 0, "{}", caller.told());

    network.lose(16);
    caller.session.close();
    assert!(caller.ended().expected, "in the time of a close");
    let end = unreachable(&network, &options);
    assert_eq!((end.why, end.who), (Kind::Timeout, Who::Network), "{end:?}");
}

/// The end of a session that cannot even begin.
fn unreachable(network: &Network, options: &Value) -> End {
    Caller::dials(&network.server.url, "openai", options).ended()
}
