//! JSON objects that users write, and files of them.

use std::fs::File;
use std::io::{self, Read};

use serde::de::{DeserializeOwned, Error};

/// Reads a JSON object and nothing else: serde would take an array for a struct, field by field.
pub fn object<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text),
        false => Err(Error::custom("it is no JSON object")),
    }
}

/// More than any table has.
const MOST_BYTES: u64 = 4 << 20;

/// Reads a file that should be a table: no device without an end, and nothing that fills the memory.
pub fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    file.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    match text.len() as u64 > MOST_BYTES {
        true => Err(io::Error::other("it is larger than 4 MiB")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Named {
        name: String,
    }

    #[test]
    fn an_object_is_read_and_anything_else_is_refused_in_words_of_json() {
        let named = object::<Named>(r#" {"name": "x"} "#).expect("an object");
        assert_eq!(named.name, "x");
        for wrong in [r#"["x"]"#, "[]", "7", "null", r#""x""#, ""] {
            let said = object::<Named>(wrong).expect_err(wrong).to_string();
            assert_eq!(said, "it is no JSON object");
        }
    }

    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = read("/dev/zero").expect_err("endless");
        assert!(error.to_string().contains("4 MiB"), "{error}");
    }
}
