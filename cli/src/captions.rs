//! What people see while a call goes on: lines with times on stderr.

use std::io::{IsTerminal, Write};

/// Longest partial text: one that fills the terminal's line cannot be overwritten.
const PARTIAL_CHARS: usize = 56;

/// Writes captions, or nothing.
#[derive(Debug)]
pub(crate) struct Captions {
    mode: Mode,
    /// Whether the cursor stands at the end of a partial line.
    is_partial: bool,
    growing: Option<Growing>,
}

/// A text that was whole when it came and may come again with more words.
#[derive(Debug)]
struct Growing {
    at_ms: u64,
    who: &'static str,
    item_id: String,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Off,
    /// Every caption is a line.
    Lines,
    /// Partial texts overwrite each other.
    Terminal,
}

impl Captions {
    /// Captions on a terminal; elsewhere only if `forced`.
    pub(crate) fn new(forced: bool) -> Self {
        let mode = match (std::io::stderr().is_terminal(), forced) {
            (true, _) => Mode::Terminal,
            (false, true) => Mode::Lines,
            (false, false) => Mode::Off,
        };
        Self {
            mode,
            is_partial: false,
            growing: None,
        }
    }

    /// A caption that stays. Without a text there is none.
    pub(crate) fn line(&mut self, at_ms: u64, who: &str, text: &str) {
        self.settle();
        self.put_line(at_ms, who, text);
    }

    /// A caption that the next one replaces: a text that still grows.
    pub(crate) fn partial(&mut self, at_ms: u64, who: &str, text: &str) {
        self.settle();
        self.put_partial(at_ms, who, text);
    }

    /// A caption that stays unless the next one is of the same item.
    pub(crate) fn growing(&mut self, at_ms: u64, who: &'static str, item_id: &str, text: &str) {
        if self.growing.as_ref().is_some_and(|g| g.item_id != item_id) {
            self.settle();
        }
        self.put_partial(at_ms, who, text);
        self.growing = Some(Growing {
            at_ms,
            who,
            item_id: item_id.to_owned(),
            text: text.to_owned(),
        });
    }

    /// What has grown grows no more: something else is to be shown.
    fn settle(&mut self) {
        if let Some(grown) = self.growing.take() {
            self.put_line(grown.at_ms, grown.who, &grown.text);
        }
    }

    fn put_line(&mut self, at_ms: u64, who: &str, text: &str) {
        if self.mode == Mode::Off || text.trim().is_empty() {
            return;
        }
        let clear = if self.is_partial { "\r\x1b[K" } else { "" };
        self.is_partial = false;
        self.put(&format!("{clear}{}\n", caption(at_ms, who, text)));
    }

    fn put_partial(&mut self, at_ms: u64, who: &str, text: &str) {
        match self.mode {
            _ if text.trim().is_empty() => {}
            Mode::Off => {}
            Mode::Lines => {
                let text = format!("… {text}");
                self.put(&format!("{}\n", caption(at_ms, who, &text)));
            }
            Mode::Terminal => {
                self.is_partial = true;
                let text = caption(at_ms, who, &tail(text));
                self.put(&format!("\r\x1b[K{text}"));
            }
        }
    }

    /// A terminal that is gone must not end the call.
    fn put(&self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes());
        let _ = stderr.flush();
    }
}

impl Drop for Captions {
    fn drop(&mut self) {
        self.settle();
        if self.is_partial {
            self.put("\n");
        }
    }
}

fn caption(at_ms: u64, who: &str, text: &str) -> String {
    format!(
        "{:>3}.{:02} s  {who:<9} {text}",
        at_ms / 1000,
        at_ms % 1000 / 10
    )
}

/// The end of a long text, which is the part that is new.
fn tail(text: &str) -> String {
    let count = text.chars().count();
    if count <= PARTIAL_CHARS {
        return text.to_owned();
    }
    let end: String = text.chars().skip(count + 1 - PARTIAL_CHARS).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_have_their_time_and_speaker_in_columns() {
        assert_eq!(caption(5_061, "agent", "да"), "  5.06 s  agent     да");
        assert_eq!(caption(61_999, "customer", "x"), " 61.99 s  customer  x");
    }

    #[test]
    fn a_partial_text_shows_its_end() {
        assert_eq!(tail("short"), "short");
        let long = tail(&"я".repeat(100));
        assert_eq!(long.chars().count(), PARTIAL_CHARS);
        assert!(long.starts_with('…'));
    }
}
