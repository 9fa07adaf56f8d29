//! Where everything stands in the picture. A column for each wave of the move order, a last one
//! for what stays; a box for each component, those that move together in one block. A dependency
//! that passes a column gets a lane of its own there, so that no line runs behind a box.

use std::collections::BTreeMap;

use super::merge::Map;

mod lanes;
mod order;
mod place;

pub(super) use lanes::Line;

/// Size of a box, and the distances between them.
pub(super) const BOX_WIDTH: f64 = 206.0;
pub(super) const BOX_HEIGHT: f64 = 54.0;
const GAP: f64 = 20.0;
const BLOCK_GAP: f64 = 34.0;
const BLOCK_PAD: f64 = 12.0;
const LANE: f64 = 16.0;
const COLUMN: f64 = BOX_WIDTH + 104.0;

/// A box's upper left corner.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spot {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The finished layout, relative to its own corner.
pub(super) struct Layout {
    /// One for each of the map's nodes.
    pub(super) boxes: Vec<Spot>,
    /// Around blocks of more than one.
    pub(super) frames: Vec<Frame>,
    /// One for each of the map's edges.
    pub(super) lines: Vec<Line>,
    /// Number of columns, the last of which may be that of what stays.
    pub(super) columns: usize,
    /// Whether there is a column of what stays.
    pub(super) has_stays: bool,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// What stands in a column: boxes that stay together, or the lane of an edge.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    Block(Vec<usize>),
    Lane(usize),
}

impl Item {
    fn height(&self) -> f64 {
        match self {
            Item::Block(nodes) => {
                let count = nodes.len() as f64;
                count * BOX_HEIGHT + (count - 1.0) * GAP + self.pad() * 2.0
            }
            Item::Lane(_) => LANE,
        }
    }

    fn pad(&self) -> f64 {
        match self {
            Item::Block(nodes) if nodes.len() > 1 => BLOCK_PAD,
            _ => 0.0,
        }
    }
}

/// Left edge of a column.
fn column_x(column: usize) -> f64 {
    column as f64 * COLUMN
}

/// Lays out a map.
pub(super) fn layout(map: &Map) -> Layout {
    let index: BTreeMap<&str, usize> =
        map.nodes.iter().enumerate().map(|(i, node)| (node.id.0.as_str(), i)).collect();
    let waves = map.order.iter().map(|place| place.wave).max().unwrap_or(0);
    let mut columns: Vec<Vec<Item>> = vec![Vec::new(); waves];
    let mut column_of = vec![waves; map.nodes.len()];
    for place in &map.order {
        let nodes: Vec<usize> =
            place.members.iter().filter_map(|id| index.get(id.0.as_str()).copied()).collect();
        for node in &nodes {
            column_of[*node] = place.wave - 1;
        }
        columns[place.wave - 1].push(Item::Block(nodes));
    }
    let stays: Vec<Item> = (0..map.nodes.len())
        .filter(|i| !map.nodes[*i].moves())
        .map(|i| Item::Block(vec![i]))
        .collect();
    let has_stays = !stays.is_empty();
    if has_stays {
        columns.push(stays);
    }
    let ends: Vec<(usize, usize)> = map
        .edges
        .iter()
        .map(|edge| (index[edge.from.0.as_str()], index[edge.to.0.as_str()]))
        .collect();
    for (edge, (from, to)) in ends.iter().enumerate() {
        let (a, b) = (column_of[*from], column_of[*to]);
        for column in columns.iter_mut().take(a.max(b)).skip(a.min(b) + 1) {
            column.push(Item::Lane(edge));
        }
    }
    order::arrange(&mut columns, &ends, &column_of);
    let tops = place::heights(&columns, &ends, &column_of);
    let mut boxes = vec![Spot::default(); map.nodes.len()];
    let mut frames = Vec::new();
    let mut height: f64 = 0.0;
    for (column, (items, tops)) in columns.iter().zip(&tops).enumerate() {
        for (item, top) in items.iter().zip(tops) {
            height = height.max(top + item.height());
            let Item::Block(nodes) = item else { continue };
            for (place, node) in nodes.iter().enumerate() {
                let y = top + item.pad() + place as f64 * (BOX_HEIGHT + GAP);
                boxes[*node] = Spot { x: column_x(column), y };
            }
            if nodes.len() > 1 {
                frames.push(Frame {
                    x: column_x(column) - BLOCK_PAD,
                    y: *top,
                    width: BOX_WIDTH + 2.0 * BLOCK_PAD,
                    height: item.height(),
                });
            }
        }
    }
    let lines = lanes::lines(&columns, &tops, &ends, &column_of, &boxes);
    let width = column_x(columns.len().max(1)) - (COLUMN - BOX_WIDTH);
    Layout { boxes, frames, lines, columns: columns.len(), has_stays, width, height }
}
