//! Clients see one set of type numbers, whichever server they are on.

use bytes::BytesMut;
use changeover_pgwire::backend::BackendMessage;
use changeover_pgwire::frontend::{self, Target};
use changeover_types::Side;
use tokio_postgres::Client;
use tokio_postgres::types::{FromSql, IsNull, Kind, Oid, ToSql, Type};

use super::super::harness::eventually;
use super::bench::{Bench, Raw, TestGate, code, direct, one, place, through};

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
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
    fn accepts(_: &Type) -> bool {
        true
    }
    tokio_postgres::types::to_sql_checked!();
}

const SCHEMA: &str = "create type mood as enum ('sad', 'gay'); \
    create type pair as (x int, m mood); create domain happy as mood check (value = 'gay'); \
    create type span as range (subtype = mood); \
    create table people (i int primary key, m mood, ms mood[], p pair, s span, o oid, r regtype); \
    insert into people values (1, 'gay', '{sad,gay}', '(1,sad)', '[sad,gay]', 16400, 'mood'); \
    create view kinds as select oid as number, typname from pg_type where typtype = 'e'";

/// The numbers that a process learnt when it was on the source.
#[derive(Clone, Debug, PartialEq)]
struct Learnt {
    mood: Oid,
    moods: Oid,
    pair: Oid,
    people: Oid,
}

impl Learnt {
    async fn by(client: &Client) -> Learnt {
        let number = async |name: &str, column: &str| {
            let sql = format!("select {column} from pg_type where typname = '{name}'");
            one(client, &sql).await.parse().unwrap()
        };
        Learnt {
            mood: number("mood", "oid").await,
            moods: number("mood", "typarray").await,
            pair: number("pair", "oid").await,
            people: number("people", "oid").await,
        }
    }

    fn types(&self) -> [Type; 2] {
        let words = vec!["sad".to_owned(), "gay".to_owned()];
        let new =
            |name: &str, oid, kind| Type::new(name.to_owned(), oid, kind, "public".to_owned());
        let mood = new("mood", self.mood, Kind::Enum(words));
        let moods = new("_mood", self.moods, Kind::Array(mood.clone()));
        [mood, moods]
    }
}

async fn two_sides() -> Bench {
    let bench = Bench::new().await;
    let more = "create type other as enum ('a'); create table filler (i int)";
    direct(&bench.target, "green").await.batch_execute(more).await.unwrap();
    bench.both(SCHEMA).await;
    bench
}

/// An array in binary, with the number of its elements' type.
fn array(element: Oid, values: &[&str]) -> Bytes {
    let length = u32::try_from(values.len()).unwrap();
    let mut out: Vec<u8> = [1, 0, element, length, 1].map(u32::to_be_bytes).concat();
    for value in values {
        out.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        out.extend(value.as_bytes());
    }
    Bytes(out)
}

