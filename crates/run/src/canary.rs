//! The verdict on a canary: thresholds with dwell.
//!
//! A threshold answers "is it bad now?", not "is it worse?": with few requests it says *not yet*,
//! never *fine*. What it compares are deltas since the present weight was set.

use std::time::Duration;

/// How many requests a failure verdict needs at least, so that one unlucky request ends nothing.
const REQUESTS_FOR_ALARM: u64 = 20;

/// What one environment did since the weight was set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Requests answered or failed.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Latency in microseconds: `(upper bound, count)`, ascending.
    pub latency_us: Vec<(u64, u64)>,
}

impl Sample {
    /// Share of failed requests; `None` without requests.
    #[must_use]
    pub fn error_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.errors as f64 / self.requests as f64)
    }

    /// The latency below which `share` of the requests were, in microseconds.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let total: u64 = self.latency_us.iter().map(|(_, count)| count).sum();
        if total == 0 {
            return None;
        }
        let wanted = (share * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.latency_us.iter().find_map(|(bound, count)| {
            seen += count;
            (seen >= wanted).then_some(*bound)
        })
    }

    /// What came after `earlier`, for counters that only grow.
    #[must_use]
    pub fn since(&self, earlier: &Sample) -> Sample {
        let before: std::collections::BTreeMap<u64, u64> =
            earlier.latency_us.iter().copied().collect();
        let latency_us = self
            .latency_us
            .iter()
            .map(|(bound, count)| {
                (*bound, count.saturating_sub(before.get(bound).copied().unwrap_or(0)))
            })
            .filter(|(_, count)| *count > 0)
            .collect();
        Sample {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            latency_us,
        }
    }
}

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Watch at least for this long.
    pub dwell: Duration,
    /// And for so many requests on the target.
    pub minimum_requests: u64,
    /// A higher share of failed requests on the target is a failure, unless the source's is too.
    pub max_error_rate: f64,
    /// A p99 of the target above this multiple of the source's is a failure.
    pub max_latency_ratio: f64,
    /// A p99 of the target above this is a failure, whatever the source's is.
    pub max_p99: Option<Duration>,
}

/// The judgement at one moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Not enough time or evidence.
    NotYet {
        /// What is missing.
        waiting_for: String,
    },
    /// The target does as well as was asked.
    Passed,
    /// It does not.
    Failed {
        /// Why, in numbers.
        why: String,
    },
}

/// Judges the target against the thresholds and the source.
#[must_use]
pub fn judge(
    thresholds: &Thresholds,
    source: &Sample,
    target: &Sample,
    watched: Duration,
) -> Verdict {
    if let Some(why) = too_many_errors(thresholds, source, target) {
        return Verdict::Failed { why };
    }
    if target.requests < thresholds.minimum_requests {
        let waiting_for = format!(
            "{} of {} requests on the target",
            target.requests, thresholds.minimum_requests
        );
        return Verdict::NotYet { waiting_for };
    }
    if watched < thresholds.dwell {
        let left = thresholds.dwell.saturating_sub(watched);
        return Verdict::NotYet { waiting_for: format!("{:.0} s more", left.as_secs_f64()) };
    }
    match too_slow(thresholds, source, target) {
        Some(why) => Verdict::Failed { why },
        None => Verdict::Passed,
    }
}

fn too_many_errors(thresholds: &Thresholds, source: &Sample, target: &Sample) -> Option<String> {
    let rate = target.error_rate()?;
    let source_rate = source.error_rate().unwrap_or(0.0);
    let enough = target.requests >= REQUESTS_FOR_ALARM;
    // Errors that the source has just the same do not come from the target.
    let worse = rate > thresholds.max_error_rate && rate > 2.0 * source_rate;
    (enough && worse).then(|| {
        format!(
            "{} of {} requests on the target failed ({:.2} %, allowed {:.2} %, source {:.2} %)",
            target.errors,
            target.requests,
            rate * 100.0,
            thresholds.max_error_rate * 100.0,
            source_rate * 100.0,
        )
    })
}

