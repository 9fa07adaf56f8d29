//! What an answer of the shell, or a word of the operator, makes happen.

mod answer;
pub(crate) mod automatic;
pub(crate) mod entrance;
mod operator;
mod skip;

use changeover_cutover as cutover;
use changeover_plan::{Plan, Step, Unmovable};
use changeover_types::{CheckReport, Epoch, Side, Task, WallMs};

use crate::apply::apply;
use crate::canary::{self, Watching};
use crate::control::Who;
use crate::due::{Command, due, is_so};
use crate::event::Event;
use crate::guard::{self, Reading};
use crate::next::Next;
use crate::state::{DataStage, Mode, Pause, Proof, ProofStage, State};

pub(crate) use automatic::stop_here;

/// What the shell saw or was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The first input of every life of the shell.
    Restarted,
    /// The operator wants the run to go on (`apply`), also after a rollback.
    GoOn {
        /// Who.
        by: Option<Who>,
    },
    /// The same, but only to the end of a phase (`apply --until`).
    GoOnUntil {
        /// Its name.
        phase: String,
        /// Who.
        by: Option<Who>,
    },
    /// Somebody ran `apply`.
    Applied {
        /// Who.
        who: Who,
    },
    /// The operator wants nothing more to begin.
    Pause {
        /// Who.
        who: Who,
        /// Why.
        why: String,
    },
    /// The operator wants a paused run to go on.
    Resume {
        /// Who.
        who: Who,
    },
    /// The operator leaves a check or a wait out.
    Skip {
        /// The step that is meant: a word that comes twice must not leave out two.
        step: String,
        /// Who.
        who: Who,
        /// Why.
        why: String,
    },
    /// Somebody who is asked says yes.
    Approve {
        /// Who.
        who: Who,
        /// The digest of the facts that they looked at.
        facts: String,
    },
    /// Somebody who is asked says no.
    Reject {
        /// Who.
        who: Who,
        /// The digest of the facts that they looked at.
        facts: String,
        /// Why.
        why: String,
    },
    /// Go no further than the end of the present step, or begin none; nothing if the run goes nowhere.
    Rest,
    /// The operator wants everything back on the source.
    RollBack {
        /// Why.
        why: String,
        /// Who.
        by: Option<Who>,
    },
    /// The operator says what becomes of sessions whose state cannot move.
    Unmovable {
        /// This.
        policy: Unmovable,
        /// Who.
        by: Option<Who>,
    },
    /// The operator wants the target to keep what it has, while that is still possible.
    GiveUpRollback {
        /// Who.
        by: Option<Who>,
    },
    /// The operator wants everything of ours removed.
    Abort {
        /// Who.
        by: Option<Who>,
        /// Also what another run left, which is lost for good.
        lost: bool,
    },
    /// The operator ends the way back.
    Finish {
        /// Who.
        by: Option<Who>,
    },
    /// A guard was looked at.
    Guard {
        /// Which.
        name: String,
        /// What was seen.
        reading: Reading,
    },
    /// Both sides were asked for a metric of the canary that is due to be watched.
    OutsideAsked {
        /// Its index among the canary's.
        at: usize,
        /// When.
        asked: WallMs,
        /// The source's value and the target's, or why there is none.
        pair: Result<(f64, f64), String>,
    },
    /// What is left to do on the target was tried beside what is due.
    TasksTried {
        /// What is left now.
        tasks: Vec<Task>,
    },
    /// Both sides were compared because somebody asked.
    Compared {
        /// Rows compared.
        rows: u64,
        /// Rows that differ.
        different: u64,
    },
    /// The source's catalogue was looked at, for an approval.
    Catalogue {
        /// Its hash; `None` without a database.
        catalogue: Option<String>,
    },
    /// The due command is done.
    Done,
    /// The same of one that also tried what was left to do on the target.
    DoneWith {
        /// What is left now.
        tasks: Vec<Task>,
    },
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
        /// Digest of the file that says what the source was beside its rows.
        definitions: Option<String>,
    },
    /// The due indexes and constraints are there.
    Built {
        /// What is left to do on the target.
        tasks: Vec<Task>,
        /// Digest of the file that says what the target was beside its rows.
        definitions: Option<String>,
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
        /// Of which change of authority.
        epoch: Epoch,
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
    /// The due look at the way back is done.
    WayBack {
        /// What stands against it, unknown things included.
        against: Vec<String>,
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
        next: Next,
    },
    /// The same of a step of the cutover, for a cause that time does not mend.
    Futile {
        /// What happened, and what mends it.
        why: String,
    },
    /// Something that runs beside what is due has stopped for good (a relay), or was found broken.
    Alarm {
        /// What happened.
        why: String,
        /// The command that goes on once the cause is gone.
        next: Next,
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
        Input::GoOn { by } => operator::go_on(state, plan, None, by)?,
        Input::GoOnUntil { phase, by } => {
            operator::go_on(state, plan, operator::bound(state, plan, phase)?, by)?
        }
        Input::Rest => operator::rest(state, plan),
        Input::Applied { who } => operator::applied(state, who),
        Input::Pause { who, why } => operator::pause(state, who, why, now)?,
        Input::Resume { who } => operator::resume(state, who),
        Input::Skip { step, who, why } => skip::skip(state, plan, step, who, why)?,
        Input::Approve { who, facts } => entrance::approve(state, plan, who, facts, now)?,
        Input::Reject { who, facts, why } => entrance::reject(state, plan, who, facts, why)?,
        Input::RollBack { why, by } => operator::roll_back(state, plan, why, by.as_ref(), now)?,
        Input::Unmovable { policy, by } if state.unmovable != Some(*policy) => {
            vec![Event::UnmovableSet { unmovable: *policy, by: by.clone() }]
        }
        Input::Unmovable { .. } => vec![],
        Input::GiveUpRollback { by } => operator::give_up(state, plan, by.as_ref(), now)?,
        Input::Abort { by, .. } => operator::abort(state, by.as_ref(), None, now)?,
        Input::Finish { by } => operator::finish(state, plan, by.as_ref())?,
        Input::Guard { name, reading } => guard::looked(state, plan, name, reading, now),
        Input::OutsideAsked { at, asked, pair } => {
            answer::outside_asked(state, plan, *at, *asked, pair, now)
        }
        // Whoever ends the migration has seen what is left.
        Input::TasksTried { .. } if state.mode.is_over() => vec![],
        Input::TasksTried { tasks } => answer::tasks_left(state, tasks).into_iter().collect(),
        Input::Compared { rows, different } => compared(state, *rows, *different),
        Input::Proven { epoch, rows, different } => proven(*epoch, *rows, *different),
        Input::Alarm { .. } if state.pause.is_some() || state.mode.is_over() => vec![],
        Input::Alarm { why, next } => {
            vec![answer::pause(answer::both_ways(state, why.clone()), *next)]
        }
        Input::Deadline => {
            let mut events = cutover_events(state, &cutover::Input::Deadline, now)?;
            if events.is_empty() {
                events = entrance::deadline(state, plan, now);
            }
            if events.is_empty() {
                events = canary::out_of_time(state, plan, now);
            }
            events
        }
        Input::Cutover(input)
            if automatic::is_forward(state, input) && window_is_over(state, plan, now) =>
        {
            vec![Event::WindowClosed]
        }
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
    // The flip, where it is still to be done, looks after its proof by itself.
    if let Some(Proof { epoch, stage: ProofStage::Pending }) = state.proof
        && state.cutover.attempt.is_none()
    {
        events.push(Event::Proven { epoch: Some(epoch), rows: None, different: 0 });
    }
    // What was to be brought to its end has ended with the process.
    if let Some(pause) = state.pause.as_ref().filter(|pause| pause.finishing) {
        events.push(Event::Paused { pause: Pause { finishing: false, ..pause.clone() } });
    }
    Ok(events)
}

/// Whether the window of the present phase has closed since the phase began.
fn window_is_over(state: &State, plan: &Plan, now: WallMs) -> bool {
    let placed = plan.steps().nth(state.at);
    let window = placed.and_then(|placed| entrance::window(state, &placed));
    window.is_some_and(|window| window.reached && now >= window.closes)
}

/// A comparison that somebody asked for: it counts like that of a step.
fn compared(state: &State, rows: u64, different: u64) -> Vec<Event> {
    let mut events = vec![Event::Verified { rows, different }];
    if different > 0 && state.pause.is_none() && !state.mode.is_over() {
        let why = format!("{different} of {rows} rows differ between the sides");
        events.push(answer::pause(why, Next::Verify));
    }
    events
}

fn cutover_events(
    state: &State,
    input: &cutover::Input,
    now: WallMs,
) -> Result<Vec<Event>, Refusal> {
    let events = cutover::decide(&state.cutover, input, now)?;
    Ok(events.into_iter().map(|event| Event::Cutover { event }).collect())
}

fn proven(epoch: Epoch, rows: Option<u64>, different: u64) -> Vec<Event> {
    let mut events = vec![Event::Proven { epoch: Some(epoch), rows, different }];
    if different > 0 {
        events.push(answer::pause(
            format!("at the seal {different} rows differed between the sides"),
            Next::Verify,
        ));
    }
    events
}

/// What follows at once from the events: steps that begin or end by themselves.
fn follow_up(state: &State, plan: &Plan, events: &mut Vec<Event>, now: WallMs) {
    let mut after = state.clone();
    events.iter().for_each(|event| apply(&mut after, event));
    if let (Some(_), None) = (&state.cutover.attempt, &after.cutover.attempt)
        && after.pause.is_none()
        && let Some(why) = unmoved(&after.cutover.last)
    {
        let consequences = answer::attempt_ended(&after, plan, why, now);
        consequences.iter().for_each(|event| apply(&mut after, event));
        events.extend(consequences);
    }
    if let Some(set) = led(&after, plan, now) {
        apply(&mut after, &set);
        events.push(set);
    }
    while let Some(event) = next_by_itself(&after, plan, now) {
        apply(&mut after, &event);
        events.push(event);
    }
}

/// The flip has led all requests to the target. Back on the source a rollback says so once more.
fn led(state: &State, plan: &Plan, now: WallMs) -> Option<Event> {
    let moved = state.cutover.authority == Side::Target && state.cutover.attempt.is_none();
    let whole = state.split.whole(Side::Target);
    let led = moved && plan.requests_follow_authority() && !is_so(state, whole, None);
    led.then(|| answer::weight(whole, None, now))
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
    if state.to_put_back().is_some() {
        return None;
    }
    match &state.mode {
        Mode::Forward if state.control.held().is_some() => None,
        Mode::Forward => match plan.steps().nth(state.at) {
            None => Some(Event::PlanDone { at: now }),
            Some(placed) if entrance::shut(state, plan).is_some() => {
                entrance::next(state, plan, &placed, now)
            }
            Some(placed) if state.since.is_none() => {
                Some(Event::StepBegun { at: now, salt: fresh_salt(state, placed.step, now) })
            }
            Some(placed) => answer::ends_by_itself(state, placed.step)
                .or_else(|| canary::begins(state, plan, now)),
        },
        Mode::RollingBack { .. } if !state.has_moved_something() => Some(Event::RolledBack),
        _ => None,
    }
}

/// Each canary draws those who keep their side anew, whether it is another one or the same again:
/// whom the one before has counted as unlucky must not be spared, or hit, by the next.
fn fresh_salt(state: &State, step: &Step, now: WallMs) -> Option<u64> {
    matches!(step, Step::Canary(_)).then(|| now.0.max(state.newest_salt.saturating_add(1)))
}

/// What was due, for a refusal's text.
fn name_of(due: Option<&Command>) -> String {
    due.map_or_else(|| "anything".to_owned(), |command| format!("{command:?}"))
}
