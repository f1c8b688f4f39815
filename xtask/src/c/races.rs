//! ThreadSanitizer over the programs that close, free and are called back from many threads. It sees
//! only what is compiled for it, so the library and Rust's own one are built again, by nightly.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::package::alone;
use super::{Program, execute, out, wanted};
use crate::report::Outcome;
use crate::test::Plan;
use crate::{Done, install, nightly, sh};

/// Beginnings of the names of the programs.
const PROGRAMS: &[&str] = &[
    "leak_",
    "int_p3_",
    "int_p4_",
    "int_p5_",
    "int_p6_",
    "int_p7_",
    "int_p13_",
    "int_p14_",
    "int_subscriptions_",
    "int_opening_and_closing_",
];
/// What is proven harmless.
const SUPPRESSIONS: &str = "tests/c/tsan.supp";

/// What the sanitizer exits with when it has seen a race.
const RACE: i32 = 66;

/// Runs them; a race is a failure.
pub(crate) fn races(plan: &Plan) -> Done<Outcome> {
    let mut outcome = Outcome::default();
    if let Some(reason) = nightly::missing_source() {
        outcome.skip("races", reason);
        return Ok(outcome);
    }
    let sanitizer = Sanitizer::build()?;
    for program in wanted(plan)?.iter().filter(|p| is_of_threads(p)) {
        let name = format!("races {}", program.name());
        match sanitizer.compile(program)? {
            Some(output) => execute(plan, &name, run(&output), &mut outcome)?,
            None => outcome.add(false, format!("{name}: does not compile")),
        }
    }
    let is_seen = match sanitizer.compile(&alone("racing"))? {
        Some(output) => sees_a_race(plan, &output)?,
        None => false,
    };
    outcome.add(is_seen, "races: one that was made on purpose is not seen");
    Ok(outcome)
}

fn sees_a_race(plan: &Plan, program: &Path) -> Done<bool> {
    let mut command = run(program);
    plan.prepare(&mut command);
    let finished = sh::capture(&mut command, Some(Duration::from_secs(180)))?;
    Ok(finished.code() == Some(RACE))
}

fn is_of_threads(program: &Program) -> bool {
    PROGRAMS.iter().any(|name| program.has_prefix(name))
}

/// The library that tells of its accesses, and the runtime that listens.
struct Sanitizer {
    library: PathBuf,
    runtime: PathBuf,
}

impl Sanitizer {
    fn build() -> Done<Self> {
        let target = sh::target_dir().join("tsan");
        let host = host()?;
        let mut cargo = nightly::rustup(&["cargo", "build", "--quiet", "-Zbuild-std"]);
        cargo
            .args(["-p", "talkwire-ffi", "--target", &host, "--target-dir"])
            .arg(&target)
            .env("RUSTFLAGS", "-Zsanitizer=thread");
        if !sh::show(&mut cargo)?.success() {
            return Err("the library does not build for ThreadSanitizer".into());
        }
        let library = target.join(&host).join("debug");
        install::link(&library.join(install::SONAME), "libtalkwire.so")?;
        // That of the C compiler may be too old to know all that nightly asks of it.
        let runtime = nightly::sysroot()?
            .join("lib/rustlib")
            .join(host)
            .join("lib/librustc-nightly_rt.tsan.a");
        Ok(Self { library, runtime })
    }

    /// Compiles for the sanitizer of the C compiler, and links the runtime of nightly's.
    fn compile(&self, program: &Program) -> Done<Option<PathBuf>> {
        let output = out(program, "races")?;
        let object = output.with_extension("o");
        let mut compile = program.compile(&object);
        compile
            .args(["-fsanitize=thread", "-c", "-I"])
            .arg(sh::root().join("include"));
        let mut link = Command::new(program.language.compiler);
        link.arg(&object)
            .arg("-Wl,--whole-archive")
            .arg(&self.runtime)
            .args(["-Wl,--no-whole-archive", "-Wl,--export-dynamic", "-L"])
            .arg(&self.library)
            .arg(format!("-Wl,-rpath,{}", self.library.display()))
            .args(["-ltalkwire", "-pthread", "-lm", "-ldl", "-lrt", "-o"])
            .arg(&output);
        let is_good = sh::show(&mut compile)?.success() && sh::show(&mut link)?.success();
        Ok(is_good.then_some(output))
    }
}

/// The machine that nightly builds for by itself. With a target that is named, build scripts and
/// macros are not built for the sanitizer.
fn host() -> Done<String> {
    let said = sh::read(&mut nightly::rustup(&["rustc", "--version", "--verbose"]))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "rustc names no host".into())
}

fn run(program: &Path) -> Command {
    // Older runtimes do not find room for their shadow where addresses are chosen at random.
    let mut command = match sh::find("setarch") {
        Some(setarch) => {
            let mut command = Command::new(setarch);
            command.arg("-R").arg(program);
            command
        }
        None => Command::new(program),
    };
    let suppressions = sh::root().join(SUPPRESSIONS);
    command.env(
        "TSAN_OPTIONS",
        format!("suppressions={} history_size=7", suppressions.display()),
    );
    command
}
