//! Guards against real gates, commands and a real Prometheus.

use std::fs;

use changeover_run::{Consequence, Event};

use super::service::{Service, is_gone, last};
use crate::faults::program::has;
use crate::gates::web::Load;
use crate::stage::{PATIENCE, until};

const STEPS: &str = "phases: [{name: move, steps: [\
    {shift: {to: 50%}}, {soak: {for: 1h}}, {shift: {to: 100%}}]}]\n";

fn acted(event: &Event, wanted: Consequence) -> bool {
    matches!(event, Event::GuardActed { consequence, .. } if *consequence == wanted)
}

#[test]
fn a_command_that_fails_takes_the_run_back_once_and_pauses_it_the_second_time() {
    let guard = "guards: [{name: fine, exec: [test, -e, fine], for: 0s, every: 1s}]\n";
    let service = Service::start(&format!("{guard}{STEPS}"));
    fs::write(service.file("fine"), "").unwrap();
    let turn_bad = || {
        service.wait_for("the soak", |state| state.at == 1 && state.since.is_some());
        assert_eq!(service.state().target_permille, 500);
        fs::remove_file(service.file("fine")).unwrap();
    };
    let apply = |code| {
        std::thread::scope(|scope| {
            let apply = scope.spawn(|| service.expect("apply", &[], code));
            turn_bad();
            apply.join().unwrap()
        })
    };
    let said = apply(3);
    let result = last(&said, "result");
    assert_eq!(result["state"]["is"], "rolled-back", "{result}");
    assert_eq!(result["status"]["target_permille"], 0);
    has(result["state"]["why"].as_str().unwrap(), &["guard fine", "exit code 1"]);
    let automatic = |event: &Event| matches!(event, Event::RollbackBegun { automatic: true, .. });
    assert_eq!(service.count(automatic), 1, "{}", service.report());
    assert_eq!(service.count(|event| matches!(event, Event::WayBackChecked { .. })), 1);

    fs::write(service.file("fine"), "").unwrap();
    let said = apply(5);
    let state = &last(&said, "result")["state"];
    has(state["reason"].as_str().unwrap(), &["guard fine", "went back by itself once already"]);
    has(state["next_command"].as_str().unwrap_or_default(), &["changeover rollback "]);
    assert_eq!(service.count(automatic), 1);
    assert_eq!(service.state().target_permille, 500, "the traffic stays");
    service.kill_daemon();
    service.wait_for_state("paused");
    service.expect("rollback", &[], 0);
    assert_eq!(service.state().target_permille, 0);
}

#[test]
fn without_data_nothing_is_begun_until_there_is_some() {
    let guard = "guards: [{name: mine, exec: [./check], for: 0s, every: 1s}]\n";
    let steps = "phases: [{name: move, steps: [{shift: {to: 100%}}]}]\n";
    let service = Service::start(&format!("{guard}{steps}"));
    service.expect("apply", &["--detach"], 0);
    let status = service.wait_for_state("waiting");
    assert_eq!(status["state"]["waits_for"], "guard", "{status}");
    let reason = status["state"]["reason"].as_str().unwrap();
    has(reason, &["guard mine", "no data", "cannot be started"]);
    assert_eq!(status["control"]["guards"][0]["holds"], true);
    service.kill_daemon();
    assert_eq!(service.wait_for_state("waiting")["steps_done"], 0);
    // Bad is not good either.
    service.script("check", "exit 9");
    service.wait_for("a bad guard", |state| {
        state.control.guards.get("mine").is_some_and(|guard| guard.why.contains("exit code 9"))
    });
    assert_eq!(service.state().target_permille, 0);
    service.script("check", "exit 0");
    // It was bad for a moment before anything had moved, which is for the operator to judge.
    service.wait_for("the pause", |state| state.pause.is_some());
    service.expect("resume", &[], 0);
    assert_eq!(service.wait_for_state("done")["target_permille"], 1000);
    assert_eq!(service.count(|event| acted(event, Consequence::Held)), 1, "{}", service.report());
}

