//! The gate that runs is asked what it carries.

use std::fs;

use crate::control::service::Service;
use crate::faults::program::has;
use crate::gates::web::Upstream;

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
