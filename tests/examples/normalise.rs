//! Reads events as JSON lines and writes the transcript that is compared between languages.

use std::io::{BufRead, stdin};

use talkwire_tests::flow::normalise;

fn main() {
    let lines = stdin()
        .lock()
        .lines()
        .map(|line| line.expect("UTF-8 on standard input"));
    let events: Vec<_> = lines
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(&line).expect("a JSON object on each line"))
        .collect();
    for line in normalise(&events) {
        println!("{line}");
    }
}
