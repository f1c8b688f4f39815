//! The flight recorder of a session: its last steps, for whoever asks why it ended as it did. It holds
//! names, ids, sizes and codes, and never what anybody said, nor a credential.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tracing::Level;

use super::log::TARGET;
use crate::engine::io::{Command, Down, Effect, Frame, Input};
use crate::error::{Error, Kind, Result};
use crate::event::local::Local;
use crate::event::{Body, End, Event};
use crate::wire::{Envelope, ServerEvent};

/// The recorder.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Of the session, in the log.
    number: u64,
    most: usize,
    tape: Mutex<Tape>,
}

#[derive(Debug, Default)]
struct Tape {
    lines: VecDeque<Line>,
    /// Older lines that are gone.
    dropped: u64,
}

/// One step, or several that are the same.
#[derive(Debug, Serialize)]
struct Line {
    at_ms: u64,
    what: &'static str,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(skip_serializing_if = "is_one")]
    count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_ms: Option<u64>,
}

fn is_one(count: &u64) -> bool {
    *count == 1
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

/// A stream of pieces is one line, although other streams run beside it.
const LOOK_BACK: usize = 6;

/// What is written of one step.
struct Step<'a> {
    level: Level,
    what: &'static str,
    name: &'a str,
    id: &'a str,
    bytes: usize,
}

impl<'a> Step<'a> {
    fn new(what: &'static str, name: &'a str) -> Self {
        Self {
            level: Level::DEBUG,
            what,
            name,
            id: "",
            bytes: 0,
        }
    }

    fn at(self, level: Level) -> Self {
        Self { level, ..self }
    }

    fn is_piece(&self) -> bool {
        self.name.ends_with(".delta") || self.name.ends_with(".append")
    }
}

impl Flight {
    /// A recorder of so many lines for a session of this number; none records nothing.
    pub(crate) fn new(number: u64, most: usize) -> Self {
        Self {
            number,
            most: most.min(100_000),
            tape: Mutex::default(),
        }
    }

    /// The last steps, oldest first, a JSON object in each line.
    pub(crate) fn text(&self) -> String {
        let tape = self.lock();
        let mut text = String::new();
        if tape.dropped > 0 {
            text += &format!("{{\"what\":\"dropped\",\"count\":{}}}\n", tape.dropped);
        }
        for line in &tape.lines {
            text += &serde_json::to_string(line).unwrap_or_default();
            text.push('\n');
        }
        text
    }

    /// Writes them down in a directory; returns the file. Blocks as files do.
    pub(super) fn write(&self, dir: &Path, name: &str) -> Result<PathBuf> {
        let path = dir.join(format!("{name}.jsonl"));
        let failed = |e| Error::new(Kind::Io, format!("{}: {e}", path.display()));
        std::fs::write(&path, self.text()).map_err(failed)?;
        Ok(path)
    }

    pub(super) fn input(&self, at_ms: u64, input: &Input) {
        match input {
            Input::Open { .. } => {
                self.add(at_ms, Step::new("opened", "session").at(Level::INFO));
            }
            Input::Command(command, _) => self.command(at_ms, command),
            Input::Close { grace_ms } => {
                self.add(at_ms, Step::new("close", &format!("within {grace_ms} ms")));
            }
            Input::LinkUp(link) => self.link(at_ms, "up", link.0),
            Input::LinkDown(link, down, _) => {
                let level = match down {
                    Down::Failed(_) => Level::WARN,
                    Down::Closed { .. } => Level::INFO,
                };
                self.add(
                    at_ms,
                    Step {
                        id: &format!("link {}", link.0),
                        ..Step::new("down", &outline(down)).at(level)
                    },
                );
            }
            Input::Port(is_there) => {
                let name = if *is_there { "attached" } else { "detached" };
                self.add(at_ms, Step::new("port", name));
            }
            Input::SlowReader => {
                self.add(at_ms, Step::new("reader", "too slow").at(Level::WARN));
            }
            // Frames are known by their events; sound by what is sent of it; time by what follows.
            Input::Text(..)
            | Input::Pong(_)
            | Input::Binary(..)
            | Input::UplinkDropped { .. }
            | Input::Captured(_)
            | Input::Echo(_)
            | Input::Heard(_)
            | Input::Flushed(_)
            | Input::Timeout => {}
        }
    }

