//! Patterns of a script: `any`, a piece of the text, or `/an expression/`.

use regex::{Regex, RegexBuilder};

/// Decides on a text, without regard to case.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    /// Every text.
    Any,
    /// Texts that contain this, in lower case.
    Piece(String),
    /// Texts in which this is found.
    Expression(Regex),
}

impl Pattern {
    /// Reads a pattern, or says what was expected.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let inner = text
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'));
        let Some(inner) = inner.filter(|inner| !inner.is_empty()) else {
            return Ok(Self::Piece(text.to_lowercase()));
        };
        let built = RegexBuilder::new(inner).case_insensitive(true).build();
        built.map(Self::Expression).map_err(|e| {
            let why = e.to_string();
            let why = why.lines().last().unwrap_or_default();
            format!("expected a regular expression between slashes, found `{text}`: {why}")
        })
    }

    /// Whether the text fits.
    pub(crate) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Piece(piece) => text.to_lowercase().contains(piece),
            Self::Expression(expression) => expression.is_match(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_do_not_mind_case_in_any_script() {
        let fits = |pattern: &str, text: &str| Pattern::new(pattern).expect("reads").fits(text);
        assert!(fits("any", ""));
        assert!(fits("Пицц", "хочу ПИЦЦУ") && !fits("суп", "хочу пиццу"));
        assert!(fits(r"/\bпицц\w+$/", "Хочу ПИЦЦУ") && !fits("/^пицц/", "хочу пиццу"));
        assert!(fits("/", "1/2"));
        let error = Pattern::new("/(/").expect_err("unclosed");
        assert!(error.contains("/(/"), "{error}");
    }
}
