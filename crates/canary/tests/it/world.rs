//! A small world with a seed: requests, their sides, their fate.

use std::collections::BTreeMap;

use changeover_types::{Decided, DecidedSecond, FirstEvents, LatencyBucket};

/// A side's service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) errors: f64,
    /// Multiplies every latency.
    pub(crate) slowness: f64,
}

pub(crate) const GOOD: Service = Service { errors: 0.0, slowness: 1.0 };

/// A user's slowest latency so far, in the source's measure, and whether one request was bad.
type User = (Option<LatencyBucket>, bool);

/// A gate's counts, without the gate.
pub(crate) struct World {
    random: u64,
    second: u64,
    rate: u64,
    users: Option<(u64, BTreeMap<u64, User>)>,
}

impl World {
    pub(crate) fn new(seed: u64, rate: u64) -> World {
        World { random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, second: 0, rate, users: None }
    }

    /// So many users, each of whom keeps the side.
    pub(crate) fn with_users(mut self, count: u64) -> World {
        self.users = Some((count, BTreeMap::new()));
        self
    }

    pub(crate) fn next_second(&self) -> u64 {
        self.second
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }

    /// One second at this weight.
    pub(crate) fn second(
        &mut self,
        permille: u16,
        source: Service,
        target: Service,
    ) -> DecidedSecond {
        let mut sides = [source, target]
            .map(|service| (service, Decided::default(), BTreeMap::new(), Firsts::default()));
        for _ in 0..self.rate {
            let user = (self.uniform() * self.users.as_ref().map_or(1e18, |u| u.0 as f64)) as u64;
            let draw = if self.users.is_some() {
                (user.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 53) as f64
            } else {
                self.uniform()
            };
            let at = usize::from(draw < f64::from(permille) / 1000.0);
            let service = sides[at].0;
            let bad = self.uniform() < service.errors;
            // Log-normal by a sum of uniforms, median 4 ms, with a tail.
            let normal = (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0;
            let us = 4000.0 * (0.5 * normal).exp() * service.slowness;
            let bucket = LatencyBucket::of_micros(us as u64);
            let (_, decided, latency, firsts) = &mut sides[at];
            decided.requests += 1;
            decided.bad += u64::from(bad);
            *latency.entry(bucket).or_insert(0) += 1;
            if let Some((_, users)) = &mut self.users {
                let measure = if at == 1 { bucket.a_tenth_quicker() } else { bucket };
                firsts.add(users.entry(user).or_default(), measure, bad);
            }
        }
        let sticky = self.users.is_some();
        let [source, target] = sides.map(|(_, mut decided, latency, firsts)| {
            decided.latency = latency.into_iter().collect();
            decided.users = sticky.then(|| firsts.done());
            decided
        });
        self.second += 1;
        DecidedSecond { second: self.second - 1, target_permille: permille, source, target }
    }
}

#[derive(Clone, Debug, Default)]
struct Firsts {
    events: FirstEvents,
    reached: BTreeMap<LatencyBucket, u64>,
    before: BTreeMap<LatencyBucket, u64>,
    standing: BTreeMap<LatencyBucket, u64>,
}

impl Firsts {
    fn add(&mut self, user: &mut User, measure: LatencyBucket, bad: bool) {
        self.events.bad_before += u64::from(user.1);
        self.events.bad += u64::from(bad && !user.1);
        user.1 |= bad;
        if let Some(slowest) = user.0 {
            *self.standing.entry(slowest).or_default() += 1;
        }
        if user.0.is_none_or(|slowest| measure > slowest) {
            *self.reached.entry(measure).or_default() += 1;
            if let Some(slowest) = user.0 {
                *self.before.entry(slowest).or_default() += 1;
            }
            user.0 = Some(measure);
        }
    }

    fn done(self) -> FirstEvents {
        let list = |map: BTreeMap<LatencyBucket, u64>| map.into_iter().collect();
        FirstEvents {
            reached: list(self.reached),
            before: list(self.before),
            standing: list(self.standing),
            ..self.events
        }
    }
}
