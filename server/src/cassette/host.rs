//! A small server in a thread of its own.

use std::net::TcpListener as StdListener;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use talkwire_core::error::{Error, Kind, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::driver::stopped;
use crate::local;

/// Connections at once.
const MAX_CONNECTIONS: usize = 256;
/// Time that connections have to say goodbye.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Told to people as it happens: one line each.
pub(crate) type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// A listening socket with a task for each connection. Dropping it stops it.
pub(super) struct Host {
    address: std::net::SocketAddr,
    stop: watch::Sender<bool>,
    stopped: mpsc::Receiver<()>,
    runtime: Option<Runtime>,
}

impl Host {
    /// Listens, and gives each connection to `serve`, with what tells that it is to stop.
    pub(super) fn start<F, S>(listen: &str, allow_remote: bool, serve: F) -> Result<Self>
    where
        F: Fn(TcpStream, watch::Receiver<bool>) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = local::listen(listen, allow_remote)?;
        let address = listener
            .local_addr()
            .map_err(|e| Error::new(Kind::Io, format!("the listening socket: {e}")))?;
        let runtime = local::runtime()?;
        let (stop, stopping) = watch::channel(false);
        let (report, stopped) = mpsc::channel();
        runtime.spawn(async move {
            accept(listener, stopping, serve).await;
            // Nobody waits for it when it was given up.
            let _ = report.send(());
        });
        Ok(Self {
            address,
            stop,
            stopped,
            runtime: Some(runtime),
        })
    }

    pub(super) fn address(&self) -> std::net::SocketAddr {
        self.address
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        // An error means that nothing listens any more.
        let _ = self.stop.send(true);
        let _ = self.stopped.recv_timeout(STOP_LIMIT);
        runtime.shutdown_background();
    }
}

async fn accept<F, S>(listener: StdListener, stopping: watch::Receiver<bool>, serve: F)
where
    F: Fn(TcpStream, watch::Receiver<bool>) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::from_std(listener).expect("made in a runtime, non-blocking");
    let mut stop = stopping.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    // Small frames matter more than full packets.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve(stream, stopping.clone()));
                }
                // Out of file descriptors, mostly: wait for some to be freed.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
            () = stopped(&mut stop) => break,
        }
    }
    while connections.join_next().await.is_some() {}
}
