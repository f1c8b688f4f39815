//! What the session has cost so far, and how full the context of the model is.

use crate::event::Usage as Told;
use crate::wire::Response;

/// Tokens of all responses, cancelled ones included.
#[derive(Debug, Default)]
pub(super) struct Usage {
    total: Told,
    warned: bool,
}

/// The share of the context, in percent, from which on there is a warning.
const FULL_PERCENT: u64 = 80;

impl Usage {
    /// Counts a response that is done; returns the tokens of the conversation when they first come
    /// near the limit. 0 is no limit.
    pub(super) fn done(&mut self, response: &Response, limit_tokens: u64) -> Option<u64> {
        let usage = response.usage.as_ref()?;
        let (input, output) = (&usage.input_token_details, &usage.output_token_details);
        let total = &mut self.total;
        total.responses = total.responses.saturating_add(1);
        total.input_tokens = total.input_tokens.saturating_add(usage.input_tokens);
        total.output_tokens = total.output_tokens.saturating_add(usage.output_tokens);
        total.input_text_tokens = total.input_text_tokens.saturating_add(input.text_tokens);
        total.input_audio_tokens = total.input_audio_tokens.saturating_add(input.audio_tokens);
        total.cached_tokens = total
            .cached_tokens
            .saturating_add(input.cached_tokens.unwrap_or(0));
        total.output_text_tokens = total.output_text_tokens.saturating_add(output.text_tokens);
        total.output_audio_tokens = total
            .output_audio_tokens
            .saturating_add(output.audio_tokens);
        // One beside the conversation says nothing of how long that is.
        if response.conversation_id.is_some() || total.context_tokens == 0 {
            total.context_tokens = usage.input_tokens.saturating_add(usage.output_tokens);
        }
        total.context_limit_tokens = limit_tokens;
        let is_full = limit_tokens > 0 && total.context_tokens >= limit_tokens / 100 * FULL_PERCENT;
        let is_news = is_full && !self.warned;
        // A context that was cut may fill again.
        self.warned = is_full;
        is_news.then_some(total.context_tokens)
    }

    pub(super) fn total(&self) -> Told {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn response(input: u64, cached: u64) -> Response {
        let usage = json!({"total_tokens": input + 10, "input_tokens": input, "output_tokens": 10,
            "input_token_details": {"text_tokens": 1, "audio_tokens": input - 1,
                "cached_tokens": cached},
            "output_token_details": {"text_tokens": 4, "audio_tokens": 6}});
        let fields = json!({"id": "r", "status": "cancelled", "conversation_id": "c",
            "usage": usage});
        serde_json::from_value(fields).expect("a response")
    }

    #[test]
    fn cancelled_responses_count_and_cached_tokens_are_a_part_of_those_read() {
        let mut usage = Usage::default();
        usage.done(&response(100, 0), 32_000);
        usage.done(&response(200, 64), 32_000);
        let total = usage.total();
        assert_eq!((total.responses, total.input_tokens), (2, 300));
        assert_eq!((total.cached_tokens, total.output_audio_tokens), (64, 12));
        assert_eq!(total.context_tokens, 210);
    }

    #[test]
    fn a_context_that_fills_is_told_once_until_it_was_cut() {
        let mut usage = Usage::default();
        let tokens = [700, 790, 800, 100, 795];
        let told = tokens.map(|tokens| usage.done(&response(tokens, 0), 1_000));
        assert_eq!(told, [None, Some(800), None, None, Some(805)]);
    }
}
