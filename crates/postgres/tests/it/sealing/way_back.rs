//! The grant, the burn and the unseal: exactly one of forward and back.

use std::time::Duration;

use changeover_postgres::grant::{Grant, GrantFailure, Snapshot, redo};
use changeover_postgres::lease::{Lease, LeaseError};
use changeover_postgres::objects::newest;
use changeover_postgres::resolve::{ResolveError, burn, resolve_grant, unseal};
use changeover_postgres::seal;
use changeover_types::{Epoch, EpochKind, Side, seal_token};

use super::{BUDGET, World, assert_not_yet, assert_refused};

const DEADLINE: Duration = Duration::from_secs(10);

async fn prepare(world: &World, epoch: u64) -> Result<Grant, LeaseError> {
    let config = world.config(Side::Target);
    Grant::prepare(&config, &world.target, Epoch(epoch), "run-1", BUDGET).await
}

async fn burnt(world: &World, epoch: u64, run: &str) -> Result<(), ResolveError> {
    let config = world.config(Side::Target);
    burn(&config, &world.target, Epoch(epoch), run, None, DEADLINE).await
}

async fn fences(world: &World) -> (bool, bool) {
    let open = |side: Side| async move {
        world.count(side, "changeover.fence WHERE migration = 'shop' AND open").await == 1
    };
    (open(Side::Source).await, open(Side::Target).await)
}

#[tokio::test]
async fn authority_moves_and_moves_back() {
    let world = World::new("moves").await;
    assert_eq!(fences(&world).await, (false, true));
    let target = world.app(Side::Target).await;
    let insert = "INSERT INTO item (note) VALUES ('new')";
    assert_not_yet(target.batch_execute(insert).await, "the target before the grant");

    let grant = prepare(&world, 2).await.unwrap();
    let mut snapshot = Snapshot::open(&world.config(Side::Target)).await.unwrap();
    let waiting = {
        let app = world.app(Side::Target).await;
        tokio::spawn(async move { app.batch_execute(insert).await })
    };
    world.until_waiting(Side::Target, "INSERT INTO item%").await;
    world.seal(2).await;
    assert_eq!(fences(&world).await, (true, true));
    world.applied_seal(2).await;
    grant.commit().await.unwrap();
    waiting.await.unwrap().unwrap();
    target.batch_execute(insert).await.unwrap();
    assert_eq!(fences(&world).await, (true, false), "a late forward applier is refused");
    let seen = snapshot.session().query_one("SELECT count(*) FROM public.item").await.unwrap();
    assert_eq!(seen.text(0usize).unwrap(), "10", "the proof's snapshot is from before");
    snapshot.close().await.unwrap();

    // Finding 10: the old triggers are disabled, and inert should the application enable them.
    target.batch_execute("ALTER TABLE item ENABLE TRIGGER USER").await.unwrap();
    target.batch_execute(insert).await.unwrap();
    let mut session = world.session(Side::Target).await;
    let reader = world.app(Side::Target).await;
    reader.batch_execute("BEGIN; SELECT * FROM log").await.unwrap();
    let short = Duration::from_millis(50);
    let dropped = seal::drop_seal(&mut session, &world.target, short).await.unwrap();
    assert_eq!(dropped.left.len(), 3, "somebody reads the partitioned table: {dropped:?}");
    reader.batch_execute("COMMIT").await.unwrap();
    let dropped = seal::drop_seal(&mut session, &world.target, short).await.unwrap();
    assert!(dropped.left.is_empty(), "{dropped:?}");
    let left = "pg_trigger WHERE tgname LIKE '!changeover%'";
    assert_eq!(world.count(Side::Target, left).await, 0);

    // Back: the same protocol with the sides swapped.
    let mut lease =
        Lease::take(&world.config(Side::Target), &world.target, Epoch(3), "run-1", BUDGET)
            .await
            .unwrap();
    lease.arm().await.unwrap();
    let grant =
        Grant::prepare(&world.config(Side::Source), &world.source, Epoch(3), "run-1", BUDGET)
            .await
            .unwrap();
    lease.seal().await.unwrap();
    assert_refused(target.batch_execute(insert).await, "the target, sealed again");
    let source = world.app(Side::Source).await;
    source
        .batch_execute(
            "INSERT INTO changeover.progress \
             (migration, stream, predecessor, position, incarnation, epoch, open) \
             VALUES ('shop', 'reverse', '0/0', '0/1', 1, 3, false)",
        )
        .await
        .unwrap();
    grant.commit().await.unwrap();
    source.batch_execute(insert).await.unwrap();
    assert_eq!(fences(&world).await, (false, true), "the target follows again");
    // The forward applier's token is that of the new seal.
    let token = seal_token(&world.target.migration, Epoch(3), Side::Target);
    let follow = format!("BEGIN; SET LOCAL changeover.token = '{token}'; {insert}; COMMIT");
    target.batch_execute(&follow).await.unwrap();
}

