//! A server in a process of its own, which can be killed.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

static SCRIPTS: AtomicUsize = AtomicUsize::new(0);

/// `talkwire serve`, until it is killed or dropped.
pub(crate) struct Server {
    child: Child,
    script: PathBuf,
    pub(crate) url: String,
}

impl Server {
    /// Starts one and returns when it listens; at port 0, on a free one.
    pub(crate) fn start(profile: &str, script: &str, port: u16) -> Self {
        let number = SCRIPTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("talkwire-losses-{}-{number}.yaml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, script).expect("written");
        let mut child = Command::new(binary())
            .args(["serve", "--profile", profile, "--pacing", "realtime"])
            .args(["--listen", &format!("127.0.0.1:{port}"), "--script"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the `talkwire` command is built before the tests");
        let mut said = String::new();
        let output = child.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut said).expect("text");
        let url = said.trim().strip_prefix("listening on ");
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
