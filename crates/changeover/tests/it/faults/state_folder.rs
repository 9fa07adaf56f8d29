//! State folders that are removed, restored, lost, or not the only ones.

use std::fs;
use std::time::Duration;

use changeover_routing::Order;

use super::program::has;
use crate::gates::canary::order_gate;
use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Ran, Stage, WritePath, Writers, until};

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
        let applied = applied.end(PATIENCE).unwrap();
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

    let applied = stage.begin("apply", &["--until", "copy"], &[]).end(PATIENCE);
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
        let ran = stage.begin(verb, &[], &[]).end(PATIENCE).unwrap();
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
        let ran = stage.begin(verb, &[], &[]).end(PATIENCE).unwrap();
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
    wait_for_end(stage);
}

/// Waits until both are gone.
fn wait_for_end(stage: &Stage) {
    let gone = || ["supervisor.pid", "run.pid"].iter().all(|file| stage.pid(file).is_none());
    assert!(until(PATIENCE, || gone().then_some(())).is_some(), "{}", stage.report());
}

fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A verb from another state folder, to its end.
fn elsewhere(stage: &mut Stage, verb: &str, more: &[&str]) -> Ran {
    let own = stage.state_parent();
    stage.share_state(&own.with_extension("other"));
    let ran = stage.begin(verb, more, &[]).end(PATIENCE).unwrap();
    stage.share_state(&own);
    ran
}

fn refused(ran: &Ran, words: &[&str]) {
    assert_ne!(ran.code, Some(0), "{:?}", ran.lines);
    let said =
        format!("{}{}", ran.error(), ran.lines.iter().map(ToString::to_string).collect::<String>());
    has(&said, words);
}

/// Our slots and epoch rows on the source, as `1 1`.
const OURS: &str = "SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()) \
     || ' ' || (SELECT count(*) FROM changeover.epoch)";

#[test]
fn a_run_that_lives_is_left_alone_by_another_state_folder() {
    let pair = Pair::start("alive");
    let mut stage = Stage::new(&pair, "alive", &PlanText::new(Gate::Postgres));
    stage.start_gate();
    let url = stage.gate_url.clone().unwrap();
    let writers = Writers::start(WritePath::Through(url), 2, 5, Duration::from_millis(5));
    writers.wait_for_more(10);
    let applied = stage.begin("apply", &["--until", "copy"], &[]).end(PATIENCE).unwrap();
    assert_eq!(applied.code, Some(0), "{}", stage.report());
    for (verb, more) in
        [("apply", &[][..]), ("abort", &[]), ("abort", &["--force"]), ("finish", &[])]
    {
        let ran = elsewhere(&mut stage, verb, more);
        refused(&ran, &["another run", "it lives: its slot is in use", "--state-dir"]);
    }
    assert_eq!(query_one(&stage.source, OURS), "1 1", "{}", stage.report());
    stage.expect("apply", 0);
    refused(&elsewhere(&mut stage, "rollback", &[]), &["another run"]);
    writers.wait_for_more(10);
    let ledger = writers.stop();
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    stage.check_settled(&[&ledger]);
}

#[test]
fn only_a_lost_run_that_rests_is_removed_from_elsewhere() {
    let pair = Pair::start("lost");
    let mut stage = Stage::new(&pair, "lost", &PlanText::new(Gate::None));
    let applied = stage.begin("apply", &["--until", "copy"], &[]).end(PATIENCE).unwrap();
    assert_eq!(applied.code, Some(0), "{}", stage.report());
    stop(&stage);
    let run = query_one(&stage.source, "SELECT run FROM changeover.epoch");
    refused(
        &elsewhere(&mut stage, "apply", &[]),
        &["left_over", &run, "its slot rests", "--force"],
    );
    refused(
        &elsewhere(&mut stage, "abort", &[]),
        &["another run", &run, "its slot rests", "--force"],
    );
    assert_eq!(query_one(&stage.source, OURS), "1 1", "{}", stage.report());
    // It is not lost: it goes on, there and back.
    stage.expect("apply", 0);
    stop(&stage);
    let ran = elsewhere(&mut stage, "abort", &["--force"]);
    refused(&ran, &["another run", "the target has authority by it"]);
    stage.expect("rollback", 0);
    stop(&stage);
    let ran = elsewhere(&mut stage, "abort", &["--force"]);
    assert_eq!(ran.code, Some(0), "{}", ran.error());
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()";
    for side in [&stage.source, &stage.target] {
        assert_eq!(query_one(side, slots), "0");
        assert_eq!(query_one(side, "SELECT to_regclass('changeover.epoch') IS NULL"), "t");
    }
}

