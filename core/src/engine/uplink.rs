//! What the application wants sent: kept until the link is open, and read from JSON.

use std::collections::VecDeque;

use serde_json::Value;

use super::io::{Command, Ticket};
use crate::audio::format::Format;
use crate::error::{Error, Kind, Result};
use crate::event::Unsent;
use crate::wire::client::{APPEND, Append};
use crate::wire::{ClientEvent, Envelope, Map};

/// Commands that wait for the link, oldest first. Control is refused when there is too much of it;
/// audio loses its oldest.
#[derive(Debug)]
pub(super) struct Held {
    queue: VecDeque<(Command, Option<Ticket>, u64)>,
    audio_ms: u64,
    max_ms: u64,
}

/// What is left over at the end.
#[derive(Debug, Default)]
pub(super) struct Abandoned {
    pub tickets: Vec<Ticket>,
    pub audio_ms: u64,
    pub commands: u64,
}

/// More commands than any application sends before its session is open.
const MOST: usize = 1_024;

impl Held {
    pub(super) fn new(max_ms: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            audio_ms: 0,
            max_ms,
        }
    }

    /// Keeps a command; returns the audio that had to go for it.
    pub(super) fn keep(
        &mut self,
        command: Command,
        ticket: Option<Ticket>,
        format: Format,
    ) -> Result<Abandoned> {
        let ms = match &command {
            Command::Send(ClientEvent::Append(append)) => {
                format.ms_of_bytes(append.audio.len() as u64)
            }
            _ if self.queue.len() >= MOST => {
                return Err(Error::new(
                    Kind::QueueFull,
                    "too many commands before the session is open",
                ));
            }
            _ => 0,
        };
        self.queue.push_back((command, ticket, ms));
        self.audio_ms += ms;
        let mut dropped = Abandoned::default();
        while self.audio_ms > self.max_ms {
            let Some(oldest) = self.queue.iter().position(|(_, _, ms)| *ms > 0) else {
                break;
            };
            let (_, ticket, ms) = self
                .queue
                .remove(oldest)
                .expect("the position was just found");
            self.audio_ms -= ms;
            dropped.audio_ms += ms;
            dropped.tickets.extend(ticket);
        }
        Ok(dropped)
    }

    /// Keeps commands that were sent already in front of all others.
    pub(super) fn put_back(&mut self, commands: Vec<(Command, Option<Ticket>)>) {
        for (command, ticket) in commands.into_iter().rev() {
            self.queue.push_front((command, ticket, 0));
        }
    }

    pub(super) fn release(&mut self) -> Vec<(Command, Option<Ticket>)> {
        self.audio_ms = 0;
        self.queue
            .drain(..)
            .map(|(command, ticket, _)| (command, ticket))
            .collect()
    }

    pub(super) fn abandon(&mut self) -> Abandoned {
        let mut left = Abandoned {
            audio_ms: self.audio_ms,
            ..Abandoned::default()
        };
        self.audio_ms = 0;
        for (command, ticket, _) in self.queue.drain(..) {
            left.tickets.extend(ticket);
            left.commands += u64::from(!matches!(command, Command::Send(ClientEvent::Append(_))));
        }
        left
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Abandoned {
    pub(super) fn add_to(&self, unsent: &mut Unsent) {
        unsent.audio_ms += self.audio_ms;
        unsent.commands += self.commands;
    }
}

/// An event that the application gave as JSON text.
#[derive(Debug)]
pub(super) struct Json {
    pub event: ClientEvent,
    pub event_id: Option<String>,
    pub fields: Map,
}

impl Json {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = |why: String| Error::new(Kind::Argument, format!("the event is {why}"));
        let envelope = Envelope::parse(text).map_err(|e| wrong(e.to_string()))?;
        let event_id = envelope.event_id();
        if envelope.name() == APPEND {
            let append = Append::decode(&envelope).map_err(|e| wrong(e.to_string()))?;
            return Ok(Self {
                event: ClientEvent::Append(append),
                event_id,
                fields: Map::new(),
            });
        }
        let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
            return Err(wrong("not a JSON object".to_owned()));
        };
        fields.remove("type");
        fields.remove("event_id");
        let event = ClientEvent::from_fields(envelope.name(), fields.clone());
        Ok(Self {
            event,
            event_id,
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn append(ms: usize) -> Command {
        Command::Send(ClientEvent::Append(Append {
            audio: Bytes::from(vec![0; ms * 48]),
        }))
    }

    #[test]
    fn the_oldest_audio_goes_and_control_stays() {
        let mut held = Held::new(100);
        let keep = |held: &mut Held, command| held.keep(command, None, Format::PCM16_24K);
        let dropped = |kept: Result<Abandoned>| kept.expect("kept").audio_ms;
        assert_eq!(dropped(keep(&mut held, append(60))), 0);
        assert_eq!(dropped(keep(&mut held, Command::Settings)), 0);
        assert_eq!(dropped(keep(&mut held, append(60))), 60);
        let left = held.abandon();
        assert_eq!((left.audio_ms, left.commands), (60, 1));
    }

    #[test]
    fn too_much_control_is_refused_and_nothing_is_lost() {
        let mut held = Held::new(100);
        for _ in 0..MOST {
            held.keep(Command::Settings, None, Format::PCM16_24K)
                .expect("fits");
        }
        let error = held
            .keep(Command::Settings, None, Format::PCM16_24K)
            .expect_err("full");
        assert_eq!(error.kind(), Kind::QueueFull);
        assert_eq!(held.release().len(), MOST);
    }

    #[test]
    fn json_that_is_no_event_is_refused_with_the_reason() {
        for (text, why) in [
            ("nonsense", "JSON"),
            ("{}", "type"),
            ("[1]", "JSON"),
            (
                r#"{"type":"input_audio_buffer.append","audio":"**"}"#,
                "base64",
            ),
        ] {
            let error = Json::parse(text).expect_err(text);
            assert!(error.message().contains(why), "{text}: {error}");
        }
    }
}
