//! Upgrades whose answer depends on something that takes time, such as another server's answer.

use std::convert::Infallible;
use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use talkwire_core::net::ws;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::driver::HANDSHAKE_LIMIT;
use crate::upgrade::Knock;

const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");
const PROTOCOL: HeaderName = HeaderName::from_static("sec-websocket-protocol");

/// An upgraded connection.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The answer to an upgrade request.
pub(super) enum Verdict<T> {
    /// It is accepted, with the subprotocol to echo.
    Accept(T, Option<String>),
    /// It is refused: HTTP status and body.
    Refuse(u16, String),
}

/// Reads one upgrade request and answers it as `judge` says.
pub(super) async fn open<T, J, F>(tcp: TcpStream, judge: J) -> Option<(Socket, T)>
where
    J: Fn(Knock) -> F,
    F: Future<Output = Verdict<T>>,
{
    let opened: Mutex<Option<(OnUpgrade, T)>> = Mutex::default();
    let service = service_fn(|mut request: Request<Incoming>| {
        let (judge, opened) = (&judge, &opened);
        async move {
            let Some(key) = key(&request) else {
                let body = "This is a WebSocket server.".to_owned();
                return Ok::<_, Infallible>(refusal(400, body));
            };
            Ok(match judge(Knock::of(&request)).await {
                Verdict::Accept(with, protocol) => {
                    let upgrade = hyper::upgrade::on(&mut request);
                    let mut opened = opened.lock().expect("nothing panics while it is held");
                    *opened = Some((upgrade, with));
                    acceptance(&key, protocol.as_deref())
                }
                Verdict::Refuse(status, body) => refusal(status, body),
            })
        }
    });
    // A client that went away: there is nobody to tell.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_LIMIT)
        .serve_connection(TokioIo::new(tcp), service)
        .with_upgrades()
        .await;
    let opened = opened
        .into_inner()
        .expect("nothing panics while it is held");
    let (upgrade, with) = opened?;
    let io = TokioIo::new(upgrade.await.ok()?);
    let config = Some(ws::config());
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, config).await;
    Some((socket, with))
}

fn key(request: &Request<Incoming>) -> Option<Vec<u8>> {
    let headers = request.headers();
    let upgrade = headers.get(UPGRADE)?.as_bytes();
    let key = headers.get(KEY)?.as_bytes();
    upgrade
        .eq_ignore_ascii_case(b"websocket")
        .then(|| key.to_vec())
}

fn acceptance(key: &[u8], protocol: Option<&str>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key)) {
        headers.insert(ACCEPT, accept);
    }
    if let Some(Ok(protocol)) = protocol.map(HeaderValue::from_str) {
        headers.insert(PROTOCOL, protocol);
    }
    response
}

fn refusal(status: u16, body: String) -> Response<Full<Bytes>> {
    let kind = if body.trim_start().starts_with('{') {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
