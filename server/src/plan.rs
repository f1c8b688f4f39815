//! A configuration that was checked: judges upgrades and makes peers. Knows no socket, so that the
//! simulator uses the same one.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use talkwire_core::dialect::Dialect;
use talkwire_core::error::{Error, Kind, Result};

use crate::backends::{Backends, Names};
use crate::config::{Config, FaultSource, ScriptSource};
use crate::emulate::Emulated;
use crate::faults::Fault;
use crate::io::Clock;
use crate::pace::Pacing;
use crate::peer::{Peer, Setup};
use crate::script::{self, Script};
use crate::upgrade::{Rules, Visit};

/// Long enough that two frames a client sends in one go arrive before the first is answered.
const DEFAULT_THINK: Duration = Duration::from_millis(10);

/// A checked configuration.
#[derive(Debug)]
pub struct Plan {
    dialect: Arc<Dialect>,
    script: Script,
    names: Names,
    faults: Vec<Fault>,
    rules: Rules,
    lifetime: Option<Duration>,
    pacing: Pacing,
    think: Duration,
    seed: u64,
    /// Seed of identifiers, where that is another one.
    id_seed: Option<u64>,
}

/// Of servers that were given none.
const SEED: u64 = 1;

impl Plan {
    /// Checks a configuration and reads the files it names, the certificate excepted.
    pub fn new(config: &Config) -> Result<Self> {
        let dialect = dialect_of(config)?;
        let script = match &config.script {
            None => Script::default(),
            Some(ScriptSource::File(path)) => Script::read(path)?,
            Some(ScriptSource::Text { text, base }) => {
                Script::parse(text, Path::new("script"), base)?
            }
        };
        let names = Names::new(config, &script)?;
        let faults = faults_of(config, &script)?;
        let limits = &dialect.table().limits;
        let rules = Rules {
            dialect: dialect.clone(),
            api_key: config.api_key.clone(),
            models: config.models.clone().or_else(|| script.models.clone()),
            max_sessions: config.max_sessions.unwrap_or(limits.sessions as usize),
            late_model_errors: script.emulate.contains(&Emulated::ModelErrorAfterUpgrade),
        };
        judge_lifetime(config.lifetime, "lifetime", &dialect)?;
        judge_lifetime(script.lifetime, "script: lifetime_ms", &dialect)?;
        Ok(Self {
            lifetime: config.lifetime.or(script.lifetime),
            pacing: config.pacing.or(script.pacing).unwrap_or_default(),
            think: config.think.or(script.think).unwrap_or(DEFAULT_THINK),
            seed: config.seed.unwrap_or(SEED),
            id_seed: config.seed,
            dialect,
            names,
            faults,
            rules,
            script,
        })
    }

    /// Identifiers are those of this seed, unless the configuration names one.
    #[must_use]
    pub(crate) fn with_ids(mut self, seed: u64) -> Self {
        self.id_seed.get_or_insert(seed);
        self
    }

    /// The dialect that is spoken.
    pub fn dialect(&self) -> &Arc<Dialect> {
        &self.dialect
    }

    /// Who may come in.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether the script switches a deviation on.
    pub(crate) fn emulates(&self, what: Emulated) -> bool {
        self.script.emulate.contains(&what)
    }

    /// What is to go wrong.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Seed of chance.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The machine of session `number` (from 0), which begins at `now`.
    pub fn peer(&self, now: Instant, clock: Clock, visit: Visit, number: u64) -> Peer {
        let dialect = visit.dialect.unwrap_or_else(|| self.dialect.clone());
        let limits = dialect.table().limits;
        let default_lifetime = Duration::from_secs(limits.lifetime_s.into());
        // The path may have chosen a dialect that lets sessions live less long than the profile's.
        let most = Duration::from_secs(limits.lifetime_max_s.into());
        let setup = Setup {
            dialect,
            model: visit.model,
            is_transcription: visit.is_transcription,
            is_withdrawn: visit.is_withdrawn,
            is_bad_model: visit.is_bad_model,
            backends: self.backends(),
            faults: self.faults.clone(),
            emulate: self.script.emulate.clone(),
            mcp: self.script.mcp.clone(),
            pacing: self.pacing,
            think: self.think,
            lifetime: self.lifetime.unwrap_or(default_lifetime).min(most),
            // Sessions of one server must not share ids. The step is none of the generator's, whose
            // sequence would only be shifted by it.
            seed: self
                .id_seed
                .unwrap_or(self.seed)
                .wrapping_add(number.wrapping_mul(0xd1b5_4a32_d192_ed03)),
            clock,
        };
        Peer::new(now, setup)
    }

    fn backends(&self) -> Backends {
        self.names.make(&self.script)
    }
}

/// Refuses a lifetime that the dialect's real server would not grant; `key` is what asked for it.
fn judge_lifetime(asked: Option<Duration>, key: &str, dialect: &Dialect) -> Result<()> {
    let most_s = dialect.table().limits.lifetime_max_s;
    match asked {
        Some(asked) if asked > Duration::from_secs(most_s.into()) => {
            let message = format!(
                "{key}: {} s are more than the {most_s} s that the dialect `{}` allows \
                 (limits.lifetime_max_s of its table)",
                asked.as_secs_f64(),
                dialect.name()
            );
            Err(Error::new(Kind::Config, message))
        }
        _ => Ok(()),
    }
}

fn faults_of(config: &Config, script: &Script) -> Result<Vec<Fault>> {
    let mut faults = script.faults.clone();
    for source in &config.faults {
        match source {
            FaultSource::File(path) => faults.extend(script::read_faults(path)?),
            FaultSource::One(fault) => {
                let wrong = |why| Error::new(Kind::Config, format!("a fault: {why}"));
                fault.check().map_err(wrong)?;
                faults.push(fault.clone());
            }
        }
    }
    Ok(faults)
}

fn dialect_of(config: &Config) -> Result<Arc<Dialect>> {
    if let Some(dialect) = &config.dialect {
        return Ok(dialect.clone());
    }
    let Some(name) = &config.profile else {
        return Ok(Dialect::default_dialect());
    };
    Dialect::find(name, talkwire_core::json::read)
}
