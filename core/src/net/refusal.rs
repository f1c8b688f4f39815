//! What a server says in the body of a refusal.

use crate::error::Provider;

/// Where servers put the sentence.
const MESSAGES: [&str; 4] = ["/error/message", "/message", "/error", "/detail"];

/// The sentence of a refusal, if its body is JSON that has one, and everything else it says.
pub(super) fn read(status: u16, body: String) -> (Option<String>, Provider) {
    let json: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let text = |pointer: &str| json.pointer(pointer)?.as_str().map(str::to_owned);
    let said = MESSAGES.into_iter().find_map(text);
    let provider = Provider {
        kind: text("/error/type"),
        code: text("/error/code"),
        param: text("/error/param"),
        http_status: Some(status),
        body: Some(body).filter(|b| !b.is_empty()),
        ..Provider::default()
    };
    (said, provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_is_found_where_servers_put_it() {
        for (body, said) in [
            (r#"{"error":{"message":"a","code":"c"}}"#, Some("a")),
            (r#"{"message":"b"}"#, Some("b")),
            (r#"{"error":"c"}"#, Some("c")),
            (r#"{"detail":"d"}"#, Some("d")),
            ("no JSON", None),
            ("", None),
        ] {
            let (found, provider) = read(418, body.to_owned());
            assert_eq!(found.as_deref(), said);
            assert_eq!(provider.http_status, Some(418));
            assert_eq!(provider.body.as_deref().unwrap_or_default(), body);
        }
    }
}
