//! `cargo xtask generate`: the files derived from `tests/wire/events.json`, and from the modules for
//! event loops those for threads.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::events::{self, Numbers};
use crate::{Done, faces, render, sh};

const EVENTS: &str = "tests/wire/events.json";
const NUMBERS: &str = "tests/wire/event_numbers.txt";
const PACKAGE: &str = "py/python/talkwire";

/// `generate [--check]`.
pub(crate) fn command(args: &[String]) -> Done<ExitCode> {
    match args {
        [] => write().map(|()| ExitCode::SUCCESS),
        [flag] if flag == "--check" => {
            let stale = stale()?;
            for file in &stale {
                eprintln!("stale: {file} (run `cargo xtask generate`)");
            }
            Ok(if stale.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        _ => Err("usage: cargo xtask generate [--check]".into()),
    }
}

fn write() -> Done {
    for (path, text) in generated()? {
        let file = sh::root().join(&path);
        if std::fs::read_to_string(&file).is_ok_and(|old| old == text) {
            continue;
        }
        sh::write_file(&file, text)?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// The generated files that differ from what the facts ask for.
pub(crate) fn stale() -> Done<Vec<String>> {
    let root = sh::root();
    let differs = |(path, text): &(PathBuf, String)| {
        std::fs::read_to_string(root.join(path)).map_or(true, |old| old != *text)
    };
    let files = generated()?;
    Ok(files
        .iter()
        .filter(|f| differs(f))
        .map(|(p, _)| p.display().to_string())
        .collect())
}

fn generated() -> Done<Vec<(PathBuf, String)>> {
    let root = sh::root();
    let all = events::parse(&sh::read_file(&root.join(EVENTS))?)?;
    let committed = match std::fs::read_to_string(root.join(NUMBERS)) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(format!("cannot read {NUMBERS}: {e}")),
    };
    let numbers = Numbers::parse(&committed, &all)?;
    let order = numbers.order(&all);
    let file = |path: &str, text: String| (Path::new(path).to_path_buf(), text);
    let threads = |name: &str| {
        let source = format!("{PACKAGE}/{name}");
        let text = sh::read_file(&root.join(&source))?;
        let text = faces::threads(&source, &text);
        Ok::<_, String>(file(&format!("{PACKAGE}/sync/{name}"), text))
    };
    Ok(vec![
        file(NUMBERS, numbers.render()),
        file(
            "core/src/wire/names.rs",
            rustfmt(&render::names(&order, &all))?,
        ),
        file(
            "ffi-c/src/event_types.rs",
            rustfmt(&render::c_constants(&order))?,
        ),
        file(
            "py/python/talkwire/_events.py",
            render::python_classes(&order),
        ),
        threads("_nouns.py")?,
        threads("_stream.py")?,
    ])
}

/// Formats Rust text with the toolchain's own formatter, so that `cargo fmt --check` agrees.
fn rustfmt(text: &str) -> Done<String> {
    use std::io::Write as _;
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| {
            format!("cannot run rustfmt ({e}); install it: rustup component add rustfmt")
        })?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin
        .write_all(text.as_bytes())
        .map_err(|e| format!("rustfmt: {e}"))?;
    drop(stdin);
    let output = child
        .wait_with_output()
        .map_err(|e| format!("rustfmt: {e}"))?;
    if !output.status.success() {
        return Err("rustfmt refused generated text".into());
    }
    String::from_utf8(output.stdout).map_err(|e| format!("rustfmt: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_committed_generated_file_is_current() {
        assert_eq!(stale().unwrap(), Vec::<String>::new());
    }
}
