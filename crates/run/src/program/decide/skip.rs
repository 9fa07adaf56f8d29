//! What may be left out of a program: a wait of its own, and nothing else.

use changeover_plan::Program;

use super::entrance;
use crate::control::Who;
use crate::decide::Refusal;
use crate::door::not_now;
use crate::event::Event as RunEvent;
use crate::program::apply::Event;
use crate::program::state::State;
use crate::state::Mode;

/// The operator leaves out the step at this path, or does not wait for its window.
pub(super) fn skip(
    state: &State,
    program: &Program,
    path: &str,
    who: &Who,
    why: &str,
) -> Result<Vec<Event>, Refusal> {
    let Some((index, placed)) = program.steps().enumerate().find(|(_, it)| it.path == path) else {
        return Err(not_now("skip", &format!("the program has no step {path}")));
    };
    if state.control.skipped.contains(&index) && (state.at > index || state.mode != Mode::Forward) {
        return Ok(vec![]);
    }
    if state.mode != Mode::Forward || state.at != index {
        return Err(not_now("skip", &format!("{path} is not the present step; see its status")));
    }
    let (who, why) = (who.clone(), why.to_owned());
    if entrance::waits_for_window(state, program) {
        return Ok(vec![Event::Condition { event: RunEvent::WindowSkipped { who, why } }]);
    }
    if entrance::shut(state, program).is_some() {
        let why = "an approval is given, not skipped: `changeover approve`, or end the program";
        return Err(not_now("skip", why));
    }
    if placed.step.own.is_none() {
        let why = format!(
            "`{}` is what the program is about; a check of a component is skipped with the \
             component's plan",
            placed.step.kind.as_str()
        );
        return Err(not_now("skip", &why));
    }
    let goes_on = state.pause.as_ref().filter(|pause| pause.by.is_none()).map(|_| Event::Resumed);
    let skipped = RunEvent::StepSkipped { step: index, who, why };
    let mut events = vec![Event::Condition { event: skipped }];
    // Whoever paused the program says when it goes on.
    events.extend(goes_on);
    events.push(Event::StepDone);
    Ok(events)
}
