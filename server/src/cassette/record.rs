//! A proxy between any client and any server that tapes what passes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use talkwire_core::dialect::Dialect;
use talkwire_core::error::{Error, Kind, Result};
use talkwire_core::net::dial::Network;
use talkwire_core::net::endpoint::Endpoint;
use talkwire_core::net::proxy::Proxy;
use talkwire_core::net::tls::{self, Trust};
use talkwire_core::net::ws::{self, Spec, WebSocket};
use talkwire_core::wire::audio;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::door::{self, Socket, Verdict};
use super::host::{Host, Tell};
use super::tape::{Beat, Side, Tape};
use crate::driver::stopped;
use crate::redact::Redactor;
use crate::upgrade::Knock;

/// Time the server behind has for each step of dialling.
const DIAL_LIMIT: Duration = Duration::from_secs(15);
/// Time the other side has to answer a close.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Headers that belong to one connection and are not passed on.
const OF_ONE_HOP: &[&str] = &[
    "host",
    "connection",
    "upgrade",
    "content-length",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
];

/// What to record.
pub struct RecordConfig {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: String,
    /// Whether other machines may reach it.
    pub allow_remote: bool,
    /// The server behind: `ws://` or `wss://`. Its query counts for clients that send none.
    pub upstream: String,
    /// Directory of the cassette. It is made; what is in it already stays.
    pub out: PathBuf,
    /// Dialect that says how audio is to be read.
    pub dialect: Arc<Dialect>,
    /// PEM certificates to trust beside those of the system.
    pub extra_ca: Option<Vec<u8>>,
    /// Gets a line whenever something happened that people want to know.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A proxy that records. Dropping it stops it.
pub struct Recorder {
    host: Host,
    path: String,
}

struct Shared {
    config: RecordConfig,
    network: Network,
    numbers: AtomicU64,
}

impl Recorder {
    /// Starts to listen. Errors: addresses, certificates and directories that are wrong.
    pub fn start(config: RecordConfig) -> Result<Self> {
        Endpoint::parse(&config.upstream)?;
        let trust = Trust {
            extra_ca: config.extra_ca.as_deref(),
            ..Trust::default()
        };
        let network = Network {
            tls: tls::client(&trust)?,
            proxy: Proxy::Environment,
            connect: DIAL_LIMIT,
            keepalive: None,
        };
        let out = &config.out;
        let unwritable = |e| Error::new(Kind::Io, format!("{}: {e}", out.display()));
        std::fs::create_dir_all(out).map_err(unwritable)?;
        let taken = std::fs::read_dir(out).map_err(unwritable)?;
        let stems = taken.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.split('.').next()?.parse::<u64>().ok()
        });
        let next = stems.max().unwrap_or(0) + 1;
        let path = path_of(&config.upstream);
        let (listen, allow_remote) = (config.listen.clone(), config.allow_remote);
        let shared = Arc::new(Shared {
            config,
            network,
            numbers: AtomicU64::new(next),
        });
        let host = Host::start(&listen, allow_remote, move |tcp, stopping| {
            serve(tcp, stopping, shared.clone())
        })?;
        Ok(Self { host, path })
    }

    /// The URL for clients.
    pub fn url(&self) -> String {
        format!("ws://{}{}", self.host.address(), self.path)
    }
}

/// Path of a URL.
fn path_of(url: &str) -> String {
    Knock::new(url, Vec::new()).path
}

async fn serve(tcp: TcpStream, stopping: watch::Receiver<bool>, shared: Arc<Shared>) {
    let tell = shared.config.tell.clone();
    let judge = |knock| dial(knock, &shared);
    let Some((client, (server, tape))) = door::open(tcp, judge).await else {
        return;
    };
    if let Err(error) = pass(client, server, tape, stopping).await {
        // What cannot be taped is not passed on either: a tape with holes would be no tape.
        tell(&error.to_string());
    }
}

/// Asks the server behind, and begins a tape of its answer.
async fn dial(knock: Knock, shared: &Shared) -> Verdict<(WebSocket, Tape)> {
    let config = &shared.config;
    let number = shared.numbers.fetch_add(1, Ordering::Relaxed);
    let redactor = Redactor::new(credentials(&knock));
    let tape = Tape::new(&config.out, number, redactor, config.dialect.clone());
    let mut tape = match tape {
        Ok(tape) => tape,
        Err(error) => return untaped(&config.tell, &error),
    };
    let request = tape.redactor().knock(&knock);
    let subprotocol = offered(&knock);
    let dialled = ws::dial(&spec(&knock, shared)).await;
    let (beat, verdict) = match dialled {
        Ok(server) => {
            (config.tell)(&format!("session {number:04} began"));
            let accepted = subprotocol.clone();
            let beat = Beat::Opened {
                request,
                subprotocol,
            };
            (beat, Ok((server, accepted)))
        }
        Err(error) => {
            let told = error.provider();
            let body = told.body.clone().unwrap_or_default();
            let (status, body) = match told.http_status {
                Some(status) => (status, body),
                // Nobody answered: that is this proxy's own answer.
                None => (502, error.message().to_owned()),
            };
            let kept = tape.redactor().line(&body);
            (config.tell)(&format!(
                "session {number:04} was refused with HTTP {status}"
            ));
            let beat = Beat::Refused {
                request,
                status,
                body: kept,
            };
            (beat, Err((status, body)))
        }
    };
    if let Err(error) = tape.write(beat) {
        return untaped(&config.tell, &error);
    }
    match verdict {
        Ok((server, subprotocol)) => Verdict::Accept((server, tape), subprotocol),
        Err((status, body)) => Verdict::Refuse(status, body),
    }
}