    pub(super) fn effect(&self, at_ms: u64, effect: &Effect) {
        match effect {
            Effect::Dial(link, endpoint) => {
                self.add(
                    at_ms,
                    Step {
                        id: &format!("link {}", link.0),
                        ..Step::new("dial", &format!("endpoint {endpoint}")).at(Level::INFO)
                    },
                );
            }
            Effect::Send(_, frame) => self.sent(at_ms, frame),
            Effect::Emit(event) => self.event(at_ms, event),
            Effect::Hangup(link) => self.link(at_ms, "hang up", link.0),
            Effect::Abort(link) => self.link(at_ms, "abort", link.0),
            Effect::Ready => self.add(at_ms, Step::new("ready", "session").at(Level::INFO)),
            Effect::Flush => self.add(at_ms, Step::new("playout", "flushed")),
            Effect::Hold(is_held) => {
                let name = if *is_held { "held" } else { "let go" };
                self.add(at_ms, Step::new("playout", name));
            }
            Effect::Note(note) => self.add(at_ms, Step::new("note", note)),
            Effect::End(end) => self.add(
                at_ms,
                Step {
                    id: &end
                        .close_code
                        .map(|code| code.to_string())
                        .unwrap_or_default(),
                    ..Step::new("end", end.why.name()).at(level_of(end))
                },
            ),
            Effect::Play(..) | Effect::PlayEnd(_) | Effect::Reply(..) => {}
        }
    }

    fn link(&self, at_ms: u64, what: &'static str, link: u32) {
        let name = format!("link {link}");
        self.add(at_ms, Step::new(what, &name).at(Level::INFO));
    }

    fn command(&self, at_ms: u64, command: &Command) {
        let name = match command {
            // What follows from these is a frame that is sent, or an error.
            Command::Send(event) => event.name(),
            Command::Json(_) => "json",
            Command::Frame(_) => "frame",
            Command::Respond(..) => "respond",
            Command::Interrupt(_) => "interrupt",
            Command::Register(_) => "register tool",
            Command::ToolResult { .. } => "tool result",
            Command::Settings | Command::Played(_) => return,
        };
        self.add(at_ms, Step::new("command", name));
    }

    fn sent(&self, at_ms: u64, frame: &Frame) {
        match frame {
            Frame::Text(text) => {
                let envelope = Envelope::parse(text).ok();
                let name = envelope.as_ref().map_or("", Envelope::name);
                self.add(
                    at_ms,
                    Step {
                        bytes: text.len(),
                        ..Step::new("sent", name)
                    },
                );
            }
            Frame::Audio(audio, _) => self.add(
                at_ms,
                Step {
                    bytes: audio.len(),
                    ..Step::new("sent", "input_audio_buffer.append")
                },
            ),
            Frame::Ping => self.add(at_ms, Step::new("sent", "ping")),
        }
    }

    fn event(&self, at_ms: u64, event: &Event) {
        let what = match event.body() {
            Body::Wire(_) => "received",
            Body::Local(_) => "told",
        };
        let id = event.response_id().or_else(|| event.item_id());
        self.add(
            at_ms,
            Step {
                level: level_of_event(event),
                what,
                name: event.name(),
                id: id.unwrap_or_default(),
                bytes: event.raw().map_or(0, str::len),
            },
        );
    }

    /// A line of the log for the step.
    fn log(&self, at_ms: u64, step: &Step<'_>) {
        let Step {
            what,
            name,
            id,
            bytes,
            ..
        } = *step;
        // A place in the code has one level.
        macro_rules! log {
            ($($level:ident),*) => {
                match if step.is_piece() { Level::TRACE } else { step.level } {
                    $(Level::$level => tracing::event!(
                        target: TARGET, Level::$level, session = self.number, at_ms,
                        id, bytes, "{what} {name}"
                    ),)*
                }
            };
        }
        log!(ERROR, WARN, INFO, DEBUG, TRACE);
    }

