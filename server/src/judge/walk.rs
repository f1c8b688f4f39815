//! Asks a server for everything, and looks at what comes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use talkwire_core::dialect::Dialect;
use talkwire_core::error::{Error, Kind, Result};
use talkwire_core::net::dial::Network;
use talkwire_core::net::proxy::Proxy;
use talkwire_core::net::tls::{self, Trust};
use talkwire_core::net::ws::{self, Spec, WebSocket};
use talkwire_core::wire::Map;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use super::report::{Breach, Report, Step};
use super::server::{Seen, ServerWatch};
use super::steps;

/// Time for each step of dialling.
const DIAL_LIMIT: Duration = Duration::from_secs(15);
/// Events of one step that the report names.
const MAX_NAMED: usize = 40;

/// What to check and how.
pub struct CheckServer {
    /// Endpoint: `ws://` or `wss://`.
    pub url: String,
    /// Dialect that the server is said to speak.
    pub dialect: Arc<Dialect>,
    /// Model; absent means what the URL says, or what the server takes without one.
    pub model: Option<String>,
    /// Credential.
    pub key: Option<String>,
    /// PEM certificates to trust beside those of the system.
    pub extra_ca: Option<Vec<u8>>,
    /// How long an answer may take.
    pub patience: Duration,
}

/// Checks a server. Blocks until it is done. Errors: what keeps the check from beginning, such as a
/// wrong URL or a refused upgrade; whatever the server does after that is in the report.
pub fn check_server(config: &CheckServer) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::new(Kind::Io, format!("cannot start a runtime: {e}")))?;
    runtime.block_on(async {
        let socket = dial(config).await?;
        let mut walk = Walk::new(config, socket);
        steps::all(&mut walk).await;
        Ok(walk.finish().await)
    })
}

async fn dial(config: &CheckServer) -> Result<WebSocket> {
    let dialect = &config.dialect;
    let model = config.model.as_deref();
    let trust = Trust {
        extra_ca: config.extra_ca.as_deref(),
        ..Trust::default()
    };
    let key = config.key.as_deref();
    ws::dial(&Spec {
        url: dialect.url(Some(&config.url), model, &[]),
        headers: key
            .and_then(|key| dialect.auth_header(key))
            .into_iter()
            .collect(),
        network: Network {
            tls: tls::client(&trust)?,
            proxy: Proxy::Environment,
            connect: DIAL_LIMIT,
            keepalive: None,
        },
        handshake: DIAL_LIMIT,
    })
    .await
}

/// One session with the server.
pub(super) struct Walk {
    socket: WebSocket,
    pub(super) dialect: Arc<Dialect>,
    watch: ServerWatch,
    patience: Duration,
    /// Events since the step began.
    pub(super) seen: Vec<Seen>,
    pub(super) report: Report,
    asked: u32,
    /// Each `response.create` that neither a response nor an error has answered yet.
    owed: Vec<String>,
    is_over: bool,
    /// Whether the connection stood when the step began.
    is_asked: bool,
    /// Whether the server may end the session for what it is asked.
    may_end: bool,
}

impl Walk {
    fn new(config: &CheckServer, socket: WebSocket) -> Self {
        let mut report = Report::default();
        let dialect = &config.dialect;
        report.subject = format!("{} as {}", config.url, dialect.name());
        Self {
            socket,
            dialect: dialect.clone(),
            watch: ServerWatch::new(dialect.clone()),
            patience: config.patience,
            seen: Vec::new(),
            report,
            asked: 0,
            owed: Vec::new(),
            is_over: false,
            is_asked: true,
            may_end: false,
        }
    }

    /// Begins a step.
    pub(super) fn begin(&mut self, asked: &str) {
        self.seen.clear();
        self.is_asked = !self.is_over;
        let asked = asked.to_owned();
        let seen = String::new();
        self.report.steps.push(Step { asked, seen });
    }

    /// Ends a step: what came is written down.
    pub(super) fn end(&mut self) {
        let mut names: Vec<String> = Vec::new();
        for seen in &self.seen {
            let name = match seen.text("/error/code") {
                "" => seen.name.clone(),
                code => format!("error({code})"),
            };
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        names.truncate(MAX_NAMED);
        if names.is_empty() {
            let nothing = match self.is_asked {
                true => "nothing",
                false => "not asked: the connection is gone",
            };
            names.push(nothing.to_owned());
        }
        if let Some(step) = self.report.steps.last_mut() {
            step.seen = names.join(" ");
        }
        let breaches = self.watch.take_breaches();
        self.report.breaches.extend(breaches);
    }

    /// A rule was broken in a way that only the question shows.
    pub(super) fn broken(&mut self, rule: &'static str, seen: impl Into<String>) {
        if self.is_asked {
            self.report.breaches.push(Breach::new(rule, seen));
        }
    }

    /// What the server turned out to be able to do, if it was asked.
    pub(super) fn can(&mut self, what: &str, can: bool, note: &str) {
        self.report.can(what, self.is_asked.then_some(can), note);
    }

    /// The server may end the session for what comes now.
    pub(super) fn may_end(&mut self) {
        self.may_end = true;
    }

    /// Sends an event by its canonical name; returns the id that it has.
    pub(super) async fn ask(&mut self, name: &str, fields: Value) -> String {
        self.asked += 1;
        let id = format!("check_{}", self.asked);
        let fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        let frame = self.dialect.encode_client_fields(name, fields, Some(&id));
        if name == "response.create" {
            self.owed.push(id.clone());
        }
        self.send(Message::text(frame)).await;
        id
    }

    /// Sends a frame as it is.
    pub(super) async fn send(&mut self, message: Message) {
        if self.socket.send(message).await.is_err() {
            self.over("the connection was lost");
        }
    }

    /// Whether the connection still stands.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    fn over(&mut self, how: &str) {
        if !std::mem::replace(&mut self.is_over, true) && !self.may_end {
            let seen = format!("{how}, although nothing asked for it");
            self.broken("S27", seen);
        }
    }

