//! What a new link is told of the conversation: items where the dialect takes them, otherwise one
//! text of the customer's role.

use super::history::{Role, Segment};
use crate::wire::Item;

/// A call with its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub call_id: String,
    pub name: String,
    pub arguments: String,
    pub output: String,
    /// The item that was the last of the conversation when it was called.
    pub after: Option<String>,
}

/// What is sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub items: Vec<Item>,
    /// Estimated.
    pub tokens: u64,
    /// Whether nothing had to be left out.
    pub is_whole: bool,
}

/// One step of the conversation, never told in part.
enum Step<'a> {
    Said(&'a Segment),
    Called(&'a Pair),
}

/// Words and markup around an item.
const ITEM_TOKENS: u64 = 8;

/// Four letters of English or two of Russian make a token; three are a guess on the safe side.
const BYTES_PER_TOKEN: u64 = 3;

const RECAP: &str = "This call goes on from before, and these are the words so far. You are the agent: go on from here, neither greet nor repeat anything.";

impl Plan {
    /// The newest steps that fit into `budget` tokens. `recap_id` is the id of the text that stands
    /// for all of them where the dialect has no `agent_items`.
    pub(super) fn new(
        segments: &[Segment],
        pairs: &[Pair],
        agent_items: bool,
        budget: u64,
        recap_id: impl FnOnce() -> String,
    ) -> Self {
        let steps = in_order(segments, pairs);
        let mut tokens = 0;
        let newest = steps.iter().rev().take_while(|step| {
            tokens += step.tokens();
            tokens <= budget
        });
        let kept = newest.count();
        let is_whole = kept == steps.len();
        let steps = &steps[steps.len() - kept..];
        if steps.is_empty() {
            return Self {
                is_whole,
                ..Self::default()
            };
        }
        let items = match agent_items {
            true => steps.iter().flat_map(Step::items).collect(),
            false => {
                let lines: Vec<String> = steps.iter().map(Step::line).collect();
                let text = format!("{RECAP}\n{}", lines.join("\n"));
                let mut item = Item::user_text(text);
                item.id = Some(recap_id());
                vec![item]
            }
        };
        Self {
            items,
            tokens: steps.iter().map(Step::tokens).sum(),
            is_whole,
        }
    }
}

fn in_order<'a>(segments: &'a [Segment], pairs: &'a [Pair]) -> Vec<Step<'a>> {
    let is_known = |id: &String| segments.iter().any(|s| s.item_id == *id);
    let is_first = |pair: &&Pair| !pair.after.as_ref().is_some_and(is_known);
    let mut steps: Vec<Step<'a>> = pairs.iter().filter(is_first).map(Step::Called).collect();
    for segment in segments {
        if !segment.text.trim().is_empty() {
            steps.push(Step::Said(segment));
        }
        let is_next = |pair: &&Pair| pair.after.as_ref() == Some(&segment.item_id);
        steps.extend(pairs.iter().filter(is_next).map(Step::Called));
    }
    steps
}

impl Step<'_> {
    fn tokens(&self) -> u64 {
        let bytes = match self {
            Self::Said(segment) => segment.text.len(),
            Self::Called(pair) => pair.name.len() + pair.arguments.len() + pair.output.len(),
        };
        ITEM_TOKENS + bytes as u64 / BYTES_PER_TOKEN
    }

    fn items(&self) -> Vec<Item> {
        match self {
            Self::Said(segment) => {
                let text = segment.text.trim();
                let mut item = match segment.role {
                    Role::Customer => Item::user_text(text),
                    Role::Agent => Item::assistant_text(text),
                    Role::System => Item::system_text(text),
                };
                item.id = Some(segment.item_id.clone());
                vec![item]
            }
            Self::Called(pair) => vec![
                pair.call(),
                Item::function_call_output(pair.call_id.as_str(), pair.output.as_str()),
            ],
        }
    }

    fn line(&self) -> String {
        match self {
            Self::Said(segment) => {
                let who = match segment.role {
                    Role::Customer => "Customer",
                    Role::Agent => "Agent",
                    Role::System => "Instruction",
                };
                format!("{who}: {}", segment.text.trim())
            }
            Self::Called(pair) => pair.line(),
        }
    }
}

impl Pair {
    /// The item of the call alone.
    pub(super) fn call(&self) -> Item {
        Item {
            kind: "function_call".to_owned(),
            call_id: Some(self.call_id.clone()),
            name: Some(self.name.clone()),
            arguments: Some(self.arguments.clone()),
            ..Item::default()
        }
    }

    /// The same in words.
    pub(super) fn line(&self) -> String {
        format!(
            "Tool {} called with {} has answered: {}",
            self.name, self.arguments, self.output
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(item_id: &str, role: Role, text: &str) -> Segment {
        Segment {
            item_id: item_id.to_owned(),
            role,
            text: text.to_owned(),
            start_ms: None,
            end_ms: None,
            is_final: true,
            cut: None,
        }
    }

    fn call() -> (Vec<Segment>, Vec<Pair>) {
        let segments = vec![
            said("u", Role::Customer, "What is the soup?"),
            said("a", Role::Agent, "A moment."),
            said("e", Role::Agent, " "),
            said("b", Role::Agent, "It is 3."),
        ];
        let pair = Pair {
            call_id: "c".to_owned(),
            name: "price".to_owned(),
            arguments: "{}".to_owned(),
            output: "3".to_owned(),
            after: Some("a".to_owned()),
        };
        (segments, vec![pair])
    }

    fn plan(agent_items: bool, budget: u64) -> Plan {
        let (segments, pairs) = call();
        Plan::new(&segments, &pairs, agent_items, budget, || {
            "recap".to_owned()
        })
    }

    #[test]
    fn items_come_in_their_order_with_the_call_and_its_output_together() {
        let plan = plan(true, 1_000);
        let kinds: Vec<_> = plan.items.iter().map(|item| item.kind.as_str()).collect();
        let message = "message";
        assert_eq!(
            kinds,
            [
                message,
                message,
                "function_call",
                "function_call_output",
                message
            ]
        );
        assert_eq!(plan.items[4].id.as_deref(), Some("b"));
        assert!(plan.is_whole);
    }

    #[test]
    fn where_the_agent_has_no_items_one_text_says_all() {
        let plan = plan(false, 1_000);
        assert_eq!(plan.items.len(), 1);
        let text = plan.items[0].text();
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "Customer: What is the soup?",
                "Agent: A moment.",
                "Tool price called with {} has answered: 3",
                "Agent: It is 3."
            ]
        );
    }

    #[test]
    fn the_oldest_go_where_the_budget_is_small_and_no_pair_is_parted() {
        let plan = plan(true, 22);
        assert!(!plan.is_whole && plan.tokens <= 22);
        let kinds: Vec<_> = plan.items.iter().map(|item| item.kind.as_str()).collect();
        assert_eq!(kinds, ["function_call", "function_call_output", "message"]);
    }
}
