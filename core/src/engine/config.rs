//! Settings: what was wanted, what the server acknowledged.

use std::collections::VecDeque;

use crate::audio::format::Format;
use crate::dialect::{Dialect, Quirk};
use crate::wire::{Map, Session};

/// Settings of the session. Only what is acknowledged counts.
#[derive(Debug, Default)]
pub(super) struct Config {
    wanted: Session,
    acknowledged: Session,
    /// What was asked for and acknowledged, as one patch.
    agreed: Session,
    /// What was asked for and not answered yet, by its event, oldest first.
    waiting: VecDeque<(String, Session)>,
    /// Whether what is acknowledged was told by an answer, and once only.
    may_be_repeated: bool,
}

/// Most updates to remember: more wait only where the server answers nothing.
const WAITING_MOST: usize = 64;

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledged {
    /// It is news for the application.
    News,
    /// The same once more, of a server known to repeat itself.
    Repeated,
    /// The same once more while another update waits: a repetition, or the answer of a server that
    /// took nothing of that update over. Only time tells.
    Doubtful,
}

impl Config {
    /// Settings that will be asked for first.
    pub(super) fn new(wanted: &Session) -> Self {
        Self {
            wanted: wanted.clone(),
            ..Self::default()
        }
    }

    pub(super) fn sent(&mut self, event_id: &str, patch: &Session) {
        self.wanted.merge(patch);
        if self.waiting.len() == WAITING_MOST {
            self.waiting.pop_front();
        }
        self.waiting.push_back((event_id.to_owned(), patch.clone()));
    }

    /// What was in doubt was the answer.
    pub(super) fn undoubted(&mut self) {
        self.agree();
    }

    fn agree(&mut self) {
        if let Some((_, patch)) = self.waiting.pop_front() {
            self.agreed.merge(&patch);
        }
    }

    /// What a new link is asked for, to be as this one is.
    pub(super) fn agreed(&self) -> &Session {
        &self.agreed
    }

    /// The server refused an event: if it was an update, none that follows answers it.
    pub(super) fn refused(&mut self, event_id: &str) {
        let Some(at) = self.waiting.iter().position(|(id, _)| id == event_id) else {
            return;
        };
        self.waiting.remove(at);
        self.wanted = self.acknowledged.clone();
        for (_, patch) in &self.waiting {
            self.wanted.merge(patch);
        }
    }

    pub(super) fn greeted(&mut self, session: &Session) {
        self.acknowledged = session.clone();
    }

    pub(super) fn updated(&mut self, session: &Session, dialect: &Dialect) -> Acknowledged {
        let is_same = *session == self.acknowledged;
        if is_same && dialect.has(Quirk::RepeatedSessionUpdated) && self.is_repetition() {
            self.may_be_repeated = false;
            return match self.waiting.is_empty() {
                true => Acknowledged::Repeated,
                false => Acknowledged::Doubtful,
            };
        }
        self.agree();
        self.acknowledged = session.clone();
        self.may_be_repeated = true;
        Acknowledged::News
    }

    /// Whether what is acknowledged already repeats itself, rather than answering the next update.
    /// An update that changes nothing looks the same and is answered; a server that took nothing of
    /// an update over does so, too, but it is not known to tell anything three times.
    fn is_repetition(&self) -> bool {
        let Some((_, next)) = self.waiting.front() else {
            return true;
        };
        let (mut changed, mut next) = (self.acknowledged.clone(), next.clone());
        // It never changes, and not every server repeats it.
        next.0.remove("type");
        changed.merge(&next);
        self.may_be_repeated && changed != self.acknowledged
    }

    /// Says of which type the session is, where there are types: as asked for, or else as greeted.
    pub(super) fn name_type(&self, patch: &mut Map, dialect: &Dialect) {
        if dialect.can("session_type") && !patch.contains_key("type") {
            let known = self.wanted.0.get("type");
            let known = known.or_else(|| self.acknowledged.0.get("type"));
            let known = known.cloned().unwrap_or_else(|| "realtime".into());
            patch.insert("type".to_owned(), known);
        }
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
    fn an_update_names_the_type_that_was_asked_for_where_the_dialect_has_types() {
        let typed = |config: &Config, profile: &str, patch: serde_json::Value| {
            let mut patch = patch.as_object().expect("an object").clone();
            config.name_type(&mut patch, &Dialect::named(profile).expect("built in"));
            serde_json::Value::from(patch)
        };
        let mut config = Config::default();
        let tools = json!({"tools": []});
        let named = json!({"tools": [], "type": "realtime"});
        assert_eq!(typed(&config, "openai", tools.clone()), named);
        for free in ["openai-beta", "azure-preview", "voicelive"] {
            assert_eq!(typed(&config, free, tools.clone()), tools);
        }
        config.sent("e", &Session::new().set("/type", json!("transcription")));
        let named = json!({"tools": [], "type": "transcription"});
        assert_eq!(typed(&config, "azure", tools), named);
        let theirs = json!({"type": "realtime"});
        assert_eq!(typed(&config, "openai", theirs.clone()), theirs);
    }

    #[test]
    fn only_the_acknowledged_format_counts_and_a_null_rate_reads_as_the_wanted_one() {
        let dialect = Dialect::named("yandex").expect("built in");
        let mut config = Config::default();
        assert_eq!(config.output_format(&dialect).rate_hz(), 44_100);
        config.sent(
            "e",
            &Session::new().output_format(Format::Pcm16 { rate_hz: 8_000 }),
        );
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
            config.sent("e", &session);
            assert_eq!(config.updated(&session, &dialect), Acknowledged::News);
            assert_eq!(config.updated(&session, &dialect), second);
        }
    }

    #[test]
    fn a_repetition_does_not_answer_the_next_update() {
        use Acknowledged::{Doubtful, News, Repeated};

        let dialect = Dialect::named("yandex").expect("built in");
        let mut config = Config::default();
        let (first, second) = (
            Session::new().voice("marina"),
            Session::new().voice("ermil"),
        );
        config.sent("e", &first);
        assert_eq!(config.updated(&first, &dialect), News);
        config.sent("e", &second);
        let told = [&first, &first, &second, &second].map(|s| config.updated(s, &dialect));
        // Twice is known; a third one is the answer of a server that took nothing over.
        assert_eq!(told, [Doubtful, News, News, Repeated]);
    }

    #[test]
    fn an_update_that_changes_nothing_is_answered_by_the_same_settings() {
        let dialect = Dialect::named("yandex").expect("built in");
        let mut config = Config::default();
        let same = Session::new().voice("marina");
        config.greeted(&same);
        for _ in 0..2 {
            config.sent("e", &same);
            assert_eq!(config.updated(&same, &dialect), Acknowledged::News);
        }
    }

    #[test]
    fn the_first_acknowledgement_may_be_what_the_greeting_said() {
        let dialect = Dialect::named("yandex").expect("built in");
        let mut config = Config::default();
        let greeting = Session::new().voice("marina");
        config.greeted(&greeting);
        config.sent("e", &Session::new().voice("ermil"));
        assert_eq!(config.updated(&greeting, &dialect), Acknowledged::News);
    }

    #[test]
    fn an_answer_after_a_refusal_is_for_the_next_update() {
        let dialect = Dialect::named("openai").expect("built in");
        let mut config = Config::default();
        config.sent("a", &Session::new().voice("ermil"));
        config.sent("b", &Session::new().instructions("Be brief."));
        config.refused("a");
        let session = Session::new().voice("alloy").instructions("Be brief.");
        config.updated(&session, &dialect);
        assert_eq!(*config.agreed(), Session::new().instructions("Be brief."));
    }
}
