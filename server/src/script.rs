//! The script of a server, read from YAML.

use std::path::Path;
use std::time::Duration;

use talkwire_core::dialect::Quirk;
use talkwire_core::error::Result;

use crate::faults::Fault;
use crate::pace::Pacing;

/// A checked script.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub(crate) faults: Vec<Fault>,
    pub(crate) emulate: Vec<Quirk>,
    pub(crate) models: Option<Vec<String>>,
    pub(crate) pacing: Option<Pacing>,
    pub(crate) think: Option<Duration>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) turns: std::sync::Arc<Vec<u8>>,
    pub(crate) hears: Vec<crate::ears::Heard>,
    pub(crate) recordings: Vec<(String, std::sync::Arc<crate::brain::Clip>)>,
    pub(crate) brain: Option<String>,
    pub(crate) ears: Option<String>,
    pub(crate) voice: Option<String>,
}

impl Script {
    pub(crate) fn read(_path: &Path) -> Result<Self> {
        Ok(Self::default())
    }
    pub(crate) fn parse(_text: &str, _name: &Path, _base: &Path) -> Result<Self> {
        Ok(Self::default())
    }
}
