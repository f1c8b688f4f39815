//! What real servers do beside the protocol, one switch of the local server each, and what our
//! client makes of it. The numbers are those of `core/DIALECTS.md`.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use talkwire_core::audio::codec::encode_into;
use talkwire_core::audio::format::Format;
use talkwire_core::audio::resample::resample;
use talkwire_core::audio::wav::Wav;
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::wire::Item;
use talkwire_core::{Client, End, Event, Kind, Options, Session, Settings};
use talkwire_server::{Config, LocalServer};
use talkwire_tests::one_link;

const PATIENCE: Duration = Duration::from_secs(20);

/// One call to a server with quirks.
struct Call {
    session: Session,
    seen: Vec<Value>,
    _server: LocalServer,
}

impl Call {
    fn new(profile: &str, script: &str, settings: Settings) -> Self {
        Self::with(profile, script, settings, &[])
    }

    fn with(profile: &str, script: &str, session: Settings, waive: &[&str]) -> Self {
        let config = Config::new().profile(profile).script_text(script, ".");
        let server = LocalServer::start(config).expect("starts");
        let options = Options {
            session,
            waive: waive.iter().map(|check| (*check).to_owned()).collect(),
            ..one_link()
        };
        let client = Client::new().dialect(profile).expect("built in");
        let session = client.url(server.url()).open(options).expect("opens");
        Self {
            session,
            seen: Vec::new(),
            _server: server,
        }
    }

    fn next(&mut self) -> Result<Event, End> {
        match self.session.next_within(PATIENCE).expect("no callback") {
            Next::Event(event) => {
                let json = serde_json::from_str(&event.json()).expect("JSON");
                self.seen.push(json);
                Ok(event)
            }
            Next::End(end) => Err(end),
            Next::Empty => panic!("silence after {:#?}", self.names()),
        }
    }

    fn wait_for(&mut self, name: &str) -> Value {
        loop {
            match self.next() {
                Ok(event) if event.name() == name => {
                    return self.seen.last().expect("just seen").clone();
                }
                Ok(_) => {}
                Err(end) => panic!("ended before {name}: {end:?}, {:?}", self.names()),
            }
        }
    }

    fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.next() {
                return end;
            }
        }
    }

    fn names(&self) -> Vec<&str> {
        let names = self.seen.iter().filter_map(|event| event["type"].as_str());
        names.collect()
    }

    fn count(&self, name: &str) -> usize {
        self.names().iter().filter(|n| **n == name).count()
    }

    /// One utterance of real speech and the silence after it, as fast as the server takes it.
    fn speak(&self) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let wav = Wav::read(&root.join("examples/audio/caller.wav")).expect("a committed file");
        let ms = |ms: usize| ms * wav.rate_hz as usize / 1000;
        let mut samples = vec![0; ms(300)];
        samples.extend_from_slice(&wav.to_mono()[ms(650)..ms(2_000)]);
        samples.extend(vec![0; ms(1_000)]);
        let samples = resample(&samples, wav.rate_hz, 24_000).expect("rates are valid");
        let mut bytes = Vec::new();
        encode_into(Format::PCM16_24K, &samples, &mut bytes);
        for piece in bytes.chunks(9_600) {
            self.session.append(piece.to_vec()).expect("room");
        }
    }

    /// Proves that the session lives and does what it is asked.
    fn still_works(&mut self) {
        self.session
            .update(Settings::new().instructions("still there"))
            .expect("sent");
        let updated = self.wait_for("session.updated");
        assert_eq!(updated["session"]["instructions"], "still there");
    }

    fn line(&self, item_id: &str) -> String {
        let history = self.session.history();
        let line = history.iter().find(|line| line.item_id == item_id);
        line.map(|line| line.text.clone()).unwrap_or_default()
    }
}

fn pcm(rate_hz: u32) -> Format {
    Format::Pcm16 { rate_hz }
}

fn hand() -> Settings {
    let session = Settings::new().manual_turns();
    session
        .input_format(Format::PCM16_24K)
        .output_format(Format::PCM16_24K)
}

