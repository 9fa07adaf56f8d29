//! Merges sightings into nodes and links into edges.
//!
//! The rule, on top of the names' own (`name`):
//! 1. Sightings that share a name are one component, and so on through chains of names.
//! 2. A link leads to the component with exactly its name (host and port in its scope);
//! 3. else to the component that is called by its host alone, unless that is a machine;
//! 4. else, if it is a short name, to the one component that is called so in another scope (a
//!    proxy's file says `api`, and there is one `api` in one Compose project); none if there are
//!    several, and never for `localhost`;
//! 5. else to a new component that only links know: what it is, is judged by scheme or port, and
//!    a public name of which nothing else is known belongs to a third party.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cycles::components;
use super::nodes::{Part, machines, name_nodes};
use super::order::{Place, order};
use super::together::{Together, together};
use super::{Component, Discovery, Evidence, Kind, Link, Name, Relation, Scope, Trait};

/// A node's name in the map: unique, made of letters, digits and dashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NodeId(pub String);

/// A component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its unique name.
    pub id: NodeId,
    /// What people call it.
    pub label: String,
    /// What it is.
    pub kind: Kind,
    /// What it runs, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The addresses by which it is known.
    pub addresses: Vec<String>,
    /// Databases it holds.
    pub databases: Vec<String>,
    /// What else is known.
    pub traits: BTreeSet<Trait>,
    /// Where it was seen.
    pub evidence: Vec<Evidence>,
}

impl Node {
    /// Whether it keeps data that has to be moved with care.
    #[must_use]
    pub fn is_stateful(&self) -> bool {
        matches!(self.kind, Kind::Database | Kind::Queue)
            || self.traits.contains(&Trait::KeepsFiles)
    }

    /// Whether it is ours to move.
    #[must_use]
    pub fn moves(&self) -> bool {
        !matches!(self.kind, Kind::ThirdParty | Kind::Host)
    }
}

/// A dependency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// Who leans.
    pub from: NodeId,
    /// On whom.
    pub to: NodeId,
    /// How.
    pub relation: Relation,
    /// Databases that it uses there; empty if none is named.
    pub databases: Vec<String>,
    /// Whether it was seen happening; otherwise it is only declared.
    pub observed: bool,
    /// Whether it is part of a cycle.
    pub in_cycle: bool,
    /// Where it is written or was seen.
    pub evidence: Vec<Evidence>,
}

/// The dependency map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Map {
    /// Components, by id.
    pub nodes: Vec<Node>,
    /// Dependencies, by their ends.
    pub edges: Vec<Edge>,
    /// Groups of components that lean on each other in a circle.
    pub cycles: Vec<Vec<NodeId>>,
    /// What has to move together, and why.
    pub together: Vec<Together>,
    /// The suggested order.
    pub order: Vec<Place>,
}

impl Map {
    /// A node by its id.
    #[must_use]
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == *id)
    }
}

/// Builds the map. The result does not depend on the order of the findings.
#[must_use]
pub fn build(found: &Discovery) -> Map {
    let mut known = Known::default();
    let mut sightings: Vec<&Component> = found.components.iter().collect();
    sightings.sort_by_key(|s| (s.evidence.clone(), s.label.clone()));
    for sighting in sightings {
        known.sight(sighting);
    }
    known.settle();
    // Names without a port come first, so that the order of the links does not matter.
    let ends: BTreeSet<&Name> = found.links.iter().flat_map(|l| [&l.from, &l.to]).collect();
    for name in ends {
        known.end(name);
    }
    let mut links: Vec<(usize, usize, &Link)> =
        found.links.iter().map(|link| (known.end(&link.from), known.end(&link.to), link)).collect();
    links.sort_by_key(|(from, to, link)| (*from, *to, link.evidence.clone()));
    for (from, to, link) in &links {
        known.learn(*from, *to, link);
    }
    let nodes = name_nodes(known.parts);
    let mut edges: BTreeMap<(usize, usize, Relation), Edge> = BTreeMap::new();
    for (from, to, link) in links {
        if from == to {
            continue;
        }
        let (from_id, to_id) = (nodes[from].id.clone(), nodes[to].id.clone());
        let edge = edges.entry((from, to, link.relation)).or_insert_with(|| Edge {
            from: from_id,
            to: to_id,
            relation: link.relation,
            databases: Vec::new(),
            observed: false,
            in_cycle: false,
            evidence: Vec::new(),
        });
        edge.observed |= link.evidence.is_observed();
        edge.databases.extend(link.database.clone());
        edge.evidence.push(link.evidence.clone());
    }
    finish(nodes, edges.into_values().collect())
}

