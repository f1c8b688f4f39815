//! Who may come in: the judgement of an upgrade request, without a socket.

use std::sync::Arc;

use serde_json::json;
use talkwire_core::dialect::{Dialect, Quirk};

/// The only path that is served.
pub const PATH: &str = "/v1/realtime";

/// The subprotocol that is echoed when it is offered.
const SUBPROTOCOL: &str = "realtime";

/// What a server accepts.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(crate) dialect: Arc<Dialect>,
    pub(crate) api_key: Option<String>,
    pub(crate) models: Option<Vec<String>>,
    pub(crate) max_sessions: usize,
}

/// An upgrade request, as far as it matters. Names of headers are compared without case.
#[derive(Clone, Debug, Default)]
pub struct Knock {
    /// Path without query.
    pub path: String,
    /// Query without the question mark, still encoded.
    pub query: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
}

/// An accepted request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    /// Model of the query, decoded.
    pub model: Option<String>,
    /// Whether a withdrawn version of the protocol was asked for.
    pub is_withdrawn: bool,
    /// Subprotocol to echo.
    pub subprotocol: Option<&'static str>,
}

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
}

impl Knock {
    /// A request for `url` (scheme, host and all) with headers.
    pub fn new(url: &str, headers: Vec<(String, String)>) -> Self {
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        let target = after_scheme.find('/').map_or("/", |at| &after_scheme[at..]);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let is = |header: &&(String, String)| header.0.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(is)
            .map(|(_, value)| value.as_str())
    }

    fn offers(&self, protocol: &str) -> bool {
        let offered = self.header("sec-websocket-protocol").unwrap_or_default();
        offered.split(',').any(|offer| offer.trim() == protocol)
    }

    fn query_value(&self, key: &str) -> Option<String> {
        let pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let value = pairs.filter(|(k, _)| *k == key).map(|(_, v)| v).next()?;
        Some(percent_decode(value)).filter(|value| !value.is_empty())
    }

    /// The credential: after `Bearer` or `Api-Key` of `Authorization`, or in `api-key`.
    fn credential(&self) -> Option<&str> {
        if let Some(value) = self.header("authorization") {
            let (scheme, key) = value.trim().split_once(' ')?;
            let known = ["bearer", "api-key"];
            let is_known = known.iter().any(|k| scheme.eq_ignore_ascii_case(k));
            return is_known.then(|| key.trim());
        }
        self.header("api-key").or_else(|| self.header("x-api-key"))
    }
}

impl Rules {
    /// Judges a request while `sessions` others run.
    pub fn judge(&self, knock: &Knock, sessions: usize) -> Result<Visit, Refusal> {
        if knock.path.trim_end_matches('/') != PATH {
            let message = format!("There is nothing at {}: use {PATH}.", knock.path);
            return Err(Refusal::new(404, "not_found", &message));
        }
        self.judge_key(knock)?;
        let model = knock.query_value(&self.dialect.table().model.query);
        self.judge_model(model.as_deref())?;
        if sessions >= self.max_sessions {
            let message = format!("At most {} sessions run at once.", self.max_sessions);
            return Err(Refusal::new(429, "rate_limit_exceeded", &message));
        }
        let withdrawn = self.dialect.table().withdrawn.as_ref();
        let is_withdrawn = withdrawn.is_some_and(|withdrawn| {
            knock.header(&withdrawn.header).is_some() || knock.offers(&withdrawn.subprotocol)
        });
        Ok(Visit {
            model,
            is_withdrawn,
            subprotocol: knock.offers(SUBPROTOCOL).then_some(SUBPROTOCOL),
        })
    }

    fn judge_key(&self, knock: &Knock) -> Result<(), Refusal> {
        let Some(key) = &self.api_key else {
            return Ok(());
        };
        match knock.credential() {
            Some(given) if same(given, key) => Ok(()),
            Some(_) => {
                let message = "Incorrect API key provided.";
                Err(Refusal::new(401, "invalid_api_key", message))
            }
            None => {
                let message = "Missing credential: send the header Authorization.";
                Err(Refusal::new(401, "invalid_api_key", message))
            }
        }
    }

