//! Servers that hear, answer and speak for a session, by the HTTP interface that most of them share.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use talkwire_core::error::{Error, Kind, Result};
use talkwire_core::net::dial::Network;
use talkwire_core::net::endpoint::Endpoint;
use talkwire_core::net::http;
use talkwire_core::net::proxy::Proxy;
use talkwire_core::net::tls::{self, Trust};
use talkwire_core::wire::Map;
use tokio::sync::mpsc;

use crate::io::{HttpJob, JobId};
use crate::session::News;

/// Rate of sound that nobody says the rate of.
const DEFAULT_RATE_HZ: u32 = 24_000;
/// Time for the way to a server, if nobody says it.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A server and what it is to be asked with.
#[derive(Clone)]
pub struct Upstream {
    url: String,
    key: Option<String>,
    client: http::Client,
    limits: http::Limits,
    /// Name of the model; absent leaves it to the server.
    pub model: Option<String>,
    /// Name of the voice; absent leaves it to the server.
    pub voice: Option<String>,
    /// Language of speech, as the server calls it.
    pub language: Option<String>,
    /// Whether ears ask for the words while they are found.
    pub stream: bool,
    /// Samples per second of the sound that a voice gives. Default: 24,000.
    pub rate_hz: u32,
    /// More fields of the request.
    pub extra: Map,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upstream({})", self.place())
    }
}

impl Upstream {
    /// The server at an `http://` or `https://` URL: the base of its interface, such as
    /// `http://127.0.0.1:11434/v1`, or one of its paths. Errors: a URL that is none.
    pub fn new(url: &str, client: http::Client) -> Result<Self> {
        Endpoint::parse_http(url)?;
        Ok(Self {
            url: url.to_owned(),
            key: None,
            client,
            limits: http::Limits::default(),
            model: None,
            voice: None,
            language: None,
            stream: false,
            rate_hz: DEFAULT_RATE_HZ,
            extra: Map::new(),
        })
    }

    /// Sends this credential.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Waits and takes no more than this.
    #[must_use]
    pub fn limits(mut self, limits: http::Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Host and port, for messages.
    pub(crate) fn place(&self) -> String {
        Endpoint::parse_http(&self.url)
            .map_or_else(|_| String::new(), |endpoint| endpoint.address())
    }

    /// The job of sending `body` to `path`.
    pub(crate) fn post(
        &self,
        who: &'static str,
        path: &str,
        media_type: &str,
        body: Vec<u8>,
    ) -> HttpJob {
        let mut request = http::Request::post(self.url_of(path), media_type, body);
        if let Some(key) = &self.key {
            request = request.bearer(key);
        }
        HttpJob {
            who,
            client: self.client.clone(),
            request,
            limits: self.limits,
            is_stream: false,
            is_sound: false,
        }
    }

    fn url_of(&self, path: &str) -> String {
        let (base, query) = match self.url.split_once('?') {
            Some((base, query)) => (base, format!("?{query}")),
            None => (self.url.as_str(), String::new()),
        };
        let base = base.trim_end_matches('/');
        if base.ends_with(path) {
            return format!("{base}{query}");
        }
        format!("{base}{path}{query}")
    }
}

/// A server as scripts and command lines describe it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawUpstream {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) model: Option<String>,
    #[serde(default)]
    pub(crate) key_env: Option<String>,
    #[serde(default)]
    pub(crate) ca: Option<PathBuf>,
    #[serde(default)]
    pub(crate) proxy: Option<String>,
    #[serde(default)]
    pub(crate) voice: Option<String>,
    #[serde(default)]
    pub(crate) language: Option<String>,
    #[serde(default)]
    pub(crate) stream: Option<bool>,
    #[serde(default)]
    pub(crate) rate_hz: Option<u32>,
    #[serde(default)]
    pub(crate) connect_ms: Option<u64>,
    #[serde(default)]
    pub(crate) first_ms: Option<u64>,
    #[serde(default)]
    pub(crate) idle_ms: Option<u64>,
    #[serde(default)]
    pub(crate) limit_ms: Option<u64>,
    #[serde(default)]
    pub(crate) extra: Map,
}

