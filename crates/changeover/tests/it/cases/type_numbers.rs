//! The numbers of types after a move: those of the source, or a finding that says so.

use std::fs;

use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type};

use crate::stage::postgres_session::{block_on, connect, execute, query_one};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, until};

const TYPES: &str = "
    CREATE SCHEMA app;
    CREATE EXTENSION hstore;
    CREATE EXTENSION citext WITH SCHEMA app;
    CREATE TYPE mood AS ENUM ('sad', 'it''s
-- fine');
    CREATE DOMAIN app.email AS app.citext CHECK (VALUE ~ '@');
    CREATE TYPE app.point3 AS (x int, m mood, e app.email);
    CREATE TYPE spell AS RANGE (subtype = float8, subtype_diff = float8mi);
    COMMENT ON TYPE mood IS 'of the day';
    CREATE TABLE t (id int PRIMARY KEY, h hstore, c app.citext, m mood, ms mood[], e app.email,
        p app.point3, s spell);
    INSERT INTO t VALUES (1, 'k=>v', 'C', 'sad', '{sad}', 'a@b', '(1,sad,a@b)', '[1,2)')";

/// Every number but those of rows of tables.
const NUMBERS: &str = "
    SELECT string_agg(t.typname || ' ' || t.oid, ', ' ORDER BY t.oid) FROM pg_type t
    LEFT JOIN pg_class c ON c.oid = coalesce(nullif(t.typrelid, 0),
        (SELECT e.typrelid FROM pg_type e WHERE e.oid = t.typelem AND e.typrelid <> 0))
    WHERE t.oid >= 16384 AND t.typnamespace::regnamespace::text !~ '^(pg_|changeover)'
        AND coalesce(c.relkind, 'c') = 'c'";

const LEFT: &str = "
    SELECT concat_ws(', ', (SELECT string_agg(typname, ' ') FROM pg_type WHERE oid >= 16384),
        (SELECT string_agg(extname, ' ') FROM pg_extension WHERE extname <> 'plpgsql'),
        (SELECT string_agg(nspname, ' ') FROM pg_namespace WHERE nspname IN ('app', 'changeover')))";

/// A value's bytes, whatever its type.
#[derive(Debug, PartialEq)]
struct Bytes(Vec<u8>);

impl<'a> FromSql<'a> for Bytes {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Bytes(raw.to_vec()))
    }
    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Bytes {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
    fn accepts(_: &Type) -> bool {
        true
    }
    tokio_postgres::types::to_sql_checked!();
}

/// Uses up numbers of a server.
fn use_up(url: &str, count: u32) {
    let sql = format!(
        "DO $$ BEGIN PERFORM pg_nextoid('pg_type', 'oid', 'pg_type_oid_index')
         FROM generate_series(1, {count}); END $$"
    );
    execute(url, &sql);
}

/// The numbers that the columns of `t` have for a client, on a connection of its own.
fn seen(url: &str) -> Vec<u32> {
    block_on(async {
        let client = connect(url).await.unwrap();
        let statement = client.prepare("SELECT h, c, m, ms, e, p, s FROM t").await.unwrap();
        statement.columns().iter().map(|column| column.type_().oid()).collect()
    })
}

fn finding(ran: &crate::stage::Ran, id: &str) -> Option<String> {
    let all = ran.lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    all.contains(&format!("\"{id}\"")).then_some(all)
}

