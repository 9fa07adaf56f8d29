//! Roles that would be refused after the cutover: said by `plan`, and again once the objects are there.

use crate::faults::program::{has, paused};
use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, until};

#[test]
fn a_role_that_would_be_refused_is_named_before_any_client_is() {
    let pair = Pair::start("access");
    let roles = "CREATE ROLE readers; CREATE ROLE clerk LOGIN; GRANT readers TO clerk; \
                 CREATE ROLE gone LOGIN";
    execute(&pair.blue.url("postgres"), roles);
    execute(&pair.green.url("postgres"), "CREATE ROLE readers; CREATE ROLE clerk");
    let phases = "phases:\n  - {name: copy, steps: [replicate]}\n  \
                  - {name: cutover, steps: [{cutover: {attempts: 1}}]}\n";
    let plan = PlanText::new(Gate::None).phases(phases);
    let stage = Stage::bare(&pair.blue, &pair.green, "access", ["", ""], &plan);
    let schema = "CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO readers, gone; \
         CREATE TABLE shop.\"Item\" (id serial PRIMARY KEY, secret text, price int); \
         GRANT SELECT, UPDATE (price) ON shop.\"Item\" TO readers; GRANT SELECT ON shop.\"Item\" TO gone; \
         CREATE FUNCTION shop.f(int, text[]) RETURNS int LANGUAGE sql AS 'select 1'; \
         CREATE TYPE shop.mood AS ENUM ('good')";
    execute(&stage.source, schema);
    let ran = stage.expect("plan", 1);
    has(
        &ran.lines.iter().map(ToString::to_string).collect::<String>(),
        &[
            "gone does not exist on the target",
            "clerk may not log in on the target",
            "clerk is no member of readers on the target",
            "ALTER ROLE",
        ],
    );
    execute(
        &stage.target,
        "CREATE ROLE gone LOGIN; ALTER ROLE clerk LOGIN; GRANT readers TO clerk",
    );

    // What changes meanwhile is seen when the servers are asked, and nobody is held.
    stage.begin("apply", &["--until", "copy"], &[]).end(PATIENCE).unwrap();
    execute(&stage.target, "REVOKE readers FROM clerk");
    let (reason, next) = paused(&stage.expect("apply", 5));
    has(
        &reason,
        &[
            "clerk is no member of readers on the target",
            "GRANT \"readers\" TO \"clerk\";",
            "access.sql",
        ],
    );
    has(&next, &["changeover apply"]);
    let script = std::fs::read_to_string(stage.state_dir().join("access.sql")).unwrap();
    execute(&stage.target, &script);
    stage.expect("apply", 0);
    let may = "SELECT has_table_privilege('clerk','shop.\"Item\"','SELECT')";
    assert_eq!(query_one(&stage.target, may), "t");
    let may = "SELECT has_column_privilege('clerk','shop.\"Item\"','price','UPDATE')";
    assert_eq!(query_one(&stage.target, may), "t");

    // A role that came on the target is named long before a rollback, which does not wait for it.
    execute(&stage.target, "CREATE ROLE late LOGIN; GRANT readers TO late");
    let words =
        ["source: role late does not exist on the source", "CREATE ROLE \\\"late\\\" LOGIN;"];
    let named = until(PATIENCE, || {
        let changed = stage.status()["changed"].to_string();
        words.iter().all(|word| changed.contains(word)).then_some(())
    });
    assert!(named.is_some(), "{}", stage.status());
    stage.expect("rollback", 0);
}
