//! What clients may put into a conversation or into a response's own input.

use serde_json::Value;
use talkwire_core::dialect::Dialect;
use talkwire_core::wire::{Item, Map};

use crate::conversation::{Conversation, unread};
use crate::error::{Judged, Problem};
use crate::mcp::Approvals;

/// Fields of all items.
const COMMON: &[&str] = &["id", "object", "type", "status"];
/// Fields of the parts of messages.
const PART: &[&str] = &[
    "type",
    "text",
    "audio",
    "transcript",
    "image_url",
    "detail",
    "format",
];

/// Who judges items, by what is there already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ItemRules<'a> {
    pub(crate) talk: &'a Conversation,
    pub(crate) approvals: &'a Approvals,
    pub(crate) dialect: &'a Dialect,
}

impl ItemRules<'_> {
    /// Judges the item of a `conversation.item.create` and completes it. `new_id` is used where the
    /// client chose none.
    pub(crate) fn create(&self, fields: &Map, new_id: impl FnOnce() -> String) -> Judged<Item> {
        let mut item = match fields.get("item") {
            Some(value) if !value.is_null() => self.judge(value, "item")?,
            _ => return Err(Problem::missing("item")),
        };
        if item.kind == "function_call_output" {
            self.judge_call(&item)?;
        }
        if item.kind == "mcp_approval_response" {
            self.approvals.judge(&item)?;
        }
        let id = item.id.take().filter(|id| !id.is_empty());
        let is_taken = |id: &&String| self.talk.find(id).is_some() || *id == "root";
        if let Some(id) = id.as_ref().filter(is_taken) {
            let message = format!("There is an item '{id}' already.");
            return Err(Problem::value("item.id", message));
        }
        item.id = Some(id.unwrap_or_else(new_id));
        if item.kind != "mcp_approval_response" {
            item.object = Some("realtime.item".to_owned());
            item.status = Some("completed".to_owned());
        }
        let parts = item.content.take();
        item.content = parts.map(|parts| parts.into_iter().map(unread).collect());
        Ok(item)
    }

    /// Judges a response's own input: items, and references to items of the conversation.
    pub(crate) fn input(&self, values: &[Value]) -> Judged<Vec<Item>> {
        let one = |(i, value): (usize, &Value)| {
            let path = format!("response.input[{i}]");
            if value["type"] != "item_reference" {
                return self.judge(value, &path);
            }
            let id = match &value["id"] {
                Value::String(id) => id,
                Value::Null => return Err(Problem::missing(format!("{path}.id"))),
                _ => return Err(Problem::kind(format!("{path}.id"), "a string")),
            };
            self.talk.find(id).cloned().ok_or_else(|| {
                let message = format!("Item '{id}' does not exist.");
                Problem::value(format!("{path}.id"), message)
            })
        };
        values.iter().enumerate().map(one).collect()
    }

    fn judge(&self, value: &Value, path: &str) -> Judged<Item> {
        let Value::Object(fields) = value else {
            return Err(Problem::kind(path, "an object"));
        };
        let at = |field: &str| format!("{path}.{field}");
        let mut item: Item = serde_json::from_value(value.clone())
            .map_err(|error| Problem::kind(path, "an item").because(&error.to_string()))?;
        if item.kind.is_empty() {
            // Older clients leave the type of a message out.
            if item.role.is_none() || self.dialect.table().strict {
                return Err(Problem::missing(at("type")));
            }
            item.kind = "message".to_owned();
        }
        let known: &[&str] = match item.kind.as_str() {
            "message" => &["role", "content", "phase"],
            "function_call_output" => &["call_id", "output"],
            "function_call" => &["name", "arguments", "call_id"],
            "mcp_approval_response" => &["approval_request_id", "approve", "reason"],
            _ if !self.dialect.table().strict => return Ok(item),
            other => {
                let message = format!("Invalid value: '{other}' is no type of item.");
                return Err(Problem::value(at("type"), message));
            }
        };
        self.know(fields, &[COMMON, known], path)?;
        match item.kind.as_str() {
            "message" => self.judge_message(&item, fields, path)?,
            "function_call_output" => {
                need(item.call_id.is_some(), || at("call_id"))?;
                need(item.output.is_some(), || at("output"))?;
            }
            "function_call" => need(item.name.is_some(), || at("name"))?,
            _ => {}
        }
        Ok(item)
    }

    fn know(&self, fields: &Map, known: &[&[&str]], path: &str) -> Judged<()> {
        let is_known = |key: &str| known.iter().any(|keys| keys.contains(&key));
        match fields.keys().find(|key| !is_known(key)) {
            Some(key) if self.dialect.table().strict => {
                Err(Problem::unknown(format!("{path}.{key}")))
            }
            _ => Ok(()),
        }
    }

    fn judge_message(&self, item: &Item, fields: &Map, path: &str) -> Judged<()> {
        let allowed = self.parts_of(item.role.as_deref(), &format!("{path}.role"))?;
        let Some(parts) = &item.content else {
            return Err(Problem::missing(format!("{path}.content")));
        };
        let raw = fields.get("content").and_then(Value::as_array);
        let raw = raw.into_iter().flatten().filter_map(Value::as_object);
        for (i, (part, raw)) in parts.iter().zip(raw).enumerate() {
            let path = format!("{path}.content[{i}]");
            if !allowed.contains(&part.kind.as_str()) {
                let message = format!(
                    "Invalid value: '{}'. Supported values are: {}.",
                    part.kind,
                    allowed.join(", ")
                );
                return Err(Problem::value(format!("{path}.type"), message));
            }
            self.know(raw, &[PART], &path)?;
            if part.kind.ends_with("_text") {
                need(part.text.is_some(), || format!("{path}.text"))?;
            }
            if part.kind == "input_image" {
                let is_there = part.extra.contains_key("image_url");
                need(is_there, || format!("{path}.image_url"))?;
            }
        }
        Ok(())
    }

    fn parts_of(&self, role: Option<&str>, path: &str) -> Judged<&'static [&'static str]> {
        match role {
            Some("user") => Ok(&["input_text", "input_audio", "input_image"]),
            Some("system") => Ok(&["input_text"]),
            Some("assistant") if self.dialect.can("assistant_items") => {
                Ok(&["output_text", "output_audio"])
            }
            Some("assistant") => {
                let message = "MessageContentItemOutputText is not supported yet: this server \
                               takes no items of the role assistant.";
                Err(Problem::value(path, message))
            }
            None => Err(Problem::missing(path)),
            Some(other) => {
                let message = format!("Invalid value: '{other}' is no role.");
                Err(Problem::value(path, message))
            }
        }
    }

    fn judge_call(&self, item: &Item) -> Judged<()> {
        let is_call = |known: &Item| known.kind == "function_call" && known.call_id == item.call_id;
        if self.talk.items().any(is_call) {
            return Ok(());
        }
        let call_id = item.call_id.as_deref().unwrap_or_default();
        let message = format!("Tool call ID '{call_id}' not found in conversation.");
        Err(Problem::new("invalid_tool_call_id", message).at("item.call_id"))
    }
}

