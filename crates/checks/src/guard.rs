//! The small process between us and a command of the user's, so that the command ends with us.
//!
//! It reads a pipe from whoever started it. When the pipe closes, because the check is over, was
//! cancelled, or its daemon was killed with SIGKILL, the command's process group is told to end,
//! then ended, together with every descendant that left the group.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// The exit code of a command that cannot be started, as a shell has it.
pub const CANNOT_START: u8 = 127;

/// Between the request to end and the end.
const GRACE: Duration = Duration::from_secs(2);

/// Runs the command until it ends, or until standard input does; gives its exit code, 128 and the
/// signal's number if a signal ended it.
#[must_use]
pub fn run(command: &[OsString]) -> u8 {
    let Some((program, arguments)) = command.split_first() else { return CANNOT_START };
    // Descendants that lose their parent become ours, so that they are found.
    let own = Pid::from_raw(i32::try_from(std::process::id()).unwrap_or(0));
    if let Err(e) = rustix::process::set_child_subreaper(own) {
        eprintln!("changeover: descendants of the command cannot be watched: {e}");
    }
    let started =
        Command::new(program).args(arguments).process_group(0).stdin(Stdio::null()).spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(e) => {
            eprintln!("changeover: {} cannot be started: {e}", program.display());
            return CANNOT_START;
        }
    };
    let group = Pid::from_child(&child);
    // Until the child is waited for its number is nobody else's.
    let alive = Mutex::new(true);
    let status = thread::scope(|scope| {
        let ending = scope.spawn(|| end_with_the_pipe(group, &alive));
        let status = wait(&mut child, &alive);
        end_descendants(group);
        // The thread may still wait for the pipe: the process ends here, and it with it.
        drop(ending);
        std::process::exit(i32::from(code(&status)));
    });
    code(&status)
}

fn wait(child: &mut Child, alive: &Mutex<bool>) -> io::Result<ExitStatus> {
    loop {
        {
            let mut alive = alive.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(status) = child.try_wait()? {
                *alive = false;
                return Ok(status);
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn code(status: &io::Result<ExitStatus>) -> u8 {
    let Ok(status) = status else { return u8::MAX };
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

fn end_with_the_pipe(group: Pid, alive: &Mutex<bool>) {
    let mut byte = [0];
    while matches!(io::stdin().read(&mut byte), Ok(1..)) {}
    tell(group, Signal::TERM, alive);
    thread::sleep(GRACE);
    tell(group, Signal::KILL, alive);
}

fn tell(group: Pid, signal: Signal, alive: &Mutex<bool>) {
    let alive = alive.lock().unwrap_or_else(PoisonError::into_inner);
    if *alive {
        kill_process_group(group, signal).ok();
    }
}

/// Ends what the command left behind: its group, and whoever left the group and is ours now.
fn end_descendants(group: Pid) {
    kill_process_group(group, Signal::KILL).ok();
    let until = Instant::now() + GRACE;
    while Instant::now() < until {
        let left = children();
        if left.is_empty() {
            return;
        }
        for pid in left {
            kill_process(pid, Signal::KILL).ok();
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG).ok();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whose parent we are.
fn children() -> Vec<Pid> {
    let me = std::process::id();
    let Ok(tasks) = fs::read_dir(format!("/proc/{me}/task")) else { return Vec::new() };
    let lists =
        tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<String> = lists
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    pids.iter().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}
