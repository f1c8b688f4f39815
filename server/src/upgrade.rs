//! Who may come in: the judgement of an upgrade request, without a socket.

use std::sync::Arc;

use serde_json::json;
use talkwire_core::dialect::{Auth, Dialect, Quirk};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};

/// The path of the profile's own dialect; others have paths of their own in their tables.
pub const PATH: &str = "/v1/realtime";

/// What a server accepts.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(crate) dialect: Arc<Dialect>,
    pub(crate) api_key: Option<String>,
    pub(crate) models: Option<Vec<String>>,
    pub(crate) max_sessions: usize,
    /// Whether a model that does not exist is refused after the upgrade only.
    pub(crate) late_model_errors: bool,
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
#[derive(Clone, Debug, Default)]
pub struct Visit {
    /// The dialect that the path chose; absent means that of the profile.
    pub dialect: Option<Arc<Dialect>>,
    /// Model of the query, decoded.
    pub model: Option<String>,
    /// Whether a session that only transcribes was asked for.
    pub is_transcription: bool,
    /// Whether a withdrawn version of the protocol was asked for.
    pub is_withdrawn: bool,
    /// Whether the model does not exist, which the client is told after the upgrade.
    pub is_bad_model: bool,
    /// Subprotocol to echo.
    pub subprotocol: Option<String>,
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

    /// The request as it came. Bytes of headers that are no UTF-8 are replaced.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = request.headers().iter();
        Self {
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            headers: headers
                .map(|(name, value)| (name.as_str().to_owned(), text(value)))
                .collect(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let is = |header: &&(String, String)| header.0.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(is)
            .map(|(_, value)| value.as_str())
    }

    fn offered(&self) -> impl Iterator<Item = &str> {
        let offered = self.header("sec-websocket-protocol").unwrap_or_default();
        offered.split(',').map(str::trim)
    }

    fn offers(&self, protocol: &str) -> bool {
        self.offered().any(|offer| offer == protocol)
    }

    pub(crate) fn query_value(&self, key: &str) -> Option<String> {
        let pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let value = pairs.filter(|(k, _)| *k == key).map(|(_, v)| v).next()?;
        Some(percent_decode(value)).filter(|value| !value.is_empty())
    }

    /// The credentials: those of the dialect's forms, and of what clients send everywhere.
    fn credentials(&self, forms: &[Auth]) -> Vec<String> {
        let usual = self.usual_credential().map(str::to_owned);
        let by_form = forms.iter().filter_map(|form| {
            if form.subprotocol {
                return self
                    .offered()
                    .find_map(|o| form.key_in(o))
                    .map(str::to_owned);
            }
            let value = match (&form.header, &form.query) {
                (Some(name), _) => self.header(name)?.to_owned(),
                (None, Some(name)) => self.query_value(name)?,
                (None, None) => return None,
            };
            form.key_in(&value).map(str::to_owned)
        });
        usual.into_iter().chain(by_form).collect()
    }

    /// After `Bearer` or `Api-Key` of `Authorization`, or in `api-key` or `x-api-key`.
    fn usual_credential(&self) -> Option<&str> {
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
        let dialect = self.route(knock).ok_or_else(|| nothing_at(&knock.path))?;
        let table = dialect.table();
        self.judge_key(knock, &dialect)?;
        let required = table.query.iter().filter(|rule| rule.required);
        // A profile's own path is for clients that know nothing of others.
        let is_own_path = table.path.as_deref() == Some(trimmed(&knock.path));
        for rule in required.filter(|_| is_own_path) {
            if knock.query_value(&rule.name).is_none() {
                let message = format!("The query parameter `{}` is missing.", rule.name);
                return Err(Refusal::new(400, "missing_required_parameter", &message));
            }
        }
        let names = [&table.model.query].into_iter().chain(&table.model.also);
        let model = names.into_iter().find_map(|name| knock.query_value(name));
        let is_bad_model = self.judge_model(model.as_deref(), &dialect)?;
        if sessions >= self.max_sessions {
            let message = format!("At most {} sessions run at once.", self.max_sessions);
            return Err(Refusal::new(429, "rate_limit_exceeded", &message));
        }
        let is_withdrawn = table.withdrawn.as_ref().is_some_and(|withdrawn| {
            knock.header(&withdrawn.header).is_some() || knock.offers(&withdrawn.subprotocol)
        });
        let subprotocol = table.subprotocol.clone();
        Ok(Visit {
            model,
            is_transcription: knock.query_value("intent").as_deref() == Some("transcription"),
            is_withdrawn,
            is_bad_model,
            subprotocol: subprotocol.filter(|name| knock.offers(name)),
            dialect: Some(dialect),
        })
    }

    /// What a request gets that is no upgrade; `None` is one that is not even a `GET`.
    pub(crate) fn turn_away(&self, knock: Option<&Knock>) -> Refusal {
        let Some(knock) = knock else {
            let message = "Only upgrades to WebSocket are served here.";
            return Refusal::new(405, "method_not_allowed", message);
        };
        if self.route(knock).is_none() {
            return nothing_at(&knock.path);
        }
        let message = "This is a WebSocket: send the headers of an upgrade.";
        Refusal::new(426, "upgrade_required", message)
    }

    /// The dialect that is spoken at a path: the profile's, or one whose table names the path.
    fn route(&self, knock: &Knock) -> Option<Arc<Dialect>> {
        let path = trimmed(&knock.path);
        if path == PATH {
            return Some(self.dialect.clone());
        }
        let all = [self.dialect.clone()]
            .into_iter()
            .chain(Dialect::built_in());
        all.into_iter()
            .find(|dialect| dialect.table().path.as_deref() == Some(path))
    }

    fn judge_key(&self, knock: &Knock, dialect: &Dialect) -> Result<(), Refusal> {
        let Some(key) = &self.api_key else {
            return Ok(());
        };
        let given = knock.credentials(&dialect.table().auth);
        if given.iter().any(|given| same(given, key)) {
            return Ok(());
        }
        let message = match given.is_empty() {
            false => "Incorrect API key provided.",
            true => "Missing credential: send the header Authorization.",
        };
        Err(Refusal::new(401, "invalid_api_key", message))
    }

    /// Whether the model is to be refused after the upgrade.
    fn judge_model(&self, model: Option<&str>, dialect: &Dialect) -> Result<bool, Refusal> {
        let Some(model) = model else {
            return Ok(false);
        };
        let prefix = dialect.table().model.prefix.as_deref();
        let is_full = prefix.is_none_or(|prefix| model.starts_with(prefix));
        if !is_full && dialect.has(Quirk::ModelErrorAfterUpgrade) {
            return Ok(true);
        }
        let is_known = |models: &Vec<String>| models.iter().any(|known| known == model);
        if self.models.as_ref().is_none_or(is_known) {
            return Ok(false);
        }
        if self.late_model_errors {
            return Ok(true);
        }
        let message = format!("The model `{model}` does not exist or you have no access to it.");
        Err(Refusal::new(404, "model_not_found", &message))
    }
}

fn trimmed(path: &str) -> &str {
    path.trim_end_matches('/')
}

fn nothing_at(path: &str) -> Refusal {
    let message = format!("There is nothing at {path}: use {PATH}.");
    Refusal::new(404, "not_found", &message)
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
            late_model_errors: false,
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
        assert_eq!(
            offer("x, realtime").subprotocol.as_deref(),
            Some("realtime")
        );
        assert_eq!(offer("x").subprotocol, None);
        assert!(offer("openai-beta.realtime-v1").is_withdrawn);
    }

