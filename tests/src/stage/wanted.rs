//! What the application has said: the link that is there at the end knows it, and no link is told
//! twice.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use talkwire_core::engine::io::Ticket;

use super::rules::keep;

/// One thing that the application has said, in words that it says only once.
#[derive(Debug)]
struct Said {
    words: String,
    /// The last link must know it: neither server nor session have refused it.
    is_owed: bool,
}

/// The items and instructions of the application, oldest first.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    items: Vec<Said>,
    instructions: Vec<Said>,
    /// The words that a link was told, with their events.
    told: HashSet<(u32, String)>,
    events: HashMap<String, String>,
    /// Outputs of tools whose questions have no answer yet.
    given: HashMap<Ticket, String>,
}

impl Wanted {
    /// The application sends an event.
    pub(super) fn add(&mut self, json: &str) {
        let event: Value = serde_json::from_str(json).unwrap_or_default();
        let (list, words) = match event["type"].as_str() {
            Some("conversation.item.create") => {
                (&mut self.items, &event["item"]["content"][0]["text"])
            }
            Some("session.update") => (&mut self.instructions, &event["session"]["instructions"]),
            _ => return,
        };
        list.extend(words.as_str().map(|words| Said {
            words: words.to_owned(),
            is_owed: true,
        }));
    }

    /// The application answers a call, or tries to.
    pub(super) fn gives(&mut self, ticket: Ticket, words: &str) {
        let words = words.to_owned();
        self.given.insert(ticket, words.clone());
        let is_owed = false;
        self.items.push(Said { words, is_owed });
    }

    /// The session has taken what a question brought.
    pub(super) fn taken(&mut self, ticket: Ticket) {
        if let Some(words) = self.given.remove(&ticket) {
            self.owe(&words, true);
        }
    }

    fn owe(&mut self, words: &str, is_owed: bool) {
        let all = self.items.iter_mut().chain(&mut self.instructions);
        all.filter(|said| said.words == words)
            .for_each(|said| said.is_owed = is_owed);
    }

    /// A link is told something.
    pub(super) fn sent(&mut self, link: u32, frame: &Value, text: &str) {
        let is_item = frame["type"] == "conversation.item.create";
        let all = self.items.iter().chain(&self.instructions);
        for said in all.filter(|said| text.contains(&said.words)) {
            let event_id = frame["event_id"].as_str().unwrap_or_default();
            self.events.insert(event_id.to_owned(), said.words.clone());
            let is_news = self.told.insert((link, said.words.clone()));
            keep(is_news || !is_item, "a link is told an item once", text);
        }
    }

    /// The server says what it would not have.
    pub(super) fn refused(&mut self, error: &Value) {
        let event_id = error["event_id"].as_str().unwrap_or_default();
        if let Some(words) = self.events.get(event_id).cloned() {
            self.owe(&words, false);
        }
    }

    /// What the link knows that was there at the end. Of instructions the last ones count.
    pub(super) fn check(&self, link: u32) {
        let last = self.instructions.last();
        for said in self.items.iter().chain(last).filter(|s| s.is_owed) {
            let is_told = self.told.contains(&(link, said.words.clone()));
            keep(is_told, "what was said reaches the last link", &said.words);
        }
    }
}
