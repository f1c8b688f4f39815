//! Looking into a running server and steering it, over HTTP on loopback only.
//!
//! | file | what it does |
//! |---|---|
//! | `guard` | which requests are let in: a web page of somebody else is not |
//! | `routes` | the endpoints |
//! | `report` | figures over all sessions |
//! | `inspector.html` | the page for people |

mod guard;
mod report;
mod routes;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use talkwire_core::error::{Error, Kind, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::driver::{Shared, stopped};

/// Connections at once; a browser opens six.
const MAX_CONNECTIONS: usize = 32;
/// Time a client has for the head of a request, and the longest that one connection lives: nobody
/// can hold a place for ever.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);

/// What the endpoints work on.
pub(crate) struct Control {
    shared: Arc<Shared>,
    /// URL of the server itself, for people.
    url: String,
    port: u16,
    started: Instant,
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>, url: String, port: u16) -> Self {
        Self {
            shared,
            url,
            port,
            started: Instant::now(),
        }
    }
}

/// Takes a port of 127.0.0.1; 0 takes a free one.
pub(crate) fn listen(port: u16) -> Result<(StdListener, u16)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let failed = |e: std::io::Error| {
        let message = format!("cannot listen on {address} for control: {e}");
        Error::new(Kind::Io, message)
    };
    let listener = StdListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((listener, port))
}

/// Serves until the server stops.
pub(crate) async fn serve(listener: StdListener, control: Arc<Control>) {
    let listener = TcpListener::from_std(listener).expect("made in a runtime, non-blocking");
    let mut stopping = control.shared.stopping.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, control.clone()));
                }
                // Out of file descriptors, mostly: wait for some to be freed.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
            () = stopped(&mut stopping) => return,
        }
    }
}

async fn connection(stream: TcpStream, control: Arc<Control>) {
    let service = service_fn(move |request| {
        let control = control.clone();
        async move { Ok::<_, Infallible>(routes::answer(&control, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    // A client that went away, or was too slow: there is nobody to tell.
    let _ = tokio::time::timeout(CONNECTION_LIMIT, serving).await;
}
