//! Smoke: every question is asked, every expectation that is not met is told.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};

use super::site::{Server, Site};

const STEPS: &str = "      - smoke:
          file: smoke.yaml
          requests: [{path: /healthz, expect: {below: 60s}}]
          retries: {times: 1, after: 10ms}
      - shift: {to: 100%}
      - smoke: {against: gate, file: smoke.yaml}
";

const QUESTIONS: &str = "requests:
  - {path: /healthz, expect: {status: 2xx, json: {$.status: ok, \"$.parts[*]\": up}}}
  - path: /orders
    method: POST
    unsafe: true
    headers: {x-who: test, authorization: {env: SMOKE_TOKEN}}
    body: '{\"n\": 1}'
    expect: {status: [201, 404], headers: {x-seen: {contains: test}}, contains: '\"n\": 1'}
tcp: [{address: \"127.0.0.1:1\", within: 5s}]
";

/// A shop that is well or not, and how often its health was asked for.
fn shop(well: &Arc<AtomicBool>, asked: &Arc<AtomicU64>) -> Router {
    let (well, asked) = (Arc::clone(well), Arc::clone(asked));
    let health = move || {
        asked.fetch_add(1, Ordering::Relaxed);
        let word = if well.load(Ordering::Relaxed) { "ok" } else { "hunter2" };
        let body = format!("{{\"status\": \"{word}\", \"parts\": [\"up\", \"{word}\"]}}");
        let body = body.replace("[\"up\", \"ok\"]", "[\"up\", \"up\"]");
        std::future::ready(([("content-type", "application/json")], body))
    };
    let order = |headers: HeaderMap, body: String| async move {
        let allowed = headers.get("authorization").is_some_and(|it| it == "Bearer s3cr3t");
        let status = if allowed { StatusCode::CREATED } else { StatusCode::UNAUTHORIZED };
        let who = headers.get("x-who").cloned();
        let seen = who.map(|who| [("x-seen", who)]);
        (
            status,
            seen.map_or_else(HeaderMap::new, |[(name, value)]| {
                HeaderMap::from_iter([(name.parse().unwrap(), value)])
            }),
            body,
        )
    };
    Router::new().route("/healthz", get(health)).route("/orders", post(order))
}

#[test]
fn every_wrong_answer_is_told_without_what_came_and_the_next_apply_asks_again() {
    let (well, asked) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let (blue, green) = (Server::start(Router::new()), Server::start(shop(&well, &asked)));
    let site = Site::new(&blue, &green, STEPS);
    fs::write(site.path().join("smoke.yaml"), QUESTIONS).unwrap();
    let site = site.with_gate();
    let apply = |code: i32, token: &str| {
        let mut command = site.command(&["apply", "plan.yaml", "--junit", "checks.xml"]);
        let output = command.env("SMOKE_TOKEN", token).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}\n{}", site.log());
        text
    };
    let text = apply(5, "Bearer s3cr3t");
    let on = format!("on the target ({})", green.address());
    let first = &site.checks()[0];
    assert_eq!(
        Site::failures(first),
        [
            format!(
                "GET /healthz {on}, asked 2 times: `$.status` is a text of 7 characters, expected `ok`"
            ),
            format!(
                "GET /healthz {on}, asked 2 times: `$.parts[*]` is wrong at 1 of 2 places, the \
                 first of which is a text of 7 characters, expected `up`"
            ),
            "connecting to 127.0.0.1:1, asked 2 times: cannot connect: Connection refused \
             (os error 111)"
                .to_owned(),
        ]
    );
    assert_eq!(first["summary"], "2 of 4 questions were not answered as expected");
    assert_eq!(asked.load(Ordering::Relaxed), 3, "a right answer is not asked for again");
    assert!(text.contains("`$.status` is a text of 7 characters"), "{text}");
    let junit = fs::read_to_string(site.path().join("checks.xml")).unwrap();
    assert!(junit.contains("<testsuites name=\"web\" tests=\"4\" failures=\"2\""), "{junit}");
    assert!(junit.contains("asked 2 times"), "{junit}");
    let everything = format!("{text}{junit}{}{:?}", site.log(), site.checks());
    for secret in ["hunter2", "s3cr3t"] {
        assert!(!everything.contains(secret), "{secret} came out");
    }

    // The file is part of the plan: another one is another plan.
    fs::write(site.path().join("smoke.yaml"), QUESTIONS.replace("5s", "6s")).unwrap();
    apply(6, "");
    fs::write(site.path().join("smoke.yaml"), QUESTIONS).unwrap();
    well.store(true, Ordering::Relaxed);
    apply(5, "");
    assert_eq!(Site::failures(&site.checks()[1]).len(), 1, "only the TCP address is wrong now");
}

#[test]
fn a_check_that_fails_after_a_move_takes_it_back() {
    let (well, asked) = (Arc::new(AtomicBool::new(true)), Arc::default());
    let (blue, green) = (Server::start(Router::new()), Server::start(shop(&well, &asked)));
    let steps = "      - shift: {to: 50%}
      - smoke: {against: target, requests: [{path: /healthz, expect: {status: 204}}]}
";
    let site = Site::new(&blue, &green, steps).with_gate();
    let text = site.apply(3);
    assert!(text.contains("answered 200, expected 204"), "{text}");
    let status = site.verb(&["status", "plan.yaml", "--json", "--junit", "now.xml"]);
    assert!(status.text.contains("\"target_permille\":0"), "{}", status.text);
    let junit = fs::read_to_string(site.path().join("now.xml")).unwrap();
    assert!(junit.contains("answered 200, expected 204"), "{junit}");
}

#[test]
fn on_fail_says_what_happens() {
    let (well, asked) = (Arc::new(AtomicBool::new(true)), Arc::default());
    let (blue, green) = (Server::start(Router::new()), Server::start(shop(&well, &asked)));
    let smoke = |on_fail: &str| {
        format!(
            "      - shift: {{to: 50%}}\n      - smoke: {{requests: [{{path: /gone}}], on_fail: {on_fail}}}\n"
        )
    };
    let site = Site::new(&blue, &green, &smoke("pause")).with_gate();
    site.apply(5);
    let status = site.verb(&["status", "plan.yaml", "--json"]).text;
    assert!(status.contains("\"target_permille\":500"), "{status}");
    let site = Site::new(&blue, &green, &smoke("abort")).with_gate();
    site.verb(&["apply", "plan.yaml"]);
    let status = site.verb(&["status", "plan.yaml", "--json"]).text;
    assert!(status.contains("\"is\":\"aborted\""), "{status}");
}

#[test]
fn a_fault_of_an_included_file_says_its_name_and_place() {
    let (blue, green) = (Server::start(Router::new()), Server::start(Router::new()));
    let site = Site::new(&blue, &green, STEPS);
    let said = site.verb(&["plan", "plan.yaml", "--offline"]);
    assert!(said.text.contains("`smoke.yaml`, which cannot be read"), "{}", said.text);
    let wrong = "requests:\n  - {path: /a, expect: {statuss: 200}}\n";
    fs::write(site.path().join("smoke.yaml"), wrong).unwrap();
    let said = site.verb(&["plan", "plan.yaml", "--offline"]);
    assert!(
        said.text.contains("smoke.yaml:2:25: requests[0].expect.statuss: found the unknown key"),
        "{}",
        said.text
    );
    assert!(said.text.contains("did you mean `status`?"), "{}", said.text);
}
