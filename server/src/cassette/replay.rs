//! A tape given again: a machine that knows no clock and no socket, and the server that drives it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use talkwire_core::error::Result;
use talkwire_core::wire::audio;
use talkwire_core::wire::envelope::Envelope;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use super::door::{self, Socket, Verdict};
use super::host::Host;
use super::record::close_frame;
use super::tape::{self, Beat, Line, Reel, Side};
use crate::driver::stopped;
use crate::upgrade::{Knock, PATH};

/// Events of a client that are remembered before the tape wants them.
const MAX_HEARD: usize = 10_000;
/// Time a client has to answer a close.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// What to replay.
pub struct ReplayConfig {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: String,
    /// Whether other machines may reach it.
    pub allow_remote: bool,
    /// Directory of a cassette, or one of its `.jsonl` files.
    pub cassette: PathBuf,
    /// Without the pauses of the tape. It still waits for what the client said on it.
    pub is_instant: bool,
    /// Gets a line whenever something happened that people want to know.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A server that gives recorded sessions again: the first to the first client, and so on; after
/// the last, the first again. Dropping it stops it.
pub struct Replay {
    host: Host,
    path: String,
}

struct Shared {
    reels: Vec<Reel>,
    is_instant: bool,
    next: AtomicUsize,
    tell: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Replay {
    /// Reads the cassette and starts to listen.
    pub fn start(config: ReplayConfig) -> Result<Self> {
        let reels = tape::read(&config.cassette)?;
        let path = reels.iter().find_map(path_of);
        let shared = Arc::new(Shared {
            reels,
            is_instant: config.is_instant,
            next: AtomicUsize::new(0),
            tell: config.tell,
        });
        let serve = move |tcp, stopping| serve(tcp, stopping, shared.clone());
        let host = Host::start(&config.listen, config.allow_remote, serve)?;
        let path = path.unwrap_or_else(|| PATH.to_owned());
        Ok(Self { host, path })
    }

    /// The URL for clients.
    pub fn url(&self) -> String {
        format!("ws://{}{}", self.host.address(), self.path)
    }
}

/// The path that was asked for.
fn path_of(reel: &Reel) -> Option<String> {
    match &reel.lines.first()?.beat {
        Beat::Opened { request, .. } | Beat::Refused { request, .. } => {
            Some(request["path"].as_str()?.to_owned())
        }
        _ => None,
    }
}

async fn serve(tcp: TcpStream, stopping: watch::Receiver<bool>, shared: Arc<Shared>) {
    let judge = |_: Knock| async {
        let number = shared.next.fetch_add(1, Ordering::Relaxed) % shared.reels.len();
        let reel = &shared.reels[number];
        match reel.lines.first().map(|line| &line.beat) {
            Some(Beat::Refused { status, body, .. }) => Verdict::Refuse(*status, body.clone()),
            Some(Beat::Opened { subprotocol, .. }) => Verdict::Accept(number, subprotocol.clone()),
            _ => Verdict::Accept(number, None),
        }
    };
    let Some((socket, number)) = door::open(tcp, judge).await else {
        return;
    };
    let player = Player::new(&shared.reels[number], shared.is_instant, Instant::now());
    run(socket, player, &shared, stopping).await;
}

async fn run(
    mut socket: Socket,
    mut player: Player,
    shared: &Shared,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        while let Some(act) = player.next(Instant::now()) {
            let sent = match act {
                Act::Send(frame) => socket.send(Message::text(frame)).await,
                Act::SendBinary(bytes) => socket.send(Message::binary(bytes)).await,
                Act::Close(code, reason) => {
                    let frame = close_frame(code, &reason);
                    // It may be gone already.
                    let _ = socket.send(Message::Close(frame)).await;
                    let answered = async { while let Some(Ok(_)) = socket.next().await {} };
                    let _ = tokio::time::timeout(CLOSE_LIMIT, answered).await;
                    return;
                }
                Act::Drop => return,
                Act::Tell(line) => {
                    (shared.tell)(&line);
                    continue;
                }
            };
            if sent.is_err() {
                return;
            }
        }
        let due = player.deadline();
        let at = due.unwrap_or_else(Instant::now).into();
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => player.hear(text.as_str()),
                Some(Ok(Message::Binary(_))) => player.hear(""),
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    if let Some(line) = player.rest() {
                        (shared.tell)(&line);
                    }
                    return;
                }
                Some(Ok(_)) => {}
            },
            () = tokio::time::sleep_until(at), if due.is_some() => {}
            () = stopped(&mut stopping) => {
                let frame = close_frame(Some(1001), "the replay was stopped");
                // It may be gone already.
                let _ = socket.send(Message::Close(frame)).await;
                return;
            }
        }
    }
}

