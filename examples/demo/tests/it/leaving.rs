//! However the demo ends, nothing of it stays.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::demo;

/// Processes that carry the demo's mark or run PostgreSQL in its folder.
fn processes_of(folder: &Path) -> Vec<u32> {
    let mark = format!("CHANGEOVER_DEMO={}", folder.display());
    let text = folder.display().to_string();
    let holds = |path: String, what: &str| {
        fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(what))
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            holds(format!("/proc/{pid}/environ"), &mark)
                || holds(format!("/proc/{pid}/cmdline"), &text)
        })
        .collect()
}

/// Starts the demo and waits until it prints a line that starts so.
fn started(out: &tempfile::TempDir, until: &str) -> (Child, PathBuf) {
    let mut child = demo(out, &["--seconds", "300"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut folder = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(path) = line.strip_prefix("folder ") {
            folder = Some(PathBuf::from(path));
        }
        if line.starts_with(until) {
            return (child, folder.unwrap());
        }
    }
    panic!("the demo ended too early: {:?}", child.wait());
}

fn ends_cleanly_after(signal: Signal, line: &str) {
    let out = tempfile::tempdir().unwrap();
    let (mut child, folder) = started(&out, line);
    // Like the run's daemon: in a session of its own, not our child any more.
    let detached = Command::new("sh")
        .args(["-c", "setsid sleep 300 >/dev/null 2>&1 &"])
        .env("CHANGEOVER_DEMO", &folder)
        .status()
        .unwrap();
    assert!(detached.success());
    // The detached one, the postmaster, and the shop or its loader.
    let deadline = Instant::now() + Duration::from_secs(60);
    while processes_of(&folder).len() < 3 {
        assert!(Instant::now() < deadline, "{:?}", processes_of(&folder));
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !processes_of(&folder).is_empty() || folder.exists() {
        assert!(Instant::now() < deadline, "left: {:?}, {folder:?}", processes_of(&folder));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn interrupted_while_it_prepares_it_leaves_nothing() {
    ends_cleanly_after(Signal::INT, "folder ");
}

#[test]
fn killed_under_load_it_leaves_nothing() {
    ends_cleanly_after(Signal::KILL, "load:");
}
