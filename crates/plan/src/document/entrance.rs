//! Who and what may let the run go on, or stop it, in words.

use super::Line;
use crate::model::{Approve, Entrance, Outcome, Plan};
use crate::units::show_duration;
use crate::window::{DAYS, Window, show_instant};

/// What must be so before a phase begins, in the order in which it is asked.
pub(crate) fn entrance(entrance: &Entrance) -> Vec<String> {
    let window = entrance.window.iter().map(opens);
    window.chain(entrance.approve.iter().map(approve)).collect()
}

fn opens(window: &Window) -> String {
    let day = |day| DAYS.iter().find(|(_, it)| *it == day).map_or("", |(name, _)| *name);
    let days: Vec<&str> = window.days.iter().map(|it| day(*it)).collect();
    let (from, to) = (window.from, window.to);
    format!(
        "begins only on {} from {:02}:{:02} to {:02}:{:02} ({})",
        days.join(", "),
        from.hour(),
        from.minute(),
        to.hour(),
        to.minute(),
        window.zone
    )
}

fn approve(approve: &Approve) -> String {
    let Approve { from, count, within, self_, on_timeout } = approve;
    let own = if *self_ { "" } else { ", not by whoever ran `apply`" };
    format!(
        "must be approved by {count} of {}{own}, within {}; if not, {}",
        from.join(", "),
        show_duration(*within),
        outcome(*on_timeout)
    )
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Hold => "the run waits for its operator",
        Outcome::Rollback => "what has moved goes back",
        Outcome::Abort => "everything that was made is removed",
    }
}

/// What is watched all along.
pub(super) fn guards(plan: &Plan) -> Vec<Line> {
    let line = |guard: &crate::model::Guard| {
        Line::new(&guard.name, format!("{}; if not, {}", guard.rule(), guard.consequence()))
    };
    plan.guards.iter().map(line).collect()
}

/// When the move must be over.
pub(super) fn deadline(plan: &Plan) -> Option<Line> {
    let deadline = plan.objectives.deadline?;
    let (at, then) = (show_instant(deadline.at), outcome(deadline.on_reached));
    Some(Line::new("deadline", format!("{at}; a run that is not done then: {then}")))
}
