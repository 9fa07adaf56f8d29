//! One core's requests that are not decided yet, and its seconds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use changeover_types::{Decided, DecidedSecond, FirstEvents, LatencyBucket, Share, Side, Tick};

use super::users::Users;
use super::{DecideRules, KEPT_SECONDS};

/// More requests than this within the time of decision are not looked at: some ten megabytes a
/// core, and far more than a core can carry within a second.
const MOST_PENDING: usize = 1 << 18;

/// One core's decisions. Only that core writes, so its lock is free but while somebody reads.
#[derive(Debug)]
pub struct CoreDecisions {
    rules: DecideRules,
    users: Option<Arc<Users>>,
    inner: Mutex<Inner>,
}

/// A request that is to be decided.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    number: u64,
    drawn: Tick,
}

#[derive(Debug, Default)]
struct Inner {
    pending: VecDeque<Pending>,
    /// The ticket of the first one in `pending`.
    first: u64,
    open: Option<Open>,
    seconds: VecDeque<DecidedSecond>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    drawn: Tick,
    side: Side,
    share: Share,
    key: u64,
    latency: LatencyBucket,
    good: bool,
    /// It says nothing of its side.
    withdrawn: bool,
}

/// The second that is being counted.
#[derive(Debug)]
struct Open {
    second: u64,
    target_permille: u16,
    sides: [Counting; 2],
}

#[derive(Debug, Default)]
struct Counting {
    requests: u64,
    bad: u64,
    latency: BTreeMap<LatencyBucket, u64>,
    users: Option<CountingUsers>,
}

#[derive(Debug, Default)]
struct CountingUsers {
    events: FirstEvents,
    reached: BTreeMap<LatencyBucket, u64>,
    before: BTreeMap<LatencyBucket, u64>,
    standing: BTreeMap<LatencyBucket, u64>,
}

impl CoreDecisions {
    pub(super) fn new(rules: DecideRules, users: Option<Arc<Users>>) -> CoreDecisions {
        CoreDecisions { rules, users, inner: Mutex::default() }
    }

    /// A request's side was drawn. `None` if there are too many to look at.
    pub fn drawn(&self, now: Tick, side: Side, share: Share, key: u64) -> Option<Ticket> {
        let mut inner = self.lock();
        self.decide(&mut inner, now);
        if inner.pending.len() >= MOST_PENDING {
            return None;
        }
        // The clock is read before the lock is had, and a decision must not wait behind a later one.
        let drawn = inner.pending.back().map_or(now, |last| last.drawn.max(now));
        let number = inner.first + inner.pending.len() as u64;
        let latency = LatencyBucket::NEVER;
        let (good, withdrawn) = (false, false);
        inner.pending.push_back(Pending { drawn, side, share, key, latency, good, withdrawn });
        Some(Ticket { number, drawn })
    }

    /// The head of its answer is there. Too late for the decision, it changes nothing.
    pub fn answered(&self, ticket: Ticket, now: Tick, good: bool) {
        let us = u64::try_from(now.since(ticket.drawn).as_micros()).unwrap_or(u64::MAX);
        self.change(ticket, now, |pending| {
            pending.latency = LatencyBucket::of_micros(us);
            pending.good = good;
        });
    }

    /// Its answer was broken off after all.
    pub fn broken_off(&self, ticket: Ticket, now: Tick) {
        self.change(ticket, now, |pending| pending.good = false);
    }

    /// Its client failed it, or the gate did: it is not decided, unless it was already.
    pub fn withdrawn(&self, ticket: Ticket, now: Tick) {
        self.change(ticket, now, |pending| pending.withdrawn = true);
    }

    fn change(&self, ticket: Ticket, now: Tick, how: impl FnOnce(&mut Pending)) {
        let mut inner = self.lock();
        self.decide(&mut inner, now);
        if let Some(at) = ticket.number.checked_sub(inner.first)
            && let Some(pending) = usize::try_from(at).ok().and_then(|at| inner.pending.get_mut(at))
        {
            how(pending);
        }
    }

    /// Decides what is due, then shows every second that is over.
    pub(super) fn visit(&self, now: Tick, mut each: impl FnMut(&DecidedSecond)) {
        let mut inner = self.lock();
        self.decide(&mut inner, now);
        let present = now.0 / 1_000_000;
        if inner.open.as_ref().is_some_and(|open| open.second < present) {
            inner.close();
        }
        inner.seconds.iter().for_each(&mut each);
    }

