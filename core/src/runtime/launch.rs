//! Putting a session together: engine, mailbox, socket and task.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::driver::{Driver, Message};
use super::mailbox::Bounds;
use super::readers::Readers;
use super::{Runtime, check_not_forked};
use crate::dialect::Dialect;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::net::dial::Network;
use crate::net::endpoint::Endpoint;
use crate::net::proxy::Proxy;
use crate::net::{tls, ws};
use crate::options::Options;

/// Everything a session is made of.
pub(crate) struct Launch {
    pub dialect: Arc<Dialect>,
    /// URL with its query.
    pub url: String,
    /// Headers of the upgrade request.
    pub headers: Vec<(String, String)>,
    /// PEM certificates to trust beside those of the system.
    pub extra_ca: Option<Vec<u8>>,
    /// Whether a header carries a credential.
    pub has_credential: bool,
    pub options: Options,
}

impl Launch {
    /// Whether it may be dialled at all: known before any thread is there to do it.
    pub(crate) fn check(&self) -> Result<()> {
        let endpoint = Endpoint::parse(&self.url)?;
        if self.has_credential || endpoint.is_loopback() {
            return Ok(());
        }
        let env = self.dialect.table().key_env.as_deref();
        let hint = env.map(|env| format!(": set {env}")).unwrap_or_default();
        let message = format!("no credential for {}{hint}", endpoint.host);
        Err(Error::new(Kind::Auth, message))
    }
}

/// What a handle holds of a session that was started.
#[derive(Debug)]
pub(crate) struct Launched {
    pub commands: mpsc::Sender<Message>,
    pub close: watch::Sender<Option<u64>>,
    pub readers: Arc<Readers>,
    pub ready: watch::Receiver<bool>,
}

/// Commands that a session takes before the caller is told to slow down.
const COMMANDS: usize = 1_024;

impl Runtime {
    pub(crate) fn launch(&self, launch: Launch) -> Result<Launched> {
        check_not_forked()?;
        let Launch {
            dialect,
            url,
            headers,
            extra_ca,
            options,
            ..
        } = launch;
        let spec = ws::Spec {
            url,
            headers,
            network: network(&options, extra_ca.as_deref())?,
            handshake: Duration::from_millis(options.handshake_timeout_ms),
        };
        let seed = match options.seed {
            Some(seed) => seed,
            None => random()?,
        };
        let readers = Arc::new(Readers::new(Bounds {
            topics: options.topics,
            soft_bytes: options.mailbox_bytes,
            hard_events: options.mailbox_events,
        }));
        let (uplink_max_ms, close_ms) = (options.uplink_max_ms, options.close_timeout_ms);
        let engine = Engine::new(dialect.clone(), options, seed)?;
        let (is_ready, ready) = watch::channel(false);
        let (commands, messages) = mpsc::channel(COMMANDS);
        let (close, wish) = watch::channel(None);
        let driver = Driver::new(
            engine,
            dialect,
            spec,
            readers.clone(),
            uplink_max_ms,
            is_ready,
        );
        self.spawn(driver.run(messages, wish, self.closing(), close_ms))?;
        Ok(Launched {
            commands,
            close,
            readers,
            ready,
        })
    }
}

fn network(options: &Options, extra_ca: Option<&[u8]>) -> Result<Network> {
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
    })
}

fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    let filled = tls::provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| Error::new(Kind::Io, "the system has no random numbers"))?;
    Ok(u64::from_le_bytes(bytes))
}
