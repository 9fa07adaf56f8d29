//! `kill -9` in the middle of appends, again and again: what was acknowledged is there, the chain
//! holds, and the next process can go on. The child is this test binary, started anew.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use changeover_journal::{CrashPoint, Edge, Entry, Journal, Seq};
use changeover_types::WallMs;
use serde_json::json;

use super::begun;

const DIR: &str = "CHANGEOVER_TEST_JOURNAL_DIR";
const CRASH: &str = "CHANGEOVER_TEST_CRASH_AT";

/// Not a test by itself: the child's work, when its variables are set.
#[test]
fn child_appends_until_it_is_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let mut journal = begun(Path::new(&dir)).unwrap();
    if let Ok(point) = std::env::var(CRASH) {
        journal = journal.with_crash_point(point.parse().unwrap(), Box::new(|_, _| die()));
    }
    loop {
        let n = journal.last().0;
        let entry = |part| Entry {
            kind: "pair".into(),
            at: WallMs(n),
            body: json!({"pair": n / 2, "part": part, "ballast": "x".repeat(500)}),
        };
        let seq = journal.append_all(&[entry(0), entry(1)]).unwrap();
        println!("ack {seq}");
    }
}

/// As the engine does it, but without its means: the kernel's SIGKILL, sent by `kill`.
fn die() {
    let pid = std::process::id().to_string();
    Command::new("kill").args(["-9", &pid]).status().expect("there is a kill program");
    unreachable!("SIGKILL cannot be survived");
}

fn child(dir: &Path, crash: Option<CrashPoint>) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("the test knows itself"));
    command.args(["--exact", "kill::child_appends_until_it_is_killed", "--nocapture"]);
    command.env(DIR, dir).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(point) = crash {
        command.env(CRASH, point.to_string());
    }
    command.spawn().expect("the test can start itself")
}

/// The last acknowledged number, reading until `enough` or until the child is gone.
fn acknowledged(child: &mut Child, enough: u64) -> u64 {
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let mut last = 0;
    for line in out.lines().map_while(Result::ok) {
        if let Some(seq) = line.split("ack ").nth(1).and_then(|n| n.trim().parse().ok()) {
            last = seq;
        }
        if last >= enough {
            break;
        }
    }
    last
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 0..12 {
        let mut child = child(dir.path(), None);
        let last = acknowledged(&mut child, before + 20 + round * 7);
        child.kill().unwrap();
        child.wait().unwrap();
        let journal = Journal::create_or_open(dir.path()).unwrap();
        let records = journal.read_all().unwrap();
        let count = records.len() as u64;
        assert!(count >= last, "{last} were acknowledged, {count} are there");
        assert_eq!(count % 2, 0, "a pair was torn");
        for (index, record) in records.iter().enumerate() {
            assert_eq!(record.body["part"], json!(index % 2));
        }
        before = count;
    }
}

#[test]
fn a_crash_point_is_exact() {
    for (text, expected) in
        [("5:pre", 4), ("5:post", 6), ("6:post", 6), ("1:pre", 0), ("2:post", 2)]
    {
        let dir = tempfile::tempdir().unwrap();
        let point: CrashPoint = text.parse().unwrap();
        let mut child = child(dir.path(), Some(point));
        let last = acknowledged(&mut child, u64::MAX);
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{text}");
        let journal = Journal::create_or_open(dir.path()).unwrap();
        assert_eq!(journal.last(), Seq(expected), "{text}");
        let told = if point.edge == Edge::Post { expected - 2 } else { expected };
        assert_eq!(last, told, "{text}: nothing is acknowledged beyond the crash");
    }
}
