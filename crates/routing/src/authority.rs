//! Who has authority, as far as the databases' own rows prove it.
//!
//! A gate that restarted, or whose hold lapsed after a seal was announced, must not trust what it
//! remembers. It asks both databases for the newest row of `changeover.epoch` and goes only to a
//! side that claims authority *for itself*, in an epoch that nothing it has seen exceeds.

use changeover_types::{Epoch, Side};

use crate::Route;

/// What one side's database answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It could not be asked.
    Unreachable,
    /// It has no row of this migration: never begun there, or cleaned up.
    NoRow,
    /// Its newest row.
    Row {
        /// The row's epoch.
        epoch: Epoch,
        /// Who has authority as that row says; `None` is nobody.
        authority: Option<Side>,
    },
}

/// Both sides' answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readings {
    /// The source's.
    pub source: Reading,
    /// The target's.
    pub target: Reading,
}

impl Readings {
    /// The side that is proven to have authority, and since which epoch; `None`: keep waiting.
    ///
    /// `known` is the route on disk. A side without a row of ours proves nothing by itself; it is
    /// believed only where the disk already names it (or, with no disk, the source in epoch 0) and
    /// no row seen anywhere is newer: the state before a migration begins and after it was
    /// cleaned up.
    #[must_use]
    pub fn proven(self, known: Option<Route>) -> Option<(Side, Epoch)> {
        let (remembered, floor) =
            known.map_or((Side::Source, Epoch(0)), |r| (r.authority, r.authority_epoch));
        let highest = [self.source, self.target].into_iter().fold(floor, |max, r| match r {
            Reading::Row { epoch, .. } => max.max(epoch),
            Reading::Unreachable | Reading::NoRow => max,
        });
        let claims = |side: Side, reading: Reading| match reading {
            Reading::Row { epoch, authority } => authority == Some(side) && epoch == highest,
            Reading::NoRow => side == remembered && floor == highest,
            Reading::Unreachable => false,
        };
        match (claims(Side::Source, self.source), claims(Side::Target, self.target)) {
            (true, false) => Some((Side::Source, highest)),
            (false, true) => Some((Side::Target, highest)),
            // Two claims in one epoch are a broken invariant; nobody is served on it.
            (true, true) | (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(epoch: u64, authority: Option<Side>) -> Reading {
        Reading::Row { epoch: Epoch(epoch), authority }
    }

    fn route(authority: Side, epoch: u64) -> Option<Route> {
        Some(Route { target_permille: 0, authority, authority_epoch: Epoch(epoch) })
    }

    const S: Option<Side> = Some(Side::Source);
    const T: Option<Side> = Some(Side::Target);

    #[test]
    fn the_cases_of_a_migration() {
        use Reading::{NoRow, Unreachable};
        let cases = [
            ("before it", NoRow, NoRow, None, Some((Side::Source, 0))),
            ("before it, no target yet", NoRow, Unreachable, None, Some((Side::Source, 0))),
            ("source down", Unreachable, NoRow, None, None),
            ("genesis", row(1, S), row(1, S), None, Some((Side::Source, 1))),
            ("genesis, target down", row(1, S), Unreachable, None, Some((Side::Source, 1))),
            ("genesis, source down", Unreachable, row(1, S), None, None),
            ("sealed", row(2, None), row(1, S), route(Side::Source, 1), None),
            ("granted", row(2, None), row(2, T), route(Side::Source, 1), Some((Side::Target, 2))),
            ("granted, source gone", Unreachable, row(2, T), None, Some((Side::Target, 2))),
            ("granted, target gone", row(2, None), Unreachable, route(Side::Target, 2), None),
            ("burnt", row(2, None), row(2, None), route(Side::Source, 1), None),
            ("unsealed", row(3, S), row(2, None), route(Side::Source, 1), Some((Side::Source, 3))),
            ("a seal that vanished", row(1, S), row(2, T), None, Some((Side::Target, 2))),
            ("older than the disk", row(1, S), Unreachable, route(Side::Target, 2), None),
            ("aborted", NoRow, NoRow, route(Side::Source, 1), Some((Side::Source, 1))),
            ("finished", row(2, None), NoRow, route(Side::Target, 2), Some((Side::Target, 2))),
            (
                "finished, source off",
                Unreachable,
                NoRow,
                route(Side::Target, 2),
                Some((Side::Target, 2)),
            ),
        ];
        for (case, source, target, known, expected) in cases {
            let proven = Readings { source, target }.proven(known);
            assert_eq!(proven, expected.map(|(s, e)| (s, Epoch(e))), "{case}");
        }
    }

    fn reading() -> impl Strategy<Value = Reading> {
        let side = prop_oneof![Just(None), Just(S), Just(T)];
        prop_oneof![
            Just(Reading::Unreachable),
            Just(Reading::NoRow),
            (0_u64..6, side).prop_map(|(epoch, authority)| row(epoch, authority)),
        ]
    }

    proptest! {
        #[test]
        fn only_an_own_claim_in_the_highest_epoch_is_served(
            source in reading(), target in reading(), disk in 0_u64..6, at_target in any::<bool>(),
        ) {
            let known = route(if at_target { Side::Target } else { Side::Source }, disk);
            if let Some((side, epoch)) = (Readings { source, target }).proven(known) {
                prop_assert!(epoch >= Epoch(disk));
                for reading in [source, target] {
                    if let Reading::Row { epoch: seen, .. } = reading {
                        prop_assert!(epoch >= seen);
                    }
                }
                let own = if side == Side::Source { source } else { target };
                match own {
                    Reading::Row { epoch: seen, authority } => {
                        prop_assert_eq!((seen, authority), (epoch, Some(side)));
                    }
                    Reading::NoRow => prop_assert_eq!(known.map(|r| r.authority), Some(side)),
                    Reading::Unreachable => prop_assert!(false, "an unreachable side was served"),
                }
            }
        }
    }
}
