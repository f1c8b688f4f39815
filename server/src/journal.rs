//! What happened in each session, line by line: kept in memory within bounds, and written to files
//! where somebody wants them. Holds no credential and no audio.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};
use talkwire_core::dialect::Dialect;
use talkwire_core::error::{Error, Kind, Result};

use crate::redact::{self, Formats, Redactor};
use crate::time::ServerTime;
use crate::upgrade::{Knock, Refusal, Visit};

/// Bytes of lines that all sessions together keep in memory, roughly.
const MEMORY_BYTES: usize = 32 << 20;
/// The least and the most that one session keeps.
const SESSION_BYTES: std::ops::RangeInclusive<usize> = (32 << 10)..=(4 << 20);
/// Sessions that are kept in memory after their end.
const ENDED_SESSIONS: usize = 64;
/// Refused upgrades that are remembered.
const REFUSALS: usize = 100;

/// Who an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum From {
    /// The client sent it.
    Client,
    /// The server sent it.
    Server,
    /// Nobody sent it: an opening, a close, a fault, the clock.
    Journal,
}

impl From {
    /// As it stands in a line: `client`, `server` or `journal`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Journal => "journal",
        }
    }
}

/// One line of a journal.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Milliseconds since the session began, by the server's clock.
    pub t_ms: u64,
    /// Who sent it.
    pub from: From,
    /// Name of the event as it was on the wire; empty for what was no event.
    pub name: String,
    /// The event's JSON: credentials removed, audio replaced by `{"bytes", "ms"}`.
    pub event: String,
}

impl Entry {
    /// What the event is about: `session`, `input`, `conversation`, `response`, `tools`, `error`
    /// or `link`.
    pub fn lane(&self) -> &'static str {
        if self.from == From::Journal {
            return "link";
        }
        let name = self.name.as_str();
        let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
        match name {
            "error" | "" => "error",
            _ if name.contains("function_call") || name.contains("mcp") => "tools",
            _ if begins(&["session.", "transcription_session."]) => "session",
            _ if begins(&["input_audio_buffer."]) => "input",
            _ if begins(&["conversation."]) => "conversation",
            _ => "response",
        }
    }

    /// The entry as one line of JSON.
    pub fn to_line(&self) -> String {
        let quoted = Value::from(self.name.as_str());
        format!(
            r#"{{"t_ms":{},"from":"{}","lane":"{}","name":{quoted},"event":{}}}"#,
            self.t_ms,
            self.from.name(),
            self.lane(),
            self.event
        )
    }

    fn bytes(&self) -> usize {
        self.name.len() + self.event.len() + size_of::<Self>()
    }
}

/// Watches sessions as they happen. Called on the server's threads: it must not block.
pub(crate) trait Observe: std::fmt::Debug + Send + Sync {
    /// A session began.
    fn opened(&self, session: u64, dialect: &Arc<Dialect>, knock: &Knock);
    /// A text frame, as it was on the wire, at this time of the server's clock.
    fn frame(&self, session: u64, now: Instant, from: From, raw: &str);
    /// A binary frame of the client.
    fn binary(&self, session: u64);
    /// It ended, as [`Summary::ended`] says.
    fn ended(&self, session: u64, how: &str);
}

/// How much a journal keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// What nobody sent: to parse each frame for nobody costs as much as to send it.
    Notes,
    /// What was sent, too.
    Frames,
    /// All of it, also in files of this directory.
    Files(PathBuf),
}

/// A session of a journal.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// Number of the session, from 0.
    pub number: u64,
    /// When it began, in milliseconds since 1970 by the server's clock.
    pub opened_unix_ms: u64,
    /// Model of the URL.
    pub model: Option<String>,
    /// Entries so far.
    pub entries: u64,
    /// The first of them that memory still holds.
    pub first: u64,
    /// How it ended, as one word, once it has.
    pub ended: Option<String>,
}

/// What the sessions of a [`LocalServer`](crate::LocalServer) did. Clones read the same journal.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Book>);

