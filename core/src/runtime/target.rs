//! Where links are dialled: one endpoint of a session's list, with all that reaching it takes.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::crew::Crew;
use crate::dialect::Dialect;
use crate::error::{Error, Kind, Provider, Result};
use crate::net::breaker::Breaker;
use crate::net::dial::{Keepalive, Network};
use crate::net::endpoint::Endpoint;
use crate::net::proxy::Proxy;
use crate::net::tls;
use crate::net::ws::{self, Spec, WebSocket};
use crate::options::Options;

/// Asks for a credential, with threads for what may block; called before each dial.
pub(crate) type Ask =
    Arc<dyn Fn(&Arc<Crew>) -> Pin<Box<dyn Future<Output = Result<String>> + Send>> + Send + Sync>;

/// The credential of an endpoint.
#[derive(Clone, Default)]
pub(crate) enum Key {
    #[default]
    None,
    /// The same each time.
    Fixed(Arc<str>),
    /// One that does not last.
    Asked(Ask),
}

/// Never printed.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Fixed(_) => "Fixed([secret])",
            Self::Asked(_) => "Asked",
        })
    }
}

/// An endpoint.
#[derive(Clone)]
pub(crate) struct Target {
    pub dialect: Arc<Dialect>,
    /// Another URL than that of the dialect.
    pub url: Option<String>,
    /// Full name of the model.
    pub model: Option<String>,
    pub query: Vec<(String, String)>,
    /// Headers of the upgrade request, without a credential.
    pub headers: Vec<(String, String)>,
    pub key: Key,
    pub network: Network,
    /// Time for the upgrade.
    pub handshake: Duration,
}

impl Target {
    /// Whether it may be dialled at all: known before any thread is there to do it.
    pub(crate) fn check(&self) -> Result<()> {
        let endpoint = Endpoint::parse(&self.spec(None).url)?;
        if self.has_credential() || endpoint.is_loopback() {
            return Ok(());
        }
        let env = self.dialect.table().key_env.as_deref();
        let hint = env.map(|env| format!(": set {env}")).unwrap_or_default();
        let message = format!("no credential for {}{hint}", endpoint.host);
        Err(Error::new(Kind::Auth, message))
    }

    fn has_credential(&self) -> bool {
        let carries = |name: &str| {
            name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("api-key")
        };
        !matches!(self.key, Key::None) || self.headers.iter().any(|(name, _)| carries(name))
    }

    /// What is dialled with a credential.
    pub(crate) fn spec(&self, key: Option<&str>) -> Spec {
        let mut query = self.query.clone();
        query.extend(key.and_then(|key| self.dialect.auth_query(key)));
        let (url, model) = (self.url.as_deref(), self.model.as_deref());
        let mut headers = self.headers.clone();
        headers.extend(key.and_then(|key| self.dialect.auth_header(key)));
        Spec {
            url: self.dialect.url(url, model, &query),
            headers,
            network: self.network.clone(),
            handshake: self.handshake,
        }
    }

    async fn key(&self, crew: &Arc<Crew>) -> Result<Option<Arc<str>>> {
        let ask = match &self.key {
            Key::None => return Ok(None),
            Key::Fixed(key) => return Ok(Some(key.clone())),
            Key::Asked(ask) => ask,
        };
        let late = |_| Error::new(Kind::Timeout, "the credential did not come in time");
        let told = timeout(self.network.connect, ask(crew))
            .await
            .map_err(late)??;
        Ok(Some(told.into()))
    }

    /// Dials. Fails with the kind of the step that failed, as the dialect calls it; where nobody asked
    /// for it (`is_again`), also without an attempt when the endpoint is known to be out of order.
    pub(super) async fn dial(
        &self,
        breakers: &Breakers,
        crew: &Arc<Crew>,
        is_again: bool,
    ) -> Result<WebSocket> {
        let key = self.key(crew).await?;
        let spec = self.spec(key.as_deref());
        let address = Endpoint::parse(&spec.url)?.address();
        if is_again {
            breakers.admit(&address)?;
        }
        let dialled = ws::dial(&spec).await.map_err(|error| self.meaning(error));
        breakers.tell(&address, &dialled);
        dialled
    }