    fn decide(&self, inner: &mut Inner, now: Tick) {
        while let Some(pending) = inner.pending.front().copied() {
            let at = pending.drawn.after(self.rules.after);
            if at > now {
                break;
            }
            inner.pending.pop_front();
            inner.first += 1;
            if pending.withdrawn {
                continue;
            }
            let second = at.0 / 1_000_000;
            let same = |open: &Open| {
                open.second == second && open.target_permille == pending.share.target_permille
            };
            if !inner.open.as_ref().is_some_and(same) {
                inner.close();
            }
            let open = inner.open.get_or_insert_with(|| Open {
                second,
                target_permille: pending.share.target_permille,
                sides: Default::default(),
            });
            open.sides[usize::from(pending.side == Side::Target)].add(
                &pending,
                self.users.as_deref().filter(|users| {
                    users.salt() == pending.share.salt
                        && pending.drawn >= users.begun().after(self.warm_up_of(&pending))
                }),
            );
        }
    }

    fn warm_up_of(&self, pending: &Pending) -> Duration {
        // Without a canary nobody is remembered.
        let canary = (1..1000).contains(&pending.share.target_permille);
        if canary { self.rules.warm_up } else { Duration::MAX }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn close(&mut self) {
        let Some(Open { second, target_permille, sides }) = self.open.take() else { return };
        let [source, target] = sides.map(Counting::done);
        self.seconds.push_back(DecidedSecond { second, target_permille, source, target });
        while self.seconds.front().is_some_and(|old| old.second + KEPT_SECONDS < second) {
            self.seconds.pop_front();
        }
    }
}

impl Counting {
    fn add(&mut self, pending: &Pending, users: Option<&Users>) {
        self.requests += 1;
        self.bad += u64::from(!pending.good);
        *self.latency.entry(pending.latency).or_default() += 1;
        let Some(users) = users else { return };
        let slowness = match pending.side {
            Side::Source => pending.latency,
            Side::Target => pending.latency.a_tenth_quicker(),
        };
        let CountingUsers { events, reached, before, standing } =
            self.users.get_or_insert_with(CountingUsers::default);
        let Some(meant) = users.note(pending.key, slowness, !pending.good) else {
            events.untracked += 1;
            return;
        };
        events.bad += u64::from(meant.first_bad);
        events.bad_before += u64::from(meant.bad_before);
        if let Some(slowest) = meant.slowest_before {
            *standing.entry(slowest).or_default() += 1;
        }
        if meant.is_slowest {
            *reached.entry(slowness).or_default() += 1;
            if let Some(slowest) = meant.slowest_before {
                *before.entry(slowest).or_default() += 1;
            }
        }
    }

