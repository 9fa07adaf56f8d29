//! Getting in, on both legs.

use bytes::BytesMut;
use changeover_gate::postgres::{ClientAuth, GateUser, Password, PostgresGateConfig};
use changeover_pgwire::backend::BackendMessage;
use changeover_pgwire::frontend;
use changeover_testkit::ClusterConfig;
use changeover_types::Side;

use super::bench::{
    Bench, Raw, TestGate, address, clusters, code, connect, direct, one, place, server, through,
};

/// Both servers want SCRAM from everybody but `postgres`.
fn scram(mut config: ClusterConfig) -> ClusterConfig {
    config.hba = "host all postgres 127.0.0.1/32 trust\n\
                  host all plain 127.0.0.1/32 password\n\
                  host all all 127.0.0.1/32 scram-sha-256\n"
        .to_owned();
    config.with("password_encryption", "scram-sha-256")
}

#[tokio::test]
async fn scram_and_cleartext_on_both_legs() {
    let (source, target) = clusters(scram).await;
    for (cluster, database) in [(&source, "blue"), (&target, "green")] {
        let sql = "create role shop login password 'pässword'; \
                   create role plain login password 'plain'; create role stale login password 'x'";
        direct(cluster, database).await.batch_execute(sql).await.unwrap();
    }
    for auth in [ClientAuth::Scram, ClientAuth::Password] {
        let mut config = PostgresGateConfig::new(
            "127.0.0.1:0".parse().unwrap(),
            server(&source, "blue"),
            server(&target, "green"),
        );
        config.auth = auth;
        config.users = [("shop", "pässword"), ("plain", "plain"), ("stale", "old")]
            .map(|(name, password)| GateUser {
                name: name.to_owned(),
                password: Password::new(password),
            })
            .to_vec();
        let folder = tempfile::tempdir().unwrap();
        let gate = TestGate::start(config, folder.path(), false);
        gate.route(Side::Source, 1);
        let shop = through(&gate, "user=shop password=pässword").await;
        assert_eq!(one(&shop, "select current_user").await, "shop");
        let plain = through(&gate, "user=plain password=plain").await;
        // They move, logging in anew.
        gate.hold(20_000);
        gate.quiet().await;
        gate.route(Side::Target, 2);
        gate.release();
        assert_eq!((place(&shop).await, place(&plain).await), ("green".into(), "green".into()));
        for wrong in ["user=shop password=wrong", "user=nobody password=x", "user=shop password=p"]
        {
            let error = connect(&format!("{} {wrong}", address(&gate))).await.unwrap_err();
            assert_eq!(code(&error), "28P01", "{wrong}: {error:?}");
        }
        // The gate's password is not the server's: the server's own words reach the client.
        let stale = connect(&format!("{} user=stale password=old", address(&gate))).await;
        assert_eq!(code(&stale.unwrap_err()), "28P01");
    }
}

#[tokio::test]
async fn the_servers_own_errors_reach_the_client() {
    let bench = Bench::with(|mut config| {
        config.source.database = "missing".to_owned();
        config
    })
    .await;
    let address = address(&bench.gate).replace("blue", "green");
    let error = connect(&format!("{} user=postgres", address)).await.unwrap_err();
    assert_eq!(code(&error), "3D000");
    bench.gate.route(Side::Target, 2);
    let error = connect(&format!("{} user=nobody", address)).await.unwrap_err();
    assert_eq!(code(&error), "28000");
    let options = "user=postgres options='-c nonsense=1'";
    let error = connect(&format!("{} {options}", address)).await.unwrap_err();
    assert_eq!(code(&error), "42704");
    let client = connect(&format!("{address} user=postgres")).await.unwrap();
    assert_eq!(place(&client).await, "green");
}

#[tokio::test]
async fn odd_first_packets_are_answered_or_refused() {
    let bench = Bench::new().await;
    let mut raw = Raw::open(&bench.gate).await;
    let mut out = BytesMut::new();
    frontend::ssl_request(&mut out);
    raw.send(&out).await;
    assert_eq!(raw.byte().await, b'N');
    // Protocol 3.2, with an option: 3.0 is offered, and it goes on.
    out.clear();
    frontend::startup(&mut out, [("user", "postgres"), ("_pq_.wish", "1"), ("database", "green")]);
    out[7] = 2;
    raw.send(&out).await;
    match raw.message().await {
        BackendMessage::NegotiateProtocolVersion { newest, unknown_options } => {
            assert_eq!((newest, unknown_options), (0x0003_0000, vec!["_pq_.wish".to_owned()]));
        }
        other => panic!("{other:?}"),
    }
    raw.until(b'Z').await;

    let refused = async |packet: &[u8]| {
        let mut raw = Raw::open(&bench.gate).await;
        raw.send(packet).await;
        match raw.message().await {
            BackendMessage::ErrorResponse(error) => error.sqlstate,
            other => panic!("{other:?}"),
        }
    };
    out.clear();
    frontend::startup(&mut out, [("user", "postgres"), ("replication", "database")]);
    assert_eq!(refused(&out).await, "0A000");
    out.clear();
    frontend::startup(&mut out, [("database", "x")]);
    assert_eq!(refused(&out).await, "28000");
    assert_eq!(refused(&[0, 0, 0x40, 0, 0, 3, 0, 0]).await, "08P01");
    assert_eq!(refused(&[0, 0, 0, 8, 0, 9, 0, 0]).await, "08P01");
}

