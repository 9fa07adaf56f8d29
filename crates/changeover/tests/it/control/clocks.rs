//! What time says: an approval that comes too late, a window, the plan's deadline.

use std::time::{SystemTime, UNIX_EPOCH};

use changeover_run::Event;

use super::service::{Service, last};
use crate::faults::program::has;

#[test]
fn an_approval_that_nobody_gave_in_time_has_the_outcome_that_the_plan_says() {
    let service = Service::start(
        "phases:\n\
         - {name: some, steps: [{shift: {to: 10%}}]}\n\
         - name: all\n  \
           approve: {from: [alice], within: 2s, on_timeout: rollback}\n  \
           steps: [{shift: {to: 100%}}]\n",
    );
    service.expect("apply", &["--detach"], 0);
    service.wait_for("the question", |state| state.control.approval.is_some());
    // The time goes on while nobody is there to look at the clock.
    service.kill_daemon();
    let status = service.wait_for_state("rolled-back");
    has(status["state"]["why"].as_str().unwrap(), &["not approved in time", "0 of 1"]);
    assert_eq!(status["target_permille"], 0);
    assert_eq!(service.count(|event| matches!(event, Event::ApprovalExpired)), 1);
}

/// Seconds since the Unix epoch.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A window of two hours, `hours` from now, in UTC.
fn window(hours: u64) -> String {
    let hour = now_s() / 3600 + hours;
    format!("{{between: \"{:02}:00-{:02}:00\", zone: UTC}}", hour % 24, (hour + 2) % 24)
}

#[test]
fn a_closed_window_is_waited_for_and_says_until_when() {
    let service = Service::start(&format!(
        "phases:\n\
         - {{name: now, window: {}, steps: [{{shift: {{to: 10%}}}}]}}\n\
         - {{name: later, window: {}, steps: [{{shift: {{to: 100%}}}}]}}\n",
        window(23),
        window(3)
    ));
    service.expect("apply", &["--detach"], 0);
    // The first window opened an hour ago.
    service.wait_for("the first phase", |state| state.target_permille == 100);
    let status = service.wait_for_state("waiting");
    assert_eq!(status["state"]["waits_for"], "window", "{status}");
    let opens_s = status["control"]["window"]["opens"].as_u64().unwrap() / 1000;
    assert_eq!(opens_s, (now_s() / 3600 + 3) * 3600);
    has(status["state"]["reason"].as_str().unwrap(), &["opens at 20", ":00:00Z", "closes at"]);
    service.kill_daemon();
    assert_eq!(service.wait_for_state("waiting")["target_permille"], 100);
    service.expect("skip", &["--reason", "agreed by telephone", "--as", "alice"], 0);
    assert_eq!(service.wait_for_state("done")["target_permille"], 1000);
    let skipped = service.count(|event| {
        matches!(event, Event::WindowSkipped { who, why }
            if who.identity() == "alice" && why == "agreed by telephone")
    });
    assert_eq!(skipped, 1);
}

#[test]
fn a_deadline_that_has_come_pauses_the_run_once() {
    let service = Service::start(
        "objectives: {deadline: \"2026-01-01T00:00:00+01:00\"}\n\
         phases: [{name: all, steps: [{soak: {for: 1h}}, {shift: {to: 100%}}]}]\n",
    );
    let said = service.expect("apply", &[], 5);
    let reason = last(&said, "result")["state"]["reason"].clone();
    has(reason.as_str().unwrap(), &["deadline of the plan was 2025-12-31T23:00:00Z"]);
    service.kill_daemon();
    assert_eq!(service.wait_for_state("paused")["target_permille"], 0);
    // Whoever goes on knows it: the soak is still to come.
    service.expect("resume", &[], 0);
    service.expect("skip", &["--reason", "late already"], 0);
    service.wait_for_state("done");
    assert_eq!(service.count(|event| matches!(event, Event::DeadlineReached { .. })), 1);
}