    fn done(self) -> Decided {
        let users = self.users.map(|users| FirstEvents {
            reached: users.reached.into_iter().collect(),
            before: users.before.into_iter().collect(),
            standing: users.standing.into_iter().collect(),
            ..users.events
        });
        let latency = self.latency.into_iter().collect();
        Decided { requests: self.requests, bad: self.bad, latency, users }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: DecideRules =
        DecideRules { after: Duration::from_secs(1), sticky: false, warm_up: Duration::ZERO };

    fn share(target_permille: u16) -> Share {
        Share { target_permille, salt: 0 }
    }

    fn ms(ms: u64) -> Tick {
        Tick(ms * 1000)
    }

    fn seconds(core: &CoreDecisions, now: Tick) -> Vec<DecidedSecond> {
        let mut seconds = Vec::new();
        core.visit(now, |second| seconds.push(second.clone()));
        seconds
    }

    #[test]
    fn a_request_is_decided_at_its_age_and_not_when_it_is_answered() {
        let core = CoreDecisions::new(RULES, None);
        let in_time = core.drawn(ms(100), Side::Target, share(50), 1).unwrap();
        let late = core.drawn(ms(200), Side::Source, share(50), 2).unwrap();
        core.answered(in_time, ms(900), true);
        core.answered(late, ms(1201), true);
        assert!(seconds(&core, ms(1999)).is_empty(), "the second is not over");
        let [second] = &seconds(&core, ms(2000))[..] else { panic!() };
        assert_eq!((second.second, second.target_permille), (1, 50));
        assert_eq!((second.target.requests, second.target.bad), (1, 0));
        assert_eq!(second.target.latency, [(LatencyBucket::of_micros(800_000), 1)]);
        assert_eq!((second.source.requests, second.source.bad), (1, 1));
        assert_eq!(second.source.latency, [(LatencyBucket::NEVER, 1)]);
    }

    #[test]
    fn what_a_client_fails_is_not_decided_unless_it_was() {
        let core = CoreDecisions::new(RULES, None);
        let early = core.drawn(ms(0), Side::Target, share(50), 1).unwrap();
        let later = core.drawn(ms(1), Side::Target, share(50), 1).unwrap();
        core.withdrawn(early, ms(900));
        core.withdrawn(later, ms(1500));
        let [second] = &seconds(&core, ms(2000))[..] else { panic!() };
        assert_eq!((second.target.requests, second.target.bad), (1, 1));
    }

    #[test]
    fn an_answer_that_breaks_off_is_bad_if_it_does_so_in_time() {
        let core = CoreDecisions::new(RULES, None);
        let early = core.drawn(ms(0), Side::Target, share(50), 1).unwrap();
        let later = core.drawn(ms(1), Side::Target, share(50), 1).unwrap();
        core.answered(early, ms(5), true);
        core.answered(later, ms(5), true);
        core.broken_off(early, ms(500));
        core.broken_off(later, ms(1500));
        let [second] = &seconds(&core, ms(2000))[..] else { panic!() };
        assert_eq!((second.target.requests, second.target.bad), (2, 1));
    }

    #[test]
    fn one_second_at_two_weights_is_told_twice() {
        let core = CoreDecisions::new(RULES, None);
        for permille in [50, 50, 250] {
            let ticket = core.drawn(ms(10), Side::Source, share(permille), 1).unwrap();
            core.answered(ticket, ms(20), true);
        }
        let weights: Vec<_> = seconds(&core, ms(3000))
            .iter()
            .map(|s| (s.second, s.target_permille, s.source.requests))
            .collect();
        assert_eq!(weights, [(1, 50, 2), (1, 250, 1)]);
    }

    #[test]
    fn users_are_remembered_after_the_warm_up_and_only_in_a_canary() {
        let rules = DecideRules { sticky: true, warm_up: Duration::from_secs(5), ..RULES };
        let users = Arc::new(Users::default());
        let core = CoreDecisions::new(rules, Some(Arc::clone(&users)));
        users.begin(ms(1000), 0);
        for (at, permille) in [(2000, 50), (7000, 50), (7100, 50), (8000, 0), (9000, 1000)] {
            core.drawn(ms(at), Side::Source, share(permille), 1).unwrap();
        }
        let told: Vec<_> = seconds(&core, ms(20_000))
            .iter()
            .map(|s| s.source.users.as_ref().map(|users| (users.bad, users.bad_before)))
            .collect();
        assert_eq!(told, [None, Some((1, 1)), None, None]);
    }

    /// A route that was left at a share of its own is no part of the next canary.
    #[test]
    fn users_of_another_canary_are_left_out() {
        let rules = DecideRules { sticky: true, ..RULES };
        let users = Arc::new(Users::default());
        let core = CoreDecisions::new(rules, Some(Arc::clone(&users)));
        users.begin(ms(0), 2);
        for salt in [1, 2] {
            let share = Share { target_permille: 50, salt };
            core.drawn(ms(1000 * salt), Side::Target, share, 1).unwrap();
        }
        let told: Vec<_> = seconds(&core, ms(9000))
            .iter()
            .map(|s| s.target.users.as_ref().map(|users| users.bad))
            .collect();
        assert_eq!(told, [None, Some(1)]);
    }

    #[test]
    fn old_seconds_are_forgotten() {
        let core = CoreDecisions::new(RULES, None);
        for second in 0..2 * KEPT_SECONDS {
            core.drawn(ms(second * 1000), Side::Source, share(0), 1).unwrap();
        }
        let kept = seconds(&core, ms(2 * KEPT_SECONDS * 1000 + 5000)).len();
        assert!((kept as u64) <= KEPT_SECONDS + 2, "{kept}");
    }
}
