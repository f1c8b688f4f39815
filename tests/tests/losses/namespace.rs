//! A network of its own: two namespaces with a wire between them that can lose packets, some or all.
//!
//! The test is run again inside the first one; the server is in the second one.

use std::io::Write;
use std::process::{Command, Stdio};

use super::process::Server;

const INSIDE: &str = "TALKWIRE_TESTS_NAMESPACE";
const HERE: &str = "10.77.0.1/24";
const THERE: &str = "10.77.0.2";
const PORT: u16 = 8_080;

/// What the inner run exits with where the system does not give it what it needs.
const IMPOSSIBLE: i32 = 77;

/// Runs `inside` in a network namespace, in a second process; tells a skip where there is none.
pub(crate) fn enter(test: &str, inside: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let itself = std::env::current_exe().expect("a program");
    let mut again = Command::new("unshare");
    // Root of a namespace of users of its own is enough.
    again.args(["--map-root-user", "--net", "--"]).arg(itself);
    again
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1");
    // What the inner run says of its tests would be counted as well.
    let done = again.output();
    match done.as_ref().map(|done| done.status.code()) {
        Ok(Some(0)) => {}
        // `unshare` itself fails with 1.
        Ok(Some(1 | IMPOSSIBLE)) | Err(_) => {
            skip(test, "no namespace with `ip` and `tc` to be had")
        }
        Ok(_) => panic!("{}", String::from_utf8_lossy(&done.expect("it ran").stderr)),
    }
}

fn skip(test: &str, reason: &str) {
    if let Some(path) = std::env::var_os("TALKWIRE_SKIP_FILE") {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path);
        let mut file = file.expect("opens");
        writeln!(file, "{test}: {reason}").expect("written");
    }
}

/// The network, inside. The wire is whole at first.
pub(crate) struct Network {
    pub(crate) server: Server,
}

impl Network {
    pub(crate) fn with_server(profile: &str, script: &str) -> Self {
        need("ip", "link set lo up");
        need("ip", "link add name tw-here type veth peer name tw-there");
        need("ip", &format!("addr add {HERE} dev tw-here"));
        need("ip", "link set tw-here up");
        need("tc", "qdisc add dev tw-here clsact");
        // The server is told to go on when it has its end of the wire.
        let setup = format!(
            "echo here && read go && ip addr add {THERE}/24 dev tw-there && ip link set tw-there up && exec \"$@\""
        );
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "sh", "-c", &setup, "sh"]);
        command.stdin(Stdio::piped());
        let at = format!("{THERE}:{PORT}");
        let server = Server::start_by(command, profile, script, &at, |child, said| {
            assert_eq!(said.trim(), "here", "its namespace is there");
            need("ip", &format!("link set tw-there netns {}", child.id()));
            let go = child.stdin.as_mut().expect("piped");
            writeln!(go, "go").expect("it reads");
        });
        Self { server }
    }

    /// Of 16 packets each way, so many are lost, by chance.
    pub(crate) fn lose(&self, of_16: u32) {
        self.heal();
        // Classic BPF: a random number below the limit is a packet to drop (2), else to pass (-1).
        let limit = u64::from(of_16) << 28;
        let program = match of_16 {
            16.. => "1,6 0 0 2".to_owned(),
            _ => format!("4,32 0 0 4294963256,53 1 0 {limit},6 0 0 2,6 0 0 4294967295"),
        };
        for way in ["ingress", "egress"] {
            let mut tc = Command::new("tc");
            tc.args([
                "filter", "add", "dev", "tw-here", way, "bpf", "da", "bytecode",
            ]);
            possible(tc.arg(&program));
        }
    }

    /// Nothing is lost any more.
    pub(crate) fn heal(&self) {
        need("tc", "qdisc del dev tw-here clsact");
        need("tc", "qdisc add dev tw-here clsact");
    }
}

fn need(program: &str, words: &str) {
    possible(Command::new(program).args(words.split(' ')));
}

fn possible(command: &mut Command) {
    if !command.status().is_ok_and(|status| status.success()) {
        eprintln!("not possible here: {command:?}");
        std::process::exit(IMPOSSIBLE);
    }
}
