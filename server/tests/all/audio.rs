//! Spoken turns: voice detection, manual commits, barge-in, what is heard and what is said.

use serde_json::{Value, json};
use talkwire_core::audio::dtmf;
use talkwire_core::audio::resample::resample;
use talkwire_core::audio::wav::Wav;
use talkwire_server::{Config, Pacing};

use crate::common::{Client, append, lenient, samples_of, start, strict, text_of, types};

const RATE_HZ: u32 = 24_000;

fn silence(ms: usize) -> Vec<i16> {
    vec![0; ms * RATE_HZ as usize / 1000]
}

/// One second of the caller's speech.
fn speech() -> Vec<i16> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/audio/caller.wav");
    let wav = Wav::read(path.as_ref()).expect("a WAV file");
    wav.samples[RATE_HZ as usize * 7 / 10..RATE_HZ as usize * 2].to_vec()
}

fn digits(text: &str, rate_hz: u32) -> Vec<i16> {
    dtmf::tones(text, rate_hz).expect("digits")
}

fn heard(samples: &[i16], rate_hz: u32) -> String {
    let mut found = Vec::new();
    let mut detector = dtmf::Detector::new(rate_hz).expect("a rate");
    detector.push(samples, &mut found);
    found.into_iter().collect()
}

fn of_type<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let found = events.iter().find(|event| event["type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {:?}", types(events)))
}

async fn turn(client: &mut Client, samples: &[i16]) -> Vec<Value> {
    let turn = [silence(300), samples.to_vec(), silence(900)].concat();
    client.stream(&turn, RATE_HZ).await;
    client.until("response.done").await
}

#[tokio::test]
async fn digits_that_are_spoken_come_back_once_and_in_order() {
    let config = |config: Config| config.brain("echo").ears("dtmf").voice("dtmf");
    for (config, rate_hz) in [(config(strict()), 24_000), (config(lenient()), 8_000)] {
        let server = start(config);
        let (mut client, _) = Client::open(&server).await;
        let format = json!({"type": "audio/pcm", "rate": rate_hz});
        client
            .update(json!({"audio": {"input": {"format": format}, "output": {"format": format}}}))
            .await;
        for said in ["123", "40*#", "9"] {
            let pause = vec![0; rate_hz as usize];
            let sound = [digits(said, rate_hz), pause].concat();
            client.stream(&sound, rate_hz).await;
            let events = client.until("response.done").await;
            assert_eq!(heard(&samples_of(&events), rate_hz), said);
            let spaced: Vec<_> = said.chars().map(String::from).collect();
            assert_eq!(text_of(&events), spaced.join(" "));
            if rate_hz == 24_000 {
                client.expect("rate_limits.updated").await;
            }
        }
    }
}

#[tokio::test]
async fn a_detected_turn_keeps_the_order_of_the_protocol() {
    let server = start(strict().script_text("ears: [\"good day\", \"and bye\"]", "."));
    let (mut client, _) = Client::open(&server).await;
    let transcription = json!({"model": "any"});
    client
        .update(json!({"audio": {"input": {"transcription": transcription}}}))
        .await;
    let events = turn(&mut client, &speech()).await;
    let expected = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
    ];
    assert_eq!(types(&events)[..expected.len()], expected);
    let tail: Vec<_> = types(&events).into_iter().rev().take(7).collect();
    let expected_tail = [
        "response.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.content_part.done",
        "response.output_audio_transcript.done",
        "response.output_audio.done",
        "response.output_audio.delta",
    ];
    assert_eq!(tail, expected_tail);
    let started = &events[0];
    let start_ms = started["audio_start_ms"].as_u64().expect("a number");
    assert!(start_ms <= 400, "{started}");
    let stopped = &events[1];
    assert!(stopped["audio_end_ms"].as_u64() > Some(start_ms + 1000));
    let item_id = &started["item_id"];
    assert!(
        events[1..5]
            .iter()
            .all(|e| e["item_id"] == *item_id || e["item"]["id"] == *item_id)
    );
    let completed = of_type(
        &events,
        "conversation.item.input_audio_transcription.completed",
    );
    assert_eq!(completed["transcript"], "good day");
    assert!(completed["usage"]["seconds"].as_f64() > Some(1.0));
    assert_eq!(text_of(&events), "good day");
    client.expect("rate_limits.updated").await;
    let answer_id = of_type(&events, "response.output_item.added")["item"]["id"].clone();
    let second = turn(&mut client, &speech()).await;
    let committed = of_type(&second, "input_audio_buffer.committed");
    assert_eq!(committed["previous_item_id"], answer_id);
    assert_eq!(text_of(&second), "and bye");
}

#[tokio::test]
async fn the_lenient_dialect_tells_transcripts_unasked_and_spoken_text_as_text() {
    let server = start(lenient().script_text("ears: [\"добрый день\"]", "."));
    let (mut client, _) = Client::open(&server).await;
    let events = turn(&mut client, &speech()).await;
    let completed = "conversation.item.input_audio_transcription.completed";
    assert_eq!(of_type(&events, completed)["transcript"], "добрый день");
    of_type(&events, "response.output_text.delta");
    of_type(&events, "response.output_text.done");
    let foreign = |event: &&Value| {
        let kind = event["type"].as_str().expect("a type");
        kind.contains("transcript.") || kind == "conversation.item.added"
    };
    assert_eq!(events.iter().find(foreign), None);
}

