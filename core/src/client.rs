//! Endpoint, credential and dialect: what is needed to open sessions.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::dialect::Dialect;
use crate::engine::io::Fallback;
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::options::Options;
use crate::runtime::target::{Key, Target, network};
use crate::runtime::{Launch, Runtime, asking};
use crate::session::Session;

/// Opens sessions at one endpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    dialect: Arc<Dialect>,
    url: Option<String>,
    key: Key,
    extra_ca: Option<Vec<u8>>,
    runtime: Option<Runtime>,
    fallbacks: Vec<(Self, Options)>,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client of the default dialect's own endpoint.
    pub fn new() -> Self {
        Self {
            dialect: Dialect::default_dialect(),
            url: None,
            key: Key::None,
            extra_ca: None,
            runtime: None,
            fallbacks: Vec::new(),
        }
    }

    /// Another endpoint: `ws://` or `wss://`, path included, query allowed.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// A built-in dialect by name, a table's JSON text, or the path of a file that holds one.
    pub fn dialect(mut self, name_or_table: &str) -> Result<Self> {
        self.dialect = Dialect::find(name_or_table, json::read)?;
        Ok(self)
    }

    /// The credential. It is sent as the dialect says, and never logged.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Key::Fixed(key.into().into());
        self
    }

    /// A credential that does not last, such as an IAM token: `ask` is called before each dial, also
    /// when a session changes its link, so let it keep a token as long as it is good. It has the time
    /// of `connect_timeout_ms`. Its error is that of the dial: one that may pass is tried again like
    /// any other, [`Kind::Auth`] is final. It shares a thread with sessions, so it must not block.
    #[must_use]
    pub fn key_from<F, R>(mut self, ask: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<String>> + Send + 'static,
    {
        self.key = Key::Asked(Arc::new(move |_| Box::pin(ask())));
        self
    }

    /// [`Client::key_from`] for a function that may block: each time it runs on a thread of its own,
    /// as a callback. A panic of it is the error of the dial.
    #[must_use]
    pub fn key_from_blocking<F>(mut self, ask: F) -> Self
    where
        F: Fn() -> Result<String> + Send + Sync + 'static,
    {
        self.key = Key::Asked(asking(ask));
        self
    }

    /// One more endpoint for sessions of this client, tried when those before it fail: at the opening,
    /// and after a loss. A planned change stays where the session is.
    ///
    /// Of `client` its endpoint, dialect and credential count, of `options` what reaching it takes
    /// (`model`, `folder`, `query`, `headers`, `proxy`, certificates, times to connect) and `session`:
    /// a patch of the session's settings for this endpoint, such as a voice that it has. All else is
    /// as the session was opened.
    #[must_use]
    pub fn fallback(mut self, client: Self, options: Options) -> Self {
        self.fallbacks.push((client, options));
        self
    }

    /// PEM certificates to trust beside those of the system.
    #[must_use]
    pub fn extra_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.extra_ca = Some(pem.into());
        self
    }

    /// The threads to use; the shared ones otherwise.
    #[must_use]
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Whether sessions with these options need a credential that was not given: endpoints on other
    /// machines do.
    pub fn needs_key(&self, options: &Options) -> bool {
        let checked = self.target(options).and_then(|target| target.check());
        checked.is_err_and(|error| error.kind() == Kind::Auth)
    }

    /// The environment variable that usually holds this dialect's credential.
    pub fn key_env(&self) -> Option<&str> {
        self.dialect.table().key_env.as_deref()
    }

    /// Begins a session and returns at once; see [`Session::opened`]. Fails for what is known to
    /// be wrong before dialling: options, URL, model name, a missing credential.
    pub fn open(&self, options: Options) -> Result<Session> {
        let close_ms = options.close_timeout_ms;
        let launch = self.launch(options)?;
        launch.check()?;
        let runtime = match &self.runtime {
            Some(runtime) => runtime.clone(),
            None => Runtime::shared()?,
        };
        let launched = runtime.launch(launch)?;
        Ok(Session::new(
            launched,
            self.dialect.clone(),
            runtime,
            close_ms,
        ))
    }

    /// Opens a session and waits until it is configured.
    pub async fn connect(&self, options: Options) -> Result<Session> {
        let session = self.open(options)?;
        session.opened().await?;
        Ok(session)
    }

    fn launch(&self, options: Options) -> Result<Launch> {
        let mut targets = vec![self.target(&options)?];
        let mut fallbacks = Vec::new();
        for (client, own) in &self.fallbacks {
            targets.push(client.target(own)?);
            fallbacks.push(Fallback {
                dialect: client.dialect.clone(),
                session: own.session.clone(),
            });
        }
        Ok(Launch {
            targets,
            fallbacks,
            options,
        })
    }

    /// This client's own endpoint.
    fn target(&self, options: &Options) -> Result<Target> {
        let waived = options.waived()?;
        let model = options.model.as_deref();
        let model = model.map(|m| self.dialect.model_name(options.folder.as_deref(), m));
        self.dialect.check_model(model.as_deref(), &waived)?;
        if let Some(blank) = self.dialect.url_blank().filter(|_| self.url.is_none()) {
            let name = self.dialect.name();
            let message = format!("the endpoint of {name} holds {blank}: give its URL");
            return Err(Error::new(Kind::Argument, message));
        }
        let mut headers = options.headers.clone();
        let is_own = |name: &str| {
            headers
                .iter()
                .any(|(own, _)| own.eq_ignore_ascii_case(name))
        };
        let usual = self.dialect.table().headers.iter();
        let usual = usual.filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        let usual: Vec<_> = usual.filter(|(name, _)| !is_own(name)).collect();
        headers.extend(usual);
        Ok(Target {
            dialect: self.dialect.clone(),
            url: self.url.clone(),
            model,
            query: options.query.clone(),
            headers,
            key: self.key.clone(),
            network: network(options, self.extra_ca.as_deref())?,
            handshake: Duration::from_millis(options.handshake_timeout_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_needed_everywhere_but_here_and_the_error_names_the_variable() {
        let error = Client::new().open(Options::default()).expect_err("no key");
        assert_eq!(error.kind(), Kind::Auth);
        assert!(error.message().contains("YANDEX_API_KEY"), "{error}");
    }

    #[test]
    fn a_credential_is_never_printed() {
        let client = Client::new().key("AQVN-top-secret");
        assert!(!format!("{client:?}").contains("top-secret"));
    }

    #[test]
    fn an_endpoint_with_a_blank_wants_the_users_url() {
        let client = Client::new().dialect("azure").expect("built in").key("k");
        let error = client
            .open(Options::default())
            .expect_err("which resource?");
        assert_eq!(error.kind(), Kind::Argument);
        assert!(error.message().contains("{resource}"), "{error}");
    }

    #[test]
    fn headers_of_the_table_yield_to_those_of_the_user() {
        let client = Client::new().dialect("openai-beta").expect("built in");
        let client = client.url("ws://127.0.0.1:1/").key("k");
        let beta = |options: Options| {
            let target = client.target(&options).expect("valid");
            let is_beta = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("openai-beta");
            let headers = target.spec(Some("k")).headers;
            let values = headers.iter().filter(is_beta);
            values.map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        assert_eq!(beta(Options::default()), ["realtime=v1"]);
        let own = Options {
            headers: vec![("OpenAI-Beta".into(), "mine".into())],
            ..Options::default()
        };
        assert_eq!(beta(own), ["mine"]);
    }

    #[test]
    fn a_dialect_is_a_name_a_table_or_a_file_and_errors_name_the_key() {
        let path = std::env::temp_dir().join(format!("talkwire-{}.json", std::process::id()));
        std::fs::write(&path, r#"{"extends": "openai", "name": "filed"}"#).expect("written");
        let name = path.to_str().expect("UTF-8");
        let client = Client::new().dialect(name).expect("valid");
        assert_eq!(client.dialect.name(), "filed");
        std::fs::write(
            &path,
            r#"{"extends": "openai", "limits": {"sessions": []}}"#,
        )
        .expect("written");
        let error = Client::new().dialect(name).expect_err("wrong");
        std::fs::remove_file(&path).expect("there");
        assert!(error.message().contains("limits.sessions"), "{error}");
        assert!(error.message().contains(name), "{error}");
        let error = Client::new().dialect("nobody").expect_err("none");
        assert!(error.message().contains("voicelive"), "{error}");
    }

    #[test]
    fn a_bare_model_name_is_refused_before_dialling() {
        let options = Options {
            model: Some("speech-realtime".into()),
            ..Options::default()
        };
        let client = Client::new().url("ws://127.0.0.1:1/v1/realtime");
        assert_eq!(
            client.open(options).expect_err("refused").kind(),
            Kind::Refused
        );
    }
}
