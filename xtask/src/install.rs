//! `cargo xtask install`: libraries, headers, pkg-config and CMake files, and the command.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::{Done, sh};

/// The name that the dynamic linker looks for; ffi-c/build.rs gives it to the library.
pub(crate) const SONAME: &str = include_str!("../../ffi-c/soname.txt").trim_ascii_end();

/// The version of all crates; they share it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

struct Request {
    prefix: PathBuf,
    debug: bool,
}

/// `install --prefix DIR [--debug]`.
pub(crate) fn command(args: &[String]) -> Done<ExitCode> {
    let request = parse(args)?;
    sh::require("cc")?;
    let mut build = sh::cargo();
    build.args(["build", "-p", "talkwire-ffi", "-p", "talkwire-cli"]);
    if !request.debug {
        build.arg("--release");
    }
    let status = build
        .status()
        .map_err(|e| format!("cannot run cargo: {e}"))?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    let profile = if request.debug { "debug" } else { "release" };
    install(&sh::target_dir().join(profile), &request.prefix)?;
    println!(
        "installed talkwire {VERSION} to {}",
        request.prefix.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn parse(args: &[String]) -> Done<Request> {
    let usage = "usage: cargo xtask install --prefix DIR [--debug]";
    let (mut prefix, mut debug) = (None, false);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--debug" => debug = true,
            "--prefix" => prefix = Some(words.next().ok_or(usage)?.clone()),
            other => match other.strip_prefix("--prefix=") {
                Some(dir) => prefix = Some(dir.to_owned()),
                None => return Err(usage.into()),
            },
        }
    }
    let prefix = prefix.filter(|p| !p.is_empty()).ok_or(usage)?;
    let here = std::env::current_dir().map_err(|e| format!("no working directory: {e}"))?;
    Ok(Request {
        prefix: here.join(prefix),
        debug,
    })
}

/// Installs what cargo built in `artifacts` under `prefix`.
pub(crate) fn install(artifacts: &Path, prefix: &Path) -> Done {
    let root = sh::root();
    for (from, to) in inputs(artifacts, &root) {
        if !from.is_file() {
            return Err(format!(
                "{} is missing; it belongs to the package",
                from.display()
            ));
        }
        sh::copy_file(&from, &prefix.join(to))?;
    }
    link(
        &prefix.join("lib").join(SONAME),
        &format!("libtalkwire.so.{VERSION}"),
    )?;
    link(&prefix.join("lib/libtalkwire.so"), SONAME)?;
    let libs = native_static_libs()?;
    for (template, to) in TEMPLATES {
        let text = sh::read_file(&root.join(template))?;
        sh::write_file(&prefix.join(to), fill(&text, &libs)?)?;
    }
    Ok(())
}

const TEMPLATES: &[(&str, &str)] = &[
    ("ffi-c/talkwire.pc.in", "lib/pkgconfig/talkwire.pc"),
    (
        "ffi-c/cmake/talkwireConfig.cmake.in",
        "lib/cmake/talkwire/talkwireConfig.cmake",
    ),
    (
        "ffi-c/cmake/talkwireConfigVersion.cmake.in",
        "lib/cmake/talkwire/talkwireConfigVersion.cmake",
    ),
];

fn inputs(artifacts: &Path, root: &Path) -> Vec<(PathBuf, String)> {
    vec![
        (
            artifacts.join("libtalkwire.so"),
            format!("lib/libtalkwire.so.{VERSION}"),
        ),
        (artifacts.join("libtalkwire.a"), "lib/libtalkwire.a".into()),
        (artifacts.join("talkwire"), "bin/talkwire".into()),
        (root.join("include/talkwire.h"), "include/talkwire.h".into()),
        (
            root.join("include/talkwire.hpp"),
            "include/talkwire.hpp".into(),
        ),
        (
            root.join("LICENSE-MIT"),
            "share/doc/talkwire/LICENSE-MIT".into(),
        ),
        (
            root.join("LICENSE-APACHE"),
            "share/doc/talkwire/LICENSE-APACHE".into(),
        ),
    ]
}

/// Makes `link` a symbolic link to `target`, whatever it was.
pub(crate) fn link(link: &Path, target: &str) -> Done {
    match std::fs::remove_file(link) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("cannot replace {}: {e}", link.display()));
        }
        _ => {}
    }
    std::os::unix::fs::symlink(target, link)
        .map_err(|e| format!("cannot link {}: {e}", link.display()))
}

/// What a program that links `libtalkwire.a` needs besides: the libraries of Rust's own runtime.
/// Our dependencies add none, which the static program of the test tier proves.
fn native_static_libs() -> Done<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let scratch = sh::target_dir().join("native-static-libs");
    std::fs::create_dir_all(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
    let output = Command::new(rustc)
        .args([
            "--crate-type=staticlib",
            "--crate-name=empty",
            "--print=native-static-libs",
            "-",
        ])
        .current_dir(&scratch)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot run rustc: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    parse_native_libs(&said).ok_or_else(|| format!("rustc names no native libraries:\n{said}"))
}

fn parse_native_libs(said: &str) -> Option<String> {
    let libs = said
        .lines()
        .find_map(|line| line.split_once("native-static-libs: "))?
        .1;
    let mut unique: Vec<&str> = Vec::new();
    for lib in libs.split_whitespace() {
        if !unique.contains(&lib) {
            unique.push(lib);
        }
    }
    Some(unique.join(" "))
}

/// Replaces the `@NAME@` marks of a template; an unknown mark is an error.
fn fill(template: &str, static_libs: &str) -> Done<String> {
    let text = template
        .replace("@VERSION@", VERSION)
        .replace("@SONAME@", SONAME)
        .replace("@STATIC_LIBS@", static_libs)
        .replace("@STATIC_LIBS_LIST@", &static_libs.replace(' ', ";"));
    match text.split('@').nth(1) {
        Some(mark) if text.contains(&format!("@{mark}@")) && !mark.contains([' ', '\n']) => {
            Err(format!("the template has an unknown mark @{mark}@"))
        }
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_required_and_made_absolute() {
        let args = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert!(parse(&args(&[])).is_err() && parse(&args(&["--prefix"])).is_err());
        assert!(parse(&args(&["--prefix", "p", "--fast"])).is_err());
        let request = parse(&args(&["--prefix=p", "--debug"])).unwrap();
        assert!(request.debug && request.prefix.is_absolute());
    }

    #[test]
    fn marks_are_filled_and_unknown_ones_refused() {
        assert_eq!(
            fill("v @VERSION@ @STATIC_LIBS_LIST@", "-lm -lc").unwrap(),
            format!("v {VERSION} -lm;-lc")
        );
        assert!(fill("@WHAT@", "").unwrap_err().contains("@WHAT@"));
    }

    #[test]
    fn every_committed_template_can_be_filled() {
        for (template, _) in TEMPLATES {
            fill(&sh::read_file(&sh::root().join(template)).unwrap(), "-lc").unwrap();
        }
    }

    #[test]
    fn native_libraries_are_read_once_each() {
        let said = "note: link against\n\nnote: native-static-libs: -lgcc_s -lc -lm -lc\n";
        assert_eq!(parse_native_libs(said).unwrap(), "-lgcc_s -lc -lm");
        assert_eq!(parse_native_libs("error"), None);
    }
}