impl RawUpstream {
    /// Reads `URL KEY=VALUE ...`.
    pub(crate) fn parse(words: &[String]) -> std::result::Result<Self, String> {
        let Some((url, options)) = words.split_first() else {
            return Err("expected http:URL".to_owned());
        };
        let mut raw = Self {
            url: url.clone(),
            ..Self::default()
        };
        for option in options {
            let (key, value) = option
                .split_once('=')
                .ok_or_else(|| format!("expected KEY=VALUE, found `{option}`"))?;
            let text = || Some(value.to_owned());
            let number = || {
                let number = value.parse::<u64>().map(Some);
                number.map_err(|_| format!("expected a number in `{option}`"))
            };
            match key {
                "model" => raw.model = text(),
                "key_env" => raw.key_env = text(),
                "ca" => raw.ca = Some(value.into()),
                "proxy" => raw.proxy = text(),
                "voice" => raw.voice = text(),
                "language" => raw.language = text(),
                "stream" => {
                    let flag = value.parse().map(Some);
                    raw.stream =
                        flag.map_err(|_| format!("expected true or false in `{option}`"))?;
                }
                "rate_hz" => raw.rate_hz = number()?.and_then(|n| u32::try_from(n).ok()),
                "connect_ms" => raw.connect_ms = number()?,
                "first_ms" => raw.first_ms = number()?,
                "idle_ms" => raw.idle_ms = number()?,
                "limit_ms" => raw.limit_ms = number()?,
                _ => {
                    return Err(format!(
                        "`{key}` is none of model, key_env, ca, proxy, voice, language, stream, rate_hz, \
                         connect_ms, first_ms, idle_ms, limit_ms"
                    ));
                }
            }
        }
        Ok(raw)
    }

    /// Checks it and reads what it names: the variable with the key, the certificates.
    pub(crate) fn check(&self, who: &str, base: &Path) -> Result<Upstream> {
        let wrong = |why: String| Error::new(Kind::Config, format!("the {who}: {why}"));
        let network = self
            .network(base)
            .map_err(|e| wrong(e.message().to_owned()))?;
        let upstream = Upstream::new(&self.url, http::Client::new(network));
        let mut upstream = upstream.map_err(|e| wrong(e.message().to_owned()))?;
        if let Some(name) = &self.key_env {
            let key = std::env::var(name).ok().filter(|key| !key.is_empty());
            let missing = || wrong(format!("the environment variable {name} holds no key"));
            upstream = upstream.key(key.ok_or_else(missing)?);
        }
        if let Some(rate_hz) = self.rate_hz {
            let known = talkwire_core::audio::format::RATES_HZ;
            if !known.contains(&rate_hz) {
                let (low, high) = (known.start(), known.end());
                return Err(wrong(format!("expected a rate_hz of {low} to {high}")));
            }
            upstream.rate_hz = rate_hz;
        }
        if let Some(stream) = self.stream {
            if who != "ears" {
                return Err(wrong("`stream` is for ears: it always streams".to_owned()));
            }
            upstream.stream = stream;
        }
        upstream.model.clone_from(&self.model);
        upstream.voice.clone_from(&self.voice);
        upstream.language.clone_from(&self.language);
        upstream.extra.clone_from(&self.extra);
        Ok(upstream.limits(self.limits()))
    }

    fn network(&self, base: &Path) -> Result<Network> {
        let read = |path: &PathBuf| {
            let path = base.join(path);
            std::fs::read(&path)
                .map_err(|e| Error::new(Kind::Config, format!("{}: {e}", path.display())))
        };
        let ca = self.ca.as_ref().map(read).transpose()?;
        let trust = Trust {
            extra_ca: ca.as_deref(),
            ..Trust::default()
        };
        Ok(Network {
            tls: tls::client(&trust)?,
            proxy: Proxy::parse(self.proxy.as_deref())?,
            connect: pick(self.connect_ms, CONNECT_LIMIT),
            keepalive: None,
        })
    }

