//! Which requests are let in.
//!
//! Any web page can send requests to loopback, and with a name of its own that resolves to
//! 127.0.0.1 even read the answers. So the request has to name this machine, must not come from
//! another page, and what it changes has to be JSON, which a page cannot send unasked.

use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use hyper::{Request, StatusCode};
use serde_json::Value;

/// Largest body of a request.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Time a body may take.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// A request that is refused: status, code and one sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused(
    pub(super) StatusCode,
    pub(super) &'static str,
    pub(super) String,
);

/// Checks where a request comes from.
pub(super) fn origin(headers: &HeaderMap, port: u16) -> Result<(), Refused> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|value| value.to_str().ok());
    if hosts.next().is_some() || !host.is_some_and(|host| is_ours(host, port)) {
        let message = format!("the header Host has to be 127.0.0.1:{port} or localhost:{port}");
        return Err(Refused(StatusCode::FORBIDDEN, "foreign_host", message));
    }
    for value in headers.get_all(ORIGIN) {
        let page = value.to_str().ok().and_then(|o| o.strip_prefix("http://"));
        if !page.is_some_and(|host| is_ours(host, port)) {
            let message = "requests of other web pages are not answered".to_owned();
            return Err(Refused(StatusCode::FORBIDDEN, "foreign_origin", message));
        }
    }
    Ok(())
}

fn is_ours(host: &str, port: u16) -> bool {
    let Some((name, given)) = host.rsplit_once(':') else {
        return false;
    };
    let is_name = ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|ours| name.eq_ignore_ascii_case(ours));
    is_name && given.parse() == Ok(port)
}

/// The JSON body of a request.
pub(super) async fn body(request: Request<Incoming>) -> Result<Value, Refused> {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let message = "the body has to be JSON: content-type: application/json".to_owned();
        return Err(Refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_json",
            message,
        ));
    }
    let reading = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
    let read = match tokio::time::timeout(BODY_LIMIT, reading).await {
        Ok(Ok(read)) => read.to_bytes(),
        Ok(Err(e)) if e.is::<LengthLimitError>() => {
            let message = format!("a body has at most {MAX_BODY_BYTES} bytes");
            return Err(Refused(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                message,
            ));
        }
        Ok(Err(e)) => return Err(bad(format!("the body cannot be read: {e}"))),
        Err(_) => {
            let message = "the body did not arrive in time".to_owned();
            return Err(Refused(StatusCode::REQUEST_TIMEOUT, "too_slow", message));
        }
    };
    serde_json::from_slice(&read).map_err(|e| bad(format!("the body is not JSON: {e}")))
}

/// A request that makes no sense.
pub(super) fn bad(message: String) -> Refused {
    Refused(StatusCode::BAD_REQUEST, "bad_request", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(host: &[&str], from: Option<&str>) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(HOST, host.parse().expect("a value"));
        }
        if let Some(from) = from {
            headers.insert(ORIGIN, from.parse().expect("a value"));
        }
        origin(&headers, 80).err().map(|refused| refused.1)
    }

    #[test]
    fn only_names_of_this_machine_with_the_port_are_let_in() {
        for host in ["127.0.0.1:80", "localhost:80", "LOCALHOST:80", "[::1]:80"] {
            assert_eq!(judge(&[host], None), None, "{host}");
        }
        for host in [
            "evil.example:80",
            "127.0.0.1",
            "127.0.0.1:81",
            "127.0.0.1.evil.example:80",
            "localhost:080x",
            "",
        ] {
            assert_eq!(judge(&[host], None), Some("foreign_host"), "{host}");
        }
        assert_eq!(judge(&[], None), Some("foreign_host"));
        let two = ["127.0.0.1:80", "127.0.0.1:80"];
        assert_eq!(judge(&two, None), Some("foreign_host"));
    }

    #[test]
    fn only_our_own_page_is_let_in() {
        let ours = Some("http://127.0.0.1:80");
        assert_eq!(judge(&["127.0.0.1:80"], ours), None);
        for from in [
            "http://evil.example",
            "null",
            "https://127.0.0.1:80",
            "http://127.0.0.1:8080",
        ] {
            let refused = judge(&["127.0.0.1:80"], Some(from));
            assert_eq!(refused, Some("foreign_origin"), "{from}");
        }
    }
}
