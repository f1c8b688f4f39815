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
    commands.extend(plugin(plan, &mut outcome)?);
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
        let output = out(&name.replace([':', ' '], "-"))?;
        let mut compile = program.compile(&output);
        compile.args(c::shared_flags()?).arg("-lm");
        if is_compiled(&mut compile, &name, outcome)? {
            commands.push((name, Command::new(output)));
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

/// The host that loads the plugin: only the plugin is built with the package.
fn plugin(plan: &Plan, outcome: &mut Outcome) -> Done<Option<(String, Command)>> {
    let name = "example plugin::host".to_owned();
    let [host, plugin] = ["host", "agent_plugin"].map(|stem| c::Program {
        source: sh::root().join(format!("examples/plugin/{stem}.c")),
        language: c::LANGUAGES[0],
    });
    if !plan.wants(&name) || !host.source.is_file() {
        return Ok(None);
    }
    // The host looks for the plugin beside itself.
    let output = out("plugin-host")?;
    let mut shared = plugin.compile(&out("agent_plugin.so")?);
    shared.args(["-shared", "-fPIC"]).args(c::shared_flags()?);
    let mut alone = host.compile(&output);
    alone.arg("-ldl");
    let is_built =
        is_compiled(&mut shared, &name, outcome)? && is_compiled(&mut alone, &name, outcome)?;
    Ok(is_built.then(|| (name, Command::new(output))))
}

fn is_compiled(compile: &mut Command, name: &str, outcome: &mut Outcome) -> Done<bool> {
    let is_good = sh::show(compile)?.success();
    if !is_good {
        outcome.add(false, format!("{name}: does not compile"));
    }
    Ok(is_good)
}

/// Where a compiled example goes.
fn out(name: &str) -> Done<PathBuf> {
    let path = sh::target_dir().join("examples").join(name);
    sh::write_file(&path, "")?;
    Ok(path)
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
        // The sound card of the tests.
        command
            .arg(&file)
            .env("PYTHONPATH", environment.with("tests/python/fakes"));
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
