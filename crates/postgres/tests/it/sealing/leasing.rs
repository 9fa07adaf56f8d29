//! The lease: what it waits for, whom it names, and that it always ends.

use std::time::{Duration, Instant};

use changeover_postgres::barrier;
use changeover_postgres::lease::{Lease, LeaseBudget, LeaseError, SealFailure};
use changeover_postgres::objects::{RelationEntry, Scope, genesis, install};
use changeover_postgres::seal;
use changeover_postgres::sequences::{self, Ahead};
use changeover_testkit::ClusterConfig;
use changeover_types::{Epoch, Side, TableName};

use super::{BUDGET, World, eventually};

#[tokio::test]
async fn the_lease_says_who_it_is() {
    let world = World::new("ident").await;
    let mut lease = world.lease(2).await;
    lease.ping().await.unwrap();
    let ident = lease.backend().clone();
    let same = format!(
        "pg_stat_activity WHERE pid = {} AND backend_start = '{}'",
        ident.pid, ident.backend_start
    );
    assert_eq!(world.count(Side::Source, &same).await, 1);
    assert!(lease.server().system_id.is_some());
    // Only a side with authority can be leased, and only for a fresh number.
    lease.release().await.unwrap();
    for (scope, epoch) in [(&world.target, 2), (&world.source, 1)] {
        let config = world.config(scope.side);
        let taken = Lease::take(&config, scope, Epoch(epoch), "run-1", BUDGET).await;
        assert!(matches!(taken, Err(LeaseError::Refused { .. })), "{taken:?}");
    }
    let unarmed = world.lease(2).await.seal().await;
    assert!(matches!(unarmed, Err(SealFailure::Failed(_))), "{unarmed:?}");
}

#[tokio::test]
async fn finding_16_numbers_are_set_aside_so_that_the_ranges_are_apart() {
    let world = World::new("sequences").await;
    let app = world.app(Side::Source).await;
    let next =
        async || -> i64 { app.query_one("SELECT nextval('ticket')", &[]).await.unwrap().get(0) };
    // This session has nineteen more numbers in its cache.
    assert_eq!(next().await, 1);
    let mut source = world.session(Side::Source).await;
    let mut target = world.session(Side::Target).await;
    let names = &world.source.sequences;
    let mut ahead = Ahead::default();
    ahead.set_aside(&mut source, &mut target, names, 1000).await.unwrap();
    let stands = sequences::read(&mut target, names).await.unwrap();
    assert_eq!((stands[1].last_value, stands[1].is_called), (1021, false), "the cache is counted");

    // Attempts that are called off eat up nothing, and nothing is set again.
    ahead.set_aside(&mut source, &mut target, names, 1000).await.unwrap();
    assert_eq!(sequences::read(&mut target, names).await.unwrap(), stands);

    // What moved since is seen under the lease, which keeps nobody from taking numbers.
    for number in 2..=21 {
        assert_eq!(next().await, number);
    }
    let mut lease = world.lease(2).await;
    ahead.set_aside(&mut source, &mut target, names, 1000).await.unwrap();
    assert_eq!(next().await, 22);
    lease.arm().await.unwrap();
    lease.seal().await.unwrap();
    assert_eq!(next().await, 23);
    let on_target = world.app(Side::Target).await;
    let first: i64 = on_target.query_one("SELECT nextval('ticket')", &[]).await.unwrap().get(0);
    let raise = ahead.narrow(u64::MAX).find(|it| it.name == names[1]).unwrap().clone();
    assert_eq!((raise.old_side_until, first), (Some(1040), 1041));
    assert_eq!(ahead.narrow(1000).count(), 0);

    // A number that the other side took counts.
    ahead.set_aside(&mut source, &mut target, names, 1000).await.unwrap();
    let stands = sequences::read(&mut target, names).await.unwrap();
    assert_eq!((stands[1].last_value, stands[1].is_called), (1060, true), "the source stood still");
    app.batch_execute("SELECT nextval('ticket') FROM generate_series(1, 40)").await.unwrap();
    ahead.set_aside(&mut source, &mut target, names, 1000).await.unwrap();
    let stands = sequences::read(&mut target, names).await.unwrap();
    assert_eq!((stands[1].last_value, stands[1].is_called), (2061, false));

    // The alarm, should the old side use its range up.
    app.batch_execute("SELECT setval('ticket', 1040)").await.unwrap();
    assert!(!raise.overrun_by(&sequences::read(&mut source, names).await.unwrap()[1]));
    app.batch_execute("SELECT nextval('ticket')").await.unwrap();
    assert!(raise.overrun_by(&sequences::read(&mut source, names).await.unwrap()[1]));

    // There and back: what was set aside on the other side is not taken for ours.
    ahead.set_aside(&mut target, &mut source, names, 1000).await.unwrap();
    let stands = sequences::read(&mut source, names).await.unwrap();
    assert_eq!((stands[1].last_value, stands[1].is_called), (3061, false));
}