/// What the player wants done.
#[derive(Debug, PartialEq, Eq)]
enum Act {
    Send(String),
    SendBinary(Vec<u8>),
    Close(Option<u16>, String),
    Drop,
    Tell(String),
}

/// Gives a tape again. What the client said on tape has to be said again before what followed it
/// is given: events by their types, in their order; audio by its amount, as no two clients cut it
/// alike.
#[derive(Debug)]
struct Player {
    lines: VecDeque<Line>,
    is_instant: bool,
    /// An instant, and the time on tape that it stands for.
    anchor: (Instant, u64),
    heard: VecDeque<String>,
    audio_bytes: usize,
}

impl Player {
    fn new(reel: &Reel, is_instant: bool, now: Instant) -> Self {
        let opened = |line: &&Line| !matches!(line.beat, Beat::Opened { .. });
        Self {
            lines: reel.lines.iter().filter(opened).cloned().collect(),
            is_instant,
            anchor: (now, 0),
            heard: VecDeque::new(),
            audio_bytes: 0,
        }
    }

    /// Takes a frame of the client; a binary one is empty.
    fn hear(&mut self, raw: &str) {
        let (name, audio_bytes) = name_and_audio(raw);
        self.audio_bytes += audio_bytes;
        if audio_bytes == 0 && self.heard.len() < MAX_HEARD {
            self.heard.push_back(name);
        }
    }

    /// What is to be done now, if anything is.
    fn next(&mut self, now: Instant) -> Option<Act> {
        loop {
            let line = self.lines.front()?;
            match side(&line.beat) {
                Side::Client => {
                    let expected = line.beat.clone();
                    let is_met = self.is_met(&expected)?;
                    let line = self.lines.pop_front().expect("it was looked at");
                    self.anchor = (now, line.t_ms);
                    if let Err(said) = is_met {
                        return Some(Act::Tell(said));
                    }
                }
                Side::Server if now < self.due(line.t_ms) => return None,
                Side::Server => {
                    let line = self.lines.pop_front().expect("it was looked at");
                    if let Some(act) = act(line.beat) {
                        return Some(act);
                    }
                }
            }
        }
    }

    /// Whether the client did what it did on tape; `None` if it is still to come.
    fn is_met(&mut self, beat: &Beat) -> Option<std::result::Result<(), String>> {
        let raw = match beat {
            Beat::Text { frame, .. } => frame.as_str(),
            Beat::Binary { .. } => "",
            // The end of the connection is told by the connection.
            _ => return None,
        };
        let (expected, audio_bytes) = name_and_audio(raw);
        if audio_bytes > 0 {
            if self.audio_bytes < audio_bytes && self.heard.is_empty() {
                return None;
            }
            self.audio_bytes = self.audio_bytes.saturating_sub(audio_bytes);
            return Some(Ok(()));
        }
        let said = self.heard.pop_front()?;
        if said == expected {
            return Some(Ok(()));
        }
        Some(Err(format!(
            "the client sent `{said}`; on tape it is `{expected}`"
        )))
    }

    fn due(&self, t_ms: u64) -> Instant {
        let (anchor, anchor_ms) = self.anchor;
        let pause_ms = t_ms.saturating_sub(anchor_ms);
        let pause_ms = if self.is_instant { 0 } else { pause_ms };
        anchor + Duration::from_millis(pause_ms)
    }

    /// When [`next`](Self::next) has something to do, if nothing is heard before.
    fn deadline(&self) -> Option<Instant> {
        let line = self.lines.front()?;
        (side(&line.beat) == Side::Server).then(|| self.due(line.t_ms))
    }

