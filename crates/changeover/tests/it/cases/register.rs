//! One register of risks: each id once, one finding for each kind, the worst decides the exit code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::faults::program::{Said, changeover, has};
use crate::stage::postgres_session::execute;
use crate::stage::{Gate, Pair, PlanText, Stage};

/// `plan` as a person calls it, and its document.
fn plan(stage: &Stage, args: &[&str]) -> (Said, Value) {
    let folder = stage.plan.parent().unwrap();
    let more = ["--no-sample", "--document", "plan.json"];
    let said = changeover(folder, &[&["plan", "plan.yaml"][..], &more, args].concat(), &[]);
    let document = fs::read_to_string(folder.join("plan.json")).unwrap_or_else(|e| {
        panic!("{e}: {}", said.all());
    });
    (said, serde_json::from_str(&document).unwrap())
}

fn risks<'a>(document: &'a Value, id: &str) -> Vec<&'a Value> {
    document["risks"].as_array().unwrap().iter().filter(|risk| risk["id"] == id).collect()
}

/// Each id once for a side, and never a NO without a risk that says how bad it is.
fn is_one_register(said: &Said, document: &Value) {
    let all = document["risks"].as_array().unwrap();
    let once: BTreeSet<String> =
        all.iter().map(|risk| format!("{} {}", risk["id"], risk["side"])).collect();
    assert_eq!(once.len(), all.len(), "an id twice on a side: {all:#?}");
    let promises = document["promises"].as_array().unwrap();
    let broken = promises.iter().filter(|promise| promise[1] == false).count();
    let severe = |risk: &&Value| risk["severity"] != "low" && risk["severity"] != "unknown";
    assert!(broken == 0 || all.iter().any(|risk| severe(&risk)), "{}", said.out);
    assert!(broken == 0 || !said.out.contains("nothing to mend"), "{}", said.out);
}

fn add_to_plan(stage: &Stage, text: &str) -> String {
    let plan = fs::read_to_string(&stage.plan).unwrap();
    fs::write(&stage.plan, format!("{plan}{text}")).unwrap();
    plan
}

#[test]
fn a_kind_is_one_finding_and_one_script_mends_all_of_it() {
    let pair = Pair::start("kinds");
    let stage = Stage::bare(&pair.blue, &pair.green, "kinds", ["", ""], &PlanText::new(Gate::None));
    let tables = "SELECT format('CREATE TABLE %I (n int)', 'it''s \"' || i || E'\\n; --') \
                  FROM generate_series(1, 60) i";
    execute(
        &stage.source,
        &format!("DO $$ DECLARE s text; BEGIN FOR s IN {tables} LOOP EXECUTE s; END LOOP; END $$"),
    );
    execute(&stage.source, "CREATE UNLOGGED TABLE cache (id int PRIMARY KEY)");
    let (said, document) = plan(&stage, &["--fix", "fix.sql"]);
    assert_eq!(said.code, Some(1), "{}", said.all());
    let keyless = risks(&document, "no_identity");
    assert_eq!(keyless.len(), 1, "{keyless:#?}");
    assert_eq!(keyless[0]["seen"].as_array().unwrap().len(), 60, "all are kept");
    has(&said.out, &["60 tables have no usable replica identity", "and 52 more", "--fix fix.sql"]);
    has(&said.err, &["2 blockers: no_identity, unlogged", "changeover plan plan.yaml --fix"]);
    is_one_register(&said, &document);

    let script = fs::read_to_string(stage.plan.parent().unwrap().join("fix.sql")).unwrap();
    has(&script, &["==== on the source", "no_identity, source, blocker", "SET LOGGED"]);
    execute(&stage.source, &script);
    let (said, document) = plan(&stage, &[]);
    assert_eq!(said.code, Some(0), "{}", said.all());
    is_one_register(&said, &document);
}