    fn limits(&self) -> http::Limits {
        let default = http::Limits::default();
        http::Limits {
            header: pick(self.first_ms, default.header),
            idle: pick(self.idle_ms, default.idle),
            total: pick(self.limit_ms, default.total),
            body_max_bytes: default.body_max_bytes,
        }
    }
}

fn pick(ms: Option<u64>, default: Duration) -> Duration {
    ms.map_or(default, Duration::from_millis)
}

/// Asks, tells the pieces of a streaming answer while they come and returns the whole of another.
pub(crate) async fn run(
    id: JobId,
    job: HttpJob,
    news: &mpsc::Sender<(JobId, News)>,
) -> std::result::Result<Vec<u8>, String> {
    let failed = |e: Error| format!("the {} failed: {}", job.who, e.message());
    let answer = job.client.send(&job.request, job.limits).await;
    let answer = answer.map_err(failed)?.accepted().await;
    let mut answer = answer.map_err(failed)?;
    let media_type = answer.header("content-type").unwrap_or_default();
    if job.is_sound
        && ["text/", "application/json"]
            .iter()
            .any(|t| media_type.starts_with(t))
    {
        let who = job.who;
        return Err(format!(
            "the {who} failed: it answered {media_type} instead of sound"
        ));
    }
    if !job.is_stream {
        return Ok(answer.whole().await.map_err(failed)?.to_vec());
    }
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        // A session that has ended stops its jobs anyway.
        let _ = news.send((id, News::Piece(piece.to_vec()))).await;
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(url: &str) -> Result<Upstream> {
        Upstream::new(url, http::Client::usual().expect("a configuration"))
    }

    #[test]
    fn a_base_is_completed_and_a_whole_path_is_kept() {
        let path = "/chat/completions";
        for (url, expected) in [
            ("http://h/v1", "http://h/v1/chat/completions"),
            ("http://h/v1/", "http://h/v1/chat/completions"),
            ("http://h/x/chat/completions", "http://h/x/chat/completions"),
            (
                "https://h/v1?version=1",
                "https://h/v1/chat/completions?version=1",
            ),
        ] {
            assert_eq!(upstream(url).expect(url).url_of(path), expected);
        }
        assert!(upstream("ws://h/").is_err() && upstream("h").is_err());
    }

    #[test]
    fn options_are_read_and_wrong_ones_named() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let raw = RawUpstream::parse(&words("http://h/v1 model=a:b limit_ms=70 rate_hz=8000"));
        let upstream = raw
            .expect("reads")
            .check("voice", Path::new("."))
            .expect("fine");
        assert_eq!(upstream.limits.total, Duration::from_millis(70));
        assert_eq!(
            (upstream.model.as_deref(), upstream.rate_hz),
            (Some("a:b"), 8_000)
        );
        for (text, part) in [
            ("u x", "KEY=VALUE"),
            ("u limit_ms=x", "number"),
            ("u stream=x", "true or false"),
            ("u a=b", "model"),
        ] {
            let error = RawUpstream::parse(&words(text)).expect_err(text);
            assert!(error.contains(part), "{error}");
        }
        for (text, part) in [
            ("http://h/ key_env=NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE"),
            ("http://h/ rate_hz=1", "8000"),
            ("http://h/ stream=true", "for ears"),
            ("http://h/ ca=/no/such.pem", "/no/such.pem"),
            ("ftp://h/", "http://"),
        ] {
            let raw = RawUpstream::parse(&words(text)).expect(text);
            let error = raw.check("brain", Path::new(".")).expect_err(text);
            assert!(
                error.message().contains("brain") && error.message().contains(part),
                "{error}"
            );
        }
    }

    #[test]
    fn a_key_is_shown_nowhere() {
        let upstream = upstream("http://h/v1?a=secret")
            .expect("fine")
            .key("secret");
        let job = upstream.post("brain", "/x", "text/plain", Vec::new());
        assert!(!format!("{upstream:?} {job:?}").contains("secret"));
    }
}