fn finish(mut nodes: Vec<Node>, mut edges: Vec<Edge>) -> Map {
    nodes.sort_by(|a, b| a.id.cmp(&b.id));
    edges.extend(machines(&nodes));
    edges.sort_by(|a, b| (&a.from, &a.to, a.relation).cmp(&(&b.from, &b.to, b.relation)));
    for edge in &mut edges {
        edge.databases.sort();
        edge.databases.dedup();
        edge.evidence.sort();
        edge.evidence.dedup();
    }
    let uses: BTreeSet<(NodeId, NodeId)> = edges
        .iter()
        .filter(|edge| edge.relation == Relation::Uses)
        .map(|edge| (edge.from.clone(), edge.to.clone()))
        .collect();
    let ids: Vec<NodeId> = nodes.iter().map(|node| node.id.clone()).collect();
    let cycles: Vec<Vec<NodeId>> =
        components(&ids, &uses).into_iter().filter(|members| members.len() > 1).collect();
    for edge in &mut edges {
        edge.in_cycle = edge.relation == Relation::Uses
            && cycles.iter().any(|c| c.contains(&edge.from) && c.contains(&edge.to));
    }
    let together = together(&nodes, &edges, &cycles);
    let order = order(&nodes, &edges, &together);
    Map { nodes, edges, cycles, together, order }
}

/// The components so far.
#[derive(Default)]
struct Known {
    parts: Vec<Part>,
    by_name: BTreeMap<Name, usize>,
}

impl Known {
    /// Adds a sighting; merges every component that shares one of its names.
    fn sight(&mut self, seen: &Component) {
        let mut part = Part::sighted(seen);
        let same: BTreeSet<usize> =
            seen.names.iter().filter_map(|name| self.by_name.get(name).copied()).collect();
        for index in &same {
            part.absorb(std::mem::take(&mut self.parts[*index]));
        }
        let index = same.first().copied().unwrap_or(self.parts.len());
        for name in &part.names {
            self.by_name.insert(name.clone(), index);
        }
        if index == self.parts.len() {
            self.parts.push(part);
        } else {
            self.parts[index] = part;
        }
    }

    /// Drops the places that merging left empty.
    fn settle(&mut self) {
        self.parts.retain(|part| !part.evidence.is_empty());
        self.by_name.clear();
        for (index, part) in self.parts.iter().enumerate() {
            self.by_name.extend(part.names.iter().map(|name| (name.clone(), index)));
        }
    }

    /// The component at a link's end; a new one if nobody is called so.
    fn end(&mut self, name: &Name) -> usize {
        self.resolve(name).unwrap_or_else(|| {
            self.parts.push(Part::known_by_links(name));
            self.by_name.insert(name.clone(), self.parts.len() - 1);
            self.parts.len() - 1
        })
    }

    /// Takes from a link what it tells of its ends.
    fn learn(&mut self, from: usize, to: usize, link: &Link) {
        self.parts[from].names.insert(link.from.clone());
        for index in [from, to] {
            if self.parts[index].known_by_links {
                self.parts[index].evidence.insert(link.evidence.clone());
            }
        }
        let target = &mut self.parts[to];
        target.names.insert(link.to.clone());
        target.assumed.extend(link.assumed);
        target.engines.extend(link.engine.clone());
        target.databases.extend(link.database.clone());
    }

    fn resolve(&self, name: &Name) -> Option<usize> {
        let exact = self.by_name.get(name).copied();
        let known = exact.or_else(|| {
            let by_host = self.by_name.get(&name.without_port()).copied()?;
            let machine = self.parts[by_host].kinds.contains(&Kind::Host);
            (!machine || name.port.is_none()).then_some(by_host)
        });
        known.or_else(|| self.elsewhere(name))
    }

    /// The only component that has this short name in any scope.
    fn elsewhere(&self, name: &Name) -> Option<usize> {
        if name.scope == Scope::Anywhere || name.host == "localhost" {
            return None;
        }
        let mut called: BTreeSet<usize> = self
            .by_name
            .iter()
            .filter(|(other, _)| other.host == name.host && other.port.is_none())
            .filter(|(_, index)| !self.parts[**index].known_by_links)
            .map(|(_, index)| *index)
            .collect();
        if called.len() == 1 { called.pop_first() } else { None }
    }
}
