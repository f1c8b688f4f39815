//! Faults of a script, seen from the client.

use std::time::{Duration, Instant};

use serde_json::json;
use talkwire_server::{Action, Config, Fault, LocalServer, When};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::common::{Client, Ended, start, strict};

async fn with_fault(fault: &str) -> (LocalServer, Client) {
    let script = format!("faults: [{{{fault}}}]");
    let server = start(strict().script_text(script, "."));
    let mut client = Client::connect(server.url()).await;
    client.expect("session.created").await;
    client.say("one two three").await;
    client.until("conversation.item.done").await;
    client.send(json!({"type": "response.create"})).await;
    (server, client)
}

async fn ended_after(fault: &str) -> (usize, Ended) {
    let (_server, mut client) = with_fault(fault).await;
    let mut deltas = 0;
    loop {
        match client.message().await {
            Some(Ok(Message::Text(text))) => {
                deltas += usize::from(text.as_str().contains("output_audio.delta"));
            }
            Some(Ok(Message::Close(Some(frame)))) => {
                let reason = frame.reason.as_str().to_owned();
                return (deltas, Ended::Closed(frame.code.into(), reason));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return (deltas, Ended::Lost),
        }
    }
}

const THIRD_DELTA: &str = "when: {sent: response.output_audio.delta, count: 3}, do: ";

#[tokio::test]
async fn a_session_ends_where_the_script_says_and_as_it_says() {
    for code in [1000, 1001, 1008, 1011, 4000] {
        let fault = format!("{THIRD_DELTA}{{close: {code}}}");
        let expected = (3, Ended::Closed(code, String::new()));
        assert_eq!(ended_after(&fault).await, expected);
    }
    let fault = format!("{THIRD_DELTA}{{close: {{code: 4001, reason: because}}}}");
    let expected = (3, Ended::Closed(4001, "because".to_owned()));
    assert_eq!(ended_after(&fault).await, expected);
    let dropped = ended_after(&format!("{THIRD_DELTA}drop")).await;
    assert_eq!(dropped, (3, Ended::Lost));
    let received = ended_after("when: {received: response.create}, do: {close: 1011}").await;
    assert_eq!(received, (0, Ended::Closed(1011, String::new())));
}

#[tokio::test]
async fn a_half_open_session_says_no_more_until_the_server_stops() {
    let (server, mut client) = with_fault(&format!("{THIRD_DELTA}hang")).await;
    let mut deltas = 0;
    while deltas < 3 {
        let event = client.next().await;
        deltas += usize::from(event["type"] == "response.output_audio.delta");
    }
    client.send(json!({"type": "response.cancel"})).await;
    let stopped = std::thread::spawn(move || server.stop());
    assert_eq!(client.ended().await, Ended::Lost);
    stopped.join().expect("stops");
}

#[tokio::test]
async fn frames_are_spoiled_as_the_script_says() {
    let spoiled = async |action: &str| {
        let (_server, mut client) = with_fault(&format!("{THIRD_DELTA}{action}")).await;
        let mut frames = Vec::new();
        loop {
            let message = match client.message().await.expect("more") {
                Ok(message) => message,
                // What is larger than a client takes ends it.
                Err(Error::Capacity(_)) => return vec![Message::text("too large")],
                Err(other) => panic!("{other}"),
            };
            let done = message
                .to_text()
                .is_ok_and(|t| t.contains("\"response.done\""));
            frames.push(message);
            if done {
                return frames;
            }
        }
    };
    let has = |frames: &[Message], part: &str| {
        frames
            .iter()
            .any(|m| m.to_text().is_ok_and(|t| t.contains(part)))
    };
    assert!(has(&spoiled("bad_base64").await, "\"delta\":\"#"));
    assert!(has(
        &spoiled("unknown_event").await,
        "response.reasoning.delta"
    ));
    assert!(has(&spoiled("{send: hello}").await, "hello"));
    let binary = spoiled("binary").await;
    assert!(binary.iter().any(Message::is_binary));
    let malformed = spoiled("malformed").await;
    let is_broken = |m: &Message| {
        let text = m.to_text().unwrap_or_default();
        m.is_text() && serde_json::from_str::<serde_json::Value>(text).is_err()
    };
    assert!(malformed.iter().any(is_broken));
    let twice = spoiled("duplicate").await;
    assert!(twice.windows(2).any(|pair| pair[0] == pair[1]));
    assert!(has(&spoiled("oversized").await, "too large"));
    let frames = |all: &[Message]| all.iter().filter(|m| m.is_text()).count();
    assert_eq!(frames(&spoiled("omit").await) + 1, frames(&binary));
}

#[tokio::test]
async fn a_client_can_be_turned_away_or_left_waiting_at_the_door() {
    let script = "faults:\n\
                  - {when: {connect: true}, do: {http: 503}}\n\
                  - {when: {connect: true, count: 2}, do: drop}\n\
                  - {when: {connect: true, count: 3}, do: hang}\n";
    let server = start(strict().script_text(script, "."));
    let first = Client::try_connect(server.url(), &[]).await;
    let Err(Error::Http(response)) = first.map(|_| ()) else {
        panic!("an HTTP status")
    };
    assert_eq!(response.status().as_u16(), 503);
    assert!(Client::try_connect(server.url(), &[]).await.is_err());
    // Connections are taken in order: this one is the third before the fourth is begun.
    let address = ("127.0.0.1", server.port());
    let third = TcpStream::connect(address).await.expect("connects");
    let (mut fourth, _) = Client::open(&server).await;
    fourth.still_works().await;
    let url = server.url().to_owned();
    let waiting = tokio::spawn(async move { client_async(url, third).await.is_err() });
    assert!(!waiting.is_finished());
    let stopped = std::thread::spawn(move || server.stop());
    assert!(waiting.await.expect("ends"));
    stopped.join().expect("stops");
}

/// A client of a server with these faults, which has read `session.created`.
async fn faulty(config: Config) -> (LocalServer, Client) {
    let server = start(config);
    let mut client = Client::connect(server.url()).await;
    client.expect("session.created").await;
    (server, client)
}

fn faults(text: &str) -> Config {
    strict().script_text(format!("faults: [{text}]"), ".")
}

#[tokio::test]
async fn an_event_is_held_and_nothing_overtakes_it() {
    let delay = "{when: {sent: conversation.item.added}, do: {delay: 300}}, \
                 {when: {sent: conversation.item.done}, do: {close: 1011}}";
    let (_server, mut client) = faulty(faults(delay)).await;
    let asked = Instant::now();
    client.say("hi").await;
    client.expect("conversation.item.added").await;
    assert!(asked.elapsed() >= Duration::from_millis(300));
    client.expect("conversation.item.done").await;
    assert_eq!(client.ended().await, Ended::Closed(1011, String::new()));
    let jitter = "{when: {sent: conversation.item.done}, do: {jitter: 20}, every: true}";
    let (_server, mut client) = faulty(faults(jitter)).await;
    client.still_works().await;
}

#[tokio::test]
async fn a_server_reads_as_slowly_as_the_script_says() {
    let slow = "{when: {sent: session.created}, do: {slow_read: 100}}";
    let (_server, mut client) = faulty(faults(slow)).await;
    let asked = Instant::now();
    for _ in 0..3 {
        client
            .send(json!({"type": "input_audio_buffer.clear"}))
            .await;
    }
    for _ in 0..3 {
        client.expect("input_audio_buffer.cleared").await;
    }
    assert!(asked.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn an_error_is_sent_or_answers_what_arrived() {
    let errors = "{when: {received: input_audio_buffer.clear}, do: {error: no_luck}}, \
                  {when: {sent: input_audio_buffer.cleared}, do: {error: {code: c, type: t, \
                  message: m, param: p}}}";
    let (_server, mut client) = faulty(faults(errors)).await;
    let clear = json!({"type": "input_audio_buffer.clear", "event_id": "mine"});
    client.send(clear.clone()).await;
    let error = client.expect("error").await["error"].clone();
    assert_eq!(
        (&error["code"], &error["event_id"]),
        (&json!("no_luck"), &json!("mine"))
    );
    client.send(clear).await;
    client.expect("input_audio_buffer.cleared").await;
    let error = client.expect("error").await["error"].clone();
    let said = ["code", "type", "message", "param"].map(|key| error[key].clone());
    assert_eq!(said, ["c", "t", "m", "p"]);
    client.still_works().await;
}

#[tokio::test]
async fn a_quota_that_is_used_up_fails_the_response_or_the_connection() {
    let limits = "{when: {received: response.create}, do: rate_limit}, \
                  {when: {received: input_audio_buffer.clear}, do: rate_limit}, \
                  {when: {connect: true, count: 2}, do: rate_limit}";
    let (server, mut client) = faulty(faults(limits)).await;
    let events = client.respond(json!({})).await;
    let response = &events.last().expect("some")["response"];
    assert_eq!(response["status"], "failed");
    let error = &response["status_details"]["error"];
    assert_eq!(error["code"], "rate_limit_exceeded");
    assert_eq!(error["type"], "tokens");
    let limits = client.expect("rate_limits.updated").await;
    let tokens = &limits["rate_limits"][1];
    assert_eq!(
        (&tokens["name"], &tokens["remaining"]),
        (&json!("tokens"), &json!(0))
    );
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    let error = client.expect("error").await;
    assert_eq!(error["error"]["code"], "rate_limit_exceeded");
    assert_eq!(error["error"]["type"], "tokens");
    client.still_works().await;
    let second = Client::try_connect(server.url(), &[]).await;
    let Err(Error::Http(response)) = second.map(|_| ()) else {
        panic!("an HTTP status")
    };
    assert_eq!(response.status().as_u16(), 429);
}

#[tokio::test]
async fn a_session_expires_or_ends_at_a_time_of_its_own() {
    let (_server, mut client) = faulty(faults("{when: {after_ms: 20}, do: expire}")).await;
    let error = client.expect("error").await;
    assert_eq!(error["error"]["code"], "session_expired");
    let Ended::Closed(1001, reason) = client.ended().await else {
        panic!("an expiry closes with 1001")
    };
    assert!(reason.contains("maximum duration"), "{reason}");
    let (_server, mut client) = faulty(faults("{when: {after_ms: 20}, do: drop}")).await;
    assert_eq!(client.ended().await, Ended::Lost);
}

#[tokio::test]
async fn an_event_that_arrived_can_be_left_out() {
    let omit = "{when: {received: conversation.item.create}, do: omit}";
    let (_server, mut client) = faulty(faults(omit)).await;
    client.say("never heard").await;
    client.say("heard").await;
    let added = client.expect("conversation.item.added").await;
    assert_eq!(added["item"]["content"][0]["text"], "heard");
}

#[tokio::test]
async fn the_same_seed_makes_the_same_faults() {
    let doubled = async |seed: u64| {
        let twice = Fault::new(
            When::sent("input_audio_buffer.cleared").probability(0.5),
            Action::Duplicate,
        );
        let (_server, mut client) = faulty(strict().seed(seed).fault(twice.every())).await;
        for _ in 0..40 {
            client
                .send(json!({"type": "input_audio_buffer.clear"}))
                .await;
        }
        client.send(json!({"type": "no.such"})).await;
        let events = client.until("error").await;
        let ids: Vec<_> = events
            .iter()
            .map(|event| event["event_id"].clone())
            .collect();
        ids.windows(2)
            .map(|pair| pair[0] == pair[1])
            .collect::<Vec<_>>()
    };
    let (first, again, other) = (doubled(5).await, doubled(5).await, doubled(6).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert!(first.contains(&true) && first.contains(&false));
}

#[tokio::test]
async fn faults_come_from_files_of_yaml_and_json_too() {
    let dir = std::env::temp_dir().join(format!("talkwire-faults-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).expect("writes");
        path
    };
    let list = write(
        "list.yaml",
        "- {when: {sent: input_audio_buffer.cleared}, do: duplicate}\n",
    );
    let map = write(
        "map.json",
        r#"{"faults": [{"when": {"sent": "conversation.item.done"}, "do": {"close": 4001}}]}"#,
    );
    let bad = write("bad.yaml", "\n- {when: {sent: no.such}, do: drop}\n");
    let (_server, mut client) = faulty(strict().fault_file(list).fault_file(map)).await;
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    client.expect("input_audio_buffer.cleared").await;
    client.expect("input_audio_buffer.cleared").await;
    client.say("hi").await;
    assert_eq!(client.ended().await, Ended::Closed(4001, String::new()));
    let error = LocalServer::start(strict().fault_file(bad)).expect_err("refused");
    let message = error.message();
    assert!(
        message.contains("bad.yaml:2:") && message.contains("no.such"),
        "{message}"
    );
    std::fs::remove_dir_all(dir).expect("removes");
}
