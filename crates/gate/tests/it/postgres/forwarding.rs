//! Everything a client may do goes through unchanged.

use std::process::Command;

use bytes::BytesMut;
use changeover_pgwire::frontend;
use changeover_types::Side;
use tokio_postgres::error::SqlState;

use super::super::harness::eventually;
use super::bench::{Bench, Raw, address, code, connect, direct, one, place};

#[tokio::test]
async fn queries_transactions_and_prepared_statements_pass() {
    let bench = Bench::new().await;
    let mut client = bench.client_with("application_name=shop options='-c work_mem=5MB'").await;
    assert_eq!(place(&client).await, "blue");
    assert_eq!(one(&client, "show work_mem").await, "5MB");
    assert_eq!(one(&client, "show application_name").await, "shop");
    client.batch_execute("create table t (id int primary key, v text)").await.unwrap();
    let insert = client.prepare("insert into t values ($1, $2)").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    for id in 0..50_i32 {
        transaction.execute(&insert, &[&id, &format!("v{id}")]).await.unwrap();
    }
    transaction.commit().await.unwrap();
    let error = client.execute(&insert, &[&1_i32, &"again"]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION));
    // Pipelined: all are sent before the first answer is read.
    let queries = (0..50_i32).map(|id| {
        let (client, insert) = (&client, &insert);
        async move { client.execute(insert, &[&(100 + id), &"p"]).await }
    });
    for task in queries.map(Box::pin).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(one(&client, "select count(*) from t").await, "100");
    let metrics = bench.gate.metrics().postgres[&Side::Source];
    assert!(metrics.answered > 100 && metrics.errors == 1 && metrics.servers == 1, "{metrics:?}");
    drop(client);
    eventually("the server connection closed", async || {
        (bench.gate.metrics().postgres[&Side::Source].servers == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn psql_copies_in_and_out() {
    let bench = Bench::new().await;
    bench.both("create table t (id int primary key, v text)").await;
    let script = "\\copy t from program 'seq 1 200000 | sed \"s/$/\\tvalue/\"'\n\
                  \\copy (select * from t order by id) to program 'md5sum'\n\
                  select count(*), sum(id) from t;\n\
                  \\copy t from program 'echo not a number'\n\
                  \\copy t from program 'seq 1 200000 | sed \"s/$/\\tvalue/\"'\n\
                  select 'after the errors', count(*) from t;\n";
    let port = bench.gate.address.port();
    let folder = bench.folder.path().join("script.sql");
    std::fs::write(&folder, script).unwrap();
    let psql = changeover_testkit::client_program("psql").unwrap();
    let output = tokio::task::spawn_blocking(move || {
        Command::new(psql)
            .args(["-X", "-At", "-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()])
            .args(["-f", &folder.to_string_lossy(), "blue"])
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("200000|20000100000"), "{out}\n{err}");
    assert!(out.contains("after the errors|200000"), "{out}\n{err}");
    assert!(err.contains("invalid input syntax") && err.contains("duplicate key"), "{err}");
}

#[tokio::test]
async fn a_value_of_100_megabytes_passes_both_ways() {
    let bench = Bench::new().await;
    let client = bench.client().await;
    let value = "x".repeat(100 * 1024 * 1024);
    let row = client.query_one("select md5($1::text), length($1::text), $1::text", &[&value]).await;
    let row = row.unwrap();
    assert_eq!(row.get::<_, i32>(1), 100 * 1024 * 1024);
    assert_eq!(row.get::<_, &str>(2).len(), value.len());
    assert_eq!(place(&client).await, "blue");
}

fn copy_statement(out: &mut BytesMut) {
    frontend::parse(out, "", "copy c from stdin", &[]);
    frontend::bind(out, "", "", &[]);
    frontend::execute(out, "", 0);
    // As libpq does, before it knows that this is a copy.
    frontend::sync(out);
}

#[tokio::test]
async fn copy_by_the_extended_protocol_and_all_the_ways_it_fails() {
    let bench = Bench::new().await;
    let admin = bench.client().await;
    admin.batch_execute("create table c (id int check (id < 3))").await.unwrap();
    let mut raw = Raw::connect(&bench.gate, "postgres").await;
    for (data, fails) in [("1\n2\n", false), ("5\n", true), ("2\n", false)] {
        let mut out = BytesMut::new();
        copy_statement(&mut out);
        raw.send(&out).await;
        raw.until(b'G').await;
        out.clear();
        frontend::copy_data(&mut out, data.as_bytes());
        frontend::copy_done(&mut out);
        frontend::sync(&mut out);
        raw.send(&out).await;
        assert_eq!(raw.until(b'Z').await.contains(&b'E'), fails);
        bench.gate.hold(20_000);
        bench.gate.quiet().await;
        bench.gate.release();
    }
    // A trigger that fails before the first row is read: the early Sync is answered after all.
    admin
        .batch_execute(
            "create function no() returns trigger language plpgsql as \
             $$ begin raise exception 'no'; end $$; \
             create trigger no before insert on c for each statement execute function no()",
        )
        .await
        .unwrap();
    let mut out = BytesMut::new();
    copy_statement(&mut out);
    raw.send(&out).await;
    raw.until(b'Z').await;
    out.clear();
    frontend::copy_done(&mut out);
    frontend::sync(&mut out);
    raw.send(&out).await;
    assert_eq!(raw.until(b'Z').await, b"Z");
    bench.gate.hold(20_000);
    bench.gate.quiet().await;
    bench.gate.release();
    assert_eq!(one(&admin, "select count(*) from c").await, "3");
    // The rest of a copy that the server has ended is no new work.
    out.clear();
    frontend::query(&mut out, "copy c from stdin");
    raw.send(&out).await;
    raw.until(b'Z').await;
    bench.gate.hold(20_000);
    bench.gate.quiet().await;
    out.clear();
    frontend::copy_data(&mut out, b"1\n");
    frontend::copy_done(&mut out);
    raw.send(&out).await;
    frontend::query(&mut out, "select 1");
    bench.gate.release();
    out.clear();
    frontend::query(&mut out, "select 1");
    raw.send(&out).await;
    assert_eq!(raw.until(b'Z').await, b"TDCZ");
}

#[tokio::test]
async fn a_pipeline_with_errors_is_followed_to_its_end() {
    let bench = Bench::new().await;
    let mut raw = Raw::connect(&bench.gate, "postgres").await;
    let mut out = BytesMut::new();
    // An error skips to the next Sync, also over a simple query; the next part works again.
    for sql in ["select 1/0", "select 1"] {
        frontend::parse(&mut out, "", sql, &[]);
        frontend::bind(&mut out, "", "", &[]);
        frontend::execute(&mut out, "", 0);
        if sql.contains('/') {
            frontend::query(&mut out, "select 'never run'");
        }
        frontend::sync(&mut out);
    }
    frontend::query(&mut out, "select 1; select 1/0; select 2");
    raw.send(&out).await;
    assert_eq!(raw.until(b'Z').await, b"1EZ");
    assert_eq!(raw.until(b'Z').await, b"12DCZ");
    assert_eq!(raw.until(b'Z').await, b"TDCEZ");
    bench.gate.hold(20_000);
    bench.gate.quiet().await;
    bench.gate.release();
    out.clear();
    frontend::query(&mut out, "select 3");
    raw.send(&out).await;
    assert_eq!(raw.until(b'Z').await, b"TDCZ");
}

#[tokio::test]
async fn cancel_reaches_the_running_query() {
    let bench = Bench::new().await;
    let client = bench.client().await;
    let token = client.cancel_token();
    let query = client.batch_execute("select pg_sleep(60)");
    let cancel = async {
        let admin = direct(&bench.source, "blue").await;
        eventually("the query runs", async || {
            let n = one(
                &admin,
                "select count(*) from pg_stat_activity where query ~ '^select pg_sleep'",
            );
            (n.await == "1").then_some(())
        })
        .await;
        token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    };
    let (answer, ()) = tokio::join!(query, cancel);
    assert_eq!(answer.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    // One that comes when nothing runs does nothing.
    token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    assert_eq!(place(&client).await, "blue");
}

#[tokio::test]
async fn a_server_that_dies_ends_only_its_clients() {
    let mut bench = Bench::new().await;
    let client = bench.client().await;
    assert_eq!(place(&client).await, "blue");
    bench.source.stop("immediate").unwrap();
    let error = client.simple_query("select 1").await.unwrap_err();
    assert!(client.is_closed() || error.code().is_some());
    let parameters = format!("{} user=postgres", address(&bench.gate));
    let error = connect(&parameters).await.unwrap_err();
    assert_eq!(code(&error), "08006", "{error:?}");
    bench.source.restart().unwrap();
    assert_eq!(place(&bench.client().await).await, "blue");
}

#[tokio::test]
async fn a_draining_gate_waits_for_the_transaction_and_ends_the_idle() {
    let bench = Bench::new().await;
    let (busy, idle) = (bench.client().await, bench.client().await);
    busy.batch_execute("create table d (i int); begin; insert into d values (1)").await.unwrap();
    idle.batch_execute("select 1").await.unwrap();
    bench.gate.drain.cancel();
    eventually("the idle one is ended", async || idle.is_closed().then_some(())).await;
    busy.batch_execute("insert into d values (2)").await.unwrap();
    busy.batch_execute("commit").await.unwrap();
    eventually("then the other", async || busy.is_closed().then_some(())).await;
    let admin = direct(&bench.source, "blue").await;
    assert_eq!(one(&admin, "select count(*) from d").await, "2");
}
