//! What settings make of a session: its kind, its formats, its turns, its window.

use serde_json::{Value, json};
use talkwire_core::audio::codec::{decode_into, encode_into};
use talkwire_core::audio::dtmf;
use talkwire_core::audio::format::Format;
use talkwire_server::Pacing;

use crate::common::{Client, Ended, lenient, start, strict, text_of, types};

fn sound(digits: &str, silence_ms: usize) -> Vec<i16> {
    let tones = dtmf::tones(digits, 24_000).expect("digits");
    [tones, vec![0; silence_ms * 24]].concat()
}

fn detection(rules: Value) -> Value {
    json!({"audio": {"input": {"turn_detection": rules}}})
}

#[tokio::test]
async fn a_transcription_session_hears_and_never_answers() {
    let server = start(strict().script_text("ears: [\"two words\"]", "."));
    let url = format!("{}?intent=transcription", server.url());
    let mut client = Client::connect(&url).await;
    let session = client.expect("session.created").await["session"].clone();
    assert_eq!(session["type"], "transcription");
    assert!(session["expires_at"].is_u64() && session.get("model").is_none());
    let transcription = json!({"model": "any", "language": "en"});
    let input = json!({"transcription": transcription});
    let session = client
        .update(json!({"type": "transcription", "audio": {"input": input}}))
        .await;
    assert_eq!(session["audio"]["input"]["transcription"]["language"], "en");
    client.stream(&sound("159", 900), 24_000).await;
    let name = "conversation.item.input_audio_transcription.completed";
    let events = client.until(name).await;
    assert_eq!(events.last().expect("some")["transcript"], "two words");
    let deltas = events.iter().filter_map(|e| {
        let is_it = e["type"] == "conversation.item.input_audio_transcription.delta";
        e["delta"].as_str().filter(|_| is_it)
    });
    assert_eq!(deltas.collect::<Vec<_>>(), ["two ", "words"]);
    for (event, param) in [
        (json!({"type": "response.create"}), "type"),
        (
            json!({"type": "session.update", "session": {"type": "realtime"}}),
            "session.type",
        ),
        (
            json!({"type": "session.update", "session": {"instructions": "x"}}),
            "session.instructions",
        ),
    ] {
        client.send(event).await;
        // The turn was not answered: nothing is in between.
        assert_eq!(client.expect("error").await["error"]["param"], param);
    }
}

#[tokio::test]
async fn a_model_for_answers_ends_a_transcription_session() {
    let server = start(strict());
    let url = format!("{}?intent=transcription&model=gpt-realtime", server.url());
    let mut client = Client::connect(&url).await;
    let error = client.expect("error").await;
    assert_eq!(error["error"]["code"], "invalid_model");
    let reason = "invalid_request_error.invalid_model".to_owned();
    assert_eq!(client.ended().await, Ended::Closed(4000, reason));
}

#[tokio::test]
async fn telephone_formats_go_in_and_out() {
    let server = start(strict().brain("echo").ears("dtmf").voice("dtmf"));
    for (name, format) in [("audio/pcmu", Format::Mulaw), ("audio/pcma", Format::Alaw)] {
        let (mut client, _) = Client::open(&server).await;
        let kind = json!({"type": name});
        let session = client
            .update(json!({"audio": {"input": {"format": kind}, "output": {"format": kind}}}))
            .await;
        assert_eq!(session["audio"]["output"]["format"], kind);
        let samples = dtmf::tones("42", 8_000).expect("digits");
        let samples = [samples, vec![0; 8_000]].concat();
        let mut bytes = Vec::new();
        encode_into(format, &samples, &mut bytes);
        let audio = talkwire_core::wire::audio::encode(&bytes);
        client
            .send(json!({"type": "input_audio_buffer.append", "audio": audio}))
            .await;
        let events = client.until("response.done").await;
        let mut heard = Vec::new();
        for event in &events {
            if event["type"] == "response.output_audio.delta" {
                let delta = event["delta"].as_str().expect("base64");
                let bytes = talkwire_core::wire::audio::decode(delta).expect("base64");
                decode_into(format, &bytes, &mut heard);
            }
        }
        let mut keys = Vec::new();
        let mut detector = dtmf::Detector::new(8_000).expect("a rate");
        detector.push(&heard, &mut keys);
        assert_eq!(keys, ['4', '2'], "{name}");
        // What was said comes back as it was sent.
        let item_id = &events
            .iter()
            .find(|e| e["type"] == "input_audio_buffer.committed")
            .expect("one")["item_id"];
        client
            .send(json!({"type": "conversation.item.retrieve", "item_id": item_id}))
            .await;
        let item = client.until("conversation.item.retrieved").await;
        let audio = item.last().expect("one")["item"]["content"][0]["audio"].clone();
        let bytes = talkwire_core::wire::audio::decode(audio.as_str().expect("audio"));
        assert!(bytes.expect("base64").len() > 1_000);
    }
}

