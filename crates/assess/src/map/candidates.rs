//! What a plan could name: PostgreSQL databases and services that answer on an address.

use serde::Serialize;

use super::{Endpoint, Evidence, Kind, Map, Trait};

/// A component that a plan could name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// What people call it.
    pub label: String,
    /// `postgresql://host:port/database` or `http://host:port`, never with a user or password.
    pub url: String,
    /// Where it was seen, the first place of all.
    pub evidence: Option<Evidence>,
}

/// Databases first, then services; each in the order of the map.
#[must_use]
pub fn candidates(map: &Map) -> Vec<Candidate> {
    let mut found = Vec::new();
    for node in map.nodes.iter().filter(|node| node.engine.as_deref() == Some("postgres")) {
        let usual = Endpoint::usual_port("postgres").unwrap_or_default();
        let address = node.addresses.iter().find(|a| port(a).is_some());
        let address = address.or(node.addresses.first()).cloned().unwrap_or_default();
        let place = if port(&address).is_some() { address } else { format!("{address}:{usual}") };
        let mut names = node.databases.clone();
        if names.is_empty() {
            names.push(String::new());
        }
        for name in names {
            let url = format!("postgresql://{place}/{name}");
            let evidence = node.evidence.first().cloned();
            found.push(Candidate { label: node.label.clone(), url, evidence });
        }
    }
    let serves = |kind: Kind| kind == Kind::Service;
    for node in map.nodes.iter().filter(|node| serves(node.kind) && node.moves()) {
        if node.traits.contains(&Trait::Background) || node.engine.as_deref() == Some("prometheus")
        {
            continue;
        }
        let addresses: Vec<&String> = node.addresses.iter().filter(|a| port(a).is_some()).collect();
        for address in addresses {
            let usual = port(address).and_then(Endpoint::usual_on);
            if usual.is_none() {
                let url = format!("http://{address}");
                let evidence = node.evidence.first().cloned();
                found.push(Candidate { label: node.label.clone(), url, evidence });
            }
        }
    }
    found
}

/// The port of an address that has one.
fn port(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    (!host.contains(':') || host.starts_with('[')).then(|| port.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use changeover_types::WallMs;

    use super::super::{Component, Discovery, Name, Sight, build};
    use super::*;

    fn component(label: &str, kind: Kind, engine: &str, port: u16) -> Component {
        Component {
            label: label.to_owned(),
            kind: Some(kind),
            engine: (!engine.is_empty()).then(|| engine.to_owned()),
            names: BTreeSet::from([Name::address("m", "10.0.0.5", Some(port))]),
            databases: BTreeSet::new(),
            traits: BTreeSet::new(),
            evidence: Evidence {
                source: "compose.yaml".to_owned(),
                line: Some(usize::from(port)),
                says: label.to_owned(),
                read_at: WallMs(1),
                sight: Sight::Declared,
            },
        }
    }

    #[test]
    fn databases_and_services_with_addresses_can_be_named() {
        let mut found = Discovery::default();
        let mut orders = component("orders", Kind::Database, "postgres", 5433);
        orders.databases.extend(["a".to_owned(), "b".to_owned()]);
        let mut worker = component("worker", Kind::Service, "", 9000);
        worker.traits.insert(Trait::Background);
        found.components.extend([
            orders,
            worker,
            component("api", Kind::Service, "", 8080),
            component("cache", Kind::Cache, "redis", 6379),
        ]);
        let urls: Vec<String> = candidates(&build(&found)).into_iter().map(|c| c.url).collect();
        assert_eq!(
            urls,
            [
                "postgresql://10.0.0.5:5433/a",
                "postgresql://10.0.0.5:5433/b",
                "http://10.0.0.5:8080"
            ]
        );
    }
}
