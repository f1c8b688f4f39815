//! A vendor's names, shapes, limits and failures as data, used in opposite directions by client
//! and server.
//!
//! A new vendor is a new JSON table; only a new *quirk* needs code. What a table may say is
//! described in `core/DIALECTS.md`.
//!
//! | file | holds |
//! |---|---|
//! | `table` | the schema of a table |
//! | `load` | reading one, with errors that name the key |
//! | `codec` | frames of both directions, on both sides |
//! | `shape` | where a dialect has the fields of an object |
//! | `rules` | event names, and shapes of the past |
//! | `address` | URL and credential |
//! | [`check`] | what is refused before it is sent |

mod address;
pub mod check;
mod codec;
mod load;
mod quirks;
mod rules;
mod shape;
mod table;

use std::sync::{Arc, LazyLock};

pub use codec::{ClientFrame, Decoded};
pub use quirks::Quirk;
pub use shape::Place;
pub use table::{Auth, Defaults, FormatRule, Limits, Model, QueryRule, Range, Table, Withdrawn};

use crate::error::{Error, Kind, Result};

/// The tables that are built in; the first is the default.
const TABLES: &[&str] = &[
    include_str!("tables/yandex.json"),
    include_str!("tables/openai.json"),
    include_str!("tables/openai-beta.json"),
    include_str!("tables/azure.json"),
    include_str!("tables/azure-preview.json"),
    include_str!("tables/voicelive.json"),
];

static BUILT_IN: LazyLock<Vec<Arc<Dialect>>> = LazyLock::new(|| {
    let parse = |text: &&str| Dialect::from_json(text).expect("built-in tables are valid: tested");
    TABLES.iter().map(parse).map(Arc::new).collect()
});

/// An immutable dialect.
#[derive(Clone, Debug)]
pub struct Dialect {
    table: Table,
    names: rules::Names,
}

impl Dialect {
    /// The built-in dialect of that name.
    pub fn named(name: &str) -> Option<Arc<Self>> {
        BUILT_IN.iter().find(|d| d.name() == name).cloned()
    }

    /// Names of the built-in dialects; the first is the default.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|d| d.name())
    }

    /// All built-in dialects.
    pub fn built_in() -> impl Iterator<Item = Arc<Self>> {
        BUILT_IN.iter().cloned()
    }

    /// The dialect used when none is named.
    pub fn default_dialect() -> Arc<Self> {
        BUILT_IN[0].clone()
    }

    /// Name of the dialect.
    pub fn name(&self) -> &str {
        &self.table.name
    }

    /// The table itself.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Whether the dialect has a named deviation.
    pub fn has(&self, quirk: Quirk) -> bool {
        self.table.quirks.contains(&quirk)
    }

    /// Whether the dialect positively has an ability.
    pub fn can(&self, capability: &str) -> bool {
        self.table.caps.get(capability).copied().unwrap_or(false)
    }

    /// Whether the dialect has an event, by canonical name.
    pub fn has_event(&self, canonical: &str) -> bool {
        self.names.to_wire(canonical).is_some()
    }

    fn require_event(&self, canonical: &str) -> Result<()> {
        if self.has_event(canonical) {
            return Ok(());
        }
        Err(Error::new(
            Kind::Unsupported,
            format!("{} has no event `{canonical}`", self.name()),
        ))
    }

    /// The kind of end that a close code means.
    pub fn close_kind(&self, code: u16) -> Option<Kind> {
        self.table
            .close
            .get(&code.to_string())
            .and_then(|name| kind_named(name))
    }

    /// The kind of error that an HTTP status of a refused upgrade means.
    pub fn http_kind(&self, status: u16) -> Kind {
        let named = self
            .table
            .http
            .get(&status.to_string())
            .and_then(|name| kind_named(name));
        named.unwrap_or(Kind::Handshake)
    }

    /// The kind of end that an error code announces, for codes that end a session.
    pub fn fatal_error(&self, code: &str) -> Option<Kind> {
        self.table
            .errors
            .get(code)
            .and_then(|name| kind_named(name))
    }
}

fn kind_named(name: &str) -> Option<Kind> {
    Kind::ALL.iter().copied().find(|kind| kind.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_tables_are_valid_and_the_first_is_the_default() {
        let names: Vec<_> = Dialect::names().collect();
        assert_eq!(
            names,
            [
                "yandex",
                "openai",
                "openai-beta",
                "azure",
                "azure-preview",
                "voicelive"
            ]
        );
        assert_eq!(Dialect::default_dialect().name(), "yandex");
    }
}
