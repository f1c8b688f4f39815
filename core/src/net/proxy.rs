//! Proxies: HTTP CONNECT and SOCKS5, by option or by the usual variables of the environment.

use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio_tungstenite::tungstenite::http::Uri;
use tower_service::Service;

use super::dial::{self, HyperStream, Stream};
use super::endpoint::Endpoint;
use crate::error::{Error, Kind, Result};

/// Ports of proxies whose URL names none.
const SOCKS_PORT: u16 = 1080;

/// Which proxy to take.
#[derive(Clone)]
pub enum Proxy {
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say at the time of dialling,
    /// upper or lower case. Endpoints on this machine are always reached directly.
    Environment,
    /// None.
    Direct,
    /// This one, for every endpoint.
    Via(Hop),
}

impl Proxy {
    /// Reads an option: absent is the environment, empty is none, else it is the URL of a proxy,
    /// `http://`, `https://` (CONNECT) or `socks5://` (names are resolved by the proxy), with an
    /// optional user and password.
    pub fn parse(option: Option<&str>) -> Result<Self> {
        match option {
            None => Ok(Self::Environment),
            Some("") => Ok(Self::Direct),
            Some(url) => {
                // The URL may hold a password: it never gets into the message.
                let wrong = || Error::new(Kind::Config, "the URL of the proxy is not valid");
                let uri: Uri = "http://any.test/".parse().map_err(|_| wrong())?;
                let matcher = Matcher::builder().all(url).build();
                let intercept = matcher.intercept(&uri).ok_or_else(wrong)?;
                Hop::new(&intercept).map(Self::Via)
            }
        }
    }

    /// The proxy on the way to an endpoint.
    pub(super) fn of(&self, endpoint: &Endpoint) -> Result<Option<Hop>> {
        match self {
            Self::Direct => Ok(None),
            Self::Via(hop) => Ok(Some(hop.clone())),
            Self::Environment if endpoint.is_loopback() => Ok(None),
            Self::Environment => {
                let intercept = Matcher::from_env().intercept(&endpoint.http_uri()?);
                intercept.as_ref().map(Hop::new).transpose()
            }
        }
    }
}

/// One proxy.
#[derive(Clone)]
pub struct Hop {
    manner: Manner,
    at: Endpoint,
    auth: Intercept,
}

#[derive(Clone, Copy, Debug)]
enum Manner {
    Connect,
    Socks5,
}

/// Without the credential.
impl fmt::Debug for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.manner, self.at.address())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("Environment"),
            Self::Direct => f.write_str("Direct"),
            Self::Via(hop) => hop.fmt(f),
        }
    }
}

impl Hop {
    fn new(intercept: &Intercept) -> Result<Self> {
        let uri = intercept.uri();
        let (manner, is_secure, default_port) = match uri.scheme_str() {
            Some("http") => (Manner::Connect, false, 80),
            Some("https") => (Manner::Connect, true, 443),
            Some("socks5" | "socks5h") => (Manner::Socks5, false, SOCKS_PORT),
            other => {
                let other = other.unwrap_or_default();
                let message = format!(
                    "a proxy of the kind `{other}` is not supported: http, https, socks5 are"
                );
                return Err(Error::new(Kind::Config, message));
            }
        };
        let host = uri.host().unwrap_or_default();
        if host.is_empty() {
            return Err(Error::new(Kind::Config, "the URL of the proxy has no host"));
        }
        let at = Endpoint {
            is_secure,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(default_port),
        };
        Ok(Self {
            manner,
            at,
            auth: intercept.clone(),
        })
    }

    /// A way to the endpoint through this proxy.
    pub(super) async fn connect(
        &self,
        endpoint: &Endpoint,
        tls: &Arc<ClientConfig>,
    ) -> Result<Stream> {
        let mut stream = dial::tcp(&self.at).await?;
        if self.at.is_secure {
            stream = dial::encrypt(stream, &self.at, tls).await?;
        }
        let (at, to) = (self.at.http_uri()?, endpoint.http_uri()?);
        let reached = Reached(Some(stream));
        let through = match self.manner {
            Manner::Connect => {
                let mut tunnel = Tunnel::new(at, reached);
                if let Some(auth) = self.auth.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                let through = tunnel.call(to).await;
                through.map_err(|e| self.refused(endpoint, &e.to_string()))
            }
            Manner::Socks5 => {
                let mut socks = SocksV5::new(at, reached);
                if let Some((user, password)) = self.auth.raw_auth() {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                let through = socks.call(to).await;
                through.map_err(|e| self.refused(endpoint, &e.to_string()))
            }
        };
        through.map(TokioIo::into_inner)
    }

    fn refused(&self, endpoint: &Endpoint, why: &str) -> Error {
        let (at, to) = (self.at.address(), endpoint.address());
        // The library's types are private, so its words have to tell; the tests hold it to them.
        let is_auth = ["authorization", "authentication", "credentials"]
            .iter()
            .any(|word| why.contains(word));
        let kind = if is_auth {
            Kind::Auth
        } else {
            Kind::Unreachable
        };
        let message = format!("the proxy at {at} gave no way to {to}: {why}");
        Error::new(kind, message)
    }
}

/// The connection to the proxy, as the library's handshakes take it.
struct Reached(Option<Stream>);

impl Service<Uri> for Reached {
    type Response = HyperStream;
    type Error = io::Error;
    type Future = Ready<io::Result<HyperStream>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let stream = self.0.take().map(TokioIo::new);
        ready(stream.ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}