#[test]
fn of_two_applies_at_one_moment_one_begins() {
    let pair = Pair::start("twice");
    let plan = PlanText::new(Gate::None);
    let mut stage = Stage::bare(&pair.blue, &pair.green, "twice", ["", ""], &plan);
    execute(&stage.source, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let own = stage.state_parent();
    let other = own.with_extension("other");
    let mut begun = Vec::new();
    for parent in [&own, &other] {
        stage.share_state(parent);
        begun.push(stage.begin("apply", &["--until", "copy"], &[]));
    }
    let ended: Vec<Ran> = begun.into_iter().map(|it| it.end(PATIENCE).unwrap()).collect();
    let won = ended.iter().position(|ran| ran.code == Some(0));
    let won = won.unwrap_or_else(|| panic!("nobody: {ended:?}"));
    let lost = &ended[1 - won];
    assert_ne!(lost.code, Some(0), "both: {ended:?}");
    // Whichever it met: the rows of the other, or its lock.
    let said = format!("{lost:?}");
    assert!(said.contains("another run") || said.contains("this migration"), "{said}");
    stage.share_state([&own, &other][won]);
    stage.expect("apply", 0);
    assert_eq!(stage.authority().1, "target", "{}", stage.report());
    stage.expect("rollback", 0);
    stage.expect("abort", 0);
}

/// The journal lost its end in the middle of an attempt: what it knows must not open the gate, whose
/// clients would meet a side that is sealed.
#[test]
fn a_journal_that_lost_its_end_gives_the_gate_no_orders() {
    let pair = Pair::start("tail");
    let begin = |name: &str| {
        let mut stage = Stage::new(&pair, name, &PlanText::new(Gate::Postgres).beside_others());
        stage.start_gate();
        stage
    };
    // Where its seal is intended is the same in every undisturbed run.
    let first = begin("tail_first");
    first.expect("apply", 0);
    let intended = |stage: &Stage| {
        stage
            .journal()
            .iter()
            .find(|it| it.body["event"]["event"] == "seal-intended")
            .map(|it| it.seq.0)
    };
    let record = intended(&first).unwrap_or_else(|| panic!("{}", first.report()));
    first.expect("stop", 0);

    let mut stage = begin("tail");
    let crash = format!("{}:pre", record + 1);
    let life =
        stage.begin("run", &[], &[("CHANGEOVER_WORKER", "1"), ("CHANGEOVER_CRASH_AT", &crash)]);
    life.end(PATIENCE).unwrap();
    assert_eq!(intended(&stage), Some(record), "{}", stage.report());
    assert_eq!(stage.authority().0, "none", "sealed; {}", stage.report());
    let file = stage.state_dir().join(changeover_journal::JOURNAL_FILE);
    let newest = stage.state_dir().with_extension("newest");
    copy_files(&stage.state_dir(), &newest);
    let journal = rusqlite::Connection::open(&file).unwrap();
    journal
        .execute_batch(&format!(
            "DROP TRIGGER record_remains; DELETE FROM record WHERE seq >= {record}"
        ))
        .unwrap();
    drop(journal);

    // A client that is held stays so; nobody is sent to the sealed source.
    let url = stage.gate_url.clone().unwrap();
    let writers = Writers::start(WritePath::Through(url), 1, 1, Duration::from_millis(5));
    refused(&stage.begin("apply", &[], &[]).end(PATIENCE).unwrap(), &["behind the databases"]);
    wait_for_end(&stage);
    let gate = order_gate(&stage.state_dir().join("gate.sock"), Order::Status);
    let sealing = gate.hold.and_then(|hold| hold.sealing);
    assert_eq!(sealing.map(|epoch| epoch.0), Some(2), "{gate:?}");
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        fs::remove_file(stage.state_dir().join(file)).ok();
        if newest.join(file).exists() {
            fs::copy(newest.join(file), stage.state_dir().join(file)).unwrap();
        }
    }
    stage.expect("apply", 0);
    writers.wait_for_more(5);
    let ledger = writers.stop();
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    stage.kill_gate();
}