impl Journal {
    /// A new journal; errors if the directory cannot be made.
    pub(crate) fn new(
        keeps: Keeps,
        dialect: Arc<Dialect>,
        redactor: Redactor,
        time: ServerTime,
        observer: Option<Arc<dyn Observe>>,
    ) -> Result<Self> {
        if let Keeps::Files(dir) = &keeps {
            std::fs::create_dir_all(dir).map_err(|e| {
                let message = format!("{}: the journal cannot be kept there: {e}", dir.display());
                Error::new(Kind::Io, message)
            })?;
        }
        Ok(Self(Arc::new(Book {
            keeps,
            dialect,
            redactor,
            time,
            observer,
            shelf: Mutex::default(),
        })))
    }

    /// The sessions that memory still holds, oldest first.
    pub fn sessions(&self) -> Vec<Summary> {
        let kept = self.0.shelf().kept.clone();
        kept.iter().map(|kept| kept.lock().summary()).collect()
    }

    /// Entries of a session from number `from` on, as far as memory holds them; `None` for a
    /// session that it does not hold.
    pub fn entries(&self, session: u64, from: u64) -> Option<Vec<Entry>> {
        let kept = self.0.find(session)?;
        let pages = kept.lock();
        let skip = usize::try_from(from.saturating_sub(pages.first)).unwrap_or(usize::MAX);
        Some(pages.entries.iter().skip(skip).cloned().collect())
    }

    /// A session by its number.
    pub(crate) fn summary(&self, session: u64) -> Option<Summary> {
        Some(self.0.find(session)?.lock().summary())
    }

    /// Refused upgrades: time, status and body of the last hundred.
    pub(crate) fn refusals(&self) -> Vec<Value> {
        self.0.shelf().refusals.iter().cloned().collect()
    }

    /// Why files could not be written, if they could not.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.0.shelf().trouble.clone()
    }

    /// Remembers a refused upgrade.
    pub(crate) fn refused(&self, knock: &Knock, refusal: &Refusal) {
        let knock = self.0.redactor.knock(knock);
        let body = self.0.redactor.line(&refusal.body);
        let refused = json!({"unix_ms": self.0.time.unix_ms(), "status": refusal.status,
            "request": knock, "body": body});
        let mut shelf = self.0.shelf();
        if shelf.refusals.len() == REFUSALS {
            shelf.refusals.pop_front();
        }
        shelf.refusals.push_back(refused);
    }

    /// Opens the pages of a session.
    pub(crate) fn open(&self, number: u64, visit: &Visit, knock: &Knock) -> Pen {
        let book = &self.0;
        let dialect = visit.dialect.as_ref().unwrap_or(&book.dialect).clone();
        let pages = Pages {
            number,
            model: visit.model.clone(),
            opened_unix_ms: book.time.unix_ms(),
            ..Pages::default()
        };
        let kept = Arc::new(Kept(Mutex::new(pages)));
        let room = book.shelf().add(kept.clone());
        let path = match &book.keeps {
            Keeps::Notes | Keeps::Frames => None,
            Keeps::Files(dir) => Some(dir.join(format!("session-{number:04}.jsonl"))),
        };
        let file = path.and_then(|path| match File::create(&path) {
            Ok(file) => Some(file),
            Err(e) => {
                book.shelf().trouble = Some(format!("{}: {e}", path.display()));
                None
            }
        });
        if let Some(observer) = &book.observer {
            observer.opened(number, &dialect, knock);
        }
        let mut pen = Pen {
            number,
            book: book.clone(),
            kept,
            file,
            room,
            began: book.time.now(),
            formats: Formats::new(&dialect),
            dialect,
        };
        let mut opened = book.redactor.knock(knock);
        opened["unix_ms"] = json!(book.time.unix_ms());
        opened["dialect"] = json!(pen.dialect.name());
        pen.note("opened", &opened);
        pen
    }
}

/// What the sessions of one server share.
#[derive(Debug)]
struct Book {
    keeps: Keeps,
    dialect: Arc<Dialect>,
    redactor: Redactor,
    time: ServerTime,
    observer: Option<Arc<dyn Observe>>,
    shelf: Mutex<Shelf>,
}

