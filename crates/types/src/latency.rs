//! Latency in steps, fine enough for a quantile and exact where two sides are compared.

use serde::{Deserialize, Serialize};

/// A latency, rounded up to the next step of a geometric scale.
///
/// [`LatencyBucket::TENTH`] steps are exactly a factor of 1.1. So a limit that is a step on the
/// source's side, and 10 % more time on the target's, are both steps: "at most 10 % slower" loses
/// nothing to rounding.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct LatencyBucket(pub u16);

impl LatencyBucket {
    /// So many steps are a factor of 1.1.
    pub const TENTH: u16 = 4;

    /// No answer at all within the time in which it counts.
    pub const NEVER: LatencyBucket = LatencyBucket(u16::MAX);

    /// The longest answered latency that is told apart: more than a day.
    const LONGEST: LatencyBucket = LatencyBucket(999);

    /// Step 0 goes up to here.
    const SHORTEST_US: f64 = 10.0;

    /// The step whose upper end is not below this many microseconds.
    #[must_use]
    pub fn of_micros(us: u64) -> LatencyBucket {
        let steps = (us as f64 / Self::SHORTEST_US).ln() / 1.1_f64.ln() * f64::from(Self::TENTH);
        // A hair below, so that the upper end of a step lies in it whatever the logarithm rounds.
        let step = (steps - 1e-9).ceil().clamp(0.0, f64::from(Self::LONGEST.0));
        LatencyBucket(step as u16)
    }

    /// The upper end in microseconds; `None` for [`LatencyBucket::NEVER`].
    #[must_use]
    pub fn upper_micros(self) -> Option<f64> {
        let steps = f64::from(self.0) / f64::from(Self::TENTH);
        (self != Self::NEVER).then(|| Self::SHORTEST_US * 1.1_f64.powf(steps))
    }

    /// The step a tenth slower.
    #[must_use]
    pub fn a_tenth_slower(self) -> LatencyBucket {
        LatencyBucket(self.0.saturating_add(Self::TENTH))
    }

    /// The step a tenth quicker; never is never.
    #[must_use]
    pub fn a_tenth_quicker(self) -> LatencyBucket {
        if self == Self::NEVER { self } else { LatencyBucket(self.0.saturating_sub(Self::TENTH)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_holds_its_upper_end_and_nothing_longer() {
        // Below 42 µs a step may hold no whole microsecond.
        for step in [0_u16, 80, 81, 200, 483, 900] {
            let bucket = LatencyBucket(step);
            let upper = bucket.upper_micros().unwrap();
            assert_eq!(LatencyBucket::of_micros(upper as u64), bucket, "{upper}");
            assert!(LatencyBucket::of_micros((upper * 1.03) as u64 + 1) > bucket, "{upper}");
        }
        assert_eq!(LatencyBucket::of_micros(0), LatencyBucket(0));
        assert!(LatencyBucket::of_micros(u64::MAX) < LatencyBucket::NEVER);
    }

    #[test]
    fn four_steps_are_a_tenth() {
        let bucket = LatencyBucket(250);
        let ratio =
            bucket.a_tenth_slower().upper_micros().unwrap() / bucket.upper_micros().unwrap();
        assert!((ratio - 1.1).abs() < 1e-12, "{ratio}");
        assert_eq!(bucket.a_tenth_slower().a_tenth_quicker(), bucket);
        assert_eq!(LatencyBucket::NEVER.a_tenth_slower(), LatencyBucket::NEVER);
        assert_eq!(LatencyBucket::NEVER.a_tenth_quicker(), LatencyBucket::NEVER);
    }
}
