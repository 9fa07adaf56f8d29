//! What the shell's answer means.

use changeover_types::{Epoch, Lsn, Side, WallMs};

use crate::apply::Event;
use crate::due::deadline;
use crate::state::{Attempt, BackendIdent, Stage, State};

/// What the shell saw or was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Move authority to `to`.
    Begin {
        /// The side that shall have authority.
        to: Side,
        /// The highest epoch found in either database just now.
        highest_seen: Epoch,
        /// The bound on the write pause, in milliseconds.
        write_pause_ms: u64,
    },
    /// The first input of every life of the shell: sessions and holds of the last one are gone.
    Restarted,
    /// The operator, or the run, wants the attempt to end if it still can.
    CallOffAsked {
        /// Why.
        why: String,
    },
    /// The time of [`crate::wake`] has come.
    Deadline,
    /// The step that was due is done.
    Done,
    /// Step 4 is done; the seal may be intended.
    Prepared {
        /// L.
        lease: BackendIdent,
    },
    /// The step that was due failed, for certain without effect (L or U is rolled back).
    Failed {
        /// Why, naming who blocked.
        why: String,
    },
    /// The seal is committed.
    SealCommitted {
        /// Where its commit ended.
        lsn: Lsn,
        /// U.
        unsealer: Option<BackendIdent>,
    },
    /// A COMMIT was sent and its answer lost.
    InDoubt,
    /// The resolver read, under the lock, whether the seal is there.
    SealResolved {
        /// Whether it is.
        committed: bool,
    },
    /// The taking side's rows say that this epoch is burnt there.
    FoundBurnt,
    /// The taking side's rows say that this epoch is granted there.
    FoundGranted,
    /// The step took longer than [`Command::within`](crate::Command::within): it was dropped, and what
    /// it sent may or may not happen, at once or later.
    Unanswered,
    /// The taking side has not answered for so long that its burn is given up.
    OutOfReach,
}

/// Why an input was not accepted. Nothing changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An attempt is under way.
    #[error("a change of authority is under way in epoch {0}")]
    UnderWay(Epoch),
    /// The side has authority already.
    #[error("the {0} has authority already")]
    AlreadyThere(Side),
    /// There is no attempt.
    #[error("no change of authority is under way")]
    NotUnderWay,
    /// Too late to call it off.
    #[error("the grant of epoch {0} is intended: the change of authority can only go forward")]
    TooLate(Epoch),
    /// The shell answered something that was not due: a bug of ours.
    #[error("{input} does not answer what is due in stage {stage}")]
    OutOfStep {
        /// What came.
        input: String,
        /// Where the attempt stands.
        stage: String,
    },
}

/// Decides what an input makes happen; the caller journals the events, then applies them.
///
/// # Errors
/// A [`Refusal`] changes nothing.
pub fn decide(state: &State, input: &Input, now: WallMs) -> Result<Vec<Event>, Refusal> {
    match (&state.attempt, input) {
        (Some(attempt), Input::Begin { .. }) => Err(Refusal::UnderWay(attempt.epoch)),
        (None, Input::Begin { to, highest_seen, write_pause_ms }) => {
            if *to == state.authority {
                return Err(Refusal::AlreadyThere(*to));
            }
            let epoch = state.highest.max(*highest_seen).next();
            let from = to.other();
            Ok(vec![Event::AttemptBegun { epoch, from, write_pause_ms: *write_pause_ms }])
        }
        (None, Input::Restarted | Input::Deadline) => Ok(vec![]),
        (None, _) => Err(Refusal::NotUnderWay),
        (Some(attempt), Input::Restarted) => Ok(after_restart(attempt)),
        (Some(attempt), Input::CallOffAsked { why }) => call_off(attempt, why),
        (Some(attempt), Input::Deadline) => Ok(at_deadline(attempt, now)),
        (Some(attempt), answer) => answered(attempt, answer, now),
    }
}

/// Sessions are gone: before the seal that undid everything; after it, rows decide.
fn after_restart(attempt: &Attempt) -> Vec<Event> {
    let why = || "the run was restarted in the middle of the attempt".to_owned();
    match &attempt.stage {
        Stage::Rehearsing
        | Stage::Holding
        | Stage::Leasing
        | Stage::Draining
        | Stage::Preparing => vec![Event::CalledOff { why: why() }],
        Stage::Sealing { in_doubt: false, .. } => vec![Event::SealInDoubt],
        Stage::Sealed { .. } => vec![Event::GoingBack { why: why() }],
        Stage::Granting { redo: false, .. } => vec![Event::GrantInDoubt],
        Stage::Sealing { in_doubt: true, .. }
        | Stage::Granting { redo: true, .. }
        | Stage::Flipping
        | Stage::CallingOff { .. }
        | Stage::Burning { .. }
        | Stage::Unsealing { .. }
        | Stage::Returning { .. } => vec![],
    }
}

fn call_off(attempt: &Attempt, why: &str) -> Result<Vec<Event>, Refusal> {
    match &attempt.stage {
        Stage::CallingOff { .. }
        | Stage::Burning { .. }
        | Stage::Unsealing { .. }
        | Stage::Returning { .. } => Ok(vec![]),
        Stage::Sealed { .. } => Ok(vec![Event::GoingBack { why: why.to_owned() }]),
        stage if stage.is_before_seal() => Ok(vec![Event::CalledOff { why: why.to_owned() }]),
        _ => Err(Refusal::TooLate(attempt.epoch)),
    }
}

fn at_deadline(attempt: &Attempt, now: WallMs) -> Vec<Event> {
    let passed = deadline(attempt).is_some_and(|end| now >= end);
    let running =
        attempt.stage.is_before_seal() && !matches!(attempt.stage, Stage::CallingOff { .. });
    if passed && running { vec![Event::CalledOff { why: out_of_time(attempt) }] } else { vec![] }
}

