//! The programs of tests/c and tests/cpp: compiled, run, run under valgrind and sanitizers.
//!
//! The prefix of a file tells its intent: `api_` one function or noun, `int_` several together,
//! `leak_` run under valgrind too, `build_` compiled in every language standard. Exit code 77 is a
//! skip, its reason the last line that the program prints.

mod abi;
mod header;
mod package;
mod races;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::report::Outcome;
use crate::test::{self, Plan};
use crate::{Done, install, sh};

pub(crate) use abi::{abi, command as abi_command};
pub(crate) use header::headers;
pub(crate) use package::{package, shared_flags};
pub(crate) use races::races;

const PREFIXES: &[&str] = &["api_", "int_", "leak_", "build_"];
const WARNINGS: &[&str] = &[
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Werror",
    "-g",
    "-pthread",
];
const SKIPPED: i32 = 77;
/// What the Rust standard library keeps for the life of the process.
const SUPPRESSIONS: &str = "tests/c/valgrind.supp";

/// C or C++.
#[derive(Clone, Copy)]
pub(crate) struct Language {
    pub(crate) name: &'static str,
    extensions: &'static [&'static str],
    pub(crate) compiler: &'static str,
    other_compiler: &'static str,
    standard: &'static str,
    other_standards: &'static [&'static str],
}

/// Both languages, in the standards that the programs here are written in; the headers promise more,
/// see `header.rs`.
pub(crate) const LANGUAGES: &[Language] = &[
    Language {
        name: "c",
        extensions: &["c"],
        compiler: "cc",
        other_compiler: "clang",
        standard: "-std=c11",
        other_standards: &["-std=c17", "-std=c2x"],
    },
    Language {
        name: "cpp",
        extensions: &["cpp"],
        compiler: "c++",
        other_compiler: "clang++",
        standard: "-std=c++17",
        other_standards: &["-std=c++20"],
    },
];

/// One source file that is one program.
pub(crate) struct Program {
    pub(crate) source: PathBuf,
    pub(crate) language: Language,
}

impl Program {
    fn name(&self) -> String {
        format!("{}::{}", self.language.name, sh::stem(&self.source))
    }

    fn has_prefix(&self, prefix: &str) -> bool {
        sh::stem(&self.source).starts_with(prefix)
    }

    /// The command that compiles the program to `output`, still without libraries.
    pub(crate) fn compile(&self, output: &Path) -> Command {
        self.compile_with(self.language.compiler, self.language.standard, output)
    }

    fn compile_with(&self, compiler: &str, standard: &str, output: &Path) -> Command {
        let mut command = Command::new(compiler);
        command
            .arg(standard)
            .args(WARNINGS)
            .arg(&self.source)
            .arg("-o")
            .arg(output);
        command
    }
}

/// The programs of `dir`/c and `dir`/cpp.
pub(crate) fn programs(dir: &str) -> Vec<Program> {
    let mut found = Vec::new();
    for language in LANGUAGES {
        let files = sh::files(
            &sh::root().join(dir).join(language.name),
            language.extensions,
        );
        found.extend(files.into_iter().map(|source| Program {
            source,
            language: *language,
        }));
    }
    found
}

/// Whether there are C or C++ tests.
pub(crate) fn is_present() -> bool {
    !programs("tests").is_empty()
}

/// Installs the package of the test profile for the steps that follow.
pub(crate) fn stage(_: &Plan) -> Done<Outcome> {
    install::install(&sh::target_dir().join("debug"), &test::stage())?;
    Ok(Outcome::check(true, ""))
}

/// Compiles and runs every program.
pub(crate) fn tests(plan: &Plan) -> Done<Outcome> {
    let mut outcome = Outcome::default();
    for program in wanted(plan)? {
        let output = out(&program, "plain")?;
        let mut compile = program.compile(&output);
        link_shared(&mut compile);
        build_and_run(
            plan,
            &program.name(),
            &mut compile,
            Command::new(&output),
            &mut outcome,
        )?;
        if program.has_prefix("build_") {
            variants(&program, &mut outcome)?;
        }
    }
    Ok(outcome)
}

/// Compiles a `build_` program in the other standards and with the other compiler.
fn variants(program: &Program, outcome: &mut Outcome) -> Done {
    let language = program.language;
    let name = program.name();
    for standard in language.other_standards {
        compile_only(program, language.compiler, standard, outcome)?;
    }
    if sh::find(language.other_compiler).is_some() {
        compile_only(program, language.other_compiler, language.standard, outcome)
    } else {
        let tool = language.other_compiler;
        outcome.skip(format!("{tool} {name}"), sh::missing(tool));
        Ok(())
    }
}

fn compile_only(program: &Program, compiler: &str, standard: &str, outcome: &mut Outcome) -> Done {
    let mut command = program.compile_with(compiler, standard, &out(program, "variant")?);
    link_shared(&mut command);
    let finished = sh::show(&mut command)?;
    outcome.add(
        finished.success(),
        format!("{} ({compiler} {standard})", program.name()),
    );
    Ok(())
}

