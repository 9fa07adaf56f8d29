//! Which number of a server stands for which number of the clients.

use std::collections::{BTreeMap, BTreeSet};

/// Types by schema and name.
pub(crate) type Names = BTreeMap<(String, String), u32>;

/// A one-to-one map of all numbers: whatever is no type of both sides keeps its number, unless
/// that one means something else on the other end of the map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Permutation {
    /// Only numbers that differ.
    to_server: BTreeMap<u32, u32>,
    to_client: BTreeMap<u32, u32>,
}

impl Permutation {
    /// From pairs of a server's number and the clients'; of two that contradict each other the
    /// first counts. Completed so that no two numbers become one.
    pub(crate) fn of(pairs: impl IntoIterator<Item = (u32, u32)>) -> Permutation {
        let mut whole = Permutation::default();
        for (server, client) in pairs {
            if !whole.to_client.contains_key(&server) && !whole.to_server.contains_key(&client) {
                whole.to_client.insert(server, client);
                whole.to_server.insert(client, server);
            }
        }
        let taken: Vec<u32> =
            whole.to_server.keys().filter(|n| !whole.to_client.contains_key(n)).copied().collect();
        for number in taken {
            // Its place is taken by another; at the end of the chain one is left free.
            let mut free = number;
            while let Some(next) = whole.to_server.get(&free) {
                free = *next;
            }
            whole.to_client.insert(number, free);
            whole.to_server.insert(free, number);
        }
        whole.to_server.retain(|client, server| client != server);
        whole.to_client.retain(|server, client| client != server);
        whole
    }

    /// The clients' number for a server's.
    pub(crate) fn client(&self, server: u32) -> u32 {
        self.to_client.get(&server).copied().unwrap_or(server)
    }

    /// The server's number for one of the clients'.
    pub(crate) fn server(&self, client: u32) -> u32 {
        self.to_server.get(&client).copied().unwrap_or(client)
    }

    /// Whether all numbers agree.
    pub(crate) fn is_identity(&self) -> bool {
        self.to_client.is_empty()
    }

    /// Every number that differs, the server's first.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.to_client.iter().map(|(server, client)| (*server, *client))
    }
}

/// Authority goes from one server to another: what the clients know of the first, `shown`, is what
/// they shall see of the second. `before` is what they saw of the second when it had authority
/// last, for the types that only it has.
pub(crate) fn carried(
    (from, shown): (&Names, &Permutation),
    (to, before): (&Names, &Permutation),
) -> Permutation {
    let numbers: BTreeSet<u32> = to.values().copied().collect();
    let known = |number: &u32| shown.client(*number);
    let both = from.iter().filter_map(|(name, number)| Some((*to.get(name)?, known(number))));
    // A number that clients know for a type that is not there must not mean another one.
    let mut free = (0..=u32::MAX).rev();
    let missing = from
        .iter()
        .filter(|(name, _)| !to.contains_key(*name))
        .map(|(_, number)| known(number))
        .filter(|client| numbers.contains(client));
    let missing = missing.filter_map(|client| {
        let unused = |n: &u32| !numbers.contains(n) && shown.server(*n) == *n;
        Some((free.by_ref().find(unused)?, client))
    });
    let only_there = to.iter().filter(|(name, _)| !from.contains_key(*name));
    let only_there = only_there.map(|(_, number)| (*number, before.client(*number)));
    let only_there = only_there.filter(|(server, client)| server != client);
    Permutation::of(both.chain(missing).chain(only_there))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(list: &[(&str, u32)]) -> Names {
        list.iter().map(|(name, oid)| (("public".to_owned(), (*name).to_owned()), *oid)).collect()
    }

    fn moved(from: &[(&str, u32)], to: &[(&str, u32)]) -> Permutation {
        let identity = Permutation::default();
        carried((&names(from), &identity), (&names(to), &identity))
    }

    #[test]
    fn what_agrees_costs_nothing() {
        let same = [("mood", 16_500), ("hstore", 17_000)];
        assert!(moved(&same, &same).is_identity());
        assert!(
            moved(&same, &[("mood", 16_500), ("hstore", 17_000), ("new", 18_000)]).is_identity()
        );
        assert!(moved(&same, &[("mood", 16_500)]).is_identity());
    }

    #[test]
    fn types_of_the_other_side_alone_get_out_of_the_way() {
        // The target's `own` has the number that the clients know for `mood`.
        let map = moved(&[("mood", 16_500)], &[("mood", 17_000), ("own", 16_500)]);
        assert_eq!((map.client(17_000), map.server(16_500)), (16_500, 17_000));
        assert_eq!((map.client(16_500), map.server(17_000)), (17_000, 16_500));
        // A type that is missing there: its number stands for nothing, not for another type.
        let map = moved(&[("gone", 16_500)], &[("own", 16_500)]);
        assert_ne!(map.client(16_500), 16_500);
        assert_ne!(map.server(16_500), 16_500);
    }

    #[test]
    fn what_was_shown_stays_shown() {
        let source = names(&[("mood", 16_500)]);
        let target = names(&[("mood", 17_000), ("late", 17_100)]);
        let identity = Permutation::default();
        let on_target = carried((&source, &identity), (&target, &identity));
        // Made on the target after the cutover, on the source later: back there it keeps the
        // number that clients learnt, and the others are native.
        let source = names(&[("mood", 16_500), ("late", 16_900)]);
        let back = carried((&target, &on_target), (&source, &identity));
        assert_eq!(back.pairs().collect::<Vec<_>>(), [(16_900, 17_100), (17_100, 16_900)]);
        // And there again.
        let again = carried((&source, &back), (&target, &on_target));
        assert_eq!(again, on_target);
        // Made anew on the source before any move: its number is the new one.
        let source = names(&[("mood", 16_999)]);
        let map = carried((&source, &identity), (&target, &identity));
        assert_eq!(map.client(17_000), 16_999);
    }

    proptest! {
        #[test]
        fn no_two_numbers_become_one(pairs in prop::collection::vec((0_u32..40, 0_u32..40), 0..40)) {
            let map = Permutation::of(pairs.iter().copied());
            let mut seen = BTreeSet::new();
            for number in 0..50 {
                prop_assert_eq!(map.server(map.client(number)), number);
                prop_assert_eq!(map.client(map.server(number)), number);
                prop_assert!(seen.insert(map.client(number)));
            }
            if let Some((server, client)) = pairs.first() {
                prop_assert_eq!(map.client(*server), *client);
            }
        }
    }
}
