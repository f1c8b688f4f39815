//! The three back ends of a session and their names.

use talkwire_core::error::{Error, Kind, Result};

use crate::brain::{Brain, Echo, Loop, ScriptBrain};
use crate::config::Config;
use crate::ears::{Deaf, DigitEars, Ears, ExecEars, ScriptEars};
use crate::script::Script;
use crate::voice::{Digits, ExecVoice, Tone, Voice, WavVoice};

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

/// How long a program of ears or voice may run.
const COMMAND_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

/// The names of back ends, checked.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    brain: BrainName,
    ears: EarsName,
    voice: VoiceName,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum BrainName {
    Echo,
    Loop,
    Script,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum EarsName {
    None,
    Script,
    Dtmf,
    Exec(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum VoiceName {
    Tone,
    Wav,
    Dtmf,
    Exec(Vec<String>),
}

impl Names {
    /// Checks the names that configuration and script give; the configuration wins.
    pub(crate) fn new(config: &Config, script: &Script) -> Result<Self> {
        let pick = |own: &Option<String>, told: &Option<String>, default: &str| {
            let name = own.as_ref().or(told.as_ref());
            name.map_or_else(|| default.to_owned(), Clone::clone)
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
        Ok(Self {
            brain: brain_name(&pick(&config.brain, &script.brain, brain))?,
            ears: ears_name(&pick(&config.ears, &script.ears, "script"))?,
            voice: voice_name(&pick(&config.voice, &script.voice, voice))?,
        })
    }

    /// Fresh back ends for one session.
    pub(crate) fn make(&self, script: &Script) -> Backends {
        Backends {
            brain: match self.brain {
                BrainName::Echo => Box::new(Echo),
                BrainName::Loop => Box::new(Loop),
                BrainName::Script => Box::new(ScriptBrain::new(script.turns.clone())),
            },
            ears: match &self.ears {
                EarsName::None => Box::new(Deaf),
                EarsName::Script => Box::new(ScriptEars::new(script.hears.iter().cloned())),
                EarsName::Dtmf => Box::new(DigitEars),
                EarsName::Exec(argv) => Box::new(ExecEars::new(argv.clone(), COMMAND_LIMIT)),
            },
            voice: match &self.voice {
                VoiceName::Tone => Box::new(Tone),
                VoiceName::Wav => Box::new(WavVoice::new(script.recordings.clone())),
                VoiceName::Dtmf => Box::new(Digits),
                VoiceName::Exec(argv) => Box::new(ExecVoice::new(argv.clone(), COMMAND_LIMIT)),
            },
        }
    }
}

fn brain_name(name: &str) -> Result<BrainName> {
    match name {
        "echo" => Ok(BrainName::Echo),
        "loop" => Ok(BrainName::Loop),
        "script" => Ok(BrainName::Script),
        _ => Err(unknown("brain", name, "echo, loop, script")),
    }
}

fn ears_name(name: &str) -> Result<EarsName> {
    match name {
        "none" => Ok(EarsName::None),
        "script" => Ok(EarsName::Script),
        "dtmf" => Ok(EarsName::Dtmf),
        _ => match command(name)? {
            Some(argv) => Ok(EarsName::Exec(argv)),
            None => Err(unknown("ears", name, "script, dtmf, none, exec:COMMAND")),
        },
    }
}

fn voice_name(name: &str) -> Result<VoiceName> {
    match name {
        "tone" => Ok(VoiceName::Tone),
        "wav" => Ok(VoiceName::Wav),
        "dtmf" => Ok(VoiceName::Dtmf),
        _ => match command(name)? {
            Some(argv) => Ok(VoiceName::Exec(argv)),
            None => Err(unknown("voice", name, "tone, wav, dtmf, exec:COMMAND")),
        },
    }
}

/// Program and arguments of `exec:COMMAND`; single and double quotes keep words together.
fn command(name: &str) -> Result<Option<Vec<String>>> {
    let Some(line) = name.strip_prefix("exec:") else {
        return Ok(None);
    };
    let mut argv = Vec::new();
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
            None if c.is_whitespace() => argv.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    argv.extend(word);
    if quote.is_some() || argv.is_empty() {
        let message = format!("`{name}`: expected exec:COMMAND with its quotes closed");
        return Err(Error::new(Kind::Config, message));
    }
    Ok(Some(argv))
}

fn unknown(what: &str, name: &str, known: &str) -> Error {
    let message = format!("no {what} is named `{name}`: expected one of {known}");
    Error::new(Kind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_into_words_and_quotes_keep_them_together() {
        let argv = command(r#"exec:espeak-ng -v ru --x="a b" '' "#).expect("splits");
        assert_eq!(
            argv.expect("a command"),
            ["espeak-ng", "-v", "ru", "--x=a b", ""]
        );
        assert!(command("exec:").is_err() && command("exec:a 'b").is_err());
        assert_eq!(command("tone").expect("fine"), None);
    }

    #[test]
    fn an_unknown_name_is_told_with_the_known_ones() {
        let error = voice_name("opera").expect_err("unknown");
        assert!(error.message().contains("opera") && error.message().contains("dtmf"));
        assert!(brain_name("exec:x").is_err() && ears_name("wav").is_err());
    }
}
