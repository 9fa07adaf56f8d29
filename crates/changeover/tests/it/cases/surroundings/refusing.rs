//! Upstreams that refuse connections: before anything begins, and in the middle of a canary.

use crate::control::service::Service;
use crate::faults::program::has;
use crate::gates::web::{Load, Upstream, from};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, free_port, until};

const CANARY: &str =
    "phases:\n  - {name: move, steps: [{canary: {weights: [50%], at_least: 5m}}]}\n";

#[test]
fn what_clients_would_meet_is_found_before_anything_begins() {
    let pair = Pair::start("refusing");
    let blue = Upstream::start("blue");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let phases = "phases:\n  - {name: copy, steps: [replicate]}\n  \
                  - {name: canary, steps: [{canary: {weights: [20%], at_least: 10s}}]}\n  \
                  - {name: cutover, steps: [cutover]}\n";
    let plan = PlanText::new(Gate::Http).upstreams(&blue.url(), &nobody).phases(phases);
    let stage = Stage::bare(&pair.blue, &pair.green, "refusing", ["", ""], &plan);
    crate::stage::postgres_session::execute(&stage.source, "CREATE TABLE t (id int PRIMARY KEY)");
    let words = [
        "upstream",
        nobody.as_str(),
        "refuses connections",
        "sealed_target",
        "canary/canary",
        "takes no writes before the cutover",
        "gates.postgres",
    ];
    let ran = stage.expect("plan", 1);
    has(&ran.lines.iter().map(ToString::to_string).collect::<String>(), &words);
    let ran = stage.expect("apply", 5);
    has(&ran.lines.iter().map(ToString::to_string).collect::<String>(), &words[..4]);
    stage.expect("abort", 0);
}

#[test]
fn a_canary_is_not_begun_while_the_target_refuses() {
    let mut service = Service::start(CANARY);
    service.green.kill();
    let said = service.expect("apply", &[], 5);
    has(&said.all(), &["the target's upstream", "refuses connections", "changeover apply"]);
    assert_eq!(service.state().target_permille, 0);
}

/// The canary sees every refusal, its clients see none.
#[test]
fn a_target_that_begins_to_refuse_fails_no_client() {
    let mut service = Service::start(CANARY);
    let load = Load::start(service.port);
    load.more(20);
    service.expect("apply", &["--detach"], 0);
    let shared = until(PATIENCE, || (from(&load.more(20), "green") > 0).then_some(()));
    assert!(shared.is_some(), "{}", service.report());
    service.green.kill();
    // What was in flight at that very moment is lost, of three clients one request each.
    load.more(4);
    let here = load.so_far();
    let back = until(PATIENCE, || (service.state().target_permille == 0).then_some(()));
    assert!(back.is_some(), "{}", service.report());
    load.more(20);
    let answers = load.since(here);
    let failed: Vec<_> =
        answers.iter().filter(|it| !matches!(it, Ok(got) if got.status == 200)).collect();
    assert!(failed.is_empty(), "{} of {}: {failed:?}", failed.len(), answers.len());
}
