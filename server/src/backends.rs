//! The three back ends of a session and their names.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use talkwire_core::error::{Error, Kind, Result};

use crate::brain::{Brain, ChatBrain, Echo, HostBrain, Loop, ScriptBrain};
use crate::config::Config;
use crate::ears::{Deaf, DigitEars, Ears, ExecEars, HttpEars, ScriptEars};
use crate::host::Host;
use crate::script::Script;
use crate::upstream::{RawUpstream, Upstream};
use crate::voice::{Digits, ExecVoice, HttpVoice, Tone, Voice, WavVoice};

/// What answers, hears and speaks in one session.
#[derive(Debug)]
pub struct Backends {
    /// Decides what to answer.
    pub brain: Box<dyn Brain>,
    /// Turns the caller's sound into text.
    pub ears: Box<dyn Ears>,
    /// Turns answers into sound.
    pub voice: Box<dyn Voice>,
}

impl Default for Backends {
    /// Echo, deaf, with a voice of tones.
    fn default() -> Self {
        Self {
            brain: Box::new(Echo),
            ears: Box::new(Deaf),
            voice: Box::new(Tone),
        }
    }
}

/// How long a program of ears or voice may run, if nobody says it.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// A back end as somebody describes it.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// By a name, such as `echo`, `exec:COMMAND` or `http:URL`.
    Name(String),
    /// By a program and its limits.
    Exec(RawExec),
    /// By a server and what it is to be asked with.
    Http(RawUpstream),
}

/// A program as scripts describe it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawExec {
    pub(crate) command: String,
    #[serde(default)]
    pub(crate) limit_ms: Option<u64>,
}

/// The back ends that were chosen, checked.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    brain: BrainName,
    ears: EarsName,
    voice: VoiceName,
}

#[derive(Clone, Debug)]
enum BrainName {
    Echo,
    Loop,
    Script,
    Http(Upstream),
    Host(Arc<dyn Host>),
}

#[derive(Clone, Debug)]
enum EarsName {
    None,
    Script,
    Dtmf,
    Exec(Program),
    Http(Upstream),
}

#[derive(Clone, Debug)]
enum VoiceName {
    Tone,
    Wav,
    Dtmf,
    Exec(Program),
    Http(Upstream),
}

/// A program with its arguments, and how long it may run.
#[derive(Clone, Debug)]
struct Program {
    argv: Vec<String>,
    limit: Duration,
}

impl Names {
    /// Checks what configuration and script say; the configuration wins.
    pub(crate) fn new(config: &Config, script: &Script) -> Result<Self> {
        let pick = |own: &Option<String>, told: &Option<Told>, default: &str| {
            let own = own.as_ref().map(|name| Told::Name(name.clone()));
            let told = own.or_else(|| told.clone());
            told.unwrap_or_else(|| Told::Name(default.to_owned()))
        };
        let brain = if script.turns.is_empty() {
            "echo"
        } else {
            "script"
        };
        let voice = if config.script.is_some() {
            "wav"
        } else {
            "tone"
        };
        let base = &script.base;
        Ok(Self {
            brain: match &config.host {
                Some(host) => BrainName::Host(host.clone()),
                None => brain_name(pick(&config.brain, &script.brain, brain), base)?,
            },
            ears: ears_name(pick(&config.ears, &script.ears, "script"), base)?,
            voice: voice_name(pick(&config.voice, &script.voice, voice), base)?,
        })
    }

    /// Fresh back ends for one session.
    pub(crate) fn make(&self, script: &Script) -> Backends {
        Backends {
            brain: match &self.brain {
                BrainName::Echo => Box::new(Echo),
                BrainName::Loop => Box::new(Loop),
                BrainName::Script => Box::new(ScriptBrain::new(script.turns.clone())),
                BrainName::Http(upstream) => Box::new(ChatBrain::new(upstream.clone())),
                BrainName::Host(host) => Box::new(HostBrain(host.clone())),
            },
            ears: match &self.ears {
                EarsName::None => Box::new(Deaf),
                EarsName::Script => Box::new(ScriptEars::new(script.hears.iter().cloned())),
                EarsName::Dtmf => Box::new(DigitEars),
                EarsName::Exec(program) => {
                    Box::new(ExecEars::new(program.argv.clone(), program.limit))
                }
                EarsName::Http(upstream) => Box::new(HttpEars::new(upstream.clone())),
            },
            voice: match &self.voice {
                VoiceName::Tone => Box::new(Tone),
                VoiceName::Wav => Box::new(WavVoice::new(script.recordings.clone())),
                VoiceName::Dtmf => Box::new(Digits),
                VoiceName::Exec(program) => {
                    Box::new(ExecVoice::new(program.argv.clone(), program.limit))
                }
                VoiceName::Http(upstream) => Box::new(HttpVoice::new(upstream.clone())),
            },
        }
    }
}

fn brain_name(told: Told, base: &Path) -> Result<BrainName> {
    const KNOWN: &str = "echo, loop, script, http:URL";
    match made("brain", told, base)? {
        Made::Name(name) => match name.as_str() {
            "echo" => Ok(BrainName::Echo),
            "loop" => Ok(BrainName::Loop),
            "script" => Ok(BrainName::Script),
            _ => Err(unknown("brain", &name, KNOWN)),
        },
        Made::Exec(_) => Err(unknown("brain", "exec", KNOWN)),
        Made::Http(upstream) => Ok(BrainName::Http(upstream)),
    }
}

