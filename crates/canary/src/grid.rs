//! The alternatives that are bet on.

/// Points of θ, each with the same share of the wealth.
///
/// Six points lose nothing to twelve or twenty-four: neighbours profit from each other's θ.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    thetas: Vec<f64>,
}

impl Grid {
    /// `points` values from `low` to `high`, evenly spaced in their logarithm.
    #[must_use]
    pub fn log_spaced(low: f64, high: f64, points: usize) -> Grid {
        let last = points.saturating_sub(1).max(1) as f64;
        let theta = |k: usize| low * (high / low).powf(k as f64 / last);
        Grid { thetas: (0..points.max(1)).map(theta).collect() }
    }

    /// For failures: `1.4·(20/1.4)^(k/5)`.
    #[must_use]
    pub fn failures() -> Grid {
        Grid::log_spaced(1.4, 20.0, 6)
    }

    /// For "slower than the source's `quantile`": odds of 1.25 to 40. A share of 50 % can at most
    /// double, so the odds are spread, and `θ = o / (1 + (o − 1)(1 − q))`.
    #[must_use]
    pub fn slower_than(quantile: f64) -> Grid {
        let odds = [1.25, 1.6, 2.5, 5.0, 12.0, 40.0];
        Grid { thetas: odds.iter().map(|odds| Grid::theta_of_odds(*odds, quantile)).collect() }
    }

    /// How many times as many requests are beyond a quantile when the odds of being so are `odds`
    /// times as high. For failures, which are rare, `quantile` is 1.
    #[must_use]
    pub fn theta_of_odds(odds: f64, quantile: f64) -> f64 {
        odds / (1.0 + (odds - 1.0) * (1.0 - quantile))
    }

    /// For the proof that θ is below `rho`: eight points from `rho`/10 to `rho`/1.15.
    #[must_use]
    pub fn below(rho: f64) -> Grid {
        Grid::log_spaced(rho / 10.0, rho / 1.15, 8)
    }

    /// The points.
    #[must_use]
    pub fn thetas(&self) -> &[f64] {
        &self.thetas
    }
}

/// The logarithm of what a bet on `theta` against `null` is multiplied by, when `target` of
/// `target + source` bad requests were on the target at weight `weight`.
pub(crate) fn log_factor(theta: f64, null: f64, weight: f64, target: u64, source: u64) -> f64 {
    let mixed = |t: f64| (weight * t + 1.0 - weight).ln();
    let bad = (target + source) as f64;
    target as f64 * (theta / null).ln() - bad * (mixed(theta) - mixed(null))
}
