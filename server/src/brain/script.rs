//! A brain that follows a script: the first turn whose conditions hold says what to do.

use std::sync::Arc;

use super::{Answer, Brain, Echo, Question};
use crate::script::{Turn, When};

/// Follows the turns of a script; what no turn is for is echoed.
#[derive(Debug)]
pub struct ScriptBrain {
    turns: Arc<Vec<Turn>>,
    used: Vec<u32>,
}

impl ScriptBrain {
    pub(crate) fn new(turns: Arc<Vec<Turn>>) -> Self {
        let used = vec![0; turns.len()];
        Self { turns, used }
    }
}

impl Brain for ScriptBrain {
    fn answer(&mut self, question: &Question<'_>) -> Answer {
        let is_left = |i: usize| self.turns[i].times.is_none_or(|times| self.used[i] < times);
        let fits = |i: &usize| is_left(*i) && self.turns[*i].when.holds(question);
        let Some(found) = (0..self.turns.len()).find(fits) else {
            return Echo.answer(question);
        };
        self.used[found] += 1;
        Answer::Now(self.turns[found].steps.clone())
    }
}

impl When {
    fn holds(&self, question: &Question<'_>) -> bool {
        let has_speech = question.speech.is_some();
        let has_user = has_speech || !question.heard.is_empty();
        let is_start = !has_user && question.outputs.is_empty();
        let by_tool = |output: &super::ToolOutput| {
            self.tool.as_ref().is_none_or(|p| p.fits(&output.name))
                && self.output.as_ref().is_none_or(|p| p.fits(&output.output))
        };
        let wants_tool = self.tool.is_some() || self.output.is_some();
        self.user
            .as_ref()
            .is_none_or(|p| has_user && p.fits(question.heard))
            && self.audio.is_none_or(|wanted| wanted == has_speech)
            && (!wants_tool || question.outputs.iter().any(by_tool))
            && self.turn.is_none_or(|turn| turn == question.turn)
            && self.start.is_none_or(|wanted| wanted == is_start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brain::{Act, Clip, ToolOutput};
    use crate::script::Script;

    fn brain(text: &str) -> ScriptBrain {
        let here = std::path::Path::new(".");
        let script = Script::parse(text, here, here).expect("reads");
        ScriptBrain::new(script.turns)
    }

    fn question(turn: u32, heard: &str) -> Question<'_> {
        Question {
            turn,
            heard,
            ..Question::default()
        }
    }

    fn said(brain: &mut ScriptBrain, question: &Question<'_>) -> String {
        let Answer::Now(steps) = brain.answer(question) else {
            panic!("a script answers at once")
        };
        match &steps[0].act {
            Act::Say { text, .. } => text.clone(),
            Act::Call { name, .. } => format!("call {name}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_first_turn_that_fits_answers_and_is_used_up() {
        let mut brain = brain(
            "turns:\n\
             - {when: {start: true}, say: hello}\n\
             - {when: {user: pizza}, say: once, times: 1}\n\
             - {when: {user: /piz+a/, turn: 4}, say: fourth}\n\
             - {when: {user: pizza}, call: {name: order}}\n",
        );
        assert_eq!(said(&mut brain, &question(1, "")), "hello");
        assert_eq!(said(&mut brain, &question(2, "a Pizza")), "once");
        assert_eq!(said(&mut brain, &question(3, "a pizza")), "call order");
        assert_eq!(said(&mut brain, &question(4, "a pizza")), "fourth");
        assert_eq!(said(&mut brain, &question(5, "soup")), "soup");
    }

    #[test]
    fn speech_and_outputs_of_tools_are_conditions_too() {
        let mut brain = brain(
            "turns:\n\
             - {when: {tool: weather, output: rain}, say: umbrella}\n\
             - {when: {tool: any}, say: thanks}\n\
             - {when: {audio: any, user: any}, say: heard}\n\
             - {when: {user: any}, say: read}\n",
        );
        let clip = Clip::default();
        let spoken = Question {
            speech: Some(&clip),
            ..question(1, "")
        };
        assert_eq!(said(&mut brain, &spoken), "heard");
        assert_eq!(said(&mut brain, &question(1, "x")), "read");
        let output = |name: &str, output: &str| {
            vec![ToolOutput {
                name: name.to_owned(),
                call_id: "c".to_owned(),
                output: output.to_owned(),
            }]
        };
        for (outputs, expected) in [
            (output("weather", "much Rain"), "umbrella"),
            (output("weather", "sun"), "thanks"),
        ] {
            let question = Question {
                outputs: &outputs,
                ..question(1, "")
            };
            assert_eq!(said(&mut brain, &question), expected);
        }
    }
}
