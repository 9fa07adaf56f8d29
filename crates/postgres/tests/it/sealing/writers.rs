//! Every kind of writer, before, during and after the seal.

use changeover_postgres::seal;
use changeover_types::{Epoch, Side, seal_token};

use super::{World, assert_refused};

#[tokio::test]
async fn every_kind_of_writer_is_refused_after_the_seal() {
    let world = World::new("writers").await;
    let app = world.app(Side::Source).await;
    app.batch_execute(
        "CREATE FUNCTION add_item() RETURNS int LANGUAGE plpgsql AS \
           $$ BEGIN INSERT INTO item (note) VALUES ('f'); RETURN 1; END $$; SELECT add_item()",
    )
    .await
    .unwrap();
    let prepared = app.prepare("INSERT INTO item (note) VALUES ($1)").await.unwrap();
    for _ in 0..7 {
        app.execute(&prepared, &[&"warm"]).await.unwrap();
    }
    let old = world.app(Side::Source).await;
    old.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM item")
        .await
        .unwrap();
    let locker = world.app(Side::Source).await;
    locker.batch_execute("BEGIN; SELECT * FROM item WHERE id = 1 FOR UPDATE").await.unwrap();
    let replica = world.app(Side::Source).await;
    replica.batch_execute("SET session_replication_role = replica").await.unwrap();
    let before = world.count(Side::Source, "item").await;

    world.seal(2).await;

    assert_refused(app.execute(&prepared, &[&"x"]).await, "a prepared statement's cached plan");
    assert_refused(
        old.batch_execute("INSERT INTO item (note) VALUES ('x')").await,
        "an old snapshot",
    );
    assert_refused(
        locker.batch_execute("UPDATE item SET note = '' WHERE id = 1").await,
        "FOR UPDATE before",
    );
    assert_refused(replica.batch_execute("INSERT INTO log VALUES (2)").await, "replica role");
    for sql in [
        "INSERT INTO item (note) VALUES ('x')",
        "UPDATE item SET note = 'x' WHERE id = 1",
        "DELETE FROM item WHERE id = 1",
        "TRUNCATE item",
        "TRUNCATE log",
        "TRUNCATE log_a",
        "INSERT INTO log VALUES (3)",
        "INSERT INTO log_a VALUES (3)",
        "UPDATE log SET id = 102 WHERE id = 1",
        "DELETE FROM log_b",
        "INSERT INTO item_view (note) VALUES ('x')",
        "INSERT INTO not_moved VALUES (1)",
        "WITH w AS (INSERT INTO item (note) VALUES ('x') RETURNING id) SELECT * FROM w",
        "MERGE INTO item USING (VALUES (1)) v (id) ON item.id = v.id WHEN MATCHED THEN DELETE",
        "INSERT INTO item (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET note = 'x'",
        "INSERT INTO item (id) VALUES (1) ON CONFLICT DO NOTHING",
        "UPDATE item SET note = 'x' WHERE false",
        "DELETE FROM parent WHERE id = 1",
        "SELECT add_item()",
        "COPY item (note) FROM PROGRAM 'echo x'",
        "BEGIN READ WRITE; INSERT INTO parent VALUES (9)",
    ] {
        let app = world.app(Side::Source).await;
        assert_refused(app.batch_execute(sql).await, sql);
    }
    assert_eq!(world.count(Side::Source, "item").await, before, "nothing got through");
    assert_eq!(world.count(Side::Source, "not_moved").await, 0);
    assert!(
        app.batch_execute("SELECT * FROM item; SELECT * FROM log").await.is_ok(),
        "readers go on"
    );
}

