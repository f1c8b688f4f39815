//! One HTTP request over a connection of its own: typed failures, a limit for every wait, a bounded
//! body that is read whole or piece by piece.
//!
//! There is no pool: dropping an [`Answer`], or the future that waits for one, closes the
//! connection, which is how a peer learns that its answer is not wanted any more.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use super::dial::{self, Network, Stream};
use super::endpoint::Endpoint;
use super::proxy::Proxy;
use super::tls::{self, Trust};
use crate::error::{Error, Kind, Result};

/// Time for the way to a server, if nobody says it.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Most of a refusal's body that is kept.
const REFUSAL_MAX_BYTES: usize = 4_096;

/// How long each wait may take once there is a connection, and how much is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the connection to the head of the answer.
    pub header: Duration,
    /// Between two pieces of the body.
    pub idle: Duration,
    /// All of it, the connection included.
    pub total: Duration,
    /// Most bytes of the body.
    pub body_max_bytes: usize,
}

impl Default for Limits {
    /// 30 s for the head, 30 s between pieces, 120 s in all, 16 MiB.
    fn default() -> Self {
        Self {
            header: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(120),
            body_max_bytes: 16 << 20,
        }
    }
}

/// What is asked of a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    bearer: Option<String>,
    body: Bytes,
}

impl Request {
    /// Asks for what is at a URL.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url, Bytes::new())
    }

    /// Sends a body of this media type.
    pub fn post(url: impl Into<String>, media_type: &str, body: impl Into<Bytes>) -> Self {
        Self::new("POST", url, body.into()).header("content-type", media_type)
    }

    fn new(method: &'static str, url: impl Into<String>, body: Bytes) -> Self {
        Self {
            method,
            url: url.into(),
            headers: Vec::new(),
            bearer: None,
            body,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds the credential. It appears in no message and no debug output, not even where the server
    /// repeats it.
    #[must_use]
    pub fn bearer(mut self, key: impl Into<String>) -> Self {
        self.bearer = Some(key.into());
        self
    }

    /// The URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        write!(f, "{} {path}, {} bytes", self.method, self.body.len())
    }
}

/// Makes requests. Clones share the TLS configuration.
#[derive(Clone)]
pub struct Client {
    network: Network,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("http::Client")
    }
}

impl Client {
    /// A client that takes this way to its servers.
    pub fn new(network: Network) -> Self {
        Self { network }
    }

    /// A client that trusts what the system trusts, takes the proxies that the environment names
    /// and connects within 5 s.
    pub fn usual() -> Result<Self> {
        Ok(Self::new(Network {
            tls: tls::client(&Trust::default())?,
            proxy: Proxy::Environment,
            connect: CONNECT_LIMIT,
            keepalive: None,
        }))
    }

    /// Asks and returns with the head of the answer, whatever its status. Redirects are answers
    /// like any other.
    pub async fn send(&self, request: &Request, limits: Limits) -> Result<Answer> {
        let end = Instant::now() + limits.total;
        let endpoint = Endpoint::parse_http(&request.url)?;
        let place = endpoint.address();
        let head = head(request)?;
        let stream = timeout_at(end, dial::connect(&endpoint, &self.network))
            .await
            .map_err(|_| late(&format!("no connection to {place}"), limits.total))??;
        let (mut sender, wire) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| broken(&place, &e))?;
        let mut wire = Some(Box::pin(wire));
        let answering = beside(&mut wire, sender.send_request(head));
        let response = timeout_at(sooner(limits.header, end), answering)
            .await
            .map_err(|_| late(&format!("no answer of {place}"), limits.header))?
            .map_err(|e| broken(&place, &e))?;
        let (parts, body) = response.into_parts();
        Ok(Answer {
            place,
            status: parts.status.as_u16(),
            headers: parts.headers,
            secret: request.bearer.clone(),
            taken_bytes: 0,
            body,
            wire,
            limits,
            end,
        })
    }
}

type Wire = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

/// The answer of a server. Dropping it closes the connection.
pub struct Answer {
    place: String,
    status: u16,
    headers: HeaderMap,
    secret: Option<String>,
    taken_bytes: usize,
    body: Incoming,
    /// `None` when the connection has done all it can.
    wire: Option<Pin<Box<Wire>>>,
    limits: Limits,
    end: Instant,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} of {}", self.status, self.place)
    }
}

