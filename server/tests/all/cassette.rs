use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use talkwire_core::dialect::Dialect;
use talkwire_server::cassette::{RecordConfig, Recorder, Replay, ReplayConfig};
use talkwire_server::{LocalServer, Pacing};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::Message;

use crate::common::{Client, Ended, start, strict};

fn folder(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cassette-{test}"));
    let _ = std::fs::remove_dir_all(&dir);
    dir
}

fn record(server: &LocalServer, out: &Path) -> Recorder {
    Recorder::start(RecordConfig {
        listen: "127.0.0.1:0".to_owned(),
        allow_remote: false,
        upstream: server.url().to_owned(),
        out: out.to_owned(),
        dialect: Dialect::named("openai").expect("built in"),
        extra_ca: None,
        tell: Arc::new(|_| ()),
    })
    .expect("records")
}

fn replay(cassette: &Path, is_instant: bool, told: &Arc<Mutex<Vec<String>>>) -> Replay {
    let told = told.clone();
    Replay::start(ReplayConfig {
        listen: "127.0.0.1:0".to_owned(),
        allow_remote: false,
        cassette: cassette.to_owned(),
        is_instant,
        tell: Arc::new(move |line| told.lock().expect("no panic").push(line.to_owned())),
    })
    .expect("replays")
}

