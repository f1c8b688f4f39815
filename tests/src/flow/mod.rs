//! Golden dialogues: one text notation, played against whatever implements [`Stage`].
//!
//! ```text
//!  tests/flows/*.flow -> statements -> scan/pattern/step -> parse -> [`Flow`]
//!                                                                      | expand (macros, profile)
//!       [`Stage`] <- send, speak, open -  run  <- cues ----------------+
//!          |                               |
//!          +- seen events -> matcher ------+--> [`Report`] -> [`Summary`]
//! ```
//! The grammar is documented in `tests/flows/README.md`.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{fs, io};

pub mod ast;
pub mod base64;
pub mod check;
pub mod expand;
pub mod matcher;
pub mod names;
pub mod normalise;
mod parse;
mod pattern;
pub mod report;
pub mod run;
mod scan;
mod show;
pub mod stage;
mod statements;
mod step;
pub mod value;

#[cfg(test)]
mod files_tests;
#[cfg(test)]
mod grammar_tests;
#[cfg(test)]
mod run_tests;

pub use ast::{Common, Flow, FlowError, Role};
pub use normalise::normalise;
pub use parse::{CONFIG_KEYS, parse_common, parse_flows};
pub use report::{Failure, Report, Summary, Verdict};
pub use run::{Options, moments, run, run_part};
pub use stage::{AppAct, End, Fault, OpenSpec, Seen, ServerAct, Sound, Stage, StageError};

/// All flows of a directory with what they share.
#[derive(Clone, Debug)]
pub struct Flows {
    /// The contents of `common.flow`.
    pub common: Common,
    /// The flows in the order of the file names.
    pub flows: Vec<Flow>,
}

/// The directory of the committed flows.
pub static FLOWS_DIR: LazyLock<PathBuf> =
    LazyLock::new(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("flows"));

impl Flows {
    /// Reads the committed flows.
    pub fn committed() -> Result<Self, LoadError> {
        Self::load(&FLOWS_DIR)
    }

    /// Reads `common.flow` and all other `*.flow` files of a directory.
    pub fn load(dir: &Path) -> Result<Self, LoadError> {
        let common = parse_common("common.flow", &fs::read_to_string(dir.join("common.flow"))?)?;
        let mut flows: Vec<Flow> = Vec::new();
        for path in flow_files(dir)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            for flow in parse_flows(&name, &fs::read_to_string(&path)?, &common)? {
                if let Some(other) = flows.iter().find(|other| other.id == flow.id) {
                    return Err(twice(&flow, other).into());
                }
                flows.push(flow);
            }
        }
        Ok(Self { common, flows })
    }

    /// The flow with this id.
    pub fn flow(&self, id: &str) -> Option<&Flow> {
        self.flows.iter().find(|flow| flow.id == id)
    }

    /// The flows meant for a profile.
    pub fn of_profile<'a>(&'a self, profile: &'a str) -> impl Iterator<Item = &'a Flow> {
        self.flows
            .iter()
            .filter(move |flow| flow.profiles.iter().any(|one| one == profile))
    }
}

fn flow_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_flow = path
            .extension()
            .is_some_and(|extension| extension == "flow");
        if is_flow && path.file_name().is_some_and(|name| name != "common.flow") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn twice(flow: &Flow, other: &Flow) -> FlowError {
    FlowError {
        place: flow.place.clone(),
        expected: "each id once in all files".into(),
        found: format!("`{}`, which stands at {} too", flow.id, other.place),
    }
}

/// Why the flows could not be read.
#[derive(Debug)]
pub enum LoadError {
    /// A file could not be read.
    Io(io::Error),
    /// A file does not follow the grammar.
    Flow(FlowError),
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FlowError> for LoadError {
    fn from(error: FlowError) -> Self {
        Self::Flow(error)
    }
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Flow(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}
