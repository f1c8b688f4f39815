//! What only a nightly toolchain can do; the deep tier does it where there is one.

use std::path::PathBuf;
use std::process::Command;

use crate::report::Outcome;
use crate::test::Plan;
use crate::{Done, sh};

/// Why there is no nightly toolchain, if there is none.
pub(crate) fn missing() -> Option<String> {
    if sh::find("rustup").is_none() {
        return Some("no rustup, so no second toolchain".into());
    }
    let mut rustc = rustup(&["rustc", "--version"]);
    let has_one = sh::capture(&mut rustc, None).is_ok_and(|finished| finished.success());
    (!has_one).then(|| "no nightly toolchain: rustup toolchain install nightly".into())
}

/// Why the standard library cannot be built, if it cannot.
pub(crate) fn missing_source() -> Option<String> {
    missing().or_else(|| {
        let lock = |root: PathBuf| root.join("lib/rustlib/src/rust/library/Cargo.lock");
        let has_source = sysroot().map(lock).is_ok_and(|lock| lock.is_file());
        (!has_source)
            .then(|| "no rust-src: rustup component add rust-src --toolchain nightly".into())
    })
}

/// Where the nightly toolchain lies.
pub(crate) fn sysroot() -> Done<PathBuf> {
    let root = sh::read(&mut rustup(&["rustc", "--print", "sysroot"]))?;
    Ok(PathBuf::from(root.trim()))
}

/// A program of the nightly toolchain. What the cargo that runs us has set does not concern it.
pub(crate) fn rustup(words: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly"]).args(words);
    for set in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "RUSTDOC"] {
        command.env_remove(set);
    }
    command.current_dir(sh::root());
    command
}

/// Where the programs for libFuzzer are.
const FUZZ: &str = "tests/fuzz";
/// How long each of them looks for something new.
const FUZZ_S: u32 = 60;

/// Whether there are fuzz targets.
pub(crate) fn has_fuzz() -> bool {
    sh::root().join(FUZZ).is_dir()
}

/// Gives each fuzz target to libFuzzer for a while. What it finds stays in target/fuzz.
pub(crate) fn fuzz(plan: &Plan) -> Done<Outcome> {
    let mut outcome = Outcome::default();
    let is_absent = sh::find("cargo-fuzz").is_none();
    let reason = missing().or_else(|| is_absent.then(|| "cargo install cargo-fuzz".into()));
    if let Some(reason) = reason {
        outcome.skip("fuzz", reason);
        return Ok(outcome);
    }
    for program in sh::files(&sh::root().join(FUZZ).join("targets"), &["rs"]) {
        let name = sh::stem(&program);
        if plan.wants(&name) {
            let is_good = fuzz_one(&name)?;
            outcome.add(is_good, format!("fuzz {name}: see target/fuzz/found"));
        }
    }
    Ok(outcome)
}

fn fuzz_one(name: &str) -> Done<bool> {
    let target = sh::target_dir().join("fuzz");
    let (grown, found) = (target.join("corpus").join(name), target.join("found"));
    for dir in [&grown, &found] {
        std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    let mut command = rustup(&["cargo", "fuzz", "run", "--fuzz-dir", FUZZ, "--target-dir"]);
    command.arg(&target).arg(name);
    // The first is written to, the committed one only read.
    command
        .arg(grown)
        .arg(sh::root().join(FUZZ).join("corpus").join(name));
    command
        .arg("--")
        .arg(format!("-max_total_time={FUZZ_S}"))
        .arg(format!("-artifact_prefix={}/{name}-", found.display()));
    Ok(sh::show(&mut command)?.success())
}
