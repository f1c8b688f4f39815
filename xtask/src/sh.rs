//! Running commands and finding tools.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Done;

/// Debian packages of the tools that are not named like their package.
const PACKAGES: &[(&str, &str)] = &[
    ("cc", "gcc"),
    ("c++", "g++"),
    ("python3", "python3 (3.11 or newer)"),
    ("clang++", "clang"),
    ("abidw", "abigail-tools"),
];

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the root")
        .to_path_buf()
}

/// Where cargo puts its artifacts.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The cargo that runs us, so that a toolchain chosen on the command line stays chosen.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// The path of `program`, if it is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// The path of a required `program`, or an error that names the package to install.
pub(crate) fn require(program: &str) -> Done<PathBuf> {
    find(program).ok_or_else(|| missing(program))
}

/// The error for a tool that is not installed.
pub(crate) fn missing(program: &str) -> String {
    let package = package_of(program);
    format!("`{program}` is not installed; on Debian or Ubuntu: apt-get install {package}")
}

fn package_of(program: &str) -> &str {
    PACKAGES
        .iter()
        .find(|(name, _)| *name == program)
        .map_or(program, |(_, package)| package)
}

/// A finished command with all it printed, standard error after standard output.
pub(crate) struct Finished {
    pub(crate) status: Option<ExitStatus>,
    pub(crate) output: String,
}

impl Finished {
    /// Whether the command exited with 0 in time.
    pub(crate) fn success(&self) -> bool {
        self.status.is_some_and(|s| s.success())
    }

    /// The exit code; `None` when a signal or our time limit ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.and_then(|s| s.code())
    }
}

/// Runs `command` to its end and shows what it prints as it prints it.
pub(crate) fn show(command: &mut Command) -> Done<Finished> {
    run(command, true, None)
}

/// Runs `command` to its end silently; `limit` kills it.
pub(crate) fn capture(command: &mut Command, limit: Option<Duration>) -> Done<Finished> {
    run(command, false, limit)
}

/// Runs `command` silently and returns its standard output, or an error with everything it said.
pub(crate) fn read(command: &mut Command) -> Done<String> {
    let finished = capture(command, None)?;
    if finished.success() {
        Ok(finished.output)
    } else {
        Err(format!(
            "{} failed:\n{}",
            describe(command),
            finished.output.trim_end()
        ))
    }
}

/// The command line of `command`, for messages.
pub(crate) fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|w| w.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

fn run(command: &mut Command, shown: bool, limit: Option<Duration>) -> Done<Finished> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot run {}: {e}", describe(command)))?;
    let out = tee(child.stdout.take().expect("stdout is piped"), shown);
    let err = tee(child.stderr.take().expect("stderr is piped"), shown);
    let status = wait(&mut child, limit)?;
    let mut output = out.join().map_err(|_| "a reader thread died")?;
    output.push_str(&err.join().map_err(|_| "a reader thread died")?);
    Ok(Finished { status, output })
}

fn tee(pipe: impl Read + Send + 'static, shown: bool) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut seen = String::new();
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line);
            if shown {
                let mut stdout = std::io::stdout().lock();
                // Whoever closed our output does not want to see more; the run goes on.
                let _ = stdout
                    .write_all(text.as_bytes())
                    .and_then(|()| stdout.flush());
            }
            seen.push_str(&text);
            line.clear();
        }
        seen
    })
}

/// Waits for the end of `child`; `None` when `limit` had to kill it.
pub(crate) fn wait(child: &mut Child, limit: Option<Duration>) -> Done<Option<ExitStatus>> {
    let Some(limit) = limit else {
        return child.wait().map(Some).map_err(|e| e.to_string());
    };
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().map_err(|e| e.to_string())?;
    child.wait().map_err(|e| e.to_string())?;
    Ok(None)
}

/// Asks `child` to end as a terminal or a service manager would.
pub(crate) fn terminate(child: &Child) -> Done {
    // The shell's own `kill`: a minimal machine has no /bin/kill.
    read(
        Command::new("sh")
            .arg("-c")
            .arg(format!("kill -TERM {}", child.id())),
    )
    .map(|_| ())
}

/// The files of `dir` (not of its sub-directories) with one of `extensions`, sorted.
pub(crate) fn files(dir: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let has_extension = |p: &PathBuf| {
        p.extension()
            .is_some_and(|e| extensions.iter().any(|x| e == *x))
    };
    let mut found: Vec<_> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.is_file() && has_extension(p))
        .collect();
    found.sort();
    found
}

/// The file name without directory and extension.
pub(crate) fn stem(file: &Path) -> String {
    file.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Reads a text file; the error names it.
pub(crate) fn read_file(file: &Path) -> Done<String> {
    std::fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))
}

/// Writes a file and the directories above it; the error names it.
pub(crate) fn write_file(file: &Path, text: impl AsRef<[u8]>) -> Done {
    let dir = file.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(file, text))
        .map_err(|e| format!("cannot write {}: {e}", file.display()))
}

/// Copies a file and makes the directories above it; the error names it.
pub(crate) fn copy_file(from: &Path, to: &Path) -> Done {
    let dir = to.parent().unwrap_or_else(|| Path::new("."));
    let fail = |e| format!("cannot copy {} to {}: {e}", from.display(), to.display());
    std::fs::create_dir_all(dir).map_err(fail)?;
    // A running program cannot be overwritten in place, but its name can be given away.
    if to.exists() {
        std::fs::remove_file(to).map_err(fail)?;
    }
    std::fs::copy(from, to).map(|_| ()).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_names_the_debian_package() {
        let error = require("c++-of-nobody").unwrap_err();
        assert!(error.contains("apt-get install c++-of-nobody"), "{error}");
        assert!(missing("c++").ends_with("apt-get install g++"));
    }

    #[test]
    fn a_command_that_outlives_its_limit_is_killed_and_has_no_status() {
        let mut forever = Command::new("tail");
        forever.args(["-f", "/dev/null"]);
        let finished = capture(&mut forever, Some(Duration::from_millis(50))).unwrap();
        assert!(finished.status.is_none() && !finished.success());
    }

    #[test]
    fn output_and_exit_code_of_a_command_are_kept() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 77"]);
        let finished = capture(&mut command, None).unwrap();
        assert_eq!(
            (finished.code(), finished.output.as_str()),
            (Some(77), "out\nerr\n")
        );
    }
}
