//! `tests/c/every_function.h` calls every function of the header, so that the walls around all of them
//! are tested and a new one cannot be forgotten. It is generated from the header and the sources, and
//! proven current here. `UPDATE_HEADER=1 cargo test -p talkwire-ffi` rewrites it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A function as the header declares it.
struct Function {
    name: String,
    result: String,
    parameters: Vec<Parameter>,
    comment: String,
}

struct Parameter {
    kind: String,
    name: String,
}

impl Function {
    fn parse(comment: &str, declaration: &str) -> Self {
        let words = declaration.split_whitespace().collect::<Vec<_>>().join(" ");
        let (head, rest) = words.split_once('(').unwrap();
        let list = rest.strip_suffix(')').unwrap();
        let (result, name) = split_name(head);
        Self {
            name,
            result,
            parameters: parameters(list),
            comment: comment.to_owned(),
        }
    }

    /// What `@return` says, up to the end of its paragraph.
    fn returns(&self) -> &str {
        let said = self.comment.split_once("@return").map_or("", |(_, s)| s);
        said.split("Thread-safe:").next().unwrap()
    }
}

/// A type and the name behind it.
fn split_name(text: &str) -> (String, String) {
    let at = text.rfind([' ', '*']).unwrap() + 1;
    (text[..at].trim().to_owned(), text[at..].to_owned())
}

fn parameters(list: &str) -> Vec<Parameter> {
    if list == "void" {
        return Vec::new();
    }
    // A pointer to a function has parentheses and perhaps commas of its own.
    let mut depth = 0;
    let parts = list.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    let parameter = |text: &str| match text.trim().split_once("(*") {
        Some((_, rest)) => Parameter {
            kind: "function".to_owned(),
            name: rest.split(')').next().unwrap().to_owned(),
        },
        None => {
            let (kind, name) = split_name(text.trim());
            Parameter { kind, name }
        }
    };
    parts.map(parameter).collect()
}

fn functions(header: &str) -> Vec<Function> {
    let blocks = header.split("\n/**").skip(1);
    let declared = |block: &str| {
        let (comment, rest) = block.split_once("*/\nTW_API ")?;
        Some(Function::parse(comment, rest.split_once(';')?.0))
    };
    let mut found: Vec<_> = blocks.filter_map(declared).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The types that C only has pointers to.
fn handles(header: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let (first, second) = line.strip_prefix("typedef struct ")?.split_once(' ')?;
        (second == format!("{first};")).then(|| first.to_owned())
    };
    header.lines().filter_map(name).collect()
}

/// The guard that each function stands behind.
fn guards() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for source in fs::read_dir(root().join("ffi-c/src")).unwrap() {
        let text = fs::read_to_string(source.unwrap().path()).unwrap();
        for part in text.split("#[unsafe(no_mangle)]").skip(1) {
            let (_, body) = part.split_once("guard::").unwrap();
            let (guard, rest) = body.split_once('(').unwrap();
            let name = rest.split('"').nth(1).unwrap();
            // What a call owes when it fails is no other guard to whoever calls it.
            let guard = guard.strip_suffix("_or").unwrap_or(guard);
            found.insert(name.to_owned(), guard.to_owned());
        }
    }
    found
}

/// Writes the calls.
struct Writer<'a> {
    handles: &'a BTreeSet<String>,
    header: &'a str,
    /// Which function gives a handle back.
    frees: BTreeMap<String, String>,
}

