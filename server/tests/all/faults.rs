//! Faults of a script, seen from the client.

use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::common::{Client, Ended, start, strict};

async fn with_fault(fault: &str) -> (talkwire_server::LocalServer, Client) {
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