    /// The kind of a refused upgrade is the dialect's to say.
    fn meaning(&self, error: Error) -> Error {
        match error.provider().http_status {
            Some(status) => {
                let kind = self.dialect.http_kind(status);
                Error::new(kind, error.message()).with_provider(error.provider().clone())
            }
            None => error,
        }
    }
}

/// Longer than any silence; the system refuses numbers that are too large.
const DAY_MS: u64 = 86_400_000;

/// The way there that options ask for.
pub(crate) fn network(options: &Options, extra_ca: Option<&[u8]>) -> Result<Network> {
    let (chain, key) = (
        options.client_cert.as_deref(),
        options.client_key.as_deref(),
    );
    let identity = match (chain, key) {
        (None, None) => None,
        (Some(chain), Some(key)) => Some((chain.as_bytes(), key.as_bytes())),
        _ => {
            let message = "client_cert and client_key come together";
            return Err(Error::new(Kind::Config, message));
        }
    };
    let trust = tls::Trust {
        extra_ca,
        only_ca: options.only_ca.as_deref().map(str::as_bytes),
        identity,
    };
    Ok(Network {
        tls: tls::client(&trust)?,
        proxy: Proxy::parse(options.proxy.as_deref())?,
        connect: Duration::from_millis(options.connect_timeout_ms),
        keepalive: (options.ping_ms > 0).then(|| Keepalive {
            after: Duration::from_millis(options.ping_ms.min(DAY_MS)),
            patience: Duration::from_millis(options.pong_timeout_ms.min(DAY_MS)),
        }),
    })
}

/// The circuit breakers of a runtime, by address.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Mutex<HashMap<String, Breaker>>);

/// Addresses to remember; those beyond are dialled as ever.
const MOST: usize = 1_024;

impl Breakers {
    fn admit(&self, address: &str) -> Result<()> {
        let mut breakers = self.lock();
        let admitted = breakers.get_mut(address).map(|b| b.admit(Instant::now()));
        let Some(Err(wait)) = admitted else {
            return Ok(());
        };
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        let message = format!("{address} failed again and again: next attempt in {wait_ms} ms");
        let provider = Provider {
            retry_after_ms: Some(wait_ms),
            ..Provider::default()
        };
        Err(Error::new(Kind::Unreachable, message).with_provider(provider))
    }

    fn tell<T>(&self, address: &str, outcome: &Result<T>) {
        let mut breakers = self.lock();
        // A refusal is an answer: what another session asks for may be granted.
        if outcome.as_ref().is_err_and(Error::may_pass) {
            if breakers.len() < MOST || breakers.contains_key(address) {
                let breaker = breakers.entry(address.to_owned()).or_default();
                breaker.failed(Instant::now());
            }
        } else {
            breakers.remove(address);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Result<()> {
        Err(Error::new(Kind::Unreachable, "nobody is there"))
    }

    #[test]
    fn an_endpoint_that_fails_again_and_again_is_left_alone_and_others_are_not() {
        let breakers = Breakers::default();
        for _ in 0..5 {
            assert!(breakers.admit("a:1").is_ok());
            breakers.tell("a:1", &failed());
        }
        let error = breakers.admit("a:1").expect_err("it is out of order");
        assert!(error.provider().retry_after_ms.is_some() && error.may_pass());
        assert!(breakers.admit("b:1").is_ok());
        breakers.tell("a:1", &Ok(()));
        assert!(breakers.admit("a:1").is_ok(), "somebody got through");
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let breakers = Breakers::default();
        for _ in 0..10 {
            breakers.tell::<()>("a:1", &Err(Error::new(Kind::Auth, "a wrong key")));
        }
        assert!(breakers.admit("a:1").is_ok());
    }
}
