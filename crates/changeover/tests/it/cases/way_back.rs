//! The way back is proven, can be told what to do with blockers, and can be given up.

use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{Gate, Pair, PlanText, Stage};

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
