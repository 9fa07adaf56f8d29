//! The suggested move order.
//!
//! 1. A stateless component moves after everything stateless that depends on it: what has moved
//!    can still reach back to the source, and the first steps are those on which nothing leans.
//! 2. What faces the clients moves when the stateless parts behind it have moved.
//! 3. What keeps data moves after everything that depends on it, whatever that is.
//!
//! The rules give waves; within a wave, the fewer lean on a component and the fewer links it has,
//! the earlier it comes. A group that moves together takes one place, and keeps data if any of
//! its members does.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Relation;
use super::Trait;
use super::merge::{Edge, Node, NodeId};
use super::together::Together;

/// One place in the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// From 1. Places of one wave do not wait for each other.
    pub wave: usize,
    /// Who moves, by id: one component, or a group that moves together; services first, then
    /// what keeps data.
    pub members: Vec<NodeId>,
    /// Why here.
    pub why: String,
}

/// A component or group that takes one place.
struct Unit<'a> {
    members: Vec<&'a Node>,
    /// Other units that depend on it, and on which it depends.
    dependants: BTreeSet<usize>,
    links: usize,
    stateful: bool,
    faces_clients: bool,
}

/// Orders everything that is ours to move.
pub(super) fn order(nodes: &[Node], edges: &[Edge], together: &[Together]) -> Vec<Place> {
    let units = units(nodes, edges, together);
    let mut waves = vec![0; units.len()];
    let plain = |unit: &Unit<'_>| !unit.stateful && !unit.faces_clients;
    settle(&units, &mut waves, plain, plain);
    let behind = units.iter().zip(&waves).filter(|(u, _)| plain(u)).map(|(_, w)| *w).max();
    for (unit, wave) in units.iter().zip(&mut waves) {
        if !unit.stateful && unit.faces_clients {
            *wave = behind.unwrap_or(0) + 1;
        }
    }
    settle(&units, &mut waves, |unit| unit.stateful, |_| true);
    let mut sequence: Vec<usize> = (0..units.len()).collect();
    let leaning: Vec<usize> = (0..units.len()).map(|i| lean_on(&units, i)).collect();
    sequence.sort_by_key(|i| {
        let unit = &units[*i];
        (waves[*i], unit.stateful, leaning[*i], unit.links, unit.members[0].id.clone())
    });
    sequence
        .iter()
        .map(|i| Place {
            wave: waves[*i],
            members: units[*i].members.iter().map(|node| node.id.clone()).collect(),
            why: why(&units, *i, leaning[*i], together),
        })
        .collect()
}

fn units<'a>(nodes: &'a [Node], edges: &[Edge], together: &[Together]) -> Vec<Unit<'a>> {
    let mut unit_of: BTreeMap<&NodeId, usize> = BTreeMap::new();
    let mut units: Vec<Unit<'a>> = Vec::new();
    for node in nodes.iter().filter(|node| node.moves()) {
        let group = together.iter().find(|group| group.members.contains(&node.id));
        let known = group.and_then(|g| g.members.iter().find_map(|id| unit_of.get(id).copied()));
        let index = known.unwrap_or_else(|| {
            units.push(Unit {
                members: Vec::new(),
                dependants: BTreeSet::new(),
                links: 0,
                stateful: false,
                faces_clients: false,
            });
            units.len() - 1
        });
        unit_of.insert(&node.id, index);
        let unit = &mut units[index];
        unit.members.push(node);
        unit.stateful |= node.is_stateful();
        unit.faces_clients |= node.traits.contains(&Trait::FacesClients);
    }
    for edge in edges.iter().filter(|edge| edge.relation == Relation::Uses) {
        let ends = (unit_of.get(&edge.from).copied(), unit_of.get(&edge.to).copied());
        for end in [ends.0, ends.1].into_iter().flatten() {
            units[end].links += 1;
        }
        if let (Some(from), Some(to)) = ends
            && from != to
        {
            units[to].dependants.insert(from);
        }
    }
    for unit in &mut units {
        unit.members.sort_by_key(|node| (node.is_stateful(), node.id.clone()));
    }
    units
}

/// Gives every unit of a class the wave after the last of its dependants that `count`.
fn settle(
    units: &[Unit<'_>],
    waves: &mut [usize],
    class: impl Fn(&Unit<'_>) -> bool,
    count: impl Fn(&Unit<'_>) -> bool,
) {
    // Dependencies between units have no circles: one pass for each link of the longest chain.
    for _ in 0..=units.len() {
        let mut changed = false;
        for (index, unit) in units.iter().enumerate().filter(|(_, unit)| class(unit)) {
            let last = unit.dependants.iter().filter(|d| count(&units[**d])).map(|d| waves[*d]);
            let wave = last.max().unwrap_or(0) + 1;
            changed |= wave != waves[index];
            waves[index] = wave;
        }
        if !changed {
            return;
        }
    }
}

/// How many units lean on this one, directly or through others.
fn lean_on(units: &[Unit<'_>], index: usize) -> usize {
    let mut found: BTreeSet<usize> = BTreeSet::new();
    let mut open = vec![index];
    while let Some(next) = open.pop() {
        open.extend(units[next].dependants.iter().copied().filter(|unit| found.insert(*unit)));
    }
    found.len()
}

fn why(units: &[Unit<'_>], index: usize, leaning: usize, together: &[Together]) -> String {
    let unit = &units[index];
    let names = |ids: &BTreeSet<usize>| {
        let labels: Vec<&str> =
            ids.iter().flat_map(|i| units[*i].members.iter().map(|n| n.label.as_str())).collect();
        labels.join(", ")
    };
    let plain = |i: &usize| !units[*i].stateful && !units[*i].faces_clients;
    let earlier: BTreeSet<usize> = unit.dependants.iter().copied().filter(plain).collect();
    let place = if unit.stateful && unit.dependants.is_empty() {
        "it keeps data and nothing else is known to use it".to_owned()
    } else if unit.stateful {
        format!("it keeps data, so it follows what uses it: {}", names(&unit.dependants))
    } else if unit.faces_clients {
        "clients reach it first, so it follows what stands behind it".to_owned()
    } else if unit.dependants.is_empty() {
        "it keeps no data and nothing depends on it: a small first step".to_owned()
    } else if earlier.is_empty() {
        format!("it keeps no data; what leans on it moves later: {}", names(&unit.dependants))
    } else {
        let lean = if leaning == 1 { "one leans".to_owned() } else { format!("{leaning} lean") };
        format!("it keeps no data and {lean} on it; it follows {}", names(&earlier))
    };
    match together.iter().find(|group| group.members.contains(&unit.members[0].id)) {
        Some(group) => format!("{place}; together, because {}", group.why.join("; ")),
        None => place,
    }
}
