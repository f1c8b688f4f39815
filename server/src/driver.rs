//! Carries peers: accepts connections, upgrades them, moves frames, time and jobs.

use std::collections::HashMap;
use std::net::TcpListener as StdListener;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::doorway::{self, Doorway};
use crate::emulate::Emulated;
use crate::faults::{Door, DoorTurn, Fault, Faults};
use crate::journal::Journal;
use crate::plan::Plan;
use crate::session::{self, Link, Order};
use crate::time::ServerTime;
use crate::upgrade::{Knock, Refusal, Visit};

/// Time a client has for TLS and the upgrade request.
pub(crate) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Largest message of a client.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// Connections at once, upgraded or not: a bound on what strangers can hold.
const MAX_CONNECTIONS: usize = 1024;
/// Orders that wait for a session.
const MAX_ORDERS: usize = 64;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    plan: Plan,
    acceptor: Option<Acceptor>,
    pub(crate) stopping: watch::Receiver<bool>,
    sessions: AtomicUsize,
    numbers: AtomicU64,
    pub(crate) time: ServerTime,
    pub(crate) journal: Journal,
    connect_faults: Mutex<Faults>,
    /// Faults for all sessions to come, beside those of the script.
    planted: Mutex<Vec<Fault>>,
    lines: Mutex<HashMap<u64, mpsc::Sender<Order>>>,
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
        time: ServerTime,
        journal: Journal,
    ) -> Self {
        let faults = Faults::new(plan.faults(), plan.seed(), Instant::now());
        Self {
            plan,
            acceptor: acceptor.map(Acceptor),
            stopping,
            sessions: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            time,
            journal,
            connect_faults: Mutex::new(faults),
            planted: Mutex::default(),
            lines: Mutex::default(),
        }
    }

    /// The plan that peers are made of.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Sessions that run.
    pub(crate) fn sessions(&self) -> usize {
        locked(&self.lines).len()
    }

    /// Plants a fault for all connections and sessions to come; `false` if there are `most`.
    pub(crate) fn plant(&self, fault: Fault, most: usize) -> bool {
        let mut planted = locked(&self.planted);
        if planted.len() >= most {
            return false;
        }
        if fault.when.connect {
            locked(&self.connect_faults).add(fault.clone());
        }
        planted.push(fault);
        true
    }

    /// Gives an order to a session. `None` if it does not run, `Some(false)` if too many wait.
    pub(crate) fn order(&self, session: u64, order: Order) -> Option<bool> {
        let line = locked(&self.lines).get(&session)?.clone();
        match line.try_send(order) {
            Ok(()) => Some(true),
            Err(mpsc::error::TrySendError::Full(_)) => Some(false),
            Err(mpsc::error::TrySendError::Closed(_)) => None,
        }
    }

    fn door(&self) -> Door {
        locked(&self.connect_faults).door(Instant::now())
    }

    /// Opens a session: its number, and what it has beside its socket and its peer.
    fn open(self: &Arc<Self>, knock: &Knock, visit: &Visit) -> (Line, Link) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (line, orders) = mpsc::channel(MAX_ORDERS);
        locked(&self.lines).insert(number, line);
        let link = Link {
            stopping: self.stopping.clone(),
            time: self.time.clone(),
            pen: self.journal.open(number, visit, knock),
            orders,
        };
        let shared = self.clone();
        (Line { number, shared }, link)
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

/// The way orders take to a session; dropping it takes them off.
struct Line {
    number: u64,
    shared: Arc<Shared>,
}

impl Drop for Line {
    fn drop(&mut self) {
        locked(&self.shared.lines).remove(&self.number);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
                    let door = shared.door();
                    connections.spawn(connection(stream, door, shared.clone()));
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

async fn connection(stream: TcpStream, door: Door, shared: Arc<Shared>) {
    // Small frames matter more than full packets; failing to say so is no reason to refuse.
    let _ = stream.set_nodelay(true);
    let mut stopping = shared.stopping.clone();
    tokio::select! {
        () = tokio::time::sleep(door.wait) => {}
        () = stopped(&mut stopping) => return,
    }
    let refusal = match door.turn {
        // The stream stays open until then.
        DoorTurn::Wait => return stopped(&mut stopping).await,
        DoorTurn::Away => return,
        DoorTurn::Status(status) => {
            Some(Refusal::new(status, "fault", "A fault that was asked for."))
        }
        DoorTurn::In => None,
    };
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
    let Some((knock, visit, _seat)) = admitted else {
        return;
    };
    let (line, link) = shared.open(&knock, &visit);
    let clock = shared.time.clock();
    let mut peer = shared.plan.peer(clock.at, clock, visit, line.number);
    for fault in locked(&shared.planted).iter() {
        peer.plant(fault.clone());
    }
    session::run(ws, peer, link).await;
}

async fn shake_hands<S>(
    stream: S,
    shared: &Arc<Shared>,
    refusal: Option<Refusal>,
    admitted: &mut Option<(Knock, Visit, Seat)>,
) -> Option<WebSocketStream<Doorway<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let rules = shared.plan.rules();
    let stream = doorway::open(stream, |request| {
        let knock = request.map(Knock::of);
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
        let knock = Knock::of(request);
        let verdict = refusal.map_or_else(|| shared.admit(&knock), Err);
        match verdict {
            Ok((visit, seat)) => {
                let response = accept(response, visit.subprotocol.as_deref());
                *admitted = Some((knock, visit, seat));
                Ok(response)
            }
            Err(refusal) => {
                shared.journal.refused(&knock, &refusal);
                Err(refuse(&refusal))
            }
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
