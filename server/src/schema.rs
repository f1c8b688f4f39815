//! Which fields a session and a response have and what they take, as a table.

use serde_json::Value;
use talkwire_core::dialect::{Dialect, Range};
use talkwire_core::wire::{Map, session};

use crate::error::{Judged, Problem};

/// What a field takes. A null where [`Rule::OrNull`] does not allow it reads as "not said": strict
/// clients of other languages write out every field they know.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    Any,
    Text,
    Bool,
    Number(f64, f64),
    Count(u64, u64),
    Choice(&'static [&'static str]),
    TextList,
    Object(&'static [Field]),
    OrNull(&'static Self),
    /// One modality, or both where the dialect can.
    Modalities,
    /// A sample format the dialect takes.
    Format,
    /// A voice's name, `{id}` or `{name, ...}`.
    Voice,
    /// A number up to the dialect's limit, or `inf`.
    Tokens,
    Tools,
    ToolChoice,
    /// How fast the agent speaks.
    Speed,
}

/// A field; `cap` names the ability a dialect needs to have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) rule: Rule,
    pub(crate) cap: Option<&'static str>,
}

const fn field(name: &'static str, rule: Rule) -> Field {
    Field {
        name,
        rule,
        cap: None,
    }
}

const fn ability(name: &'static str, rule: Rule, cap: &'static str) -> Field {
    Field {
        name,
        rule,
        cap: Some(cap),
    }
}

const DAY_MS: u64 = 86_400_000;

const TURN_DETECTION: &[Field] = &[
    field("type", Rule::Choice(&["server_vad", "semantic_vad"])),
    field("threshold", Rule::Number(0.0, 1.0)),
    field("prefix_padding_ms", Rule::Count(0, 10_000)),
    field("silence_duration_ms", Rule::Count(0, 60_000)),
    field("create_response", Rule::Bool),
    field("interrupt_response", Rule::Bool),
    field("idle_timeout_ms", Rule::OrNull(&Rule::Count(0, DAY_MS))),
    field(
        "eagerness",
        Rule::Choice(&["low", "medium", "high", "auto"]),
    ),
];

const TRANSCRIBE: Rule = Rule::Object(&[
    field("model", Rule::Text),
    field("language", Rule::OrNull(&Rule::Text)),
    field("prompt", Rule::OrNull(&Rule::Text)),
    field("delay", Rule::Any),
    field("include", Rule::Any),
]);

const INPUT: &[Field] = &[
    field("format", Rule::Format),
    field("transcription", Rule::OrNull(&TRANSCRIBE)),
    field("noise_reduction", Rule::OrNull(&Rule::Any)),
    field(
        "turn_detection",
        Rule::OrNull(&Rule::Object(TURN_DETECTION)),
    ),
    ability("languages", Rule::TextList, "languages"),
];

const OUTPUT: &[Field] = &[
    field("format", Rule::Format),
    field("voice", Rule::Voice),
    field("speed", Rule::Speed),
    ability("role", Rule::OrNull(&Rule::Text), "voice_roles"),
    ability("pitch_shift", Rule::Number(-1000.0, 1000.0), "voice_roles"),
];

/// Fields of `session.update`.
pub(crate) const SESSION: &[Field] = &[
    field("type", Rule::Choice(&["realtime"])),
    field("model", Rule::Text),
    field("output_modalities", Rule::Modalities),
    field("instructions", Rule::Text),
    field(
        "audio",
        Rule::Object(&[
            field("input", Rule::Object(INPUT)),
            field("output", Rule::Object(OUTPUT)),
        ]),
    ),
    field("tools", Rule::Tools),
    field("tool_choice", Rule::ToolChoice),
    field("max_output_tokens", Rule::Tokens),
    field("truncation", Rule::Any),
    field("parallel_tool_calls", Rule::Bool),
    field("reasoning", Rule::OrNull(&Rule::Any)),
    field("prompt", Rule::OrNull(&Rule::Any)),
    field("tracing", Rule::OrNull(&Rule::Any)),
    field("include", Rule::OrNull(&Rule::TextList)),
    ability("temperature", Rule::Number(0.0, 2.0), "temperature"),
];

