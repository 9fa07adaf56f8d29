//! The gate that runs is asked what it carries.

use std::fs;

use crate::control::service::Service;
use crate::faults::program::has;
use crate::gates::web::Upstream;
use crate::stage::postgres_session::{block_on, connect};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage};

const CANARY: &str =
    "phases:\n  - {name: move, steps: [{canary: {weights: [50%], at_least: 5m}}]}\n";

#[test]
fn a_gate_that_carries_another_plan_is_found_before_it_leads_anybody() {
    let service = Service::start(CANARY);
    let other = Upstream::start("other");
    let file = service.file("plan.yaml");
    let (written, green) = (fs::read_to_string(&file).unwrap(), service.green.url());
    let differs = |plan: String, words: &[&str]| {
        fs::write(&file, plan).unwrap();
        has(&service.expect("plan", &[], 1).all(), words);
    };
    differs(
        written.replace("\"}}\nphases", "\", sticky: {cookie: side}}}\nphases"),
        &["gate_plan", "gates.http.sticky.cookie is none in the gate and side in the plan"],
    );
    let elsewhere =
        format!("target.http.upstreams is {green} in the gate and {} in the plan", other.url());
    differs(written.replace(&green, &other.url()), &["gate_plan", &elsewhere, "changeover gate"]);
    let said = service.expect("apply", &[], 5);
    has(&said.all(), &[&elsewhere]);
    assert_eq!(service.state().target_permille, 0);
    assert_eq!(service.green.served(), 0);
}

#[test]
fn clients_that_go_around_the_gate_are_named_and_those_behind_it_are_not() {
    let pair = Pair::start("around");
    let mut stage = Stage::new(&pair, "around", &PlanText::new(Gate::Postgres));
    stage.start_gate();
    let gate = stage.gate_url.clone().unwrap();
    block_on(async {
        let behind = connect(&gate).await.unwrap();
        behind.batch_execute("SET application_name = 'clerk'").await.unwrap();
        let around = connect(&stage.source).await.unwrap();
        around.batch_execute("SET application_name = 'wanderer'").await.unwrap();
        let said = stage.begin("plan", &["--fail-on", "blocker"], &[]);
        let said = tokio::task::spawn_blocking(move || said.end(PATIENCE)).await.unwrap().unwrap();
        let risks = said.last("document").unwrap()["risks"].as_array().unwrap();
        let of = |it: &&serde_json::Value| it["id"] == "around_the_gate";
        let risk = risks.iter().find(of).unwrap().to_string();
        has(&risk, &["1 client goes around the gate", "wanderer", "127.0.0.1"]);
        assert!(!risk.contains("clerk"), "{risk}");
    });
}
