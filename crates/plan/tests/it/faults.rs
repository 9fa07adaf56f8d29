//! Every kind of fault, as the user sees it.

use changeover_plan::{FaultKind, parse};

const HEAD: &str = "apiVersion: changeover/v1\nkind: Migration\nmetadata: {name: shop}\n";
const DATABASES: &str =
    "source: {postgres: {url: {env: OLD}}}\ntarget: {postgres: {url: {env: NEW}}}\n";
const BOTH: &str = r#"source:
  http: {upstreams: ["http://10.0.0.5:8080"]}
  postgres: {url: {env: OLD}}
target:
  http: {upstreams: ["http://10.1.0.5:8080"]}
  postgres: {url: {env: NEW}}
gates:
  http: {listen: "0.0.0.0:8000"}
"#;

fn shown(text: &str) -> String {
    match parse("plan.yaml", text) {
        Ok(_) => "(sound)".to_owned(),
        Err(faults) => faults.to_string(),
    }
}

#[test]
fn not_yaml() {
    let texts = [
        "",
        "a: [1, 2",
        "a: 'b\n",
        "\tkind: x",
        "a: 1\n---\nb: 2",
        "a: &x 1\nb: *x",
        "a: !!str 1",
        "? [a]\n: 1",
        "just words",
        "- a list",
    ];
    let all: Vec<String> = texts.iter().map(|t| format!("{t:?}\n{}", shown(t))).collect();
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn keys() {
    insta::assert_snapshot!(shown(
        r"apiVersion: changeover/v2
kind: migration
metadata: {nam: shop}
kind: Migration
source:
  database: {url: {env: OLD}}
target:
  postgres: {url: {env: NEW}, url: {env: NEWER}, colour: blue}
traffic: {}
guards: []
objectives: {deadline: 2026-12-13T05:00:00+01:00, write-pause: 1s}
data: {throttle: {}, include: [public]}
"
    ));
}

#[test]
fn values_and_units() {
    insta::assert_snapshot!(shown(
        r#"apiVersion: changeover/v1
kind: Migration
metadata: {name: "My Shop", owner: [a]}
objectives: {write_pause: 500, error_rate: 0.1, latency_p99: 1.5s}
source:
  http: {upstreams: ["10.0.0.5:8080", "https://a", "http://a/path", "http://u:pw@a", "http://b", "http://b:80/"]}
  postgres: {url: mysql://x, standbys: maybe}
target:
  http: {upstreams: []}
  postgres: {url: {env: "NOT A NAME"}}
gates:
  http: {listen: "localhost:80", sticky: {cookie: "a b"}}
  postgres: {listen: "0.0.0.0:0", auth: scran, unmovable: kill, users: []}
data: {copy_jobs: many, include: ["public.*", "a.b.c"], reverse: {keep: forever}}
"#
    ));
}

#[test]
fn secrets() {
    insta::assert_snapshot!(shown(&format!(
        r#"{HEAD}
source:
  postgres: {{url: "postgres://app:hunter2@10.0.0.5/shop"}}
target:
  postgres: {{url: "postgres://10.1.0.5/shop?password=hunter2"}}
gates:
  postgres:
    listen: 127.0.0.1:6432
    users:
      - {{name: app, password: hunter2}}
      - {{name: web, password: {{env: A, file: B}}}}
      - {{name: ops, password: {{}}}}
      - {{name: ops, password: {{vault: x}}}}
"#
    )));
}

#[test]
fn contradictory_environments() {
    let lone = format!(
        "{HEAD}source: {{http: {{upstreams: ['http://a']}}, postgres: {{url: {{env: A}}}}}}\n\
         target: {{http: {{upstreams: ['http://a:80']}}}}\ngates: {{http: {{listen: '0.0.0.0:80'}}, \
         postgres: {{listen: '0.0.0.0:80', auth: trust}}}}\n"
    );
    let same = format!(
        "{HEAD}source: {{postgres: {{url: {{env: A}}}}}}\ntarget: {{postgres: {{url: {{env: A}}}}}}\n\
         gates: {{http: {{listen: '127.0.0.1:80'}}, postgres: {{listen: '127.0.0.1:5'}}}}\n\
         data: {{include: [a], exclude: [a]}}\n"
    );
    let neither = format!("{HEAD}source: {{}}\ntarget: {{}}\ndata: {{copy_jobs: 2}}\n");
    let no_gate = format!(
        "{HEAD}source: {{http: {{upstreams: ['http://a']}}}}\ntarget: {{http: {{upstreams: \
         ['http://b']}}}}\n"
    );
    let itself = format!(
        "{HEAD}source: {{http: {{upstreams: ['http://localhost:81']}}}}\ntarget: {{http: \
         {{upstreams: ['http://b']}}}}\ngates: {{http: {{listen: '0.0.0.0:81'}}}}\n"
    );
    let all: Vec<String> =
        [lone, same, neither, no_gate, itself].iter().map(|text| shown(text)).collect();
    insta::assert_snapshot!(all.join("\n\n========\n\n"));
}

#[test]
fn steps_that_are_wrong() {
    insta::assert_snapshot!(shown(&format!(
        "{HEAD}{BOTH}phases:
  - name: copy
    steps:
      - replicat
      - load: {{}}
      - {{replicate: {{}}, verify: {{}}}}
      - [replicate]
      - replicate: {{throttle: 1}}
      - verify: {{mode: quick}}
      - smoke: {{against: somewhere, file: smoke.yaml}}
      - smoke: {{}}
      - smoke:
          on_fail: nothing
          retries: many
          requests:
            - {{path: /a, method: POST, body: x, headers: {{authorization: hunter2, content-length: 3, a b: c}}}}
            - {{path: /b, method: HEAD, expect: {{status: 6xx, json: {{$.a: 1, items: 2, $.b: {{exists: maybe}}}}, contains: []}}}}
            - {{path: /c, expect_status: 200, expect: {{status: 200}}}}
            - {{path: /d, method: HEAD, expect: {{contains: x}}}}
          sql: [{{query: select 1, expect: {{table: [1]}}}}]
          tcp: [{{address: redis}}, {{within: 1s}}]
      - run: {{command: npm test, junit: [a], env: {{A B: c, DB_PASSWORD: hunter2, X: {{vault: y}}}}}}
      - run: {{within: forever}}
      - mirror: {{sample: 0%, at_most: 1, least: 0, headers: [], against: target}}
      - load: {{requests: [{{path: /a, method: POST, unsafe: true}}, {{path: /b, weight: 2}}], profile: {{rate: fast}}}}
      - load: {{requests: [{{path: /a}}]}}
      - load: {{access_log: {{times: 2}}, exec: {{command: [k6]}}}}
      - load: {{access_log: {{format: w3c, times: 2}}, profile: {{ramp_to: 10/s}}, error_rate: 1}}
      - load: {{requests: [{{path: /a}}], profile: {{rate: 1/s, ramp_to: 2/s}}, latency_p99: 1s}}
      - smoke:
          requests: [{{path: health, method: POST, expect_status: 99}}, {{}}]
          sql: [{{query: select 1, expect: {{rows: 1, value: 1}}}}, {{expect: {{rows: x}}}}]
  - name: copy
    approve: {{}}
    steps:
      - canary: {{weights: [0%, 5, 25%, 20%, 0.05%], at_least: 10, dwell: 10m, proof: [2], false_alarm: 50%, latency: [p99, p50, 9], warm_up: 2h}}
      - blue-green: {{watch: 0s, false_alarm: 0%, weights: [1%]}}
      - cutover: {{attempts: 0, blocked_sessions: terminate, retry_after: soon}}
      - shift
      - shift: {{to: 101%}}
      - soak: {{for: 24 hours}}
  - name: Empty
    steps: []
  - steps: [verify]
"
    )));
}

#[test]
fn steps_in_a_wrong_order() {
    let phases = |steps: &str| format!("phases: [{{name: all, steps: [{steps}]}}]\n");
    let both = |steps: &str| shown(&format!("{HEAD}{BOTH}{}", phases(steps)));
    let data = |steps: &str| shown(&format!("{HEAD}{DATABASES}{}", phases(steps)));
    let http = "source: {http: {upstreams: ['http://a']}}\ntarget: {http: {upstreams: ['http://b']}}\n\
                gates: {http: {listen: '127.0.0.1:1'}}\n";
    let http = |steps: &str| shown(&format!("{HEAD}{http}{}", phases(steps)));
    let all = [
        both("verify, cutover, replicate, canary, cutover, replicate"),
        both("replicate, canary, shift: {to: 20%}, canary"),
        both("replicate, finish, soak: {for: 1s}"),
        data("replicate, canary, shift: {to: 100%}"),
        data(
            "smoke: {requests: [{path: /}, {path: /}], sql: [{query: a, expect: {rows: 1}, against: gate}]}",
        ),
        http("replicate, verify, cutover"),
        http("canary, finish"),
        http("canary, shift: {to: 100%}, finish"),
        data("replicate, verify"),
        data("replicate, cutover, run: {command: [a], on_fail: abort}"),
    ];
    insta::assert_snapshot!(all.join("\n\n========\n\n"));
}

#[test]
fn faults_come_in_the_order_of_the_file_and_all_at_once() {
    let text = "kind: Migration\nsource: 1\nmetadata: {name: X}\ntarget: []\nwhat: 1\n";
    let faults = parse("p", text).unwrap_err().0;
    let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 5]);
    assert_eq!(faults[0].kind, FaultKind::Missing);
    assert_eq!(faults[4].kind, FaultKind::UnknownKey);
}

