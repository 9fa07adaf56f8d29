//! What in a plan cannot be true at once with what was measured.
//!
//! A contradiction is certain only if even the least estimate breaks what the plan demands; one
//! that only the likely or the most breaks is a warning.

mod canary;
mod clocks;

use changeover_types::WallMs;
use serde::Serialize;

use crate::cost::cost;
use crate::estimate::{Estimates, Measures};
use crate::model::{Plan, Step};
use crate::units::show_duration;

/// Answers of each side that a cutover waits for one after the other, at the very least: locks and
/// snapshots, barrier, seal and its read-back on the side that is left; barrier seen and grant on the
/// other.
const ANSWERS: (u64, u64) = (5, 3);

/// Something that cannot be so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contradiction {
    /// What the plan demands.
    pub what: String,
    /// What was measured or declared against it.
    pub why: String,
    /// What to change.
    pub fix: String,
    /// Whether it cannot work; otherwise it may.
    pub certain: bool,
}

/// Compares the plan's demands with its own times.
#[must_use]
pub fn contradictions(
    plan: &Plan,
    estimates: &Estimates,
    measures: &Measures,
    now: WallMs,
) -> Vec<Contradiction> {
    let mut found = Vec::new();
    found.extend(write_pause(plan, measures));
    found.extend(unseen_latency(plan));
    found.extend(canary::canaries(plan, estimates, now));
    found.extend(ceiling(plan, estimates));
    found.extend(clocks::deadline(plan, estimates, now));
    found.extend(clocks::windows(plan, estimates, now));
    found.sort_by_key(|it: &Contradiction| !it.certain);
    found
}

fn write_pause(plan: &Plan, measures: &Measures) -> Option<Contradiction> {
    if !plan.steps().any(|placed| matches!(placed.step, Step::Cutover { .. })) {
        return None;
    }
    let pause = plan.objectives.write_pause;
    let pause_us = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
    let what = format!("objectives.write_pause is {}", show_duration(pause));
    if let Some((source, target)) = measures.answer_us {
        let least_us =
            source.saturating_mul(ANSWERS.0).saturating_add(target.saturating_mul(ANSWERS.1));
        if pause_us < least_us {
            return Some(Contradiction {
                what,
                why: format!(
                    "source and target answer within {:.1} ms and {:.1} ms, and a cutover waits for at \
                     least {} answers of the one and {} of the other: {:.0} ms",
                    source as f64 / 1000.0,
                    target as f64 / 1000.0,
                    ANSWERS.0,
                    ANSWERS.1,
                    least_us as f64 / 1000.0
                ),
                fix: "run changeover nearer to the databases, or allow a longer pause".to_owned(),
                certain: true,
            });
        }
    }
    let seen = measures.earlier.iter().filter_map(|earlier| earlier.write_pause_ms).max()?;
    (u128::from(seen) > pause.as_millis()).then(|| Contradiction {
        what,
        why: format!("earlier, writes waited for up to {seen} ms"),
        fix: "allow a longer pause, or let the plan try more often".to_owned(),
        certain: false,
    })
}

/// A canary that cannot see what the objective speaks of.
fn unseen_latency(plan: &Plan) -> Option<Contradiction> {
    let objective = plan.objectives.latency_p99?;
    let gate = plan.gates.http.as_ref()?;
    let parts = |step: &Step| match step {
        Step::Canary(_) | Step::BlueGreen(_) => 1,
        Step::Phased(phased) => phased.routes.len(),
        _ => 0,
    };
    let judged = plan.steps().enumerate().flat_map(|(at, placed)| {
        let parts = 0..parts(placed.step);
        parts.map(move |part| (placed.path.clone(), plan.routes_judged(at, part)))
    });
    let mut ages = judged.map(|(path, routes)| (path, gate.decide_after_of(&routes)));
    let (path, decide_after) = ages.find(|(_, age)| objective > *age)?;
    Some(Contradiction {
        what: format!("objectives.latency_p99 is {}", show_duration(objective)),
        why: format!(
            "{} knows nothing of a request after {} (gates.http.decide_after)",
            path,
            show_duration(decide_after)
        ),
        fix: "make gates.http.decide_after longer than the objective".to_owned(),
        certain: false,
    })
}

