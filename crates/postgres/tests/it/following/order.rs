//! Commit order, idle windows, and transactions bigger than memory.

use changeover_relay::{Limits, Stream};
use changeover_types::Side::{Source, Target};

use super::proxy::{Cut, Proxy};
use super::world::{Running, SOON, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_begin_does_not_matter() {
    let world = World::new("begin", "CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    let mut forward = world.follow(Stream::Forward);
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(world.session(Source).await);
    }
    for round in 0..20 {
        for (n, session) in sessions.iter_mut().enumerate() {
            let id = round * 10 + n;
            let sql = format!("BEGIN; INSERT INTO public.t VALUES ({id}, 'first')");
            session.execute(&sql).await.unwrap();
        }
        // The last to begin commits first; each then changes what another one left.
        for n in [2, 0, 1] {
            sessions[n].execute("COMMIT").await.unwrap();
            let sql = format!("UPDATE public.t SET v = v || {n} WHERE id >= {}", round * 10);
            world.sql(Source, &sql).await;
        }
    }
    world.converge(&mut forward, 1).await;
    forward.stop().await;
}

/// pgcopydb 1048 to 1050: many small commits, a backlog that outlives what was received, an
/// idle window that plants a keepalive between two commits, then the connection is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keepalive_between_commits_loses_nothing() {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, v text);";
    let world = World::with("idle", ddl, &[("wal_sender_timeout", "1s")]).await;
    let proxy = Proxy::start(world.source.port(), Cut::AfterCommit, b"never").await;
    let mut config = world.follow_config(Stream::Forward);
    config.from.port = proxy.port;
    let mut forward = Running::start(config);
    for round in 0..4 {
        let held = forward.handle.pause(SOON).await.unwrap();
        let from = round * 2_000;
        let durable = world.log_end().await;
        let small = format!(
            "DO $$BEGIN FOR i IN {from}..{} LOOP INSERT INTO t VALUES (i, 'x'); COMMIT; \
             END LOOP; END$$",
            from + 999
        );
        world.sql(Source, &small).await;
        // The published tables are silent, the log moves, and keepalives say so.
        let before = forward.handle.status().sender_end;
        world
            .sql(Source, "SELECT pg_logical_emit_message(false, 'idle', repeat('x', 1000000))")
            .await;
        world.sql(Source, "SELECT pg_switch_wal()").await;
        forward
            .handle
            .wait_until(SOON, "a keepalive came", |status| status.sender_end > before)
            .await
            .unwrap();
        let more = small.replace(
            &format!("{from}..{}", from + 999),
            &format!("{}..{}", from + 1_000, from + 1_999),
        );
        world.sql(Source, &more).await;
        let applied: u64 = world.value(Target, "SELECT count(*) FROM t").await.parse().unwrap();
        assert_eq!(applied, u64::try_from(from).unwrap(), "the backlog is not applied yet");
        // P5, with a keepalive in the middle of what is pending.
        assert!(world.confirmed().await <= durable, "acknowledged beyond what is durable");
        proxy.break_all();
        drop(held);
        world.converge(&mut forward, round as u64 + 1).await;
    }
    assert_eq!(world.value(Target, "SELECT count(*) FROM t").await, "8000");
    forward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_rows_in_one_transaction_pass_through_little_memory() {
    let world = World::new("big", "CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    let mut config = world.follow_config(Stream::Forward);
    config.limits =
        Limits { max_batch_changes: 2_000, max_batch_bytes: 1 << 20, max_open_bytes: 1 << 20 };
    config.max_buffer_bytes = 4 << 20;
    let mut forward = Running::start(config);
    let before = resident_kib();
    world
        .sql(Source, "INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 1000000) g")
        .await;
    let most = tokio::spawn(async {
        let mut most = 0;
        let mut ticker = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            ticker.tick().await;
            most = most.max(resident_kib());
            MOST.store(most, std::sync::atomic::Ordering::Relaxed);
        }
    });
    world.converge(&mut forward, 1).await;
    most.abort();
    let grown = MOST.load(std::sync::atomic::Ordering::Relaxed).saturating_sub(before);
    // Other tests run in this process; a million held rows would be well over 200 MiB.
    assert!(grown < 150 << 10, "{grown} KiB more than before");
    assert_eq!(world.value(Target, "SELECT count(*) FROM t").await, "1000000");
    forward.stop().await;
}

static MOST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
