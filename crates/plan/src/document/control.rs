//! Who must agree, and what may stop the run, in words: one list, which every form shows.

use serde::Serialize;

use crate::model::{
    AfterDone, Approve, Deadline, Entrance, Guard, Measure, OnNoData, Outcome, Plan,
};
use crate::units::show_duration;
use crate::window::{DAYS, Window, show_instant};

/// Something that must be so, or the run does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Control {
    /// What it is.
    pub kind: ControlKind,
    /// The phase that it stands before, or the guard's name; `None` for the whole run.
    pub of: Option<String>,
    /// What must be so.
    pub must: String,
    /// What happens if it is not.
    pub otherwise: String,
    /// What happens while nothing is known of it; `None` where that cannot be.
    pub without_data: Option<String>,
}

/// What may keep a run from going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlKind {
    /// When everything must be over.
    Deadline,
    /// When a phase may begin.
    Window,
    /// Who must have said yes to a phase.
    Approval,
    /// What is watched all along.
    Guard,
}

impl ControlKind {
    /// As people read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ControlKind::Deadline => "deadline",
            ControlKind::Window => "window",
            ControlKind::Approval => "approval",
            ControlKind::Guard => "guard",
        }
    }
}

impl Control {
    /// What it stands before, or what it is called.
    #[must_use]
    pub fn of(&self) -> &str {
        self.of.as_deref().unwrap_or("the whole run")
    }

    fn sentence(&self) -> String {
        format!("{}: {}; if not, {}", self.kind.as_str(), self.must, self.otherwise)
    }
}

/// Everything of a plan, in the order in which it is met.
pub(super) fn controls(plan: &Plan) -> Vec<Control> {
    let deadline = plan.objectives.deadline.iter().map(deadline);
    let entrances = plan.phases.iter().flat_map(|phase| before(&phase.name, &phase.entrance));
    deadline
        .chain(entrances)
        .chain(plan.guards.iter().map(|it| guard(it, plan.after_done)))
        .collect()
}

/// What must be so before a phase begins, a sentence each.
pub(crate) fn entrance(entrance: &Entrance) -> Vec<String> {
    before("", entrance).iter().map(Control::sentence).collect()
}

/// The window first: people approve what is about to happen.
pub(super) fn before(phase: &str, entrance: &Entrance) -> Vec<Control> {
    let window = entrance.window.iter().map(|it| window(phase, it));
    window.chain(entrance.approve.iter().map(|it| approval(phase, it))).collect()
}

fn deadline(deadline: &Deadline) -> Control {
    Control {
        kind: ControlKind::Deadline,
        of: None,
        must: format!("everything is over by {}", show_instant(deadline.at)),
        otherwise: outcome(deadline.on_reached).to_owned(),
        without_data: None,
    }
}

fn window(phase: &str, window: &Window) -> Control {
    let day = |day| DAYS.iter().find(|(_, it)| *it == day).map_or("", |(name, _)| *name);
    let days: Vec<&str> = window.days.iter().map(|it| day(*it)).collect();
    let (from, to) = (window.from, window.to);
    Control {
        kind: ControlKind::Window,
        of: Some(phase.to_owned()),
        must: format!(
            "begins on {} from {:02}:{:02} to {:02}:{:02} ({})",
            days.join(", "),
            from.hour(),
            from.minute(),
            to.hour(),
            to.minute(),
            window.zone
        ),
        otherwise: "the run waits until it opens".to_owned(),
        without_data: None,
    }
}

fn approval(phase: &str, approve: &Approve) -> Control {
    let Approve { from, count, within, self_, on_timeout } = approve;
    let own = if *self_ { "" } else { ", not by whoever ran `apply`" };
    Control {
        kind: ControlKind::Approval,
        of: Some(phase.to_owned()),
        must: format!(
            "approved by {count} of {}{own}, within {}",
            from.join(", "),
            show_duration(*within)
        ),
        otherwise: outcome(*on_timeout).to_owned(),
        without_data: None,
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Hold => "the run waits for its operator",
        Outcome::Rollback => "what has moved goes back",
        Outcome::Abort => "everything that was made is removed",
    }
}

fn guard(guard: &Guard, after_done: AfterDone) -> Control {
    let without_data = match guard.on_no_data {
        OnNoData::Hold => "nothing is begun until there is data",
        OnNoData::Fail => "as if it were bad",
        OnNoData::Ignore => "nothing happens",
    };
    let idle = if guard.objective { "; a service without requests breaks none" } else { "" };
    Control {
        kind: ControlKind::Guard,
        of: Some(guard.name.clone()),
        must: match &guard.measure {
            Measure::Prometheus { query, .. } => format!("{}: `{query}`", guard.rule()),
            _ => guard.rule(),
        },
        otherwise: format!(
            "{}; after the last step, until `finish`: {}",
            guard.consequence(),
            guard.consequence_after_done(after_done)
        ),
        without_data: Some(without_data.to_owned() + idle),
    }
}
