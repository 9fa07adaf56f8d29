//! How many clients are in, and who must go when one more comes.
//!
//! All cores share it. Whoever is silent longest, before its first request or between two, gives way;
//! a request that is under way never does. Where all are at work a new client is turned away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::watched::Watched;

/// See the module.
#[derive(Debug)]
pub(crate) struct Door {
    began: Instant,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    clients: HashMap<u64, Arc<Watched>>,
}

/// A client's place, while this lives.
#[derive(Debug)]
pub(super) struct Entered {
    door: Arc<Door>,
    number: u64,
    pub(super) watched: Arc<Watched>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.door.inside().clients.remove(&self.number);
    }
}

impl Door {
    pub(crate) fn new() -> Arc<Door> {
        Arc::new(Door { began: Instant::now(), inside: Mutex::default() })
    }

    /// Lets a client in; `None` if `most` are in and all of them are at work.
    pub(super) fn enter(self: &Arc<Self>, most: usize) -> Option<Entered> {
        let watched = Arc::new(Watched::new(self.began));
        let mut inside = self.inside();
        if inside.clients.len() >= most && !inside.evict_longest_silent() {
            return None;
        }
        let number = inside.next;
        inside.next += 1;
        inside.clients.insert(number, Arc::clone(&watched));
        drop(inside);
        Some(Entered { door: Arc::clone(self), number, watched })
    }

    /// Makes room, as the system has none.
    pub(super) fn evict_longest_silent(&self) {
        self.inside().evict_longest_silent();
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Its place is free at once; its socket closes as soon as its core comes to it.
    fn evict_longest_silent(&mut self) -> bool {
        let quiet = |(number, it): (&u64, &Arc<Watched>)| Some((it.quiet_since()?, *number));
        let Some((_, number)) = self.clients.iter().filter_map(quiet).min() else { return false };
        if let Some(watched) = self.clients.remove(&number) {
            watched.evict();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_goes_and_whoever_works_stays() {
        let door = Door::new();
        let enter = || door.enter(3);
        let (first, second, third) = (enter().unwrap(), enter().unwrap(), enter().unwrap());
        // Microseconds tell them apart by their numbers where the clock does not.
        first.watched.request();
        let fourth = enter().unwrap();
        assert_eq!(second.watched.quiet_since(), None, "it was told to go");
        assert!(third.watched.quiet_since().is_some());
        third.watched.request();
        fourth.watched.request();
        assert!(enter().is_none(), "all are at work");
        drop(first);
        let fifth = enter().unwrap();
        fifth.watched.request();
        fourth.watched.fell_quiet();
        assert!(enter().is_some());
        assert_eq!(fourth.watched.quiet_since(), None);
    }
}
