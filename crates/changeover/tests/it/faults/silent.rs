//! Connections that die without a word while new ones work: nobody waits for them for long.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use changeover_run::DataStage;
use changeover_testkit::Proxy;

use crate::stage::postgres_session::execute;
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, WritePath, Writers, until};

/// From the death of a connection until one side may be written to again.
const RESOLVED_WITHIN: Duration = Duration::from_secs(15);

const PHASES: &str = "phases:\n  \
    - {name: copy, steps: [replicate, {soak: {for: 2s}}, verify]}\n  \
    - {name: cutover, steps: [{cutover: {attempts: 20, retry_after: 500ms}}]}\n  \
    - {name: check, steps: [verify]}\n";

/// What the message that commits the seal holds.
const SEAL: &[u8] = b"no seal in epoch";

/// Lets the plan's daemon reach its databases through proxies: the source's, the target's.
fn through_proxies(pair: &Pair, stage: &Stage) -> (Proxy, Proxy) {
    let (source, target) = (pair.blue.port(), pair.green.port());
    let proxies = (Proxy::start(source).unwrap(), Proxy::start(target).unwrap());
    let at = |port: u16| format!("127.0.0.1:{port}/");
    let plan = fs::read_to_string(&stage.plan).unwrap();
    assert!(plan.contains(&at(source)) && plan.contains(&at(target)), "{plan}");
    let plan = plan.replace(&at(source), &at(proxies.0.port()));
    fs::write(&stage.plan, plan.replace(&at(target), &at(proxies.1.port()))).unwrap();
    proxies
}

/// Freezes `frozen` as soon as the source has answered the seal's COMMIT; gives when.
fn freeze_at_the_seal(stage: &Stage, source: &Proxy, frozen: &Proxy) -> Instant {
    let died = Arc::new(Mutex::new(None));
    let (when, freeze) = (Arc::clone(&died), frozen.freezer());
    source.once_answered(SEAL, move || {
        freeze();
        *when.lock().unwrap() = Some(Instant::now());
    });
    let died = until(PATIENCE, || *died.lock().unwrap());
    died.unwrap_or_else(|| panic!("no seal; {}", stage.report()))
}

/// The same, and waits until one side has authority again.
fn dies_at_the_seal(stage: &Stage, source: &Proxy, frozen: &Proxy) {
    let died = freeze_at_the_seal(stage, source, frozen);
    let resolved = until(PATIENCE, || {
        let (source, target) = stage.authority();
        (source == "source" || target == "target").then(|| died.elapsed())
    });
    let resolved = resolved.unwrap_or_else(|| panic!("sealed for ever; {}", stage.report()));
    assert!(resolved < RESOLVED_WITHIN, "nobody could write for {resolved:?}; {}", stage.report());
}

#[test]
fn a_connection_that_dies_without_a_word_holds_nobody_for_long() {
    let pair = Pair::start("silent");
    let stage = Stage::new(&pair, "silent", &PlanText::new(Gate::None).phases(PHASES));
    let (source, target) = through_proxies(&pair, &stage);
    let path = WritePath::Either(stage.source.clone(), stage.target.clone());
    let writers = Writers::start(path, 1, 2, Duration::from_millis(20));

    let apply = stage.begin("apply", &[], &[]);
    stage.wait_for("following", |state| state.data == DataStage::Following);
    source.freeze();
    target.freeze();

    // The comparison needs relays that live, and says what it waits for if they do not.
    dies_at_the_seal(&stage, &source, &source);
    dies_at_the_seal(&stage, &source, &target);

    let ran = apply.end(2 * PATIENCE).unwrap_or_else(|e| panic!("{e}; {}", stage.report()));
    assert_eq!(ran.code, Some(0), "{}; {}", ran.error(), stage.report());
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
    writers.wait_for_more(10);
    let ledger = writers.stop();
    stage.check_settled(&[&ledger]);
}

#[test]
fn a_daemon_that_cannot_start_while_nobody_may_write_is_started_until_it_can() {
    let pair = Pair::start("onandon");
    let stage = Stage::new(&pair, "onandon", &PlanText::new(Gate::None));
    let (source, _target) = through_proxies(&pair, &stage);
    let plan = fs::read(&stage.plan).unwrap();
    let apply = stage.begin("apply", &[], &[]);
    freeze_at_the_seal(&stage, &source, &source);
    fs::write(&stage.plan, "not a plan").unwrap();
    Stage::signal(stage.pid("run.pid").unwrap(), "KILL");
    // More often than a supervisor tries otherwise.
    let died = || stage.run_log().matches("the daemon died").count();
    let tried = until(PATIENCE, || (died() > 10).then_some(()));
    assert!(tried.is_some(), "it was given up; {}", stage.report());
    let (authority, other) = stage.authority();
    assert!(authority == "none" && other != "target", "{authority}, {other}");

    fs::write(&stage.plan, plan).unwrap();
    let resolved = until(PATIENCE, || (stage.authority().0 == "source").then_some(()));
    assert!(resolved.is_some(), "nobody resolved it; {}", stage.report());
    drop(apply);
    stage.expect("apply", 0);
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
}

/// Supervisor and daemon are gone between seal and grant, and nobody gives a verb.
#[test]
fn a_gate_starts_the_daemon_that_resolves_a_seal() {
    let pair = Pair::start("gatestarts");
    let mut stage = Stage::new(&pair, "gatestarts", &PlanText::new(Gate::Postgres));
    let (source, _target) = through_proxies(&pair, &stage);
    stage.start_gate();
    let apply = stage.begin("apply", &[], &[]);
    let died = freeze_at_the_seal(&stage, &source, &source);
    for file in ["supervisor.pid", "run.pid"] {
        Stage::signal(stage.pid(file).unwrap(), "KILL");
    }
    drop(apply);
    let resolved = until(PATIENCE, || (stage.authority().0 == "source").then(|| died.elapsed()));
    let resolved = resolved.unwrap_or_else(|| panic!("nobody did; {}", stage.report()));
    assert!(resolved < RESOLVED_WITHIN, "{resolved:?}; {}", stage.report());
    execute(stage.gate_url.as_ref().unwrap(), "UPDATE customer SET changed = 1");
    stage.expect("apply", 0);
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
}
