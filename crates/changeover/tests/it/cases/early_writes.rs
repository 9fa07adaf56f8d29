//! A program that has the target's address too early: the target acknowledges no write that is going
//! to be destroyed.

use crate::faults::program::{Beside, Kept};
use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{Gate, Pair, PlanText, Stage};

/// Writes to the target as fast as it can. Gives how many writes were tried, and how many acknowledged.
fn early(target: &str) -> Beside<(u64, u64)> {
    let target = target.to_owned();
    Beside::start(move |stopped| {
        let session = Kept::open(&target, "early");
        let (mut tried, mut acknowledged) = (0, 0);
        while !stopped() {
            tried += 1;
            acknowledged += u64::from(session.run("INSERT INTO t1 (note) VALUES ('x')").is_ok());
        }
        (tried, acknowledged)
    })
}

#[test]
fn the_target_acknowledges_no_write_that_is_destroyed() {
    let pair = Pair::start("early");
    let plan = PlanText::new(Gate::None);
    let stage = Stage::bare(&pair.blue, &pair.green, "early", ["", ""], &plan);
    // Many tables: sealing them takes a while, dropping them as well.
    let create = "DO $$ BEGIN FOR i IN 1..200 LOOP EXECUTE 'CREATE TABLE t' || i || \
        ' (id bigserial PRIMARY KEY, note text)'; END LOOP; END $$";
    execute(&stage.source, create);
    let writer = early(&stage.target);
    stage.expect("apply", 0);
    // Authority has moved: from here on its writes count, and travel back.
    let wrote = "SELECT count(*) FROM t1";
    let seen = crate::stage::until(crate::stage::PATIENCE, || {
        (query_one(&stage.target, wrote) != "0").then_some(())
    });
    assert!(seen.is_some(), "{}", stage.report());
    stage.expect("rollback", 0);
    let (_, acknowledged) = writer.stop();
    assert_eq!(query_one(&stage.source, wrote), acknowledged.to_string(), "{}", stage.report());

    let writer = early(&stage.target);
    stage.expect("abort", 0);
    let (tried, acknowledged) = writer.stop();
    assert!(tried > 0);
    assert_eq!(acknowledged, 0, "of {tried}: {}", stage.report());
    assert_eq!(query_one(&stage.target, "SELECT to_regclass('t1') IS NULL"), "t");
}
