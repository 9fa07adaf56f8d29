//! The state folder is removed under a daemon that is about to leave.

use std::fs;

use crate::stage::postgres_session::execute;
use crate::stage::{Gate, Pair, PlanText, Stage, until};

/// The daemon of an aborted migration lingers for a moment. What it removes then must be its own,
/// not the socket of the daemon that came after it.
#[test]
fn a_daemon_that_leaves_takes_nothing_of_the_next_one_with_it() {
    let pair = Pair::start("folder");
    let plan = PlanText::new(Gate::None);
    let stage = Stage::bare(&pair.blue, &pair.green, "folder", ["", ""], &plan);
    execute(&stage.source, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    for _ in 0..20 {
        let applied = stage.begin("apply", &["--until", "copy"], &[]);
        let applied = applied.end(crate::stage::PATIENCE).unwrap();
        assert_eq!(applied.code, Some(0), "{}", stage.report());
        stage.expect("abort", 0);
        fs::remove_dir_all(stage.state_dir()).unwrap();
    }
}

/// The databases know better: a state folder that knows nothing, and one of before the cutover,
/// neither say that the source has everything, nor remove anything.
#[test]
fn a_journal_that_knows_less_than_the_databases_is_not_believed() {
    let pair = Pair::start("behind");
    let plan = PlanText::new(Gate::None);
    let stage = Stage::bare(&pair.blue, &pair.green, "behind", ["", ""], &plan);
    execute(&stage.source, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let (newest, old) = (stage.state_dir(), stage.state_dir().with_extension("old"));

    let applied = stage.begin("apply", &["--until", "copy"], &[]).end(crate::stage::PATIENCE);
    assert_eq!(applied.unwrap().code, Some(0), "{}", stage.report());
    stop(&stage);
    copy_files(&newest, &old);

    // Another state folder, while the first one's run rests: `rollback` knows of nothing.
    stage.expect("apply", 0);
    let aside = newest.with_extension("newest");
    let authority = stage.authority();
    assert_eq!(authority.1, "target");
    fs::rename(&newest, &aside).unwrap();
    for verb in ["rollback", "abort", "finish", "apply"] {
        let ran = stage.begin(verb, &[], &[]).end(crate::stage::PATIENCE).unwrap();
        assert_ne!(ran.code, Some(0), "{verb}: {:?}", ran.lines);
        assert!(ran.error().contains("another run"), "{verb}: {}", ran.error());
        assert_eq!(stage.authority(), authority, "{verb}");
    }
    stop(&stage);
    fs::remove_dir_all(&newest).unwrap();

    // The journal of before the cutover.
    fs::rename(&aside, &newest).unwrap();
    stop(&stage);
    fs::rename(&newest, &aside).unwrap();
    fs::rename(&old, &newest).unwrap();
    for verb in ["rollback", "abort", "finish", "apply"] {
        let ran = stage.begin(verb, &[], &[]).end(crate::stage::PATIENCE).unwrap();
        assert_ne!(ran.code, Some(0), "{verb}: {:?}", ran.lines);
        assert!(ran.error().contains("behind the databases"), "{verb}: {}", ran.error());
        assert_eq!(stage.authority(), authority, "{verb}");
    }
    stop(&stage);

    // With the newest one everything goes on.
    fs::remove_dir_all(&newest).unwrap();
    fs::rename(&aside, &newest).unwrap();
    stage.expect("rollback", 0);
    stage.expect("abort", 0);
}

/// Ends supervisor and daemon of the folder.
fn stop(stage: &Stage) {
    for file in ["supervisor.pid", "run.pid"] {
        if let Some(pid) = stage.pid(file) {
            Stage::signal(pid, "TERM");
        }
    }
    let gone = || ["supervisor.pid", "run.pid"].iter().all(|file| stage.pid(file).is_none());
    assert!(until(crate::stage::PATIENCE, || gone().then_some(())).is_some(), "{}", stage.report());
}

fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
