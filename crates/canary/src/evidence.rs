//! The bet against "the target is not worse".

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::grid::{Grid, log_factor};

/// Bounds of a point's wealth: shrinking one that is beyond the upper bound keeps the claim, and
/// the lower one is below anything that could matter.
const FLOOR: f64 = 1e-290;
const CEILING: f64 = 1e290;

/// The reserve flows with a rate of `1/(t + 1200)` a second: half of it within 20 minutes, then
/// ever slower, so that a fault of any time finds fresh money.
const INFLOW_SECONDS: f64 = 1200.0;

/// The guard.
const GUARD_SECONDS: usize = 30;
const GUARD_FACTOR: f64 = 10.0;

/// So many seconds' wealth is remembered for it.
const RECENT: usize = 40;

/// How the wealth is kept from growing on a hiccup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Not at all.
    Off,
    /// To ten times the least of the last 30 seconds: for bad requests that are rare.
    Seconds,
    /// To ten times the least of the last four tens of seconds, of each the most: for a stream with
    /// a hundred bad requests a second, which on its way up swings by more than a factor of ten
    /// from one second to the next and which the least of all seconds would strangle.
    Tens,
}

/// The wealth of a bet on a [`Grid`] of θ, starting from 1.
///
/// Half of the money is put on the grid at once. The rest is kept in a reserve `C` and put on it
/// bit by bit, so that a fault that begins late is not bet on with what was lost before it:
/// each second `x = C/(t + 1200)`, `C −= x`, `V_k += x·π_k`; each bad request
/// `V_k *= θ_k^A / (wθ_k + 1 − w)`; the wealth is `E = Σ V_k + C`. A mixture of bets with different
/// beginnings is a bet, so the claim holds with one process over the whole canary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    points: Vec<f64>,
    reserve: f64,
    seconds: u64,
    recent: VecDeque<f64>,
}

impl Evidence {
    /// For faults of any time.
    #[must_use]
    pub fn of_any_time(grid: &Grid) -> Evidence {
        Evidence::with_reserve(grid, 0.5)
    }

    /// Everything at once: for faults that are there from the beginning.
    #[must_use]
    pub fn from_the_beginning(grid: &Grid) -> Evidence {
        Evidence::with_reserve(grid, 0.0)
    }

    fn with_reserve(grid: &Grid, reserve: f64) -> Evidence {
        let count = grid.thetas().len();
        let each = (1.0 - reserve) / count as f64;
        Evidence {
            points: vec![each; count],
            reserve,
            seconds: 0,
            recent: VecDeque::from([1.0; RECENT]),
        }
    }

    /// A second begins: some of the reserve is put on the grid.
    pub fn begin_second(&mut self) {
        let flows = self.reserve / (self.seconds as f64 + INFLOW_SECONDS);
        self.seconds += 1;
        self.reserve -= flows;
        let each = flows / self.points.len() as f64;
        self.points.iter_mut().for_each(|point| *point += each);
    }

    /// Bad requests that were sent while the target had the share `weight`.
    pub fn add(&mut self, grid: &Grid, weight: f64, target: u64, source: u64) {
        if target + source == 0 {
            return;
        }
        for (point, theta) in self.points.iter_mut().zip(grid.thetas()) {
            let log = point.ln() + log_factor(*theta, 1.0, weight, target, source);
            *point = log.exp().clamp(FLOOR, CEILING);
        }
    }

    /// A second ends. Guarded, the wealth is held to ten times what it was before:
    /// `V_k` and `C` are multiplied by `min(1, 10·E_before/E)`. A pause of a few seconds of the
    /// target's only process is then no proof; one that comes again and again is. What only ever
    /// takes money away keeps the claim.
    pub fn end_second(&mut self, guard: Guard) {
        let (most, wealth) = (GUARD_FACTOR * self.before(guard), self.wealth());
        if wealth > most {
            let factor = most / wealth;
            self.points.iter_mut().for_each(|point| *point = (*point * factor).max(FLOOR));
            self.reserve *= factor;
        }
        self.recent.pop_front();
        self.recent.push_back(self.wealth());
    }

    fn before(&self, guard: Guard) -> f64 {
        let seconds =
            |from: usize, count: usize| self.recent.iter().copied().skip(from).take(count);
        match guard {
            Guard::Off => f64::INFINITY,
            Guard::Seconds => {
                seconds(RECENT - GUARD_SECONDS, GUARD_SECONDS).fold(f64::INFINITY, f64::min)
            }
            Guard::Tens => (0..RECENT / 10)
                .map(|ten| seconds(10 * ten, 10).fold(0.0, f64::max))
                .fold(f64::INFINITY, f64::min),
        }
    }

    /// `E`: at most `1/α` with probability `1 − α`, for ever, while the target is not worse.
    #[must_use]
    pub fn wealth(&self) -> f64 {
        self.points.iter().sum::<f64>() + self.reserve
    }
}
