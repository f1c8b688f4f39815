//! Ears, brain and voice behind HTTP, played by a stand-in: whole calls, and everything that can go
//! wrong with them.

use serde_json::{Value, json};
use talkwire_core::audio::wav::Wav;
use talkwire_server::{Config, LocalServer, Pacing};

use crate::common::{Client, samples_of, start, strict, text_of};
use crate::stand_in::StandIn;

const RATE_HZ: u32 = 24_000;

/// A spoken turn: speech between two pauses.
fn turn() -> Vec<i16> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/audio/caller.wav");
    let wav = Wav::read(path.as_ref()).expect("a WAV file");
    let speech = &wav.samples[RATE_HZ as usize * 7 / 10..RATE_HZ as usize * 2];
    let silence = |ms: usize| vec![0; ms * RATE_HZ as usize / 1000];
    [silence(300), speech.to_vec(), silence(900)].concat()
}

fn all_by(stand_in: &StandIn) -> Config {
    let url = stand_in.url();
    strict()
        .ears(format!("http:{url}"))
        .brain(format!("http:{url} model=big"))
        .voice(format!("http:{url} rate_hz=24000"))
}

/// A server whose brain is the stand-in, and a client that asked it something.
async fn asked(config: Config, modality: &str) -> (LocalServer, Client) {
    let server = start(config);
    let (mut client, _) = Client::open(&server).await;
    client
        .update(json!({"output_modalities": [modality]}))
        .await;
    client.say("What is the weather?").await;
    client.until("conversation.item.done").await;
    client.send(json!({"type": "response.create"})).await;
    client.expect("response.created").await;
    (server, client)
}

fn find<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let found = events.iter().find(|event| event["type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind}"))
}

/// The error of a response that failed as a server's fault.
fn failure(events: &[Value]) -> String {
    let response = &events.last().expect("some")["response"];
    assert_eq!(response["status"], "failed", "{response}");
    let error = &response["status_details"]["error"];
    assert_eq!(error["code"], "server_error");
    error["message"].as_str().expect("a message").to_owned()
}

#[tokio::test]
async fn a_stack_of_endpoints_holds_a_spoken_call_with_barge_in() {
    let mut stack = StandIn::start().await;
    let server = start(all_by(&stack).pacing(Pacing::Realtime));
    let (mut client, _) = Client::open(&server).await;
    let transcription = json!({"audio": {"input": {"transcription": {"model": "small"}}}});
    client.update(transcription).await;

    client.stream(&turn(), RATE_HZ).await;
    let ask = stack.ask("/audio/transcriptions").await;
    let form = String::from_utf8_lossy(&ask.body).into_owned();
    assert!(form.contains("filename=\"turn.wav\"") && form.contains("RIFF"));
    let words = ask.answer(200, "application/json");
    words
        .write(json!({"text": "What is the weather?"}).to_string())
        .await;
    drop(words);
    let (body, text) = stack.think().await;
    assert_eq!(
        (&body["model"], &body["stream"]),
        (&json!("big"), &json!(true))
    );
    let last = json!({"role": "user", "content": "What is the weather?"});
    assert_eq!(body["messages"][1], last);

    // The first sentence is heard although the text goes on and the second has no sound yet.
    text.text("It is sunny today. And").await;
    let first = stack.speak("It is sunny today.").await;
    text.text(" warm, too. Take").await;
    let second = stack.speak("And warm, too.").await;
    first.sound(2 * RATE_HZ as usize).await;
    let events = client.until("response.output_audio.delta").await;
    let heard = find(
        &events,
        "conversation.item.input_audio_transcription.completed",
    );
    assert_eq!(heard["transcript"], "What is the weather?");
    assert_eq!(text_of(&events), "It is sunny today. ");
    let item_id = find(&events, "response.output_item.added")["item"]["id"].clone();

    // The caller speaks: whatever is still being made for the answer is not wanted any more.
    client.stream(&turn(), RATE_HZ).await;
    let events = client.until("response.done").await;
    let response = &events.last().expect("some")["response"];
    assert_eq!(response["status_details"]["reason"], "turn_detected");
    for writer in [&text, &first, &second] {
        writer.is_unwanted().await;
    }
    client
        .send(
            json!({"type": "conversation.item.truncate", "item_id": item_id,
        "content_index": 0, "audio_end_ms": 50}),
        )
        .await;
    client.until("conversation.item.truncated").await;

    stack.hear("Thank you!").await;
    let (body, text) = stack.think().await;
    let messages = body["messages"].as_array().expect("messages");
    let [_, _, agent, user] = &messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!(user["content"], "Thank you!");
    let said = agent["content"].as_str().expect("text");
    assert!(said.len() < "It is sunny today.".len(), "{said}");
    text.text("You are welcome.").await;
    text.done().await;
    let sound = stack.speak("You are welcome.").await;
    sound.sound(2_400).await;
    drop(sound);
    let events = client.until("response.done").await;
    assert_eq!(
        events.last().expect("some")["response"]["status"],
        "completed"
    );
    assert_eq!(text_of(&events), "You are welcome.");
    assert_eq!(samples_of(&events).len(), 2_400);
}