/// Runs the `leak_` programs under valgrind, in the deep tier all of them.
pub(crate) fn valgrind(plan: &Plan) -> Done<Outcome> {
    let mut outcome = Outcome::default();
    for program in wanted(plan)?
        .iter()
        .filter(|p| plan.deep || p.has_prefix("leak_"))
    {
        let name = format!("valgrind {}", program.name());
        if sh::find("valgrind").is_none() {
            outcome.skip(name, sh::missing("valgrind"));
            continue;
        }
        let mut run = Command::new("valgrind");
        // A program that spins until something happens would else never let it happen.
        run.args(["-q", "--error-exitcode=99", "--fair-sched=yes"])
            .arg("--num-callers=30")
            .arg(leak_check(program)?)
            .args([
                "--show-leak-kinds=definite,possible",
                "--errors-for-leak-kinds=definite,possible",
            ])
            .arg(format!(
                "--suppressions={}",
                sh::root().join(SUPPRESSIONS).display()
            ))
            .arg(out(program, "plain")?)
            .env("TALKWIRE_VALGRIND", "1");
        execute(plan, &name, run, &mut outcome)?;
    }
    Ok(outcome)
}

/// A forked child leaves without freeing what its parent holds, and that would count as leaked.
fn leak_check(program: &Program) -> Done<&'static str> {
    let forks = sh::read_file(&program.source)?.contains("fork()");
    Ok(if forks {
        "--leak-check=no"
    } else {
        "--leak-check=full"
    })
}

/// Runs programs with the C side compiled for the address and undefined-behaviour sanitizers: `api_` and
/// `leak_`, in the deep tier all of them.
pub(crate) fn sanitizers(plan: &Plan) -> Done<Outcome> {
    let mut outcome = Outcome::default();
    for program in wanted(plan)?
        .into_iter()
        .filter(|p| plan.deep || p.has_prefix("api_") || p.has_prefix("leak_"))
    {
        let output = out(&program, "sanitized")?;
        let mut compile = program.compile(&output);
        compile.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
        link_shared(&mut compile);
        let name = format!("sanitized {}", program.name());
        build_and_run(
            plan,
            &name,
            &mut compile,
            Command::new(&output),
            &mut outcome,
        )?;
    }
    Ok(outcome)
}

fn wanted(plan: &Plan) -> Done<Vec<Program>> {
    let programs = programs("tests");
    if let Some(odd) = programs
        .iter()
        .find(|p| !PREFIXES.iter().any(|x| p.has_prefix(x)))
    {
        let file = odd.source.display();
        return Err(format!(
            "{file}: the name of a test begins with {}",
            PREFIXES.join(", ")
        ));
    }
    Ok(programs
        .into_iter()
        .filter(|p| plan.wants(&p.name()))
        .collect())
}

fn out(program: &Program, variant: &str) -> Done<PathBuf> {
    let dir = sh::target_dir().join("ctests").join(variant);
    std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    Ok(dir.join(program.name().replace("::", "-")))
}

fn link_shared(compile: &mut Command) {
    let lib = test::stage().join("lib");
    compile
        .arg("-I")
        .arg(sh::root().join("include"))
        .arg("-L")
        .arg(&lib)
        .arg("-ltalkwire");
    compile
        .arg(format!("-Wl,-rpath,{}", lib.display()))
        .args(["-lm"]);
}

fn build_and_run(
    plan: &Plan,
    name: &str,
    compile: &mut Command,
    run: Command,
    outcome: &mut Outcome,
) -> Done {
    if sh::show(compile)?.success() {
        execute(plan, name, run, outcome)
    } else {
        outcome.add(false, format!("{name}: does not compile"));
        Ok(())
    }
}

/// Runs one test program and counts it.
pub(crate) fn execute(plan: &Plan, name: &str, mut run: Command, outcome: &mut Outcome) -> Done {
    plan.prepare(&mut run);
    run.current_dir(sh::root());
    let limit = Duration::from_secs(if plan.deep { 1800 } else { 180 });
    let finished = sh::capture(&mut run, Some(limit))?;
    let last_line = finished
        .output
        .lines()
        .last()
        .unwrap_or("no reason given")
        .to_owned();
    match finished.code() {
        Some(0) => {
            println!("ok       {name}");
            outcome.add(true, "");
        }
        Some(SKIPPED) => {
            println!("skipped  {name}");
            outcome.skip(name, last_line);
        }
        code => {
            println!(
                "FAILED   {name} ({})\n{}",
                reason(code),
                finished.output.trim_end()
            );
            outcome.add(false, format!("{name}: {}", reason(code)));
        }
    }
    Ok(())
}

fn reason(code: Option<i32>) -> String {
    code.map_or_else(
        || "a signal or the time limit ended it".into(),
        |c| format!("exit code {c}"),
    )
}

#[cfg(test)]
mod unit {
    use super::*;

    fn run(script: &str) -> Outcome {
        let plan = Plan::new(false);
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut outcome = Outcome::default();
        execute(&plan, "c::x", command, &mut outcome).unwrap();
        outcome
    }

    #[test]
    fn exit_codes_become_passes_failures_and_skips_with_a_reason() {
        assert_eq!(run("exit 0").passed, 1);
        assert_eq!(run("exit 3").failures, ["c::x: exit code 3"]);
        assert_eq!(run("kill -9 $$").failed, 1);
        let skipped = run("echo no sound card; exit 77");
        assert_eq!(
            (skipped.passed, skipped.skips[0].reason.as_str()),
            (0, "no sound card")
        );
    }
}
