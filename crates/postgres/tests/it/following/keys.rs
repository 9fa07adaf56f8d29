//! Rows are found as the key's index compares, whatever schema its operator is in.

use std::fmt::Write;

use changeover_postgres::follow::FollowEvent;
use changeover_relay::Stream;
use changeover_types::Side::{Source, Target};

use super::world::World;

const TYPES: &str = r"
CREATE SCHEMA ext;
CREATE EXTENSION ltree SCHEMA ext; CREATE EXTENSION isn SCHEMA ext; CREATE EXTENSION cube SCHEMA ext;
CREATE EXTENSION seg SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext;
SET search_path = public, ext;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'good', 'great');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN name_ci AS citext CHECK (VALUE <> ''); CREATE DOMAIN login AS name_ci;
CREATE DOMAIN feeling AS mood;
CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
";

/// A type, and four values of it that are three: the second and the fourth are equal or near.
const KEYS: &[(&str, [&str; 4])] = &[
    ("ltree", ["a.b", "a.c", "a", "a.d"]),
    (
        "isbn13",
        ["978-0-393-04002-9", "978-0-306-40615-7", "978-1-4028-9462-6", "978-3-16-148410-0"],
    ),
    ("cube", ["(1,2)", "(1,2),(3,4)", "0", "(2,2)"]),
    ("seg", ["1 .. 2", "3", "4 .. 5", "3.00"]),
    ("citext", ["Ann", "Bob", "Cat", "BOB"]),
    ("login", ["Ann", "Bob", "Cat", "BOB"]),
    ("varchar(9) COLLATE loose", ["Ann", "Bob", "Cat", "BOB"]),
    ("hstore", ["a=>1", "b=>2", "c=>3", "b=>NULL"]),
    ("numeric", ["1", "2.0", "NaN", "2.000"]),
    ("feeling", ["sad", "ok", "good", "great"]),
    (
        "uuid",
        [
            "6a2f41a3-c54c-4f4a-8a3b-1a2b3c4d5e60",
            "6a2f41a3-c54c-4f4a-8a3b-1a2b3c4d5e61",
            "6a2f41a3-c54c-4f4a-8a3b-1a2b3c4d5e62",
            "6a2f41a3-c54c-4f4a-8a3b-1a2b3c4d5e63",
        ],
    ),
    ("inet", ["10.0.0.1", "10.0.0.1/8", "::1", "10.0.0.0/8"]),
    ("cidr", ["10.0.0.0/8", "10.0.0.0/9", "::/0", "10.0.0.0/10"]),
    ("bit(3)", ["101", "111", "000", "001"]),
    ("int4range", ["[1,3)", "[1,4)", "empty", "(,)"]),
    ("ltree[]", ["{a.b}", "{a,b}", "{}", "{NULL}"]),
    ("pair", ["(1,x)", "(2,\"\")", "(3,)", "(2,y)"]),
    ("bpchar", ["a", "b", "c", "b  "]),
    ("float8", ["1", "0", "NaN", "-0"]),
    ("timestamptz", ["2024-01-01", "infinity", "-infinity", "2024-01-02 01:02:03.000004"]),
    ("interval", ["1 day", "1 mon", "1 s", "30 days"]),
    ("bytea", [r"\x00", r"\x01", r"\x", r"\x0101"]),
];

/// Types that no index can be over are found by their text; NULLs are told from rows of NULLs.
const KEYLESS: &str = "
CREATE TABLE full_any (h hstore, c citext, l text COLLATE loose, j json, p pair, e mood[],
  n numeric, x xml, m money);
ALTER TABLE full_any REPLICA IDENTITY FULL;
CREATE TABLE full_indexed (id int, v text); CREATE INDEX ON full_indexed (id);
ALTER TABLE full_indexed REPLICA IDENTITY FULL;
CREATE TABLE by_loose_index (c text NOT NULL, n int);
CREATE UNIQUE INDEX by_loose ON by_loose_index (c COLLATE loose);
ALTER TABLE by_loose_index REPLICA IDENTITY USING INDEX by_loose;
CREATE TABLE tree (k citext, n int, PRIMARY KEY (k)) PARTITION BY LIST (k);
CREATE TABLE tree_ann PARTITION OF tree FOR VALUES IN ('ann');
CREATE TABLE tree_rest PARTITION OF tree DEFAULT;
CREATE TABLE no_columns (); ALTER TABLE no_columns REPLICA IDENTITY FULL;
CREATE TABLE made (n int, k int GENERATED ALWAYS AS (n * 2) STORED PRIMARY KEY);
ALTER TABLE made REPLICA IDENTITY FULL;
";