/// Fields of `session.update` in a session that only transcribes.
pub(crate) const TRANSCRIPTION: &[Field] = &[
    field("type", Rule::Choice(&["transcription"])),
    field(
        "audio",
        Rule::Object(&[field("input", Rule::Object(INPUT))]),
    ),
    field("include", Rule::OrNull(&Rule::TextList)),
];

/// Fields of `response.create`.
pub(crate) const RESPONSE: &[Field] = &[
    field("output_modalities", Rule::Modalities),
    field("instructions", Rule::Text),
    field(
        "audio",
        Rule::Object(&[field("output", Rule::Object(OUTPUT))]),
    ),
    field("tools", Rule::Tools),
    field("tool_choice", Rule::ToolChoice),
    field("max_output_tokens", Rule::Tokens),
    field("conversation", Rule::Choice(&["auto", "none"])),
    field("input", Rule::Any),
    field("metadata", Rule::OrNull(&Rule::Any)),
    field("prompt", Rule::OrNull(&Rule::Any)),
    field("parallel_tool_calls", Rule::Bool),
    field("reasoning", Rule::OrNull(&Rule::Any)),
    ability("temperature", Rule::Number(0.0, 2.0), "temperature"),
];

/// Judges an object and returns what is to be taken over from it. A strict dialect refuses unknown
/// fields, others leave them out.
pub(crate) fn judge(object: &Map, fields: &[Field], path: &str, dialect: &Dialect) -> Judged<Map> {
    let known = |key: &String| {
        let is_it = |f: &&Field| f.name == key && f.cap.is_none_or(|cap| dialect.can(cap));
        fields.iter().find(is_it)
    };
    // A field that should not be there says more than a wrong value of one that may.
    if let Some(key) = object
        .keys()
        .find(|key| dialect.table().strict && known(key).is_none())
    {
        return Err(Problem::unknown(format!("{path}.{key}")));
    }
    let mut clean = Map::new();
    for (key, value) in object {
        let Some(field) = known(key) else { continue };
        let path = format!("{path}.{key}");
        if let Some(value) = judge_value(value, field.rule, &path, dialect)? {
            clean.insert(key.clone(), value);
        }
    }
    Ok(clean)
}

/// Judges a value; `None` means "not said".
fn judge_value(value: &Value, rule: Rule, path: &str, dialect: &Dialect) -> Judged<Option<Value>> {
    if let Rule::OrNull(inner) = rule {
        return match value {
            Value::Null => Ok(Some(Value::Null)),
            _ => judge_value(value, *inner, path, dialect),
        };
    }
    if value.is_null() {
        return Ok(None);
    }
    match rule {
        Rule::Any | Rule::OrNull(_) => {}
        Rule::Text => need(value.is_string(), path, "a string")?,
        Rule::Bool => need(value.is_boolean(), path, "a boolean")?,
        Rule::Number(from, to) => judge_number(value, from, to, path)?,
        Rule::Count(from, to) => judge_count(value, from, to, path)?,
        Rule::Choice(names) => judge_choice(value, names, path)?,
        Rule::TextList => {
            let texts = value.as_array().map(|all| all.iter().all(Value::is_string));
            need(texts == Some(true), path, "an array of strings")?;
        }
        Rule::Object(fields) => {
            let object = value
                .as_object()
                .ok_or_else(|| Problem::kind(path, "an object"))?;
            return judge(object, fields, path, dialect).map(|map| Some(Value::Object(map)));
        }
        Rule::Modalities => judge_modalities(value, path, dialect)?,
        Rule::Format => return judge_format(value, path, dialect).map(Some),
        Rule::Voice => judge_voice(value, path, dialect)?,
        Rule::Speed => {
            let most = if dialect.table().strict { 1.5 } else { 2.0 };
            judge_number(value, 0.25, most, path)?;
        }
        Rule::Tokens => judge_tokens(value, path, dialect)?,
        Rule::Tools => judge_tools(value, path, dialect)?,
        Rule::ToolChoice => judge_tool_choice(value, path)?,
    }
    Ok(Some(value.clone()))
}

