//! Who said what, and when.

use serde::Serialize;
use talkwire_core::engine::history::{Role, Segment};
use talkwire_core::wire::Item;

/// One utterance on the clock of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    item_id: String,
    role: Role,
    text: String,
    start_ms: Option<u64>,
    end_ms: Option<u64>,
}

/// An utterance as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Utterance {
    /// `customer` or `agent`.
    pub(crate) role: &'static str,
    pub(crate) text: String,
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
}

impl Utterance {
    /// The same for whoever writes transcripts.
    pub(crate) fn segment(&self) -> Segment {
        let is_agent = self.role == Role::Agent.name();
        Segment {
            item_id: String::new(),
            role: if is_agent {
                Role::Agent
            } else {
                Role::Customer
            },
            text: self.text.clone(),
            start_ms: Some(self.start_ms),
            end_ms: Some(self.end_ms),
            is_final: true,
            cut: None,
        }
    }
}

/// The utterances of a call.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<Line>);

impl Lines {
    fn entry(&mut self, item_id: &str, role: Role) -> &mut Line {
        let at = self.0.iter().position(|line| line.item_id == item_id);
        let at = at.unwrap_or_else(|| {
            self.0.push(Line {
                item_id: item_id.to_owned(),
                role,
                text: String::new(),
                start_ms: None,
                end_ms: None,
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// The customer begins to speak.
    pub(crate) fn began(&mut self, item_id: &str, at_ms: u64) {
        self.entry(item_id, Role::Customer).start_ms = Some(at_ms);
    }

    /// The customer has spoken; `start_ms` counts where no start was told.
    pub(crate) fn ended(&mut self, item_id: &str, start_ms: u64, end_ms: u64) {
        let line = self.entry(item_id, Role::Customer);
        let start_ms = *line.start_ms.get_or_insert(start_ms);
        line.end_ms = Some(end_ms.max(start_ms));
    }

    /// The session has a new link: what the customer said and nobody understood comes once more.
    pub(crate) fn anew(&mut self) {
        self.0
            .retain(|line| line.role != Role::Customer || !line.text.is_empty());
    }

    /// The customer was understood; returns the text so far.
    pub(crate) fn heard(&mut self, item_id: &str, text: &str, is_piece: bool) -> &str {
        let line = self.entry(item_id, Role::Customer);
        if !is_piece {
            line.text.clear();
        }
        line.text.push_str(text);
        &line.text
    }

    /// An item with its text.
    pub(crate) fn item(&mut self, item: &Item, at_ms: u64) {
        let (Some(id), Some(role)) = (&item.id, role(item)) else {
            return;
        };
        let text = item.text();
        let line = self.entry(id, role);
        if !text.is_empty() {
            line.text = text;
            line.start_ms.get_or_insert(at_ms);
            line.end_ms.get_or_insert(at_ms);
        }
    }

    /// The agent writes or says the next words; returns the text so far.
    pub(crate) fn said(&mut self, item_id: &str, delta: &str) -> &str {
        let line = self.entry(item_id, Role::Agent);
        line.text.push_str(delta);
        &line.text
    }

    /// The whole text of the agent's item is known.
    pub(crate) fn all_said(&mut self, item_id: &str, text: &str) {
        text.clone_into(&mut self.entry(item_id, Role::Agent).text);
    }

    /// The agent's item takes this time, too.
    pub(crate) fn lasts(&mut self, item_id: &str, start_ms: u64, end_ms: u64) {
        let line = self.entry(item_id, Role::Agent);
        let start_ms = *line.start_ms.get_or_insert(start_ms);
        line.end_ms = line.end_ms.max(Some(end_ms)).max(Some(start_ms));
    }

    /// Nothing of the agent is heard after `at_ms`.
    pub(crate) fn cut(&mut self, at_ms: u64) {
        let agent = self.0.iter_mut().filter(|line| line.role == Role::Agent);
        for line in agent {
            if line.end_ms > Some(at_ms) {
                line.end_ms = Some(at_ms).max(line.start_ms);
            }
        }
    }

    /// When the customer's item ended.
    pub(crate) fn end_ms(&self, item_id: &str) -> Option<u64> {
        let line = self.0.iter().find(|line| line.item_id == item_id);
        line?.end_ms
    }

    /// All utterances in the order in which they began.
    pub(crate) fn utterances(&self) -> Vec<Utterance> {
        let shown = |line: &&Line| line.role != Role::System && line.start_ms.is_some();
        let mut all: Vec<_> = self.0.iter().filter(shown).map(Line::utterance).collect();
        all.sort_by_key(|utterance| utterance.start_ms);
        all
    }
}

impl Line {
    fn utterance(&self) -> Utterance {
        let start_ms = self.start_ms.unwrap_or_default();
        Utterance {
            role: self.role.name(),
            text: self.text.trim().to_owned(),
            start_ms,
            end_ms: self.end_ms.unwrap_or(start_ms).max(start_ms),
        }
    }
}

fn role(item: &Item) -> Option<Role> {
    match (item.kind.as_str(), item.role.as_deref()) {
        ("message", Some("user")) => Some(Role::Customer),
        ("message", Some("assistant")) => Some(Role::Agent),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utterances_come_in_the_order_in_which_they_began() {
        let mut lines = Lines::default();
        lines.began("c", 600);
        lines.said("a", "Good ");
        lines.ended("c", 0, 5_000);
        lines.lasts("a", 5_600, 5_700);
        lines.lasts("a", 5_700, 5_800);
        lines.said("a", "day");
        lines.heard("c", "hel", true);
        assert_eq!(lines.heard("c", "hello", false), "hello");
        let all = lines.utterances();
        let short: Vec<_> = all
            .iter()
            .map(|u| (u.role, u.text.as_str(), u.start_ms, u.end_ms))
            .collect();
        assert_eq!(
            short,
            [
                ("customer", "hello", 600, 5_000),
                ("agent", "Good day", 5_600, 5_800)
            ]
        );
    }

    #[test]
    fn an_interruption_cuts_only_what_comes_after_it() {
        let mut lines = Lines::default();
        lines.lasts("a", 100, 900);
        lines.lasts("b", 1_000, 2_000);
        lines.cut(1_500);
        let ends: Vec<_> = lines.utterances().iter().map(|u| u.end_ms).collect();
        assert_eq!(ends, [900, 1_500]);
    }

    #[test]
    fn written_items_have_their_text_and_time() {
        let mut lines = Lines::default();
        let item = Item {
            id: Some("i".to_owned()),
            ..Item::user_text("hi")
        };
        lines.item(&item, 40);
        lines.item(&Item::system_text("secret"), 50);
        let all = lines.utterances();
        assert_eq!(
            (all.len(), all[0].role, all[0].start_ms),
            (1, "customer", 40)
        );
    }
}
