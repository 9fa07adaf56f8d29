//! What the shell must do now. Derived from the state and the plan alone.

use changeover_cutover as cutover;
use changeover_plan::{PlacedStep, Plan, Step};
use changeover_types::{RouteName, Share, Side, WallMs};

use crate::canary;
use crate::control::WayBack;
use crate::decide::entrance;
use crate::state::{DataStage, Mode, ProofStage, State};

/// An effect for the shell to perform; each is safe to perform again.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Preflight; our schema, genesis row and publication on both sides.
    Install,
    /// Slot, snapshot, schema, seal of the target, rows.
    Copy,
    /// Remove what a lost copy left: slot and copied rows.
    UndoCopy,
    /// Indexes, constraints and the rest of the schema.
    Build,
    /// Wait until the forward relay has caught up.
    CatchUp,
    /// Slot on the target, reverse relay live in discard mode.
    PrepareReverse,
    /// Compare both sides at one position.
    Verify,
    /// The same in place of a proof that was lost, once nothing else is due; tried until it succeeds.
    MakeUpForProof,
    /// Carry out the check that the step at this index is.
    Check {
        /// Among the plan's steps.
        step: usize,
    },
    /// Order the gates to send this share of requests to the target.
    SetWeight {
        /// The share.
        share: Share,
        /// Of this route alone; without one see [`changeover_types::Split::set`].
        route: Option<RouteName>,
    },
    /// Watch the target in the step at this index (a canary at its present weight, or a switch at
    /// once), and give what was seen: when there is a judgement, and now and then before.
    Watch {
        /// Among the plan's steps.
        step: usize,
        /// When the weight was set.
        since: WallMs,
    },
    /// Nothing but time.
    Wait {
        /// When to give [`crate::Input::Waited`].
        until: WallMs,
    },
    /// Read the highest epoch of both databases and begin a change of authority.
    BeginCutover {
        /// The side that shall have authority.
        to: Side,
    },
    /// Look at the source's catalogue once, for an approval that is to be asked for or was just
    /// completed.
    LookAtFacts,
    /// Look at it again and again while an approval is waited for; answer when it has changed.
    WatchFacts,
    /// Before anything goes back: can the source take everything? Answered by what stands against it.
    CheckWayBack {
        /// Nobody waits for the answer, so that it may be looked for patiently.
        by_itself: bool,
    },
    /// A step of the cutover protocol.
    Cutover(cutover::Command),
    /// Remove everything of ours from both sides.
    RetireAborted,
    /// End the way back; the side without authority keeps its seal.
    RetireFinished,
}

/// Which relays must be running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relays {
    /// Source to target.
    pub forward: bool,
    /// Target to source.
    pub reverse: bool,
}

/// Which relays must be running in this state; they are kept by the shell beside what is due.
#[must_use]
pub fn relays(state: &State) -> Relays {
    let live =
        !matches!(state.mode, Mode::Aborting | Mode::Aborted | Mode::Finishing | Mode::Finished);
    Relays { forward: live && state.data >= DataStage::Built, reverse: live && state.reverse_ready }
}

/// What is to be done in this state; nothing when the run waits for its operator or is over.
#[must_use]
pub fn due(state: &State, plan: &Plan) -> Option<Command> {
    // A change of authority that has begun is always brought to its end first.
    if let Some(command) = cutover::due(&state.cutover) {
        return Some(Command::Cutover(command));
    }
    let held = state.mode == Mode::Forward && state.control.held().is_some();
    if state.pause.is_some() || held {
        return going_on(state, plan);
    }
    match &state.mode {
        Mode::Forward => forward(state, plan),
        Mode::RollingBack { .. } => rolling_back(state, plan),
        Mode::Aborting if state.highest_permille() > 0 => Some(nothing_to_the_target()),
        Mode::Aborting => Some(Command::RetireAborted),
        Mode::Finishing => Some(Command::RetireFinished),
        Mode::Done | Mode::RolledBack { .. } if state.proof_is(ProofStage::Lost) => {
            Some(Command::MakeUpForProof)
        }
        Mode::Done | Mode::RolledBack { .. } | Mode::Aborted | Mode::Finished => None,
    }
}

/// What goes on in a run that begins nothing: the copy or the build that a pause found under way,
/// and the judgement of requests that go to the target already.
fn going_on(state: &State, plan: &Plan) -> Option<Command> {
    if state.mode != Mode::Forward {
        return None;
    }
    let finishing = state.pause.as_ref().is_some_and(|pause| pause.finishing);
    match forward(state, plan) {
        Some(Command::Watch { step, since }) => Some(Command::Watch { step, since }),
        Some(command @ (Command::Copy | Command::Build))
            if finishing && state.data != DataStage::Installed =>
        {
            Some(command)
        }
        _ => None,
    }
}

