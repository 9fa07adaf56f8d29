//! What a load measured, and whether that is good enough.

use std::collections::BTreeMap;
use std::time::Duration;

use changeover_plan::Limits;
use changeover_types::CheckCase;
use hdrhistogram::Histogram;

/// Latencies are kept to three digits up to this; longer ones count as this.
const HIGHEST_US: u64 = 3_600_000_000;
/// So many kinds of failures are counted one by one.
const KINDS_MAX: usize = 50;

/// What a load measured so far.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Requests that were sent and came to an end, and those that could not be sent.
    pub done: u64,
    /// Of them failed, in whatever way.
    pub failed: u64,
    /// Of those never sent: no connection was free until long after the end.
    pub unsent: u64,
    /// Requests that were sent noticeably later than they were due.
    pub late: u64,
    /// From when a request was due to the end of its answer.
    latency_us: Histogram<u64>,
    kinds: BTreeMap<String, u64>,
}

impl Default for Figures {
    fn default() -> Figures {
        let latency_us = Histogram::new_with_bounds(1, HIGHEST_US, 3)
            .expect("the bounds are constants: 1 <= low, 2 * low <= high, digits <= 5");
        Figures { done: 0, failed: 0, unsent: 0, late: 0, latency_us, kinds: BTreeMap::new() }
    }
}

/// How one request went.
#[derive(Clone, Debug)]
pub struct Went {
    /// From when it was due.
    pub latency: Duration,
    /// Whether it was sent noticeably later than it was due.
    pub late: bool,
    /// What kind of failure it was, if one.
    pub failure: Option<String>,
}

impl Figures {
    /// Counts a request that was sent.
    pub fn count(&mut self, went: Went) {
        self.done += 1;
        self.late += u64::from(went.late);
        self.latency(went.latency);
        if let Some(kind) = went.failure {
            self.fail(kind);
        }
    }

    /// Counts a request that was due so long ago and was never sent. It would have taken longer.
    pub fn count_unsent(&mut self, waited: Duration) {
        self.done += 1;
        self.unsent += 1;
        self.late += 1;
        self.latency(waited);
        self.fail("never sent: no connection was free".to_owned());
    }

    fn latency(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency_us.saturating_record(us.max(1));
    }

    fn fail(&mut self, kind: String) {
        self.failed += 1;
        let known = self.kinds.contains_key(&kind) || self.kinds.len() < KINDS_MAX;
        let kind = if known { kind } else { "other failures".to_owned() };
        *self.kinds.entry(kind).or_default() += 1;
    }

    /// A quantile of latency; unknown as long as nothing was measured.
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        (!self.latency_us.is_empty()).then(|| self.latency_us.value_at_quantile(quantile))
    }

    /// The longest latency.
    #[must_use]
    pub fn longest_us(&self) -> u64 {
        self.latency_us.max()
    }

    /// The figures by name, for the journal.
    #[must_use]
    pub fn numbers(&self) -> BTreeMap<String, u64> {
        let quantile = |q: f64| self.quantile_us(q).unwrap_or_default();
        [
            ("requests", self.done),
            ("failed", self.failed),
            ("unsent", self.unsent),
            ("late", self.late),
            ("p50_us", quantile(0.5)),
            ("p90_us", quantile(0.9)),
            ("p99_us", quantile(0.99)),
            ("longest_us", self.longest_us()),
        ]
        .map(|(name, number)| (name.to_owned(), number))
        .into()
    }

    /// The most frequent kinds of failures, each with its count.
    fn kinds(&self) -> String {
        let mut kinds: Vec<(&String, &u64)> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let shown = kinds.iter().take(5).map(|(kind, count)| format!("{count} {kind}"));
        let mut text = shown.collect::<Vec<_>>().join(", ");
        if kinds.len() > 5 {
            text.push_str(", …");
        }
        text
    }
}

/// Whether the limits were kept: one case for each.
#[must_use]
pub fn judge(limits: &Limits, figures: &Figures) -> Vec<CheckCase> {
    let case = |name: String, failure: Option<String>| CheckCase {
        name,
        failures: failure.into_iter().collect(),
        ..CheckCase::default()
    };
    let mut cases = Vec::new();
    if let Some(most) = limits.error_rate {
        let share = figures.failed as f64 / figures.done.max(1) as f64;
        let failure = if figures.done == 0 {
            Some("no request was sent, so the error rate is not known".to_owned())
        } else {
            (share > most).then(|| {
                let (failed, done) = (figures.failed, figures.done);
                format!("{failed} of {done} failed, {}: {}", percent(share), figures.kinds())
            })
        };
        cases.push(case(format!("at most {} of the requests fail", percent(most)), failure));
    }
    if let Some(below) = limits.latency_p99 {
        let failure = match figures.quantile_us(0.99) {
            None => Some("no request was answered, so the p99 is not known".to_owned()),
            Some(us) if u128::from(us) >= below.as_micros() => {
                let late = match figures.late {
                    0 => String::new(),
                    late => format!("; {late} could not be sent on time"),
                };
                Some(format!("it is {}, counted from when each was due{late}", ms(us)))
            }
            Some(_) => None,
        };
        let name = format!("p99 of latency below {} ms", below.as_millis());
        cases.push(case(name, failure));
    }
    cases
}

/// Microseconds as milliseconds.
#[must_use]
pub fn ms(us: u64) -> String {
    format!("{:.1} ms", us as f64 / 1000.0)
}

fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(error_rate: f64, p99_ms: u64) -> Limits {
        let latency_p99 = Some(Duration::from_millis(p99_ms));
        Limits { error_rate: Some(error_rate), latency_p99 }
    }

    fn went(ms: u64, failure: Option<&str>) -> Went {
        let failure = failure.map(str::to_owned);
        Went { latency: Duration::from_millis(ms), late: false, failure }
    }

    #[test]
    fn limits_that_are_kept_and_limits_that_are_not() {
        let mut figures = Figures::default();
        (0..990).for_each(|_| figures.count(went(10, None)));
        (0..8).for_each(|_| figures.count(went(10, Some("GET /a answered 503"))));
        figures.count(went(900, Some("GET /b broke")));
        figures.count_unsent(Duration::from_secs(3));
        assert!(judge(&limits(0.01, 100), &figures).iter().all(|case| case.failures.is_empty()));
        let told: Vec<String> = judge(&limits(0.001, 10), &figures)
            .into_iter()
            .map(|case| format!("{}: {}", case.name, case.failures.join("; ")))
            .collect();
        assert_eq!(
            told,
            [
                "at most 0.1 % of the requests fail: 10 of 1000 failed, 1 %: 8 GET /a answered \
                 503, 1 GET /b broke, 1 never sent: no connection was free",
                "p99 of latency below 10 ms: it is 10.0 ms, counted from when each was due; 1 \
                 could not be sent on time",
            ]
        );
        assert_eq!(figures.numbers()["unsent"], 1);
        assert!(figures.longest_us() >= 3_000_000);
    }

    #[test]
    fn nothing_measured_is_not_good_enough() {
        let cases = judge(&limits(0.5, 1000), &Figures::default());
        assert!(cases.iter().all(|case| case.failures.len() == 1), "{cases:?}");
    }
}