fn too_slow(thresholds: &Thresholds, source: &Sample, target: &Sample) -> Option<String> {
    let ours = target.quantile_us(0.99)?;
    if let Some(limit) = thresholds.max_p99
        && u128::from(ours) > limit.as_micros()
    {
        let (ours_ms, limit_ms) = (ours as f64 / 1000.0, limit.as_secs_f64() * 1000.0);
        return Some(format!(
            "the target's p99 is {ours_ms:.1} ms, the objective {limit_ms:.1} ms"
        ));
    }
    let theirs = source.quantile_us(0.99)?;
    let ratio = ours as f64 / theirs.max(1) as f64;
    (ratio > thresholds.max_latency_ratio).then(|| {
        format!(
            "the target's p99 is {:.1} ms, {ratio:.2} times the source's {:.1} ms (allowed {:.2})",
            ours as f64 / 1000.0,
            theirs as f64 / 1000.0,
            thresholds.max_latency_ratio,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds {
        dwell: Duration::from_secs(10),
        minimum_requests: 100,
        max_error_rate: 0.01,
        max_latency_ratio: 1.5,
        max_p99: None,
    };

    fn sample(requests: u64, errors: u64, p99_us: u64) -> Sample {
        Sample { requests, errors, latency_us: vec![(p99_us, requests)] }
    }

    fn judged(source: &Sample, target: &Sample, seconds: u64) -> Verdict {
        judge(&THRESHOLDS, source, target, Duration::from_secs(seconds))
    }

    #[test]
    fn silence_is_never_success() {
        let quiet = Sample::default();
        assert!(matches!(judged(&quiet, &quiet, 3600), Verdict::NotYet { .. }));
        let few = sample(99, 0, 1000);
        assert!(matches!(judged(&few, &few, 3600), Verdict::NotYet { .. }));
    }

    #[test]
    fn the_dwell_is_waited_for_and_then_it_passes() {
        let good = sample(500, 0, 1000);
        assert!(matches!(judged(&good, &good, 9), Verdict::NotYet { .. }));
        assert_eq!(judged(&good, &good, 10), Verdict::Passed);
    }

    #[test]
    fn errors_fail_before_the_dwell_but_not_on_one_request() {
        let source = sample(1000, 0, 1000);
        assert!(matches!(judged(&source, &sample(19, 19, 1000), 1), Verdict::NotYet { .. }));
        assert!(matches!(judged(&source, &sample(100, 3, 1000), 1), Verdict::Failed { .. }));
    }

    #[test]
    fn errors_of_both_sides_do_not_come_from_the_target() {
        let source = sample(1000, 50, 1000);
        assert_eq!(judged(&source, &sample(1000, 50, 1000), 10), Verdict::Passed);
    }

    #[test]
    fn a_slow_target_fails() {
        let source = sample(1000, 0, 1000);
        assert!(matches!(judged(&source, &sample(1000, 0, 1600), 10), Verdict::Failed { .. }));
    }

    #[test]
    fn an_objective_holds_even_when_the_source_breaks_it() {
        let slow = sample(1000, 0, 300_000);
        let thresholds = Thresholds { max_p99: Some(Duration::from_millis(250)), ..THRESHOLDS };
        let verdict = judge(&thresholds, &slow, &slow, Duration::from_secs(10));
        assert!(matches!(verdict, Verdict::Failed { .. }));
    }

    #[test]
    fn only_what_came_since_counts() {
        let earlier = Sample { requests: 10, errors: 9, latency_us: vec![(100, 10)] };
        let later = Sample { requests: 30, errors: 9, latency_us: vec![(100, 10), (200, 20)] };
        let since = later.since(&earlier);
        assert_eq!(since, Sample { requests: 20, errors: 0, latency_us: vec![(200, 20)] });
        assert_eq!(since.quantile_us(0.5), Some(200));
    }
}