    fn add(&self, at_ms: u64, step: Step<'_>) {
        self.log(at_ms, &step);
        if self.most == 0 {
            return;
        }
        let mut tape = self.lock();
        if step.is_piece() {
            let mut recent = tape.lines.iter_mut().rev().take(LOOK_BACK);
            let is_same = |line: &&mut Line| {
                (line.what, line.name.as_str(), line.id.as_str()) == (step.what, step.name, step.id)
            };
            if let Some(line) = recent.find(is_same) {
                line.count += 1;
                line.bytes += step.bytes as u64;
                line.last_ms = Some(at_ms);
                return;
            }
        }
        if tape.lines.len() == self.most {
            tape.lines.pop_front();
            tape.dropped += 1;
        }
        tape.lines.push_back(Line {
            at_ms,
            what: step.what,
            name: step.name.to_owned(),
            id: step.id.to_owned(),
            count: 1,
            bytes: step.bytes as u64,
            last_ms: None,
        });
    }

    /// A panic elsewhere must not hide what led to it.
    fn lock(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn level_of(end: &End) -> Level {
    match (end.why, end.expected) {
        (Kind::Panic, _) => Level::ERROR,
        (_, true) => Level::INFO,
        (_, false) => Level::WARN,
    }
}

/// What somebody should look at, what changes a session, and everything else.
fn level_of_event(event: &Event) -> Level {
    match event.body() {
        Body::Wire(ServerEvent::Error(_)) => Level::WARN,
        Body::Local(
            Local::Fault(_)
            | Local::Lost(_)
            | Local::Gap { .. }
            | Local::UplinkGap { .. }
            | Local::Context { .. }
            | Local::ToolOverdue(_),
        ) => Level::WARN,
        Body::Local(Local::Rolled(_) | Local::Recovered(_)) => Level::INFO,
        _ => Level::DEBUG,
    }
}

/// Why a link is down, without a server's words.
fn outline(down: &Down) -> String {
    match down {
        Down::Failed(error) => error.outline(),
        Down::Closed { code, .. } => format!("closed with {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::io::LinkId;
    use crate::event::Origin;
    use crate::wire::server::Delta;
    use bytes::Bytes;
    use serde_json::Value;

    fn lines(flight: &Flight) -> Vec<Value> {
        let text = flight.text();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    fn delta(text: &str) -> Effect {
        let delta = Delta {
            item_id: "item_1".into(),
            delta: Some(text.into()),
            ..Delta::default()
        };
        Effect::Emit(Event::wire(
            ServerEvent::TextDelta(delta),
            Origin::default(),
        ))
    }

    #[test]
    fn pieces_are_counted_in_one_line_and_nothing_that_was_said_is_in_it() {
        let flight = Flight::new(1, 100);
        for at_ms in 0..50 {
            flight.effect(at_ms, &delta("my secret"));
            let audio = Frame::Audio(Bytes::from_static(b"secret!!"), 20);
            flight.effect(at_ms, &Effect::Send(LinkId(1), audio));
        }
        let text = r#"{"type":"response.create","response":{"instructions":"secret"}}"#;
        flight.effect(60, &Effect::Send(LinkId(1), Frame::Text(text.to_owned())));
        let down = Down::Failed(Error::new(Kind::Server, "no such secret"));
        flight.input(70, &Input::LinkDown(LinkId(1), down, Default::default()));
        assert!(!flight.text().contains("secret"), "{}", flight.text());
        let lines = lines(&flight);
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert_eq!(
            (&lines[0]["count"], &lines[0]["last_ms"]),
            (&50.into(), &49.into())
        );
        assert_eq!(lines[1]["bytes"], 400);
        assert_eq!(lines[2]["name"], "response.create");
        assert_eq!(lines[3]["name"], "server");
    }

    #[test]
    fn only_the_last_steps_are_kept_and_the_others_are_counted() {
        let flight = Flight::new(1, 3);
        for i in 0..10 {
            flight.effect(i, &Effect::Note(format!("note {i}")));
        }
        let lines = lines(&flight);
        assert_eq!((lines.len(), &lines[0]["count"]), (4, &7.into()));
        assert_eq!(lines[3]["name"], "note 9");
        let nothing = Flight::new(1, 0);
        nothing.effect(0, &Effect::Ready);
        assert_eq!(nothing.text(), "");
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_that_names_the_file() {
        let written = Flight::new(1, 3).write(Path::new("/nonexistent"), "call");
        assert!(
            written
                .expect_err("no such place")
                .message()
                .contains("/nonexistent/call.jsonl")
        );
    }
}
