//! Both streams alive: authority moves there and back, nothing loops, nothing is lost.

use changeover_postgres::follow::FollowEvent;
use changeover_postgres::seal;
use changeover_relay::Stream;
use changeover_types::Side::{self, Source, Target};
use changeover_types::{Epoch, EpochKind, Marker};

use super::world::{Running, World};

const DDL: &str = "CREATE TABLE t (v int); ALTER TABLE t REPLICA IDENTITY FULL;";

/// What the sessions of the cutover do on `side`, without their locks.
async fn turn(world: &World, side: Side, epoch: u64, kind: &str, authority: &str) {
    let mut session = world.session(side).await;
    let scope = world.scope(side);
    session.execute("BEGIN").await.unwrap();
    let sealing = kind == "seal";
    if sealing {
        seal::set(&mut session, &scope, Epoch(epoch)).await.unwrap();
    } else {
        seal::disarm(&mut session, &scope).await.unwrap();
    }
    session
        .execute(&format!(
            "INSERT INTO changeover.epoch (migration, epoch, kind, authority, run) \
             VALUES ('m', {epoch}, '{kind}', '{authority}', 'test'); \
             UPDATE changeover.fence SET open = {sealing}; COMMIT"
        ))
        .await
        .unwrap();
}

async fn sees(running: &mut Running, epoch: u64, kind: EpochKind) {
    running
        .until(|event| match event {
            FollowEvent::Applied { marker: Marker::Epoch { epoch: e, kind: k, .. }, .. } => {
                (*e, *k) == (Epoch(epoch), kind)
            }
            _ => false,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authority_moves_there_and_back() {
    let world = World::new("segments", DDL).await;
    let mut target = world.session(Target).await;
    seal::set(&mut target, &world.scope(Target), Epoch(1)).await.unwrap();
    let mut forward = world.follow(Stream::Forward);
    let mut reverse = world.follow(Stream::Reverse);
    world.sql(Source, "INSERT INTO t SELECT generate_series(1, 100)").await;
    world.converge(&mut forward, 1).await;

    // There: seal on the source, seen; grant on the target, seen; the target writes.
    turn(&world, Source, 2, "seal", "none").await;
    sees(&mut forward, 2, EpochKind::Seal).await;
    turn(&world, Target, 2, "grant", "target").await;
    sees(&mut reverse, 2, EpochKind::Grant).await;
    world.sql(Target, "INSERT INTO t SELECT generate_series(101, 200)").await;
    world.barrier(Target, 2).await;
    reverse.applied(2).await;
    assert_eq!(world.image(Source).await, world.image(Target).await);

    // Both followers begin again in the middle, and know where they are.
    forward.stop().await;
    reverse.stop().await;
    world.sql(Target, "DELETE FROM t WHERE v % 2 = 0").await;
    let mut forward = world.follow(Stream::Forward);
    let mut reverse = world.follow(Stream::Reverse);
    world.barrier(Target, 3).await;
    reverse.applied(3).await;
    assert_eq!(world.value(Source, "SELECT count(*) FROM t").await, "100");

    // A rogue on the side without authority raises the alarm and is not applied.
    let rogue = world.session(Source).await.execute("INSERT INTO public.t VALUES (-1)").await;
    assert_eq!(rogue.unwrap_err().sqlstate(), Some("P0004"));
    let token = "SET LOCAL changeover.token = 'm/2/source'";
    world.sql(Source, &format!("BEGIN; {token}; INSERT INTO t VALUES (-1); COMMIT")).await;
    let alarm = forward.until(|event| matches!(event, FollowEvent::Foreign { .. })).await;
    assert!(
        matches!(&alarm, FollowEvent::Foreign { after_seal: true, table, .. } if table.name == "t")
    );
    world.sql(Source, &format!("BEGIN; {token}; DELETE FROM t WHERE v = -1; COMMIT")).await;
    forward.until(|event| matches!(event, FollowEvent::Foreign { .. })).await;

    // And back: the same with the sides swapped.
    turn(&world, Target, 3, "seal", "none").await;
    sees(&mut reverse, 3, EpochKind::Seal).await;
    turn(&world, Source, 3, "grant", "source").await;
    sees(&mut forward, 3, EpochKind::Grant).await;
    world.sql(Source, "INSERT INTO t SELECT generate_series(201, 300)").await;
    world.converge(&mut forward, 4).await;
    assert_eq!(world.value(Target, "SELECT count(*), count(DISTINCT v) FROM t").await, "200");

    // Called off after the seal: the number is burnt there, the seal is taken back here.
    turn(&world, Source, 4, "seal", "none").await;
    sees(&mut forward, 4, EpochKind::Seal).await;
    world
        .sql(
            Target,
            "INSERT INTO changeover.epoch (migration, epoch, kind, authority, run) \
        VALUES ('m', 4, 'burn', 'none', 'test')",
        )
        .await;
    turn(&world, Source, 5, "unseal", "source").await;
    sees(&mut forward, 5, EpochKind::Unseal).await;
    world.sql(Source, "INSERT INTO t SELECT generate_series(301, 310)").await;
    world.converge(&mut forward, 5).await;
    let status = forward.handle.status();
    assert!(status.open);
    assert_eq!(status.epoch, Epoch(5));
    assert_eq!(reverse.handle.status().foreign, 0, "our own applier raised no alarm");
    forward.stop().await;
    reverse.stop().await;
}
