//! Leaves no process and no folder behind, however the demo ends.
//!
//! A helper process in a group of its own reads a pipe from us. When the pipe closes - because we
//! are done, were interrupted, or were killed with SIGKILL - it ends every process that carries
//! our mark in its environment or runs PostgreSQL in our folder, then removes the folder. The
//! mark is inherited, so a daemon that detaches itself is found too.

use std::fs;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The first argument that makes this program the helper.
pub(crate) const WORD: &str = "reap";

/// The environment variable every child carries; its value is the demo's folder.
pub(crate) const MARK: &str = "CHANGEOVER_DEMO";

/// PostgreSQL programs, which are started without our mark.
const SERVER_PROGRAMS: [&str; 5] = ["postgres", "initdb", "pg_ctl", "setpriv", "postmaster"];

/// Our end of the pipe, and the folder.
#[derive(Debug)]
pub(crate) struct Reaper {
    folder: PathBuf,
    helper: Mutex<Option<(Child, ChildStdin)>>,
}

impl Reaper {
    /// Makes the demo's folder and starts the helper.
    ///
    /// # Errors
    /// If either fails.
    pub(crate) fn start() -> Result<Reaper, String> {
        let said = |e: std::io::Error| format!("starting the clean-up helper: {e}");
        let folder =
            tempfile::Builder::new().prefix("changeover-demo-").tempdir().map_err(said)?.keep();
        // The server's user must be able to pass through to its own folder.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        fs::set_permissions(&folder, open).map_err(said)?;
        let mut helper = Command::new(std::env::current_exe().map_err(said)?)
            .arg(WORD)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(said)?;
        let mut pipe = helper.stdin.take().ok_or("the clean-up helper has no pipe")?;
        writeln!(pipe, "{}", folder.display()).map_err(said)?;
        Ok(Reaper { folder, helper: Mutex::new(Some((helper, pipe))) })
    }

    /// The demo's folder; gone after the end.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends everything and waits until it is gone.
    pub(crate) fn finish(&self) {
        let mut held = self.helper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((mut helper, pipe)) = held.take() {
            drop(pipe);
            if let Err(e) = helper.wait() {
                eprintln!("changeover-demo: waiting for the clean-up helper: {e}");
            }
        }
    }
}

/// The helper's life: wait for the end of the pipe, then clean up.
pub(crate) fn run() {
    let mut lines = std::io::stdin().lock().lines();
    let Some(Ok(folder)) = lines.next() else { return };
    for _ in lines {}
    let folder = PathBuf::from(folder);
    let started = Instant::now();
    loop {
        let left = victims(&folder);
        let late = started.elapsed() > Duration::from_secs(20);
        if left.is_empty() {
            match fs::remove_dir_all(&folder) {
                // One that was just being started is not seen yet, and writes: it is looked for again.
                Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty && !late => {}
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return eprintln!("changeover-demo: removing {}: {e}", folder.display());
                }
                _ => return,
            }
        } else if late {
            let pids: Vec<String> = left.iter().map(|v| v.pid.to_string()).collect();
            return eprintln!("changeover-demo: these processes did not end: {}", pids.join(" "));
        }
        let patience_over = started.elapsed() > Duration::from_secs(5);
        // Stopped first, so that none restarts another.
        for victim in left.iter().filter(|v| !v.server) {
            send(victim.pid, Signal::STOP);
        }
        for victim in &left {
            // A server that is killed outright leaves its shared memory behind.
            let gentle = victim.server && !patience_over;
            send(victim.pid, if gentle { Signal::QUIT } else { Signal::KILL });
        }
        thread::sleep(Duration::from_millis(50));
    }
}

struct Victim {
    pid: i32,
    server: bool,
}

/// Every living process of this demo, found by mark or by folder; never by name alone.
fn victims(folder: &Path) -> Vec<Victim> {
    let mark = format!("{MARK}={}", folder.display());
    let me = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != me)
        .filter_map(|pid| {
            if is_dead(pid) {
                return None;
            }
            let server = is_our_server(pid, folder);
            (server || carries(pid, &mark))
                .then(|| i32::try_from(pid).ok().map(|pid| Victim { pid, server }))?
        })
        .collect()
}

fn carries(pid: u32, mark: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|all| all.split(|b| *b == 0).any(|one| one == mark.as_bytes()))
}

fn is_our_server(pid: u32, folder: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
    let program = words.first().map(|w| Path::new(std::str::from_utf8(w).unwrap_or("")));
    let is_server = program
        .and_then(Path::file_name)
        .and_then(|name| name.to_str())
        .is_some_and(|name| SERVER_PROGRAMS.contains(&name));
    is_server
        && words
            .iter()
            .any(|word| std::str::from_utf8(word).is_ok_and(|w| Path::new(w).starts_with(folder)))
}

/// Gone, or a zombie that only waits for its parent.
fn is_dead(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended in the meantime, which is what we want.
        kill_process(pid, signal).ok();
    }
}
