use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use talkwire_core::dialect::Dialect;
use talkwire_core::wire::audio;
use talkwire_server::Config;
use talkwire_server::judge::{CheckServer, ClientCheck, RULES, Report, check_server};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::common::{Client, lenient, start, strict};

async fn check(url: &str, dialect: &str, patience: Duration) -> Report {
    let config = CheckServer {
        url: url.to_owned(),
        dialect: Dialect::named(dialect).expect("built in"),
        model: None,
        key: None,
        extra_ca: None,
        patience,
    };
    let checked = tokio::task::spawn_blocking(move || check_server(&config));
    checked.await.expect("no panic").expect("connects")
}

/// Makes something else of an event of the server; the number counts its calls.
type Plant = fn(u32, Value) -> Vec<Value>;

async fn listening() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/v1/realtime", listener.local_addr().expect("bound"));
    (listener, url)
}

async fn accepted(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (tcp, _) = listener.accept().await.expect("a client");
    accept_async(tcp).await.expect("upgrades")
}

/// A proxy that breaks a rule.
async fn planted(upstream: String, plant: Plant) -> String {
    let (listener, url) = listening().await;
    tokio::spawn(async move {
        let mut client = accepted(&listener).await;
        let mut server = Client::connect(&upstream).await.ws;
        let mut calls = 0;
        loop {
            tokio::select! {
                Some(Ok(message)) = client.next() => {
                    server.send(message).await.expect("sends");
                }
                Some(Ok(message)) = server.next() => {
                    let Message::Text(text) = message else {
                        let _ = client.send(message).await;
                        continue;
                    };
                    let event = serde_json::from_str(text.as_str()).expect("JSON");
                    calls += 1;
                    for event in plant(calls, event) {
                        let _ = client.send(Message::text(event.to_string())).await;
                    }
                }
                else => return,
            }
        }
    });
    url
}

fn is(event: &Value, kind: &str) -> bool {
    event["type"] == kind
}

fn with(mut event: Value, pointer: &str, value: Value) -> Vec<Value> {
    *event.pointer_mut(pointer).expect("it is there") = value;
    vec![event]
}

