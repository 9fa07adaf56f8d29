//! What the move would stumble over is told by `plan`, before anything was done.

use crate::faults::program::{has, ours, paused};
use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage};

/// Everything of a database that a trial could leave behind, as one text.
const CATALOGUE: &str = "SELECT concat_ws(E'\\n', \
    (SELECT string_agg(concat_ws(' ', oid, relname, relnamespace, relkind, relacl), ',' ORDER BY oid) \
       FROM pg_class), \
    (SELECT string_agg(concat_ws(' ', oid, typname, typacl), ',' ORDER BY oid) FROM pg_type), \
    (SELECT string_agg(concat_ws(' ', oid, proname, proacl), ',' ORDER BY oid) FROM pg_proc), \
    (SELECT string_agg(concat_ws(' ', oid, nspname, nspacl), ',' ORDER BY oid) FROM pg_namespace \
       WHERE nspname !~ '^pg_(toast_)?temp'), \
    (SELECT string_agg(concat_ws(' ', oid, extname), ',' ORDER BY oid) FROM pg_extension), \
    (SELECT string_agg(concat_ws(' ', oid, rolname, rolcanlogin), ',' ORDER BY oid) FROM pg_roles), \
    (SELECT string_agg(concat_ws(' ', oid, defaclacl), ',' ORDER BY oid) FROM pg_default_acl), \
    (SELECT string_agg(concat_ws(' ', setdatabase, setrole, setconfig), ',') \
       FROM pg_db_role_setting), \
    (SELECT concat_ws(' ', datname, datacl, datconnlimit) FROM pg_database \
       WHERE datname = current_database()))";

/// `plan` refuses with these words and `apply` pauses with them before anything was done: both
/// databases are as they were.
fn refused(stage: &Stage, words: &[&str]) {
    let before = [&stage.source, &stage.target].map(|url| query_one(url, CATALOGUE));
    has(&planned(stage, 1), words);
    let (reason, _) = paused(&stage.expect("apply", 5));
    has(&reason, words);
    let after = [&stage.source, &stage.target].map(|url| query_one(url, CATALOGUE));
    assert_eq!(before, after, "{}", stage.report());
    stage.expect("abort", 0);
    assert_eq!(ours(&stage.source, &stage.name), "0", "{}", stage.report());
}

/// What `plan` says, without measuring, with this exit code.
fn planned(stage: &Stage, code: i32) -> String {
    let ran = stage.begin("plan", &["--no-sample"], &[]).end(PATIENCE).unwrap();
    let text: String = ran.lines.iter().map(ToString::to_string).collect();
    assert_eq!(ran.code, Some(code), "{text}");
    text
}

/// Changes a stage's plan.
fn amend(stage: &Stage, change: impl FnOnce(String) -> String) {
    let text = std::fs::read_to_string(&stage.plan).unwrap();
    std::fs::write(&stage.plan, change(text)).unwrap();
}

/// Two servers, of which the target has given more numbers than the source: a trial takes none that
/// a type is to have.
fn pair(name: &str) -> Pair {
    let pair = Pair::start(name);
    let numbers = "BEGIN; SELECT count(lo_create(0)) FROM generate_series(1, 5000); ROLLBACK";
    execute(&pair.green.url("postgres"), numbers);
    pair
}

/// A stage with these objects on the source and these on the target.
fn stage(pair: &Pair, name: &str, source: &str, target: &str) -> Stage {
    let stage = Stage::bare(&pair.blue, &pair.green, name, ["", ""], &PlanText::new(Gate::None));
    execute(&stage.source, source);
    execute(&stage.target, target);
    stage
}

