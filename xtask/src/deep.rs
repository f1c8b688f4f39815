//! What only `cargo xtask test --deep` does: its record in TESTING.md.

use std::process::Command;
use std::time::Duration;

use crate::report::{self, Row, Totals};
use crate::{Done, sh};

const HEADING: &str = "## Last deep run";

/// Replaces the section of TESTING.md with this run.
pub(crate) fn record(rows: &[Row], totals: &Totals, took: Duration) -> Done {
    let file = sh::root().join("TESTING.md");
    let text = sh::read_file(&file)?;
    let section = format!(
        "- Commit: {}\n- Machine: {}\n- Result: {} in {} min\n\n```\n{}```\n",
        commit()?,
        machine(),
        totals.line(),
        took.as_secs().div_ceil(60),
        report::table(rows)
    );
    sh::write_file(&file, replace_section(&text, &section)?)
}

fn replace_section(text: &str, section: &str) -> Done<String> {
    let heading = format!("{HEADING}\n");
    let start = text
        .find(&heading)
        .ok_or_else(|| format!("TESTING.md has no `{HEADING}`"))?;
    let body = start + heading.len();
    let end = text[body..]
        .find("\n## ")
        .map_or(text.len(), |at| body + at);
    Ok(format!("{}\n{section}{}", &text[..body], &text[end..]))
}

fn commit() -> Done<String> {
    let git = |args: &[&str]| sh::read(Command::new("git").args(args).current_dir(sh::root()));
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let dirty = !git(&["status", "--porcelain", "--untracked-files=no"])?
        .trim()
        .is_empty();
    Ok(format!(
        "{}{}",
        commit.trim(),
        if dirty { " with local changes" } else { "" }
    ))
}

fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |m| {
        m.trim_start_matches(['\t', ' ', ':'])
    });
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // The rest names a build of it.
    let kernel = release.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, {model}, Linux {}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_of_the_deep_run_is_replaced() {
        let text = "# T\n\n## Last deep run\n\nNone yet.\n\n## After\n\nrest\n";
        let new = replace_section(text, "- Commit: x\n").unwrap();
        assert_eq!(
            new,
            "# T\n\n## Last deep run\n\n- Commit: x\n\n## After\n\nrest\n"
        );
        assert_eq!(replace_section(&new, "- Commit: x\n").unwrap(), new);
        assert!(replace_section("# T\n", "").is_err());
    }

    #[test]
    fn the_committed_page_has_the_section() {
        let text = sh::read_file(&sh::root().join("TESTING.md")).unwrap();
        replace_section(&text, "x").unwrap();
    }
}
