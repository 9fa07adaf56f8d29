//! The map as a whole: merging, order, groups and the drawings.

use std::collections::BTreeSet;

use changeover_types::WallMs;
use proptest::prelude::*;

use super::*;

mod drawing;
mod merging;
mod ordering;

/// Evidence in `file`.
fn at(line: usize) -> Evidence {
    Evidence {
        source: "compose.yaml".to_owned(),
        line: Some(line),
        says: "written".to_owned(),
        read_at: WallMs(1),
        sight: Sight::Declared,
    }
}

fn seen(mut evidence: Evidence) -> Evidence {
    evidence.sight = Sight::Observed { last_seen: WallMs(2) };
    evidence
}

/// A component called `name` in the project `shop`.
fn component(name: &str, kind: Kind, line: usize) -> Component {
    Component {
        label: name.to_owned(),
        kind: Some(kind),
        engine: None,
        names: BTreeSet::from([Name::component("shop", name)]),
        databases: BTreeSet::new(),
        traits: BTreeSet::new(),
        evidence: at(line),
    }
}

fn link(from: &str, to: &str) -> Link {
    Link {
        from: Name::component("shop", from),
        to: Name::component("shop", to),
        relation: Relation::Uses,
        assumed: None,
        engine: None,
        database: None,
        evidence: at(100),
    }
}

/// A system of services named in `services`, databases in `databases`, and links.
fn system(services: &[&str], databases: &[&str], links: &[(&str, &str)]) -> Discovery {
    let mut found = Discovery::default();
    for (line, name) in services.iter().enumerate() {
        found.components.push(component(name, Kind::Service, line + 1));
    }
    for (line, name) in databases.iter().enumerate() {
        found.components.push(component(name, Kind::Database, line + 51));
    }
    found.links = links.iter().map(|(from, to)| link(from, to)).collect();
    found
}

/// The order as text: `1 cron | 2 api+db`.
fn order_text(map: &Map) -> String {
    let places: Vec<String> = map
        .order
        .iter()
        .map(|place| {
            let members: Vec<&str> = place.members.iter().map(|id| id.0.as_str()).collect();
            format!("{} {}", place.wave, members.join("+"))
        })
        .collect();
    places.join(" | ")
}
