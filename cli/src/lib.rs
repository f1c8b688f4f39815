//! The `talkwire` command as a library function, so that other languages install the same command.
//!
//! | file | what it does |
//! |---|---|
//! | `args` | the command line |
//! | `serve`, `call`, `demo`, `cassette`, `check` | the commands |
//! | `talk` | one conversation as it happens: audio out and in, and a record of everything |
//! | `captions` | what people see meanwhile, on stderr |
//! | `report` | the JSON result and the exit codes |
//! | `artifacts` | recordings, transcripts, the event log and the picture of a call |
//! | [`Stop`] | the wish to stop |

mod args;
mod artifacts;
mod call;
mod captions;
mod cassette;
mod check;
mod demo;
mod report;
mod serve;
mod stop;
mod talk;

use clap::Parser;

pub use stop::Stop;

use clap::error::ErrorKind;
use talkwire_core::error::{Error, Kind};

use args::{Args, Command};

/// Runs the command with `args`, the program's name first, and returns its exit code: 0 for
/// success, 1 for a failed call, 2 for what is wrong with the command line or a file, 130 when
/// stopped. Blocks until it is done or `stop` is set; never ends the process.
pub fn run(args: impl IntoIterator<Item = String>, stop: &Stop) -> i32 {
    let args: Vec<_> = args.into_iter().collect();
    // Looked for as a word: arguments that cannot be read may hold it anywhere.
    let is_json = args.iter().any(|arg| arg == "--json");
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => return misused(&error, is_json),
    };
    match args.command {
        Command::Serve(serve) => serve::run(&serve, stop),
        Command::Call(call) => call::run(&call, stop),
        Command::Demo(demo) => demo::run(&demo, stop),
        Command::Record(record) => cassette::record(&record, stop),
        Command::Replay(replay) => cassette::replay(&replay, stop),
        Command::CheckServer(check) => check::server(&check),
        Command::CheckClient(check) => check::client(&check, stop),
    }
}

/// Help and version come as errors, too; they go to stdout and are no failure.
fn misused(error: &clap::Error, is_json: bool) -> i32 {
    let _ = error.print();
    let is_asked_for = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if !is_json || is_asked_for {
        return error.exit_code();
    }
    let error = Error::new(Kind::Argument, first_paragraph(&error.to_string()));
    report::print(&report::of_error(&error), report::WRONG_INPUT)
}

/// What is wrong, in one line, without the usage below it.
fn first_paragraph(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines = text.lines().map(str::trim);
    let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    lines.join(" ")
}
