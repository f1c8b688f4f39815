//! Reading a table: what it says, on top of the table it extends.

use std::sync::Arc;

use serde_json::Value;

use super::shape::Place;
use super::table::{Auth, Table};
use super::{Dialect, TABLES, kind_named, rules};
use crate::error::{Error, Kind, Result};
use crate::wire::Map;

/// Longest chain of tables that extend each other.
const DEPTH_MAX: u32 = 8;

impl Dialect {
    /// The dialect that a user names: a built-in one, a table's JSON text, or the path of a file
    /// that holds one, which `read` reads. Errors name what was looked for.
    pub fn find(
        name_or_table: &str,
        read: impl FnOnce(&str) -> std::io::Result<String>,
    ) -> Result<Arc<Self>> {
        if name_or_table.trim_start().starts_with('{') {
            return Self::from_json(name_or_table).map(Arc::new);
        }
        if let Some(dialect) = Self::named(name_or_table) {
            return Ok(dialect);
        }
        let looks_like_path = name_or_table.contains(['/', '\\', '.']);
        let text = match read(name_or_table) {
            Ok(text) => text,
            Err(error) if looks_like_path => {
                return Err(Error::new(Kind::Io, format!("{name_or_table}: {error}")));
            }
            Err(_) => {
                let known = Self::names().collect::<Vec<_>>().join(", ");
                let message = format!(
                    "no dialect is named `{name_or_table}` and there is no such file: there are {known}"
                );
                return Err(Error::new(Kind::Config, message));
            }
        };
        let dialect = Self::from_json(&text);
        let dialect = dialect
            .map_err(|e| Error::new(Kind::Config, format!("{name_or_table}: {}", e.message())));
        dialect.map(Arc::new)
    }

    /// Reads a table. With the key `extends`, only what differs from the built-in table of that
    /// name has to be said: objects are merged, anything else is replaced. Errors name the key by
    /// its path, e.g. `limits.lifetime_s`.
    pub fn from_json(text: &str) -> Result<Self> {
        let given = serde_json::from_str(text).map_err(|e| wrong("", &e))?;
        let whole = extended(given, 0)?;
        let table: Table = serde_path_to_error::deserialize(Value::Object(whole))
            .map_err(|e| wrong(&e.path().to_string(), e.inner()))?;
        check_kinds(&table)?;
        check_auth(&table.auth)?;
        check_places(&table)?;
        check_lifetime(&table)?;
        let names = rules::Names::new(&table.events);
        Ok(Self { table, names })
    }
}

/// An error of a table. The path of a key that is unknown or of the whole says nothing.
fn wrong(path: &str, why: &dyn std::fmt::Display) -> Error {
    let message = match path {
        "" | "." | "?" => format!("dialect table: {why}"),
        path => format!("dialect table: {path}: {why}"),
    };
    Error::new(Kind::Config, message)
}

fn extended(mut given: Map, depth: u32) -> Result<Map> {
    let base = match given.remove("extends") {
        None => return Ok(given),
        Some(Value::String(name)) => name,
        Some(_) => return Err(wrong("extends", &"expected the name of a built-in dialect")),
    };
    if depth == DEPTH_MAX {
        return Err(wrong(
            "extends",
            &"the tables extend each other in a circle",
        ));
    }
    let tables = TABLES
        .iter()
        .filter_map(|text| serde_json::from_str::<Map>(text).ok());
    let found = tables
        .into_iter()
        .find(|table| table.get("name").and_then(Value::as_str) == Some(&base));
    let Some(found) = found else {
        let why = format!("no built-in dialect is named `{base}`");
        return Err(wrong("extends", &why));
    };
    let mut whole = extended(found, depth + 1)?;
    merge(&mut whole, given);
    Ok(whole)
}

