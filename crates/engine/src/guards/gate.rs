//! The gate's figures of the last minute. The gate counts since its start; two looks give a rate.

use std::collections::VecDeque;
use std::time::Duration;

use changeover_plan::{Guard, Limit, Measure};
use changeover_routing::{GateMetrics, HttpMetrics};
use changeover_run::Reading;
use changeover_types::Side;
use tokio::time::Instant;

use crate::gates::{GateError, Gates};
use crate::report::chain;

/// A figure is about this long.
const WINDOW: Duration = Duration::from_secs(60);

/// One failed request, or two, is no rate: a look at few requests would see ten per cent in it.
const ERRORS_MIN: u64 = 3;

/// With fewer requests than this the slowest one would be the 99th percentile.
const REQUESTS_MIN: u64 = 20;

/// What the gate had counted at some times, oldest first.
#[derive(Default)]
pub(super) struct Window {
    incarnation: u64,
    permille: u16,
    seen: VecDeque<(Instant, GateMetrics)>,
}

/// What the last minute says; `None` for the first look, which has nothing before it.
pub(super) async fn look(
    gates: Option<&Gates>,
    guard: &Guard,
    permille: u16,
    window: &mut Window,
) -> Option<Reading> {
    let Some(gates) = gates else {
        return Some(Reading::NoData { why: "the plan has no gate".to_owned() });
    };
    let (incarnation, metrics) = match ask(gates).await {
        Ok(seen) => seen,
        Err(e) => return Some(Reading::NoData { why: chain(&e) }),
    };
    // A gate that was started again counts from zero; and what the target did before everything
    // was taken from it is another story.
    if incarnation != window.incarnation || (permille == 0) != (window.permille == 0) {
        window.seen.clear();
    }
    (window.incarnation, window.permille) = (incarnation, permille);
    let now = Instant::now();
    window.seen.push_back((now, metrics));
    while window.seen.len() > 2 && now.duration_since(window.seen[1].0) >= WINDOW {
        window.seen.pop_front();
    }
    let ((_, first), (_, last)) = (window.seen.front()?, window.seen.back()?);
    if window.seen.len() < 2 {
        return None;
    }
    Some(reading(guard, first, last))
}

async fn ask(gates: &Gates) -> Result<(u64, GateMetrics), GateError> {
    Ok((gates.status().await?.incarnation, gates.metrics().await?))
}

fn reading(guard: &Guard, first: &GateMetrics, last: &GateMetrics) -> Reading {
    let of = |side: Side| since(first.http.get(&side), last.http.get(&side));
    let figure = |http: &HttpMetrics| match guard.measure {
        Measure::LatencyP99 => p99_s(http),
        _ => error_rate(http),
    };
    let Some(value) = figure(&of(Side::Target)) else { return Reading::Idle };
    let compares = matches!(guard.limit, Some(Limit::TimesSource(_)));
    let source = if compares { figure(&of(Side::Source)) } else { None };
    Reading::Figure { value, source }
}

/// What was counted between two looks.
fn since(first: Option<&HttpMetrics>, last: Option<&HttpMetrics>) -> HttpMetrics {
    let Some(last) = last else { return HttpMetrics::default() };
    let Some(first) = first else { return last.clone() };
    let before = |bound: u64| {
        first.latency_us.iter().find(|(it, _)| *it == bound).map_or(0, |(_, count)| *count)
    };
    HttpMetrics {
        requests: last.requests.saturating_sub(first.requests),
        errors: last.errors.saturating_sub(first.errors),
        latency_us: last
            .latency_us
            .iter()
            .map(|(bound, count)| (*bound, count.saturating_sub(before(*bound))))
            .collect(),
        ..HttpMetrics::default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for a comparison")]
fn error_rate(http: &HttpMetrics) -> Option<f64> {
    let errors = if http.errors < ERRORS_MIN { 0 } else { http.errors };
    (http.requests > 0).then(|| errors as f64 / http.requests as f64)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds for a comparison")]
fn p99_s(http: &HttpMetrics) -> Option<f64> {
    let all: u64 = http.latency_us.iter().map(|(_, count)| count).sum();
    if all < REQUESTS_MIN {
        return None;
    }
    let mut above = all / 100;
    let slowest_first = http.latency_us.iter().rev();
    for (bound, count) in slowest_first {
        if *count > above {
            return Some(*bound as f64 / 1e6);
        }
        above -= count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(requests: u64, errors: u64, latency_us: &[(u64, u64)]) -> HttpMetrics {
        HttpMetrics { requests, errors, latency_us: latency_us.to_vec(), ..HttpMetrics::default() }
    }

    #[test]
    fn a_minute_is_the_difference_of_two_looks() {
        let first = http(100, 5, &[(1000, 100)]);
        let last = http(300, 15, &[(1000, 250), (9000, 50)]);
        let minute = since(Some(&first), Some(&last));
        assert_eq!((minute.requests, minute.errors), (200, 10));
        assert_eq!(minute.latency_us, [(1000, 150), (9000, 50)]);
        assert_eq!(error_rate(&minute), Some(0.05));
        assert_eq!(p99_s(&minute), Some(0.009));
        assert_eq!(since(None, Some(&last)), last);
    }

    #[test]
    fn few_requests_make_no_figure() {
        assert_eq!(error_rate(&http(0, 0, &[])), None);
        assert_eq!(error_rate(&http(10, 2, &[])), Some(0.0));
        assert_eq!(error_rate(&http(10, 3, &[])), Some(0.3));
        assert_eq!(p99_s(&http(19, 0, &[(10, 19)])), None);
        assert_eq!(p99_s(&http(100, 0, &[(10, 99), (70, 1)])), Some(0.000_01));
        assert_eq!(p99_s(&http(100, 0, &[(10, 98), (70, 2)])), Some(0.000_07));
    }
}
