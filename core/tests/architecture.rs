//! The rules of the house as tables: who may import whom, which words may not appear where, how
//! long a file or a function may be. Every rule is shown to fail on a made-up source first.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Rooms of `core/src` and the rooms they may name by `crate::` or `super::` paths. `a::b` allows
/// one file of a room only. A room that is not in the table is an error.
const EDGES: &[(&str, &[&str])] = &[
    (
        "client",
        &[
            "session",
            "runtime",
            "options",
            "event",
            "json",
            "error",
            "dialect",
            "engine::io",
        ],
    ),
    ("call", &["audio", "error"]),
    ("recorder", &["runtime", "json", "error"]),
    ("subscription", &["runtime", "json", "event", "error"]),
    ("stats", &[]),
    ("transcript", &["engine::history", "error"]),
    // A handle speaks in commands and wire types, so it needs their vocabulary and nothing that
    // decides.
    (
        "session",
        &[
            "runtime",
            "options",
            "event",
            "error",
            "wire",
            "dialect",
            "call",
            "recorder",
            "subscription",
            "transcript",
            "stats",
            "audio::format",
            "audio::port",
            "engine::io",
            "engine::history",
        ],
    ),
    (
        "runtime",
        &[
            "engine", "net", "audio", "wire", "dialect", "event", "error", "options", "stats",
        ],
    ),
    (
        "engine",
        &[
            "wire",
            "dialect",
            "audio::format",
            "event",
            "error",
            "options",
        ],
    ),
    (
        "options",
        &["dialect", "wire", "audio::format", "event", "json", "error"],
    ),
    ("json", &[]),
    ("net", &["error"]),
    ("dialect", &["wire", "error"]),
    ("wire", &["error", "audio::format"]),
    ("audio", &["json", "error"]),
    ("event", &["wire", "error", "audio::format"]),
    ("error", &[]),
];

const IMPURE: &[&str] = &[
    "tokio",
    "std::net",
    "std::thread",
    "std::fs",
    "Mutex",
    "Atomic*",
    "Instant::now",
    "SystemTime::now",
    "rand",
    "async",
    "println",
    "eprintln",
    "dbg",
];

/// What media threads run: nothing that waits, asks the system for something or can panic. That the
/// words are absent is a hint to whoever changes these files; `core/tests/realtime.rs` is the proof.
const REAL_TIME: &[&str] = &[
    "Mutex",
    "RwLock",
    "Condvar",
    "Vec",
    "Box",
    "String",
    "vec!",
    "format!",
    "println",
    "eprintln",
    "dbg",
    "log",
    "std::time",
    "std::fs",
    "to_owned",
    "to_string",
    "to_vec",
    "collect",
    "unwrap",
    "expect",
    "panic!",
    "assert!",
    "assert_eq!",
    "unreachable!",
];

/// Words and paths that may not appear in code. A trailing `*` makes a word a prefix, a trailing
/// `!` means the macro and not a module of that name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("core/src/wire", IMPURE),
    ("core/src/dialect", IMPURE),
    ("core/src/engine", IMPURE),
    ("server/src/peer.rs", IMPURE),
    (
        "core/src/audio",
        &["tokio", "std::net", "std::thread", "spawn", "async"],
    ),
    ("core/src/audio/ring.rs", REAL_TIME),
    ("core/src/audio/sound.rs", REAL_TIME),
    ("core/src/audio/words.rs", REAL_TIME),
    ("core/src/net", &["spawn", "thread_local"]),
    // The judge must not share the judged one's state machines.
    ("server/src", &["engine"]),
];

/// Files outside ffi-c that may hold unsafe code, each with its reason.
const UNSAFE_FILES: &[(&str, &str)] = &[
    ("core/src/runtime/mod.rs", "signal mask and fork guard"),
    ("server/src/exec.rs", "signal mask of programs"),
    (
        "core/src/audio/words.rs",
        "one caller at a time, without a lock; modelled with loom",
    ),
];