#[tokio::test]
async fn waiting_writers_are_refused_and_nothing_acknowledged_is_lost() {
    let world = World::new("waiting").await;
    let app = world.app(Side::Source).await;
    app.batch_execute("INSERT INTO item (note) VALUES ('acknowledged')").await.unwrap();
    let mut lease = world.lease(2).await;
    let writers: Vec<_> = (0..3).map(|_| world.app(Side::Source)).collect();
    let mut waiting = Vec::new();
    for writer in writers {
        let writer = writer.await;
        waiting.push(tokio::spawn(async move {
            writer.batch_execute("INSERT INTO item (note) VALUES ('waited')").await
        }));
    }
    world.until_waiting(Side::Source, "INSERT INTO item%").await;
    lease.arm().await.unwrap();
    lease.seal().await.unwrap();
    for writer in waiting {
        assert_refused(writer.await.unwrap(), "a writer that waited for the lease");
    }
    assert_eq!(world.count(Side::Source, "item WHERE note = 'waited'").await, 0);
    assert_eq!(world.count(Side::Source, "item WHERE note = 'acknowledged'").await, 1);
}

#[tokio::test]
async fn waiting_writers_go_on_when_the_lease_is_released() {
    let world = World::new("released").await;
    let mut lease = world.lease(2).await;
    let app = world.app(Side::Source).await;
    let waiting =
        tokio::spawn(async move { app.batch_execute("DELETE FROM item WHERE id = 1").await });
    world.until_waiting(Side::Source, "DELETE FROM item%").await;
    lease.arm().await.unwrap();
    lease.release().await.unwrap();
    waiting.await.unwrap().unwrap();
    // Finding 10: nothing of ours is left on the source by an attempt that was called off.
    assert_eq!(world.count(Side::Source, "pg_trigger WHERE tgname LIKE '!changeover%'").await, 0);
    assert_eq!(world.count(Side::Source, "changeover.epoch WHERE kind = 'seal'").await, 0);
    // A dropped lease (a crash) is the same.
    drop(world.lease(3).await);
    world.app(Side::Source).await.batch_execute("DELETE FROM item WHERE id = 2").await.unwrap();
}

#[tokio::test]
async fn finding_7_partitions_made_or_attached_meanwhile_are_sealed() {
    let world = World::new("partitions").await;
    let mut lease = world.lease(2).await;
    let app = world.app(Side::Source).await;
    let parked = tokio::spawn(async move {
        app.batch_execute("CREATE TABLE log_c PARTITION OF log FOR VALUES FROM (200) TO (300)")
            .await
    });
    world.until_waiting(Side::Source, "CREATE TABLE log_c%").await;
    assert_eq!(lease.arm().await.unwrap().relations, 6);
    lease.seal().await.unwrap();
    parked.await.unwrap().unwrap();
    let app = world.app(Side::Source).await;
    app.batch_execute(
        "CREATE TABLE log_d (LIKE log INCLUDING ALL); \
         ALTER TABLE log ATTACH PARTITION log_d FOR VALUES FROM (300) TO (400)",
    )
    .await
    .unwrap();
    for sql in [
        "INSERT INTO log VALUES (201)",
        "INSERT INTO log_c VALUES (202)",
        "INSERT INTO log VALUES (301)",
        "SET session_replication_role = replica; INSERT INTO log_d VALUES (302)",
    ] {
        assert_refused(world.app(Side::Source).await.batch_execute(sql).await, sql);
    }
    let mut session = world.session(Side::Source).await;
    let state = seal::is_sealed(&mut session, &world.source).await.unwrap();
    assert!(state.is_tight(), "{state:?}");
    assert_eq!((state.relations, state.sealed_in), (8, Some(Epoch(2))));
    // A detached partition loses the clone, but keeps a statement trigger of its own.
    app.batch_execute("ALTER TABLE log DETACH PARTITION log_a").await.unwrap();
    assert_refused(app.batch_execute("INSERT INTO log_a VALUES (5)").await, "a detached partition");
    let state = seal::is_sealed(&mut session, &world.source).await.unwrap();
    assert_eq!(state.gaps[0].relation.name, "log_a", "and the guard sees it: {state:?}");
    app.batch_execute("DROP TABLE log_b").await.unwrap();
    let state = seal::is_sealed(&mut session, &world.source).await.unwrap();
    assert!(state.gaps.iter().any(|gap| gap.why.contains("gone")), "{state:?}");
}