/// All that a process does which remembers numbers.
async fn works(client: &Client, learnt: &Learnt) {
    assert_eq!(Learnt::by(client).await, *learnt);
    // Look-ups, by name and by number, as text and in binary.
    let mood = learnt.mood.to_string();
    for sql in [
        "select 'mood'::regtype::oid",
        "select oid from pg_type where typname = 'mood'",
        "select atttypid from pg_attribute where attrelid = 'people'::regclass and attname = 'm'",
        "select typelem from pg_type where typname = '_mood'",
        "select enumtypid from pg_enum where enumlabel = 'gay'",
        "select rngsubtype from pg_range where rngtypid = 'span'::regtype",
        "with recursive t(o) as (select oid from pg_type where typname = 'mood' \
            union all select 0 where false) select o from t",
        "select number from kinds where typname = 'mood'",
    ] {
        assert_eq!(one(client, sql).await, mood, "{sql}");
        let row = client.query_one(sql, &[]).await.unwrap();
        assert_eq!(row.get::<_, Oid>(0), learnt.mood, "{sql}");
    }
    let types = "select array_agg(atttypid order by attnum) from pg_attribute \
        where attrelid = 'pair'::regclass and attnum > 0";
    assert_eq!(one(client, types).await, format!("{{23,{mood}}}"));
    let row = client.query_one(types, &[]).await.unwrap();
    assert_eq!(row.get::<_, Vec<Oid>>(0), [23, learnt.mood]);
    for sql in [
        "select typname from pg_type where oid = $1",
        "select t.typname from pg_catalog.pg_type t join pg_class c on true where $1 = t.oid limit 1",
        "select format_type($1, null)::name",
    ] {
        let row = client.query_one(sql, &[&learnt.mood]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "mood", "{sql}");
    }
    let rows = client
        .query(
            "select oid::regtype::text from pg_type where oid = any($1) order by 1",
            &[&vec![learnt.mood, learnt.pair, 23]],
        )
        .await
        .unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, ["integer", "mood", "pair"]);
    // As JDBC does.
    let [_, moods] = learnt.types();
    let by_int = client.prepare_typed("select typname from pg_type where oid = $1", &[Type::INT4]);
    let number = i32::try_from(learnt.moods).unwrap();
    let row = client.query_one(&by_int.await.unwrap(), &[&number]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "_mood");
    // Values with numbers inside, there and back.
    let echo = client
        .prepare_typed(
            "select $1, m, ms, p, s, r, o, row(p, ms), people, array[p] from people where ms = $1",
            &[moods],
        )
        .await
        .unwrap();
    let sent = array(learnt.mood, &["sad", "gay"]);
    let row = client.query_one(&echo, &[&sent]).await.unwrap();
    let value = |at| row.get::<_, Bytes>(at).0;
    assert_eq!((value(0), value(2), value(1)), (sent.0.clone(), sent.0, b"gay".to_vec()));
    let pair = value(3);
    assert_eq!(pair[16..20], learnt.mood.to_be_bytes(), "{pair:?}");
    assert_eq!(value(4), b"\x06\0\0\0\x03sad\0\0\0\x03gay");
    assert_eq!(value(5), learnt.mood.to_be_bytes());
    assert_eq!(row.get::<_, Oid>(6), 16_400, "data of the user's is no type number");
    assert_eq!(value(7)[4..8], learnt.pair.to_be_bytes());
    assert_eq!(value(7)[12 + 16..12 + 20], learnt.mood.to_be_bytes());
    assert_eq!(value(8)[16..20], learnt.mood.to_be_bytes());
    assert_eq!(value(9)[8..12], learnt.pair.to_be_bytes());
    let kinds: Vec<Oid> = echo.columns().iter().map(|column| column.type_().oid()).collect();
    assert_eq!((kinds[1], kinds[2], kinds[3]), (learnt.mood, learnt.moods, learnt.pair));
    assert_eq!(kinds[8], learnt.people);
}

#[tokio::test]
async fn all_sessions_see_the_numbers_that_were_there_first() {
    let mut bench = two_sides().await;
    let (used, idle) = (bench.client().await, bench.client().await);
    let learnt = Learnt::by(&used).await;
    works(&used, &learnt).await;
    assert_ne!(Learnt::by(&direct(&bench.target, "green").await).await, learnt);
    for (side, epoch, where_) in
        [(Side::Target, 2, "green"), (Side::Source, 3, "blue"), (Side::Target, 4, "green")]
    {
        bench.flip(side, epoch).await;
        let new = bench.client().await;
        for client in [&new, &used, &idle] {
            assert_eq!(place(client).await, where_);
            works(client, &learnt).await;
        }
    }
    // A type that is made now, with a column of an old one.
    let sql = "create type late as (m mood); create table lately (l late, ls late[])";
    used.batch_execute(sql).await.unwrap();
    used.batch_execute("insert into lately values (row('sad'), array[row('gay')::late])")
        .await
        .unwrap();
    for client in [&used, &idle] {
        let row = client.query_one("select l, ls from lately", &[]).await.unwrap();
        assert_eq!(row.get::<_, Bytes>(0).0[4..8], learnt.mood.to_be_bytes());
        let late: Oid = one(client, "select 'late'::regtype::oid").await.parse().unwrap();
        assert_eq!(row.get::<_, Bytes>(1).0[8..12], late.to_be_bytes());
        assert_eq!(row.get::<_, Bytes>(1).0[28..32], learnt.mood.to_be_bytes());
        assert_eq!(row.columns()[0].type_().oid(), late);
    }
    // What cannot be told is refused, not guessed.
    let guess = idle.query("select $1::oid, 'mood'::regtype", &[&learnt.mood]).await.unwrap_err();
    assert_eq!(code(&guess), "0A000");

    // A gate that is started anew knows it, also when the source is gone.
    bench.source.stop("immediate").unwrap();
    let gate = TestGate::start(bench.config.clone(), bench.folder.path(), false);
    assert_eq!(gate.shared.authority(), Some(Side::Target));
    let client = through(&gate, "user=postgres").await;
    works(&client, &learnt).await;
}

