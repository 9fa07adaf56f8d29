//! The lines: where each leaves its box, passes its lanes and arrives.

use std::collections::BTreeMap;

use super::{BOX_HEIGHT, BOX_WIDTH, Item, LANE, Spot, column_x};

/// A dependency's line: points from the one who leans to the one leaned on. Every piece between
/// two points is a curve that starts and ends level.
pub(in crate::map) struct Line {
    pub(in crate::map) points: Vec<Spot>,
    /// Both ends are in one column: the line bows out to the right by this much.
    pub(in crate::map) bow: Option<f64>,
}

/// A side of a box.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    Left,
    Right,
}

/// A line's end on a box: how high the line goes on, the edge, whether it starts here.
type Attached = (f64, usize, bool);

pub(super) fn lines(
    columns: &[Vec<Item>],
    tops: &[Vec<f64>],
    ends: &[(usize, usize)],
    column_of: &[usize],
    boxes: &[Spot],
) -> Vec<Line> {
    let lane = |edge: usize, column: usize| {
        let at = columns[column].iter().position(|item| *item == Item::Lane(edge))?;
        Some(tops[column][at] + LANE / 2.0)
    };
    let mut attached: BTreeMap<(usize, Edge), Vec<Attached>> = BTreeMap::new();
    for (edge, (from, to)) in ends.iter().enumerate() {
        let (a, b) = (column_of[*from], column_of[*to]);
        for (node, other, mine, theirs, starts) in
            [(*from, *to, a, b, true), (*to, *from, b, a, false)]
        {
            let side = if mine <= theirs { Edge::Right } else { Edge::Left };
            let next = if theirs > mine { mine + 1 } else { mine.saturating_sub(1) };
            let height = lane(edge, next).filter(|_| next != theirs);
            let height = height.unwrap_or(boxes[other].y + BOX_HEIGHT / 2.0);
            attached.entry((node, side)).or_default().push((height, edge, starts));
        }
    }
    let mut port: BTreeMap<(usize, bool), f64> = BTreeMap::new();
    for ((node, _), lines) in &mut attached {
        lines.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let step = (BOX_HEIGHT - 16.0) / (lines.len() as f64 + 1.0);
        for (place, (_, edge, starts)) in lines.iter().enumerate() {
            port.insert((*edge, *starts), boxes[*node].y + 8.0 + step * (place as f64 + 1.0));
        }
    }
    ends.iter()
        .enumerate()
        .map(|(edge, (from, to))| {
            let (a, b) = (column_of[*from], column_of[*to]);
            let end = |node: usize, leaves_right: bool, starts: bool| Spot {
                x: boxes[node].x + if leaves_right { BOX_WIDTH } else { 0.0 },
                y: port[&(edge, starts)],
            };
            if a == b {
                let bow = 26.0 + (boxes[*from].y - boxes[*to].y).abs() / 12.0;
                let points = vec![end(*from, true, true), end(*to, true, false)];
                return Line { points, bow: Some(bow.min(60.0)) };
            }
            let rightwards = a < b;
            let mut points = vec![end(*from, rightwards, true)];
            let between: Vec<usize> =
                if rightwards { (a + 1..b).collect() } else { (b + 1..a).rev().collect() };
            for column in between {
                let y = lane(edge, column).unwrap_or_default();
                let (near, far) = (column_x(column), column_x(column) + BOX_WIDTH);
                let (first, last) = if rightwards { (near, far) } else { (far, near) };
                points.extend([Spot { x: first, y }, Spot { x: last, y }]);
            }
            points.push(end(*to, !rightwards, false));
            Line { points, bow: None }
        })
        .collect()
}
