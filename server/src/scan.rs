//! Rewrites single strings of a JSON text and leaves every other byte as it is.

use std::ops::Range;

/// A string value of a JSON text.
pub(crate) struct Text<'a> {
    /// The keys that lead to it, the nearest last; elements of arrays have the key of the array.
    pub(crate) keys: &'a [&'a str],
    /// What stands between its quotes, escapes and all.
    pub(crate) raw: &'a str,
}

impl Text<'_> {
    /// The nearest key, or nothing.
    pub(crate) fn key(&self) -> &str {
        self.keys.last().copied().unwrap_or_default()
    }
}

/// Gives each string value to `change`, which returns the JSON to put in its place, or `None` to
/// keep it. `None` for what is not a JSON object.
pub(crate) fn rewrite<F>(json: &str, mut change: F) -> Option<String>
where
    F: FnMut(&Text<'_>) -> Option<String>,
{
    if !json.trim_start().starts_with('{') {
        return None;
    }
    serde_json::from_str::<serde::de::IgnoredAny>(json).ok()?;
    let mut out = String::with_capacity(json.len().min(4096));
    let mut kept = 0;
    each(json, |text, span| {
        if let Some(put) = change(text) {
            out.push_str(&json[kept..span.start]);
            out.push_str(&put);
            kept = span.end;
        }
    });
    out.push_str(&json[kept..]);
    Some(out)
}

/// Calls `visit` with each string value of valid JSON and its place, quotes included.
fn each(json: &str, mut visit: impl FnMut(&Text<'_>, Range<usize>)) {
    let bytes = json.as_bytes();
    // One key for each open object or array.
    let mut keys: Vec<&str> = Vec::new();
    let mut open: Vec<u8> = Vec::new();
    let mut pending: Option<&str> = None;
    let mut awaits_value = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let end = string_end(bytes, at);
                let raw = &json[at + 1..end];
                if open.last() == Some(&b'{') && !awaits_value {
                    pending = Some(raw);
                } else {
                    keys.extend(pending);
                    visit(&Text { keys: &keys, raw }, at..end + 1);
                    if pending.is_some() {
                        keys.pop();
                    }
                    (pending, awaits_value) = (None, false);
                }
                at = end;
            }
            opening @ (b'{' | b'[') => {
                let inherited = keys.last().copied().unwrap_or_default();
                keys.push(pending.take().unwrap_or(inherited));
                open.push(opening);
                awaits_value = false;
            }
            b'}' | b']' => {
                keys.pop();
                open.pop();
                (pending, awaits_value) = (None, false);
            }
            b':' => awaits_value = true,
            b',' => (pending, awaits_value) = (None, false),
            _ => {}
        }
        at += 1;
    }
}

/// The place of the quote that ends the string which begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(json: &str) -> Vec<String> {
        let mut seen = Vec::new();
        let same = rewrite(json, |text| {
            seen.push(format!("{}={}", text.keys.join("/"), text.raw));
            None
        });
        assert_eq!(same.as_deref(), Some(json));
        seen
    }

    #[test]
    fn values_are_found_with_their_keys() {
        let json =
            r#" {"a":"1", "b":{"c":["2",{"d":"3"},["4"]],"e":5}, "f":"\"}{\\","g":null,"h":"ж"}"#;
        assert_eq!(
            seen(json),
            [
                "/a=1",
                "/b/c=2",
                "/b/c/c/d=3",
                "/b/c/c=4",
                r#"/f=\"}{\\"#,
                "/h=ж"
            ]
            .map(|s| s.to_owned())
        );
    }

    #[test]
    fn only_what_is_changed_changes() {
        let json = "{\"type\" : \"x\",\n\"delta\":\"AAAA\", \"n\":1.50, \"tail\":\"t\" }";
        let put = |text: &Text<'_>| (text.key() == "delta").then(|| "{\"ms\":1}".to_owned());
        assert_eq!(
            rewrite(json, put).as_deref(),
            Some("{\"type\" : \"x\",\n\"delta\":{\"ms\":1}, \"n\":1.50, \"tail\":\"t\" }")
        );
    }

    #[test]
    fn what_is_no_object_is_told() {
        for json in ["", "[]", "\"a\"", "{\"a\":\"", "{\"a\":1}}", "{"] {
            assert!(rewrite(json, |_| None).is_none(), "{json}");
        }
    }
}
