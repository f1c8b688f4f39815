//! Where a URL leads, read once and the same for everybody who asks.

use std::net::IpAddr;

use tokio_tungstenite::tungstenite::http::Uri;

use crate::error::{Error, Kind, Result};

/// The address in a `ws://`, `wss://`, `http://` or `https://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the connection is encrypted.
    pub is_secure: bool,
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// Reads the URL of a WebSocket. What is wrong with it is an error of the argument; a user or
    /// password in it is refused, because credentials travel in headers.
    pub fn parse(url: &str) -> Result<Self> {
        Self::read(url, "ws", "wss")
    }

    /// Reads the URL of an HTTP request in the same way.
    pub fn parse_http(url: &str) -> Result<Self> {
        Self::read(url, "http", "https")
    }

    fn read(url: &str, plain: &str, secure: &str) -> Result<Self> {
        let wrong = |why: &str| Error::new(Kind::Argument, format!("the URL {why}"));
        let uri: Uri = url
            .parse()
            .map_err(|e| wrong(&format!("is not valid: {e}")))?;
        let is_secure = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some(scheme) if scheme == plain => false,
            Some(scheme) if scheme == secure => true,
            _ => return Err(wrong(&format!("must begin with {plain}:// or {secure}://"))),
        };
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("holds a user name: give the credential as the key"));
        }
        let host = authority.host().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(wrong("has no host"));
        }
        let has_port = !authority.as_str().ends_with(authority.host());
        let port = match (authority.port_u16(), has_port) {
            (Some(port), _) => port,
            (None, true) => return Err(wrong("has a port that is no number up to 65535")),
            (None, false) if is_secure => 443,
            (None, false) => 80,
        };
        Ok(Self {
            is_secure,
            host: host.to_owned(),
            port,
        })
    }

    /// `host:port`, an IPv6 address in brackets.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// As HTTP says it, for proxies and their exceptions.
    pub(super) fn http_uri(&self) -> Result<Uri> {
        let scheme = if self.is_secure { "https" } else { "http" };
        let uri = format!("{scheme}://{}/", self.address());
        uri.parse()
            .map_err(|e| Error::new(Kind::Argument, format!("`{}`: {e}", self.address())))
    }

    /// Whether it stays on this machine, where a local server needs no credential.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        self.host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|a| a.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_read_and_defaults_follow_the_scheme() {
        for (url, is_secure, host, port) in [
            (
                "ws://127.0.0.1:8080/v1/realtime?model=m",
                false,
                "127.0.0.1",
                8080,
            ),
            ("wss://example.org/v1", true, "example.org", 443),
            ("WSS://example.org", true, "example.org", 443),
            ("ws://[::1]:9/", false, "::1", 9),
            ("ws://[::1]", false, "::1", 80),
        ] {
            let host = host.to_owned();
            assert_eq!(
                Endpoint::parse(url),
                Ok(Endpoint {
                    is_secure,
                    host,
                    port
                }),
                "{url}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_and_nothing_is_guessed() {
        for (url, why) in [
            ("ws://127.0.0.1:99999/", "port"),
            ("ws://127.0.0.1:abc/", "port"),
            ("ws://127.0.0.1:/", "port"),
            ("http://127.0.0.1/", "ws://"),
            ("127.0.0.1:80", "ws://"),
            ("ws://", "valid"),
            ("ws://user:secret@127.0.0.1/", "user name"),
            ("ws://127.0.0.1:x@example.org/", "user name"),
            ("", "valid"),
        ] {
            let error = Endpoint::parse(url).expect_err(url);
            assert_eq!(error.kind(), Kind::Argument);
            assert!(error.message().contains(why), "{url}: {error}");
            assert!(!error.message().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_web_address_is_no_websocket_and_the_other_way_round() {
        let plain = Endpoint::parse_http("http://h/v1").expect("an address");
        assert_eq!((plain.is_secure, plain.port), (false, 80));
        let secure = Endpoint::parse_http("https://h/v1").expect("an address");
        assert_eq!((secure.is_secure, secure.port), (true, 443));
        let error = Endpoint::parse_http("ws://h/").expect_err("another scheme");
        assert!(error.message().contains("https://"), "{error}");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let is = |url| Endpoint::parse(url).expect(url).is_loopback();
        for url in [
            "ws://127.0.0.1:1/x",
            "ws://localhost/",
            "ws://LOCALHOST/",
            "ws://[::1]:9/v1",
        ] {
            assert!(is(url), "{url}");
        }
        for url in [
            "ws://127.0.0.1.evil.example/",
            "wss://10.0.0.1/",
            "wss://example.org:443",
        ] {
            assert!(!is(url), "{url}");
        }
    }
}