    /// Reads until an event of this step fits; returns it, or `None` when patience ends.
    pub(super) async fn until(&mut self, fits: impl Fn(&Seen) -> bool) -> Option<Seen> {
        if let Some(seen) = self.seen.iter().find(|seen| fits(seen)) {
            return Some(seen.clone());
        }
        self.next_until(fits).await
    }

    /// Like [`until`](Self::until), and only for events that are still to come.
    pub(super) async fn next_until(&mut self, fits: impl Fn(&Seen) -> bool) -> Option<Seen> {
        let deadline = Instant::now() + self.patience;
        while !self.is_over {
            let message = timeout_at(deadline, self.socket.next()).await.ok()?;
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Binary(_))) => {
                    self.watch.binary();
                    continue;
                }
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |f| u16::from(f.code));
                    self.over(&format!("the server closed with code {code}"));
                    return None;
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => {
                    self.over("the connection was lost");
                    return None;
                }
            };
            if let Some(seen) = self.watch.frame(text.as_str()) {
                self.paid(&seen);
                self.seen.push(seen.clone());
                if fits(&seen) {
                    return Some(seen);
                }
            }
        }
        None
    }

    /// Servers answer one request after another, and do not say with which response.
    fn paid(&mut self, seen: &Seen) {
        let by = seen.text("/error/event_id");
        match seen.name.as_str() {
            "response.created" if !self.owed.is_empty() => drop(self.owed.remove(0)),
            "error" if by.is_empty() => drop(self.owed.pop()),
            "error" => self.owed.retain(|id| id != by),
            _ => {}
        }
    }

    /// Reads until an event of that name came in this step.
    pub(super) async fn named(&mut self, name: &str) -> Option<Seen> {
        self.until(|seen| seen.name == name).await
    }

    /// Reads until no response runs or is to come, so that the next step begins in peace.
    pub(super) async fn settle(&mut self) {
        let is_news = |seen: &Seen| seen.name == "error" || seen.name.starts_with("response.");
        while self.watch.is_busy() || !self.owed.is_empty() {
            if self.next_until(is_news).await.is_none() {
                // What never ends is a breach, and must not be blamed on the next step.
                self.watch.end();
                self.owed.clear();
            }
        }
    }

    /// Expects an error that answers the event `id`.
    pub(super) async fn refused(
        &mut self,
        rule: &'static str,
        id: &str,
        what: &str,
    ) -> Option<Seen> {
        let error = self.named("error").await;
        match &error {
            None => self.broken(rule, format!("{what} was not answered by an error")),
            Some(error) => {
                let echo = error.text("/error/event_id");
                if !id.is_empty() && echo != id {
                    let seen = format!("the error of {what} names `{echo}` and not `{id}`");
                    self.broken("S13", seen);
                }
            }
        }
        error
    }

    async fn finish(mut self) -> Report {
        self.watch.end();
        let breaches = self.watch.take_breaches();
        self.report.breaches.extend(breaches);
        if !self.is_over {
            self.begin("a close with code 1000");
            self.close().await;
        }
        self.report
    }

    async fn close(&mut self) {
        let deadline = Instant::now() + self.patience;
        let is_sent = self.socket.close(None).await.is_ok();
        let mut is_answered = false;
        while let Ok(Some(Ok(message))) = timeout_at(deadline, self.socket.next()).await {
            is_answered |= matches!(message, Message::Close(_));
        }
        if let Some(step) = self.report.steps.last_mut() {
            let seen = if is_answered { "a close" } else { "no close" };
            seen.clone_into(&mut step.seen);
        }
        if !is_sent || !is_answered {
            self.broken("S26", "the close was not answered");
        }
    }
}

/// A text message of the customer.
pub(super) fn message(id: &str, text: &str) -> Value {
    json!({"item": {"id": id, "type": "message", "role": "user",
        "content": [{"type": "input_text", "text": text}]}})
}
