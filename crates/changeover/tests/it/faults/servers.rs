//! Database servers that die in the middle: nothing that was acknowledged is lost, and the run
//! goes on by itself or says what to do.

use std::time::Duration;

use changeover_run::DataStage;

use super::program::{has, paused, wait_for_value};
use crate::gates::web::{Load, Upstream, from};
use crate::stage::postgres_session::{execute, try_execute};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, WritePath, Writers, until};

/// Time to die and come back in before anything else happens.
const SOAK: &str = "phases:\n  \
    - {name: copy, steps: [replicate, {soak: {for: 4s}}]}\n  \
    - {name: cutover, steps: [{cutover: {attempts: 10, retry_after: 1s}}]}\n  \
    - {name: check, steps: [verify]}\n";

const BULK: &str = "CREATE TABLE bulk (id int PRIMARY KEY, body text NOT NULL); \
    INSERT INTO bulk SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 150000) i;";

/// A transaction that was acknowledged is on both sides; one that was refused is on neither.
fn settle(stage: &Stage, writers: Writers) {
    writers.wait_for_more(10);
    let ledger = writers.stop();
    assert!(ledger.acknowledged() > 30, "{}", ledger.acknowledged());
    stage.check_settled(&[&ledger]);
}

/// Waits until the copy of the large table is under way on that side. The server itself looks, for
/// the copy is over before a connection of each look's own would see it.
fn copying(stage: &Stage, url: &str) {
    let under_way = "SELECT FROM pg_stat_progress_copy p JOIN pg_stat_activity a USING (pid) \
                     WHERE p.bytes_processed > 1000000 AND a.datname = current_database()";
    let sql = format!(
        "SET statement_timeout = {};
         DO $$ BEGIN
             WHILE NOT EXISTS ({under_way}) LOOP
                 PERFORM pg_sleep(0.002);
                 PERFORM pg_stat_clear_snapshot();
             END LOOP;
         END $$",
        PATIENCE.as_millis()
    );
    try_execute(url, &sql).unwrap_or_else(|e| panic!("no copy is seen: {e}; {}", stage.report()));
}

#[test]
fn a_server_that_dies_during_the_copy_costs_the_copy_and_nothing_else() {
    let mut pair = Pair::start("copydeath");
    let stage = Stage::new(&pair, "copydeath", &PlanText::new(Gate::None));
    execute(&stage.source, BULK);
    let path = WritePath::Either(stage.source.clone(), stage.target.clone());
    let writers = Writers::start(path, 1, 2, Duration::from_millis(10));

    let apply = stage.begin("apply", &[], &[]);
    copying(&stage, &stage.target);
    pair.green.kill();
    let (reason, next) = paused(&apply.end(PATIENCE).unwrap());
    has(&reason, &["copying", "target"]);
    has(&next, &["changeover apply"]);
    assert_eq!(stage.run_state().data, DataStage::CopyLost);
    pair.green.restart().unwrap();

    let apply = stage.begin("apply", &[], &[]);
    copying(&stage, &stage.source);
    pair.blue.kill();
    let (reason, next) = paused(&apply.end(PATIENCE).unwrap());
    has(&reason, &["copying", "source"]);
    has(&next, &["changeover apply"]);
    pair.blue.restart().unwrap();

    stage.expect("apply", 0);
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
    let counted = "SELECT count(*) || ' ' || sum(length(body)) FROM bulk";
    wait_for_value(&stage.target, counted, "150000 38400000");
    settle(&stage, writers);
}

#[test]
fn a_server_that_dies_while_it_is_followed_is_waited_for() {
    let mut pair = Pair::start("followdeath");
    let stage = Stage::new(&pair, "followdeath", &PlanText::new(Gate::None).phases(SOAK));
    let path = WritePath::Either(stage.source.clone(), stage.target.clone());
    let writers = Writers::start(path, 1, 3, Duration::from_millis(5));
    let apply = stage.begin("apply", &[], &[]);
    stage.wait_for("following", |state| state.data == DataStage::Following);
    writers.wait_for_more(20);
    pair.blue.kill();
    pair.blue.restart().unwrap();
    writers.wait_for_more(20);
    pair.green.kill();
    writers.wait_for_more(20);
    pair.green.restart().unwrap();
    let ran = apply.end(PATIENCE).unwrap();
    let ran = if ran.code == Some(5) {
        // It may ask; it must not be confused.
        has(&paused(&ran).1, &["changeover apply"]);
        stage.expect("apply", 0)
    } else {
        ran
    };
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.error(), stage.report());
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
    settle(&stage, writers);
}

#[test]
fn a_server_that_dies_after_the_cutover_is_waited_for_and_the_way_back_stays_open() {
    let mut pair = Pair::start("latedeath");
    let stage = Stage::new(&pair, "latedeath", &PlanText::new(Gate::None));
    let path = WritePath::Either(stage.source.clone(), stage.target.clone());
    let writers = Writers::start(path, 1, 3, Duration::from_millis(5));
    stage.expect("apply", 0);
    writers.wait_for_more(20);
    pair.blue.kill();
    // The target serves on while the old side is down.
    writers.wait_for_more(20);
    pair.blue.restart().unwrap();
    pair.green.kill();
    pair.green.restart().unwrap();
    writers.wait_for_more(20);
    let ran = stage.verb("rollback");
    if ran.code == Some(5) {
        stage.expect("rollback", 0);
    }
    assert_eq!(stage.authority(), ("source".to_owned(), "none".to_owned()));
    settle(&stage, writers);
}

/// In the canary both versions use the source's database, so the target's may come and go.
#[test]
fn a_target_that_dies_in_the_canary_hurts_no_request_and_is_waited_for() {
    let mut pair = Pair::start("canarydeath");
    let (blue, green) = (Upstream::start("blue"), Upstream::start("green"));
    let plan = PlanText::new(Gate::Both).upstreams(&blue.url(), &green.url()).phases(
        "phases:\n  \
            - {name: copy, steps: [replicate]}\n  \
            - {name: canary, steps: [{canary: {weights: [50%], at_least: 5s, proof: [5x], \
                                      latency: []}}]}\n  \
            - {name: cutover, steps: [{cutover: {attempts: 10, retry_after: 1s}}, \
                                      {shift: {to: 100%}}]}\n",
    );
    let mut stage = Stage::new(&pair, "canarydeath", &plan);
    stage.start_gate();
    let through = WritePath::Through(stage.gate_url.clone().unwrap());
    let writers = Writers::start(through, 1, 2, Duration::from_millis(10));
    let load = Load::start(plan.http_port().unwrap());
    let apply = stage.begin("apply", &[], &[]);
    let seen = until(PATIENCE, || (from(&load.more(10), "green") > 0).then_some(()));
    assert!(seen.is_some(), "no canary; {}", stage.report());
    pair.green.kill();
    writers.wait_for_more(20);
    load.more(20);
    pair.green.restart().unwrap();
    let mut ran = apply.end(PATIENCE).unwrap();
    if ran.code == Some(5) {
        has(&paused(&ran).1, &["changeover apply"]);
        ran = stage.expect("apply", 0);
    }
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.error(), stage.report());
    load.more(5);
    assert_eq!(from(&load.more(20), "green"), 20);
    let bad: Vec<_> = load
        .since(0)
        .into_iter()
        .filter(|answer| !answer.as_ref().is_ok_and(|got| got.status == 200))
        .collect();
    assert!(bad.is_empty(), "{bad:?}");
    writers.wait_for_more(10);
    let ledger = writers.stop();
    assert!(ledger.errors().is_empty(), "{:?}", ledger.errors());
    stage.check_settled(&[&ledger]);
}