const CHANGES: &str = r#"
INSERT INTO full_any VALUES ('a=>1', 'A', 'A', '{"a":1}', '(1,x)', '{ok}', 1.0, '<a/>', 1234.56),
  ('a=>1', 'a', 'a', '{"a": 1}', '(1,x)', '{ok}', 1.00, '<a />', 1234.56),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (NULL, NULL, NULL, NULL, '(,)', NULL, NULL, NULL, NULL);
UPDATE full_any SET m = '0.07' WHERE n::text = '1.00';
DELETE FROM full_any WHERE p IS NOT DISTINCT FROM '(,)'::pair;
DELETE FROM full_any WHERE n::text = '1.0';
INSERT INTO full_indexed SELECT g, 'v' FROM generate_series(1, 3000) g; UPDATE full_indexed SET v = 'w' WHERE id < 4;
INSERT INTO by_loose_index VALUES ('Ann', 0), ('Bob', 0); UPDATE by_loose_index SET n = 1;
UPDATE by_loose_index SET c = 'BOB' WHERE n = 1 AND c = 'Bob';
INSERT INTO tree VALUES ('Ann', 0), ('Bob', 0); UPDATE tree SET n = 1; DELETE FROM tree WHERE k = 'bob';
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO made VALUES (1), (2); UPDATE made SET n = 3 WHERE k = 2; DELETE FROM made WHERE k = 4;
"#;

fn tables() -> String {
    let mut ddl = TYPES.to_owned();
    for (n, (kind, _)) in KEYS.iter().enumerate() {
        writeln!(ddl, "CREATE TABLE k{n} (k {kind} PRIMARY KEY, n int);").unwrap();
    }
    ddl + KEYLESS
}

fn changes() -> String {
    let mut sql = "SET search_path = public, ext;".to_owned();
    for (n, (kind, [one, two, three, four])) in KEYS.iter().enumerate() {
        let kind = kind.split_whitespace().next().unwrap();
        // A domain over an enum has no `=` of its own, but an index.
        let is = |value: &str| format!("k::text = '{value}'::{kind}::text");
        write!(
            sql,
            "INSERT INTO k{n} VALUES ('{one}', 0), ('{two}', 0), ('{three}', 0); \
             UPDATE k{n} SET n = n + 1 WHERE {}; UPDATE k{n} SET k = '{four}' WHERE {}; \
             DELETE FROM k{n} WHERE {};",
            is(one),
            is(two),
            is(three)
        )
        .unwrap();
    }
    sql + CHANGES
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_found_by_the_operator_of_their_index() {
    let world = World::new("keys", &tables()).await;
    let mut forward = world.follow(Stream::Forward);
    world.sql(Source, &changes()).await;
    world.converge(&mut forward, 1).await;
    assert_eq!(world.value(Target, "SELECT string_agg(k::text, ' ') FROM k4").await, "Ann BOB");
    assert_eq!(world.value(Target, "SELECT count(*) FROM full_any").await, "2");
    forward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_read_whole_for_each_change_is_named() {
    let world = World::new("scans", &tables()).await;
    let fill = "INSERT INTO k4 SELECT 'u' || g, 0 FROM generate_series(1, 2000) g; \
                INSERT INTO full_any (n) SELECT g FROM generate_series(1, 2000) g; \
                INSERT INTO full_indexed SELECT g FROM generate_series(1, 2000) g; \
                INSERT INTO by_loose_index SELECT 'u' || g FROM generate_series(1, 2000) g; ANALYZE";
    world.sql(Source, fill).await;
    let mut forward = world.follow(Stream::Forward);
    world.converge(&mut forward, 1).await;
    world.sql(Target, "ANALYZE").await;
    let change = "UPDATE k4 SET n = 1 WHERE n = 0; UPDATE full_indexed SET v = 'x' WHERE id = 7; \
                  UPDATE by_loose_index SET n = 1 WHERE c = 'u7'; \
                  UPDATE full_any SET m = '1' WHERE n = 7; UPDATE full_any SET m = '2' WHERE n = 8";
    world.sql(Source, change).await;
    let first = forward.until(|event| matches!(event, FollowEvent::Scans { .. })).await;
    let FollowEvent::Scans { table, rows } = first else { unreachable!() };
    assert_eq!((table.to_string().as_str(), rows), ("public.full_any", 2000));
    // No other table, and this one only once.
    world.barrier(Source, 2).await;
    let next = forward.until(|event| match event {
        FollowEvent::Scans { .. } => true,
        FollowEvent::Applied { marker, .. } => {
            matches!(marker, changeover_types::Marker::Signal { nonce: 2, .. })
        }
        _ => false,
    });
    assert!(matches!(next.await, FollowEvent::Applied { .. }));
    forward.stop().await;
}