#[tokio::test]
async fn finding_22_the_barrier_is_flushed_at_once_under_a_lease() {
    let world = World::new("barrier").await;
    let _lease = world.lease(2).await;
    let mut session = world.session(Side::Source).await;
    let name = &world.source.migration;
    let mut worst = Duration::ZERO;
    for nonce in [1, u64::MAX] {
        let began = Instant::now();
        barrier::write(&mut session, name, Epoch(2), nonce).await.unwrap();
        worst = worst.max(began.elapsed());
        let unflushed = session
            .query_one("SELECT pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()")
            .await
            .unwrap();
        assert_eq!(unflushed.text(0usize).unwrap(), "f");
    }
    eprintln!("barrier under a lease: {worst:?}");
    assert!(worst < Duration::from_millis(500), "{worst:?}");
    barrier::heartbeat(&mut session, name, 7).await.unwrap();
    let row = session
        .query_one("SELECT nonce FROM changeover.signal WHERE kind = 'barrier'")
        .await
        .unwrap();
    assert_eq!(row.parse::<u64>(0usize).unwrap(), u64::MAX);
}

#[tokio::test]
async fn finding_23_a_frozen_holder_is_freed_within_its_budget() {
    let world = World::new("frozen").await;
    let budget = LeaseBudget { total: Duration::from_millis(800), ..BUDGET };
    let config = world.config(Side::Source);
    let mut lease = Lease::take(&config, &world.source, Epoch(2), "run-1", budget).await.unwrap();
    lease.arm().await.unwrap();
    let began = Instant::now();
    // As with a stopped process: the connection is there and nobody speaks.
    let app = world.app(Side::Source).await;
    app.batch_execute("INSERT INTO item (note) VALUES ('went on')").await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let sealed = lease.seal().await;
    assert!(matches!(sealed, Err(SealFailure::Failed(_))), "nothing can be in doubt: {sealed:?}");
    assert_eq!(world.count(Side::Source, "changeover.epoch").await, 1);
}

#[tokio::test]
async fn finding_24_the_application_is_never_the_deadlock_victim() {
    let world = World::new("deadlock").await;
    let app = world.app(Side::Source).await;
    // Holds what the lease locks last, and then wants what the lease locked first.
    app.batch_execute("BEGIN; UPDATE parent SET id = id").await.unwrap();
    let config = world.config(Side::Source);
    let scope = world.source.clone();
    let lease =
        tokio::spawn(async move { Lease::take(&config, &scope, Epoch(2), "run-1", BUDGET).await });
    world.until_waiting(Side::Source, "LOCK TABLE%").await;
    app.batch_execute("UPDATE child SET id = id; COMMIT").await.unwrap();
    lease.await.unwrap().unwrap().release().await.unwrap();
}

