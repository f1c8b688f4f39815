//! What a server is asked.

use serde_json::{Value, json};
use talkwire_core::audio::format::Format;
use talkwire_core::wire::audio;
use tokio_tungstenite::tungstenite::Message;

use super::walk::{Walk, message};
use crate::redact::Formats;

/// Asks everything, one thing after another.
pub(super) async fn all(walk: &mut Walk) {
    greeting(walk).await;
    if walk.is_over() || walk.seen.is_empty() {
        return;
    }
    update(walk).await;
    unknown(walk).await;
    malformed(walk).await;
    empty_commit(walk).await;
    idle_cancel(walk).await;
    let item = item(walk).await;
    text(walk).await;
    twice(walk).await;
    cancel(walk).await;
    aside(walk).await;
    speech_out(walk).await;
    speech_in(walk).await;
    function(walk).await;
    items(walk, &item).await;
    detection(walk).await;
    binary(walk).await;
}

async fn greeting(walk: &mut Walk) {
    walk.begin("nothing: a connection");
    if walk.named("session.created").await.is_none() {
        walk.broken("S1", "no session.created came");
    }
    walk.end();
}

async fn update(walk: &mut Walk) {
    walk.begin("session.update: text answers, turns by hand, instructions");
    let instructions = "You are being checked. Answer with a few words.";
    let session = json!({"type": "realtime", "output_modalities": ["text"],
        "instructions": instructions, "audio": {"input": {"turn_detection": null}}});
    let id = walk
        .ask("session.update", json!({"session": session}))
        .await;
    let answer = walk
        .until(|seen| ["session.updated", "error"].contains(&seen.name.as_str()))
        .await;
    match answer {
        Some(seen) if seen.name == "session.updated" => {
            if seen.text("/session/instructions") != instructions {
                walk.broken("S14", "session.updated does not show the new instructions");
            }
            if seen.text("/session/id").is_empty() && seen.raw.pointer("/session/audio").is_none() {
                walk.broken("S14", "session.updated shows a part of the session only");
            }
        }
        Some(seen) => {
            let code = seen.text("/error/code");
            walk.broken("S14", format!("session.update {id} was refused: {code}"));
        }
        None => walk.broken("S14", "session.update was not answered"),
    }
    walk.end();
}

async fn unknown(walk: &mut Walk) {
    walk.begin("an event of an unknown type");
    let id = walk.ask("talkwire.no_such_event", json!({})).await;
    walk.refused("S12", &id, "an unknown type").await;
    walk.end();
}

async fn malformed(walk: &mut Walk) {
    walk.begin("half a JSON object");
    walk.send(Message::text("{\"type\":")).await;
    walk.refused("S15", "", "half a JSON object").await;
    walk.end();
}

/// No frame of the protocol: a server may refuse it, pass over it or hang up.
async fn binary(walk: &mut Walk) {
    walk.begin("a binary frame");
    walk.may_end();
    walk.send(Message::binary(vec![0, 1, 2])).await;
    let error = walk.named("error").await;
    walk.can("answers binary frames", error.is_some(), "");
    walk.end();
}

async fn empty_commit(walk: &mut Walk) {
    walk.begin("a commit of no audio");
    let id = walk.ask("input_audio_buffer.commit", json!({})).await;
    walk.refused("S16", &id, "an empty commit").await;
    walk.end();
}

async fn idle_cancel(walk: &mut Walk) {
    walk.begin("response.cancel with nothing to cancel");
    let id = walk.ask("response.cancel", json!({})).await;
    walk.refused("S17", &id, "an idle cancel").await;
    walk.end();
}

/// Adds an item and waits until it is there; returns its id.
async fn add(walk: &mut Walk, id: &str, words: &str) {
    walk.ask("conversation.item.create", message(id, words))
        .await;
    let added = walk
        .until(|seen| seen.name == "error" || seen.text("/item/id") == id)
        .await;
    match added {
        Some(seen) if seen.name != "error" => {}
        Some(seen) => {
            let code = seen.text("/error/code").to_owned();
            walk.broken("S19", format!("the item {id} was refused: {code}"));
        }
        None => walk.broken(
            "S19",
            format!("the item {id} was not confirmed under its id"),
        ),
    }
}

async fn item(walk: &mut Walk) -> String {
    let id = "item_of_the_check".to_owned();
    walk.begin("conversation.item.create with an id of the client");
    add(walk, &id, "Good day.").await;
    walk.end();
    id
}

async fn text(walk: &mut Walk) {
    walk.begin("response.create: text");
    let response = json!({"response": {"output_modalities": ["text"]}});
    walk.ask("response.create", response).await;
    match walk.named("response.done").await {
        None => walk.broken("S4", "response.create was not followed by response.done"),
        Some(done) => {
            let answers = walk
                .seen
                .iter()
                .any(|s| s.name == "response.output_text.delta");
            let status = done.text("/response/status").to_owned();
            walk.can("text answers", answers, &status);
            let usage = done.raw.pointer("/response/usage/total_tokens").is_some();
            walk.can("usage", usage, "");
        }
    }
    walk.settle().await;
    walk.end();
}