#[test]
fn types_keep_their_numbers() {
    let pair = Pair::start("numbers");
    use_up(&pair.blue.url("postgres"), 40_000);
    let mut stage = Stage::bare(
        &pair.blue,
        &pair.green,
        "numbers",
        ["", ""],
        &PlanText::new(Gate::Postgres).beside_others(),
    );
    execute(&stage.source, TYPES);
    stage.start_gate();
    let gate = stage.gate_url.clone().unwrap();
    let before = seen(&gate);
    let plan = stage.verb("plan");
    assert!(finding(&plan, "type_numbers_kept").is_some(), "{:?}", plan.lines);

    // Taken back, nothing is left.
    let apply = stage.begin("apply", &["--until", "copy"], &[]);
    assert_eq!(apply.end(PATIENCE).unwrap().code, Some(0), "{}", stage.report());
    assert_eq!(query_one(&stage.target, NUMBERS), query_one(&stage.source, NUMBERS));
    stage.expect("abort", 0);
    assert_eq!(query_one(&stage.target, LEFT), "", "{}", stage.report());
    assert!(finding(&stage.verb("plan"), "type_numbers_shown").is_some());

    // The same again with numbers that are not used up, all the way.
    use_up(&pair.blue.url("postgres"), 40_000);
    execute(
        &stage.source,
        "DROP TABLE t; DROP SCHEMA app CASCADE; DROP EXTENSION hstore CASCADE;
        DROP TYPE mood, spell CASCADE",
    );
    execute(&stage.source, TYPES);
    let known = seen(&gate);
    assert_ne!(known, before);
    stage.expect("apply", 0);
    assert_eq!(query_one(&stage.target, NUMBERS), query_one(&stage.source, NUMBERS));
    assert_eq!(seen(&gate), known);
    assert_eq!(seen(&stage.target), known);
    let comment = "SELECT obj_description('mood'::regtype)";
    assert_eq!(query_one(&stage.target, comment), "of the day");
    let numbers = &stage.status()["type_numbers"];
    assert_eq!(numbers["same"], numbers["all"], "{numbers}");
    assert!(numbers["all"].as_u64().unwrap() > 12, "{numbers}");
    stage.expect("rollback", 0);
    assert_eq!(seen(&gate), known);
}

#[test]
fn a_role_that_is_no_superuser_places_them_too() {
    let pair = Pair::start("numbers_role");
    use_up(&pair.blue.url("postgres"), 40_000);
    execute(
        &pair.green.url("postgres"),
        "CREATE ROLE mover LOGIN REPLICATION;
         GRANT SET ON PARAMETER session_replication_role TO mover",
    );
    let stage = Stage::bare(
        &pair.blue,
        &pair.green,
        "role",
        ["", "OWNER mover"],
        &PlanText::new(Gate::None).beside_others(),
    );
    execute(&stage.source, TYPES);
    let text = fs::read_to_string(&stage.plan).unwrap();
    let theirs = stage.target.replace("postgres@", "mover@");
    fs::write(&stage.plan, text.replace(&stage.target, &theirs)).unwrap();
    stage.expect("apply", 0);
    assert_eq!(query_one(&stage.target, NUMBERS), query_one(&stage.source, NUMBERS));
    let numbers = &stage.status()["type_numbers"];
    assert_eq!(numbers["same"], numbers["all"], "{numbers}");

    // On a target whose counter is past what is wanted, the plan says so and the run does.
    let late = Stage::bare(
        &pair.blue,
        &pair.green,
        "late",
        ["", ""],
        &PlanText::new(Gate::None).beside_others(),
    );
    execute(&late.source, "CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE t (m mood PRIMARY KEY)");
    use_up(&pair.green.url("postgres"), 50_000);
    let said = finding(&late.verb("plan"), "type_numbers").unwrap();
    for word in ["public.mood", "psycopg", "Restart every process", "data.type_numbers.budget"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    late.expect("apply", 0);
    let numbers = &late.status()["type_numbers"];
    assert_eq!((numbers["same"].as_u64(), numbers["all"].as_u64()), (Some(0), Some(2)));
    assert!(numbers["others"].to_string().contains("public.mood"), "{numbers}");
}

/// The run dies between two types; the next one goes on from what is there. What cannot be placed
/// is named, and what was on the target before stays after an abort.
#[test]
fn a_run_that_dies_while_it_places_goes_on() {
    let pair = Pair::start("numbers_killed");
    use_up(&pair.blue.url("postgres"), 40_000);
    let stage = Stage::bare(
        &pair.blue,
        &pair.green,
        "killed",
        ["", ""],
        &PlanText::new(Gate::None).phases("phases:\n  - {name: copy, steps: [replicate]}\n"),
    );
    execute(&stage.target, "CREATE EXTENSION hstore");
    execute(&stage.source, TYPES);
    execute(
        &stage.source,
        "CREATE FUNCTION even(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 % 2 = 0';
         CREATE DOMAIN checked AS int CHECK (even(VALUE)); CREATE TYPE holds AS (row t)",
    );
    use_up(&pair.blue.url("postgres"), 2_500_000);
    execute(&stage.source, "CREATE TYPE far AS ENUM ('x')");
    let said = finding(&stage.verb("plan"), "type_numbers").unwrap();
    for word in
        ["extension hstore is on the target already", "rests on function", "rests on type public.t"]
    {
        assert!(said.contains(word), "{word}: {said}");
    }

    let apply = stage.begin("apply", &[], &[]);
    let placed = "SELECT (to_regtype('spell') IS NOT NULL AND to_regtype('far') IS NULL)::text";
    let between = until(PATIENCE, || (query_one(&stage.target, placed) == "true").then_some(()));
    assert!(between.is_some(), "{}", stage.report());
    for file in ["supervisor.pid", "run.pid"] {
        Stage::signal(stage.pid(file).unwrap(), "KILL");
    }
    assert_eq!(query_one(&stage.target, placed), "true", "it was too late");
    drop(apply);
    stage.expect("apply", 0);
    let numbers = &stage.status()["type_numbers"];
    let others = numbers["others"].as_array().unwrap();
    let names: Vec<&str> =
        others.iter().filter_map(|it| it.as_str()?.split(' ').next()?.split('.').nth(1)).collect();
    let expected =
        ["_checked", "_ghstore", "_holds", "_hstore", "checked", "ghstore", "holds", "hstore"];
    assert_eq!(names, expected, "{numbers}");
    stage.expect("abort", 0);
    let left = query_one(&stage.target, LEFT);
    assert_eq!(left, "hstore _hstore ghstore _ghstore, hstore", "{}", stage.report());
}

/// What a driver does that remembers numbers: looks types up, by name and by number, and reads and
/// sends values that have such numbers inside.
async fn check(client: &tokio_postgres::Client, known: &[u32]) {
    let [hstore, _, mood, moods, ..] = *known else { panic!("{known:?}") };
    let statement = client.prepare("SELECT h, c, m, ms, e, p, s FROM t").await.unwrap();
    let shown: Vec<u32> = statement.columns().iter().map(|column| column.type_().oid()).collect();
    assert_eq!(shown, known);
    let row = client
        .query_one("SELECT oid, typarray FROM pg_type WHERE typname = $1", &[&"mood"])
        .await
        .unwrap();
    assert_eq!((row.get::<_, u32>(0), row.get::<_, u32>(1)), (mood, moods));
    let row = client
        .query_one("SELECT typname::text FROM pg_type WHERE oid = $1", &[&hstore])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "hstore");
    let kind = |name: &str, oid, kind| Type::new(name.into(), oid, kind, "public".into());
    let array = Kind::Array(kind("mood", mood, Kind::Enum(vec!["sad".into()])));
    let echo = client
        .prepare_typed("SELECT ms, $1 FROM t WHERE ms = $1", &[kind("_mood", moods, array)])
        .await
        .unwrap();
    let mut sent = [1, 0, mood, 1, 1, 3].map(u32::to_be_bytes).concat();
    sent.extend(b"sad");
    let sent = Bytes(sent);
    let row = client.query_one(&echo, &[&sent]).await.unwrap();
    assert_eq!((row.get::<_, Bytes>(0), row.get::<_, Bytes>(1)), (Bytes(sent.0.clone()), sent));
}

