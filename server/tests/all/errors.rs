//! What clients do wrong: each error has its code, and the socket stays.

use futures_util::SinkExt;
use serde_json::{Value, json};
use talkwire_server::{Config, Pacing};
use tokio_tungstenite::tungstenite::Message;

use crate::common::{Client, Ended, lenient, start, strict};

async fn error(client: &mut Client, event: Value) -> Value {
    client.send(event).await;
    client.until("error").await.pop().expect("one")["error"].clone()
}

#[tokio::test]
async fn each_mistake_has_its_code_and_names_the_event() {
    let server = start(strict());
    let (mut client, _) = Client::open(&server).await;
    let message = |role: &str| json!({"type": "message", "role": role, "content": [{"type": "input_text", "text": "x"}]});
    let cases = [
        (json!({}), "invalid_event", Some("type")),
        (json!({"type": "no.such"}), "invalid_value", Some("type")),
        (
            json!({"type": "output_audio_buffer.clear"}),
            "invalid_value",
            Some("type"),
        ),
        (
            json!({"type": "session.update"}),
            "missing_required_parameter",
            Some("session"),
        ),
        (
            json!({"type": "session.update", "session": {"instructions": "x"}}),
            "missing_required_parameter",
            Some("session.type"),
        ),
        (
            json!({"type": "session.update", "session": {"foo": 1}}),
            "unknown_parameter",
            Some("session.foo"),
        ),
        (
            json!({"type": "session.update", "session": {"modalities": ["text"]}}),
            "unknown_parameter",
            Some("session.modalities"),
        ),
        (
            json!({"type": "response.create", "foo": 1}),
            "unknown_parameter",
            Some("foo"),
        ),
        (
            json!({"type": "response.create", "response": {"foo": 1}}),
            "unknown_parameter",
            Some("response.foo"),
        ),
        (
            json!({"type": "response.create", "response": 1}),
            "invalid_type",
            Some("response"),
        ),
        (
            json!({"type": "response.create", "response": {"input": [{"type": "item_reference", "id": "no"}]}}),
            "invalid_value",
            Some("response.input[0].id"),
        ),
        (
            json!({"type": "response.create", "response": {"input": 1}}),
            "invalid_type",
            Some("response.input"),
        ),
        (
            json!({"type": "response.create", "response": {"metadata": {"a": 1}}}),
            "invalid_type",
            Some("response.metadata.a"),
        ),
        (
            json!({"type": "session.update", "session": {"type": "transcription"}}),
            "invalid_value",
            Some("session.type"),
        ),
        (
            json!({"type": "session.update", "session": {"type": "realtime", "instructions": "x".repeat(200_000)}}),
            "invalid_value",
            Some("session.instructions"),
        ),
        (
            json!({"type": "session.update", "session": {"type": "realtime", "truncation": "never"}}),
            "invalid_value",
            Some("session.truncation"),
        ),
        (
            json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [], "foo": 1}}),
            "unknown_parameter",
            Some("item.foo"),
        ),
        (
            json!({"type": "conversation.item.create", "item": {"type": "mcp_approval_response", "approval_request_id": "no", "approve": true}}),
            "invalid_value",
            Some("item.approval_request_id"),
        ),
        (
            json!({"type": "response.cancel"}),
            "response_cancel_not_active",
            None,
        ),
        (
            json!({"type": "response.cancel", "response_id": "no"}),
            "response_cancel_not_active",
            None,
        ),
        (
            json!({"type": "input_audio_buffer.commit"}),
            "input_audio_buffer_commit_empty",
            None,
        ),
        (
            json!({"type": "input_audio_buffer.append"}),
            "missing_required_parameter",
            Some("audio"),
        ),
        (
            json!({"type": "input_audio_buffer.append", "audio": "###"}),
            "invalid_value",
            Some("audio"),
        ),
        (
            json!({"type": "conversation.item.create"}),
            "missing_required_parameter",
            Some("item"),
        ),
        (
            json!({"type": "conversation.item.create", "item": message("boss")}),
            "invalid_value",
            Some("item.role"),
        ),
        (
            json!({"type": "conversation.item.create", "item": message("user"), "previous_item_id": "nope"}),
            "invalid_value",
            Some("previous_item_id"),
        ),
        (
            json!({"type": "conversation.item.create",
                "item": {"type": "function_call_output", "call_id": "nope", "output": "{}"}}),
            "invalid_tool_call_id",
            Some("item.call_id"),
        ),
        (
            json!({"type": "conversation.item.delete"}),
            "missing_required_parameter",
            Some("item_id"),
        ),
        (
            json!({"type": "conversation.item.delete", "item_id": "no"}),
            "item_delete_invalid_item_id",
            Some("item_id"),
        ),
        (
            json!({"type": "conversation.item.retrieve", "item_id": "no"}),
            "item_retrieve_invalid_item_id",
            Some("item_id"),
        ),
        (
            json!({"type": "conversation.item.truncate", "item_id": "no", "content_index": 0, "audio_end_ms": 1}),
            "item_truncate_invalid_item_id",
            Some("item_id"),
        ),
    ];
    for (number, (mut event, code, param)) in cases.into_iter().enumerate() {
        event["event_id"] = json!(format!("e{number}"));
        let error = error(&mut client, event).await;
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(error["param"].as_str(), param, "{error}");
        assert_eq!(error["event_id"], format!("e{number}"));
        assert_eq!(error["type"], "invalid_request_error");
    }
    let long = json!({"type": "response.cancel", "event_id": "x".repeat(513)});
    assert_eq!(error(&mut client, long).await["param"], "event_id");
    client.still_works().await;
}

