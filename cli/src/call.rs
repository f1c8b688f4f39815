//! `talkwire call`: one call to any server.

use std::path::Path;

use serde_json::{Value, json};
use talkwire_core::audio::resample::resample;
use talkwire_core::audio::wav::{self, Wav};
use talkwire_core::dialect::{Dialect, Quirk};
use talkwire_core::error::{Error, Kind, Result};
use talkwire_core::event::End;
use talkwire_core::net::endpoint::Endpoint;
use talkwire_core::wire::session::Modality;
use talkwire_core::wire::{Item, Session as Settings};
use talkwire_core::{Client, Options};

use crate::args::{Call, Pace};
use crate::artifacts;
use crate::captions::Captions;
use crate::report;
use crate::stop::Stop;
use crate::talk::record::Record;
use crate::talk::uplink::Uplink;
use crate::talk::{Over, Step, Talk};

/// Silence sent beyond what the server needs to end a turn: networks are not exact.
const EXTRA_SILENCE_MS: u64 = 600;
/// Time for a server that heard nothing to say that it did.
const UNHEARD_MS: u64 = 3_000;
/// Time for a transcript that comes after the answer.
const TRANSCRIPT_MS: u64 = 2_000;
/// Time after the last answer in which another may begin.
const SETTLE_MS: u64 = 300;
/// Time in which a server that owes something shows no sign of life.
const STUCK_MS: u64 = 60_000;

/// A function that is called has to be answered, or the agent would wait for ever.
const NO_FUNCTIONS: &str = r#"{"error":"this caller runs no functions"}"#;

/// Runs the command; returns its exit code.
pub(crate) fn run(args: &Call, stop: &Stop) -> i32 {
    let (code, result) = match call(args, stop) {
        Ok(outcome) => outcome,
        Err(error) => {
            report::complain(&error);
            (report::exit_code(&error), report::of_error(&error))
        }
    };
    if args.show.json {
        return report::print(&result, code);
    }
    code
}

/// What is said, checked before anybody is called.
enum Said {
    Text(String),
    Audio(Wav),
}

fn call(args: &Call, stop: &Stop) -> Result<(i32, Value)> {
    let said = match (&args.audio, &args.text) {
        (Some(path), _) => Said::Audio(Wav::read(path)?),
        (None, text) => Said::Text(text.clone().unwrap_or_default()),
    };
    let table = args.dialect.as_deref().map(dialect_table).transpose()?;
    let dialect = dialect(table.as_deref())?;
    let mut talk = open(args, &said, table.as_deref(), &dialect, stop)?;
    talk.recording.clone_from(&args.record);
    let over = match talk.wait_until_open()? {
        Some(over) => over,
        None => converse(&mut talk, &said, args.pace)?,
    };
    let failure = failure(&talk, over, matches!(said, Said::Audio(_)));
    let (record, end) = talk.finish()?;
    if let Some(path) = &args.save {
        save(path, &record)?;
    }
    if let Some(path) = &args.transcript {
        artifacts::write_transcript(path, &record)?;
    }
    let outcome = outcome(args, over, failure, &record, &end);
    if end.http_status == Some(401) && args.api_key_env.is_none() {
        warn_of_unsent_key(&args.url, &dialect);
    }
    Ok(outcome)
}

fn outcome(
    args: &Call,
    over: Over,
    failure: Option<String>,
    record: &Record,
    end: &End,
) -> (i32, Value) {
    let by_itself = (failure.is_none() && !end.expected).then(|| end.to_error());
    let failure = failure.or_else(|| by_itself.as_ref().map(Error::to_string));
    if let Some(failure) = &failure {
        report::warn(failure);
    }
    if !args.show.json {
        for line in record.transcript() {
            let _ = report::say(&format!("{}: {}", line.role, line.text));
        }
    }
    let code = match (over, &failure, &by_itself) {
        (Over::Stopped, ..) => report::STOPPED,
        // A wrong URL is one whether it is seen before dialling or by whoever dials.
        (_, _, Some(error)) => report::exit_code(error),
        (_, Some(_), None) => report::FAILED,
        (_, None, None) => report::GOOD,
    };
    (code, report::of_call(failure.as_deref(), record, end))
}

