//! Running the command: servers, calls, files.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::Value;

/// A command line that inherits no credential.
pub(crate) fn talkwire() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_talkwire"));
    command
        .env_remove("YANDEX_API_KEY")
        .env_remove("OPENAI_API_KEY")
        .stdin(Stdio::null());
    command
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().expect("the command starts");
        Self {
            code: status.code(),
            stdout: String::from_utf8(stdout).expect("UTF-8"),
            stderr: String::from_utf8(stderr).expect("UTF-8"),
        }
    }

    /// The last line of stdout.
    pub(crate) fn json(&self) -> Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// A running `talkwire serve`, killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    rest: std::sync::mpsc::Receiver<String>,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::of(&[&["serve"], args].concat())
    }

    /// Another command that listens.
    pub(crate) fn of(args: &[&str]) -> Self {
        let mut child = talkwire()
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a first line");
        let (lines, rest) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test may not want to know.
                let _ = lines.send(line);
            }
        });
        let url = line.trim().strip_prefix("listening on ");
        let url = url.unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { child, rest, url }
    }

    /// The next line after the first.
    pub(crate) fn next_line(&self) -> String {
        self.rest.recv().expect("another line")
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn signal(mut self, name: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        let kill = format!("kill -{name} {pid}");
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.expect("a shell").success());
        self.child.wait().expect("it ends")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A call to `url`.
pub(crate) fn call(url: &str, args: &[&str]) -> Ran {
    Ran::of(talkwire().args(["call", "--url", url, "--json"]).args(args))
}

/// A folder for the files of one test, emptied first.
pub(crate) fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The fields of every result.
pub(crate) fn assert_shape(result: &Value) {
    for field in ["transcript", "tool_calls"] {
        assert!(result[field].is_array(), "{field}: {result}");
    }
    assert!(result["ok"].is_boolean());
    let is_told = result["error"].as_str().is_some_and(|why| !why.is_empty());
    let is_absent = result.get("error") == Some(&Value::Null);
    assert!(
        if result["ok"] == true {
            is_absent
        } else {
            is_told
        },
        "error: {result}"
    );
    assert!(result["first_audio_ms"].is_u64() || result["first_audio_ms"].is_null());
    for field in ["audio_ms_in", "audio_ms_out"] {
        assert!(result[field].is_u64(), "{field}: {result}");
    }
    for field in ["barge_ins", "turns"] {
        assert!(result[field].is_array(), "{field}: {result}");
    }
    for field in ["responses", "input_tokens", "output_tokens"] {
        assert!(result["usage"][field].is_u64(), "{field}: {result}");
    }
    let end = result["end"].as_object().expect("an end");
    for field in [
        "who",
        "why",
        "code",
        "http_status",
        "expected",
        "mid_turn",
        "unsent",
    ] {
        assert!(end.contains_key(field), "{field}: {result}");
    }
    for field in ["audio_ms", "commands"] {
        assert!(end["unsent"][field].is_u64(), "{field}: {result}");
    }
}
