//! When the n-th request of a load is due. The times follow from the profile alone: a server that
//! answers slowly changes nothing of them.

use std::time::Duration;

use changeover_plan::ProfilePart;

/// When each request is due.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// At the rates of a profile.
    Profile(Profile),
    /// At these times, ascending.
    Times(Vec<Duration>),
}

impl Schedule {
    /// How many requests there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        match self {
            Schedule::Profile(profile) => profile.total,
            Schedule::Times(times) => times.len() as u64,
        }
    }

    /// When it is over.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        match self {
            Schedule::Profile(profile) => seconds(profile.lasts),
            Schedule::Times(times) => times.last().copied().unwrap_or_default(),
        }
    }

    /// When the request of this number, from 0, is due.
    #[must_use]
    pub fn due(&self, number: u64) -> Option<Duration> {
        match self {
            Schedule::Profile(profile) => profile.due(number),
            Schedule::Times(times) => times.get(usize::try_from(number).ok()?).copied(),
        }
    }

    /// How many requests are due by then.
    #[must_use]
    pub fn due_by(&self, at: Duration) -> u64 {
        match self {
            Schedule::Profile(profile) => profile.due_by(at.as_secs_f64()),
            Schedule::Times(times) => times.partition_point(|due| *due <= at) as u64,
        }
    }
}

/// Rates one after the other.
#[derive(Clone, Debug)]
pub struct Profile {
    parts: Vec<Part>,
    total: u64,
    lasts: f64,
}

/// A part, with when it begins and how many requests come before it. Times in seconds.
#[derive(Clone, Copy, Debug)]
struct Part {
    begins: f64,
    before: f64,
    from: f64,
    to: f64,
    lasts: f64,
}

impl Part {
    /// How many requests come within its first `at` seconds.
    fn within(&self, at: f64) -> f64 {
        self.from * at + (self.to - self.from) * at * at / (2.0 * self.lasts)
    }

    /// After how many seconds so many have come: the inverse of [`Part::within`], in the form that
    /// does not lose digits where the slope is small.
    fn after(&self, count: f64) -> f64 {
        let slope = (self.to - self.from) / self.lasts;
        let root = (self.from * self.from + 2.0 * slope * count).max(0.0).sqrt();
        let divisor = self.from + root;
        if divisor > 0.0 { 2.0 * count / divisor } else { 0.0 }
    }
}

impl Profile {
    /// From a plan's parts; those without length are left out.
    #[must_use]
    pub fn new(parts: &[ProfilePart]) -> Profile {
        let mut profile = Profile { parts: Vec::new(), total: 0, lasts: 0.0 };
        let mut before = 0.0;
        for part in parts.iter().filter(|part| !part.lasts.is_zero()) {
            let lasts = part.lasts.as_secs_f64();
            let part = Part { begins: profile.lasts, before, from: part.from, to: part.to, lasts };
            before += part.within(lasts);
            profile.lasts += lasts;
            profile.parts.push(part);
        }
        // A sum of products that should be whole may lack the last digit.
        profile.total = whole(before + 1e-6);
        profile
    }

    fn due(&self, number: u64) -> Option<Duration> {
        if number >= self.total {
            return None;
        }
        let count = number as f64;
        let at = self.parts.partition_point(|part| part.before <= count).checked_sub(1)?;
        let part = self.parts[at];
        Some(seconds(part.begins + part.after(count - part.before).min(part.lasts)))
    }

    fn due_by(&self, at: f64) -> u64 {
        let begun = self.parts.iter().rev().find(|part| part.begins <= at);
        let count =
            begun.map_or(0.0, |part| part.before + part.within((at - part.begins).min(part.lasts)));
        (whole(count) + 1).min(self.total)
    }
}

fn whole(count: f64) -> u64 {
    // Not negative, and far below what a u64 holds.
    count.max(0.0) as u64
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn profile(parts: &[(f64, f64, u64)]) -> Schedule {
        let part = |(from, to, lasts): &(f64, f64, u64)| ProfilePart {
            from: *from,
            to: *to,
            lasts: Duration::from_secs(*lasts),
        };
        Schedule::Profile(Profile::new(&parts.iter().map(part).collect::<Vec<_>>()))
    }

    fn due_ms(schedule: &Schedule, numbers: &[u64]) -> Vec<Option<u128>> {
        let ms = |due: Duration| (due.as_secs_f64() * 1000.0).round() as u128;
        numbers.iter().map(|n| schedule.due(*n).map(ms)).collect()
    }

    #[test]
    fn a_constant_rate() {
        let schedule = profile(&[(50.0, 50.0, 2)]);
        assert_eq!((schedule.total(), schedule.lasts()), (100, Duration::from_secs(2)));
        assert_eq!(
            due_ms(&schedule, &[0, 1, 50, 99, 100]),
            [Some(0), Some(20), Some(1000), Some(1980), None]
        );
    }

    #[test]
    fn a_ramp_then_a_soak() {
        // 0 to 100/s in 10 s are 500 requests, the half of them after 7.07 s.
        let schedule = profile(&[(0.0, 100.0, 10), (100.0, 100.0, 5)]);
        assert_eq!(schedule.total(), 1000);
        assert_eq!(
            due_ms(&schedule, &[0, 5, 125, 250, 500, 501, 999]),
            [Some(0), Some(1000), Some(5000), Some(7071), Some(10_000), Some(10_010), Some(14_990)]
        );
        assert_eq!(schedule.due_by(Duration::from_secs(10)), 501);
    }

    #[test]
    fn steps_and_a_spike() {
        let schedule = profile(&[(10.0, 10.0, 1), (100.0, 100.0, 1), (10.0, 10.0, 1)]);
        assert_eq!(schedule.total(), 120);
        assert_eq!(
            due_ms(&schedule, &[9, 10, 11, 109, 110, 111]),
            [Some(900), Some(1000), Some(1010), Some(1990), Some(2000), Some(2100)]
        );
    }

    proptest! {
        /// Times never go back, none is beyond the end, and as many are due by a time as it says.
        #[test]
        fn times_ascend(
            parts in prop::collection::vec((0.0_f64..300.0, 0.0_f64..300.0, 1_u64..20), 1..6),
        ) {
            let schedule = profile(&parts);
            let mut last = Duration::ZERO;
            for number in 0..schedule.total() {
                let due = schedule.due(number).unwrap();
                prop_assert!(due >= last && due <= schedule.lasts() + Duration::from_millis(1));
                let by = schedule.due_by(due);
                prop_assert!(by.abs_diff(number + 1) <= 1, "{by} are due when {number} is");
                last = due;
            }
            prop_assert_eq!(schedule.due(schedule.total()), None);
        }
    }
}
