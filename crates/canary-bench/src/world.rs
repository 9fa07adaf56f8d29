//! The worlds of the simulation: what happens in each second of a canary.

use crate::random::Random;

/// Requests a second.
pub(crate) const RATE: f64 = 200.0;

/// The whole canary, and its ramp: 8 minutes at 5 %, 8 at 25 %, the rest at 50 %.
pub(crate) const HORIZON: usize = 2400;

pub(crate) fn ramp(second: usize) -> f64 {
    match second {
        0..480 => 0.05,
        480..960 => 0.25,
        _ => 0.5,
    }
}

/// The latency streams of the note.
pub(crate) const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];
pub(crate) const STREAMS: usize = 1 + QUANTILES.len();

/// How failures come about on a good side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum World {
    /// W1: 0.1 %, Poisson.
    Poisson,
    /// W2: 0.05 % and, ten seconds in five minutes, 5 %, on both sides at once.
    SharedBursts,
    /// W3: load and failure rate rise and fall.
    Diurnal,
    /// W2 with latencies that move with a shared AR(1) factor (W4).
    BurstsAndLatency,
    /// W6: the same bursts, but each process has its own; so many source processes to one.
    PrivateBursts(usize),
    /// W7: W2 where the source's failures are seen 29 seconds later.
    LateSource,
}

/// What is wrong with the target, from a second on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) from: usize,
    /// Failures are so many times as likely.
    pub(crate) theta: f64,
    /// All latencies are so many times as long.
    pub(crate) slower: f64,
    /// The same for requests beyond the 95th percentile alone.
    pub(crate) tail: f64,
    /// This share of the requests stalls.
    pub(crate) stalls: f64,
}

pub(crate) const NONE: Fault = Fault { from: 0, theta: 1.0, slower: 1.0, tail: 1.0, stalls: 0.0 };

/// One second: requests and bad ones of each stream, by side.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Second {
    pub(crate) weight: f64,
    pub(crate) requests: [u64; 2],
    pub(crate) bad: [[u64; 2]; STREAMS],
}

pub(crate) const SOURCE: usize = 0;
pub(crate) const TARGET: usize = 1;

/// A canary as it happens.
pub(crate) struct Canary {
    world: World,
    fault: Fault,
    random: Random,
    bursts: Vec<Burst>,
    factor: f64,
    factors: std::collections::VecDeque<f64>,
    phase: f64,
    late: std::collections::VecDeque<u64>,
}

#[derive(Clone, Copy)]
struct Burst {
    on: bool,
    left: f64,
}

const CALM: f64 = 0.0005;
const BURST: f64 = 0.05;

impl Canary {
    pub(crate) fn new(world: World, fault: Fault, seed: u64) -> Canary {
        let mut random = Random::new(seed);
        let processes = if let World::PrivateBursts(source) = world { source + 1 } else { 1 };
        let bursts =
            (0..processes).map(|_| Burst { on: false, left: random.exponential(290.0) }).collect();
        let phase = random.uniform() * std::f64::consts::TAU;
        let factor = random.normal() * AR_SPREAD;
        Canary {
            world,
            fault,
            random,
            bursts,
            factor,
            factors: [0.0; 60].into(),
            phase,
            late: [0; 29].into(),
        }
    }

    /// The next second at this weight.
    pub(crate) fn second(&mut self, at: usize, weight: f64) -> Second {
        let fault = if at >= self.fault.from { self.fault } else { NONE };
        let (load, rates) = self.rates(at);
        let share = [load * (1.0 - weight), load * weight];
        let mut second = Second { weight, ..Second::default() };
        for side in [SOURCE, TARGET] {
            let theta = if side == TARGET { fault.theta } else { 1.0 };
            let bad = self.random.poisson(share[side] * rates[side] * theta);
            let good = self.random.poisson(share[side] * (1.0 - rates[side] * theta));
            second.requests[side] = bad + good;
            second.bad[0][side] = bad;
        }
        if self.world == World::LateSource {
            self.late.push_back(second.bad[0][SOURCE]);
            second.bad[0][SOURCE] = self.late.pop_front().unwrap_or(0);
        }
        if self.world == World::BurstsAndLatency {
            self.latencies(&mut second, share, fault);
        }
        second
    }

