//! Fuzz targets as ordinary functions: bytes in, and nothing may panic or break what must hold.
//!
//! `tests/tests/fuzz_targets.rs` gives each its corpus and inputs made from it, on any toolchain;
//! `tests/fuzz` gives them to libFuzzer.

mod inputs;
mod session;
mod targets;

use std::path::{Path, PathBuf};

pub use inputs::Inputs;

/// A reader of hostile input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its corpus and of its program for libFuzzer.
    pub name: &'static str,
    /// Panics if something does not hold.
    pub run: fn(&[u8]),
}

impl Target {
    /// The inputs that others are made from, in the order of their names.
    pub fn corpus(&self) -> Vec<Vec<u8>> {
        let dir = root().join("corpus").join(self.name);
        let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let mut files: Vec<_> = entries.map(|file| file.expect("a file").path()).collect();
        files.sort();
        files
            .iter()
            .map(|file| std::fs::read(file).expect("a readable file"))
            .collect()
    }
}

/// Where corpora and the programs for libFuzzer are.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("server_event", targets::server_event),
    target("client_event", targets::client_event),
    target("session", session::run),
    target("sound", targets::sound),
    target("wav", targets::wav),
    target("dialect", targets::dialect),
    target("script", targets::script),
    target("options", targets::options),
    target("c_texts", targets::c_texts),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// The target of this name.
///
/// # Panics
///
/// If there is none.
pub fn named(name: &str) -> Target {
    let found = TARGETS.iter().find(|target| target.name == name);
    *found.unwrap_or_else(|| panic!("no fuzz target is called `{name}`"))
}