    fn judge_model(&self, model: Option<&str>) -> Result<(), Refusal> {
        let (Some(models), Some(model)) = (&self.models, model) else {
            return Ok(());
        };
        let prefix = self.dialect.table().model.prefix.as_deref();
        let is_full = prefix.is_none_or(|prefix| model.starts_with(prefix));
        if !is_full && self.dialect.has(Quirk::ModelErrorAfterUpgrade) {
            return Ok(());
        }
        if models.iter().any(|known| known == model) {
            return Ok(());
        }
        let message = format!("The model `{model}` does not exist or you have no access to it.");
        Err(Refusal::new(404, "model_not_found", &message))
    }
}

impl Refusal {
    /// A refusal with the usual JSON body.
    pub(crate) fn new(status: u16, code: &str, message: &str) -> Self {
        let error = json!({"message": message, "type": "invalid_request_error", "code": code,
            "param": null});
        let body = json!({"error": error}).to_string();
        Self { status, body }
    }
}

/// Compares without telling by its duration where two keys differ.
fn same(a: &str, b: &str) -> bool {
    let differing = a
        .bytes()
        .zip(b.bytes())
        .fold(0, |all, (x, y)| all | (x ^ y));
    a.len() == b.len() && differing == 0
}

/// Undoes `%XX`; a `+` stays, as model names may hold one.
fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3);
        let code = hex
            .filter(|_| bytes[at] == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(profile: &str) -> Rules {
        Rules {
            dialect: Dialect::named(profile).expect("built in"),
            api_key: Some("secret".to_owned()),
            models: Some(vec!["gpt://f/good".to_owned(), "good".to_owned()]),
            max_sessions: 2,
        }
    }

    fn knock(url: &str, header: &str, value: &str) -> Knock {
        Knock::new(url, vec![(header.to_owned(), value.to_owned())])
    }

    const URL: &str = "ws://127.0.0.1:1/v1/realtime";

    fn status(rules: &Rules, knock: &Knock, sessions: usize) -> u16 {
        rules
            .judge(knock, sessions)
            .map_or_else(|r| r.status, |_| 101)
    }

    #[test]
    fn every_form_of_the_right_key_is_taken_and_others_are_401() {
        let rules = rules("openai");
        for (header, value, expected) in [
            ("Authorization", "Bearer secret", 101),
            ("authorization", "Api-Key secret", 101),
            ("Authorization", "api-key secret", 101),
            ("api-key", "secret", 101),
            ("Authorization", "Bearer secreT", 401),
            ("Authorization", "Basic secret", 401),
            ("Authorization", "secret", 401),
            ("X-Other", "secret", 401),
        ] {
            let found = status(&rules, &knock(URL, header, value), 0);
            assert_eq!(found, expected, "{header}: {value}");
        }
        let open = Rules {
            api_key: None,
            ..rules
        };
        assert_eq!(status(&open, &Knock::new(URL, Vec::new()), 0), 101);
    }

    #[test]
    fn other_paths_models_and_the_session_too_many_are_refused() {
        let at = |target: &str| {
            let url = format!("ws://h:1{target}");
            knock(&url, "api-key", "secret")
        };
        let strict = rules("openai");
        assert_eq!(status(&strict, &at("/"), 0), 404);
        assert_eq!(status(&strict, &at("/v1/realtime?model=bad"), 0), 404);
        assert_eq!(status(&strict, &at("/v1/realtime?model=good"), 1), 101);
        assert_eq!(status(&strict, &at("/v1/realtime?model=good"), 2), 429);
        let lenient = rules("yandex");
        let encoded = at("/v1/realtime?model=gpt%3A%2F%2Ff%2Fgood");
        let visit = lenient.judge(&encoded, 0).expect("fine");
        assert_eq!(visit.model.as_deref(), Some("gpt://f/good"));
        assert_eq!(
            status(&lenient, &at("/v1/realtime?model=gpt://f/bad"), 0),
            404
        );
        // Refused after the upgrade, by a close.
        assert_eq!(status(&lenient, &at("/v1/realtime?model=bare"), 0), 101);
    }

    #[test]
    fn the_subprotocol_is_echoed_only_when_offered() {
        let rules = Rules {
            api_key: None,
            ..rules("openai")
        };
        let offer = |value: &str| {
            let knock = knock(URL, "Sec-WebSocket-Protocol", value);
            rules.judge(&knock, 0).expect("fine")
        };
        assert_eq!(offer("x, realtime").subprotocol, Some("realtime"));
        assert_eq!(offer("x").subprotocol, None);
        assert!(offer("openai-beta.realtime-v1").is_withdrawn);
    }
}
