//! The socket of a session as a source of inputs: dialling, open or gone. Only bytes move here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Sink, Stream};
use tokio_tungstenite::tungstenite::Message as WsMessage;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::lanes::Lanes;
use crate::dialect::Dialect;
use crate::engine::io::{Down, Frame};
use crate::error::{Error, Kind, Result};
use crate::net::ws::{WebSocket, socket_error};

type Dialing = Pin<Box<dyn Future<Output = Result<WebSocket>> + Send>>;

/// The socket.
pub(super) enum Socket {
    Gone,
    Dialing(Dialing),
    Open(Box<Open>),
}

pub(super) struct Open {
    ws: WebSocket,
    /// Something was written and may still be on its way to the kernel.
    dirty: bool,
    /// Writing failed; what can still be read is read.
    broken: Option<Error>,
    hangup: Hangup,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hangup {
    No,
    WhenSent,
    Said,
}

/// What the socket did.
pub(super) enum Happened {
    Up,
    Text(Arc<str>),
    Binary(usize),
    Pong,
    Down(Down),
}

impl Socket {
    pub(super) fn dial(dialing: impl Future<Output = Result<WebSocket>> + Send + 'static) -> Self {
        Self::Dialing(Box::pin(dialing))
    }

    /// Says goodbye once everything queued is sent.
    pub(super) fn hang_up(&mut self) {
        if let Self::Open(open) = self {
            open.hangup = Hangup::WhenSent;
        }
    }

    /// Writes what can be written, then waits for the next thing. Losing the future loses nothing.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        lanes: &mut Lanes,
        dialect: &Dialect,
    ) -> Poll<Happened> {
        match self {
            Self::Gone => Poll::Pending,
            Self::Dialing(dialing) => match dialing.as_mut().poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(ws)) => {
                    *self = Self::Open(Box::new(Open {
                        ws,
                        dirty: false,
                        broken: None,
                        hangup: Hangup::No,
                    }));
                    Poll::Ready(Happened::Up)
                }
                Poll::Ready(Err(error)) => {
                    *self = Self::Gone;
                    Poll::Ready(Happened::Down(Down::Failed(error)))
                }
            },
            Self::Open(open) => match open.poll(cx, lanes, dialect) {
                Poll::Ready(Happened::Down(down)) => {
                    self.part();
                    Poll::Ready(Happened::Down(down))
                }
                other => other,
            },
        }
    }

    /// Lets go of the socket; a closing handshake under way is finished in the background.
    fn part(&mut self) {
        if let Self::Open(open) = std::mem::replace(self, Self::Gone) {
            let mut ws = open.ws;
            tokio::spawn(async move {
                let goodbye = async {
                    while let Some(Ok(_)) = futures_util::StreamExt::next(&mut ws).await {}
                };
                let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
            });
        }
    }
}

impl Open {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        lanes: &mut Lanes,
        dialect: &Dialect,
    ) -> Poll<Happened> {
        if self.broken.is_none() {
            self.broken = self.write(cx, lanes, dialect).err();
        }
        // The reason may still be in the read buffer: a close frame says more than a reset.
        match (self.read(cx), self.broken.take()) {
            (Poll::Pending, Some(error)) => Poll::Ready(Happened::Down(Down::Failed(error))),
            (read, broken) => {
                self.broken = broken;
                read
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, lanes: &mut Lanes, dialect: &Dialect) -> Result<()> {
        while !lanes.is_empty() || self.hangup == Hangup::WhenSent {
            match Pin::new(&mut self.ws).poll_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(ready) => ready.map_err(socket_error)?,
            }
            let message = match lanes.pop() {
                Some(frame) => encode(frame, dialect),
                None => {
                    self.hangup = Hangup::Said;
                    goodbye()
                }
            };
            Pin::new(&mut self.ws)
                .start_send(message)
                .map_err(socket_error)?;
            self.dirty = true;
        }
        if self.dirty
            && let Poll::Ready(flushed) = Pin::new(&mut self.ws).poll_flush(cx)
        {
            flushed.map_err(socket_error)?;
            self.dirty = false;
        }
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Happened> {
        loop {
            let next = match Pin::new(&mut self.ws).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(next) => next,
            };
            return Poll::Ready(match next {
                Some(Ok(WsMessage::Text(text))) => Happened::Text(text.as_str().into()),
                Some(Ok(WsMessage::Binary(bytes))) => Happened::Binary(bytes.len()),
                Some(Ok(WsMessage::Close(frame))) => Happened::Down(closed(frame)),
                Some(Ok(WsMessage::Pong(_))) => Happened::Pong,
                Some(Ok(WsMessage::Ping(_) | WsMessage::Frame(_))) => continue,
                Some(Err(error)) => Happened::Down(Down::Failed(socket_error(error))),
                None => {
                    let message = "the connection ended without a closing handshake";
                    Happened::Down(Down::Failed(Error::new(Kind::Lost, message)))
                }
            });
        }
    }
}

fn encode(frame: Frame, dialect: &Dialect) -> WsMessage {
    match frame {
        Frame::Text(text) => WsMessage::text(text),
        Frame::Ping => WsMessage::Ping(Default::default()),
        Frame::Audio(pcm, _) => {
            let mut text = String::new();
            dialect.encode_append(&pcm, &mut text);
            WsMessage::text(text)
        }
    }
}

fn goodbye() -> WsMessage {
    WsMessage::Close(Some(CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    }))
}

fn closed(frame: Option<CloseFrame>) -> Down {
    match frame {
        Some(frame) => Down::Closed {
            code: frame.code.into(),
            reason: frame.reason.to_string(),
        },
        None => Down::Closed {
            code: 1005,
            reason: String::new(),
        },
    }
}
