//! Conditions over bound values and over everything that was observed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ast::{Assertion, Op, Select, Stream, Term};
use super::base64;
use super::value::{Bindings, same, shorten};

/// An event as it was observed.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Where.
    pub stream: Stream,
    /// The event.
    pub event: Value,
}

/// What a condition can see.
pub struct Evidence<'a> {
    /// All events so far, also those no line has taken yet.
    pub log: &'a [Logged],
    /// Marks: index of the first event after each.
    pub marks: &'a BTreeMap<String, usize>,
    /// The variables.
    pub bindings: &'a Bindings,
    /// The text the client keeps for an item.
    pub line: &'a mut dyn FnMut(&str) -> Result<Option<String>, String>,
}

impl Evidence<'_> {
    /// Whether the condition holds; the error says why not.
    pub fn check(&mut self, assertion: &Assertion) -> Result<(), String> {
        match assertion {
            Assertion::None(select) => match self.find(select).first() {
                Some(index) => Err(format!("there is one: {}", self.show(*index))),
                None => Ok(()),
            },
            Assertion::Before(first, second) => self.before(first, second),
            Assertion::IsJson(name) => self.is_json(name),
            Assertion::Chain(terms, ops) => self.chain(terms, ops),
        }
    }

    fn show(&self, index: usize) -> String {
        shorten(&self.log[index].event.to_string())
    }

    fn find(&self, select: &Select) -> Vec<usize> {
        let mark = |name: &Option<String>| name.as_ref().and_then(|name| self.marks.get(name));
        let from = mark(&select.since).copied().unwrap_or(0);
        let to = mark(&select.until).copied().unwrap_or(self.log.len());
        (from..to.min(self.log.len()))
            .filter(|index| self.is_meant(select, *index))
            .collect()
    }

    fn is_meant(&self, select: &Select, index: usize) -> bool {
        let logged = &self.log[index];
        let kind = logged.event.get("type").and_then(Value::as_str);
        logged.stream == select.stream
            && select
                .name
                .as_ref()
                .is_none_or(|name| kind == Some(name.text.as_str()))
            && self.bindings.fits(&select.pattern, &logged.event)
    }

    fn before(&self, first: &Select, second: &Select) -> Result<(), String> {
        match (self.find(first).first(), self.find(second).first()) {
            (Some(one), Some(two)) if one < two => Ok(()),
            (None, _) => Err(format!("`{first}` was never observed")),
            (_, None) => Err(format!("`{second}` was never observed")),
            (Some(one), Some(_)) => Err(format!("`{second}` came before {}", self.show(*one))),
        }
    }

    fn is_json(&self, name: &str) -> Result<(), String> {
        let Some(Value::String(text)) = self.bindings.value(name) else {
            return Err(format!("${name} is not bound to a text"));
        };
        serde_json::from_str::<Value>(unfence(&text))
            .map(|_| ())
            .map_err(|error| format!("{error} in {}", shorten(&text)))
    }

    fn chain(&mut self, terms: &[Term], ops: &[Op]) -> Result<(), String> {
        let values = terms
            .iter()
            .map(|term| self.term(term))
            .collect::<Result<Vec<_>, _>>()?;
        for (pair, op) in values.windows(2).zip(ops) {
            let [left, right] = pair else { continue };
            if !holds(*op, left, right) {
                let [left, right] = [left, right].map(|value| shorten(&value.to_string()));
                return Err(format!("{left} {} {right} does not hold", op.sign()));
            }
        }
        Ok(())
    }

    fn term(&mut self, term: &Term) -> Result<Value, String> {
        match term {
            Term::Literal(value) => Ok(value.clone()),
            Term::Var(name) => self.value(name),
            Term::Count(select) => Ok(json!(self.find(select).len())),
            Term::Length(name) => Ok(json!(self.text(name)?.chars().count())),
            Term::PcmBytes(name) => self.pcm_bytes(name),
            Term::Line(name) => {
                let item = self.text(name)?;
                Ok((self.line)(&item)?.map_or(Value::Null, Value::String))
            }
            Term::Plus(left, right) => Ok(json!(self.number(left)? + self.number(right)?)),
            Term::Minus(left, right) => Ok(json!(self.number(left)? - self.number(right)?)),
        }
    }

    fn value(&self, name: &str) -> Result<Value, String> {
        self.bindings
            .value(name)
            .ok_or_else(|| format!("${name} is not bound"))
    }

    fn text(&self, name: &str) -> Result<String, String> {
        match self.value(name)? {
            Value::String(text) => Ok(text),
            other => Err(format!(
                "${name} is not a text but {}",
                shorten(&other.to_string())
            )),
        }
    }

    fn number(&mut self, term: &Term) -> Result<f64, String> {
        let value = self.term(term)?;
        value
            .as_f64()
            .ok_or_else(|| format!("{term} is not a number but {value}"))
    }

    fn pcm_bytes(&self, name: &str) -> Result<Value, String> {
        let pieces = self
            .bindings
            .pieces(name)
            .ok_or_else(|| format!("${name} is not bound"))?;
        let mut bytes = 0;
        for piece in pieces {
            match base64::decode(piece) {
                Some(decoded) => bytes += decoded.len(),
                None => return Err(format!("not base64: {}", shorten(piece))),
            }
        }
        Ok(json!(bytes))
    }
}

/// Models like to wrap JSON in a Markdown fence.
fn unfence(text: &str) -> &str {
    let text = text.trim();
    let body = text
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"));
    body.map_or(text, |body| body.strip_prefix("json").unwrap_or(body))
}

fn holds(op: Op, left: &Value, right: &Value) -> bool {
    match (op, left.as_f64(), right.as_f64()) {
        (Op::Equal, ..) => same(left, right),
        (Op::Unequal, ..) => !same(left, right),
        (_, Some(left), Some(right)) => op.holds(left, right),
        _ => false,
    }
}