fn merge(base: &mut Map, patch: Map) {
    for (key, value) in patch {
        match (base.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn check_kinds(table: &Table) -> Result<()> {
    for (section, map) in [
        ("close", &table.close),
        ("http", &table.http),
        ("errors", &table.errors),
    ] {
        for (key, name) in map {
            if kind_named(name).is_none() {
                let why = format!("no kind is named `{name}`");
                return Err(wrong(&format!("{section}.{key}"), &why));
            }
        }
    }
    Ok(())
}

fn check_auth(forms: &[Auth]) -> Result<()> {
    for (i, form) in forms.iter().enumerate() {
        let places = [
            form.header.is_some(),
            form.query.is_some(),
            form.subprotocol,
        ];
        if places.into_iter().filter(|is| *is).count() != 1 {
            let why = "expected one of `header`, `query` and `subprotocol`";
            return Err(wrong(&format!("auth[{i}]"), &why));
        }
        if !form.value.contains("{key}") {
            return Err(wrong(
                &format!("auth[{i}].value"),
                &"expected `{key}` in it",
            ));
        }
    }
    Ok(())
}

fn check_lifetime(table: &Table) -> Result<()> {
    let limits = &table.limits;
    if limits.lifetime_s > limits.lifetime_max_s {
        let why = format!(
            "expected at most the {} of limits.lifetime_max_s, found {}",
            limits.lifetime_max_s, limits.lifetime_s
        );
        return Err(wrong("limits.lifetime_s", &why));
    }
    Ok(())
}

/// Two fields at one place would overwrite each other.
fn check_places(table: &Table) -> Result<()> {
    for (section, places) in [
        ("session_map", &table.session_map),
        ("request_map", &table.request_map),
        ("response_map", &table.response_map),
    ] {
        let before = |i: usize, same: &dyn Fn(&Place) -> bool| places[..i].iter().any(same);
        for (i, place) in places.iter().enumerate() {
            let twice = before(i, &|p| p.canonical == place.canonical)
                || (place.wire.is_some() && before(i, &|p| p.wire == place.wire));
            if twice {
                let why = "this place was named before";
                return Err(wrong(&format!("{section}[{i}]"), &why));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(text: &str) -> String {
        let error = Dialect::from_json(text).expect_err(text);
        assert_eq!(error.kind(), Kind::Config);
        error.message().to_owned()
    }

    #[test]
    fn a_table_with_an_error_names_the_key() {
        let cases = [
            (json!({"limitz": {}}), "limitz"),
            (json!({"limits": {"lifetime": 5}}), "limits.lifetime: "),
            (
                json!({"limits": {"lifetime_s": "long"}}),
                "limits.lifetime_s: ",
            ),
            (
                json!({"limits": {"lifetime_s": 3601}}),
                "limits.lifetime_s: expected at most",
            ),
            (json!({"close": {"1008": "fatl"}}), "close.1008: "),
            (json!({"quirks": ["late_tea"]}), "quirks[0]: "),
            (
                json!({"session_map": [["/a", "/b"], ["c", "/d"]]}),
                "session_map[1]",
            ),
            (
                json!({"session_map": [["/a", "/b"], ["/c", "/b"]]}),
                "session_map[1]: ",
            ),
            (json!({"session_map": [["/a"]]}), "session_map[0]"),
            (json!({"auth": [{"value": "{key}"}]}), "auth[0]: "),
            (
                json!({"auth": [{"header": "x", "value": "y"}]}),
                "auth[0].value: ",
            ),
            (json!({"formats": [{"type": 5}]}), "formats[0].type: "),
            (json!({"extends": "nobody"}), "extends: "),
            (json!({"name": null}), "name: "),
        ];
        for (patch, path) in cases {
            let mut table = json!({"extends": "openai"});
            let table = table.as_object_mut().expect("an object");
            table.extend(patch.as_object().expect("an object").clone());
            let message = error(&Value::Object(table.clone()).to_string());
            assert!(message.contains(path), "{path}: {message}");
        }
        assert!(error("{\n\"name\": ").contains("line 2"));
    }

    #[test]
    fn a_table_says_only_what_differs_from_the_one_it_extends() {
        let text = json!({"extends": "azure", "name": "mine", "limits": {"sessions": 3}});
        let mine = Dialect::from_json(&text.to_string()).expect("valid");
        let base = Dialect::named("azure").expect("built in");
        assert_eq!(mine.name(), "mine");
        assert_eq!(mine.table().limits.sessions, 3);
        assert_eq!(
            mine.table().limits.lifetime_s,
            base.table().limits.lifetime_s
        );
        assert_eq!(mine.table().path, base.table().path);
    }
}