    /// Requests a second, and the failure rate of each side.
    fn rates(&mut self, at: usize) -> (f64, [f64; 2]) {
        for burst in &mut self.bursts {
            burst.left -= 1.0;
            if burst.left <= 0.0 {
                burst.on = !burst.on;
                burst.left = self.random.exponential(if burst.on { 10.0 } else { 290.0 });
            }
        }
        let rate = |burst: &Burst| if burst.on { BURST } else { CALM };
        match self.world {
            World::Poisson => (RATE, [0.001; 2]),
            World::Diurnal => {
                let wave = (self.phase + std::f64::consts::TAU * at as f64 / HORIZON as f64).sin();
                (RATE * (1.0 + 0.6 * wave), [0.001 * (1.0 + 0.8 * wave); 2])
            }
            World::SharedBursts | World::LateSource | World::BurstsAndLatency => {
                (RATE, [rate(&self.bursts[0]); 2])
            }
            World::PrivateBursts(source) => {
                let of_source: f64 = self.bursts[1..].iter().map(rate).sum::<f64>() / source as f64;
                (RATE, [of_source, rate(&self.bursts[0])])
            }
        }
    }

    /// Log-normal with a tail; both sides share the factor. What is slow is what is beyond the
    /// quantile under the mean factor of the minutes before.
    fn latencies(&mut self, second: &mut Second, share: [f64; 2], fault: Fault) {
        self.factor = 0.98 * self.factor + AR_STEP * self.random.normal();
        let before: f64 = self.factors.iter().sum::<f64>() / self.factors.len() as f64;
        for side in [SOURCE, TARGET] {
            let fault = if side == TARGET { fault } else { NONE };
            let grace: f64 = if side == TARGET { 1.1 } else { 1.0 };
            let mut beyond_longer = 0;
            let mut p_longer = 0.0;
            for (at, quantile) in QUANTILES.iter().enumerate().rev() {
                // ln of the limit in the side's own unit of time.
                let limit = quantile_of(*quantile) + before + grace.ln() - self.factor;
                let p = beyond(limit, fault);
                // Counts beyond nested limits: the class between two limits by itself.
                beyond_longer += self.random.poisson(share[side] * (p - p_longer).max(0.0));
                p_longer = p.max(p_longer);
                second.bad[1 + at][side] = beyond_longer;
            }
        }
        self.factors.push_back(self.factor);
        self.factors.pop_front();
    }
}

const AR_SPREAD: f64 = 0.1;
const AR_STEP: f64 = 0.02;

/// ln of the latency's quantile: log-normal of spread 0.5.
fn quantile_of(q: f64) -> f64 {
    let z = match q {
        0.5 => 0.0,
        0.9 => 1.281_552,
        0.95 => 1.644_854,
        0.99 => 2.326_348,
        _ => 3.090_232,
    };
    0.5 * z
}

/// P(ln latency > limit) under a fault.
fn beyond(limit: f64, fault: Fault) -> f64 {
    let limit = limit - fault.slower.ln();
    let body = upper_normal(limit / 0.5);
    let knee = quantile_of(0.95);
    let p = if limit > knee {
        // Whoever is beyond the knee takes `tail` times as long beyond it.
        upper_normal(((limit - fault.tail.ln()).max(knee)) / 0.5)
    } else {
        body
    };
    p + fault.stalls * (1.0 - p)
}

/// 1 − Φ, to 1e-7 (Abramowitz and Stegun 26.2.17).
pub(crate) fn upper_normal(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - upper_normal(-z);
    }
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let density = (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
    let poly = t
        * (0.319_381_530
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    density * poly
}
