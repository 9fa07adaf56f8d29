//! What is no row: functions, grants, indexes, settings, large objects. A change is named.

use crate::faults::program::{has, paused};
use crate::stage::postgres_session::{execute, query_one, try_execute};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, until};

/// One attempt, so that what stands against it is said at once.
const PHASES: &str = "phases:\n  - {name: copy, steps: [replicate]}\n  \
    - {name: cutover, steps: [{cutover: {attempts: 1, retry_after: 1s}}]}\n";

/// A database with something of most kinds, followed.
fn follow(pair: &Pair, name: &str, more: &str) -> Stage {
    let plan = PlanText::new(Gate::None).phases(PHASES).beside_others();
    let stage = Stage::bare(&pair.blue, &pair.green, name, ["", ""], &plan);
    execute(
        &stage.source,
        &format!(
            "CREATE TABLE t (id int PRIMARY KEY, v text, o oid); INSERT INTO t VALUES (1, 'a');
             CREATE FUNCTION price() RETURNS int LANGUAGE sql AS 'select 1';
             CREATE VIEW seen AS SELECT id FROM t; CREATE TYPE mood AS ENUM ('low');
             CREATE SCHEMA s; GRANT USAGE ON SCHEMA s TO reader; {more}"
        ),
    );
    let copied = stage.begin("apply", &["--until", "copy"], &[]).end(PATIENCE).unwrap();
    assert_eq!(copied.code, Some(0), "{}\n{}", stage.report(), copied.error());
    stage
}

fn with_roles(name: &str) -> Pair {
    let pair = Pair::start(name);
    for cluster in [&pair.blue, &pair.green] {
        execute(&cluster.url("postgres"), "CREATE ROLE reader; CREATE ROLE keeper");
    }
    pair
}

/// Nobody was held, nothing has moved, and the reason has these words.
fn called_off(stage: &Stage, verb: &str, words: &[&str]) {
    let authority = stage.authority();
    let (why, _) = paused(&stage.expect(verb, 5));
    has(&why, words);
    assert_eq!(stage.authority(), authority, "{}", stage.report());
    let held = |record: &changeover_journal::Record| record.body["event"]["event"] == "rehearsed";
    assert!(!stage.journal().iter().any(|it| held(it) && authority.0 == "source"));
}

/// Changes of the source, and how `status` names each.
const CHANGES: &[(&str, &str)] = &[
    ("CREATE INDEX t_v ON t (v)", "source: index public.t_v: new"),
    ("ALTER TABLE t ALTER COLUMN v SET DEFAULT 'x'", "source: column public.t.v: default set"),
    (
        "CREATE OR REPLACE FUNCTION price() RETURNS int LANGUAGE sql AS 'select 2'",
        "source: function public.price(): body changed",
    ),
    (
        "CREATE OR REPLACE VIEW seen AS SELECT id FROM t WHERE id > 0",
        "source: view public.seen: definition changed",
    ),
    ("CREATE VIEW more AS SELECT 1 AS a", "source: view public.more: new"),
    ("GRANT SELECT ON t TO reader", "privileges is +reader SELECT"),
    ("COMMENT ON TABLE t IS 'x'", "source: comment on table public.t: new"),
    ("CREATE TYPE other AS (a int)", "source: type public.other: new"),
    (
        "CREATE FUNCTION fresh() RETURNS int LANGUAGE sql AS 'select 1'",
        "source: function public.fresh(): new",
    ),
    ("CREATE MATERIALIZED VIEW m AS SELECT 1 AS a", "source: materialized view public.m: new"),
    ("CREATE STATISTICS st ON id, v FROM t", "source: statistics public.st: new"),
    ("ALTER TABLE t SET (fillfactor = 50)", "fillfactor=50"),
    (
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader",
        "source: default privileges of postgres for tables: new",
    ),
    ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", "row security is on"),
    ("CREATE POLICY p ON t USING (true)", "source: policy p on public.t: new"),
    ("ALTER VIEW seen OWNER TO keeper", "owner was postgres, is keeper"),
    ("CREATE SCHEMA fresh", "source: schema fresh: new"),
    ("CREATE EXTENSION citext", "source: extension citext: new"),
    ("ALTER TYPE mood ADD VALUE 'high'", "source: type public.mood: labels was low, is low, high"),
    ("REVOKE USAGE ON SCHEMA s FROM reader", "source: schema s: privileges +reader USAGE is gone"),
    ("ALTER DATABASE many SET work_mem = '9MB'", "source: setting work_mem of the database: new"),
    (
        "ALTER ROLE reader IN DATABASE many SET work_mem = '9MB'",
        "source: setting work_mem of role reader in the database: new",
    ),
    (
        "CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; \
         CREATE EVENT TRIGGER audit ON sql_drop EXECUTE FUNCTION note()",
        "source: event trigger audit: new",
    ),
];

