//! With databases: a pause in the middle of a cutover, facts that change under an approval, and what
//! guards see of the stream.

use changeover_run::{Consequence, Event};

use crate::faults::program::{Kept, has};
use crate::stage::postgres_session::execute;
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, WritePath, Writers, until};

fn begin(stage: &Stage, verb: &str, more: &[&str]) -> crate::stage::Ran {
    let ran = stage.begin(verb, more, &[]).end(PATIENCE);
    ran.unwrap_or_else(|e| panic!("{e}\n{}", stage.report()))
}

#[test]
fn a_pause_in_the_middle_of_a_cutover_calls_it_off_and_holds_nobody() {
    let pair = Pair::start("midway");
    let plan = PlanText::new(Gate::Postgres).write_pause("60s").phases(
        "phases:\n  \
         - {name: copy, steps: [replicate]}\n  \
         - {name: cutover, steps: [{cutover: {attempts: 1}}]}\n",
    );
    let mut stage = Stage::new(&pair, "midway", &plan);
    stage.start_gate();
    let gate = stage.gate_url.clone().unwrap();
    // Open work keeps the attempt waiting, with everybody else held.
    let report = Kept::open(&gate, "nightly-report");
    report.run("BEGIN; SELECT count(*) FROM line").unwrap();
    let writers =
        Writers::start(WritePath::Through(gate), 1, 3, std::time::Duration::from_millis(5));
    writers.wait_for_more(20);
    assert_eq!(begin(&stage, "apply", &["--detach"]).code, Some(0));
    stage.wait_for_record("rehearsed");

    let paused = begin(&stage, "pause", &["--reason", "wait for the report", "--as", "alice"]);
    assert_eq!(paused.code, Some(0), "{}\n{}", paused.error(), stage.report());
    let result = paused.last("result").unwrap();
    assert_eq!(result["state"]["reason"], "wait for the report");
    assert_eq!(result["status"]["control"]["authority_is_moving"], false);
    let state = stage.run_state();
    assert!(state.cutover.attempt.is_none(), "{}", stage.report());
    assert_eq!(stage.authority(), ("source".to_owned(), "source".to_owned()));
    // Nobody is held: writers go on although the transaction is still open.
    writers.wait_for_more(50);
    for file in ["supervisor.pid", "run.pid"] {
        Stage::signal(stage.pid(file).unwrap(), "KILL");
    }
    let gone = until(PATIENCE, || stage.pid("run.pid").is_none().then_some(()));
    assert!(gone.is_some());
    assert_eq!(stage.wait_for_state("paused")["control"]["paused_by"]["name"], "alice");

    report.run("COMMIT").unwrap();
    assert_eq!(begin(&stage, "resume", &[]).code, Some(0));
    stage.wait_for_state("done");
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
    writers.wait_for_more(20);
    let ledger = writers.stop();
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    stage.check_settled(&[&ledger]);
}

#[test]
fn an_approval_is_void_when_the_tables_have_changed() {
    let pair = Pair::start("void");
    let plan = PlanText::new(Gate::None).phases(
        "phases:\n  \
         - {name: copy, steps: [replicate]}\n  \
         - {name: cutover, approve: {from: [alice, bob], count: 2}, steps: [cutover]}\n",
    );
    let stage = Stage::new(&pair, "void", &plan);
    assert_eq!(begin(&stage, "apply", &["--no-wait"]).code, Some(4), "{}", stage.report());
    let facts = |stage: &Stage| {
        let status = stage.wait_for_state("waiting");
        status["control"]["approval"]["facts"].as_str().unwrap().to_owned()
    };
    let before = facts(&stage);
    assert_eq!(begin(&stage, "approve", &["--as", "alice"]).code, Some(0));
    // More rows are no other facts; another column is.
    execute(&stage.source, "INSERT INTO customer (name, mood) VALUES ('new', 'late')");
    execute(&stage.source, "ALTER TABLE customer ADD COLUMN fax text");
    stage.wait_for_record("approval-void");
    let asked = until(PATIENCE, || {
        let status = stage.wait_for_state("waiting");
        let asked = &status["control"]["approval"];
        (asked["facts"] != *before && asked["given"] == serde_json::json!([])).then_some(())
    });
    assert!(asked.is_some(), "{}", stage.report());
    // The last look comes after the last yes: a change that nobody saw does not slip through.
    assert_eq!(begin(&stage, "approve", &["--as", "alice"]).code, Some(0));
    execute(&stage.source, "ALTER TABLE customer DROP COLUMN fax");
    let last = begin(&stage, "approve", &["--as", "bob"]);
    assert!(matches!(last.code, Some(0 | 1)), "{}", last.error());
    let voids = || {
        let is_void = |record: &changeover_journal::Record| {
            serde_json::from_value::<Event>(record.body.clone())
                .is_ok_and(|event| matches!(event, Event::ApprovalVoid { .. }))
        };
        stage.journal().iter().filter(|record| is_void(record)).count()
    };
    assert!(until(PATIENCE, || (voids() == 2).then_some(())).is_some(), "{}", stage.report());
    assert_eq!(stage.authority().0, "source");
    // As it was at first again, and approved so.
    assert!(until(PATIENCE, || (facts(&stage) == before).then_some(())).is_some());
    assert_eq!(stage.run_state().control.opened, None);
    has(&stage.status()["control"]["approval"]["step"].to_string(), &["cutover/cutover"]);
    for name in ["alice", "bob"] {
        assert_eq!(begin(&stage, "approve", &["--as", name]).code, Some(0));
    }
    stage.wait_for("the phase", |state| state.control.opened == Some(1));
}