// ---- whom to call -------------------------------------------------------------------------------

/// The text of a table's file, or a name as it is.
pub(crate) fn dialect_table(name_or_path: &str) -> Result<String> {
    if Dialect::named(name_or_path).is_some() {
        return Ok(name_or_path.to_owned());
    }
    let path = Path::new(name_or_path);
    if !path.exists() {
        let known: Vec<_> = Dialect::names().collect();
        let known = known.join(", ");
        let message = format!(
            "no dialect is named `{name_or_path}` and there is no such file: there are {known}"
        );
        return Err(Error::new(Kind::Config, message));
    }
    std::fs::read_to_string(path)
        .map_err(|e| Error::new(Kind::Io, format!("{}: {e}", path.display())))
}

/// The dialect of a name or of a table's text; the default one otherwise.
pub(crate) fn dialect(table: Option<&str>) -> Result<std::sync::Arc<Dialect>> {
    match table {
        None => Ok(Dialect::default_dialect()),
        Some(table) => match Dialect::named(table) {
            Some(dialect) => Ok(dialect),
            None => Dialect::from_json(table).map(std::sync::Arc::new),
        },
    }
}

/// Dials. Only the library knows which URLs need no credential: the usual variable is read when it
/// asks for one, so that a key which lies around is never sent to a local server.
fn open(
    args: &Call,
    said: &Said,
    table: Option<&str>,
    dialect: &Dialect,
    stop: &Stop,
) -> Result<Talk> {
    let client = client(args, table)?;
    let dial = |client: &Client| {
        let captions = Captions::new(args.show.captions);
        Talk::open(
            client,
            dialect,
            options(args, said, dialect),
            captions,
            stop,
        )
    };
    match dial(&client) {
        Err(error) if error.kind() == Kind::Auth && args.api_key_env.is_none() => {
            let usual = dialect.table().key_env.as_deref();
            match usual.and_then(credential) {
                Some(key) => dial(&client.key(key)),
                None => Err(error),
            }
        }
        dialled => dialled,
    }
}

/// Says why a server on this machine got no credential, if there is one.
pub(crate) fn warn_of_unsent_key(url: &str, dialect: &Dialect) {
    let usual = dialect.table().key_env.as_deref();
    let usual = usual.filter(|usual| credential(usual).is_some());
    let is_here = Endpoint::parse(url).is_ok_and(|endpoint| endpoint.is_loopback());
    if let Some(usual) = usual.filter(|_| is_here) {
        report::warn(&format!(
            "the credential in {usual} is not sent to a server on this machine unless \
             --api-key-env {usual} says so"
        ));
    }
}

fn client(args: &Call, table: Option<&str>) -> Result<Client> {
    let mut client = Client::new().url(&args.url);
    if let Some(table) = table {
        client = client.dialect(table)?;
    }
    if let Some(variable) = &args.api_key_env {
        let missing = || {
            let message = format!("no credential: set the environment variable {variable}");
            Error::new(Kind::Auth, message)
        };
        client = client.key(credential(variable).ok_or_else(missing)?);
    }
    if let Some(path) = &args.ca {
        client = client.extra_ca(file(path)?);
    }
    Ok(client)
}

/// The bytes of a file that an option names.
pub(crate) fn file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::new(Kind::Io, format!("{}: {e}", path.display())))
}

/// What an environment variable holds, unless it is empty.
pub(crate) fn credential(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|key| !key.is_empty())
}

fn options(args: &Call, said: &Said, dialect: &Dialect) -> Options {
    let is_spoken = matches!(said, Said::Audio(_)) || args.save.is_some();
    let modality = if is_spoken {
        Modality::Audio
    } else {
        Modality::Text
    };
    let mut settings = Settings::new().modality(modality);
    // Elsewhere transcripts of the customer come without being asked for.
    if matches!(said, Said::Audio(_)) && !dialect.has(Quirk::GrowingTranscripts) {
        settings = settings.set("/audio/input/transcription", json!({}));
    }
    let mut options = Options::default();
    options.model.clone_from(&args.model);
    options.folder.clone_from(&args.folder);
    options.session = settings;
    if let Said::Audio(wav) = said {
        // A file that is sent as fast as possible waits here as a whole.
        options.uplink_max_ms = options.uplink_max_ms.max(wav.duration_ms() + 60_000);
    }
    options
}

