//! The way back is proven, can be told what to do with blockers, and can be given up.

use crate::faults::program::{Kept, has, paused};
use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage};

fn bare(pair: &Pair, name: &str, plan: &PlanText, sql: &str) -> Stage {
    let stage = Stage::bare(&pair.blue, &pair.green, name, ["", ""], plan);
    execute(&stage.source, sql);
    stage
}

/// Sequences with a few numbers left move there and back; what they cannot set aside is named before
/// the copy, and after the move. None gives a number twice.
#[test]
fn a_small_sequence_moves_there_and_back() {
    let pair = Pair::start("sequences");
    let plan = PlanText::new(Gate::None);
    let stage = bare(
        &pair,
        "small",
        &plan,
        "CREATE TABLE a (id smallserial PRIMARY KEY); SELECT setval('a_id_seq', 32700); \
         CREATE TABLE b (id int PRIMARY KEY); CREATE SEQUENCE b_s MAXVALUE 20000; \
         CREATE SEQUENCE down INCREMENT -1 MINVALUE -40; SELECT nextval('down'); \
         CREATE SEQUENCE gone MAXVALUE 3; SELECT setval('gone', 3)",
    );
    let planned = format!("{:?}", stage.expect("plan", 0).lines);
    for named in [
        "sequence_room",
        "public.a_id_seq (67 left, 16 set aside)",
        "public.b_s (19999 left, 4999 set aside)",
        "ALTER TABLE \\\"public\\\".\\\"a\\\" ALTER COLUMN \\\"id\\\" TYPE bigint",
        "sequence_used_up",
    ] {
        assert!(planned.contains(named), "{named}: {planned}");
    }
    let applied = format!("{:?}", stage.expect("apply", 0).lines);
    assert!(applied.contains("public.a_id_seq (16)"), "{applied}");
    let next = |url: &str| query_one(url, "INSERT INTO a DEFAULT VALUES RETURNING id");
    assert_eq!(next(&stage.target), "32717", "{}", stage.report());
    assert_eq!(query_one(&stage.target, "SELECT nextval('down')"), "-11");
    // Whoever still takes a number where authority was meets none of the other side's.
    assert_eq!(query_one(&stage.source, "SELECT nextval('a_id_seq')"), "32701");
    stage.expect("rollback", 0);
    assert_eq!(next(&stage.source), "32730", "{}", stage.report());
    stage.expect("apply", 0);
    stage.expect("finish", 0);
}

/// How many attempts the journal holds.
fn attempts(stage: &Stage) -> usize {
    let begun =
        |record: &&changeover_journal::Record| record.body["event"]["event"] == "attempt-begun";
    stage.journal().iter().filter(begun).count()
}

