//! Schemas that other tools stumble over are restored, or there is a way on.

mod checking;

use changeover_testkit::Cluster;

use crate::stage::postgres_session::{block_on, connect, execute, query_one};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Ran, Stage, until};

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

/// What is left to do on the target, as `status` says it: `kind why; statement` of each.
fn tasks(stage: &Stage) -> Vec<String> {
    let status = stage.status();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let tasks = status["control"]["tasks"].as_array().cloned().unwrap_or_default();
    tasks
        .iter()
        .map(|task| {
            let kind = text(&task["object"]["kind"]);
            format!("{kind} {}; {}", text(&task["why"]), text(&task["statement"]))
        })
        .collect()
}

/// Each of these texts has the words of its line.
fn say(tasks: &[String], words: &[&[&str]]) {
    assert_eq!(tasks.len(), words.len(), "{tasks:#?}");
    for (task, words) in tasks.iter().zip(words) {
        for word in *words {
            assert!(task.contains(word), "`{word}` is missing in: {task}");
        }
    }
}

#[test]
fn what_no_row_depends_on_stops_nothing_and_is_told_until_it_is_done() {
    let pair = Pair::start("tasks");
    execute(&pair.blue.url("postgres"), "CREATE ROLE poor; CREATE ROLE lonely");
    execute(&pair.green.url("postgres"), "CREATE ROLE poor");
    // Ordered by their numbers, each would be refreshed before what it reads.
    let views = stage(
        &pair,
        "views",
        "CREATE TABLE t (id int PRIMARY KEY, v int);
         INSERT INTO t SELECT i, i FROM generate_series(1, 100) i;
         CREATE VIEW w AS SELECT id, v FROM t;
         CREATE MATERIALIZED VIEW a AS SELECT sum(v) s FROM w;
         CREATE MATERIALIZED VIEW b AS SELECT id, v * 2 AS v FROM t;
         CREATE OR REPLACE VIEW w AS SELECT id, v FROM b;
         REFRESH MATERIALIZED VIEW a;
         CREATE FUNCTION total() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT sum(v) FROM t';
         CREATE MATERIALIZED VIEW by_path AS SELECT total() AS n;
         CREATE MATERIALIZED VIEW under AS SELECT id FROM t;
         CREATE MATERIALIZED VIEW over AS SELECT count(*) n FROM under;
         REFRESH MATERIALIZED VIEW under WITH NO DATA;
         CREATE MATERIALIZED VIEW poor AS SELECT sum(v) s FROM t;
         ALTER MATERIALIZED VIEW poor OWNER TO poor;
         GRANT SELECT ON t TO poor; REVOKE SELECT ON t FROM poor;
         GRANT SELECT ON w TO poor; GRANT SELECT ON w TO lonely;
         CREATE POLICY several ON t TO poor, lonely USING (v > 0);
         CREATE POLICY alone ON t TO lonely USING (true)",
    );
    let waiver = "waivers: [{id: roles_missing, reason: later, by: me, until: 2099-12-31}]\n";
    let plan = std::fs::read_to_string(&views.plan).unwrap();
    std::fs::write(&views.plan, plan + waiver).unwrap();
    copy(&views, 0);
    both(&views, "SELECT s FROM a", "10100");
    both(&views, "SELECT n FROM by_path", "5050");
    both(&views, "SELECT has_table_privilege('poor', 'w', 'SELECT')", "t");
    say(
        &tasks(&views),
        &[
            &["policy", "\"lonely\" does not exist", "CREATE POLICY alone ON public.t TO lonely"],
            &["policy", "lonely", "ALTER POLICY \"several\" ON \"public\".\"t\" TO poor, lonely"],
            &["grant", "lonely", "GRANT SELECT ON TABLE public.w TO lonely"],
            &[
                "view",
                "public.under",
                "on the source",
                "REFRESH MATERIALIZED VIEW \"public\".\"over\"",
            ],
            &[
                "view",
                "permission denied for table t",
                "REFRESH MATERIALIZED VIEW \"public\".\"poor\"",
            ],
        ],
    );
    // Mended, it is done before the cutover without being asked for.
    execute(&views.target, "GRANT SELECT ON t TO poor");
    execute(&views.source, "GRANT SELECT ON t TO poor");
    views.expect("apply", 0);
    say(&tasks(&views), &[&["policy"], &["policy"], &["grant"], &["view", "public.under"]]);
    // What is mended later is done later.
    execute(&views.target, "CREATE ROLE lonely; REFRESH MATERIALIZED VIEW under");
    let done = until(PATIENCE, || tasks(&views).is_empty().then_some(()));
    assert!(done.is_some(), "{:#?}", tasks(&views));
    let roles =
        "SELECT string_agg(polname || polroles::regrole[]::text, ' ' ORDER BY 1) FROM pg_policy";
    let roles = roles.replace("ORDER BY 1", "ORDER BY polname");
    let on_target = query_one(&views.target, &roles);
    assert_eq!(on_target, "alone{lonely} several{poor,lonely}");

    let orphans = stage(
        &pair,
        "orphans",
        "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p SELECT generate_series(1, 10);
         CREATE TABLE k (id int PRIMARY KEY, p int REFERENCES p);
         INSERT INTO k SELECT i, i FROM generate_series(1, 10) i;
         CREATE TABLE l (id int PRIMARY KEY, p int, CONSTRAINT l_p FOREIGN KEY (p) REFERENCES p);
         INSERT INTO l VALUES (1, 7);
         CREATE TABLE parts (id int PRIMARY KEY, p int REFERENCES p) PARTITION BY RANGE (id);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
         INSERT INTO parts VALUES (1, 7);
         SET session_replication_role = replica; DELETE FROM p WHERE id = 7;
         DELETE FROM l; INSERT INTO l VALUES (1, 8)",
    );
    copy(&orphans, 0);
    let refer = "1 rows refer to what is not in public.p, on the source as well";
    say(
        &tasks(&orphans),
        &[
            &["not-valid", refer, "ALTER TABLE \"public\".\"k\" VALIDATE CONSTRAINT \"k_p_fkey\""],
            &[
                "constraint",
                refer,
                "ALTER TABLE public.parts",
                "ADD CONSTRAINT parts_p_fkey FOREIGN KEY",
            ],
        ],
    );
    let valid = "SELECT string_agg(conname || convalidated, ' ' ORDER BY conname) \
                 FROM pg_constraint WHERE contype = 'f' AND conparentid = 0";
    let on_target = query_one(&orphans.target, valid);
    assert_eq!(on_target, "k_p_fkeyfalse l_ptrue");
    execute(&orphans.source, "INSERT INTO p VALUES (7)");
    orphans.expect("apply", 0);
    both(&orphans, valid, "k_p_fkeytrue l_ptrue parts_p_fkeytrue");
    assert!(tasks(&orphans).is_empty());
}