#[test]
fn guards_see_the_stream_the_slot_and_the_comparison() {
    let pair = Pair::start("watched");
    let plan = PlanText::new(Gate::None).phases(
        "guards:\n\
         - {name: lag, metric: relay.lag, below: 1s, for: 0s, every: 1s, on_fail: hold}\n\
         - {name: kept, metric: slot.retained, at_most: 1kB, for: 0s, every: 1s, on_fail: warn}\n\
         - {name: equal, metric: verify.different, at_most: 0, for: 0s, on_fail: abort}\n\
         phases: [{name: copy, steps: [replicate, soak: {for: 1h}]}]\n",
    );
    let stage = Stage::new(&pair, "watched", &plan);
    assert_eq!(begin(&stage, "apply", &["--detach"]).code, Some(0), "{}", stage.report());
    stage.wait_for("the soak", |state| state.at == 1 && state.since.is_some());
    let said = |name: &str, wanted: Consequence| {
        let is_it = |record: &changeover_journal::Record| {
            let event = serde_json::from_value(record.body.clone());
            matches!(event, Ok(Event::GuardActed { guard, consequence, .. })
                if guard == name && consequence == wanted)
        };
        until(PATIENCE, || stage.journal().iter().any(is_it).then_some(())).is_some()
    };
    // The applier waits for a lock: what is written now is late there, and its log is kept here.
    let locker = Kept::open(&stage.target, "locker");
    locker.run("BEGIN; LOCK TABLE counter IN ACCESS EXCLUSIVE MODE").unwrap();
    execute(&stage.source, "UPDATE counter SET n = n + 1");
    let status = stage.wait_for_state("waiting");
    assert_eq!(status["state"]["waits_for"], "guard", "{status}");
    // The applier gives up waiting for the lock after a while and tries again; a look in between
    // finds no figure, which holds the run as well.
    let reason = status["state"]["reason"].as_str().unwrap();
    has(reason, &["guard lag"]);
    let late = reason.contains("relay.lag is") && reason.contains("below 1");
    assert!(late || reason.contains("not following: trying again after"), "{reason}");
    assert!(said("kept", Consequence::Warned), "{}", stage.report());
    locker.run("ROLLBACK").unwrap();
    stage.wait_for("a stream in time", |state| state.control.held().is_none());
    assert_eq!(stage.status()["state"]["is"], "running");

    // A row is changed behind the seal's back, as only the token's holder can.
    let damage = "SET changeover.token = 'watched/1/target'; \
                  UPDATE document SET version = 99 WHERE id = 17";
    execute(&stage.target, damage);
    assert_eq!(begin(&stage, "verify", &[]).code, Some(1));
    assert!(said("equal", Consequence::Aborted), "{}", stage.report());
    stage.wait_for("the end", |state| state.mode == changeover_run::Mode::Aborted);
    let slots =
        "SELECT count(*)::text FROM pg_replication_slots WHERE database = current_database()";
    assert_eq!(crate::stage::postgres_session::query_one(&stage.source, slots), "0");
}
