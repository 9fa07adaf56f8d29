//! What a write pause cannot hold is known before anybody is held.

use crate::faults::program::{has, paused};
use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{Gate, Pair, PlanText, Stage};

/// Sequences that no row has used yet are the slow ones: each must be asked by itself.
fn many_sequences(name: &str, sequences: usize, pause: &str) -> Stage {
    let pair = Pair::start(name);
    let plan = PlanText::new(Gate::None).write_pause("50ms");
    let stage = Stage::bare(&pair.blue, &pair.green, name, ["", ""], &plan);
    execute(
        &stage.source,
        "CREATE TABLE t (id bigserial PRIMARY KEY); INSERT INTO t DEFAULT VALUES",
    );
    let create = format!(
        "DO $$ BEGIN FOR i IN 1..{sequences} LOOP EXECUTE 'CREATE SEQUENCE s' || i; \
         IF i % 500 = 0 THEN COMMIT; END IF; END LOOP; END $$"
    );
    execute(&stage.source, &create);
    let (why, _) = paused(&stage.expect("apply", 5));
    let all = format!("asking {} sequences", sequences + 1);
    has(
        &why,
        &["what has to happen while clients are held takes", &all, "objectives.write_pause to"],
    );
    let held = |record: &changeover_journal::Record| record.body.to_string().contains("\"held\"");
    assert!(!stage.journal().iter().any(held), "{}", stage.report());

    let written = std::fs::read_to_string(&stage.plan).unwrap();
    std::fs::write(&stage.plan, written.replace("50ms", pause)).unwrap();
    stage.expect("apply", 0);
    for sequence in ["s1".to_owned(), format!("s{sequences}")] {
        let sql = format!("SELECT nextval('{sequence}') > 1");
        assert_eq!(query_one(&stage.target, &sql), "t", "{sequence} has its margin");
    }
    stage
}

#[test]
fn sequences_that_do_not_fit_the_write_pause_hold_nobody() {
    many_sequences("many", 900, "5s");
}

#[test]
#[ignore = "takes minutes; make test-all"]
fn ten_thousand_sequences_move_within_their_write_pause() {
    let stage = many_sequences("thousands", 10_000, "3s");
    stage.expect("rollback", 0);
    stage.expect("abort", 0);
}
