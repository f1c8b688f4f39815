//! What the table positively knows to be wrong is refused before it is sent. What it does not know
//! (a brand voice, a new model, a new field) passes as it is.

use serde_json::Value;

use super::Dialect;
use super::table::FormatRule;
use crate::error::{Error, Kind, Result};
use crate::wire::{ClientEvent, Item, Session};

/// A check that can be switched off by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// The model name lacks what the dialect demands.
    Model,
    /// The voice has no such role.
    Role,
    /// The dialect has no such event.
    Event,
    /// The dialect takes no such item.
    Item,
    /// The dialect takes no such audio format.
    Format,
    /// The dialect has no such field in its session.
    Field,
    /// The dialect takes one modality at a time.
    Modality,
    /// The input buffer holds less audio than a commit needs.
    Commit,
    /// One append holds more audio than the server takes, or half a sample.
    Append,
    /// The conversation has a response already: wishes for one wait for their turn.
    Turn,
}

impl Check {
    /// Every check.
    pub const ALL: &'static [Self] = &[
        Self::Model,
        Self::Role,
        Self::Event,
        Self::Item,
        Self::Format,
        Self::Field,
        Self::Modality,
        Self::Commit,
        Self::Append,
        Self::Turn,
    ];

    /// The name used in options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Role => "role",
            Self::Event => "event",
            Self::Item => "item",
            Self::Format => "format",
            Self::Field => "field",
            Self::Modality => "modality",
            Self::Commit => "commit",
            Self::Append => "append",
            Self::Turn => "turn",
        }
    }

    /// The check of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|check| check.name() == name)
    }
}

/// Which checks are switched off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waived(Vec<Check>);

impl Waived {
    /// Switches off the given checks.
    pub fn new(checks: impl IntoIterator<Item = Check>) -> Self {
        Self(checks.into_iter().collect())
    }

    /// Whether a check is to be made.
    pub fn wants(&self, check: Check) -> bool {
        !self.0.contains(&check)
    }
}

fn refuse(message: String) -> Result<()> {
    Err(Error::new(Kind::Refused, message))
}

impl Dialect {
    /// Judges a model name.
    pub fn check_model(&self, model: Option<&str>, waived: &Waived) -> Result<()> {
        let rule = &self.table().model;
        if !waived.wants(Check::Model) {
            return Ok(());
        }
        match (model, &rule.prefix) {
            (Some(model), Some(prefix)) if !model.starts_with(prefix.as_str()) => {
                let form = rule.template.as_deref().unwrap_or(prefix);
                refuse(format!(
                    "model `{model}` is not of the form {form}: give the folder too"
                ))
            }
            _ => Ok(()),
        }
    }

