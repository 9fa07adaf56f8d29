//! An HTTP gate alone: each side's application works on its own side's database.

use std::time::Duration;

use super::application::{Application, SCHEMA};
use crate::gates::web::{Got, Load, from};
use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{Gate, Pair, PlanText, Stage, free_port};

/// All that was not 200.
fn failed(answers: &[Result<Got, String>]) -> Vec<String> {
    let bad = answers.iter().filter(|it| !matches!(it, Ok(got) if got.status == 200));
    bad.map(|it| format!("{it:?}")).collect()
}

#[test]
fn no_request_fails_at_the_cutover_or_on_the_way_back() {
    let pair = Pair::start("requests");
    let phases = "phases:\n  - {name: copy, steps: [replicate, verify]}\n  \
                  - {name: cutover, steps: [cutover, {shift: {to: 100%}}]}\n";
    // The applications need the databases' addresses, the plan the applications'.
    let (source, target) = (pair.blue.url("visits"), pair.green.url("visits"));
    let ports = (free_port(), free_port());
    let at = |port: u16| format!("http://127.0.0.1:{port}");
    let plan = PlanText::new(Gate::Http).upstreams(&at(ports.0), &at(ports.1)).phases(phases);
    let mut stage = Stage::bare(&pair.blue, &pair.green, "visits", ["", ""], &plan);
    execute(&source, SCHEMA);
    let _blue = Application::start("blue", &source, ports.0);
    let _green = Application::start("green", &target, ports.1);
    stage.start_gate();
    let load = Load::of(plan.http_port().unwrap(), 4, Duration::from_millis(40));

    stage.expect("apply", 0);
    let there = load.more(20);
    assert_eq!(from(&there, "green"), 20, "{there:?}");
    stage.expect("rollback", 0);
    let back = load.more(20);
    assert_eq!(from(&back, "blue"), 20, "{back:?}");

    let all = load.since(0);
    assert_eq!(failed(&all), Vec::<String>::new(), "of {}\n{}", all.len(), stage.report());
    drop(load);
    let rows = |url: &str| query_one(url, "SELECT count(*) FROM visit").parse::<usize>().unwrap();
    assert!(rows(&source) >= all.len(), "{} of {}", rows(&source), all.len());
}