#[tokio::test]
async fn what_is_no_event_is_an_error_and_the_socket_stays() {
    let server = start(strict());
    let (mut client, _) = Client::open(&server).await;
    for text in [
        "not json",
        "[]",
        "5",
        "",
        "{\"type\":",
        "{\"type\":7}",
        "null",
    ] {
        client.text(text).await;
        let error = client.expect("error").await;
        assert_eq!(error["error"]["code"], "invalid_event", "{text}");
    }
    let binary = Message::binary(vec![0, 159, 146, 150]);
    client.ws.send(binary).await.expect("sends");
    let error = client.expect("error").await;
    assert_eq!(error["error"]["code"], "invalid_event");
    client
        .ws
        .send(Message::Ping(vec![1].into()))
        .await
        .expect("sends");
    client.still_works().await;
}

#[tokio::test]
async fn a_message_too_large_ends_the_session_cleanly() {
    let server = start(strict());
    let (mut client, _) = Client::open(&server).await;
    let huge = "x".repeat(20 << 20);
    // The server may stop reading before all is written.
    let _ = client.ws.send(Message::text(huge)).await;
    let text = "message too big".to_owned();
    assert_eq!(client.ended().await, Ended::Closed(1009, text));
    let (mut next, _) = Client::open(&server).await;
    next.still_works().await;
}

#[tokio::test]
async fn one_response_runs_at_a_time_and_can_be_cancelled_once() {
    let server = start(strict().pacing(Pacing::Realtime));
    let (mut client, _) = Client::open(&server).await;
    client.say(&"word ".repeat(40)).await;
    client.until("conversation.item.done").await;
    let create = json!({"type": "response.create", "event_id": "second",
        "response": {"output_modalities": ["text"]}});
    client.send(create.clone()).await;
    let error = error(&mut client, create).await;
    assert_eq!(error["code"], "conversation_already_has_active_response");
    assert_eq!(error["event_id"], "second");
    client.until("response.output_text.delta").await;
    client.send(json!({"type": "response.cancel"})).await;
    let events = client.until("response.done").await;
    let done = &events.last().expect("one")["response"];
    assert_eq!(done["status"], "cancelled");
    assert_eq!(done["status_details"]["reason"], "client_cancelled");
    assert_eq!(done["output"][0]["status"], "incomplete");
    client.expect("rate_limits.updated").await;
    let again = self::error(
        &mut client,
        json!({"type": "response.cancel", "event_id": "x"}),
    )
    .await;
    assert_eq!(again["code"], "response_cancel_not_active");
    assert_eq!(again["event_id"], "x");
}