fn forward(state: &State, plan: &Plan) -> Option<Command> {
    if let Some((share, route)) = state.to_put_back() {
        return Some(Command::SetWeight { share, route });
    }
    if state.rests().is_some() {
        return None;
    }
    let placed = plan.steps().nth(state.at)?;
    if entrance::shut(state, plan).is_some() {
        return entering(state, plan, &placed);
    }
    match placed.step {
        Step::Replicate => match state.data {
            DataStage::Nothing => Some(Command::Install),
            DataStage::Installed | DataStage::Copying => Some(Command::Copy),
            DataStage::CopyLost => Some(Command::UndoCopy),
            DataStage::Copied => Some(Command::Build),
            DataStage::Built | DataStage::Following => Some(Command::CatchUp),
        },
        Step::Verify => Some(Command::Verify),
        Step::Smoke(_) | Step::Load(_) | Step::Mirror(_) | Step::Run { .. } => {
            Some(Command::Check { step: state.at })
        }
        Step::Canary(_) | Step::BlueGreen(_) | Step::Phased(_) => {
            let (share, route) = wanted(state, placed.step)?;
            match state.since {
                Some(since) if is_so(state, share, route) => {
                    Some(Command::Watch { step: state.at, since })
                }
                _ => Some(Command::SetWeight { share, route: route.cloned() }),
            }
        }
        Step::Cutover { .. } => Some(towards(Side::Target, state)),
        Step::Shift { target_permille, route } => {
            let salt = state.share_of(route.as_ref()).salt;
            let share = Share { target_permille: *target_permille, salt };
            Some(Command::SetWeight { share, route: route.clone() })
        }
        Step::Soak { for_ } => {
            let since = state.since?;
            let wait_ms = u64::try_from(for_.as_millis()).unwrap_or(u64::MAX);
            Some(Command::Wait { until: WallMs(since.0.saturating_add(wait_ms)) })
        }
        // The one step that cannot be taken back is never begun without the operator's verb.
        Step::Finish => None,
    }
}

/// The share that a step which watches the target wants, and of which route. A canary draws those
/// who keep their side anew; whatever else moves requests leaves them drawn as they are.
fn wanted<'a>(state: &State, step: &'a Step) -> Option<(Share, Option<&'a RouteName>)> {
    let whole = |route: Option<&'a RouteName>| {
        let salt = state.share_of(route).salt;
        Some((Share { target_permille: 1000, salt }, route))
    };
    match step {
        Step::Canary(canary) => {
            let target_permille = *canary.weights.get(state.canary_index)?;
            let share = Share { target_permille, salt: state.newest_salt };
            Some((share, canary.route.as_ref()))
        }
        Step::BlueGreen(switch) => whole(switch.route.as_ref()),
        Step::Phased(phased) => whole(Some(phased.routes.get(state.canary_index)?)),
        _ => None,
    }
}

/// The whole of everything leaves no route with a share of its own.
pub(crate) fn is_so(state: &State, share: Share, route: Option<&RouteName>) -> bool {
    let all = route.is_none() && share.target_permille == 1000;
    state.share_of(route) == share && (!all || state.split.own.is_empty())
}

fn nothing_to_the_target() -> Command {
    Command::SetWeight { share: Share::default(), route: None }
}

/// What a phase that may not run yet waits for.
fn entering(state: &State, plan: &Plan, placed: &PlacedStep<'_>) -> Option<Command> {
    if let Some(window) = entrance::window(state, placed).filter(|window| !window.reached) {
        return Some(Command::Wait { until: window.opens });
    }
    plan.phases[placed.phase].entrance.approve.as_ref()?;
    Some(match entrance::asked(state, placed) {
        Some(asked) if !asked.is_complete() => Command::WatchFacts,
        Some(_) | None => Command::LookAtFacts,
    })
}

fn towards(to: Side, state: &State) -> Command {
    if !state.reverse_ready {
        return Command::PrepareReverse;
    }
    match state.next_attempt_at {
        Some(until) => Command::Wait { until },
        None => Command::BeginCutover { to },
    }
}

/// Weights first, then authority; at once where the requests must be with the authority.
fn rolling_back(state: &State, plan: &Plan) -> Option<Command> {
    if state.control.way_back != WayBack::Clear {
        let by_itself = state.control.way_back == WayBack::ToProve;
        return Some(Command::CheckWayBack { by_itself });
    }
    let moved = state.cutover.authority == Side::Target;
    if state.highest_permille() > 0 && !(moved && plan.requests_follow_authority()) {
        return Some(nothing_to_the_target());
    }
    moved.then(|| towards(Side::Source, state))
}

/// When the way back has been kept open for as long as the plan asked, and `finish` is due to be
/// asked for. Nothing closes by itself.
#[must_use]
pub fn ask_for_finish_at(state: &State, plan: &Plan) -> Option<WallMs> {
    let keep_ms = u64::try_from(plan.data.reverse_keep.as_millis()).unwrap_or(u64::MAX);
    let done_at = state.done_at.filter(|_| state.mode == Mode::Done && plan.moves_data())?;
    Some(WallMs(done_at.0.saturating_add(keep_ms)))
}

/// When the shell must give [`crate::Input::Deadline`].
#[must_use]
pub fn wake(state: &State, plan: &Plan) -> Option<WallMs> {
    let of_cutover = cutover::wake(&state.cutover);
    let of_run = [entrance::wake(state, plan), canary::late(state, plan)];
    of_cutover.into_iter().chain(of_run.into_iter().flatten()).min()
}
