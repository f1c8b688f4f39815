//! The shared library exports what tests/abi/symbols.txt lists, and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The library of the same build as this test; the copy one directory up may be older.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().join("libtalkwire.so")
}

fn run(tool: &str, args: &[&str]) -> String {
    let out = Command::new(tool)
        .args(args)
        .arg(library())
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{tool}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn only_the_listed_symbols_are_exported() {
    let symbols = run("nm", &["-D", "--defined-only", "--format=posix"]);
    let mut exported: Vec<_> = symbols
        .lines()
        .filter_map(|l| l.split(' ').next())
        .collect();
    exported.sort_unstable();
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/abi/symbols.txt");
    let list = std::fs::read_to_string(list).unwrap();
    assert_eq!(exported, list.lines().collect::<Vec<_>>());
}

#[test]
fn the_library_carries_its_soname_and_stays_mapped() {
    let dynamic = run("readelf", &["--dynamic", "--wide"]);
    let soname = include_str!("../soname.txt").trim_ascii_end();
    assert!(dynamic.contains(&format!("[{soname}]")), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}
