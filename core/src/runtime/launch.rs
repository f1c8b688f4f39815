//! Putting a session together: engine, mailbox, socket and task.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::account::Account;
use super::driver::{Driver, Message};
use super::flight::Flight;
use super::lines::Lines;
use super::mailbox::Bounds;
use super::readers::Readers;
use super::target::Target;
use super::{Runtime, check_not_forked};
use crate::engine::Engine;
use crate::engine::io::Fallback;
use crate::error::{Error, Kind, Result};
use crate::net::tls;
use crate::options::Options;

/// Everything a session is made of.
pub(crate) struct Launch {
    /// Its endpoint, and those to fall back to.
    pub targets: Vec<Target>,
    /// What is different at the latter, in the same order.
    pub fallbacks: Vec<Fallback>,
    pub options: Options,
}

impl Launch {
    /// Whether it may be dialled at all: known before any thread is there to do it.
    pub(crate) fn check(&self) -> Result<()> {
        self.targets.iter().try_for_each(Target::check)
    }
}

/// What a handle holds of a session that was started.
#[derive(Debug)]
pub(crate) struct Launched {
    pub commands: mpsc::Sender<Message>,
    pub close: watch::Sender<Option<u64>>,
    pub readers: Arc<Readers>,
    pub ready: watch::Receiver<bool>,
    pub flight: Arc<Flight>,
    pub account: Arc<Account>,
}

/// Commands that a session takes before the caller is told to slow down.
const COMMANDS: usize = 1_024;

impl Runtime {
    pub(crate) fn launch(&self, launch: Launch) -> Result<Launched> {
        check_not_forked()?;
        let Launch {
            targets,
            fallbacks,
            options,
        } = launch;
        let dialect = targets[0].dialect.clone();
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
        let flight = Arc::new(Flight::new(self.number(), options.flight_lines));
        let flight_dir = options.flight_dir.clone();
        let engine = Engine::new(dialect, options, seed)?.with_fallbacks(fallbacks)?;
        let (is_ready, ready) = watch::channel(false);
        let (commands, messages) = mpsc::channel(COMMANDS);
        let (close, wish) = watch::channel(None);
        let lines = Lines::new(targets, self.breakers(), self.crew(), uplink_max_ms);
        let driver = Driver::new(engine, lines, readers.clone(), is_ready).with_flight(
            flight.clone(),
            flight_dir,
            self.crew(),
        );
        let account = driver.account();
        self.spawn(driver.run(messages, wish, self.closing(), close_ms))?;
        Ok(Launched {
            commands,
            close,
            readers,
            ready,
            flight,
            account,
        })
    }
}

fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    let filled = tls::provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| Error::new(Kind::Io, "the system has no random numbers"))?;
    Ok(u64::from_le_bytes(bytes))
}