#[tokio::test]
async fn written_text_comes_as_the_model_writes_it() {
    let mut stack = StandIn::start().await;
    let brain = strict().brain(stack.url());
    let (_server, mut client) = asked(brain, "text").await;
    let (_, text) = stack.think().await;
    text.text("Sun").await;
    let events = client.until("response.output_text.delta").await;
    assert_eq!(text_of(&events), "Sun");
    text.text("ny").await;
    assert_eq!(
        client.expect("response.output_text.delta").await["delta"],
        "ny"
    );
    text.done().await;
    let events = client.until("response.done").await;
    assert_eq!(find(&events, "response.output_text.done")["text"], "Sunny");
}

#[tokio::test]
async fn a_function_that_the_model_calls_is_called_and_its_output_given_back() {
    let mut stack = StandIn::start().await;
    let (_server, mut client) = asked(strict().brain(stack.url()), "text").await;
    let (body, text) = stack.think().await;
    assert_eq!(body.get("tools"), None);
    text.done().await;
    client.until("rate_limits.updated").await;
    let tools = json!([{"type": "function", "name": "weather", "description": "d",
        "parameters": {"type": "object"}}]);
    client.update(json!({"tools": tools})).await;
    client.send(json!({"type": "response.create"})).await;
    let (body, text) = stack.think().await;
    assert_eq!(body["tools"][0]["function"]["name"], "weather");
    let call = |function: Value| json!({"tool_calls": [{"index": 0, "function": function}]});
    text.text("One moment.").await;
    text.delta(call(json!({"name": "weather", "arguments": ""})))
        .await;
    text.delta(call(json!({"arguments": "{\"city\":"}))).await;
    let events = client.until("response.function_call_arguments.delta").await;
    assert_eq!(
        find(&events, "response.output_text.done")["text"],
        "One moment."
    );
    text.delta(call(json!({"arguments": "\"Omsk\"}"}))).await;
    text.done().await;
    let events = client.until("response.done").await;
    let done = find(&events, "response.function_call_arguments.done");
    assert_eq!(done["arguments"], "{\"city\":\"Omsk\"}");
    client.until("rate_limits.updated").await;
    let item = json!({"type": "function_call_output", "call_id": done["call_id"],
        "output": "rain"});
    client
        .send(json!({"type": "conversation.item.create", "item": item}))
        .await;
    client.until("conversation.item.done").await;
    client.send(json!({"type": "response.create"})).await;
    let (body, text) = stack.think().await;
    let messages = body["messages"].as_array().expect("messages");
    let [.., call, output] = &messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!(
        call["tool_calls"][0]["function"]["arguments"],
        "{\"city\":\"Omsk\"}"
    );
    assert_eq!(output["tool_call_id"], done["call_id"]);
    assert_eq!(
        (&output["role"], &output["content"]),
        (&json!("tool"), &json!("rain"))
    );
    text.text("Rain.").await;
    text.done().await;
    let events = client.until("response.done").await;
    assert_eq!(text_of(&events), "Rain.");
}

