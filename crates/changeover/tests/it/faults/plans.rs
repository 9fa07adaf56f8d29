//! The plan's file and what is printed: for people, and for programs.

use std::fs;

use super::program::{changeover, has};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage};

const BAD: &str = "apiVersion: changeover/v1
kind: Migration
metadata: {name: shop, name: shop}
source:
  postgres: {url: \"postgresql://me:hunter2@127.0.0.1/shop\"}
target:
  postgres: {url: {env: GREEN}, pool: 5}
objectives: {write_pause: 500}
phases:
  - name: canary
    steps: [{canary: {weights: [50%, 10%]}}]
  - name: cutover
    steps: [{cutover: {attempts: 3}}, replicate]
";

#[test]
fn a_bad_plan_is_told_all_its_faults_at_once_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.yaml"), BAD).unwrap();
    for verb in ["plan", "apply", "gate", "status", "verify"] {
        let said = changeover(folder.path(), &[verb, "bad.yaml"], &[]);
        assert_eq!(said.code, Some(1), "{verb}: {}", said.all());
        assert_eq!(said.out, "", "{verb}");
        // The second name, the password, the unknown key, the missing unit, the order of weights.
        for line in ["bad.yaml:3:", "bad.yaml:5:", "bad.yaml:7:", "bad.yaml:8:", "bad.yaml:11:"] {
            has(&said.err, &[line]);
        }
        has(&said.err, &["pool", "write_pause", "several faults"]);
        assert!(!said.err.contains("hunter2"), "{}", said.err);
    }
    assert!(!folder.path().join("state").exists(), "a bad plan left something");
    let said = changeover(folder.path(), &["apply", "bad.yaml", "--json"], &[]);
    let lines: Vec<serde_json::Value> =
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["type"], "version");
    assert_eq!(lines[1]["type"], "error");
    assert_eq!(lines[1]["exit"], 1);
    assert!(lines[1]["chain"].as_array().unwrap().len() >= 5, "{}", said.out);
}

#[test]
fn a_command_line_that_makes_no_sense_is_usage_and_a_missing_plan_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["aply"][..], &["apply"], &["apply", "plan.yaml", "--fast"], &[]] {
        let said = changeover(folder.path(), args, &[]);
        assert_eq!(said.code, Some(64), "{args:?}: {}", said.all());
    }
    assert_eq!(changeover(folder.path(), &["--help"], &[]).code, Some(0));
    let said = changeover(folder.path(), &["apply", "nowhere.yaml"], &[]);
    assert_eq!(said.code, Some(1));
    has(&said.err, &["nowhere.yaml", "changeover init"]);
    let said = changeover(folder.path(), &["status", "ghost"], &[]);
    assert_eq!(said.code, Some(1));
    has(&said.err, &["ghost"]);
}

#[test]
fn plan_prints_the_steps_their_fallbacks_and_what_can_be_promised() {
    let pair = Pair::start("plans");
    let stage = Stage::new(&pair, "plans", &PlanText::new(Gate::Postgres));
    let folder = stage.plan.parent().unwrap();
    let said = changeover(folder, &["plan", "plan.yaml", "--fail-on", "blocker"], &[]);
    assert_eq!(said.code, Some(0), "{}", said.all());
    let steps = ["1. copy/replicate", "2. copy/verify", "3. cutover/cutover", "4. check/verify"];
    has(&said.out, &steps);
    assert_eq!(said.out.matches("if not:").count(), 4, "{}", said.out);
    has(&said.out, &["finish", "Risk register", "can promise", "127.0.0.1:"]);
    assert!(!said.out.contains('\u{1b}'), "colours in a file");
    let coloured = [("CLICOLOR_FORCE", "1")];
    let said = changeover(folder, &["plan", "plan.yaml", "--fail-on", "blocker"], &coloured);
    assert!(said.out.contains('\u{1b}'), "no colours although they were asked for");
    let plain = [("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")];
    let forced = changeover(folder, &["plan", "plan.yaml", "--fail-on", "blocker"], &plain);
    let none =
        changeover(folder, &["plan", "plan.yaml", "--fail-on", "blocker"], &[("NO_COLOR", "1")]);
    assert!(!none.out.contains('\u{1b}'), "NO_COLOR is not obeyed");
    assert_eq!(forced.code, Some(0));
    // `plan` changes nothing, on neither side, nor on our disk.
    assert!(!stage.state_dir().exists());
    for url in [&stage.source, &stage.target] {
        assert_eq!(super::program::ours(url, "plans"), "0");
    }
}