fn untaped(tell: &Tell, error: &Error) -> Verdict<(WebSocket, Tape)> {
    tell(&error.to_string());
    Verdict::Refuse(500, error.to_string())
}

fn spec(knock: &Knock, shared: &Shared) -> Spec {
    let upstream = &shared.config.upstream;
    let (base, query) = upstream.split_once('?').unwrap_or((upstream, ""));
    let query = if knock.query.is_empty() {
        query
    } else {
        &knock.query
    };
    let url = match query {
        "" => base.to_owned(),
        query => format!("{base}?{query}"),
    };
    let passes = |name: &str| !OF_ONE_HOP.contains(&name.to_ascii_lowercase().as_str());
    let headers = knock.headers.iter().filter(|(name, _)| passes(name));
    Spec {
        url,
        headers: headers.cloned().collect(),
        network: shared.network.clone(),
        handshake: DIAL_LIMIT,
    }
}

/// The subprotocol that a server which accepts has chosen: the first that is no credential.
fn offered(knock: &Knock) -> Option<String> {
    let offers = knock.header("sec-websocket-protocol")?;
    let mut offers = offers.split(',').map(str::trim);
    let chosen = offers.find(|offer| !offer.contains("key."))?;
    Some(chosen.to_owned())
}

/// Every text of a request that may be a credential.
fn credentials(knock: &Knock) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(value) = knock.header("authorization") {
        found.extend(value.split(' ').next_back().map(str::to_owned));
    }
    for name in ["api-key", "x-api-key", "cookie"] {
        found.extend(knock.header(name).map(str::to_owned));
    }
    found.extend(knock.query_value("api-key"));
    let offers = knock.header("sec-websocket-protocol").unwrap_or_default();
    let keys = offers.split(',').filter_map(|o| o.split_once("key."));
    found.extend(keys.map(|(_, key)| key.trim().to_owned()));
    found
}

/// Passes frames in both directions until one side ends.
async fn pass(
    mut client: Socket,
    mut server: WebSocket,
    mut tape: Tape,
    mut stopping: watch::Receiver<bool>,
) -> Result<()> {
    loop {
        let (from, message) = tokio::select! {
            message = client.next() => (Side::Client, message),
            message = server.next() => (Side::Server, message),
            () = stopped(&mut stopping) => {
                let goodbye = close_frame(Some(1001), "the recorder was stopped");
                // They may be gone already.
                let _ = client.send(Message::Close(goodbye.clone())).await;
                let _ = server.send(Message::Close(goodbye)).await;
                return Ok(());
            }
        };
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(WsError::ConnectionClosed)) | None | Some(Err(_)) => {
                return tape.write(Beat::Lost { from });
            }
        };
        let (is_last, sent) = match taped(&mut tape, from, message)? {
            None => continue,
            Some(message) => (
                matches!(message, Message::Close(_)),
                match from {
                    Side::Client => server.send(message).await,
                    Side::Server => client.send(message).await,
                },
            ),
        };
        if sent.is_err() {
            let from = match from {
                Side::Client => Side::Server,
                Side::Server => Side::Client,
            };
            return tape.write(Beat::Lost { from });
        }
        if is_last {
            let answered = async {
                let client = async { while let Some(Ok(_)) = client.next().await {} };
                let server = async { while let Some(Ok(_)) = server.next().await {} };
                tokio::join!(client, server)
            };
            // Whoever does not answer a close is left.
            let _ = tokio::time::timeout(CLOSE_LIMIT, answered).await;
            return Ok(());
        }
    }
}

/// Tapes a message; returns what is to be passed on.
fn taped(tape: &mut Tape, from: Side, message: Message) -> Result<Option<Message>> {
    match &message {
        Message::Text(text) => tape.text(from, text.as_str())?,
        Message::Binary(bytes) => {
            let base64 = audio::encode(bytes);
            tape.write(Beat::Binary { from, base64 })?;
        }
        Message::Close(frame) => {
            let code = frame.as_ref().map(|f| u16::from(f.code));
            let reason = frame.as_ref().map(|f| f.reason.to_string());
            let reason = reason.unwrap_or_default();
            tape.write(Beat::Closed { from, code, reason })?;
        }
        // Each connection has its own.
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(None),
    }
    Ok(Some(message))
}

/// A close frame; `None` where there is no code.
pub(super) fn close_frame(code: Option<u16>, reason: &str) -> Option<CloseFrame> {
    Some(CloseFrame {
        code: code?.into(),
        reason: reason.into(),
    })
}