#[tokio::test]
async fn rows_that_nobody_has_described_are_translated_too() {
    let bench = two_sides().await;
    let learnt = Learnt::by(&bench.client().await).await;
    bench.flip(Side::Target, 2).await;
    eventually("the numbers are kept", async || {
        bench.folder.path().join("type-numbers.json").exists().then_some(())
    })
    .await;
    let mut raw = Raw::connect(&bench.gate, "postgres").await;
    let binary = |out: &mut BytesMut, portal: &str, statement: &str| {
        let body = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0\0\0\0\0\0\x01\0\x01"];
        let body = body.concat();
        out.extend_from_slice(b"B");
        out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        out.extend_from_slice(&body);
    };
    let mut out = BytesMut::new();
    let sql = "select ms from people, generate_series(1, 3)";
    frontend::parse(&mut out, "s", sql, &[]);
    binary(&mut out, "", "s");
    frontend::execute(&mut out, "", 2);
    frontend::execute(&mut out, "", 0);
    frontend::parse(&mut out, "", "select oid from pg_type where typname = 'mood'", &[]);
    frontend::bind(&mut out, "", "", &[]);
    frontend::execute(&mut out, "", 0);
    frontend::sync(&mut out);
    // Described as a statement, and used with another format; one that fails; one by SQL.
    frontend::describe(&mut out, Target::Statement, "s");
    binary(&mut out, "p", "s");
    frontend::execute(&mut out, "p", 1);
    frontend::sync(&mut out);
    frontend::execute(&mut out, "none", 0);
    frontend::sync(&mut out);
    frontend::query(
        &mut out,
        "begin; declare c binary cursor for select ms, m from people; fetch c; close c; commit",
    );
    raw.send(&out).await;
    let mut tags = Vec::new();
    let mut rows = Vec::new();
    while tags.iter().filter(|tag| **tag == b'Z').count() < 4 {
        match raw.message().await {
            BackendMessage::DataRow(row) => {
                tags.push(b'D');
                rows.push(row.get(0).unwrap().to_vec());
            }
            BackendMessage::ParseComplete => tags.push(b'1'),
            BackendMessage::BindComplete => tags.push(b'2'),
            BackendMessage::PortalSuspended => tags.push(b's'),
            BackendMessage::CommandComplete(_) => tags.push(b'C'),
            BackendMessage::RowDescription(columns) => {
                tags.push(b'T');
                assert_eq!(columns[0].type_oid, learnt.moods);
            }
            BackendMessage::ParameterDescription(_) => tags.push(b't'),
            BackendMessage::ErrorResponse(_) => tags.push(b'E'),
            BackendMessage::ReadyForQuery(_) => tags.push(b'Z'),
            _ => {}
        }
    }
    let tags = String::from_utf8(tags).unwrap();
    assert_eq!(tags, "12DDsDC12DCZtT2DsZEZCCTDCCCZ");
    let moods = array(learnt.mood, &["sad", "gay"]).0;
    for at in [0, 1, 2, 4, 5] {
        assert_eq!(rows[at], moods, "{at}");
    }
    assert_eq!(rows[3], learnt.mood.to_string().as_bytes());
}
