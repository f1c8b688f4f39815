//! Carries peers: accepts connections, upgrades them, moves frames, time and jobs.

use std::net::TcpListener as StdListener;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::doorway::{self, Doorway};
use crate::emulate::Emulated;
use crate::faults::{Action, Faults, Moment};
use crate::io::Clock;
use crate::plan::Plan;
use crate::session;
use crate::upgrade::{Knock, Refusal, Visit};

/// Time a client has for TLS and the upgrade request.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Largest message of a client.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// Connections at once, upgraded or not: a bound on what strangers can hold.
const MAX_CONNECTIONS: usize = 1024;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    plan: Plan,
    acceptor: Option<Acceptor>,
    pub(crate) stopping: watch::Receiver<bool>,
    sessions: AtomicUsize,
    numbers: AtomicU64,
    connect_faults: Mutex<Faults>,
}

/// Hides the acceptor, which cannot be shown.
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Shared {
    pub(crate) fn new(
        plan: Plan,
        acceptor: Option<TlsAcceptor>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let faults = Faults::new(plan.faults());
        Self {
            plan,
            acceptor: acceptor.map(Acceptor),
            stopping,
            sessions: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            connect_faults: Mutex::new(faults),
        }
    }

    fn connect_fault(&self) -> Option<Action> {
        let mut faults = self
            .connect_faults
            .lock()
            .expect("nothing panics while it is held");
        faults.due(Moment::Connect)
    }

    /// Judges a request and takes a place for it; both at once, so that two requests cannot take
    /// the last place.
    fn admit(self: &Arc<Self>, knock: &Knock) -> Result<(Visit, Seat), Refusal> {
        let taken = self.sessions.fetch_add(1, Ordering::SeqCst);
        let seat = Seat(self.clone());
        let visit = self.plan.rules().judge(knock, taken)?;
        Ok((visit, seat))
    }
}

/// The place of one session; dropping it frees the place.
struct Seat(Arc<Shared>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits until the server stops.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could stop it: it has stopped.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Accepts until the server stops, then waits for the sessions.
pub(crate) async fn serve(listener: StdListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("made in a runtime, non-blocking");
    let mut stopping = shared.stopping.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    // Here, not in the task: faults count connections in their order.
                    let fault = shared.connect_fault();
                    connections.spawn(connection(stream, fault, shared.clone()));
                }
                // Out of file descriptors, mostly: wait for some to be freed.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
            () = stopped(&mut stopping) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, fault: Option<Action>, shared: Arc<Shared>) {
    // Small frames matter more than full packets; failing to say so is no reason to refuse.
    let _ = stream.set_nodelay(true);
    let refusal = match fault {
        Some(Action::Hang) => {
            let mut stopping = shared.stopping.clone();
            // The stream stays open until then.
            stopped(&mut stopping).await;
            return;
        }
        Some(Action::Http(status)) => Some(Refusal::new(status, "fault", "The script says so.")),
        Some(_) => return,
        None => None,
    };
    let mut stopping = shared.stopping.clone();
    let Some(acceptor) = shared.acceptor.as_ref().map(|a| a.0.clone()) else {
        return upgrade(stream, shared, refusal).await;
    };
    let handshake = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream));
    tokio::select! {
        done = handshake => if let Ok(Ok(stream)) = done {
            upgrade(stream, shared, refusal).await;
        },
        () = stopped(&mut stopping) => {}
    }
}

async fn upgrade<S>(stream: S, shared: Arc<Shared>, refusal: Option<Refusal>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut admitted = None;
    let mut stopping = shared.stopping.clone();
    let shake = tokio::time::timeout(
        HANDSHAKE_LIMIT,
        shake_hands(stream, &shared, refusal, &mut admitted),
    );
    let ws = tokio::select! {
        done = shake => match done {
            Ok(Some(ws)) => ws,
            Ok(None) | Err(_) => return,
        },
        () = stopped(&mut stopping) => return,
    };
    let Some((visit, _seat)) = admitted else {
        return;
    };
    let now = Instant::now();
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = Clock {
        at: now,
        unix_s: unix.map_or(0, |since| since.as_secs()),
    };
    let number = shared.numbers.fetch_add(1, Ordering::Relaxed);
    let peer = shared.plan.peer(now, clock, visit, number);
    session::run(ws, peer, stopping).await;
}

async fn shake_hands<S>(
    stream: S,
    shared: &Arc<Shared>,
    refusal: Option<Refusal>,
    admitted: &mut Option<(Visit, Seat)>,
) -> Option<WebSocketStream<Doorway<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let rules = shared.plan.rules();
    let stream = doorway::open(stream, |request| {
        let knock = request.map(knock);
        rules.turn_away(knock.as_ref())
    })
    .await?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
        // Each event leaves at once.
        .write_buffer_size(0);
    #[expect(
        clippy::result_large_err,
        reason = "the library's callback wants it so"
    )]
    let judge = |request: &Request, response: Response| {
        let verdict = refusal.map_or_else(|| shared.admit(&knock(request)), Err);
        match verdict {
            Ok((visit, seat)) => {
                let response = accept(response, visit.subprotocol.as_deref());
                *admitted = Some((visit, seat));
                Ok(response)
            }
            Err(refusal) => Err(refuse(&refusal)),
        }
    };
    let mut ws = tokio_tungstenite::accept_hdr_async_with_config(stream, judge, Some(config))
        .await
        .ok()?;
    if shared.plan.emulates(Emulated::LatePong) {
        ws.get_mut().mute_pongs();
    }
    Some(ws)
}

fn knock(request: &Request) -> Knock {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = request.headers().iter();
    Knock {
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
    }
}

fn accept(mut response: Response, subprotocol: Option<&str>) -> Response {
    let value = subprotocol.and_then(|name| HeaderValue::from_str(name).ok());
    if let Some(value) = value {
        response
            .headers_mut()
            .insert("sec-websocket-protocol", value);
    }
    response
}

fn refuse(refusal: &Refusal) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(refusal.body.clone()));
    let status = StatusCode::from_u16(refusal.status);
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("content-length", HeaderValue::from(refusal.body.len()));
    headers.insert("connection", HeaderValue::from_static("close"));
    response
}