async fn twice(walk: &mut Walk) {
    walk.begin("response.create twice at once");
    add(
        walk,
        "item_of_two",
        "Say something longer, please: count slowly from one to ten.",
    )
    .await;
    walk.ask("response.create", json!({})).await;
    let second = walk.ask("response.create", json!({})).await;
    let mut done = 0;
    let mut error = None;
    while done < 2 && error.is_none() {
        let seen = walk
            .next_until(|seen| ["response.done", "error"].contains(&seen.name.as_str()))
            .await;
        match seen {
            Some(seen) if seen.name == "error" => error = Some(seen),
            Some(_) => done += 1,
            None => break,
        }
    }
    let how = match &error {
        Some(error) => {
            if error.text("/error/event_id") != second {
                walk.broken(
                    "S13",
                    "the error of the second response.create does not name it",
                );
            }
            error.text("/error/code").to_owned()
        }
        None if done == 2 => "one after the other".to_owned(),
        None => "the second is not answered".to_owned(),
    };
    walk.report
        .can("refuses a second response", Some(error.is_some()), how);
    walk.settle().await;
    walk.end();
}

async fn cancel(walk: &mut Walk) {
    walk.begin("response.create and response.cancel");
    walk.ask("response.create", json!({})).await;
    let id = walk.ask("response.cancel", json!({})).await;
    match walk.named("response.done").await {
        None => walk.broken(
            "S4",
            "a cancelled response was not followed by response.done",
        ),
        Some(done) => {
            let status = done.text("/response/status").to_owned();
            let is_late = walk.seen.iter().any(|s| s.text("/error/event_id") == id);
            if status != "cancelled" && !is_late {
                walk.broken(
                    "S23",
                    format!("it ended as `{status}`, and no error says why"),
                );
            }
            walk.report
                .can("cancel", Some(status == "cancelled"), status);
        }
    }
    walk.settle().await;
    walk.end();
}

async fn aside(walk: &mut Walk) {
    walk.begin("response.create outside of the conversation, with metadata");
    let input = json!([message("item_aside", "Sum this up.")["item"]]);
    let response = json!({"conversation": "none", "metadata": {"check": "aside"},
        "output_modalities": ["text"], "input": input});
    let id = walk
        .ask("response.create", json!({"response": response}))
        .await;
    let ended = walk
        .until(|seen| seen.name == "response.done" || seen.text("/error/event_id") == id)
        .await;
    match ended {
        Some(done) if done.name == "response.done" => {
            if done.text("/response/metadata/check") != "aside" {
                walk.broken("S20", "response.done does not echo the metadata");
            }
            if done
                .raw
                .pointer("/response/conversation_id")
                .is_some_and(Value::is_string)
            {
                walk.broken("S20", "response.done names a conversation");
            }
            if walk
                .seen
                .iter()
                .any(|s| s.name == "conversation.item.added")
            {
                walk.broken("S20", "an item was added to the conversation");
            }
            walk.can("out-of-band responses", true, "");
        }
        Some(error) => {
            let code = error.text("/error/code").to_owned();
            walk.can("out-of-band responses", false, &code);
        }
        None => walk.broken(
            "S4",
            "an out-of-band response was not followed by response.done",
        ),
    }
    walk.settle().await;
    walk.end();
}

async fn speech_out(walk: &mut Walk) {
    walk.begin("session.update and response.create: speech");
    let session = json!({"type": "realtime", "output_modalities": ["audio"]});
    walk.ask("session.update", json!({"session": session}))
        .await;
    walk.until(|seen| ["session.updated", "error"].contains(&seen.name.as_str()))
        .await;
    add(walk, "item_of_speech", "Say hello.").await;
    walk.ask("response.create", json!({})).await;
    if walk.named("response.done").await.is_none() {
        walk.broken("S4", "a spoken response was not followed by response.done");
    }
    walk.settle().await;
    let delta = walk
        .seen
        .iter()
        .find(|s| s.name == "response.output_audio.delta");
    let item = delta.map(|delta| delta.text("/item_id").to_owned());
    walk.can("speech", item.is_some(), "");
    walk.end();
    if let Some(item) = item {
        truncate(walk, &item).await;
    }
}

async fn truncate(walk: &mut Walk, item: &str) {
    walk.begin("a truncation beyond the end of what was said");
    let cut = |ms: u64| json!({"item_id": item, "content_index": 0, "audio_end_ms": ms});
    let id = walk
        .ask("conversation.item.truncate", cut(86_400_000))
        .await;
    walk.refused("S22", &id, "a truncation beyond the end")
        .await;
    walk.end();
    walk.begin("a truncation within what was said");
    walk.ask("conversation.item.truncate", cut(20)).await;
    let answer = walk.named("conversation.item.truncated").await;
    walk.can("truncation", answer.is_some(), "");
    walk.end();
}