#[tokio::test]
async fn finding_8_a_trigger_of_the_application_cannot_swallow_the_row_first() {
    let world = World::new("swallow").await;
    let app = world.app(Side::Source).await;
    app.batch_execute(
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
         CREATE TRIGGER \" first\" BEFORE INSERT OR UPDATE OR DELETE ON item \
           FOR EACH ROW EXECUTE FUNCTION swallow()",
    )
    .await
    .unwrap();
    world.seal(2).await;
    for sql in
        ["INSERT INTO item (note) VALUES ('x')", "UPDATE item SET note = ''", "DELETE FROM item"]
    {
        assert_refused(app.batch_execute(sql).await, sql);
    }
}

#[tokio::test]
async fn finding_9_exception_when_others_does_not_catch_the_refusal() {
    let world = World::new("others").await;
    let app = world.app(Side::Source).await;
    app.batch_execute(
        "CREATE FUNCTION careless() RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
           INSERT INTO item (note) VALUES ('x'); RETURN 'done'; \
         EXCEPTION WHEN OTHERS THEN RETURN 'swallowed'; END $$",
    )
    .await
    .unwrap();
    world.seal(2).await;
    assert_refused(app.query_one("SELECT careless()", &[]).await, "EXCEPTION WHEN OTHERS");
}

#[tokio::test]
async fn finding_10_the_applications_trigger_switches_neither_arm_nor_hide_a_seal() {
    let world = World::new("switches").await;
    let app = world.app(Side::Source).await;
    let switch = "ALTER TABLE item DISABLE TRIGGER USER; ALTER TABLE item ENABLE TRIGGER USER";
    // Before the lease there is nothing of ours to arm.
    app.batch_execute(switch).await.unwrap();
    app.batch_execute("INSERT INTO item (note) VALUES ('x')").await.unwrap();
    world.seal(2).await;
    let mut session = world.session(Side::Source).await;
    assert!(seal::is_sealed(&mut session, &world.source).await.unwrap().is_tight());
    // Afterwards it would leave the seal at 'O', which replica mode passes: the guard sees it.
    app.batch_execute(switch).await.unwrap();
    let state = seal::is_sealed(&mut session, &world.source).await.unwrap();
    assert_eq!(state.gaps.len(), 1, "{state:?}");
    assert!(state.gaps[0].why.contains("not ENABLE ALWAYS but O"), "{state:?}");
    // And it can be set again in place.
    seal::set(&mut session, &world.source, Epoch(2)).await.unwrap();
    assert!(seal::is_sealed(&mut session, &world.source).await.unwrap().is_tight());
}

#[tokio::test]
async fn finding_15_only_the_token_of_this_very_seal_passes() {
    let world = World::new("token").await;
    world.seal(2).await;
    let name = &world.source.migration;
    let write = |token: String| {
        format!("BEGIN; SET LOCAL changeover.token = '{token}'; DELETE FROM parent WHERE id = 1")
    };
    for (token, what) in [
        (seal_token(name, Epoch(1), Side::Source), "another epoch"),
        (seal_token(name, Epoch(2), Side::Target), "the other side"),
        (String::new(), "an empty one"),
    ] {
        let app = world.app(Side::Source).await;
        assert_refused(app.batch_execute(&write(token)).await, what);
    }
    let applier = world.app(Side::Source).await;
    let replica = "SET session_replication_role = replica";
    applier.batch_execute(&write(seal_token(name, Epoch(2), Side::Source))).await.unwrap();
    applier.batch_execute(&format!("COMMIT; {replica}")).await.unwrap();
    assert_eq!(
        world.count(Side::Source, "child WHERE parent = 1").await,
        0,
        "the cascade passed too"
    );
    assert_refused(applier.batch_execute("DELETE FROM parent").await, "after the transaction");
    let mut session = world.session(Side::Source).await;
    let epoch = seal::seal_epoch(&mut session, name, Side::Source).await.unwrap();
    assert_eq!(epoch, Some(Epoch(2)));
    let mut session = world.session(Side::Target).await;
    assert_eq!(seal::seal_epoch(&mut session, name, Side::Target).await.unwrap(), Some(Epoch(1)));
}
