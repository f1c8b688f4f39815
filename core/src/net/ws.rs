//! Dialling a WebSocket: the way there, then the upgrade, each within its time.

use std::time::Duration;

use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError};
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::dial::{self, Network, Stream};
use super::endpoint::Endpoint;
use super::upgrade;
use crate::error::{Error, Kind, Result};

/// Largest message taken from a peer: a whole audio answer fits.
pub const MESSAGE_MAX_BYTES: usize = 16 << 20;

/// An open WebSocket.
pub type WebSocket = WebSocketStream<Stream>;

/// What to dial and how.
#[derive(Clone)]
pub struct Spec {
    /// `ws://` or `wss://` URL with its query.
    pub url: String,
    /// Headers of the upgrade request.
    pub headers: Vec<(String, String)>,
    /// The way there.
    pub network: Network,
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
    let endpoint = Endpoint::parse(&spec.url)?;
    let request = request(spec)?;
    let stream = dial::connect(&endpoint, &spec.network).await?;
    upgrade::upgrade(request, stream, spec.handshake, &endpoint.address()).await
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
