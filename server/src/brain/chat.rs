//! A brain that is a language model behind `/chat/completions`.

use serde_json::{Value, json};
use talkwire_core::wire::{Item, Map};

use super::{Answer, AnswerReader, Brain, Piece, Question};
use crate::io::Job;
use crate::sse::Events;
use crate::upstream::Upstream;

const WHO: &str = "brain";
const PATH: &str = "/chat/completions";
/// What a model is told of speech that nobody understood.
const INAUDIBLE: &str = "[inaudible]";
/// What of a wrong answer is repeated.
const QUOTE_CHARS: usize = 80;

/// Asks a language model and gives its answer while it is written.
#[derive(Clone, Debug)]
pub struct ChatBrain {
    upstream: Upstream,
}

impl ChatBrain {
    /// A brain at this server.
    pub fn new(upstream: Upstream) -> Self {
        Self { upstream }
    }

    fn body(&self, question: &Question<'_>) -> Value {
        let mut body = Map::new();
        let mut put = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
        if let Some(model) = &self.upstream.model {
            put("model", json!(model));
        }
        put("messages", Value::Array(messages(question)));
        put("stream", json!(true));
        let tools = tools(question.tools);
        if question.may_call && !tools.is_empty() {
            put("tools", Value::Array(tools));
            put("tool_choice", tool_choice(question.tool_choice));
        }
        if let Some(most) = question.max_tokens {
            put("max_tokens", json!(most));
        }
        body.extend(self.upstream.extra.clone());
        Value::Object(body)
    }
}

impl Brain for ChatBrain {
    fn answer(&mut self, question: &Question<'_>) -> Answer {
        let body = self.body(question).to_string().into_bytes();
        let mut job = self.upstream.post(WHO, PATH, "application/json", body);
        job.is_stream = true;
        Answer::Later(Job::Http(job), Box::new(Reader::new(self.upstream.place())))
    }
}

fn tools(tools: &[Value]) -> Vec<Value> {
    let functions = tools.iter().filter(|tool| tool["type"] == "function");
    let described = functions.map(|tool| {
        let keys = ["name", "description", "parameters", "strict"];
        let fields = keys.into_iter().filter_map(|key| {
            let value = tool.get(key).filter(|value| !value.is_null())?;
            Some((key.to_owned(), value.clone()))
        });
        json!({"type": "function", "function": Map::from_iter(fields)})
    });
    described.collect()
}

fn tool_choice(choice: Option<&Value>) -> Value {
    match choice {
        Some(Value::String(word)) => json!(word),
        Some(choice) if choice["name"].is_string() => {
            json!({"type": "function", "function": {"name": choice["name"]}})
        }
        _ => json!("auto"),
    }
}

/// The conversation as the model reads it. A call stands there together with its output only:
/// models refuse calls that nobody answered.
fn messages(question: &Question<'_>) -> Vec<Value> {
    let mut messages = Vec::new();
    if !question.instructions.is_empty() {
        messages.push(json!({"role": "system", "content": question.instructions}));
    }
    let items = question.items;
    let mut at = 0;
    while at < items.len() {
        let calls = items[at..]
            .iter()
            .take_while(|item| item.kind == "function_call");
        let calls: Vec<&Item> = calls.collect();
        if calls.is_empty() {
            messages.extend(message(&items[at]));
            at += 1;
        } else {
            at += calls.len();
            call(&calls, items, &mut messages);
        }
    }
    messages
}

fn message(item: &Item) -> Option<Value> {
    if item.kind != "message" {
        return None;
    }
    let role = item.role.as_deref()?;
    let text = item.text();
    if !text.is_empty() {
        return Some(json!({"role": role, "content": text}));
    }
    let mut parts = item.content.iter().flatten();
    let is_speech = role == "user" && parts.any(|part| part.kind == "input_audio");
    is_speech.then(|| json!({"role": role, "content": INAUDIBLE}))
}

fn call(calls: &[&Item], items: &[Item], messages: &mut Vec<Value>) {
    let answered = calls.iter().filter_map(|call| {
        let is_output =
            |item: &&Item| item.kind == "function_call_output" && item.call_id == call.call_id;
        let output = items.iter().find(is_output)?;
        Some((call, output.output.as_deref().unwrap_or_default()))
    });
    let answered: Vec<_> = answered.collect();
    if answered.is_empty() {
        return;
    }
    let told = answered.iter().map(|(call, _)| {
        json!({"id": call.call_id, "type": "function", "function": {"name": call.name,
            "arguments": call.arguments}})
    });
    let told: Vec<Value> = told.collect();
    messages.push(json!({"role": "assistant", "content": null, "tool_calls": told}));
    for (call, output) in answered {
        messages.push(json!({"role": "tool", "tool_call_id": call.call_id, "content": output}));
    }
}