    /// What the client did not stay for, for people.
    fn rest(&self) -> Option<String> {
        let frames = self.lines.iter().filter(|line| {
            matches!(
                &line.beat,
                Beat::Text {
                    from: Side::Server,
                    ..
                }
            )
        });
        match frames.count() {
            0 => None,
            left => Some(format!("the client left before {left} events of the tape")),
        }
    }
}

fn side(beat: &Beat) -> Side {
    match beat {
        Beat::Opened { .. } | Beat::Refused { .. } => Side::Server,
        Beat::Text { from, .. }
        | Beat::Binary { from, .. }
        | Beat::Closed { from, .. }
        | Beat::Lost { from } => *from,
    }
}

fn act(beat: Beat) -> Option<Act> {
    match beat {
        Beat::Text { frame, .. } => Some(Act::Send(frame)),
        Beat::Binary { base64, .. } => {
            let bytes = audio::decode(&base64).unwrap_or_default();
            Some(Act::SendBinary(bytes.to_vec()))
        }
        Beat::Closed { code, reason, .. } => Some(Act::Close(code, reason)),
        Beat::Lost { .. } => Some(Act::Drop),
        Beat::Opened { .. } | Beat::Refused { .. } => None,
    }
}

/// Type of a frame, and the size of its audio if it appends some.
fn name_and_audio(raw: &str) -> (String, usize) {
    Envelope::parse(raw).map_or_else(
        |_| (String::new(), 0),
        |envelope| {
            let is_append = envelope.name().ends_with("input_audio_buffer.append");
            let bytes = if is_append { envelope.audio().len() } else { 0 };
            (envelope.name().to_owned(), bytes)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(t_ms: u64, from: Side, frame: &str) -> Line {
        let beat = Beat::Text {
            from,
            frame: frame.to_owned(),
            audio: Vec::new(),
        };
        Line { t_ms, beat }
    }

    fn player(is_instant: bool, now: Instant) -> Player {
        let append = r#"{"type":"input_audio_buffer.append","audio":"AAAAAAAA"}"#;
        let lines = vec![
            line(5, Side::Server, r#"{"type":"session.created"}"#),
            line(100, Side::Client, append),
            line(100, Side::Client, append),
            line(900, Side::Client, r#"{"type":"response.create"}"#),
            line(950, Side::Server, r#"{"type":"response.done"}"#),
        ];
        Player::new(&Reel { lines }, is_instant, now)
    }

    fn sends(act: Option<Act>, kind: &str) -> bool {
        matches!(act, Some(Act::Send(frame)) if frame.contains(kind))
    }

    #[test]
    fn pauses_are_those_of_the_tape_counted_from_what_the_client_says() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut player = player(false, now);
        assert_eq!(player.next(now), None);
        assert_eq!(player.deadline(), Some(now + ms(5)));
        assert!(sends(player.next(now + ms(5)), "session.created"));
        assert_eq!((player.next(now + ms(5)), player.deadline()), (None, None));
        // As much audio as on tape, in one piece.
        player.hear(r#"{"type":"input_audio_buffer.append","audio":"AAAAAAAAAAAAAAAA"}"#);
        player.hear(r#"{"type":"response.create","response":{}}"#);
        assert_eq!(player.next(now + ms(70)), None);
        assert_eq!(player.deadline(), Some(now + ms(120)));
        assert!(sends(player.next(now + ms(120)), "response.done"));
        assert_eq!(player.next(now + ms(120)), None);
    }

    #[test]
    fn at_once_means_without_pauses_but_not_before_its_turn() {
        let now = Instant::now();
        let mut player = player(true, now);
        assert!(sends(player.next(now), "session.created"));
        assert_eq!(player.next(now), None);
        // Less audio than on tape is no reason to wait for ever.
        player.hear(r#"{"type":"response.create"}"#);
        assert!(sends(player.next(now), "response.done"));
    }

    #[test]
    fn a_client_that_says_something_else_is_told_and_served() {
        let now = Instant::now();
        let mut player = player(true, now);
        player.next(now);
        player.hear(r#"{"type":"response.cancel"}"#);
        let Some(Act::Tell(line)) = player.next(now) else {
            panic!("a line")
        };
        assert!(line.contains("response.cancel") && line.contains("response.create"));
        assert!(player.rest().is_some_and(|line| line.contains("1 events")));
        assert!(sends(player.next(now), "response.done"));
    }
}
