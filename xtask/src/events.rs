//! Reading `tests/wire/events.json` and the numbers of the server events.

use serde::Deserialize;

use crate::Done;

/// One event of the protocol.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) direction: Direction,
    pub(crate) session_kind: Option<String>,
    pub(crate) fields: Vec<Field>,
}

/// Who sends an event.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    Client,
    Server,
}

/// One field of an event; nested ones have dots, brackets or `<variant>` in their path.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Field {
    pub(crate) path: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) required: bool,
}

/// The events of `json`, as they stand there.
pub(crate) fn parse(json: &str) -> Done<Vec<Event>> {
    serde_json::from_str(json).map_err(|e| format!("tests/wire/events.json: {e}"))
}

impl Event {
    /// `session.created` is `SessionCreated`.
    pub(crate) fn camel(&self) -> String {
        let words = self.name.split(['.', '_']);
        words.map(|w| w[..1].to_uppercase() + &w[1..]).collect()
    }

    /// `session.created` is `SESSION_CREATED`.
    pub(crate) fn shouting(&self) -> String {
        self.name.replace('.', "_").to_uppercase()
    }

    /// The fields of the event object itself, each once, `type` excepted.
    pub(crate) fn top_level(&self) -> Vec<&Field> {
        let mut found: Vec<&Field> = Vec::new();
        for field in &self.fields {
            let nested = field.path.contains(['.', '[', '<']);
            let known = found.iter().any(|f| f.path == field.path);
            if !nested && !known && field.path != "type" {
                found.push(field);
            }
        }
        found
    }
}

/// The server events with their numbers. A number is given once and never used for anything else:
/// names that the list does not hold yet are appended to it.
#[derive(Debug)]
pub(crate) struct Numbers(Vec<String>);

impl Numbers {
    const TOP: &str = "# Number of each server event in EventType, TW_EVENT_* and Python. Append only:\n\
         # `cargo xtask generate` adds new events at the end and never renumbers.\n";

    /// The committed list, completed by the server events it lacks.
    pub(crate) fn parse(text: &str, events: &[Event]) -> Done<Self> {
        let mut names = Vec::new();
        for line in text
            .lines()
            .filter(|l| !l.starts_with('#') && !l.trim().is_empty())
        {
            let expected = names.len() + 1;
            let wanted =
                || format!("event_numbers.txt: expected `{expected} NAME`, found `{line}`");
            let (number, name) = line.split_once(' ').ok_or_else(wanted)?;
            if number != expected.to_string() {
                return Err(wanted());
            }
            if names.iter().any(|n| n == name) {
                return Err(format!("event_numbers.txt: `{name}` has two numbers"));
            }
            names.push(name.to_owned());
        }
        let mut numbers = Self(names);
        numbers.append_missing(events);
        numbers.refuse_unknown(events)?;
        Ok(numbers)
    }

    fn append_missing(&mut self, events: &[Event]) {
        for event in events.iter().filter(|e| e.direction == Direction::Server) {
            if !self.0.contains(&event.name) {
                self.0.push(event.name.clone());
            }
        }
    }

    fn refuse_unknown(&self, events: &[Event]) -> Done {
        let known = |name: &String| {
            events
                .iter()
                .any(|e| e.name == *name && e.direction == Direction::Server)
        };
        match self.0.iter().find(|name| !known(name)) {
            Some(name) => Err(format!("event_numbers.txt: events.json lost `{name}`")),
            None => Ok(()),
        }
    }

    /// The text to commit.
    pub(crate) fn render(&self) -> String {
        let mut text = Self::TOP.to_owned();
        for (i, name) in self.0.iter().enumerate() {
            text.push_str(&format!("{} {name}\n", i + 1));
        }
        text
    }

    /// The server events in the order of their numbers, the first being number 1.
    pub(crate) fn order<'a>(&self, events: &'a [Event]) -> Vec<&'a Event> {
        let server = |name: &String| {
            events
                .iter()
                .find(|e| e.name == *name && e.direction == Direction::Server)
        };
        self.0.iter().filter_map(server).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn event(name: &str, direction: Direction, fields: &[(&str, &str, bool)]) -> Event {
        let field = |&(path, kind, required): &(&str, &str, bool)| Field {
            path: path.into(),
            kind: kind.into(),
            required,
        };
        Event {
            name: name.into(),
            direction,
            session_kind: None,
            fields: fields.iter().map(field).collect(),
        }
    }

    #[test]
    fn a_new_event_is_appended_and_the_others_keep_their_numbers() {
        let events =
            ["a.new", "error", "session.created"].map(|name| event(name, Direction::Server, &[]));
        let numbers = Numbers::parse("1 session.created\n2 error\n", &events).unwrap();
        assert!(
            numbers
                .render()
                .ends_with("\n1 session.created\n2 error\n3 a.new\n")
        );
        let order: Vec<_> = numbers
            .order(&events)
            .iter()
            .map(|e| e.name.as_str())
            .collect();
        assert_eq!(order, ["session.created", "error", "a.new"]);
    }

    #[test]
    fn a_gap_a_repetition_and_a_lost_event_are_errors() {
        let events = [event("error", Direction::Server, &[])];
        for text in ["2 error\n", "1 error\n2 error\n", "1 gone\n", "error\n"] {
            assert!(Numbers::parse(text, &events).is_err(), "{text}");
        }
    }

    #[test]
    fn client_events_get_no_number() {
        let events = [event("session.update", Direction::Client, &[])];
        let numbers = Numbers::parse("", &events).unwrap();
        assert!(numbers.order(&events).is_empty());
    }

    #[test]
    fn top_level_fields_are_listed_once_without_type_and_nested_ones() {
        let fields = [
            ("type", "enum", true),
            ("item", "object", true),
            ("item.id", "string", true),
        ];
        let twice = [fields.as_slice(), &[("item", "object", false)]].concat();
        let event = event("x", Direction::Server, &twice);
        let top: Vec<_> = event.top_level().iter().map(|f| f.path.as_str()).collect();
        assert_eq!(top, ["item"]);
    }
}
