//! Names for what a new link calls as an earlier one has called something else: servers that count
//! their items, responses and calls begin again with each session, and an application that holds one
//! session must not take the new ones for the old.
//!
//! Only ids that meet again get another name, so of a server that does not count nothing is touched.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::wire::ServerEvent;

/// The names of ids that met again.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// Which link it is, for names.
    link: u32,
    /// Ids of earlier links that this one does not know.
    past: HashSet<String>,
    /// Names by ids of this link.
    names: HashMap<String, String>,
}

/// Where a frame holds ids.
const KEYS: [&str; 5] = [
    "id",
    "item_id",
    "previous_item_id",
    "response_id",
    "call_id",
];

/// What `id` is an id of, where it is one of these: not of a session or an event.
const NOUNS: [&str; 3] = ["item", "response", "output"];

impl Aliases {
    /// A new link is the link. What the session remembers of earlier ones has these ids, of which the
    /// link knows none.
    pub(super) fn relinked(&mut self, link: u32, past: HashSet<String>) {
        (self.link, self.past) = (link, past);
        self.names.clear();
    }

    /// The link is told something under its id.
    pub(super) fn told(&mut self, id: &str) {
        self.past.remove(id);
    }

    /// Notes the ids that an event brings. Returns whether frames of this link have to be renamed.
    pub(super) fn seen(&mut self, event: &ServerEvent) -> bool {
        match event {
            ServerEvent::ResponseCreated(e) => self.met(e.response.id.as_deref()),
            ServerEvent::ItemAdded(e) | ServerEvent::ItemCreated(e) => {
                self.met(e.item.id.as_deref());
                self.met(e.item.call_id.as_deref());
            }
            ServerEvent::OutputItemAdded(e) | ServerEvent::OutputItemDone(e) => {
                self.met(Some(&e.response_id));
                self.met(e.item.id.as_deref());
                self.met(e.item.call_id.as_deref());
            }
            ServerEvent::SpeechStarted(e) => self.met(Some(&e.item_id)),
            ServerEvent::BufferCommitted(e) => self.met(Some(&e.item_id)),
            _ => {}
        }
        !self.names.is_empty()
    }

    fn met(&mut self, id: Option<&str>) {
        if let Some(id) = id.and_then(|id| self.past.take(id)) {
            let name = format!("{id}~{}", self.link);
            self.names.insert(id, name);
        }
    }

    /// A frame of the server under the names of the session.
    pub(super) fn inward(&self, frame: &str) -> Option<String> {
        self.renamed(frame, |id| self.names.get(id).map(String::as_str))
    }

    /// A frame of ours under the ids of the link.
    pub(super) fn outward(&self, frame: String) -> String {
        if self.names.is_empty() {
            return frame;
        }
        let id_of = |name: &str| {
            let mut named = self.names.iter();
            named.find_map(|(id, named)| (named == name).then_some(id.as_str()))
        };
        self.renamed(&frame, id_of).unwrap_or(frame)
    }

    fn renamed<'a>(&self, frame: &str, name: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
        let mut value: Value = serde_json::from_str(frame).ok()?;
        let fields = value.as_object_mut()?;
        for key in KEYS.iter().filter(|key| **key != "id") {
            rename(fields.get_mut(*key), &name);
        }
        for noun in NOUNS {
            rename_in(fields.get_mut(noun), &name);
        }
        Some(value.to_string())
    }
}

/// Renames the ids of an item or a response, and of the items of a response.
fn rename_in<'a>(noun: Option<&mut Value>, name: &impl Fn(&str) -> Option<&'a str>) {
    match noun {
        Some(Value::Object(fields)) => {
            KEYS.iter()
                .for_each(|key| rename(fields.get_mut(*key), name));
            rename_in(fields.get_mut("output"), name);
        }
        Some(Value::Array(items)) => items
            .iter_mut()
            .for_each(|item| rename_in(Some(item), name)),
        _ => {}
    }
}

fn rename<'a>(id: Option<&mut Value>, name: &impl Fn(&str) -> Option<&'a str>) {
    if let Some(Value::String(id)) = id
        && let Some(name) = name(id)
    {
        name.clone_into(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(name: &str, fields: Value) -> ServerEvent {
        ServerEvent::from_fields(name, serde_json::from_value(fields).expect("a map"))
    }

    fn past(ids: &[&str]) -> HashSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn added(id: &str) -> ServerEvent {
        event(
            "conversation.item.added",
            json!({"item": {"id": id, "type": "message"}}),
        )
    }

    fn created(id: &str) -> ServerEvent {
        event("response.created", json!({"response": {"id": id}}))
    }

    #[test]
    fn only_ids_that_meet_again_get_another_name_and_commands_get_the_id_back() {
        let mut aliases = Aliases::default();
        assert!(!aliases.seen(&added("item_1")) && !aliases.seen(&created("resp_1")));
        aliases.relinked(2, past(&["item_1", "resp_1"]));
        assert!(!aliases.seen(&added("item_7")));
        assert!(aliases.seen(&added("item_1")));
        assert!(aliases.seen(&created("resp_1")));
        let done = json!({"type": "response.done", "event_id": "item_1", "response": {
            "id": "resp_1", "output": [{"id": "item_1", "call_id": "call_1"}]}});
        let told: Value =
            serde_json::from_str(&aliases.inward(&done.to_string()).unwrap()).unwrap();
        assert_eq!(told["response"]["id"], "resp_1~2");
        assert_eq!(told["response"]["output"][0]["id"], "item_1~2");
        assert_eq!(told["response"]["output"][0]["call_id"], "call_1");
        assert_eq!(told["event_id"], "item_1", "it is no item");
        let cut = json!({"type": "conversation.item.truncate", "item_id": "item_1~2"}).to_string();
        let sent: Value = serde_json::from_str(&aliases.outward(cut)).unwrap();
        assert_eq!(sent["item_id"], "item_1");
    }

    #[test]
    fn what_a_link_is_told_keeps_its_id_and_names_are_those_of_one_link() {
        let mut aliases = Aliases::default();
        aliases.relinked(2, past(&["item_1"]));
        aliases.told("item_1");
        assert!(!aliases.seen(&added("item_1")));
        aliases.relinked(3, past(&["item_1"]));
        assert!(aliases.seen(&added("item_1")));
        assert!(aliases.seen(&added("item_1")), "it is known by now");
        aliases.relinked(4, past(&["item_1", "item_1~3"]));
        assert!(aliases.seen(&added("item_1")));
        let delta = r#"{"type":"response.output_text.delta","item_id":"item_1"}"#;
        assert!(aliases.inward(delta).unwrap().contains("item_1~4"));
    }
}
