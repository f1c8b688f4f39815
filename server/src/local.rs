//! The local server as an object: started, asked for its URL, stopped.

use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::SigSet;
use talkwire_core::error::{Error, Kind, Result};
use talkwire_core::runtime::prepare;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::config::Config;
use crate::control::{self, Control};
use crate::driver::{self, Shared};
use crate::journal::{Journal, Keeps};
use crate::plan::Plan;
use crate::redact::Redactor;
use crate::time::ServerTime;
use crate::tls;
use crate::upgrade::PATH;

/// Time that sessions have to say goodbye.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// A local server in threads of its own. Dropping it stops it.
///
/// ```
/// use talkwire_server::{Config, LocalServer};
///
/// let server = LocalServer::start(Config::new()).unwrap();
/// assert!(server.url().starts_with("ws://127.0.0.1:"));
/// server.stop();
/// ```
///
/// With a page to look into it, and its journal:
///
/// ```
/// use talkwire_server::{Config, LocalServer};
/// let server = LocalServer::start(Config::new().profile("openai").control(0)).unwrap();
/// println!("{} {}", server.url(), server.control_url().unwrap_or_default());
/// println!("{:?}", server.journal().sessions());
/// server.stop();
/// ```
#[derive(Debug)]
pub struct LocalServer {
    url: String,
    address: SocketAddr,
    control_url: Option<String>,
    journal: Journal,
    stop: watch::Sender<bool>,
    stopped: mpsc::Receiver<()>,
    runtime: Option<Runtime>,
}

impl LocalServer {
    /// Starts a server and returns when it listens. Blocks for the time of reading its files.
    ///
    /// Errors: a script, certificate or name that is wrong, an address that cannot be listened on
    /// or that other machines can reach although nobody allowed it.
    pub fn start(config: Config) -> Result<Self> {
        let plan = Plan::new(&config)?.with_ids(RandomState::new().hash_one(std::process::id()));
        let acceptor = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let scheme = if acceptor.is_some() { "wss" } else { "ws" };
        let listener = listen(&config.listen, config.allow_remote)?;
        let address = listener
            .local_addr()
            .map_err(|e| Error::new(Kind::Io, format!("the listening socket: {e}")))?;
        let time = ServerTime::new();
        let journal = Journal::new(
            keeps(&config),
            plan.dialect().clone(),
            Redactor::new(config.api_key.clone()),
            time.clone(),
            config.observer.clone(),
        )?;
        let control = config.control.map(control::listen).transpose()?;
        // The last step that can fail: a runtime cannot be thrown away inside another one.
        let runtime = runtime()?;
        let (stop, stopping) = watch::channel(false);
        let (report, stopped) = mpsc::channel();
        let shared = Shared::new(plan, acceptor, stopping, time, journal.clone());
        let shared = Arc::new(shared);
        let url = format!("{scheme}://{address}{PATH}");
        let mut control_url = None;
        if let Some((listener, port)) = control {
            control_url = Some(format!("http://127.0.0.1:{port}/"));
            let control = Control::new(shared.clone(), url.clone(), port);
            runtime.spawn(control::serve(listener, Arc::new(control)));
        }
        runtime.spawn(async move {
            driver::serve(listener, shared).await;
            // Nobody waits for it when the server is killed.
            let _ = report.send(());
        });
        Ok(Self {
            url,
            address,
            control_url,
            journal,
            stop,
            stopped,
            runtime: Some(runtime),
        })
    }

    /// The complete URL, e.g. `ws://127.0.0.1:40123/v1/realtime`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL for looking into it, e.g. `http://127.0.0.1:40124/`: a page for people, and the
    /// endpoints of `server/CONTROL.md`. `None` unless the configuration asks for it.
    pub fn control_url(&self) -> Option<&str> {
        self.control_url.as_deref()
    }

    /// What its sessions did and do: always that they began, how they ended and which faults acted;
    /// what was sent if [`Config::journal_in_memory`], a journal's directory or a port for control
    /// is asked for.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Stops it: sessions are closed with code 1001. Blocks for at most two seconds.
    pub fn stop(mut self) {
        self.end(STOP_LIMIT);
    }

    /// Ends it as a crash would: connections vanish without a closing handshake.
    pub fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    fn end(&mut self, limit: Duration) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        // An error means that nothing listens any more.
        let _ = self.stop.send(true);
        let _ = self.stopped.recv_timeout(limit);
        if tokio::runtime::Handle::try_current().is_ok() {
            // Waiting for the threads would panic inside another runtime.
            runtime.shutdown_background();
        } else {
            runtime.shutdown_timeout(limit);
        }
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        self.end(STOP_LIMIT);
    }
}

fn keeps(config: &Config) -> Keeps {
    match &config.journal {
        Some(dir) => Keeps::Files(dir.clone()),
        None if config.journal_in_memory || config.control.is_some() => Keeps::Frames,
        None => Keeps::Notes,
    }
}

/// The threads of a server.
pub(crate) fn runtime() -> Result<Runtime> {
    prepare(1)?;
    let number = Arc::new(AtomicUsize::new(0));
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name_fn(move || format!("tw-srv-{}", number.fetch_add(1, Ordering::Relaxed)))
        .on_thread_start(quiet_signals)
        .enable_all()
        .build()
        .map_err(|e| Error::new(Kind::Io, format!("cannot start the server's threads: {e}")))
}

/// Signals are the host's, and it must not die of a client that hangs up.
fn quiet_signals() {
    SigSet::all()
        .thread_block()
        .expect("blocking valid signals cannot fail");
}

/// Takes an address and a port.
pub(crate) fn listen(address: &str, allow_remote: bool) -> Result<TcpListener> {
    let wrong = |why: String| {
        let message = format!("cannot listen on `{address}`: {why}");
        Error::new(Kind::Argument, message)
    };
    let addresses: Vec<SocketAddr> = address
        .to_socket_addrs()
        .map_err(|e| wrong(format!("expected ADDRESS:PORT ({e})")))?
        .collect();
    let is_remote = |address: &SocketAddr| !address.ip().is_loopback();
    if !allow_remote && addresses.iter().any(is_remote) {
        let why = "other machines could reach it, which has to be allowed explicitly";
        return Err(wrong(why.to_owned()));
    }
    let failed = |e| {
        let message = format!("cannot listen on `{address}`: {e}");
        Error::new(Kind::Io, message)
    };
    let listener = TcpListener::bind(&addresses[..]).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}
