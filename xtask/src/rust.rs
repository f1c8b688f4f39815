//! The steps that cargo runs.

use std::process::Command;

use crate::report::Outcome;
use crate::test::Plan;
use crate::{Done, sh};

/// `cargo fmt --check`.
pub(crate) fn format(_: &Plan) -> Done<Outcome> {
    check(
        sh::cargo().args(["fmt", "--all", "--check"]),
        "run `cargo fmt --all`",
    )
}

/// Clippy over everything; a warning is an error.
pub(crate) fn clippy(_: &Plan) -> Done<Outcome> {
    let mut cargo = sh::cargo();
    cargo.args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    check(&mut cargo, "clippy has warnings")
}

/// Builds libraries, command, examples and tests with one set of features.
pub(crate) fn build(_: &Plan) -> Done<Outcome> {
    let mut cargo = sh::cargo();
    cargo.args(["build", "--quiet", "--workspace", "--all-targets"]);
    check(&mut cargo, "the workspace does not build")
}

/// The rustdoc of the crates that Rust programs use; a warning is an error.
pub(crate) fn rustdoc(_: &Plan) -> Done<Outcome> {
    let mut cargo = sh::cargo();
    cargo.args([
        "doc",
        "--quiet",
        "--no-deps",
        "-p",
        "talkwire-core",
        "-p",
        "talkwire-server",
    ]);
    check(
        cargo.env("RUSTDOCFLAGS", "-D warnings"),
        "rustdoc has warnings",
    )
}

fn check(command: &mut Command, why: &str) -> Done<Outcome> {
    Ok(Outcome::check(sh::show(command)?.success(), why))
}

/// All Rust tests, by cargo-nextest when it is installed.
pub(crate) fn tests(plan: &Plan) -> Done<Outcome> {
    if sh::find("cargo-nextest").is_some() {
        let mut cargo = nextest(plan);
        return run(&mut cargo, |output| {
            parse_nextest(output, plan.filter.is_none())
        });
    }
    let mut cargo = sh::cargo();
    cargo.args([
        "test",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--no-fail-fast",
    ]);
    plan.prepare(&mut cargo);
    // `--format pretty` names the tests, which --quiet would not.
    cargo
        .arg("--")
        .arg("--format=pretty")
        .args(plan.filter.as_ref());
    run(&mut cargo, parse_libtest)
}

fn nextest(plan: &Plan) -> Command {
    // A filter skips nearly everything, which is no news.
    let last = if plan.filter.is_some() {
        "fail"
    } else {
        "skip"
    };
    let mut cargo = sh::cargo();
    cargo
        .args([
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--no-tests",
            "pass",
        ])
        .args(["--status-level", "slow", "--final-status-level", last])
        .args(["--hide-progress-bar", "--color", "never"])
        .args(["--profile", if plan.deep { "deep" } else { "default" }])
        .args(plan.filter.as_ref());
    plan.prepare(&mut cargo);
    cargo
}

/// The examples in the documentation.
pub(crate) fn doc_tests(plan: &Plan) -> Done<Outcome> {
    let mut cargo = sh::cargo();
    cargo.args([
        "test",
        "--quiet",
        "--doc",
        "--workspace",
        "--no-fail-fast",
        "--",
    ]);
    cargo.arg("--format=pretty").args(plan.filter.as_ref());
    plan.prepare(&mut cargo);
    run(&mut cargo, parse_libtest)
}

/// The tests that only the deep tier runs: `#[ignore]`d ones with `soak` in their name.
pub(crate) fn soak(plan: &Plan) -> Done<Outcome> {
    let mut cargo = sh::cargo();
    cargo.args([
        "test",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--no-fail-fast",
        "--",
    ]);
    cargo.args(["--format=pretty", "--ignored", SOAK]);
    plan.prepare(&mut cargo);
    run(&mut cargo, parse_libtest)
}

const SOAK: &str = "soak";

fn run(command: &mut Command, parse: impl Fn(&str) -> Option<Outcome>) -> Done<Outcome> {
    let finished = sh::show(command)?;
    let mut outcome = parse(&finished.output).unwrap_or_default();
    if !finished.success() && outcome.failed == 0 {
        outcome.add(
            false,
            format!("{} failed without a count", sh::describe(command)),
        );
    }
    Ok(outcome)
}

