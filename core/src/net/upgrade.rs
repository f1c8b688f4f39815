//! The upgrade from HTTP to a WebSocket, and what a server says that refuses it.

use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::http::header::{
    HeaderMap, HeaderName, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL,
};
use tokio_tungstenite::tungstenite::http::{Request, Response, StatusCode};
use tokio_tungstenite::tungstenite::protocol::Role;

use super::dial::{self, Stream};
use super::refusal;
use super::ws::{self, WebSocket};
use crate::error::{Error, Kind, Result};

/// Most of a refused upgrade's body that is kept.
const BODY_MAX_BYTES: usize = 4_096;

/// Most bytes of the answer's head.
const HEAD_MAX_BYTES: usize = 64 << 10;

/// Asks for a WebSocket on a fresh connection. The answer's head and, where it is a refusal, its
/// body each have `limit`; of a body that takes longer what has come is kept.
pub(super) async fn upgrade(
    request: Request<()>,
    stream: Stream,
    limit: Duration,
    address: &str,
) -> Result<WebSocket> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX_BYTES)
        // Some servers of this protocol compare names of headers as they are usually written.
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| broken(&e))?;
    let exchange = async {
        let asked = Asked::of(&request);
        let request = origin_form(request)?;
        let answer = timeout(limit, sender.send_request(request)).await;
        let answer = answer.map_err(|_| no_answer(address))?;
        let response = answer.map_err(|e| broken(&e))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refused(response, limit).await);
        }
        asked.check(&response)?;
        let upgraded = hyper::upgrade::on(response).await;
        upgraded.map_err(|e| broken(&e))
    };
    let mut exchange = pin!(exchange);
    let mut connection = pin!(connection.with_upgrades());
    let mut is_over = false;
    let upgraded = loop {
        tokio::select! {
            upgraded = &mut exchange => break upgraded?,
            // What went wrong with the connection the exchange is told too.
            _ = &mut connection, if !is_over => is_over = true,
        }
    };
    let parts = upgraded
        .downcast::<TokioIo<Stream>>()
        .expect("the upgrade gives back what it was given");
    let (stream, early) = (parts.io.into_inner(), parts.read_buf.to_vec());
    let config = Some(ws::config());
    Ok(WebSocketStream::from_partially_read(stream, early, Role::Client, config).await)
}

/// A request to the server itself names the path alone.
fn origin_form(request: Request<()>) -> Result<Request<Empty<Bytes>>> {
    let (mut parts, ()) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let wrong = |e| Error::new(Kind::Argument, format!("the URL is not valid: {e}"));
    parts.uri = path.parse().map_err(wrong)?;
    Ok(Request::from_parts(parts, Empty::new()))
}

/// What the answer has to fit.
struct Asked {
    accept: Option<String>,
    protocols: Vec<String>,
}

impl Asked {
    fn of(request: &Request<()>) -> Self {
        let key = request.headers().get(SEC_WEBSOCKET_KEY);
        let protocols = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        Self {
            accept: key.map(|key| derive_accept_key(key.as_bytes())),
            protocols: protocols
                .filter_map(|list| list.to_str().ok())
                .flat_map(|list| list.split(',').map(|one| one.trim().to_owned()))
                .collect(),
        }
    }

    /// As RFC 6455, section 4.1 wants it.
    fn check(&self, response: &Response<Incoming>) -> Result<()> {
        let header = |name: HeaderName| response.headers().get(name)?.to_str().ok();
        let wrong = |what: &str| {
            let message = format!("the server agreed to upgrade and {what}");
            Err(Error::new(Kind::Handshake, message))
        };
        if header(SEC_WEBSOCKET_ACCEPT) != self.accept.as_deref() {
            return wrong("did not prove that it speaks WebSocket");
        }
        match header(SEC_WEBSOCKET_PROTOCOL) {
            Some(chosen) if !self.protocols.iter().any(|p| p == chosen) => {
                wrong("chose a subprotocol that was not offered")
            }
            _ => Ok(()),
        }
    }
}

fn broken(error: &hyper::Error) -> Error {
    let said = dial::innermost(error);
    if error.is_parse() || error.is_parse_too_large() {
        let message = format!("the server did not answer the upgrade in HTTP: {said}");
        return Error::new(Kind::Handshake, message);
    }
    let message = format!("the connection was lost during the upgrade: {said}");
    Error::new(Kind::Lost, message)
}

fn no_answer(address: &str) -> Error {
    let message = format!("{address} accepted the connection and did not answer the upgrade");
    Error::new(Kind::Timeout, message)
}

/// A refused upgrade; the session's dialect says later what the status means.
async fn refused(response: Response<Incoming>, limit: Duration) -> Error {
    let status = response.status().as_u16();
    let retry_after_ms = retry_after_ms(response.headers());
    let mut body = Vec::new();
    // A body that never ends or breaks off says what it said so far.
    let _ = timeout(limit, read(response.into_body(), &mut body)).await;
    let body = String::from_utf8_lossy(&body).into_owned();
    let (message, mut provider) = refusal::read(status, body);
    provider.retry_after_ms = retry_after_ms;
    let message = match message {
        Some(message) => format!("the upgrade was refused with HTTP {status}: {message}"),
        None => format!("the upgrade was refused with HTTP {status}"),
    };
    Error::new(Kind::Handshake, message).with_provider(provider)
}

/// `Retry-After` in seconds; a date would need a clock that agrees with the server's.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    seconds.checked_mul(1_000)
}

async fn read(mut from: Incoming, body: &mut Vec<u8>) {
    while let Some(Ok(frame)) = from.frame().await {
        let data = frame.data_ref().map_or(&[][..], |data| &data[..]);
        let room = BODY_MAX_BYTES - body.len();
        body.extend_from_slice(&data[..data.len().min(room)]);
        if body.len() == BODY_MAX_BYTES {
            return;
        }
    }
}
