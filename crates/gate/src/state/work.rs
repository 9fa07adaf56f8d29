//! Who is at work and who is parked: what a status lists, and what a hold waits for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use changeover_routing::OpenWork;
use changeover_types::Tick;
use http::{Method, Uri};

use super::Shared;

/// Spreads registrations so that cores do not wait for each other.
const SHARDS: usize = 16;

/// A path longer than this is cut in listings.
const LISTED_PATH: usize = 80;

/// What is known of a piece of work when it begins. Cheap to make: nothing is formatted until
/// somebody asks for a status.
#[derive(Clone, Debug)]
pub enum WorkLabel {
    /// A request.
    Http {
        /// The client's address.
        client: SocketAddr,
        /// The method.
        method: Method,
        /// The target; only its path is ever shown.
        uri: Uri,
    },
    /// A PostgreSQL session's transaction or statement.
    Postgres {
        /// The client's address.
        client: SocketAddr,
        /// User and application name. Never a statement or a value.
        what: Arc<str>,
        /// The server process that serves it.
        server_pid: Option<i32>,
    },
}

/// How a piece of work stands: `running`, `in transaction`, `copy`, `pinned: temporary tables`, …
pub type WorkState = Cow<'static, str>;

#[derive(Debug)]
struct Entry {
    label: WorkLabel,
    state: WorkState,
    since: Tick,
}

/// All open work, by registration number, in shards.
#[derive(Debug)]
pub(super) struct Registry {
    shards: [Mutex<BTreeMap<u64, Entry>>; SHARDS],
    next: AtomicU64,
}

impl Default for Registry {
    fn default() -> Self {
        Registry { shards: std::array::from_fn(|_| Mutex::default()), next: AtomicU64::new(0) }
    }
}

impl Registry {
    fn shard(&self, number: u64) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        let index = usize::try_from(number % SHARDS as u64).unwrap_or(0);
        // An entry is inserted or removed whole, so a panic elsewhere leaves nothing half done.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        (0..SHARDS as u64).map(|n| self.shard(n).len()).sum()
    }

    /// The oldest `limit` pieces of open work, oldest first.
    pub(super) fn list(&self, now: Tick, limit: usize) -> Vec<OpenWork> {
        let mut all = Vec::new();
        for number in 0..SHARDS as u64 {
            let shard = self.shard(number);
            all.extend(shard.values().map(|e| (e.since, e.label.clone(), e.state.clone())));
        }
        all.sort_by_key(|(since, _, _)| *since);
        all.truncate(limit);
        all.into_iter().map(|(since, label, state)| label.listed(state, now, since)).collect()
    }
}

impl WorkLabel {
    fn listed(self, state: WorkState, now: Tick, since: Tick) -> OpenWork {
        let for_ms = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
        let state = state.into_owned();
        match self {
            WorkLabel::Http { client, method, uri } => {
                let mut what = format!("{method} ");
                for c in uri.path().chars().take(LISTED_PATH) {
                    what.push(c);
                }
                if uri.path().chars().count() > LISTED_PATH {
                    what.push('…');
                }
                OpenWork {
                    gate: "http".to_owned(),
                    client: client.to_string(),
                    what,
                    state,
                    for_ms,
                    server_pid: None,
                }
            }
            WorkLabel::Postgres { client, what, server_pid } => {
                let mut address = String::new();
                // Writing to a string cannot fail.
                write!(address, "{client}").unwrap_or_default();
                OpenWork {
                    gate: "postgres".to_owned(),
                    client: address,
                    what: what.to_string(),
                    state,
                    for_ms,
                    server_pid,
                }
            }
        }
    }
}

/// Keeps a piece of work listed while it lives.
#[derive(Debug)]
pub struct WorkGuard {
    shared: Arc<Shared>,
    number: u64,
}

impl WorkGuard {
    pub(super) fn new(shared: Arc<Shared>, label: WorkLabel) -> WorkGuard {
        let number = shared.work.next.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { label, state: Cow::Borrowed("running"), since: shared.now() };
        shared.work.shard(number).insert(number, entry);
        WorkGuard { shared, number }
    }

    /// Says how the work stands now.
    pub fn set_state(&self, state: impl Into<WorkState>) {
        if let Some(entry) = self.shared.work.shard(self.number).get_mut(&self.number) {
            entry.state = state.into();
        }
    }

    /// Says which server process serves it, for PostgreSQL.
    pub fn set_server_pid(&self, pid: Option<i32>) {
        if let Some(entry) = self.shared.work.shard(self.number).get_mut(&self.number)
            && let WorkLabel::Postgres { server_pid, .. } = &mut entry.label
        {
            *server_pid = pid;
        }
    }
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        self.shared.work.shard(self.number).remove(&self.number);
    }
}

/// Counts a piece of work as parked while it lives.
#[derive(Debug)]
pub struct ParkGuard {
    shared: Arc<Shared>,
    number: u64,
}

impl ParkGuard {
    pub(super) fn new(shared: Arc<Shared>) -> ParkGuard {
        let number = shared.counters.parked_in(shared.now());
        ParkGuard { shared, number }
    }
}

impl Drop for ParkGuard {
    fn drop(&mut self) {
        self.shared.counters.parked_out(self.number, self.shared.now());
    }
}
