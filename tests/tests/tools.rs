//! Tools that this process runs, over a real WebSocket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use talkwire_core::event::local::Local;
use talkwire_core::options::tool::Tool;
use talkwire_core::{Client, Event, Options, Session};
use talkwire_server::{Config, LocalServer};

const SCRIPT: &str = r#"
turns:
  - when: {user: any}
    call:
      - {name: price, arguments: {dish: soup}}
      - {name: price, arguments: {dish: tea}}
  - when: {tool: price}
    say: "That is all."
"#;

fn server() -> LocalServer {
    let config = Config::new().profile("openai").script_text(SCRIPT, ".");
    LocalServer::start(config).expect("it starts")
}

async fn open(server: &LocalServer, tool: Tool) -> Session {
    let client = Client::new().url(server.url());
    let client = client.dialect("openai").expect("built in");
    let options = Options::from_json(r#"{"session": {"output_modalities": ["text"]}}"#);
    let options = Options {
        tools: vec![tool],
        ..options.expect("valid")
    };
    let session = client.open(options).expect("it opens");
    session.opened().await.expect("it opens");
    session
}

fn tool() -> Tool {
    let schema = json!({"type": "object", "properties": {"dish": {"type": "string"}},
        "required": ["dish"]});
    Tool::new("price").parameters(schema)
}

async fn until(session: &Session, is_it: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), session.next()).await;
        let event = next.expect("something comes").expect("the session goes on");
        events.push(event);
        if is_it(&events[events.len() - 1]) {
            return events;
        }
    }
}

fn names(events: &[Event], name: &str) -> usize {
    events.iter().filter(|event| event.name() == name).count()
}

fn is_answer(event: &Event) -> bool {
    event.text() == Some("That is all.") && event.name() == "response.output_text.done"
}

#[test]
fn parallel_calls_run_once_each_and_the_model_goes_on_once() {
    let server = server();
    let runs = Arc::new(AtomicU32::new(0));
    let runtime = talkwire_core::Runtime::shared().expect("a runtime");
    runtime.block_on(async {
        let session = open(&server, tool()).await;
        let count = runs.clone();
        let done = session.run_tool(tool(), move |call| {
            count.fetch_add(1, Ordering::Relaxed);
            async move { Ok(json!({"for": call.arguments}).to_string()) }
        });
        done.expect("sent").await.expect("registered");
        drop(session.send_text("How much?").expect("sent"));
        drop(session.respond(None).expect("sent"));
        let events = until(&session, is_answer).await;
        assert_eq!(runs.load(Ordering::Relaxed), 2);
        assert_eq!(names(&events, "tool.call"), 2);
        assert_eq!(names(&events, "response.created"), 2);
        session.close();
        session.closed().await;
    });
}

#[test]
fn a_tool_that_panics_or_blocks_costs_nobody_the_session() {
    let server = server();
    let runtime = talkwire_core::Runtime::shared().expect("a runtime");
    runtime.block_on(async {
        let session = open(&server, tool()).await;
        let done = session.run_blocking_tool(tool(), |call| {
            assert!(!call.arguments.contains("tea"), "no tea");
            Ok("3".to_owned())
        });
        done.expect("sent").await.expect("registered");
        drop(session.send_text("How much?").expect("sent"));
        drop(session.respond(None).expect("sent"));
        until(&session, is_answer).await;
        session.close();
        assert!(session.closed().await.expected);
    });
}

#[test]
fn a_tool_nobody_waits_for_is_told_and_its_task_is_dropped() {
    let server = server();
    let runtime = talkwire_core::Runtime::shared().expect("a runtime");
    runtime.block_on(async {
        let session = open(&server, tool()).await;
        let (dropped, mut is_dropped) = tokio::sync::mpsc::unbounded_channel::<()>();
        let done = session.run_tool(tool(), move |_| {
            let dropped = dropped.clone();
            async move {
                let _dropped = dropped;
                std::future::pending().await
            }
        });
        done.expect("sent").await.expect("registered");
        drop(session.send_text("How much?").expect("sent"));
        drop(session.respond(None).expect("sent"));
        until(&session, |event| event.name() == "response.done").await;
        session.close();
        let mut cancelled = 0;
        while let Some(event) = session.next().await {
            cancelled += u32::from(matches!(event.own(), Some(Local::ToolCancelled(_))));
        }
        assert_eq!(cancelled, 2);
        assert_eq!(is_dropped.recv().await, None, "its task is gone");
    });
}
