//! A server that watches its clients.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use talkwire_core::dialect::Dialect;
use talkwire_core::error::Result;

use super::client::ClientWatch;
use super::report::Report;
use crate::config::Config;
use crate::journal::{From, Observe};
use crate::local::LocalServer;
use crate::plan::Plan;
use crate::upgrade::Knock;

/// Sessions of one report: more would be a load test.
const MAX_SESSIONS: usize = 1_000;

/// A [`LocalServer`] that watches its clients. Dropping it stops it.
#[derive(Debug)]
pub struct ClientCheck {
    server: LocalServer,
    watches: Arc<Watches>,
}

impl ClientCheck {
    /// Starts a server. Errors are those of [`LocalServer::start`].
    pub fn start(mut config: Config) -> Result<Self> {
        let watches = Arc::new(Watches {
            dialect: Plan::new(&config)?.dialect().clone(),
            sessions: Mutex::default(),
        });
        config.observer = Some(watches.clone());
        let server = LocalServer::start(config)?;
        Ok(Self { server, watches })
    }

    /// The URL for clients.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Sessions that have ended.
    pub fn ended(&self) -> usize {
        let sessions = self.watches.lock();
        sessions.values().filter(|session| session.is_over).count()
    }

    /// What all clients did so far.
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        let sessions = self.watches.lock();
        let name = self.watches.dialect.name();
        report.subject = format!("{} sessions with a server of {name}", sessions.len());
        let mut used: BTreeMap<&str, u64> = BTreeMap::new();
        let mut unused: Option<std::collections::BTreeSet<&str>> = None;
        for Session { watch, .. } in sessions.values() {
            report.breaches.extend(watch.breaches.iter().cloned());
            for (what, count) in &watch.used {
                *used.entry(what).or_default() += count;
            }
            let here = watch.unused();
            unused = Some(unused.map_or_else(|| here.clone(), |all| &all & &here));
        }
        for (what, count) in used {
            report.can(what, Some(true), format!("{count}"));
        }
        for name in unused.into_iter().flatten() {
            report.can(name, Some(false), "");
        }
        report
    }
}

#[derive(Debug)]
struct Watches {
    dialect: Arc<Dialect>,
    sessions: Mutex<BTreeMap<u64, Session>>,
}

#[derive(Debug)]
struct Session {
    watch: ClientWatch,
    is_over: bool,
}

impl Watches {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, session: u64, act: impl FnOnce(&mut Session)) {
        if let Some(session) = self.lock().get_mut(&session) {
            act(session);
        }
    }
}

impl Observe for Watches {
    fn opened(&self, session: u64, dialect: &Arc<Dialect>, knock: &Knock) {
        let watch = ClientWatch::new(dialect.clone(), knock);
        let is_over = false;
        let mut sessions = self.lock();
        if sessions.len() < MAX_SESSIONS {
            sessions.insert(session, Session { watch, is_over });
        }
    }

    fn frame(&self, session: u64, now: Instant, from: From, raw: &str) {
        self.with(session, |session| match from {
            From::Client => session.watch.client(now, raw),
            _ => session.watch.server(now, raw),
        });
    }

    fn binary(&self, session: u64) {
        self.with(session, |session| session.watch.binary());
    }

    fn ended(&self, session: u64, how: &str) {
        self.with(session, |session| {
            session.watch.ended(how);
            session.is_over = true;
        });
    }
}
