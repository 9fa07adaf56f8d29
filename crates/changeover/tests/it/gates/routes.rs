//! Routes that are moved one by one, and back all at once.

use std::fs;

use serde_json::Value;

use super::web::{Got, Load, Upstream};
use crate::faults::program::has;
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage};

const ROUTES: &str = "[{name: search, paths: [/search]}, {name: products, paths: [/products/]}]";
const PHASES: &str = "phases:
  - {name: copy, steps: [replicate]}
  - name: search
    steps:
      - canary: {route: search, weights: [20%, 50%], at_least: 1s, proof: [5x, 3x], latency: [], warm_up: 1s}
      - shift: {route: search, to: 100%}
  - name: others
    steps:
      - phased: {routes: [products], each: 2s}
      - canary: {weights: [50%], at_least: 1s, proof: [3x], latency: [], warm_up: 1s}
  - name: cutover
    steps: [{cutover: {attempts: 5, retry_after: 1s}}, {shift: {to: 100%}}]
";

/// Who answered the last requests of each path, in the order of the paths.
fn sides(load: &Load) -> [Vec<String>; 3] {
    // What was under way when the weight was set is passed over.
    load.more(9);
    let answers = load.more(60);
    ["/", "/products/7", "/search"].map(|path| {
        let good = answers.iter().map(|answer| answer.as_ref().unwrap());
        let mut bodies: Vec<String> =
            good.filter(|got| got.path == path).map(|got| got.body.clone()).collect();
        bodies.sort_unstable();
        bodies.dedup();
        bodies
    })
}

fn shares(status: &Value) -> Vec<(&str, u64)> {
    let routes = status["routes"].as_array().unwrap().iter();
    routes
        .map(|it| (it["name"].as_str().unwrap(), it["target_permille"].as_u64().unwrap()))
        .collect()
}

fn failed(load: &Load) -> Vec<Result<Got, String>> {
    load.since(0).into_iter().filter(|a| !a.as_ref().is_ok_and(|g| g.status == 200)).collect()
}

fn until_phase(stage: &Stage, phase: &str) {
    let ran = stage.begin("apply", &["--until", phase], &[]).end(PATIENCE).unwrap();
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.error(), stage.report());
}

#[test]
fn routes_go_one_by_one_and_a_bad_one_takes_all_of_them_back() {
    let pair = Pair::start("routes");
    let (blue, green) = (Upstream::start("blue"), Upstream::start("green"));
    let plan = PlanText::new(Gate::Both)
        .upstreams(&blue.url(), &green.url())
        .latency_p99("900ms")
        .routes(ROUTES)
        .phases(PHASES);
    let mut stage = Stage::new(&pair, "routes", &plan);
    stage.start_gate();
    let load = Load::on(plan.http_port().unwrap(), &["/", "/search", "/products/7"]);
    let (b, g) = (|| vec!["blue".to_owned()], || vec!["green".to_owned()]);
    assert_eq!(sides(&load), [b(), b(), b()]);

    until_phase(&stage, "search");
    assert_eq!(sides(&load), [b(), b(), g()], "{}", stage.report());
    let status = stage.status();
    assert_eq!(shares(&status), [("search", 1000), ("products", 0), ("rest", 0)]);
    let seen = &status["gates"]["routes"];
    assert!(seen["search"]["target"]["requests"].as_u64() > Some(0), "{seen}");
    assert_eq!(seen["products"]["target"]["requests"], 0, "{seen}");

    stage.expect("apply", 0);
    assert_eq!(sides(&load), [g(), g(), g()], "{}", stage.report());
    let status = stage.status();
    assert_eq!(shares(&status), [("search", 1000), ("products", 1000), ("rest", 1000)]);
    assert_eq!(status["authority"], "target");

    stage.expect("rollback", 0);
    assert_eq!(sides(&load), [b(), b(), b()], "{}", stage.report());
    assert_eq!(stage.status()["authority"], "source");
    assert_eq!(failed(&load).len(), 0, "{:?}", failed(&load).first());

    // Products are broken on the target: search, which does well there, comes back with them.
    green.fail_below("/products/");
    green.fail_one_in(2);
    let ran = stage.expect("apply", 3);
    let result = ran.last("result").unwrap();
    assert_eq!(result["state"]["is"], "rolled-back", "{result}");
    has(result["state"]["why"].as_str().unwrap(), &["requests on the target failed, where "]);
    assert_eq!(sides(&load), [b(), b(), b()], "{}", stage.report());
    assert!(failed(&load).iter().all(|it| it.as_ref().is_ok_and(|got| got.path == "/products/7")));
    let salts: Vec<u64> = stage
        .journal()
        .iter()
        .filter(|record| record.body["kind"] == "step-begun")
        .filter_map(|record| record.body["salt"].as_u64())
        .collect();
    assert!(salts.len() >= 3 && salts.is_sorted_by(|a, b| a < b), "{salts:?}");

    // A gate that was started with another plan is told apart before anything moves.
    stage.kill_gate();
    let others = plan.clone().routes(&ROUTES.replace("/search", "/find"));
    let right = fs::read_to_string(&stage.plan).unwrap();
    fs::write(&stage.plan, others.render("routes", &stage.source, &stage.target)).unwrap();
    stage.start_gate();
    fs::write(&stage.plan, right).unwrap();
    stage.expect("apply", 5);
    let status = stage.status();
    has(
        status["state"]["reason"].as_str().unwrap(),
        &[
            "another plan (gates.http.routes is search: /find; products: /products/ in the gate",
            "search: /search; products: /products/ in the plan",
        ],
    );
    assert_eq!(shares(&status), [("search", 0), ("products", 0), ("rest", 0)]);
}