/// All that can be told of a database from its catalogues, by name: objects with owner, grants and
/// comment, default privileges, settings.
const EVERYTHING: &str = "SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
    SELECT c.relkind::text || ' ' || c.oid::regclass || ' ' || c.relowner::regrole || ' ' ||
        (SELECT coalesce(string_agg(x::text, ' ' ORDER BY x::text), '') FROM aclexplode(coalesce(
          c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner))) x)
      FROM pg_class c WHERE c.relnamespace <> 'pg_toast'::regnamespace
    UNION ALL SELECT 'f ' || p.oid::regprocedure || (SELECT coalesce(string_agg(x::text, ' ' ORDER BY
        x::text), '') FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x) FROM pg_proc p
    UNION ALL SELECT 't ' || t.oid::regtype FROM pg_type t
      WHERE t.typnamespace <> 'pg_toast'::regnamespace
    UNION ALL SELECT 'n ' || n.nspname || ' ' || coalesce(obj_description(n.oid, 'pg_namespace'), '') ||
        (SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM aclexplode(
          coalesce(n.nspacl, acldefault('n', n.nspowner))) x)
      FROM pg_namespace n WHERE n.nspname !~ '^pg_(toast_)?temp'
    UNION ALL SELECT 'column ' || attrelid::regclass || attname || attacl::text FROM pg_attribute
      WHERE attacl IS NOT NULL AND attacl <> '{}'
    UNION ALL SELECT 'e ' || extname FROM pg_extension
    UNION ALL SELECT 'default ' || defaclrole::regrole::text || defaclobjtype::text || defaclacl::text
      FROM pg_default_acl
    UNION ALL SELECT 'event ' || evtname FROM pg_event_trigger
    UNION ALL SELECT 'trigger ' || tgname || tgrelid::regclass FROM pg_trigger
    UNION ALL SELECT 'w ' || fdwname FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'publication ' || pubname FROM pg_publication
    UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots
      WHERE database = current_database()
    UNION ALL SELECT 'db ' || datconnlimit || ' ' || coalesce(shobj_description(oid, 'pg_database'), '')
        || (SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM aclexplode(
          coalesce(datacl, acldefault('d', datdba))) x)
      FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT 'set ' || setrole::text || setconfig::text FROM pg_db_role_setting
      WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())) all_(line)";

