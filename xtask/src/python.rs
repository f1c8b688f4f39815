//! The Python package, staged beside its native module, and its tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::report::Outcome;
use crate::rust::count;
use crate::test::Plan;
use crate::{Done, sh};

const REQUIREMENTS: &str = "tests/python/requirements.txt";
const OLDEST: (u32, u32) = (3, 11);
/// The first that is one without the lock as a matter of course.
const FREE_THREADED: (u32, u32) = (3, 14);

/// Whether there are tests of the Python package.
pub(crate) fn is_present() -> bool {
    has_tests("tests/python")
}

/// Whether tests/e2e is driven by pytest.
pub(crate) fn has_e2e() -> bool {
    has_tests("tests/e2e")
}

fn has_tests(dir: &str) -> bool {
    sh::files(&sh::root().join(dir), &["py"])
        .iter()
        .any(|f| sh::stem(f).starts_with("test_"))
}

/// An interpreter of at least 3.11, or an error that names the package.
pub(crate) fn interpreter() -> Done<PathBuf> {
    let versioned = (OLDEST.1..=OLDEST.1 + 9)
        .rev()
        .map(|minor| format!("python3.{minor}"));
    let names = std::iter::once("python3".to_owned()).chain(versioned);
    let mut found = names.filter_map(|name| sh::find(&name));
    found
        .find(|path| version(path).is_some_and(|v| v >= OLDEST))
        .ok_or_else(|| {
            "no Python 3.11 or newer is installed; on Debian or Ubuntu: \
         apt-get install python3 python3-venv"
                .into()
        })
}

fn version(python: &Path) -> Option<(u32, u32)> {
    let mut command = Command::new(python);
    command.args([
        "-c",
        "import sys; print(sys.version_info[0], sys.version_info[1])",
    ]);
    let text = sh::read(&mut command).ok()?;
    let (major, minor) = text.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A virtual environment with the test requirements, and the staged package.
pub(crate) struct Environment {
    python: PathBuf,
    packages: PathBuf,
}

impl Environment {
    /// The interpreter, ready to import `talkwire`.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.current_dir(sh::root());
        command
            .env("PYTHONPATH", &self.packages)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

impl Environment {
    /// Where packages are looked for, with one more place of the repository.
    pub(crate) fn with(&self, place: &str) -> std::ffi::OsString {
        let places = [self.packages.clone(), sh::root().join(place)];
        std::env::join_paths(places).expect("paths without colons")
    }
}

/// The environment of the interpreter that is found first.
pub(crate) fn environment() -> Done<Environment> {
    let target = sh::target_dir();
    let native = target.join("debug/lib_native.so");
    let package = stage(&target.join("python"), &native, "_native.abi3.so")?;
    made(&target.join("venv"), interpreter, package)
}

/// Makes or renews a virtual environment.
fn made(
    venv: &Path,
    interpreter: impl FnOnce() -> Done<PathBuf>,
    packages: PathBuf,
) -> Done<Environment> {
    let python = venv.join("bin/python");
    if version(&python).is_none_or(|v| v < OLDEST) {
        create(venv, &interpreter()?)?;
    }
    requirements(venv, &python)?;
    Ok(Environment { python, packages })
}

fn create(venv: &Path, interpreter: &Path) -> Done {
    let mut command = Command::new(interpreter);
    command.args(["-m", "venv", "--clear"]).arg(venv);
    sh::read(&mut command).map(|_| ()).map_err(|e| {
        format!("{e}\nif ensurepip is missing, on Debian or Ubuntu: apt-get install python3-venv")
    })
}

/// Installs the pinned requirements, unless the environment has exactly them.
fn requirements(venv: &Path, python: &Path) -> Done {
    let file = sh::root().join(REQUIREMENTS);
    let wanted = sh::read_file(&file)?;
    let stamp = venv.join("requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
    ])
    .arg(&file);
    sh::read(&mut pip)?;
    sh::write_file(&stamp, wanted)
}

/// Copies the package and its native module.
fn stage(packages: &Path, native: &Path, name: &str) -> Done<PathBuf> {
    let package = packages.join("talkwire");
    if package.exists() {
        std::fs::remove_dir_all(&package).map_err(|e| format!("{}: {e}", package.display()))?;
    }
    copy_tree(&sh::root().join("py/python/talkwire"), &package)?;
    sh::copy_file(native, &package.join(name))?;
    Ok(packages.to_path_buf())
}

fn copy_tree(from: &Path, to: &Path) -> Done {
    let entries = std::fs::read_dir(from).map_err(|e| format!("{}: {e}", from.display()))?;
    for entry in entries {
        let path = entry.map_err(|e| e.to_string())?.path();
        let name = path.file_name().expect("a directory entry has a name");
        if name == "__pycache__" {
            continue;
        }
        if path.is_dir() {
            copy_tree(&path, &to.join(name))?;
        } else {
            sh::copy_file(&path, &to.join(name))?;
        }
    }
    Ok(())
}

/// The tests of the Python package.
pub(crate) fn tests(plan: &Plan) -> Done<Outcome> {
    pytest(plan, environment()?.command(), "tests/python")
}

/// The script that is told in every language.
pub(crate) fn e2e(plan: &Plan) -> Done<Outcome> {
    pytest(plan, environment()?.command(), "tests/e2e")
}

/// The tests of the Python package where threads of Python run at once.
pub(crate) fn free_threaded(plan: &Plan) -> Done<Outcome> {
    let Ok(python) = free_threaded_interpreter() else {
        let mut outcome = Outcome::default();
        outcome.skip(
            "free-threaded python",
            "no python3.14t or newer is installed",
        );
        return Ok(outcome);
    };
    let target = sh::target_dir().join("free-threaded");
    let mut cargo = sh::cargo();
    cargo.args(["build", "--quiet", "-p", "talkwire-py", "--target-dir"]);
    cargo.arg(&target).env("PYO3_PYTHON", &python);
    sh::read(&mut cargo)?;
    let native = target.join("debug/lib_native.so");
    let package = stage(&target.join("python"), &native, "_native.so")?;
    let environment = made(&target.join("venv"), || Ok(python), package)?;
    pytest(plan, environment.command(), "tests/python")
}

/// An interpreter without the global lock, of the path or of pyenv.
fn free_threaded_interpreter() -> Done<PathBuf> {
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| Some(std::env::home_dir()?.join(".pyenv")));
    let versions = pyenv.and_then(|root| std::fs::read_dir(root.join("versions")).ok());
    let of_pyenv = versions.into_iter().flatten().flatten();
    let of_pyenv = of_pyenv.map(|version| version.path().join("bin/python3"));
    let names = (FREE_THREADED.1..=FREE_THREADED.1 + 9).map(|minor| format!("python3.{minor}t"));
    names
        .filter_map(|name| sh::find(&name))
        .chain(of_pyenv)
        .find(|python| is_free_threaded(python))
        .ok_or_else(|| "no free-threaded Python".into())
}