impl Writer<'_> {
    /// `struct tw_call *` and `const struct tw_call *` are `tw_call`, if that is a handle.
    fn handle(&self, kind: &str) -> Option<&str> {
        let name = kind.strip_prefix("const ").unwrap_or(kind);
        let name = name.strip_prefix("struct ")?.strip_suffix(" *")?;
        self.handles.get(name).map(String::as_str)
    }

    /// The argument, with what is declared before the call and what is done after it.
    fn argument(&self, i: usize, function: &Function) -> [String; 3] {
        let parameter = &function.parameters[i];
        let kind = parameter.kind.as_str();
        let before = i
            .checked_sub(1)
            .map(|i| function.parameters[i].kind.as_str());
        let plain = |text: &str| [text.to_owned(), String::new(), String::new()];
        if let Some(handle) = self.handle(kind) {
            let field = handle.trim_start_matches("tw_");
            return plain(&format!("AT({i}, w->{field})"));
        }
        let local = format!("a{i}");
        match kind {
            "struct tw_error **" => plain(&format!("AT({i}, &w->err)")),
            "const char *" => plain(&format!("AT({i}, w->text)")),
            "const void *" => plain(&format!("AT({i}, w->bytes)")),
            "void *" if parameter.name == "user_data" => plain("NULL"),
            "void *" => plain(&format!("AT({i}, w->room)")),
            "size_t" => plain(match before {
                Some("const char *") => "w->text_len",
                Some("const void *" | "void *") => "w->bytes_len",
                _ => "0",
            }),
            "const struct tw_callbacks *" | "function" => plain("NULL"),
            "uint32_t" if parameter.name == "timeout_ms" => plain("w->timeout_ms"),
            "bool" | "int" | "int32_t" | "int64_t" | "uint8_t" | "uint16_t" | "uint32_t"
            | "uint64_t" | "float" | "double" | "tw_status" => plain("0"),
            _ if kind.ends_with("_callback") => plain("NULL"),
            _ => self.output(i, kind, &local),
        }
    }

    fn output(&self, i: usize, kind: &str, local: &str) -> [String; 3] {
        let target = kind.strip_suffix('*').unwrap_or_else(|| {
            panic!("tests/c/every_function.h does not know what to pass as `{kind}`")
        });
        let target = target.trim_end();
        let argument = format!("AT({i}, &{local})");
        if let Some(handle) = self.handle(target) {
            let free = &self.frees[handle];
            let before = format!("  {target}{local} = ({target})&UNTOUCHED;\n");
            let after = format!("  if (is_output({local}, answer.status)) {free}({local});\n");
            return [argument, before, after];
        }
        let name = target.strip_prefix("struct ").unwrap_or_default();
        let init = format!("{}_INIT", name.to_uppercase());
        let init = if self.header.contains(&format!("#define {init}")) {
            init
        } else if name.is_empty() {
            "0".to_owned()
        } else {
            "{0}".to_owned()
        };
        [
            argument,
            format!("  {target} {local} = {init};\n"),
            String::new(),
        ]
    }

    fn call(&self, function: &Function, guard: &str) -> String {
        let name = &function.name;
        let parts: Vec<_> = (0..function.parameters.len())
            .map(|i| self.argument(i, function))
            .collect();
        let arguments: Vec<_> = parts.iter().map(|p| p[0].as_str()).collect();
        let call = format!("{name}({})", arguments.join(", "));
        let mut text = format!(
            "static answer call_{name}(world *w) {{\n  answer answer = {{0}};\n  (void)w;\n"
        );
        text.extend(parts.iter().map(|p| p[1].as_str()));
        let handle = self.handle(&function.result);
        text += &match function.result.as_str() {
            "void" => format!("  {call};\n"),
            "tw_status" => format!("  answer.status = {call};\n"),
            "struct tw_str" => format!("  check_text({call});\n"),
            "const char *" => format!("  CHECK({call} != NULL);\n"),
            _ if handle.is_some() && name.ends_with("_retain") => {
                format!("  {}({call});\n", self.frees[handle.unwrap()])
            }
            _ => format!("  (void){call};\n"),
        };
        text.extend(parts.iter().map(|p| p[2].as_str()));
        if guard == "release" {
            let field = self.handle(&function.parameters[0].kind).unwrap();
            let field = field.trim_start_matches("tw_");
            writeln!(text, "  w->{field} = NULL;").unwrap();
        }
        text + "  return answer;\n}\n\n"
    }

    fn row(function: &Function, guard: &str) -> String {
        let said: Vec<_> = function
            .returns()
            .split(|c: char| !c.is_ascii_uppercase() && c != '_')
            .filter(|word| word.starts_with("TW_ERR_"))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(|word| format!("ERR({})", &word[7..]))
            .collect();
        let said = if said.is_empty() {
            "0".to_owned()
        } else {
            said.join(" | ")
        };
        let reads_text = function
            .parameters
            .windows(2)
            .any(|pair| pair[0].kind == "const char *" && pair[1].kind == "size_t");
        let waits = function
            .comment
            .contains("In a callback: no, TW_ERR_WOULD_DEADLOCK");
        format!(
            "    {{\"{0}\", {1}, {2}, {3}, {4}, call_{0}}},\n",
            function.name,
            guard.to_uppercase(),
            u8::from(reads_text),
            u8::from(waits),
            said
        )
    }
}