/// The stage's status once the watch has seen this.
fn watched(stage: &Stage, words: &str) -> String {
    let seen = until(PATIENCE, || {
        let changed = stage.status()["changed"].to_string();
        changed.contains(words).then_some(changed)
    });
    seen.unwrap_or_else(|| panic!("waited in vain for {words}; {}", stage.report()))
}

#[test]
fn a_change_of_any_kind_is_seen_by_the_watch_and_stops_the_cutover_before_anybody_is_held() {
    let pair = with_roles("objects");
    let stage = follow(&pair, "many", "");
    for (change, _) in CHANGES {
        execute(&stage.source, change);
    }
    let changed = watched(&stage, "reader in the database").replace("\\", "");
    for (change, words) in CHANGES {
        assert!(changed.contains(words), "{change}: {words} is not in {changed}");
    }
    called_off(&stage, "apply", &["the source has changed since the copy", "undo it", "and 1"]);

    // The same statements on the target, and it is no difference any more.
    for (change, _) in CHANGES {
        execute(&stage.target, change);
    }
    stage.expect("apply", 0);
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
    for sql in ["SELECT price()", "SELECT 'high'::mood"] {
        assert_eq!(query_one(&stage.source, sql), query_one(&stage.target, sql));
    }

    // And on the way back: what came on the target alone is named, and once undone it goes back.
    execute(
        &stage.target,
        "CREATE OR REPLACE FUNCTION price() RETURNS int LANGUAGE sql AS 'select 3'; \
         REVOKE SELECT ON t FROM reader; CREATE INDEX t_later ON t (v, id)",
    );
    called_off(
        &stage,
        "rollback",
        &[
            "the target has changed",
            "function public.price(): body changed",
            "index public.t_later",
            "table public.t: privileges",
            "do the same on the source",
        ],
    );
    execute(
        &stage.target,
        "CREATE OR REPLACE FUNCTION price() RETURNS int LANGUAGE sql AS 'select 2'; \
         GRANT SELECT ON t TO reader; DROP INDEX t_later",
    );
    stage.expect("rollback", 0);
    assert_eq!(stage.authority(), ("source".to_owned(), "none".to_owned()));
}

#[test]
fn a_large_object_stops_the_cutover_and_the_rollback() {
    let pair = with_roles("large");
    let stage = follow(&pair, "large", "");
    execute(&stage.source, "INSERT INTO t SELECT 2, 'x', lo_from_bytea(4711, 'hello')");
    called_off(&stage, "apply", &["source", "large objects: number is 1", "lo_unlink"]);
    execute(&stage.source, "SELECT lo_unlink(4711); CREATE INDEX t_v ON t (v)");
    // What the target grants beforehand is no difference; a grant that it lost is, and so is an
    // object, until the plan names it.
    execute(&stage.target, "GRANT INSERT ON t TO reader; REVOKE USAGE ON SCHEMA s FROM reader");
    called_off(&stage, "apply", &["index public.t_v: new", "schema s: privileges", "is gone"]);
    execute(&stage.target, "GRANT USAGE ON SCHEMA s TO reader");
    called_off(&stage, "apply", &["the source has changed since the copy: index public.t_v: new"]);
    let plan = std::fs::read_to_string(&stage.plan).unwrap();
    let waiver = "waivers: [{id: index public.t_v, reason: later, by: me, until: 2099-12-31}]\n";
    std::fs::write(&stage.plan, plan + waiver).unwrap();
    stage.expect("apply", 0);
    execute(&stage.source, "DROP INDEX t_v; GRANT INSERT ON t TO reader");
    execute(&stage.target, "SELECT lo_from_bytea(4712, 'x')");
    called_off(&stage, "rollback", &["target", "large objects", "1"]);
    execute(&stage.target, "SELECT lo_unlink(4712)");
    stage.expect("rollback", 0);
    assert_eq!(stage.authority(), ("source".to_owned(), "none".to_owned()));
}

