//! `assess --from`: what surrounds a move, through the shipped binary.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::faults::program::{changeover, has};

fn example() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/systems/multi-service");
    folder.canonicalize().unwrap().display().to_string()
}

#[test]
fn files_become_a_map_an_order_and_findings() {
    let folder = tempfile::tempdir().unwrap();
    let from = example();
    let args = [
        "assess",
        "--from",
        &from,
        "--map",
        "map.svg",
        "--map",
        "map.mmd",
        "--map",
        "map.json",
        "--fail-on",
        "blocker",
        "--json",
    ];
    let said = changeover(folder.path(), &args, &[]);
    // A pipeline owns the switch and a worker runs on both sides: blockers.
    assert_eq!(said.code, Some(2), "{}", said.all());
    let lines: Vec<Value> =
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let finding = |id: &str| {
        lines.iter().filter(|line| line["type"] == "finding").find(|line| line["id"] == id)
    };
    let switch = finding("R48-switch-in-pipeline").unwrap();
    has(&switch.to_string(), &["aws_lb_listener.https", "plan.json:"]);
    has(&finding("R41-workers").unwrap().to_string(), &["worker", "compose.yaml:"]);
    assert!(!said.all().contains("not-a-real-password"));

    let picture = fs::read_to_string(folder.path().join("map.svg")).unwrap();
    has(&picture, &["<svg", "orders-db", "moves together", "prefers-color-scheme:dark"]);
    has(&fs::read_to_string(folder.path().join("map.mmd")).unwrap(), &["flowchart LR", "n_worker"]);
    let document = fs::read_to_string(folder.path().join("map.json")).unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((&document["type"], &document["version"]), (&"changeover-map".into(), &1.into()));
    assert!(document["order"].as_array().unwrap().len() > 10);
}

#[test]
fn one_bad_file_is_told_and_keeps_what_nobody_saw_unknown() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("deploy")).unwrap();
    let workers = || {
        let args = ["assess", "--from", "deploy", "--fail-on", "never", "--json"];
        let said = changeover(folder.path(), &args, &[]);
        assert_eq!(said.code, Some(0), "{}", said.all());
        let mut lines = said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.find(|line| line["type"] == "facts").unwrap()["around"]["workers"].clone()
    };
    fs::write(folder.path().join("deploy/good.yaml"), "services:\n  api: {image: api}\n").unwrap();
    assert_eq!(workers()["known"], serde_json::json!([]));
    fs::write(folder.path().join("deploy/bad.yaml"), "services: [\n").unwrap();
    has(workers()["unknown"].as_str().unwrap(), &["deploy/bad.yaml: not YAML"]);

    let said = changeover(folder.path(), &["assess", "--from", "deploy"], &[]);
    has(&said.err, &["not read: deploy/bad.yaml:2: not YAML", "move 1: api"]);
}

#[test]
fn a_prometheus_that_does_not_answer_is_told_and_a_map_needs_a_form() {
    let folder = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let args = ["assess", "--prometheus", &url, "--fail-on", "never"];
    let said = changeover(folder.path(), &args, &[]);
    assert_eq!(said.code, Some(0), "{}", said.all());
    has(&said.err, &["asking Prometheus at 127.0.0.1", "refused"]);
    let said = changeover(folder.path(), &["assess", "--from", ".", "--map", "map.pdf"], &[]);
    assert_eq!(said.code, Some(64), "{}", said.all());
    has(&said.err, &["CO0180", ".svg, .mmd or .json"]);
}