/// Extensions in a schema of their own and in that of the tables, types, views over keys,
/// materialised views, a tablespace, default privileges, grants on what is there already.
const RICH: &str = "
    CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION cube;
    CREATE EXTENSION earthdistance; CREATE EXTENSION postgres_fdw SCHEMA ext;
    CREATE SCHEMA app; COMMENT ON SCHEMA app IS 'ours'; GRANT USAGE ON SCHEMA app TO reader;
    COMMENT ON SCHEMA public IS 'of the source';
    CREATE TYPE app.mood AS ENUM ('good', 'bad'); CREATE DOMAIN app.small AS int CHECK (VALUE < 1000);
    CREATE TABLE app.t (id serial PRIMARY KEY, e ext.citext, m app.mood, s app.small, c cube);
    INSERT INTO app.t (e, m, s) VALUES ('A', 'good', 1);
    CREATE TABLE app.k (id int PRIMARY KEY, t int REFERENCES app.t) TABLESPACE rich;
    CREATE INDEX k_t ON app.k (t) TABLESPACE rich;
    CREATE TABLE app.parts (id int, y int, PRIMARY KEY (id, y)) PARTITION BY LIST (y);
    CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES IN (1);
    CREATE VIEW app.v AS SELECT id, e, count(*) n FROM app.t GROUP BY id;
    CREATE MATERIALIZED VIEW app.mv AS SELECT * FROM app.v; CREATE UNIQUE INDEX mv_id ON app.mv (id);
    CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER touch BEFORE INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION app.touch();
    CREATE STATISTICS app.st ON id, t FROM app.k;
    ALTER TABLE app.t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON app.t TO reader USING (true);
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader;
    ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
    GRANT CREATE ON SCHEMA public TO reader; REVOKE USAGE ON SCHEMA public FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO reader; GRANT SELECT (rolname) ON pg_authid TO reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA app TO reader;
    CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1');
    CREATE FOREIGN TABLE app.far (id int) SERVER far;
    ALTER DATABASE rich SET search_path = app, ext, public; ALTER DATABASE rich SET work_mem = '5MB';
    ALTER ROLE reader IN DATABASE rich SET statement_timeout = '5s';
    CREATE FUNCTION app.slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 0; END';
    CREATE TABLE app.slowly (id int PRIMARY KEY, s int GENERATED ALWAYS AS (app.slow(id)) STORED);
    INSERT INTO app.slowly SELECT generate_series(1, 10000);
    COMMENT ON DATABASE rich IS 'it''s'; REVOKE CONNECT ON DATABASE rich FROM PUBLIC;
    GRANT CONNECT ON DATABASE rich TO reader; ALTER DATABASE rich CONNECTION LIMIT 55";

