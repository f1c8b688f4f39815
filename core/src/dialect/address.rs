//! How a dialect is dialled: URL, credential, model.

use std::borrow::Cow;

use super::{Auth, Dialect};

impl Auth {
    /// The value for a credential.
    fn value_of(&self, key: &str) -> String {
        self.value.replace("{key}", key)
    }

    /// The credential in a value of this form; the words around it are compared without case.
    pub fn key_in<'a>(&self, value: &'a str) -> Option<&'a str> {
        let (before, after) = self.value.split_once("{key}")?;
        let value = value.trim();
        let end = value.len().checked_sub(after.len())?;
        let fits = value.get(..before.len())?.eq_ignore_ascii_case(before)
            && value.get(end..)?.eq_ignore_ascii_case(after);
        value.get(before.len()..end).filter(|_| fits).map(str::trim)
    }
}

impl Dialect {
    /// The URL to dial: endpoint, model and extra query, percent-encoded. What the dialect wants
    /// in the query is added unless it is there.
    pub fn url(
        &self,
        base: Option<&str>,
        model: Option<&str>,
        query: &[(String, String)],
    ) -> String {
        let table = self.table();
        let base = base.unwrap_or(&table.url);
        let (path, given) = base.split_once('?').unwrap_or((base, ""));
        let mut pairs: Vec<Cow<'_, str>> = Vec::new();
        if !given.is_empty() {
            pairs.push(Cow::Borrowed(given));
        }
        let is_given = |name: &str| given.split('&').any(|p| p.split('=').next() == Some(name));
        for rule in &table.query {
            let is_told = is_given(&rule.name) || query.iter().any(|(key, _)| *key == rule.name);
            if let Some(value) = rule.value.as_ref().filter(|_| !is_told) {
                // Names and values of tables need no escapes.
                pairs.push(Cow::Owned(format!("{}={value}", rule.name)));
            }
        }
        let mut add = |key: &str, value: &str| {
            pairs.push(Cow::Owned(format!("{}={}", key, encode(value))));
        };
        if let Some(model) = model.filter(|_| !is_given(&table.model.query)) {
            add(&table.model.query, model);
        }
        for (key, value) in query {
            add(&encode(key).to_string(), value);
        }
        if pairs.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", pairs.join("&"))
        }
    }

    /// What is missing in the endpoint of the table, e.g. `{resource}`: the user has to say where
    /// it is.
    pub fn url_blank(&self) -> Option<&str> {
        let url = &self.table().url;
        let (start, end) = (url.find('{')?, url.find('}')?);
        url.get(start..=end)
    }

    fn auth(&self, key: &str) -> Option<&Auth> {
        let fits = |auth: &&Auth| auth.prefix.as_deref().is_none_or(|p| key.starts_with(p));
        self.table().auth.iter().find(fits)
    }

    /// Header name and value that carry a credential, where a header does.
    pub fn auth_header(&self, key: &str) -> Option<(String, String)> {
        let auth = self.auth(key)?;
        if auth.subprotocol {
            let own = self.table().subprotocol.iter().cloned();
            let offers: Vec<_> = own.chain([auth.value_of(key)]).collect();
            return Some(("sec-websocket-protocol".to_owned(), offers.join(", ")));
        }
        Some((auth.header.clone()?, auth.value_of(key)))
    }

    /// Query parameter and value that carry a credential, where the query does.
    pub fn auth_query(&self, key: &str) -> Option<(String, String)> {
        let auth = self.auth(key)?;
        Some((auth.query.clone()?, auth.value_of(key)))
    }

    /// The full model name of a short one, where the dialect builds it from a folder.
    pub fn model_name(&self, folder: Option<&str>, model: &str) -> String {
        let rule = &self.table().model;
        let complete = rule.prefix.as_deref().is_none_or(|p| model.starts_with(p));
        match (&rule.template, folder) {
            (Some(template), Some(folder)) if !complete => template
                .replace("{folder}", folder)
                .replace("{model}", model),
            _ => model.to_owned(),
        }
    }
}

fn encode(text: &str) -> impl std::fmt::Display + '_ {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn named(name: &str) -> std::sync::Arc<Dialect> {
        Dialect::named(name).expect("built in")
    }

    #[test]
    fn the_model_is_percent_encoded_and_a_credential_chooses_its_form() {
        let dialect = named("yandex");
        let model = dialect.model_name(Some("b1g"), "speech-realtime-260528/latest");
        let url = dialect.url(Some("ws://127.0.0.1:9/v1/realtime?x=1"), Some(&model), &[]);
        assert_eq!(
            url,
            "ws://127.0.0.1:9/v1/realtime?x=1&model=gpt%3A%2F%2Fb1g%2Fspeech%2Drealtime%2D260528%2Flatest"
        );
        let header = |key| dialect.auth_header(key).expect("has a form").1;
        assert_eq!(
            (header("t1.abc"), header("AQVN")),
            ("Bearer t1.abc".into(), "Api-Key AQVN".into())
        );
    }

    #[test]
    fn a_version_is_in_the_query_unless_the_user_says_another() {
        let dialect = named("azure-preview");
        let rule = &dialect.table().query[0];
        let (name, value) = (&rule.name, rule.value.as_deref().expect("a default"));
        let base = Some("ws://h/openai/realtime");
        let url = dialect.url(base, Some("m"), &[]);
        assert_eq!(
            url,
            format!("ws://h/openai/realtime?{name}={value}&deployment=m")
        );
        let own = [(name.clone(), "2".to_owned())];
        let url = dialect.url(base, None, &own);
        assert_eq!(url, "ws://h/openai/realtime?api%2Dversion=2");
        let url = dialect.url(Some("ws://h/x?api-version=3"), None, &[]);
        assert_eq!(url, "ws://h/x?api-version=3");
        assert_eq!(dialect.url_blank(), Some("{resource}"));
    }

    #[test]
    fn a_key_goes_into_the_header_that_its_form_wants() {
        let dialect = named("azure");
        let header = |key| dialect.auth_header(key).expect("a header");
        assert_eq!(header("0123"), ("api-key".into(), "0123".into()));
        assert_eq!(
            header("eyJ0"),
            ("authorization".into(), "Bearer eyJ0".into())
        );
    }

    #[test]
    fn a_table_may_put_the_key_into_the_query_or_a_subprotocol() {
        let with = |auth: serde_json::Value| {
            let table = json!({"extends": "openai", "name": "mine", "auth": [auth]});
            Dialect::from_json(&table.to_string()).expect("valid")
        };
        let query = with(json!({"query": "k", "value": "{key}"}));
        assert_eq!(query.auth_header("x"), None);
        assert_eq!(query.auth_query("x"), Some(("k".into(), "x".into())));
        let offered = with(json!({"subprotocol": true, "value": "key.{key}"}));
        let (name, value) = offered.auth_header("x").expect("a header");
        assert_eq!(
            (name.as_str(), value.as_str()),
            ("sec-websocket-protocol", "realtime, key.x")
        );
    }

    #[test]
    fn a_key_is_found_in_the_value_of_its_form_only() {
        let auth: Auth =
            serde_json::from_value(json!({"header": "a", "value": "Api-Key {key}"})).expect("one");
        assert_eq!(auth.key_in("api-key  secret"), Some("secret"));
        assert_eq!(auth.key_in("Bearer secret"), None);
        assert_eq!(auth.key_in("Api"), None);
        assert_eq!(auth.key_in("ключ-ключ secret"), None);
    }
}
