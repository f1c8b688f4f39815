//! The model's window: what of the conversation a response reads, and how much of it was read before.

use serde_json::Value;

use crate::conversation::Conversation;
use crate::error::{Judged, Problem};
use crate::settings::Settings;
use crate::usage::{Read, Tokens};

/// What is to happen to a conversation that outgrows the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Truncation {
    /// The oldest items are left out until the rest fits.
    Auto,
    /// A response is refused.
    Disabled,
    /// The oldest items are left out until this part of the window is used, so that the next
    /// responses find the same beginning again.
    Retain(f64),
}

/// What the last response read, for the count of tokens that need not be read again.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    instructions: Option<String>,
    items: Vec<(String, Tokens)>,
}

impl Cache {
    /// Takes what a response reads and returns how much of its beginning is known.
    fn read(&mut self, instructions: &str, items: Vec<(String, Tokens)>) -> Tokens {
        let mut known = Tokens::default();
        if self.instructions.as_deref() == Some(instructions) {
            known.text = Tokens::of_text(instructions);
            let same = self.items.iter().zip(&items).take_while(|(a, b)| a == b);
            known = same.fold(known, |all, ((_, tokens), _)| all + *tokens);
        }
        self.instructions = Some(instructions.to_owned());
        self.items = items;
        known
    }
}

/// Makes the conversation fit the window and counts what a response with these settings reads.
pub(crate) fn read(
    talk: &mut Conversation,
    settings: &Settings,
    cache: &mut Cache,
) -> Judged<Read> {
    let instructions = Tokens::of_text(settings.instructions());
    let window = settings.window_tokens().saturating_sub(instructions);
    let asked = settings.echo("/truncation/token_limits/post_instructions");
    let limit = asked.as_u64().map_or(window, |asked| asked.min(window));
    let total = talk.context_tokens().all();
    if total > limit {
        match settings.truncation() {
            Truncation::Auto => talk.forget_oldest(limit),
            Truncation::Retain(ratio) => talk.forget_oldest((limit as f64 * ratio) as u64),
            Truncation::Disabled => {
                let message = format!(
                    "The conversation has {total} tokens and the response may read {limit}: \
                     delete items or set `truncation`."
                );
                return Err(Problem::new("context_length_exceeded", message));
            }
        }
    }
    let items = talk.context_sizes();
    let all = items.iter().fold(Tokens::default(), |all, (_, t)| all + *t);
    let cached = cache.read(settings.instructions(), items);
    let text = all.text + instructions;
    let all = Tokens { text, ..all };
    Ok(Read { all, cached })
}

/// Judges a `truncation` and its limits.
pub(crate) fn judge_truncation(value: &Value, path: &str) -> Judged<()> {
    let wrong = |field: &str, expected: &str| {
        let message = format!("Invalid '{path}{field}': expected {expected}.");
        Err(Problem::value(format!("{path}{field}"), message))
    };
    match value {
        Value::Null => return Ok(()),
        Value::String(name) if name == "auto" || name == "disabled" => return Ok(()),
        Value::String(_) => return wrong("", "'auto', 'disabled' or an object"),
        Value::Object(_) => {}
        _ => return Err(Problem::kind(path, "a string or an object")),
    }
    if value["type"] != "retention_ratio" {
        return wrong(".type", "'retention_ratio'");
    }
    match &value["retention_ratio"] {
        Value::Null => return Err(Problem::missing(format!("{path}.retention_ratio"))),
        ratio if ratio.as_f64().is_some_and(|r| (0.0..=1.0).contains(&r)) => {}
        _ => return wrong(".retention_ratio", "a number from 0 to 1"),
    }
    let post = &value["token_limits"]["post_instructions"];
    if post.is_null() || post.is_u64() {
        return Ok(());
    }
    wrong(
        ".token_limits.post_instructions",
        "an integer of at least 0",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Recording;
    use crate::settings::Circumstances;
    use serde_json::json;
    use talkwire_core::dialect::Dialect;
    use talkwire_core::wire::Item;

    fn settings(truncation: Value) -> Settings {
        let dialect = Dialect::named("openai").expect("built in");
        let mut settings = Settings::new(dialect, "sess_1", "m", 1);
        let patch =
            json!({"type": "realtime", "instructions": "12345678", "truncation": truncation});
        let patch = patch.as_object().expect("an object");
        settings
            .update(patch, Circumstances::default())
            .expect("fine");
        settings
    }

    /// Items of ten tokens each.
    fn talk(items: usize) -> Conversation {
        let mut talk = Conversation::default();
        for n in 0..items {
            let item = Item {
                id: Some(n.to_string()),
                ..Item::user_text("x".repeat(40))
            };
            talk.push(item, Recording::default());
        }
        talk
    }

    fn limited(kind: &str, ratio: f64, limit: u64) -> Value {
        json!({"type": kind, "retention_ratio": ratio, "token_limits": {"post_instructions": limit}})
    }

    #[test]
    fn the_oldest_items_make_room_as_the_settings_say() {
        let cases = [
            (limited("retention_ratio", 1.0, 45), 40),
            (limited("retention_ratio", 0.5, 45), 20),
        ];
        for (truncation, left) in cases {
            let (mut talk, mut cache) = (talk(10), Cache::default());
            let read = read(&mut talk, &settings(truncation), &mut cache).expect("fits");
            assert_eq!(read.all.text, left + 2);
            assert_eq!(talk.items().count(), 10, "clients can still retrieve them");
        }
        let (mut long, mut cache) = (talk(3_000), Cache::default());
        let all = read(&mut long, &settings(json!("auto")), &mut cache)
            .expect("fits")
            .all;
        assert!((27_000..=28_000).contains(&all.text), "{all:?}");
        let mut long = talk(3_000);
        let problem = read(&mut long, &settings(json!("disabled")), &mut cache).expect_err("full");
        assert_eq!(problem.code(), "context_length_exceeded");
    }

    #[test]
    fn the_same_beginning_is_read_once() {
        let (mut talk, mut cache) = (talk(2), Cache::default());
        let settings = settings(json!("auto"));
        let mut next = |talk: &mut Conversation| {
            read(talk, &settings, &mut cache)
                .expect("fits")
                .cached
                .all()
        };
        assert_eq!(next(&mut talk), 0);
        talk.push(Item::user_text("more"), Recording::default());
        assert_eq!(next(&mut talk), 22);
        talk.remove("0").expect("there");
        assert_eq!(next(&mut talk), 2);
    }

    #[test]
    fn a_truncation_is_judged_field_by_field() {
        let cases = [
            (json!("never"), "session.truncation"),
            (json!(5), "session.truncation"),
            (json!({"type": "x"}), "session.truncation.type"),
            (
                json!({"type": "retention_ratio"}),
                "session.truncation.retention_ratio",
            ),
            (
                limited("retention_ratio", 1.5, 1),
                "session.truncation.retention_ratio",
            ),
            (
                json!({"type": "retention_ratio", "retention_ratio": 1,
                    "token_limits": {"post_instructions": -1}}),
                "session.truncation.token_limits.post_instructions",
            ),
        ];
        for (value, param) in cases {
            let problem = judge_truncation(&value, "session.truncation").expect_err(param);
            assert_eq!(problem.param(), Some(param));
        }
        judge_truncation(&json!("disabled"), "p").expect("fine");
    }
}
