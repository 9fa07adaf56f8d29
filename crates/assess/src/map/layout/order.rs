//! The order of items in each column: every item moves towards the middle of its neighbours, back
//! and forth; the arrangement with the fewest crossings is kept.

use std::collections::BTreeMap;

use super::Item;

/// How often to sweep. More brought nothing on maps of hundreds of components.
const SWEEPS: usize = 12;

/// Sorts the items of all columns.
pub(super) fn arrange(columns: &mut Vec<Vec<Item>>, ends: &[(usize, usize)], column_of: &[usize]) {
    let segments = segments(ends, column_of);
    // What has no neighbour stands below the rest and is left there.
    let alone = |item: &Item| match item {
        Item::Block(nodes) => !ends.iter().any(|(from, to)| {
            let (a, b) = (nodes.contains(from), nodes.contains(to));
            a != b && column_of[*from] != column_of[*to]
        }),
        Item::Lane(_) => false,
    };
    for column in columns.iter_mut() {
        column.sort_by_key(alone);
    }
    let mut best = columns.clone();
    let mut fewest = crossings(columns, &segments);
    for sweep in 0..SWEEPS {
        let rightwards = sweep % 2 == 0;
        let order: Vec<usize> = if rightwards {
            (1..columns.len()).collect()
        } else {
            (0..columns.len().saturating_sub(1)).rev().collect()
        };
        for column in order {
            let beside = if rightwards { column - 1 } else { column + 1 };
            sort_towards(columns, column, beside, &segments, &alone);
        }
        let count = crossings(columns, &segments);
        if count < fewest {
            fewest = count;
            best = columns.clone();
        }
    }
    *columns = best;
}

/// What an item is reached by: a node's number, or an edge whose lane it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Node(usize),
    Lane(usize),
}

/// For each gap between two columns the pieces of edges that cross it: left end, right end.
fn segments(ends: &[(usize, usize)], column_of: &[usize]) -> Vec<Vec<(End, End)>> {
    let count = column_of.iter().max().map_or(0, |last| *last);
    let mut segments = vec![Vec::new(); count];
    for (edge, (from, to)) in ends.iter().enumerate() {
        let (left, right) =
            if column_of[*from] <= column_of[*to] { (*from, *to) } else { (*to, *from) };
        let (first, last) = (column_of[left], column_of[right]);
        for (gap, pieces) in segments.iter_mut().enumerate().take(last).skip(first) {
            let a = if gap == first { End::Node(left) } else { End::Lane(edge) };
            let b = if gap + 1 == last { End::Node(right) } else { End::Lane(edge) };
            pieces.push((a, b));
        }
    }
    segments
}

/// Where each end stands in its column, in units of boxes.
fn positions(column: &[Item]) -> BTreeMap<End, f64> {
    let mut at = BTreeMap::new();
    let mut y = 0.0;
    for item in column {
        match item {
            Item::Block(nodes) => {
                for node in nodes {
                    at.insert(End::Node(*node), y);
                    y += 1.0;
                }
            }
            Item::Lane(edge) => {
                at.insert(End::Lane(*edge), y);
                y += 0.5;
            }
        }
    }
    at
}

fn sort_towards(
    columns: &mut [Vec<Item>],
    column: usize,
    beside: usize,
    segments: &[Vec<(End, End)>],
    alone: &dyn Fn(&Item) -> bool,
) {
    let there = positions(&columns[beside]);
    let here = positions(&columns[column]);
    let gap = column.min(beside);
    let middle = |ends: &[End]| -> Option<f64> {
        let neighbours: Vec<f64> = segments[gap]
            .iter()
            .filter_map(|(left, right)| {
                let (near, far) = if beside < column { (right, left) } else { (left, right) };
                ends.contains(near).then(|| there.get(far).copied()).flatten()
            })
            .collect();
        let count = neighbours.len();
        (count > 0).then(|| neighbours.iter().sum::<f64>() / count as f64)
    };
    let scale = there.len().max(1) as f64 / here.len().max(1) as f64;
    let mut keyed: Vec<(f64, Item)> = columns[column]
        .drain(..)
        .map(|item| {
            let ends: Vec<End> = match &item {
                Item::Block(nodes) => nodes.iter().map(|n| End::Node(*n)).collect(),
                Item::Lane(edge) => vec![End::Lane(*edge)],
            };
            // Without a neighbour on this side it stays about where it is.
            let own = here.get(&ends[0]).copied().unwrap_or(0.0) * scale;
            let aim = if alone(&item) { f64::INFINITY } else { middle(&ends).unwrap_or(own) };
            (aim, item)
        })
        .collect();
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
    columns[column] = keyed.into_iter().map(|(_, item)| item).collect();
}

fn crossings(columns: &[Vec<Item>], segments: &[Vec<(End, End)>]) -> usize {
    let mut count = 0;
    for (gap, pieces) in segments.iter().enumerate() {
        let (Some(left), Some(right)) = (columns.get(gap), columns.get(gap + 1)) else { continue };
        let (left, right) = (positions(left), positions(right));
        let at: Vec<(f64, f64)> =
            pieces.iter().filter_map(|(a, b)| Some((*left.get(a)?, *right.get(b)?))).collect();
        for (i, a) in at.iter().enumerate() {
            count += at[i + 1..].iter().filter(|b| (a.0 - b.0) * (a.1 - b.1) < 0.0).count();
        }
    }
    count
}