#[tokio::test]
async fn more_clients_than_allowed_are_refused() {
    let bench = Bench::with(|mut config| {
        config.max_clients = 1;
        config
    })
    .await;
    let first = bench.client().await;
    let error = connect(&format!("{} user=postgres", address(&bench.gate))).await.unwrap_err();
    assert_eq!(code(&error), "53300");
    drop(first);
    super::super::harness::eventually("room again", async || {
        connect(&format!("{} user=postgres", address(&bench.gate))).await.ok()
    })
    .await;
}

#[tokio::test]
async fn clients_and_servers_that_vanish_are_noticed() {
    let bench = Bench::new().await;
    let client = bench.client().await;
    assert_eq!(place(&client).await, "blue");
    let server = bench.source.port();
    crate::keepalive::probed_on_both_legs(bench.gate.address, server).await;
}

#[tokio::test]
async fn another_database_than_the_one_that_moves_is_refused() {
    let bench = Bench::new().await;
    let at = |database: &str| {
        format!("host=127.0.0.1 port={} user=postgres {database}", bench.gate.address.port())
    };
    let here = connect(&at("dbname=blue")).await.unwrap();
    // The other side's name is right before and after the move.
    let there = connect(&at("dbname=green")).await.unwrap();
    assert_eq!((place(&here).await, place(&there).await), ("blue".into(), "blue".into()));
    // Without a name it is the user's, as for a server.
    for other in ["dbname=nosuchdb", "dbname=postgres", "dbname=BLUE", ""] {
        let error = connect(&at(other)).await.unwrap_err();
        assert_eq!(code(&error), "3D000", "{other}");
        let text = error.as_db_error().unwrap().message().to_owned();
        assert!(text.contains("\"blue\", \"green\""), "{text}");
    }
    bench.flip(Side::Target, 2).await;
    assert_eq!((place(&here).await, place(&there).await), ("green".into(), "green".into()));
    assert_eq!(place(&connect(&at("dbname=blue")).await.unwrap()).await, "green");
}

#[tokio::test]
async fn strangers_that_say_nothing_keep_nobody_out() {
    let bench = Bench::new().await;
    let mut strangers = Vec::new();
    for _ in 0..600 {
        strangers.push(Raw::open(&bench.gate).await);
    }
    let began = std::time::Instant::now();
    assert_eq!(place(&bench.client().await).await, "blue");
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    // The oldest were told why they went; the newest are still welcome.
    let BackendMessage::ErrorResponse(error) = strangers[0].message().await else {
        panic!("the oldest stranger was told something else");
    };
    assert_eq!(error.sqlstate, "53300");
    let mut out = BytesMut::new();
    frontend::startup(&mut out, [("user", "postgres"), ("database", "blue")]);
    let newest = strangers.last_mut().unwrap();
    newest.send(&out).await;
    newest.until(b'Z').await;
}

#[tokio::test]
async fn a_client_that_has_stopped_sending_gets_its_answers() {
    let bench = Bench::new().await;
    let query = |sql: &str| {
        let mut out = BytesMut::new();
        frontend::query(&mut out, sql);
        out
    };
    let mut at_once = Raw::connect(&bench.gate, "postgres").await;
    at_once.send(&query("select 1")).await;
    at_once.stop_sending().await;
    assert_eq!(at_once.until(b'Z').await, b"TDCZ");
    let mut slow = Raw::connect(&bench.gate, "postgres").await;
    slow.send(&query("select pg_sleep(0.5)")).await;
    slow.stop_sending().await;
    assert_eq!(slow.until(b'Z').await, b"TDCZ");
    // So does one whose work waits for the end of a hold.
    let mut parked = Raw::connect(&bench.gate, "postgres").await;
    bench.gate.hold(20_000);
    bench.gate.quiet().await;
    parked.send(&query("select 3")).await;
    parked.stop_sending().await;
    bench.gate.parked(1).await;
    bench.gate.release();
    assert_eq!(parked.until(b'Z').await, b"TDCZ");
}

#[tokio::test]
async fn a_client_that_does_not_say_who_it_is_is_closed_in_time() {
    let bench = Bench::with(|mut config| {
        config.login_timeout = std::time::Duration::from_millis(200);
        config
    })
    .await;
    let mut silent = Raw::open(&bench.gate).await;
    silent.closed().await;
    assert_eq!(place(&bench.client().await).await, "blue");
}