fn detected() -> Settings {
    Settings::new()
        .server_vad(400)
        .input_format(Format::PCM16_24K)
        .output_format(Format::PCM16_24K)
}

#[test]
fn q1_a_second_session_updated_is_told_once() {
    let mut call = Call::new("yandex", "emulate: [repeated_session_updated]", hand());
    call.wait_for("session.updated");
    call.session.respond(None).expect("sent");
    call.wait_for("response.done");
    call.still_works();
    call.session.respond(None).expect("sent");
    call.wait_for("response.done");
    assert_eq!(call.count("session.updated"), 2, "one for each update");
}

#[test]
fn q1_a_repetition_is_no_answer_to_the_next_update() {
    let mut call = Call::new("yandex", "emulate: [repeated_session_updated]", hand());
    call.wait_for("session.updated");
    for words in ["first", "second", "last"] {
        call.session
            .update(Settings::new().instructions(words))
            .expect("sent");
    }
    while call.wait_for("session.updated")["session"]["instructions"] != "last" {}
    call.session.respond(None).expect("sent");
    call.wait_for("response.done");
    let updates = call
        .seen
        .iter()
        .filter(|event| event["type"] == "session.updated");
    let mut told: Vec<_> = updates
        .map(|event| &event["session"]["instructions"])
        .collect();
    // While another update waits, a repetition may as well be its answer, so it is passed on.
    told.dedup();
    assert_eq!(told[1..], ["first", "second", "last"]);
}

#[test]
fn q2_growing_and_cumulative_transcripts_leave_one_line_for_each_utterance() {
    let script = "emulate: [growing_transcripts, cumulative_transcripts]\n\
                  ears: [\"one two\", \"three four\", \"five\"]\n\
                  turns: [{say: \"Yes.\"}]";
    let mut call = Call::new("yandex", script, detected());
    call.wait_for("session.updated");
    let mut lines = Vec::new();
    for _ in 0..3 {
        call.speak();
        call.wait_for("response.done");
        let completed = "conversation.item.input_audio_transcription.completed";
        let last = call.seen.iter().rfind(|e| e["type"] == completed);
        let item = last.expect("a transcript")["item_id"]
            .as_str()
            .expect("an id");
        lines.push(call.line(item));
    }
    assert_eq!(lines, ["one two", "three four", "five"]);
    let completed = "conversation.item.input_audio_transcription.completed";
    assert_eq!(call.count(completed), 5, "each word grows a transcript");
}

#[test]
fn q3_a_text_on_two_tracks_is_told_once() {
    let script = "emulate: [text_on_two_tracks]\nturns: [{say: \"Good day to you.\"}]";
    let mut call = Call::new("yandex", script, hand());
    call.wait_for("session.updated");
    call.session.respond(None).expect("sent");
    let done = call.wait_for("response.done");
    assert_eq!(call.count("response.output_text.done"), 1);
    assert_eq!(call.count("response.output_audio_transcript.done"), 0);
    assert_eq!(call.count("response.output_audio_transcript.delta"), 0);
    let item = done["response"]["output"][0]["id"].as_str().expect("an id");
    assert_eq!(call.line(item), "Good day to you.");
}

#[test]
fn q4_a_response_without_its_end_is_ended_when_the_next_begins() {
    let script = "emulate: [response_done_may_be_missing]\npacing: realtime\n\
                  turns: [{say: \"One two three four five six seven eight nine ten.\"}]";
    let mut call = Call::new("yandex", script, detected());
    call.wait_for("session.updated");
    call.speak();
    let first = call.wait_for("response.created")["response"]["id"].clone();
    call.wait_for("response.output_audio.delta");
    call.speak();
    call.wait_for("input_audio_buffer.speech_started");
    call.wait_for("response.created");
    let ends: Vec<_> = call
        .seen
        .iter()
        .filter(|e| e["type"] == "response.done")
        .collect();
    assert_eq!(
        ends.len(),
        1,
        "told by the client for the server that forgot it"
    );
    assert_eq!(ends[0]["response"]["id"], first);
    assert_eq!(ends[0]["response"]["status"], "cancelled");
    call.still_works();
}

