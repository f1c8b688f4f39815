//! A server in a process of its own, which can be killed.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

static SCRIPTS: AtomicUsize = AtomicUsize::new(0);

const LISTENING: &str = "listening on ";

/// `talkwire serve`, until it is killed or dropped.
pub(crate) struct Server {
    child: Child,
    script: PathBuf,
    pub(crate) url: String,
}

impl Server {
    /// Starts one on this machine and returns when it listens; at port 0, on a free one.
    pub(crate) fn start(profile: &str, script: &str, port: u16) -> Self {
        let mut command = Command::new("env");
        command.stdin(Stdio::null());
        let at = format!("127.0.0.1:{port}");
        Self::start_by(command, profile, script, &at, |_, _| {})
    }

    /// The same by a command that runs the one of its arguments, once `prepare` was given what it
    /// said first, if that is not where it listens.
    pub(crate) fn start_by(
        mut command: Command,
        profile: &str,
        script: &str,
        at: &str,
        prepare: impl FnOnce(&mut Child, &str),
    ) -> Self {
        let number = SCRIPTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("talkwire-losses-{}-{number}.yaml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, script).expect("written");
        command.arg(binary()).args(["serve", "--profile", profile]);
        command.args(["--pacing", "realtime", "--allow-remote"]);
        command.args(["--listen", at, "--script"]).arg(&path);
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the `talkwire` command is built before the tests");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut said = String::new();
        output.read_line(&mut said).expect("text");
        if !said.starts_with(LISTENING) {
            prepare(&mut child, &said);
            said.clear();
            output.read_line(&mut said).expect("text");
        }
        let url = said.trim().strip_prefix(LISTENING);
        Self {
            url: url.unwrap_or_else(|| panic!("said {said:?}")).to_owned(),
            child,
            script: path,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        let authority = self.url["ws://".len()..].split('/').next();
        let port = authority.and_then(|a| a.rsplit_once(':')?.1.parse().ok());
        port.expect("a port")
    }

    /// Kills it as a machine that loses its power would, and returns when it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.script);
    }
}

/// The command, which cargo alone does not build for the tests of another package.
fn binary() -> PathBuf {
    let beside = || {
        let test = std::env::current_exe().expect("a program");
        let profile = test.ancestors().nth(2).expect("target/debug/deps");
        profile.join("talkwire")
    };
    std::env::var_os("TALKWIRE_BIN").map_or_else(beside, PathBuf::from)
}
