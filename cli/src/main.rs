//! The `talkwire` command.

use std::process::ExitCode;

use talkwire_cli::{Stop, run};

fn main() -> ExitCode {
    let stop = Stop::new();
    let on_signal = stop.clone();
    if let Err(e) = ctrlc::set_handler(move || on_signal.set()) {
        eprintln!("talkwire: signals cannot be watched: {e}");
        return ExitCode::FAILURE;
    }
    // An argument that is no UTF-8 cannot be right; the lossy text names it in the error.
    let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    match u8::try_from(run(args, &stop)) {
        Ok(code) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}
