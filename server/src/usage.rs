//! Token counts. Nothing is counted by a model here, so they are estimates that grow with what was
//! read and written, and are never zero.

use serde_json::json;
use talkwire_core::wire::item::TokenDetails;
use talkwire_core::wire::{Item, Usage};

/// Characters of a token of text, roughly.
const CHARS: u64 = 4;
/// Milliseconds of a token of audio, as the larger vendors count them.
const AUDIO_MS: u64 = 100;

/// Tokens by modality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) text: u64,
    pub(crate) audio: u64,
}

impl Tokens {
    /// Tokens of a text.
    pub(crate) fn of_text(text: &str) -> u64 {
        (text.chars().count() as u64).div_ceil(CHARS)
    }

    /// Tokens of audio.
    pub(crate) const fn of_audio_ms(ms: u64) -> u64 {
        ms.div_ceil(AUDIO_MS)
    }

    /// Tokens of the text of items.
    pub(crate) fn of_items<'a>(items: impl Iterator<Item = &'a Item>) -> u64 {
        let text = |item: &Item| {
            let fields = [&item.name, &item.arguments, &item.output];
            let fields: u64 = fields.into_iter().flatten().map(|t| Self::of_text(t)).sum();
            fields + Self::of_text(&item.text())
        };
        items.map(text).sum()
    }

    /// All of them.
    pub(crate) const fn all(self) -> u64 {
        self.text + self.audio
    }
}

impl std::ops::Add for Tokens {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            text: self.text + other.text,
            audio: self.audio + other.audio,
        }
    }
}

/// What a response reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) all: Tokens,
    /// Those of them that the response before it read too.
    pub(crate) cached: Tokens,
}

/// The usage of a response.
pub(crate) fn usage(read: Read, output: Tokens) -> Usage {
    let details = |tokens: Tokens| TokenDetails {
        text_tokens: tokens.text,
        audio_tokens: tokens.audio,
        ..TokenDetails::default()
    };
    // A prompt always costs something.
    let input = Tokens {
        text: read.all.text.max(1),
        ..read.all
    };
    let mut input_details = details(input);
    input_details.cached_tokens = Some(read.cached.all());
    let cached = json!({"text_tokens": read.cached.text, "audio_tokens": read.cached.audio,
        "image_tokens": 0});
    // Pictures are not looked at.
    let extra = [
        ("image_tokens", json!(0)),
        ("cached_tokens_details", cached),
    ];
    let extra = extra.map(|(name, value)| (name.to_owned(), value));
    input_details.extra.extend(extra);
    Usage {
        total_tokens: input.all() + output.all(),
        input_tokens: input.all(),
        output_tokens: output.all(),
        input_token_details: input_details,
        output_token_details: details(output),
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_adds_up_and_is_never_zero() {
        let none = usage(Read::default(), Tokens::default());
        assert_eq!((none.total_tokens, none.input_tokens), (1, 1));
        let all = Tokens { text: 3, audio: 5 };
        let cached = Tokens { text: 1, audio: 4 };
        let input = Read { all, cached };
        let output = Tokens { text: 2, audio: 7 };
        let some = usage(input, output);
        assert_eq!(some.total_tokens, 17);
        assert_eq!(some.output_token_details.audio_tokens, 7);
        let details = &some.input_token_details;
        assert_eq!(details.cached_tokens, Some(5));
        assert_eq!(details.extra["cached_tokens_details"]["audio_tokens"], 4);
        assert_eq!(Tokens::of_items([Item::user_text("12345678")].iter()), 2);
        assert_eq!(Tokens::of_audio_ms(101), 2);
    }
}
