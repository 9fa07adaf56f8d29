//! Load as a step: limits, logs, tools, and what stops it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

use super::site::{Server, Site};
use crate::stage::{PATIENCE, until};

/// A server that counts, and fails one request of so many.
fn counting(served: &Arc<AtomicU64>, fails_one_in: u64) -> Server {
    let served = Arc::clone(served);
    let answer = move || {
        let number = served.fetch_add(1, Ordering::Relaxed);
        let fails = fails_one_in > 0 && number.is_multiple_of(fails_one_in);
        let status = if fails { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
        async move { status }
    };
    Server::start(Router::new().fallback(get(answer)))
}

fn site(served: &Arc<AtomicU64>, fails_one_in: u64, steps: &str) -> (Site, [Server; 2]) {
    let servers = [Server::start(Router::new()), counting(served, fails_one_in)];
    (Site::new(&servers[0], &servers[1], steps), servers)
}

const SHORT: &str = "profile: {rate: 100/s, for: 2s}, requests: [{path: /a}, {path: /b}]";

#[test]
fn limits_decide_and_the_figures_are_kept() {
    let served = Arc::default();
    let step = format!("      - load: {{{SHORT}, error_rate: 1%, latency_p99: 20s}}\n");
    let (good, _servers) = site(&served, 0, &step);
    let text = good.apply(0);
    assert_eq!(served.load(Ordering::Relaxed), 200);
    assert!(text.contains("200 requests to the target, 0 failed"), "{text}");
    let numbers = &good.checks()[0]["numbers"];
    assert_eq!((&numbers["requests"], &numbers["failed"]), (&200.into(), &0.into()));
    assert!(numbers["p99_us"].as_u64().unwrap() > 0, "{numbers}");

    // Of one path only: requests on several connections arrive in no certain order.
    let step = step.replace(", {path: /b}", "");
    let (bad, _servers) = site(&Arc::default(), 20, &step);
    let text = bad.apply(5);
    let failures = Site::failures(&bad.checks()[0]).join("\n");
    let wanted = "at most 1 % of the requests fail: 10 of 200 failed, 5 %: 10 GET /a answered 502";
    assert_eq!(failures, wanted);
    assert!(text.contains(wanted), "{text}");
}

#[test]
fn a_log_of_yesterday_is_sent_without_its_writes_and_without_its_secrets() {
    let served = Arc::default();
    let step =
        "      - load: {access_log: {file: a.log, format: combined, times: 4x}, error_rate: 0%}\n";
    let (site, _servers) = site(&served, 1, step);
    site.apply(5);
    assert!(site.log().contains("a.log"), "{}", site.log());
    let line = |second: u64, request: &str| {
        format!(
            "10.0.0.1 - - [10/Oct/2026:13:55:{second:02} +0000] \"{request} HTTP/1.1\" 200 1 \"-\" \"-\"\n"
        )
    };
    let log = line(0, "GET /a?token=hunter2") + &line(1, "POST /pay") + &line(3, "GET /b");
    fs::write(site.path().join("a.log"), log).unwrap();
    site.apply(5);
    assert_eq!(served.load(Ordering::Relaxed), 2);
    let check = &site.checks()[0];
    let failures = Site::failures(check).join("\n");
    assert!(failures.contains("1 GET /a answered 502, 1 GET /b answered 502"), "{failures}");
    assert!(check["summary"].as_str().unwrap().contains("1 lines of other methods"), "{check}");
    assert!(!format!("{check}{}", site.log()).contains("hunter2"));
}

#[test]
fn a_tool_of_the_users_judges_by_itself() {
    let step = "      - load: {exec: {command: [sh, -c, \"exit 99\"]}}\n";
    let (site, _servers) = site(&Arc::default(), 0, step);
    site.apply(5);
    let failures = Site::failures(&site.checks()[0]);
    assert!(failures[0].starts_with("sh: ended with exit code 99"), "{failures:?}");
}

const LONG: &str =
    "      - load: {profile: {rate: 100/s, for: 1h}, requests: [{path: /}], error_rate: 1%}\n";

fn sent(served: &AtomicU64, more: u64) {
    let from = served.load(Ordering::Relaxed);
    let there = until(PATIENCE, || (served.load(Ordering::Relaxed) >= from + more).then_some(()));
    assert!(there.is_some(), "nothing is sent");
}

#[test]
fn an_abort_stops_it_at_once() {
    let served = Arc::new(AtomicU64::new(0));
    let (site, _servers) = site(&served, 0, LONG);
    let mut apply = site.command(&["apply", "plan.yaml"]).spawn().unwrap();
    sent(&served, 50);
    let status = site.verb(&["status", "plan.yaml", "--json"]).text;
    assert!(status.contains("\"check\":\"load\"") && status.contains("eta_s"), "{status}");
    assert_eq!(site.verb(&["abort", "plan.yaml"]).code, Some(0));
    let at_the_end = served.load(Ordering::Relaxed);
    apply.wait().unwrap();
    // What was on its way may have arrived; 64 connections carry no more.
    assert!(served.load(Ordering::Relaxed) <= at_the_end + 64);
    assert!(site.checks().is_empty(), "a check that was cut short has no outcome");
}

#[test]
fn a_killed_daemon_leaves_no_load_behind_and_its_successor_begins_again() {
    let served = Arc::new(AtomicU64::new(0));
    let step = format!("      - load: {{{}, error_rate: 0%}}\n", SHORT.replace("2s", "6s"));
    let (site, _servers) = site(&served, 0, &step);
    let mut apply = site.command(&["apply", "plan.yaml"]).spawn().unwrap();
    sent(&served, 100);
    site.kill_daemon();
    let before = served.load(Ordering::Relaxed);
    assert!(apply.wait().unwrap().success(), "{}", site.log());
    let checks = site.checks();
    assert_eq!(checks.len(), 1);
    assert_eq!(checks[0]["numbers"]["requests"], 600, "the whole load is sent again");
    assert!(served.load(Ordering::Relaxed) >= before + 600 - 64);
}

#[test]
fn a_pause_stops_it_and_resuming_begins_it_again() {
    let served = Arc::new(AtomicU64::new(0));
    let (site, _servers) = site(&served, 0, LONG);
    let mut apply = site.command(&["apply", "plan.yaml"]).spawn().unwrap();
    sent(&served, 50);
    let said = site.verb(&["pause", "plan.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    let at_the_pause = served.load(Ordering::Relaxed);
    apply.wait().unwrap();
    // What was on its way may have arrived; 64 connections carry no more.
    assert!(served.load(Ordering::Relaxed) <= at_the_pause + 64);
    let mut resumed = site.command(&["resume", "plan.yaml"]).spawn().unwrap();
    sent(&served, 100);
    assert_eq!(site.verb(&["abort", "plan.yaml"]).code, Some(0));
    resumed.wait().unwrap();
    assert!(site.checks().is_empty(), "a check that was cut short has no outcome");
}
