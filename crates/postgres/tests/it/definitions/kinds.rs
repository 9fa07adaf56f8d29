//! The kinds of changes, and of noise.

/// Something of most kinds.
pub(super) const SCHEMA: &str = "CREATE ROLE reader; CREATE ROLE keeper;
  CREATE TABLE t (id int PRIMARY KEY, v text, w numeric(9,2), big text);
  CREATE TABLE parent (id int, at date) PARTITION BY RANGE (at);
  CREATE TABLE part PARTITION OF parent FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
  CREATE INDEX parent_at ON parent (at);
  CREATE TABLE child (id int PRIMARY KEY, t int CONSTRAINT child_t REFERENCES t, n serial);
  CREATE VIEW seen AS SELECT id FROM t;
  CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t;
  CREATE TYPE mood AS ENUM ('low', 'high');
  CREATE TYPE pair AS (a int, b int);
  CREATE DOMAIN age AS int CONSTRAINT positive CHECK (VALUE > 0);
  CREATE FUNCTION price() RETURNS int LANGUAGE sql AS 'select 1';
  CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
  CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
  CREATE TRIGGER stop BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION stop();
  CREATE TRIGGER each BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION stop();
  CREATE POLICY mine ON t FOR SELECT TO reader USING (id > 0);
  CREATE EXTENSION hstore; CREATE SCHEMA s; GRANT USAGE ON SCHEMA s TO reader;
  CREATE PROCEDURE p() LANGUAGE sql AS ''; CREATE SEQUENCE free;
  CREATE EXTENSION postgres_fdw;
  CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'a');
  CREATE USER MAPPING FOR keeper SERVER far OPTIONS (user 'x', password 'geheim');
  CREATE FOREIGN TABLE far_t (id int) SERVER far;
  CREATE PUBLICATION others FOR TABLE t;
  CREATE TEXT SEARCH CONFIGURATION words (COPY = pg_catalog.english);
  INSERT INTO t SELECT i, i, i, repeat('x', 3000) FROM generate_series(1, 50) i;";

