//! Live sessions go from one server to the other and keep what they have.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use changeover_types::Side;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use tokio_postgres::types::{FromSql, Kind, ToSql, Type};

use super::super::harness::eventually;
use super::bench::{Bench, code, direct, one, place};

/// A value of an enum, as drivers send and read it in binary.
#[derive(Debug, PartialEq)]
struct Mood(String);

impl<'a> FromSql<'a> for Mood {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Mood(std::str::from_utf8(raw)?.to_owned()))
    }
    fn accepts(ty: &Type) -> bool {
        ty.name() == "mood" && matches!(ty.kind(), Kind::Enum(_))
    }
}

impl ToSql for Mood {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(tokio_postgres::types::IsNull::No)
    }
    fn accepts(ty: &Type) -> bool {
        <Mood as FromSql>::accepts(ty)
    }
    tokio_postgres::types::to_sql_checked!();
}

const SCHEMA: &str = "create type mood as enum ('calm', 'gay'); create role app; \
    create table people (client int, i int, m mood, primary key (client, i)); \
    grant all on people to app; grant usage on schema public to app";

/// The same schema on both sides, but the type's number differs.
async fn with_types() -> Bench {
    let bench = Bench::new().await;
    direct(&bench.target, "green")
        .await
        .batch_execute("create type other as enum ('a'); create table filler (i int)")
        .await
        .unwrap();
    bench.both(SCHEMA).await;
    let sql = "select 'mood'::regtype::oid";
    let (blue, green) = (direct(&bench.source, "blue").await, direct(&bench.target, "green").await);
    assert_ne!(one(&blue, sql).await, one(&green, sql).await);
    bench
}

/// Where the clients have worked.
#[derive(Default)]
struct Places {
    ready: AtomicU64,
    bits: AtomicU64,
}

async fn works(client: &Client, number: i32, go_on: impl Fn() -> bool, places: &Places) -> i32 {
    client
        .batch_execute(
            "set work_mem = '7MB'; set search_path = public, pg_temp; set app.tenant = 'seven'; \
             set role app",
        )
        .await
        .unwrap();
    let insert = client.prepare("insert into people values ($1, $2, $3)").await.unwrap();
    let read = client
        .prepare(
            "select m, current_database()::text from people where client = $1 and m = $2 limit 1",
        )
        .await
        .unwrap();
    let mut done = 0;
    places.ready.fetch_add(1, Ordering::Relaxed);
    while go_on() {
        client.execute(&insert, &[&number, &done, &Mood("gay".into())]).await.unwrap();
        done += 1;
        // The row may be on the other side already: nothing is copied here.
        if let Some(row) = client.query_opt(&read, &[&number, &Mood("gay".into())]).await.unwrap() {
            assert_eq!(row.get::<_, Mood>(0), Mood("gay".into()));
            places
                .bits
                .fetch_or(if row.get::<_, &str>(1) == "green" { 2 } else { 1 }, Ordering::Relaxed);
        }
        let mut state = Vec::new();
        for sql in [
            "show work_mem",
            "show search_path",
            "select current_setting('app.tenant', true)",
            "select current_user",
            "show application_name",
        ] {
            state.push(one(client, sql).await);
        }
        let name = format!("client {number}");
        assert_eq!(state, ["7MB", "public, pg_temp", "seven", "app", &name]);
    }
    done
}

#[tokio::test]
async fn sixteen_sessions_move_there_and_back_with_all_they_have() {
    let bench = with_types().await;
    let stop = Arc::new(AtomicBool::new(false));
    let places = Arc::new(Places::default());
    let mut clients = JoinSet::new();
    for number in 0..16_i32 {
        let client = bench.client_with(&format!("application_name='client {number}'")).await;
        let (stop, places) = (Arc::clone(&stop), Arc::clone(&places));
        clients.spawn(async move {
            works(&client, number, || !stop.load(Ordering::Relaxed), &places).await
        });
    }
    eventually("all have prepared", async || {
        (places.ready.load(Ordering::Relaxed) == 16).then_some(())
    })
    .await;
    for (side, epoch, bit) in [(Side::Target, 2, 2), (Side::Source, 3, 1), (Side::Target, 4, 2)] {
        eventually("the load runs", async || {
            (places.bits.load(Ordering::Relaxed) != 0).then_some(())
        })
        .await;
        bench.flip(side, epoch).await;
        eventually("all are there", async || {
            (bench.gate.metrics().postgres[&side].servers == 16).then_some(())
        })
        .await;
        places.bits.store(0, Ordering::Relaxed);
        eventually("and work there", async || {
            (places.bits.load(Ordering::Relaxed) != 0).then_some(())
        })
        .await;
        assert_eq!(places.bits.load(Ordering::Relaxed), bit, "somebody works on the other side");
    }
    stop.store(true, Ordering::Relaxed);
    let mut done = 0;
    while let Some(client) = clients.join_next().await {
        done += client.unwrap();
    }
    let (blue, green) = (direct(&bench.source, "blue").await, direct(&bench.target, "green").await);
    let sql = "select count(*) from people";
    let rows = |text: String| text.parse::<i32>().unwrap();
    let (on_blue, on_green) = (rows(one(&blue, sql).await), rows(one(&green, sql).await));
    assert_eq!(on_blue + on_green, done, "every acknowledged row is on exactly one side");
    assert!(on_blue > 0 && on_green > 0);
    let metrics = bench.gate.metrics().postgres;
    assert_eq!((metrics[&Side::Target].moved_in, metrics[&Side::Source].moved_in), (32, 16));
    assert_eq!((metrics[&Side::Target].errors, metrics[&Side::Source].errors), (0, 0));
    eventually("no server is left behind", async || {
        let servers = one(
            &blue,
            "select count(*) from pg_stat_activity where application_name like 'client%'",
        );
        (servers.await == "0").then_some(())
    })
    .await;
}