#[tokio::test]
async fn finding_24_vacuum_and_index_builds_in_the_way_are_named() {
    let world = World::new("named").await;
    let config = world.config(Side::Source);
    let app = world.app(Side::Source).await;
    app.batch_execute("INSERT INTO item (note) SELECT 'x' FROM generate_series(1, 50000)")
        .await
        .unwrap();
    let free = Lease::rehearse(&config, &world.source).await.unwrap();
    assert!(free.free && free.swift, "{free:?}");
    let vacuum = world.app(Side::Source).await;
    vacuum
        .batch_execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1; SET application_name = 'nightly'")
        .await
        .unwrap();
    let cancel = vacuum.cancel_token();
    let running = tokio::spawn(async move { vacuum.batch_execute("VACUUM item").await });
    eventually(|| async {
        world.count(Side::Source, "pg_stat_progress_vacuum WHERE relid = 'item'::regclass").await
            > 0
    })
    .await;
    let busy = Lease::rehearse(&config, &world.source).await.unwrap();
    assert!(!busy.free);
    let found = &busy.blockers[0];
    assert_eq!((found.command.as_str(), found.application.as_str()), ("VACUUM", "nightly"));
    let budget = LeaseBudget { lock_wait: Duration::from_millis(700), ..BUDGET };
    let taken = Lease::take(&config, &world.source, Epoch(2), "run-1", budget).await;
    let error = taken.unwrap_err();
    assert!(
        matches!(&error, LeaseError::Blocked { by, .. } if by[0].pid == found.pid),
        "{error:?}"
    );
    assert!(error.to_string().contains("nightly"), "{error}");
    cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
    running.await.unwrap().unwrap_err();
    // An index build waits for an old snapshot: it is in the way for as long.
    app.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM item LIMIT 1")
        .await
        .unwrap();
    let builder = world.app(Side::Source).await;
    let cancel = builder.cancel_token();
    let running = tokio::spawn(async move {
        builder.batch_execute("CREATE INDEX CONCURRENTLY i ON item (note)").await
    });
    eventually(|| async {
        world.count(Side::Source, "pg_stat_progress_create_index WHERE phase LIKE 'waiting%'").await
            > 0
    })
    .await;
    let busy = Lease::rehearse(&config, &world.source).await.unwrap();
    assert_eq!(busy.blockers[0].command, "CREATE INDEX CONCURRENTLY", "{busy:?}");
    cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
    running.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn finding_24_autovacuum_is_sent_away_at_once() {
    let config = ClusterConfig::new("autovacuum")
        .with("autovacuum_naptime", "1s")
        .with("autovacuum_vacuum_cost_delay", "100ms")
        .with("autovacuum_vacuum_cost_limit", "1");
    let world = World::with(config).await;
    let app = world.app(Side::Source).await;
    app.batch_execute(
        "ALTER TABLE item SET (autovacuum_vacuum_threshold = 10, autovacuum_vacuum_scale_factor = 0, \
           autovacuum_analyze_threshold = 1000000000); \
         INSERT INTO item (note) SELECT 'x' FROM generate_series(1, 50000)",
    )
    .await
    .unwrap();
    app.batch_execute("DELETE FROM item WHERE note = 'x'").await.unwrap();
    // A backend reports its statistics at the latest when it ends.
    drop(app);
    eventually(|| async {
        let working = "pg_stat_progress_vacuum WHERE relid = 'item'::regclass";
        world.count(Side::Source, working).await > 0
    })
    .await;
    let began = Instant::now();
    let lease = world.lease(2).await;
    let took = began.elapsed();
    eprintln!("lease with an autovacuum in the way: {took:?}");
    assert!(took < Duration::from_millis(450), "one round of locking is 500 ms: {took:?}");
    lease.release().await.unwrap();
}

#[tokio::test]
async fn without_the_right_to_shorten_deadlock_timeout_the_lease_still_works() {
    let world = World::new("humble").await;
    let admin = world.app(Side::Source).await;
    admin
        .batch_execute(
            "CREATE ROLE humble LOGIN; GRANT ALL ON SCHEMA public TO humble; \
             ALTER TABLE item OWNER TO humble; ALTER TABLE parent OWNER TO humble; \
             ALTER TABLE child OWNER TO humble; ALTER TABLE log OWNER TO humble; \
             ALTER TABLE log_a OWNER TO humble; ALTER TABLE log_b OWNER TO humble; \
             ALTER SEQUENCE ticket OWNER TO humble; ALTER SCHEMA changeover OWNER TO humble; \
             ALTER FUNCTION changeover.refuse() OWNER TO humble; \
             ALTER TABLE changeover.epoch OWNER TO humble; ALTER TABLE changeover.fence OWNER TO humble",
        )
        .await
        .unwrap();
    let mut config = world.config(Side::Source);
    config.user = "humble".to_owned();
    assert!(!Lease::rehearse(&config, &world.source).await.unwrap().swift);
    let app = world.app(Side::Source).await;
    app.batch_execute("BEGIN; UPDATE parent SET id = id").await.unwrap();
    let scope = world.source.clone();
    let lease = tokio::spawn(async move {
        let mut lease = Lease::take(&config, &scope, Epoch(2), "run-1", BUDGET).await?;
        lease.arm().await?;
        Ok::<_, LeaseError>(lease)
    });
    world.until_waiting(Side::Source, "LOCK TABLE%").await;
    app.batch_execute("UPDATE child SET id = id; COMMIT").await.unwrap();
    lease.await.unwrap().unwrap().seal().await.unwrap();
    let refused = app.batch_execute("INSERT INTO item (note) VALUES ('x')").await;
    super::assert_refused(refused, "a superuser, sealed by a humble role");
}

#[tokio::test]
async fn two_controllers_on_one_epoch_make_one_seal() {
    let world = World::new("controllers").await;
    let attempt = |run: &'static str| {
        let (config, scope) = (world.config(Side::Source), world.source.clone());
        async move {
            let mut lease = Lease::take(&config, &scope, Epoch(2), run, BUDGET).await?;
            lease.arm().await?;
            Ok::<_, LeaseError>(lease.seal().await.unwrap())
        }
    };
    // The loser waits for the migration's lock and then sees the row.
    let (one, two) = tokio::join!(attempt("run-1"), attempt("run-2"));
    let (Ok(_), Err(lost)) = (if one.is_ok() { (one, two) } else { (two, one) }) else {
        panic!("both sealed");
    };
    assert!(matches!(lost, LeaseError::Refused { .. }), "{lost:?}");
    assert_eq!(world.count(Side::Source, "changeover.epoch WHERE kind = 'seal'").await, 1);
}

