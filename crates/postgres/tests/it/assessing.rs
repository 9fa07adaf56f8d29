//! Facts for an assessment, read from real servers.

use std::time::Duration;

use changeover_assess::inventory::Database;
use changeover_postgres::catalog::{Selection, Selector};
use changeover_postgres::config::ConnectConfig;
use changeover_postgres::facts::{Gathering, gather};
use changeover_testkit::{Cluster, ClusterConfig};
use changeover_types::{MigrationName, Side};
use tokio_postgres::NoTls;

fn gathering() -> Gathering {
    Gathering {
        selection: Selection::everything(MigrationName::new("m").unwrap()),
        sample: Duration::from_millis(300),
        statement: Duration::from_secs(10),
    }
}

async fn facts_of(url: &str) -> Database {
    gather(&ConnectConfig::parse(Side::Source, url).unwrap(), &gathering()).await
}

async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn everything_is_known_of_a_plain_database() {
    let cluster = Cluster::for_test("facts");
    let url = cluster.url("postgres");
    let db = client(&format!("{url}?application_name=shop")).await;
    db.batch_execute(
        "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text, \
           doubled bigint GENERATED ALWAYS AS (length(note)) STORED); \
         INSERT INTO orders (note) SELECT repeat(md5(n::text), 300) FROM generate_series(1,50) n; \
         CREATE TABLE tokens (token text PRIMARY KEY); \
         INSERT INTO tokens SELECT repeat(md5(n::text), 4) FROM generate_series(1,50) n; \
         CREATE SEQUENCE short AS smallint; SELECT setval('short', 30000); \
         CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM orders; \
         CREATE FUNCTION tell() RETURNS void LANGUAGE sql AS $$SELECT pg_notify('a','b')$$; \
         CREATE TABLE schema_migrations (version text PRIMARY KEY, inserted_at timestamp); \
         INSERT INTO schema_migrations VALUES ('1', '2020-01-02 03:04:05'); ANALYZE; \
         SELECT pg_stat_force_next_flush()",
    )
    .await
    .unwrap();
    let facts = facts_of(&url).await;

    let tables = facts.relations.get().unwrap();
    let table = |name: &str| tables.iter().find(|it| it.name.name == name).unwrap();
    let orders = table("orders");
    assert_eq!((orders.rows, orders.inserts, orders.changes), (Some(50), 50, 0));
    assert!(orders.heap_bytes > 0 && orders.toast_bytes > 0 && orders.index_bytes > 0);
    assert_eq!(orders.generated, ["id (identity always)", "doubled (generated)"]);
    assert_eq!(table("tokens").wide_key, ["token text (132 bytes)"]);
    let short = facts.sequences.get().unwrap().iter().find(|it| it.name.name == "short").unwrap();
    assert_eq!((short.type_name.as_str(), short.used_permille), ("smallint", Some(915)));
    let code = facts.code.get().unwrap();
    assert_eq!(code.materialized_views, ["public.totals"]);
    assert_eq!(code.reaching_functions, ["public.tell(): NOTIFY"]);
    let change = facts.schema_change.get().unwrap().clone().unwrap();
    assert_eq!(
        (change.tool.as_str(), change.at.unwrap().0),
        ("schema_migrations", 1_577_934_245_000)
    );
    let clients = &facts.activity.get().unwrap().clients;
    assert_eq!((clients.len(), clients[0].application.as_str()), (1, "shop"));
    assert!(clients[0].superuser && clients[0].address.as_deref() == Some("127.0.0.1"));
    assert_eq!(facts.settings.get().unwrap()["TimeZone"], "Etc/UTC");
    assert!(facts.disk.get().unwrap().wal_free_bytes.is_some(), "the server runs here");
    assert!(facts.clock_skew_ms.get().unwrap().abs() < 200, "it has our clock");
    assert!(*facts.round_trip_us.get().unwrap() > 0);
    let role = facts.role.get().unwrap();
    assert!(role.superuser && role.replication && role.replica_role);
    for known in [
        facts.server.get().is_ok(),
        facts.locale.get().is_ok(),
        facts.extensions.get().is_ok(),
        facts.available.get().is_ok(),
        facts.roles.get().is_ok(),
        facts.privileges.get().is_ok(),
        facts.prepared.get().is_ok(),
        facts.replication.get().is_ok(),
        facts.outside.get().is_ok(),
        facts.rate.get().is_ok(),
        facts.trouble.get().is_ok(),
    ] {
        assert!(known, "{facts:#?}");
    }
}

