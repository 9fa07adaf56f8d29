//! A command of the user's: its exit code is its word. It runs in the plan's folder, behind a small
//! process of ours that ends it and its children when we are gone, also by `SIGKILL`.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use changeover_checks::guard::CANNOT_START;
use changeover_run::Reading;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::supervisor;

/// So much of what it says is read; the rest goes nowhere.
const OUTPUT_MAX_BYTES: u64 = 64 * 1024;

/// So much of its last line is told.
const TOLD_MAX_CHARS: usize = 200;

/// How long our process may take to end a command that does not end by itself.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Runs it once; `keeper` is what starts our process ([`changeover_checks::guard`]).
pub(super) async fn look(
    keeper: &[OsString],
    argv: &[String],
    folder: &Path,
    within: Duration,
) -> Reading {
    let (Some((keeper, words)), Some(program)) = (keeper.split_first(), argv.first()) else {
        return Reading::NoData { why: "the command is empty".to_owned() };
    };
    let mut command = Command::new(keeper);
    command
        .args(words)
        .args(argv)
        .current_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    supervisor::OUR_VARIABLES.iter().for_each(|name| {
        command.env_remove(name);
    });
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return Reading::NoData { why: format!("{program} cannot be started: {e}") },
    };
    // Closed when this future ends in whatever way, and by our death: then the command is ended.
    let pipe = child.stdin.take();
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let run = async {
        let (_, said, status) = tokio::join!(read(out), read(err), child.wait());
        (status, said)
    };
    match timeout(within, run).await {
        Ok((Ok(status), _)) if status.success() => Reading::Passed,
        Ok((Ok(status), said)) => match not_started(program, status, &said) {
            Some(why) => Reading::NoData { why },
            None => Reading::Failed { why: told(program, status, &said) },
        },
        Ok((Err(e), _)) => Reading::NoData { why: format!("{program}: {e}") },
        Err(_) => {
            drop(pipe);
            timeout(END_WITHIN, child.wait()).await.ok();
            let why = format!("{program} did not end within {} s", within.as_secs_f64());
            Reading::NoData { why }
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

fn last_line(said: &str) -> String {
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    last.trim().chars().take(TOLD_MAX_CHARS).collect()
}

/// What the keeper says of a command that it could not start; a command's own 127 is its word.
fn not_started(program: &str, status: ExitStatus, said: &str) -> Option<String> {
    let last = last_line(said);
    let why = last.strip_prefix("changeover: ")?;
    let is_ours = why.starts_with(&format!("{program} cannot be started: "));
    let code = status.code() == Some(i32::from(CANNOT_START));
    (code && is_ours).then(|| why.to_owned())
}

/// A command that a signal ended has 128 and the signal's number, as a shell tells it.
fn told(program: &str, status: ExitStatus, said: &str) -> String {
    let how = status.code().map_or("a signal".to_owned(), |code| format!("exit code {code}"));
    match last_line(said).as_str() {
        "" => format!("{program} ended with {how}"),
        last => format!("{program} ended with {how}: {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test program is the keeper, too: the harness runs only this function, and whatever
    /// follows `--` is the command.
    #[test]
    fn keeper() {
        let command: Vec<OsString> = std::env::args_os().skip_while(|it| it != "--").collect();
        if let [_, command @ ..] = command.as_slice() {
            let code = changeover_checks::guard::run(command);
            std::process::exit(i32::from(code));
        }
    }

    fn run(argv: &[&str], within: Duration) -> Reading {
        let mut keeper = vec![std::env::current_exe().unwrap().into_os_string()];
        keeper.extend(
            ["--exact", "guards::exec::tests::keeper", "--nocapture", "--"].map(OsString::from),
        );
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(look(&keeper, &argv, Path::new(""), within))
    }

    fn sh(script: &str, within: Duration) -> Reading {
        run(&["sh", "-c", script], within)
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
        assert_eq!(why, "sh ended with exit code 137");
        let missing = sh("no-such-program", LONG);
        assert!(matches!(missing, Reading::Failed { .. }), "{missing:?}");
    }

    #[test]
    fn one_that_cannot_be_started_or_does_not_end_gives_no_data() {
        let reading = run(&["/nonexistent/check"], LONG);
        let Reading::NoData { why } = reading else { panic!("{reading:?}") };
        assert!(why.starts_with("/nonexistent/check cannot be started: "), "{why}");
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        // Its child holds the pipes open, and is ended with it.
        let script = format!("sleep 1000 & echo $! > {}; wait", pid.display());
        let reading = sh(&script, Duration::from_secs(3));
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