#[tokio::test]
async fn a_grant_needs_the_applied_seal_of_its_epoch() {
    let world = World::new("needs").await;
    world.seal(2).await;
    for wrong in [None, Some(7)] {
        if let Some(epoch) = wrong {
            world.applied_seal(epoch).await;
        }
        let failed = prepare(&world, 2).await.unwrap().commit().await;
        let Err(GrantFailure::Failed(e)) = failed else { panic!("{failed:?}") };
        assert!(e.to_string().contains("was not applied"), "{e}");
        let config = world.config(Side::Target);
        let failed = redo(&config, &world.target, Epoch(2), "run-1", None, BUDGET).await;
        assert!(matches!(failed, Err(GrantFailure::Failed(_))), "{failed:?}");
    }
    let app = world.app(Side::Target).await;
    assert_not_yet(app.batch_execute("DELETE FROM item").await, "still sealed");
}

#[tokio::test]
async fn a_lost_grant_is_done_again_whole_and_only_once() {
    let world = World::new("redo").await;
    let lost = prepare(&world, 2).await.unwrap();
    let backend = lost.backend().clone();
    world.seal(2).await;
    world.applied_seal(2).await;
    let config = world.config(Side::Target);
    let again = || redo(&config, &world.target, Epoch(2), "run-1", Some(&backend), BUDGET);
    again().await.unwrap();
    again().await.unwrap();
    let late = lost.commit().await;
    assert!(matches!(late, Err(GrantFailure::InDoubt(_) | GrantFailure::Failed(_))), "{late:?}");
    assert_eq!(world.count(Side::Target, "changeover.epoch WHERE kind = 'grant'").await, 1);
    let granted =
        resolve_grant(&config, &world.target, Epoch(2), Some(&backend), None, DEADLINE).await;
    assert!(granted.unwrap());
    world.app(Side::Target).await.batch_execute("DELETE FROM item").await.unwrap();
    let refused = burnt(&world, 2, "run-1").await;
    assert!(matches!(refused, Err(ResolveError::Refused { .. })), "granted: {refused:?}");
}

