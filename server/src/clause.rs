//! Cuts text that is still being written into clauses that can be spoken one after another.

/// Shorter pieces sound chopped, and are mostly abbreviations.
const MIN_CHARS: usize = 10;
/// From here on a comma is a good place, too: nobody should wait for the end of a long sentence.
const COMMA_CHARS: usize = 60;
/// From here on any space is.
const SPACE_CHARS: usize = 200;

/// Text that has come and is no whole clause yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clauses {
    rest: String,
}

impl Clauses {
    /// Adds text and takes out the clauses that are complete with it. Joined, all clauses are the
    /// text again.
    pub(crate) fn push(&mut self, text: &str) -> Vec<String> {
        self.rest.push_str(text);
        let mut clauses = Vec::new();
        while let Some(end) = end_of_clause(&self.rest) {
            let rest = self.rest.split_off(end);
            clauses.push(std::mem::replace(&mut self.rest, rest));
        }
        clauses
    }

    /// Takes out what is left.
    pub(crate) fn finish(&mut self) -> Option<String> {
        Some(std::mem::take(&mut self.rest)).filter(|rest| !rest.is_empty())
    }
}

/// Where the first clause ends, its trailing space included.
fn end_of_clause(text: &str) -> Option<usize> {
    let mut before = None;
    for (count, (at, c)) in text.char_indices().enumerate() {
        let is_end = match before {
            // A mark within a word or a number ends nothing, so the space has to be there.
            _ if count < MIN_CHARS => false,
            Some('\n' | '。' | '！' | '？') => true,
            Some(' ' | '\t') if c.is_whitespace() => false,
            Some(' ' | '\t') => ends_before_space(&text[..at], count),
            _ => false,
        };
        if is_end {
            return Some(at);
        }
        before = Some(c);
    }
    // A line's end needs nothing after it.
    let is_long = text.chars().count() >= MIN_CHARS;
    (is_long && text.ends_with(['\n', '。', '！', '？'])).then_some(text.len())
}

fn ends_before_space(text: &str, chars: usize) -> bool {
    let text = text.trim_end_matches([' ', '\t']);
    let text = text.trim_end_matches(['"', '\'', ')', '»', '”', '*', '_']);
    match text.chars().next_back() {
        Some('.' | '!' | '?' | '…') => true,
        Some(',' | ';' | ':' | '—' | '–') => chars >= COMMA_CHARS,
        _ => chars >= SPACE_CHARS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, piece_chars: usize) -> Vec<String> {
        let mut clauses = Clauses::default();
        let chars: Vec<char> = text.chars().collect();
        let mut found = Vec::new();
        for piece in chars.chunks(piece_chars) {
            found.extend(clauses.push(&piece.iter().collect::<String>()));
        }
        found.extend(clauses.finish());
        found
    }

    #[test]
    fn sentences_are_told_apart_however_the_text_comes() {
        let text = "Good morning! It is 3.5 degrees, Dr. No. \"Really?\" Да, конечно.\nBye";
        let expected = [
            "Good morning! ",
            "It is 3.5 degrees, Dr. ",
            "No. \"Really?\" ",
            "Да, конечно.\n",
            "Bye",
        ];
        for piece_chars in [1, 2, 7, 1000] {
            assert_eq!(cut(text, piece_chars), expected, "{piece_chars}");
        }
    }

    #[test]
    fn long_sentences_are_cut_at_commas_and_endless_ones_at_spaces() {
        let comma = format!("{}, and more", "word ".repeat(10).trim_end());
        assert_eq!(cut(&comma, 3).len(), 1);
        let comma = format!("{}, and more", "word ".repeat(14).trim_end());
        assert_eq!(cut(&comma, 3)[1], "and more");
        let endless = "word ".repeat(100);
        let clauses = cut(&endless, 9);
        assert_eq!(clauses.concat(), endless);
        assert!(
            clauses.iter().all(|c| c.len() <= SPACE_CHARS + 5),
            "{clauses:?}"
        );
    }
}