#[tokio::test]
async fn a_manual_turn_is_answered_only_when_asked() {
    let server = start(strict());
    let (mut client, _) = Client::open(&server).await;
    client
        .update(json!({"audio": {"input": {"turn_detection": null}}}))
        .await;
    client.stream(&speech(), RATE_HZ).await;
    client
        .send(json!({"type": "input_audio_buffer.commit"}))
        .await;
    let committed = client.expect("input_audio_buffer.committed").await;
    let added = client.expect("conversation.item.added").await;
    assert_eq!(added["item"]["id"], committed["item_id"]);
    client.expect("conversation.item.done").await;
    // Nothing else came before the answer to this.
    let retrieve = json!({"type": "conversation.item.retrieve", "item_id": committed["item_id"]});
    client.send(retrieve).await;
    let retrieved = client.expect("conversation.item.retrieved").await;
    let audio = retrieved["item"]["content"][0]["audio"]
        .as_str()
        .expect("audio");
    let bytes = talkwire_core::wire::audio::decode(audio).expect("base64");
    assert_eq!(bytes.len(), speech().len() * 2);
    let events = client.respond(json!({"max_output_tokens": 180})).await;
    assert!(!samples_of(&events).is_empty());
    client.expect("rate_limits.updated").await;
    client.stream(&speech(), RATE_HZ).await;
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    client.expect("input_audio_buffer.cleared").await;
    client
        .send(json!({"type": "input_audio_buffer.commit"}))
        .await;
    let error = client.expect("error").await;
    assert_eq!(error["error"]["code"], "input_audio_buffer_commit_empty");
}

#[tokio::test]
async fn loop_gives_the_callers_sound_back() {
    let server = start(strict().brain("loop"));
    let (mut client, _) = Client::open(&server).await;
    client
        .update(json!({"audio": {"input": {"turn_detection": null}}}))
        .await;
    client.stream(&speech(), RATE_HZ).await;
    client
        .send(json!({"type": "input_audio_buffer.commit"}))
        .await;
    client.until("conversation.item.done").await;
    let events = client.respond(json!({})).await;
    assert_eq!(samples_of(&events), speech());
}

#[tokio::test]
async fn speech_that_begins_is_told_and_stops_the_answer() {
    let server = start(strict().pacing(Pacing::Realtime));
    let (mut client, _) = Client::open(&server).await;
    client.say(&"a long story ".repeat(30)).await;
    client.until("conversation.item.done").await;
    client.send(json!({"type": "response.create"})).await;
    let first = client.until("response.output_audio.delta").await;
    let item_id = of_type(&first, "response.output_item.added")["item"]["id"].clone();
    client.stream(&speech(), RATE_HZ).await;
    client.until("input_audio_buffer.speech_started").await;
    let events = client.until("response.done").await;
    let done = of_type(&events, "response.done");
    assert_eq!(done["response"]["status"], "cancelled");
    assert_eq!(
        done["response"]["status_details"]["reason"],
        "turn_detected"
    );
    let item = of_type(&events, "response.output_item.done");
    assert_eq!(item["item"]["status"], "incomplete");
    let order = types(&events);
    let at = |kind: &str| order.iter().position(|t| *t == kind).expect(kind);
    assert!(at("response.output_audio.done") < at("response.output_audio_transcript.done"));
    assert!(at("response.output_audio_transcript.done") < at("response.done"));
    let truncate = |ms: u64| {
        json!({"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0,
            "audio_end_ms": ms})
    };
    client.send(truncate(50)).await;
    client.expect("rate_limits.updated").await;
    let truncated = client.expect("conversation.item.truncated").await;
    assert_eq!(truncated["audio_end_ms"], 50);
    client.send(truncate(999_999)).await;
    let error = client.expect("error").await;
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(
        message.contains("of 50ms is already shorter than 999999ms"),
        "{message}"
    );
}

#[tokio::test]
async fn an_answer_that_may_not_be_interrupted_is_finished_and_the_turn_answered_after_it() {
    let server = start(strict().pacing(Pacing::Realtime));
    let (mut client, _) = Client::open(&server).await;
    let detection = json!({"type": "server_vad", "interrupt_response": false});
    client
        .update(json!({"audio": {"input": {"turn_detection": detection}}}))
        .await;
    client.say(&"word ".repeat(6)).await;
    client.until("conversation.item.done").await;
    client.send(json!({"type": "response.create"})).await;
    client.until("response.output_audio.delta").await;
    let sound = [speech(), silence(900)].concat();
    client.stream(&sound, RATE_HZ).await;
    let first = client.until("response.done").await;
    assert_eq!(
        first.last().expect("one")["response"]["status"],
        "completed"
    );
    of_type(&first, "input_audio_buffer.speech_started");
    let second = client.until("response.done").await;
    of_type(&second, "response.created");
}

