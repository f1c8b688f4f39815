//! `cargo xtask test`: all steps in order, a table, and one last line with the counts.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::report::{self, Outcome, Row};
use crate::{Done, c, deep, examples, generate, nightly, notes, python, rust, sh, skips};

/// What the caller wants to have tested.
pub(crate) struct Plan {
    pub(crate) deep: bool,
    /// Only tests whose name contains this; checks without tests do not run then.
    pub(crate) filter: Option<String>,
    /// Only this step, with what earlier runs have built and staged.
    step: Option<String>,
}

impl Plan {
    /// All tests of a tier.
    pub(crate) const fn new(deep: bool) -> Self {
        Self {
            deep,
            filter: None,
            step: None,
        }
    }

    fn parse(args: &[String]) -> Done<Self> {
        let mut plan = Self::new(false);
        let mut words = args.iter();
        while let Some(arg) = words.next() {
            match arg.as_str() {
                "--deep" => plan.deep = true,
                "--step" => plan.step = Some(step_named(words.next())?),
                flag if flag.starts_with('-') => {
                    return Err(format!(
                        "unknown option `{flag}`; usage: test [--deep] [--step STEP] [NAME-FILTER]"
                    ));
                }
                name if plan.filter.is_none() => plan.filter = Some(name.to_owned()),
                extra => {
                    return Err(format!(
                        "one name filter is enough, `{extra}` is the second"
                    ));
                }
            }
        }
        Ok(plan)
    }

    /// Whether nothing of the tier is left out.
    const fn is_whole(&self) -> bool {
        self.filter.is_none() && self.step.is_none()
    }

    /// Whether a test of this name is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| name.contains(filter.as_str()))
    }

    /// Tells a test process which tier runs and where the artifacts are.
    pub(crate) fn prepare(&self, command: &mut Command) {
        command
            .env("TALKWIRE_SKIP_FILE", skips::file())
            .env("TALKWIRE_NOTES_FILE", notes::file())
            .env("TALKWIRE_STAGE", stage())
            .env("TALKWIRE_BIN", binary())
            .env("RUST_BACKTRACE", "1");
        if self.deep {
            command.env("TALKWIRE_DEEP", "1");
        } else {
            command.env_remove("TALKWIRE_DEEP");
        }
    }
}

/// Where the package is installed for the tests.
pub(crate) fn stage() -> PathBuf {
    sh::target_dir().join("stage")
}

/// The `talkwire` command of the test profile.
pub(crate) fn binary() -> PathBuf {
    sh::target_dir().join("debug/talkwire")
}

/// A step whose inputs do not exist is simply absent: neither a pass nor a skip.
struct Step {
    name: &'static str,
    is_present: fn(&Plan) -> bool,
    needs_build: bool,
    run: fn(&Plan) -> Done<Outcome>,
}

const fn check(name: &'static str, run: fn(&Plan) -> Done<Outcome>) -> Step {
    Step {
        name,
        is_present: |plan| plan.filter.is_none(),
        needs_build: false,
        run,
    }
}

const fn tests(
    name: &'static str,
    is_present: fn(&Plan) -> bool,
    run: fn(&Plan) -> Done<Outcome>,
) -> Step {
    Step {
        name,
        is_present,
        needs_build: true,
        run,
    }
}

const BUILD: &str = "build";

const STEPS: &[Step] = &[
    check("format", rust::format),
    check("generated files", generated_files),
    check("clippy", rust::clippy),
    Step {
        name: BUILD,
        is_present: |_| true,
        needs_build: false,
        run: rust::build,
    },
    tests("rust tests", |_| true, rust::tests),
    tests("doc tests", |_| true, rust::doc_tests),
    check("rustdoc", rust::rustdoc),
    tests(
        "stage",
        |_| c::is_present() || examples::is_present(),
        c::stage,
    ),
    tests(
        "headers",
        |plan| plan.filter.is_none() && c::is_present(),
        c::headers,
    ),
    check("abi", c::abi),
    tests("C and C++ tests", |_| c::is_present(), c::tests),
    tests(
        "installed package",
        |plan| plan.filter.is_none() && c::is_present(),
        c::package,
    ),
    tests("leaks (valgrind)", |_| c::is_present(), c::valgrind),
    tests("sanitizers", |_| c::is_present(), c::sanitizers),
    tests("races", |plan| plan.deep && c::is_present(), c::races),
    tests("python tests", |_| python::is_present(), python::tests),
    tests(
        "free-threaded python",
        |plan| plan.deep && python::is_present(),
        python::free_threaded,
    ),
    tests("e2e", |_| python::has_e2e(), python::e2e),
    tests("examples", |_| examples::is_present(), examples::run),
    tests(
        "fuzz",
        |plan| plan.deep && nightly::has_fuzz(),
        nightly::fuzz,
    ),
    tests("soak", |plan| plan.deep, rust::soak),
];