/// The same client each time; every text frame it gets, as it came, and how it ended.
async fn converse(url: &str, key: &str) -> (Vec<String>, Ended) {
    let key = format!("Bearer {key}");
    let headers = [
        ("Authorization", key.as_str()),
        ("Sec-WebSocket-Protocol", "realtime"),
    ];
    let mut client = Client::try_connect(url, &headers).await.expect("upgrades");
    let mut frames = Vec::new();
    let turn = json!({"audio": {"input": {"turn_detection": null}}, "type": "realtime"});
    client
        .send(json!({"type": "session.update", "session": turn}))
        .await;
    client.stream(&vec![700; 4800], 24_000).await;
    client.text("{\"type\":").await;
    client.say("a cassette").await;
    client.send(json!({"type": "response.create"})).await;
    loop {
        match client.message().await {
            Some(Ok(Message::Text(text))) => {
                frames.push(text.as_str().to_owned());
                if text.as_str().contains("\"rate_limits.updated\"") {
                    client.send(json!({"type": "response.cancel"})).await;
                }
            }
            Some(Ok(Message::Close(Some(frame)))) => {
                let ended = Ended::Closed(frame.code.into(), frame.reason.to_string());
                return (frames, ended);
            }
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Ends with a close by the server, whatever the client does.
const SCRIPT: &str = r#"
faults:
  - when: {sent: error, count: 2}
    do: {close: {code: 4321, reason: "as the script says"}}
"#;

#[tokio::test]
async fn a_recorded_session_is_replayed_byte_for_byte_with_its_close() {
    let config = strict().api_key("hunter22").script_text(SCRIPT, ".");
    let server = start(config.seed(77));
    let out = folder("bytes");
    let recorder = record(&server, &out);
    let recorded = converse(&recorder.url(), "hunter22").await;
    drop(recorder);
    assert_eq!(
        recorded.1,
        Ended::Closed(4321, "as the script says".to_owned())
    );
    // Nothing was changed on the way: the same seed gives the same bytes without the proxy.
    let direct = start(
        strict()
            .api_key("hunter22")
            .script_text(SCRIPT, ".")
            .seed(77),
    );
    let direct = converse(direct.url(), "hunter22").await;
    let ids = |frames: &[String]| {
        let untimed = frames.iter().filter(|f| !f.contains("expires_at"));
        untimed.cloned().collect::<Vec<_>>()
    };
    assert_eq!(ids(&recorded.0), ids(&direct.0));

    let audio = recorded
        .0
        .iter()
        .filter(|f| f.contains("output_audio.delta"));
    assert!(audio.count() > 0);
    let tape = std::fs::read_to_string(out.join("0001.jsonl")).expect("a tape");
    assert!(!tape.contains("hunter22"), "{tape}");
    assert!(out.join("0001.client.wav").exists() && out.join("0001.server.wav").exists());
    let told = Arc::default();
    for is_instant in [true, false] {
        let replay = replay(&out, is_instant, &told);
        let again = converse(&replay.url(), "whatever").await;
        assert_eq!(again, recorded, "instant: {is_instant}");
    }
    let told = told.lock().expect("no panic").clone();
    assert_eq!(told, Vec::<String>::new());
}

#[tokio::test]
async fn refused_upgrades_and_lost_connections_are_on_tape_too() {
    let drop = "faults:\n  - when: {sent: response.created}\n    do: drop\n";
    let server = start(strict().api_key("hunter22").script_text(drop, "."));
    let out = folder("refused");
    let recorder = record(&server, &out);
    let refused = |client: Result<Client, Error>| match client.err().expect("refused") {
        Error::Http(answer) => {
            let body = answer.body().clone().unwrap_or_default();
            (
                answer.status().as_u16(),
                String::from_utf8(body).expect("UTF-8"),
            )
        }
        other => panic!("{other:?}"),
    };
    let first = refused(Client::try_connect(&recorder.url(), &[]).await);
    assert_eq!(first.0, 401);
    assert!(first.1.contains("invalid_api_key"), "{}", first.1);
    let key = [("Authorization", "Bearer hunter22")];
    let mut client = Client::try_connect(&recorder.url(), &key)
        .await
        .expect("in");
    client.send(json!({"type": "response.create"})).await;
    assert_eq!(client.ended().await, Ended::Lost);
    std::mem::drop(recorder);

    let replay = replay(&out, true, &Arc::default());
    let again = refused(Client::try_connect(&replay.url(), &[]).await);
    assert_eq!(again, first);
    let mut client = Client::connect(&replay.url()).await;
    client.send(json!({"type": "response.create"})).await;
    assert_eq!(client.ended().await, Ended::Lost);
}

#[tokio::test]
async fn timing_is_that_of_the_tape_and_another_client_is_told() {
    let server = start(strict().pacing(Pacing::Realtime));
    let out = folder("timing");
    let recorder = record(&server, &out);
    let talk = async |url: &str| {
        let mut client = Client::connect(url).await;
        client.expect("session.created").await;
        client.say("one two three four five six seven eight").await;
        let asked = Instant::now();
        client.send(json!({"type": "response.create"})).await;
        client.until("response.done").await;
        let took = asked.elapsed();
        client.ws.close(None).await.expect("closes");
        took
    };
    let live = talk(&recorder.url()).await;
    drop(recorder);
    let told = Arc::default();
    let taped = replay(&out.join("0001.jsonl"), false, &told);
    let slow = talk(&taped.url()).await;
    assert!(slow + Duration::from_millis(50) > live, "{slow:?} {live:?}");
    let fast = replay(&out, true, &told);
    let quick = talk(&fast.url()).await;
    assert!(quick < live / 2, "{quick:?} {live:?}");
    let mut client = Client::connect(&fast.url()).await;
    client.expect("session.created").await;
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    // The tape goes on with what followed the item of the first client.
    client.next().await;
    let told = told.lock().expect("no panic").join("\n");
    assert!(told.contains("input_audio_buffer.clear"), "{told}");
}

#[test]
fn what_cannot_be_recorded_or_replayed_is_refused_with_its_name() {
    let wrong = |upstream: &str| {
        Recorder::start(RecordConfig {
            listen: "127.0.0.1:0".to_owned(),
            allow_remote: false,
            upstream: upstream.to_owned(),
            out: folder("wrong"),
            dialect: Dialect::default_dialect(),
            extra_ca: None,
            tell: Arc::new(|_| ()),
        })
        .err()
        .expect("refused")
    };
    assert!(wrong("http://h/").message().contains("ws://"));
    let replay = Replay::start(ReplayConfig {
        listen: "127.0.0.1:0".to_owned(),
        allow_remote: false,
        cassette: "/no/such/cassette".into(),
        is_instant: true,
        tell: Arc::new(|_| ()),
    });
    let error = replay.err().expect("refused");
    assert!(error.message().contains("/no/such/cassette"), "{error}");
}
