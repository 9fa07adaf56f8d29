//! A hold parks sessions at safe boundaries, and nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use changeover_pgwire::backend::BackendMessage;
use changeover_pgwire::frontend;
use changeover_routing::Order;
use changeover_types::Side;
use tokio::task::JoinSet;

use super::super::harness::eventually;
use super::bench::{Bench, Raw, code, one, place, through};

#[tokio::test]
async fn new_work_waits_and_open_transactions_end() {
    let bench = Bench::new().await;
    let (open, idle) = (bench.client_with("application_name=till").await, bench.client().await);
    open.batch_execute("create table h (i int); begin; insert into h values (1)").await.unwrap();
    idle.batch_execute("select 1").await.unwrap();
    bench.gate.hold(20_000);
    let status = bench.gate.open("in transaction").await;
    let work = status.open.iter().find(|work| work.state == "in transaction").unwrap();
    assert_eq!((work.gate.as_str(), work.what.as_str()), ("postgres", "postgres (till)"));
    let pid: i32 = one(&open, "select pg_backend_pid()").await.parse().unwrap();
    assert_eq!(work.server_pid, Some(pid));
    // The transaction goes on to its end; what comes after it waits.
    open.batch_execute("insert into h values (2)").await.unwrap();
    open.batch_execute("commit").await.unwrap();
    bench.gate.quiet().await;
    let (held, also) = (idle.simple_query("select 1"), open.simple_query("select 1"));
    let new = bench.client();
    let release = async {
        bench.gate.parked(3).await;
        assert!(bench.gate.status().open.is_empty());
        tokio::time::sleep(Duration::from_millis(20)).await;
        // Whoever still waits counts.
        assert!(bench.gate.metrics().longest_park_us >= 20_000);
        bench.gate.release();
    };
    let (held, also, new, ()) = tokio::join!(held, also, new, release);
    assert!(held.is_ok() && also.is_ok());
    assert_eq!(place(&new).await, "blue");
    let metrics = bench.gate.metrics();
    assert!(metrics.parked_total >= 3 && metrics.longest_park_us >= 20_000, "{metrics:?}");
    assert_eq!(bench.gate.status().parked, 0);
}

#[tokio::test]
async fn a_running_query_is_waited_for_and_a_lapse_opens() {
    let bench = Bench::new().await;
    let client = bench.client().await;
    let (running, ()) = tokio::join!(client.simple_query("select pg_sleep(0.3)"), async {
        eventually("it runs", async || {
            let runs = bench.gate.status().open.iter().any(|w| w.what.contains("not read"));
            runs.then_some(())
        })
        .await;
        bench.gate.hold(20_000);
        bench.gate.open("running").await;
        bench.gate.quiet().await;
        bench.gate.release();
    });
    running.unwrap();
    bench.gate.hold(100);
    bench.gate.quiet().await;
    // Nobody releases it.
    assert_eq!(one(&client, "select 'on again'").await, "on again");
    assert_eq!(bench.gate.metrics().lapsed, 1);
}