#[test]
fn the_worst_that_nobody_accepts_is_the_exit_code() {
    let pair = Pair::start("worst");
    let locale = |name: &str| format!("TEMPLATE template0 LC_COLLATE '{name}' LC_CTYPE '{name}'");
    let locales = [&*locale("C"), &*locale("C.UTF-8")];
    let stage = Stage::bare(&pair.blue, &pair.green, "worst", locales, &PlanText::new(Gate::None));
    execute(&stage.source, "CREATE TABLE t (id int PRIMARY KEY)");
    let (said, document) = plan(&stage, &[]);
    assert_eq!(said.code, Some(2), "{}", said.all());
    has(&said.out, &["1 high risk is not accepted: locale", "NO  texts sort"]);
    assert_eq!(risks(&document, "locale")[0]["severity"], "high");
    is_one_register(&said, &document);
    assert_eq!(plan(&stage, &["--fail-on", "blocker"]).0.code, Some(0));
    assert_eq!(plan(&stage, &["--detailed-exitcode"]).0.code, Some(1), "2 means pending there");

    let waiver = |id: &str, until: &str| {
        format!("waivers: [{{id: {id}, reason: it reads only, by: ann, until: {until}}}]\n")
    };
    let without = add_to_plan(&stage, &waiver("locale", "2100-01-01"));
    let (said, document) = plan(&stage, &[]);
    assert_eq!(said.code, Some(0), "{}", said.all());
    has(&said.out, &["accepted [locale]", "Accepted by ann until 2100-01-01"]);
    is_one_register(&said, &document);
    fs::write(&stage.plan, &without).unwrap();
    add_to_plan(&stage, &waiver("locale", "2020-01-01"));
    let (said, _) = plan(&stage, &[]);
    assert_eq!(said.code, Some(2), "an expired waiver counts as none: {}", said.all());
    has(&said.out, &["the waiver of locale by ann has expired"]);

    // What would lose rows is accepted by nobody, in `plan` and `apply` alike.
    fs::write(&stage.plan, &without).unwrap();
    add_to_plan(&stage, &waiver("no_identity", "2100-01-01"));
    execute(&stage.source, "CREATE TABLE bare (n int)");
    let (said, _) = plan(&stage, &[]);
    assert_eq!(said.code, Some(1), "{}", said.all());
    has(&said.out, &["blocker  [no_identity]", "no_identity cannot be accepted"]);
    let reason = stage.expect("apply", 5).lines.iter().map(Value::to_string).collect::<String>();
    has(&reason, &["no_identity", "REPLICA IDENTITY FULL"]);
}

#[test]
fn an_assessment_that_read_nothing_is_no_pass() {
    let pair = Pair::start("blind");
    let folder = tempfile::tempdir().unwrap();
    let url = |cluster: &changeover_testkit::Cluster, user: &str| {
        cluster.url("postgres").replace("postgres@", &format!("{user}@"))
    };
    let assess = |user: &str| {
        let (old, new) = (url(&pair.blue, user), url(&pair.green, user));
        let args = ["assess", "--source", "env:OLD", "--target", "env:NEW", "--sample", "0s"];
        changeover(Path::new(folder.path()), &args, &[("OLD", &old), ("NEW", &new)])
    };
    let said = assess("nobody_at_all");
    assert_eq!(said.code, Some(1), "{}", said.all());
    let cause = "role \"nobody_at_all\" does not exist";
    for stream in [&said.out, &said.err] {
        assert!(stream.matches(cause).count() <= 2, "a cause once a side: {stream}");
    }
    has(&said.err, &["source and target could not be read", cause]);

    // A role that owns nothing and may read nothing is told so, as `plan` tells it.
    for cluster in [&pair.blue, &pair.green] {
        execute(&cluster.url("postgres"), "CREATE ROLE small LOGIN");
    }
    execute(&pair.blue.url("postgres"), "CREATE TABLE t (id int PRIMARY KEY)");
    let said = assess("small");
    assert_eq!(said.code, Some(2), "{}", said.all());
    for id in ["ownership", "select_right", "create_right", "replication_right"] {
        has(&said.out, &[id]);
    }
    has(&said.out, &["blocked: "]);
}
