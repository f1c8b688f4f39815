//! The first request of a connection: an upgrade goes on to the WebSocket library, anything else
//! gets an answer in HTTP. Also the stream under a session, which can keep back its pongs.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::Request;

use crate::upgrade::Refusal;

/// Longest head of a request.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Bits of a frame's first byte that say what it is, and their value for a pong.
const OPCODE: u8 = 0x0f;
const PONG: u8 = 0x0a;

/// A stream whose first bytes were read already.
#[derive(Debug)]
pub(crate) struct Doorway<S> {
    inner: S,
    /// What was read and is to be read again.
    head: Vec<u8>,
    at: usize,
    mutes_pongs: bool,
    frame: Frame,
}

/// Where in an outgoing frame the next byte lies.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    left: u64,
    is_dropped: bool,
}

/// Reads the head of the first request. An upgrade comes back as a stream that still holds it; any
/// other request is answered by what `answer` makes of it (`None` for one that is no HTTP request
/// of ours), and the connection is over.
pub(crate) async fn open<S>(
    mut stream: S,
    answer: impl FnOnce(Option<&Request>) -> Refusal,
) -> Option<Doorway<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::with_capacity(1 << 10);
    let refusal = loop {
        match Request::try_parse(&head) {
            Ok(Some((_, request))) if is_upgrade(&request) => {
                return Some(Doorway {
                    inner: stream,
                    head,
                    at: 0,
                    mutes_pongs: false,
                    frame: Frame::default(),
                });
            }
            Ok(Some((_, request))) => break answer(Some(&request)),
            Ok(None) if head.len() < MAX_HEAD_BYTES => {}
            Ok(None) | Err(_) => break answer(None),
        }
        match stream.read_buf(&mut head).await {
            Ok(read @ 1..) if read <= MAX_HEAD_BYTES => {}
            _ => return None,
        }
    };
    // Nobody is left to tell when the client does not wait for its answer.
    let _ = respond(&mut stream, &refusal).await;
    None
}

fn is_upgrade(request: &Request) -> bool {
    let values = request.headers().get_all("upgrade").iter();
    let mut values = values.filter_map(|value| value.to_str().ok());
    values.any(|value| {
        value
            .split(',')
            .any(|v| v.trim().eq_ignore_ascii_case("websocket"))
    })
}

async fn respond<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    refusal: &Refusal,
) -> io::Result<()> {
    let Refusal { status, body } = refusal;
    let (reason, extra) = match status {
        404 => ("Not Found", ""),
        405 => ("Method Not Allowed", "allow: GET\r\n"),
        426 => ("Upgrade Required", "upgrade: websocket\r\n"),
        _ => ("Bad Request", ""),
    };
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n{extra}\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await?;
    // A body that was not read would make the close a reset, and the answer would be lost.
    let mut scrap = [0; 4 << 10];
    let mut left = 1 << 20;
    while left > 0 {
        match stream.read(&mut scrap).await? {
            0 => break,
            read => left -= read.min(left),
        }
    }
    Ok(())
}

impl<S> Doorway<S> {
    /// Sends no pongs from here on. Frames must be whole from here on.
    pub(crate) fn mute_pongs(&mut self) {
        self.mutes_pongs = true;
    }

    /// How much of `bytes`, which begin where the last ones ended, is of one fate, and whether
    /// that is to be dropped.
    fn next(&mut self, bytes: &[u8]) -> (usize, bool) {
        if self.frame.left == 0 {
            self.frame = Frame {
                left: frame_bytes(bytes),
                is_dropped: bytes[0] & OPCODE == PONG,
            };
        }
        let left = usize::try_from(self.frame.left).unwrap_or(usize::MAX);
        (left.min(bytes.len()), self.frame.is_dropped)
    }
}

/// Length of the frame that `bytes` begin with. A server's frames have no mask; the library hands
/// over whole frames, so that a header is never cut.
fn frame_bytes(bytes: &[u8]) -> u64 {
    let length = bytes.get(1).map_or(0, |b| b & 0x7f);
    let extended = |range: std::ops::Range<usize>| {
        let bytes = bytes.get(range).unwrap_or_default();
        bytes.iter().fold(0, |all, b| all << 8 | u64::from(*b))
    };
    match length {
        126 => 4 + extended(2..4),
        127 => 10 + extended(2..10),
        short => 2 + u64::from(short),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Doorway<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.at < this.head.len() {
            let rest = &this.head[this.at..];
            let taken = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..taken]);
            this.at += taken;
            return Poll::Ready(Ok(()));
        }
        // A session lives long; its first request need not.
        this.head = Vec::new();
        this.at = 0;
        Pin::new(&mut this.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Doorway<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.mutes_pongs || buf.is_empty() {
            return Pin::new(&mut this.inner).poll_write(cx, buf);
        }
        let (length, is_dropped) = this.next(buf);
        let written = if is_dropped {
            length
        } else {
            match Pin::new(&mut this.inner).poll_write(cx, &buf[..length]) {
                Poll::Ready(Ok(written)) => written,
                other => return other,
            }
        };
        this.frame.left -= written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pongs_are_cut_out_of_what_is_written() {
        let frame = |first: u8, payload: usize| {
            let mut bytes = vec![first];
            match payload {
                0..126 => bytes.push(payload as u8),
                126..65536 => {
                    bytes.push(126);
                    bytes.extend((payload as u16).to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend((payload as u64).to_be_bytes());
                }
            }
            bytes.extend(std::iter::repeat_n(first, payload));
            bytes
        };
        let mut door = Doorway {
            inner: Vec::new(),
            head: Vec::new(),
            at: 0,
            mutes_pongs: true,
            frame: Frame::default(),
        };
        let frames = [
            frame(0x81, 5),
            frame(0x8a, 4),
            frame(0x81, 70_000),
            frame(0x8a, 0),
            frame(0x82, 300),
        ];
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut all = frames.concat();
        while !all.is_empty() {
            match Pin::new(&mut door).poll_write(&mut cx, &all) {
                Poll::Ready(Ok(written)) => drop(all.drain(..written)),
                other => panic!("{other:?}"),
            }
        }
        let kept = [&frames[0][..], &frames[2], &frames[4]].concat();
        assert!(door.inner == kept, "{} bytes", door.inner.len());
    }
}
