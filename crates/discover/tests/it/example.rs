//! The multi-service example, read whole and part by part.

use std::path::PathBuf;

use changeover_assess::map::{Discovery, Map, MapDocument, build, mermaid, svg};
use changeover_discover::{Limits, from_files};
use changeover_types::WallMs;

/// A part of the example; tests run in the folder of their crate.
fn read(part: &str) -> Discovery {
    let root = PathBuf::from("../../examples/systems").join(part);
    from_files(&[root], true, &Limits::default(), WallMs(1_764_000_000_000))
}

/// The map, as a reader wants to check it: nodes, edges with their first evidence, the order.
fn words(map: &Map) -> String {
    let mut out = String::new();
    for node in &map.nodes {
        let engine = node.engine.as_deref().unwrap_or("-");
        let traits: Vec<String> = node.traits.iter().map(|t| format!("{t:?}")).collect();
        out.push_str(&format!(
            "{} {:?} {engine} [{}] {{{}}} {}\n",
            node.id.0,
            node.kind,
            node.addresses.join(" "),
            node.databases.join(" "),
            traits.join(" ")
        ));
    }
    out.push('\n');
    for edge in &map.edges {
        let seen: Vec<String> =
            edge.evidence.iter().map(|e| format!("{} ({})", e.says, e.place())).collect();
        let databases = edge.databases.join(",");
        out.push_str(&format!(
            "{} {:?} {} {databases}\n    {}\n",
            edge.from.0,
            edge.relation,
            edge.to.0,
            seen.join("\n    ")
        ));
    }
    out.push('\n');
    for (step, place) in map.order.iter().enumerate() {
        let members: Vec<&str> = place.members.iter().map(|id| id.0.as_str()).collect();
        out.push_str(&format!(
            "{}. wave {} {}: {}\n",
            step + 1,
            place.wave,
            members.join(" + "),
            place.why
        ));
    }
    out.replace("../../examples/systems/", "")
}

/// Hints and what could not be read.
fn beside(found: &Discovery) -> String {
    let mut lines: Vec<String> = found
        .hints
        .iter()
        .map(|hint| format!("{} {:?} ({})", hint.component, hint.what, hint.evidence.place()))
        .collect();
    lines.sort();
    lines.extend(found.unread.iter().map(|unread| {
        let line = unread.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!("UNREAD {}{line} {} -> {}", unread.source, unread.why, unread.next)
    }));
    lines.join("\n").replace("../../examples/systems/", "")
}

fn check(name: &str, part: &str) {
    let found = read(part);
    let map = build(&found);
    insta::assert_snapshot!(format!("{name}_map"), words(&map));
    insta::assert_snapshot!(format!("{name}_beside"), beside(&found));
}

#[test]
fn compose() {
    check("compose", "multi-service/compose.yaml");
}

#[test]
fn kubernetes() {
    check("kubernetes", "multi-service-kubernetes");
}

#[test]
fn systemd_units() {
    check("systemd", "multi-service/systemd");
}

#[test]
fn terraform_state() {
    check("terraform_state", "multi-service/terraform/state.json");
}

#[test]
fn terraform_plan() {
    check("terraform_plan", "multi-service/terraform/plan.json");
}

#[test]
fn a_raw_state_says_the_same_as_terraform_show() {
    let shown = build(&read("multi-service/terraform/state.json"));
    let raw = build(&read("multi-service/terraform/terraform.tfstate"));
    let ends = |map: &Map| -> Vec<String> {
        let nodes = map.nodes.iter().map(|n| format!("{} {:?} {:?}", n.id.0, n.kind, n.addresses));
        nodes.chain(map.edges.iter().map(|e| format!("{} {}", e.from.0, e.to.0))).collect()
    };
    assert!(!shown.nodes.is_empty());
    assert_eq!(ends(&shown), ends(&raw));
}

#[test]
fn the_whole_system() {
    let found = read("multi-service");
    let map = build(&found);
    insta::assert_snapshot!("whole_map", words(&map));
    insta::assert_snapshot!("whole_beside", beside(&found));
    let looked = format!("{:#?} passed over: {}", found.read, found.passed_over)
        .replace("../../examples/systems/", "");
    insta::assert_snapshot!("whole_looked", looked);
}

#[test]
fn the_drawings() {
    let found = read("multi-service");
    let map = build(&found);
    insta::assert_snapshot!("whole_mermaid", mermaid(&map));
    let short = |text: String| text.replace("../../examples/systems/", "").into_bytes();
    insta::assert_binary_snapshot!("picture.svg", short(svg(&map, "A multi-service shop")));
    let document = MapDocument::new(&map, &found);
    let document = serde_json::to_string_pretty(&document).unwrap();
    insta::assert_binary_snapshot!("document.json", short(document));
}

#[test]
fn no_secret_of_the_example_is_shown() {
    let found = read("multi-service");
    let shown = format!("{found:?}");
    assert!(!shown.contains("not-a-real-password"));
    assert!(shown.contains("PlainSecret"), "the one that is there is named by its key");
}