#[tokio::test]
async fn what_stays_idle_in_a_transaction_is_seen_and_what_is_busy_is_not() {
    let cluster = Cluster::for_test("idle");
    let url = cluster.url("postgres");
    let idle = client(&format!("{url}?application_name=forgets")).await;
    idle.batch_execute(
        "CREATE TABLE t (id serial PRIMARY KEY); BEGIN; SELECT 1; SELECT pg_advisory_lock(7)",
    )
    .await
    .unwrap();
    idle.batch_execute("COMMIT; BEGIN; SELECT 1").await.unwrap();
    let busy = client(&url).await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::spawn(async move {
        while stopped.try_recv().is_err() {
            busy.batch_execute("BEGIN; INSERT INTO t DEFAULT VALUES; COMMIT").await.unwrap();
        }
    });
    let facts = facts_of(&url).await;
    stop.send(()).unwrap();
    writing.await.unwrap();
    let rate = facts.rate.get().unwrap();
    assert!(rate.wal_bytes_s > 0 && rate.over_ms > 0, "{rate:?}");
    let activity = facts.activity.get().unwrap();
    let open: Vec<&str> = activity.open.iter().map(|it| it.application.as_str()).collect();
    assert_eq!(open, ["forgets"]);
    assert!(activity.open[0].idle);
    assert_eq!(activity.advisory_locks, 1);
}

#[tokio::test]
async fn a_side_that_cannot_be_reached_has_facts_that_say_why() {
    let mut cluster = Cluster::for_test("gone");
    let url = cluster.url("postgres");
    cluster.stop("immediate").unwrap();
    let facts = facts_of(&url).await;
    let why = facts.settings.get().unwrap_err();
    assert!(why.contains("is the server running"), "{why}");
    assert_eq!(facts.rate.get().unwrap_err(), why);
    assert!(!facts.url.contains("secret"));
}

#[tokio::test]
async fn an_ordinary_role_knows_less_and_says_so() {
    let cluster =
        Cluster::start(ClusterConfig::new("ordinary").with("max_slot_wal_keep_size", "1GB"))
            .unwrap();
    let url = cluster.url("postgres");
    let owner = client(&url).await;
    owner
        .batch_execute(
            "CREATE ROLE plain LOGIN; CREATE TABLE mine (id int PRIMARY KEY); \
             CREATE SEQUENCE numbers; CREATE TABLE theirs (id int DEFAULT nextval('numbers'))",
        )
        .await
        .unwrap();
    let plain = url.replace("postgres@", "plain@");
    let facts = facts_of(&plain).await;
    let hidden = facts.activity.get().unwrap_err();
    assert!(hidden.contains("may not see 1 other sessions"), "{hidden}");
    let role = facts.role.get().unwrap();
    assert!(!role.superuser && !role.replication && !role.replica_role);
    assert!(!facts.settings.get().unwrap().contains_key("TimeZone"), "it is in a file");
    assert_eq!(facts.disk.get().unwrap().free_bytes, None);
    let numbers = &facts.sequences.get().unwrap()[0];
    assert_eq!(numbers.used_permille, None);
    assert_eq!(numbers.uncarried, None, "whether it may be read is the preflight's affair");

    // A sequence that stays behind although a moved table takes its values.
    let mut lists = gathering();
    lists.selection.include = vec![Selector::parse("public.theirs").unwrap()];
    let config = ConnectConfig::parse(Side::Source, &url).unwrap();
    let facts = gather(&config, &lists).await;
    let left = &facts.sequences.get().unwrap()[0];
    let why = "it stays behind, and public.theirs takes its values";
    assert_eq!(left.uncarried.as_deref(), Some(why));
}
