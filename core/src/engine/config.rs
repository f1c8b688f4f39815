//! Settings: what was wanted, what the server acknowledged.

use crate::audio::format::Format;
use crate::dialect::{Dialect, Quirk};
use crate::wire::Session;

/// Settings of the session. Only what is acknowledged counts.
#[derive(Debug, Default)]
pub(super) struct Config {
    wanted: Session,
    acknowledged: Session,
    waiting: u32,
}

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledged {
    /// It is news for the application.
    News,
    /// The same once more, of a server known to repeat itself.
    Repeated,
}

impl Config {
    /// Settings that will be asked for first.
    pub(super) fn new(wanted: &Session) -> Self {
        Self {
            wanted: wanted.clone(),
            ..Self::default()
        }
    }

    pub(super) fn sent(&mut self, patch: &Session) {
        self.wanted.merge(patch);
        self.waiting += 1;
    }

    pub(super) fn refused(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
        self.wanted = self.acknowledged.clone();
    }

    pub(super) fn greeted(&mut self, session: &Session) {
        self.acknowledged = session.clone();
    }

    pub(super) fn updated(&mut self, session: &Session, dialect: &Dialect) -> Acknowledged {
        let repeated = self.waiting == 0
            && dialect.has(Quirk::RepeatedSessionUpdated)
            && *session == self.acknowledged;
        if repeated {
            return Acknowledged::Repeated;
        }
        self.waiting = self.waiting.saturating_sub(1);
        self.acknowledged = session.clone();
        Acknowledged::News
    }

    pub(super) fn acknowledged(&self) -> &Session {
        &self.acknowledged
    }

    /// Whether the server cuts turns by itself.
    pub(super) fn detects_turns(&self) -> bool {
        let detection = self.acknowledged.pointer("/audio/input/turn_detection");
        detection.is_some_and(|value| !value.is_null())
    }

    /// Whether the server cancels its answer when it hears speech.
    pub(super) fn interrupts(&self) -> bool {
        self.detects_turns() && self.may_interrupt()
    }

    /// Whether it was not told otherwise, whatever it says of detecting turns.
    pub(super) fn may_interrupt(&self) -> bool {
        self.does("interrupt_response")
    }

    /// Whether the server answers a turn that it detected.
    pub(super) fn answers(&self) -> bool {
        self.detects_turns() && self.does("create_response")
    }

    /// The silence that ends a turn.
    pub(super) fn silence_ms(&self) -> u64 {
        let path = "/audio/input/turn_detection/silence_duration_ms";
        let ms = self.acknowledged.pointer(path);
        ms.and_then(serde_json::Value::as_u64).unwrap_or(0)
    }

    /// A setting of turn detection that is on unless it is switched off.
    fn does(&self, name: &str) -> bool {
        let detection = self.acknowledged.pointer("/audio/input/turn_detection");
        detection.and_then(|d| d.get(name)) != Some(&serde_json::Value::Bool(false))
    }

    /// Turn detection as acknowledged, with interruption left to us; nothing where it is already,
    /// or where the application has said who interrupts.
    pub(super) fn claim_interruption(&self, asked: &Session) -> Option<Session> {
        let path = "/audio/input/turn_detection/interrupt_response";
        if !self.interrupts() || asked.pointer(path).is_some() {
            return None;
        }
        let detection = self.acknowledged.pointer("/audio/input/turn_detection");
        let mut patch = Session::new().set("/audio/input/turn_detection", detection?.clone());
        patch = patch.set(path, serde_json::Value::Bool(false));
        Some(patch)
    }

    pub(super) fn input_format(&self, dialect: &Dialect) -> Format {
        self.format(
            "/audio/input/format",
            dialect.table().defaults.input_rate_hz,
        )
    }

    pub(super) fn output_format(&self, dialect: &Dialect) -> Format {
        self.format(
            "/audio/output/format",
            dialect.table().defaults.output_rate_hz,
        )
    }

    fn format(&self, pointer: &str, default_hz: u32) -> Format {
        // A server may echo a null rate; what was asked for is then the better guess.
        let wanted = self.wanted.format_at(pointer, default_hz);
        let fallback = wanted.map_or(default_hz, Format::rate_hz);
        let acknowledged = self.acknowledged.format_at(pointer, fallback);
        acknowledged.or(wanted).unwrap_or(Format::Pcm16 {
            rate_hz: default_hz,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_acknowledged_format_counts_and_a_null_rate_reads_as_the_wanted_one() {
        let dialect = Dialect::named("yandex").expect("built in");
        let mut config = Config::default();
        assert_eq!(config.output_format(&dialect).rate_hz(), 44_100);
        config.sent(&Session::new().output_format(Format::Pcm16 { rate_hz: 8_000 }));
        config.greeted(&Session::new().output_format(Format::PCM16_24K));
        assert_eq!(config.output_format(&dialect).rate_hz(), 24_000);
        let echo = Session::new().set(
            "/audio/output/format",
            json!({"type": "audio/pcm", "rate": null}),
        );
        config.updated(&echo, &dialect);
        assert_eq!(config.output_format(&dialect).rate_hz(), 8_000);
    }

    #[test]
    fn a_repeated_acknowledgement_is_no_news_where_the_dialect_is_known_for_it() {
        let session = Session::new().voice("marina");
        for (name, second) in [
            ("yandex", Acknowledged::Repeated),
            ("openai", Acknowledged::News),
        ] {
            let dialect = Dialect::named(name).expect("built in");
            let mut config = Config::default();
            config.sent(&session);
            assert_eq!(config.updated(&session, &dialect), Acknowledged::News);
            assert_eq!(config.updated(&session, &dialect), second);
        }
    }
}
