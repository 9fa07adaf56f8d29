//! Servers that die, connections that break, appliers that come back.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use changeover_postgres::apply::{Applier, Head};
use changeover_postgres::error::ErrorKind;
use changeover_postgres::session::SearchPath;
use changeover_relay::Stream;
use changeover_types::Side::{Source, Target};
use changeover_types::{Epoch, Lsn};

use super::proxy::{Cut, Proxy};
use super::world::{Running, SOON, World};

const KEYLESS: &str = "CREATE TABLE t (v int); ALTER TABLE t REPLICA IDENTITY FULL;";

fn small_commits(from: u32, count: u32) -> String {
    format!(
        "DO $$BEGIN FOR i IN {from}..{} LOOP INSERT INTO t VALUES (i); COMMIT; END LOOP; END$$",
        from + count - 1
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_target_dies_and_comes_back() {
    let mut world = World::with("tdies", KEYLESS, &[("fsync", "on")]).await;
    let mut forward = world.follow(Stream::Forward);
    for round in 0..3 {
        world.sql(Source, &small_commits(round * 3_000, 3_000)).await;
        let some = u64::from(round) * 3_000 + 500;
        forward
            .handle
            .wait_until(SOON, "some are applied", |status| status.changes > some)
            .await
            .unwrap();
        world.target.kill();
        world.target.restart().unwrap();
    }
    world.converge(&mut forward, 1).await;
    assert_eq!(world.value(Target, "SELECT count(*) FROM t").await, "9000");
    forward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_dies_and_comes_back() {
    let mut world = World::with("sdies", KEYLESS, &[("fsync", "on")]).await;
    let mut forward = world.follow(Stream::Forward);
    for round in 0..3 {
        world.sql(Source, &small_commits(round * 3_000, 3_000)).await;
        world.source.kill();
        world.source.restart().unwrap();
    }
    world.converge(&mut forward, 1).await;
    assert_eq!(world.value(Target, "SELECT count(*) FROM t").await, "9000");
    forward.stop().await;
}

/// A table without a key cannot tell a doubled row: only the progress row can.
async fn a_commit_in_doubt(name: &str, cut: Cut) {
    let world = World::new(name, KEYLESS).await;
    let proxy = Proxy::start(world.target.port(), cut, b"changeover_progress").await;
    let mut config = world.follow_config(Stream::Forward);
    config.into.port = proxy.port;
    let mut forward = Running::start(config);
    for round in 0..10 {
        proxy.armed.store(true, Ordering::SeqCst);
        world.sql(Source, &small_commits(round * 100, 100)).await;
        world.converge(&mut forward, u64::from(round) + 1).await;
    }
    assert_eq!(proxy.cuts.load(Ordering::SeqCst), 10);
    assert_eq!(world.value(Target, "SELECT count(*) FROM t").await, "1000");
    forward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_doubles_nothing() {
    a_commit_in_doubt("doubt", Cut::AfterCommit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_cut_off_doubles_and_loses_nothing() {
    a_commit_in_doubt("cutoff", Cut::WithCommit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_applier_that_was_replaced_is_refused() {
    let world = World::new("zombie", KEYLESS).await;
    let into = world.config(Target);
    let path = SearchPath::read(&mut world.session(Target).await).await.unwrap();
    let start = || Applier::start(&into, &world.migration, Stream::Forward, &path);
    let head =
        |from, to| Head { predecessor: Lsn(from), position: Lsn(to), epoch: Epoch(1), open: true };
    let (mut old, resume) = start().await.unwrap();
    assert_eq!(resume.position, Lsn::ZERO);
    assert!(resume.open);
    old.begin(head(0, 10));
    old.commit().await.unwrap();
    let (mut new, resume) = start().await.unwrap();
    assert_eq!(resume.position, Lsn(10));
    old.begin(head(10, 20));
    let error = old.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("another applier"), "{error}");
    new.begin(head(10, 20));
    new.commit().await.unwrap();
    // The same position twice, or a gap that was filled already: refused by the rows.
    new.begin(head(10, 30));
    let error = new.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(world.value(Target, "SELECT count(*) FROM changeover.progress").await, "2");
    // A closed fence refuses whoever comes.
    world.sql(Target, "UPDATE changeover.fence SET open = false").await;
    let (mut late, _) = start().await.unwrap();
    late.begin(head(20, 30));
    assert_eq!(late.commit().await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_applier_left_hanging_does_not_block_the_next() {
    let world = World::new("hanging", KEYLESS).await;
    let into = world.config(Target);
    let path = SearchPath::read(&mut world.session(Target).await).await.unwrap();
    let (mut old, _) =
        Applier::start(&into, &world.migration, Stream::Forward, &path).await.unwrap();
    old.begin(Head { predecessor: Lsn(0), position: Lsn(10), epoch: Epoch(1), open: true });
    // Its transaction is open and holds the fence row.
    old.changes(&[]).await.unwrap();
    let (_, resume) =
        Applier::start(&into, &world.migration, Stream::Forward, &path).await.unwrap();
    assert_eq!(resume.position, Lsn::ZERO);
    assert!(old.commit().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_rows_do_not_pile_up() {
    let world = World::new("prune", KEYLESS).await;
    let into = world.config(Target);
    let path = SearchPath::read(&mut world.session(Target).await).await.unwrap();
    let (mut applier, _) =
        Applier::start(&into, &world.migration, Stream::Forward, &path).await.unwrap();
    for n in 0..1_500 {
        applier.begin(Head {
            predecessor: Lsn(n),
            position: Lsn(n + 1),
            epoch: Epoch(1),
            open: true,
        });
        applier.commit().await.unwrap();
    }
    let left = "SELECT count(*) || ' to ' || max(position) FROM changeover.progress";
    assert_eq!(world.value(Target, left).await, "1000 to 0/5DC");
    let (_, resume) =
        Applier::start(&into, &world.migration, Stream::Forward, &path).await.unwrap();
    assert_eq!(resume.position, Lsn(1_500));
}

/// How long `pg_ctl stop -m fast` took, which must be seconds.
fn shut_down(world: &mut World) {
    let begun = Instant::now();
    world.source.stop("fast").unwrap();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(15), "the source needed {took:?} to shut down");
}

/// A walsender that is told to end waits until all of its log is confirmed, behind the last commit
/// as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_shut_down_goes_down() {
    let mut world = World::with("shutdown", KEYLESS, &[("fsync", "on")]).await;
    let mut forward = world.follow(Stream::Forward);
    world.sql(Source, &small_commits(0, 100)).await;
    world.converge(&mut forward, 1).await;

    // A transaction that has written and is open.
    let mut open = world.session(Source).await;
    open.execute("BEGIN; INSERT INTO public.t SELECT 5 FROM generate_series(1, 1000)")
        .await
        .unwrap();
    shut_down(&mut world);
    world.source.restart().unwrap();
    world.converge(&mut forward, 2).await;

    // Under writes.
    let mut writers = Vec::new();
    for _ in 0..2 {
        let mut session = world.session(Source).await;
        writers.push(tokio::spawn(async move {
            let mut written = 0;
            while session.execute("INSERT INTO public.t VALUES (7)").await.is_ok() {
                written += 1;
            }
            written
        }));
    }
    let seen = forward.handle.status().changes;
    forward.handle.wait_until(SOON, "more", |status| status.changes > seen + 200).await.unwrap();
    shut_down(&mut world);
    let mut written = 0;
    for writer in writers {
        written += writer.await.unwrap();
    }
    world.source.restart().unwrap();
    world.converge(&mut forward, 3).await;
    let there = world.value(Target, "SELECT count(*) FROM t WHERE v = 7").await;
    assert!(there.parse::<i32>().unwrap() >= written, "{there} of {written}");

    // While what came cannot be applied: somebody locks the table there.
    let mut lock = world.session(Target).await;
    lock.execute("BEGIN; LOCK TABLE public.t").await.unwrap();
    let received = forward.handle.status().received;
    world.sql(Source, "INSERT INTO t VALUES (1008)").await;
    forward.handle.wait_until(SOON, "it comes", |s| s.received > received).await.unwrap();
    shut_down(&mut world);
    lock.execute("COMMIT").await.unwrap();
    world.source.restart().unwrap();
    world.converge(&mut forward, 4).await;
    assert_eq!(world.value(Target, "SELECT count(*) FROM t WHERE v = 1008").await, "1");
    forward.stop().await;
}
