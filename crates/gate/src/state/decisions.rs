//! What was decided about each request, second by second: the canary's evidence.
//!
//! A request is entered when its side is drawn (after a hold, not before: what waits in a hold says
//! nothing about either side) and decided at one fixed age. No timer does it: each later request of
//! the core decides those whose time has come, and so does whoever reads. The label stays the side
//! that was drawn, whoever answered in the end. Of sticky users each counts once; see
//! [`FirstEvents`].

mod core;
mod memory;
mod users;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use changeover_types::{Decided, DecidedSecond, FirstEvents, Latencies, Tick};

pub use self::core::{CoreDecisions, Ticket};
use memory::Memory;
use users::Users;

/// So many seconds are kept: the source's last five minutes, and what a run missed that died and
/// came back.
const KEPT_SECONDS: u64 = 600;

/// At most so many are told at once, so that an answer stays small.
const TOLD_SECONDS: u64 = 60;

/// How requests are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecideRules {
    /// The age at which a request is decided.
    pub after: Duration,
    /// Whether clients keep their side.
    pub sticky: bool,
    /// With sticky clients: from when on after a canary's beginning they are remembered.
    pub warm_up: Duration,
}

/// All cores' decisions.
#[derive(Debug)]
pub(super) struct Decisions {
    /// With the place of the route whose requests they are.
    cores: Mutex<Vec<(usize, Arc<CoreDecisions>)>>,
    users: Arc<Users>,
    memory: Mutex<Memory>,
}

impl Decisions {
    /// Begins with what an earlier life of the gate wrote down in this folder of the canary of this
    /// salt, if there is one.
    pub(super) fn open(folder: &Path, canary: Option<u64>) -> Decisions {
        let (users, mut memory) = (Arc::<Users>::default(), Memory::in_folder(folder));
        users.begin(Tick::default(), canary.unwrap_or_default());
        match canary {
            Some(_) => memory.recall(&users),
            None => memory.forget(),
        }
        Decisions { cores: Mutex::default(), users, memory: Mutex::new(memory) }
    }

    pub(super) fn add_core(&self, place: usize, rules: DecideRules) -> Arc<CoreDecisions> {
        let users = rules.sticky.then(|| Arc::clone(&self.users));
        let core = Arc::new(CoreDecisions::new(rules, users));
        let mut cores = self.cores.lock().unwrap_or_else(PoisonError::into_inner);
        cores.push((place, Arc::clone(&core)));
        core
    }

    /// The target gets the first requests of the canary of this salt: its users are remembered from
    /// here on.
    pub(super) fn canary_begins(&self, now: Tick, salt: u64) {
        self.users.begin(now, salt);
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).forget();
    }

    /// The seconds from `from` on that are over, at most some of them, and the first one not told:
    /// of the routes at these places, of all if there are none. Their users are written down before;
    /// call it from the control thread.
    pub(super) fn since(
        &self,
        from: u64,
        places: &[usize],
        now: Tick,
    ) -> (Vec<DecidedSecond>, u64) {
        let present = now.0 / 1_000_000;
        let from = from.max(present.saturating_sub(KEPT_SECONDS));
        let next = present.min(from.saturating_add(TOLD_SECONDS)).max(from);
        let mut merged: BTreeMap<(u64, u16), DecidedSecond> = BTreeMap::new();
        let cores = self.cores.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = |place: &usize| places.is_empty() || places.contains(place);
        for (_, core) in cores.iter().filter(|(place, _)| asked(place)) {
            core.visit(now, |second| {
                if (from..next).contains(&second.second) {
                    let key = (second.second, second.target_permille);
                    match merged.get_mut(&key) {
                        Some(sum) => add(sum, second),
                        None => drop(merged.insert(key, second.clone())),
                    }
                }
            });
        }
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).keep(&self.users);
        (merged.into_values().collect(), next)
    }
}

fn add(sum: &mut DecidedSecond, more: &DecidedSecond) {
    add_side(&mut sum.source, &more.source);
    add_side(&mut sum.target, &more.target);
}

fn add_side(sum: &mut Decided, more: &Decided) {
    sum.requests += more.requests;
    sum.bad += more.bad;
    add_latencies(&mut sum.latency, &more.latency);
    if let Some(more) = &more.users {
        let sum = sum.users.get_or_insert_with(FirstEvents::default);
        sum.bad += more.bad;
        sum.bad_before += more.bad_before;
        sum.untracked += more.untracked;
        add_latencies(&mut sum.reached, &more.reached);
        add_latencies(&mut sum.before, &more.before);
        add_latencies(&mut sum.standing, &more.standing);
    }
}

fn add_latencies(sum: &mut Latencies, more: &Latencies) {
    let mut all: BTreeMap<_, _> = sum.iter().copied().collect();
    for (bucket, count) in more {
        *all.entry(*bucket).or_insert(0) += count;
    }
    *sum = all.into_iter().collect();
}
