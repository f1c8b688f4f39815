//! The binary interface: what a program that was linked with an earlier library relies on.
//!
//! `tests/abi` holds it as it is now. Something that changes or goes is refused there while the
//! library has the same soname; something that comes only has to be written down.
//!
//! The debug information of the library itself speaks of Rust and changes with the compiler. So a
//! library is made from the header alone: each declared function, with the types of C.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::install::SONAME;
use crate::report::Outcome;
use crate::test::Plan;
use crate::{Done, sh};

const HEADER: &str = "talkwire.h";
const TOOLS: [&str; 2] = ["abidw", "abidiff"];
/// What abidiff says by bits of its exit code.
const FAILED: i32 = 1 | 2;

/// `abi`: writes the interface down, if the soname allows it.
pub(crate) fn command(args: &[String]) -> Done<ExitCode> {
    if !args.is_empty() {
        return Err("usage: cargo xtask abi".into());
    }
    for tool in TOOLS {
        sh::require(tool)?;
    }
    let now = Interface::of_header()?;
    let change = match Interface::committed()? {
        Some(before) => before.change_to(&now)?,
        None => Change::Comes(String::new()),
    };
    match change {
        Change::None => println!("tests/abi is current"),
        Change::Breaks(what) => return Err(broken(&what)),
        Change::Comes(what) => {
            now.write()?;
            println!("{what}\ntests/abi is renewed");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn broken(what: &str) -> String {
    format!(
        "{what}\nprograms that were linked with {SONAME} would break: raise the number in \
         ffi-c/soname.txt, or keep what was there"
    )
}

/// Whether the header is what `tests/abi` says.
pub(crate) fn abi(_: &Plan) -> Done<Outcome> {
    let mut outcome = Outcome::default();
    if let Some(tool) = TOOLS.iter().find(|tool| sh::find(tool).is_none()) {
        outcome.skip("abi", sh::missing(tool));
        return Ok(outcome);
    }
    let before = Interface::committed()?.ok_or("tests/abi has no dump: run `cargo xtask abi`")?;
    match before.change_to(&Interface::of_header()?)? {
        Change::None => outcome.add(true, ""),
        Change::Breaks(what) => outcome.add(false, broken(&what)),
        Change::Comes(what) => {
            println!("{what}");
            outcome.add(false, "tests/abi is stale: run `cargo xtask abi`");
        }
    }
    Ok(outcome)
}

/// What a change of the header does to programs that are there.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    None,
    /// They go on; new ones may ask for more.
    Comes(String),
    /// They may not go on with a library of this soname.
    Breaks(String),
}

/// A binary interface.
struct Interface {
    /// Functions and their types, in the words of abigail.
    dump: String,
    /// Constants, which a program has compiled in.
    constants: String,
    /// Structs that may grow, in the words of abigail.
    growing: String,
    /// Where files that abigail reads may be written.
    scratch: PathBuf,
}

impl Interface {
    fn of_header() -> Done<Self> {
        let header = sh::read_file(&sh::root().join("include").join(HEADER))?;
        Self::of(&header, SONAME, sh::target_dir().join("abi"))
    }

    /// What a header promises under a soname.
    fn of(header: &str, soname: &str, scratch: PathBuf) -> Done<Self> {
        sh::write_file(&scratch.join(HEADER), header)?;
        let mut interface = Self {
            dump: String::new(),
            constants: String::new(),
            growing: growing(header),
            scratch,
        };
        interface.dump = interface.dumped(header, soname)?;
        interface.constants = interface.constants(header)?;
        Ok(interface)
    }

    fn file(name: &str) -> PathBuf {
        sh::root().join("tests/abi").join(name)
    }

    fn committed() -> Done<Option<Self>> {
        if !Self::file(DUMP).is_file() {
            return Ok(None);
        }
        Ok(Some(Self {
            dump: sh::read_file(&Self::file(DUMP))?,
            constants: sh::read_file(&Self::file(CONSTANTS))?,
            growing: String::new(),
            scratch: sh::target_dir().join("abi/committed"),
        }))
    }

    fn write(&self) -> Done {
        sh::write_file(&Self::file(DUMP), &self.dump)?;
        sh::write_file(&Self::file(CONSTANTS), &self.constants)
    }

    fn dumped(&self, header: &str, soname: &str) -> Done<String> {
        self.compile(
            "stub.c",
            &stub(header),
            &["-g", "-shared", "-fPIC", &format!("-Wl,-soname,{soname}")],
        )?;
        let mut abidw = Command::new("abidw");
        abidw
            .args(["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs"])
            .args(["--no-architecture", "--type-id-style", "hash", "stub"]);
        sh::read(abidw.current_dir(&self.scratch))
    }

    /// One line for each constant, whatever the macro is made of.
    fn constants(&self, header: &str) -> Done<String> {
        self.compile("constants.c", &printer(header), &[])?;
        sh::read(&mut Command::new(self.scratch.join("constants")))
    }

    fn compile(&self, name: &str, text: &str, flags: &[&str]) -> Done {
        sh::write_file(&self.scratch.join(name), text)?;
        let mut cc = Command::new("cc");
        cc.args(["-std=c99", "-w", "-I.", name])
            .args(flags)
            .args(["-o", name.trim_end_matches(".c")]);
        sh::read(cc.current_dir(&self.scratch)).map(drop)
    }

    fn change_to(&self, after: &Self) -> Done<Change> {
        let [before, now, growing] =
            ["before.abi", "now.abi", "growing.abignore"].map(|name| after.scratch.join(name));
        sh::write_file(&before, &self.dump)?;
        sh::write_file(&now, &after.dump)?;
        sh::write_file(&growing, &after.growing)?;
        let constants = constants_change(&self.constants, &after.constants);
        let any = abidiff(&[], &before, &now)?;
        let what = match (any, &constants) {
            (None, Change::None) => return Ok(Change::None),
            (any, Change::Comes(c) | Change::Breaks(c)) => any.unwrap_or_default() + c,
            (any, Change::None) => any.unwrap_or_default(),
        };
        if soname(&self.dump) != soname(&after.dump) {
            return Ok(Change::Comes(what));
        }
        let growing = growing.display().to_string();
        let options = ["--no-added-syms", "--suppressions", &growing];
        let kept = abidiff(&options, &before, &now)?;
        Ok(match (kept, constants) {
            (None, Change::None | Change::Comes(_)) => Change::Comes(what),
            _ => Change::Breaks(what),
        })
    }
}

const DUMP: &str = "talkwire.abi";
const CONSTANTS: &str = "constants.txt";

/// What abidiff has to say, if anything.
fn abidiff(options: &[&str], before: &Path, after: &Path) -> Done<Option<String>> {
    let mut command = Command::new("abidiff");
    command.args(options).arg(before).arg(after);
    let finished = sh::capture(&mut command, None)?;
    match finished.code() {
        Some(0) => Ok(None),
        Some(code) if code & FAILED == 0 => Ok(Some(finished.output)),
        _ => Err(format!(
            "{} failed:\n{}",
            sh::describe(&command),
            finished.output
        )),
    }
}

fn soname(dump: &str) -> Option<&str> {
    dump.split_once("soname='")?.1.split('\'').next()
}

/// Every declared function, with a body that never returns.
fn stub(header: &str) -> String {
    let mut text = format!("#define TW_API\n#include \"{HEADER}\"\n");
    for declaration in header.split("\nTW_API ").skip(1) {
        let head = declaration.split(';').next().expect("a first part");
        text += &format!("\n{head} {{\n  for (;;) continue;\n}}\n");
    }
    text
}

/// A program that prints every constant with its value. The version is not one: it shall change.
fn printer(header: &str) -> String {
    let mut text =
        format!("#include <stdio.h>\n#define TW_API\n#include \"{HEADER}\"\n\nint main(void) {{\n");
    for line in header.lines() {
        let name = line
            .strip_prefix("#define TW_")
            .and_then(|rest| rest.split_once(' '));
        match name {
            Some((name, value))
                if !name.starts_with("VERSION_") && name != "API" && !value.starts_with('{') =>
            {
                text += &format!("  printf(\"TW_{name} %lld\\n\", (long long)(TW_{name}));\n");
            }
            _ => {}
        }
    }
    text + "  return 0;\n}\n"
}

/// Structs whose first field is their size, as the program that uses them knew it.
fn growing(header: &str) -> String {
    let mut text = String::new();
    for declaration in header.split("typedef struct ").skip(1) {
        let Some((name, body)) = declaration.split_once(" {") else {
            continue;
        };
        let is_comment = |line: &&str| line.trim_start().starts_with(['/', '*']);
        let mut fields = body.lines().skip_while(|l| l.is_empty() || is_comment(l));
        if fields
            .next()
            .is_some_and(|f| f.trim() == "size_t struct_size;")
        {
            text += &format!(
                "[suppress_type]\n  name = {name}\n  has_data_member_inserted_at = end\n\n"
            );
        }
    }
    text
}

fn constants_change(before: &str, after: &str) -> Change {
    let table = |text: &str| -> BTreeMap<String, String> {
        let pair = |line: &str| line.split_once(' ').map(|(n, v)| (n.into(), v.into()));
        text.lines().filter_map(pair).collect()
    };
    let (before, after) = (table(before), table(after));
    let mut broken = String::new();
    for (name, value) in &before {
        match after.get(name) {
            Some(now) if now == value => {}
            Some(now) => broken += &format!("{name} was {value} and is {now}\n"),
            None => broken += &format!("{name} is gone\n"),
        }
    }
    let comes = |name: &&String| !before.contains_key(*name);
    let new: String = after
        .keys()
        .filter(comes)
        .map(|name| format!("{name} is new\n"))
        .collect();
    match (broken.is_empty(), new.is_empty()) {
        (true, true) => Change::None,
        (true, false) => Change::Comes(new),
        _ => Change::Breaks(broken + &new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "\
#include <stddef.h>
#include <stdint.h>
#define TW_OK 0
#define TW_VERSION_MINOR 1
#define TW_ALL (TW_OK + 7)
#define TW_STATS_INIT {sizeof(struct tw_stats), 0}

typedef int32_t tw_status;
typedef struct tw_thing tw_thing;

typedef struct tw_stats {
  /** Its size. */
  size_t struct_size;
  uint64_t pushed;
} tw_stats;

typedef struct tw_pair {
  uint32_t first;
  uint32_t second;
} tw_pair;

/** Makes. */
TW_API tw_status tw_thing_new(uint32_t size,
                              struct tw_thing **thing);

TW_API tw_status tw_thing_stats(const struct tw_thing *thing, struct tw_stats *stats);

TW_API struct tw_pair tw_thing_pair(const struct tw_thing *thing);

TW_API void tw_thing_free(struct tw_thing *thing);
";

    fn interface(test: &str, header: &str, soname: &str) -> Interface {
        let scratch = sh::target_dir().join("abi/tests").join(test);
        Interface::of(header, soname, scratch).unwrap()
    }

    /// What a change of the old header is, under the same soname and under the next one.
    fn change(test: &str, from: &str, to: &str) -> Option<[Change; 2]> {
        if let Some(tool) = TOOLS.iter().find(|tool| sh::find(tool).is_none()) {
            crate::skips::tell(&format!("c::abi::{test}"), &sh::missing(tool));
            return None;
        }
        assert!(OLD.contains(from), "{from}");
        let old = interface(test, OLD, "lib.so.0");
        let header = OLD.replacen(from, to, 1);
        Some(
            ["lib.so.0", "lib.so.1"]
                .map(|soname| old.change_to(&interface(test, &header, soname)).unwrap()),
        )
    }

    /// A change is refused under the same soname, and goes under the next one.
    fn breaks(test: &str, from: &str, to: &str, said: &str) {
        let Some([same, next]) = change(test, from, to) else {
            return;
        };
        assert!(
            matches!(&same, Change::Breaks(what) if what.contains(said)),
            "{test}: {same:?}"
        );
        assert!(matches!(next, Change::Comes(_)), "{test}: {next:?}");
    }

    fn comes(test: &str, from: &str, to: &str, said: &str) {
        let Some([same, _]) = change(test, from, to) else {
            return;
        };
        assert!(
            matches!(&same, Change::Comes(what) if what.contains(said)),
            "{test}: {same:?}"
        );
    }

    #[test]
    fn a_header_that_says_the_same_is_no_change() {
        let Some([same, next]) = change("same", "/** Makes. */", "/** Makes a thing. */") else {
            return;
        };
        assert_eq!(same, Change::None);
        assert!(matches!(next, Change::Comes(_)));
    }

    #[test]
    fn what_goes_or_changes_breaks_programs_unless_the_soname_changes() {
        let freed = "TW_API void tw_thing_free(struct tw_thing *thing);\n";
        breaks("gone", freed, "", "tw_thing_free");
        breaks("parameter", "uint32_t size", "uint64_t size", "size");
        breaks("result", "TW_API void", "TW_API tw_status", "tw_thing_free");
        breaks("field", "  uint32_t second;\n", "", "second");
        breaks(
            "order",
            "size_t struct_size;\n  uint64_t",
            "size_t struct_size;\n  uint32_t early;\n  uint64_t",
            "early",
        );
        breaks("constant", "TW_OK 0", "TW_OK 1", "TW_ALL was 7 and is 8");
        breaks(
            "no_constant",
            "#define TW_ALL (TW_OK + 7)\n",
            "",
            "TW_ALL is gone",
        );
    }

    #[test]
    fn a_struct_without_its_size_may_not_grow() {
        breaks(
            "grown",
            "uint32_t second;",
            "uint32_t second, third;",
            "third",
        );
    }

    #[test]
    fn what_only_comes_is_to_be_written_down() {
        let more =
            "TW_API void tw_thing_free(struct tw_thing *thing);\n\nTW_API void tw_more(int n);\n";
        let freed = "TW_API void tw_thing_free(struct tw_thing *thing);\n";
        comes("function", freed, more, "tw_more");
        comes(
            "new_constant",
            "#define TW_OK 0\n",
            "#define TW_OK 0\n#define TW_BAD 1\n",
            "TW_BAD is new",
        );
        comes(
            "end_of_struct",
            "uint64_t pushed;",
            "uint64_t pushed;\n  uint64_t pulled;",
            "pulled",
        );
    }

    #[test]
    fn the_version_is_no_constant_of_the_interface() {
        let Some([same, _]) = change("version", "MINOR 1", "MINOR 2") else {
            return;
        };
        assert_eq!(same, Change::None);
    }

    #[test]
    fn the_committed_list_has_constants_and_no_version() {
        let text = sh::read_file(&Interface::file(CONSTANTS)).unwrap();
        assert!(text.contains("TW_ERR_ARGUMENT -1\n") && !text.contains("VERSION"));
    }
}
