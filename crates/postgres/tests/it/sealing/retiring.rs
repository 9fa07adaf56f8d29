//! Abort and finish: what goes, and what must stay.

use std::process::{Command, Stdio};

use changeover_postgres::grant::Grant;
use changeover_postgres::objects::slot_on;
use changeover_postgres::retire::{AbortOptions, abort, finish};
use changeover_testkit::client_program;
use changeover_types::{Epoch, Side};

use super::{BUDGET, World, assert_refused, eventually};

const OURS: &str = "(SELECT 1 FROM pg_trigger WHERE tgname LIKE '!changeover%' UNION ALL \
     SELECT 1 FROM pg_namespace WHERE nspname = 'changeover' UNION ALL \
     SELECT 1 FROM pg_publication UNION ALL \
     SELECT 1 FROM pg_replication_slots WHERE database = current_database()) ours";

async fn slot(world: &World, side: Side) -> String {
    let name = slot_on(&world.source.migration, side);
    let sql = format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')");
    world.app(side).await.batch_execute(&sql).await.unwrap();
    name
}

async fn moved(world: &World) {
    let config = world.config(Side::Target);
    let grant = Grant::prepare(&config, &world.target, Epoch(2), "run-1", BUDGET).await.unwrap();
    world.seal(2).await;
    world.applied_seal(2).await;
    grant.commit().await.unwrap();
}

