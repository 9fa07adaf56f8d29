//! Every kind of change and column.

use changeover_postgres::error::ErrorKind;
use changeover_relay::Stream;
use changeover_types::Side::{Source, Target};

use super::world::World;

const DDL: &str = r#"
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN email AS varchar(80) CHECK (value ~ '@');
CREATE TABLE everything (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  i8 bigint, n numeric, n2 numeric(12,3), f4 real, f8 double precision, b boolean, t text,
  v varchar(10), c char(7), by bytea, u uuid, d date, ts timestamp, tz timestamptz, iv interval,
  j json, jb jsonb, x xml, p point, inet inet, m mood, ia int[], ta text[], ma mood[], pr pair,
  r int4range, bits bit(5), vb varbit, e email, q "char", tsv tsvector, mac macaddr,
  twice bigint GENERATED ALWAYS AS (i8 * 2) STORED);
CREATE TABLE docs (id bigint PRIMARY KEY, title text, body text, n int);
ALTER TABLE docs ALTER body SET STORAGE EXTERNAL;
CREATE TABLE keyless (a int, n numeric, j json, t text, p point);
ALTER TABLE keyless REPLICA IDENTITY FULL;
CREATE TABLE by_index (a int NOT NULL, b text NOT NULL, c text, UNIQUE (a, b));
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_a_b_key;
CREATE TABLE seats (id int PRIMARY KEY, seat int NOT NULL UNIQUE DEFERRABLE INITIALLY IMMEDIATE);
CREATE TABLE parent (id serial PRIMARY KEY, name text UNIQUE);
CREATE TABLE child (id serial PRIMARY KEY, parent int REFERENCES parent ON UPDATE CASCADE);
CREATE TABLE parts (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE parts_b PARTITION OF parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE "We""ird; Näme" ("Key ""1""" int PRIMARY KEY, "select" text);
CREATE TABLE nothing ();
CREATE TABLE only_key (id int PRIMARY KEY);
CREATE TABLE log (id serial PRIMARY KEY, what text);
CREATE FUNCTION logged() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS
  $$BEGIN INSERT INTO log (what) VALUES (TG_OP); RETURN NULL; END$$;
CREATE TRIGGER logged AFTER INSERT OR UPDATE OR DELETE ON docs FOR EACH ROW
  EXECUTE FUNCTION logged();
"#;

const CHANGES: &str = r#"
INSERT INTO everything (i8, n, n2, f4, f8, b, t, v, c, by, u, d, ts, tz, iv, j, jb, x, p, inet, m,
  ia, ta, ma, pr, r, bits, vb, e, q, tsv, mac) VALUES
 (4611686018427387903, 'NaN', 1.005, '-0', 1e-308, true, E'tab\t quote'' back\\slash \u00e4',
  'ten chars!', 'ab', '\xdeadbeef00', '6a2f41a3-c54c-4f4a-8a3b-1a2b3c4d5e6f', 'infinity',
  '294276-12-31 23:59:59.999999', '2024-02-29 12:00:00.123456+05:30', '-1 year 2 mons -3 days 04:05:06.7',
  '{"a": [1,  2]}', '{"b": null}', '<a>x</a>', '(1.5,-2)', '10.0.0.1/8', 'happy', '[2:3]={1,NULL}',
  ARRAY['a,b', '"q"', NULL, '{}'], '{sad,happy}', ROW(1, 'x,"y"'), '[1,10)', B'10101', B'1',
  'a@b.c', 'z', 'a:1 fat:2', '08:00:2b:01:02:03'),
 (NULL, NULL, NULL, 'Infinity', 'NaN', NULL, '', '', '', '', NULL, '-infinity', '-infinity', 'infinity',
  NULL, 'null', 'null', NULL, NULL, '::1', 'sad', '{}', '{}', NULL, NULL, 'empty', NULL, NULL,
  NULL, NULL, NULL, NULL);
UPDATE everything SET n = 1.10, m = 'ok', twice = DEFAULT WHERE id = 1;
UPDATE everything SET id = DEFAULT WHERE id = 2;
INSERT INTO docs SELECT g, 'title ' || g, repeat(md5(g::text), 300), 0 FROM generate_series(1, 200) g;
UPDATE docs SET n = n + 1;
UPDATE docs SET id = id + 1000 WHERE id % 3 = 0;
UPDATE docs SET body = 'short' WHERE id % 5 = 0;
UPDATE docs SET body = NULL, title = NULL WHERE id % 7 = 0;
DELETE FROM docs WHERE id % 11 = 0;
INSERT INTO keyless VALUES (1, 1.0, '{}', 'x', '(1,2)'), (1, 1.0, '{}', 'x', '(1,2)'),
  (1, 1.00, '{}', 'x', '(1,2)'), (NULL, NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL, NULL);
DELETE FROM keyless WHERE ctid = '(0,1)';
UPDATE keyless SET t = 'y' WHERE ctid = '(0,3)';
UPDATE keyless SET a = 5 WHERE ctid = '(0,4)';
INSERT INTO by_index SELECT g, 'k' || g, 'v' FROM generate_series(1, 50) g;
UPDATE by_index SET c = NULL WHERE a < 10;
UPDATE by_index SET b = b || '!' WHERE a BETWEEN 5 AND 15;
DELETE FROM by_index WHERE a > 40;
INSERT INTO seats VALUES (1, 10), (2, 20), (3, 30);
BEGIN; UPDATE seats SET seat = -1 WHERE id = 1; UPDATE seats SET seat = 10 WHERE id = 2; UPDATE seats SET seat = 20 WHERE id = 1; COMMIT;
UPDATE seats SET seat = CASE seat WHEN 10 THEN 20 WHEN 20 THEN 10 ELSE seat END;
INSERT INTO parent (name) SELECT 'p' || g FROM generate_series(1, 20) g;
INSERT INTO child (parent) SELECT id FROM parent;
UPDATE parent SET id = id + 100;
INSERT INTO parts SELECT g, '2024-06-01'::date + g, 'v' FROM generate_series(1, 400) g;
UPDATE parts SET at = '2025-06-01' WHERE id = 7;
DELETE FROM parts WHERE id BETWEEN 100 AND 120;
INSERT INTO "We""ird; Näme" VALUES (1, 'x'); UPDATE "We""ird; Näme" SET "select" = 'y';
INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
INSERT INTO only_key VALUES (1), (2); UPDATE only_key SET id = 3 WHERE id = 1;
UPDATE only_key SET id = id;
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_change_arrives() {
    let world = World::new("kinds", DDL).await;
    let mut forward = world.follow(Stream::Forward);
    // Each statement once as its own transaction, then all in one.
    for statement in CHANGES.split(";\n").filter(|s| !s.trim().is_empty()) {
        world.sql(Source, statement).await;
    }
    world.converge(&mut forward, 1).await;
    assert_eq!(world.value(Target, "SELECT count(*) FROM keyless").await, "4");
    assert_eq!(world.value(Target, "SELECT count(*) FROM nothing").await, "2");
    world.sql(Source, "TRUNCATE parent, child RESTART IDENTITY; TRUNCATE parts_a").await;
    world.sql(Source, "TRUNCATE docs, keyless, only_key, by_index, seats CASCADE").await;
    world.converge(&mut forward, 2).await;
    assert_eq!(world.value(Target, "SELECT count(*) FROM docs").await, "0");
    // The target's own trigger must not have fired for the applier.
    let logged = "SELECT count(*) FROM log";
    assert_eq!(world.value(Source, logged).await, world.value(Target, logged).await);
    let rest = CHANGES.split("INSERT INTO docs").nth(1).unwrap().replace("BEGIN;", "");
    let rest = format!("BEGIN; INSERT INTO docs{} COMMIT", rest.replace("COMMIT;", ""))
        .replace("ctid = '(0,1)'", "n::text = '1.00'")
        .replace("ctid = '(0,3)'", "false")
        .replace("ctid = '(0,4)'", "false")
        .replace("INSERT INTO \"We\"\"ird; Näme\" VALUES (1, 'x');", "")
        .replace("SELECT 'p' || g", "SELECT 'q' || g")
        .replace(
            "'2024-06-01'::date + g, 'v' FROM generate_series(1, 400)",
            "'2024-06-01'::date, 'w' FROM generate_series(1000, 1400)",
        )
        .replace("SET at = '2025-06-01' WHERE id = 7", "SET at = '2025-06-02' WHERE id = 1007");
    world.sql(Source, &rest).await;
    world.converge(&mut forward, 3).await;
    forward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_not_there_stops_the_stream_and_is_named() {
    let world = World::new("gone", "CREATE TABLE t (id int PRIMARY KEY, secret text)").await;
    world.sql(Source, "INSERT INTO t VALUES (1, 'hidden'), (2, 'hidden')").await;
    let mut forward = world.follow(Stream::Forward);
    world.converge(&mut forward, 1).await;
    world.sql(Target, "DELETE FROM t WHERE id = 2").await;
    world.sql(Source, "UPDATE t SET secret = 'other' WHERE id = 2").await;
    let error = forward.fails().await;
    assert_eq!(error.kind(), ErrorKind::Divergence);
    let text = format!("{error:?}");
    assert!(text.contains("public.t (id=2)") && text.contains("not there"), "{text}");
    assert!(!text.contains("other") && !text.contains("hidden"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_violated_constraint_stops_the_stream_and_is_named() {
    let world = World::new("unique", "CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    world.sql(Target, "INSERT INTO t VALUES (7, 'mine')").await;
    let forward = world.follow(Stream::Forward);
    world.sql(Source, "INSERT INTO t SELECT g, 'x' FROM generate_series(1, 9) g").await;
    let error = forward.fails().await;
    assert_eq!(error.kind(), ErrorKind::Divergence);
    assert!(error.to_string().contains("Key (id)=(7) already exists"), "{error}");
    assert_eq!(world.value(Target, "SELECT count(*) FROM t").await, "1");
    assert_eq!(world.value(Target, "SELECT count(*) FROM changeover.progress").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_definition_stops_the_stream_and_is_named() {
    let world = World::new("ddl", "CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    let mut forward = world.follow(Stream::Forward);
    world.sql(Source, "INSERT INTO t VALUES (1, 'x')").await;
    world.converge(&mut forward, 1).await;
    world.sql(Source, "ALTER TABLE t ADD COLUMN extra int").await;
    world.sql(Source, "INSERT INTO t VALUES (2, 'y', 3)").await;
    let error = forward.fails().await;
    assert_eq!(error.kind(), ErrorKind::Divergence);
    assert!(error.to_string().contains("no column extra"), "{error}");
    // Mended by hand, it goes on where it stopped.
    world.sql(Target, "ALTER TABLE t ADD COLUMN extra int").await;
    let mut forward = world.follow(Stream::Forward);
    world.converge(&mut forward, 2).await;
    forward.stop().await;
}