#[test]
fn a_turn_without_its_committed_event_is_a_turn() {
    let script = "emulate: [commit_event_may_be_missing]\nears: [\"hello\"]\n\
                  turns: [{when: {user: hello}, say: \"Hello.\"}]";
    let mut call = Call::new("yandex", script, detected());
    call.wait_for("session.updated");
    call.speak();
    call.wait_for("response.done");
    assert_eq!(call.count("input_audio_buffer.committed"), 0);
    call.session.close();
    let end = call.end();
    assert!(end.expected && !end.mid_turn, "{end:?}");
}

#[test]
fn q5_a_null_rate_reads_as_the_dialects_own_and_our_shape_never_gets_it() {
    let script = "emulate: [fixed_output_rate]\nturns: [{say: \"Good day.\"}]";
    let mut call = Call::new("yandex", script, hand());
    let updated = call.wait_for("session.updated");
    let rate = "/session/audio/output/format/rate";
    assert_eq!(
        updated.pointer(rate),
        Some(&json!(24_000)),
        "asked as we ask"
    );
    let old = r#"{"type":"session.update","session":{"output_audio_format":"pcm16"}}"#;
    call.session.send_frame(old).expect("sent");
    let updated = call.wait_for("session.updated");
    assert_eq!(updated.pointer(rate), Some(&Value::Null));
    call.session.respond(None).expect("sent");
    let (mut bytes, mut ms) = (0, 0);
    while let Ok(event) = call.next() {
        bytes += event.audio().map_or(0, |audio| audio.len());
        ms += event.audio_ms();
        if event.name() == "response.done" {
            break;
        }
    }
    assert!(bytes > 0);
    let settings = call.session.runtime().block_on(call.session.settings());
    let format = settings
        .expect("alive")
        .format_at("/audio/output/format", 44_100);
    assert_eq!(format, Some(pcm(44_100)));
    // The client cannot know that what it asked for last was not asked by it; with the rate the
    // application sets, the length is right again.
    assert!(ms > 0);
    call.session
        .update(Settings::new().output_format(pcm(44_100)))
        .expect("sent");
    let updated = call.wait_for("session.updated");
    assert_eq!(updated.pointer(rate), Some(&json!(44_100)));
}

#[test]
fn q6_a_bad_model_is_fatal_after_the_upgrade() {
    let server = |script: &str| {
        let config = Config::new().profile("openai").script_text(script, ".");
        LocalServer::start(config.models(["known"])).expect("starts")
    };
    let open = |server: &LocalServer| {
        let options = Options {
            model: Some("unknown".into()),
            ..Options::default()
        };
        let client = Client::new().dialect("openai").expect("built in");
        client.url(server.url()).open(options).expect("opens")
    };
    let server = server("emulate: [model_error_after_upgrade]");
    let session = open(&server);
    let end = session.ended_within(PATIENCE).expect("no callback");
    let end = end.expect("it ends");
    assert_eq!(end.why, Kind::Fatal);
    assert_eq!((end.close_code, end.http_status), (Some(1008), None));
    assert!(end.message.contains("Invalid model URI"), "{end:?}");
    let bare = Options {
        model: Some("speech-realtime".into()),
        ..Options::default()
    };
    let error = Client::new()
        .url(server.url())
        .open(bare)
        .expect_err("never sent");
    assert_eq!(error.kind(), Kind::Refused);
}