#[tokio::test]
async fn a_key_that_is_held_is_one_turn() {
    let server = start(strict().ears("dtmf"));
    let (mut client, _) = Client::open(&server).await;
    let held = |rate: u32| {
        let tone = |hz: f64| {
            move |i: u32| (f64::from(i) * hz * std::f64::consts::TAU / f64::from(rate)).sin()
        };
        let (low, high) = (tone(852.0), tone(1336.0));
        let sample = move |i| ((low(i) + high(i)) * 7000.0) as i16;
        (0..rate).map(sample).collect::<Vec<i16>>()
    };
    let events = turn(&mut client, &held(RATE_HZ)).await;
    assert_eq!(text_of(&events), "8");
    let stopped = of_type(&events, "input_audio_buffer.speech_stopped");
    assert!(stopped["audio_end_ms"].as_u64() > Some(1700), "{stopped}");
}

#[tokio::test]
async fn wav_files_of_a_script_are_heard_as_they_are() {
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/audio");
    let script = "turns: [{say: {text: hello, wav: en/answer-3.wav}}]";
    let server = start(lenient().script_text(script, base));
    let (mut client, _) = Client::open(&server).await;
    let events = client.respond(json!({})).await;
    let path = std::path::Path::new(base).join("en/answer-3.wav");
    let wav = Wav::read(&path).expect("a WAV file");
    let expected = resample(&wav.samples, wav.rate_hz, 44_100).expect("resamples");
    assert_eq!(samples_of(&events), expected);
    assert_eq!(text_of(&events), "hello");
}

#[tokio::test]
async fn programs_hear_and_speak() {
    let wav = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/audio/en/answer-3.wav"
    );
    let ears = "exec:sh -c 'wc -c | tr -d \" \"'";
    let server = start(strict().ears(ears).voice(format!("exec:cat {wav}")));
    let (mut client, _) = Client::open(&server).await;
    let events = turn(&mut client, &speech()).await;
    let bytes: usize = text_of(&events).parse().expect("the size of a WAV file");
    assert!(bytes > speech().len(), "{bytes}");
    assert!(samples_of(&events).len() > RATE_HZ as usize);
}

#[tokio::test]
async fn a_voice_program_that_fails_fails_the_response_and_says_why() {
    let server = start(strict().voice("exec:sh -c 'echo no voice today >&2; exit 1'"));
    let (mut client, _) = Client::open(&server).await;
    let events = client.respond(json!({})).await;
    let done = &events.last().expect("one")["response"];
    assert_eq!(done["status"], "failed");
    let message = done["status_details"]["error"]["message"].as_str();
    assert!(
        message.is_some_and(|m| m.contains("no voice today")),
        "{done}"
    );
    client.expect("rate_limits.updated").await;
    client.still_works().await;
}

#[tokio::test]
async fn a_cancel_stops_the_voice_program() {
    let server = start(strict().voice("exec:sleep 60"));
    let (mut client, _) = Client::open(&server).await;
    client.send(json!({"type": "response.create"})).await;
    client.expect("response.created").await;
    client.send(json!({"type": "response.cancel"})).await;
    // An item may have begun before the cancel came.
    let done = client.until("response.done").await.pop().expect("found");
    assert_eq!(
        done["response"]["status_details"]["reason"],
        "client_cancelled"
    );
    client.expect("rate_limits.updated").await;
    client.still_works().await;
}

#[tokio::test]
async fn growing_transcripts_and_doubled_answers_are_shown_off_when_asked() {
    let script = "ears: [\"one two three\"]\n\
                  emulate: [growing_transcripts, repeated_session_updated]";
    let server = start(lenient().script_text(script, "."));
    let (mut client, _) = Client::open(&server).await;
    client.update(json!({"instructions": "x"})).await;
    client.expect("session.updated").await;
    let events = turn(&mut client, &speech()).await;
    let texts: Vec<_> = events
        .iter()
        .filter(|e| e["type"] == "conversation.item.input_audio_transcription.completed")
        .map(|e| e["transcript"].as_str().expect("a text"))
        .collect();
    assert_eq!(texts, ["one", "one two", "one two three"]);
}

#[tokio::test]
async fn bytes_may_be_cut_anywhere() {
    let server = start(strict().brain("echo").ears("dtmf").voice("dtmf"));
    let (mut client, _) = Client::open(&server).await;
    let sound = [digits("5", RATE_HZ), silence(1000)].concat();
    let bytes: Vec<u8> = sound.iter().flat_map(|s| s.to_le_bytes()).collect();
    for piece in bytes.chunks(1001) {
        let audio = talkwire_core::wire::audio::encode(piece);
        client
            .send(json!({"type": "input_audio_buffer.append", "audio": audio}))
            .await;
    }
    let events = client.until("response.done").await;
    assert_eq!(heard(&samples_of(&events), RATE_HZ), "5");
    // The whole turn in one piece is the same.
    client.expect("rate_limits.updated").await;
    client.send(append(&sound)).await;
    let events = client.until("response.done").await;
    assert_eq!(heard(&samples_of(&events), RATE_HZ), "5");
}
