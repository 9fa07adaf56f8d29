//! What double running costs: prices that the user gives, times the estimated hours.
//!
//! Without the migration one side would run. So what it costs is the target until authority moves,
//! and the source from then until the way back ends.

use serde::Serialize;

use crate::estimate::{Estimates, Span};
use crate::model::{Plan, Step};

/// What both sides cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Three letters, for people.
    pub currency: String,
    /// Of the source, for each hour.
    pub source_per_hour: f64,
    /// Of the target, for each hour.
    pub target_per_hour: f64,
}

/// What a migration costs beyond running one side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CostEstimate {
    /// At least.
    pub least: f64,
    /// Nothing unusual happening.
    pub likely: f64,
    /// At most; `None` if nobody can say.
    pub most: Option<f64>,
}

impl CostEstimate {
    /// For people.
    #[must_use]
    pub fn words(&self, currency: &str) -> String {
        let CostEstimate { least, likely, most } = *self;
        match most {
            Some(most) if most - least < 0.01 => format!("{likely:.2} {currency}"),
            Some(most) => format!("{least:.2} to {most:.2} {currency}, likely {likely:.2}"),
            None => format!("at least {least:.2} {currency}, likely {likely:.2}"),
        }
    }
}

/// Prices times hours; `None` if the plan gives no prices.
#[must_use]
pub fn cost(plan: &Plan, estimates: &Estimates) -> Option<CostEstimate> {
    let prices = plan.cost.as_ref()?;
    let (mut before, mut after) = (Span::exactly(0), Span::exactly(0));
    let mut moved = false;
    for (placed, estimated) in plan.steps().zip(&estimates.steps) {
        let span = estimated.span.unwrap_or(Span::exactly(0).and_unknown());
        let part = if moved { &mut after } else { &mut before };
        *part = part.then(span);
        moved |= matches!(placed.step, Step::Cutover { .. });
    }
    let ends = plan.steps().any(|placed| matches!(placed.step, Step::Finish));
    if !ends {
        let keep = u64::try_from(plan.data.reverse_keep.as_millis()).unwrap_or(u64::MAX);
        // `finish` is asked for then; nothing closes by itself.
        after = after.then(Span { least_ms: keep, likely_ms: keep, most_ms: None });
    }
    let hours = |ms: u64| ms as f64 / 3_600_000.0;
    let of = |before: u64, after: u64| {
        hours(before) * prices.target_per_hour + hours(after) * prices.source_per_hour
    };
    Some(CostEstimate {
        least: of(before.least_ms, after.least_ms),
        likely: of(before.likely_ms, after.likely_ms),
        most: before.most_ms.zip(after.most_ms).map(|(before, after)| of(before, after)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::{Measures, estimate};
    use crate::{TemplateKind, parse, template};

    #[test]
    fn the_idle_side_is_what_costs() {
        let plan = |phases: &str| {
            let text = template(TemplateKind::Database).to_owned()
                + "cost: {currency: EUR, source_per_hour: 2, target_per_hour: 3.50}\n"
                + phases;
            parse("p", &text).unwrap_or_else(|faults| panic!("{faults}"))
        };
        let costs = |phases: &str| {
            let plan = plan(phases);
            cost(&plan, &estimate(&plan, &Measures::default())).unwrap()
        };
        // Ten hours of the target, then a day of the source; how long copy and finish take is not
        // known, so there is no most.
        let ends = "phases: [{name: a, steps: [replicate, {soak: {for: 10h}}, cutover, \
                    {soak: {for: 24h}}, finish]}]\n";
        let found = costs(ends);
        assert_eq!((found.least, found.most), (10.0 * 3.5 + 24.0 * 2.0, None));
        // Without `finish`, the way back is kept open for 72 h.
        let open = "phases: [{name: a, steps: [replicate, cutover]}]\n";
        assert_eq!(costs(open).least, 72.0 * 2.0);
        assert_eq!(costs(open).words("EUR"), "at least 144.00 EUR, likely 144.00");
    }
}
