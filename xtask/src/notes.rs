//! Notes: lines that tests want to be read although their output is captured.

use std::path::PathBuf;

use crate::{Done, sh};

/// Where tests append their lines: the file that `TALKWIRE_NOTES_FILE` names.
pub(crate) fn file() -> PathBuf {
    sh::target_dir().join("notes.txt")
}

/// Forgets the notes of an earlier run.
pub(crate) fn clear() -> Done {
    sh::write_file(&file(), "")
}

/// Prints what the tests of this run noted.
pub(crate) fn print() -> Done {
    for line in lines(&sh::read_file(&file())?) {
        println!("NOTE     {line}");
    }
    Ok(())
}

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    // Tests run at the same time, in any order.
    lines.sort_unstable();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_in_one_order_without_empty_lines() {
        assert_eq!(lines("b: 2\n\na: 1\n"), ["a: 1", "b: 2"]);
    }
}
