//! A daemon that is killed while it restores the schema: another goes on, and nothing is left.

use super::program::ours;
use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, until};

const MANY: &str = "DO $$ BEGIN FOR i IN 1..120 LOOP \
    EXECUTE format('CREATE TABLE many_%s (id bigserial PRIMARY KEY, v text)', i); \
    END LOOP; END $$";

const TABLES: &str = "SELECT count(*) FROM pg_class WHERE relkind = 'r' \
    AND relnamespace = 'public'::regnamespace";

/// Makes each table of a restore, and of nothing else, take long enough to be seen.
const SLOW: &str = "CREATE SCHEMA slow; \
    CREATE FUNCTION slow.down() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
      IF current_setting('application_name') LIKE 'changeover schema%' THEN \
        PERFORM pg_sleep(0.05); END IF; END $$; \
    CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('CREATE TABLE') \
      EXECUTE FUNCTION slow.down()";

/// Sessions and programs of ours that make the schema.
const RESTORING: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE application_name LIKE 'changeover schema%' AND datname = current_database()";

fn wait_for_restore(stage: &Stage) {
    let begun = format!("{RESTORING} AND xact_start IS NOT NULL AND query LIKE '%CREATE TABLE%'");
    let seen = until(PATIENCE, || (query_one(&stage.target, &begun) != "0").then_some(()));
    assert!(seen.is_some(), "no restore was seen; {}", stage.report());
}

#[test]
fn a_daemon_that_is_killed_while_it_restores_leaves_nothing_behind() {
    let pair = Pair::start("restorekill");
    let stage = Stage::new(&pair, "restorekill", &PlanText::new(Gate::None));
    execute(&stage.source, MANY);
    execute(&stage.target, SLOW);
    let all = query_one(&stage.source, TABLES);

    // The daemon alone: the next one goes on.
    let apply = stage.begin("apply", &[], &[]);
    wait_for_restore(&stage);
    Stage::signal(stage.pid("run.pid").unwrap(), "KILL");
    let ran = apply.end(2 * PATIENCE).unwrap_or_else(|e| panic!("{e}; {}", stage.report()));
    assert!(stage.run_log().contains("the daemon died"), "{}", stage.report());
    if ran.code != Some(0) {
        stage.expect("apply", 0);
    }
    assert_eq!(query_one(&stage.target, TABLES), all);
    stage.expect("rollback", 0);
    stage.expect("abort", 0);
    assert_eq!(query_one(&stage.target, TABLES), "0");
    assert_eq!(query_one(&stage.source, RESTORING), "0");

    // With its supervisor, and then it is taken back.
    let other = Stage::new(&pair, "restoreabort", &PlanText::new(Gate::None));
    execute(&other.source, MANY);
    execute(&other.target, SLOW);
    let apply = other.begin("apply", &[], &[]);
    wait_for_restore(&other);
    for file in ["supervisor.pid", "run.pid"] {
        Stage::signal(other.pid(file).unwrap(), "KILL");
    }
    drop(apply);
    other.expect("abort", 0);
    for url in [&other.source, &other.target] {
        assert_eq!(query_one(url, RESTORING), "0");
        assert_eq!(ours(url, "restoreabort"), "0");
    }
    assert_eq!(query_one(&other.target, TABLES), "0");
}