#[tokio::test]
async fn words_that_leave_a_turn_open_give_the_caller_more_time() {
    let script = "ears: [\"a pizza and\", \"a pizza and a cola\"]";
    let server = start(strict().script_text(script, "."));
    let (mut client, _) = Client::open(&server).await;
    client
        .update(detection(
            json!({"type": "semantic_vad", "eagerness": "medium"}),
        ))
        .await;
    let turn = [sound("12", 700), sound("34", 700)].concat();
    client.stream(&turn, 24_000).await;
    let events = client.until("response.done").await;
    let of = |name: &str| events.iter().filter(|e| e["type"] == name).count();
    assert_eq!(of("input_audio_buffer.speech_started"), 1);
    assert_eq!(of("input_audio_buffer.speech_stopped"), 1);
    assert_eq!(text_of(&events), "a pizza and a cola");
    client.expect("rate_limits.updated").await;
    // No words: only silence can end the turn, and an eager agent waits for two seconds of it.
    client
        .update(detection(
            json!({"type": "semantic_vad", "eagerness": "high"}),
        ))
        .await;
    client.stream(&sound("5", 1_500), 24_000).await;
    client.expect("input_audio_buffer.speech_started").await;
    client.stream(&vec![0; 24_000], 24_000).await;
    client.expect("input_audio_buffer.speech_stopped").await;
}

#[tokio::test]
async fn several_answers_beside_the_conversation_run_at_once() {
    let server = start(strict().pacing(Pacing::Realtime));
    let (mut client, _) = Client::open(&server).await;
    client.say(&"word ".repeat(20)).await;
    let added = client.until("conversation.item.done").await;
    let item_id = &added[0]["item"]["id"];
    let text = json!(["text"]);
    client
        .send(json!({"type": "response.create", "response": {"output_modalities": text}}))
        .await;
    let input = json!([{"type": "item_reference", "id": item_id}, {"type": "message",
        "role": "user", "content": [{"type": "input_text", "text": "label it"}]}]);
    for n in ["1", "2", "3"] {
        let response = json!({"conversation": "none", "output_modalities": text,
            "metadata": {"n": n}, "input": input});
        client
            .send(json!({"type": "response.create", "response": response}))
            .await;
    }
    let mut events = Vec::new();
    for _ in 0..4 {
        events.extend(client.until("response.done").await);
    }
    let aside = |e: &&Value| e["response"]["metadata"]["n"].is_string();
    let (aside, rest): (Vec<_>, Vec<_>) = events
        .iter()
        .filter(|e| e["type"] == "response.done")
        .partition(aside);
    assert_eq!((aside.len(), rest.len()), (3, 1));
    for done in aside {
        assert_eq!(done["response"]["conversation_id"], Value::Null);
        assert_eq!(done["response"]["status"], "completed");
    }
    // All had begun before the first ended.
    let kinds = types(&events);
    let first_done = kinds.iter().position(|k| *k == "response.done");
    let begun = events
        .iter()
        .take_while(|e| e["type"] != "response.done")
        .filter(|e| e["type"] == "response.created");
    assert!(first_done.is_some() && begun.count() == 4);
    let added = events
        .iter()
        .filter(|e| e["type"] == "conversation.item.added");
    assert_eq!(
        added.count(),
        1,
        "only the one in the conversation adds items"
    );
}

#[tokio::test]
async fn a_dialect_without_them_refuses_answers_beside_the_conversation() {
    let server = start(lenient());
    let (mut client, _) = Client::open(&server).await;
    let response = json!({"conversation": "none"});
    client
        .send(json!({"type": "response.create", "response": response}))
        .await;
    let error = client.expect("error").await;
    assert_eq!(error["error"]["param"], "response.conversation");
    client.still_works().await;
}

#[tokio::test]
async fn a_conversation_that_outgrows_its_window_is_cut_or_refused() {
    let server = start(strict());
    let (mut client, _) = Client::open(&server).await;
    let limited = |limit: u64| {
        json!({"type": "retention_ratio", "retention_ratio": 0.5,
            "token_limits": {"post_instructions": limit}})
    };
    let session =
        json!({"output_modalities": ["text"], "instructions": "", "truncation": limited(30)});
    client.update(session).await;
    let mut read = Vec::new();
    for _ in 0..3 {
        client.say(&"x".repeat(40)).await;
        client.until("conversation.item.done").await;
        let events = client.respond(json!({})).await;
        let usage = &events.last().expect("some")["response"]["usage"];
        let details = &usage["input_token_details"];
        read.push((
            details["text_tokens"].as_u64().expect("a count"),
            details["cached_tokens"].as_u64().expect("a count"),
        ));
        client.expect("rate_limits.updated").await;
    }
    // 10, then 10 + 10 of the answer + 10, then what fits into half of thirty.
    assert_eq!(read, [(10, 0), (30, 10), (10, 0)]);
    client.update(json!({"truncation": "disabled"})).await;
    for _ in 0..3 {
        client.say(&"y".repeat(50_000)).await;
        client.until("conversation.item.done").await;
    }
    client
        .send(json!({"type": "response.create", "event_id": "full"}))
        .await;
    let error = client.expect("error").await["error"].clone();
    assert_eq!(error["code"], "context_length_exceeded");
    assert_eq!(error["event_id"], "full");
    client.update(json!({"truncation": "auto"})).await;
    client.still_works().await;
}
