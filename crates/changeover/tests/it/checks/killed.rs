//! `kill -9` of the daemon in the middle of a check: it has no outcome, and is carried out again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::routing::get;
use tokio::sync::watch;

use super::site::{Server, Site};
use crate::stage::{PATIENCE, until};

const STEPS: &str = "      - smoke: {requests: [{path: /slow, within: 5m}]}
      - load: {profile: {rate: 50/s, for: 4s}, requests: [{path: /load}], error_rate: 0%}
";

#[test]
fn a_smoke_and_a_load_that_were_cut_short_have_no_outcome_and_are_carried_out_again() {
    let (asked, loaded) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    // The smoke's question is answered when the test says so.
    let (answer, waiting) = watch::channel(false);
    let (asks, loads) = (Arc::clone(&asked), Arc::clone(&loaded));
    let slow = move || {
        asks.fetch_add(1, Ordering::Relaxed);
        let mut waiting = waiting.clone();
        async move { waiting.wait_for(|now| *now).await.map(drop).map_err(|e| e.to_string()) }
    };
    let load = move || {
        loads.fetch_add(1, Ordering::Relaxed);
        std::future::ready(())
    };
    let green = Server::start(Router::new().route("/slow", get(slow)).route("/load", get(load)));
    let blue = Server::start(Router::new());
    let site = Site::new(&blue, &green, STEPS);
    let mut apply = site.command(&["apply", "plan.yaml"]).spawn().unwrap();
    let reaches = |count: &AtomicU64, least: u64| {
        let there = until(PATIENCE, || (count.load(Ordering::Relaxed) >= least).then_some(()));
        assert!(there.is_some(), "{least} requests do not come: {}", site.log());
    };

    reaches(&asked, 1);
    site.kill_daemon();
    reaches(&asked, 2);
    assert!(site.checks().is_empty(), "it was cut short, and has an outcome");
    answer.send(true).unwrap();

    reaches(&loaded, 20);
    let before = loaded.load(Ordering::Relaxed);
    assert_eq!(site.checks().len(), 1, "only the smoke has an outcome");
    site.kill_daemon();
    assert!(apply.wait().unwrap().success(), "{}", site.log());
    let checks = site.checks();
    let names: Vec<_> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(names, ["smoke", "load"]);
    assert_eq!(checks[0]["summary"], "1 questions, all answered as expected");
    assert_eq!(checks[1]["numbers"]["requests"], 200, "from its beginning: {}", checks[1]);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert!(loaded.load(Ordering::Relaxed) >= before + 200);
}