#[test]
fn a_target_that_fails_more_than_the_source_holds_the_run_until_it_is_mended() {
    let guard = "guards:\n- {name: errors, metric: gate.error_rate, \
                 compare: {to: source, at_most: 1.1x}, for: 1s, on_fail: hold}\n";
    let service = Service::start(&format!("{guard}{STEPS}"));
    service.green.fail_one_in(2);
    let load = Load::start(service.port);
    service.expect("apply", &["--detach"], 0);
    let status = service.wait_for_state("waiting");
    let reason = status["state"]["reason"].as_str().unwrap();
    has(reason, &["guard errors", "gate.error_rate is", "times the source's 0.00 %"]);
    service.expect("skip", &["--reason", "go on"], 0);
    let begun = load.so_far();
    load.more(200);
    let state = service.state();
    assert_eq!((state.at, state.target_permille), (2, 500), "{begun} {}", service.report());
    // Both fail alike: then it is not the target.
    service.blue.fail_one_in(1);
    assert_eq!(service.wait_for_state("done")["target_permille"], 1000);
}

#[test]
fn nothing_goes_back_by_itself_to_a_source_that_is_not_there() {
    let guard = "guards: [{name: fine, exec: [test, -e, fine], for: 0s, every: 1s}]\n";
    let mut service = Service::start(&format!("{guard}{STEPS}"));
    fs::write(service.file("fine"), "").unwrap();
    service.expect("apply", &["--detach"], 0);
    service.wait_for("the soak", |state| state.at == 1 && state.since.is_some());
    service.blue.kill();
    fs::remove_file(service.file("fine")).unwrap();
    let status = service.wait_for_state("paused");
    let reason = status["state"]["reason"].as_str().unwrap();
    has(reason, &["way back is not ready", "upstreams of the source are not well"]);
    has(status["state"]["next_command"].as_str().unwrap_or_default(), &["changeover rollback "]);
    assert_eq!(status["target_permille"], 500, "the traffic stays where it is");
    // A person may know better.
    service.expect("rollback", &[], 0);
    assert_eq!(service.state().target_permille, 0);
}

#[test]
fn a_killed_daemon_takes_a_guard_s_command_and_its_children_with_it() {
    let guard = "guards: [{name: mine, exec: [./check], timeout: 10m, every: 1s}]\n";
    let service = Service::start(&format!("{guard}{STEPS}"));
    // A child in another session, which outlives its parent unless somebody looks.
    let script = "setsid sleep 600 &\necho \"$$ $!\" > pids.new; mv pids.new pids; wait";
    service.script("check", script);
    service.expect("apply", &["--detach"], 0);
    let pids = until(PATIENCE, || fs::read_to_string(service.file("pids")).ok());
    let pids: Vec<u32> = pids.unwrap().split_whitespace().map(|it| it.parse().unwrap()).collect();
    assert!(pids.len() == 2 && !pids.iter().any(|pid| is_gone(*pid)), "{pids:?}");
    service.kill_daemon();
    let gone = until(PATIENCE, || pids.iter().all(|pid| is_gone(*pid)).then_some(()));
    assert!(gone.is_some(), "{pids:?} live on; {}", service.report());
}

/// After the last step somebody still looks: an alarm until it is good again; with `after_done:
/// rollback` the run goes back.
#[test]
fn what_turns_bad_when_all_steps_are_done_alarms_or_goes_back() {
    let guard = "guards: [{name: fine, exec: [test, -e, fine], for: 0s, every: 1s}]\n";
    let steps = "phases: [{name: move, steps: [{shift: {to: 100%}}]}]\n";
    let begin = |more: &str| {
        let service = Service::start(&format!("{guard}{more}{steps}"));
        fs::write(service.file("fine"), "").unwrap();
        service.expect("apply", &[], 0);
        service
    };
    let service = begin("");
    let with_code = |code| {
        let said = until(PATIENCE, || {
            let said = service.verb("status", &[]);
            (said.code == Some(code)).then_some(said)
        });
        last(&said.unwrap_or_else(|| panic!("{}", service.report())), "status")
    };
    assert_eq!(with_code(0)["state"], serde_json::json!({"is": "done"}));
    fs::remove_file(service.file("fine")).unwrap();
    let state = with_code(5)["state"].clone();
    assert_eq!(state["is"], "done");
    has(state["alarms"][0].as_str().unwrap(), &["guard fine", "exit code 1"]);
    // It stands in the journal, and the next daemon knows it.
    service.kill_daemon();
    with_code(5);
    assert_eq!(service.count(|event| acted(event, Consequence::Alarmed)), 1);
    assert_eq!(service.state().target_permille, 1000, "nothing goes back by itself");
    fs::write(service.file("fine"), "").unwrap();
    with_code(0);

    let service = begin("after_done: rollback\n");
    fs::remove_file(service.file("fine")).unwrap();
    let status = service.wait_for_state("rolled-back");
    assert_eq!(status["target_permille"], 0);
    has(status["state"]["why"].as_str().unwrap(), &["guard fine"]);
}
