//! What keeps a canary from "does well", whatever is proven besides.

use std::time::Duration;

use changeover_types::LatencyBucket;

use super::{Judge, Seen};
use crate::outside::Paired;
use crate::rules::Rules;
use crate::verdict::{Alarm, Cause};

/// Nobody goes on while so much (to one) speaks against the target. It is what the guard of a
/// target of few processes lets one burst be worth, so that one burst is enough.
const STRONG: f64 = 10.0;

/// A hair less: the guard's tenfold is rounded.
const ROUNDED: f64 = 0.999;

/// With fewer requests than this on the side that should have had them, chance explains any share.
const COUNTABLE: f64 = 50.0;

/// An objection, and when it is over at the present rate if nothing more comes; `None` if it need
/// never be.
pub(super) type Objection = (String, Option<Duration>);

impl Judge {
    /// The first of them.
    pub(super) fn objection(&self, rules: &Rules, watched: Duration) -> Option<Objection> {
        let odd = self.another_share(rules).map(|why| (why, None));
        let missed = || self.too_many_failures(rules, watched);
        odd.or_else(missed)
            .or_else(|| self.too_many_slow(rules, watched))
            .or_else(|| self.doubt(rules).map(|why| (why, None)))
    }

    /// Requests that were not shared out as ordered are no evidence, for whoever drew their sides
    /// did not throw the coin that all evidence rests on. With sticky users a few busy ones may
    /// outweigh the rest, so that only a share next to nothing tells.
    pub(super) fn another_share(&self, rules: &Rules) -> Option<String> {
        let (target, all) = self.here.counts();
        let (n, ordered) = (all as f64, f64::from(self.permille) / 1000.0);
        if n * ordered.min(1.0 - ordered) < COUNTABLE {
            return None;
        }
        let seen = target as f64 / n;
        let odd = if rules.sticky {
            seen < ordered / 5.0
        } else {
            seen < ordered / 2.0 || seen > 2.0 * ordered || 1.0 - seen < (1.0 - ordered) / 2.0
        };
        odd.then(|| {
            format!(
                "the share that was ordered: {target} of {all} requests went to the target, where \
                 {:.1} % were ordered, which proves nothing about it; does a gate of another plan, \
                 or something in front of it, choose the side?",
                ordered * 100.0
            )
        })
    }

    /// Over all requests at this weight. Without an objective the source is the yardstick: what it
    /// fails, too, no proof of a share could ever forgive.
    fn too_many_failures(&self, rules: &Rules, watched: Duration) -> Option<Objection> {
        let (target, source) = (&self.here.target, &self.here.source);
        let allowed = rules.error_rate.unwrap_or_else(|| {
            let of_source = source.bad as f64 / source.requests.max(1) as f64;
            rules.allowed_failures.max(rules.proof * of_source)
        });
        let (bad, requests) = (target.bad, target.requests);
        if bad as f64 <= allowed * requests as f64 {
            return None;
        }
        let left =
            (allowed > 0.0).then(|| target.time_for(bad as f64 / allowed, watched)).flatten();
        let what = if rules.error_rate.is_some() { "the objective" } else { "the usual limit" };
        let text = format!(
            "fewer failures at this share: {}, which is {:.1} %, and {what} is {}",
            target.failures(),
            100.0 * bad as f64 / requests as f64,
            percent(allowed)
        );
        Some((text, left))
    }

    fn too_many_slow(&self, rules: &Rules, watched: Duration) -> Option<Objection> {
        let (limit_us, beyond) = self.slower_than_objective(rules)?;
        let target = &self.here.target;
        (beyond as f64 > 0.01 * target.requests as f64).then(|| {
            let text = format!(
                "fewer slow answers at this share: {beyond} of {} requests on the target took \
                 longer than the objective's p99 of {:.0} ms",
                target.requests,
                limit_us / 1000.0
            );
            (text, target.time_for(beyond as f64 / 0.01, watched))
        })
    }

    /// Microseconds, and how many requests of the target took longer. Beyond the time of decision
    /// nothing is known about latency.
    fn slower_than_objective(&self, rules: &Rules) -> Option<(f64, u64)> {
        let objective = rules.latency_p99.filter(|objective| *objective <= rules.decide_after)?;
        let limit_us = objective.as_micros() as f64;
        let limit = LatencyBucket::of_micros(limit_us as u64);
        Some((limit_us, self.here.target.latency.beyond(limit)))
    }

    /// The objective is the plan's own word and needs no comparison, only enough requests to be
    /// seen: five beyond the percentile.
    pub(super) fn broken_objective(&self, rules: &Rules) -> Option<Alarm> {
        let (limit_us, beyond) = self.slower_than_objective(rules)?;
        let requests = self.here.target.requests;
        // More than twice the share that the objective allows: no matter of a second's luck.
        let broken = requests >= 500 && beyond as f64 > 0.02 * requests as f64;
        broken.then(|| Alarm {
            cause: Cause::Objective { limit_us, beyond, requests },
            figures: self.figures(),
        })
    }

    /// Nobody goes on with a target that there is evidence against, whatever else is proven.
    fn doubt(&self, rules: &Rules) -> Option<String> {
        let stands = |wealth: f64| wealth >= ROUNDED * STRONG;
        let (stream, wealth) = self.strongest()?;
        if stands(wealth) {
            return Some(format!(
                "doubt about {stream} to be settled: {wealth:.0} to 1 that there are more of them \
                 on the target, {:.0} to 1 is the end, less than {STRONG:.0} is no doubt",
                rules.alarm_at()
            ));
        }
        let (rule, wealth) = rules
            .outside
            .iter()
            .zip(self.outside.iter().map(Paired::against))
            .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        stands(wealth).then(|| {
            format!(
                "doubt about {} to be settled: {wealth:.0} to 1 that it is worse on the target, \
                 {:.0} to 1 is the end, less than {STRONG:.0} is no doubt",
                rule.name,
                rules.outside_alarm_at()
            )
        })
    }
}

impl Seen {
    /// Until it has had `requests`, at the rate of the time that it was watched.
    fn time_for(&self, requests: f64, watched: Duration) -> Option<Duration> {
        let more = (requests - self.requests as f64).max(0.0);
        let seconds = more * watched.as_secs_f64() / self.requests as f64;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

fn percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}