impl Answer {
    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next piece of the body; `None` at its end. An error is final.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        loop {
            let reading = beside(&mut self.wire, self.body.frame());
            let frame = timeout_at(sooner(self.limits.idle, self.end), reading).await;
            let frame = match frame {
                Ok(frame) => frame,
                Err(_) if Instant::now() >= self.end => {
                    let what = format!("no whole answer of {}", self.place);
                    return Err(late(&what, self.limits.total));
                }
                Err(_) => {
                    let what = format!("no more of the answer of {}", self.place);
                    return Err(late(&what, self.limits.idle));
                }
            };
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.map_err(|e| broken(&self.place, &e))?;
            // What is no data is trailers, which say nothing to us.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.taken_bytes += data.len();
            if self.taken_bytes > self.limits.body_max_bytes {
                let most = self.limits.body_max_bytes;
                let message = format!("{} answers with more than {most} bytes", self.place);
                return Err(Error::new(Kind::Protocol, message));
            }
            return Ok(Some(data));
        }
    }

    /// The rest of the body.
    pub async fn whole(mut self) -> Result<Bytes> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// Turns every status but 2xx into an error that holds what the server said about it.
    pub async fn accepted(self) -> Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        Err(self.refusal().await)
    }

    async fn refusal(mut self) -> Error {
        let mut said = Vec::new();
        // What cannot be read does not matter: the status says enough.
        while said.len() < REFUSAL_MAX_BYTES
            && let Ok(Some(chunk)) = self.chunk().await
        {
            said.extend_from_slice(&chunk);
        }
        said.truncate(REFUSAL_MAX_BYTES);
        let mut body = String::from_utf8_lossy(&said).into_owned();
        if let Some(secret) = self.secret.as_deref().filter(|s| !s.is_empty()) {
            body = body.replace(secret, "***");
        }
        refusal(&self.place, self.status, body)
    }
}

/// The error for a status that is no success.
fn refusal(place: &str, status: u16, body: String) -> Error {
    let (said, provider) = super::refusal::read(status, body);
    let kind = match status {
        401 | 403 => Kind::Auth,
        404 => Kind::NotFound,
        408 | 504 => Kind::Timeout,
        429 => Kind::RateLimited,
        503 => Kind::Overloaded,
        _ => Kind::Server,
    };
    let message = match said {
        Some(said) => format!("{place} answered HTTP {status}: {said}"),
        None => format!("{place} answered HTTP {status}"),
    };
    Error::new(kind, message).with_provider(provider)
}

fn head(request: &Request) -> Result<hyper::Request<Full<Bytes>>> {
    let wrong = |what: &str| Error::new(Kind::Argument, format!("{what} is not valid"));
    let uri: hyper::Uri = request.url.parse().map_err(|_| wrong("the URL"))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().ok_or_else(|| wrong("the URL"))?;
    let mut head = hyper::Request::builder()
        .method(request.method)
        .uri(path)
        .header("host", host.as_str())
        .header(
            "user-agent",
            concat!("talkwire/", env!("CARGO_PKG_VERSION")),
        )
        .header("connection", "close")
        .body(Full::new(request.body.clone()))
        .map_err(|_| wrong("the URL"))?;
    for (name, value) in &request.headers {
        // The value may be a credential: it never gets into the message.
        let wrong = || wrong(&format!("header `{name}`"));
        let header: HeaderName = name.parse().map_err(|_| wrong())?;
        let value: HeaderValue = value.parse().map_err(|_| wrong())?;
        head.headers_mut().insert(header, value);
    }
    if let Some(key) = &request.bearer {
        let value = HeaderValue::try_from(format!("Bearer {key}"));
        let mut value = value.map_err(|_| wrong("the credential"))?;
        value.set_sensitive(true);
        head.headers_mut().insert("authorization", value);
    }
    Ok(head)
}