/// Reads the summary of nextest. `None` if there is none: nothing was compiled or nothing matched.
fn parse_nextest(output: &str, counts_skips: bool) -> Option<Outcome> {
    let summary = output
        .lines()
        .rev()
        .find(|line| line.trim_start().starts_with("Summary ["))?;
    let (run, parts) = summary.split_once(" run: ")?;
    let run: u64 = run
        .split_whitespace()
        .rev()
        .nth(1)?
        .rsplit('/')
        .next()?
        .parse()
        .ok()?;
    let passed = parts.split(", ").find_map(|part| {
        let (number, word) = part.trim().split_once(' ')?;
        word.starts_with("passed")
            .then(|| number.parse::<u64>().ok())?
    });
    let passed = passed.unwrap_or(0);
    let mut outcome = Outcome {
        passed,
        failed: run.saturating_sub(passed),
        ..Outcome::default()
    };
    let mut names: Vec<_> = output.lines().filter_map(failed_test).collect();
    names.sort();
    names.dedup();
    outcome.failures = names;
    for name in output.lines().filter_map(|line| status_line(line, "SKIP")) {
        if counts_skips && !name.contains(SOAK) {
            outcome.skip(name, "marked #[ignore]");
        }
    }
    Some(outcome)
}

fn failed_test(line: &str) -> Option<String> {
    ["FAIL", "TIMEOUT", "ABORT", "SIGSEGV", "SIGABRT", "XFAIL"]
        .iter()
        .find_map(|status| status_line(line, status))
}

/// `    SKIP [ 0.1s] (1/9) crate module::test` without all before the names, if of this status.
fn status_line(line: &str, status: &str) -> Option<String> {
    let rest = line
        .trim_start()
        .strip_prefix(status)?
        .trim_start()
        .strip_prefix('[')?;
    let (_, names) = rest.split_once(']')?;
    let names = names.trim();
    let names = match names.strip_prefix('(').and_then(|n| n.split_once(')')) {
        Some((_, after)) => after.trim(),
        None => names,
    };
    Some(names.to_owned())
}

/// Sums the `test result:` lines of the standard harness.
fn parse_libtest(output: &str) -> Option<Outcome> {
    let mut outcome = Outcome::default();
    for line in output.lines() {
        if let Some(result) = line.strip_prefix("test result: ") {
            outcome.passed += count(result, "passed").unwrap_or(0);
            outcome.failed += count(result, "failed").unwrap_or(0);
        } else if let Some((name, result)) = named_result(line) {
            match result.split_once("ignored") {
                _ if result == "FAILED" => outcome.failures.push(name.to_owned()),
                // `ignore` and `compile_fail` on documentation are no tests left out.
                Some(("", reason)) if !name.contains(SOAK) && !name.contains(" - ") => {
                    outcome.skip(name, reason_of(reason));
                }
                _ => {}
            }
        }
    }
    Some(outcome)
}

fn named_result(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("test ")?.rsplit_once(" ... ")
}

fn reason_of(after: &str) -> &str {
    let reason = after.trim_start_matches([',', ' ']);
    if reason.is_empty() {
        "marked #[ignore]"
    } else {
        reason
    }
}

/// The number before `word` in `ok. 5 passed; 0 failed; …`.
pub(crate) fn count(line: &str, word: &str) -> Option<u64> {
    let words: Vec<&str> = line
        .split([' ', ';', ',', '='])
        .filter(|word| !word.is_empty())
        .collect();
    words
        .windows(2)
        .find(|pair| pair[1] == word)
        .and_then(|pair| pair[0].parse().ok())
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn the_summary_of_nextest_is_counted() {
        let output = "\
        FAIL [   0.004s] (2/3) xtask sh::tests::x\n\
        \x20    Summary [   0.010s] 3 tests run: 2 passed (1 slow), 1 failed, 2 skipped\n\
        \x20       SKIP [         ] (1/2) talkwire-core engine::soak_hour\n\
        \x20       SKIP [         ] (2/2) talkwire-core net::live\n";
        let outcome = parse_nextest(output, true).unwrap();
        assert_eq!((outcome.passed, outcome.failed), (2, 1));
        assert_eq!(outcome.failures, ["xtask sh::tests::x"]);
        assert_eq!(outcome.skips.len(), 1);
        assert_eq!(outcome.skips[0].name, "talkwire-core net::live");
        assert!(parse_nextest(output, false).unwrap().skips.is_empty());
    }

    #[test]
    fn a_timed_out_test_is_a_failure() {
        let output = "     Summary [   9.0s] 1/1 test run: 0 passed, 1 timed out, 0 skipped\n";
        assert_eq!(parse_nextest(output, true).unwrap().failed, 1);
        assert_eq!(parse_nextest("error: could not compile\n", true), None);
    }

    #[test]
    fn results_of_the_standard_harness_are_summed() {
        let output = "\
test a::works ... ok\ntest a::breaks ... FAILED\ntest a::live ... ignored, needs a key\n\
test a::soak_hour ... ignored\n\
test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.0s\n\
test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.0s\n";
        let outcome = parse_libtest(output).unwrap();
        assert_eq!((outcome.passed, outcome.failed), (5, 1));
        assert_eq!(outcome.failures, ["a::breaks"]);
        assert_eq!(outcome.skips.len(), 1);
        assert_eq!(outcome.skips[0].reason, "needs a key");
    }
}
