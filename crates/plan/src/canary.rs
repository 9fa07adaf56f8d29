//! What a plan says of the canary and of a switch at once.

use std::time::Duration;

use changeover_types::RouteName;
use serde::Serialize;

use crate::outside::{Outside, WhenStuck};
use crate::routes::whose;
use crate::units::{show_duration, show_permille};

/// A canary: a growing share of the requests, each judged against the source's of the same moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Canary {
    /// Of this route alone; without, of all that no step of its own has moved.
    pub route: Option<RouteName>,
    /// Shares in tenths of a per cent, ascending; never empty.
    pub weights: Vec<u16>,
    /// At each weight, at least for this long.
    pub at_least: Duration,
    /// At each weight: it goes on when a bad request is proven to be less than this many times as
    /// likely on the target. As many as there are weights.
    pub proof: Vec<f64>,
    /// A target that is not worse is rolled back with at most this probability: 0.01 is 1 %.
    pub false_alarm: f64,
    /// The quantiles of latency that are judged: 0.99 is p99.
    pub latency: Vec<f64>,
    /// So long after its beginning the target is not judged.
    pub warm_up: Duration,
    /// Metrics from outside, which can object and prove nothing.
    pub outside: Vec<Outside>,
    /// So long it may take through all its weights.
    pub within: Option<Duration>,
    /// What happens when it took longer.
    pub on_timeout: WhenStuck,
}

/// A switch at once, watched, with an instant way back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BlueGreen {
    /// Of this route alone; without, of all.
    pub route: Option<RouteName>,
    /// For so long it is watched.
    pub watch: Duration,
    /// As for a canary, under stronger assumptions.
    pub false_alarm: f64,
}

/// One route after another to the target, whole and watched: what is bad is found while it is small.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phased {
    /// In this order; never empty.
    pub routes: Vec<RouteName>,
    /// For so long each is watched.
    pub each: Duration,
    /// As for a switch at once, for each route.
    pub false_alarm: f64,
}

impl Phased {
    /// The switch at once that the route at `part` is; `None` after the last one.
    #[must_use]
    pub fn part(&self, part: usize) -> Option<BlueGreen> {
        let route = Some(self.routes.get(part)?.clone());
        Some(BlueGreen { route, watch: self.each, false_alarm: self.false_alarm })
    }
}

impl Default for Canary {
    fn default() -> Self {
        let weights = vec![50, 250, 500];
        Canary {
            route: None,
            at_least: Duration::from_secs(60),
            proof: proof_for(weights.len()),
            false_alarm: 0.01,
            latency: vec![0.5, 0.9, 0.99, 0.999],
            warm_up: Duration::from_secs(5),
            outside: Vec::new(),
            within: None,
            on_timeout: WhenStuck::Hold,
            weights,
        }
    }
}

impl Default for BlueGreen {
    fn default() -> Self {
        BlueGreen { route: None, watch: Duration::from_secs(600), false_alarm: 0.01 }
    }
}

/// The proofs where the plan does not say: graded, because a strict one at a small weight takes
/// hours and protects little.
pub(crate) fn proof_for(weights: usize) -> Vec<f64> {
    let of = |at: usize| match (at, weights - at) {
        (_, 1) => 1.5,
        (0, _) => 5.0,
        _ => 2.0,
    };
    (0..weights).map(of).collect()
}

/// The canary in words.
pub(crate) fn explain(canary: &Canary, has_routes: bool) -> String {
    let step = |(weight, proof): (&u16, &f64)| format!("{} ({proof}x)", show_permille(*weight));
    let steps: Vec<String> = canary.weights.iter().zip(&canary.proof).map(step).collect();
    let quantiles: Vec<String> = canary.latency.iter().map(|q| show_quantile(*q)).collect();
    let outside: Vec<String> = canary.outside.iter().map(Outside::words).collect();
    let outside = match outside.as_slice() {
        [] => String::new(),
        all => format!(
            "; also judged, from outside, by {}: these can take it back and prove nothing, and the \
             probability holds for them only if each pair of values is as likely to fall either way",
            all.join(", ")
        ),
    };
    let within = canary.within.map_or(String::new(), |within| {
        let (within, then) = (show_duration(within), canary.on_timeout.words());
        format!("; if it is not through within {within}, {then}")
    });
    format!(
        "send {} {} to the target, each for at least {} and until it is proven that a \
         bad request is less than so many times as likely there; judged by failures{}{}; a target \
         that is not worse is rolled back with a probability of at most {} %{outside}{within}",
        steps.join(", then "),
        whose(canary.route.as_ref(), has_routes),
        show_duration(canary.at_least),
        if quantiles.is_empty() { "" } else { " and latency at " },
        quantiles.join(", "),
        canary.false_alarm * 100.0,
    )
}

/// `p99.9`: 0.999, with the digits people write.
pub(crate) fn quantile(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('p')?;
    let plain = digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = if plain { digits.parse().ok()? } else { return None };
    (1.0..100.0).contains(&number).then_some(number / 100.0)
}

fn show_quantile(quantile: f64) -> String {
    let text = format!("{:.3}", quantile * 100.0);
    format!("p{}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_gets_stricter_towards_the_end() {
        assert_eq!(proof_for(3), [5.0, 2.0, 1.5]);
        assert_eq!(proof_for(1), [1.5]);
        assert_eq!(proof_for(4), [5.0, 2.0, 2.0, 1.5]);
    }

    #[test]
    fn quantiles_are_written_as_people_do() {
        for text in ["p50", "p99", "p99.9"] {
            assert_eq!(quantile(text).map(show_quantile).as_deref(), Some(text));
        }
        for bad in ["", "p", "50", "p100", "p0", "p-5", "pNaN", "p99,9", "p1e1"] {
            assert_eq!(quantile(bad), None, "{bad}");
        }
    }
}