/// Files and directories that may spawn tasks, threads or programs, or hold a static with a state
/// in it, each with its reason. Elsewhere a caller could not know what goes on behind its back.
const ACTIVE_FILES: &[(&str, &str)] = &[
    ("core/src/runtime", "tasks and threads are its business"),
    (
        "core/src/dialect/mod.rs",
        "built-in tables, read once and never changed",
    ),
    (
        "cli/src/talk/line.rs",
        "the clock of the customer's telephone is a thread of its own",
    ),
    (
        "server/src/cassette/host.rs",
        "one task for each connection of a recorder or player",
    ),
    (
        "server/src/control/mod.rs",
        "one task for each connection of the control port",
    ),
    ("server/src/driver.rs", "one task for each connection"),
    ("server/src/exec.rs", "programs as ears, brain or voice"),
    ("server/src/local.rs", "the server's own runtime"),
    (
        "server/src/session.rs",
        "the writer of a connection, and its jobs",
    ),
    ("ffi-c/src", "handles of C live outside of Rust's scopes"),
    ("py/src", "the interpreter has one runtime"),
];

/// What spawns, and what holds a state where it is static.
const SPAWNING: &[&str] = &["spawn*", "thread_local"];
const STATEFUL: &[&str] = &[
    "Mutex",
    "RwLock",
    "Atomic*",
    "OnceLock",
    "PyOnceLock",
    "LazyLock",
    "mut",
];

/// Lower case. They are data: names of tables, files and command-line values.
const VENDORS: &[&str] = &["yandex", "openai", "azure"];

/// Where vendor names are data: the embedded tables and the list of them.
const VENDOR_FILES: &[&str] = &["core/src/dialect/tables"];

/// Source directories of the product; `xtask` obeys the limits of length only.
const PRODUCT: &[&str] = &["core/src", "server/src", "cli/src", "ffi-c/src", "py/src"];

const FILE_LINES: usize = 800;
const FUNCTION_LINES: usize = 70;

/// Functions that may be longer, each with its reason: `(file, function, why)`.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// The code of a file: comments blanked, tests cut off, strings kept apart. All views have the
/// same length and the same line breaks.
struct Source {
    /// Neither comments nor the contents of strings.
    code: String,
    /// With the contents of strings.
    with_strings: String,
}

impl Source {
    fn new(text: &str) -> Self {
        let (mut code, mut with_strings) = blank(text);
        let end = code.find("#[cfg(test)]\nmod ").unwrap_or(code.len());
        code.truncate(end);
        with_strings.truncate(end);
        Self { code, with_strings }
    }

    fn lines(&self) -> usize {
        self.code.lines().count()
    }
}

/// Blanks comments in both results and the contents of literals in the first.
fn blank(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let (mut code, mut strings) = (bytes.to_vec(), bytes.to_vec());
    let mut at = 0;
    while at < bytes.len() {
        let (end, is_comment) = token(bytes, at);
        if end > at + 1 {
            erase(&mut code[at..end]);
            if is_comment {
                erase(&mut strings[at..end]);
            }
        }
        at = end;
    }
    let text = |bytes| String::from_utf8(bytes).expect("blanked whole characters");
    (text(code), text(strings))
}

fn erase(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|b| **b != b'\n') {
        *byte = b' ';
    }
}

/// The end of the comment or literal at `at`, or `at + 1`; and whether it is a comment.
fn token(bytes: &[u8], at: usize) -> (usize, bool) {
    let rest = &bytes[at..];
    let after_word = at > 0 && is_word(bytes[at - 1]);
    if rest.starts_with(b"//") {
        return (
            at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
            true,
        );
    }
    if rest.starts_with(b"/*") {
        return (at + 2 + past(&rest[2..], b"*/"), true);
    }
    let hashes = rest.iter().skip(1).take_while(|b| **b == b'#').count();
    if rest[0] == b'r' && !after_word && rest.get(1 + hashes) == Some(&b'"') {
        let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
        return (at + 2 + hashes + past(&rest[2 + hashes..], &close), false);
    }
    match rest[0] {
        b'"' => (at + quoted(rest, b'"'), false),
        b'\'' if rest.get(1) == Some(&b'\\') => (at + quoted(rest, b'\''), false),
        // A lifetime has no closing quote after one character.
        b'\''
            if rest
                .iter()
                .skip(2)
                .take(4)
                .position(|b| *b == b'\'')
                .is_some_and(|n| n == 0) =>
        {
            (at + 3, false)
        }
        _ => (at + 1, false),
    }
}