#[tokio::test]
async fn sixteen_clients_under_load_see_no_error_in_five_holds() {
    let bench = Bench::new().await;
    let admin = bench.client().await;
    admin
        .batch_execute("create table load (client int, i int, primary key (client, i))")
        .await
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..16_i32 {
        let mut client = bench.client().await;
        let stop = Arc::clone(&stop);
        clients.spawn(async move {
            let insert = client.prepare("insert into load values ($1, $2)").await.unwrap();
            let mut done = 0;
            while !stop.load(Ordering::Relaxed) {
                let transaction = client.transaction().await.unwrap();
                transaction.execute(&insert, &[&number, &done]).await.unwrap();
                transaction
                    .query_one("select count(*) from load where client = $1", &[&number])
                    .await
                    .unwrap();
                transaction.commit().await.unwrap();
                done += 1;
            }
            done
        });
    }
    for _ in 0..5 {
        bench.gate.hold(20_000);
        bench.gate.quiet().await;
        bench.gate.parked(16).await;
        assert!(bench.gate.status().open.is_empty());
        let before = bench.gate.metrics().postgres[&Side::Source].answered;
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(bench.gate.metrics().postgres[&Side::Source].answered, before);
        bench.gate.release();
        eventually("the load goes on", async || {
            let answered = bench.gate.metrics().postgres[&Side::Source].answered;
            (answered > before + 100).then_some(())
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut total = 0;
    while let Some(done) = clients.join_next().await {
        total += done.unwrap();
    }
    assert_eq!(one(&admin, "select count(*) from load").await, total.to_string());
    assert_eq!(bench.gate.metrics().postgres[&Side::Source].errors, 0);
}

#[tokio::test]
async fn parked_work_can_be_cancelled() {
    let bench = Bench::new().await;
    let client = bench.client().await;
    client.batch_execute("create table p (i int)").await.unwrap();
    let token = client.cancel_token();
    bench.gate.hold(20_000);
    bench.gate.quiet().await;
    let cancel = async || {
        bench.gate.parked(1).await;
        token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    };
    let (simple, ()) = tokio::join!(client.batch_execute("insert into p values (1)"), cancel());
    assert_eq!(code(&simple.unwrap_err()), "57014");
    let (extended, ()) = tokio::join!(client.prepare("insert into p values (2)"), cancel());
    assert_eq!(code(&extended.err().unwrap()), "57014");
    assert_eq!(bench.gate.status().parked, 0);
    bench.gate.release();
    assert_eq!(one(&client, "select count(*) from p").await, "0");
}

#[tokio::test]
async fn a_parked_pipeline_is_cancelled_up_to_its_sync() {
    let bench = Bench::new().await;
    let mut raw = Raw::open(&bench.gate).await;
    let mut out = BytesMut::new();
    frontend::startup(&mut out, [("user", "postgres"), ("database", "blue")]);
    raw.send(&out).await;
    let (pid, key) = loop {
        if let BackendMessage::BackendKeyData { pid, key } = raw.message().await {
            break (pid, key);
        }
    };
    raw.until(b'Z').await;
    bench.gate.hold(20_000);
    out.clear();
    for sql in ["select 1", "select 2"] {
        frontend::parse(&mut out, "", sql, &[]);
        frontend::bind(&mut out, "", "", &[]);
        frontend::execute(&mut out, "", 0);
        frontend::sync(&mut out);
    }
    // The first Sync is not there yet when the cancel comes.
    let first = out.split_to(out.len() / 2);
    let (early, late) = first.split_at(first.len() - 5);
    raw.send(early).await;
    bench.gate.parked(1).await;
    let mut cancel = BytesMut::new();
    frontend::cancel_request(&mut cancel, pid, &key);
    Raw::open(&bench.gate).await.send(&cancel).await;
    assert_eq!(raw.until(b'E').await, b"E");
    raw.send(late).await;
    assert_eq!(raw.until(b'Z').await, b"Z");
    raw.send(&out).await;
    bench.gate.parked(1).await;
    bench.gate.release();
    assert_eq!(raw.until(b'Z').await, b"12DCZ");
    // A wrong key does nothing.
    cancel.clear();
    frontend::cancel_request(&mut cancel, pid, &[1, 2, 3, 4]);
    Raw::open(&bench.gate).await.send(&cancel).await;
    out.clear();
    frontend::query(&mut out, "select 1");
    raw.send(&out).await;
    assert_eq!(raw.until(b'Z').await, b"TDCZ");
}

#[tokio::test]
async fn what_cannot_move_is_reported_and_may_still_end() {
    let bench = Bench::new().await;
    let cases = [
        ("temporary tables", "create temp table x (i int)", "drop table x"),
        ("advisory locks", "select pg_advisory_lock(7)", "select pg_advisory_unlock(7)"),
        ("cursor with hold: c", "declare c cursor with hold for select 1", "close c"),
        ("listens: news", "listen news", "unlisten news"),
        ("prepared by SQL: s", "prepare s as select 1", "deallocate s"),
    ];
    for (reason, begin, end) in cases {
        let client = bench.client().await;
        client.batch_execute(begin).await.unwrap();
        bench.gate.hold(20_000);
        let status = bench.gate.open(reason).await;
        let state = &status.open.iter().find(|w| w.state.contains(reason)).unwrap().state;
        assert!(state.starts_with("pinned: "), "{state}");
        // It goes on, for only so can it come unpinned.
        client.batch_execute(end).await.unwrap();
        bench.gate.quiet().await;
        bench.gate.release();
        assert_eq!(place(&client).await, "blue");
    }
}

#[tokio::test]
async fn what_cannot_move_is_ended_when_authority_has_moved_and_not_before() {
    let bench = Bench::new().await;
    let pinned = bench.client().await;
    pinned.batch_execute("create temp table x (i int)").await.unwrap();
    let free = through(&bench.gate, "user=postgres").await;
    // An attempt that is called off ends nobody.
    bench.gate.hold(20_000);
    bench.gate.open("temporary tables").await;
    bench.gate.release();
    // Nor is one forgotten that has said nothing since.
    bench.gate.hold(20_000);
    bench.gate.open("temporary tables").await;
    bench.gate.release();
    pinned.batch_execute("insert into x values (1)").await.unwrap();
    bench.gate.hold(20_000);
    bench.gate.open("temporary tables").await;
    bench.gate.route(Side::Target, 2);
    bench.gate.release();
    eventually("ended", async || pinned.is_closed().then_some(())).await;
    assert_eq!(place(&free).await, "green");
}

#[tokio::test]
async fn a_session_whose_state_cannot_be_read_is_named_and_goes_on() {
    let bench = Bench::new().await;
    let closed = "create role app login; \
                  revoke execute on function pg_catalog.pg_listening_channels() from public";
    bench.both(closed).await;
    let client = through(&bench.gate, "user=app").await;
    assert_eq!(place(&client).await, "blue");
    // Neither a look ahead of the hold nor the hold's own ends it.
    bench.gate.obey(&Order::Prepare { within_ms: 60_000 });
    eventually("it is connected", async || {
        (bench.gate.status().ahead.unwrap().connected == 1).then_some(())
    })
    .await;
    assert_eq!(place(&client).await, "blue");
    bench.gate.hold(20_000);
    bench.gate.open("pinned: its state cannot be read: permission denied").await;
    bench.gate.release();
    assert_eq!(place(&client).await, "blue");
}
