//! Disks that are too small: the target's, and that of our own state.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::program::{has, ours, paused};
use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage};

/// A mounted file system, taken away again.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, megabytes: u32) -> Option<SmallDisk> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m,mode=1777"), "tmpfs"])
            .arg(folder)
            .output();
        mounted.is_ok_and(|o| o.status.success()).then(|| SmallDisk(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[test]
fn a_full_disk_on_the_target_stops_the_copy_and_room_lets_it_go_on() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), 24) else {
        eprintln!("skipped: a small file system can only be mounted by root");
        return;
    };
    let pair = Pair::start("disk");
    let stage = Stage::new(&pair, "disk", &PlanText::new(Gate::None));
    execute(
        &stage.source,
        "CREATE TABLE bulk (id int PRIMARY KEY, body text NOT NULL); \
         INSERT INTO bulk SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 60000) i;",
    );
    let like = format!("--reference={}", pair.green.data().display());
    assert!(Command::new("chown").arg(like).arg(&disk.0).status().unwrap().success());
    let admin = pair.green.url("postgres");
    execute(&admin, &format!("CREATE TABLESPACE tiny LOCATION '{}'", disk.0.display()));
    execute(&admin, "ALTER DATABASE disk SET TABLESPACE tiny");

    let (reason, next) = paused(&stage.expect("apply", 5));
    has(&reason, &["target", "public.bulk", "No space left on device"]);
    has(&next, &["changeover apply"]);
    let before = query_one(&stage.source, "SELECT count(*) FROM customer");
    execute(&stage.source, "UPDATE customer SET changed = 1");

    // Again without more room: the same words, not a new riddle.
    let (reason, _) = paused(&stage.expect("apply", 5));
    has(&reason, &["public.bulk", "No space left on device"]);

    let grown = Command::new("mount").args(["-o", "remount,size=200m"]).arg(&disk.0).status();
    assert!(grown.unwrap().success());
    stage.expect("apply", 0);
    assert_eq!(query_one(&stage.target, "SELECT count(*) FROM customer"), before);
    assert_eq!(query_one(&stage.target, "SELECT count(*) FROM bulk"), "60000");
    stage.expect("rollback", 0);
    stage.expect("abort", 0);
    assert_eq!(ours(&stage.source, "disk"), "0");
    drop(stage);
    drop(pair);
}

/// Fills what the file `path` is on, but for so many bytes.
fn fill(path: &Path, rest: u64) {
    let mut file = File::create(path).unwrap();
    let block = [1; 1 << 16];
    while file.write_all(&block).is_ok() {}
    file.set_len(file.metadata().unwrap().len().saturating_sub(rest)).unwrap();
}

/// The journal must be able to say what became of a seal before there is one.
#[test]
fn a_full_disk_under_the_journal_is_found_before_the_seal() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), 24) else {
        eprintln!("skipped: a small file system can only be mounted by root");
        return;
    };
    let mut pair = Pair::start("statedisk");
    let phases = "phases:\n  - {name: copy, steps: [replicate]}\n  \
        - {name: cutover, steps: [{cutover: {attempts: 2, retry_after: 500ms}}]}\n";
    let mut stage = Stage::new(&pair, "statedisk", &PlanText::new(Gate::Postgres).phases(phases));
    stage.share_state(&disk.0);
    stage.start_gate();
    let until_copied = stage.begin("apply", &["--until", "copy"], &[]).end(PATIENCE).unwrap();
    assert_eq!(until_copied.code, Some(0), "{}", until_copied.error());

    // A run that rests and follows is in nobody's way: the source goes down, also when asked to wait
    // for its clients.
    for mode in ["smart", "fast"] {
        let begun = Instant::now();
        pair.blue.stop(mode).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30), "{mode}: {:?}", begun.elapsed());
        pair.blue.restart().unwrap();
    }

    let ballast = disk.0.join("ballast");
    fill(&ballast, 400 << 10);
    let (reason, next) = paused(&stage.expect("apply", 5));
    has(&reason, &["the disk of the state folder has no room"]);
    has(&next, &["changeover apply"]);
    assert_eq!(stage.authority().0, "source");
    // Nobody is held, and nobody was refused.
    execute(stage.gate_url.as_ref().unwrap(), "UPDATE customer SET changed = 1");

    std::fs::remove_file(&ballast).unwrap();
    stage.expect("apply", 0);
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
    drop(stage);
    drop(pair);
}
