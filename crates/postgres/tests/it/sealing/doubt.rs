//! Commits whose answer does not come.

use std::time::Duration;

use changeover_postgres::catalog::ServerIdentity;
use changeover_postgres::lease::{BackendIdent, Lease, SealFailure};
use changeover_postgres::resolve::{ResolveError, resolve_grant, resolve_seal};
use changeover_postgres::seal;
use changeover_testkit::ClusterConfig;
use changeover_types::{Epoch, Side};

use super::{World, assert_refused, eventually};

const DEADLINE: Duration = Duration::from_secs(10);

async fn resolve(
    world: &World,
    backend: Option<&BackendIdent>,
    server: Option<&ServerIdentity>,
) -> Result<bool, ResolveError> {
    let config = world.config(Side::Source);
    resolve_seal(&config, &world.source, Epoch(2), backend, server, DEADLINE).await
}

#[tokio::test]
async fn finding_3a_the_seal_survives_synchronous_commit_off() {
    let mut config = ClusterConfig::new("durable");
    config.fsync = true;
    // The background writer must not flush the commit by accident.
    let mut world = World::with(config.with("wal_writer_delay", "10s")).await;
    let admin = world.app(Side::Source).await;
    admin.batch_execute("ALTER DATABASE source SET synchronous_commit = off").await.unwrap();
    let setting = world.app(Side::Source).await.query_one("SHOW synchronous_commit", &[]).await;
    assert_eq!(setting.unwrap().get::<_, String>(0), "off");
    world.seal(2).await;
    world.cluster.stop("immediate").unwrap();
    world.cluster.restart().unwrap();
    let app = world.app(Side::Source).await;
    assert_refused(
        app.batch_execute("INSERT INTO item (note) VALUES ('x')").await,
        "after a crash",
    );
    let mut session = world.session(Side::Source).await;
    assert!(seal::is_sealed(&mut session, &world.source).await.unwrap().is_tight());
}

#[tokio::test]
async fn finding_4_an_undecided_commit_is_ended_before_it_is_read() {
    let world = World::new("undecided").await;
    let mut lease = world.lease(2).await;
    lease.arm().await.unwrap();
    let (backend, server) = (lease.backend().clone(), lease.server().clone());
    let admin = world.app(Side::Source).await;
    // A synchronous standby that is not there: COMMIT is written, and waits for ever.
    admin.batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'missing'").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    eventually(|| async {
        let shown =
            world.app(Side::Source).await.query_one("SHOW synchronous_standby_names", &[]).await;
        shown.unwrap().get::<_, String>(0) == "missing"
    })
    .await;
    // The connection is cut while the answer is awaited.
    let waiting =
        format!("pg_stat_activity WHERE pid = {} AND wait_event = 'SyncRep'", backend.pid);
    let cut = async {
        eventually(|| async { world.count(Side::Source, &waiting).await == 1 }).await;
    };
    tokio::select! {
        sealed = lease.seal() => panic!("{sealed:?}"),
        () = cut => {}
    }
    // Reading the row now gives the wrong answer, and would for as long as one likes.
    assert_eq!(world.count(Side::Source, "changeover.epoch WHERE epoch = 2").await, 0);
    assert!(resolve(&world, Some(&backend), Some(&server)).await.unwrap(), "it was committed");
    assert_eq!(world.count(Side::Source, "changeover.epoch WHERE epoch = 2").await, 1);
    let app = world.app(Side::Source).await;
    app.batch_execute("SET synchronous_commit = local").await.unwrap();
    assert_refused(app.batch_execute("DELETE FROM item").await, "after the resolution");
    assert!(resolve(&world, Some(&backend), Some(&server)).await.unwrap(), "again, the same");
}

#[tokio::test]
async fn finding_4_a_live_lease_is_ended_and_was_not_committed() {
    let world = World::new("alive").await;
    let mut lease = world.lease(2).await;
    lease.arm().await.unwrap();
    let backend = lease.backend().clone();
    assert!(!resolve(&world, Some(&backend), None).await.unwrap());
    let late = lease.seal().await;
    assert!(matches!(late, Err(SealFailure::InDoubt(_) | SealFailure::Failed(_))), "{late:?}");
    assert_eq!(world.count(Side::Source, "changeover.epoch WHERE epoch = 2").await, 0);
    let app = world.app(Side::Source).await;
    app.batch_execute("INSERT INTO item (note) VALUES ('x')").await.unwrap();
}

#[tokio::test]
async fn a_lease_that_cannot_be_ended_stays_undecided() {
    let world = World::new("stays").await;
    let lease = world.lease(2).await;
    let config = world.config(Side::Source);
    // Without its identity it cannot be ended; the lock it holds keeps us from concluding.
    let short = Duration::from_millis(300);
    let asked = resolve_seal(&config, &world.source, Epoch(2), None, None, short).await;
    assert!(matches!(asked, Err(ResolveError::Undecided { .. })), "{asked:?}");
    // Nor is another process ended that has the same pid.
    let other = BackendIdent {
        backend_start: "2001-01-01 00:00:00+00".to_owned(),
        ..lease.backend().clone()
    };
    let asked = resolve_seal(&config, &world.source, Epoch(2), Some(&other), None, short).await;
    assert!(matches!(asked, Err(ResolveError::Undecided { .. })), "{asked:?}");
    lease.release().await.unwrap();
}

#[tokio::test]
async fn another_server_is_not_believed() {
    let world = World::new("other").await;
    let lease = world.lease(2).await;
    let known = lease.server().clone();
    lease.release().await.unwrap();
    let copy = ServerIdentity { system_id: Some("1".to_owned()), ..known.clone() };
    let promoted = ServerIdentity { timeline: known.timeline.map(|t| t + 1), ..known.clone() };
    for other in [copy, promoted] {
        let asked = resolve(&world, None, Some(&other)).await;
        assert!(matches!(asked, Err(ResolveError::OtherServer { .. })), "{asked:?}");
    }
    assert!(!resolve(&world, None, Some(&known)).await.unwrap());
    let config = world.config(Side::Target);
    let granted =
        resolve_grant(&config, &world.target, Epoch(2), None, Some(&known), DEADLINE).await;
    assert!(!granted.unwrap());
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_again_until_the_deadline() {
    let mut world = World::new("away").await;
    world.seal(2).await;
    let config = world.config(Side::Source);
    world.cluster.stop("immediate").unwrap();
    let short = Duration::from_millis(300);
    let asked = resolve_seal(&config, &world.source, Epoch(2), None, None, short).await;
    assert!(matches!(asked, Err(ResolveError::Undecided { .. })), "{asked:?}");
    world.cluster.restart().unwrap();
    assert!(resolve(&world, None, None).await.unwrap());
    let taken = Lease::take(&config, &world.source, Epoch(2), "run-1", super::BUDGET).await;
    taken.unwrap_err();
}