#[tokio::test]
async fn abort_removes_everything_we_made() {
    let world = World::new("abort").await;
    let name = slot(&world, Side::Source).await;
    assert_eq!(name, "changeover_shop_forward");
    // A walsender of ours that nobody reads from any more.
    let mut stale = Command::new(client_program("pg_recvlogical").unwrap())
        .args(["--dbname", &world.cluster.url("source"), "--slot", &name, "--start", "-f", "-"])
        .args(["-o", "proto_version=1", "-o", "publication_names=changeover_shop", "--no-loop"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually(|| async {
        world.count(Side::Source, "pg_replication_slots WHERE active").await == 1
    })
    .await;
    for _ in 0..2 {
        for scope in [&world.source, &world.target] {
            let config = world.config(scope.side);
            let retired = abort(&config, scope, AbortOptions::default()).await.unwrap();
            assert!(retired.left.is_empty(), "{retired:?}");
            assert_eq!(world.count(scope.side, OURS).await, 0, "{retired:?}");
        }
    }
    stale.wait().unwrap();
    // What was copied stays by default; the target can be written and cleaned.
    world.app(Side::Target).await.batch_execute("DELETE FROM item").await.unwrap();
    let options = AbortOptions { drop_relations: true };
    let config = world.config(Side::Target);
    let retired = abort(&config, &world.target, options).await.unwrap();
    assert_eq!(retired.left[0].what, "the moved relations", "a view depends on one: {retired:?}");
    world
        .app(Side::Target)
        .await
        .batch_execute("DROP VIEW item_view; DROP RULE copy ON not_moved")
        .await
        .unwrap();
    let retired = abort(&config, &world.target, options).await.unwrap();
    assert!(retired.left.is_empty(), "{retired:?}");
    assert_eq!(
        world.count(Side::Target, "pg_class WHERE relname IN ('item', 'log', 'log_a')").await,
        0
    );
    assert_eq!(world.count(Side::Target, "not_moved").await, 0, "not ours, still there");
    // On the source the flag means nothing.
    abort(&world.config(Side::Source), &world.source, options).await.unwrap();
    assert_eq!(world.count(Side::Source, "item").await, 10);
}

#[tokio::test]
async fn finding_18_the_side_without_authority_keeps_its_seal() {
    let world = World::new("finish").await;
    let _ = (slot(&world, Side::Source).await, slot(&world, Side::Target).await);
    moved(&world).await;
    for scope in [&world.source, &world.target] {
        let config = world.config(scope.side);
        let refused = abort(&config, scope, AbortOptions::default()).await;
        assert!(refused.is_err(), "after the grant there is no abort on {}", scope.side);
        for _ in 0..2 {
            let retired = finish(&config, scope).await.unwrap();
            assert!(retired.is_complete(), "{retired:?}");
            assert_eq!(retired.left.len(), usize::from(scope.side == Side::Source), "{retired:?}");
        }
    }
    assert_eq!(world.count(Side::Target, OURS).await, 0);
    world.app(Side::Target).await.batch_execute("DELETE FROM item").await.unwrap();
    let source = world.app(Side::Source).await;
    assert_refused(source.batch_execute("DELETE FROM item").await, "the source stays sealed");
    assert_eq!(world.count(Side::Source, "pg_replication_slots").await, 0);
    assert_eq!(world.count(Side::Source, "changeover.epoch").await, 2);
    assert_eq!(world.count(Side::Source, "changeover.fence").await, 0);
}

#[tokio::test]
async fn a_reader_in_the_way_is_named_and_nobody_waits_long() {
    let world = World::new("inuse").await;
    moved(&world).await;
    let reader = world.app(Side::Target).await;
    reader.batch_execute("BEGIN; SELECT * FROM item").await.unwrap();
    let config = world.config(Side::Target);
    let retired = finish(&config, &world.target).await.unwrap();
    assert!(!retired.is_complete());
    assert!(retired.left.iter().any(|left| left.what.contains("public.item")), "{retired:?}");
    // What is left is harmless, even if somebody switches it on.
    let app = world.app(Side::Target).await;
    reader.batch_execute("COMMIT").await.unwrap();
    app.batch_execute("ALTER TABLE item ENABLE TRIGGER USER; DELETE FROM item").await.unwrap();
    let retired = finish(&config, &world.target).await.unwrap();
    assert!(retired.is_complete(), "{retired:?}");
    assert_eq!(world.count(Side::Target, OURS).await, 0);
}

#[tokio::test]
async fn the_schema_stays_while_another_migration_needs_it() {
    let world = World::new("shared").await;
    let mut other = world.source.clone();
    other.migration = changeover_types::MigrationName::new("other").unwrap();
    let mut session = world.session(Side::Source).await;
    changeover_postgres::objects::genesis(&mut session, &other, "run-9").await.unwrap();
    let config = world.config(Side::Source);
    let retired = abort(&config, &world.source, AbortOptions::default()).await.unwrap();
    assert!(retired.is_complete() && retired.left[0].why.contains("other"), "{retired:?}");
    let retired = abort(&config, &other, AbortOptions::default()).await.unwrap();
    assert!(retired.left.is_empty(), "{retired:?}");
    assert_eq!(world.count(Side::Source, OURS).await, 0);
}

#[tokio::test]
async fn a_sealed_source_is_not_aborted() {
    let world = World::new("sealed").await;
    world.seal(2).await;
    let refused = abort(&world.config(Side::Source), &world.source, AbortOptions::default()).await;
    assert!(refused.unwrap_err().to_string().contains("resolved first"));
    let source = world.app(Side::Source).await;
    assert_refused(source.batch_execute("DELETE FROM item").await, "and nothing was touched");
}

#[tokio::test]
async fn a_migration_that_never_began_takes_nothing_from_its_twin() {
    let world = World::new("twin").await;
    let twin = |name: &str| {
        let migration = changeover_types::MigrationName::new(name).unwrap();
        changeover_postgres::objects::Scope { migration, ..world.source.clone() }
    };
    let (lives, never_began) = (twin("a-b"), twin("a_b"));
    let mut session = world.session(Side::Source).await;
    changeover_postgres::objects::genesis(&mut session, &lives, "run-9").await.unwrap();
    changeover_postgres::objects::publication(&mut session, &lives).await.unwrap();
    let name = slot_on(&lives.migration, Side::Source);
    let sql = format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')");
    world.app(Side::Source).await.batch_execute(&sql).await.unwrap();
    let config = world.config(Side::Source);
    let retired = abort(&config, &never_began, AbortOptions::default()).await.unwrap();
    assert!(retired.is_complete() && retired.left[0].why.contains("a-b"), "{retired:?}");
    assert_eq!(world.count(Side::Source, "pg_replication_slots").await, 1);
    assert_eq!(
        world.count(Side::Source, "pg_publication WHERE pubname = 'changeover_a_b'").await,
        1
    );
    abort(&config, &lives, AbortOptions::default()).await.unwrap();
    assert_eq!(world.count(Side::Source, "pg_replication_slots").await, 0);
}
