//! `cargo xtask demo`: builds the command and runs `talkwire demo`.

use std::process::{Command, ExitCode};

use crate::{Done, sh, test};

/// `demo [ARGS...]`, all handed on.
pub(crate) fn command(args: &[String]) -> Done<ExitCode> {
    sh::require("cc")?;
    let mut build = sh::cargo();
    build.args(["build", "-p", "talkwire-cli", "--bin", "talkwire"]);
    if !status(&mut build)? {
        return Ok(ExitCode::FAILURE);
    }
    let mut demo = Command::new(test::binary());
    demo.arg("demo").args(args);
    if !args
        .iter()
        .any(|arg| arg == "--out" || arg.starts_with("--out="))
    {
        demo.arg("--out").arg(sh::target_dir().join("demo"));
    }
    Ok(if status(&mut demo)? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn status(command: &mut Command) -> Done<bool> {
    let status = command.status();
    status
        .map(|s| s.success())
        .map_err(|e| format!("cannot run {}: {e}", sh::describe(command)))
}
