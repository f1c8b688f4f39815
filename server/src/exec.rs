//! Runs programs of ears and voices: bytes in, bytes out, a time limit, nothing left behind.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// Most output that is taken.
const MAX_OUTPUT_BYTES: u64 = 64 << 20;
/// What of the program's complaints is repeated.
const MAX_COMPLAINT_BYTES: u64 = 2048;

/// Kills the whole process group when it is dropped: a shell's children would outlive the shell.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may have ended by itself.
            let _ = killpg(pid, Signal::SIGKILL);
        }
    }
}

/// Runs a program to its end and returns its standard output, or one sentence on what went wrong.
pub(crate) async fn run(
    argv: &[String],
    stdin: Vec<u8>,
    limit: Duration,
) -> Result<Vec<u8>, String> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err("no program is given".to_owned());
    };
    let mut command = Command::new(program);
    hear_signals(&mut command);
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("cannot run `{program}`: {e}"))?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = Group(pid.map(Pid::from_raw));
    let outcome = tokio::time::timeout(limit, talk(&mut child, stdin)).await;
    let (status, output, complaint) = outcome
        .map_err(|_| format!("`{program}` took longer than {} s", limit.as_secs_f32()))?
        .map_err(|e| format!("`{program}`: {e}"))?;
    group.0 = None;
    if output.len() as u64 > MAX_OUTPUT_BYTES {
        return Err(format!(
            "`{program}` wrote more than {MAX_OUTPUT_BYTES} bytes"
        ));
    }
    if status.success() {
        return Ok(output);
    }
    let complaint = String::from_utf8_lossy(&complaint);
    Err(match complaint.trim() {
        "" => format!("`{program}` failed ({status}) without saying why"),
        complaint => format!("`{program}` failed ({status}): {complaint}"),
    })
}

/// It is started by a thread that blocks all signals, which it would inherit, and could not be
/// stopped by a terminal or by its own timers.
fn hear_signals(command: &mut Command) {
    let unblock = || SigSet::empty().thread_set_mask().map_err(Into::into);
    // Safety: after the fork this only sets the mask of the only thread, which is allowed there.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(unblock);
    }
}

type Outcome = (std::process::ExitStatus, Vec<u8>, Vec<u8>);

async fn talk(child: &mut Child, stdin: Vec<u8>) -> std::io::Result<Outcome> {
    let mut to = child.stdin.take().expect("it is piped");
    let from = child.stdout.take().expect("it is piped");
    let complaints = child.stderr.take().expect("it is piped");
    let feed = async move {
        // A program that does not read all of its input is not wrong.
        let _ = to.write_all(&stdin).await;
        drop(to);
    };
    // Each end is dropped when enough of it has been read: a program that goes on writing must not
    // wait for us while we wait for it.
    let ((), output, complaint) = tokio::join!(
        feed,
        read(from, MAX_OUTPUT_BYTES + 1),
        read(complaints, MAX_COMPLAINT_BYTES),
    );
    let (output, complaint) = (output?, complaint?);
    Ok((child.wait().await?, output, complaint))
}

async fn read(from: impl AsyncRead + Unpin, most_bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most_bytes).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::SigmaskHow;

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn input_goes_in_and_output_comes_out() {
        let output = run(&sh("tr a b"), b"banana".to_vec(), LONG).await;
        assert_eq!(output, Ok(b"bbnbnb".to_vec()));
        let unread = run(&sh("echo hi"), vec![0; 1 << 20], LONG).await;
        assert_eq!(unread, Ok(b"hi\n".to_vec()));
    }

    #[tokio::test]
    async fn failures_say_which_program_and_why() {
        let failed = run(&sh("echo oops >&2; exit 3"), Vec::new(), LONG).await;
        let message = failed.expect_err("fails");
        assert!(message.contains("sh") && message.contains("oops") && message.contains('3'));
        let silent = run(&sh("kill -9 $$"), Vec::new(), LONG).await;
        let message = silent.expect_err("dies");
        assert!(
            message.contains("signal") && message.contains("without saying why"),
            "{message}"
        );
        let missing = run(&["/no/such/program".to_owned()], Vec::new(), LONG).await;
        assert!(missing.expect_err("missing").contains("/no/such/program"));
    }

    #[tokio::test]
    async fn a_program_blocks_no_signal_although_whoever_starts_it_does() {
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK);
        let before = before.expect("all signals are valid");
        let masked = run(&sh("grep SigBlk /proc/self/status"), Vec::new(), LONG).await;
        before.thread_set_mask().expect("it was so before");
        assert_eq!(masked, Ok(b"SigBlk:\t0000000000000000\n".to_vec()));
    }

    #[tokio::test]
    async fn more_output_than_anybody_wants_is_refused() {
        let endless = run(&sh("exec yes"), Vec::new(), LONG).await;
        assert!(endless.expect_err("too much").contains("more than"));
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_is_killed_with_its_children() {
        let started = std::time::Instant::now();
        let slow = run(
            &sh("sleep 30 & wait"),
            Vec::new(),
            Duration::from_millis(50),
        )
        .await;
        assert!(slow.expect_err("too long").contains("longer"));
        assert!(started.elapsed() < LONG);
    }
}
