//! Programs that recognise and speak, if they are installed.

use std::fmt;
use std::path::Path;

use serde_json::{Value, json};
use talkwire_core::error::{Error, Kind, Result};

use crate::args::Lang;

/// Rate of the recogniser's models.
const EARS_HZ: u32 = 16_000;

/// A program, the package that holds it, and its command line: sound or text comes by its standard
/// input, the other goes to its standard output.
#[derive(Clone, Copy, Debug)]
struct Program {
    name: &'static str,
    package: &'static str,
    command: &'static str,
}

const EARS: Program = Program {
    name: "pocketsphinx_continuous",
    package: "pocketsphinx pocketsphinx-en-us",
    command: "pocketsphinx_continuous -infile /dev/stdin -logfn /dev/null",
};

/// The better voice first.
const VOICES: [Program; 2] = [
    Program {
        name: "flite",
        package: "flite",
        // It cannot write to a pipe.
        command: "sh -c 'f=$(mktemp) && flite -voice slt -f /dev/stdin -o \"$f\" && cat \"$f\"; rm -f \"$f\"'",
    },
    Program {
        name: "espeak-ng",
        package: "espeak-ng",
        command: "espeak-ng -v en --stdin --stdout",
    },
];

/// What hears and what speaks.
#[derive(Debug)]
pub(super) struct Programs {
    ears: Program,
    voice: Program,
}

impl Programs {
    /// Looks for the programs; an error names the packages that are missing.
    pub(super) fn find(lang: Option<Lang>) -> Result<Self> {
        if lang == Some(Lang::Ru) {
            let message = "--live hears English only: there is no packaged model for Russian; \
                           use --lang en, or leave --live out";
            return Err(Error::new(Kind::Unsupported, message));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs: Vec<_> = std::env::split_paths(&path).collect();
        choose(|program| dirs.iter().any(|dir| is_program(&dir.join(program))))
    }

    /// Name of the ears for the server.
    pub(super) fn ears(&self) -> String {
        format!("exec:{}", self.ears.command)
    }

    /// Name of the voice for the server.
    pub(super) fn voice(&self) -> String {
        format!("exec:{}", self.voice.command)
    }

    /// Samples per second that the ears want.
    pub(super) fn input_hz(&self) -> u32 {
        EARS_HZ
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"ears": self.ears.name, "voice": self.voice.name})
    }
}

impl fmt::Display for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hears, {} speaks", self.ears.name, self.voice.name)
    }
}

fn choose(is_there: impl Fn(&str) -> bool) -> Result<Programs> {
    let ears = Some(EARS).filter(|ears| is_there(ears.name));
    let voice = VOICES.into_iter().find(|voice| is_there(voice.name));
    match (ears, voice) {
        (Some(ears), Some(voice)) => Ok(Programs { ears, voice }),
        (ears, voice) => {
            let mut missing = Vec::new();
            if ears.is_none() {
                missing.push(format!("a recogniser (packages {})", EARS.package));
            }
            if voice.is_none() {
                let packages = VOICES.map(|voice| voice.package).join(" or ");
                missing.push(format!("a voice (package {packages})"));
            }
            let message = format!("--live needs {}", missing.join(" and "));
            Err(Error::new(Kind::Unsupported, message))
        }
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_packages() {
        let error = choose(|_| false).expect_err("nothing").message().to_owned();
        assert!(error.contains("pocketsphinx-en-us") && error.contains("flite or espeak-ng"));
        let error = choose(|name| name == "flite").expect_err("deaf");
        assert!(!error.message().contains("voice"), "{error}");
        let found = choose(|name| name != "flite").expect("enough");
        assert_eq!(found.voice.name, "espeak-ng");
        let error = Programs::find(Some(Lang::Ru)).expect_err("no model");
        assert!(error.message().contains("--lang en"), "{error}");
    }
}