fn need(holds: bool, path: &str, expected: &str) -> Judged<()> {
    if holds {
        return Ok(());
    }
    Err(Problem::kind(path, expected))
}

fn judge_number(value: &Value, from: f64, to: f64, path: &str) -> Judged<()> {
    let number = value
        .as_f64()
        .ok_or_else(|| Problem::kind(path, "a number"))?;
    if (from..=to).contains(&number) {
        return Ok(());
    }
    let message = format!("Invalid '{path}': {number} is not between {from} and {to}.");
    Err(Problem::value(path, message))
}

fn judge_count(value: &Value, from: u64, to: u64, path: &str) -> Judged<()> {
    let Some(number) = value.as_u64() else {
        if value.is_number() {
            let message = format!("Invalid '{path}': {value} is no whole number from {from}.");
            return Err(Problem::value(path, message));
        }
        return Err(Problem::kind(path, "an integer"));
    };
    judge_number(&Value::from(number), from as f64, to as f64, path)
}

fn judge_choice(value: &Value, names: &[&str], path: &str) -> Judged<()> {
    let name = value
        .as_str()
        .ok_or_else(|| Problem::kind(path, "a string"))?;
    if names.contains(&name) {
        return Ok(());
    }
    let names = names.join(", ");
    let message = format!("Invalid value: '{name}'. Supported values are: {names}.");
    Err(Problem::value(path, message))
}

fn judge_modalities(value: &Value, path: &str, dialect: &Dialect) -> Judged<()> {
    let list = value
        .as_array()
        .ok_or_else(|| Problem::kind(path, "an array"))?;
    for name in list {
        judge_choice(name, &["text", "audio"], path)?;
    }
    let most = if dialect.can("both_modalities") { 2 } else { 1 };
    if (1..=most).contains(&list.len()) {
        return Ok(());
    }
    let message = format!("Invalid '{path}': {value}. Supported are ['text'] and ['audio'].");
    Err(Problem::value(path, message))
}

fn judge_format(value: &Value, path: &str, dialect: &Dialect) -> Judged<Value> {
    let kind = match value.get("type") {
        Some(Value::String(kind)) => kind,
        Some(_) => return Err(Problem::kind(format!("{path}.type"), "a string")),
        None if value.is_object() => return Err(Problem::missing(format!("{path}.type"))),
        None => return Err(Problem::kind(path, "an object")),
    };
    let rules: Vec<_> = dialect
        .table()
        .formats
        .iter()
        .filter(|rule| rule.kind == *kind)
        .collect();
    if rules.is_empty() {
        let message = format!("Invalid value: '{kind}' is no format this server takes.");
        return Err(Problem::value(format!("{path}.type"), message));
    }
    let ranges: Vec<_> = rules.iter().filter_map(|rule| rule.rates_hz).collect();
    if ranges.is_empty() {
        return Ok(serde_json::json!({"type": kind}));
    }
    let defaults = &dialect.table().defaults;
    let default_hz = if path.contains(".input.") {
        defaults.input_rate_hz
    } else {
        defaults.output_rate_hz
    };
    let rate = match value.get("rate") {
        None | Some(Value::Null) => u64::from(default_hz),
        Some(rate) => rate
            .as_u64()
            .ok_or_else(|| Problem::kind(format!("{path}.rate"), "an integer"))?,
    };
    let takes = |range: &Range| (u64::from(range.from)..=u64::from(range.to)).contains(&rate);
    if !ranges.iter().any(takes) {
        let ranges = ranges.iter().map(|range| match range {
            Range { from, to } if from == to => from.to_string(),
            Range { from, to } => format!("{from} to {to}"),
        });
        let ranges = ranges.collect::<Vec<_>>().join(", ");
        let message = format!("Invalid value: {rate}. Rates of {ranges} Hz are taken.");
        return Err(Problem::value(format!("{path}.rate"), message));
    }
    Ok(serde_json::json!({"type": kind, "rate": rate}))
}

