//! Skips: which there were, and which `tests/skips.txt` allows on a CI machine.

use std::path::{Path, PathBuf};

use crate::{Done, sh};

/// A test or step that did not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) name: String,
    pub(crate) reason: String,
}

/// The skips that are no failure with `CI=true`.
#[derive(Debug)]
pub(crate) struct List(Vec<Skip>);

impl List {
    /// Reads `tests/skips.txt`.
    pub(crate) fn load() -> Done<Self> {
        Self::parse(&sh::read_file(&sh::root().join("tests/skips.txt"))?)
    }

    /// Lines of `name: reason`; a name may end in `*`. Empty lines and `#` comments are ignored.
    pub(crate) fn parse(text: &str) -> Done<Self> {
        let mut entries: Vec<Skip> = Vec::new();
        for (i, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, reason) = split(line)
                .ok_or_else(|| format!("tests/skips.txt:{}: expected `name: reason`", i + 1))?;
            if entries.iter().any(|e| e.name == name) {
                return Err(format!(
                    "tests/skips.txt:{}: `{name}` is listed twice",
                    i + 1
                ));
            }
            entries.push(Skip { name, reason });
        }
        Ok(Self(entries))
    }

    /// Whether a line names this skip.
    pub(crate) fn allows(&self, skip: &Skip) -> bool {
        self.0
            .iter()
            .any(|entry| match entry.name.strip_suffix('*') {
                Some(start) => skip.name.starts_with(start),
                None => skip.name == entry.name,
            })
    }
}

/// `name: reason` with both present. The name may hold `::`.
fn split(line: &str) -> Option<(String, String)> {
    let (name, reason) = line.split_once(": ")?;
    let (name, reason) = (name.trim(), reason.trim());
    (!name.is_empty() && !reason.is_empty()).then(|| (name.to_owned(), reason.to_owned()))
}

/// Where a test that cannot run here says so: it appends a `name: reason` line to the file that
/// `TALKWIRE_SKIP_FILE` names, and returns.
pub(crate) fn file() -> PathBuf {
    sh::target_dir().join("skips.txt")
}

/// Tells a skip of a test in this crate, as other tests do.
#[cfg(test)]
pub(crate) fn tell(name: &str, reason: &str) {
    use std::io::Write;
    let file = std::env::var_os("TALKWIRE_SKIP_FILE").map(|file| {
        let mut options = std::fs::OpenOptions::new();
        options.append(true).create(true).open(file)
    });
    if let Some(file) = file {
        writeln!(file.expect("the file of skips"), "{name}: {reason}").expect("room");
    }
}

/// Forgets what earlier steps wrote to [`file`].
pub(crate) fn clear() -> Done {
    sh::write_file(&file(), "")
}

/// The skips that tests wrote to [`file`].
pub(crate) fn told() -> Done<Vec<Skip>> {
    parse_told(&sh::read_file(&file())?, &file())
}

fn parse_told(text: &str, file: &Path) -> Done<Vec<Skip>> {
    let entry = |line: &str| {
        let skip = split(line).map(|(name, reason)| Skip { name, reason });
        skip.ok_or_else(|| {
            format!(
                "{}: expected `name: reason`, found `{line}`",
                file.display()
            )
        })
    };
    text.lines().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(name: &str) -> Skip {
        Skip {
            name: name.into(),
            reason: "why".into(),
        }
    }

    #[test]
    fn names_match_whole_or_by_their_start() {
        let list =
            List::parse("# comment\n\nfuzz: nightly\nvalgrind c::*: slow machine\n").unwrap();
        assert!(list.allows(&skip("fuzz")));
        assert!(list.allows(&skip("valgrind c::leak_open")));
        assert!(!list.allows(&skip("fuzzy")));
        assert!(!list.allows(&skip("valgrind")));
    }

    #[test]
    fn an_entry_without_reason_or_given_twice_is_an_error_with_its_line() {
        assert!(List::parse("fuzz:\n").unwrap_err().contains("skips.txt:1"));
        assert!(
            List::parse("a: x\nfuzz\n")
                .unwrap_err()
                .contains("skips.txt:2")
        );
        assert!(List::parse("a: x\na: y\n").unwrap_err().contains("twice"));
    }

    #[test]
    fn the_committed_list_is_well_formed() {
        List::load().unwrap();
    }

    #[test]
    fn tests_tell_skips_by_name_and_reason() {
        let told = parse_told("voice::live: no espeak-ng\n", Path::new("f")).unwrap();
        assert_eq!(
            told,
            [Skip {
                name: "voice::live".into(),
                reason: "no espeak-ng".into()
            }]
        );
        assert!(parse_told("nonsense\n", Path::new("f")).is_err());
    }
}
