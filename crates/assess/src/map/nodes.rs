//! Nodes out of merged sightings: one kind, one label, one unique id each.

use std::collections::BTreeSet;

use super::merge::{Edge, Node, NodeId};
use super::{Component, Evidence, Kind, Name, Relation, Trait};

/// A component while it is put together.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) labels: BTreeSet<String>,
    pub(super) kinds: BTreeSet<Kind>,
    pub(super) assumed: BTreeSet<Kind>,
    pub(super) engines: BTreeSet<String>,
    pub(super) names: BTreeSet<Name>,
    pub(super) databases: BTreeSet<String>,
    pub(super) traits: BTreeSet<Trait>,
    pub(super) evidence: BTreeSet<Evidence>,
    /// No place describes it: it is only the end of links.
    pub(super) known_by_links: bool,
}

impl Part {
    pub(super) fn sighted(seen: &Component) -> Part {
        Part {
            labels: BTreeSet::from([seen.label.clone()]),
            kinds: seen.kind.into_iter().collect(),
            engines: seen.engine.iter().cloned().collect(),
            names: seen.names.clone(),
            databases: seen.databases.clone(),
            traits: seen.traits.clone(),
            evidence: BTreeSet::from([seen.evidence.clone()]),
            ..Part::default()
        }
    }

    pub(super) fn known_by_links(name: &Name) -> Part {
        Part {
            labels: BTreeSet::from([name.to_string()]),
            names: BTreeSet::from([name.clone()]),
            known_by_links: true,
            ..Part::default()
        }
    }

    pub(super) fn absorb(&mut self, other: Part) {
        self.labels.extend(other.labels);
        self.kinds.extend(other.kinds);
        self.assumed.extend(other.assumed);
        self.engines.extend(other.engines);
        self.names.extend(other.names);
        self.databases.extend(other.databases);
        self.traits.extend(other.traits);
        self.evidence.extend(other.evidence);
    }

    /// What a place says it is; else what its scheme or port makes likely; else by its name.
    fn kind(&self) -> Kind {
        const STRONGEST_FIRST: [Kind; 6] =
            [Kind::Database, Kind::Queue, Kind::Cache, Kind::ThirdParty, Kind::Service, Kind::Host];
        let strongest =
            |kinds: &BTreeSet<Kind>| STRONGEST_FIRST.into_iter().find(|kind| kinds.contains(kind));
        let foreign = || self.known_by_links && self.names.iter().any(Name::looks_public);
        match strongest(&self.kinds).or_else(|| strongest(&self.assumed)) {
            Some(Kind::Service) | None if foreign() => Kind::ThirdParty,
            Some(kind) => kind,
            None => Kind::Service,
        }
    }

    /// A word rather than an address, then the shortest, then the first.
    fn label(&self) -> String {
        let rank = |label: &&String| {
            let address = label.contains(['.', ':', '/']);
            (address, label.chars().count(), (*label).clone())
        };
        let label = self.labels.iter().min_by_key(rank).cloned().unwrap_or_default();
        // The usual ports of the web tell nothing of somebody else's service.
        let web = |end| label.strip_suffix(end).filter(|_| self.kind() == Kind::ThirdParty);
        web(":443").or_else(|| web(":80")).map_or_else(|| label.clone(), str::to_owned)
    }

    fn into_node(self) -> Node {
        let addresses: BTreeSet<String> = self.names.iter().map(Name::to_string).collect();
        Node {
            id: NodeId(String::new()),
            label: self.label(),
            kind: self.kind(),
            engine: self.engines.iter().find(|engine| !engine.is_empty()).cloned(),
            addresses: addresses.into_iter().collect(),
            databases: self.databases.into_iter().collect(),
            traits: self.traits,
            evidence: self.evidence.into_iter().collect(),
        }
    }
}

/// Gives every node its id. The indices stay those of `parts`.
pub(super) fn name_nodes(parts: Vec<Part>) -> Vec<Node> {
    let mut nodes: Vec<Node> = parts.into_iter().map(Part::into_node).collect();
    let mut by_label: Vec<usize> = (0..nodes.len()).collect();
    by_label.sort_by_key(|i| (nodes[*i].label.clone(), nodes[*i].addresses.clone()));
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for index in by_label {
        let slug = slug(&nodes[index].label);
        let mut id = slug.clone();
        let mut count = 1;
        while !taken.insert(id.clone()) {
            count += 1;
            id = format!("{slug}-{count}");
        }
        nodes[index].id = NodeId(id);
    }
    nodes
}

/// Letters, digits and single dashes.
fn slug(label: &str) -> String {
    let words: Vec<String> = label
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    if words.is_empty() { "unnamed".to_owned() } else { words.join("-") }
}

/// Edges from components to the machines whose addresses they have.
pub(super) fn machines(nodes: &[Node]) -> Vec<Edge> {
    let host_of = |address: &str| address.rsplit_once(':').map_or(address, |(h, _)| h).to_owned();
    let mut edges = Vec::new();
    for machine in nodes.iter().filter(|node| node.kind == Kind::Host) {
        for node in nodes.iter().filter(|node| node.moves()) {
            let same = node
                .addresses
                .iter()
                .any(|a| a.contains(':') && machine.addresses.contains(&host_of(a)));
            if same {
                edges.push(Edge {
                    from: node.id.clone(),
                    to: machine.id.clone(),
                    relation: Relation::RunsOn,
                    databases: Vec::new(),
                    observed: machine.evidence.iter().any(Evidence::is_observed),
                    in_cycle: false,
                    evidence: machine.evidence.clone(),
                });
            }
        }
    }
    edges
}
