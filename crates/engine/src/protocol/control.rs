//! What people, clocks and guards have said of a run.

use changeover_plan::{StepKind, show_instant};
use changeover_run::{Control, Standing, Who};
use changeover_types::{Task, WallMs};
use serde::{Deserialize, Serialize};

use super::RunState;

/// The part of a status that is about conditions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ControlStatus {
    /// Who paused the run, if a person did.
    pub paused_by: Option<Who>,
    /// Whether a change of authority is under way: it is brought to its end also in a pause.
    pub authority_is_moving: bool,
    /// The approval that is waited for.
    pub approval: Option<ApprovalStatus>,
    /// The window that is waited for.
    pub window: Option<WindowStatus>,
    /// Each guard as it was seen last.
    pub guards: Vec<GuardStatus>,
    /// Each step that has begun, in order; a step that is tried again stands there once.
    pub results: Vec<StepResult>,
    /// Whose sessions could not move with authority now, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmovable: Vec<String>,
    /// What has changed in the plan since the run began, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan_changes: Vec<String>,
    /// The plan's objectives, and what was seen of them so far.
    #[serde(default)]
    pub objectives: Vec<ObjectiveStatus>,
    /// What is left to do on the target, and no row depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Task>,
}

/// An objective, and what was seen of it so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectiveStatus {
    /// Which.
    pub name: String,
    /// What the plan asks for.
    pub asked: String,
    /// What was measured; `None` if nothing was yet.
    pub seen: Option<String>,
    /// Whether it is met; `None` while that is not known.
    pub met: Option<bool>,
}

/// What a run that begins nothing waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitsFor {
    /// People.
    Approval,
    /// A time.
    Window,
    /// A guard that is not good.
    Guard,
}

/// An approval that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalStatus {
    /// The step that waits.
    pub step: String,
    /// How many must say yes.
    pub needed: usize,
    /// Who may.
    pub from: Vec<String>,
    /// Who has.
    pub given: Vec<String>,
    /// The digest of what is known: an approval is given for it, and void when it changes.
    pub facts: String,
    /// Until when it is waited for.
    pub expires: WallMs,
}

/// A window that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowStatus {
    /// When it opens.
    pub opens: WallMs,
    /// When it closes.
    pub closes: WallMs,
}

/// A guard as it was seen last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardStatus {
    /// Its name.
    pub name: String,
    /// How it stands; `None` until it was looked at.
    pub is: Option<Standing>,
    /// The last figure, or what was seen instead.
    pub seen: String,
    /// Whether it keeps the run from beginning anything.
    pub holds: bool,
}

/// How a step ended, or that it has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepResult {
    /// As `phase/step`.
    pub step: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<StepKind>,
    /// How it stands.
    pub is: StepOutcome,
    /// When it began.
    pub begun: WallMs,
    /// When it ended.
    pub ended: Option<WallMs>,
    /// Why, and who said so, where there is something to say.
    pub why: Option<String>,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOutcome {
    /// It goes on.
    Running,
    /// It is done.
    Done,
    /// It was left out.
    Skipped,
    /// It failed, or the run paused in it.
    Failed,
    /// What it moved went back.
    TakenBack,
}

/// What a run that goes forward waits for, if it does.
pub(crate) fn waiting(control: &Control) -> Option<RunState> {
    if let Some(reason) = control.held() {
        let next_command = "mend it and it goes on by itself, or changeover rollback".to_owned();
        return Some(RunState::Waiting { waits_for: WaitsFor::Guard, reason, next_command });
    }
    if let Some(window) = control.window.filter(|window| !window.reached) {
        return Some(RunState::Waiting {
            waits_for: WaitsFor::Window,
            reason: format!(
                "the window opens at {} and closes at {}",
                show_instant(window.opens),
                show_instant(window.closes)
            ),
            next_command: "it goes on by itself; now at once: changeover skip --reason TEXT"
                .to_owned(),
        });
    }
    let asked = asked(control)?;
    let missing = asked.needed.saturating_sub(asked.given.len());
    Some(RunState::Waiting {
        waits_for: WaitsFor::Approval,
        reason: format!(
            "{} waits for {missing} more of {} until {}",
            asked.step,
            asked.from.join(", "),
            show_instant(asked.expires)
        ),
        next_command: "changeover approve --as NAME".to_owned(),
    })
}

/// The approval that is waited for: one that was given stays in the state as a record.
pub(crate) fn asked(control: &Control) -> Option<ApprovalStatus> {
    let asked = control.approval.as_ref().filter(|asked| !asked.is_complete())?;
    Some(ApprovalStatus {
        step: asked.step.clone(),
        needed: asked.needed,
        from: asked.from.clone(),
        given: asked.given.clone(),
        facts: asked.facts.clone(),
        expires: asked.expires,
    })
}
