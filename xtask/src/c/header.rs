//! The headers by themselves: both compilers, every language standard, twice in a unit and in two
//! units of one program; and Doxygen.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::WARNINGS;
use crate::report::Outcome;
use crate::test::Plan;
use crate::{Done, sh};

/// A header, and the compilers and standards that it is promised for.
struct Promise {
    header: &'static str,
    extension: &'static str,
    compilers: [&'static str; 2],
    standards: &'static [&'static str],
    warnings: &'static [&'static str],
    /// What a unit does with the header, so that its macros are compiled too.
    uses: &'static str,
}

const PROMISES: &[Promise] = &[
    Promise {
        header: "talkwire.h",
        extension: "c",
        compilers: ["cc", "clang"],
        standards: &["c99", "c11", "c17", "c2x"],
        warnings: &["-Wstrict-prototypes"],
        uses: MACROS,
    },
    Promise {
        header: "talkwire.h",
        extension: "cpp",
        compilers: ["c++", "clang++"],
        standards: &["c++11", "c++17", "c++20"],
        warnings: &[],
        uses: MACROS,
    },
    Promise {
        header: "talkwire.hpp",
        extension: "cpp",
        compilers: ["c++", "clang++"],
        standards: &["c++17", "c++20"],
        warnings: &[],
        uses: "  return talkwire::Runtime(1, 1).get() == nullptr;\n",
    },
];

const MACROS: &str = "  struct tw_callbacks callbacks = TW_CALLBACKS_INIT;
  struct tw_stats stats = TW_STATS_INIT;
  tw_status status = TW_ERR_ARGUMENT;
  return callbacks.struct_size == 0 || stats.struct_size == 0 || status == TW_OK ||
         TW_VERSION_NUMBER < TW_VERSION_MAJOR || TW_NTS == 0 || TW_FOREVER == 0;
";

/// Standards that a supported compiler may be too old for.
const MAY_BE_UNKNOWN: &[&str] = &["c2x"];

/// Compiles each header in each standard by each compiler, and lets Doxygen read the manual.
pub(crate) fn headers(_: &Plan) -> Done<Outcome> {
    let mut outcome = Outcome::default();
    for promise in PROMISES {
        let units = promise.write()?;
        for compiler in promise.compilers {
            if sh::find(compiler).is_none() {
                let name = format!("{} by {compiler}", promise.header);
                outcome.skip(name, sh::missing(compiler));
                continue;
            }
            for standard in promise.standards {
                if !MAY_BE_UNKNOWN.contains(standard) || is_known(compiler, standard)? {
                    promise.compile(&units, compiler, standard, &mut outcome)?;
                }
            }
        }
    }
    doxygen(&mut outcome)?;
    Ok(outcome)
}

impl Promise {
    /// Two units of one program, each with the header twice.
    fn write(&self) -> Done<[PathBuf; 2]> {
        let dir = sh::target_dir().join("ctests/header");
        let include = format!("#include \"{0}\"\n#include \"{0}\"\n", self.header);
        let unit = |name: &str, text: String| {
            let stem = self.header.replace('.', "_");
            let file = dir.join(format!("{stem}_{name}.{}", self.extension));
            sh::write_file(&file, format!("{include}\n{text}")).map(|()| file)
        };
        let other = format!(
            "int other_unit(void);\n\nint other_unit(void) {{\n{}}}\n",
            self.uses
        );
        let main = format!(
            "int other_unit(void);\n\nstatic int here(void) {{\n{}}}\n\n\
             int main(void) {{ return here() + other_unit(); }}\n",
            self.uses
        );
        Ok([unit("other", other)?, unit("main", main)?])
    }

    fn compile(
        &self,
        units: &[PathBuf; 2],
        compiler: &str,
        standard: &str,
        outcome: &mut Outcome,
    ) -> Done {
        let mut command = Command::new(compiler);
        command
            .arg(format!("-std={standard}"))
            .args(WARNINGS)
            .args(self.warnings)
            .args(units)
            .arg("-o")
            .arg(sh::target_dir().join("ctests/header/program"));
        super::link_shared(&mut command);
        let finished = sh::show(&mut command)?;
        let name = format!("{} ({compiler} {standard})", self.header);
        println!(
            "{}  {name}",
            if finished.success() {
                "ok     "
            } else {
                "FAILED "
            }
        );
        outcome.add(finished.success(), name);
        Ok(())
    }
}

fn is_known(compiler: &str, standard: &str) -> Done<bool> {
    let mut command = Command::new(compiler);
    command
        .arg(format!("-std={standard}"))
        .args(["-x", "c", "-E", "/dev/null"]);
    Ok(sh::capture(&mut command, None)?.success())
}

/// The manual as a page; what Doxygen does not understand is an error.
fn doxygen(outcome: &mut Outcome) -> Done {
    if sh::find("doxygen").is_none() {
        outcome.skip("doxygen", sh::missing("doxygen"));
        return Ok(());
    }
    let dir = sh::target_dir().join("doxygen");
    let settings = dir.join("Doxyfile");
    let committed = sh::root().join("ffi-c/Doxyfile");
    sh::write_file(&settings, doxyfile(&committed, &dir))?;
    let mut command = Command::new("doxygen");
    command.arg(settings).current_dir(sh::root());
    let finished = sh::show(&mut command)?;
    let page = dir.join("html/talkwire_8h.html");
    outcome.add(
        finished.success() && page.is_file(),
        "doxygen: the header has warnings",
    );
    Ok(())
}

fn doxyfile(committed: &Path, output: &Path) -> String {
    format!(
        "@INCLUDE = \"{}\"\nOUTPUT_DIRECTORY = \"{}\"\n",
        committed.display(),
        output.display()
    )
}