/// Each role is needed by one object, of another kind.
const NEEDS: [&str; 12] = [
    "GRANT EXECUTE ON FUNCTION f() TO r0",
    "GRANT SELECT ON v TO r1",
    "ALTER VIEW w OWNER TO r2",
    "GRANT USAGE ON SEQUENCE s TO r3",
    "GRANT SELECT (id) ON t TO r4",
    "GRANT USAGE ON TYPE mood TO r5",
    "CREATE SCHEMA empty AUTHORIZATION r6",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO r7",
    "CREATE POLICY p ON t TO r8 USING (true)",
    "GRANT EXECUTE ON FUNCTION akeys(hstore) TO r9",
    "ALTER ROLE r10 IN DATABASE roles SET work_mem = '8MB'",
    "GRANT CONNECT ON DATABASE roles TO r11",
];

#[test]
fn a_role_that_is_missing_is_told_whatever_needs_it() {
    let pair = pair("trial-roles");
    let roles = (0..NEEDS.len()).map(|n| format!("CREATE ROLE r{n} LOGIN CONNECTION LIMIT {n};"));
    let roles =
        roles.collect::<String>() + "CREATE ROLE crowd; GRANT crowd TO r1; CREATE ROLE idle";
    execute(&pair.blue.url("postgres"), &roles);
    let objects = "CREATE EXTENSION hstore; CREATE TABLE t (id int PRIMARY KEY); \
        CREATE VIEW v AS SELECT 1; CREATE VIEW w AS SELECT 1; CREATE SEQUENCE s; \
        CREATE TYPE mood AS ENUM ('ok'); \
        CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'; ";
    let kept = stage(&pair, "roles", &format!("{objects}{}", NEEDS.join(";")), "");
    let statements: Vec<String> = (0..NEEDS.len())
        .map(|n| format!("CREATE ROLE \\\"r{n}\\\" LOGIN CONNECTION LIMIT {n};"))
        .chain(["CREATE ROLE \\\"crowd\\\";".into(), "GRANT \\\"crowd\\\" TO \\\"r1\\\";".into()])
        .collect();
    let mut words: Vec<&str> = statements.iter().map(String::as_str).collect();
    words.extend(["10 roles do not exist", "owners_missing", "2 roles that own something"]);
    let text = planned(&kept, 1);
    has(&text, &words);
    // Nothing else is wrong: in the trial the roles were there.
    assert!(!text.contains("idle") && !text.contains("restore_trial"), "{text}");
    refused(&kept, &["roles_missing", "target", "r0 (function public.f())"]);

    // What is left out needs no role.
    let objects = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE kept (id int PRIMARY KEY); ";
    let left = stage(&pair, "apart", &format!("{objects}{}", NEEDS[4]), "");
    amend(&left, |plan| plan + "data: {exclude: [public.t]}\n");
    let ran = left.begin("plan", &["--no-sample"], &[]).end(PATIENCE).unwrap();
    let text: String = ran.lines.iter().map(ToString::to_string).collect();
    assert!(!text.contains("roles_missing") && !text.contains("owners_missing"), "{text}");
}

/// What is wrong with a schema, and the words that must be said of it.
struct Wrong {
    name: &'static str,
    source: &'static str,
    target: &'static str,
    /// Added to the plan.
    plan: &'static str,
    words: &'static [&'static str],
}

