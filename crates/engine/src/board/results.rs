//! How each step ended, and what the run waits for, as the board shows it.

use changeover_plan::Plan;
use changeover_run::{Event, Standing, State};
use changeover_types::WallMs;

use crate::protocol::{ControlStatus, GuardStatus, StepResult, WindowStatus, approval_asked};

/// Before anything was seen.
pub(super) fn first(plan: &Plan) -> ControlStatus {
    let guard = |name: &String| GuardStatus {
        name: name.clone(),
        is: None,
        seen: String::new(),
        holds: false,
    };
    let guards = plan.guards.iter().map(|it| guard(&it.name)).collect();
    ControlStatus { guards, ..ControlStatus::default() }
}

/// What an event says of the present step.
pub(super) fn note(results: &mut Vec<StepResult>, step: Option<&str>, at: WallMs, event: &Event) {
    let Some(step) = step else { return };
    match event {
        Event::StepBegun { .. } => {
            results.retain(|result| result.step != step);
            results.push(StepResult {
                step: step.to_owned(),
                is: "running".to_owned(),
                begun: at,
                ended: None,
                why: None,
            });
        }
        Event::StepSkipped { who, why, .. } => {
            end(results, step, at, "skipped", Some(format!("{who}: {why}")))
        }
        Event::StepDone if present(results, step).is_some_and(|it| it.is == "skipped") => {}
        Event::StepDone => end(results, step, at, "done", None),
        Event::Paused { pause } if pause.by.is_none() => {
            end(results, step, at, "failed", Some(pause.why.clone()))
        }
        Event::Resumed { .. } => {
            if let Some(result) = present(results, step).filter(|it| it.is == "failed") {
                (result.is, result.ended) = ("running".to_owned(), None);
            }
        }
        Event::RollbackBegun { why, .. } => {
            end(results, step, at, "failed", Some(why.clone()));
            results.iter_mut().filter(|it| it.is == "done").for_each(|it| {
                if ["canary", "blue-green", "phased", "cutover", "shift"]
                    .iter()
                    .any(|move_| names(&it.step, move_))
                {
                    it.is = "taken-back".to_owned();
                }
            });
        }
        Event::RollbackGivenUp { .. } => {
            results.iter_mut().filter(|it| it.is == "taken-back").for_each(|it| {
                it.is = "done".to_owned();
            });
        }
        _ => {}
    }
}

fn present<'r>(results: &'r mut [StepResult], step: &str) -> Option<&'r mut StepResult> {
    results.iter_mut().rfind(|result| result.step == step)
}

fn end(results: &mut [StepResult], step: &str, at: WallMs, is: &str, why: Option<String>) {
    if let Some(result) = present(results, step) {
        (result.is, result.ended) = (is.to_owned(), Some(at));
        result.why = why.or(result.why.take());
    }
}

/// Whether `phase/step-2` is a step of this kind.
fn names(path: &str, kind: &str) -> bool {
    path.rsplit('/')
        .next()
        .is_some_and(|step| step == kind || step.starts_with(&format!("{kind}-")))
}

/// What the state says of conditions.
pub(super) fn show(control: &mut ControlStatus, state: &State) {
    control.tasks.clone_from(&state.tasks);
    control.paused_by = state.pause.as_ref().and_then(|pause| pause.by.clone());
    control.authority_is_moving = state.cutover.attempt.is_some();
    control.approval = approval_asked(&state.control);
    let window = state.control.window.filter(|window| !window.reached);
    control.window = window.map(|it| WindowStatus { opens: it.opens, closes: it.closes });
    for guard in &mut control.guards {
        match state.control.guards.get(&guard.name) {
            Some(known) => (guard.is, guard.holds) = (Some(known.is), known.holds),
            None => (guard.is, guard.holds) = (guard.is.map(|_| Standing::Good), false),
        }
    }
}
