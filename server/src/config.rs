//! How a local server is to be: what a program, or the command line, says.

use std::path::PathBuf;
use std::time::Duration;

use crate::faults::Fault;
use crate::pace::Pacing;

/// Settings of a [`LocalServer`](crate::LocalServer); each has a default.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) listen: String,
    pub(crate) allow_remote: bool,
    pub(crate) profile: Option<String>,
    pub(crate) dialect: Option<std::sync::Arc<talkwire_core::dialect::Dialect>>,
    pub(crate) script: Option<ScriptSource>,
    pub(crate) brain: Option<String>,
    pub(crate) host: Option<std::sync::Arc<dyn crate::host::Host>>,
    pub(crate) ears: Option<String>,
    pub(crate) voice: Option<String>,
    pub(crate) api_key: Option<String>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) models: Option<Vec<String>>,
    pub(crate) max_sessions: Option<usize>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) pacing: Option<Pacing>,
    pub(crate) think: Option<Duration>,
    pub(crate) seed: Option<u64>,
    pub(crate) journal: Option<PathBuf>,
    pub(crate) journal_in_memory: bool,
    pub(crate) control: Option<u16>,
    pub(crate) observer: Option<std::sync::Arc<dyn crate::journal::Observe>>,
    pub(crate) faults: Vec<FaultSource>,
}

/// Where a fault comes from.
#[derive(Clone, Debug)]
pub(crate) enum FaultSource {
    One(Fault),
    File(PathBuf),
}

/// Where a script comes from.
#[derive(Clone, Debug)]
pub(crate) enum ScriptSource {
    File(PathBuf),
    Text { text: String, base: PathBuf },
}

/// PEM files of a server with TLS.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            allow_remote: false,
            profile: None,
            dialect: None,
            script: None,
            brain: None,
            host: None,
            ears: None,
            voice: None,
            api_key: None,
            tls: None,
            models: None,
            max_sessions: None,
            lifetime: None,
            pacing: None,
            think: None,
            seed: None,
            journal: None,
            journal_in_memory: false,
            control: None,
            observer: None,
            faults: Vec::new(),
        }
    }
}

impl Config {
    /// A server on a free port of 127.0.0.1 that echoes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Address and port to listen on; port 0 takes a free one. Default `127.0.0.1:0`.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// Allows an address that other machines can reach. Default: refused.
    #[must_use]
    pub fn allow_remote(mut self, allow: bool) -> Self {
        self.allow_remote = allow;
        self
    }

    /// Speaks the built-in dialect of that name, or that of a table: its JSON text, or the path of
    /// a file that holds one. Paths that tables name give their dialects in any profile.
    #[must_use]
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.profile = Some(name.into());
        self
    }

    /// Speaks this dialect, whatever [`profile`](Self::profile) says.
    #[must_use]
    pub fn dialect(mut self, dialect: std::sync::Arc<talkwire_core::dialect::Dialect>) -> Self {
        self.dialect = Some(dialect);
        self
    }

    /// Follows the script in this file; its WAV files are relative to it.
    #[must_use]
    pub fn script_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.script = Some(ScriptSource::File(path.into()));
        self
    }

    /// Follows this script; its WAV files are relative to `base`.
    #[must_use]
    pub fn script_text(mut self, text: impl Into<String>, base: impl Into<PathBuf>) -> Self {
        let (text, base) = (text.into(), base.into());
        self.script = Some(ScriptSource::Text { text, base });
        self
    }

    /// `echo`, `loop`, `script` or `http:URL` with its options. Default: `script` with a script that
    /// has turns, else `echo`.
    #[must_use]
    pub fn brain(mut self, name: impl Into<String>) -> Self {
        self.brain = Some(name.into());
        self
    }

    /// Lets this program answer, whatever [`brain`](Self::brain) says.
    #[must_use]
    pub fn answered_by(mut self, host: std::sync::Arc<dyn crate::host::Host>) -> Self {
        self.host = Some(host);
        self
    }

    /// `script`, `dtmf`, `none`, `exec:COMMAND` or `http:URL` with its options. Default: `script`.
    #[must_use]
    pub fn ears(mut self, name: impl Into<String>) -> Self {
        self.ears = Some(name.into());
        self
    }

    /// `tone`, `wav`, `dtmf`, `exec:COMMAND` or `http:URL` with its options. Default: `wav` with a
    /// script, else `tone`.
    #[must_use]
    pub fn voice(mut self, name: impl Into<String>) -> Self {
        self.voice = Some(name.into());
        self
    }

    /// The only credential that is accepted. Default: any or none.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// Serves `wss` with a certificate chain and its key, both PEM files.
    #[must_use]
    pub fn tls(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let (cert, key) = (cert.into(), key.into());
        self.tls = Some(TlsFiles { cert, key });
        self
    }

    /// The models that exist; others are answered by 404. Default: all exist.
    #[must_use]
    pub fn models(mut self, models: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.models = Some(models.into_iter().map(Into::into).collect());
        self
    }

    /// Sessions at once; more are answered by 429. Default: the dialect's limit.
    #[must_use]
    pub fn max_sessions(mut self, most: usize) -> Self {
        self.max_sessions = Some(most);
        self
    }

    /// How long a session lives, at most the dialect's `limits.lifetime_max_s`. Default: its
    /// `limits.lifetime_s`.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// How fast answers are sent. Default: at once.
    #[must_use]
    pub fn pacing(mut self, pacing: Pacing) -> Self {
        self.pacing = Some(pacing);
        self
    }

    /// Time between `response.created` and the first piece of the answer. Default: 10 ms.
    #[must_use]
    pub fn think(mut self, think: Duration) -> Self {
        self.think = Some(think);
        self
    }

    /// Writes what each session did to `session-NNNN.jsonl` in this directory, which is made if it
    /// is not there. Neither credentials nor audio are written. Default: nothing is written.
    #[must_use]
    pub fn journal(mut self, dir: impl Into<PathBuf>) -> Self {
        self.journal = Some(dir.into());
        self
    }

    /// Keeps what was sent in memory, for [`LocalServer::journal`](crate::LocalServer::journal), as a
    /// journal's directory and a port for control do, too. Default: not, as reading each frame takes
    /// time.
    #[must_use]
    pub fn journal_in_memory(mut self, keep: bool) -> Self {
        self.journal_in_memory = keep;
        self
    }

    /// Opens a port of 127.0.0.1 for looking into the server and steering it; 0 takes a free one.
    /// Default: none.
    #[must_use]
    pub fn control(mut self, port: u16) -> Self {
        self.control = Some(port);
        self
    }

    /// Lets this go wrong in each session, beside what the script says. May be repeated.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(FaultSource::One(fault));
        self
    }

    /// Lets go wrong what this file says: YAML or JSON, a list of faults. May be repeated.
    #[must_use]
    pub fn fault_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.faults.push(FaultSource::File(path.into()));
        self
    }

    /// Seed of all identifiers, and of the chance in faults. By default the chance is that of seed 1, and
    /// identifiers are new with each server: one that is started again must not give out those that it
    /// gave out before, which to clients that go on would be those of earlier answers.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}