fn ceiling(plan: &Plan, estimates: &Estimates) -> Option<Contradiction> {
    let (ceiling, prices) = (plan.objectives.cost_ceiling?, plan.cost.as_ref()?);
    let cost = cost(plan, estimates)?;
    let currency = &prices.currency;
    (cost.likely > ceiling).then(|| Contradiction {
        what: format!("objectives.cost_ceiling is {ceiling:.2} {currency}"),
        why: format!("double running costs {}", cost.words(currency)),
        fix: "allow more, or keep the way back open for less long (data.reverse.keep)".to_owned(),
        certain: cost.least > ceiling,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::{Earlier, estimate};
    use crate::{TemplateKind, parse, template};

    fn found(text: &str, measures: &Measures) -> Vec<Contradiction> {
        let plan = parse("p", text).unwrap_or_else(|faults| panic!("{faults}"));
        contradictions(&plan, &estimate(&plan, measures), measures, WallMs(0))
    }

    #[test]
    fn a_pause_shorter_than_the_answers_it_waits_for_cannot_work() {
        let text = template(TemplateKind::Database);
        let near = Measures { answer_us: Some((300, 400)), ..Measures::default() };
        assert_eq!(found(text, &near), []);
        let far = Measures { answer_us: Some((80_000, 60_000)), ..Measures::default() };
        let [only] = found(text, &far).try_into().unwrap();
        assert!(only.certain && only.why.contains("580 ms"), "{only:?}");
        // Without a cutover there is no pause.
        let copy = format!("{text}phases: [{{name: copy, steps: [replicate]}}]\n");
        assert_eq!(found(&copy, &far), []);
    }

    #[test]
    fn a_pause_shorter_than_one_that_was_seen_may_not_work() {
        let earlier = Earlier { write_pause_ms: Some(900), ..Earlier::default() };
        let seen = Measures { earlier: vec![earlier], ..Measures::default() };
        let [only] = found(template(TemplateKind::Database), &seen).try_into().unwrap();
        assert!(!only.certain && only.why.contains("900 ms"), "{only:?}");
    }

    #[test]
    fn a_deadline_before_the_plan_can_be_over_cannot_hold() {
        let text = |deadline: &str| {
            let pause = format!("write_pause: 500ms\n  deadline: {deadline} ");
            let text = template(TemplateKind::Database).replace("write_pause: 500ms ", &pause);
            text + "phases: [{name: a, steps: [replicate, {soak: {for: 2h}}]}]\n"
        };
        let none = Measures::default();
        let [only] = found(&text("1970-01-01T01:00:00Z"), &none).try_into().unwrap();
        assert!(only.certain && only.why.contains("in 1 h"), "{only:?}");
        assert_eq!(found(&text("1970-01-01T03:00:00Z"), &none), []);
        // What takes at least two hours and likely more may not be over after three.
        let slow = Measures {
            bytes: Some(9_000_000_000),
            read_bytes_per_s: Some(1_000_000),
            ..Measures::default()
        };
        let [only] = found(&text("1970-01-01T03:30:00Z"), &slow).try_into().unwrap();
        assert!(!only.certain, "{only:?}");
        let over = text("1969-12-31T23:59:00Z");
        assert!(parse("p", &over).is_err() || found(&over, &none)[0].certain);
    }

    #[test]
    fn a_window_shorter_than_its_phase_is_told() {
        let text = |hours: &str| {
            let window = format!("{{days: [sat], between: \"{hours}\", zone: UTC}}");
            template(TemplateKind::Database).to_owned()
                + &format!(
                    "phases: [{{name: a, window: {window}, steps: [replicate, {{soak: {{for: 2h}}}}]}}]\n"
                )
        };
        let [only] = found(&text("01:00-02:00"), &Measures::default()).try_into().unwrap();
        assert!(!only.certain && only.why.contains("2 h"), "{only:?}");
        assert_eq!(found(&text("22:00-02:00"), &Measures::default()), []);
    }

    #[test]
    fn a_ceiling_below_the_declared_times_cannot_hold() {
        let with = |ceiling: &str| {
            let pause = format!("write_pause: 500ms\n  cost_ceiling: {ceiling} ");
            let text = template(TemplateKind::Database).replace("write_pause: 500ms ", &pause);
            text + "cost: {currency: EUR, source_per_hour: 1, target_per_hour: 1}\n"
        };
        // 72 hours of the source, at least.
        let [only] = found(&with("70"), &Measures::default()).try_into().unwrap();
        assert!(only.certain && only.why.contains("72.00 EUR"), "{only:?}");
        assert_eq!(found(&with("80"), &Measures::default()), []);
    }

    #[test]
    fn an_objective_that_the_canary_cannot_see_is_told() {
        let text =
            template(TemplateKind::Service).replace("# latency_p99: 250ms", "latency_p99: 2s");
        let [only] = found(&text, &Measures::default()).try_into().unwrap();
        assert!(only.what.contains("2s") && only.why.contains("after 1s"), "{only:?}");
    }
}
