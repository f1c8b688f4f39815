//! What is wrong with a client's event, in the protocol's own codes.

use talkwire_core::wire::ServerEvent;
use talkwire_core::wire::server::{ErrorBody, ErrorEvent};

/// A refusal of one client event: the session goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    code: &'static str,
    message: String,
    param: Option<String>,
}

/// Code of a quota that is used up.
pub(crate) const RATE_LIMIT: &str = "rate_limit_exceeded";

/// The type that goes with the code of an error: most blame what the client sent.
pub(crate) fn kind_of(code: &str) -> &str {
    match code {
        "server_error" => "server_error",
        // Nobody sent anything wrong: it is the quota that is named.
        RATE_LIMIT => "tokens",
        "insufficient_quota" => "insufficient_quota",
        _ => "invalid_request_error",
    }
}

/// Shorthand for judging a client's event.
pub(crate) type Judged<T> = Result<T, Problem>;

impl Problem {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            param: None,
        }
    }

    /// A field whose value cannot be taken.
    pub(crate) fn value(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new("invalid_value", message).at(param)
    }

    /// A field of the wrong JSON type.
    pub(crate) fn kind(param: impl Into<String>, expected: &str) -> Self {
        let param = param.into();
        let message = format!("Invalid type for '{param}': expected {expected}.");
        Self::new("invalid_type", message).at(param)
    }

    /// A field that has to be there.
    pub(crate) fn missing(param: impl Into<String>) -> Self {
        let param = param.into();
        let message = format!("Missing required parameter: '{param}'.");
        Self::new("missing_required_parameter", message).at(param)
    }

    /// A field nobody knows.
    pub(crate) fn unknown(param: impl Into<String>) -> Self {
        let param = param.into();
        let message = format!("Unknown parameter: '{param}'.");
        Self::new("unknown_parameter", message).at(param)
    }

    /// Something that is no event.
    pub(crate) fn event(message: impl Into<String>) -> Self {
        Self::new("invalid_event", message)
    }

    /// With a reason after its message.
    pub(crate) fn because(mut self, why: &str) -> Self {
        self.message = format!("{} {why}.", self.message);
        self
    }

    pub(crate) fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> &str {
        self.code
    }

    #[cfg(test)]
    pub(crate) fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// The error event; `event_id` is what the client called the event that caused it.
    pub(crate) fn into_event(self, event_id: Option<String>) -> ServerEvent {
        ServerEvent::Error(ErrorEvent {
            error: ErrorBody {
                kind: kind_of(self.code).to_owned(),
                code: Some(self.code.to_owned()),
                message: self.message,
                param: self.param,
                event_id,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_event_names_code_param_and_the_event_that_caused_it() {
        let event = Problem::unknown("session.foo").into_event(Some("c".to_owned()));
        let fields = serde_json::Value::Object(event.to_fields());
        let error = &fields["error"];
        assert_eq!(
            (error["type"].as_str(), error["code"].as_str()),
            (Some("invalid_request_error"), Some("unknown_parameter"))
        );
        assert_eq!(
            (error["param"].as_str(), error["event_id"].as_str()),
            (Some("session.foo"), Some("c"))
        );
        assert!(fields.get("message").is_none());
    }
}
