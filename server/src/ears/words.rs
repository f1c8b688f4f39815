//! Reads words while they are found: events with pieces of a transcript, or the whole of it from
//! servers that do not stream.

use serde_json::Value;

use crate::sse::Events;

/// Longest answer without events.
const MAX_WHOLE_BYTES: usize = 1 << 20;
/// What of a wrong answer is repeated.
const QUOTE_CHARS: usize = 80;

/// Reads the output of a job that hears. One reader belongs to one turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordReader {
    /// Who answers, for messages.
    who: String,
    form: Form,
    /// The pieces so far, joined.
    told: String,
}

/// What the answer is, as its first bytes tell.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Unknown,
    Whole(Vec<u8>),
    Events { events: Events, is_done: bool },
}

impl WordReader {
    /// A reader of what `who` answers.
    pub(crate) fn new(who: String) -> Self {
        Self {
            who,
            form: Form::Unknown,
            told: String::new(),
        }
    }

    /// The piece of the transcript that more output brings. An error ends the listening.
    pub(crate) fn read(&mut self, output: &[u8]) -> Result<String, String> {
        if self.form == Form::Unknown {
            self.form = match output.trim_ascii_start().first() {
                None => return Ok(String::new()),
                Some(b'{') => Form::Whole(Vec::new()),
                Some(_) => Form::Events {
                    events: Events::default(),
                    is_done: false,
                },
            };
        }
        match &mut self.form {
            Form::Unknown => Ok(String::new()),
            Form::Whole(whole) if whole.len() + output.len() > MAX_WHOLE_BYTES => {
                Err(self.failed("its answer is too long"))
            }
            Form::Whole(whole) => {
                whole.extend_from_slice(output);
                Ok(String::new())
            }
            Form::Events { events, .. } => {
                let found = events.push(output).map_err(|why| self.failed(&why))?;
                self.take(found)
            }
        }
    }

    /// The whole transcript; `None` if nothing was understood.
    pub(crate) fn end(mut self) -> Result<Option<String>, String> {
        let form = std::mem::replace(&mut self.form, Form::Unknown);
        match form {
            Form::Unknown => Err(self.failed("it answered nothing")),
            Form::Whole(whole) => self.whole(&whole),
            Form::Events {
                mut events,
                is_done,
            } => {
                let last = events.finish().map_err(|why| self.failed(&why))?;
                self.form = Form::Events { events, is_done };
                self.take(last)?;
                match self.form {
                    Form::Events { is_done: true, .. } => Ok(words(&self.told)),
                    _ => Err(self.failed("its answer breaks off")),
                }
            }
        }
    }

    /// The words of an answer that came at once.
    pub(crate) fn whole(&self, output: &[u8]) -> Result<Option<String>, String> {
        let answer: Value = serde_json::from_slice(output).unwrap_or_default();
        match answer["text"].as_str() {
            Some(text) => Ok(words(text)),
            None => {
                let found = quote(&String::from_utf8_lossy(output));
                Err(self.failed(&format!("expected JSON with a `text`, found `{found}`")))
            }
        }
    }

    fn take(&mut self, found: impl IntoIterator<Item = String>) -> Result<String, String> {
        let mut piece = String::new();
        for data in found.into_iter().filter(|data| data != "[DONE]") {
            let event: Value = serde_json::from_str(&data).unwrap_or_default();
            match (event["type"].as_str(), &mut self.form) {
                (Some("transcript.text.delta"), _) => {
                    let delta = event["delta"].as_str().unwrap_or_default();
                    let is_first = self.told.is_empty() && piece.is_empty();
                    piece.push_str(if is_first { delta.trim_start() } else { delta });
                }
                (Some("transcript.text.done"), Form::Events { is_done, .. }) => {
                    *is_done = true;
                    let text = event["text"].as_str().unwrap_or_default();
                    let so_far = format!("{}{piece}", self.told);
                    // What its pieces left out; pieces that were told stay as they are.
                    piece.push_str(text.strip_prefix(so_far.as_str()).unwrap_or_default());
                }
                (Some("error"), _) | (None, _) => {
                    let why = event["error"]["message"].as_str();
                    let why = why.map_or_else(|| format!("it sent `{}`", quote(&data)), quote);
                    return Err(self.failed(&why));
                }
                // Segments and whatever comes to be.
                (Some(_), _) => {}
            }
        }
        self.told.push_str(&piece);
        Ok(piece)
    }

    fn failed(&self, why: &str) -> String {
        format!("the {} failed: {why}", self.who)
    }
}

fn quote(text: &str) -> String {
    text.chars().take(QUOTE_CHARS).collect()
}

fn words(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    Some(words.join(" ")).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "data: {\"type\":\"transcript.text.delta\",\"delta\":\" Two\"}\n\n\
        data: {\"type\":\"transcript.text.segment\",\"text\":\"x\"}\n\n\
        data: {\"type\":\"transcript.text.delta\",\"delta\":\" words\"}\n\n\
        data: {\"type\":\"transcript.text.done\",\"text\":\"Two words.\"}\n\ndata: [DONE]\n\n";

    fn reader() -> WordReader {
        WordReader::new("ears".to_owned())
    }

    #[test]
    fn pieces_and_the_whole_are_the_same_words_however_the_bytes_come() {
        for size in [1, 7, 1000] {
            let mut reader = reader();
            let mut told = String::new();
            for piece in STREAM.as_bytes().chunks(size) {
                told.push_str(&reader.read(piece).expect("reads"));
            }
            assert_eq!(told, "Two words.");
            assert_eq!(reader.end(), Ok(Some("Two words.".to_owned())));
        }
    }

    #[test]
    fn a_server_that_does_not_stream_is_read_at_the_end() {
        let mut ears = reader();
        for piece in [" {\"te", "xt\":\" At\\nonce\"}"] {
            assert_eq!(ears.read(piece.as_bytes()), Ok(String::new()));
        }
        assert_eq!(ears.end(), Ok(Some("At once".to_owned())));
    }

    #[test]
    fn what_breaks_off_or_cannot_be_read_is_an_error() {
        assert!(reader().end().expect_err("nothing").contains("nothing"));
        let mut short = reader();
        let first = STREAM.split_inclusive("\n\n").next().expect("some");
        short.read(first.as_bytes()).expect("reads");
        assert!(short.end().expect_err("short").contains("breaks off"));
        for (answer, part) in [
            ("data: x\n\n", "`x`"),
            ("data: {\"error\":{\"message\":\"no GPU\"}}\n\n", "no GPU"),
        ] {
            let error = reader().read(answer.as_bytes()).expect_err(answer);
            assert!(error.contains(part), "{error}");
        }
        let mut long = reader();
        long.read(b"{").expect("reads");
        assert!(long.read(&[b' '; MAX_WHOLE_BYTES]).is_err());
    }
}