/// A session that listens stands in the way of every move: once is enough to know it, the remedy is
/// said, and works; and a rollback that it blocks can be given up.
#[test]
fn what_a_listening_session_blocks_can_be_forced_or_given_up() {
    let pair = Pair::start("listening");
    let plan = PlanText::new(Gate::Postgres).write_pause("700ms");
    let sql = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";
    let mut stage = bare(&pair, "listening", &plan, sql);
    stage.start_gate();
    let gate = stage.gate_url.clone().unwrap();
    let worker = |stage: &Stage| {
        let worker = Kept::open(&gate, "worker");
        worker.run("LISTEN wake").unwrap();
        // Its state is read when it is at rest.
        assert!(!stage.gate_log().contains("panicked"));
        worker
    };
    let first = worker(&stage);
    let (reason, next) = paused(&stage.expect("apply", 5));
    let remedy = format!("changeover apply {} ", stage.plan.display());
    has(&reason, &["worker", "listens: wake", "a LISTEN does not end by itself", &remedy]);
    has(&reason, &["--unmovable terminate"]);
    assert!(next.starts_with(remedy.trim()), "{next}");
    assert_eq!(attempts(&stage), 1, "{}", stage.report());
    first.run("SELECT 1").unwrap();
    let told = run(&stage, "apply", &["--unmovable", "terminate"], 0);
    has(&told, &["sessions ended", "worker"]);
    assert!(first.run("SELECT 1").is_err());

    // The same on the way back.
    run(&stage, "apply", &["--unmovable", "wait"], 0);
    let second = worker(&stage);
    second.run("SELECT pg_advisory_lock(7); CREATE TEMPORARY TABLE scratch (n int)").unwrap();
    second.run("SELECT pg_advisory_unlock(7); DROP TABLE scratch").unwrap();
    second.run("LISTEN wake").unwrap();
    let ran = stage.expect("rollback", 5);
    // Told before anything is held, and again by the gate that held.
    let before = format!("{:?}", ran.lines);
    has(&before, &["1 session cannot move: postgres (worker), server process", ": listens; stop"]);
    let (reason, next) = paused(&ran);
    has(&reason, &["a LISTEN does not end by itself", "--unmovable terminate", "--give-up"]);
    has(&next, &["changeover rollback ", "plan.yaml"]);
    assert_eq!(attempts(&stage), 3, "{}", stage.report());
    has(&stage.expect("finish", 1).error(), &["the target still has authority", "--give-up"]);
    run(&stage, "rollback", &["--give-up"], 0);
    let status = stage.status();
    assert_eq!((&status["state"]["is"], &status["authority"]), (&"done".into(), &"target".into()));
    second.run("INSERT INTO t VALUES (2)").unwrap();
    has(&run(&stage, "rollback", &["--give-up"], 1), &["no rollback is under way"]);

    has(&run(&stage, "rollback", &["--unmovable", "terminate"], 0), &["sessions ended", "worker"]);
    assert!(second.run("SELECT 1").is_err());
    assert_eq!(query_one(&stage.source, "SELECT count(*) FROM t"), "2");
    assert_eq!(stage.status()["authority"], "source");
}

/// Runs a verb with more words to its end; all that it said.
fn run(stage: &Stage, verb: &str, more: &[&str], code: i32) -> String {
    let ran = stage.begin(verb, more, &[]).end(PATIENCE).unwrap();
    let said = format!("{:?}{}", ran.lines, ran.stderr);
    assert_eq!(ran.code, Some(code), "{said}\n{}", stage.report());
    said
}

/// What nothing rests on may change in the plan of a run: it is journalled, shown, and counts; what
/// something rests on is named and refused, and the run is as it was.
#[test]
fn a_plan_may_change_where_nothing_rests_on_it() {
    let pair = Pair::start("changed");
    let plan = PlanText::new(Gate::None);
    let sql = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";
    let stage = bare(&pair, "changed", &plan, sql);
    run(&stage, "apply", &["--until", "copy"], 0);
    let text = std::fs::read_to_string(&stage.plan).unwrap();
    let write = |text: &str| std::fs::write(&stage.plan, text).unwrap();

    write(&(text.replace("attempts: 5", "attempts: 2") + "data: {exclude: [public.t]}\n"));
    let refused = stage.expect("apply", 6).error();
    has(&refused, &["data.exclude may not change", "attempts: 5 → 2", "put the old plan back"]);
    assert_eq!(stage.run_state().plan_digest, None);

    write(&(text.replace("attempts: 5", "attempts: 2") + "data: {sequence_margin: 7}\n"));
    let told = run(&stage, "apply", &["--until", "copy"], 0);
    has(&told, &["plan-changed", "cutover/cutover: attempts: 5 → 2", "data.sequence_margin"]);
    let status = stage.status();
    has(&status["control"]["plan_changes"].to_string(), &["attempts: 5 → 2"]);
    // It outlives its daemon.
    let changed = stage.run_state().plan_digest;
    assert!(changed.is_some());
    stage.expect("stop", 0);
    assert_eq!(stage.status()["plan_digest"].as_str(), changed.as_deref());
    // What time does not mend is met once, of two attempts.
    execute(&stage.source, "CREATE INDEX late ON t (id)");
    let (reason, _) = paused(&stage.expect("apply", 5));
    has(&reason, &["late"]);
    assert_eq!(attempts(&stage), 1, "{}", stage.report());
    execute(&stage.source, "DROP INDEX late");
    stage.expect("apply", 0);

    // After the cutover as before it; and the plan of the beginning is a change, too.
    write(&text);
    has(&run(&stage, "apply", &[], 0), &["attempts: 2 → 5", "done"]);
    stage.expect("rollback", 0);
    assert_eq!(stage.status()["authority"], "source");
}
