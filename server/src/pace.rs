//! When each piece of an answer leaves: at once, or as fast as it is spoken.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use talkwire_core::audio::codec;
use talkwire_core::audio::format::Format;

use crate::brain::McpCall;

/// How fast answers are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pacing {
    /// As fast as the client reads.
    #[default]
    Instant,
    /// Audio at the speed of speech, text at that of a fast writer.
    Realtime,
}

/// A small operation of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    BeginMessage {
        spoken: bool,
    },
    BeginCall {
        name: String,
    },
    Text(String),
    Audio(Bytes),
    Arguments(String),
    /// A call of an MCP tool; with the request that approved it.
    BeginMcp(McpCall, Option<String>),
    /// Its arguments are complete: it runs.
    RunMcp,
    /// The client is asked whether the call may run.
    AskMcp(McpCall),
    End,
}

/// Operations with their times, and when the last one ends.
pub(crate) type Plan = (Vec<(Instant, Op)>, Instant);

/// Sound of one delta.
const CHUNK_MS: u64 = 100;
/// A word of text, at the pace of real time.
const WORD_MS: u64 = 40;
/// Characters of one delta of a call's arguments.
const ARGUMENT_CHARS: usize = 24;

/// A text answer: one delta a word.
pub(crate) fn plan_text(now: Instant, pacing: Pacing, text: &str) -> Plan {
    let mut ops = vec![(now, Op::BeginMessage { spoken: false })];
    let mut at = now;
    for word in words(text) {
        ops.push((at, Op::Text(word)));
        at += pacing.step(WORD_MS);
    }
    ops.push((at, Op::End));
    (ops, at)
}

/// A spoken answer: sound in pieces, the words spread over them.
pub(crate) fn plan_speech(
    now: Instant,
    pacing: Pacing,
    text: &str,
    samples: &[i16],
    format: Format,
) -> Plan {
    let mut ops = vec![(now, Op::BeginMessage { spoken: true })];
    let mut at = now;
    for op in speech_ops(text, samples, format) {
        let is_sound = matches!(op, Op::Audio(_));
        ops.push((at, op));
        if is_sound {
            at += pacing.step(CHUNK_MS);
        }
    }
    ops.push((at, Op::End));
    (ops, at)
}

/// Sound in pieces, the words spread over them.
pub(crate) fn speech_ops(text: &str, samples: &[i16], format: Format) -> Vec<Op> {
    let mut ops = Vec::new();
    let chunk_samples = (CHUNK_MS * u64::from(format.rate_hz()) / 1000).max(1) as usize;
    let chunks = samples.len().div_ceil(chunk_samples);
    let words = words(text);
    let mut said = 0;
    for (i, chunk) in samples.chunks(chunk_samples).enumerate() {
        // The words of a piece go before it, as captions do.
        let until = words.len() * (i + 1) / chunks;
        ops.extend(words[said..until].iter().cloned().map(Op::Text));
        said = until;
        let mut bytes = Vec::with_capacity(chunk.len() * format.sample_bytes());
        codec::encode_into(format, chunk, &mut bytes);
        ops.push(Op::Audio(Bytes::from(bytes)));
    }
    ops.extend(words[said..].iter().cloned().map(Op::Text));
    ops
}

/// A function call.
pub(crate) fn plan_call(now: Instant, name: &str, arguments: &str) -> Plan {
    let name = name.to_owned();
    let mut ops = vec![(now, Op::BeginCall { name })];
    ops.extend(argument_ops(now, arguments));
    ops.push((now, Op::End));
    (ops, now)
}

/// A call of an MCP tool, with the request that approved it.
pub(crate) fn plan_mcp(now: Instant, call: McpCall, approved: Option<String>) -> Plan {
    let arguments = argument_ops(now, &call.arguments);
    let mut ops = vec![(now, Op::BeginMcp(call, approved))];
    ops.extend(arguments);
    ops.extend([(now, Op::RunMcp), (now, Op::End)]);
    (ops, now)
}

/// The question whether a call may run.
pub(crate) fn plan_approval(now: Instant, call: McpCall) -> Plan {
    (vec![(now, Op::AskMcp(call)), (now, Op::End)], now)
}

fn argument_ops(now: Instant, arguments: &str) -> Vec<(Instant, Op)> {
    let letters: Vec<char> = arguments.chars().collect();
    let pieces = letters.chunks(ARGUMENT_CHARS);
    pieces
        .map(|piece| (now, Op::Arguments(piece.iter().collect())))
        .collect()
}

impl Pacing {
    const fn step(self, ms: u64) -> Duration {
        match self {
            Self::Instant => Duration::ZERO,
            Self::Realtime => Duration::from_millis(ms),
        }
    }
}

/// Words with the space that follows them: joined, they are the text again.
fn words(text: &str) -> Vec<String> {
    let words = text.split_inclusive(char::is_whitespace);
    words.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(plan: &Plan) -> String {
        let text = |op: &(Instant, Op)| match &op.1 {
            Op::Text(text) | Op::Arguments(text) => text.clone(),
            _ => String::new(),
        };
        plan.0.iter().map(text).collect()
    }

    #[test]
    fn pieces_join_to_the_whole() {
        let now = Instant::now();
        let text = " one  two\nthree четыре ";
        let samples = vec![7; 24_000 / 4 + 1];
        let speech = plan_speech(now, Pacing::Instant, text, &samples, Format::PCM16_24K);
        assert_eq!(joined(&speech), text);
        assert_eq!(joined(&plan_text(now, Pacing::Instant, text)), text);
        let arguments = r#"{"город":"Москва","n":123456789}"#;
        assert_eq!(joined(&plan_call(now, "f", arguments)), arguments);
        let bytes: usize = speech
            .0
            .iter()
            .map(|(_, op)| if let Op::Audio(b) = op { b.len() } else { 0 })
            .sum();
        assert_eq!(bytes, samples.len() * 2);
    }

    #[test]
    fn real_time_sends_sound_no_faster_than_it_lasts() {
        let now = Instant::now();
        let samples = vec![0; 24_000];
        let plan = |pacing| plan_speech(now, pacing, "a b", &samples, Format::PCM16_24K).1;
        assert_eq!(plan(Pacing::Realtime) - now, Duration::from_secs(1));
        assert_eq!(plan(Pacing::Instant), now);
        let text = plan_text(now, Pacing::Realtime, "a b c").1;
        assert_eq!(text - now, Duration::from_millis(3 * WORD_MS));
    }

    #[test]
    fn an_answer_without_words_or_sound_still_begins_and_ends() {
        let now = Instant::now();
        let (ops, _) = plan_speech(now, Pacing::Instant, "", &[], Format::PCM16_24K);
        let ops: Vec<_> = ops.into_iter().map(|(_, op)| op).collect();
        assert_eq!(ops, [Op::BeginMessage { spoken: true }, Op::End]);
    }
}