fn judge_tokens(value: &Value, path: &str, dialect: &Dialect) -> Judged<()> {
    match value {
        Value::String(text) if text == "inf" => Ok(()),
        Value::Number(_) => judge_count(
            value,
            1,
            u64::from(dialect.table().limits.output_tokens),
            path,
        ),
        _ => Err(Problem::kind(path, "an integer or 'inf'")),
    }
}

/// A voice of one's own is an object; the names of the others are known.
fn judge_voice(value: &Value, path: &str, dialect: &Dialect) -> Judged<()> {
    need(
        value.is_string() || ["id", "name"].iter().any(|key| value[key].is_string()),
        path,
        "a string or an object with an id or a name",
    )?;
    let voices = &dialect.table().voices;
    match value.as_str() {
        Some(name) if dialect.table().strict && !voices.is_empty() => {
            let names: Vec<_> = voices.keys().map(String::as_str).collect();
            judge_choice(&Value::from(name), &names, path)
        }
        _ => Ok(()),
    }
}

/// Longest name of a function.
const MAX_NAME: usize = 64;

fn judge_name(name: &str, path: &str) -> Judged<()> {
    let may_be = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.len() <= MAX_NAME && name.chars().all(may_be) {
        return Ok(());
    }
    let message = format!(
        "Invalid '{path}': a name has at most {MAX_NAME} of the characters a-z, A-Z, 0-9, _ and -."
    );
    Err(Problem::value(path, message))
}

fn judge_tools(value: &Value, path: &str, dialect: &Dialect) -> Judged<()> {
    let tools = value
        .as_array()
        .ok_or_else(|| Problem::kind(path, "an array"))?;
    for (i, tool) in tools.iter().enumerate() {
        let path = format!("{path}[{i}]");
        let kind = tool
            .get("type")
            .ok_or_else(|| Problem::missing(format!("{path}.type")))?;
        judge_choice(kind, &["function", "mcp"], &format!("{path}.type"))?;
        let name = if kind == "mcp" {
            "server_label"
        } else {
            "name"
        };
        match tool.get(name) {
            Some(Value::String(name)) if !name.is_empty() => {
                if kind == "function" && dialect.table().strict {
                    judge_name(name, &format!("{path}.name"))?;
                }
            }
            Some(Value::String(_)) | None => {
                return Err(Problem::missing(format!("{path}.{name}")));
            }
            Some(_) => return Err(Problem::kind(format!("{path}.{name}"), "a string")),
        }
    }
    Ok(())
}

fn judge_tool_choice(value: &Value, path: &str) -> Judged<()> {
    if value.is_object() {
        let kind = value
            .get("type")
            .ok_or_else(|| Problem::missing(format!("{path}.type")))?;
        return judge_choice(kind, &["function", "mcp"], &format!("{path}.type"));
    }
    judge_choice(value, &["auto", "none", "required"], path)
}

