//! Work that does not end within a write pause: waited for, named, never ended by us.

use std::time::{Duration, Instant};

use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use super::program::{Kept, has, paused};
use crate::stage::{Gate, Pair, PlanText, Stage, WritePath, Writers};

const ONE_ATTEMPT: &str = "phases:\n  \
    - {name: copy, steps: [replicate]}\n  \
    - {name: cutover, steps: [{cutover: {attempts: 1, retry_after: 1s}}]}\n";

const PAUSE: Duration = Duration::from_millis(1500);

fn stage(pair: &Pair, name: &str) -> Stage {
    let plan = PlanText::new(Gate::Postgres).write_pause("1500ms").phases(ONE_ATTEMPT);
    let mut stage = Stage::new(pair, name, &plan);
    stage.start_gate();
    stage
}

fn called_off(stage: &Stage) -> String {
    let status = stage.status();
    assert_eq!(status["authority"], "source", "{status}");
    status["cutover"]["last_called_off"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_open_transaction_is_named_and_left_alone() {
    let pair = Pair::start("blocked");
    let stage = stage(&pair, "blocked");
    let gate = stage.gate_url.clone().unwrap();
    let reader = Kept::open(&gate, "nightly-report");
    reader.run("BEGIN; SELECT count(*) FROM line").unwrap();
    let pid = reader.one("SELECT pg_backend_pid()").unwrap();
    let writers = Writers::start(WritePath::Through(gate), 1, 3, Duration::from_millis(5));
    writers.wait_for_more(20);

    // Open through the gate.
    let (reason, next) = paused(&stage.expect("apply", 5));
    for text in [&reason, &called_off(&stage)] {
        has(text, &["nightly-report", "postgres", "127.0.0.1:", &format!("process {pid}")]);
        has(text, &["in transaction"]);
    }
    has(&next, &["changeover apply"]);
    assert_eq!(reader.one("SELECT pg_backend_pid()").unwrap(), pid, "it was touched");
    writers.wait_for_more(20);
    reader.run("COMMIT").unwrap();

    // Around the gate, with rows locked.
    let direct = Kept::open(&stage.source, "month-end");
    direct.run("BEGIN; UPDATE counter SET n = n WHERE writer = 60").unwrap();
    let pid = direct.one("SELECT pg_backend_pid()").unwrap();
    let (reason, _) = paused(&stage.expect("apply", 5));
    has(&reason, &["source", "month-end", &pid]);
    has(&called_off(&stage), &["month-end", &pid]);
    writers.wait_for_more(20);
    direct.run("ROLLBACK").unwrap();

    stage.expect("apply", 0);
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
    writers.wait_for_more(20);
    let ledger = writers.stop();
    assert!(ledger.errors().is_empty(), "{:?}\n{}", ledger.errors(), stage.report());
    // The write pause, and what a busy machine adds to it.
    assert!(ledger.longest < PAUSE + Duration::from_secs(3), "waited {:?}", ledger.longest);
    stage.check_settled(&[&ledger]);
}

#[test]
fn sessions_that_cannot_move_are_named_and_the_others_keep_their_state() {
    let pair = Pair::start("pinned");
    let stage = stage(&pair, "pinned");
    let gate = stage.gate_url.clone().unwrap();
    let temporary = Kept::open(&gate, "importer");
    temporary.run("CREATE TEMPORARY TABLE scratch (n int)").unwrap();
    let locker = Kept::open(&gate, "cron-leader");
    locker.run("SELECT pg_advisory_lock(4711)").unwrap();
    let ordinary = Kept::open(&gate, "shop");
    ordinary.run("SET statement_timeout = '77s'; SET search_path = public, pg_temp").unwrap();
    let (runtime, client) = ordinary.parts();
    let prepared = runtime
        .block_on(client.prepare("SELECT $1::int + 1, inet_server_port(), 'busy'::mood::text"))
        .unwrap();
    let ask = || {
        let row = runtime.block_on(client.query_one(&prepared, &[&41])).unwrap();
        (row.get::<_, i32>(0), row.get::<_, i32>(1), row.get::<_, String>(2))
    };
    let port = |cluster: &changeover_testkit::Cluster| i32::from(cluster.port());
    assert_eq!(ask(), (42, port(&pair.blue), "busy".to_owned()));

    let (reason, _) = paused(&stage.expect("apply", 5));
    has(&reason, &["importer", "temporary", "cron-leader", "advisory"]);
    assert_eq!(ask().1, port(&pair.blue));
    temporary.run("INSERT INTO scratch VALUES (1)").unwrap();
    drop(temporary);
    locker.run("SELECT pg_advisory_unlock(4711)").unwrap();
    // The gate cannot know that no other lock is held: the session says so by ending.
    drop(locker);

    stage.expect("apply", 0);
    assert_eq!(ask(), (42, port(&pair.green), "busy".to_owned()), "{}", stage.gate_log());
    assert_eq!(ordinary.one("SHOW statement_timeout").unwrap(), "77s");
    assert_eq!(ordinary.one("SHOW search_path").unwrap(), "public, pg_temp");
    let cancel = client.cancel_token();
    let begun = Instant::now();
    let cancelled = runtime.block_on(async {
        let asleep = client.batch_execute("SELECT pg_sleep(60)");
        tokio::pin!(asleep);
        loop {
            tokio::select! {
                ended = &mut asleep => return ended,
                () = tokio::time::sleep(Duration::from_millis(100)) => {
                    cancel.cancel_query(NoTls).await.unwrap();
                }
            }
        }
    });
    let error = cancelled.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(ask().0, 42);
}
