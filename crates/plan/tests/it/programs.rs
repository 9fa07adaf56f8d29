//! Programs: what is refused, what the phases come to, and how they are explained.

use std::collections::BTreeMap;
use std::path::Path;

use changeover_plan::{Program, Unloaded, explain_program, is_program, parse, parse_program};

const HEAD: &str = "apiVersion: changeover/v1\nkind: Program\nmetadata: {name: move}\n";

fn database(name: &str) -> String {
    let upper = name.to_uppercase();
    format!(
        "apiVersion: changeover/v1\nkind: Migration\nmetadata: {{name: {name}}}\n\
         source: {{postgres: {{url: {{env: OLD_{upper}}}}}}}\n\
         target: {{postgres: {{url: {{env: NEW_{upper}}}}}}}\n\
         phases:\n  - {{name: copy, steps: [replicate, verify]}}\n  \
         - {{name: cutover, steps: [cutover]}}\n  - {{name: check, steps: [verify]}}\n"
    )
}

fn web(name: &str, port: u16) -> String {
    format!(
        "apiVersion: changeover/v1\nkind: Migration\nmetadata: {{name: {name}}}\n\
         source: {{http: {{upstreams: [\"http://a-{name}:1\"]}}}}\n\
         target: {{http: {{upstreams: [\"http://b-{name}:1\"]}}}}\n\
         gates: {{http: {{listen: \"0.0.0.0:{port}\"}}}}\n"
    )
}

/// Plans of these names: databases, and `web…` which only have requests.
fn read(text: &str, plans: &[(&str, String)]) -> Result<Program, String> {
    let plans: BTreeMap<String, String> =
        plans.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
    let mut load = |file: &Path| {
        let name = file.display().to_string();
        let unreadable = || Unloaded::Unreadable("no such file".to_owned());
        let text = plans.get(&name).ok_or_else(unreadable)?;
        parse(&name, text).map_err(Unloaded::Faulty)
    };
    parse_program("program.yaml", text, &mut load).map_err(|faults| faults.to_string())
}

fn plans() -> Vec<(&'static str, String)> {
    vec![
        ("users.yaml", database("users")),
        ("orders.yaml", database("orders")),
        ("billing.yaml", database("billing")),
        ("web.yaml", web("web", 8000)),
    ]
}

fn shown(body: &str) -> String {
    match read(&format!("{HEAD}{body}"), &plans()) {
        Ok(_) => "(sound)".to_owned(),
        Err(faults) => faults,
    }
}

const COMPONENTS: &str = "components:\n  users: {plan: users.yaml}\n  \
    orders: {plan: orders.yaml, needs: users}\n  billing: {plan: billing.yaml, needs: [users]}\n  \
    web: {plan: web.yaml, needs: [orders, billing]}\n";

#[test]
fn a_program_is_told_from_a_plan() {
    assert!(is_program(&format!("{HEAD}{COMPONENTS}")));
    assert!(!is_program(&database("users")));
    assert!(!is_program("kind: [Program"));
    assert!(parse("p", &format!("{HEAD}{COMPONENTS}")).is_err(), "and is no plan");
}