/// A change, what undoes it (nothing if that cannot be), and the words for it.
pub(super) const KINDS: &[(&str, &str, &str)] = &[
    ("CREATE INDEX t_v ON t (v)", "DROP INDEX t_v", "index public.t_v: new"),
    ("CREATE INDEX part_id ON part (id)", "DROP INDEX part_id", "index public.part_id: new"),
    (
        "ALTER INDEX parent_at RENAME TO other",
        "ALTER INDEX other RENAME TO parent_at",
        "index public.other: new|index public.parent_at: gone",
    ),
    (
        "ALTER TABLE t ALTER v SET DEFAULT 'geheim'",
        "ALTER TABLE t ALTER v DROP DEFAULT",
        "column public.t.v: default set",
    ),
    (
        "ALTER TABLE t ALTER v SET STATISTICS 7",
        "ALTER TABLE t ALTER v SET STATISTICS -1",
        "column public.t.v: statistics target is 7",
    ),
    (
        "ALTER TABLE t ALTER v SET STORAGE EXTERNAL",
        "ALTER TABLE t ALTER v SET STORAGE EXTENDED",
        "column public.t.v: storage is e",
    ),
    (
        "ALTER TABLE t ALTER v SET NOT NULL",
        "ALTER TABLE t ALTER v DROP NOT NULL",
        "column public.t.v: nulls is refused",
    ),
    (
        "GRANT SELECT (v) ON t TO reader",
        "REVOKE SELECT (v) ON t FROM reader",
        "column public.t.v: privileges is +reader SELECT",
    ),
    ("ALTER TABLE t ADD COLUMN z int", "", "column public.t.z: new"),
    (
        "CREATE OR REPLACE FUNCTION price() RETURNS int LANGUAGE sql AS 'select 2'",
        "CREATE OR REPLACE FUNCTION price() RETURNS int LANGUAGE sql AS 'select 1'",
        "function public.price(): body changed",
    ),
    (
        "ALTER FUNCTION price() SET work_mem = '8MB'",
        "ALTER FUNCTION price() RESET ALL",
        "function public.price(): settings set",
    ),
    (
        "ALTER FUNCTION price() SECURITY DEFINER",
        "ALTER FUNCTION price() SECURITY INVOKER",
        "function public.price(): attributes was sql cost 100 rows 0, is sql security definer cost 100 \
      rows 0",
    ),
    (
        "REVOKE EXECUTE ON FUNCTION price() FROM PUBLIC",
        "GRANT EXECUTE ON FUNCTION price() TO PUBLIC",
        "function public.price(): privileges is -PUBLIC EXECUTE",
    ),
    (
        "CREATE FUNCTION new(int, text DEFAULT '') RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END",
        "DROP FUNCTION new",
        "function public.new(integer, text): new",
    ),
    ("DROP PROCEDURE p()", "CREATE PROCEDURE p() LANGUAGE sql AS ''", "procedure public.p(): gone"),
    (
        "CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int)",
        "DROP AGGREGATE total(int)",
        "aggregate public.total(integer): new",
    ),
    (
        "CREATE OR REPLACE VIEW seen AS SELECT id FROM t WHERE id > 5",
        "CREATE OR REPLACE VIEW seen AS SELECT id FROM t",
        "view public.seen: definition changed",
    ),
    ("CREATE VIEW more AS SELECT v FROM t", "DROP VIEW more", "view public.more: new"),
    (
        "ALTER VIEW seen SET (security_barrier)",
        "ALTER VIEW seen RESET (security_barrier)",
        "view public.seen: storage parameters is security_barrier=true",
    ),
    (
        "CREATE MATERIALIZED VIEW mm AS SELECT 1 AS a",
        "DROP MATERIALIZED VIEW mm",
        "materialized view public.mm: new",
    ),
    (
        "REFRESH MATERIALIZED VIEW m WITH NO DATA",
        "REFRESH MATERIALIZED VIEW m",
        "materialized view public.m: rows was there, is never computed",
    ),
    (
        "GRANT SELECT ON t TO reader",
        "REVOKE ALL ON t FROM reader",
        "table public.t: privileges is +reader SELECT",
    ),
    (
        "REVOKE USAGE ON SCHEMA s FROM reader",
        "GRANT USAGE ON SCHEMA s TO reader",
        "schema s: privileges +reader USAGE is gone",
    ),
    (
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT CREATE ON SCHEMA public TO reader",
        "REVOKE CREATE ON SCHEMA public FROM reader",
        "schema public: privileges was +PUBLIC USAGE, is +PUBLIC USAGE, +reader CREATE",
    ),
    (
        "COMMENT ON TABLE t IS 'geheim'",
        "COMMENT ON TABLE t IS NULL",
        "comment on table public.t: new",
    ),
    (
        "COMMENT ON COLUMN t.v IS 'x'",
        "COMMENT ON COLUMN t.v IS NULL",
        "comment on table column public.t.v: new",
    ),
    (
        "COMMENT ON TRIGGER stop ON t IS 'x'",
        "COMMENT ON TRIGGER stop ON t IS NULL",
        "comment on trigger stop on public.t: new",
    ),
    ("CREATE TYPE other AS (x int)", "DROP TYPE other", "type public.other: new"),
    (
        "ALTER TYPE pair ADD ATTRIBUTE c int",
        "ALTER TYPE pair DROP ATTRIBUTE c",
        "column public.pair.c: new",
    ),
    (
        "ALTER TYPE mood ADD VALUE 'middle' BEFORE 'high'",
        "",
        "type public.mood: labels was low, high, is low, middle, high",
    ),
    ("CREATE TYPE span AS RANGE (subtype = float8)", "DROP TYPE span", "type public.span: new"),
    (
        "ALTER DOMAIN age SET DEFAULT 3",
        "ALTER DOMAIN age DROP DEFAULT",
        "type public.age: default set",
    ),
    (
        "ALTER DOMAIN age DROP CONSTRAINT positive",
        "ALTER DOMAIN age ADD CONSTRAINT positive CHECK (VALUE > 0)",
        "constraint positive on public.age: gone",
    ),
    (
        "CREATE STATISTICS st (ndistinct) ON id, v FROM t",
        "DROP STATISTICS st",
        "statistics public.st: new",
    ),
    (
        "ALTER TABLE t SET (fillfactor = 70)",
        "ALTER TABLE t RESET (fillfactor)",
        "table public.t: storage parameters is fillfactor=70",
    ),
    (
        "ALTER TABLE t SET (toast.autovacuum_enabled = off)",
        "ALTER TABLE t RESET (toast.autovacuum_enabled)",
        "table public.t: storage parameters of its large values is autovacuum_enabled=off",
    ),
    (
        "ALTER TABLE t CLUSTER ON t_pkey",
        "ALTER TABLE t SET WITHOUT CLUSTER",
        "index public.t_pkey: clustering is chosen",
    ),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO reader",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA s REVOKE SELECT ON TABLES FROM reader",
        "default privileges of postgres in schema s for tables: new",
    ),
    (
        "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
        "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC",
        "default privileges of postgres for functions: new",
    ),
    (
        "CREATE POLICY yours ON t USING (true)",
        "DROP POLICY yours ON t",
        "policy yours on public.t: new",
    ),
    (
        "ALTER POLICY mine ON t USING (id > 1)",
        "ALTER POLICY mine ON t USING (id > 0)",
        "policy mine on public.t: USING changed",
    ),
    (
        "ALTER POLICY mine ON t TO PUBLIC",
        "ALTER POLICY mine ON t TO reader",
        "policy mine on public.t: roles was reader, is PUBLIC",
    ),
    (
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE t DISABLE ROW LEVEL SECURITY",
        "table public.t: row security is on",
    ),
    (
        "ALTER VIEW seen OWNER TO keeper",
        "ALTER VIEW seen OWNER TO postgres",
        "view public.seen: owner was postgres, is keeper",
    ),
    (
        "CREATE SCHEMA fresh; CREATE TABLE fresh.x (id int PRIMARY KEY)",
        "DROP SCHEMA fresh CASCADE",
        "schema fresh: new|table fresh.x: new",
    ),
    ("CREATE EXTENSION citext", "DROP EXTENSION citext", "extension citext: new"),
    (
        "ALTER EXTENSION hstore SET SCHEMA s",
        "ALTER EXTENSION hstore SET SCHEMA public",
        "extension hstore: schema was public, is s",
    ),
    (
        "ALTER DATABASE app SET work_mem = '9MB'",
        "ALTER DATABASE app RESET work_mem",
        "setting work_mem of the database: new",
    ),
    (
        "ALTER ROLE reader IN DATABASE app SET statement_timeout = '5s'",
        "ALTER ROLE reader IN DATABASE app RESET ALL",
        "setting statement_timeout of role reader in the database: new",
    ),
    (
        "REVOKE CONNECT ON DATABASE app FROM PUBLIC",
        "GRANT CONNECT ON DATABASE app TO PUBLIC",
        "database: privileges is -PUBLIC CONNECT",
    ),
    (
        "ALTER DATABASE app CONNECTION LIMIT 55",
        "ALTER DATABASE app CONNECTION LIMIT -1",
        "database: connection limit is 55",
    ),
    (
        "COMMENT ON DATABASE app IS 'prod'",
        "COMMENT ON DATABASE app IS NULL",
        "database: comment set",
    ),
    (
        "ALTER TABLE t DISABLE TRIGGER stop",
        "ALTER TABLE t ENABLE TRIGGER stop",
        "trigger stop on public.t: state is disabled",
    ),
    (
        "ALTER TABLE part DISABLE TRIGGER each",
        "ALTER TABLE part ENABLE TRIGGER each",
        "trigger each on public.part: state is disabled",
    ),
    (
        "CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION note()",
        "DROP EVENT TRIGGER watch",
        "event trigger watch: new",
    ),
    (
        "CREATE RULE quiet AS ON DELETE TO t DO NOTHING",
        "DROP RULE quiet ON t",
        "rule quiet on public.t: new",
    ),
    (
        "ALTER TABLE child ALTER CONSTRAINT child_t DEFERRABLE",
        "ALTER TABLE child ALTER CONSTRAINT child_t NOT DEFERRABLE",
        "constraint child_t on public.child: definition changed",
    ),
    (
        "ALTER TABLE child DROP CONSTRAINT child_t",
        "ALTER TABLE child ADD CONSTRAINT child_t FOREIGN KEY (t) REFERENCES t",
        "constraint child_t on public.child: gone",
    ),
    (
        "ALTER SEQUENCE free MAXVALUE 9999",
        "ALTER SEQUENCE free NO MAXVALUE",
        "sequence public.free: numbers was bigint from 1 to 9223372036854775807 start 1 by 1 cache 1, \
      is bigint from 1 to 9999 start 1 by 1 cache 1",
    ),
    (
        "ALTER SERVER far OPTIONS (SET host 'b')",
        "ALTER SERVER far OPTIONS (SET host 'a')",
        "server far: options changed",
    ),
    (
        "ALTER USER MAPPING FOR keeper SERVER far OPTIONS (SET password 'other')",
        "ALTER USER MAPPING FOR keeper SERVER far OPTIONS (SET password 'geheim')",
        "user mapping for keeper on server far: options changed",
    ),
    (
        "ALTER FOREIGN TABLE far_t OPTIONS (table_name 'x')",
        "ALTER FOREIGN TABLE far_t OPTIONS (DROP table_name)",
        "foreign table public.far_t: options set",
    ),
    (
        "ALTER PUBLICATION others ADD TABLE child",
        "ALTER PUBLICATION others DROP TABLE child",
        "publication others: tables was public.t, is public.child, public.t",
    ),
    (
        "CREATE OPERATOR === (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)",
        "DROP OPERATOR === (int, int)",
        "operator public.===(integer,integer): new",
    ),
    (
        "CREATE CAST (pair AS text) WITH INOUT",
        "DROP CAST (pair AS text)",
        "cast public.pair AS text: new",
    ),
    (
        "CREATE COLLATION plain (LOCALE = 'C')",
        "DROP COLLATION plain",
        "collation public.plain: new",
    ),
    (
        "ALTER TEXT SEARCH CONFIGURATION words ALTER MAPPING FOR word WITH simple",
        "ALTER TEXT SEARCH CONFIGURATION words ALTER MAPPING FOR word WITH english_stem",
        "text search configuration public.words: mapping changed",
    ),
    (
        "CREATE OPERATOR CLASS rev FOR TYPE int USING btree AS OPERATOR 1 >, OPERATOR 5 <, \
      OPERATOR 3 =, FUNCTION 1 btint4cmp(int, int)",
        "DROP OPERATOR FAMILY rev USING btree",
        "operator class public.rev USING btree: new|operator family public.rev USING btree: new",
    ),
    (
        "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(float8) FROM PUBLIC",
        "GRANT EXECUTE ON FUNCTION pg_catalog.pg_sleep(float8) TO PUBLIC",
        "function pg_catalog.pg_sleep(double precision): privileges is -PUBLIC EXECUTE",
    ),
    ("SELECT lo_from_bytea(4711, 'x')", "SELECT lo_unlink(4711)", "large objects: number is 1"),
    ("DROP TABLE child", "", "sequence public.child_n_seq: gone|table public.child: gone"),
];

/// What is no change, however often it happens.
pub(super) const QUIET: &[&str] = &[
    "ANALYZE",
    "VACUUM FULL t",
    "VACUUM",
    "REINDEX TABLE t",
    "CLUSTER t USING t_pkey; ALTER TABLE t SET WITHOUT CLUSTER",
    "TRUNCATE t CASCADE",
    "INSERT INTO t VALUES (99, 'x', 1, repeat('y', 9000))",
    "REFRESH MATERIALIZED VIEW m",
    "CREATE TEMP TABLE mine (id int PRIMARY KEY); CREATE TEMP VIEW v AS SELECT 1",
    "SELECT nextval('free'), nextval('child_n_seq')",
    "CREATE OR REPLACE FUNCTION public.hstore(text, text) RETURNS hstore LANGUAGE c IMMUTABLE \
     AS '$libdir/hstore', 'hstore_from_text'",
    "GRANT SELECT ON t TO postgres",
    "SET search_path = s; SET DateStyle = 'German'; SET extra_float_digits = 0",
];