const WRONG: &[Wrong] = &[
    Wrong {
        name: "view_of_excluded",
        source: "CREATE TABLE audit (id serial PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY); \
            CREATE VIEW recent AS SELECT * FROM audit",
        target: "",
        plan: "data: {exclude: [public.audit]}\n",
        words: &["needs_left_out", "view public.recent needs table public.audit", "public.recent]"],
    },
    Wrong {
        name: "more_of_excluded",
        source: "CREATE TABLE audit (id serial PRIMARY KEY); \
            CREATE TABLE t (id int PRIMARY KEY DEFAULT nextval('audit_id_seq')); \
            CREATE FUNCTION f() RETURNS SETOF audit LANGUAGE sql AS 'SELECT * FROM audit'",
        target: "",
        plan: "data: {exclude: [public.audit]}\n",
        words: &[
            "needs_left_out",
            "2 objects",
            "function public.f() needs type public.audit",
            "table public.t needs sequence public.audit_id_seq",
        ],
    },
    Wrong {
        name: "only_included",
        source: "CREATE SCHEMA app; CREATE SCHEMA lib; CREATE TYPE lib.mood AS ENUM ('ok'); \
            CREATE FUNCTION lib.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
            CREATE DOMAIN lib.name AS text; \
            CREATE TABLE app.t (id int PRIMARY KEY, m lib.mood, n lib.name); \
            CREATE TRIGGER touch BEFORE UPDATE ON app.t FOR EACH ROW EXECUTE FUNCTION lib.touch()",
        target: "",
        plan: "data: {include: [app]}\n",
        words: &[
            "needs_left_out",
            "table app.t needs type lib.mood",
            "table app.t needs type lib.name",
            "table app.t needs function lib.touch()",
        ],
    },
    Wrong {
        name: "body_of_excluded",
        source: "CREATE SCHEMA app; CREATE SCHEMA lib; CREATE TABLE app.t (id int PRIMARY KEY); \
            CREATE FUNCTION lib.two() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2'; \
            CREATE FUNCTION app.four() RETURNS int IMMUTABLE BEGIN ATOMIC SELECT lib.two() * 2; END",
        target: "",
        plan: "data: {include: [app]}\n",
        words: &["needs_left_out", "function app.four() needs function lib.two()"],
    },
    Wrong {
        name: "path_of_a_session",
        source: "CREATE SCHEMA lib; SET search_path = public, lib; \
            CREATE FUNCTION lib.norm(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)'; \
            CREATE FUNCTION plain(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT norm($1)'; \
            CREATE TABLE t (id int PRIMARY KEY, n text); \
            CREATE INDEX t_plain ON t (plain(n))",
        target: "",
        plan: "",
        words: &["reads", "public.t", "42883", "norm", "SET search_path"],
    },
    Wrong {
        name: "missing_library",
        source: "CREATE TABLE t (id int PRIMARY KEY); \
            CREATE FUNCTION g() RETURNS int LANGUAGE c STRICT AS '$libdir/hstore', 'hstore_in'; \
            UPDATE pg_proc SET probin = '$libdir/gone' WHERE proname = 'g'",
        target: "",
        plan: "",
        words: &["restore_trial", "1 object", "FUNCTION g() (schema public)", "gone"],
    },
    Wrong {
        name: "tablespace",
        source: "CREATE TABLE t (id int PRIMARY KEY, a int); \
            CREATE INDEX t_a ON t (a) TABLESPACE fast",
        target: "",
        plan: "",
        words: &["fast", "tablespace"],
    },
];

#[test]
fn what_the_restore_would_stumble_over_is_told_at_once() {
    let pair = pair("trial-wrong");
    let admin = pair.blue.url("postgres");
    execute(&admin, "ALTER ROLE postgres SET allow_in_place_tablespaces = on");
    execute(&admin, "CREATE TABLESPACE fast LOCATION ''");
    for wrong in WRONG {
        let stage = stage(&pair, wrong.name, wrong.source, wrong.target);
        amend(&stage, |plan| plan + wrong.plan);
        refused(&stage, wrong.words);
    }
}

