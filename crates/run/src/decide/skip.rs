//! What may be left out, and what may not.

use changeover_plan::{Plan, Step};

use super::{Refusal, entrance, operator::not_now};
use crate::control::Who;
use crate::event::Event;
use crate::state::{Mode, State};

/// The operator leaves out the step at this path, or does not wait for its window.
pub(crate) fn skip(
    state: &State,
    plan: &Plan,
    path: &str,
    who: &Who,
    why: &str,
) -> Result<Vec<Event>, Refusal> {
    let Some((index, placed)) = plan.steps().enumerate().find(|(_, it)| it.path == path) else {
        return Err(not_now("skip", &format!("the plan has no step {path}")));
    };
    if state.control.skipped.contains(&index) && (state.at > index || state.mode != Mode::Forward) {
        return Ok(vec![]);
    }
    if state.mode != Mode::Forward || state.at != index {
        return Err(not_now("skip", &format!("{path} is not the present step; see its status")));
    }
    if state.cutover.attempt.is_some() {
        return Err(not_now("skip", "authority is changing hands; wait for its end"));
    }
    if let Some(entering) = entrance::shut(state, plan) {
        return match entrance::window(state, &entering) {
            Some(window) if !window.reached => {
                let (who, why) = (who.clone(), why.to_owned());
                Ok(vec![Event::WindowSkipped { who, why }])
            }
            _ => {
                let why = "an approval is given, not skipped: `changeover approve`, or end the run";
                Err(not_now("skip", why))
            }
        };
    }
    if let Some(reason) = kept(state, placed.step) {
        return Err(not_now("skip", &reason));
    }
    let mut events =
        vec![Event::StepSkipped { step: index, who: who.clone(), why: why.to_owned() }];
    // Whoever paused the run says when it goes on; a check that failed waited for this word.
    if state.pause.as_ref().is_some_and(|pause| pause.by.is_none()) {
        events.push(Event::Resumed { by: Some(who.clone()) });
    }
    events.push(Event::StepDone);
    Ok(events)
}

/// Why this step cannot be left out; `None` if it can.
fn kept(state: &State, step: &Step) -> Option<String> {
    let name = step.name();
    match step {
        Step::Verify => match state.control.different {
            Some(0) => None,
            Some(different) => Some(format!(
                "{different} rows differ between the sides; `changeover verify` compares again"
            )),
            None => Some(
                "nothing else has shown yet that the copy is right: compare once, then skip"
                    .to_owned(),
            ),
        },
        Step::Smoke(_) | Step::Load(_) | Step::Mirror(_) | Step::Run { .. } | Step::Soak { .. } => {
            None
        }
        Step::Canary(_) | Step::BlueGreen(_) | Step::Phased(_) => Some(format!(
            "`{name}` is what judges the target before everything goes there: `changeover \
             rollback`, or a plan without it"
        )),
        Step::Finish => Some("`finish` is only ever asked for: `changeover finish`".to_owned()),
        // Whatever moves or judges, also what will be added: a check has to be named above.
        _ => Some(format!(
            "`{name}` is what the plan is about, not a check: `changeover rollback` or `changeover \
             abort`"
        )),
    }
}
