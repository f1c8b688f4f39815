//! The session's configuration: how a patch changes it, and typed views.

use std::sync::Arc;

use serde_json::{Value, json};
use talkwire_core::audio::format::Format;
use talkwire_core::dialect::Dialect;
use talkwire_core::wire::session::Modality;
use talkwire_core::wire::{Item, Map, Session};

use crate::caps;
use crate::context::Truncation;
use crate::error::{Judged, Problem};
use crate::initial::detection_defaults;
use crate::pause::Eagerness;
use crate::schema::{self, RESPONSE, SESSION, TRANSCRIPTION};

/// The effective configuration.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) dialect: Arc<Dialect>,
    pub(crate) session: Session,
}

/// What speaks against some changes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Circumstances {
    /// The agent has spoken.
    pub(crate) has_spoken: bool,
    /// Audio waits in the input buffer.
    pub(crate) has_input: bool,
}

/// How turns end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TurnDetection {
    /// Probability above which a frame is speech.
    pub(crate) threshold: f32,
    /// Audio kept before speech.
    pub(crate) prefix_ms: u64,
    /// Silence that ends a turn.
    pub(crate) silence_ms: u64,
    /// Whether a turn is answered by itself.
    pub(crate) create_response: bool,
    /// Whether speech stops the running answer.
    pub(crate) interrupt_response: bool,
    /// Words, not silence alone, tell whether a turn is over.
    pub(crate) eagerness: Option<Eagerness>,
    /// Silence after which the agent speaks by itself.
    pub(crate) idle_ms: Option<u64>,
}

/// What one response is made with: the session's settings and the overrides of its request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) settings: Settings,
    /// Whether its items go into the conversation.
    pub(crate) in_conversation: bool,
    /// Own input instead of the conversation.
    pub(crate) input: Option<Vec<Value>>,
    /// The items of that input, once they are found.
    pub(crate) items: Option<Vec<Item>>,
    pub(crate) metadata: Option<Map>,
    /// Whether the end of a detected turn asked for it, not the client.
    pub(crate) by_turn: bool,
}

pub(crate) const TURN_DETECTION: &str = "/audio/input/turn_detection";
pub(crate) const INPUT_FORMAT: &str = "/audio/input/format";
pub(crate) const OUTPUT_FORMAT: &str = "/audio/output/format";
pub(crate) const VOICE: &str = "/audio/output/voice";
pub(crate) const ROLE: &str = "/audio/output/role";

/// Values that a patch replaces whole.
const WHOLE: &[&str] = &[
    INPUT_FORMAT,
    OUTPUT_FORMAT,
    VOICE,
    "/tool_choice",
    "/truncation",
    "/prompt",
    "/tracing",
    "/reasoning",
];

impl Settings {
    /// Whether the session only transcribes.
    pub(crate) fn is_transcription(&self) -> bool {
        self.session.pointer("/type") == Some(&json!("transcription"))
    }

    /// Most tokens that a response reads: the window without what it may write.
    pub(crate) fn window_tokens(&self) -> u64 {
        let limits = &self.dialect.table().limits;
        u64::from(limits.context_tokens.saturating_sub(limits.output_tokens))
    }

    /// What is to happen to a conversation that outgrows the window.
    pub(crate) fn truncation(&self) -> Truncation {
        let value = self.echo("/truncation");
        match value["retention_ratio"].as_f64() {
            Some(ratio) => Truncation::Retain(ratio),
            None if value == "disabled" => Truncation::Disabled,
            None => Truncation::Auto,
        }
    }

    /// All of it, for the wire.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The session's one conversation, as `conversation.created` tells it. Its id needs no state of
    /// its own.
    pub(crate) fn conversation(&self) -> Map {
        let id = self.session.id().unwrap_or_default();
        let id = id.replacen("sess_", "conv_", 1);
        let conversation = [
            ("id".to_owned(), json!(id)),
            ("object".to_owned(), json!("realtime.conversation")),
        ];
        conversation.into_iter().collect()
    }

