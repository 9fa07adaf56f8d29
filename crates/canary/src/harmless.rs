//! The proof that the target is not (much) worse: what a canary goes on by.

use serde::{Deserialize, Serialize};

use crate::grid::{Grid, log_factor};

/// The bet against "the target fails `rho` times as often, or more": the same formula reversed,
/// `e_k = (θ_k/ρ)^A (wρ + 1 − w)/(wθ_k + 1 − w)` with points below `rho`. Begun afresh at each
/// weight, because what was harmless at 5 % of the load need not be at 50 %.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Harmless {
    rho: f64,
    points: Vec<f64>,
    most: f64,
}

impl Harmless {
    /// Nothing proven yet.
    #[must_use]
    pub fn than(rho: f64) -> Harmless {
        let count = Grid::below(rho).thetas().len();
        Harmless { rho, points: vec![1.0 / count as f64; count], most: 1.0 }
    }

    /// Bad requests that were sent while the target had the share `weight`.
    pub fn add(&mut self, weight: f64, target: u64, source: u64) {
        if target + source == 0 {
            return;
        }
        for (point, theta) in self.points.iter_mut().zip(Grid::below(self.rho).thetas()) {
            let log = point.ln() + log_factor(*theta, self.rho, weight, target, source);
            *point = log.exp().clamp(1e-290, 1e290);
        }
        self.most = self.most.max(self.points.iter().sum());
    }

    /// The most it was worth so far: proven at level `β` once this is `1/β`.
    #[must_use]
    pub fn wealth(&self) -> f64 {
        self.most
    }
}

/// The bet against "more than `limit` of the requests are bad", for a service so good that there
/// is nothing to compare: `e = Π (q/p)^B ((1 − q)/(1 − p))^(1−B)`, an even mixture of
/// q = 0, p/8, p/4, p/2. It takes requests for independent, and says only that the share was below
/// the limit *now*; without a bad one it needs about `ln(4/β)/p` requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    limit: f64,
    logs: Vec<f64>,
    most: f64,
}

impl Rate {
    const PARTS: [f64; 4] = [0.0, 0.125, 0.25, 0.5];

    /// Nothing proven yet.
    #[must_use]
    pub fn below(limit: f64) -> Rate {
        Rate { limit, logs: vec![0.0; Rate::PARTS.len()], most: 1.0 }
    }

    /// Requests, and how many of them were bad.
    pub fn add(&mut self, requests: u64, bad: u64) {
        let good = requests.saturating_sub(bad) as f64;
        for (log, part) in self.logs.iter_mut().zip(Rate::PARTS) {
            let q = part * self.limit;
            *log += good * ((1.0 - q) / (1.0 - self.limit)).ln();
            if bad > 0 {
                *log = if q == 0.0 { -1e9 } else { *log + bad as f64 * part.ln() };
            }
        }
        let wealth: f64 =
            self.logs.iter().map(|log| log.min(600.0).exp()).sum::<f64>() / self.logs.len() as f64;
        self.most = self.most.max(wealth);
    }

    /// The most it was worth so far: proven at level `β` once this is `1/β`.
    #[must_use]
    pub fn wealth(&self) -> f64 {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_proves_a_rate_after_about_ln_80_over_p_requests() {
        let mut rate = Rate::below(0.001);
        rate.add(2000, 0);
        assert!(rate.wealth() < 20.0);
        let mut requests = 2000;
        while rate.wealth() < 20.0 {
            rate.add(10, 0);
            requests += 10;
        }
        assert!((3000..4400).contains(&requests), "{requests}");
    }

    #[test]
    fn a_rate_at_its_limit_is_not_proven_by_its_expected_failures() {
        let mut rate = Rate::below(0.01);
        for _ in 0..100 {
            rate.add(100, 1);
        }
        assert!(rate.wealth() < 20.0, "{}", rate.wealth());
    }
}
