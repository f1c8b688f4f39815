//! Ears behind `/audio/transcriptions`.

use super::{Ears, Hearing, WordReader, wav_bytes};
use crate::brain::Clip;
use crate::io::Job;
use crate::upstream::Upstream;

const WHO: &str = "ears";
const PATH: &str = "/audio/transcriptions";
/// Between the parts of a request. Forty random digits do not occur in a recording.
const BOUNDARY: &str = "talkwire-4e1f0c83b7a25d96e8013b5f7d2c4a6908be1d37";

/// Asks a server for the words of each turn.
#[derive(Clone, Debug)]
pub struct HttpEars {
    upstream: Upstream,
}

impl HttpEars {
    /// Ears at this server.
    pub fn new(upstream: Upstream) -> Self {
        Self { upstream }
    }

    fn reader(&self) -> WordReader {
        WordReader::new(format!("{WHO} at {}", self.upstream.place()))
    }

    fn form(&self, turn: &Clip) -> Vec<u8> {
        let upstream = &self.upstream;
        let mut form = Vec::new();
        let mut field = |name: &str, value: &str| {
            let part = format!(
                "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
            form.extend_from_slice(part.as_bytes());
        };
        field("response_format", "json");
        if upstream.stream {
            field("stream", "true");
        }
        for (name, value) in [("model", &upstream.model), ("language", &upstream.language)] {
            if let Some(value) = value {
                field(name, value);
            }
        }
        for (name, value) in &upstream.extra {
            let text = value.as_str().map(str::to_owned);
            field(name, &text.unwrap_or_else(|| value.to_string()));
        }
        let file = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; \
             filename=\"turn.wav\"\r\ncontent-type: audio/wav\r\n\r\n"
        );
        form.extend_from_slice(file.as_bytes());
        form.extend(wav_bytes(turn.rate_hz, &turn.samples));
        form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        form
    }
}

impl Ears for HttpEars {
    fn hear(&mut self, turn: &Clip) -> Hearing {
        let media_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let mut job = self.upstream.post(WHO, PATH, &media_type, self.form(turn));
        if !self.upstream.stream {
            return Hearing::Later(Job::Http(job));
        }
        job.is_stream = true;
        Hearing::Stream(Job::Http(job), self.reader())
    }

    fn heard(&mut self, output: &[u8]) -> Result<Option<String>, String> {
        self.reader().whole(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ears() -> HttpEars {
        let client = talkwire_core::net::http::Client::usual().expect("fine");
        let mut upstream = Upstream::new("http://h/v1", client).expect("a URL");
        upstream.model = Some("small".to_owned());
        upstream
            .extra
            .insert("temperature".to_owned(), serde_json::json!(0));
        HttpEars::new(upstream)
    }

    #[test]
    fn a_turn_is_sent_as_a_form_with_a_wav() {
        let clip = Clip {
            rate_hz: 16_000,
            samples: vec![1, 2],
        };
        let form = ears().form(&clip);
        let text = String::from_utf8_lossy(&form);
        for part in [
            "name=\"model\"\r\n\r\nsmall\r\n--",
            "name=\"temperature\"\r\n\r\n0\r\n--",
            "filename=\"turn.wav\"\r\ncontent-type: audio/wav\r\n\r\nRIFF",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.ends_with(&format!("\r\n--{BOUNDARY}--\r\n")), "{text}");
    }

    #[test]
    fn the_words_are_read_and_anything_else_is_an_error() {
        let mut ears = ears();
        let heard = |ears: &mut HttpEars, text: &str| ears.heard(text.as_bytes());
        assert_eq!(
            heard(&mut ears, r#"{"text":" two\nwords "}"#),
            Ok(Some("two words".to_owned()))
        );
        assert_eq!(heard(&mut ears, r#"{"text":""}"#), Ok(None));
        for wrong in ["<html>", "{}", r#"{"text":5}"#] {
            let error = heard(&mut ears, wrong).expect_err(wrong);
            assert!(error.contains("ears") && error.contains(wrong), "{error}");
        }
    }
}
