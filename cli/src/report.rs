//! The result: one JSON object, an exit code, and complaints on stderr.

use std::io::Write;

use serde_json::{Value, json};
use talkwire_core::error::{Error, Kind};
use talkwire_core::event::{End, Usage};

use crate::talk::record::Record;

/// It went well.
pub(crate) const GOOD: i32 = 0;
/// The call failed.
pub(crate) const FAILED: i32 = 1;
/// The command line, or a file it names, is wrong.
pub(crate) const WRONG_INPUT: i32 = 2;
/// A signal stopped it, by the custom of shells.
pub(crate) const STOPPED: i32 = 130;

/// The exit code for an error.
pub(crate) fn exit_code(error: &Error) -> i32 {
    match error.kind() {
        Kind::Argument | Kind::Config | Kind::Io => WRONG_INPUT,
        _ => FAILED,
    }
}

/// One line on stdout.
pub(crate) fn say(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// One line on stderr.
pub(crate) fn complain(error: &Error) {
    warn(&error.to_string());
}

/// One line on stderr.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "talkwire: {text}");
}

/// The result of a call that took place; `error` says why it was no good.
pub(crate) fn of_call(error: Option<&str>, record: &Record, end: &End) -> Value {
    json!({
        "ok": error.is_none(),
        "error": error,
        "transcript": record.transcript(),
        "tool_calls": record.tool_calls(),
        "first_audio_ms": record.first_audio_ms(),
        "audio_ms_in": record.sent_ms(),
        "audio_ms_out": record.received_ms(),
        "barge_ins": record.floor().barge_ins(),
        "turns": record.floor().turns(),
        "usage": record.usage(),
        "rollovers": record.links().rollovers(),
        "recoveries": record.links().recoveries(),
        "lost_ms": record.links().lost_ms(),
        "end": end.to_json(),
    })
}

/// The result of a call that never began: the same fields.
pub(crate) fn of_error(error: &Error) -> Value {
    json!({
        "ok": false,
        "error": error.to_string(),
        "transcript": [],
        "tool_calls": [],
        "first_audio_ms": null,
        "audio_ms_in": 0,
        "audio_ms_out": 0,
        "barge_ins": [],
        "turns": [],
        "usage": Usage::default(),
        "rollovers": [],
        "recoveries": [],
        "lost_ms": 0,
        "end": {
            "who": error.who().name(),
            "why": error.kind().name(),
            "code": error.provider().close_code,
            "http_status": error.provider().http_status,
            "expected": false,
            "mid_turn": false,
            "unsent": {"audio_ms": 0, "commands": 0},
            "message": error.message(),
        },
    })
}

/// Prints the result as the last line of stdout; returns the exit code.
pub(crate) fn print(result: &Value, code: i32) -> i32 {
    match say(&result.to_string()) {
        Ok(()) => code,
        Err(e) => {
            warn(&format!("stdout: {e}"));
            FAILED
        }
    }
}
