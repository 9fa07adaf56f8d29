//! How each step ended, and what the run waits for, as the board shows it.

use changeover_plan::{Plan, StepKind};
use changeover_run::{Event, Standing, State};
use changeover_types::WallMs;

use crate::protocol::{
    ControlStatus, GuardStatus, StepOutcome, StepResult, WindowStatus, approval_asked,
};

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

/// What an event says of the present step, which is of this kind.
pub(super) fn note(
    results: &mut Vec<StepResult>,
    (step, kind): (Option<&str>, Option<StepKind>),
    at: WallMs,
    event: &Event,
) {
    use StepOutcome::{Done, Failed, Running, Skipped, TakenBack};
    let Some(step) = step else { return };
    match event {
        Event::StepBegun { .. } => {
            results.retain(|result| result.step != step);
            results.push(StepResult {
                step: step.to_owned(),
                kind,
                is: Running,
                begun: at,
                ended: None,
                why: None,
            });
        }
        Event::StepSkipped { who, why, .. } => {
            end(results, step, at, Skipped, Some(format!("{who}: {why}")))
        }
        Event::StepDone if present(results, step).is_some_and(|it| it.is == Skipped) => {}
        Event::StepDone => end(results, step, at, Done, None),
        Event::Paused { pause } if pause.by.is_none() => {
            end(results, step, at, Failed, Some(pause.why.clone()))
        }
        Event::Resumed { .. } => {
            if let Some(result) = present(results, step).filter(|it| it.is == Failed) {
                (result.is, result.ended) = (Running, None);
            }
        }
        Event::RollbackBegun { why, .. } => {
            end(results, step, at, Failed, Some(why.clone()));
            let moved =
                |it: &&mut StepResult| it.is == Done && it.kind.is_some_and(StepKind::moves);
            results.iter_mut().filter(moved).for_each(|it| it.is = TakenBack);
        }
        Event::RollbackGivenUp { .. } => {
            results.iter_mut().filter(|it| it.is == TakenBack).for_each(|it| it.is = Done);
        }
        _ => {}
    }
}

fn present<'r>(results: &'r mut [StepResult], step: &str) -> Option<&'r mut StepResult> {
    results.iter_mut().rfind(|result| result.step == step)
}

fn end(results: &mut [StepResult], step: &str, at: WallMs, is: StepOutcome, why: Option<String>) {
    if let Some(result) = present(results, step) {
        (result.is, result.ended) = (is, Some(at));
        result.why = why.or(result.why.take());
    }
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