fn table() -> String {
    let header = read("include/talkwire.h");
    let (handles, guards, functions) = (handles(&header), guards(), functions(&header));
    let mut writer = Writer {
        handles: &handles,
        header: &header,
        frees: BTreeMap::new(),
    };
    for function in &functions {
        if guards[&function.name] == "release" {
            let handle = writer
                .handle(&function.parameters[0].kind)
                .unwrap()
                .to_owned();
            writer.frees.insert(handle, function.name.clone());
        }
    }
    let mut text = String::from(
        "/* Generated by ffi-c/tests/table.rs from the header and the sources: a call of every function with\n   \
         what a world has. UPDATE_HEADER=1 cargo test -p talkwire-ffi renews it. */\n\
         #ifndef TALKWIRE_TESTS_EVERY_FUNCTION_H\n#define TALKWIRE_TESTS_EVERY_FUNCTION_H\n\n\
         #define HANDLES(F)",
    );
    for handle in &handles {
        write!(text, " \\\n  F({})", handle.trim_start_matches("tw_")).unwrap();
    }
    text += "\n\n#include \"every.h\"\n\n";
    let mut rows = String::new();
    for function in &functions {
        let guard = &guards[&function.name];
        text += &writer.call(function, guard);
        rows += &Writer::row(function, guard);
    }
    text + "/* Name, guard, whether it reads a text, whether it may wait, the errors that its manual names. */\n\
            static const function FUNCTIONS[] = {\n"
        + &rows
        + "};\n\n#endif\n"
}

#[test]
fn the_committed_table_is_current() {
    let wanted = table();
    let path = root().join("tests/c/every_function.h");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == wanted,
        "tests/c/every_function.h is stale: run UPDATE_HEADER=1 cargo test -p talkwire-ffi"
    );
}

#[test]
fn the_table_has_a_row_and_a_call_for_every_exported_symbol() {
    let table = read("tests/c/every_function.h");
    let rows: Vec<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("    {\"")?.split('"').next())
        .collect();
    let symbols = read("tests/abi/symbols.txt");
    assert_eq!(rows, symbols.lines().collect::<Vec<_>>());
    for name in rows {
        assert!(
            table.contains(&format!("static answer call_{name}(")),
            "{name}"
        );
        assert!(table.contains(&format!("call_{name}}}")), "{name}");
    }
}

/// The programs that walk through the table, each at one wall.
#[test]
fn each_wall_has_a_program_that_walks_through_the_table() {
    let programs = fs::read_dir(root().join("tests/c")).unwrap();
    let walks: BTreeSet<_> = programs
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".c"))
        .filter(|name| read(&format!("tests/c/{name}")).contains("every_function.h"))
        .collect();
    let walls = ["p1", "p6", "p9", "p10", "p11", "p15"];
    for wall in walls {
        let word = format!("_{wall}_");
        assert!(
            walks.iter().any(|name| name.contains(&word)),
            "{wall}: {walks:?}"
        );
    }
}