/// Waits for `work` and keeps the connection going meanwhile: nobody else does, so that nothing of
/// it is left when the one who waits goes away.
async fn beside<F: Future>(wire: &mut Option<Pin<Box<Wire>>>, work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|cx| {
        // How the connection ended is told to `work`, too.
        if wire
            .as_mut()
            .is_some_and(|w| w.as_mut().poll(cx).is_ready())
        {
            *wire = None;
        }
        work.as_mut().poll(cx)
    })
    .await
}

fn sooner(limit: Duration, end: Instant) -> Instant {
    end.min(Instant::now() + limit)
}

fn late(what: &str, limit: Duration) -> Error {
    Error::new(Kind::Timeout, format!("{what} within {limit:?}"))
}

fn broken(place: &str, error: &hyper::Error) -> Error {
    let is_loss = error.is_incomplete_message()
        || error.is_closed()
        || error.is_canceled()
        || error.is_body_write_aborted()
        || io_of(error);
    if is_loss {
        let message = format!("{place} broke the connection off before its answer was complete");
        return Error::new(Kind::Lost, message);
    }
    let message = format!("{place} does not answer in HTTP: {error}");
    Error::new(Kind::Protocol, message)
}

fn io_of(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.is::<std::io::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_millis(60);

    fn limits() -> Limits {
        Limits {
            body_max_bytes: 100,
            ..Limits::default()
        }
    }

    /// A server of one connection: reads the head of a request, writes `answer` and hands over.
    async fn stand_in(
        answer: &'static str,
    ) -> (String, tokio::task::JoinHandle<(String, TcpStream)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!(
            "http://{}/a?key=secret",
            listener.local_addr().expect("bound")
        );
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a head"));
            }
            stream.write_all(answer.as_bytes()).await.expect("writes");
            (String::from_utf8(head).expect("text"), stream)
        });
        (url, task)
    }

    fn client() -> Client {
        Client::usual().expect("a configuration")
    }

    /// The kind of failure that an answer leads to when the server hangs up after it.
    async fn failure(answer: &'static str, limits: Limits) -> Error {
        let (url, task) = stand_in(answer).await;
        let hang_up = async {
            let (_, mut stream) = task.await.expect("served");
            stream.shutdown().await.expect("shuts down");
        };
        let ask = async {
            let answer = client().send(&Request::get(url), limits).await?;
            answer.accepted().await?.whole().await
        };
        let (answer, ()) = tokio::join!(ask, hang_up);
        let error = answer.expect_err("fails");
        assert!(!error.message().contains("secret"), "{error}");
        error
    }

    #[tokio::test]
    async fn a_request_says_what_it_is_told_and_its_answer_is_read_whole() {
        let (url, task) =
            stand_in("HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 5\r\n\r\nhello").await;
        let request = Request::get(url).bearer("k-1").header("x-b", "c");
        let answer = client().send(&request, limits()).await.expect("answers");
        assert_eq!((answer.status(), answer.header("x-a")), (200, Some("b")));
        assert_eq!(&answer.whole().await.expect("whole")[..], b"hello");
        let (head, _) = task.await.expect("served");
        assert!(head.starts_with("GET /a?key=secret HTTP/1.1\r\n"), "{head}");
        for line in [
            "authorization: Bearer k-1\r\n",
            "x-b: c\r\n",
            "host: 127.0.0.1:",
        ] {
            assert!(head.contains(line), "{head}");
        }
        let shown = format!("{request:?}");
        assert!(
            !shown.contains("k-1") && !shown.contains("secret"),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn a_body_comes_piece_by_piece_while_it_is_written() {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n";
        let (url, task) = stand_in(head).await;
        let mut answer = client()
            .send(&Request::get(url), limits())
            .await
            .expect("answers");
        assert_eq!(
            answer.chunk().await.expect("one").as_deref(),
            Some(&b"ab"[..])
        );
        let (_, mut stream) = task.await.expect("served");
        stream
            .write_all(b"1\r\nc\r\n0\r\n\r\n")
            .await
            .expect("writes");
        assert_eq!(
            answer.chunk().await.expect("two").as_deref(),
            Some(&b"c"[..])
        );
        assert_eq!(answer.chunk().await, Ok(None));
    }

    #[tokio::test]
    async fn dropping_an_answer_closes_its_connection() {
        let (url, task) = stand_in("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na").await;
        let mut answer = client()
            .send(&Request::get(url), limits())
            .await
            .expect("answers");
        answer.chunk().await.expect("a piece");
        let (_, mut stream) = task.await.expect("served");
        drop(answer);
        let end = timeout(Duration::from_secs(10), stream.read(&mut [0])).await;
        // A reset says the same as an end.
        assert!(matches!(end.expect("it is closed"), Ok(0) | Err(_)));
    }

    #[tokio::test]
    async fn refusals_keep_what_the_server_said_but_never_the_key() {
        let cases = [
            (
                "HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n",
                Kind::Auth,
                "",
            ),
            (
                "HTTP/1.1 429 No\r\ncontent-length: 32\r\n\r\n{\"error\":{\"message\":\"too much\"}}",
                Kind::RateLimited,
                "too much",
            ),
            (
                "HTTP/1.1 500 No\r\n\r\n{\"error\":\"model\"}",
                Kind::Server,
                "model",
            ),
            ("HTTP/1.1 503 No\r\n\r\nbusy", Kind::Overloaded, ""),
            (
                "HTTP/1.1 302 No\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
                Kind::Server,
                "302",
            ),
        ];
        for (answer, kind, said) in cases {
            let error = failure(answer, limits()).await;
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains(said), "{error}");
        }
        let leaky =
            "HTTP/1.1 401 No\r\ncontent-length: 31\r\n\r\n{\"error\":{\"message\":\"bad k-1\"}}";
        let (url, _task) = stand_in(leaky).await;
        let request = Request::get(url).bearer("k-1");
        let answer = client().send(&request, limits()).await.expect("answers");
        let error = answer.accepted().await.expect_err("refused");
        assert!(error.message().contains("bad ***"), "{error}");
        assert!(!format!("{error:?}").contains("k-1"));
    }

    #[tokio::test]
    async fn a_broken_answer_is_told_from_a_wrong_one() {
        for (answer, kind) in [
            ("", Kind::Lost),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab", Kind::Lost),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
                Kind::Lost,
            ),
            ("SSH-2.0-server\r\n\r\n", Kind::Protocol),
        ] {
            let error = failure(answer, limits()).await;
            assert_eq!(error.kind(), kind, "{answer:?}: {error}");
        }
        let long = "HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n\
                    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
                    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let error = failure(long, limits()).await;
        assert!(error.message().contains("more than 100 bytes"), "{error}");
    }

    #[tokio::test]
    async fn every_wait_has_its_limit() {
        let cases = [
            (
                "",
                Limits {
                    header: SOON,
                    ..limits()
                },
                "no answer",
            ),
            (
                "HTTP/1.1 200 OK\r\n\r\na",
                Limits {
                    idle: SOON,
                    ..limits()
                },
                "no more",
            ),
            (
                "HTTP/1.1 200 OK\r\n\r\na",
                Limits {
                    total: SOON,
                    ..limits()
                },
                "no whole",
            ),
        ];
        for (answer, limits, said) in cases {
            let (url, task) = stand_in(answer).await;
            let ask = async {
                let answer = client().send(&Request::get(url), limits).await?;
                answer.whole().await
            };
            let error = ask.await.expect_err("too slow");
            assert_eq!(error.kind(), Kind::Timeout, "{error}");
            assert!(error.message().contains(said), "{error}");
            // The connection was open all the time.
            drop(task.await.expect("served"));
        }
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_refused_before_anything_is_dialled() {
        for request in [
            Request::get("ws://127.0.0.1:1/"),
            Request::get("http://127.0.0.1:1/").header("a b", "c"),
            Request::get("http://127.0.0.1:1/").bearer("a\nb"),
        ] {
            let error = client()
                .send(&request, limits())
                .await
                .expect_err("refused");
            assert_eq!(error.kind(), Kind::Argument, "{error}");
        }
        let closed = Request::get("http://127.0.0.1:1/");
        let error = client()
            .send(&closed, limits())
            .await
            .expect_err("nobody is there");
        assert_eq!(error.kind(), Kind::Unreachable, "{error}");
    }
}
