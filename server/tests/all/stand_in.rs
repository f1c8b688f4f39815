//! A model server that a test plays by hand: it takes the requests and writes the answers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::common::PATIENCE;

/// The server; it ends with the test's runtime.
pub(crate) struct StandIn {
    address: SocketAddr,
    is_tls: bool,
    asks: mpsc::UnboundedReceiver<Ask>,
}

/// A request that waits for its answer.
pub(crate) struct Ask {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Bytes,
    answer: oneshot::Sender<Reply>,
}

struct Reply {
    status: u16,
    media_type: &'static str,
    pieces: mpsc::Receiver<Result<Bytes, String>>,
}

/// An answer that is being written.
pub(crate) struct Writer(mpsc::Sender<Result<Bytes, String>>);

impl StandIn {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// One that speaks TLS with a certificate for `localhost`, which is returned as PEM.
    pub(crate) async fn start_tls() -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        (Self::start_with(Some(acceptor)).await, made.cert.pem())
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let is_tls = tls.is_some();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let (ask, asks) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.expect("accepts");
                let ask = ask.clone();
                let service = service_fn(move |request| serve(request, ask.clone()));
                let http = hyper::server::conn::http1::Builder::new();
                // Answers that tests break off, and clients without trust, end with an error.
                match tls.clone() {
                    None => {
                        let connection = http.serve_connection(TokioIo::new(tcp), service);
                        tokio::spawn(async { drop(connection.await) });
                    }
                    Some(acceptor) => drop(tokio::spawn(async move {
                        if let Ok(tls) = acceptor.accept(tcp).await {
                            drop(http.serve_connection(TokioIo::new(tls), service).await);
                        }
                    })),
                }
            }
        });
        Self {
            address,
            is_tls,
            asks,
        }
    }

    /// The base of its interface.
    pub(crate) fn url(&self) -> String {
        if self.is_tls {
            return format!("https://localhost:{}/v1", self.address.port());
        }
        format!("http://{}/v1", self.address)
    }

    /// The next request, which has to be for this path.
    pub(crate) async fn ask(&mut self, path: &str) -> Ask {
        let ask = tokio::time::timeout(PATIENCE, self.asks.recv()).await;
        let ask = ask.expect("nobody asks").expect("it serves on");
        assert_eq!(ask.path, format!("/v1{path}"));
        ask
    }

    /// The next request is for words; gives these.
    pub(crate) async fn hear(&mut self, words: &str) {
        let ask = self.ask("/audio/transcriptions").await;
        let answer = ask.answer(200, "application/json");
        answer.write(json!({"text": words}).to_string()).await;
    }

    /// The next request is for an answer; returns its messages and the writer of it.
    pub(crate) async fn think(&mut self) -> (Value, Writer) {
        let ask = self.ask("/chat/completions").await;
        let body = ask.json();
        (body, ask.answer(200, "text/event-stream"))
    }

    /// The next request is for the sound of this text; returns the writer of it.
    pub(crate) async fn speak(&mut self, text: &str) -> Writer {
        let ask = self.ask("/audio/speech").await;
        assert_eq!(ask.json()["input"], text);
        ask.answer(200, "audio/pcm")
    }
}

async fn serve(
    request: Request<Incoming>,
    asks: mpsc::UnboundedSender<Ask>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = String>>, Infallible> {
    let (head, body) = request.into_parts();
    let (answer, reply) = oneshot::channel();
    let authorization = head.headers.get("authorization");
    let ask = Ask {
        path: head.uri.path().to_owned(),
        authorization: authorization.map(|v| v.to_str().expect("text").to_owned()),
        body: body.collect().await.expect("a body").to_bytes(),
        answer,
    };
    // A test that has ended takes no more requests.
    let _ = asks.send(ask);
    let Ok(reply) = reply.await else {
        return std::future::pending().await;
    };
    let pieces = stream::unfold(reply.pieces, |mut pieces| async {
        let piece = pieces.recv().await?;
        Some((piece.map(Frame::data), pieces))
    });
    let response = Response::builder()
        .status(reply.status)
        .header("content-type", reply.media_type);
    let body = StreamBody::new(Box::pin(pieces));
    Ok(response.body(body).expect("a response"))
}

impl Ask {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Begins an answer; dropping the writer ends it.
    pub(crate) fn answer(self, status: u16, media_type: &'static str) -> Writer {
        let (writer, pieces) = mpsc::channel(1);
        let reply = Reply {
            status,
            media_type,
            pieces,
        };
        assert!(
            self.answer.send(reply).is_ok(),
            "nobody waits for the answer"
        );
        Writer(writer)
    }
}

impl Writer {
    pub(crate) async fn write(&self, bytes: impl Into<Bytes>) {
        self.0.send(Ok(bytes.into())).await.expect("somebody reads");
    }

    /// Writes a piece of a streamed completion.
    pub(crate) async fn delta(&self, delta: Value) {
        let chunk = json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
        self.write(format!("data: {chunk}\n\n")).await;
    }

    /// Writes some text of a streamed completion.
    pub(crate) async fn text(&self, text: &str) {
        self.delta(json!({"content": text})).await;
    }

    /// Ends a streamed completion.
    pub(crate) async fn done(self) {
        let chunk = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
        self.write(format!("data: {chunk}\n\ndata: [DONE]\n\n"))
            .await;
    }

    /// Writes silence.
    pub(crate) async fn sound(&self, samples: usize) {
        self.write(vec![0; samples * 2]).await;
    }

    /// Breaks the answer off.
    pub(crate) async fn break_off(self) {
        let broken = Err("as the test wants it".to_owned());
        self.0.send(broken).await.expect("somebody reads");
    }

    /// Waits until nobody wants the answer any more.
    pub(crate) async fn is_unwanted(&self) {
        let closed = tokio::time::timeout(PATIENCE, self.0.closed()).await;
        closed.expect("the answer is still wanted");
    }
}