#[tokio::test]
async fn finding_5_a_zombie_grants_nothing_after_the_burn() {
    let world = World::new("zombie").await;
    world.seal(2).await;
    world.applied_seal(2).await;
    burnt(&world, 2, "run-2").await.unwrap();
    burnt(&world, 2, "run-2").await.unwrap();
    let late = prepare(&world, 2).await;
    assert!(matches!(late, Err(LeaseError::Refused { .. })), "{late:?}");
    let config = world.config(Side::Target);
    let late = redo(&config, &world.target, Epoch(2), "run-1", None, BUDGET).await;
    let Err(GrantFailure::Refused { newest: Some(row), .. }) = late else { panic!("{late:?}") };
    assert_eq!((row.kind, row.run.as_str()), (EpochKind::Burn, "run-2"));

    // The way back: the source accepts writers again, under a higher number.
    let config = world.config(Side::Source);
    let app = world.app(Side::Source).await;
    assert_refused(app.batch_execute("DELETE FROM item").await, "sealed until unsealed");
    for _ in 0..2 {
        unseal(&config, &world.source, Epoch(3), "run-2", BUDGET).await.unwrap();
    }
    app.batch_execute("DELETE FROM item").await.unwrap();
    assert_eq!(fences(&world).await, (false, true));
    let mut session = world.session(Side::Source).await;
    let row = newest(&mut session, &world.source.migration).await.unwrap().unwrap();
    assert_eq!((row.epoch, row.authority), (Epoch(3), Some(Side::Source)));
    let refused = unseal(&config, &world.source, Epoch(9), "run-2", BUDGET).await;
    assert!(matches!(refused, Err(ResolveError::Refused { .. })), "not sealed: {refused:?}");
    // And the next attempt has room: its seal stands beside the old, disabled one.
    world.seal(4).await;
    assert_refused(app.batch_execute("INSERT INTO item (note) VALUES ('')").await, "sealed again");
}

#[tokio::test]
async fn a_zombies_open_grant_is_ended_by_the_burn() {
    let world = World::new("ended").await;
    let grant = prepare(&world, 2).await.unwrap();
    world.seal(2).await;
    world.applied_seal(2).await;
    let config = world.config(Side::Target);
    let backend = grant.backend().clone();
    burn(&config, &world.target, Epoch(2), "run-2", Some(&backend), DEADLINE).await.unwrap();
    let late = grant.commit().await;
    assert!(matches!(late, Err(GrantFailure::InDoubt(_) | GrantFailure::Failed(_))), "{late:?}");
    let granted = resolve_grant(&config, &world.target, Epoch(2), None, None, DEADLINE).await;
    assert!(!granted.unwrap());
    let app = world.app(Side::Target).await;
    assert_not_yet(app.batch_execute("DELETE FROM item").await, "the target stays sealed");
}

#[tokio::test]
async fn of_burn_and_grant_exactly_one_happens() {
    let world = World::new("race").await;
    let mut outcomes = (0, 0);
    for round in 0..8 {
        let epoch = 2 + round * 2;
        world.seal(epoch).await;
        world.applied_seal(epoch).await;
        let config = world.config(Side::Target);
        let granting = async {
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            redo(&config, &world.target, Epoch(epoch), "run-1", None, BUDGET).await
        };
        let burning = async {
            if round % 2 == 1 {
                // Enough for the other to be somewhere on its way.
                world.count(Side::Target, "item").await;
            }
            burnt(&world, epoch, "run-2").await
        };
        let (granted, burnt) = tokio::join!(granting, burning);
        match (&granted, &burnt) {
            (Ok(_), Err(ResolveError::Refused { .. })) => outcomes.0 += 1,
            (Err(GrantFailure::Refused { .. }), Ok(())) => outcomes.1 += 1,
            _ => panic!("{granted:?} and {burnt:?}"),
        }
        let rows = format!("changeover.epoch WHERE epoch = {epoch}");
        assert_eq!(world.count(Side::Target, &rows).await, 1);
        if granted.is_ok() {
            break;
        }
        let config = world.config(Side::Source);
        unseal(&config, &world.source, Epoch(epoch + 1), "run-2", BUDGET).await.unwrap();
    }
    eprintln!("granted {}, burnt {}", outcomes.0, outcomes.1);
}

#[tokio::test]
async fn an_abandoned_grant_leaves_the_target_sealed() {
    let world = World::new("abandoned").await;
    let mut grant = prepare(&world, 2).await.unwrap();
    grant.ping().await.unwrap();
    grant.abandon().await.unwrap();
    let mut session = world.session(Side::Target).await;
    let state = seal::is_sealed(&mut session, &world.target).await.unwrap();
    assert!(state.is_tight(), "{state:?}");
    let refused = seal::drop_seal(&mut session, &world.target, DEADLINE).await;
    assert!(refused.unwrap_err().to_string().contains("stays"));
}
