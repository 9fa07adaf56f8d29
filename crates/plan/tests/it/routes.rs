//! Routes, and steps that move them one by one.

use std::time::Duration;

use changeover_plan::{Plan, Step, explain, parse};
use changeover_types::RouteName;

const HEAD: &str = r#"apiVersion: changeover/v1
kind: Migration
metadata: {name: shop}
source: {http: {upstreams: ["http://10.0.0.5:8080"]}}
target: {http: {upstreams: ["http://10.1.0.5:8080"]}}
"#;
const GATES: &str = r#"gates:
  http:
    listen: "0.0.0.0:8000"
    decide_after: 2s
    routes:
      - {name: search, paths: [/search], decide_after: 300ms}
      - {name: cart, host: Shop.example.com, methods: [GET, HEAD], paths: [/cart/, /basket]}
"#;

fn text(gates: &str, steps: &[&str]) -> String {
    let steps: Vec<String> = steps.iter().map(|step| format!("      - {step}\n")).collect();
    format!("{HEAD}{gates}phases:\n  - name: all\n    steps:\n{}", steps.concat())
}

fn plan(steps: &[&str]) -> Plan {
    parse("plan.yaml", &text(GATES, steps)).unwrap_or_else(|faults| panic!("{faults}"))
}

fn shown(text: &str) -> String {
    parse("plan.yaml", text).map_or_else(|faults| faults.to_string(), |_| "(sound)".to_owned())
}

#[test]
fn routes_are_read_in_their_order() {
    let plan = plan(&["shift: {to: 100%}"]);
    let gate = plan.gates.http.as_ref().unwrap();
    let [search, cart] = &gate.routes[..] else { panic!("{:?}", gate.routes) };
    assert!(search.rule.takes(None, "POST", "/search"));
    assert_eq!(search.decide_after, Duration::from_millis(300));
    assert!(cart.rule.takes(Some("shop.example.com:8000"), "HEAD", "/cart/7"));
    assert_eq!(cart.decide_after, Duration::from_secs(2), "as for the gate");
    let names: Vec<String> = gate.route_names().iter().map(RouteName::to_string).collect();
    assert_eq!(names, ["search", "cart", "rest"]);
}

#[test]
fn a_step_is_judged_by_the_routes_that_it_moves() {
    let plan = plan(&[
        "canary: {weights: [5%]}",
        "canary: {route: search, weights: [10%, 50%]}",
        "shift: {route: search, to: 100%}",
        "canary: {weights: [10%]}",
        "phased: {routes: [cart, rest], each: 1m}",
    ]);
    let judged = |step, part| -> Vec<String> {
        plan.routes_judged(step, part).iter().map(RouteName::to_string).collect()
    };
    let none: [&str; 0] = [];
    assert_eq!(judged(0, 0), none, "all of them");
    assert_eq!(judged(1, 1), ["search"]);
    assert_eq!(judged(3, 0), ["cart", "rest"], "what no step of its own has moved");
    assert_eq!((judged(4, 0), judged(4, 1)), (vec!["cart".into()], vec!["rest".into()]));
    let gate = plan.gates.http.as_ref().unwrap();
    let age = |step| gate.decide_after_of(&plan.routes_judged(step, 0));
    assert_eq!((age(0), age(1)), (Duration::from_millis(300), Duration::from_millis(300)));
    assert_eq!(age(3), Duration::from_secs(2));
    let Some(Step::Phased(phased)) = plan.step_at("all/phased") else { panic!() };
    assert_eq!(phased.part(1).unwrap().watch, Duration::from_secs(60));
    assert_eq!(phased.part(2), None);
    let words: Vec<String> =
        explain(&plan).into_iter().map(|step| format!("{}: {}", step.path, step.what)).collect();
    insta::assert_snapshot!(words.join("\n"));
}

#[test]
fn routes_that_are_wrong() {
    let routes = r#"gates:
  http:
    listen: "0.0.0.0:8000"
    routes:
      - {name: catalogue, paths: [/products/], methods: [GET, HEAD]}
      - {name: catalogue, paths: [/other]}
      - {name: rest, paths: [/x]}
      - {name: Search, paths: [search, "/a b", "/b/*"]}
      - {name: words, methods: [get], host: "shop:80"}
      - {name: nothing}
      - {name: empty, paths: [], decide_after: 1h}
      - {name: reads, paths: [/products/1, /elsewhere], methods: [HEAD]}
      - {name: writes, paths: [/products/1], methods: [HEAD, POST]}
      - {name: all, paths: [/]}
      - {name: late, host: shop.example.com, paths: [/late]}
      - {name: headers, host: shop.example.com, headers: {x: y}}
"#;
    insta::assert_snapshot!(shown(&text(routes, &["shift: {to: 100%}"])));
}

#[test]
fn steps_over_routes_that_are_wrong() {
    let cases: [&[&str]; 12] = [
        &["canary: {route: serach}"],
        &["shift: {route: 7up, to: 5%}", "shift: {to: 100%}"],
        &["canary: {route: search, weights: [10%, 50%]}", "shift: {route: search, to: 50%}"],
        &["shift: {route: search, to: 100%}", "blue-green: {route: search}"],
        &["shift: {to: 50%}", "canary: {route: cart, weights: [50%]}"],
        &["phased: {routes: [search, cart, search]}"],
        &["phased: {routes: [], each: 0s}"],
        &["phased: {each: 1m}"],
        &["phased: {routes: [search, cart, rest]}", "canary"],
        &["phased: {routes: [search, cart, rest]}", "shift: {to: 100%}"],
        &["shift: {route: search, to: 100%}", "finish"],
        // Sound: the whole is for all, whatever moved before.
        &[
            "canary: {route: search, weights: [50%]}",
            "canary: {weights: [5%]}",
            "blue-green",
            "finish",
        ],
    ];
    let without = "gates: {http: {listen: \"0.0.0.0:8000\"}}\n";
    let no_routes =
        text(without, &["shift: {route: search, to: 100%}", "shift: {route: rest, to: 100%}"]);
    let case = |steps: &&[&str]| format!("{}\n{}", steps.join(" · "), shown(&text(GATES, steps)));
    let all: Vec<String> =
        cases.iter().map(case).chain([format!("without routes\n{}", shown(&no_routes))]).collect();
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn limits_of_the_http_gate_are_read_and_have_defaults() {
    let none = plan(&["shift: {to: 100%}"]).gates.http.unwrap().limits;
    assert_eq!((none.connections, none.idle_timeout), (10_000, Duration::from_secs(75)));
    let with = |limits: &str| {
        let gates = GATES.replace("    routes:", &format!("    limits: {limits}\n    routes:"));
        text(&gates, &["shift: {to: 100%}"])
    };
    let some = "{connections: 50, upstream_connections: 7, body_timeout: 2m, queue_timeout: 500ms}";
    let limits = parse("plan.yaml", &with(some)).unwrap().gates.http.unwrap().limits;
    assert_eq!((limits.connections, limits.upstream_connections), (50, 7));
    assert_eq!(limits.body_timeout, Duration::from_secs(120));
    assert_eq!(limits.queue_timeout, Duration::from_millis(500));
    assert_eq!(limits.head_timeout, none.head_timeout);
    for (wrong, says) in [
        ("{connections: 0}", "from 1 to"),
        ("{body_timeout: 10ms}", "from 100ms to"),
        ("{requests: 5}", "`requests`"),
    ] {
        let shown = shown(&with(wrong));
        assert!(shown.contains(says), "{wrong}: {shown}");
    }
}
