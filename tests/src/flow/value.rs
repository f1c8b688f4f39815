//! Does a JSON value look as a pattern says, and what do the variables stand for then.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::ast::{Op, Pattern};
use super::base64;

/// What the variables of a flow stand for.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    values: BTreeMap<String, Bound>,
}

#[derive(Clone, Debug)]
enum Bound {
    Value(Value),
    Pieces(Vec<String>),
}

/// Where a value differs from its pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Dotted path of the field.
    pub path: String,
    /// What the pattern says.
    pub expected: String,
    /// What the event says.
    pub found: String,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: expected {}, found {}",
            self.path, self.expected, self.found
        )
    }
}

impl Bindings {
    /// The value of a variable; pieces are joined.
    pub fn value(&self, name: &str) -> Option<Value> {
        self.values.get(name).map(|bound| match bound {
            Bound::Value(value) => value.clone(),
            Bound::Pieces(pieces) => Value::String(pieces.concat()),
        })
    }

    /// The strings that were appended to a variable, or the one string it is.
    pub fn pieces(&self, name: &str) -> Option<Vec<&str>> {
        match self.values.get(name)? {
            Bound::Value(value) => value.as_str().map(|text| vec![text]),
            Bound::Pieces(pieces) => Some(pieces.iter().map(String::as_str).collect()),
        }
    }

    /// Matches and binds; nothing is bound when it does not match.
    pub fn take(&mut self, pattern: &Pattern, value: &Value) -> Result<(), Mismatch> {
        let mut trial = Trial {
            known: self,
            found: Vec::new(),
            lenient: false,
        };
        trial.check(pattern, Some(value), "")?;
        for (name, bound) in trial.found {
            match (self.values.get_mut(&name), bound) {
                (Some(Bound::Pieces(pieces)), Bound::Pieces(more)) => pieces.extend(more),
                (_, bound) => {
                    self.values.insert(name, bound);
                }
            }
        }
        Ok(())
    }

    /// Whether the value matches if variables that are not bound yet stand for anything.
    pub fn fits(&self, pattern: &Pattern, value: &Value) -> bool {
        let mut trial = Trial {
            known: self,
            found: Vec::new(),
            lenient: true,
        };
        trial.check(pattern, Some(value), "").is_ok()
    }

    /// The JSON a template stands for, or the variable that is not bound.
    pub fn render(&self, template: &Pattern) -> Result<Value, String> {
        Ok(match template {
            Pattern::Null => Value::Null,
            Pattern::Literal(value) => value.clone(),
            Pattern::Bind(name) => self.value(name).ok_or_else(|| format!("${name}"))?,
            Pattern::Zeros(bytes) => Value::String(base64::encode(&vec![0; *bytes])),
            Pattern::Object(fields) => {
                let mut map = Map::new();
                for (key, value) in fields {
                    map.insert(key.clone(), self.render(value)?);
                }
                Value::Object(map)
            }
            Pattern::Array(all, _) => Value::Array(
                all.iter()
                    .map(|one| self.render(one))
                    .collect::<Result<_, _>>()?,
            ),
            other => return Err(format!("a definite value instead of {other}")),
        })
    }
}

/// One attempt: sees the bindings, keeps its own finds apart.
struct Trial<'a> {
    known: &'a Bindings,
    found: Vec<(String, Bound)>,
    lenient: bool,
}

