//! In which order post-data is created: what each entry needs comes before it, what takes long is
//! done side by side. Pure.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// How an entry may be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Beside others: an index.
    Index,
    /// Beside others, after the plain indexes of its table: a key.
    Key,
    /// Alone, in the archive's order.
    Serial,
}

/// What is known of an entry.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Its number in the archive.
    pub(super) id: u32,
    /// The numbers of what it needs. What is not among the nodes is there already.
    pub(super) needs: Vec<u32>,
    /// How it may be created.
    pub(super) lane: Lane,
    /// The bytes of the table behind it.
    pub(super) bytes: u64,
}

/// Entries by their place among the nodes: first those that are built side by side, the biggest
/// first; then those that go one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wave {
    /// Side by side.
    pub(super) together: Vec<usize>,
    /// One after another.
    pub(super) alone: Vec<usize>,
}

/// Waves that create every node after what it needs. What needs itself in a circle comes in the
/// archive's order.
pub(super) fn waves(nodes: &[Node]) -> Vec<Wave> {
    let mut missing: BTreeSet<u32> = nodes.iter().map(|node| node.id).collect();
    let mut left: Vec<usize> = (0..nodes.len()).collect();
    let mut waves = Vec::new();
    while !left.is_empty() {
        let mut wave = Wave::default();
        let ready = |at: usize, missing: &BTreeSet<u32>| {
            nodes[at].needs.iter().all(|id| *id == nodes[at].id || !missing.contains(id))
        };
        wave.together = left
            .iter()
            .copied()
            .filter(|at| nodes[*at].lane <= Lane::Key && ready(*at, &missing))
            .collect();
        wave.together.sort_by_key(|at| (Reverse(nodes[*at].bytes), nodes[*at].lane));
        for at in &wave.together {
            missing.remove(&nodes[*at].id);
        }
        left.retain(|at| missing.contains(&nodes[*at].id));
        loop {
            let before = wave.alone.len();
            left.retain(|at| {
                let now = nodes[*at].lane == Lane::Serial && ready(*at, &missing);
                if now {
                    missing.remove(&nodes[*at].id);
                    wave.alone.push(*at);
                }
                !now
            });
            if wave.alone.len() == before {
                break;
            }
        }
        if wave == Wave::default() {
            let at = left.remove(0);
            missing.remove(&nodes[at].id);
            wave.alone.push(at);
        }
        waves.push(wave);
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u32, lane: Lane, bytes: u64, needs: &[u32]) -> Node {
        Node { id, needs: needs.to_vec(), lane, bytes }
    }

    fn order(nodes: &[Node]) -> Vec<(Vec<u32>, Vec<u32>)> {
        let ids = |places: &[usize]| places.iter().map(|at| nodes[*at].id).collect();
        waves(nodes).iter().map(|wave| (ids(&wave.together), ids(&wave.alone))).collect()
    }

    #[test]
    fn what_is_needed_comes_first_and_the_biggest_before_the_small() {
        use Lane::*;
        let nodes = [
            // An index of a materialised view that needs a key.
            node(1, Index, 900, &[2]),
            node(2, Serial, 0, &[3, 77]),
            node(3, Key, 50, &[]),
            node(4, Index, 50, &[]),
            node(5, Key, 100, &[]),
            node(6, Serial, 0, &[7]),
            node(7, Serial, 0, &[]),
        ];
        assert_eq!(order(&nodes), [(vec![5, 4, 3], vec![2, 7, 6]), (vec![1], vec![]),]);
    }

    #[test]
    fn a_circle_is_cut_in_the_order_of_the_archive() {
        let nodes = [node(1, Lane::Serial, 0, &[2]), node(2, Lane::Index, 0, &[1, 2])];
        assert_eq!(order(&nodes), [(vec![], vec![1]), (vec![2], vec![])]);
        assert_eq!(order(&[]), []);
    }
}