fn past(bytes: &[u8], mark: &[u8]) -> usize {
    let found = bytes.windows(mark.len()).position(|w| w == mark);
    found.map_or(bytes.len(), |n| n + mark.len())
}

fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// All paths of some code as lists of words; `use` trees are written out.
fn paths(code: &str) -> Vec<Vec<String>> {
    let tokens = words(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_word(tokens[at].as_bytes()[0]) {
            at = tree(&tokens, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Words, `::` and single other characters.
fn words(code: &str) -> Vec<&str> {
    let bytes = code.as_bytes();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let start = at;
        if is_word(bytes[at]) {
            while at < bytes.len() && is_word(bytes[at]) {
                at += 1;
            }
        } else if bytes[at..].starts_with(b"::") {
            at += 2;
        } else {
            at += 1;
            while !code.is_char_boundary(at) {
                at += 1;
            }
        }
        if !code[start..at].trim().is_empty() {
            tokens.push(&code[start..at]);
        }
    }
    tokens
}

/// Reads one path at `at` with its `{…}` branches and returns the position behind it.
fn tree(tokens: &[&str], mut at: usize, start: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = start.to_vec();
    loop {
        path.push(tokens[at].to_owned());
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        match tokens.get(at + 1) {
            Some(&"{") => return branches(tokens, at + 2, &path, found),
            Some(word) if is_word(word.as_bytes()[0]) => at += 1,
            _ => break,
        }
    }
    found.push(path);
    at
}

fn branches(
    tokens: &[&str],
    mut at: usize,
    path: &[String],
    found: &mut Vec<Vec<String>>,
) -> usize {
    while at < tokens.len() && tokens[at] != "}" {
        if is_word(tokens[at].as_bytes()[0]) {
            at = tree(tokens, at, path, found);
        } else {
            at += 1;
        }
    }
    at + 1
}

/// The room of a file below `core/src` and how many `super::` lead to the crate root.
fn room(relative: &Path) -> Option<(String, usize)> {
    let parts: Vec<_> = relative
        .iter()
        .map(|p| p.to_string_lossy().into_owned())
        .collect();
    let depth = parts.len() - usize::from(parts.last().is_some_and(|p| p == "mod.rs"));
    let room = parts[0].trim_end_matches(".rs").to_owned();
    (room != "lib").then_some((room, depth))
}

/// The imports of `room` that [`EDGES`] does not allow.
fn forbidden_edges(room: &str, depth: usize, source: &Source) -> Vec<String> {
    let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == room) else {
        return vec![format!("the room `{room}` is not in the table")];
    };
    let mut found = BTreeSet::new();
    for path in paths(&source.code) {
        let supers = path.iter().take_while(|word| *word == "super").count();
        let inner = match path[0].as_str() {
            "crate" => &path[1..],
            "super" if supers == depth => &path[supers..],
            _ => continue,
        };
        let Some(target) = inner.first().filter(|t| *t != room && *t != "self") else {
            continue;
        };
        // Macros of the crate and items re-exported at its root belong to no room.
        let is_room = EDGES.iter().any(|(name, _)| name == target);
        let file = inner
            .get(1)
            .map_or_else(String::new, |f| format!("{target}::{f}"));
        if is_room && !allowed.contains(&target.as_str()) && !allowed.contains(&file.as_str()) {
            found.insert(format!("{room} -> {}", inner.join("::")));
        }
    }
    found.into_iter().collect()
}

/// The words of `list` that appear in the code.
fn forbidden_words(source: &Source, list: &[&str]) -> Vec<String> {
    let matches = |word: &str, wanted: &str| match wanted.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => word == wanted,
    };
    let mut found = BTreeSet::new();
    for path in paths(&source.code) {
        for wanted in list {
            let parts: Vec<&str> = wanted.split("::").collect();
            let hit = |w: &[String]| w.iter().zip(&parts).all(|(word, part)| matches(word, part));
            if path.windows(parts.len()).any(hit) {
                found.insert(format!("`{wanted}` in {}", path.join("::")));
            }
        }
    }
    for pair in words(&source.code).windows(2) {
        let wanted = list.iter().find(|w| w.strip_suffix('!') == Some(pair[0]));
        if let Some(wanted) = wanted.filter(|_| pair[1] == "!") {
            found.insert(format!("`{wanted}`"));
        }
    }
    found.into_iter().collect()
}

/// What spawns, and statics that hold a state.
fn activities(source: &Source) -> Vec<String> {
    let mut found = forbidden_words(source, SPAWNING);
    let tokens = words(&source.code);
    for (at, _) in tokens.iter().enumerate().filter(|(_, t)| **t == "static") {
        // `'static` is a lifetime.
        if at > 0 && tokens[at - 1] == "'" {
            continue;
        }
        let head: Vec<_> = tokens[at..].iter().take_while(|t| **t != "=").collect();
        let matches = |word: &str| {
            STATEFUL.iter().any(|w| match w.strip_suffix('*') {
                Some(start) => word.starts_with(start),
                None => word == *w,
            })
        };
        if head.iter().any(|word| matches(word)) {
            found.push(format!("static {}", tokens.get(at + 1).unwrap_or(&"")));
        }
    }
    found
}

/// Lines of code or strings that name a vendor. An `include_str!` names a file, which is data.
fn vendor_lines(source: &Source) -> Vec<String> {
    let names_one = |line: &&str| {
        let lower = line.to_lowercase();
        VENDORS.iter().any(|v| lower.contains(v)) && !line.contains("include_str!")
    };
    source
        .with_strings
        .lines()
        .filter(names_one)
        .map(|l| l.trim().to_owned())
        .collect()
}

/// Functions over the limit, as `(name, lines)`.
fn long_functions(source: &Source) -> Vec<(String, usize)> {
    let code = &source.code;
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word = at == 0 || !is_word(code.as_bytes()[at - 1]);
        let name: String = code[at + 3..]
            .chars()
            .take_while(|c| is_word(*c as u8))
            .collect();
        if starts_word && !name.is_empty() {
            let lines = body_lines(&code[at..]);
            if lines > FUNCTION_LINES {
                found.push((name, lines));
            }
        }
    }
    found
}

