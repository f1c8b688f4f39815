//! A raw client: it knows JSON and WebSockets and nothing of this project's engine.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use talkwire_server::{Config, LocalServer};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Nothing here takes this long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to a local server.
pub(crate) struct Client {
    pub(crate) ws: WebSocketStream<TcpStream>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By a close frame.
    Closed(u16, String),
    /// Without one.
    Lost,
}

pub(crate) fn start(config: Config) -> LocalServer {
    LocalServer::start(config).expect("starts")
}

pub(crate) fn strict() -> Config {
    Config::new().profile("openai")
}

pub(crate) fn lenient() -> Config {
    Config::new().profile("yandex")
}

impl Client {
    /// Connects; the first event is still to be read.
    pub(crate) async fn connect(url: &str) -> Self {
        Self::try_connect(url, &[]).await.expect("upgrades")
    }

    /// Connects with headers, or says why not.
    pub(crate) async fn try_connect(url: &str, headers: &[(&str, &str)]) -> Result<Self, Error> {
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a header name");
            let value = HeaderValue::from_str(value).expect("a header value");
            request.headers_mut().insert(name, value);
        }
        let host = url.split('/').nth(2).expect("a host");
        let tcp = TcpStream::connect(host).await?;
        let (ws, _) = client_async(request, tcp).await?;
        Ok(Self { ws })
    }

    /// Connects and reads `session.created`.
    pub(crate) async fn open(server: &LocalServer) -> (Self, Value) {
        let mut client = Self::connect(server.url()).await;
        let created = client.expect("session.created").await;
        (client, created["session"].clone())
    }

    pub(crate) async fn send(&mut self, event: Value) {
        self.text(event.to_string()).await;
    }

    pub(crate) async fn text(&mut self, text: impl Into<String>) {
        let message = Message::text(text.into());
        self.ws.send(message).await.expect("sends");
    }

    pub(crate) async fn message(&mut self) -> Option<Result<Message, Error>> {
        tokio::time::timeout(PATIENCE, self.ws.next())
            .await
            .expect("the server hangs")
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match self.message().await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(text.as_str()).expect("JSON");
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("an event was expected: {other:?}"),
            }
        }
    }

    /// The next event, which has to be of this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let event = self.next().await;
        assert_eq!(event["type"], kind, "{event}");
        event
    }

    /// All events up to and with the first of this type.
    pub(crate) async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            assert!(kind == "error" || event["type"] != "error", "{event}");
            let found = event["type"] == kind;
            events.push(event);
            if found {
                return events;
            }
        }
    }

    /// Reads to the end.
    pub(crate) async fn ended(&mut self) -> Ended {
        loop {
            match self.message().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Ended::Closed(frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(Ok(Message::Close(None))) => return Ended::Closed(1005, String::new()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ended::Lost,
            }
        }
    }

    /// Changes the session.
    pub(crate) async fn update(&mut self, mut session: Value) -> Value {
        if session["type"].is_null() {
            session["type"] = json!("realtime");
        }
        self.send(json!({"type": "session.update", "session": session}))
            .await;
        self.expect("session.updated").await["session"].clone()
    }

    /// Puts a text of the customer into the conversation.
    pub(crate) async fn say(&mut self, text: &str) {
        let content = json!([{"type": "input_text", "text": text}]);
        let item = json!({"type": "message", "role": "user", "content": content});
        self.send(json!({"type": "conversation.item.create", "item": item}))
            .await;
    }

    /// Asks for a response and reads it whole.
    pub(crate) async fn respond(&mut self, response: Value) -> Vec<Value> {
        self.send(json!({"type": "response.create", "response": response}))
            .await;
        self.until("response.done").await
    }

    /// Streams samples in pieces of 20 ms as fast as the server reads.
    pub(crate) async fn stream(&mut self, samples: &[i16], rate_hz: u32) {
        for piece in samples.chunks(rate_hz as usize / 50) {
            self.send(append(piece)).await;
        }
    }

    /// Checks that the socket still serves a text turn.
    pub(crate) async fn still_works(&mut self) {
        self.say("still there").await;
        self.until_type("conversation.item").await;
        let events = self.respond(json!({"output_modalities": ["text"]})).await;
        assert!(text_of(&events).ends_with("still there"), "{events:?}");
    }

    async fn until_type(&mut self, prefix: &str) {
        loop {
            let event = self.next().await;
            if event["type"]
                .as_str()
                .is_some_and(|t| t.starts_with(prefix))
            {
                return;
            }
        }
    }
}

pub(crate) fn append(samples: &[i16]) -> Value {
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let audio = talkwire_core::wire::audio::encode(&bytes);
    json!({"type": "input_audio_buffer.append", "audio": audio})
}

/// Types of events, without repetitions in a row.
pub(crate) fn types(events: &[Value]) -> Vec<&str> {
    let mut types: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    types.dedup();
    types
}

/// The text or transcript deltas, joined.
pub(crate) fn text_of(events: &[Value]) -> String {
    let is_text = |e: &&Value| {
        let kind = e["type"].as_str().unwrap();
        kind == "response.output_text.delta" || kind == "response.output_audio_transcript.delta"
    };
    let text = events.iter().filter(is_text);
    text.map(|e| e["delta"].as_str().unwrap()).collect()
}

/// The audio deltas as samples.
pub(crate) fn samples_of(events: &[Value]) -> Vec<i16> {
    let mut samples = Vec::new();
    for event in events {
        if event["type"] == "response.output_audio.delta" {
            let bytes = talkwire_core::wire::audio::decode(event["delta"].as_str().unwrap())
                .expect("base64");
            assert_eq!(bytes.len() % 2, 0, "whole samples");
            let pairs = bytes.chunks_exact(2);
            samples.extend(pairs.map(|p| i16::from_le_bytes([p[0], p[1]])));
        }
    }
    samples
}