#[test]
fn a_quiet_database_is_not_called_off_and_what_rows_rest_on_may_not_change_on_both_sides() {
    let pair = with_roles("quiet");
    let quiet = follow(
        &pair,
        "quiet",
        "CREATE TABLE orphan (t int REFERENCES t, id int PRIMARY KEY);
        CREATE INDEX t_id ON t (id, v)",
    );
    for side in [&quiet.source, &quiet.target] {
        for noise in ["ANALYZE", "VACUUM", "REINDEX TABLE t", "VACUUM FULL t"] {
            try_execute(side, noise).unwrap();
        }
        execute(side, "ALTER TABLE orphan DROP CONSTRAINT orphan_t_fkey");
    }
    quiet.expect("apply", 0);
    let both = follow(&pair, "both_sides", "");
    for side in [&both.source, &both.target] {
        execute(side, "ALTER TABLE t ADD COLUMN late int");
    }
    called_off(&both, "apply", &["column public.t.late: new", "also if both", "changeover abort"]);
    for side in [&both.source, &both.target] {
        execute(side, "ALTER TABLE t DROP COLUMN late");
    }
    // What the target was is known again after the daemon was killed.
    Stage::signal(both.pid("supervisor.pid").unwrap(), "KILL");
    Stage::signal(both.pid("run.pid").unwrap(), "KILL");
    execute(&both.target, "DROP VIEW seen");
    called_off(&both, "apply", &["view public.seen: gone"]);
    execute(&both.target, "CREATE VIEW seen AS SELECT id FROM t");
    both.expect("apply", 0);
}

/// An extension of the test's own among the server's files, gone with the value; `None`, said aloud,
/// where the test may not write there.
struct Extension(Vec<std::path::PathBuf>);

impl Extension {
    fn install(pair: &Pair) -> Option<Extension> {
        let ask = "SELECT setting FROM pg_config() WHERE name = 'SHAREDIR'";
        let folder = query_one(&pair.blue.url("postgres"), ask);
        let folder = std::path::Path::new(&folder).join("extension");
        let mut installed = Extension(Vec::new());
        for (name, text) in [
            ("changeover_srs.control", "default_version = '1.0'\nrelocatable = true\n"),
            (
                "changeover_srs--1.0.sql",
                "CREATE TABLE srs (srid int PRIMARY KEY, t text, usr bool DEFAULT true);
                 INSERT INTO srs VALUES (1, 'built in', false);
                 SELECT pg_catalog.pg_extension_config_dump('srs', 'WHERE usr');",
            ),
        ] {
            let path = folder.join(name);
            if let Err(e) = std::fs::write(&path, text) {
                eprintln!("NOT TESTED: configuration rows of extensions: {}: {e}", path.display());
                return None;
            }
            installed.0.push(path);
        }
        Some(installed)
    }
}

impl Drop for Extension {
    fn drop(&mut self) {
        for path in &self.0 {
            std::fs::remove_file(path).ok();
        }
    }
}

#[test]
fn rows_in_an_extensions_table_are_copied_once_and_named_and_verify_says_what_it_leaves_out() {
    let pair = with_roles("extrows");
    let Some(_files) = Extension::install(&pair) else { return };
    let plan = PlanText::new(Gate::None).phases(PHASES).beside_others();
    let stage = Stage::bare(&pair.blue, &pair.green, "extrows", ["", ""], &plan);
    execute(
        &stage.source,
        "CREATE EXTENSION changeover_srs;
         INSERT INTO srs SELECT 900000 + i, 'mine' FROM generate_series(1, 3) i;
         CREATE TABLE t (id int PRIMARY KEY, srid int); INSERT INTO t VALUES (1, 900001);
         CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM t",
    );
    let planned = stage.verb("plan");
    let text: String = planned.lines.iter().map(ToString::to_string).collect();
    has(&text, &["3 rows of public.srs (configuration of extension changeover_srs)"]);
    let copied = stage.begin("apply", &["--until", "copy"], &[]).end(PATIENCE).unwrap();
    assert_eq!(copied.code, Some(0), "{}\n{}", stage.report(), copied.error());
    assert_eq!(query_one(&stage.target, "SELECT count(*) FROM srs"), "4", "{}", stage.report());

    let verified = stage.expect("verify", 0);
    let left_out = verified.last("result").unwrap()["verify"]["not_compared"].to_string();
    has(&left_out, &["1 materialised view", "1 extension table"]);

    execute(&stage.source, "INSERT INTO srs VALUES (900009, 'late')");
    called_off(
        &stage,
        "apply",
        &["extension changeover_srs: configuration rows in public.srs was 3, is 4"],
    );
    execute(&stage.target, "INSERT INTO srs VALUES (900009, 'late')");
    stage.expect("apply", 0);
}