/// The sessions that are kept.
#[derive(Debug, Default)]
struct Shelf {
    kept: VecDeque<Arc<Kept>>,
    refusals: VecDeque<Value>,
    trouble: Option<String>,
}

/// The pages of one session. Its lock is held for moments only, never with another's.
#[derive(Debug)]
struct Kept(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    number: u64,
    model: Option<String>,
    opened_unix_ms: u64,
    entries: VecDeque<Entry>,
    first: u64,
    bytes: usize,
    ended: Option<String>,
}

impl Book {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, session: u64) -> Option<Arc<Kept>> {
        let kept = self.shelf().kept.clone();
        kept.into_iter().find(|kept| kept.lock().number == session)
    }
}

impl Shelf {
    /// Adds a session, forgets old ones, and returns the bytes that the new one may keep.
    fn add(&mut self, kept: Arc<Kept>) -> usize {
        self.kept.push_back(kept);
        let ended = |kept: &Arc<Kept>| kept.lock().ended.is_some();
        let mut surplus = self.kept.iter().filter(|kept| ended(kept)).count();
        surplus = surplus.saturating_sub(ENDED_SESSIONS);
        self.kept.retain(|kept| {
            let goes = surplus > 0 && ended(kept);
            surplus -= usize::from(goes);
            !goes
        });
        (MEMORY_BYTES / self.kept.len()).clamp(*SESSION_BYTES.start(), *SESSION_BYTES.end())
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn summary(&self) -> Summary {
        Summary {
            number: self.number,
            opened_unix_ms: self.opened_unix_ms,
            model: self.model.clone(),
            entries: self.first + self.entries.len() as u64,
            first: self.first,
            ended: self.ended.clone(),
        }
    }

    fn push(&mut self, entry: Entry, room: usize) {
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        while self.bytes > room && self.entries.len() > 1 {
            let old = self.entries.pop_front().expect("there is more than one");
            self.bytes -= old.bytes();
            self.first += 1;
        }
    }
}

/// Writes the pages of one session.
#[derive(Debug)]
pub(crate) struct Pen {
    number: u64,
    book: Arc<Book>,
    kept: Arc<Kept>,
    file: Option<File>,
    room: usize,
    began: Instant,
    formats: Formats,
    dialect: Arc<Dialect>,
}

impl Pen {
    /// A text frame of the client.
    pub(crate) fn client(&mut self, raw: &str) {
        if let Some(observer) = &self.book.observer {
            observer.frame(self.number, self.book.time.now(), From::Client, raw);
        }
        if self.book.keeps == Keeps::Notes {
            return;
        }
        let (name, event) = redact::event(raw, self.formats.input, &self.book.redactor);
        self.write(From::Client, name, event);
    }

    /// A text frame of the server.
    pub(crate) fn server(&mut self, raw: &str) {
        if let Some(observer) = &self.book.observer {
            observer.frame(self.number, self.book.time.now(), From::Server, raw);
        }
        if self.book.keeps == Keeps::Notes {
            return;
        }
        let (name, event) = redact::event(raw, self.formats.output, &self.book.redactor);
        self.formats.learn(&name, raw, &self.dialect);
        self.write(From::Server, name, event);
    }

    /// A binary frame of the client.
    pub(crate) fn binary(&mut self) {
        if let Some(observer) = &self.book.observer {
            observer.binary(self.number);
        }
        self.note("binary", &json!({"by": "client"}));
    }

    /// Something that nobody sent.
    pub(crate) fn note(&mut self, name: &str, what: &Value) {
        self.write(From::Journal, name.to_owned(), what.to_string());
    }

    /// The end. The first one counts.
    pub(crate) fn ended(&mut self, how: &str, what: &Value) {
        let is_first = {
            let mut pages = self.kept.lock();
            let is_first = pages.ended.is_none();
            pages.ended.get_or_insert_with(|| how.to_owned());
            is_first
        };
        if is_first {
            if let Some(observer) = &self.book.observer {
                observer.ended(self.number, how);
            }
            self.note(how, what);
        }
    }

