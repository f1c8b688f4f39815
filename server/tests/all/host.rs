//! A program that holds the server and answers by itself.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use talkwire_server::{Host, HostQuestion};
use tokio::sync::{Notify, mpsc};

use crate::common::{Client, samples_of, start, strict, text_of};

/// Answers what the test tells it to, and keeps what it was asked.
#[derive(Debug, Default)]
struct Program {
    pieces: Vec<Value>,
    /// Whether it never comes to an end.
    goes_on: bool,
    asked: Mutex<Vec<HostQuestion>>,
    held: Mutex<Vec<mpsc::Sender<String>>>,
    over: Notify,
}

impl Host for Program {
    fn ask(&self, question: HostQuestion, answer: mpsc::Sender<String>) {
        self.asked.lock().unwrap().push(question);
        for piece in &self.pieces {
            answer.try_send(piece.to_string()).expect("room");
        }
        if self.goes_on {
            self.held.lock().unwrap().push(answer);
        }
    }

    fn over(&self) {
        self.over.notify_one();
    }
}

async fn asked(program: &Arc<Program>, response: Value) -> Vec<Value> {
    let server = start(strict().answered_by(program.clone()));
    let (mut client, _) = Client::open(&server).await;
    client.say("what now").await;
    client.respond(response).await
}

#[tokio::test]
async fn the_program_is_asked_and_its_pieces_are_the_answer() {
    let pieces = vec![json!({"text": "well, "}), json!({"text": "this"})];
    let program = Arc::new(Program {
        pieces,
        ..Program::default()
    });
    let events = asked(&program, json!({"output_modalities": ["text"]})).await;
    assert_eq!(text_of(&events), "well, this");
    let asked = program.asked.lock().unwrap();
    assert_eq!(asked[0].json["heard"], "what now");
    assert_eq!(
        (asked[0].json["turn"].as_u64(), &asked[0].speech),
        (Some(1), &None)
    );
}

#[tokio::test]
async fn speech_of_the_program_is_heard_as_it_is() {
    let pieces = vec![json!({"speech": "beep", "rate_hz": 24_000, "pcm": "AQACAAMABAA="})];
    let program = Arc::new(Program {
        pieces,
        ..Program::default()
    });
    let events = asked(&program, json!({})).await;
    assert_eq!(samples_of(&events), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_failure_of_the_program_fails_the_response() {
    let pieces = vec![json!({"text": "a"}), json!({"fail": "no idea"})];
    let program = Arc::new(Program {
        pieces,
        ..Program::default()
    });
    let events = asked(&program, json!({"output_modalities": ["text"]})).await;
    let done = &events.last().expect("some")["response"];
    assert_eq!(done["status"], "failed");
    let message = done["status_details"]["error"]["message"].as_str();
    assert!(
        message.is_some_and(|text| text.contains("no idea")),
        "{done}"
    );
}

#[tokio::test]
async fn the_program_is_told_when_its_answer_is_not_wanted_any_more() {
    let program = Arc::new(Program {
        pieces: vec![json!({"text": "a"})],
        goes_on: true,
        ..Program::default()
    });
    let server = start(strict().answered_by(program.clone()));
    let (mut client, _) = Client::open(&server).await;
    client.say("what now").await;
    client
        .send(json!({"type": "response.create", "response": {"output_modalities": ["text"]}}))
        .await;
    client.until("response.output_text.delta").await;
    client.send(json!({"type": "response.cancel"})).await;
    program.over.notified().await;
    assert!(program.held.lock().unwrap()[0].is_closed());
}