#[tokio::test]
async fn the_lenient_dialect_takes_older_shapes_and_refuses_what_it_lacks() {
    let server = start(lenient());
    let (mut client, _) = Client::open(&server).await;
    let session = client
        .update(json!({"modalities": ["text"], "input_audio_format": "pcm16", "voice": "alena",
            "turn_detection": null, "max_response_output_tokens": 100, "temperature": 0.8, "foo": 1}))
        .await;
    assert_eq!(session["output_modalities"], json!(["text"]));
    assert_eq!(session["audio"]["output"]["voice"], "alena");
    assert_eq!(session["audio"]["input"]["turn_detection"], Value::Null);
    assert_eq!(session["max_output_tokens"], 100);
    let clear = json!({"type": "input_audio_buffer.clear"});
    assert_eq!(error(&mut client, clear).await["param"], "type");
    let agent = json!({"type": "message", "role": "assistant",
        "content": [{"type": "output_text", "text": "x"}]});
    let create = json!({"type": "conversation.item.create", "item": agent});
    assert_eq!(error(&mut client, create).await["param"], "item.role");
    client.still_works().await;
}

#[tokio::test]
async fn the_voice_changes_after_speech_only_where_the_dialect_allows_it() {
    for (config, voice) in [(strict(), "ash"), (lenient(), "dasha")] {
        let is_strict = voice == "ash";
        let server = start(config);
        let (mut client, _) = Client::open(&server).await;
        client.respond(json!({})).await;
        let session = json!({"type": "realtime", "audio": {"output": {"voice": voice}}});
        let update = json!({"type": "session.update", "event_id": "v", "session": session});
        client.send(update).await;
        if is_strict {
            client.expect("rate_limits.updated").await;
            let error = client.expect("error").await;
            assert_eq!(error["error"]["param"], "session.audio.output.voice");
            assert_eq!(error["error"]["event_id"], "v");
        } else {
            let updated = client.expect("session.updated").await;
            assert_eq!(updated["session"]["audio"]["output"]["voice"], voice);
        }
    }
}

#[tokio::test]
async fn an_answer_stops_at_its_limit_of_tokens() {
    let server = start(strict());
    let (mut client, _) = Client::open(&server).await;
    client.say(&"word ".repeat(40)).await;
    client.until("conversation.item.done").await;
    let events = client
        .respond(json!({"output_modalities": ["text"], "max_output_tokens": 10}))
        .await;
    let done = &events.last().expect("one")["response"];
    assert_eq!(done["status"], "incomplete");
    assert_eq!(done["status_details"]["reason"], "max_output_tokens");
    assert_eq!(done["output"][0]["status"], "incomplete");
}

#[tokio::test]
async fn a_function_is_chosen_among_the_tools_and_tracing_is_said_once() {
    let server = start(strict());
    let (mut client, _) = Client::open(&server).await;
    let tool = |name: &str| json!({"type": "function", "name": name});
    client
        .update(json!({"tools": [tool("f")], "tool_choice": tool("f"), "tracing": "auto"}))
        .await;
    client.update(json!({"tracing": "auto"})).await;
    for (session, param) in [
        (json!({"tool_choice": tool("g")}), "session.tool_choice"),
        (json!({"tracing": {"group_id": "x"}}), "session.tracing"),
    ] {
        let mut session = session;
        session["type"] = json!("realtime");
        let update = json!({"type": "session.update", "session": session});
        let error = error(&mut client, update).await;
        assert_eq!(error["code"], "invalid_value");
        assert_eq!(error["param"], param);
    }
    client
        .update(json!({"tools": [tool("g")], "tool_choice": tool("g")}))
        .await;
}

#[tokio::test]
async fn the_first_event_after_the_greeting_of_the_preview_answers_the_client() {
    let server = start(Config::new().profile("azure-preview"));
    let (mut client, _) = Client::open(&server).await;
    let session = json!({"modalities": ["text"]});
    client
        .send(json!({"type": "session.update", "session": session}))
        .await;
    client.expect("session.updated").await;
}

#[tokio::test]
async fn a_server_that_plays_out_clears_what_is_still_to_come() {
    let config = Config::new().profile("voicelive");
    let server = start(config.pacing(Pacing::Realtime));
    let (mut client, _) = Client::open(&server).await;
    let clear = json!({"type": "output_audio_buffer.clear"});
    client.send(clear.clone()).await;
    client.expect("output_audio_buffer.cleared").await;
    client.say("one two three four five six").await;
    client.send(json!({"type": "response.create"})).await;
    client.until("response.audio.delta").await;
    client.send(clear).await;
    let done = client.until("response.done").await.pop().expect("one");
    assert_eq!(done["response"]["status"], "cancelled");
    let cleared = client.expect("output_audio_buffer.cleared").await;
    assert_eq!(cleared["response_id"], done["response"]["id"]);
}
