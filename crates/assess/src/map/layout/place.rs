//! Heights: each item is drawn towards the middle of its neighbours, and items of one column are
//! then pushed apart until they stand clear of each other, in their order.

use super::{BLOCK_GAP, GAP, Item};

const PASSES: usize = 10;

/// The top of every item in every column; the uppermost is 0.
pub(super) fn heights(
    columns: &[Vec<Item>],
    ends: &[(usize, usize)],
    column_of: &[usize],
) -> Vec<Vec<f64>> {
    let mut tops: Vec<Vec<f64>> = columns.iter().map(|column| stacked(column)).collect();
    let tallest = columns.iter().zip(&tops).map(|(c, t)| extent(c, t)).fold(0.0, f64::max);
    for (column, tops) in columns.iter().zip(&mut tops) {
        let shift = (tallest - extent(column, tops)) / 2.0;
        tops.iter_mut().for_each(|top| *top += shift);
    }
    for pass in 0..PASSES {
        let order: Vec<usize> = if pass % 2 == 0 {
            (0..columns.len()).collect()
        } else {
            (0..columns.len()).rev().collect()
        };
        for column in order {
            let wanted: Vec<f64> = (0..columns[column].len())
                .map(|item| wanted(columns, &tops, ends, column_of, (column, item)))
                .collect();
            tops[column] = apart(&columns[column], &wanted);
        }
    }
    let top = tops.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let shift = if top.is_finite() { top } else { 0.0 };
    tops.iter_mut().flatten().for_each(|top| *top = (*top - shift).round());
    tops
}

/// Free space between two items.
fn gap(above: &Item, below: &Item) -> f64 {
    match (above, below) {
        (Item::Lane(_), Item::Lane(_)) => 0.0,
        (Item::Block(_), Item::Block(_)) if above.pad() + below.pad() > 0.0 => BLOCK_GAP,
        _ => GAP,
    }
}

fn stacked(column: &[Item]) -> Vec<f64> {
    let mut tops = Vec::with_capacity(column.len());
    let mut y = 0.0;
    for (i, item) in column.iter().enumerate() {
        if i > 0 {
            y += gap(&column[i - 1], item);
        }
        tops.push(y);
        y += item.height();
    }
    tops
}

fn extent(column: &[Item], tops: &[f64]) -> f64 {
    column.last().zip(tops.last()).map_or(0.0, |(item, top)| top + item.height())
}

/// Where an item would like to begin.
fn wanted(
    columns: &[Vec<Item>],
    tops: &[Vec<f64>],
    ends: &[(usize, usize)],
    column_of: &[usize],
    (column, item): (usize, usize),
) -> f64 {
    let own = tops[column][item];
    let middle = |column: usize, of: &dyn Fn(&Item) -> bool| {
        columns
            .get(column)?
            .iter()
            .position(of)
            .map(|i| tops[column][i] + columns[column][i].height() / 2.0)
    };
    let node_at = |node: usize| {
        let column = column_of[node];
        middle(column, &|item| matches!(item, Item::Block(nodes) if nodes.contains(&node)))
    };
    let mut pulls = Vec::new();
    let mut pull = |edge: usize, from: usize, to: usize| {
        let (a, b) = (column_of[from], column_of[to]);
        let (left, right) = if a <= b { (from, to) } else { (to, from) };
        for beside in [column.checked_sub(1), Some(column + 1)].into_iter().flatten() {
            let lane = middle(beside, &|item| *item == Item::Lane(edge));
            let end = [left, right].into_iter().find(|n| column_of[*n] == beside).and_then(node_at);
            pulls.extend(lane.or(end));
        }
    };
    match &columns[column][item] {
        Item::Lane(edge) => pull(*edge, ends[*edge].0, ends[*edge].1),
        Item::Block(nodes) => {
            for (edge, (from, to)) in ends.iter().enumerate() {
                if nodes.contains(from) != nodes.contains(to) && column_of[*from] != column_of[*to]
                {
                    pull(edge, *from, *to);
                }
            }
        }
    }
    if pulls.is_empty() {
        return own;
    }
    pulls.iter().sum::<f64>() / pulls.len() as f64 - columns[column][item].height() / 2.0
}

/// Keeps the order and the distances, as near to the wanted heights as one forward and one
/// backward pass bring it.
fn apart(column: &[Item], wanted: &[f64]) -> Vec<f64> {
    let mut down = wanted.to_vec();
    for i in 1..down.len() {
        let least = down[i - 1] + column[i - 1].height() + gap(&column[i - 1], &column[i]);
        down[i] = down[i].max(least);
    }
    let mut up = wanted.to_vec();
    for i in (0..up.len().saturating_sub(1)).rev() {
        let most = up[i + 1] - gap(&column[i], &column[i + 1]) - column[i].height();
        up[i] = up[i].min(most);
    }
    let mut tops: Vec<f64> = down.iter().zip(&up).map(|(d, u)| (d + u) / 2.0).collect();
    for i in 1..tops.len() {
        let least = tops[i - 1] + column[i - 1].height() + gap(&column[i - 1], &column[i]);
        tops[i] = tops[i].max(least);
    }
    tops
}
