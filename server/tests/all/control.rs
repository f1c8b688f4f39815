use std::time::Duration;

use serde_json::{Value, json};
use talkwire_server::{Config, LocalServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{Client, Ended, PATIENCE, start, strict};

/// An HTTP client of twenty lines, so that it can say wrong things, too.
async fn http(server: &LocalServer, head: &str, body: &str) -> (u16, String) {
    let url = server.control_url().expect("control is on");
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut tcp = TcpStream::connect(host).await.expect("connects");
    let host = if head.to_ascii_lowercase().contains("host:") {
        String::new()
    } else {
        format!("host: {host}\r\n")
    };
    let request = format!(
        "{head}\r\n{host}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    tcp.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut answer));
    read.await.expect("an answer").expect("reads");
    let answer = String::from_utf8(answer).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    (status.expect("a status"), body.to_owned())
}

async fn get(server: &LocalServer, path: &str) -> Value {
    let (status, body) = http(server, &format!("GET {path} HTTP/1.1"), "").await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

async fn post(server: &LocalServer, path: &str, body: &Value) -> (u16, Value) {
    let head = format!("POST {path} HTTP/1.1\r\ncontent-type: application/json");
    let (status, body) = http(server, &head, &body.to_string()).await;
    (status, serde_json::from_str(&body).expect("JSON"))
}

fn controlled() -> Config {
    strict().control(0)
}

#[tokio::test]
async fn health_sessions_journal_and_report_tell_what_a_session_did() {
    let server = start(controlled().api_key("hunter22"));
    let key = [("Authorization", "Bearer hunter22")];
    let mut client = Client::try_connect(server.url(), &key)
        .await
        .expect("upgrades");
    client.expect("session.created").await;
    client.say("hello").await;
    client.respond(json!({"output_modalities": ["text"]})).await;
    let wrong = Client::try_connect(server.url(), &[("Authorization", "Bearer wrong-one")]).await;
    assert!(wrong.is_err());

    let health = get(&server, "/health").await;
    assert_eq!(
        (&health["ok"], &health["sessions"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(health["url"], server.url());
    let sessions = get(&server, "/sessions").await;
    assert_eq!(sessions["sessions"][0]["running"], true, "{sessions}");
    let journal = get(&server, "/sessions/0/journal").await;
    let entries = journal["entries"].as_array().expect("entries");
    let names: Vec<_> = entries.iter().map(|e| e["name"].as_str()).collect();
    for name in [
        "opened",
        "session.created",
        "response.create",
        "response.done",
    ] {
        assert!(names.contains(&Some(name)), "{name}: {names:?}");
    }
    let next = journal["next"].as_u64().expect("a number");
    assert_eq!(next, entries.len() as u64);
    let rest = get(&server, &format!("/sessions/0/journal?from={next}")).await;
    assert_eq!(rest["entries"], json!([]));
    let report = get(&server, "/report").await;
    assert_eq!(report["waits_ms"]["to_done"]["count"], 1, "{report}");
    assert_eq!(report["refused_upgrades"][0]["status"], 401, "{report}");
    let all = format!("{journal}{report}");
    assert!(
        !all.contains("hunter22") && !all.contains("wrong-one"),
        "{all}"
    );
}

#[tokio::test]
async fn the_clock_can_be_put_ahead_to_the_end_of_a_session() {
    let server = start(controlled().lifetime(Duration::from_secs(3600)));
    let (mut client, session) = Client::open(&server).await;
    let (status, body) = post(&server, "/clock/advance", &json!({"ms": 3_500_000})).await;
    assert_eq!(status, 200, "{body}");
    client.still_works().await;
    post(&server, "/clock/advance", &json!({"ms": 100_000})).await;
    let error = client.until("error").await.pop().expect("an error");
    assert_eq!(error["error"]["code"], "session_expired");
    assert!(matches!(client.ended().await, Ended::Closed(1001, _)));
    let (_, later) = Client::open(&server).await;
    let gap = later["expires_at"].as_u64().expect("a time")
        - session["expires_at"].as_u64().expect("a time");
    assert!((3600..3620).contains(&gap), "{gap}");
    let (status, _) = post(&server, "/clock/advance", &json!({"ms": u64::MAX})).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn events_are_injected_in_both_directions() {
    let server = start(controlled());
    let (mut client, _) = Client::open(&server).await;
    let event = json!({"type": "conversation.made_up", "event_id": "event_x"});
    let inject = json!({"to": "client", "event": event});
    assert_eq!(post(&server, "/sessions/0/inject", &inject).await.0, 200);
    assert_eq!(client.next().await, event);
    let event = json!({"type": "session.update", "session": {"type": "realtime",
        "instructions": "from the side"}});
    let inject = json!({"to": "server", "event": event});
    assert_eq!(post(&server, "/sessions/0/inject", &inject).await.0, 200);
    let updated = client.expect("session.updated").await;
    assert_eq!(updated["session"]["instructions"], "from the side");
}

#[tokio::test]
async fn faults_are_set_for_now_for_a_moment_and_for_sessions_to_come() {
    let server = start(controlled());
    let (mut client, _) = Client::open(&server).await;
    let plant = json!({"when": {"sent": "response.done"}, "do": "omit"});
    assert_eq!(post(&server, "/sessions/0/fault", &plant).await.0, 200);
    client.say("hello").await;
    client
        .send(json!({"type": "response.create", "response": {"output_modalities": ["text"]}}))
        .await;
    client.until("response.output_item.done").await;
    let plant = json!({"do": {"close": {"code": 1011, "reason": "as asked"}}});
    assert_eq!(post(&server, "/sessions/0/fault", &plant).await.0, 200);
    assert_eq!(
        client.ended().await,
        Ended::Closed(1011, "as asked".to_owned())
    );
    let plant = json!({"when": {"sent": "session.created"}, "do": "drop"});
    assert_eq!(post(&server, "/fault", &plant).await.0, 200);
    let mut client = Client::connect(server.url()).await;
    assert_eq!(client.ended().await, Ended::Lost);
    let plant = json!({"when": {"connect": true}, "do": {"http": 503}});
    assert_eq!(post(&server, "/fault", &plant).await.0, 200);
    assert!(Client::try_connect(server.url(), &[]).await.is_err());
    let report = get(&server, "/report").await;
    assert!(report["faults"].as_u64() >= Some(3), "{report}");
}

#[tokio::test]
async fn a_wrong_request_is_answered_with_what_is_wrong() {
    let server = start(controlled());
    let json = "\r\ncontent-type: application/json";
    let large = format!("\"{}\"", "x".repeat(2 << 20));
    for (head, body, status, code) in [
        ("GET /nothing HTTP/1.1", "", 404, "not_found"),
        ("GET /sessions/7/journal HTTP/1.1", "", 404, "no_session"),
        ("GET /sessions/x/journal HTTP/1.1", "", 400, "bad_request"),
        ("POST /health HTTP/1.1", "", 405, "method_not_allowed"),
        ("GET /clock/advance HTTP/1.1", "", 405, "method_not_allowed"),
        (
            "POST /clock/advance HTTP/1.1",
            "{\"ms\":1}",
            415,
            "not_json",
        ),
        (
            "POST /clock/advance HTTP/1.1{json}",
            "{\"ms\":",
            400,
            "bad_request",
        ),
        (
            "POST /clock/advance HTTP/1.1{json}",
            "{\"min\":1}",
            400,
            "bad_request",
        ),
        ("POST /fault HTTP/1.1{json}", &large, 413, "body_too_large"),
        (
            "POST /fault HTTP/1.1{json}",
            "{\"do\":\"drop\"}",
            400,
            "bad_request",
        ),
        (
            "POST /fault HTTP/1.1{json}",
            "{\"when\":{},\"do\":\"drop\"}",
            400,
            "bad_request",
        ),
        (
            "POST /sessions/7/fault HTTP/1.1{json}",
            "{\"do\":\"drop\"}",
            404,
            "no_session",
        ),
        (
            "GET /health HTTP/1.1\r\nhost: evil.example",
            "",
            403,
            "foreign_host",
        ),
        (
            "GET /health HTTP/1.1\r\norigin: http://evil.example",
            "",
            403,
            "foreign_origin",
        ),
    ] {
        let (found, body) = http(&server, &head.replace("{json}", json), body).await;
        assert_eq!(found, status, "{head}: {body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["error"]["code"], code, "{head}: {body}");
        assert!(
            body["error"]["message"]
                .as_str()
                .is_some_and(|m| !m.is_empty())
        );
    }
}

#[tokio::test]
async fn a_fault_at_an_event_that_does_not_exist_is_refused_by_its_key() {
    let server = start(controlled());
    let (_client, _) = Client::open(&server).await;
    for (key, name) in [
        ("sent", "response.don"),
        ("sent", "response.create"),
        ("received", "session.updat"),
        ("received", "session.updated"),
    ] {
        for path in ["/fault", "/sessions/0/fault"] {
            let plant = json!({"when": {key: name}, "do": "drop"});
            let (status, body) = post(&server, path, &plant).await;
            assert_eq!(status, 400, "{body}");
            let message = body["error"]["message"].as_str().expect("a message");
            let is_told = message.starts_with(&format!("when.{key}: ")) && message.contains(name);
            assert!(is_told, "{message}");
        }
    }
}

#[tokio::test]
async fn the_page_is_whole_in_itself() {
    let server = start(controlled());
    let (status, page) = http(&server, "GET / HTTP/1.1", "").await;
    assert_eq!(status, 200);
    assert!(page.starts_with("<!doctype html>"));
    // The name space of SVG is a name, not an address.
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(start(strict()).control_url(), None);
}

#[tokio::test]
async fn journals_are_files_without_keys_and_audio() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("journals");
    let _ = std::fs::remove_dir_all(&dir);
    let server = start(strict().journal(&dir).api_key("hunter22"));
    let key = [("Authorization", "Bearer hunter22")];
    let mut client = Client::try_connect(server.url(), &key)
        .await
        .expect("upgrades");
    client.expect("session.created").await;
    client
        .update(
            json!({"type": "realtime", "audio": {"input": {"turn_detection": null}},
        "tools": [{"type": "function", "name": "f", "description": "says hunter22"}]}),
        )
        .await;
    client.stream(&[0; 4800], 24_000).await;
    client.say("hello").await;
    client.respond(json!({})).await;
    drop(client);
    server.stop();
    let text = std::fs::read_to_string(dir.join("session-0000.jsonl")).expect("a file");
    assert!(!text.contains("hunter22"), "{text}");
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let lines: Vec<Value> = lines.collect();
    let named = |name: &str| {
        let mut found = lines.iter().filter(|line| line["name"] == name);
        found.next().unwrap_or_else(|| panic!("{name}: {text}"))
    };
    assert_eq!(
        named("input_audio_buffer.append")["event"]["audio"]["ms"],
        20
    );
    assert!(named("response.output_audio.delta")["event"]["delta"]["ms"].as_u64() > Some(0));
    let last = lines.last().expect("lines");
    assert_eq!(
        (&last["from"], &last["lane"]),
        (&json!("journal"), &json!("link"))
    );
    let wrong = LocalServer::start(strict().journal("/dev/null/x"));
    assert!(
        wrong
            .expect_err("no directory")
            .message()
            .contains("/dev/null/x")
    );
}