#[tokio::test]
async fn the_commit_itself_checks_the_epoch() {
    let world = World::new("guard").await;
    let mut lease = world.lease(2).await;
    lease.arm().await.unwrap();
    // Somebody who does not know about the migration's lock.
    let app = world.app(Side::Source).await;
    let row = "INSERT INTO changeover.epoch (migration, epoch, kind, authority, run) VALUES";
    app.batch_execute(&format!("{row} ('shop', 2, 'burn', 'none', 'other')")).await.unwrap();
    let sealed = lease.seal().await;
    let Err(SealFailure::Refused { newest: Some(newest), .. }) = sealed else {
        panic!("{sealed:?}");
    };
    assert_eq!(newest.run, "other");
    app.batch_execute("INSERT INTO item (note) VALUES ('x')").await.unwrap();
}

#[tokio::test]
async fn a_second_controller_is_named_while_the_first_holds_the_lease() {
    let world = World::new("second").await;
    let first = world.lease(2).await;
    let config = world.config(Side::Source);
    let budget = LeaseBudget { lock_wait: Duration::from_millis(300), ..BUDGET };
    let second = Lease::take(&config, &world.source, Epoch(2), "run-2", budget).await;
    let Err(LeaseError::Blocked { by, .. }) = second else { panic!("{second:?}") };
    assert_eq!(by[0].pid, first.backend().pid);
}

#[tokio::test]
async fn finding_26_a_full_lock_table_ends_the_lease_and_hurts_nobody() {
    let config = ClusterConfig::new("locktable")
        .with("max_connections", "15")
        .with("max_wal_senders", "2")
        .with("max_replication_slots", "2")
        .with("max_locks_per_transaction", "10");
    let world = World::with(config).await;
    let scope = many_tables(&world, 2000).await;
    let config = world.config(Side::Source);
    let taken = Lease::take(&config, &scope, Epoch(2), "run-1", BUDGET).await;
    let Err(LeaseError::Database { source, .. }) = taken else { panic!("{taken:?}") };
    assert_eq!(source.sqlstate(), Some("53200"), "{source}");
    let app = world.app(Side::Source).await;
    app.batch_execute("INSERT INTO item (note) VALUES ('x'); SELECT * FROM t1999").await.unwrap();
}

#[tokio::test]
async fn a_thousand_tables() {
    let world = World::new("thousand").await;
    let scope = many_tables(&world, 1000).await;
    let config = world.config(Side::Source);
    let mut lease = None;
    for epoch in 2..5 {
        let began = Instant::now();
        let mut taken = Lease::take(&config, &scope, Epoch(epoch), "run-1", BUDGET).await.unwrap();
        let leased = began.elapsed();
        let began = Instant::now();
        assert_eq!(taken.arm().await.unwrap().relations, 1006);
        eprintln!("1000 tables: lease {leased:?}, armed and counted {:?}", began.elapsed());
        if epoch < 4 {
            taken.release().await.unwrap();
        } else {
            lease = Some(taken);
        }
    }
    let began = Instant::now();
    lease.unwrap().seal().await.unwrap();
    let sealed = began.elapsed();
    let mut session = world.session(Side::Source).await;
    let began = Instant::now();
    assert!(seal::is_sealed(&mut session, &scope).await.unwrap().is_tight());
    eprintln!("1000 tables: seal {sealed:?}, guarded in {:?}", began.elapsed());
    assert!(sealed < Duration::from_secs(1), "{sealed:?}");
}

/// The shop's scope with `count` more tables on the source.
async fn many_tables(world: &World, count: usize) -> Scope {
    let app = world.app(Side::Source).await;
    let names: Vec<String> = (0..count).map(|n| format!("t{n}")).collect();
    for chunk in names.chunks(50) {
        let sql: String =
            chunk.iter().map(|name| format!("CREATE TABLE {name} (id int);")).collect();
        app.batch_execute(&sql).await.unwrap();
    }
    let mut scope = world.source.clone();
    scope.relations.extend(names.into_iter().map(|name| RelationEntry {
        name: TableName::new("public", name),
        root: false,
        leaf: false,
    }));
    let mut session = world.session(Side::Source).await;
    install(&mut session).await.unwrap();
    genesis(&mut session, &scope, "run-1").await.unwrap();
    scope
}