/// The target has given the wanted numbers to others: the gate shows the source's, to sessions that
/// were there and to new ones, after the cutover and after the rollback.
#[test]
fn what_cannot_be_placed_is_shown_by_the_gate() {
    let pair = Pair::start("numbers_shown");
    use_up(&pair.green.url("postgres"), 40_000);
    let plan = PlanText::new(Gate::Postgres).beside_others();
    let mut stage = Stage::bare(&pair.blue, &pair.green, "shown", ["", ""], &plan);
    execute(&stage.source, TYPES);
    stage.start_gate();
    let gate = stage.gate_url.clone().unwrap();
    let known = seen(&gate);
    let said = finding(&stage.verb("plan"), "type_numbers_shown").unwrap();
    for word in ["public.mood", "written out in the text", "out of their way"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let [used, idle] = runtime.block_on(async {
        let used = connect(&gate).await.unwrap();
        check(&used, &known).await;
        [used, connect(&gate).await.unwrap()]
    });
    for verb in ["apply", "rollback"] {
        stage.expect(verb, 0);
        let new = runtime.block_on(connect(&gate)).unwrap();
        for client in [&new, &used, &idle] {
            runtime.block_on(check(client, &known));
        }
        if verb == "apply" {
            let numbers = &stage.status()["type_numbers"];
            assert_eq!(numbers["same"].as_u64(), Some(0), "{numbers}");
            assert_ne!(seen(&stage.target), known);
        }
    }
}