    /// Judges a patch and takes it over, whole or not at all.
    pub(crate) fn update(&mut self, patch: &Map, around: Circumstances) -> Judged<()> {
        let fields = if self.is_transcription() {
            TRANSCRIPTION
        } else {
            SESSION
        };
        let clean = schema::judge(patch, fields, "session", &self.dialect)?;
        let insists = self.dialect.table().strict && self.dialect.can("session_type");
        if insists && !clean.contains_key("type") {
            return Err(Problem::missing("session.type"));
        }
        caps::judge(&clean, "session", self.window_tokens())?;
        let changed = self.patched(clean, "session")?;
        if changed.voice() != self.voice() && around.has_spoken && !self.dialect.can("voice_change")
        {
            let message = "Cannot update a conversation's voice if assistant audio is present.";
            let problem = Problem::new("cannot_update_voice", message);
            return Err(problem.at("session.audio.output.voice"));
        }
        if changed.input_format() != self.input_format() && around.has_input {
            let message = "The input format cannot change while the input buffer holds audio.";
            return Err(Problem::value("session.audio.input.format", message));
        }
        self.judge_tracing(&changed)?;
        *self = changed;
        Ok(())
    }

    /// Tracing is said once; clients that write out all they know repeat it.
    fn judge_tracing(&self, changed: &Self) -> Judged<()> {
        let (old, new) = (self.echo("/tracing"), changed.echo("/tracing"));
        if !self.dialect.table().strict || old.is_null() || new.is_null() || old == new {
            return Ok(());
        }
        let message = "Tracing cannot be changed once it is on.";
        Err(Problem::value("session.tracing", message))
    }

    /// Judges the `response` of a `response.create`.
    pub(crate) fn request(&self, overrides: &Map) -> Judged<Request> {
        let mut clean = schema::judge(overrides, RESPONSE, "response", &self.dialect)?;
        caps::judge(&clean, "response", self.window_tokens())?;
        let conversation = clean.remove("conversation");
        let input = match clean.remove("input") {
            None => None,
            Some(Value::Array(items)) => Some(items),
            Some(_) => return Err(Problem::kind("response.input", "an array")),
        };
        let metadata = match clean.remove("metadata") {
            None | Some(Value::Null) => None,
            Some(Value::Object(map)) => Some(map),
            Some(_) => return Err(Problem::kind("response.metadata", "an object")),
        };
        Ok(Request {
            settings: self.patched(clean, "response")?,
            in_conversation: conversation.as_ref().and_then(Value::as_str) != Some("none"),
            input,
            items: None,
            metadata,
            by_turn: false,
        })
    }

    fn patched(&self, mut clean: Map, path: &str) -> Judged<Self> {
        // Fixed by the URL; clients repeat it all the same.
        clean.remove("model");
        let mut changed = self.clone();
        changed.complete_detection(&mut clean)?;
        schema::make_room(&mut changed.session.0, &clean, WHOLE);
        changed.session.merge(&Session(clean.clone()));
        let patch = Session(clean);
        changed.judge_tool_choice(&patch, path)?;
        changed.judge_role(&patch, path)?;
        Ok(changed)
    }

    /// A function that is to be called is among the tools.
    fn judge_tool_choice(&self, patch: &Session, path: &str) -> Judged<()> {
        let choice = patch.pointer("/tool_choice");
        let name = choice.filter(|choice| choice["type"] == "function");
        let name = name.and_then(|choice| choice["name"].as_str());
        match name {
            Some(name) if self.dialect.table().strict && !self.offers(name) => {
                let message = format!("Tool choice '{name}' not found in 'tools' parameter.");
                Err(Problem::value(format!("{path}.tool_choice"), message))
            }
            _ => Ok(()),
        }
    }