    /// Judges an event before it is sent. `effective` is the session as the server acknowledged it.
    pub fn check_event(
        &self,
        event: &ClientEvent,
        effective: &Session,
        waived: &Waived,
    ) -> Result<()> {
        if waived.wants(Check::Event) {
            self.require_event(event.name())?;
        }
        match event {
            ClientEvent::SessionUpdate(update) => {
                self.check_session(&update.session, effective, waived)
            }
            ClientEvent::ItemCreate(create) => self.check_item(&create.item, waived),
            ClientEvent::Append(append) if waived.wants(Check::Append) => {
                let most = self.table().limits.append_max_bytes as usize;
                match append.audio.len() {
                    n if n > most => {
                        refuse(format!("an append of {n} bytes: at most {most} are taken"))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn check_session(&self, patch: &Session, effective: &Session, waived: &Waived) -> Result<()> {
        if waived.wants(Check::Role) {
            self.check_role(patch, effective)?;
        }
        if waived.wants(Check::Format) {
            for pointer in ["/audio/input/format", "/audio/output/format"] {
                self.check_format(patch, pointer)?;
            }
        }
        if waived.wants(Check::Field) {
            let lost = self.table().session_map.iter().find(|place| {
                let value = patch.pointer(&place.canonical);
                value.is_some_and(|value| place.loses(value))
            });
            if let Some(place) = lost {
                let (name, pointer) = (self.name(), &place.canonical);
                return refuse(format!("{name} has no session field {pointer}"));
            }
        }
        let both = patch
            .pointer("/output_modalities")
            .and_then(Value::as_array)
            .map(Vec::len);
        if waived.wants(Check::Modality) && both > Some(1) && !self.can("both_modalities") {
            return refuse(format!("{} answers in one modality at a time", self.name()));
        }
        Ok(())
    }

    fn check_role(&self, patch: &Session, effective: &Session) -> Result<()> {
        let text = |session: &Session, pointer: &str| {
            session
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let Some(role) = text(patch, "/audio/output/role") else {
            return Ok(());
        };
        let voice = text(patch, "/audio/output/voice")
            .or_else(|| text(effective, "/audio/output/voice"))
            .unwrap_or_else(|| self.table().defaults.voice.clone());
        match self.table().voices.get(&voice) {
            Some(roles) if roles.is_empty() => {
                refuse(format!("voice `{voice}` has no roles, `{role}` was asked"))
            }
            Some(roles) if !roles.contains(&role) => refuse(format!(
                "voice `{voice}` has no role `{role}`: it has {}",
                roles.join(", ")
            )),
            _ => Ok(()),
        }
    }

    fn check_format(&self, patch: &Session, pointer: &str) -> Result<()> {
        let Some(kind) = patch.pointer(pointer).and_then(|f| f.get("type")?.as_str()) else {
            return Ok(());
        };
        let rate = patch.pointer(pointer).and_then(|f| f.get("rate")?.as_u64());
        let rules: Vec<&FormatRule> = self
            .table()
            .formats
            .iter()
            .filter(|f| f.kind == kind)
            .collect();
        if rules.is_empty() {
            return refuse(format!("{} takes no audio of type {kind}", self.name()));
        }
        let in_range = |rule: &&FormatRule| match (rule.rates_hz, rate) {
            (Some(range), Some(rate)) => {
                (u64::from(range.from)..=u64::from(range.to)).contains(&rate)
            }
            _ => true,
        };
        if rules.iter().any(in_range) {
            return Ok(());
        }
        refuse(format!(
            "{} takes no {kind} of {} Hz",
            self.name(),
            rate.unwrap_or_default()
        ))
    }

    fn check_item(&self, item: &Item, waived: &Waived) -> Result<()> {
        let by_agent = item.kind == "message" && item.role.as_deref() == Some("assistant");
        if waived.wants(Check::Item) && by_agent && !self.can("assistant_items") {
            return refuse(format!("{} takes no items of role assistant", self.name()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::format::Format;
    use crate::wire::client::{ItemCreate, SessionUpdate};

    fn update(session: Session) -> ClientEvent {
        ClientEvent::SessionUpdate(SessionUpdate { session })
    }

    #[test]
    fn what_the_table_knows_to_be_wrong_is_refused_and_can_be_waived() {
        let vocal = Dialect::named("yandex").expect("built in");
        let plain = Dialect::named("openai").expect("built in");
        let agent = Item::assistant_text("hello");
        let item = ClientEvent::ItemCreate(ItemCreate {
            item: agent,
            ..ItemCreate::default()
        });
        let narrow = Session::new().input_format(Format::Pcm16 { rate_hz: 8_000 });
        let both = Session::new().set("/output_modalities", serde_json::json!(["text", "audio"]));
        let cases = [
            (
                &vocal,
                update(Session::new().voice("john").role("good")),
                Check::Role,
            ),
            (
                &vocal,
                update(Session::new().voice("marina").role("evil")),
                Check::Role,
            ),
            (&vocal, item, Check::Item),
            (&plain, update(narrow), Check::Format),
            (&plain, update(both), Check::Modality),
        ];
        for (dialect, event, check) in cases {
            let judge = |waived| dialect.check_event(&event, &Session::new(), &waived);
            let error = judge(Waived::default()).expect_err(check.name());
            assert_eq!(error.kind(), Kind::Refused, "{error}");
            judge(Waived::new([check])).expect("waived");
        }
    }

    #[test]
    fn a_field_that_would_be_lost_on_the_way_is_refused() {
        let flat = Dialect::named("openai-beta").expect("built in");
        let judge =
            |session| flat.check_event(&update(session), &Session::new(), &Waived::default());
        let prompt = Session::new().set("/prompt", serde_json::json!({"id": "p"}));
        let error = judge(prompt).expect_err("no such field");
        assert!(error.message().contains("/prompt"), "{error}");
        for fine in [
            Session::new().set("/type", serde_json::json!("realtime")),
            Session::new().set("/prompt", Value::Null),
            Session::new().voice("alloy").server_vad(500),
        ] {
            judge(fine).expect("passes");
        }
    }

    #[test]
    fn the_formats_of_every_dialect_are_judged_by_its_own_table() {
        let rate = |rate_hz| update(Session::new().output_format(Format::Pcm16 { rate_hz }));
        for (name, rate_hz, fits) in [
            ("openai-beta", 24_000, true),
            ("openai-beta", 16_000, false),
            ("azure", 8_000, false),
            ("azure-preview", 24_000, true),
            ("voicelive", 16_000, true),
            ("voicelive", 44_100, false),
        ] {
            let dialect = Dialect::named(name).expect("built in");
            let event = rate(rate_hz);
            let judged = dialect.check_event(&event, &Session::new(), &Waived::default());
            assert_eq!(judged.is_ok(), fits, "{name} at {rate_hz}");
        }
    }

    #[test]
    fn what_the_table_does_not_know_passes() {
        let dialect = Dialect::named("yandex").expect("built in");
        let brand = update(Session::new().voice("my-brand-voice").role("solemn"));
        dialect
            .check_event(&brand, &Session::new(), &Waived::default())
            .expect("passes");
        dialect
            .check_model(Some("gpt://f/of-tomorrow"), &Waived::default())
            .expect("passes");
        let bare = dialect.check_model(Some("speech-realtime"), &Waived::default());
        assert!(
            bare.expect_err("refused")
                .message()
                .contains("gpt://{folder}/{model}")
        );
    }

    #[test]
    fn a_role_is_judged_by_the_voice_in_use() {
        let dialect = Dialect::named("yandex").expect("built in");
        let role = update(Session::new().role("whisper"));
        let using =
            |voice| dialect.check_event(&role, &Session::new().voice(voice), &Waived::default());
        assert!(using("alena").is_err());
        assert!(using("yulduz").is_ok());
    }
}