    #[test]
    fn the_path_chooses_the_shape_and_the_profile_has_the_plain_one() {
        let rules = Rules {
            api_key: None,
            models: None,
            ..rules("yandex")
        };
        let dialect = |target: &str| {
            let knock = Knock::new(&format!("ws://h:1{target}"), Vec::new());
            let visit = rules.judge(&knock, 0).expect(target);
            let dialect = visit.dialect.expect("chosen");
            (dialect.name().to_owned(), visit.model.unwrap_or_default())
        };
        for (target, name, model) in [
            ("/v1/realtime/?model=gpt://f/m", "yandex", "gpt://f/m"),
            ("/openai/v1/realtime?model=m", "azure", "m"),
            (
                "/openai/realtime?api-version=1&deployment=d",
                "azure-preview",
                "d",
            ),
            (
                "/openai/realtime?api-version=1&model=d",
                "azure-preview",
                "d",
            ),
            (
                "/voice-live/realtime?api-version=1&model=m",
                "voicelive",
                "m",
            ),
        ] {
            assert_eq!(dialect(target), (name.to_owned(), model.to_owned()));
        }
        let unversioned = Knock::new("ws://h:1/openai/realtime?deployment=d", Vec::new());
        let refusal = rules.judge(&unversioned, 0).expect_err("no version");
        assert_eq!(refusal.status, 400);
        assert!(refusal.body.contains("api-version"), "{}", refusal.body);
    }

    #[test]
    fn a_browsers_key_comes_in_the_query_or_a_subprotocol_where_the_table_says_so() {
        let rules = Rules {
            models: None,
            ..rules("openai")
        };
        let offer = |key: &str| {
            let protocols = format!("realtime, openai-insecure-api-key.{key}");
            knock(URL, "Sec-WebSocket-Protocol", &protocols)
        };
        assert_eq!(status(&rules, &offer("secret"), 0), 101);
        assert_eq!(status(&rules, &offer("wrong"), 0), 401);
        let query = |path: &str| Knock::new(&format!("ws://h{path}api-key=secret"), Vec::new());
        assert_eq!(status(&rules, &query("/openai/v1/realtime?"), 0), 101);
        let voice = "/voice-live/realtime?api-version=1&";
        assert_eq!(status(&rules, &query(voice), 0), 101);
        assert_eq!(status(&rules, &query("/v1/realtime?"), 0), 401);
    }

    #[test]
    fn a_model_error_can_be_put_off_until_after_the_upgrade() {
        let late = Rules {
            late_model_errors: true,
            ..rules("openai")
        };
        let visit = |model: &str| {
            let knock = knock(&format!("{URL}?model={model}"), "api-key", "secret");
            late.judge(&knock, 0).expect("let in")
        };
        assert!(visit("bad").is_bad_model);
        assert!(!visit("good").is_bad_model);
    }
}