    /// A turn detection of another type than the current one starts from that type's defaults.
    fn complete_detection(&mut self, clean: &mut Map) -> Judged<()> {
        let patch = Session(clean.clone());
        let Some(Value::Object(wanted)) = patch.pointer(TURN_DETECTION) else {
            return Ok(());
        };
        let current = self.session.pointer(TURN_DETECTION);
        let current_kind = current.and_then(|d| d.get("type")?.as_str());
        let kind = match wanted.get("type").and_then(Value::as_str) {
            Some(kind) => kind,
            None if current_kind.is_none() && self.dialect.table().strict => {
                return Err(Problem::missing("session.audio.input.turn_detection.type"));
            }
            None => current_kind.unwrap_or("server_vad"),
        };
        if current_kind != Some(kind) {
            let defaults = detection_defaults(&self.dialect, kind);
            self.session = std::mem::take(&mut self.session).set(TURN_DETECTION, defaults);
        }
        Ok(())
    }

    /// A role the voice lacks breaks synthesis at such vendors, so it is refused here. A voice that
    /// lacks the role in use gets its own first one.
    fn judge_role(&mut self, patch: &Session, path: &str) -> Judged<()> {
        let Some(roles) = self.dialect.table().voices.get(self.voice()) else {
            return Ok(());
        };
        let role = self.session.pointer(ROLE).and_then(Value::as_str);
        if !self.dialect.can("voice_roles") || role.is_none_or(|r| roles.iter().any(|x| x == r)) {
            return Ok(());
        }
        if patch.pointer(ROLE).is_some() {
            let message = format!(
                "The voice '{}' has no role '{}'.",
                self.voice(),
                role.unwrap_or_default()
            );
            return Err(Problem::value(format!("{path}.audio.output.role"), message));
        }
        let first = json!(roles.first());
        self.session = std::mem::take(&mut self.session).set(ROLE, first);
        Ok(())
    }

    /// Format of the caller's audio.
    pub(crate) fn input_format(&self) -> Format {
        let fallback_hz = self.dialect.table().defaults.input_rate_hz;
        let format = self.session.format_at(INPUT_FORMAT, fallback_hz);
        format.expect("the format was judged when it was set")
    }

    /// Format of the agent's audio.
    pub(crate) fn output_format(&self) -> Format {
        let fallback_hz = self.dialect.table().defaults.output_rate_hz;
        let format = self.session.format_at(OUTPUT_FORMAT, fallback_hz);
        format.expect("the format was judged when it was set")
    }

    /// What answers are made of; audio where both are asked for, as audio has a transcript.
    pub(crate) fn modality(&self) -> Modality {
        let asked = self.session.pointer("/output_modalities");
        let asked = asked.and_then(Value::as_array);
        if asked.is_some_and(|all| all.iter().all(|name| name == "text")) {
            return Modality::Text;
        }
        Modality::Audio
    }

    /// How turns end; `None` means the client commits by hand.
    pub(crate) fn turn_detection(&self) -> Option<TurnDetection> {
        let detection = self.session.pointer(TURN_DETECTION)?.as_object()?;
        let defaults = &self.dialect.table().defaults;
        let ms = |key: &str, default: u32| {
            let value = detection.get(key).and_then(Value::as_u64);
            value.unwrap_or_else(|| u64::from(default))
        };
        let flag = |key: &str| detection.get(key).and_then(Value::as_bool).unwrap_or(true);
        let threshold = detection.get("threshold").and_then(Value::as_f64);
        let is_semantic = detection.get("type").and_then(Value::as_str) == Some("semantic_vad");
        let eagerness = detection.get("eagerness").and_then(Value::as_str);
        let idle_ms = detection.get("idle_timeout_ms").and_then(Value::as_u64);
        let may_idle = !is_semantic && self.dialect.can("idle_timeout");
        Some(TurnDetection {
            eagerness: is_semantic.then(|| Eagerness::named(eagerness.unwrap_or_default())),
            idle_ms: idle_ms.filter(|ms| may_idle && *ms > 0),
            threshold: threshold.map_or(defaults.vad_threshold, |t| t as f32),
            prefix_ms: ms("prefix_padding_ms", defaults.vad_prefix_ms),
            silence_ms: ms("silence_duration_ms", defaults.vad_silence_ms),
            create_response: flag("create_response"),
            interrupt_response: flag("interrupt_response"),
        })
    }

