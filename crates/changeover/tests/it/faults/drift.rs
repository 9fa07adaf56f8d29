//! Somebody changes what must not change while a migration runs: the schema, or the target's rows.

use changeover_run::DataStage;

use super::program::{ask, has, paused, wait_for_value};
use crate::stage::postgres_session::execute;
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, until};

/// Copies and follows, and stays so.
const FOLLOW: &str = "phases:\n  - {name: copy, steps: [replicate]}\n";

/// With time for somebody to change something before the cutover.
const SOAK: &str = "phases:\n  \
    - {name: copy, steps: [replicate, {soak: {for: 3s}}]}\n  \
    - {name: cutover, steps: [{cutover: {attempts: 1, retry_after: 1s}}]}\n";

/// The reason of the pause that the run came to by itself.
fn reason(stage: &Stage) -> String {
    let status = stage.wait_for_state("paused");
    status["state"]["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_column_that_is_added_is_noticed_before_a_wrong_row_is_applied() {
    let pair = Pair::start("ddl");
    let stage = Stage::new(&pair, "ddl", &PlanText::new(Gate::None).phases(FOLLOW));
    stage.expect("apply", 0);
    execute(&stage.source, "INSERT INTO line VALUES (70, 1, 0)");
    wait_for_value(&stage.target, "SELECT count(*) FROM line WHERE writer = 70", "1");
    execute(
        &stage.source,
        "ALTER TABLE line ADD COLUMN colour text DEFAULT 'red'; \
         INSERT INTO line (writer, seq, kind, colour) VALUES (70, 2, 0, 'blue')",
    );
    let why = reason(&stage);
    has(&why, &["public.line", "colour"]);
    let there = ask(&stage.target, "SELECT count(*) FROM line WHERE writer = 70").unwrap();
    assert_eq!(there, "1", "a row without its colour was applied");
    // What was written with the column cannot be applied even when the column is gone again.
    execute(&stage.source, "ALTER TABLE line DROP COLUMN colour");
    stage.verb("apply");
    has(&reason(&stage), &["public.line", "colour"]);
    stage.expect("abort", 0);
    assert_eq!(super::program::ours(&stage.source, "ddl"), "0");
}

#[test]
fn a_table_that_is_created_meanwhile_stops_the_cutover_and_is_named() {
    let pair = Pair::start("newtable");
    let stage = Stage::new(&pair, "newtable", &PlanText::new(Gate::None).phases(SOAK));
    let apply = stage.begin("apply", &[], &[]);
    stage.wait_for("following", |state| state.data == DataStage::Following);
    execute(&stage.source, "CREATE TABLE novelty (id int PRIMARY KEY)");
    let (why, next) = paused(&apply.end(PATIENCE).unwrap());
    has(&why, &["source", "public.novelty", "abort"]);
    has(&next, &["changeover apply"]);
    assert_eq!(stage.authority(), ("source".to_owned(), "source".to_owned()));
    execute(&stage.source, "DROP TABLE novelty");
    stage.expect("apply", 0);
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
}

#[test]
fn rows_that_were_changed_on_the_target_are_found_and_named() {
    let pair = Pair::start("divergence");
    let stage = Stage::new(&pair, "divergence", &PlanText::new(Gate::None).phases(FOLLOW));
    stage.expect("apply", 0);
    let past_the_seal = |table: &str, sql: &str| {
        execute(
            &stage.target,
            &format!(
                "ALTER TABLE {table} DISABLE TRIGGER \"!changeover_seal_1\"; \
                 ALTER TABLE {table} DISABLE TRIGGER \"!changeover_seal_row_1\"; {sql}; \
                 ALTER TABLE {table} ENABLE ALWAYS TRIGGER \"!changeover_seal_1\"; \
                 ALTER TABLE {table} ENABLE ALWAYS TRIGGER \"!changeover_seal_row_1\""
            ),
        );
    };
    let equal = stage.expect("verify", 0);
    assert_eq!(equal.last("result").unwrap()["verify"]["rows_different"], 0);

    past_the_seal("document", "UPDATE document SET version = 99 WHERE id = 17");
    let ran = stage.expect("verify", 1);
    let verify = &ran.last("result").unwrap()["verify"];
    assert_eq!(verify["rows_different"], 1, "{verify}");
    has(&verify["examples"].to_string(), &["public.document", "17"]);
    has(&reason(&stage), &["1 of", "differ"]);

    // Mended, it goes on.
    past_the_seal("document", "UPDATE document SET version = 0 WHERE id = 17");
    stage.expect("apply", 0);
    stage.expect("verify", 0);

    // A row that is gone: the next change of it cannot be applied, and must not be skipped.
    past_the_seal("counter", "DELETE FROM counter WHERE writer = 33");
    execute(&stage.source, "UPDATE counter SET n = n + 1 WHERE writer = 33");
    let why = reason(&stage);
    has(&why, &["target", "public.counter", "33"]);
    past_the_seal("counter", "INSERT INTO counter VALUES (33, 0)");
    stage.expect("apply", 0);
    let applied = until(PATIENCE, || {
        let n = ask(&stage.target, "SELECT n FROM counter WHERE writer = 33").ok()?;
        (n == "1").then_some(())
    });
    assert!(applied.is_some(), "{}", stage.report());
    stage.expect("verify", 0);
}
