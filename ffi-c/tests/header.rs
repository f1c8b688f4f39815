//! `include/talkwire.h` is generated from the sources and a manual, and proven current here.
//! `UPDATE_HEADER=1 cargo test -p talkwire-ffi` rewrites it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The chapters in their order, with the prefixes of their functions.
const CHAPTERS: &[(&str, &[&str])] = &[
    ("Versions", &["tw_version_", "tw_build_"]),
    (
        "Statuses and errors",
        &["tw_status_", "tw_who_", "tw_error_"],
    ),
    ("Runtime", &["tw_runtime_"]),
    ("Configuration", &["tw_config_", "tw_key_"]),
    ("Sessions", &["tw_session_"]),
    ("Tools", &["tw_tool_"]),
    ("Media port", &["tw_call_"]),
    (
        "Recordings and transcripts",
        &["tw_recorder_", "tw_transcript_"],
    ),
    ("Events", &["tw_event_"]),
    ("Subscriptions", &["tw_subscription_"]),
    ("The end of a session", &["tw_end_", "tw_flight_"]),
    ("Local server", &["tw_local_server_"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn generated() -> String {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).unwrap();
    config.header = Some(manual());
    config.after_includes = Some(macros());
    let bindings = cbindgen::Builder::new()
        .with_crate(crate_dir)
        .with_config(config)
        .generate()
        .unwrap();
    let mut text = Vec::new();
    bindings.write(&mut text);
    with_chapters(&String::from_utf8(text).unwrap())
}

fn manual() -> String {
    read("ffi-c/manual.txt")
        .replace("@SONAME@", read("ffi-c/soname.txt").trim_end())
        .trim_end()
        .to_owned()
}

fn macros() -> String {
    let numbers: Vec<u32> = env!("CARGO_PKG_VERSION")
        .split('.')
        .map(|part| part.parse().unwrap())
        .collect();
    read("ffi-c/macros.txt")
        .replace("@MAJOR@", &numbers[0].to_string())
        .replace("@MINOR@", &numbers[1].to_string())
        .replace("@PATCH@", &numbers[2].to_string())
        .trim_end()
        .to_owned()
}

/// Sorts the functions into chapters and makes the constants compact.
fn with_chapters(text: &str) -> String {
    let text = text.replace("\nTW_API\n", "\nTW_API ");
    let (before, rest) = text.split_once("#ifdef __cplusplus").unwrap();
    let (open, rest) = rest.split_once("/**").unwrap();
    let (functions, close) = rest.rsplit_once("#ifdef __cplusplus").unwrap();
    let mut out = compact(before) + "#ifdef __cplusplus" + open;
    let mut blocks: Vec<&str> = functions.trim_end().split("\n/**").collect();
    for (title, prefixes) in CHAPTERS {
        let rule = "-".repeat(90 - title.len());
        out += &format!("/* ---- {title} {rule} */\n\n");
        blocks.retain(|block| {
            let is_here = prefixes.iter().any(|p| declared(block).starts_with(p));
            if is_here {
                out += &format!("/**{}\n\n", block.trim_end());
            }
            !is_here
        });
    }
    assert!(blocks.is_empty(), "functions without a chapter: {blocks:?}");
    out + "#ifdef __cplusplus" + close
}

/// The name that a comment and a declaration declare.
fn declared(block: &str) -> &str {
    let declaration = block.split("TW_API ").nth(1).expect("a declaration");
    let name = declaration.split('(').next().expect("a name");
    name.rsplit([' ', '*']).next().expect("a name")
}

/// One line for a comment of one line, and parentheses around what is negative.
fn compact(text: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    for line in text.lines() {
        let depth = out.len();
        let is_single = line.trim() == "*/" && depth > 1 && out[depth - 2].trim() == "/**";
        if is_single {
            let said = out.pop().expect("a sentence");
            let indent = " ".repeat(line.find('*').expect("a star") - 1);
            let said = said.trim_start_matches([' ', '*']);
            out[depth - 2] = format!("{indent}/** {said} */");
            continue;
        }
        let negative = line.starts_with("#define TW_") && line.contains(" -");
        out.push(if negative {
            line.replace(" -", " (-") + ")"
        } else {
            line.trim_end().to_owned()
        });
    }
    let text = out.join("\n") + "\n";
    // A list of constants reads better without gaps.
    let mut text = text;
    for prefix in ["TW_ERR_", "TW_EVENT_", "TW_WHO_", "TW_ROLE_", "TW_LOG_"] {
        text = close_up(&text, prefix);
    }
    text
}

fn close_up(text: &str, prefix: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let define = format!("#define {prefix}");
    for line in text.lines() {
        let n = out.len();
        let follows = line.starts_with(&define)
            && n > 2
            && out[n - 1].starts_with("/**")
            && out[n - 2].is_empty()
            && out[n - 3].starts_with(&define);
        if follows {
            out.remove(n - 2);
        }
        out.push(line);
    }
    out.join("\n") + "\n"
}

/// What the committed header is proven to be.
fn header() -> String {
    generated()
}

#[test]
fn the_committed_header_is_current() {
    let wanted = generated();
    let path = root().join("include/talkwire.h");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differs = committed
        .lines()
        .zip(wanted.lines())
        .position(|(a, b)| a != b);
    assert!(
        committed == wanted,
        "include/talkwire.h is stale (line {:?}): run UPDATE_HEADER=1 cargo test -p talkwire-ffi",
        differs.map(|line| line + 1)
    );
}

/// The declared functions with the comments above them.
fn functions(header: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut comment = String::new();
    for line in header.lines() {
        if line.starts_with("/**") {
            comment.clear();
        }
        comment.push_str(line);
        comment.push('\n');
        if line.starts_with("TW_API ") {
            found.push((declared(line).to_owned(), comment.clone()));
        }
    }
    found
}

#[test]
fn every_function_says_its_thread_callback_and_blocking_rule() {
    let header = header();
    let functions = functions(&header);
    assert!(functions.len() > 80, "{} functions", functions.len());
    for (name, comment) in functions {
        for word in ["Thread-safe: ", "In a callback: ", "Blocks: "] {
            assert!(comment.contains(word), "{name} does not say `{word}`");
        }
    }
}

#[test]
fn every_function_stands_behind_the_wall_under_its_own_name() {
    let sources = fs::read_dir(root().join("ffi-c/src")).unwrap();
    let mut seen = 0;
    for source in sources {
        let text = fs::read_to_string(source.unwrap().path()).unwrap();
        for part in text.split("#[unsafe(no_mangle)]").skip(1) {
            let name = part.split("extern \"C\" fn ").nth(1).unwrap();
            let name = name.split('(').next().unwrap();
            let body = part.split_once("{\n").unwrap().1.trim_start();
            let called = body.split('(').next().unwrap();
            let guards = [
                "guard::status",
                "guard::done",
                "guard::value",
                "guard::bare",
                "guard::bare_or",
                "guard::release",
            ];
            assert!(guards.contains(&called), "{name} begins with {called}");
            let first = body.split_once('(').unwrap().1.trim_start();
            assert!(
                first.starts_with(&format!("\"{name}\"")),
                "{name} is called {first:.30}"
            );
            seen += 1;
        }
    }
    assert_eq!(seen, functions(&header()).len());
}

/// The numbers of `P1.` ... in the manual, and of `_p1_` ... in the names of tests.
fn promises() -> (BTreeSet<u32>, BTreeSet<u32>) {
    let number = |text: &str| text.parse::<u32>().ok();
    let header = header();
    let said = header.lines().filter_map(|line| {
        let rest = line.trim_start_matches([' ', '*']).strip_prefix('P')?;
        number(rest.split_once(". ")?.0)
    });
    let mut tested = BTreeSet::new();
    for dir in ["tests/c", "tests/cpp"] {
        for file in fs::read_dir(root().join(dir)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            tested.extend(name.split('_').filter_map(|w| number(w.strip_prefix('p')?)));
        }
    }
    (said.collect(), tested)
}

#[test]
fn every_promise_has_a_test_and_every_test_of_one_a_promise() {
    let (said, tested) = promises();
    assert!(!said.is_empty());
    assert_eq!(
        said, tested,
        "promises of the header, numbers in names of tests"
    );
    let last = u32::try_from(said.len()).unwrap();
    assert_eq!(said, (1..=last).collect());
}

/// What has no object to belong to, or a method of another name.
const PLAIN: &[&str] = &[
    "tw_build_info",
    "tw_event_type_named",
    "tw_status_name",
    "tw_version_number",
    "tw_version_string",
    "tw_who_name",
];

#[test]
fn the_wrapper_reaches_every_function_that_has_an_object() {
    let wrapper = read("include/talkwire.hpp");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = wrapper.split(|c| !is_word(c)).collect();
    for (name, _) in functions(&header()) {
        let is_plain = PLAIN.contains(&name.as_str());
        assert_ne!(words.contains(name.as_str()), is_plain, "{name}");
    }
}

#[test]
fn the_list_of_symbols_is_the_list_of_functions() {
    let functions: BTreeSet<_> = functions(&header()).into_iter().map(|f| f.0).collect();
    let text = functions
        .iter()
        .fold(String::new(), |text, f| text + f + "\n");
    let path = root().join("tests/abi/symbols.txt");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(read("tests/abi/symbols.txt"), text);
}
