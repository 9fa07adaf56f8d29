//! The map as a Mermaid flowchart.

use std::fmt::Write;

use super::merge::{Map, Node, NodeId};
use super::{Kind, Relation};

/// Draws the map: a frame for each wave of the order, declared dependencies dotted, cycles red.
#[must_use]
pub fn mermaid(map: &Map) -> String {
    let mut out = String::from("flowchart LR\n");
    let waves = map.order.iter().map(|place| place.wave).max().unwrap_or(0);
    for wave in 1..=waves {
        line(&mut out, &format!("    subgraph wave{wave}[\"wave {wave}\"]"));
        for place in map.order.iter().filter(|place| place.wave == wave) {
            for node in place.members.iter().filter_map(|id| map.node(id)) {
                line(&mut out, &format!("        {}", shape(node)));
            }
        }
        line(&mut out, "    end");
    }
    for node in map.nodes.iter().filter(|node| !node.moves()) {
        line(&mut out, &format!("    {}", shape(node)));
    }
    for edge in &map.edges {
        let arrow = match (edge.relation, edge.observed) {
            (Relation::Uses, true) => "-->",
            (Relation::Uses, false) => "-.->",
            (Relation::Watches, _) => "-. watches .->",
            (Relation::RunsOn, _) => "-. runs on .->",
        };
        line(&mut out, &format!("    {} {arrow} {}", key(&edge.from), key(&edge.to)));
    }
    let circular: Vec<String> = map
        .edges
        .iter()
        .enumerate()
        .filter(|(_, edge)| edge.in_cycle)
        .map(|(index, _)| index.to_string())
        .collect();
    if !circular.is_empty() {
        line(&mut out, &format!("    linkStyle {} stroke:#d1242f", circular.join(",")));
    }
    out
}

fn line(out: &mut String, text: &str) {
    // Writing to a text cannot fail.
    let _infallible = writeln!(out, "{text}");
}

/// Ids get a prefix, for Mermaid reserves words such as `end`.
fn key(id: &NodeId) -> String {
    format!("n_{}", id.0.replace('-', "_"))
}

fn shape(node: &Node) -> String {
    let text = match &node.engine {
        Some(engine) if *engine != node.label => {
            format!("{}<br/>{}", escape(&node.label), escape(engine))
        }
        _ => escape(&node.label),
    };
    let (open, close) = match node.kind {
        Kind::Service => ("[", "]"),
        Kind::Database | Kind::Cache => ("[(", ")]"),
        Kind::Queue => ("[[", "]]"),
        Kind::ThirdParty => ("{{", "}}"),
        Kind::Host => ("[/", "/]"),
    };
    format!("{}{open}\"{text}\"{close}", key(&node.id))
}

/// A label in double quotes: Mermaid's own entities for what would end it or become markup.
fn escape(label: &str) -> String {
    label
        .chars()
        .map(|c| match c {
            '"' => "#quot;".to_owned(),
            '#' => "#35;".to_owned(),
            '&' => "#amp;".to_owned(),
            '<' => "#lt;".to_owned(),
            '>' => "#gt;".to_owned(),
            '`' => "#96;".to_owned(),
            c if c.is_control() => " ".to_owned(),
            c => c.to_string(),
        })
        .collect()
}
