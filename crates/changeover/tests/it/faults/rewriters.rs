//! Somebody wants a table for itself while we hold it: the application's queries on that table wait
//! behind them, so we let go, name them, and begin again.

use std::thread;
use std::time::{Duration, Instant};

use super::program::{Beside, Kept};
use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, until};

/// The application: one row after another, with the time that the slowest took.
fn application(url: &str) -> Beside<(u64, Duration)> {
    let url = url.to_owned();
    Beside::start(move |stopped| {
        let session = Kept::open(&url, "shop");
        let (mut rows, mut slowest) = (0, Duration::ZERO);
        while !stopped() {
            let begun = Instant::now();
            session.run("INSERT INTO t1 (note) VALUES ('x')").unwrap();
            slowest = slowest.max(begun.elapsed());
            rows += 1;
            // Its pace; nothing waits for it.
            thread::sleep(Duration::from_millis(2));
        }
        (rows, slowest)
    })
}

/// Waits until one of our sessions of this name holds the table, and rewrites it.
fn rewrite_beside(stage: &Stage, rewriter: &Kept, application: &str) {
    let held = format!(
        "SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
         WHERE a.application_name = '{application}' AND l.granted AND l.relation = 't1'::regclass"
    );
    let seen = until(PATIENCE, || (query_one(&stage.source, &held) == "t").then_some(()));
    assert!(seen.is_some(), "{application}: {}", stage.report());
    rewriter.run("BEGIN; LOCK TABLE t1 IN ACCESS EXCLUSIVE MODE; COMMIT").unwrap();
}

#[test]
fn whoever_wants_a_table_for_itself_passes_and_the_application_goes_on() {
    let pair = Pair::start("rewriters");
    let plan = PlanText::new(Gate::None);
    let stage = Stage::bare(&pair.blue, &pair.green, "rewriters", ["", ""], &plan);
    let create = "DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE 'CREATE TABLE t' || i || \
        ' (id bigserial PRIMARY KEY, note text)'; END LOOP; END $$; \
        INSERT INTO t1 (note) SELECT repeat('x', 100) FROM generate_series(1, 200000)";
    execute(&stage.source, create);
    let application = application(&stage.source);
    let rewriter = Kept::open(&stage.source, "nightly-truncate");
    let running = stage.begin("apply", &["--until", "copy"], &[]);
    for ours in ["changeover holder", "changeover schema", "changeover copy"] {
        rewrite_beside(&stage, &rewriter, ours);
    }
    let applied = running.end(PATIENCE).unwrap_or_else(|e| panic!("{e}\n{}", stage.report()));
    assert_eq!(applied.code, Some(0), "{}", stage.report());
    let said = format!("{:?}", applied.lines);
    assert!(
        said.contains("nightly-truncate") && said.contains("lets go and starts again"),
        "{said}"
    );

    // So does a comparison.
    let verify = stage.begin("verify", &[], &[]);
    rewrite_beside(&stage, &rewriter, "changeover verify");
    let verified = verify.end(PATIENCE).unwrap_or_else(|e| panic!("{e}\n{}", stage.report()));
    assert_eq!(verified.code, Some(0), "{}", stage.report());

    let (rows, slowest) = application.stop();
    // A bound on what the application bears, far above what it takes: it was a minute, or no end.
    assert!(slowest < Duration::from_secs(10), "{slowest:?} of {rows}: {}", stage.report());
    stage.expect("apply", 0);
    let count = "SELECT count(*) FROM t1";
    assert_eq!(query_one(&stage.target, count), (rows + 200_000).to_string());
}
