//! What is left of a call: files.

pub(crate) mod events;
pub(crate) mod svg;
pub(crate) mod transcript;
pub(crate) mod wav;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use talkwire_core::error::{Error, Kind, Result};
use talkwire_core::transcript::Form;

use crate::talk::lines::Utterance;
use crate::talk::record::Record;

/// Writes all artifacts into `dir`, which is made if it is missing; returns their names and paths.
pub(crate) fn write(dir: &Path, record: &Record) -> Result<Value> {
    std::fs::create_dir_all(dir).map_err(|e| unwritable(dir, &e))?;
    let dir = dir.canonicalize().map_err(|e| unwritable(dir, &e))?;
    let transcript = record.transcript();
    let call = wav::Tracks::of(record)?;
    let mut written = Map::new();
    let mut note = |name: &str, path: PathBuf| {
        written.insert(name.to_owned(), json!(path.to_string_lossy()));
    };
    let path = dir.join("call.wav");
    call.write(&path)?;
    note("call.wav", path);
    let texts = [
        (
            "transcript.json",
            transcript::text(&transcript, record.tool_calls()),
        ),
        ("transcript.vtt", captions(&transcript, Form::Vtt)),
        ("events.jsonl", events::text(record.rows())),
        ("timeline.svg", svg::draw(&call, record)),
    ];
    for (name, text) in texts {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|e| unwritable(&path, &e))?;
        note(name, path);
    }
    Ok(Value::Object(written))
}

/// Writes who said what, in the form that the file's name ends with.
pub(crate) fn write_transcript(path: &Path, record: &Record) -> Result<()> {
    let utterances = record.transcript();
    let text = match Form::of_path(path)? {
        Form::Json => transcript::text(&utterances, record.tool_calls()),
        form => captions(&utterances, form),
    };
    std::fs::write(path, text).map_err(|e| unwritable(path, &e))
}

fn captions(utterances: &[Utterance], form: Form) -> String {
    let segments: Vec<_> = utterances.iter().map(Utterance::segment).collect();
    talkwire_core::transcript::text(&segments, form)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Io, format!("{}: {error}", path.display()))
}
