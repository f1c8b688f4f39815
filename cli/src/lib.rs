//! The `talkwire` command as a library function, so that other languages install the same command.
//!
//! | file | what it does |
//! |---|---|
//! | `args` | the command line |
//! | `serve`, `call`, `demo` | the three commands |
//! | `talk` | one conversation as it happens: audio out and in, and a record of everything |
//! | `captions` | what people see meanwhile, on stderr |
//! | `report` | the JSON result and the exit codes |
//! | `artifacts` | recordings, transcripts, the event log and the picture of a call |
//! | [`Stop`] | the wish to stop |

mod args;
mod artifacts;
mod call;
mod captions;
mod demo;
mod report;
mod serve;
mod stop;
mod talk;

use clap::Parser;

pub use stop::Stop;

use args::{Args, Command};

/// Runs the command with `args`, the program's name first, and returns its exit code: 0 for
/// success, 1 for a failed call, 2 for what is wrong with the command line or a file, 130 when
/// stopped. Blocks until it is done or `stop` is set; never ends the process.
pub fn run(args: impl IntoIterator<Item = String>, stop: &Stop) -> i32 {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // Help and version come as errors, too; they go to stdout.
            let _ = error.print();
            return error.exit_code();
        }
    };
    match args.command {
        Command::Serve(serve) => serve::run(&serve, stop),
        Command::Call(call) => call::run(&call, stop),
        Command::Demo(demo) => demo::run(&demo, stop),
    }
}