#[tokio::test]
async fn custom_settings_move_however_they_are_named() {
    let bench = Bench::new().await;
    // The database's own code asks for these; the session sets them by names that nobody can read.
    bench
        .both(
            "create table note (tenant text default current_setting('app.by_default', true)); \
             create view seen as select current_setting('app.by_view', true) as tenant",
        )
        .await;
    let client = bench.client().await;
    client.query("select set_config($1, $2, false)", &[&"app.bound", &"bound"]).await.unwrap();
    for (name, how) in [
        ("second", "select 1, set_config('app.second', 'second', false)"),
        ("commented", "/* c */ set app.commented = 'commented'"),
        ("quoted", r#"set "app"."quoted" = 'quoted'"#),
        ("done", "do $$ begin perform set_config('app.done', 'done', false); end $$"),
        ("by_default", "select set_config('app.by_' || 'default', 'by_default', false)"),
        ("by_view", "select set_config('app.by_' || 'view', 'by_view', false)"),
    ] {
        client.batch_execute(how).await.unwrap();
        assert_eq!(one(&client, &format!("show app.{name}")).await, name);
    }
    bench.flip(Side::Target, 2).await;
    assert_eq!(place(&client).await, "green");
    for name in ["bound", "second", "commented", "quoted", "done", "by_default", "by_view"] {
        let value = format!("select current_setting('app.{name}', true)");
        assert_eq!(one(&client, &value).await, name);
    }
    let inserted = "insert into note values (default) returning tenant";
    assert_eq!(one(&client, inserted).await, "by_default");
}

#[tokio::test]
async fn reset_goes_back_to_the_startup_packet_and_new_settings_are_told() {
    let bench = Bench::with(|mut config| {
        config.watch_settings = vec!["app.quiet".to_owned()];
        config
    })
    .await;
    let client = bench.client_with("options='-c work_mem=5MB' application_name=first").await;
    client
        .batch_execute(
            "set work_mem = '9MB'; set application_name = 'second'; set timezone = 'Asia/Tokyo'",
        )
        .await
        .unwrap();
    // Nothing in these statements' first words tells the gate: it was told of one name, and a
    // function asks for the other.
    direct(&bench.source, "blue")
        .await
        .batch_execute(
            "create function tenant() returns text language sql as \
             $$ select current_setting('app.hidden', true) $$",
        )
        .await
        .unwrap();
    client
        .batch_execute(
            "do $$ begin perform set_config('app.quiet', 'Δ', false); \
                        perform set_config('app.' || 'hidden', 'h', false); end $$",
        )
        .await
        .unwrap();
    bench.flip(Side::Target, 2).await;
    assert_eq!(place(&client).await, "green");
    assert_eq!(one(&client, "show timezone").await, "Asia/Tokyo");
    assert_eq!(one(&client, "show work_mem").await, "9MB");
    assert_eq!(one(&client, "show application_name").await, "second");
    assert_eq!(one(&client, "show app.quiet").await, "Δ");
    assert_eq!(one(&client, "show app.hidden").await, "h");
    client.batch_execute("reset all").await.unwrap();
    assert_eq!(one(&client, "show work_mem").await, "5MB");
    assert_eq!(one(&client, "show application_name").await, "first");
}

#[tokio::test]
async fn idle_sessions_move_by_themselves_and_statements_dropped_stay_dropped() {
    let bench = Bench::new().await;
    let client = bench.client().await;
    let kept = client.prepare("select 1::int4").await.unwrap();
    let gone = client.prepare("select 2::int4").await.unwrap();
    let name =
        one(&client, "select name from pg_prepared_statements where statement ~ '2::'").await;
    client.batch_execute(&format!("deallocate {name}")).await.unwrap();
    bench.flip(Side::Target, 2).await;
    eventually("it moves though nobody speaks", async || {
        (bench.gate.metrics().postgres[&Side::Target].moved_in == 1).then_some(())
    })
    .await;
    assert_eq!(client.query_one(&kept, &[]).await.unwrap().get::<_, i32>(0), 1);
    let error = client.query_one(&gone, &[]).await.unwrap_err();
    assert_eq!(code(&error), "26000");
    client.batch_execute("discard all").await.unwrap();
    bench.flip(Side::Source, 3).await;
    assert_eq!(place(&client).await, "blue");
    assert_eq!(code(&client.query_one(&kept, &[]).await.unwrap_err()), "26000");
}

#[tokio::test]
async fn a_type_without_a_counterpart_is_missing_and_nothing_else() {
    let bench = Bench::new().await;
    let admin = direct(&bench.source, "blue").await;
    admin.batch_execute("create type lonely as enum ('x')").await.unwrap();
    let client = bench.client().await;
    let statement = client.prepare("select 'x'::lonely").await.unwrap();
    let number = one(&client, "select 'lonely'::regtype::oid").await;
    // The target has given its number to another type.
    let other = "create type other as enum ('x')";
    let green = direct(&bench.target, "green").await;
    eventually("the same number", async || {
        green.batch_execute("drop type if exists other").await.unwrap();
        green.batch_execute(other).await.unwrap();
        let found = one(&green, "select 'other'::regtype::oid").await;
        assert!(found.parse::<u32>().unwrap() <= number.parse().unwrap());
        (found == number).then_some(())
    })
    .await;
    bench.flip(Side::Target, 2).await;
    assert_eq!(place(&client).await, "green");
    assert_eq!(code(&client.query(&statement, &[]).await.unwrap_err()), "26000");
    assert_ne!(one(&client, "select 'other'::regtype::oid").await, number);
    let by_number = "select typname::text from pg_type where oid = $1";
    let number: u32 = number.parse().unwrap();
    assert!(client.query_opt(by_number, &[&number]).await.unwrap().is_none());
}

#[tokio::test]
async fn a_new_server_that_is_late_is_waited_for() {
    let mut bench = Bench::new().await;
    let client = bench.client().await;
    client.batch_execute("set work_mem = '6MB'").await.unwrap();
    bench.target.stop("immediate").unwrap();
    bench.gate.hold(20_000);
    bench.gate.quiet().await;
    bench.gate.route(Side::Target, 2);
    bench.gate.release();
    let query = one(&client, "show work_mem");
    let Bench { target, .. } = &mut bench;
    let (answer, ()) = tokio::join!(query, async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        target.restart().unwrap();
    });
    assert_eq!(answer, "6MB");
    assert_eq!(place(&client).await, "green");
}