fn out_of_time(attempt: &Attempt) -> String {
    let doing = match attempt.stage {
        Stage::Holding => "waiting for open work to end",
        Stage::Leasing => "waiting for table locks",
        Stage::Draining => "waiting for the other side to apply the last changes",
        _ => "preparing the other side",
    };
    format!("the write pause of {} ms was used up while {doing}", attempt.write_pause_ms)
}

/// The one table of the protocol: stage and answer on the left, what happened on the right.
fn answered(attempt: &Attempt, input: &Input, now: WallMs) -> Result<Vec<Event>, Refusal> {
    let back = |why: &str| vec![Event::GoingBack { why: why.to_owned() }];
    Ok(match (&attempt.stage, input) {
        (Stage::Rehearsing, Input::Done) => vec![Event::Rehearsed { at: now }],
        (Stage::Holding, Input::Done) => vec![Event::Held],
        (Stage::Leasing, Input::Done) => vec![Event::Leased],
        (Stage::Draining, Input::Done) => vec![Event::Drained],
        (Stage::Preparing, Input::Prepared { lease }) => {
            vec![Event::SealIntended { lease: lease.clone() }]
        }
        (Stage::CallingOff { .. }, Input::Done) => vec![Event::Released],
        (Stage::CallingOff { .. }, _) => vec![],
        // Nothing before the seal outlives its session.
        (stage, Input::Unanswered) if stage.is_before_seal() => {
            vec![Event::CalledOff { why: "a server did not answer in time".to_owned() }]
        }
        (stage, Input::Failed { why }) if stage.is_before_seal() => {
            vec![Event::CalledOff { why: why.clone() }]
        }

        (Stage::Sealing { .. }, Input::SealCommitted { lsn, unsealer }) => {
            vec![Event::Sealed { lsn: Some(*lsn), unsealer: unsealer.clone() }]
        }
        (Stage::Sealing { in_doubt: false, .. }, Input::Failed { why }) => {
            vec![Event::CalledOff { why: why.clone() }]
        }
        (Stage::Sealing { in_doubt: false, .. }, Input::InDoubt | Input::Unanswered) => {
            vec![Event::SealInDoubt]
        }
        (Stage::Sealing { .. }, Input::SealResolved { committed: false }) => {
            vec![Event::CalledOff { why: "the seal's commit did not happen".to_owned() }]
        }
        (Stage::Sealing { .. }, Input::SealResolved { committed: true }) => vec![
            Event::Sealed { lsn: None, unsealer: None },
            Event::GoingBack { why: "the seal's commit was in doubt for a while".to_owned() },
        ],

        (Stage::Sealed { .. }, Input::Done) => vec![Event::GrantIntended],
        (Stage::Sealed { .. }, Input::Failed { why }) => back(why),
        (Stage::Sealed { .. }, Input::Unanswered) => {
            back("a server did not answer in time after the seal")
        }

        (Stage::Granting { .. }, Input::Done | Input::FoundGranted) => vec![Event::Granted],
        (
            Stage::Granting { redo: false, .. },
            Input::InDoubt | Input::Unanswered | Input::Failed { .. },
        ) => vec![Event::GrantInDoubt],
        (Stage::Granting { .. }, Input::FoundBurnt) => {
            back("another resolver burnt the epoch on the side that was to take over")
        }

        (Stage::Flipping, Input::Done) => vec![Event::Flipped],
        (Stage::Burning { .. }, Input::Done | Input::FoundBurnt) => vec![Event::Burnt],
        (Stage::Burning { .. }, Input::FoundGranted) => vec![Event::Granted],
        (Stage::Burning { .. }, Input::OutOfReach) => vec![Event::BurnWaived],
        (Stage::Unsealing { .. }, Input::Done) => vec![Event::Unsealed],
        (Stage::Returning { .. }, Input::Done) => vec![Event::Returned],

        // The shell could not do it this time; the same command stays due.
        (stage, Input::Failed { .. } | Input::InDoubt | Input::Unanswered) if is_patient(stage) => {
            vec![]
        }
        (stage, input) => {
            return Err(Refusal::OutOfStep {
                input: format!("{input:?}"),
                stage: format!("{stage:?}"),
            });
        }
    })
}

/// Stages in which there is nothing to decide but to try again.
fn is_patient(stage: &Stage) -> bool {
    matches!(
        stage,
        Stage::Sealing { in_doubt: true, .. }
            | Stage::Granting { redo: true, .. }
            | Stage::Flipping
            | Stage::Burning { .. }
            | Stage::Unsealing { .. }
            | Stage::Returning { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply;

    fn feed(state: &mut State, input: &Input) {
        for event in decide(state, input, WallMs(0)).unwrap() {
            apply(state, &event);
        }
    }

    /// Finding 1: a late barrier of a called-off attempt must not prove the next one's drain.
    #[test]
    fn an_epoch_is_never_used_again_also_after_a_call_off() {
        let mut state = State::genesis();
        let begin = Input::Begin { to: Side::Target, highest_seen: Epoch(1), write_pause_ms: 500 };
        let mut used = state.highest;
        for _ in 0..3 {
            feed(&mut state, &begin);
            let epoch = state.attempt.as_ref().map(|attempt| attempt.epoch);
            assert!(epoch > Some(used), "{epoch:?} after {used}");
            used = state.highest;
            feed(&mut state, &Input::CallOffAsked { why: String::new() });
            feed(&mut state, &Input::Done);
            assert!(state.attempt.is_none());
        }
    }
}