#[test]
fn a_view_that_cannot_be_filled_is_told_and_stops_nothing() {
    let pair = pair("trial-views");
    for cluster in [&pair.blue, &pair.green] {
        execute(&cluster.url("postgres"), "CREATE ROLE poor");
    }
    let stage = stage(
        &pair,
        "views",
        "CREATE TABLE t (id int PRIMARY KEY, v int); \
         CREATE MATERIALIZED VIEW a AS SELECT sum(v) s FROM t; \
         ALTER MATERIALIZED VIEW a OWNER TO poor; \
         CREATE FUNCTION total() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT sum(v) FROM t'; \
         CREATE MATERIALIZED VIEW b AS SELECT total(); \
         CREATE MATERIALIZED VIEW c AS SELECT id FROM t WITH NO DATA; \
         CREATE MATERIALIZED VIEW d AS SELECT id FROM t; \
         CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; \
         CREATE EVENT TRIGGER audit ON ddl_command_end WHEN TAG IN ('DROP TABLE', 'CREATE VIEW') \
           EXECUTE FUNCTION note(); ALTER EVENT TRIGGER audit ENABLE ALWAYS",
        "CREATE SCHEMA own; \
         CREATE FUNCTION own.note() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; \
         CREATE EVENT TRIGGER theirs ON ddl_command_end EXECUTE FUNCTION own.note(); \
         CREATE EVENT TRIGGER off ON sql_drop EXECUTE FUNCTION own.note(); \
         ALTER EVENT TRIGGER off DISABLE",
    );
    let text = planned(&stage, 2);
    has(&text, &["views_trial", "1 materialised view cannot be filled", "public.a", "42501"]);
    has(
        &text,
        &[
            "1 event trigger is not moved",
            "CREATE EVENT TRIGGER audit ON ddl_command_end WHEN TAG IN ('DROP TABLE', 'CREATE VIEW') \
             EXECUTE FUNCTION public.note(); ALTER EVENT TRIGGER audit ENABLE ALWAYS;",
            "1 event trigger fires for the restore",
            "theirs",
        ],
    );
}

#[test]
fn rights_that_a_role_lacks_are_told_with_the_statement() {
    let pair = pair("trial-rights");
    for cluster in [&pair.blue, &pair.green] {
        execute(
            &cluster.url("postgres"),
            "CREATE ROLE mover LOGIN REPLICATION BYPASSRLS; \
             GRANT SET ON PARAMETER session_replication_role TO mover",
        );
    }
    execute(&pair.blue.url("postgres"), "CREATE ROLE guest");
    execute(&pair.green.url("postgres"), "CREATE ROLE guest");
    let stage = stage(&pair, "rights", "CREATE TABLE t (id int PRIMARY KEY)", "");
    execute(
        &stage.source,
        "ALTER TABLE t OWNER TO mover; GRANT CREATE ON DATABASE rights TO mover",
    );
    execute(&stage.target, "GRANT CREATE ON DATABASE rights TO mover");
    amend(&stage, |plan| plan.replace("postgres@", "mover@"));
    refused(&stage, &["permission denied for schema public", "GRANT CREATE ON SCHEMA", "mover"]);
    execute(&stage.target, "GRANT CREATE ON SCHEMA public TO mover");
    planned(&stage, 0);

    // What our sessions may not do with the rows, there and back.
    execute(&stage.source, "REVOKE UPDATE ON t FROM mover");
    let words = ["statements", "UPDATE of public.t", "42501", "statements_back"];
    has(&planned(&stage, 1), &words);
    execute(&stage.source, "GRANT UPDATE ON t TO mover");

    // What belongs to the database itself; a GRANT without the right to it is no error by itself.
    execute(
        &stage.source,
        "ALTER DATABASE rights SET work_mem = '9MB'; GRANT TEMPORARY ON DATABASE rights TO guest",
    );
    let words = [
        "database_properties",
        "2 properties",
        "must be owner of database rights",
        "ALTER DATABASE \\\"rights\\\" SET \\\"work_mem\\\" TO '9MB';",
        "GRANT TEMPORARY ON DATABASE \\\"rights\\\" TO \\\"guest\\\";",
    ];
    has(&planned(&stage, 2), &words);
    execute(
        &stage.source,
        "ALTER DATABASE rights RESET work_mem; REVOKE TEMPORARY ON DATABASE rights FROM guest",
    );

    // What pg_dump may not read is found as well: it locks every table.
    execute(&stage.source, "CREATE SCHEMA closed; CREATE TABLE closed.t (id int PRIMARY KEY)");
    execute(&stage.source, "ALTER TABLE closed.t OWNER TO mover");
    refused(&stage, &["dump_trial", "permission denied for schema closed"]);
}