/// Reads a streamed completion, or one that came whole although it was not asked for so.
#[derive(Debug)]
struct Reader {
    place: String,
    events: Events,
    /// The bytes of an answer that is no stream.
    whole: Option<Vec<u8>>,
    has_begun: bool,
    /// Index of the call that is being written.
    call: Option<u64>,
    is_complete: bool,
}

impl Reader {
    fn new(place: String) -> Self {
        Self {
            place,
            events: Events::default(),
            whole: None,
            has_begun: false,
            call: None,
            is_complete: false,
        }
    }

    fn failed(&self, why: impl std::fmt::Display) -> String {
        format!("the {WHO} failed: {}: {why}", self.place)
    }

    fn event(&mut self, data: &str, pieces: &mut Vec<Piece>) -> Result<(), String> {
        if data.trim() == "[DONE]" {
            self.is_complete = true;
            return Ok(());
        }
        let chunk = self.json(data)?;
        let choice = &chunk["choices"][0];
        self.message(&choice["delta"], pieces);
        self.ended(choice, pieces);
        Ok(())
    }

    fn json(&self, text: &str) -> Result<Value, String> {
        let value: Value = serde_json::from_str(text).map_err(|_| {
            let quote: String = text.chars().take(QUOTE_CHARS).collect();
            self.failed(format!("expected JSON, found `{quote}`"))
        })?;
        let error = &value["error"];
        if error.is_null() {
            return Ok(value);
        }
        let said = error["message"].as_str().or_else(|| error.as_str());
        Err(self.failed(said.unwrap_or("it reports an error")))
    }

    fn message(&mut self, message: &Value, pieces: &mut Vec<Piece>) {
        let content = message["content"].as_str().unwrap_or_default();
        if !content.is_empty() {
            pieces.push(Piece::Text(content.to_owned()));
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            let name = function["name"].as_str().unwrap_or_default();
            let index = call["index"].as_u64();
            // Who leaves the index out sends calls whole.
            let is_new = match (index, self.call) {
                (Some(index), Some(current)) => index != current,
                (Some(_), None) => true,
                (None, _) => !name.is_empty(),
            };
            if is_new {
                self.call = index.or(Some(u64::MAX));
                pieces.push(Piece::Call {
                    name: name.to_owned(),
                });
            }
            let arguments = match &function["arguments"] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            if !arguments.is_empty() {
                pieces.push(Piece::Arguments(arguments));
            }
        }
    }

    fn ended(&mut self, choice: &Value, pieces: &mut Vec<Piece>) {
        match choice["finish_reason"].as_str() {
            None => return,
            Some("length") => pieces.push(Piece::Cut("max_output_tokens")),
            Some("content_filter") => pieces.push(Piece::Cut("content_filter")),
            Some(_) => {}
        }
        self.is_complete = true;
    }
}

impl AnswerReader for Reader {
    fn read(&mut self, output: &[u8]) -> Result<Vec<Piece>, String> {
        let first = output.iter().find(|byte| !byte.is_ascii_whitespace());
        if let (false, Some(first)) = (self.has_begun, first) {
            self.has_begun = true;
            self.whole = (*first == b'{').then(Vec::new);
        }
        if let Some(whole) = &mut self.whole {
            whole.extend_from_slice(output);
            return Ok(Vec::new());
        }
        let mut pieces = Vec::new();
        for data in self.events.push(output).map_err(|why| self.failed(why))? {
            self.event(&data, &mut pieces)?;
        }
        Ok(pieces)
    }

