//! A brain that is a part of the program which holds the server.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use talkwire_core::wire::audio;

use super::{Answer, AnswerReader, Brain, Clip, Piece, Question};
use crate::host::{Host, HostJob, HostQuestion};
use crate::io::Job;

/// Asks the program that holds the server.
#[derive(Clone, Debug)]
pub struct HostBrain(pub Arc<dyn Host>);

impl Brain for HostBrain {
    fn answer(&mut self, question: &Question<'_>) -> Answer {
        let outputs = question.outputs.iter().map(|output| {
            json!({"name": output.name, "call_id": output.call_id, "output": output.output})
        });
        let json = json!({
            "turn": question.turn,
            "heard": question.heard,
            "instructions": question.instructions,
            "items": question.items,
            "tools": question.tools,
            "outputs": outputs.collect::<Value>(),
            "may_call": question.may_call,
            "max_tokens": question.max_tokens,
        });
        let speech = question.speech.cloned();
        let job = HostJob {
            host: self.0.clone(),
            question: HostQuestion { json, speech },
        };
        Answer::Later(Job::Host(job), Box::new(Reader))
    }
}

/// Reads pieces, each of which comes whole.
#[derive(Debug)]
struct Reader;

impl AnswerReader for Reader {
    fn read(&mut self, output: &[u8]) -> Result<Vec<Piece>, String> {
        let failed = |why: String| format!("the brain failed: {why}");
        let told = serde_json::from_slice(output);
        match told.map_err(|why| failed(format!("a piece of an answer: {why}")))? {
            Told::Text { text } => Ok(vec![Piece::Text(text)]),
            Told::Call { call, arguments } => Ok(vec![
                Piece::Call { name: call },
                Piece::Arguments(arguments),
            ]),
            Told::Speech {
                speech,
                rate_hz,
                pcm,
            } => {
                let bytes = audio::decode(&pcm).map_err(|why| failed(why.to_string()))?;
                let whole = bytes.chunks_exact(2);
                let samples = whole.map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
                let clip = Clip { rate_hz, samples };
                Ok(vec![Piece::Speech { text: speech, clip }])
            }
            Told::Fail { fail } => Err(failed(fail)),
        }
    }

    fn end(&mut self) -> Result<Vec<Piece>, String> {
        Ok(Vec::new())
    }
}

/// A piece as the program tells it.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Told {
    Text {
        text: String,
    },
    Speech {
        speech: String,
        rate_hz: u32,
        pcm: String,
    },
    Call {
        call: String,
        arguments: String,
    },
    Fail {
        fail: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_and_what_is_none_is_a_failure() {
        let read = |text: &str| Reader.read(text.as_bytes());
        assert_eq!(
            read(r#"{"text": "a"}"#),
            Ok(vec![Piece::Text("a".to_owned())])
        );
        let clip = Clip {
            rate_hz: 8_000,
            samples: vec![1, -2],
        };
        let text = "b".to_owned();
        let speech = r#"{"speech": "b", "rate_hz": 8000, "pcm": "AQD+/w=="}"#;
        assert_eq!(read(speech), Ok(vec![Piece::Speech { text, clip }]));
        let calls = read(r#"{"call": "f", "arguments": "{}"}"#).expect("reads");
        assert_eq!(calls[1], Piece::Arguments("{}".to_owned()));
        for wrong in [r#"{"fail": "no"}"#, r#"{"txt": "a"}"#, "x"] {
            assert!(read(wrong).expect_err("wrong").contains("the brain failed"));
        }
    }
}
