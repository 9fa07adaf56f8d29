//! What is remembered of sticky users, by all cores together: a user's requests come to any core.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use changeover_types::{LatencyBucket, Tick};

/// Power of two; a core rarely meets another one in the same shard.
const SHARDS: usize = 64;

/// More users than this per shard are not remembered, and what they do is left out: a quarter of a
/// million in all, some ten megabytes.
const MOST_IN_SHARD: usize = 4096;

/// The users of the present canary.
#[derive(Debug)]
pub(super) struct Users {
    shards: Vec<Mutex<Shard>>,
    begun_us: AtomicU64,
    salt: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    users: HashMap<u64, User>,
    /// Those that changed since they were last written down, each once.
    changed: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct User {
    slowest: Option<LatencyBucket>,
    bad: bool,
    changed: bool,
}

/// What is to be known of a user in the next life of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) key: u64,
    pub(super) slowest: Option<LatencyBucket>,
    pub(super) bad: bool,
}

/// What a request meant for its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meant {
    pub(super) first_bad: bool,
    pub(super) bad_before: bool,
    pub(super) slowest_before: Option<LatencyBucket>,
    /// It was slower than all before.
    pub(super) is_slowest: bool,
}

impl Default for Users {
    fn default() -> Self {
        Users {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            begun_us: AtomicU64::new(0),
            salt: AtomicU64::new(0),
        }
    }
}

impl Users {
    /// Forgets all, for a new canary: that of this salt.
    pub(super) fn begin(&self, now: Tick, salt: u64) {
        self.salt.store(salt, Ordering::Relaxed);
        self.begun_us.store(now.0, Ordering::Relaxed);
        for shard in &self.shards {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
    }

    /// When the present canary began.
    pub(super) fn begun(&self) -> Tick {
        Tick(self.begun_us.load(Ordering::Relaxed))
    }

    /// Which canary it is: requests of another one are not noted.
    pub(super) fn salt(&self) -> u64 {
        self.salt.load(Ordering::Relaxed)
    }

    /// Notes a decided request; `None` if there is no room for its user.
    pub(super) fn note(&self, key: u64, slowness: LatencyBucket, bad: bool) -> Option<Meant> {
        // The split reads a key's high bits; these are the low ones.
        let shard = &self.shards[key as usize % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let Shard { users, changed } = &mut *shard;
        if users.len() >= MOST_IN_SHARD && !users.contains_key(&key) {
            return None;
        }
        let user = users.entry(key).or_default();
        let meant = Meant {
            first_bad: bad && !user.bad,
            bad_before: user.bad,
            slowest_before: user.slowest,
            is_slowest: user.slowest.is_none_or(|slowest| slowness > slowest),
        };
        user.bad |= bad;
        if meant.is_slowest {
            user.slowest = Some(slowness);
        }
        if (meant.is_slowest || meant.first_bad) && !user.changed {
            user.changed = true;
            changed.push(key);
        }
        Some(meant)
    }

    /// Those that changed since this was last asked.
    pub(super) fn changed(&self) -> Vec<Known> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let Shard { users, changed } = &mut *shard;
            for key in changed.drain(..) {
                if let Some(user) = users.get_mut(&key) {
                    user.changed = false;
                    all.push(Known { key, slowest: user.slowest, bad: user.bad });
                }
            }
        }
        all
    }

    /// All that are remembered.
    pub(super) fn all(&self) -> Vec<Known> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let known = |(key, user): (&u64, &User)| Known {
                key: *key,
                slowest: user.slowest,
                bad: user.bad,
            };
            all.extend(shard.users.iter().map(known));
        }
        all
    }

    /// Takes back what an earlier life of the gate knew.
    pub(super) fn recall(&self, known: Known) {
        let Known { key, slowest, bad } = known;
        let shard = &self.shards[key as usize % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.users.len() < MOST_IN_SHARD || shard.users.contains_key(&key) {
            shard.users.insert(key, User { slowest, bad, changed: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_told_apart_by_what_came_before() {
        let users = Users::default();
        let step = LatencyBucket;
        let first = users.note(7, step(100), false).unwrap();
        assert_eq!((first.is_slowest, first.slowest_before), (true, None));
        assert!(!users.note(7, step(90), false).unwrap().is_slowest);
        let third = users.note(7, step(120), true).unwrap();
        assert_eq!((third.first_bad, third.slowest_before), (true, Some(step(100))));
        let fourth = users.note(7, step(1), true).unwrap();
        assert_eq!((fourth.first_bad, fourth.bad_before), (false, true));
        users.begin(Tick(5), 0);
        assert_eq!(
            users.note(7, step(1), true).unwrap(),
            Meant { first_bad: true, bad_before: false, slowest_before: None, is_slowest: true }
        );
    }

    #[test]
    fn memory_is_bounded_and_whoever_has_a_place_keeps_it() {
        let users = Users::default();
        let same_shard = |n: u64| n * SHARDS as u64;
        for n in 0..MOST_IN_SHARD as u64 {
            assert!(users.note(same_shard(n), LatencyBucket(1), false).is_some());
        }
        assert_eq!(users.note(same_shard(1_000_000), LatencyBucket(1), true), None);
        assert!(users.note(same_shard(3), LatencyBucket(2), true).unwrap().first_bad);
    }
}
