//! Deadlines and windows against the estimates.

use changeover_types::WallMs;

use super::Contradiction;
use crate::estimate::{Estimates, Span, rounded, show_span};
use crate::model::Plan;
use crate::window::show_instant;

pub(super) fn deadline(plan: &Plan, estimates: &Estimates, now: WallMs) -> Option<Contradiction> {
    let deadline = plan.objectives.deadline?;
    let left_ms = deadline.at.0.saturating_sub(now.0);
    let whole = estimates.whole();
    (whole.likely_ms > left_ms || left_ms == 0).then(|| Contradiction {
        what: format!("objectives.deadline is {}", show_instant(deadline.at)),
        why: if left_ms == 0 {
            "it is over".to_owned()
        } else {
            let (left, whole) = (rounded(left_ms), show_span(whole));
            format!("that is in {left}, and the plan takes {whole}")
        },
        fix: "give it more time, or the plan less to do".to_owned(),
        certain: whole.least_ms > left_ms || left_ms == 0,
    })
}

/// A window says when a phase may begin; one that is shorter than the phase lets it run on after
/// the window has closed, which is rarely meant.
pub(super) fn windows<'a>(
    plan: &'a Plan,
    estimates: &'a Estimates,
    now: WallMs,
) -> impl Iterator<Item = Contradiction> + 'a {
    let phases = plan.phases.iter().zip(&estimates.milestones);
    phases.filter_map(move |(phase, milestone)| {
        let opening = phase.entrance.window.as_ref()?.opening(now);
        let open_ms = opening.closes.0.saturating_sub(opening.opens.0);
        let Span { least_ms, likely_ms, .. } = milestone.span;
        (likely_ms > open_ms).then(|| Contradiction {
            what: format!(
                "the window of the phase {} is open for {}",
                phase.name,
                rounded(open_ms)
            ),
            why: format!("the phase takes {}", show_span(milestone.span)),
            fix: if least_ms > open_ms {
                "it cannot end while the window is open: widen that, or move steps into a phase of \
                 their own"
            } else {
                "begin it as soon as the window opens, or widen that"
            }
            .to_owned(),
            certain: false,
        })
    })
}