/// Lines from `fn` to its closing brace; 0 for a declaration without a body.
fn body_lines(code: &str) -> usize {
    let (mut depth, mut inside) = (0_usize, 0_usize);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' if depth == 0 => inside += 1,
            ')' | ']' if depth == 0 => inside = inside.saturating_sub(1),
            ';' if depth == 0 && inside == 0 => return 0,
            '{' => depth += 1,
            '}' if depth <= 1 => return code[..at].lines().count(),
            '}' => depth -= 1,
            _ => {}
        }
    }
    0
}

/// Paths in backquotes: with a slash or the ending of a file.
fn named_paths(markdown: &str) -> Vec<String> {
    const ENDINGS: &[&str] = &[".rs", ".md", ".toml", ".json", ".txt", ".h", ".hpp", ".py"];
    let is_path = |word: &&str| {
        let plain = !word.contains([' ', ':', '*', '<', '$', '(']) && !word.starts_with("target/");
        plain && (word.contains('/') || ENDINGS.iter().any(|e| word.ends_with(e)))
    };
    let inline = markdown
        .split("```")
        .step_by(2)
        .flat_map(|text| text.split('`').skip(1).step_by(2));
    inline.filter(is_path).map(str::to_owned).collect()
}

/// The words like `I7` of a text.
fn invariants(text: &str) -> BTreeSet<String> {
    let is_mark = |w: &&str| {
        w.strip_prefix('I')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    words(text)
        .into_iter()
        .filter(is_mark)
        .map(str::to_owned)
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Rust files below `place` (a directory or a file, from the root), with their path from there.
fn rust_files(place: &str) -> Vec<(String, Source)> {
    let start = root().join(place);
    let (mut open, mut files) = (vec![start], Vec::new());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a readable directory");
            open.extend(entries.map(|e| e.expect("a readable entry").path()));
        } else if path.extension().is_some_and(|e| e == "rs") && path.is_file() {
            let text = std::fs::read_to_string(&path).expect("a readable source");
            let name = path
                .strip_prefix(root())
                .expect("below the root")
                .display()
                .to_string();
            // A file of tests only is declared under #[cfg(test)] by its parent, or by one that is.
            if !name.ends_with("/tests.rs") && !name.contains("/tests/") {
                files.push((name, Source::new(&text)));
            }
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

fn assert_none(broken: Vec<String>, rule: &str) {
    assert!(broken.is_empty(), "{rule}\n  {}", broken.join("\n  "));
}

#[test]
fn rooms_of_core_import_only_what_the_table_allows() {
    let mut broken = Vec::new();
    for (name, source) in rust_files("core/src") {
        let relative = Path::new(&name)
            .strip_prefix("core/src")
            .expect("a file of core");
        if let Some((room, depth)) = room(relative) {
            let found = forbidden_edges(&room, depth, &source);
            broken.extend(found.into_iter().map(|edge| format!("{name}: {edge}")));
        }
    }
    assert_none(broken, "edges that EDGES does not allow");
}

#[test]
fn the_edge_rule_sees_groups_supers_and_inline_paths() {
    let found = |text: &str| forbidden_edges("wire", 2, &Source::new(text));
    assert_eq!(
        found("use crate::{error::Error, net::{self, ws}};"),
        ["wire -> net::self", "wire -> net::ws"]
    );
    assert_eq!(
        found("fn f() { crate::runtime::now(); }"),
        ["wire -> runtime::now"]
    );
    assert_eq!(found("use super::super::engine;"), ["wire -> engine"]);
    assert_eq!(
        found("use crate::audio::resample::X;"),
        ["wire -> audio::resample::X"]
    );
    assert!(
        found("use crate::audio::format::Format; use super::net; use crate::wire::ids;").is_empty()
    );
    assert!(found("// crate::net\n#[cfg(test)]\nmod tests { use crate::net; }").is_empty());
    assert_eq!(forbidden_edges("attic", 1, &Source::new("")).len(), 1);
}

#[test]
fn rooms_do_not_use_forbidden_words() {
    let mut broken = Vec::new();
    for (place, list) in FORBIDDEN {
        for (name, source) in rust_files(place) {
            let found = forbidden_words(&source, list);
            broken.extend(found.into_iter().map(|word| format!("{name}: {word}")));
        }
    }
    assert_none(broken, "words that FORBIDDEN excludes from their room");
}

#[test]
fn the_word_rule_sees_imports_calls_and_prefixes_but_no_text() {
    let found = |text: &str| forbidden_words(&Source::new(text), IMPURE).len();
    for bad in [
        "use std::{fmt, net::TcpStream};",
        "let t = Instant::now();",
        "use std::sync::atomic::AtomicU8;",
        "println!(\"x\")",
        "async fn f() {}",
        "tokio::spawn(x)",
        "let m: std::sync::Mutex<u8>;",
    ] {
        assert!(found(bad) > 0, "{bad}");
    }
    for good in [
        "// tokio",
        "let s = \"async\";",
        "let c = '\"'; // Mutex\n",
        "operand(1)",
        "r#\"rand\"#",
    ] {
        assert_eq!(found(good), 0, "{good}");
    }
    let format = |text: &str| forbidden_words(&Source::new(text), &["format!"]).len();
    assert_eq!(
        (
            format("format!(\"x\")"),
            format("use super::format::Format;")
        ),
        (1, 0)
    );
    assert_eq!(
        forbidden_words(
            &Source::new("use talkwire_core::engine::Engine;"),
            &["engine"]
        )
        .len(),
        1
    );
}

#[test]
fn unsafe_code_lies_in_ffi_c_and_the_listed_files_only() {
    let mut broken = Vec::new();
    for (name, source) in PRODUCT
        .iter()
        .filter(|p| **p != "ffi-c/src")
        .flat_map(|p| rust_files(p))
    {
        let listed = UNSAFE_FILES.iter().any(|(file, _)| *file == name);
        if !listed && !forbidden_words(&source, &["unsafe"]).is_empty() {
            broken.push(name);
        }
    }
    assert_none(broken, "unsafe code outside UNSAFE_FILES");
    assert_eq!(
        forbidden_words(&Source::new("unsafe { f() }"), &["unsafe"]).len(),
        1
    );
    assert!(forbidden_words(&Source::new("#![forbid(unsafe_code)]"), &["unsafe"]).is_empty());
}

#[test]
fn only_the_listed_files_spawn_or_hold_static_state() {
    let (mut broken, mut used) = (Vec::new(), BTreeSet::new());
    for (name, source) in PRODUCT.iter().flat_map(|place| rust_files(place)) {
        let found = activities(&source);
        let listed = ACTIVE_FILES
            .iter()
            .find(|(file, _)| Path::new(&name).starts_with(file));
        match listed {
            Some((file, _)) if !found.is_empty() => drop(used.insert(*file)),
            Some(_) => {}
            None => broken.extend(found.into_iter().map(|what| format!("{name}: {what}"))),
        }
    }
    assert_none(broken, "spawning or state outside ACTIVE_FILES");
    let idle = ACTIVE_FILES.iter().filter(|(file, _)| !used.contains(file));
    let idle = idle.map(|(file, _)| (*file).to_owned()).collect();
    assert_none(idle, "entries of ACTIVE_FILES that need no exception");
}

#[test]
fn the_rule_of_activity_sees_statics_with_state_and_every_spawn() {
    let found = |text: &str| activities(&Source::new(text)).len();
    for bad in [
        "tokio::spawn(x);",
        "pool.spawn_blocking(f);",
        "thread::Builder::new().spawn(f)",
        "static N: AtomicU8 = AtomicU8::new(0);",
        "static mut N: u8 = 0;",
        "thread_local! { static N: u8 = 0; }",
        "static T: std::sync::LazyLock<Vec<u8>> = x;",
    ] {
        assert!(found(bad) > 0, "{bad}");
    }
    for good in [
        "fn f(text: &'static str, m: Mutex<u8>) {}",
        "static NAMES: &[&str] = &[];",
        "// spawn",
        "let m = Mutex::new(0);",
    ] {
        assert_eq!(found(good), 0, "{good}");
    }
}

/// Whether a name of [`EDGES`] is a room or a file of one.
fn is_room(name: &str) -> bool {
    let path = root().join("core/src").join(name.replace("::", "/"));
    path.is_dir() || path.with_extension("rs").is_file()
}

#[test]
fn every_entry_of_the_tables_exists() {
    let rooms = EDGES
        .iter()
        .flat_map(|(room, allowed)| allowed.iter().chain([room]));
    let mut dead: Vec<_> = rooms
        .filter(|name| !is_room(name))
        .map(|name| (*name).to_owned())
        .collect();
    let places = FORBIDDEN
        .iter()
        .map(|(place, _)| *place)
        .chain(UNSAFE_FILES.iter().map(|(file, _)| *file))
        .chain(ACTIVE_FILES.iter().map(|(file, _)| *file))
        .chain(LONG_FUNCTIONS.iter().map(|(file, _, _)| *file))
        .chain(VENDOR_FILES.iter().copied())
        .chain(PRODUCT.iter().copied());
    dead.extend(
        places
            .filter(|place| !root().join(place).exists())
            .map(str::to_owned),
    );
    for (file, _) in UNSAFE_FILES {
        let held = rust_files(file)
            .iter()
            .any(|(_, source)| !forbidden_words(source, &["unsafe"]).is_empty());
        if !held {
            dead.push(format!("{file} holds no unsafe code"));
        }
    }
    assert_none(dead, "entries of the tables for what does not exist");
    assert!(is_room("engine::io") && is_room("error") && !is_room("attic"));
}

#[test]
fn vendors_are_data_and_never_code() {
    let mut broken = Vec::new();
    for (name, source) in PRODUCT.iter().flat_map(|place| rust_files(place)) {
        if !VENDOR_FILES.iter().any(|file| name.starts_with(file)) {
            broken.extend(
                vendor_lines(&source)
                    .into_iter()
                    .map(|line| format!("{name}: {line}")),
            );
        }
    }
    assert_none(broken, "vendor names in code");
}

#[test]
fn the_vendor_rule_sees_strings_and_names_but_no_comments() {
    let found = |text: &str| vendor_lines(&Source::new(text)).len();
    assert_eq!(found("if name == \"yandex\" {}\nlet OpenAiQuirk = 1;"), 2);
    assert_eq!(
        found("/// As openai does.\ninclude_str!(\"tables/azure.json\")"),
        0
    );
}

#[test]
fn python_never_depends_on_the_c_library() {
    let manifest =
        std::fs::read_to_string(root().join("py/Cargo.toml")).expect("py has a manifest");
    assert!(!depends_on_ffi(&manifest));
    assert!(depends_on_ffi(
        "[dependencies]\ntalkwire-ffi.workspace = true\n"
    ));
    assert!(depends_on_ffi("x = { path = \"../ffi-c\" }\n"));
}

fn depends_on_ffi(manifest: &str) -> bool {
    manifest.contains("talkwire-ffi") || manifest.contains("../ffi-c")
}

#[test]
fn files_and_functions_keep_their_length() {
    let mut broken = Vec::new();
    for (name, source) in PRODUCT
        .iter()
        .chain(&["xtask/src"])
        .flat_map(|place| rust_files(place))
    {
        if source.lines() > FILE_LINES {
            broken.push(format!("{name}: {} lines", source.lines()));
        }
        for (function, lines) in long_functions(&source) {
            let excused = |(f, n, _): &(&str, &str, &str)| *f == name && *n == function;
            if !LONG_FUNCTIONS.iter().any(excused) {
                broken.push(format!("{name}: fn {function} has {lines} lines"));
            }
        }
    }
    assert_none(broken, "too long");
}

#[test]
fn the_length_rule_counts_bodies_and_ignores_braces_in_text() {
    let long = format!(
        "fn short() {{ \"}}\" }}\npub fn long(a: [u8; 2]) {{\n{}}}\n",
        "x();\n".repeat(70)
    );
    assert_eq!(
        long_functions(&Source::new(&long)),
        [("long".to_owned(), 71)]
    );
    let fits = format!("fn fits() {{\n{}}}\n", "x();\n".repeat(68));
    assert!(long_functions(&Source::new(&fits)).is_empty());
    assert_eq!(
        Source::new("a\nb\n#[cfg(test)]\nmod tests {\n}\n").lines(),
        2
    );
}

#[test]
fn every_path_that_the_architecture_page_names_exists() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the page exists");
    let named = named_paths(&page);
    assert!(named.len() > 10, "the page names only {named:?}");
    let missing = named
        .into_iter()
        .filter(|path| !root().join(path).exists())
        .collect();
    assert_none(missing, "ARCHITECTURE.md names paths that do not exist");
    assert!(
        page.lines().count() <= 250,
        "ARCHITECTURE.md is to be read in one sitting"
    );
    assert_eq!(
        named_paths("see `core/x.rs` and `word`\n```\n`a/b`\n```\n`c.md`"),
        ["core/x.rs", "c.md"]
    );
}

#[test]
fn the_page_and_the_engine_name_the_same_invariants() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the page exists");
    let files = rust_files("core/src/engine");
    let checked: BTreeSet<_> = files
        .iter()
        .flat_map(|(_, source)| invariants(&source.with_strings))
        .collect();
    let page = invariants(&page);
    let differing = checked.symmetric_difference(&page).cloned().collect();
    assert_none(
        differing,
        "invariants that the engine or ARCHITECTURE.md lacks",
    );
    assert_eq!(
        invariants("// I7, I12: Ink I")
            .into_iter()
            .collect::<Vec<_>>(),
        ["I12", "I7"]
    );
}
