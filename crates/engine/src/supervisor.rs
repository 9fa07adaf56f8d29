//! The small parent of the daemon: starts it again at once when it dies.
//!
//! Between a seal and its grant nobody may write; a daemon that is gone then must be back in
//! moments. So the process that `apply` starts is this loop, and the daemon proper is its child.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use changeover_journal::{JournalError, Reader};

use crate::Report;
use crate::record::{self, CRASH_VARIABLE};

/// Set for the child, so that it is the daemon and not another supervisor.
pub(crate) const WORKER_VARIABLE: &str = "CHANGEOVER_WORKER";

/// Where the supervisor of the running daemon is found.
const SUPERVISOR_PID: &str = "supervisor.pid";

/// Where the daemon itself is found.
const WORKER_PID: &str = "run.pid";

/// What is for us alone, and for no command that we run.
pub(crate) const OUR_VARIABLES: [&str; 2] = [WORKER_VARIABLE, CRASH_VARIABLE];

/// A life shorter than this counts as a failed start.
const SHORT_LIFE: Duration = Duration::from_secs(2);

/// So many failed starts in a row, and the supervisor leaves it to the next verb.
const FAILED_STARTS: u32 = 8;

/// Exit codes of a daemon that must not be started again: the plan has changed, or another daemon
/// holds the journal. They are the verbs' own.
const DO_NOT_RESTART: [i32; 2] = [PLAN_CHANGED, 7];

/// Time may mend this one: the plan can be put back.
const PLAN_CHANGED: i32 = 6;

/// Runs the daemon until it ends by itself.
///
/// # Errors
/// If it cannot be started at all, must not be started again, or dies again and again. While a seal
/// is intended it is started again for ever.
pub(crate) fn supervise(state_dir: &Path) -> Result<(), Report> {
    // Detaches from the terminal and from the shell's job; fails if we lead a session already,
    // which is as good.
    rustix::process::setsid().ok();
    let pid_file = state_dir.join(SUPERVISOR_PID);
    let mut failed_starts = 0;
    let mut first = true;
    loop {
        let begun = Instant::now();
        let status = one_life(first)?;
        first = false;
        if status.success() {
            remove_pid(&pid_file);
            return Ok(());
        }
        // The pid file is not ours then: another supervisor's daemon may be running.
        // Nobody may write until somebody resolves it: whatever keeps the daemon from starting may end.
        let sealed = is_sealed(state_dir);
        if let Some(code) = status.code().filter(|code| DO_NOT_RESTART.contains(code))
            && !(sealed && code == PLAN_CHANGED)
        {
            let report = Report::new("CO0112", "the daemon must not run now; it has said why");
            return Err(report.exit(u8::try_from(code).unwrap_or(1)));
        }
        tracing::error!(%status, "the daemon died; starting it again");
        failed_starts = if begun.elapsed() < SHORT_LIFE { failed_starts + 1 } else { 0 };
        if sealed && failed_starts >= FAILED_STARTS {
            tracing::error!(
                "nobody may write until the daemon lives again: it is started on and on"
            );
        } else if failed_starts >= FAILED_STARTS {
            remove_pid(&pid_file);
            return Err(Report::new("CO0110", "the daemon dies as soon as it is started")
                .cause(describe(status))
                .hint(format!("see {}", state_dir.join("run.log").display())));
        }
        // The first restart is at once; a daemon that keeps dying gets ever more time.
        if failed_starts > 1 {
            let doublings = failed_starts.min(if sealed { 3 } else { 6 });
            thread::sleep(Duration::from_millis(100 << doublings));
        }
    }
}

/// Whether a seal is intended, and with it somebody must resolve what became of it. A journal that
/// cannot be read at the moment may say so; one that is damaged says nothing to the daemon either.
pub(crate) fn is_sealed(state_dir: &Path) -> bool {
    let records = match Reader::open(state_dir).and_then(|journal| journal.read_all()) {
        Ok(records) => records,
        Err(e) => return matches!(e, JournalError::Io { .. } | JournalError::Sqlite { .. }),
    };
    record::rebuild(&records).is_ok_and(|(state, _)| state.cutover.has_intended_seal())
}

fn one_life(first: bool) -> Result<ExitStatus, Report> {
    let failed =
        |e: &std::io::Error| Report::new("CO0111", "the daemon cannot be started").because(e);
    let program = std::env::current_exe().map_err(|e| failed(&e))?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(WORKER_VARIABLE, "1").stdin(Stdio::null());
    if !first {
        command.env_remove(CRASH_VARIABLE);
    }
    command.status().map_err(|e| failed(&e))
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exits with {code}"),
        (None, Some(signal)) => format!("it is killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Whether a supervisor of this migration runs: its daemon may have died a moment ago, and is coming
/// back.
pub(crate) fn is_alive(state_dir: &Path) -> bool {
    let Ok(pid) = fs::read_to_string(state_dir.join(SUPERVISOR_PID)) else { return false };
    let process = Path::new("/proc").join(pid.trim());
    // The number may be another's by now.
    let same_program =
        fs::read_link(process.join("exe")).ok() == fs::read_link("/proc/self/exe").ok();
    let words = fs::read(process.join("cmdline")).unwrap_or_default();
    same_program && words.split(|byte| *byte == 0).any(|word| word == b"run")
}

/// Leaves the process ids of the daemon and of its supervisor where a clean-up can find them. Only
/// a daemon that holds the journal may.
pub(crate) fn write_pids(state_dir: &Path) {
    write_pid(&state_dir.join(WORKER_PID));
    if std::env::var_os(WORKER_VARIABLE).is_some() {
        write(&state_dir.join(SUPERVISOR_PID), std::os::unix::process::parent_id());
    }
}

/// Leaves our process id where a clean-up can find it.
pub(crate) fn write_pid(path: &Path) {
    write(path, std::process::id());
}

/// Removes what [`write_pids`] wrote of the daemon.
pub(crate) fn remove_worker_pid(state_dir: &Path) {
    remove_pid(&state_dir.join(WORKER_PID));
}

/// Removes what [`write_pid`] wrote; what another process wrote there since stays.
pub(crate) fn remove_pid(path: &Path) {
    if fs::read_to_string(path).is_ok_and(|text| text.trim() == std::process::id().to_string()) {
        fs::remove_file(path).ok();
    }
}

fn write(path: &Path, pid: u32) {
    if let Err(e) = fs::write(path, pid.to_string()) {
        tracing::warn!(path = %path.display(), "the pid file cannot be written: {e}");
    }
}