    /// Whether the client asked for transcripts of the caller.
    pub(crate) fn wants_transcripts(&self) -> bool {
        let asked = self.session.pointer("/audio/input/transcription");
        self.is_transcription() || asked.is_some_and(Value::is_object)
    }

    /// Name of the voice.
    pub(crate) fn voice(&self) -> &str {
        let voice = self.session.pointer(VOICE);
        let name = voice.and_then(|v| {
            v.as_str()
                .or_else(|| v.get("id").or_else(|| v.get("name"))?.as_str())
        });
        name.unwrap_or_default()
    }

    /// The system prompt.
    pub(crate) fn instructions(&self) -> &str {
        let text = self.session.pointer("/instructions");
        text.and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether functions may be called at all.
    pub(crate) fn allows_tools(&self) -> bool {
        self.session.pointer("/tool_choice") != Some(&json!("none"))
    }

    /// The functions that may be called, and how they are to be chosen.
    pub(crate) fn tools(&self) -> (&[Value], Option<&Value>) {
        let tools = self.session.pointer("/tools").and_then(Value::as_array);
        (
            tools.map_or(&[], Vec::as_slice),
            self.session.pointer("/tool_choice"),
        )
    }

    /// Whether a function of that name is among the tools.
    pub(crate) fn offers(&self, name: &str) -> bool {
        let tools = self.session.pointer("/tools").and_then(Value::as_array);
        let is_it = |tool: &Value| tool["type"] == "function" && tool["name"] == name;
        self.allows_tools() && tools.is_some_and(|tools| tools.iter().any(is_it))
    }

    /// Most tokens of an answer.
    pub(crate) fn max_tokens(&self) -> Option<u64> {
        self.session.pointer("/max_output_tokens")?.as_u64()
    }

    /// The fields a response repeats.
    pub(crate) fn echo(&self, pointer: &str) -> Value {
        self.session.pointer(pointer).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(profile: &str) -> Settings {
        let dialect = Dialect::named(profile).expect("built in");
        Settings::new(dialect, "sess_1", "m", 1)
    }

    fn patch(settings: &mut Settings, value: Value) -> Judged<()> {
        patch_when(settings, value, Circumstances::default())
    }

    fn patch_when(settings: &mut Settings, mut value: Value, around: Circumstances) -> Judged<()> {
        value["type"] = json!("realtime");
        settings.update(value.as_object().expect("an object"), around)
    }

    #[test]
    fn an_update_says_of_which_type_its_session_is_where_the_dialect_insists_on_it() {
        let untyped = json!({"instructions": "x"});
        let untyped = untyped.as_object().expect("an object");
        let mut strict = settings("openai");
        let problem = strict.update(untyped, Circumstances::default());
        let event = problem.expect_err("no type").into_event(None);
        assert_eq!(event.to_fields()["error"]["param"], "session.type");
        let mut lenient = settings("yandex");
        lenient
            .update(untyped, Circumstances::default())
            .expect("fine");
    }

    #[test]
    fn a_patch_changes_what_it_names_and_a_wrong_one_changes_nothing() {
        let mut s = settings("openai");
        let before = s.session().clone();
        patch(
            &mut s,
            json!({"instructions": "X", "audio": {"input": {"turn_detection": null}}}),
        )
        .expect("fine");
        assert_eq!(s.instructions(), "X");
        assert!(s.turn_detection().is_none());
        assert_eq!(s.session().pointer(VOICE), before.pointer(VOICE));
        let now = s.session().clone();
        patch(&mut s, json!({"instructions": "Y", "foo": 1})).expect_err("unknown");
        assert_eq!(*s.session(), now);
        patch(&mut s, json!({"instructions": "", "tools": []})).expect("clears");
        assert_eq!(s.instructions(), "");
    }

    #[test]
    fn another_kind_of_turn_detection_starts_from_its_own_defaults() {
        let mut s = settings("openai");
        let detection =
            |kind: &str| json!({"audio": {"input": {"turn_detection": {"type": kind}}}});
        patch(&mut s, detection("semantic_vad")).expect("fine");
        let echo = s.echo(TURN_DETECTION);
        assert_eq!(echo["eagerness"], "auto");
        assert!(echo.get("threshold").is_none());
        patch(&mut s, detection("server_vad")).expect("fine");
        assert_eq!(s.echo(TURN_DETECTION)["silence_duration_ms"], 500);
        let some = json!({"audio": {"input": {"turn_detection": {"silence_duration_ms": 700}}}});
        patch(&mut s, some).expect("merges");
        let detection = s.turn_detection().expect("on");
        assert_eq!((detection.silence_ms, detection.prefix_ms), (700, 300));
    }

    #[test]
    fn a_new_format_keeps_no_field_of_the_old_one() {
        let mut s = settings("openai");
        let format = json!({"audio": {"output": {"format": {"type": "audio/pcma"}}}});
        patch(&mut s, format).expect("fine");
        assert_eq!(s.echo(OUTPUT_FORMAT), json!({"type": "audio/pcma"}));
        assert_eq!(s.output_format(), Format::Alaw);
    }

    #[test]
    fn the_voice_is_fixed_once_heard_where_the_dialect_says_so() {
        let spoken = Circumstances {
            has_spoken: true,
            ..Circumstances::default()
        };
        let voice = |name: &str| json!({"audio": {"output": {"voice": name}}});
        let mut strict = settings("openai");
        let problem = patch_when(&mut strict, voice("ash"), spoken).expect_err("too late");
        assert_eq!(problem.param(), Some("session.audio.output.voice"));
        patch_when(&mut strict, voice("alloy"), spoken).expect("no change");
        let mut lenient = settings("yandex");
        patch_when(&mut lenient, voice("dasha"), spoken).expect("fine");
        assert_eq!(lenient.voice(), "dasha");
    }

    #[test]
    fn a_role_fits_its_voice() {
        let mut s = settings("yandex");
        let output = |value: Value| json!({"audio": {"output": value}});
        patch(&mut s, output(json!({"role": "whisper"}))).expect("marina whispers");
        patch(&mut s, output(json!({"voice": "masha"}))).expect("takes her first role");
        assert_eq!(s.echo(ROLE), "good");
        let problem = patch(&mut s, output(json!({"role": "whisper"}))).expect_err("cannot");
        assert_eq!(problem.param(), Some("session.audio.output.role"));
    }

    #[test]
    fn the_input_format_does_not_change_under_waiting_audio() {
        let mut s = settings("yandex");
        let waiting = Circumstances {
            has_input: true,
            ..Circumstances::default()
        };
        let rate = json!({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 8000}}}});
        patch_when(&mut s, rate.clone(), waiting).expect_err("audio waits");
        patch(&mut s, rate).expect("fine");
        assert_eq!(s.input_format().rate_hz(), 8000);
    }

    #[test]
    fn a_response_overrides_for_itself_only() {
        let s = settings("openai");
        let overrides = json!({"output_modalities": ["text"], "instructions": null,
            "conversation": "none", "metadata": {"a": "b"}});
        let request = s
            .request(overrides.as_object().expect("object"))
            .expect("fine");
        assert_eq!(request.settings.modality(), Modality::Text);
        assert_eq!(request.settings.instructions(), s.instructions());
        assert!(!request.in_conversation);
        assert_eq!(request.metadata.expect("there")["a"], "b");
        assert_eq!(s.modality(), Modality::Audio);
    }
}