/// The name of a step, if there is one of that name.
fn step_named(name: Option<&String>) -> Done<String> {
    let name = name.ok_or("`--step` needs the name of a step")?;
    match STEPS.iter().find(|step| step.name == name) {
        Some(_) => Ok(name.clone()),
        None => {
            let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
            Err(format!(
                "there is no step `{name}`, but: {}",
                names.join(", ")
            ))
        }
    }
}

/// `test [--deep] [--step STEP] [NAME-FILTER]`.
pub(crate) fn command(args: &[String]) -> Done<ExitCode> {
    let plan = Plan::parse(args)?;
    require_tools()?;
    let listed = match std::env::var("CI").as_deref() {
        Ok("true") => Some(skips::List::load()?),
        _ => None,
    };
    let start = Instant::now();
    notes::clear()?;
    let rows = run(&plan);
    let totals = report::conclude(&rows, listed.as_ref());
    notes::print()?;
    if plan.deep && plan.is_whole() {
        deep::record(&rows, &totals, start.elapsed())?;
    }
    println!("{}", totals.line());
    Ok(if totals.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Fails before anything is built when a required tool is not there.
fn require_tools() -> Done {
    sh::require("cc")?;
    if c::is_present() || examples::is_present() {
        sh::require("c++")?;
        sh::require("pkg-config")?;
    }
    if python::is_present() || python::has_e2e() || examples::has_python() {
        python::interpreter()?;
    }
    Ok(())
}

fn run(plan: &Plan) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut built = true;
    let is_wanted = |step: &&Step| match &plan.step {
        Some(name) => step.name == name,
        None => (step.is_present)(plan),
    };
    for step in STEPS.iter().filter(is_wanted) {
        println!("\n=== {} ===", step.name);
        let start = Instant::now();
        let outcome = if step.needs_build && !built {
            Outcome::check(false, format!("{}: not run, the build failed", step.name))
        } else {
            run_step(step, plan)
        };
        if step.name == BUILD {
            built = outcome.failed == 0;
        }
        let took = start.elapsed();
        println!(
            "--- {}: {} passed, {} failed in {:.1} s",
            step.name,
            outcome.passed,
            outcome.failed,
            took.as_secs_f64()
        );
        rows.push(Row {
            name: step.name,
            outcome,
            took,
        });
    }
    rows
}

fn run_step(step: &Step, plan: &Plan) -> Outcome {
    let told = |mut outcome: Outcome| {
        // A test that told a skip returned normally, and its harness counted a pass.
        let skips = skips::told()?;
        outcome.passed = outcome.passed.saturating_sub(skips.len() as u64);
        outcome.skips.extend(skips);
        Ok(outcome)
    };
    let outcome = skips::clear()
        .and_then(|()| (step.run)(plan))
        .and_then(told);
    outcome.unwrap_or_else(|message: String| {
        println!("{message}");
        Outcome::check(false, format!("{}: {message}", step.name))
    })
}

fn generated_files(_: &Plan) -> Done<Outcome> {
    let stale = generate::stale()?;
    let why = format!("stale: {} (run `cargo xtask generate`)", stale.join(", "));
    Ok(Outcome::check(stale.is_empty(), why))
}

#[cfg(test)]
mod unit {
    use super::*;

    fn parse(args: &[&str]) -> Done<Plan> {
        Plan::parse(&args.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_filter_and_the_tier_are_read_in_any_order() {
        let plan = parse(&["wav", "--deep"]).unwrap();
        assert!(plan.deep && plan.wants("audio::wav::cut") && !plan.wants("ring"));
        assert!(parse(&["--fast"]).is_err() && parse(&["a", "b"]).is_err());
    }

    #[test]
    fn one_step_is_asked_for_by_its_name() {
        let plan = parse(&["--step", "headers"]).unwrap();
        assert!(plan.step.as_deref() == Some("headers") && !plan.is_whole());
        let error = parse(&["--step", "heads"]).err().unwrap();
        assert!(error.contains("`heads`, but: format, "), "{error}");
        assert!(parse(&["--step"]).is_err());
    }

    #[test]
    fn step_names_are_unique() {
        let names: std::collections::HashSet<_> = STEPS.iter().map(|s| s.name).collect();
        assert_eq!(names.len(), STEPS.len());
    }
}
