//! A canary's own times against those of its metrics, its window and the plan's deadline.

use changeover_types::WallMs;

use super::Contradiction;
use crate::canary::Canary;
use crate::estimate::{Estimates, rounded};
use crate::model::{Plan, Step};
use crate::units::show_duration;

pub(super) fn canaries(plan: &Plan, estimates: &Estimates, now: WallMs) -> Vec<Contradiction> {
    let mut found = Vec::new();
    for (index, placed) in plan.steps().enumerate() {
        let Step::Canary(canary) = placed.step else { continue };
        found.extend(mute(&placed.path, canary));
        let before = |phase: Option<usize>| {
            let earlier = plan.steps().zip(&estimates.steps).take(index);
            let earlier = earlier.filter(|(it, _)| phase.is_none_or(|phase| it.phase == phase));
            earlier.filter_map(|(_, step)| Some(step.span?.likely_ms)).sum::<u64>()
        };
        let Some(within) = canary.within else { continue };
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let late = |limit_ms: u64, what: String, phase| {
            let before_ms = before(phase);
            (before_ms.saturating_add(within_ms) > limit_ms).then(|| Contradiction {
                what,
                why: format!(
                    "{} may take {} (within), after {} of what comes before",
                    placed.path,
                    show_duration(within),
                    rounded(before_ms)
                ),
                fix: "a shorter `within`, so that the canary ends in its own way".to_owned(),
                certain: false,
            })
        };
        if let Some(deadline) = plan.objectives.deadline {
            let left_ms = deadline.at.0.saturating_sub(now.0);
            found.extend(late(
                left_ms,
                format!("objectives.deadline is in {}", rounded(left_ms)),
                None,
            ));
        }
        let phase = &plan.phases[placed.phase];
        if let Some(window) = &phase.entrance.window {
            let opening = window.opening(now);
            let open_ms = opening.closes.0.saturating_sub(opening.opens.0);
            let what =
                format!("the window of the phase {} is open for {}", phase.name, rounded(open_ms));
            found.extend(late(open_ms, what, Some(placed.phase)));
        }
    }
    found
}

/// Metrics that may not have enough pairs to object, however bad they are: each pair less than
/// doubles the evidence, and so many streams share the probability of a false alarm.
fn mute(path: &str, canary: &Canary) -> Vec<Contradiction> {
    let streams = 1 + canary.latency.len() + canary.outside.len();
    let needed = (streams as f64 / canary.false_alarm).log2().ceil() as u128;
    let weights = canary.weights.len();
    let pairs_of = |every: std::time::Duration| {
        weights as u128 * (canary.at_least.as_millis() / every.as_millis().max(1))
    };
    let too_few = canary.outside.iter().filter(|it| pairs_of(it.every) < needed);
    too_few
        .map(|it| Contradiction {
            what: format!(
                "{} of {path} is to be judged every {}",
                it.name,
                show_duration(it.every)
            ),
            why: format!(
                "that may be {} pairs in {weights} times {}, and no metric can object with fewer \
                 than {needed}",
                pairs_of(it.every),
                show_duration(canary.at_least)
            ),
            fix: "a longer `at_least`, or a query that looks back less, asked more often"
                .to_owned(),
            certain: false,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::{Measures, estimate};
    use crate::parse;

    fn found(canary: &str, objectives: &str, entrance: &str) -> Vec<String> {
        let text = format!(
            "apiVersion: changeover/v1\nkind: Migration\nmetadata: {{name: x}}\n\
             source: {{http: {{upstreams: ['http://a:1']}}}}\n\
             target: {{http: {{upstreams: ['http://b:1']}}}}\n\
             gates: {{http: {{listen: '127.0.0.1:1'}}}}\nobjectives: {{{objectives}}}\n\
             phases: [{{name: a, {entrance} steps: [{{canary: {{{canary}}}}}]}}]\n"
        );
        let plan = parse("p", &text).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        canaries(&plan, &estimate(&plan, &Measures::default()), WallMs(0))
            .into_iter()
            .map(|it| format!("{}: {}", it.what, it.why))
            .collect()
    }

    #[test]
    fn a_metric_with_too_few_pairs_is_told() {
        let outside = |at_least: &str| {
            format!(
                "at_least: {at_least}, outside: [{{name: cpu, prometheus: {{url: 'http://a:1', \
                 query: 'rate(x{{s=\"$side\"}}[1m])'}}}}]"
            )
        };
        let [only] = found(&outside("3m"), "", "").try_into().unwrap();
        let text = "cpu of a/canary is to be judged every 1m: that may be 9 pairs in 3 times 3m, \
                    and no metric can object with fewer than 10";
        assert_eq!(only, text);
        assert!(found(&outside("4m"), "", "").is_empty());
    }

    #[test]
    fn a_canary_that_may_outlast_its_window_or_the_deadline_is_told() {
        let window = "window: {days: [sat], between: \"01:00-02:00\", zone: UTC},";
        assert!(found("within: 1h", "", window).is_empty());
        let [only] = found("within: 90m", "", window).try_into().unwrap();
        assert!(only.contains("open for 1 h") && only.contains("may take 90m"), "{only}");
        let deadline = "deadline: 1970-01-01T02:00:00Z";
        assert!(found("within: 2h", deadline, "").is_empty());
        let [only] = found("within: 3h", deadline, "").try_into().unwrap();
        assert!(only.starts_with("objectives.deadline is in 2 h"), "{only}");
    }
}
