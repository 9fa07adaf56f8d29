//! Schemas that other tools stumble over are restored, or there is a way on.

use changeover_testkit::Cluster;

use crate::stage::postgres_session::{block_on, connect, execute, query_one};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Ran, Stage};

/// A stage with this schema.
fn stage(pair: &Pair, name: &str, schema: &str) -> Stage {
    let stage = Stage::bare(&pair.blue, &pair.green, name, ["", ""], &PlanText::new(Gate::None));
    execute(&stage.source, schema);
    stage
}

/// The copy and what comes before the cutover, which must end so.
fn copy(stage: &Stage, code: i32) -> Ran {
    let ran = stage.begin("apply", &["--until", "copy"], &[]).end(PATIENCE).unwrap();
    assert_eq!(ran.code, Some(code), "{}\n{}", stage.report(), ran.error());
    ran
}

/// Both sides give the same answer, and it is this one.
fn both(stage: &Stage, sql: &str, answer: &str) {
    for url in [&stage.source, &stage.target] {
        assert_eq!(query_one(url, sql), answer, "{url}: {sql}");
    }
}

/// A tablespace of this name, in the server's own folder.
fn tablespace(cluster: &Cluster, name: &str) {
    block_on(async {
        let client = connect(&cluster.url("postgres")).await.unwrap();
        client.batch_execute("SET allow_in_place_tablespaces = on").await.unwrap();
        let create = format!("CREATE TABLESPACE {name} LOCATION ''");
        client.batch_execute(&create).await.unwrap();
    });
}

/// What an index needs may itself come after the rows.
const AFTER_KEYS: &str = "
    CREATE TABLE t (id int PRIMARY KEY, name text);
    INSERT INTO t SELECT i, 'n' || i FROM generate_series(1, 100) i;
    CREATE TABLE o (id int PRIMARY KEY, t int REFERENCES t);
    INSERT INTO o SELECT i, i % 100 + 1 FROM generate_series(1, 300) i;
    CREATE MATERIALIZED VIEW m AS
      SELECT t.id, t.name, count(*) n FROM t JOIN o ON o.t = t.id GROUP BY t.id;
    CREATE UNIQUE INDEX m_id ON m (id);
    CREATE FUNCTION names() RETURNS bigint LANGUAGE sql STABLE
      BEGIN ATOMIC SELECT count(*) FROM (SELECT t.id, t.name FROM t GROUP BY t.id) x; END;
    CREATE MATERIALIZED VIEW counted AS SELECT names() AS n;
    CREATE INDEX counted_n ON counted (n);
    COMMENT ON INDEX counted_n IS 'over a function over a key'";

#[test]
fn everything_comes_after_what_it_needs_and_stays_where_it_was() {
    let pair = Pair::start("restoring");
    for cluster in [&pair.blue, &pair.green] {
        tablespace(cluster, "fast");
    }
    let keys = stage(&pair, "after_keys", AFTER_KEYS);
    copy(&keys, 0);
    let indexes = "SELECT string_agg(indexname, ' ' ORDER BY indexname) FROM pg_indexes \
                   WHERE schemaname = 'public'";
    both(&keys, indexes, "counted_n m_id o_pkey t_pkey");
    both(&keys, "SELECT count(*) || ' ' || (SELECT n FROM counted) FROM m", "100 100");

    let places = stage(
        &pair,
        "places",
        "CREATE TABLE big (id int PRIMARY KEY, a int); CREATE INDEX big_a ON big (a) TABLESPACE fast;
         INSERT INTO big SELECT i, i FROM generate_series(1, 5000) i;
         CREATE TABLE small (id int PRIMARY KEY, a int);
         CREATE INDEX zz ON small (id, a) TABLESPACE fast;
         CREATE TABLE tf (id int PRIMARY KEY, x int) TABLESPACE fast",
    );
    copy(&places, 0);
    let where_they_are = "SELECT string_agg(c.relname || '=' || coalesce(t.spcname, '-'), ' ' \
                          ORDER BY c.relname) FROM pg_class c \
                          LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace \
                          WHERE c.relkind IN ('r', 'i') AND c.relnamespace = 'public'::regnamespace";
    both(
        &places,
        where_they_are,
        "big=- big_a=fast big_pkey=- small=- small_pkey=- tf=fast tf_pkey=- zz=fast",
    );
}
