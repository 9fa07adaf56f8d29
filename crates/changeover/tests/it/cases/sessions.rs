//! Keys, values, encodings and sizes that a session of ours must read as the database does.

use std::fmt::Write as _;
use std::time::Duration;

use crate::faults::program::{has, paused};
use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage};

fn stage(pair: &Pair, name: &str, options: [&str; 2], schema: &str) -> Stage {
    let plan = PlanText::new(Gate::None);
    let stage = Stage::bare(&pair.blue, &pair.green, name, options, &plan);
    execute(&stage.source, schema);
    stage
}

/// The copy and what comes before the cutover ends so.
fn copy(stage: &Stage, code: i32) -> crate::stage::Ran {
    let ran = stage.begin("apply", &["--until", "copy"], &[]).end(PATIENCE).unwrap();
    assert_eq!(ran.code, Some(code), "{}\n{}", stage.report(), ran.error());
    ran
}

/// What a verb's lines say.
fn said(ran: &crate::stage::Ran) -> String {
    ran.lines.iter().map(ToString::to_string).collect()
}

/// There and back with writes on both sides, and nothing differs.
fn there_and_back(stage: &Stage, on_source: &str, on_target: &str, image: &str) {
    copy(stage, 0);
    execute(&stage.source, on_source);
    stage.expect("apply", 0);
    let there = query_one(&stage.source, image);
    assert_eq!(query_one(&stage.target, image), there, "{}", stage.report());
    execute(&stage.target, on_target);
    stage.expect("rollback", 0);
    let back = query_one(&stage.target, image);
    assert_ne!(back, there);
    assert_eq!(query_one(&stage.source, image), back, "{}", stage.report());
    stage.expect("verify", 0);
}

/// A type, a value that stays and one that is replaced.
const KEYS: &[(&str, &str, [&str; 2])] = &[
    ("tree", "ltree", ["a.b1", "a.b2"]),
    ("book", "isbn13", ["978-0-393-04002-9", "978-0-306-40615-7"]),
    ("box", "cube", ["(1,2)", "(1,2),(3,4)"]),
    ("span", "seg", ["1 .. 2", "3"]),
    ("name", "citext", ["Ann", "Bob"]),
    ("login", "login", ["Ann", "Bob"]),
    ("pairs", "hstore", ["a=>1", "b=>NULL"]),
    ("amount", "numeric", ["1.00", "NaN"]),
    ("mood", "mood", ["sad", "ok"]),
    (
        "id",
        "uuid",
        ["6a2f41a3-c54c-4f4a-8a3b-1a2b3c4d5e60", "6a2f41a3-c54c-4f4a-8a3b-1a2b3c4d5e61"],
    ),
    ("host", "inet", ["10.0.0.1/8", "::1"]),
    ("bits", "bit(3)", ["101", "000"]),
    ("age", "int4range", ["[1,3)", "empty"]),
    ("path", "ltree[]", ["{a.b}", "{NULL}"]),
];

#[test]
fn a_key_of_any_type_goes_there_and_back() {
    let mut schema = "CREATE SCHEMA ext; CREATE EXTENSION ltree SCHEMA ext; CREATE EXTENSION isn; \
        CREATE EXTENSION cube; CREATE EXTENSION seg SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; \
        CREATE EXTENSION hstore; SET search_path = public, ext; \
        CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN login AS citext;"
        .to_owned();
    let (mut forward, mut reverse, mut images) = (String::new(), String::new(), Vec::new());
    for (table, kind, [stays, goes]) in KEYS {
        let table = format!("by_{table}");
        write!(
            schema,
            "CREATE TABLE {table} (k {kind} PRIMARY KEY, n int); \
             CREATE TABLE full_{table} (k {kind}, n int); \
             ALTER TABLE full_{table} REPLICA IDENTITY FULL; \
             INSERT INTO {table} VALUES ('{stays}', 0), ('{goes}', 0); \
             INSERT INTO full_{table} SELECT k, n FROM {table}, generate_series(1, 2);"
        )
        .unwrap();
        for table in [format!("full_{table}"), table] {
            write!(forward, "UPDATE {table} SET n = n + 1 WHERE k::text = '{stays}';").unwrap();
            write!(reverse, "UPDATE {table} SET n = n + 1; DELETE FROM {table} WHERE n = 1;")
                .unwrap();
            images.push(format!("SELECT '{table} ' || k::text || n AS x FROM {table}"));
        }
    }
    let image =
        format!("SELECT string_agg(x, ' ' ORDER BY x) FROM ({}) x", images.join(" UNION ALL "));
    let pair = Pair::start("keys");
    let stage = stage(&pair, "keys", ["", ""], &schema);
    there_and_back(&stage, &forward, &reverse, &image);
}

