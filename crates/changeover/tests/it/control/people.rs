//! Pause, resume, skip, approve: from any terminal, in anybody's name, across `kill -9`.

use changeover_run::Event;

use super::service::{Service, last};
use crate::faults::program::has;

/// A soak in the middle, so that there is a moment to speak in.
const SOAK: &str = "phases: [{name: move, steps: [\
    {shift: {to: 10%}}, {soak: {for: 1h}}, {shift: {to: 100%}}]}]\n";

fn is_paused(event: &Event) -> bool {
    matches!(event, Event::Paused { .. })
}

#[test]
fn what_a_person_paused_waits_for_a_person_also_after_kill_9() {
    let service = Service::start(SOAK);
    service.expect("apply", &["--detach"], 0);
    service.wait_for("the soak", |state| state.at == 1 && state.since.is_some());
    let said = service.expect("pause", &["--reason", "dinner", "--as", "alice"], 0);
    assert_eq!(last(&said, "result")["state"]["is"], "paused");
    service.kill_daemon();

    let status = service.wait_for_state("paused");
    assert_eq!(status["state"]["reason"], "dinner", "{status}");
    has(status["state"]["next_command"].as_str().unwrap_or_default(), &["changeover resume "]);
    assert_eq!(status["control"]["paused_by"]["name"], "alice");
    // The user is the kernel's word, not alice's.
    assert!(status["control"]["paused_by"]["user"].as_str().is_some_and(|user| user != "alice"));

    // The word may come twice, and `apply` does not take it back.
    service.expect("pause", &["--reason", "again", "--as", "bob"], 0);
    assert_eq!(service.count(is_paused), 1);
    service.expect("apply", &[], 5);
    assert!(service.state().pause.is_some(), "{}", service.report());

    // What waits may be left out, what moves may not, and the pause stays.
    service.expect("skip", &["--reason", "seen enough", "--as", "alice"], 0);
    let said = service.expect("skip", &["--reason", "no time"], 1);
    has(&said.all(), &["shift", "not a check"]);
    let state = service.state();
    assert_eq!((state.at, state.target_permille), (2, 100), "{}", service.report());
    assert!(state.pause.is_some());
    service.kill_daemon();

    service.expect("resume", &["--as", "bob"], 0);
    let status = service.wait_for_state("done");
    assert_eq!(status["target_permille"], 1000);
    let results = status["control"]["results"].as_array().unwrap();
    let is = |step: &str| results.iter().find(|it| it["step"] == step).unwrap()["is"].clone();
    assert_eq!((is("move/shift"), is("move/soak")), ("done".into(), "skipped".into()));
    let resumed = service.count(
        |event| matches!(event, Event::Resumed { by: Some(who) } if who.identity() == "bob"),
    );
    assert_eq!(resumed, 1);
    service.expect("resume", &[], 0);
    let said = service.expect("pause", &[], 1);
    has(&said.all(), &["nothing is going on"]);
}

const TWO_OF_THREE: &str = "phases:\n\
    - {name: some, steps: [{shift: {to: 10%}}]}\n\
    - name: all\n  \
      approve: {from: [alice, bob, carol], count: 2, within: 1h, self: false}\n  \
      steps: [{shift: {to: 100%}}]\n";

#[test]
fn a_phase_opens_by_two_people_none_of_whom_applied() {
    let service = Service::start(TWO_OF_THREE);
    let said = service.expect("apply", &["--no-wait", "--as", "carol"], 4);
    assert_eq!(last(&said, "result")["state"]["waits_for"], "approval", "{}", said.all());
    service.kill_daemon();

    let status = service.wait_for_state("waiting");
    assert_eq!(status["control"]["approval"]["needed"], 2);
    has(&service.expect("approve", &["--as", "dave"], 1).all(), &["dave is not asked", "alice"]);
    has(&service.expect("approve", &["--as", "carol"], 1).all(), &["carol ran `apply`"]);
    service.expect("approve", &["--as", "alice"], 0);
    service.expect("approve", &["--as", "alice"], 0);
    let skipped = service.expect("skip", &["--reason", "in a hurry"], 1);
    has(&skipped.all(), &["given, not skipped"]);
    assert_eq!(service.state().target_permille, 100);
    service.kill_daemon();

    let status = service.wait_for_state("waiting");
    assert_eq!(status["control"]["approval"]["given"], serde_json::json!(["alice"]));
    service.expect("approve", &["--as", "bob"], 0);
    service.wait_for_state("done");
    let approved: Vec<(String, String, String)> = service
        .events()
        .iter()
        .filter_map(|event| match event {
            Event::Approved { who, plan_digest, facts, .. } => {
                Some((who.identity().to_owned(), plan_digest.clone(), facts.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(approved.len(), 2, "{}", service.report());
    assert_eq!((&*approved[0].0, &*approved[1].0), ("alice", "bob"));
    assert_eq!(approved[0].1, status["plan_digest"].as_str().unwrap());
    assert_eq!(approved[0].2, approved[1].2);
    has(&service.expect("approve", &["--as", "bob"], 1).all(), &["nothing waits"]);
}

const ONE: &str = "phases:\n\
    - {name: some, steps: [{shift: {to: 10%}}]}\n\
    - {name: all, approve: {from: [alice]}, steps: [{shift: {to: 100%}}]}\n";

#[test]
fn a_no_pauses_and_the_next_question_may_be_answered_by_apply_itself() {
    let service = Service::start(ONE);
    // `--yes`, which every verb here is given, approves nothing.
    service.expect("apply", &["--no-wait"], 4);
    let said = service.verb("approve", &["--as", "alice", "--reject"]);
    assert_eq!(said.code, Some(64), "a no has a reason: {}", said.all());
    let no = ["--as", "alice", "--reject", "--reason", "not on a Friday"];
    service.expect("approve", &no, 0);
    let status = service.wait_for_state("paused");
    let reason = status["state"]["reason"].as_str().unwrap();
    assert_eq!(reason, "alice rejected all/shift: not on a Friday");
    service.expect("apply", &["--approve-as", "alice"], 5);
    assert_eq!(service.state().target_permille, 100);

    service.expect("resume", &[], 0);
    service.expect("apply", &["--approve-as", "alice"], 0);
    assert_eq!(service.state().target_permille, 1000);
    assert_eq!(service.count(|event| matches!(event, Event::ApprovalAsked { .. })), 2);
}