#[test]
fn every_json_line_of_a_whole_run_is_an_object_with_a_type() {
    let pair = Pair::start("json");
    let stage = Stage::new(&pair, "json", &PlanText::new(Gate::None));
    // Whether types keep their numbers hangs on what the servers did before: a high risk at most.
    let bearable: &[&str] = &["--fail-on", "blocker"];
    let none: &[&str] = &[];
    let verbs = [("plan", bearable), ("apply", none), ("status", none), ("verify", none)];
    for (verb, more) in verbs.into_iter().chain([("rollback", none), ("abort", none)]) {
        let ran = stage.begin(verb, more, &[]).end(PATIENCE).unwrap();
        assert_eq!(ran.code, Some(0), "`{verb}` said {}\n{}", ran.error(), stage.report());
        assert_eq!(ran.lines[0]["type"], "version", "{verb}: {:?}", ran.lines);
        assert_eq!(ran.lines[0]["output"], 1);
        assert!(ran.lines.len() > 1, "`{verb}` says nothing");
        for line in &ran.lines {
            assert!(line["type"].is_string(), "{verb}: {line}");
        }
        assert_eq!(ran.stderr, "", "{verb}");
    }
    let shown =
        changeover(stage.plan.parent().unwrap(), &["journal", "show", "plan.yaml", "--json"], &[]);
    assert_eq!(shown.code, Some(0), "{}", shown.all());
    assert!(shown.out.lines().count() > 10, "{}", shown.out);
    // An aborted name can be used again.
    stage.expect("status", 0);
}

#[test]
fn a_secret_that_is_not_there_is_named_by_where_it_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let plan = "apiVersion: changeover/v1\nkind: Migration\nmetadata: {name: shop}\n\
        source: {postgres: {url: {env: NO_SUCH_URL}}}\n\
        target: {postgres: {url: {file: no-such-file}}}\n\
        gates: {postgres: {listen: \"127.0.0.1:1\", auth: trust}}\n";
    fs::write(folder.path().join("plan.yaml"), plan).unwrap();
    for verb in ["plan", "apply", "gate"] {
        let said = changeover(folder.path(), &[verb, "plan.yaml"], &[]);
        assert_eq!(said.code, Some(1), "{verb}: {}", said.all());
        has(&said.err, &["NO_SUCH_URL", "source"]);
    }
    let said = changeover(folder.path(), &["plan", "plan.yaml"], &[("NO_SUCH_URL", "nonsense")]);
    assert_eq!(said.code, Some(1), "{}", said.all());
    assert!(!said.err.contains("nonsense"), "a secret is shown: {}", said.err);
    let good = [("NO_SUCH_URL", "postgresql://me@127.0.0.1:1/x")];
    let said = changeover(folder.path(), &["plan", "plan.yaml"], &good);
    assert_eq!(said.code, Some(1), "{}", said.all());
    has(&said.err, &["no-such-file", "target"]);
}

#[test]
fn a_new_plan_names_the_schema_that_the_program_writes() {
    let folder = tempfile::tempdir().unwrap();
    let said = changeover(folder.path(), &["init", "new.yaml"], &[]);
    assert_eq!(said.code, Some(0), "{}", said.all());
    has(&said.out, &["changeover schema --out changeover.schema.json"]);
    let plan = fs::read_to_string(folder.path().join("new.yaml")).unwrap();
    assert!(plan.starts_with("# yaml-language-server: $schema=changeover.schema.json\n"), "{plan}");
    let said = changeover(folder.path(), &["schema", "--out", "changeover.schema.json"], &[]);
    assert_eq!(said.code, Some(0), "{}", said.all());
    let written = fs::read_to_string(folder.path().join("changeover.schema.json")).unwrap();
    let printed = changeover(folder.path(), &["schema", "plan"], &[]);
    assert_eq!(printed.out, written);
    let schema: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}