    fn write(&mut self, from: From, name: String, event: String) {
        let since = self.book.time.now().saturating_duration_since(self.began);
        let entry = Entry {
            t_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            from,
            name,
            event,
        };
        if let Some(file) = &mut self.file {
            let line = entry.to_line() + "\n";
            if let Err(e) = file.write_all(line.as_bytes()) {
                self.file = None;
                self.book.shelf().trouble = Some(format!("journal: {e}"));
            }
        }
        self.kept.lock().push(entry, self.room);
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        // A task that was thrown away, as by a kill.
        self.ended("lost", &json!({}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        keeping(Keeps::Frames)
    }

    fn keeping(keeps: Keeps) -> Journal {
        let dialect = Dialect::default_dialect();
        let redactor = Redactor::default();
        Journal::new(keeps, dialect, redactor, ServerTime::new(), None).expect("no files")
    }

    fn open(journal: &Journal, number: u64) -> Pen {
        let knock = Knock::new("ws://h/v1/realtime", Vec::new());
        journal.open(number, &Visit::default(), &knock)
    }

    #[test]
    fn a_line_is_json_with_time_direction_lane_name_and_event() {
        let journal = journal();
        let mut pen = open(&journal, 7);
        pen.client(r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#);
        pen.server(r#"{"type":"response.done"}"#);
        pen.client("nonsense");
        let entries = journal.entries(7, 1).expect("held");
        let lines = entries.iter().map(Entry::to_line);
        let lines: Vec<Value> = lines
            .map(|line| serde_json::from_str(&line).expect("JSON"))
            .collect();
        let told: Vec<_> = lines
            .iter()
            .map(|line| ["from", "lane", "name"].map(|key| line[key].as_str().expect("text")))
            .collect();
        assert_eq!(
            told,
            [
                ["client", "input", "input_audio_buffer.append"],
                ["server", "response", "response.done"],
                ["client", "error", ""],
            ]
        );
        assert_eq!(lines[0]["event"]["audio"]["bytes"], 3);
        assert!(lines.iter().all(|line| line["t_ms"].is_u64()));
    }

    #[test]
    fn frames_that_nobody_wants_to_read_are_not_kept() {
        let journal = keeping(Keeps::Notes);
        let mut pen = open(&journal, 0);
        pen.client(r#"{"type":"response.create"}"#);
        pen.server(r#"{"type":"response.done"}"#);
        pen.ended("closed", &json!({}));
        let names = |entry: Entry| entry.name;
        let held: Vec<_> = journal
            .entries(0, 0)
            .expect("held")
            .into_iter()
            .map(names)
            .collect();
        assert_eq!(held, ["opened", "closed"]);
    }

    #[test]
    fn memory_is_bounded_and_says_what_it_forgot() {
        let journal = journal();
        let mut pen = open(&journal, 0);
        pen.room = 10_000;
        for _ in 0..1000 {
            pen.server(r#"{"type":"response.output_text.delta","delta":"some words"}"#);
        }
        let summary = journal.summary(0).expect("held");
        assert_eq!(summary.entries, 1001);
        let held = journal.entries(0, 0).expect("held");
        assert_eq!(summary.first + held.len() as u64, summary.entries);
        assert!(held.len() < 200, "{}", held.len());
        assert_eq!(journal.entries(0, 1000).expect("held").len(), 1);
        assert!(journal.entries(1, 0).is_none());
    }

    #[test]
    fn old_sessions_go_when_they_have_ended() {
        let journal = journal();
        let running = open(&journal, 0);
        for number in 1..=100 {
            drop(open(&journal, number));
        }
        let held: Vec<_> = journal.sessions().iter().map(|s| s.number).collect();
        assert_eq!(held.len(), ENDED_SESSIONS + 2, "{held:?}");
        assert_eq!((held[0], held[1]), (0, 36));
        drop(running);
        let first = journal.summary(0).expect("held");
        assert_eq!(first.ended.as_deref(), Some("lost"));
    }
}