#[tokio::test]
async fn a_cancel_stops_the_model() {
    let mut stack = StandIn::start().await;
    let (_server, mut client) = asked(strict().brain(stack.url()), "text").await;
    let (_, text) = stack.think().await;
    text.text("A long").await;
    client.until("response.output_text.delta").await;
    client.send(json!({"type": "response.cancel"})).await;
    let events = client.until("response.done").await;
    let response = &events.last().expect("some")["response"];
    assert_eq!(response["status_details"]["reason"], "client_cancelled");
    text.is_unwanted().await;
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_model() {
    let mut stack = StandIn::start().await;
    let (_server, client) = asked(strict().brain(stack.url()), "text").await;
    let (_, text) = stack.think().await;
    drop(client);
    text.is_unwanted().await;
}

#[tokio::test]
async fn whatever_goes_wrong_with_the_model_is_told_and_the_session_lives_on() {
    let mut stack = StandIn::start().await;
    let brain = strict().brain(format!("{} idle_ms=300 first_ms=300", stack.url()));
    let (_server, mut client) = asked(brain, "text").await;
    for (case, part) in [
        ("status", "HTTP 500: no GPU"),
        ("garbage", "`{nonsense`"),
        ("broken", "broke the connection off"),
        ("short", "breaks off"),
        ("idle", "within 300ms"),
        ("silent", "no answer"),
    ] {
        let ask = stack.ask("/chat/completions").await;
        // What keeps a connection open until the failure is told.
        let mut open = None;
        match case {
            "status" => {
                let text = ask.answer(500, "application/json");
                text.write(r#"{"error":{"message":"no GPU"}}"#).await;
            }
            "garbage" => {
                let text = ask.answer(200, "text/event-stream");
                text.write("data: {nonsense\n\n").await;
            }
            "broken" => {
                let text = ask.answer(200, "text/event-stream");
                text.text("Hi").await;
                text.break_off().await;
            }
            "short" => ask.answer(200, "text/event-stream").text("Hi").await,
            "idle" => {
                let text = ask.answer(200, "text/event-stream");
                text.text("Hi").await;
                open = Some(Ok(text));
            }
            _ => open = Some(Err(ask)),
        }
        let message = failure(&client.until("response.done").await);
        assert!(
            message.contains("brain") && message.contains(part),
            "{case}: {message}"
        );
        drop(open);
        client.send(json!({"type": "response.create"})).await;
    }
    let (_, text) = stack.think().await;
    text.text("Fine").await;
    text.done().await;
    assert_eq!(text_of(&client.until("response.done").await), "Fine");
}

#[tokio::test]
async fn whatever_goes_wrong_with_the_voice_is_told_and_the_session_lives_on() {
    let mut stack = StandIn::start().await;
    let voice = strict().voice(format!("{} idle_ms=300", stack.url()));
    let (_server, mut client) = asked(voice, "audio").await;
    for (case, part) in [
        ("status", "HTTP 404"),
        ("text", "application/json instead of sound"),
        ("empty", "without sound"),
        ("broken", "broke the connection off"),
        ("idle", "within 300ms"),
    ] {
        let ask = stack.ask("/audio/speech").await;
        let mut open = None;
        match case {
            "status" => drop(ask.answer(404, "text/plain")),
            "text" => ask.answer(200, "application/json").write("{}").await,
            "empty" => drop(ask.answer(200, "audio/pcm")),
            "broken" => {
                let sound = ask.answer(200, "audio/pcm");
                sound.sound(2_400).await;
                sound.break_off().await;
            }
            _ => {
                let sound = ask.answer(200, "audio/pcm");
                sound.sound(2_400).await;
                open = Some(sound);
            }
        }
        let message = failure(&client.until("response.done").await);
        assert!(message.contains(part), "{case}: {message}");
        drop(open);
        client.send(json!({"type": "response.create"})).await;
    }
    let sound = stack.ask("/audio/speech").await.answer(200, "audio/pcm");
    sound.sound(4_800).await;
    drop(sound);
    assert_eq!(
        samples_of(&client.until("response.done").await).len(),
        4_800
    );
}

#[tokio::test]
async fn whatever_goes_wrong_with_the_ears_is_told_and_the_session_lives_on() {
    let mut stack = StandIn::start().await;
    let server = start(strict().ears(format!("{} first_ms=300", stack.url())));
    let (mut client, _) = Client::open(&server).await;
    client
        .update(json!({"output_modalities": ["text"], "audio": {"input":
            {"transcription": {"model": "small"}, "turn_detection": null}}}))
        .await;
    for (case, part) in [
        ("status", "HTTP 429"),
        ("garbage", "found `<html>`"),
        ("broken", "broke the connection off"),
        ("silent", "no answer"),
    ] {
        client.stream(&turn(), RATE_HZ).await;
        client
            .send(json!({"type": "input_audio_buffer.commit"}))
            .await;
        let ask = stack.ask("/audio/transcriptions").await;
        let mut open = None;
        match case {
            "status" => drop(ask.answer(429, "text/plain")),
            "garbage" => ask.answer(200, "text/html").write("<html>").await,
            "broken" => ask.answer(200, "application/json").break_off().await,
            _ => open = Some(ask),
        }
        let failed = "conversation.item.input_audio_transcription.failed";
        let events = client.until(failed).await;
        let error = &events.last().expect("some")["error"];
        let message = error["message"].as_str().expect("a message");
        assert!(
            message.contains("ears") && message.contains(part),
            "{case}: {message}"
        );
        drop(open);
    }
    client.stream(&turn(), RATE_HZ).await;
    client
        .send(json!({"type": "input_audio_buffer.commit"}))
        .await;
    stack.hear("At last").await;
    let completed = "conversation.item.input_audio_transcription.completed";
    let events = client.until(completed).await;
    assert_eq!(events.last().expect("some")["transcript"], "At last");
}

#[tokio::test]
async fn the_key_of_an_endpoint_comes_from_the_environment() {
    let mut stack = StandIn::start().await;
    // Every shell sets it, and it is no secret.
    let path = std::env::var("PATH").expect("set");
    let brain = format!(
        "brain: {{http: {{url: \"{}\", key_env: PATH}}}}",
        stack.url()
    );
    let (_server, mut client) = asked(strict().script_text(brain, "."), "text").await;
    let ask = stack.ask("/chat/completions").await;
    assert_eq!(ask.authorization, Some(format!("Bearer {path}")));
    let refused = ask.answer(401, "application/json");
    refused
        .write(json!({"error": {"message": format!("{path} is wrong")}}).to_string())
        .await;
    drop(refused);
    let message = failure(&client.until("response.done").await);
    assert!(message.contains("HTTP 401: *** is wrong"), "{message}");
}

#[tokio::test]
async fn an_endpoint_with_its_own_authority_is_trusted_by_its_ca_and_not_without() {
    let (mut stack, pem) = StandIn::start_tls().await;
    let name = format!("talkwire-upstream-{}.pem", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, pem).expect("writes");
    let trusting = strict().brain(format!("{} ca={}", stack.url(), path.display()));
    let (_server, mut client) = asked(trusting, "text").await;
    std::fs::remove_file(&path).expect("removes");
    let (_, text) = stack.think().await;
    text.text("Trusted").await;
    text.done().await;
    assert_eq!(text_of(&client.until("response.done").await), "Trusted");

    let (_server, mut client) = asked(strict().brain(stack.url()), "text").await;
    let message = failure(&client.until("response.done").await);
    assert!(
        message.contains("brain") && message.contains("certificate"),
        "{message}"
    );
}

#[tokio::test]
async fn the_voice_of_the_session_speaks_unless_the_server_has_its_own() {
    let mut stack = StandIn::start().await;
    for (options, expected) in [("", "ash"), (" voice=anna", "anna")] {
        let server = start(strict().voice(format!("{}{options}", stack.url())));
        let (mut client, _) = Client::open(&server).await;
        client
            .update(json!({"audio": {"output": {"voice": "ash"}}}))
            .await;
        client.say("Hello.").await;
        client.send(json!({"type": "response.create"})).await;
        let ask = stack.ask("/audio/speech").await;
        assert_eq!(ask.json()["voice"], expected);
    }
}

#[tokio::test]
async fn words_come_while_they_are_found_where_the_ears_stream() {
    let mut stack = StandIn::start().await;
    let server = start(strict().ears(format!("{} stream=true", stack.url())));
    let (mut client, _) = Client::open(&server).await;
    client
        .update(json!({"output_modalities": ["text"], "audio": {"input":
            {"transcription": {"model": "small"}, "turn_detection": null}}}))
        .await;
    let delta = "conversation.item.input_audio_transcription.delta";
    let completed = "conversation.item.input_audio_transcription.completed";
    let event = |kind: &str, key: &str, text: &str| {
        let event = json!({"type": format!("transcript.text.{kind}"), key: text});
        format!("data: {event}\n\n")
    };
    for breaks_off in [false, true] {
        client.stream(&turn(), RATE_HZ).await;
        client
            .send(json!({"type": "input_audio_buffer.commit"}))
            .await;
        let ask = stack.ask("/audio/transcriptions").await;
        let form = String::from_utf8_lossy(&ask.body).into_owned();
        assert!(form.contains("name=\"stream\"\r\n\r\ntrue"), "{form}");
        let words = ask.answer(200, "text/event-stream");
        words.write(event("delta", "delta", "What is")).await;
        let events = client.until(delta).await;
        assert_eq!(events.last().expect("some")["delta"], "What is");
        words.write(event("delta", "delta", " the time")).await;
        assert_eq!(client.expect(delta).await["delta"], " the time");
        if breaks_off {
            drop(words);
            let failed = client
                .expect("conversation.item.input_audio_transcription.failed")
                .await;
            let message = failed["error"]["message"].as_str().expect("a message");
            assert!(message.contains("breaks off"), "{message}");
        } else {
            words.write(event("done", "text", "What is the time")).await;
            drop(words);
            let heard = client.expect(completed).await;
            assert_eq!(heard["transcript"], "What is the time");
        }
    }
}
