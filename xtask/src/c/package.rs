//! The installed package, used as a stranger would: by pkg-config and by CMake.

use std::path::Path;
use std::process::Command;

use super::{LANGUAGES, Program, build_and_run, execute, out, programs};
use crate::report::Outcome;
use crate::test::{self, Plan};
use crate::{Done, sh};

/// Builds against the installed package as a stranger would: pkg-config shared and static, and CMake, which
/// also builds the examples.
pub(crate) fn package(plan: &Plan) -> Done<Outcome> {
    let mut outcome = Outcome::default();
    let programs = programs("tests");
    let Some(program) = programs
        .iter()
        .find(|p| p.has_prefix("build_"))
        .or_else(|| programs.first())
    else {
        return Ok(outcome);
    };
    for how in ["shared", "static"] {
        let output = out(program, how)?;
        let mut compile = program.compile(&output);
        compile.args(if how == "static" {
            static_flags()?
        } else {
            shared_flags()?
        });
        let name = format!("pkg-config {how}");
        build_and_run(
            plan,
            &name,
            &mut compile,
            Command::new(&output),
            &mut outcome,
        )?;
    }
    cmake(plan, program, &mut outcome)?;
    neighbours(plan, &mut outcome)?;
    loading(plan, &mut outcome)?;
    Ok(outcome)
}

/// Libraries that a program may bring along, and that the static library must not get in the way of.
const NEIGHBOURS: [&str; 3] = ["sqlite3", "zlib", "openssl"];
/// The same as archives, each before what it needs.
const NEIGHBOUR_ARCHIVES: [&str; 4] = [
    "-l:libsqlite3.a",
    "-l:libssl.a",
    "-l:libcrypto.a",
    "-l:libz.a",
];
/// What they need besides, which differs between distributions, is said by theirs.
const NEEDED_BY_NEIGHBOURS: [&str; 2] = ["sqlite3", "libcrypto"];

/// A program with another SQLite, zlib and OpenSSL, shared and static, on either side of ours.
fn neighbours(plan: &Plan, outcome: &mut Outcome) -> Done {
    let program = alone("neighbours");
    let Some(theirs) = pkg_config_of(&NEIGHBOURS, &["--cflags", "--libs"])? else {
        let reason = "on Debian or Ubuntu: apt-get install libsqlite3-dev zlib1g-dev libssl-dev";
        outcome.skip("neighbours", reason);
        return Ok(());
    };
    let mut archives = NEIGHBOUR_ARCHIVES.map(str::to_owned).to_vec();
    let needed = pkg_config_of(&NEEDED_BY_NEIGHBOURS, &["--static", "--libs"])?;
    let is_theirs = |flag: &String| ["-lsqlite3", "-lcrypto", "-lz"].contains(&flag.as_str());
    archives.extend(needed.into_iter().flatten().filter(|flag| !is_theirs(flag)));
    let (shared, ours) = (shared_flags()?, static_flags()?);
    let ways = [
        ("shared", [&shared, &theirs]),
        ("static", [&ours, &theirs]),
        ("all static", [&ours, &archives]),
        ("all static, after them", [&archives, &ours]),
    ];
    for (how, flags) in ways {
        let output = out(&program, &how.replace([' ', ','], "-"))?;
        let mut compile = program.compile(&output);
        compile.args(flags.into_iter().flatten());
        let name = format!("neighbours {how}");
        let run = Command::new(&output);
        build_and_run(plan, &name, &mut compile, run, outcome)?;
    }
    Ok(())
}

/// A host that is not linked with the library and loads it.
fn loading(plan: &Plan, outcome: &mut Outcome) -> Done {
    let program = alone("loading");
    let output = out(&program, "loading")?;
    let mut compile = program.compile(&output);
    compile.args(pkg_config(&["--cflags"])?).arg("-ldl");
    let run = Command::new(&output);
    build_and_run(plan, "loading", &mut compile, run, outcome)
}

/// A program of tests/package, which the ordinary tests leave out.
pub(super) fn alone(name: &str) -> Program {
    Program {
        source: sh::root().join(format!("tests/package/{name}.c")),
        language: LANGUAGES[0],
    }
}

/// What pkg-config says of the installed package, with the path of the library for run time.
pub(crate) fn shared_flags() -> Done<Vec<String>> {
    let mut flags = pkg_config(&["--cflags", "--libs"])?;
    flags.push(format!(
        "-Wl,-rpath,{}",
        test::stage().join("lib").display()
    ));
    Ok(flags)
}

fn static_flags() -> Done<Vec<String>> {
    // `-ltalkwire` would take the shared library that lies beside the static one.
    let flags = pkg_config(&["--static", "--cflags", "--libs"])?;
    let exact = |flag: String| {
        if flag == "-ltalkwire" {
            "-l:libtalkwire.a".into()
        } else {
            flag
        }
    };
    Ok(flags.into_iter().map(exact).collect())
}

fn pkg_config(args: &[&str]) -> Done<Vec<String>> {
    pkg_config_of(&["talkwire"], args)?.ok_or_else(|| "the staged package is incomplete".into())
}

/// What pkg-config says of packages; `None` if it does not know one.
fn pkg_config_of(packages: &[&str], args: &[&str]) -> Done<Option<Vec<String>>> {
    let mut command = Command::new(sh::require("pkg-config")?);
    command.args(args).args(packages);
    command.env("PKG_CONFIG_PATH", test::stage().join("lib/pkgconfig"));
    let finished = sh::capture(&mut command, None)?;
    let words = finished.output.split_whitespace().map(str::to_owned);
    Ok(finished.success().then(|| words.collect()))
}

fn cmake(plan: &Plan, program: &Program, outcome: &mut Outcome) -> Done {
    if sh::find("cmake").is_none() || sh::find("make").is_none() {
        outcome.skip("cmake package", sh::missing("cmake"));
        return Ok(());
    }
    let dir = sh::target_dir().join("ctests/cmake");
    let text = format!(
        "cmake_minimum_required(VERSION 3.16)\nproject(consumer C CXX)\nset(CMAKE_CXX_STANDARD 17)\n\
         find_package(talkwire 0.1 REQUIRED CONFIG)\nfind_package(Threads REQUIRED)\n\
         foreach(kind talkwire static)\n  add_executable(with_${{kind}} {0})\n  \
         target_link_libraries(with_${{kind}} talkwire::${{kind}} Threads::Threads)\nendforeach()\n",
        program.source.display()
    );
    sh::write_file(&dir.join("CMakeLists.txt"), text)?;
    let build = dir.join("build");
    if !cmake_builds(&dir, &build)? {
        outcome.add(false, "cmake package: does not build");
        return Ok(());
    }
    for kind in ["talkwire", "static"] {
        let run = Command::new(build.join(format!("with_{kind}")));
        execute(plan, &format!("cmake {kind}"), run, outcome)?;
    }
    let examples = sh::root().join("examples");
    if examples.join("CMakeLists.txt").is_file() {
        let is_built = cmake_builds(&examples, &dir.join("examples"))?;
        outcome.add(is_built, "cmake examples: do not build");
    }
    Ok(())
}

/// Whether the CMakeLists.txt of a directory builds with the installed package.
fn cmake_builds(source: &Path, build: &Path) -> Done<bool> {
    let mut configure = Command::new("cmake");
    configure
        .args(["-G", "Unix Makefiles"])
        .arg("-S")
        .arg(source)
        .arg("-B")
        .arg(build);
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", test::stage().display()));
    let mut make = Command::new("cmake");
    make.arg("--build").arg(build);
    Ok(sh::show(&mut configure)?.success() && sh::show(&mut make)?.success())
}
