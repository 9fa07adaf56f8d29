//! Transaction ids as snapshots name them, and when a slot's snapshot may be trusted.
//!
//! The snapshot that a slot exports is built from the log: a transaction counts as committed once
//! its commit record was decoded, which can be a moment before the server's own book says so. Who
//! reads a table in that moment may take the row's author for aborted, *and write that down* in
//! the row's hint bits, where it hides the row from everybody, for ever
//! (pgsql-hackers, September 2026; `recovery/t/057_snapshot_commit_race.pl`). So nothing is read
//! until every transaction that the slot's snapshot counts as committed is also finished for an
//! ordinary snapshot.

use std::fmt;
use std::str::FromStr;

/// A snapshot as `txid_current_snapshot()` prints it: `xmin:xmax:xip,…`.
///
/// In one that a slot exported `xmin` can be above `xmax`: the first comes from the running
/// transactions that the log listed last, the second from the last commit that was decoded. The
/// server looks at `xmin` first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XidSnapshot {
    /// Everything below is finished.
    pub xmin: u64,
    /// Everything from here on is not, unless it is below `xmin`.
    pub xmax: u64,
    /// In between, those that are not finished, ascending.
    pub running: Vec<u64>,
}

/// Why a text is not an [`XidSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a snapshot like 10:20:12,15")]
pub struct ParseSnapshotError(pub String);

impl FromStr for XidSnapshot {
    type Err = ParseSnapshotError;
    fn from_str(text: &str) -> Result<Self, ParseSnapshotError> {
        let read = || {
            let mut parts = text.split(':');
            let xmin: u64 = parts.next()?.parse().ok()?;
            let xmax: u64 = parts.next()?.parse().ok()?;
            let list = parts.next()?;
            let mut running = list
                .split(',')
                .filter(|xid| !xid.is_empty())
                .map(|xid| xid.parse().ok())
                .collect::<Option<Vec<u64>>>()?;
            running.sort_unstable();
            parts.next().is_none().then_some(XidSnapshot { xmin, xmax, running })
        };
        read().ok_or_else(|| ParseSnapshotError(text.to_owned()))
    }
}

impl fmt::Display for XidSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running: Vec<String> = self.running.iter().map(ToString::to_string).collect();
        write!(f, "{}:{}:{}", self.xmin, self.xmax, running.join(","))
    }
}

impl XidSnapshot {
    /// Whether the snapshot counts `xid` as finished.
    #[must_use]
    pub fn finished(&self, xid: u64) -> bool {
        xid < self.xmin || (xid < self.xmax && self.running.binary_search(&xid).is_err())
    }

    /// Which transactions this (a slot's) snapshot counts as finished and `ordinary` does not.
    /// Empty means: tables may be read.
    #[must_use]
    pub fn unsettled(&self, ordinary: &XidSnapshot) -> Vec<u64> {
        ordinary
            .running
            .iter()
            .copied()
            .chain(ordinary.xmax..self.xmax.max(self.xmin).max(ordinary.xmax))
            .filter(|xid| self.finished(*xid))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn snapshot(text: &str) -> XidSnapshot {
        text.parse().unwrap()
    }

    #[test]
    fn a_commit_the_slot_saw_first_is_waited_for() {
        // The slot saw 12 commit; the server still lists it as running.
        let slot = snapshot("11:15:11,13,14");
        assert_eq!(slot.unsettled(&snapshot("11:15:11,12,13,14")), [12]);
        assert_eq!(slot.unsettled(&snapshot("11:20:11,13")), [0u64; 0]);
        // The server has not even counted 14 as started to finish.
        assert_eq!(snapshot("11:15:11").unsettled(&snapshot("11:13:11")), [13, 14]);
    }

    /// Seen in the kill tests: `23493:23490:`.
    #[test]
    fn a_slot_may_list_running_transactions_beyond_the_last_commit() {
        let slot = snapshot("13:10:");
        assert!(slot.finished(12) && !slot.finished(13));
        assert_eq!(slot.unsettled(&snapshot("11:15:11,12,14")), [11, 12]);
        assert_eq!(slot.unsettled(&snapshot("13:15:13")), [0u64; 0]);
    }

    #[test]
    fn what_is_no_snapshot_is_refused() {
        for bad in ["", "1", "1:2", "1:2:x", "1:2:3:4"] {
            assert!(bad.parse::<XidSnapshot>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_snapshot_reads_back(xmin in 0u64..1000, len in 0u64..50, pick in any::<u64>()) {
            let running = (0..len).filter(|i| pick >> i & 1 == 1).map(|i| xmin + i).collect();
            let s = XidSnapshot { xmin, xmax: xmin + len, running };
            prop_assert_eq!(snapshot(&s.to_string()), s);
        }

        #[test]
        fn unsettled_means_finished_for_one_only(
            a in 0u64..1 << 12, b in 0u64..1 << 12, xmax_a in 0u64..12, xmax_b in 0u64..12,
        ) {
            let make = |bits: u64, xmax: u64| XidSnapshot {
                xmin: 0,
                xmax,
                running: (0..xmax).filter(|i| bits >> i & 1 == 1).collect(),
            };
            let (slot, ordinary) = (make(a, xmax_a), make(b, xmax_b));
            let expected: Vec<u64> =
                (0..20).filter(|x| slot.finished(*x) && !ordinary.finished(*x)).collect();
            prop_assert_eq!(slot.unsettled(&ordinary), expected);
        }
    }
}
