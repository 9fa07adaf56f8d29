//! Smoke on real databases: rows, values and tables, judged and never shown.

use std::fs;

use crate::stage::postgres_session::execute;
use crate::stage::{Gate, Pair, PlanText, Stage};

const PHASES: &str = "phases:
  - name: copy
    steps:
      - replicate
      - smoke:
          sql:
            - {query: \"SELECT n, word FROM words ORDER BY n\", expect: {table: [[1, one], [2, null]]}}
            - {query: \"SELECT count(*) FROM public.words\", expect: {value: 3}, against: source}
            - {query: \"SELECT word FROM public.words\", expect: {rows: 1}}
            - {query: \"DELETE FROM public.words\", expect: {rows: 0}, against: source}
            - {query: \"SELECT pg_sleep(30)\", expect: {rows: 1}, within: 100ms}
";

#[test]
fn wrong_rows_are_told_as_shapes_and_nothing_is_written() {
    let pair = Pair::start("sqlsmoke");
    let stage = Stage::new(&pair, "sqlsmoke", &PlanText::new(Gate::None).phases(PHASES));
    let sql = "CREATE TABLE words (n int PRIMARY KEY, word text); \
               INSERT INTO words VALUES (1, 'hunter2'), (2, NULL)";
    execute(&stage.source, sql);
    stage.expect("apply", 5);
    let records = stage.journal();
    let checked = records.iter().find(|record| record.body["kind"] == "checked").unwrap();
    let cases = checked.body["report"]["cases"].as_array().unwrap();
    let failures: Vec<String> = cases
        .iter()
        .map(|case| {
            let failures = case["failures"].as_array().cloned().unwrap_or_default();
            let texts: Vec<&str> = failures.iter().map(|it| it.as_str().unwrap()).collect();
            format!("{}: {}", case["name"].as_str().unwrap(), texts.join("; "))
        })
        .collect();
    assert_eq!(
        failures[..3],
        [
            "`SELECT n, word FROM words ORDER BY n` on the target: row 1, column 2 is \
             another value",
            "`SELECT count(*) FROM public.words` on the source: gave another value than `3`",
            "`SELECT word FROM public.words` on the target: gave 2 rows, expected 1",
        ]
    );
    assert!(failures[3].contains("read-only transaction"), "{}", failures[3]);
    assert!(failures[4].contains("no answer within 100 ms"), "{}", failures[4]);
    let everything = format!("{records:?}{}", stage.run_log());
    assert!(!everything.contains("hunter2"), "a row's value came out");
    let left =
        crate::stage::postgres_session::query_one(&stage.source, "SELECT count(*) FROM words");
    assert_eq!(left, "2");
}

/// Only the gate knows this user: whoever asked a database directly would be another.
#[test]
fn a_question_to_the_gate_comes_in_as_one_of_its_clients() {
    let pair = Pair::start("gatesmoke");
    let steps = "phases:\n- name: ask\n  steps:\n  - smoke: {against: gate, sql: \
                 [{query: SELECT current_user, expect: {value: app}}]}\n";
    let plan = PlanText::new(Gate::Postgres).gate_user("app").phases(steps);
    let mut stage = Stage::new(&pair, "gatesmoke", &plan);
    for cluster in [&pair.blue, &pair.green] {
        execute(&cluster.url("postgres"), "CREATE ROLE app LOGIN PASSWORD 's3cr3t'");
    }
    fs::write(stage.plan.with_file_name("password"), "s3cr3t\n").unwrap();
    stage.start_gate();
    stage.expect("apply", 0);
    let records = stage.journal();
    let checked = records.iter().find(|record| record.body["kind"] == "checked").unwrap();
    let name = &checked.body["report"]["cases"][0]["name"];
    assert_eq!(name, "`SELECT current_user` through the gate", "{}", stage.report());
    assert!(!format!("{records:?}{}{}", stage.run_log(), stage.gate_log()).contains("s3cr3t"));
}