/// Removes from `session` what a patch replaces as a whole, so that merging does not leave fields
/// of the old value in the new one.
pub(crate) fn make_room(session: &mut Map, patch: &Map, pointers: &[&str]) {
    let patch = talkwire_core::wire::Session(patch.clone());
    for pointer in pointers {
        if patch.pointer(pointer).is_some() {
            session::put(session, pointer, Value::Null);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(patch: Value, profile: &str) -> Judged<Value> {
        let dialect = Dialect::named(profile).expect("built in");
        let patch = patch.as_object().expect("an object");
        judge(patch, SESSION, "session", &dialect).map(Value::Object)
    }

    #[test]
    fn each_wrong_field_is_named_with_its_path() {
        let cases = [
            (json!({"foo": 1}), "unknown_parameter", "session.foo"),
            (
                json!({"audio": {"output": {"role": "good"}}}),
                "unknown_parameter",
                "session.audio.output.role",
            ),
            (
                json!({"instructions": 5}),
                "invalid_type",
                "session.instructions",
            ),
            (
                json!({"output_modalities": ["text", "audio"]}),
                "invalid_value",
                "session.output_modalities",
            ),
            (
                json!({"output_modalities": ["smell"]}),
                "invalid_value",
                "session.output_modalities",
            ),
            (
                json!({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 8000}}}}),
                "invalid_value",
                "session.audio.input.format.rate",
            ),
            (
                json!({"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 1.5}}}}),
                "invalid_value",
                "session.audio.input.turn_detection.threshold",
            ),
            (
                json!({"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": -1}}}}),
                "invalid_value",
                "session.audio.input.turn_detection.silence_duration_ms",
            ),
            (
                json!({"max_output_tokens": 0}),
                "invalid_value",
                "session.max_output_tokens",
            ),
            (
                json!({"tools": [{"name": "f"}]}),
                "missing_required_parameter",
                "session.tools[0].type",
            ),
            (
                json!({"tools": [{"type": "function"}]}),
                "missing_required_parameter",
                "session.tools[0].name",
            ),
            (
                json!({"tool_choice": "maybe"}),
                "invalid_value",
                "session.tool_choice",
            ),
            (
                json!({"tools": [{"type": "function", "name": "what now?"}]}),
                "invalid_value",
                "session.tools[0].name",
            ),
            (
                json!({"audio": {"output": {"voice": "nobody"}}}),
                "invalid_value",
                "session.audio.output.voice",
            ),
            (
                json!({"audio": {"output": {"speed": 1.6}}}),
                "invalid_value",
                "session.audio.output.speed",
            ),
        ];
        for (patch, code, param) in cases {
            let problem = check(patch, "openai").expect_err(param);
            assert_eq!((problem.code(), problem.param()), (code, Some(param)));
        }
    }

    #[test]
    fn a_lenient_dialect_leaves_unknown_fields_out_and_takes_its_own() {
        let patch = json!({"foo": 1, "audio": {"output": {"role": "good", "format":
            {"type": "audio/pcm", "rate": 8000}}, "input": {"languages": ["ru-RU"]}}});
        let clean = check(patch, "yandex").expect("fine");
        assert!(clean.get("foo").is_none());
        assert_eq!(clean["audio"]["output"]["role"], "good");
        assert_eq!(clean["audio"]["output"]["format"]["rate"], 8000);
    }

    #[test]
    fn a_voice_of_ones_own_needs_no_known_name() {
        let patch = json!({"audio": {"output": {"voice": {"id": "voice_1"}, "speed": 0.25}}});
        assert_eq!(check(patch.clone(), "openai").expect("fine"), patch);
        let patch = json!({"audio": {"output": {"voice": "nobody", "speed": 2.0}}});
        assert_eq!(check(patch.clone(), "yandex").expect("fine"), patch);
    }

    #[test]
    fn a_null_clears_where_it_may_and_is_not_said_elsewhere() {
        let patch = json!({"instructions": null, "audio": {"input": {"turn_detection": null}}});
        let clean = check(patch, "openai").expect("fine");
        assert_eq!(clean, json!({"audio": {"input": {"turn_detection": null}}}));
    }

    #[test]
    fn a_format_without_a_rate_gets_the_default_of_its_direction() {
        let pcm = json!({"type": "audio/pcm", "rate": null});
        let patch = json!({"audio": {"input": {"format": pcm}, "output": {"format": pcm}}});
        let clean = check(patch, "yandex").expect("fine");
        assert_eq!(clean["audio"]["input"]["format"]["rate"], 24_000);
        assert_eq!(clean["audio"]["output"]["format"]["rate"], 44_100);
    }
}
