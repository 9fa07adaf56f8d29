//! What sessions make ready when a hold is announced.

use changeover_routing::{AheadStatus, Order};
use changeover_types::Side;

use super::super::harness::eventually;
use super::bench::{Bench, direct, one, place};

/// Announces a hold; what came of it when every session has had its turn.
async fn announced(bench: &Bench, within_ms: u64) -> AheadStatus {
    bench.gate.obey(&Order::Prepare { within_ms });
    eventually("every session has had its turn", async || {
        let ahead = bench.gate.status().ahead.unwrap();
        (ahead.connected + ahead.refused == ahead.sessions).then_some(ahead)
    })
    .await
}

/// Connections of clients to one side.
async fn connections(bench: &Bench, side: Side) -> String {
    let (cluster, database) = match side {
        Side::Source => (&bench.source, "blue"),
        Side::Target => (&bench.target, "green"),
    };
    let sql = "select count(*) from pg_stat_activity where application_name like 'client%'";
    one(&direct(cluster, database).await, sql).await
}

/// Waits until that many sessions were asked for their state, and nothing since.
async fn asked(bench: &Bench, sessions: usize) {
    let blue = direct(&bench.source, "blue").await;
    let sql = "select count(*) from pg_stat_activity where application_name like 'client%' \
               and query like '%cursor with hold%' and state = 'idle'";
    eventually("asked for their state", async || {
        (one(&blue, sql).await == sessions.to_string()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sessions_are_connected_and_read_while_they_are_served() {
    let bench = Bench::new().await;
    let open = bench.client_with("application_name=client-open").await;
    let rests = bench.client_with("application_name=client-rests").await;
    let speaks = bench.client_with("application_name=client-speaks").await;
    let _silent = bench.client_with("application_name=client-silent").await;
    open.batch_execute("begin; set local work_mem = '5MB'").await.unwrap();
    for client in [&rests, &speaks] {
        client.batch_execute("set work_mem = '6MB'; set app.tenant = 'six'").await.unwrap();
    }
    let ahead = announced(&bench, 60_000).await;
    assert_eq!(ahead, AheadStatus { sessions: 4, connected: 4, ..AheadStatus::default() });
    assert_eq!(connections(&bench, Side::Target).await, "4");
    asked(&bench, 2).await;
    // A new one has its turn as well, and what is said after the question counts.
    let late = bench.client_with("application_name=client-late").await;
    eventually("the new one is connected", async || {
        (bench.gate.status().ahead.unwrap().connected == 5).then_some(())
    })
    .await;
    speaks.batch_execute("set work_mem = '7MB'; set app.tenant = 'seven'").await.unwrap();
    assert_eq!(one(&open, "show work_mem").await, "5MB");
    open.batch_execute("commit").await.unwrap();
    assert_eq!(place(&rests).await, "blue");

    // Code that names a setting of theirs came after the question.
    rests.batch_execute("select set_config('app.' || 'late', 'late', false)").await.unwrap();
    assert_eq!(announced(&bench, 60_000).await.connected, 5);
    bench
        .both(
            "create function late() returns text language sql as \
             $$ select current_setting('app.late', true) $$",
        )
        .await;
    bench.flip(Side::Target, 2).await;
    for (client, memory, tenant) in [(&rests, "6MB", "six"), (&speaks, "7MB", "seven")] {
        assert_eq!(place(client).await, "green");
        assert_eq!(one(client, "show work_mem").await, memory);
        assert_eq!(one(client, "show app.tenant").await, tenant);
    }
    assert_eq!(one(&rests, "select late()").await, "late");
    assert_eq!((place(&open).await, place(&late).await), ("green".to_owned(), "green".to_owned()));
    eventually("no server is left behind", async || {
        (connections(&bench, Side::Source).await == "0").then_some(())
    })
    .await;
    // The announcement was for that move: nobody connects back.
    assert_eq!(bench.gate.status().ahead, None);
    assert_eq!(connections(&bench, Side::Target).await, "5");
    assert_eq!(connections(&bench, Side::Source).await, "0");
}

#[tokio::test]
async fn a_state_that_was_read_holds_until_the_session_speaks_or_code_names_more() {
    let bench = Bench::new().await;
    let client = bench.client_with("application_name=client").await;
    client.batch_execute("select set_config('app.' || 'late', 'late', false)").await.unwrap();
    announced(&bench, 60_000).await;
    asked(&bench, 1).await;
    let blue = direct(&bench.source, "blue").await;
    let sql =
        "select max(query_start)::text from pg_stat_activity where application_name = 'client'";
    let first = one(&blue, sql).await;
    bench.gate.hold(20_000);
    bench.gate.quiet().await;
    assert_eq!(one(&blue, sql).await, first, "it is not asked again");
    bench.gate.release();
    // Off the list of those that are read: the next hold asks.
    announced(&bench, 60_000).await;
    let late = "create function late() returns text language sql as \
                $$ select current_setting('app.late', true) $$";
    bench.both(late).await;
    bench.flip(Side::Target, 2).await;
    assert_eq!(one(&client, "select late()").await, "late");
}

#[tokio::test]
async fn what_was_made_ready_is_given_up_when_no_hold_comes() {
    let bench = Bench::new().await;
    let client = bench.client_with("application_name=client").await;
    assert_eq!(announced(&bench, 2_000).await.connected, 1);
    assert_eq!(connections(&bench, Side::Target).await, "1");
    eventually("the connection is closed", async || {
        (connections(&bench, Side::Target).await == "0").then_some(())
    })
    .await;
    assert_eq!(bench.gate.status().ahead, None);
    assert_eq!(place(&client).await, "blue");
    bench.flip(Side::Target, 2).await;
    assert_eq!(place(&client).await, "green");
}

#[tokio::test]
async fn who_cannot_be_connected_is_counted_with_the_reason() {
    let bench = Bench::new().await;
    direct(&bench.source, "blue").await.batch_execute("create role lonely login").await.unwrap();
    let client = bench.client_with("application_name=client").await;
    let lonely = super::bench::through(&bench.gate, "user=lonely").await;
    let ahead = announced(&bench, 60_000).await;
    assert_eq!((ahead.sessions, ahead.connected, ahead.refused), (2, 1, 1));
    assert!(ahead.why.unwrap().contains("lonely"));
    direct(&bench.target, "green").await.batch_execute("create role lonely login").await.unwrap();
    let ahead = announced(&bench, 60_000).await;
    assert_eq!((ahead.sessions, ahead.connected, ahead.why), (2, 2, None));
    drop(lonely);
    eventually("who leaves is not counted", async || {
        let ahead = bench.gate.status().ahead.unwrap();
        (ahead.sessions == 1 && ahead.connected == 1).then_some(())
    })
    .await;
    assert_eq!(place(&client).await, "blue");
}
