//! Proxies: HTTP CONNECT and SOCKS5, by option or by the usual variables of the environment.

use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::http::Uri;
use tower_service::Service;

use super::dial::{self, HyperStream, Network, Stream};
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
            Self::Environment => of_environment(endpoint, |name| std::env::var(name).ok()),
        }
    }
}

/// The proxy that the variables name for an endpoint. A value that is none is an error that names
/// its variable: to go straight where somebody wants a proxy could give away what it is to hide.
fn of_environment(
    endpoint: &Endpoint,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Hop>> {
    let uri = endpoint.http_uri()?;
    let first = |names: &[&'static str]| {
        let mut found = names.iter().map(|name| (*name, variable(name)));
        found.find_map(|(name, value)| Some((name, value.filter(|v| !v.is_empty())?)))
    };
    let own: &[&str] = match endpoint.is_secure {
        true => &["HTTPS_PROXY", "https_proxy"],
        // A header `Proxy` of whoever asks a CGI program becomes the variable in capitals.
        false if variable("REQUEST_METHOD").is_some() => &["http_proxy"],
        false => &["HTTP_PROXY", "http_proxy"],
    };
    let Some((name, url)) = first(own).or_else(|| first(&["ALL_PROXY", "all_proxy"])) else {
        return Ok(None);
    };
    let no = first(&["NO_PROXY", "no_proxy"]).map_or_else(String::new, |(_, no)| no);
    let is_meant = Matcher::builder().all("http://any.test").no(no).build();
    if is_meant.intercept(&uri).is_none() {
        return Ok(None);
    }
    // The value may hold a password: it never gets into the message.
    let wrong = |why: &str| {
        let message = format!("the environment variable {name} names no proxy: {why}");
        Error::new(Kind::Config, message)
    };
    let matcher = Matcher::builder().all(url).build();
    let intercept = matcher
        .intercept(&uri)
        .ok_or_else(|| wrong("its URL is not valid"))?;
    let hop = Hop::new(&intercept).map_err(|e| wrong(e.message()))?;
    Ok(Some(hop))
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
        let port = uri.port_u16();
        // The library takes a port that is no number for none.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if port.is_none() && !authority.ends_with(host) {
            let message = "the port of the proxy is not a number up to 65535";
            return Err(Error::new(Kind::Config, message));
        }
        let at = Endpoint {
            is_secure,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.unwrap_or(default_port),
        };
        Ok(Self {
            manner,
            at,
            auth: intercept.clone(),
        })
    }

    /// A way to the endpoint through this proxy.
    pub(super) async fn connect(&self, endpoint: &Endpoint, network: &Network) -> Result<Stream> {
        let mut stream = dial::tcp(&self.at, network.keepalive).await?;
        if self.at.is_secure {
            stream = dial::encrypt(stream, &self.at, &network.tls).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(url: &str, variables: &[(&str, &str)]) -> Result<Option<String>> {
        let endpoint = Endpoint::parse(url).expect("a URL");
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let hop = of_environment(&endpoint, variable)?;
        Ok(hop.map(|hop| format!("{hop:?}")))
    }

    #[test]
    fn the_variables_choose_by_scheme_and_exception() {
        let all = [("ALL_PROXY", "socks5://a:1"), ("HTTPS_PROXY", "http://b:2")];
        let found = |url: &str, more: &[(&str, &str)]| {
            let variables = [&all[..], more].concat();
            hop(url, &variables).expect("valid").unwrap_or_default()
        };
        assert_eq!(found("wss://h.test/", &[]), "Connect b:2");
        assert_eq!(found("ws://h.test/", &[]), "Socks5 a:1");
        let http = [("HTTP_PROXY", "http://c:3")];
        assert_eq!(found("ws://h.test/", &http), "Connect c:3");
        let cgi = [("HTTP_PROXY", "http://c:3"), ("REQUEST_METHOD", "GET")];
        assert_eq!(found("ws://h.test/", &cgi), "Socks5 a:1");
        assert_eq!(found("wss://h.test/", &[("no_proxy", ".test")]), "");
        assert_eq!(hop("wss://h.test/", &[]), Ok(None));
    }

    #[test]
    fn a_value_that_is_no_proxy_is_an_error_with_the_variable_and_without_its_secret() {
        for value in [
            "http://me:hunter22@",
            "ftp://me:hunter22@h:1",
            "http://me:hunter22@h:x",
        ] {
            for name in ["https_proxy", "ALL_PROXY"] {
                let error = hop("wss://h.test/", &[(name, value)]).expect_err(value);
                assert_eq!(error.kind(), Kind::Config);
                assert!(error.message().contains(name), "{error}");
                assert!(!error.message().contains("hunter22"), "{error}");
                let spared = [(name, value), ("NO_PROXY", "h.test")];
                assert_eq!(hop("wss://h.test/", &spared), Ok(None));
            }
        }
    }
}
