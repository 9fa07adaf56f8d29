//! A command of the user's: its exit code is its word. It runs in the plan's folder, in a process
//! group of its own, and ends with us: by its own time, or by `SIGKILL` to the whole group.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use changeover_run::Reading;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

/// So much of what it says is read; the rest goes nowhere.
const OUTPUT_MAX_BYTES: u64 = 64 * 1024;

/// So much of its last line is told.
const TOLD_MAX_CHARS: usize = 200;

/// Runs it once.
pub(super) async fn look(argv: &[String], folder: &Path, within: Duration) -> Reading {
    let Some((program, arguments)) = argv.split_first() else {
        return Reading::NoData { why: "the command is empty".to_owned() };
    };
    let child = Command::new(program)
        .args(arguments)
        .current_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(e) => return Reading::NoData { why: format!("{program} cannot be started: {e}") },
    };
    // Whatever happens, also to this future, nothing of the group outlives it.
    let _group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let run = async {
        let (_, said, status) = tokio::join!(read(out), read(err), child.wait());
        (status, said)
    };
    match timeout(within, run).await {
        Ok((Ok(status), _)) if status.success() => Reading::Passed,
        Ok((Ok(status), said)) => Reading::Failed { why: told(program, status, &said) },
        Ok((Err(e), _)) => Reading::NoData { why: format!("{program}: {e}") },
        Err(_) => {
            let why = format!("{program} did not end within {} s", within.as_secs_f64());
            Reading::NoData { why }
        }
    }
}

struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It may have ended by itself, which is as good.
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}

/// Reads to the end and keeps the beginning, so that a talkative command is not blocked.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut kept = Vec::new();
    (&mut stream).take(OUTPUT_MAX_BYTES).read_to_end(&mut kept).await.ok();
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok();
    String::from_utf8_lossy(&kept).into_owned()
}

fn told(program: &str, status: ExitStatus, said: &str) -> String {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    };
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let last: String = last.trim().chars().take(TOLD_MAX_CHARS).collect();
    if last.is_empty() {
        format!("{program} ended with {how}")
    } else {
        format!("{program} ended with {how}: {last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, within: Duration) -> Reading {
        let argv = ["sh", "-c", script].map(str::to_owned);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(look(&argv, Path::new(""), within))
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn its_exit_code_is_its_word() {
        assert_eq!(sh("exit 0", LONG), Reading::Passed);
        let Reading::Failed { why } = sh("echo first >&2; echo too slow >&2; exit 3", LONG) else {
            panic!("it failed")
        };
        assert_eq!(why, "sh ended with exit code 3: too slow");
        let Reading::Failed { why } = sh("kill -9 $$", LONG) else { panic!("it failed") };
        assert_eq!(why, "sh ended with signal 9");
    }

    #[test]
    fn one_that_cannot_be_started_or_does_not_end_gives_no_data() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let absent = ["/nonexistent/check".to_owned()];
        let reading = runtime.block_on(look(&absent, Path::new(""), LONG));
        assert!(matches!(reading, Reading::NoData { .. }), "{reading:?}");
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        // Its child holds the pipes open, and is ended with it.
        let script = format!("sleep 1000 & echo $! > {}; wait", pid.display());
        let reading = sh(&script, Duration::from_millis(500));
        assert!(matches!(reading, Reading::NoData { .. }), "{reading:?}");
        let pid = std::fs::read_to_string(pid).unwrap();
        let line = format!("/proc/{}/cmdline", pid.trim());
        let deadline = std::time::Instant::now() + LONG;
        while std::fs::read(&line).is_ok_and(|line| line.starts_with(b"sleep")) {
            assert!(std::time::Instant::now() < deadline, "{line} lives on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_talkative_one_is_not_blocked() {
        assert_eq!(sh("head -c 5000000 /dev/zero; exit 0", LONG), Reading::Passed);
    }
}
