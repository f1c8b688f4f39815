//! Endpoint, credential and dialect: what is needed to open sessions.

use std::fmt;
use std::sync::Arc;

use crate::dialect::Dialect;
use crate::error::{Error, Kind, Result};
use crate::options::Options;
use crate::runtime::{Launch, Runtime};
use crate::session::Session;

/// Opens sessions at one endpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    dialect: Arc<Dialect>,
    url: Option<String>,
    key: Option<Secret>,
    extra_ca: Option<Vec<u8>>,
    runtime: Option<Runtime>,
}

/// A credential. Never printed.
#[derive(Clone)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
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
            key: None,
            extra_ca: None,
            runtime: None,
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
        self.dialect = Dialect::find(name_or_table, |path| std::fs::read_to_string(path))?;
        Ok(self)
    }

    /// The credential. It is sent as the dialect says, and never logged.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(Secret(key.into()));
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
        let waived = options.waived()?;
        let model = options.model.as_deref();
        let model = model.map(|m| self.dialect.model_name(options.folder.as_deref(), m));
        self.dialect.check_model(model.as_deref(), &waived)?;
        if let Some(blank) = self.dialect.url_blank().filter(|_| self.url.is_none()) {
            let name = self.dialect.name();
            let message = format!("the endpoint of {name} holds {blank}: give its URL");
            return Err(Error::new(Kind::Argument, message));
        }
        let key = self.key.as_ref().map(|key| key.0.as_str());
        let mut query = options.query.clone();
        query.extend(key.and_then(|key| self.dialect.auth_query(key)));
        let url = self
            .dialect
            .url(self.url.as_deref(), model.as_deref(), &query);
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
        headers.extend(key.and_then(|key| self.dialect.auth_header(key)));
        Ok(Launch {
            dialect: self.dialect.clone(),
            url,
            has_credential: key.is_some() || has_credential(&headers),
            headers,
            extra_ca: self.extra_ca.clone(),
            options,
        })
    }
}

fn has_credential(headers: &[(String, String)]) -> bool {
    headers.iter().any(|(name, _)| {
        name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("api-key")
    })
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
        let beta = |options| {
            let launch = client.launch(options).expect("valid");
            let is_beta = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("openai-beta");
            let values = launch.headers.iter().filter(is_beta);
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