    fn end(&mut self) -> Result<Vec<Piece>, String> {
        let mut pieces = Vec::new();
        if let Some(whole) = self.whole.take() {
            let answer = self.json(&String::from_utf8_lossy(&whole))?;
            let choice = &answer["choices"][0];
            self.message(&choice["message"], &mut pieces);
            self.is_complete = choice["message"].is_object();
            self.ended(choice, &mut pieces);
        } else if let Some(data) = self.events.finish().map_err(|why| self.failed(why))? {
            self.event(&data, &mut pieces)?;
        }
        if !self.is_complete {
            return Err(self.failed("the answer breaks off before its end"));
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkwire_core::net::http;

    fn read(text: &str, size: usize) -> Result<Vec<Piece>, String> {
        let mut reader = Reader::new("h:1".to_owned());
        let mut pieces = Vec::new();
        for output in text.as_bytes().chunks(size) {
            pieces.extend(reader.read(output)?);
        }
        pieces.extend(reader.end()?);
        Ok(pieces)
    }

    fn data(values: &[Value]) -> String {
        values
            .iter()
            .map(|value| format!("data: {value}\n\n"))
            .collect()
    }

    fn delta(delta: Value) -> Value {
        json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
    }

    fn end(reason: &str) -> Value {
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    }

    fn function(name: &str) -> Piece {
        let name = name.to_owned();
        Piece::Call { name }
    }

    #[test]
    fn text_and_calls_are_read_as_they_are_streamed() {
        let call = |index: u64, function: Value| {
            delta(json!({"tool_calls": [{"index": index, "function": function}]}))
        };
        let text = data(&[
            delta(json!({"role": "assistant", "content": ""})),
            delta(json!({"content": "При"})),
            delta(json!({"content": "вет"})),
            call(0, json!({"name": "f", "arguments": ""})),
            call(0, json!({"arguments": "{\"a\""})),
            call(0, json!({"arguments": ":1}"})),
            call(1, json!({"name": "g", "arguments": "{}"})),
            end("tool_calls"),
            json!({"choices": [], "usage": {"total_tokens": 3}}),
        ]);
        let expected = [
            Piece::Text("При".to_owned()),
            Piece::Text("вет".to_owned()),
            function("f"),
            Piece::Arguments("{\"a\"".to_owned()),
            Piece::Arguments(":1}".to_owned()),
            function("g"),
            Piece::Arguments("{}".to_owned()),
        ];
        for size in [1, 10, 10_000] {
            let text = format!("{text}data: [DONE]\n\n");
            assert_eq!(read(&text, size).expect("reads"), expected);
        }
    }

    #[test]
    fn an_answer_that_is_no_stream_and_one_that_is_cut_are_read_too() {
        let whole = json!({"choices": [{"finish_reason": "length", "message": {"content": "Hi",
            "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}}]});
        let expected = [
            Piece::Text("Hi".to_owned()),
            function("f"),
            Piece::Arguments("{\"a\":1}".to_owned()),
            Piece::Cut("max_output_tokens"),
        ];
        assert_eq!(read(&whole.to_string(), 7).expect("reads"), expected);
        let filtered = read(&data(&[end("content_filter")]), 100).expect("reads");
        assert_eq!(filtered, [Piece::Cut("content_filter")]);
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_said() {
        let text = data(&[delta(json!({"content": "Hi"}))]);
        for (text, part) in [
            (text, "breaks off"),
            (String::new(), "breaks off"),
            ("data: {nonsense\n\n".to_owned(), "`{nonsense`"),
            ("{nonsense".to_owned(), "`{nonsense`"),
            ("<html>".to_owned(), "breaks off"),
            (data(&[json!({"error": {"message": "no GPU"}})]), "no GPU"),
            (json!({"error": "no model"}).to_string(), "no model"),
        ] {
            let error = read(&text, 1000).expect_err(&text);
            assert!(error.contains("brain") && error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_conversation_becomes_messages_and_tools_functions() {
        let client = http::Client::usual().expect("a configuration");
        let mut upstream = Upstream::new("http://h/v1", client).expect("a URL");
        upstream.model = Some("m".to_owned());
        upstream.extra.insert("temperature".to_owned(), json!(0));
        let call = |id: &str| Item {
            kind: "function_call".to_owned(),
            call_id: Some(id.to_owned()),
            name: Some("f".to_owned()),
            arguments: Some("{}".to_owned()),
            ..Item::default()
        };
        let mut silence = Item::user_text("");
        silence.content.as_mut().expect("parts")[0].kind = "input_audio".to_owned();
        let items = [
            Item::user_text("What is the weather?"),
            Item::assistant_text("One mo"),
            call("c1"),
            call("c2"),
            silence,
            Item::function_call_output("c2", "rain"),
        ];
        let tools = [
            json!({"type": "function", "name": "f", "parameters": {"type": "object"}}),
            json!({"type": "mcp", "server_label": "x"}),
        ];
        let choice = json!({"type": "function", "name": "f"});
        let question = Question {
            instructions: "Be brief.",
            items: &items,
            may_call: true,
            tools: &tools,
            tool_choice: Some(&choice),
            max_tokens: Some(9),
            ..Question::default()
        };
        let body = ChatBrain::new(upstream).body(&question);
        let function = json!({"name": "f", "parameters": {"type": "object"}});
        let expected = json!({
            "model": "m", "stream": true, "temperature": 0, "max_tokens": 9,
            "tools": [{"type": "function", "function": function}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is the weather?"},
                {"role": "assistant", "content": "One mo"},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "c2",
                    "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c2", "content": "rain"},
                {"role": "user", "content": "[inaudible]"},
            ],
        });
        assert_eq!(body, expected);
    }
}
