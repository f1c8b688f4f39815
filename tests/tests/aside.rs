//! A response beside the conversation where the server gives none: over a link of its own.

use std::time::Duration;

use serde_json::{Value, json};
use talkwire_core::options::WhenBusy;
use talkwire_core::{Client, Event, Options, Runtime, Session};
use talkwire_server::{Config, LocalServer};

const SCRIPT: &str = r#"
turns:
  - when: {user: /so far/}
    say: "A summary."
  - say: "Hello."
"#;

fn server(profile: &str) -> LocalServer {
    let config = Config::new().profile(profile).script_text(SCRIPT, ".");
    LocalServer::start(config.journal_in_memory(true)).expect("it starts")
}

async fn open(server: &LocalServer) -> Session {
    let options = Options::from_json(r#"{"session": {"output_modalities": ["text"]}}"#);
    let client = Client::new().url(server.url());
    let session = client.open(options.expect("valid")).expect("it opens");
    session.opened().await.expect("it opens");
    session
}

async fn until(session: &Session, name: &str) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), session.next()).await;
        let event = next.expect("something comes").expect("the session goes on");
        let is_last = event.name() == name;
        events.push(event);
        if is_last {
            return events;
        }
    }
}

fn aside() -> Option<serde_json::Map<String, Value>> {
    let response = json!({"conversation": "none", "output_modalities": ["text"],
        "instructions": "Summarise.", "metadata": {"topic": "summary"}});
    response.as_object().cloned()
}

#[test]
fn a_summary_is_made_beside_a_conversation_that_goes_on() {
    let server = server("yandex");
    Runtime::shared().expect("a runtime").block_on(async {
        let session = open(&server).await;
        drop(session.send_text("Good morning").expect("sent"));
        drop(session.respond(None).expect("sent"));
        until(&session, "response.done").await;
        let wish = session
            .respond_when(aside(), WhenBusy::Queue)
            .expect("sent");
        let events = until(&session, "response.done").await;
        wish.await.expect("it began");
        let created = events.iter().find(|e| e.name() == "response.created");
        let created: Value =
            serde_json::from_str(&created.expect("it began").json()).expect("JSON");
        assert_eq!(created["response"]["metadata"]["topic"], "summary");
        assert_eq!(created["response"]["conversation_id"], Value::Null);
        let text = events
            .iter()
            .find(|e| e.name() == "response.output_text.done");
        assert_eq!(text.and_then(Event::text), Some("A summary."));
        assert!(events.iter().all(|event| event.name() != "error"));
        assert!(events.iter().all(|event| event.name() != "session.created"));
        // The conversation knows nothing of it.
        drop(session.send_text("And now?").expect("sent"));
        drop(session.respond(None).expect("sent"));
        let events = until(&session, "response.done").await;
        let text = events
            .iter()
            .find(|e| e.name() == "response.output_text.done");
        assert_eq!(text.and_then(Event::text), Some("Hello."));
        assert_eq!(server.journal().sessions().len(), 2);
        session.close();
        assert!(session.closed().await.expected);
    });
}

#[test]
fn a_second_link_that_cannot_be_had_is_an_error_of_the_wish_and_of_nothing_else() {
    let config = Config::new().profile("yandex").script_text(SCRIPT, ".");
    let server = LocalServer::start(config.max_sessions(1)).expect("it starts");
    Runtime::shared().expect("a runtime").block_on(async {
        let session = open(&server).await;
        let wish = session
            .respond_when(aside(), WhenBusy::Queue)
            .expect("sent");
        let error = wish.await.expect_err("there is room for one session");
        assert_eq!(error.provider().http_status, Some(429));
        drop(session.send_text("Good morning").expect("sent"));
        drop(session.respond(None).expect("sent"));
        until(&session, "response.done").await;
        session.close();
        assert!(session.closed().await.expected);
    });
}
