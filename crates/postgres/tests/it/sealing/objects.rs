//! Our schema, publications, and names that mean harm.

use changeover_postgres::error::ErrorKind;
use changeover_postgres::lease::Lease;
use changeover_postgres::objects::{
    RelationEntry, Scope, epochs, genesis, install, newest, publication,
};
use changeover_postgres::sequences;
use changeover_types::{Epoch, EpochKind, MigrationName, Side, TableName};

use super::{BUDGET, World, assert_refused};

#[tokio::test]
async fn everything_may_be_made_again_and_by_many_at_once() {
    let world = World::new("install").await;
    let admin = world.app(Side::Source).await;
    admin.batch_execute("CREATE DATABASE fresh").await.unwrap();
    let config = world.config(Side::Source).with_database("fresh");
    let one = |n: usize| {
        let config = &config;
        let mut scope = world.source.clone();
        scope.migration = MigrationName::new(&format!("m{n}")).unwrap();
        async move {
            let mut session =
                changeover_postgres::session::Session::connect(config, "test").await?;
            install(&mut session).await?;
            genesis(&mut session, &scope, "run-1").await?;
            let row = genesis(&mut session, &scope, "run-2").await?;
            assert_eq!((row.epoch, row.run.as_str()), (Epoch(1), "run-1"));
            Ok::<_, changeover_postgres::error::Error>(())
        }
    };
    let done = tokio::join!(one(0), one(1), one(2), one(3), one(4), one(5));
    for outcome in [done.0, done.1, done.2, done.3, done.4, done.5] {
        outcome.unwrap();
    }
}

#[tokio::test]
async fn genesis_is_the_same_on_both_sides_and_gates_may_read_it() {
    let world = World::new("genesis").await;
    for side in [Side::Source, Side::Target] {
        let mut session = world.session(side).await;
        let rows = epochs(&mut session, &world.source.migration).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].kind, rows[0].authority), (EpochKind::Genesis, Some(Side::Source)));
        assert_eq!(
            newest(&mut session, &world.source.migration).await.unwrap(),
            rows.last().cloned()
        );
    }
    let app = world.app(Side::Source).await;
    app.batch_execute("CREATE ROLE app; SET ROLE app; SELECT * FROM changeover.epoch")
        .await
        .unwrap();
    for sql in [
        "INSERT INTO changeover.epoch VALUES ('shop', 9, 'burn', 'none', 'x')",
        "SELECT * FROM changeover.progress",
        "UPDATE changeover.fence SET open = true",
    ] {
        let refused = app.batch_execute(sql).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "42501", "{sql}");
    }
}

#[tokio::test]
async fn a_schema_that_is_not_ours_is_left_alone() {
    let world = World::new("foreign").await;
    let app = world.app(Side::Source).await;
    app.batch_execute("DROP SCHEMA changeover CASCADE; CREATE SCHEMA changeover").await.unwrap();
    let mut session = world.session(Side::Source).await;
    let refused = install(&mut session).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.sqlstate()),
        (ErrorKind::Server, Some("CO002")),
        "{refused}"
    );
}

#[tokio::test]
async fn the_publication_holds_what_moves_and_nothing_else() {
    let world = World::new("publication").await;
    let mut session = world.session(Side::Source).await;
    assert!(!publication(&mut session, &world.source).await.unwrap(), "nothing to change");
    let app = world.app(Side::Source).await;
    let published = || async {
        let sql = "SELECT string_agg(t, ' ' ORDER BY t COLLATE \"C\") FROM (SELECT schemaname || '.' || tablename AS t \
                   FROM pg_publication_tables WHERE pubname = 'changeover_shop') p";
        app.query_one(sql, &[]).await.unwrap().get::<_, String>(0)
    };
    let ours = "changeover.epoch changeover.progress changeover.signal public.child public.item";
    assert_eq!(published().await, format!("{ours} public.log_a public.log_b public.parent"));
    let mut smaller = world.source.clone();
    smaller.relations.retain(|r| r.name.name == "item" || r.name.name == "child");
    assert!(publication(&mut session, &smaller).await.unwrap());
    assert_eq!(published().await, ours);
}

#[tokio::test]
async fn hostile_names_are_only_names() {
    let world = World::new("hostile").await;
    let app = world.app(Side::Source).await;
    app.batch_execute(
        r#"CREATE SCHEMA "s'$changeover$;"; CREATE TABLE "s'$changeover$;"."t""; DROP TABLE item; --" (id int);
           CREATE SEQUENCE "s'$changeover$;"."q\'";"#,
    )
    .await
    .unwrap();
    let schema = "s'$changeover$;";
    let name = TableName::new(schema, "t\"; DROP TABLE item; --");
    let scope = Scope {
        relations: vec![RelationEntry { name, root: false, leaf: false }],
        sequences: vec![TableName::new(schema, "q\\'")],
        ..world.source.clone()
    };
    let mut session = world.session(Side::Source).await;
    publication(&mut session, &scope).await.unwrap();
    let config = world.config(Side::Source);
    assert!(Lease::rehearse(&config, &scope).await.unwrap().free);
    let mut lease = Lease::take(&config, &scope, Epoch(2), "run-1", BUDGET).await.unwrap();
    let stands = sequences::read(lease.session(), &scope.sequences).await.unwrap();
    assert_eq!((stands[0].last_value, stands[0].is_called), (1, false));
    assert_eq!(lease.arm().await.unwrap().relations, 1);
    lease.seal().await.unwrap();
    let write = r#"INSERT INTO "s'$changeover$;"."t""; DROP TABLE item; --" VALUES (1)"#;
    assert_refused(app.batch_execute(write).await, "the table with the odd name");
    app.batch_execute("SELECT * FROM item").await.unwrap();
}