#[test]
fn guards_approvals_windows_and_deadlines() {
    let guards = "guards:
  - {name: nothing, below: 1}
  - {name: both, metric: relay.lag, exec: [x], below: 1s}
  - {name: unit, metric: relay.lag, below: 30}
  - {name: unit, metric: slot.retained, at_most: 20GiB}
  - {name: limits, metric: verify.different, below: 1, at_most: 0}
  - {name: compared, metric: relay.lag, compare: {to: target, at_most: 1.1}}
  - {name: tls, prometheus: {url: 'https://prom', query: up}, below: 1}
  - {name: user, prometheus: {url: 'http://me:pw@prom', query: up}, below: 1}
  - {name: command, exec: [], below: 1}
  - {name: limited, exec: [./check], below: 1}
  - {name: gate, metric: gate.error_rate, below: 1%, for: 2d, every: 1ms, on_fail: cry}
objectives: {deadline: tomorrow}
phases:
  - name: copy
    approve: {from: [], count: 2}
    window: {days: [sun, funday], between: 5-6, zone: Europe/Berlim}
    steps: [replicate]
  - name: cutover
    approve: {from: [a, a, 'b c'], count: 9, within: 0s, self: maybe, on_timeout: shrug}
    window: {days: [], between: '05:00-05:00'}
    steps: [cutover]
";
    insta::assert_snapshot!(shown(&format!("{HEAD}{BOTH}{guards}")));
}

#[test]
fn canaries_that_are_wrong() {
    insta::assert_snapshot!(shown(&format!(
        "{HEAD}{BOTH}phases:
  - name: a
    steps:
      - canary:
          at_least: 10m
          within: 30m
          on_timeout: promote
          outside:
            - {{name: cpu, prometheus: {{url: \"http://a:1\", query: 'rate(x{{side=\"$side\"}}[5m])'}}, every: 30s}}
            - {{name: cpu, prometheus: {{url: \"http://a:1\", query: 'y{{side=\"$side\"}}'}}}}
            - {{name: CPU, prometheus: {{url: \"https://a:1\", query: 'x{{side=\"blue\"}}'}}, worse: bigger, margin: 10, on_no_data: ignore}}
            - {{name: one, prometheus: {{url: \"http://a:1\", query: 'x'}}, sides: {{source: a}}, no_data_for: 0s}}
            - {{name: two, prometheus: {{url: \"http://a:1\", query: 'rate(x{{s=\"$side\"}}[2h])'}}, sides: {{source: a, target: a}}}}
            - {{exec: [check], every: 500ms}}
      - canary: {{weights: [60%], on_timeout: hold, outside: cpu}}
"
    )));
}