fn ears_name(told: Told, base: &Path) -> Result<EarsName> {
    match made("ears", told, base)? {
        Made::Name(name) => match name.as_str() {
            "none" => Ok(EarsName::None),
            "script" => Ok(EarsName::Script),
            "dtmf" => Ok(EarsName::Dtmf),
            _ => {
                let known = "script, dtmf, none, exec:COMMAND, http:URL";
                Err(unknown("ears", &name, known))
            }
        },
        Made::Exec(program) => Ok(EarsName::Exec(program)),
        Made::Http(upstream) => Ok(EarsName::Http(upstream)),
    }
}

fn voice_name(told: Told, base: &Path) -> Result<VoiceName> {
    match made("voice", told, base)? {
        Made::Name(name) => match name.as_str() {
            "tone" => Ok(VoiceName::Tone),
            "wav" => Ok(VoiceName::Wav),
            "dtmf" => Ok(VoiceName::Dtmf),
            _ => {
                let known = "tone, wav, dtmf, exec:COMMAND, http:URL";
                Err(unknown("voice", &name, known))
            }
        },
        Made::Exec(program) => Ok(VoiceName::Exec(program)),
        Made::Http(upstream) => Ok(VoiceName::Http(upstream)),
    }
}

/// What a description stands for.
enum Made {
    Name(String),
    Exec(Program),
    Http(Upstream),
}

fn made(who: &str, told: Told, base: &Path) -> Result<Made> {
    let wrong = |name: &str, why: &str| Error::new(Kind::Config, format!("`{name}`: {why}"));
    let program = |line: &str, limit_ms: Option<u64>| {
        let argv = words(line).filter(|argv| !argv.is_empty());
        let argv = argv.ok_or_else(|| wrong(line, "expected a command with its quotes closed"))?;
        let limit = limit_ms.map_or(COMMAND_LIMIT, Duration::from_millis);
        Ok(Made::Exec(Program { argv, limit }))
    };
    let name = match told {
        Told::Exec(exec) => return program(&exec.command, exec.limit_ms),
        Told::Http(raw) => return raw.check(who, base).map(Made::Http),
        Told::Name(name) => name,
    };
    if let Some(line) = name.strip_prefix("exec:") {
        return program(line, None);
    }
    let is_url = name.starts_with("http://") || name.starts_with("https://");
    let line = name.strip_prefix("http:").filter(|_| !is_url);
    let Some(line) = line.or_else(|| is_url.then_some(&name)) else {
        return Ok(Made::Name(name));
    };
    let words = words(line).ok_or_else(|| wrong(&name, "a quote is not closed"))?;
    let raw = RawUpstream::parse(&words).map_err(|why| wrong(&name, &why))?;
    raw.check(who, base).map(Made::Http)
}

/// The words of a line; single and double quotes keep words together. `None` if one is not closed.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

fn unknown(what: &str, name: &str, known: &str) -> Error {
    let message = format!("no {what} is named `{name}`: expected one of {known}");
    Error::new(Kind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> Told {
        Told::Name(name.to_owned())
    }

    fn here() -> &'static Path {
        Path::new(".")
    }

    #[test]
    fn a_command_is_split_into_words_and_quotes_keep_them_together() {
        let made = made(
            "voice",
            told(r#"exec:espeak-ng -v ru --x="a b" '' "#),
            here(),
        );
        let Ok(Made::Exec(program)) = made else {
            panic!("a program")
        };
        assert_eq!(program.argv, ["espeak-ng", "-v", "ru", "--x=a b", ""]);
        assert_eq!(program.limit, COMMAND_LIMIT);
        let exec = RawExec {
            command: "say".to_owned(),
            limit_ms: Some(70),
        };
        let Ok(EarsName::Exec(program)) = ears_name(Told::Exec(exec), here()) else {
            panic!("a program")
        };
        assert_eq!(program.limit, Duration::from_millis(70));
        for bad in ["exec:", "exec:a 'b"] {
            assert!(voice_name(told(bad), here()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_server_is_named_with_or_without_the_prefix() {
        for name in [
            "http:http://h:1/v1",
            "http://h:1/v1",
            "https://h:1/v1 model='a b' first_ms=5",
            "http:https://h:1/v1",
        ] {
            let Ok(BrainName::Http(upstream)) = brain_name(told(name), here()) else {
                panic!("{name}")
            };
            assert_eq!(upstream.place(), "h:1", "{name}");
        }
        for bad in ["http:", "http:h", "http://h/ 'x", "http://h/ x"] {
            assert!(brain_name(told(bad), here()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unknown_name_is_told_with_the_known_ones() {
        let error = voice_name(told("opera"), here()).expect_err("unknown");
        assert!(error.message().contains("opera") && error.message().contains("dtmf"));
        assert!(brain_name(told("exec:x"), here()).is_err());
        assert!(ears_name(told("wav"), here()).is_err());
    }
}
