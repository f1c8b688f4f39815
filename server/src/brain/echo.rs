//! Brains that give back what they got.

use std::sync::Arc;

use super::{Act, Answer, Brain, Question, Step};

/// Said when there is nothing to give back.
const NOTHING_HEARD: &str = "I hear you.";

/// Answers with what it heard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

/// Answers speech with the very same sound.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loop;

impl Brain for Echo {
    fn answer(&mut self, question: &Question<'_>) -> Answer {
        Answer::Now(vec![Step::say(echo(question))])
    }
}

impl Brain for Loop {
    fn answer(&mut self, question: &Question<'_>) -> Answer {
        let text = echo(question);
        let clip = question.speech.cloned().map(Arc::new);
        let act = Act::Say { text, clip };
        Answer::Now(vec![Step { after_ms: 0, act }])
    }
}

fn echo(question: &Question<'_>) -> String {
    if !question.heard.is_empty() {
        return question.heard.to_owned();
    }
    let outputs: Vec<_> = question.outputs.iter().map(|o| o.output.as_str()).collect();
    if outputs.is_empty() {
        return NOTHING_HEARD.to_owned();
    }
    outputs.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brain::{Clip, ToolOutput};

    fn question<'a>(heard: &'a str, outputs: &'a [ToolOutput]) -> Question<'a> {
        Question {
            turn: 1,
            heard,
            outputs,
            ..Question::default()
        }
    }

    fn steps(answer: Answer) -> Vec<Step> {
        match answer {
            Answer::Now(steps) => steps,
            Answer::Later(job, _) => panic!("{job:?}"),
        }
    }

    #[test]
    fn echo_gives_back_words_then_outputs_then_a_fixed_sentence() {
        let output = ToolOutput {
            name: "f".to_owned(),
            call_id: "c".to_owned(),
            output: "3 degrees".to_owned(),
        };
        let outputs = [output];
        for (question, said) in [
            (question("hi", &outputs), "hi"),
            (question("", &outputs), "3 degrees"),
            (question("", &[]), NOTHING_HEARD),
        ] {
            assert_eq!(steps(Echo.answer(&question)), [Step::say(said)]);
        }
    }

    #[test]
    fn loop_gives_back_the_sound() {
        let clip = Clip {
            rate_hz: 8000,
            samples: vec![1, 2, 3],
        };
        let question = Question {
            speech: Some(&clip),
            ..question("", &[])
        };
        let steps = steps(Loop.answer(&question));
        let Act::Say {
            clip: Some(played), ..
        } = &steps[0].act
        else {
            panic!("{steps:?}")
        };
        assert_eq!(**played, clip);
    }
}
