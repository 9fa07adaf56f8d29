//! Comparing the two sides while both live.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use changeover_postgres::error::ErrorKind;
use changeover_postgres::verify::{DifferenceKind, Pair, VerifyReport, aligned, compare};
use changeover_relay::Stream;
use changeover_types::Side::{Source, Target};

use super::world::{Running, World};

const DDL: &str =
    "CREATE TABLE t (id int PRIMARY KEY, n numeric, f float8, tz timestamptz, b bytea,
    twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE keyless (v text); ALTER TABLE keyless REPLICA IDENTITY FULL;
CREATE TABLE empty (id int PRIMARY KEY);";

const FILL: &str = "INSERT INTO t SELECT g, g / 3.0, random(), now(), sha256(g::text::bytea)
    FROM generate_series(1, 20000) g;
INSERT INTO keyless SELECT 'v' || g % 100 FROM generate_series(1, 1000) g;";

async fn run(world: &World, forward: &Running) -> VerifyReport {
    let config = world.aligned(Duration::from_secs(30));
    aligned(&config, &forward.handle, &world.tables, |_| {}).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_nothing_differs_but_what_was_planted() {
    let world = World::new("aligned", DDL).await;
    let mut forward = world.follow(Stream::Forward);
    world.sql(Source, FILL).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for w in 0..3 {
        let mut session = world.session(Source).await;
        let stop = stop.clone();
        writers.push(tokio::spawn(async move {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let sql = format!(
                    "BEGIN; UPDATE public.t SET n = n + 1 WHERE id = {}; \
                     INSERT INTO public.keyless VALUES ('{w} {n}'); \
                     DELETE FROM public.keyless WHERE v = '{w} {}'; COMMIT",
                    1 + (n * 3 + w) % 10_000,
                    n - 50
                );
                session.execute(&sql).await.unwrap();
            }
        }));
    }
    for _ in 0..5 {
        let report = run(&world, &forward).await;
        assert!(report.is_equal(), "{report:?}");
        assert!(report.rows_compared > 21_000);
    }
    // Rows the writers never touch.
    world
        .sql(
            Target,
            "SET session_replication_role = replica; DELETE FROM t WHERE id = 15001; \
        UPDATE t SET f = f + 1 WHERE id = 15002; INSERT INTO t (id) VALUES (99999)",
        )
        .await;
    world
        .sql(
            Target,
            "DELETE FROM keyless WHERE ctid = (SELECT ctid FROM keyless \
        WHERE v = 'v7' LIMIT 1)",
        )
        .await;
    let report = run(&world, &forward).await;
    let found: Vec<(&str, &str, DifferenceKind)> = report
        .differences
        .iter()
        .map(|d| (d.table.name.as_str(), d.key.as_str(), d.kind))
        .collect();
    assert_eq!(report.rows_different, 4, "{found:?}");
    assert!(found.contains(&("t", "(id) = (15001)", DifferenceKind::Missing)), "{found:?}");
    assert!(found.contains(&("t", "(id) = (15002)", DifferenceKind::Different)), "{found:?}");
    assert!(found.contains(&("t", "(id) = (99999)", DifferenceKind::Extra)), "{found:?}");
    assert!(found.iter().any(|d| d.0 == "keyless" && d.2 == DifferenceKind::Missing), "{found:?}");
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    world.barrier(Source, 1).await;
    forward.applied(1).await;
    forward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_transaction_gives_the_comparison_up_and_harms_nothing() {
    let world = World::new("long", DDL).await;
    let mut forward = world.follow(Stream::Forward);
    let mut long = world.session(Source).await;
    long.execute("BEGIN; INSERT INTO public.empty VALUES (1)").await.unwrap();
    let config = world.aligned(Duration::from_secs(1));
    let error = aligned(&config, &forward.handle, &world.tables, |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    long.execute("COMMIT").await.unwrap();
    world.converge(&mut forward, 1).await;
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE temporary AND NOT active";
    assert_eq!(world.value(Source, slots).await, "0");
    forward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_may_differ_and_is_counted() {
    let world = World::new("differ", DDL).await;
    world.sql(Source, FILL).await;
    world.sql(Target, "INSERT INTO t (id) SELECT generate_series(10001, 30000)").await;
    let (mut source, mut target) = (world.session(Source).await, world.session(Target).await);
    for session in [&mut source, &mut target] {
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.unwrap();
    }
    let mut seen = 0;
    let pair = Pair { source: &mut source, target: &mut target };
    let report = compare(pair, &world.tables, |_| seen += 1).await.unwrap();
    assert_eq!(seen, 3);
    assert_eq!(report.rows_different, 30_000 + 1_000);
    assert_eq!(report.differences.len(), 1_000);
    assert_eq!(report.tables.iter().filter(|table| table.equal).count(), 1);
}
