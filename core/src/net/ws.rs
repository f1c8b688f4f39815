//! Dialling a WebSocket: name, TCP, TLS, upgrade, each within its time.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError};
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::dial::{self, Stream};
use super::endpoint::Endpoint;
use crate::error::{Error, Kind, Provider, Result};

/// Largest message taken from a peer: a whole audio answer fits.
pub const MESSAGE_MAX_BYTES: usize = 16 << 20;

/// Most of a refused upgrade's body that is kept.
const BODY_MAX_BYTES: usize = 4_096;

/// An open WebSocket.
pub type WebSocket = WebSocketStream<Stream>;

/// What to dial and how.
#[derive(Clone)]
pub struct Spec {
    /// `ws://` or `wss://` URL with its query.
    pub url: String,
    /// Headers of the upgrade request.
    pub headers: Vec<(String, String)>,
    /// Configuration for `wss://`.
    pub tls: Arc<ClientConfig>,
    /// Time for name resolution, TCP and TLS.
    pub connect: Duration,
    /// Time for the upgrade.
    pub handshake: Duration,
}

/// Limits and buffers of every WebSocket of ours. The read buffer is small because a process holds
/// a thousand of them; nothing is buffered on the way out, because a queue in front of it is.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(8 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(32 << 20)
        .max_message_size(Some(MESSAGE_MAX_BYTES))
        .max_frame_size(Some(MESSAGE_MAX_BYTES))
}

/// Dials. Fails with the kind of the step that failed; a refused upgrade keeps status and body.
pub async fn dial(spec: &Spec) -> Result<WebSocket> {
    let Endpoint {
        is_secure,
        host,
        port,
    } = Endpoint::parse(&spec.url)?;
    let request = request(spec)?;
    let connecting = dial::connect(&host, port, is_secure.then_some(&spec.tls));
    let stream = timeout(spec.connect, connecting).await.map_err(|_| {
        Error::new(
            Kind::Timeout,
            format!("no connection to {host}:{port} within {:?}", spec.connect),
        )
    })??;
    let upgrade = client_async_with_config(request, stream, Some(config()));
    match timeout(spec.handshake, upgrade).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(upgrade_error(error)),
        Err(_) => {
            let message =
                format!("{host}:{port} accepted the connection and did not answer the upgrade");
            Err(Error::new(Kind::Timeout, message))
        }
    }
}

fn request(spec: &Spec) -> Result<Request> {
    let mut request = spec
        .url
        .as_str()
        .into_client_request()
        .map_err(|e| Error::new(Kind::Argument, format!("the URL is not valid: {e}")))?;
    for (name, value) in &spec.headers {
        // The value may be a credential: it never gets into the message.
        let wrong = || Error::new(Kind::Argument, format!("header `{name}` is not valid"));
        let header: HeaderName = name.parse().map_err(|_| wrong())?;
        let mut value: HeaderValue = value.parse().map_err(|_| wrong())?;
        value.set_sensitive(true);
        request.headers_mut().insert(header, value);
    }
    Ok(request)
}

fn upgrade_error(error: WsError) -> Error {
    match error {
        WsError::Http(response) => refused(&response),
        other => socket_error(other),
    }
}

/// A refused upgrade; the session's dialect says later what the status means.
fn refused(response: &Response) -> Error {
    let status = response.status().as_u16();
    let body = response.body().as_deref().unwrap_or_default();
    let body = String::from_utf8_lossy(&body[..body.len().min(BODY_MAX_BYTES)]).into_owned();
    let said = serde_json::from_str::<serde_json::Value>(&body).ok();
    let text = |pointer: &str| said.as_ref()?.pointer(pointer)?.as_str().map(str::to_owned);
    let message = text("/error/message").or_else(|| text("/message"));
    let provider = Provider {
        kind: text("/error/type"),
        code: text("/error/code"),
        param: text("/error/param"),
        http_status: Some(status),
        body: Some(body).filter(|b| !b.is_empty()),
        ..Provider::default()
    };
    let message = match message {
        Some(message) => format!("the upgrade was refused with HTTP {status}: {message}"),
        None => format!("the upgrade was refused with HTTP {status}"),
    };
    Error::new(Kind::Handshake, message).with_provider(provider)
}

/// An error of an open socket.
pub fn socket_error(error: WsError) -> Error {
    match error {
        WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            let message =
                format!("the server sent a message of {size} bytes: at most {max_size} are taken");
            Error::new(Kind::Protocol, message)
        }
        WsError::Utf8(_) => Error::new(Kind::Protocol, "the server sent text that is not UTF-8"),
        WsError::Protocol(why) if is_loss(&why.to_string()) => Error::new(
            Kind::Lost,
            "the connection was reset without a closing handshake",
        ),
        WsError::Protocol(why) => Error::new(Kind::Protocol, format!("WebSocket: {why}")),
        WsError::Tls(why) => Error::new(Kind::Tls, why.to_string()),
        other => Error::new(Kind::Lost, format!("the connection was lost: {other}")),
    }
}

fn is_loss(why: &str) -> bool {
    why.contains("without closing handshake")
}
