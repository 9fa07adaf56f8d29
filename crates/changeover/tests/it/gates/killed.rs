//! The gate's process is killed: only its own connections break, and it comes back to the right
//! side, which it learns from the databases.

use std::fs;
use std::time::Duration;

use changeover_testkit::Cluster;

use crate::faults::program::{Kept, ask, has, paused};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, WritePath, Writers, until};

fn served_by(stage: &Stage) -> String {
    ask(stage.gate_url.as_ref().unwrap(), "SELECT inet_server_port()").unwrap()
}

fn port(cluster: &Cluster) -> String {
    cluster.port().to_string()
}

/// Waits until the run shows whether it reaches the gate.
fn reachable(stage: &Stage, is: bool) {
    let so = until(PATIENCE, || (stage.status()["gates"]["reachable"] == is).then_some(()));
    assert!(so.is_some(), "the gate is not shown as reachable={is}; {}", stage.status());
}

const PATIENT: &str = "phases:\n  \
    - {name: copy, steps: [replicate]}\n  \
    - {name: cutover, steps: [{cutover: {attempts: 2, retry_after: 1s}}]}\n";

#[test]
fn a_gate_that_is_killed_breaks_its_own_connections_and_nothing_else() {
    let pair = Pair::start("gatekill");
    let plan = PlanText::new(Gate::Postgres).write_pause("8s").phases(PATIENT);
    let mut stage = Stage::new(&pair, "gatekill", &plan);
    let direct = WritePath::Either(stage.source.clone(), stage.target.clone());
    let writers = Writers::start(direct, 1, 2, Duration::from_millis(10));

    // There is none: the words name the command that starts it.
    let ran = stage.expect("apply", 5);
    let warned = |line: &serde_json::Value| {
        line["kind"] == "warning"
            && line["text"].as_str().is_some_and(|text| text.contains("changeover gate"))
    };
    assert!(ran.lines.iter().any(warned), "it says so only at the cutover: {:?}", ran.lines);
    let (reason, next) = paused(&ran);
    has(&reason, &["gate.sock", "changeover gate"]);
    has(&next, &["apply"]);
    reachable(&stage, false);

    // Before a cutover.
    stage.start_gate();
    reachable(&stage, true);
    let gate = stage.gate_url.clone().unwrap();
    let session = Kept::open(&gate, "before");
    assert_eq!(session.one("SELECT inet_server_port()").unwrap(), port(&pair.blue));
    stage.kill_gate();
    assert!(session.one("SELECT 1").is_err(), "its connection outlived it");
    reachable(&stage, false);
    writers.wait_for_more(20);
    stage.start_gate();
    assert_eq!(served_by(&stage), port(&pair.blue));

    // During a hold, which an open transaction makes long.
    let blocker = Kept::open(&gate, "blocker");
    blocker.run("BEGIN; SELECT 1").unwrap();
    let apply = stage.begin("apply", &[], &[]);
    stage.wait_for("a hold", |state| {
        let attempt = state.cutover.attempt.as_ref();
        attempt.is_some_and(|attempt| attempt.held_at.is_some())
    });
    stage.kill_gate();
    assert!(blocker.run("COMMIT").is_err());
    stage.start_gate();
    let mut ran = apply.end(PATIENCE).unwrap();
    if ran.code == Some(5) {
        ran = stage.expect("apply", 0);
    }
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.error(), stage.report());
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
    assert_eq!(served_by(&stage), port(&pair.green));

    // After the flip, with what it kept and without.
    stage.kill_gate();
    writers.wait_for_more(20);
    stage.start_gate();
    assert_eq!(served_by(&stage), port(&pair.green));
    stage.kill_gate();
    fs::remove_file(stage.state_dir().join("route.json")).unwrap();
    stage.start_gate();
    assert_eq!(served_by(&stage), port(&pair.green), "{}", stage.gate_log());

    writers.wait_for_more(20);
    let ledger = writers.stop();
    stage.check_settled(&[&ledger]);
}

/// A gate that comes back when the run is gone has nobody to ask but the databases.
#[test]
fn a_gate_that_comes_back_alone_asks_the_databases() {
    let pair = Pair::start("gatealone");
    let mut stage = Stage::new(&pair, "gatealone", &PlanText::new(Gate::Postgres));
    stage.start_gate();
    let kept = fs::read(stage.state_dir().join("route.json")).ok();
    stage.expect("apply", 0);
    stage.expect("stop", 0);
    stage.kill_gate();
    // What it remembers is from before the cutover, as after a restored disk.
    let route = stage.state_dir().join("route.json");
    match kept {
        Some(kept) => fs::write(&route, kept).unwrap(),
        None => fs::remove_file(&route).unwrap(),
    }
    stage.start_gate();
    assert_eq!(served_by(&stage), port(&pair.green), "{}", stage.gate_log());
    let write = "INSERT INTO line (writer, seq, kind) VALUES (90, 1, 0)";
    ask(stage.gate_url.as_ref().unwrap(), write).unwrap();
    assert_eq!(ask(&stage.target, "SELECT count(*) FROM line WHERE writer = 90").unwrap(), "1");
}
