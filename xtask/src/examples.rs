//! The programs of examples/, each run against `talkwire serve` with `--url URL`.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::report::Outcome;
use crate::test::{self, Plan};
use crate::{Done, c, python, sh};

/// Whether there are examples in C or C++, which need the staged package, or in other languages.
pub(crate) fn is_present() -> bool {
    !c::programs("examples").is_empty() || !rust_examples().is_empty() || has_python()
}

/// Whether there are examples in Python.
pub(crate) fn has_python() -> bool {
    !python_examples().is_empty()
}

fn rust_examples() -> Vec<PathBuf> {
    sh::files(&sh::root().join("examples/rust"), &["rs"])
}

fn python_examples() -> Vec<PathBuf> {
    sh::files(&sh::root().join("examples/python"), &["py"])
}

/// Builds and runs every example.
pub(crate) fn run(plan: &Plan) -> Done<Outcome> {
    let mut outcome = Outcome::default();
    let mut commands = compiled(plan, &mut outcome)?;
    commands.extend(interpreted(plan)?);
    if commands.is_empty() {
        return Ok(outcome);
    }
    let server = Server::start()?;
    for (name, mut command) in commands {
        command.arg("--url").arg(&server.url);
        c::execute(plan, &name, command, &mut outcome)?;
    }
    outcome.add(
        server.stop()?,
        "talkwire serve: SIGTERM did not end it cleanly",
    );
    Ok(outcome)
}

/// The examples in C, C++ and Rust; C and C++ as a stranger builds them, by pkg-config.
fn compiled(plan: &Plan, outcome: &mut Outcome) -> Done<Vec<(String, Command)>> {
    let mut commands = Vec::new();
    for program in c::programs("examples") {
        let name = format!(
            "example {}::{}",
            program.language.name,
            sh::stem(&program.source)
        );
        if !plan.wants(&name) {
            continue;
        }
        let output = sh::target_dir()
            .join("examples")
            .join(name.replace([':', ' '], "-"));
        sh::write_file(&output, "")?;
        let mut compile = program.compile(&output);
        compile.args(c::shared_flags()?).arg("-lm");
        if sh::show(&mut compile)?.success() {
            commands.push((name, Command::new(output)));
        } else {
            outcome.add(false, format!("{name}: does not compile"));
        }
    }
    for source in rust_examples() {
        let name = format!("example rust::{}", sh::stem(&source));
        let binary = sh::target_dir()
            .join("debug/examples")
            .join(sh::stem(&source));
        if plan.wants(&name) {
            commands.push((name, Command::new(binary)));
        }
    }
    Ok(commands)
}

fn interpreted(plan: &Plan) -> Done<Vec<(String, Command)>> {
    let name = |file: &PathBuf| format!("example python::{}", sh::stem(file));
    let files: Vec<_> = python_examples()
        .into_iter()
        .filter(|file| plan.wants(&name(file)))
        .collect();
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let environment = python::environment()?;
    let command = |file: PathBuf| {
        let mut command = environment.command();
        command.arg(&file);
        (name(&file), command)
    };
    Ok(files.into_iter().map(command).collect())
}

/// A running `talkwire serve`.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Done<Self> {
        let mut child = Command::new(test::binary())
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot run talkwire serve: {e}"))?;
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let read = stdout.read_line(&mut line);
        // Whatever it prints later must not block it.
        std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        let url = line.trim().strip_prefix("listening on ").map(str::to_owned);
        match (read, url) {
            (Ok(_), Some(url)) => Ok(Self { child, url }),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!(
                    "talkwire serve did not say where it listens, but `{}`",
                    line.trim()
                ))
            }
        }
    }

    /// Whether SIGTERM ended it with exit code 0 in time.
    fn stop(mut self) -> Done<bool> {
        sh::terminate(&self.child)?;
        let status = sh::wait(&mut self.child, Some(Duration::from_secs(10)))?;
        Ok(status.is_some_and(|s| s.success()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended on the good path; on any other it must not outlive us.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