#[test]
fn q7_an_item_of_the_agent_is_refused_before_it_breaks_the_dialogue() {
    let script = "emulate: [assistant_items_break]\nturns: [{say: \"Yes.\"}]";
    let item = || Item::assistant_text("I said hello.");
    let mut call = Call::new("yandex", script, hand());
    call.wait_for("session.updated");
    let refused = call.session.create_item(item(), None).expect("queued");
    let refused = call.session.runtime().block_on(refused);
    assert_eq!(refused.expect_err("never sent").kind(), Kind::Refused);
    call.session.respond(None).expect("sent");
    call.wait_for("response.done");

    let mut call = Call::with("yandex", script, hand(), &["item"]);
    call.wait_for("session.updated");
    call.session.create_item(item(), None).expect("queued");
    let error = call.wait_for("error");
    assert_eq!(error["error"]["param"], "item.role");
    let broken = call.session.respond(None).expect("sent");
    let broken = call.session.runtime().block_on(broken);
    assert_eq!(broken.expect_err("broken").kind(), Kind::Server);
    call.still_works();
}

#[test]
fn q8_variables_of_a_prompt_are_sent_with_their_twins() {
    let prompt = json!({"id": "p", "variables": {"city": "Omsk"}});
    let script = "emulate: [prompt_variables_twice]";
    let settings = hand().set("/prompt", prompt);
    let mut call = Call::new("yandex", script, settings);
    let updated = call.wait_for("session.updated");
    let variables = &updated["session"]["prompt"]["variables"];
    assert_eq!(*variables, json!({"city": "Omsk", "{{city}}": "Omsk"}));
    call.still_works();

    let alone =
        r#"{"type":"session.update","session":{"prompt":{"id":"p","variables":{"x":"y"}}}}"#;
    call.session.send_frame(alone).expect("sent");
    let error = call.wait_for("error");
    assert_eq!(error["error"]["message"], "Internal error");
    let end = call.end();
    assert_eq!((end.why, end.expected), (Kind::Lost, false));
}

#[test]
fn q9_an_answer_knows_the_turn_whose_transcript_was_waited_for() {
    let script = "emulate: [hasty_answers_are_deaf]\nears: [\"my order\", \"my order\"]\n\
                  turns: [{when: {user: order}, say: \"Your order.\"}, {say: \"Hello?\"}]";
    let mut call = Call::new("yandex", script, hand());
    call.wait_for("session.updated");
    call.speak();
    call.session.commit().expect("sent");
    call.session.respond(None).expect("sent");
    let hasty = call.wait_for("response.output_text.done");
    assert_eq!(hasty["text"], "Hello?");
    call.wait_for("conversation.item.input_audio_transcription.completed");
    call.speak();
    call.session.commit().expect("sent");
    call.wait_for("conversation.item.input_audio_transcription.completed");
    call.session.respond(None).expect("sent");
    let patient = call.wait_for("response.output_text.done");
    assert_eq!(patient["text"], "Your order.");
}

#[test]
fn q10_an_empty_commit_is_refused_by_us_and_an_error_without_a_code_is_an_error() {
    let mut call = Call::new("yandex", "emulate: [codeless_errors]", hand());
    call.wait_for("session.updated");
    let commit = call.session.commit().expect("queued");
    let commit = call.session.runtime().block_on(commit);
    assert_eq!(commit.expect_err("never sent").kind(), Kind::Refused);

    let mut call = Call::with("yandex", "emulate: [codeless_errors]", hand(), &["commit"]);
    call.wait_for("session.updated");
    let commit = call.session.commit().expect("queued");
    let commit = call.session.runtime().block_on(commit);
    let error = commit.expect_err("the server refuses it");
    assert_eq!(
        (error.kind(), &error.provider().code),
        (Kind::Server, &None)
    );
    call.still_works();
}

#[test]
fn q11_a_role_that_the_voice_lacks_is_refused_before_it_makes_the_voice_mute() {
    let script = "emulate: [sticky_role]\nturns: [{say: \"Good day.\"}]";
    let options = Options {
        session: Settings::new().voice("masha").role("whisper"),
        ..Options::default()
    };
    let error = Client::new().url("ws://127.0.0.1:1/").open(options);
    assert_eq!(error.expect_err("never sent").kind(), Kind::Refused);

    let settings = hand().voice("marina").role("whisper");
    let mut call = Call::new("yandex", script, settings);
    call.wait_for("session.updated");
    call.session.respond(None).expect("sent");
    let done = call.wait_for("response.done");
    assert_eq!(done["response"]["status"], "completed");
    let before = call.count("response.output_audio.delta");
    assert!(before > 0);
    call.session
        .update(Settings::new().voice("filipp"))
        .expect("sent");
    let updated = call.wait_for("session.updated");
    assert_eq!(updated["session"]["audio"]["output"]["role"], "whisper");
    call.session.respond(None).expect("sent");
    let done = call.wait_for("response.done");
    assert_eq!(done["response"]["status"], "failed");
    assert_eq!(call.count("response.output_audio.delta"), before);
    call.still_works();
}