/// Objects of every kind that `pg_dump` knows.
const RICH: &str = "CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; CREATE EXTENSION citext; \
    CREATE EXTENSION postgres_fdw; \
    CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1'); \
    CREATE USER MAPPING FOR postgres SERVER far OPTIONS (password 'secret'); \
    CREATE FOREIGN TABLE outside (id int) SERVER far; \
    CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE TYPE pair AS (a int, b mood); \
    CREATE TYPE span AS RANGE (subtype = int); CREATE DOMAIN email AS citext CHECK (VALUE ~ '@'); \
    CREATE COLLATION german (provider = icu, locale = 'de'); \
    CREATE SEQUENCE loose; CREATE EXTENSION unaccent; \
    CREATE FUNCTION plain(text) RETURNS text LANGUAGE sql IMMUTABLE \
      AS $$SELECT unaccent('unaccent', $1)$$; \
    CREATE FUNCTION half(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 / 2'; \
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
    CREATE PROCEDURE work() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'; \
    CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int, initcond = 0); \
    CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq); \
    CREATE CAST (text AS mood) WITH INOUT; \
    CREATE TEXT SEARCH CONFIGURATION plain (COPY = simple); \
    CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE german, \
      h ext.hstore, m mood, mail email, n int DEFAULT nextval('loose') CHECK (half(n) < 1000), \
      half int GENERATED ALWAYS AS (half(n)) STORED, UNIQUE (name, m)); \
    CREATE INDEX t_h ON t USING gin (h ext.gin_hstore_ops); CREATE INDEX t_half ON t (half(n)); \
    CREATE INDEX t_plain ON t (plain(name)); \
    CREATE TABLE o (id int PRIMARY KEY, t int REFERENCES t DEFERRABLE, p pair, s span, \
      EXCLUDE USING gist (s WITH &&)); \
    CREATE TABLE part (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day); \
    CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2027-01-01'); \
    CREATE INDEX part_day ON part (day); CREATE STATISTICS st ON id, t FROM o; \
    CREATE VIEW v AS SELECT t.id, o.s FROM t JOIN o ON o.t = t.id; \
    CREATE MATERIALIZED VIEW m AS SELECT t.id, t.name, count(*) FROM t JOIN o ON o.t = t.id \
      GROUP BY t.id; CREATE UNIQUE INDEX m_id ON m (id); \
    CREATE RULE r AS ON INSERT TO v DO INSTEAD NOTHING; \
    CREATE TRIGGER touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch(); \
    ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (id > 0); \
    COMMENT ON TABLE t IS 'a table'; COMMENT ON EXTENSION hstore IS 'mine'; \
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC; \
    GRANT SELECT (id) ON t TO PUBLIC; REVOKE EXECUTE ON FUNCTION half(int) FROM PUBLIC";

#[test]
fn a_trial_that_passes_leaves_the_target_as_it_was() {
    let pair = pair("trial-rich");
    // The foreign table is the one thing that is warned of.
    let stage = stage(&pair, "rich", RICH, "CREATE TABLE own (id int); CREATE SCHEMA ext");
    let before = [&stage.source, &stage.target].map(|url| query_one(url, CATALOGUE));
    // The types' numbers are spent, so that the trial takes none that they are to have.
    let text = planned(&stage, 2);
    has(&text, &["type_numbers"]);
    for id in ["not_tried", "restore_trial", "seal_trial", "views_trial", "grants_trial", "reads"] {
        assert!(!text.contains(&format!("\"id\":\"{id}\"")), "{id}: {text}");
    }
    let after = [&stage.source, &stage.target].map(|url| query_one(url, CATALOGUE));
    assert_eq!(before, after);

    let ran = stage.begin("plan", &["--read-only"], &[]).end(PATIENCE).unwrap();
    let text: String = ran.lines.iter().map(ToString::to_string).collect();
    has(&text, &["not_tried", "--read-only"]);
}