#[tokio::test]
async fn a_session_that_cannot_be_made_anew_is_told_why() {
    let bench = Bench::new().await;
    direct(&bench.source, "blue").await.batch_execute("create role only_here").await.unwrap();
    let client = bench.client().await;
    client.batch_execute("set role only_here").await.unwrap();
    bench.flip(Side::Target, 2).await;
    let error = client.simple_query("select 1").await.unwrap_err();
    let error = match error.as_db_error() {
        Some(error) => error.clone(),
        // The connection's end was seen first; a raw client reads the words.
        None => return assert!(client.is_closed()),
    };
    assert_eq!(error.code().code(), "57P01");
    assert!(error.message().contains("role"), "{error:?}");
}

#[tokio::test]
async fn forty_idle_sessions_move_through_warm_connections() {
    let bench = Bench::new().await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        let client = bench.client().await;
        client.batch_execute("set work_mem = '4321kB'").await.unwrap();
        clients.push(client);
    }
    bench.gate.hold(20_000);
    bench.gate.quiet().await;
    bench.gate.sealing(2, Side::Source);
    eventually("some are warm", async || {
        (bench.gate.metrics().postgres[&Side::Target].servers > 3).then_some(())
    })
    .await;
    bench.gate.route(Side::Target, 2);
    bench.gate.release();
    eventually("all move, though nobody speaks", async || {
        let metrics = bench.gate.metrics().postgres;
        (metrics[&Side::Target].moved_in == 40 && metrics[&Side::Source].servers == 0).then_some(())
    })
    .await;
    for client in &clients {
        assert_eq!(one(client, "show work_mem").await, "4321kB");
    }
    assert_eq!(bench.gate.metrics().postgres[&Side::Target].servers, 40);
}