#[test]
fn q12_a_server_that_answers_no_pings_keeps_its_session() {
    let config = Config::new().profile("yandex");
    let config = config.script_text("emulate: [late_pong]", ".");
    let server = LocalServer::start(config).expect("starts");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let pongs = runtime.block_on(pongs(server.url()));
    assert_eq!(pongs, 0);

    let client = Client::new().url(server.url());
    let session = client.open(Options::default()).expect("opens");
    runtime.block_on(session.opened()).expect("open");
    session.send_text("hello").expect("sent");
    session.respond(None).expect("sent");
    let started = Instant::now();
    loop {
        match session.next_within(PATIENCE).expect("no callback") {
            Next::Event(event) if event.name() == "response.done" => break,
            Next::Event(_) => assert!(started.elapsed() < PATIENCE),
            other => panic!("{other:?}"),
        }
    }
}

/// Pongs that come before the answer to an event that was sent after a ping.
async fn pongs(url: &str) -> usize {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;

    let request = url.into_client_request().expect("a URL");
    let host = url.split('/').nth(2).expect("a host");
    let stream = tokio::net::TcpStream::connect(host).await.expect("listens");
    let (mut ws, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .expect("upgrades");
    ws.send(Message::Ping("x".into())).await.expect("sent");
    let update = r#"{"type":"session.update","session":{}}"#;
    ws.send(Message::text(update)).await.expect("sent");
    let mut pongs = 0;
    loop {
        match ws.next().await.expect("open").expect("a message") {
            Message::Pong(_) => pongs += 1,
            Message::Text(text) if text.contains("session.updated") => return pongs,
            _ => {}
        }
    }
}

#[test]
fn q15_parameters_as_a_text_go_there_and_come_back() {
    let script = "emulate: [text_tool_parameters]\n\
                  turns: [{when: {start: true}, call: {name: look, arguments: {a: 1}}}]";
    let given = json!({"type": "object", "properties": {}});
    let tools = json!([
        {"type": "function", "name": "look", "parameters": given},
        {"type": "function", "name": "web_search", "parameters": "{}"},
        {"type": "function", "name": "bare"}
    ]);
    let mut call = Call::new("yandex", script, hand().tools(tools));
    let updated = call.wait_for("session.updated");
    let told = &updated["session"]["tools"];
    let text = told[0]["parameters"].as_str().expect("a text");
    assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), given);
    assert_eq!(told[1]["parameters"], "{}");
    call.session.respond(None).expect("sent");
    let called = call.wait_for("response.function_call_arguments.done");
    assert_eq!(
        (&called["name"], &called["arguments"]),
        (&json!("look"), &json!("{\"a\":1}"))
    );
    call.wait_for("response.done");
}

#[test]
fn q19_a_greeting_asked_for_at_once_waits_for_the_settings() {
    let script = "emulate: [greeting_needs_settings]\n\
                  turns: [{when: {start: true}, say: \"Welcome.\"}]";
    let mut call = Call::new("yandex", script, hand());
    call.session.respond(None).expect("queued");
    let said = call.wait_for("response.output_text.done");
    assert_eq!(said["text"], "Welcome.");
    call.wait_for("response.done");
    assert_eq!(call.count("error"), 0);

    let mut bare = Call::new("yandex", script, Settings::new());
    let hasty = bare.session.respond(None).expect("queued");
    let hasty = bare.session.runtime().block_on(hasty);
    assert_eq!(hasty.expect_err("no settings").kind(), Kind::Server);
    bare.still_works();
}