#[test]
fn the_usual_phases_follow_the_needs() {
    let program = read(&format!("{HEAD}{COMPONENTS}"), &plans()).unwrap();
    let lines: Vec<String> = explain_program(&program)
        .iter()
        .map(|it| {
            format!("{}\n  {}\n  because {}\n  if not {}", it.path, it.what, it.why, it.fallback)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn words_that_are_wrong() {
    insta::assert_snapshot!(shown(
        "on_fail: ignore\nguards: []\ncomponents:\n  Users: {plan: users.yaml}\n  \
         orders: {plan: none.yaml, need: [x]}\n  billing: {plan: {kind: Migration}}\n  web: {}\n\
         together: [{components: [orders], atomic: true}, [a]]\nphases:\n  - name: go\n    \
         timeout: 1h\n    steps:\n      - move: Users\n        prepare: all\n      - to: copy\n      \
         - component: orders\n      - {move: [web], at_once: 0}\n      - walk\n  - {name: go, steps: []}\n"
    ));
}

#[test]
fn needs_that_are_wrong() {
    let body = "components:\n  users: {plan: users.yaml, needs: [web, user]}\n  \
        orders: {plan: orders.yaml, needs: [users, users]}\n  billing: {plan: billing.yaml, needs: \
        billing}\n  web: {plan: web.yaml, needs: orders}\n";
    insta::assert_snapshot!(shown(body));
}

#[test]
fn orders_that_are_wrong() {
    let phases =
        |steps: &str| shown(&format!("{COMPONENTS}phases:\n  - name: go\n    steps:\n{steps}"));
    let all = [
        phases("      - move: [users, orders]\n      - move: [billing, web]\n"),
        phases(
            "      - component: orders\n        to: cutover\n      - component: users\n        to: cut\n",
        ),
        phases("      - prepare: [users, web]\n      - prepare: users\n      - move: all\n"),
        phases(
            "      - component: users\n        to: copy\n      - {component: users, to: copy}\n",
        ),
    ];
    insta::assert_snapshot!(all.join("\n\n========\n\n"));
}

#[test]
fn groups_that_are_wrong() {
    let components = COMPONENTS;
    let group = "together: [{components: [orders, billing]}]\n";
    let phases =
        |steps: &str| format!("phases:\n  - name: go\n    steps:\n      - move: users\n{steps}");
    let all = [
        shown(&format!("{components}{group}")),
        shown(&format!("{components}{group}on_fail: pause\n")),
        shown(&format!(
            "{components}{group}{}",
            phases("      - move: orders\n      - move: billing\n      - move: web\n")
        )),
        shown(&format!(
            "{components}{group}{}",
            phases("      - {move: [orders, billing], at_once: 1}\n      - move: web\n")
        )),
        shown(&format!(
            "{components}{group}{}",
            phases("      - move: [orders, billing]\n      - move: web\n")
        )),
        shown(&format!(
            "{components}together: [{{components: [users, orders]}}, {{components: [orders, web]}}]\n"
        )),
    ];
    insta::assert_snapshot!(all.join("\n\n========\n\n"));
}

#[test]
fn what_two_components_must_not_share() {
    let other = database("other").replace("OLD_OTHER", "NEW_USERS");
    let finish =
        database("finish").replace("check, steps: [verify]", "check, steps: [verify, finish]");
    let text = format!(
        "{HEAD}components:\n  users: {{plan: users.yaml}}\n  again: {{plan: users.yaml}}\n  \
         other: {{plan: other.yaml}}\n  web: {{plan: web.yaml}}\n  front: {{plan: front.yaml}}\n  \
         self: {{plan: self.yaml}}\n  finish: {{plan: finish.yaml}}\n  bad: {{plan: bad.yaml}}\n"
    );
    let mut plans = plans();
    plans.push(("other.yaml", other));
    plans.push(("front.yaml", web("front", 8000)));
    plans.push(("self.yaml", database("move")));
    plans.push(("finish.yaml", finish));
    plans.push(("bad.yaml", database("bad").replace("replicate", "replicat")));
    insta::assert_snapshot!(read(&text, &plans).unwrap_err());
}

#[test]
fn a_changed_plan_is_a_changed_program() {
    let text = format!("{HEAD}{COMPONENTS}");
    let before = read(&text, &plans()).unwrap();
    let mut changed = plans();
    changed[0].1 = changed[0].1.replace("OLD_USERS", "OLDER_USERS");
    let after = read(&text, &changed).unwrap();
    assert_ne!(before.digest, after.digest);
    let commented = read(&format!("# a word\n{text}"), &plans()).unwrap();
    assert_eq!(before.digest, commented.digest);
}

#[test]
fn phases_of_a_program_have_the_entrances_and_soaks_of_a_plan() {
    let phases = "phases:\n  - name: all\n    approve: {from: [alice, bob], count: 2}\n    \
        window: {days: [sat], between: \"01:00-05:00\", zone: UTC}\n    \
        steps: [move: users, soak: {for: 1h}, move: [orders, billing], move: web]\n";
    let text = format!("{HEAD}{COMPONENTS}{phases}");
    let program = read(&text, &plans()).unwrap_or_else(|faults| panic!("{faults}"));
    let steps = explain_program(&program);
    assert_eq!(steps[0].entrance.len(), 2, "{steps:?}");
    assert_eq!(
        (&*steps[1].path, &*steps[1].what),
        ("all/soak", "wait for 1h while everything is watched")
    );
    assert!(steps[1].entrance.is_empty() && steps[1].fallback.contains("users"), "{steps:?}");

    let faults = shown(
        &(COMPONENTS.to_owned()
            + &phases
                .replace("for: 1h", "for: 1h, until: x")
                .replace("count: 2", "count: 3")
                .replace("move: web", "{soak: {for: 1h}, at_once: 2}")),
    );
    for words in ["count", "until", "`soak` alone", "no step that moves `web`"] {
        assert!(faults.contains(words), "`{words}` is missing in:\n{faults}");
    }
}
