//! What an answer of the shell, or a word of the operator, makes happen.

mod answer;
mod operator;

use changeover_cutover as cutover;
use changeover_plan::Plan;
use changeover_types::{CheckReport, WallMs};

use crate::apply::{Event, apply};
use crate::canary::Watching;
use crate::due::{Command, due};
use crate::state::{DataStage, Mode, State};

/// What the shell saw or was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The first input of every life of the shell.
    Restarted,
    /// The operator wants the run to go on (`apply`).
    GoOn,
    /// The same, but only to the end of a phase (`apply --until`).
    GoOnUntil {
        /// Its name.
        phase: String,
    },
    /// Go no further than the end of the present step, or begin none; nothing if the run goes nowhere.
    Rest,
    /// The operator wants everything back on the source.
    RollBack {
        /// Why.
        why: String,
    },
    /// The operator wants everything of ours removed.
    Abort,
    /// The operator ends the way back.
    Finish,
    /// The due command is done.
    Done,
    /// The due installation is done.
    Installed {
        /// What the shell found, in its own words.
        facts: String,
    },
    /// The due copy is done.
    Copied {
        /// Rows.
        rows: u64,
        /// Bytes of the copy format.
        bytes: u64,
        /// Milliseconds that the rows took.
        took_ms: u64,
    },
    /// The due comparison is done.
    Verified {
        /// Rows compared.
        rows: u64,
        /// Rows that differ.
        different: u64,
    },
    /// The comparison of the snapshots taken at the seal is done.
    Proven {
        /// Rows compared; `None` if the proof was lost with a process.
        rows: Option<u64>,
        /// Rows that differ.
        different: u64,
    },
    /// The due check is done, and this is what it found.
    Checked {
        /// Its outcome.
        report: CheckReport,
    },
    /// What was seen of the target that is due to be watched.
    Watched {
        /// All of it.
        watching: Watching,
    },
    /// The due command could not be done, and trying again by itself would not help.
    Failed {
        /// What happened.
        why: String,
        /// The command that goes on once the cause is gone.
        next: String,
    },
    /// Something that runs beside what is due has stopped for good (a relay), or was found broken.
    Alarm {
        /// What happened.
        why: String,
        /// The command that goes on once the cause is gone.
        next: String,
    },
    /// The time of a due wait has come.
    Waited,
    /// The time of [`crate::wake`] has come.
    Deadline,
    /// An answer to a step of the cutover, or its beginning.
    Cutover(cutover::Input),
}

/// Why an input was not accepted. Nothing changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The cutover refuses.
    #[error(transparent)]
    Cutover(#[from] cutover::Refusal),
    /// It cannot be asked for now.
    #[error("{what} is not possible now: {why}")]
    NotNow {
        /// What was asked for.
        what: &'static str,
        /// Why not, and what to do instead.
        why: String,
    },
    /// The shell answered something that was not due: a bug of ours.
    #[error("{input} does not answer {due}")]
    OutOfStep {
        /// What came.
        input: String,
        /// What was due.
        due: String,
    },
}

/// Decides what an input makes happen; the caller journals the events, then applies them.
///
/// # Errors
/// A [`Refusal`] changes nothing.
pub fn decide(
    state: &State,
    plan: &Plan,
    input: &Input,
    now: WallMs,
) -> Result<Vec<Event>, Refusal> {
    let mut events = match input {
        Input::Restarted => restarted(state, now)?,
        Input::GoOn => operator::go_on(state, plan, None),
        Input::GoOnUntil { phase } => {
            operator::go_on(state, plan, operator::bound(state, plan, phase)?)
        }
        Input::Rest => operator::rest(state, plan),
        Input::RollBack { why } => operator::roll_back(state, why, now)?,
        Input::Abort => operator::abort(state, now)?,
        Input::Finish => operator::finish(state, plan)?,
        Input::Proven { rows, different } => proven(*rows, *different),
        Input::Alarm { .. } if state.pause.is_some() || state.mode.is_over() => vec![],
        Input::Alarm { why, next } => vec![answer::pause(why.clone(), next)],
        Input::Deadline => cutover_events(state, &cutover::Input::Deadline, now)?,
        Input::Cutover(input) => cutover_events(state, input, now)?,
        answer => answer::to_due(state, plan, due(state, plan).as_ref(), answer, now)?,
    };
    follow_up(state, plan, &mut events, now);
    Ok(events)
}

/// The copy's snapshot died with the process; a change of authority looks after itself.
fn restarted(state: &State, now: WallMs) -> Result<Vec<Event>, Refusal> {
    let mut events = cutover_events(state, &cutover::Input::Restarted, now)?;
    if state.data == DataStage::Copying {
        events.push(Event::CopyLost);
    }
    Ok(events)
}

fn cutover_events(
    state: &State,
    input: &cutover::Input,
    now: WallMs,
) -> Result<Vec<Event>, Refusal> {
    let events = cutover::decide(&state.cutover, input, now)?;
    Ok(events.into_iter().map(|event| Event::Cutover { event }).collect())
}

fn proven(rows: Option<u64>, different: u64) -> Vec<Event> {
    let mut events = vec![Event::Proven { rows, different }];
    if different > 0 {
        events.push(answer::pause(
            format!("at the seal {different} rows differed between the sides"),
            "changeover verify",
        ));
    }
    events
}

/// What follows at once from the events: steps that begin or end by themselves.
fn follow_up(state: &State, plan: &Plan, events: &mut Vec<Event>, now: WallMs) {
    let mut after = state.clone();
    events.iter().for_each(|event| apply(&mut after, event));
    if let (Some(_), None) = (&state.cutover.attempt, &after.cutover.attempt)
        && let Some(why) = unmoved(&after.cutover.last)
    {
        let consequences = answer::attempt_ended(&after, plan, why, now);
        consequences.iter().for_each(|event| apply(&mut after, event));
        events.extend(consequences);
    }
    while let Some(event) = next_by_itself(&after, plan, now) {
        apply(&mut after, &event);
        events.push(event);
    }
}

fn unmoved(outcome: &Option<cutover::Outcome>) -> Option<&str> {
    match outcome {
        Some(cutover::Outcome::CalledOff { why, .. } | cutover::Outcome::WentBack { why, .. }) => {
            Some(why)
        }
        Some(cutover::Outcome::Moved { .. }) | None => None,
    }
}

fn next_by_itself(state: &State, plan: &Plan, now: WallMs) -> Option<Event> {
    if state.cutover.attempt.is_some() || state.pause.is_some() || state.rests().is_some() {
        return None;
    }
    match &state.mode {
        Mode::Forward => match plan.steps().nth(state.at) {
            None => Some(Event::PlanDone { at: now }),
            Some(_) if state.since.is_none() => Some(Event::StepBegun { at: now }),
            Some(placed) => answer::ends_by_itself(state, placed.step),
        },
        Mode::RollingBack { .. } if !state.has_moved_something() => Some(Event::RolledBack),
        _ => None,
    }
}

/// What was due, for a refusal's text.
fn name_of(due: Option<&Command>) -> String {
    due.map_or_else(|| "anything".to_owned(), |command| format!("{command:?}"))
}
