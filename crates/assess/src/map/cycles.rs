//! Strongly connected components, after Tarjan, without recursion: a map may be a long chain.

use std::collections::{BTreeMap, BTreeSet};

/// The components of a graph; each sorted, all sorted by their first member.
pub(super) fn components<T: Ord + Clone>(nodes: &[T], edges: &BTreeSet<(T, T)>) -> Vec<Vec<T>> {
    let index: BTreeMap<&T, usize> = nodes.iter().enumerate().map(|(i, n)| (n, i)).collect();
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (from, to) in edges {
        if let (Some(from), Some(to)) = (index.get(from), index.get(to)) {
            next[*from].push(*to);
        }
    }
    let mut search = Search::new(next);
    for start in 0..nodes.len() {
        search.from(start);
    }
    let mut found: Vec<Vec<T>> = search
        .found
        .into_iter()
        .map(|members| {
            let mut members: Vec<T> = members.into_iter().map(|i| nodes[i].clone()).collect();
            members.sort();
            members
        })
        .collect();
    found.sort();
    found
}

struct Search {
    next: Vec<Vec<usize>>,
    /// Order of the first visit, and the lowest order reachable.
    seen: Vec<Option<(usize, usize)>>,
    on_stack: Vec<bool>,
    stack: Vec<usize>,
    visits: usize,
    found: Vec<Vec<usize>>,
}

impl Search {
    fn new(next: Vec<Vec<usize>>) -> Search {
        let count = next.len();
        Search {
            next,
            seen: vec![None; count],
            on_stack: vec![false; count],
            stack: Vec::new(),
            visits: 0,
            found: Vec::new(),
        }
    }

    fn enter(&mut self, node: usize) {
        self.seen[node] = Some((self.visits, self.visits));
        self.visits += 1;
        self.stack.push(node);
        self.on_stack[node] = true;
    }

    fn lower(&mut self, node: usize, to: usize) {
        if let Some((_, low)) = &mut self.seen[node] {
            *low = (*low).min(to);
        }
    }

    fn from(&mut self, start: usize) {
        if self.seen[start].is_some() {
            return;
        }
        self.enter(start);
        let mut path = vec![(start, 0)];
        while let Some((node, edge)) = path.last_mut() {
            let node = *node;
            if let Some(to) = self.next[node].get(*edge).copied() {
                *edge += 1;
                match self.seen[to] {
                    None => {
                        self.enter(to);
                        path.push((to, 0));
                    }
                    Some((order, _)) if self.on_stack[to] => self.lower(node, order),
                    Some(_) => {}
                }
                continue;
            }
            path.pop();
            let Some((order, low)) = self.seen[node] else { continue };
            if let Some((parent, _)) = path.last() {
                self.lower(*parent, low);
            }
            if low == order {
                self.close(node);
            }
        }
    }

    /// Everything above `root` on the stack is one component.
    fn close(&mut self, root: usize) {
        let mut members = Vec::new();
        while let Some(node) = self.stack.pop() {
            self.on_stack[node] = false;
            members.push(node);
            if node == root {
                break;
            }
        }
        self.found.push(members);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(count: usize, edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
        components(&(0..count).collect::<Vec<_>>(), &edges.iter().copied().collect())
    }

    #[test]
    fn finds_circles_and_leaves_the_rest_alone() {
        assert_eq!(run(5, &[(0, 1), (1, 2), (2, 0), (2, 3)]), [vec![0, 1, 2], vec![3], vec![4]]);
        assert_eq!(run(1, &[(0, 0)]), [vec![0]]);
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let chain: Vec<(usize, usize)> = (0..50_000).map(|i| (i, i + 1)).collect();
        assert_eq!(run(50_001, &chain).len(), 50_001);
    }

    proptest! {
        /// The definition: together if and only if each reaches the other.
        #[test]
        fn agrees_with_reachability(
            edges in proptest::collection::vec((0usize..7, 0usize..7), 0..20)
        ) {
            let mut reach: BTreeSet<(usize, usize)> = edges.iter().copied().collect();
            reach.extend((0..7).map(|i| (i, i)));
            for _ in 0..7 {
                let further: Vec<(usize, usize)> = reach
                    .iter()
                    .flat_map(|(a, b)| {
                        edges.iter().filter(move |(from, _)| from == b).map(move |(_, to)| (*a, *to))
                    })
                    .collect();
                reach.extend(further);
            }
            let found = run(7, &edges);
            let of = |n: usize| found.iter().position(|c| c.contains(&n)).unwrap();
            for i in 0..7 {
                for j in 0..7 {
                    let each = reach.contains(&(i, j)) && reach.contains(&(j, i));
                    prop_assert_eq!(of(i) == of(j), each);
                }
            }
        }
    }
}