async fn speech_in(walk: &mut Walk) {
    walk.begin("half a second of audio and a commit");
    let format = Formats::new(&walk.dialect).input;
    let half = sound(format);
    walk.ask(
        "input_audio_buffer.append",
        json!({"audio": audio::encode(&half)}),
    )
    .await;
    walk.ask("input_audio_buffer.commit", json!({})).await;
    let committed = walk
        .until(|seen| ["input_audio_buffer.committed", "error"].contains(&seen.name.as_str()))
        .await;
    let is_heard = committed.as_ref().is_some_and(|seen| seen.name != "error");
    if let Some(committed) = committed.filter(|_| is_heard) {
        let id = committed.text("/item_id").to_owned();
        let added = walk.until(|seen| seen.text("/item/id") == id).await;
        if added.is_none() {
            walk.broken("S24", format!("the committed item {id} was not added"));
        }
    }
    walk.can("audio input", is_heard, "");
    walk.end();
    walk.begin("audio and a clear");
    walk.ask(
        "input_audio_buffer.append",
        json!({"audio": audio::encode(&half)}),
    )
    .await;
    walk.ask("input_audio_buffer.clear", json!({})).await;
    let answer = walk
        .until(|seen| ["input_audio_buffer.cleared", "error"].contains(&seen.name.as_str()))
        .await;
    let can = answer.map(|seen| seen.name != "error");
    walk.can("clear", can == Some(true), "");
    walk.end();
}

/// Half a second of a quiet tone.
fn sound(format: Format) -> Vec<u8> {
    let rate = format.rate_hz();
    let wave = |i: u32| {
        let period = rate / 200;
        if i % period < period / 2 {
            500_i16
        } else {
            -500
        }
    };
    (0..rate / 2).flat_map(|i| wave(i).to_le_bytes()).collect()
}

async fn function(walk: &mut Walk) {
    walk.begin("response.create with a function that has to be called");
    let tool = json!({"type": "function", "name": "check_weather", "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}});
    let response = json!({"response": {"tools": [tool], "tool_choice": "required",
        "output_modalities": ["text"]}});
    add(walk, "item_of_function", "What is the weather in Paris?").await;
    walk.ask("response.create", response).await;
    walk.until(|seen| ["response.done", "error"].contains(&seen.name.as_str()))
        .await;
    walk.settle().await;
    let call = walk
        .seen
        .iter()
        .find(|s| s.name == "response.function_call_arguments.done");
    let call = call.map(|call| call.text("/call_id").to_owned());
    walk.report
        .can("function calls", call.is_some().then_some(true), "");
    walk.end();
    if let Some(call_id) = call {
        walk.begin("the output of the function, and response.create");
        let item = json!({"id": "item_of_output", "type": "function_call_output",
            "call_id": call_id, "output": "{\"sky\":\"clear\"}"});
        walk.ask("conversation.item.create", json!({"item": item}))
            .await;
        if walk
            .until(|seen| seen.text("/item/id") == "item_of_output")
            .await
            .is_none()
        {
            walk.broken("S19", "the output of a function was not confirmed");
        }
        walk.ask("response.create", json!({})).await;
        walk.named("response.done").await;
        walk.settle().await;
        walk.end();
    }
}

async fn items(walk: &mut Walk, item: &str) {
    walk.begin("conversation.item.retrieve");
    let id = walk
        .ask("conversation.item.retrieve", json!({"item_id": item}))
        .await;
    let answer = walk
        .until(|seen| {
            seen.name == "conversation.item.retrieved" || seen.text("/error/event_id") == id
        })
        .await;
    let can = answer.is_some_and(|seen| seen.name != "error");
    walk.can("retrieval of items", can, "");
    walk.end();
    for name in ["retrieve", "delete"] {
        walk.begin(&format!(
            "conversation.item.{name} of an item that is not there"
        ));
        let fields = json!({"item_id": "item_of_nobody"});
        let id = walk.ask(&format!("conversation.item.{name}"), fields).await;
        walk.refused("S21", &id, "an unknown item").await;
        walk.end();
    }
    walk.begin("conversation.item.delete");
    walk.ask("conversation.item.delete", json!({"item_id": item}))
        .await;
    if walk.named("conversation.item.deleted").await.is_none() {
        walk.broken("S21", "the deletion of an item was not confirmed");
    }
    walk.end();
}

async fn detection(walk: &mut Walk) {
    for kind in ["server_vad", "semantic_vad"] {
        walk.begin(&format!("session.update: {kind}"));
        let session = json!({"type": "realtime",
            "audio": {"input": {"turn_detection": {"type": kind}}}});
        walk.ask("session.update", json!({"session": session}))
            .await;
        let answer = walk
            .until(|seen| ["session.updated", "error"].contains(&seen.name.as_str()))
            .await;
        let can = answer.is_some_and(|seen| seen.name == "session.updated");
        walk.can(kind, can, "");
        walk.end();
    }
}
