//! `talkwire demo`: one spoken order by telephone, on a local server in this process.
//!
//! | file | what it does |
//! |---|---|
//! | `order` | the call: who says what, in which recording, and the server's script for it |
//! | `live` | programs that recognise and speak instead of the recordings |

mod live;
mod order;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use talkwire_core::dialect::Dialect;
use talkwire_core::error::{Error, Kind, Result};
use talkwire_core::event::End;
use talkwire_core::{Client, Options};
use talkwire_server::{Config, LocalServer, Pacing};

use crate::args::{Demo, Lang, Pace};
use crate::artifacts;
use crate::captions::Captions;
use crate::report;
use crate::stop::Stop;
use crate::talk::record::Record;
use crate::talk::uplink::Uplink;
use crate::talk::{Over, Step, Talk};
use live::Programs;
use order::{Order, Recordings};

/// People wait about this long before they answer.
const PAUSE_MS: u64 = 700;
/// The answer in whose middle the customer speaks: the order is placed by then.
const CUT_SHORT: usize = 2;
/// What the customer hears of it: what was written down, in the middle of the rest.
const ENOUGH_MS: u64 = 3_300;
/// Time before the customer hangs up.
const GOODBYE_MS: u64 = 1_200;
/// Time without any event after which the call has failed.
const STUCK_MS: u64 = 30_000;

/// Runs the command; returns its exit code.
pub(crate) fn run(args: &Demo, stop: &Stop) -> i32 {
    let (code, result) = match demo(args, stop) {
        Ok(outcome) => outcome,
        Err(error) => {
            report::complain(&error);
            (report::exit_code(&error), report::of_error(&error))
        }
    };
    if args.show.json {
        return report::print(&result, code);
    }
    match result["artifacts"]["call.wav"].as_str() {
        Some(path) => {
            let dir = Path::new(path).parent().unwrap_or_else(|| Path::new("."));
            let line = format!(
                "recording, transcripts, events and picture of the call are in {}",
                dir.display()
            );
            report::say(&line).map_or(report::FAILED, |()| code)
        }
        None => code,
    }
}

fn demo(args: &Demo, stop: &Stop) -> Result<(i32, Value)> {
    let programs = args.live.then(|| Programs::find(args.lang)).transpose()?;
    let lang = match (args.lang, &programs) {
        (Some(lang), _) => lang,
        (None, Some(_)) => Lang::En,
        (None, None) => Lang::Ru,
    };
    let order = Order::new(lang)?;
    let recordings = Recordings::unpack(&order)?;
    let mut config = config(&order, &recordings, programs.as_ref());
    if let Some(seconds) = args.lifetime {
        config = config.lifetime(Duration::from_secs(seconds));
    }
    let server = LocalServer::start(config)?;
    let mut captions = Captions::new(args.show.captions);
    if let Some(programs) = &programs {
        captions.line(0, "live", &programs.to_string());
    }
    let mut options = Options::default();
    let input_hz = programs.as_ref().map(Programs::input_hz);
    options.session.merge(&order.settings(input_hz));
    let client = Client::new().url(server.url());
    let dialect = Dialect::default_dialect();
    let mut talk = Talk::open(&client, &dialect, options, captions, stop)?;
    let over = match talk.wait_until_open()? {
        Some(over) => over,
        None => converse(&mut talk, &order)?,
    };
    let failure = failure(&talk, over, &order);
    let (record, end) = talk.finish()?;
    server.stop();
    let mut result = outcome(over, failure, &record, &end);
    result.1["artifacts"] = artifacts::write(&args.out, &record)?;
    if let Some(programs) = &programs {
        result.1["live"] = programs.to_json();
    }
    Ok(result)
}

fn outcome(over: Over, failure: Option<String>, record: &Record, end: &End) -> (i32, Value) {
    let failure = failure.or_else(|| (!end.expected).then(|| end.to_error().to_string()));
    if let Some(failure) = &failure {
        report::warn(failure);
    }
    let code = match (over, &failure) {
        (Over::Stopped, _) => report::STOPPED,
        (_, Some(_)) => report::FAILED,
        (_, None) => report::GOOD,
    };
    (code, report::of_call(failure.as_deref(), record, end))
}

fn config(order: &Order, recordings: &Recordings, programs: Option<&Programs>) -> Config {
    let config = Config::new()
        .script_text(order.script(programs.is_none()), recordings.dir())
        // As services do, it sends faster than anybody listens.
        .pacing(Pacing::Instant);
    match programs {
        Some(programs) => config.ears(programs.ears()).voice(programs.voice()),
        None => config,
    }
}

// ---- the call -----------------------------------------------------------------------------------

fn converse(talk: &mut Talk, order: &Order) -> Result<Over> {
    let format = talk.record.agreed().input_format();
    let mut uplink = Uplink::new(format, Pace::Real, order.quiet(format.rate_hz())?);
    let lines = order.customer(format.rate_hz())?;
    uplink.speak(&lines[0]);
    talk.speak(uplink)?;
    let mut said = 1;
    let mut is_changed = false;
    let output = order.result().to_string();
    talk.go_on(|talk, event| {
        talk.answer_calls(event, &output)?;
        if !is_changed && talk.waits.answers() == 1 && !talk.waits.is_answering() {
            is_changed = true;
            talk.update(order.later())?;
        }
        let pause_ms = heard_out_ms(talk, said);
        match pause_ms {
            _ if said < lines.len() && (pause_ms >= Some(PAUSE_MS) || has_enough(talk, said)) => {
                if let Some(uplink) = &mut talk.uplink {
                    uplink.speak(&lines[said]);
                }
                said += 1;
            }
            Some(ms) if said == lines.len() && ms >= GOODBYE_MS => return Ok(Step::HangUp),
            _ if talk.waits.quiet_ms(talk.now_ms()) > STUCK_MS => return Ok(Step::HangUp),
            _ => {}
        }
        Ok(Step::GoOn)
    })
}

/// Whether the customer interrupts the agent, who says what the customer need not hear.
fn has_enough(talk: &Talk, said: usize) -> bool {
    let is_answered = talk.waits.turns() as usize >= said;
    said == CUT_SHORT && is_answered && talk.record.playout().sounding_ms() >= Some(ENOUGH_MS)
}

/// How long ago the customer heard the end of the answer to turn `said`.
fn heard_out_ms(talk: &Talk, said: usize) -> Option<u64> {
    let is_quiet = talk.uplink.as_ref().is_some_and(|u| u.quiet_ms() > 0);
    let is_answered = talk.waits.is_nothing() && talk.waits.turns() as usize >= said;
    let since = talk.now_ms().checked_sub(talk.record.playout().ends_ms())?;
    (is_quiet && is_answered).then_some(since)
}

fn failure(talk: &Talk, over: Over, order: &Order) -> Option<String> {
    if over == Over::Stopped {
        return Some("stopped".to_owned());
    }
    // The end says more than the error before it.
    if over == Over::Ended {
        return None;
    }
    if let Some(failure) = talk.waits.failure() {
        return Some(failure.to_owned());
    }
    let texts = talk.record.transcript();
    let understood = texts.iter().filter(|u| !u.text.is_empty()).count();
    let calls = talk.record.tool_calls().len();
    if understood != order.lines() || calls != 1 {
        return Some(format!(
            "the call did not go as planned: {understood} of {} lines, {calls} function calls",
            order.lines()
        ));
    }
    None
}

/// An error about a file that is part of this program.
fn broken(what: &str) -> Error {
    Error::new(Kind::Panic, format!("the demo's own {what} cannot be read"))
}