#[test]
fn an_abort_leaves_both_databases_as_they_were() {
    let pair = Pair::start("abort");
    for cluster in [&pair.blue, &pair.green] {
        tablespace(cluster, "rich");
        execute(&cluster.url("postgres"), "CREATE ROLE reader");
    }
    let stage = stage(&pair, "rich", RICH);
    execute(&stage.target, "ALTER DATABASE rich SET work_mem = '6MB'; CREATE EXTENSION cube");
    let look = || [&stage.source, &stage.target].map(|url| query_one(url, EVERYTHING));
    let before = look();
    copy(&stage, 0);
    // What belongs to the database itself came along.
    let properties = "SELECT current_setting('search_path') || current_setting('work_mem') || \
        datconnlimit || has_database_privilege('reader', oid, 'CONNECT') || \
        (SELECT count(*) FROM aclexplode(datacl) WHERE grantee = 0 AND privilege_type = 'CONNECT') || \
        shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'rich'";
    both(&stage, properties, "app, ext, public5MB55true0it's");
    both(&stage, "SELECT has_schema_privilege('reader', 'public', 'CREATE')", "t");
    both(&stage, "SELECT has_function_privilege('reader', 'pg_ls_waldir()', 'EXECUTE')", "t");
    assert_eq!(tasks(&stage), Vec::<String>::new());
    let same = |before: &[String; 2], after: &[String; 2]| {
        for (before, after) in before.iter().zip(after) {
            let missing: Vec<&str> =
                before.lines().filter(|line| !after.lines().any(|it| it == *line)).collect();
            let more: Vec<&str> =
                after.lines().filter(|line| !before.lines().any(|it| it == *line)).collect();
            assert_eq!((missing, more), (vec![], vec![]), "{}", stage.report());
        }
    };
    stage.expect("abort", 0);
    same(&before, &look());

    // And in the middle of a copy.
    let slow = "CREATE OR REPLACE FUNCTION app.slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE \
                AS 'BEGIN PERFORM pg_catalog.pg_sleep(0.1); RETURN 0; END'";
    execute(&stage.source, slow);
    stage.begin("apply", &["--detach"], &[]).end(PATIENCE).unwrap();
    let copying = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND query LIKE 'COPY%slowly%' AND state = 'active'";
    let seen = until(PATIENCE, || (query_one(&stage.target, copying) != "0").then_some(()));
    assert!(seen.is_some(), "{}", stage.report());
    stage.expect("abort", 0);
    same(&before, &look());
}

#[test]
fn an_abort_that_finds_things_gone_and_things_of_others() {
    let pair = Pair::start("abort2");
    let stage = stage(
        &pair,
        "others",
        "CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('good');
         CREATE TABLE app.t (id serial PRIMARY KEY, m app.mood DEFAULT 'good');
         CREATE TABLE app.gone (id int PRIMARY KEY); CREATE TABLE app.u (id int PRIMARY KEY, n serial)",
    );
    copy(&stage, 0);
    execute(
        &stage.target,
        "DROP TABLE app.gone; ALTER TABLE app.u DROP COLUMN n; CREATE TABLE app.theirs (id int);
         CREATE VIEW public.mine AS SELECT m FROM app.t",
    );
    let (reason, next) = crate::faults::program::paused(&stage.expect("abort", 5));
    for words in ["view public.mine depends on table app.t", "drop that"] {
        assert!(reason.contains(words), "{reason}");
    }
    assert!(next.starts_with("changeover abort"), "{next}");
    execute(&stage.target, "DROP VIEW public.mine");
    stage.expect("abort", 0);
    let log = stage.run_log();
    let kept = log.lines().find(|line| line.contains("stays:") && line.contains("app"));
    assert!(kept.is_some(), "{log}");
    let left = "SELECT string_agg(relname, ' ') FROM pg_class \
                WHERE relnamespace IN ('app'::regnamespace, 'public'::regnamespace)";
    assert_eq!(query_one(&stage.target, left), "theirs");
    assert_eq!(query_one(&stage.target, "SELECT to_regtype('app.mood')"), "");
}

