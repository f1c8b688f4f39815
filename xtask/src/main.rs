//! Build, test, install and demo commands of this repository.
//!
//! `cargo xtask` without arguments lists them. Nothing here is shipped.

mod c;
mod deep;
mod demo;
mod events;
mod examples;
mod faces;
mod generate;
mod install;
mod nightly;
mod notes;
mod python;
mod render;
mod report;
mod rust;
mod sh;
mod skips;
mod test;

use std::process::ExitCode;

/// What went wrong, in one message for people.
type Failure = String;

/// Results of the commands.
type Done<T = ()> = Result<T, Failure>;

struct Command {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Done<ExitCode>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        usage: "test [--deep] [--step STEP] [NAME]",
        about: "run everything: Rust, C, C++, Python, examples; --deep for the full numbers",
        run: test::command,
    },
    Command {
        name: "demo",
        usage: "demo [ARGS...]",
        about: "build the command and run `talkwire demo` (default: --out target/demo)",
        run: demo::command,
    },
    Command {
        name: "install",
        usage: "install --prefix DIR [--debug]",
        about: "install libraries, headers, pkg-config and CMake files and the command",
        run: install::command,
    },
    Command {
        name: "abi",
        usage: "abi",
        about: "write the binary interface of the C library down, if its soname allows the change",
        run: c::abi_command,
    },
    Command {
        name: "generate",
        usage: "generate [--check]",
        about: "write the generated files, or prove them current",
        run: generate::command,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(command) = args
        .first()
        .and_then(|name| COMMANDS.iter().find(|c| c.name == name))
    else {
        return help(args.first().map(String::as_str));
    };
    match (command.run)(&args[1..]) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn help(asked: Option<&str>) -> ExitCode {
    let wanted = matches!(asked, None | Some("help" | "-h" | "--help"));
    if !wanted {
        eprintln!(
            "error: there is no command `{}`\n",
            asked.unwrap_or_default()
        );
    }
    println!("Usage: cargo xtask <command>\n");
    for command in COMMANDS {
        println!("  {:<32} {}", command.usage, command.about);
    }
    if wanted {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    }
}
