//! A server that does what a script says, over a real WebSocket.

use std::net::TcpListener as StdListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::flow::ServerAct;

/// A scripted server. What it does goes to the newest connection that it has greeted.
pub struct Hostile {
    /// Where it listens.
    pub url: String,
    /// What the client sent, as it comes.
    pub sent: Receiver<Value>,
    acts: UnboundedSender<ServerAct>,
    _runtime: tokio::runtime::Runtime,
}

impl Hostile {
    /// Listens on a free port.
    pub fn start() -> Self {
        let listener = StdListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("bound");
        let (acts, todo) = unbounded_channel();
        let (report, sent) = channel();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (arrive, arrivals) = unbounded_channel();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("non-blocking");
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(ws) = accept_async(stream).await {
                    let (line, todo) = unbounded_channel();
                    tokio::spawn(play(ws, todo, report.clone()));
                    let _ = arrive.send(line);
                }
            }
        });
        runtime.spawn(direct(todo, arrivals));
        Self {
            url: format!("ws://{address}/v1/realtime"),
            acts,
            sent,
            _runtime: runtime,
        }
    }

    /// Does something, after everything asked before.
    pub fn act(&self, act: ServerAct) {
        // An error means that the connection is over; the flow sees that by itself.
        let _ = self.acts.send(act);
    }
}

/// How long a second greeting waits for a second connection.
const ARRIVES: Duration = Duration::from_secs(1);

/// Hands each act to the connection it is meant for: a second greeting belongs to a second one.
async fn direct(
    mut todo: UnboundedReceiver<ServerAct>,
    mut arrivals: UnboundedReceiver<UnboundedSender<ServerAct>>,
) {
    let mut lines: Vec<_> = arrivals.recv().await.into_iter().collect();
    let mut is_greeted = false;
    while let Some(act) = todo.recv().await {
        if is_greeting(&act) {
            if is_greeted && let Ok(next) = timeout(ARRIVES, arrivals.recv()).await {
                lines.extend(next);
            }
            is_greeted = true;
        }
        if let Some(line) = lines.last() {
            // An error means that the connection is over; the flow sees that by itself.
            let _ = line.send(act);
        }
    }
}

fn is_greeting(act: &ServerAct) -> bool {
    let ServerAct::Text(text) = act else {
        return false;
    };
    let event: Value = serde_json::from_str(text).unwrap_or_default();
    event["type"] == "session.created"
}

async fn play(
    mut ws: WebSocketStream<TcpStream>,
    mut todo: UnboundedReceiver<ServerAct>,
    report: Sender<Value>,
) {
    loop {
        tokio::select! {
            act = todo.recv() => match act {
                Some(ServerAct::Text(text)) => drop(ws.send(Message::text(text)).await),
                Some(ServerAct::Binary(bytes)) => drop(ws.send(Message::binary(bytes)).await),
                Some(ServerAct::Close(code, reason)) => {
                    let frame = CloseFrame { code: code.into(), reason: reason.into() };
                    let _ = ws.close(Some(frame)).await;
                }
                Some(ServerAct::Drop) => {
                    let _ = ws.get_ref().set_zero_linger();
                    return;
                }
                Some(ServerAct::NoPong) => {}
                None => return,
            },
            message = ws.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let value = serde_json::from_str(&text).unwrap_or_default();
                    let _ = report.send(value);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}