// ---- the call -----------------------------------------------------------------------------------

fn converse(talk: &mut Talk, said: &Said, pace: Pace) -> Result<Over> {
    match said {
        Said::Text(text) => {
            talk.create(Item::user_text(text))?;
            talk.respond()?;
            talk.go_on(|talk, event| {
                talk.answer_calls(event, NO_FUNCTIONS)?;
                Ok(next(talk))
            })
        }
        Said::Audio(wav) => speak(talk, wav, pace),
    }
}

fn speak(talk: &mut Talk, wav: &Wav, pace: Pace) -> Result<Over> {
    let format = talk.record.agreed().input_format();
    let samples = resample(&wav.to_mono(), wav.rate_hz, format.rate_hz())?;
    let mut uplink = Uplink::new(format, pace, Vec::new());
    uplink.speak(&samples);
    talk.speak(uplink)?;
    let mut is_committed = false;
    talk.go_on(|talk, event| {
        talk.answer_calls(event, NO_FUNCTIONS)?;
        let quiet_ms = talk.uplink.as_ref().map_or(0, Uplink::quiet_ms);
        match talk.record.agreed().turn_silence_ms() {
            None if quiet_ms > 0 && !is_committed => {
                is_committed = true;
                if let Some(uplink) = &mut talk.uplink {
                    uplink.hold();
                }
                talk.commit()?;
                talk.respond()?;
                Ok(Step::GoOn)
            }
            None if !is_committed => Ok(Step::GoOn),
            None => Ok(next(talk)),
            Some(silence_ms) if quiet_ms < silence_ms + EXTRA_SILENCE_MS => Ok(Step::GoOn),
            Some(silence_ms) => {
                let is_unheard = talk.waits.turns() == 0 && !talk.waits.is_speaking();
                let given_ms = silence_ms + UNHEARD_MS;
                Ok(match is_unheard && quiet_ms < given_ms {
                    true => Step::GoOn,
                    false => next(talk),
                })
            }
        }
    })
}

/// Whether everything that was said is answered, and everything that was answered was heard.
fn next(talk: &Talk) -> Step {
    if talk.is_sounding() {
        return Step::GoOn;
    }
    let quiet_ms = talk.waits.quiet_ms(talk.now_ms());
    let enough_ms = match (talk.waits.is_nothing(), talk.waits.is_unheard()) {
        (false, _) => STUCK_MS,
        (true, true) => TRANSCRIPT_MS,
        (true, false) => SETTLE_MS,
    };
    if quiet_ms >= enough_ms {
        Step::HangUp
    } else {
        Step::GoOn
    }
}

/// Why the call was no good, if it was none.
fn failure(talk: &Talk, over: Over, is_spoken: bool) -> Option<String> {
    let waits = &talk.waits;
    match over {
        Over::Stopped => Some("stopped".to_owned()),
        Over::Ended => None,
        Over::HungUp if !waits.is_nothing() => {
            let seconds = STUCK_MS / 1000;
            Some(format!(
                "the server did not finish its answer: nothing came for {seconds} s"
            ))
        }
        Over::HungUp if waits.failure().is_some() => waits.failure().map(str::to_owned),
        Over::HungUp if waits.answers() > 0 => None,
        Over::HungUp if is_spoken && waits.turns() == 0 => {
            Some("the server heard no speech in the file".to_owned())
        }
        Over::HungUp => Some("the server gave no answer".to_owned()),
    }
}

fn save(path: &Path, record: &Record) -> Result<()> {
    let playout = record.playout();
    wav::write(path, playout.rate_hz(), 1, playout.all())
}