/// What is computed, what has no columns, what is large, and what is keyed by what is computed.
const COMPUTED: &str = "
    CREATE FUNCTION slug(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
    CREATE TABLE t (id int PRIMARY KEY, n text, s text GENERATED ALWAYS AS (slug(n)) STORED);
    INSERT INTO t (id, n) SELECT i, 'Title ' || i FROM generate_series(1, 100) i;
    CREATE OR REPLACE FUNCTION slug(text) RETURNS text LANGUAGE sql IMMUTABLE AS
      $$SELECT replace(lower($1), ' ', '-')$$;
    CREATE TABLE nothing (); ALTER TABLE nothing REPLICA IDENTITY FULL;
    INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
    CREATE TABLE only_made (a int GENERATED ALWAYS AS (1) STORED);
    ALTER TABLE only_made REPLICA IDENTITY FULL; INSERT INTO only_made DEFAULT VALUES;
    CREATE TABLE by_made (n int, k int GENERATED ALWAYS AS (n * 2) STORED PRIMARY KEY);
    ALTER TABLE by_made REPLICA IDENTITY FULL; INSERT INTO by_made VALUES (1), (2);
    CREATE TABLE large (id int PRIMARY KEY, b bytea, t text, j jsonb, x xml);
    INSERT INTO large SELECT i, decode(repeat('ab', 1500000), 'hex'), repeat('é', 700000),
      jsonb_build_object('k', repeat('x', 1500000)), xmlelement(name a, repeat('y', 1500000))
      FROM generate_series(1, 3) i";

#[test]
fn what_is_computed_is_compared_and_what_is_large_or_empty_can_be() {
    let pair = Pair::start("computed");
    let stage = stage(&pair, "computed", ["", ""], COMPUTED);
    let (reason, _) = paused(&copy(&stage, 5));
    has(&reason, &["100"]);
    let status = stage.status().to_string();
    let named = [
        "generated column s of public.t differs in 100 rows",
        "slug(n)",
        "SET \\\"n\\\" = \\\"n\\\"",
    ];
    has(&status, &named);
    execute(&stage.source, "UPDATE t SET n = n");
    let image = "SELECT (SELECT string_agg(s, ',' ORDER BY id) FROM t) || \
        (SELECT count(*) FROM nothing) || (SELECT count(*) FROM only_made) || \
        (SELECT string_agg(k::text, ',' ORDER BY k) FROM by_made) || \
        (SELECT string_agg(md5(b) || md5(t) || md5(j::text) || md5(x::text), ',') FROM large)";
    let change = "UPDATE large SET b = b || '\\x00', t = t || 'é' WHERE id = 1; \
        INSERT INTO nothing DEFAULT VALUES; INSERT INTO only_made DEFAULT VALUES; \
        UPDATE by_made SET n = n + 10; DELETE FROM by_made WHERE n % 2 = 0; \
        UPDATE t SET n = 'An Other' WHERE id = 7";
    there_and_back(&stage, change, &change.replace("An Other", "The Other"), image);
    let plain = "CREATE TABLE k (n int, k int GENERATED ALWAYS AS (n) STORED PRIMARY KEY)";
    let refused = self::stage(&pair, "made_key", ["", ""], plain);
    has(&said(&refused.expect("plan", 1)), &["public.k", "has a generated column"]);
}

#[test]
fn bytes_and_characters_of_any_encoding_are_the_same_on_both_sides() {
    let pair = Pair::start("encodings");
    let of = |encoding: &str| {
        format!("ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    };
    let (bytes, latin) = (of("SQL_ASCII"), of("LATIN1"));
    let schema = "CREATE TABLE t (k text PRIMARY KEY, n text, b bytea); \
        INSERT INTO t VALUES (E'\\xe4\\xf6', E'\\xff', '\\x00'), ('plain', NULL, NULL)";
    let ascii = stage(&pair, "ascii", [&bytes, &bytes], schema);
    let image = "SELECT string_agg(encode(convert_to(t::text, 'SQL_ASCII'), 'hex'), ' ' \
        ORDER BY k) FROM t";
    there_and_back(
        &ascii,
        "INSERT INTO t VALUES (E'\\xfc', E'\\xe4'); UPDATE t SET n = E'\\xdf' WHERE k = E'\\xe4\\xf6'",
        "UPDATE t SET n = E'\\xdf\\xdf', k = k || E'\\xdf'",
        image,
    );

    let schema = "CREATE TABLE t (k text PRIMARY KEY, n text); \
        INSERT INTO t VALUES ('Müller', repeat('ü', 600000)), ('plain', 'x')";
    let mixed = stage(&pair, "latin", [&latin, ""], schema);
    has(&said(&mixed.verb("plan")), &["LATIN1", "every step can be taken back", "not here"]);
    there_and_back(
        &mixed,
        "INSERT INTO t VALUES ('Jürgen', 'ÿ'); UPDATE t SET n = 'é' WHERE k = 'Müller'",
        "UPDATE t SET n = n || 'é', k = k || 'ö'",
        "SELECT string_agg(k || n, ' ' ORDER BY k COLLATE \"C\") FROM t",
    );
}

/// Functions that name others without a schema, wherever a session of ours runs them.
const PATHS: &str = "
    CREATE SCHEMA lib; ALTER DATABASE paths SET search_path = public, lib;
    ALTER DATABASE paths SET array_nulls = off; ALTER DATABASE paths SET xmloption = document;
    SET search_path = public, lib; SET array_nulls = on; SET xmloption = content;
    CREATE FUNCTION lib.norm(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
    CREATE FUNCTION ok(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
      $$BEGIN RETURN norm($1) <> 'bad'; END$$;
    CREATE FUNCTION made(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
      $$BEGIN RETURN norm($1); END$$;
    CREATE DOMAIN good AS text CHECK (ok(VALUE));
    CREATE TABLE t (id int PRIMARY KEY, n text CHECK (ok(n)), d good,
      s text GENERATED ALWAYS AS (made(n)) STORED, c regclass, a text[], x xml, m money);
    INSERT INTO t (id, n, d, c, a, x, m)
      SELECT i, 'N' || i, 'D', 't', ARRAY[NULL, 'NULL'], 'a<b/>', 1234.5 FROM generate_series(1, 50) i;
    CREATE FUNCTION found(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT norm($1)';
    CREATE INDEX t_found ON t (found(n))";

#[test]
fn functions_find_what_the_application_lets_them_find() {
    let pair = Pair::start("paths");
    let stage = stage(&pair, "paths", ["", ""], PATHS);
    execute(&stage.target, "ALTER DATABASE paths SET array_nulls = off");
    let path = "SET search_path = public, lib; SET array_nulls = on; SET xmloption = content;";
    let change = "UPDATE t SET n = 'Other', a = ARRAY[NULL, 'x'], x = 'c<d/>' WHERE id < 9; \
        INSERT INTO t (id, n, d, a, m) VALUES (60, 'New', 'New', ARRAY[NULL]::text[], 7.07)";
    there_and_back(
        &stage,
        &format!("{path} {change}"),
        &format!("{path} {}", change.replace("60", "61").replace("Other", "Another")),
        "SELECT md5(string_agg(t::text, ' ' ORDER BY id)) FROM t",
    );
}

/// Six hundred megabytes: their text is over 1 GB.
const HUGE: &str = "(SELECT string_agg(x, '') FROM (SELECT decode(repeat('ab', 100000000), 'hex') x \
    FROM generate_series(1, 6)) y)";

/// What such a value needs is memory and time, and the words for it must be right.
#[test]
#[ignore = "takes minutes and gigabytes; make test-all"]
fn a_value_whose_text_is_over_a_gigabyte_is_copied_and_compared_but_stops_the_relay() {
    let pair = Pair::start("huge");
    let stage = stage(
        &pair,
        "huge",
        ["", ""],
        &format!(
            "CREATE TABLE t (id int PRIMARY KEY, b bytea); \
             ALTER TABLE t ALTER b SET STORAGE EXTERNAL; INSERT INTO t SELECT 1, {HUGE}"
        ),
    );
    let long = Duration::from_secs(900);
    let ran = stage.begin("apply", &["--until", "copy"], &[]).end(long).unwrap();
    assert_eq!(ran.code, Some(0), "{}\n{}", stage.report(), ran.error());
    execute(&stage.source, &format!("INSERT INTO t SELECT 2, {HUGE}"));
    let reason = stage.wait_for_state("paused")["state"]["reason"].to_string();
    has(&reason, &["forward relay", "1 GB", "512 MB"]);
    stage.expect("abort", 0);
}
