//! The one way to a server: perhaps a proxy, TCP, then TLS where the endpoint wants it.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::http::Uri;
use tower_service::Service;

use super::endpoint::Endpoint;
use super::proxy::Proxy;
use crate::error::{Error, Kind, Result};

/// How long the first family of addresses is tried alone, as RFC 8305 recommends.
const FALLBACK_AFTER: Duration = Duration::from_millis(300);

/// What lies between this program and its servers.
#[derive(Clone)]
pub struct Network {
    /// Configuration where the endpoint wants TLS.
    pub tls: Arc<ClientConfig>,
    /// The proxy to go through, if any.
    pub proxy: Proxy,
    /// Time for name resolution, proxy, TCP and TLS together.
    pub connect: Duration,
    /// Whether the system watches the connection, once it is there.
    pub keepalive: Option<Keepalive>,
}

/// How the system finds that nothing passes over a connection any more: also where the other end does
/// not answer pings, and also while only this side has something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence after which it asks.
    pub after: Duration,
    /// Time for an acknowledgement of anything; then the connection is lost.
    pub patience: Duration,
}

/// Connects to an endpoint, trying its addresses one after another. Fails with the kind of the
/// step that failed.
pub async fn connect(endpoint: &Endpoint, network: &Network) -> Result<Stream> {
    let connecting = async {
        let stream = match network.proxy.of(endpoint)? {
            Some(proxy) => proxy.connect(endpoint, network).await?,
            None => tcp(endpoint, network.keepalive).await?,
        };
        if endpoint.is_secure {
            encrypt(stream, endpoint, &network.tls).await
        } else {
            Ok(stream)
        }
    };
    timeout(network.connect, connecting).await.map_err(|_| {
        let within = network.connect;
        let message = format!("no connection to {} within {within:?}", endpoint.address());
        Error::new(Kind::Timeout, message)
    })?
}

/// What the system takes before it sends it: a few frames of sound. What waits longer waits in our queue,
/// where it is counted, where the oldest sound can go, and where a ping can overtake it.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
const UNSENT_BYTES: u32 = 8 << 10;

/// Times that the system asks within its patience.
const ASKS: u32 = 3;

/// TCP alone.
pub(super) async fn tcp(endpoint: &Endpoint, keepalive: Option<Keepalive>) -> Result<Stream> {
    let mut connector = HttpConnector::new();
    if let Some(Keepalive { after, patience }) = keepalive {
        // The system counts in whole seconds.
        let second = Duration::from_secs(1);
        connector.set_keepalive(Some(after.max(second)));
        connector.set_keepalive_interval(Some((patience / ASKS).max(second)));
        connector.set_keepalive_retries(Some(ASKS));
        #[cfg(target_os = "linux")]
        connector.set_tcp_user_timeout(Some(patience.max(second)));
    }
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_happy_eyeballs_timeout(Some(FALLBACK_AFTER));
    let address = endpoint.address();
    let uri: Uri = format!("tcp://{address}/")
        .parse()
        .map_err(|e| Error::new(Kind::Argument, format!("`{address}` is no address: {e}")))?;
    let connected = contained(connector.call(uri)).await;
    let connected = connected.ok_or_else(|| Error::new(Kind::Io, "no thread to resolve names"))?;
    let tcp = connected.map_err(|e| {
        let message = format!("{address}: {}", innermost(&e));
        Error::new(kind_of(&e), message)
    })?;
    let stream = tcp.into_inner();
    // Only a wish: without it sound waits in the system instead of in our own queue.
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES);
    Ok(Stream::Plain(stream))
}

/// TLS over what is there.
pub(super) async fn encrypt(
    stream: Stream,
    endpoint: &Endpoint,
    tls: &Arc<ClientConfig>,
) -> Result<Stream> {
    let host = &endpoint.host;
    let name = ServerName::try_from(host.clone())
        .map_err(|e| Error::new(Kind::Argument, format!("`{host}` cannot be verified: {e}")))?;
    let connector = TlsConnector::from(tls.clone());
    match connector.connect(name, stream).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(e) => {
            let why = in_words(&e.to_string());
            let message = format!("TLS with {} failed: {why}", endpoint.address());
            Err(Error::new(Kind::Tls, message))
        }
    }
}

/// Resolving names panics where the system has no thread for it, which the process may survive.
async fn contained<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let poll = |cx: &mut Context<'_>| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    };
    poll_fn(poll).await
}

/// The usual slip of who makes certificates for a test: the library's word for it is a number of one.
fn in_words(said: &str) -> String {
    if !said.contains("CaUsedAsEndEntity") {
        return said.to_owned();
    }
    "the certificate is a CA and cannot be that of a server: let it sign one for the server"
        .to_owned()
}

/// A process that has no descriptor left has nobody else to blame.
fn kind_of(error: &(dyn StdError + 'static)) -> Kind {
    let codes = [libc::EMFILE, libc::ENFILE].map(Some);
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    let is_here = |cause: &(dyn StdError + 'static)| {
        let code = cause
            .downcast_ref::<io::Error>()
            .map(io::Error::raw_os_error);
        code.is_some_and(|code| codes.contains(&code))
    };
    match causes.any(is_here) {
        true => Kind::Io,
        false => Kind::Unreachable,
    }
}

/// Libraries wrap what the system said in words that say less.
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// TCP, or TLS over it; over TLS too, where a proxy is spoken to in TLS.
#[derive(Debug)]
pub enum Stream {
    /// `ws://`.
    Plain(TcpStream),
    /// `wss://`.
    Tls(Box<TlsStream<Self>>),
}

/// As hyper wants it.
pub(super) type HyperStream = TokioIo<Stream>;

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    // TLS writes its records together, a head and a body each.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Self::Tls(s) => Pin::new(s).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(s) => s.is_write_vectored(),
            Self::Tls(s) => s.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_descriptor_left_is_to_blame_itself() {
        let failed = |code| Wrapped(io::Error::from_raw_os_error(code));
        assert_eq!(kind_of(&failed(libc::EMFILE)), Kind::Io);
        assert_eq!(kind_of(&failed(libc::ECONNREFUSED)), Kind::Unreachable);
    }

    /// As libraries do it.
    #[derive(Debug)]
    struct Wrapped(io::Error);

    impl std::fmt::Display for Wrapped {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("tcp open error")
        }
    }

    impl StdError for Wrapped {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    #[tokio::test]
    async fn a_panic_of_the_resolver_stays_there() {
        assert_eq!(contained(async { 7 }).await, Some(7));
        assert_eq!(contained(async { panic!("no thread") as u8 }).await, None);
    }

    #[test]
    fn a_ca_in_the_place_of_a_server_is_told_in_words() {
        let said = in_words("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))");
        assert!(said.starts_with("the certificate is a CA"), "{said}");
        assert_eq!(in_words("BadSignature"), "BadSignature");
    }
}