fn is_free_threaded(python: &Path) -> bool {
    let ask = "import sys, sysconfig; \
               sys.exit(not sysconfig.get_config_var('Py_GIL_DISABLED'))";
    let asked = sh::capture(Command::new(python).args(["-c", ask]), None);
    asked.is_ok_and(|finished| finished.success())
        && version(python).is_some_and(|v| v >= FREE_THREADED)
}

fn pytest(plan: &Plan, mut command: Command, dir: &str) -> Done<Outcome> {
    command.args([
        "-m",
        "pytest",
        dir,
        "-q",
        "-rsfE",
        "--no-fold-skipped",
        "--color=no",
    ]);
    command.args(["-p", "no:cacheprovider"]);
    if let Some(filter) = &plan.filter {
        command.arg("-k").arg(filter);
    }
    plan.prepare(&mut command);
    let finished = sh::show(&mut command)?;
    let mut outcome = parse(&finished.output);
    // 5: no test was collected, which a filter may well do.
    let nothing = finished.code() == Some(5) && plan.filter.is_some();
    if !finished.success() && !nothing && outcome.failed == 0 {
        outcome.add(false, format!("pytest {dir} failed without a count"));
    }
    Ok(outcome)
}

/// Reads the last line and the short summary of pytest.
fn parse(output: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let is_summary = |line: &&str| line.contains(" in ") && line.ends_with(['s', ')', '=']);
    if let Some(line) = output.lines().rev().find(is_summary) {
        let line = line.trim_matches([' ', '=']);
        let sum = |words: &[&str]| words.iter().filter_map(|w| count(line, w)).sum::<u64>();
        outcome.passed = sum(&["passed", "xfailed"]);
        outcome.failed = sum(&["failed", "error", "errors", "xpassed"]);
    }
    for line in output.lines() {
        if let Some(skip) = line.strip_prefix("SKIPPED ") {
            let (name, reason) = skip.split_once(" - ").unwrap_or((skip, "no reason given"));
            outcome.skip(name, reason.trim_start_matches("Skipped: "));
        } else if line.starts_with("FAILED ") || line.starts_with("ERROR ") {
            outcome
                .failures
                .push(line.split_once(' ').expect("has a space").1.to_owned());
        }
    }
    outcome
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn counts_skips_and_failures_of_pytest_are_read() {
        let output = "..F.s\n= short test summary info =\n\
SKIPPED tests/python/test_a.py::test_live - Skipped: no key\n\
FAILED tests/python/test_a.py::test_b - assert 1 == 2\n\
1 failed, 3 passed, 1 skipped in 0.12s\n";
        let outcome = parse(output);
        assert_eq!((outcome.passed, outcome.failed), (3, 1));
        assert_eq!(outcome.skips[0].name, "tests/python/test_a.py::test_live");
        assert_eq!(outcome.skips[0].reason, "no key");
        assert_eq!(
            outcome.failures,
            ["tests/python/test_a.py::test_b - assert 1 == 2"]
        );
    }

    #[test]
    fn an_error_of_collection_is_a_failure() {
        assert_eq!(
            parse("ERROR tests/x.py - SyntaxError\n1 error in 0.10s\n").failed,
            1
        );
    }

    #[test]
    fn an_interpreter_of_the_needed_version_is_found() {
        assert!(version(&interpreter().unwrap()).unwrap() >= OLDEST);
    }
}