/// The planted violations with the rules that they break.
const PLANTS: &[(&str, &str, Plant)] = &[
    ("S1", "another event comes first", |calls, event| {
        if calls > 1 {
            return vec![event];
        }
        let early =
            json!({"type": "rate_limits.updated", "event_id": "event_e", "rate_limits": []});
        vec![early, event]
    }),
    ("S2", "an event without a type", |_, event| {
        if !is(&event, "response.done") {
            return vec![event];
        }
        vec![json!({"event_id": "event_e"}), event]
    }),
    ("S3", "an event_id comes twice", |_, event| {
        if is(&event, "session.updated") {
            return vec![event.clone(), event];
        }
        vec![event]
    }),
    ("S4", "the end of a response is missing", |_, event| {
        if is(&event, "response.done") {
            Vec::new()
        } else {
            vec![event]
        }
    }),
    ("S5", "a text is not that of its deltas", |_, event| {
        if is(&event, "response.output_text.done") {
            return with(event, "/text", json!("something else"));
        }
        vec![event]
    }),
    ("S6", "a delta comes after the end", |_, event| {
        if !is(&event, "response.done") {
            return vec![event];
        }
        let late = json!({"type": "response.output_text.delta", "event_id": "event_l",
            "response_id": event["response"]["id"], "item_id": "item_l", "output_index": 0,
            "content_index": 0, "delta": "late"});
        vec![event, late]
    }),
    ("S7", "two responses at once", |_, event| {
        if !is(&event, "response.created") || event["response"]["conversation_id"].is_null() {
            return vec![event];
        }
        let mut other = event.clone();
        other["response"]["id"] = json!("resp_other");
        other["event_id"] = json!("event_other");
        vec![event, other]
    }),
    ("S8", "a part is never done", |_, event| {
        if is(&event, "response.content_part.done") {
            Vec::new()
        } else {
            vec![event]
        }
    }),
    ("S9", "half a sample", |_, event| {
        if !is(&event, "response.output_audio.delta") {
            return vec![event];
        }
        with(event, "/delta", json!(audio::encode(&[1, 2, 3])))
    }),
    ("S10", "a delta before its part", |_, event| {
        if is(&event, "response.content_part.added") {
            Vec::new()
        } else {
            vec![event]
        }
    }),
    ("S11", "a field is missing", |_, mut event| {
        if let Some(response) = event["response"].as_object_mut() {
            response.remove("status_details");
        }
        vec![event]
    }),
    ("S12", "silence about an unknown event", |_, event| {
        if event["error"]["event_id"] == "check_2" {
            Vec::new()
        } else {
            vec![event]
        }
    }),
    ("S13", "an error names another event", |_, event| {
        if is(&event, "error") {
            return with(event, "/error/event_id", json!("check_0"));
        }
        vec![event]
    }),
    (
        "S14",
        "the update of the session is not shown",
        |_, event| {
            if is(&event, "session.updated") {
                return with(event, "/session/instructions", json!(""));
            }
            vec![event]
        },
    ),
    ("S19", "an item gets another id", |_, event| {
        if event["item"]["id"] == "item_of_the_check" {
            return with(event, "/item/id", json!("item_renamed"));
        }
        vec![event]
    }),
    ("S20", "metadata are lost", |_, event| {
        if event["response"]["metadata"]["check"].is_string() {
            return with(event, "/response/metadata", Value::Null);
        }
        vec![event]
    }),
    ("S23", "a cancelled response is completed", |_, event| {
        if event["response"]["status"] == "cancelled" {
            return with(event, "/response/status", json!("completed"));
        }
        vec![event]
    }),
    ("S25", "a response is done and goes on", |_, event| {
        if is(&event, "response.done") {
            return with(event, "/response/status", json!("in_progress"));
        }
        vec![event]
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn our_server_is_clean_in_every_dialect() {
    for dialect in Dialect::names() {
        let server = start(Config::new().profile(dialect));
        let report = check(server.url(), dialect, Duration::from_secs(20)).await;
        assert!(report.is_clean(), "{}", report.to_text());
        assert!(report.steps.len() > 15, "{}", report.to_text());
        let can = |name: &str| {
            let mut found = report.capabilities.iter().filter(|can| can.name == name);
            found.next().and_then(|can| can.is_there)
        };
        for name in [
            "text answers",
            "speech",
            "cancel",
            "truncation",
            "audio input",
        ] {
            assert_eq!(
                can(name),
                Some(true),
                "{dialect} {name}: {}",
                report.to_text()
            );
        }
        let json = report.to_json();
        assert_eq!(json["ok"], true);
        assert!(
            json["steps"][0]["seen"]
                .as_str()
                .is_some_and(|s| s.contains("session.created"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_planted_violation_is_found_by_its_rule() {
    let server = start(strict());
    let mut checks = tokio::task::JoinSet::new();
    for &(rule, what, plant) in PLANTS {
        let url = planted(server.url().to_owned(), plant).await;
        checks.spawn(async move {
            let report = check(&url, "openai", Duration::from_secs(2)).await;
            (rule, what, report)
        });
    }
    while let Some(checked) = checks.join_next().await {
        let (rule, what, report) = checked.expect("no panic");
        let is_found = report.breaches.iter().any(|breach| breach.rule == rule);
        assert!(is_found, "{rule} {what}: {}", report.to_text());
        assert!(report.to_text().contains(&format!("BROKEN {rule}:")));
        assert_eq!(report.to_json()["ok"], false);
    }
}

#[test]
fn rules_have_numbers_of_their_own_and_words() {
    let mut ids: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
    assert!(RULES.iter().all(|rule| rule.words.ends_with('.')));
    assert!(PLANTS.iter().all(|(rule, ..)| ids.contains(rule)));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), RULES.len());
}

/// What a client does, and the rule that it breaks by it.
async fn misbehave(rule: &str, client: &mut Client) {
    match rule {
        "C1" => client.text("[1]").await,
        "C2" => client.send(json!({"type": "response.begin"})).await,
        "C3" => {
            let event_id = "x".repeat(600);
            client
                .send(json!({"type": "response.cancel", "event_id": event_id}))
                .await;
        }
        "C4" => {
            client
                .send(json!({"type": "conversation.item.delete"}))
                .await
        }
        "C5" => {
            let append = "input_audio_buffer.append";
            client.send(json!({"type": append, "audio": "AAEC"})).await;
        }
        "C6" => {
            client
                .send(json!({"type": "input_audio_buffer.commit"}))
                .await
        }
        "C7" => {
            client.send(json!({"type": "response.create"})).await;
            client.until("response.created").await;
            client.send(json!({"type": "response.create"})).await;
        }
        "C8" => client.send(json!({"type": "response.cancel"})).await,
        "C9" => {
            let item = json!({"type": "function_call_output", "call_id": "call_x", "output": "1"});
            client
                .send(json!({"type": "conversation.item.create", "item": item}))
                .await;
        }
        "C14" => {
            client
                .send(
                    json!({"type": "conversation.item.truncate", "item_id": "item_x",
                    "content_index": 0, "audio_end_ms": 10}),
                )
                .await;
        }
        other => panic!("{other}"),
    }
}

/// Reads until every event that was sent is handled.
async fn handled(client: &mut Client) {
    client
        .send(
            json!({"type": "session.update", "session": {"type": "realtime",
            "instructions": "the end"}}),
        )
        .await;
    while client.next().await["session"]["instructions"] != "the end" {}
}

#[tokio::test]
async fn what_a_client_breaks_is_told_with_the_rule() {
    for rule in ["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "C14"] {
        let config = strict().think(Duration::from_millis(200));
        let check = ClientCheck::start(config).expect("starts");
        let mut client = Client::connect(check.url()).await;
        client.expect("session.created").await;
        misbehave(rule, &mut client).await;
        handled(&mut client).await;
        let report = check.report();
        let rules: Vec<_> = report.breaches.iter().map(|breach| breach.rule).collect();
        assert!(rules.contains(&rule), "{rule}: {}", report.to_text());
    }
}

const CALLS: &str = "turns:
  - when: {user: any}
    server_tool: {name: web_search, arguments: {query: x}}
    call: {name: f, arguments: {}}
  - when: {tool: f}
    say: done
";

/// Answers the call of `name` that is among these events.
async fn output(client: &mut Client, events: &[Value], name: &str) {
    let done = |e: &&Value| is(e, "response.function_call_arguments.done") && e["name"] == name;
    let call = events.iter().find(done).expect("a call");
    let item = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "1"});
    client
        .send(json!({"type": "conversation.item.create", "item": item}))
        .await;
}

#[tokio::test]
async fn a_client_that_answers_calls_wrongly_is_told_with_the_rule() {
    for rule in ["", "C10", "C11", "C12"] {
        let check = ClientCheck::start(lenient().script_text(CALLS, ".")).expect("starts");
        let mut client = Client::connect(check.url()).await;
        client.expect("session.created").await;
        let tool = |name: &str| json!({"type": "function", "name": name, "parameters": {}});
        client
            .update(json!({"tools": [tool("web_search"), tool("f")]}))
            .await;
        client.say("any").await;
        client.expect("conversation.item.created").await;
        let events = client.respond(json!({"output_modalities": ["text"]})).await;
        if rule != "C12" {
            output(&mut client, &events, "f").await;
        }
        match rule {
            "C10" => output(&mut client, &events, "f").await,
            "C11" => output(&mut client, &events, "web_search").await,
            _ => client.send(json!({"type": "response.create"})).await,
        }
        handled(&mut client).await;
        let report = check.report();
        let rules: Vec<_> = report.breaches.iter().map(|breach| breach.rule).collect();
        let expected: &[&str] = if rule.is_empty() { &[] } else { &[rule] };
        assert_eq!(rules, expected, "{}", report.to_text());
    }
}

#[tokio::test]
async fn a_client_that_comes_or_goes_wrongly_is_told_with_the_rule() {
    for (rule, header) in [
        ("C13", ("openai-beta", "realtime=v1")),
        ("C15", ("user-agent", "any")),
    ] {
        let check = ClientCheck::start(strict()).expect("starts");
        let client = Client::try_connect(check.url(), &[header]).await;
        let mut client = client.expect("upgrades");
        client.next().await;
        if rule == "C13" {
            client.ended().await;
        }
        drop(client);
        let deadline = std::time::Instant::now() + crate::common::PATIENCE;
        while check.ended() == 0 {
            assert!(std::time::Instant::now() < deadline, "it never ends");
            tokio::task::yield_now().await;
        }
        let report = check.report();
        let rules: Vec<_> = report.breaches.iter().map(|breach| breach.rule).collect();
        assert_eq!(rules, [rule], "{}", report.to_text());
    }
}

#[tokio::test]
async fn a_client_that_keeps_the_rules_is_told_what_it_used() {
    let script = "turns:\n  - when: {user: any}\n    call: {name: f, arguments: {}}\n  - when: {tool: f}\n    say: done\n";
    let check = ClientCheck::start(strict().script_text(script, ".")).expect("starts");
    let mut client = Client::connect(check.url()).await;
    client.expect("session.created").await;
    client
        .update(
            json!({"type": "realtime", "audio": {"input": {"turn_detection": null}},
            "tools": [{"type": "function", "name": "f", "parameters": {}}]}),
        )
        .await;
    client.stream(&[300; 4800], 24_000).await;
    client
        .send(json!({"type": "input_audio_buffer.commit"}))
        .await;
    let events = client.respond(json!({})).await;
    let call = events
        .iter()
        .find(|e| is(e, "response.function_call_arguments.done"));
    let call_id = call.expect("a call")["call_id"].clone();
    let item = json!({"type": "function_call_output", "call_id": call_id, "output": "1"});
    client
        .send(json!({"type": "conversation.item.create", "item": item}))
        .await;
    client.respond(json!({})).await;
    client.ws.close(None).await.expect("closes");
    client.ended().await;
    let report = check.report();
    assert!(report.is_clean(), "{}", report.to_text());
    let used = |name: &str| {
        let mut found = report.capabilities.iter().filter(|can| can.name == name);
        found.next().and_then(|can| can.is_there)
    };
    assert_eq!(used("response.create"), Some(true));
    assert_eq!(used("item function_call_output"), Some(true));
    assert_eq!(used("response.cancel"), Some(false));
}

#[tokio::test]
async fn a_broken_rule_is_told_once_with_how_often_it_was_broken() {
    let server = start(strict());
    let url = planted(server.url().to_owned(), |_, mut event| {
        if let Some(response) = event.get_mut("response").and_then(Value::as_object_mut) {
            response.remove("usage");
        }
        vec![event]
    })
    .await;
    let report = check(&url, "openai", Duration::from_secs(5)).await;
    let text = report.to_text();
    assert!(report.breaches.len() > 4, "{text}");
    assert_eq!(text.matches("BROKEN S11:").count(), 1, "{text}");
    let times = report.breaches.iter();
    let times = times
        .filter(|b| b.seen.starts_with("response.created"))
        .count();
    assert!(text.contains(&format!("({times} times)")), "{text}");
    let told = report.to_json();
    assert_eq!(told["breaches"][0]["count"], report.breaches.len());
}

#[tokio::test]
async fn answers_that_come_too_late_are_not_taken_for_the_next_ones() {
    let slow = "faults: [{when: {sent: response.created}, do: {delay: 1500}, every: true}]";
    let server = start(strict().script_text(slow, "."));
    let report = check(server.url(), "openai", Duration::from_secs(1)).await;
    let mut rules: Vec<_> = report.breaches.iter().map(|b| b.rule).collect();
    rules.dedup();
    assert_eq!(rules, ["S4"], "{}", report.to_text());
}

/// A proxy that hangs up at the first frame that fits.
async fn hanging_up(upstream: String, at: fn(&Message) -> bool) -> String {
    let (listener, url) = listening().await;
    tokio::spawn(async move {
        let mut client = accepted(&listener).await;
        let mut server = Client::connect(&upstream).await.ws;
        loop {
            tokio::select! {
                Some(Ok(message)) = client.next() => match at(&message) {
                    true => return,
                    false => server.send(message).await.expect("sends"),
                },
                Some(Ok(message)) = server.next() => {
                    client.send(message).await.expect("sends");
                }
                else => return,
            }
        }
    });
    url
}

#[tokio::test]
async fn nothing_is_asked_of_a_server_that_has_hung_up() {
    let server = start(strict());
    let at = |message: &Message| message.to_text().is_ok_and(|text| text.contains("commit"));
    let url = hanging_up(server.url().to_owned(), at).await;
    let report = check(&url, "openai", Duration::from_secs(10)).await;
    let broken: Vec<_> = report.breaches.iter().map(|breach| breach.rule).collect();
    assert_eq!(broken, ["S27", "S16"], "{}", report.to_text());
    let last = report.steps.last().expect("steps");
    assert!(last.seen.starts_with("not asked"), "{}", last.seen);
    let speech = report.capabilities.iter().find(|can| can.name == "speech");
    assert_eq!(speech.expect("is named").is_there, None);
}

#[tokio::test]
async fn a_server_may_hang_up_at_a_binary_frame() {
    let server = start(strict());
    let url = hanging_up(server.url().to_owned(), Message::is_binary).await;
    let report = check(&url, "openai", Duration::from_secs(10)).await;
    assert!(report.breaches.is_empty(), "{}", report.to_text());
}