fn need(is_there: bool, param: impl FnOnce() -> String) -> Judged<()> {
    if is_there {
        return Ok(());
    }
    Err(Problem::missing(param()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Recording;
    use serde_json::json;

    fn with_rules<T>(profile: &str, judge: impl FnOnce(&ItemRules<'_>) -> T) -> T {
        let dialect = Dialect::named(profile).expect("built in");
        let mut talk = Conversation::default();
        let item = Item {
            id: Some("a".to_owned()),
            ..Item::user_text("words")
        };
        talk.push(item, Recording::default());
        judge(&ItemRules {
            talk: &talk,
            approvals: &Approvals::default(),
            dialect: &dialect,
        })
    }

    fn create(item: Value, profile: &str) -> Judged<Item> {
        let mut fields = Map::new();
        fields.insert("item".to_owned(), item);
        with_rules(profile, |rules| rules.create(&fields, || "new".to_owned()))
    }

    #[test]
    fn items_of_clients_are_judged() {
        let user = json!({"type": "message", "role": "user",
            "content": [{"type": "input_text", "text": "hi"}]});
        let made = create(user, "openai").expect("fine");
        assert_eq!(made.id.as_deref(), Some("new"));
        let agent = json!({"type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": "hi"}]});
        assert!(create(agent.clone(), "openai").is_ok());
        assert!(create(agent, "yandex").is_err());
        let message =
            |content: Value| json!({"type": "message", "role": "user", "content": content});
        let cases = [
            (json!(5), "item"),
            (json!({"type": "message", "role": "user"}), "item.content"),
            (json!({"type": "message", "role": 5}), "item.role"),
            (
                message(json!([{"type": "output_text"}])),
                "item.content[0].type",
            ),
            (
                message(json!([{"type": "input_text"}])),
                "item.content[0].text",
            ),
            (
                message(json!([{"type": "input_image"}])),
                "item.content[0].image_url",
            ),
            (
                message(json!([{"type": "input_text", "text": "x", "foo": 1}])),
                "item.content[0].foo",
            ),
            (
                json!({"type": "message", "role": "user", "content": [], "foo": 1}),
                "item.foo",
            ),
            (
                json!({"type": "message", "role": "boss", "content": []}),
                "item.role",
            ),
            (json!({"type": "no.such"}), "item.type"),
            (json!({"type": "function_call"}), "item.name"),
            (
                json!({"type": "function_call_output", "output": "{}"}),
                "item.call_id",
            ),
            (
                json!({"type": "function_call_output", "call_id": "c"}),
                "item.output",
            ),
            (
                json!({"type": "function_call_output", "call_id": "c", "output": "{}"}),
                "item.call_id",
            ),
            (
                json!({"id": "a", "type": "message", "role": "user", "content": []}),
                "item.id",
            ),
        ];
        for (item, param) in cases {
            let problem = create(item, "openai").expect_err(param);
            assert_eq!(problem.param(), Some(param));
        }
        let odd = json!({"role": "user", "content": [], "foo": 1});
        create(odd, "yandex").expect("lenient");
    }

    #[test]
    fn the_input_of_a_response_is_judged_with_its_place() {
        let judge = |input: Value| {
            let input = input.as_array().expect("an array").clone();
            with_rules("openai", |rules| rules.input(&input))
        };
        let own = json!({"type": "message", "role": "user", "content": []});
        let items = judge(json!([{"type": "item_reference", "id": "a"}, own])).expect("fine");
        assert_eq!(items[0].text(), "words");
        let cases = [
            (json!({"type": "item_reference"}), "response.input[1].id"),
            (
                json!({"type": "item_reference", "id": "b"}),
                "response.input[1].id",
            ),
            (
                json!({"type": "message", "role": "boss"}),
                "response.input[1].role",
            ),
            (json!("text"), "response.input[1]"),
        ];
        for (item, param) in cases {
            let problem = judge(json!([own, item])).expect_err(param);
            assert_eq!(problem.param(), Some(param));
        }
    }
}