#[test]
fn owners_and_grants_need_no_superuser() {
    let pair = Pair::start("owners");
    for cluster in [&pair.blue, &pair.green] {
        execute(
            &cluster.url("postgres"),
            "CREATE ROLE mover LOGIN REPLICATION BYPASSRLS; CREATE ROLE cms LOGIN;
             CREATE ROLE webapp LOGIN; GRANT SET ON PARAMETER session_replication_role TO mover",
        );
    }
    let stage = stage(
        &pair,
        "owners",
        "CREATE TABLE t (id serial PRIMARY KEY, v int);
         CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
         REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC; GRANT EXECUTE ON FUNCTION f() TO webapp;
         ALTER FUNCTION f() OWNER TO cms; ALTER TABLE t OWNER TO cms;
         CREATE SCHEMA app AUTHORIZATION cms; CREATE VIEW app.v AS SELECT * FROM t;
         ALTER VIEW app.v OWNER TO cms; GRANT USAGE ON SCHEMA app TO webapp;
         GRANT SELECT, INSERT ON t TO webapp; GRANT USAGE ON SEQUENCE t_id_seq TO webapp;
         GRANT SELECT (v) ON app.v TO webapp; GRANT cms TO mover",
    );
    execute(&stage.source, "GRANT CREATE ON DATABASE owners TO mover");
    execute(&stage.target, "GRANT CREATE ON DATABASE owners TO mover");
    let as_mover = |url: &str| url.replace("postgres@", "mover@");
    let plan = std::fs::read_to_string(&stage.plan).unwrap();
    let plan = plan
        .replace(&stage.source, &as_mover(&stage.source))
        .replace(&stage.target, &as_mover(&stage.target));
    std::fs::write(&stage.plan, plan).unwrap();
    // What is missing is said with the statement; a member of the owner is all that is needed.
    let said: String = stage.expect("plan", 1).lines.iter().map(ToString::to_string).collect();
    for words in ["ownership_kept", "GRANT \\\"cms\\\" TO \\\"mover\\\";", "schema_right"] {
        assert!(said.contains(words), "`{words}` is missing in {said}");
    }
    execute(&stage.target, "GRANT cms TO mover; GRANT CREATE ON SCHEMA public TO mover");
    let said: String = stage.expect("plan", 1).lines.iter().map(ToString::to_string).collect();
    assert!(said.contains("GRANT CREATE ON SCHEMA \\\"public\\\" TO \\\"cms\\\";"), "{said}");
    execute(&stage.target, "GRANT CREATE ON SCHEMA public TO cms");
    stage.expect("apply", 0);
    let owners = "SELECT string_agg(DISTINCT relowner::regrole::text, ' ') FROM pg_class \
                  WHERE relnamespace IN ('public'::regnamespace, 'app'::regnamespace)";
    both(&stage, owners, "cms");
    assert_eq!(tasks(&stage), Vec::<String>::new());
    let as_webapp = stage.target.replace("postgres@", "webapp@");
    execute(&as_webapp, "INSERT INTO t DEFAULT VALUES; SELECT v FROM app.v; SELECT f()");
}

#[test]
fn what_is_elsewhere_than_in_the_database_itself() {
    let pair = Pair::start("elsewhere");
    tablespace(&pair.blue, "far");
    let places = stage(
        &pair,
        "far",
        "CREATE TABLE t (id int PRIMARY KEY, a int) TABLESPACE far; CREATE INDEX t_a ON t (a);
         INSERT INTO t VALUES (1, 1)",
    );
    let said: String = places.expect("plan", 1).lines.iter().map(ToString::to_string).collect();
    for words in ["\"tablespaces\"", "far", "CREATE TABLESPACE", "data: {tablespaces: default}"] {
        assert!(said.contains(words), "`{words}` is missing in {said}");
    }
    let plan = std::fs::read_to_string(&places.plan).unwrap();
    std::fs::write(&places.plan, plan + "\ndata: {tablespaces: default}\n").unwrap();
    copy(&places, 0);
    assert_eq!(query_one(&places.target, "SELECT a FROM t"), "1");

    let foreign = stage(
        &pair,
        "foreign_part",
        "CREATE EXTENSION postgres_fdw;
         CREATE SERVER l FOREIGN DATA WRAPPER postgres_fdw
           OPTIONS (host '127.0.0.1', port '1', dbname 'x');
         CREATE TABLE m (id int NOT NULL, y int NOT NULL) PARTITION BY LIST (y);
         CREATE TABLE m1 PARTITION OF m (PRIMARY KEY (id, y)) FOR VALUES IN (1);
         CREATE FOREIGN TABLE m2 PARTITION OF m FOR VALUES IN (2) SERVER l;
         INSERT INTO m VALUES (1, 1)",
    );
    foreign.expect("apply", 0);
    execute(&foreign.target, "INSERT INTO m VALUES (2, 1)");
    foreign.expect("rollback", 0);
    execute(&foreign.source, "INSERT INTO m VALUES (3, 1)");
    assert_eq!(
        query_one(&foreign.source, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM m1"),
        "1 2 3"
    );
}
