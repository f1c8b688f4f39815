//! A line between a client and a server on this machine that can be made worse, and broken.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::interval;

/// What becomes of the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// They pass.
    Clear,
    /// They pass at so many in 10 ms, each way.
    Slow(usize),
    /// The connection stays, and nothing passes either way.
    Stalled,
    /// The next frame of the server is cut before its end, and the connection is closed.
    CutDown,
    /// The next frame of the client is cut before its end, and the connection is closed.
    CutUp,
    /// The connection is reset.
    Reset,
}

/// The line of the connections that were made so far; later ones are clear.
#[derive(Clone, Copy)]
struct Rule {
    line: Line,
    below: usize,
}

impl Rule {
    fn of(self, number: usize) -> Line {
        if number < self.below {
            self.line
        } else {
            Line::Clear
        }
    }
}

const TICK: Duration = Duration::from_millis(10);

/// A frame is longer than this with its header, and what is kept back is its end.
const KEPT_BACK: usize = 3;

/// The proxy; it ends when it is dropped, and its connections with it.
pub(crate) struct Proxy {
    at: SocketAddr,
    rule: watch::Sender<Rule>,
    made: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl Proxy {
    pub(crate) fn to(port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port");
        let at = listener.local_addr().expect("bound");
        let (rule, rules) = watch::channel(Rule {
            line: Line::Clear,
            below: 0,
        });
        let made = Arc::new(AtomicUsize::new(0));
        runtime.spawn(serve(listener, port, rules, made.clone()));
        Self {
            at,
            rule,
            made,
            _runtime: runtime,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/v1/realtime", self.at)
    }

    /// How many connections were made.
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    /// What becomes of the connections that are there; later ones are clear.
    pub(crate) fn make(&self, line: Line) {
        let below = self.made();
        self.rule.send_replace(Rule { line, below });
    }

    /// The same for all connections that will be made, too.
    pub(crate) fn make_all(&self, line: Line) {
        let below = usize::MAX;
        self.rule.send_replace(Rule { line, below });
    }
}

async fn serve(
    listener: TcpListener,
    port: u16,
    rules: watch::Receiver<Rule>,
    made: Arc<AtomicUsize>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let number = made.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(connection(client, port, number, rules.clone()));
    }
}

async fn connection(
    mut client: TcpStream,
    port: u16,
    number: usize,
    mut rules: watch::Receiver<Rule>,
) {
    // A server that is not there is one that refuses: the client sees its connection go.
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    loop {
        let line = rules.borrow_and_update().of(number);
        let went_on = match line {
            Line::Reset => {
                let _ = client.set_zero_linger();
                return;
            }
            Line::Stalled => rules.changed().await.is_ok(),
            Line::Clear | Line::Slow(_) | Line::CutDown | Line::CutUp => tokio::select! {
                changed = rules.changed() => changed.is_ok(),
                went_on = carry(&mut client, &mut server, line) => went_on,
            },
        };
        if !went_on {
            return;
        }
    }
}

/// Carries bytes, until the connection is over; losing the future loses at most what a line that
/// has become another one would not have carried.
async fn carry(client: &mut TcpStream, server: &mut TcpStream, line: Line) -> bool {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let most = match line {
        Line::Slow(bytes) => bytes,
        _ => 16 << 10,
    };
    let up = pass(&mut from_client, &mut to_server, most, line == Line::CutUp);
    let down = pass(
        &mut from_server,
        &mut to_client,
        most,
        line == Line::CutDown,
    );
    // Whichever side is over, the other one is told by the end of its connection.
    tokio::select! {
        () = up => {}
        () = down => {}
    }
    false
}

/// Passes bytes on until there are no more, or until the end of a frame was kept back.
async fn pass(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    most: usize,
    cuts: bool,
) {
    let is_slow = most < 16 << 10;
    let mut ticks = interval(TICK);
    let mut bytes = vec![0; most];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let passed = if cuts {
            count.saturating_sub(KEPT_BACK).max(1)
        } else {
            count
        };
        if to.write_all(&bytes[..passed]).await.is_err() || cuts {
            return;
        }
        if is_slow {
            ticks.tick().await;
        }
    }
}
