//! What has to move together: components that lean on each other in a circle, and those that
//! share a database, for authority over its data moves in one instant for all of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cycles::components;
use super::merge::{Edge, Node, NodeId};
use super::{Kind, Relation};

/// A group that moves together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Together {
    /// Its members, by id.
    pub members: Vec<NodeId>,
    /// Why, one sentence for each reason.
    pub why: Vec<String>,
}

/// The groups; overlapping reasons make one group.
pub(super) fn together(nodes: &[Node], edges: &[Edge], cycles: &[Vec<NodeId>]) -> Vec<Together> {
    let by_id: BTreeMap<&NodeId, &Node> = nodes.iter().map(|node| (&node.id, node)).collect();
    let labels = |ids: &BTreeSet<NodeId>| {
        let labels: Vec<&str> =
            ids.iter().filter_map(|id| by_id.get(id)).map(|node| node.label.as_str()).collect();
        labels.join(", ")
    };
    let mut groups: Vec<(BTreeSet<NodeId>, Vec<String>)> = Vec::new();
    for cycle in cycles {
        let ours = |id: &&NodeId| by_id.get(*id).is_some_and(|node| node.moves());
        let members: BTreeSet<NodeId> = cycle.iter().filter(ours).cloned().collect();
        if members.len() > 1 {
            let why = format!("{} lean on each other in a circle", labels(&members));
            join(&mut groups, members, why);
        }
    }
    for node in nodes.iter().filter(|node| node.kind == Kind::Database) {
        for (users, database) in sharers(node, edges, &by_id) {
            let what = match &database {
                Some(name) if *name != node.label => format!("{name} on {}", node.label),
                _ => node.label.clone(),
            };
            let why = format!(
                "{} share the database {what}: authority over it moves in one instant for all",
                labels(&users)
            );
            let mut members = users;
            members.insert(node.id.clone());
            join(&mut groups, members, why);
        }
    }
    close(&mut groups, nodes, edges);
    groups
        .into_iter()
        .map(|(members, why)| Together { members: members.into_iter().collect(), why })
        .collect()
}

/// Grouping can close new circles: one that leaves a group and comes back to it. They are taken
/// in until none is left.
fn close(groups: &mut Vec<(BTreeSet<NodeId>, Vec<String>)>, nodes: &[Node], edges: &[Edge]) {
    loop {
        let unit = |id: &NodeId| {
            let group = groups.iter().find(|(members, _)| members.contains(id));
            group.and_then(|(members, _)| members.first()).unwrap_or(id).clone()
        };
        let ours = |id: &NodeId| nodes.iter().any(|node| node.id == *id && node.moves());
        let units: BTreeSet<NodeId> =
            nodes.iter().filter(|node| node.moves()).map(|node| unit(&node.id)).collect();
        let between: BTreeSet<(NodeId, NodeId)> = edges
            .iter()
            .filter(|e| e.relation == Relation::Uses && ours(&e.from) && ours(&e.to))
            .map(|edge| (unit(&edge.from), unit(&edge.to)))
            .collect();
        let units: Vec<NodeId> = units.into_iter().collect();
        let circle = components(&units, &between).into_iter().find(|circle| circle.len() > 1);
        let Some(circle) = circle else { return };
        let labels: Vec<&str> = nodes
            .iter()
            .filter(|node| circle.contains(&node.id))
            .map(|node| node.label.as_str())
            .collect();
        let why = format!("a circle runs through {} and what moves with them", labels.join(", "));
        join(groups, circle.into_iter().collect(), why);
    }
}

/// For each database of a server that several of our components use: who they are. A user that
/// names no database may use any.
fn sharers(
    server: &Node,
    edges: &[Edge],
    by_id: &BTreeMap<&NodeId, &Node>,
) -> Vec<(BTreeSet<NodeId>, Option<String>)> {
    let users: Vec<&Edge> = edges
        .iter()
        .filter(|edge| edge.to == server.id && edge.relation == Relation::Uses)
        .filter(|edge| by_id.get(&edge.from).is_some_and(|node| node.moves()))
        .collect();
    let named: BTreeSet<Option<String>> =
        users.iter().flat_map(|edge| edge.databases.iter().cloned().map(Some)).collect();
    let databases = if named.is_empty() { BTreeSet::from([None]) } else { named };
    databases
        .into_iter()
        .map(|database| {
            let uses = |edge: &&&Edge| {
                edge.databases.is_empty()
                    || database.as_ref().is_none_or(|name| edge.databases.contains(name))
            };
            (users.iter().filter(uses).map(|edge| edge.from.clone()).collect(), database)
        })
        .filter(|(users, _): &(BTreeSet<NodeId>, _)| users.len() > 1)
        .collect()
}

/// Adds a reason; groups that it connects become one.
fn join(groups: &mut Vec<(BTreeSet<NodeId>, Vec<String>)>, members: BTreeSet<NodeId>, why: String) {
    let (touched, mut apart): (Vec<_>, Vec<_>) =
        groups.drain(..).partition(|(other, _)| !other.is_disjoint(&members));
    let mut merged = (members, Vec::new());
    for (other, reasons) in touched {
        merged.0.extend(other);
        merged.1.extend(reasons);
    }
    merged.1.push(why);
    apart.push(merged);
    apart.sort();
    *groups = apart;
}