impl Trial<'_> {
    fn check(
        &mut self,
        pattern: &Pattern,
        value: Option<&Value>,
        path: &str,
    ) -> Result<(), Mismatch> {
        let holds = match pattern {
            Pattern::Object(fields) => return self.object(fields, value, path),
            Pattern::Array(all, open) => return self.array(all, *open, value, path),
            Pattern::Both(all) => {
                return all.iter().try_for_each(|one| self.check(one, value, path));
            }
            Pattern::OneOf(all) => all.iter().any(|one| self.attempt(one, value, path)),
            Pattern::Bind(name) => return self.bind(name, value, path),
            Pattern::Append(name) => self.append(name, value),
            Pattern::Null => value == Some(&Value::Null),
            Pattern::Absent => value.is_none(),
            Pattern::Any => value.is_some_and(|value| !value.is_null()),
            Pattern::Literal(literal) => value.is_some_and(|value| same(literal, value)),
            Pattern::Compare(op, limit) => value
                .and_then(Value::as_f64)
                .is_some_and(|number| op.holds(number, *limit)),
            Pattern::Contains(text) => text_of(value).is_some_and(|whole| whole.contains(text)),
            Pattern::Pcm => text_of(value)
                .and_then(base64::decode)
                .is_some_and(|bytes| !bytes.is_empty() && bytes.len().is_multiple_of(2)),
            Pattern::Zeros(_) => false,
        };
        if holds {
            Ok(())
        } else {
            mismatch(path, pattern.to_string(), value)
        }
    }

    fn attempt(&mut self, pattern: &Pattern, value: Option<&Value>, path: &str) -> bool {
        let before = self.found.len();
        let holds = self.check(pattern, value, path).is_ok();
        if !holds {
            self.found.truncate(before);
        }
        holds
    }

    fn object(
        &mut self,
        fields: &[(String, Pattern)],
        value: Option<&Value>,
        path: &str,
    ) -> Result<(), Mismatch> {
        let Some(Value::Object(map)) = value else {
            return mismatch(path, "an object".into(), value);
        };
        fields.iter().try_for_each(|(key, pattern)| {
            let dot = if path.is_empty() { "" } else { "." };
            self.check(pattern, map.get(key), &format!("{path}{dot}{key}"))
        })
    }

    fn array(
        &mut self,
        all: &[Pattern],
        open: bool,
        value: Option<&Value>,
        path: &str,
    ) -> Result<(), Mismatch> {
        let Some(Value::Array(list)) = value else {
            return mismatch(path, "a list".into(), value);
        };
        let fits = if open {
            list.len() >= all.len()
        } else {
            list.len() == all.len()
        };
        if !fits {
            let more = if open { " or more" } else { "" };
            return mismatch(path, format!("{}{more} elements", all.len()), value);
        }
        all.iter()
            .zip(list)
            .enumerate()
            .try_for_each(|(index, (pattern, one))| {
                self.check(pattern, Some(one), &format!("{path}[{index}]"))
            })
    }

    fn bind(&mut self, name: &str, value: Option<&Value>, path: &str) -> Result<(), Mismatch> {
        let fresh = self
            .found
            .iter()
            .rev()
            .find_map(|(other, bound)| match bound {
                Bound::Value(value) if other == name => Some(value.clone()),
                _ => None,
            });
        match (fresh.or_else(|| self.known.value(name)), value) {
            (Some(bound), Some(value)) if same(&bound, value) => Ok(()),
            (Some(bound), _) => mismatch(path, format!("${name} = {bound}"), value),
            (None, Some(value)) => {
                self.found
                    .push((name.to_owned(), Bound::Value(value.clone())));
                Ok(())
            }
            (None, None) if self.lenient => Ok(()),
            (None, None) => mismatch(path, format!("${name}, any value"), value),
        }
    }

    fn append(&mut self, name: &str, value: Option<&Value>) -> bool {
        let Some(text) = text_of(value) else {
            return false;
        };
        self.found
            .push((name.to_owned(), Bound::Pieces(vec![text.to_owned()])));
        true
    }
}

fn text_of(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}

fn mismatch(path: &str, expected: String, value: Option<&Value>) -> Result<(), Mismatch> {
    let found = value.map_or_else(
        || "no such field".to_owned(),
        |value| shorten(&value.to_string()),
    );
    let path = if path.is_empty() { "the event" } else { path }.to_owned();
    Err(Mismatch {
        path,
        expected,
        found,
    })
}

/// At most 120 characters, for reports: audio makes lines of megabytes.
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((cut, _)) => format!("{}... ({} bytes)", &text[..cut], text.len()),
        None => text.to_owned(),
    }
}

/// Equal as JSON, where 1 and 1.0 are the same number.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| same(a, b))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, a)| right.get(key).is_some_and(|b| same(a, b)))
        }
        _ => left == right,
    }
}

impl Op {
    /// Whether two numbers stand in this relation.
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Unequal => left != right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::More => left > right,
            Self::AtLeast => left >= right,
        }
    }
}
