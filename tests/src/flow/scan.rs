//! Characters of one statement: the lowest layer of the parser.

use serde_json::{Number, Value};

use super::ast::{FlowError, Name, Place};

/// A position in the text of one statement.
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
    place: Place,
}

pub(super) type Parsed<T> = Result<T, FlowError>;

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str, place: Place) -> Self {
        Self { text, at: 0, place }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// The next character after blanks.
    pub(super) fn peek(&mut self) -> Option<char> {
        self.skip_blanks();
        self.rest().chars().next()
    }

    /// Takes `token` if it comes next.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        self.skip_blanks();
        let hit = self.rest().starts_with(token);
        if hit {
            self.at += token.len();
        }
        hit
    }

    /// Takes a word only when it is not the beginning of a longer one.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let rest = self.rest();
        let whole = rest
            .strip_prefix(word)
            .is_some_and(|tail| !tail.starts_with(is_word_char));
        if whole {
            self.at += word.len();
        }
        whole
    }

    pub(super) fn need(&mut self, token: &str) -> Parsed<()> {
        if self.eat(token) {
            return Ok(());
        }
        self.fail(format!("`{token}`"))
    }

    /// An error that shows what stands here.
    pub(super) fn fail<T>(&mut self, expected: impl Into<String>) -> Parsed<T> {
        self.skip_blanks();
        let rest = self.rest();
        let found = match rest.char_indices().nth(30) {
            _ if rest.is_empty() => "the end of the line".to_owned(),
            Some((cut, _)) => format!("`{}...`", &rest[..cut]),
            None => format!("`{rest}`"),
        };
        self.fail_with(expected, found)
    }

    /// An error about something already read.
    pub(super) fn fail_with<T>(
        &self,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Parsed<T> {
        Err(FlowError {
            place: self.place.clone(),
            expected: expected.into(),
            found: found.into(),
        })
    }

    pub(super) fn end(&mut self) -> Parsed<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fail("the end of the line"),
        }
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        self.skip_blanks();
        let rest = self.rest();
        let len = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// Letters, digits, `_` and `-`, beginning with a letter or `_`.
    pub(super) fn word(&mut self, what: &str) -> Parsed<String> {
        match self.peek() {
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                Ok(self.take_while(is_word_char).to_owned())
            }
            _ => self.fail(what),
        }
    }

    /// `$name`, without the sign.
    pub(super) fn variable(&mut self) -> Parsed<String> {
        self.need("$")?;
        if self.rest().starts_with(|c: char| c.is_ascii_lowercase()) {
            return Ok(self.take_while(is_variable_char).to_owned());
        }
        self.fail("the name of a variable: lower-case letters, digits and `_`")
    }

    /// A JSON string.
    pub(super) fn string(&mut self) -> Parsed<String> {
        if self.peek() != Some('"') {
            return self.fail("a string in double quotes");
        }
        let mut stream = serde_json::Deserializer::from_str(self.rest()).into_iter::<String>();
        match stream.next() {
            Some(Ok(text)) => {
                self.at += stream.byte_offset();
                Ok(text)
            }
            _ => self.fail("a string with JSON escapes and a closing quote"),
        }
    }

    /// A JSON number.
    pub(super) fn number(&mut self) -> Parsed<Number> {
        self.skip_blanks();
        let start = self.at;
        let digits = self.take_while(|c| c.is_ascii_digit() || "+-.eE".contains(c));
        if let Ok(Value::Number(number)) = serde_json::from_str(digits) {
            return Ok(number);
        }
        self.at = start;
        self.fail("a number")
    }

    /// A whole number that is not negative.
    pub(super) fn whole(&mut self) -> Parsed<u32> {
        self.skip_blanks();
        let start = self.at;
        if let Ok(number) = self.take_while(|c| c.is_ascii_digit()).parse() {
            return Ok(number);
        }
        self.at = start;
        self.fail("a whole number")
    }

    /// `1200ms`.
    pub(super) fn millis(&mut self) -> Parsed<u32> {
        let number = self.whole()?;
        if self.rest().starts_with("ms") && self.eat_word("ms") {
            return Ok(number);
        }
        self.fail("`ms` right after the number")
    }

    /// An event name out of `known`, or any name in quotes.
    pub(super) fn event(&mut self, known: &[&str]) -> Parsed<Name> {
        if self.peek() == Some('"') {
            let text = self.string()?;
            return Ok(Name { text, quoted: true });
        }
        let start = self.at;
        let text = self.take_while(|c| c.is_ascii_lowercase() || c == '_' || c == '.');
        if known.contains(&text) {
            return Ok(Name {
                text: text.to_owned(),
                quoted: false,
            });
        }
        self.at = start;
        self.fail("the name of an event of the protocol, or another name in quotes")
    }
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn is_variable_char(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}
