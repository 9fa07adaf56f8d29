//! Under load, counted exactly.

use std::time::{Duration, Instant};

use changeover_relay::Stream;
use changeover_types::Side::{Source, Target};

use super::world::World;

const BANK: &str =
    "CREATE TABLE accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
CREATE TABLE tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
CREATE TABLE branches (bid int PRIMARY KEY, bbalance int, filler char(88));
CREATE TABLE history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
ALTER TABLE history REPLICA IDENTITY FULL;";

const FILL: &str = "INSERT INTO branches SELECT g, 0, '' FROM generate_series(1, 5) g;
INSERT INTO tellers SELECT g, g % 5 + 1, 0, '' FROM generate_series(1, 50) g;
INSERT INTO accounts SELECT g, g % 5 + 1, 0, '' FROM generate_series(1, 5000) g;";

/// One pgbench transaction.
fn transfer(n: u32) -> String {
    let (aid, tid, bid, delta) = (n * 7_919 % 5_000 + 1, n % 50 + 1, n % 5 + 1, n % 1_000);
    format!(
        "BEGIN; UPDATE public.accounts SET abalance = abalance + {delta} WHERE aid = {aid}; \
         UPDATE public.tellers SET tbalance = tbalance + {delta} WHERE tid = {tid}; \
         UPDATE public.branches SET bbalance = bbalance + {delta} WHERE bid = {bid}; \
         INSERT INTO public.history (tid, bid, aid, delta, mtime) \
         VALUES ({tid}, {bid}, {aid}, {delta}, now()); COMMIT"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_change_is_counted_once() {
    let world = World::new("load", BANK).await;
    let mut forward = world.follow(Stream::Forward);
    world.sql(Source, FILL).await;
    let end = Instant::now() + Duration::from_secs(4);
    let mut writers = Vec::new();
    for w in 0..4_u32 {
        let mut session = world.session(Source).await;
        writers.push(tokio::spawn(async move {
            let mut done = 0;
            while Instant::now() < end {
                session.execute(&transfer(done * 4 + w)).await.unwrap();
                done += 1;
            }
            u64::from(done)
        }));
    }
    let mut transactions = 0;
    for writer in writers {
        transactions += writer.await.unwrap();
    }
    world.converge(&mut forward, 1).await;
    let status = forward.handle.status();
    assert_eq!(status.changes, transactions * 4 + 5_055);
    let history = world.value(Target, "SELECT count(*) FROM history").await;
    assert_eq!(history, transactions.to_string());
    forward.stop().await;
}

/// How fast a backlog drains. Printed; run it in a release build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_drains() {
    let world = World::new("drain", BANK).await;
    world.sql(Source, FILL).await;
    let scale: u32 =
        std::env::var("CHANGEOVER_DRAIN").map_or(4_000, |count| count.parse().unwrap());
    let script = format!(
        "DO $$BEGIN FOR n IN 1..{scale} LOOP \
         UPDATE accounts SET abalance = abalance + n WHERE aid = (n::bigint * 7919) % 5000 + 1; \
         UPDATE tellers SET tbalance = tbalance + n % 99 WHERE tid = n % 50 + 1; \
         UPDATE branches SET bbalance = bbalance + n % 99 WHERE bid = n % 5 + 1; \
         INSERT INTO history (tid, bid, aid, delta, mtime) VALUES (1, 1, 1, n, now()); \
         COMMIT; END LOOP; END$$"
    );
    world.sql(Source, &script).await;
    world.barrier(Source, 1).await;
    let begun = Instant::now();
    let mut forward = world.follow(Stream::Forward);
    forward.applied(1).await;
    let seconds = begun.elapsed().as_secs_f64();
    let rate = f64::from(scale) * 4.0 / seconds;
    println!("drained {scale} transactions of 4 changes in {seconds:.2} s: {rate:.0} changes/s");
    world.converge(&mut forward, 2).await;
    forward.stop().await;
}
