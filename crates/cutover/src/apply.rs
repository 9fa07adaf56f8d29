//! What happened, and what it makes of the state. Total: every event has an effect or none.

use changeover_types::{Epoch, Lsn, Side, WallMs};
use serde::{Deserialize, Serialize};

use crate::state::{Attempt, BackendIdent, Outcome, Stage, State};

/// A journal record of the cutover.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// An attempt begins; from here its epoch is used up.
    AttemptBegun {
        /// Its epoch.
        epoch: Epoch,
        /// The side that gives authority away.
        from: Side,
        /// Its bound on the write pause, in milliseconds.
        write_pause_ms: u64,
    },
    /// Step 0 passed.
    Rehearsed {
        /// The write pause counts from here: the hold order is what comes next.
        at: WallMs,
    },
    /// Step 1 passed.
    Held,
    /// Step 2 passed.
    Leased,
    /// Step 3 passed.
    Drained,
    /// Step 4 passed, and the seal is what comes next.
    SealIntended {
        /// L.
        lease: BackendIdent,
    },
    /// The answer to the seal's commit was lost.
    SealInDoubt,
    /// The giving side is sealed.
    Sealed {
        /// Where, if the answer was seen.
        lsn: Option<Lsn>,
        /// U, if it lives.
        unsealer: Option<BackendIdent>,
    },
    /// Step 6 passed, and the grant is what comes next: no way back from here but forward.
    GrantIntended,
    /// U was lost or its answer was: do the grant again.
    GrantInDoubt,
    /// The taking side has authority.
    Granted,
    /// Step 8 passed: the attempt is over.
    Flipped,
    /// The attempt will end with nothing changed.
    CalledOff {
        /// Why.
        why: String,
    },
    /// It has ended so.
    Released,
    /// The seal will be taken back.
    GoingBack {
        /// Why.
        why: String,
    },
    /// The taking side can never be granted this epoch.
    Burnt,
    /// The taking side cannot be reached to burn the epoch there, and need not be: the journal
    /// says that its grant was never intended, and the session that could have made it is gone.
    BurnWaived,
    /// The giving side has authority again.
    Unsealed,
    /// The attempt is over, authority where it was.
    Returned,
}

/// Makes the event so. An event that does not fit the state changes nothing.
pub fn apply(state: &mut State, event: &Event) {
    if let Event::AttemptBegun { epoch, from, write_pause_ms } = event {
        state.highest = state.highest.max(*epoch);
        state.attempt = Some(Attempt {
            epoch: *epoch,
            from: *from,
            held_at: None,
            write_pause_ms: *write_pause_ms,
            stage: Stage::Rehearsing,
        });
        return;
    }
    let Some(attempt) = state.attempt.as_mut() else { return };
    let (epoch, from, to) = (attempt.epoch, attempt.from, attempt.to());
    match event {
        Event::AttemptBegun { .. } => {}
        Event::Rehearsed { at } => {
            attempt.held_at = Some(*at);
            attempt.stage = Stage::Holding;
        }
        Event::Held => attempt.stage = Stage::Leasing,
        Event::Leased => attempt.stage = Stage::Draining,
        Event::Drained => attempt.stage = Stage::Preparing,
        Event::SealIntended { lease } => {
            attempt.stage = Stage::Sealing { lease: lease.clone(), in_doubt: false };
        }
        Event::SealInDoubt => {
            if let Stage::Sealing { in_doubt, .. } = &mut attempt.stage {
                *in_doubt = true;
            }
        }
        Event::Sealed { lsn, unsealer } => {
            attempt.stage = Stage::Sealed { unsealer: unsealer.clone(), lsn: *lsn };
        }
        Event::GrantIntended => {
            if let Stage::Sealed { unsealer, .. } = &attempt.stage {
                attempt.stage = Stage::Granting { unsealer: unsealer.clone(), redo: false };
            }
        }
        Event::GrantInDoubt => {
            if let Stage::Granting { redo, .. } = &mut attempt.stage {
                *redo = true;
            }
        }
        Event::Granted => {
            attempt.stage = Stage::Flipping;
            state.authority = to;
            state.authority_epoch = epoch;
        }
        Event::Flipped => end(state, Outcome::Moved { epoch, to }),
        Event::CalledOff { why } => attempt.stage = Stage::CallingOff { why: why.clone() },
        Event::Released => {
            let why = attempt.why();
            end(state, Outcome::CalledOff { epoch, why });
        }
        Event::GoingBack { why } => attempt.stage = Stage::Burning { why: why.clone() },
        Event::Burnt | Event::BurnWaived => attempt.stage = Stage::Unsealing { why: attempt.why() },
        Event::Unsealed => {
            attempt.stage = Stage::Returning { why: attempt.why() };
            state.authority = from;
            state.authority_epoch = epoch.next();
            state.highest = state.highest.max(epoch.next());
        }
        Event::Returned => {
            let why = attempt.why();
            end(state, Outcome::WentBack { epoch, why });
        }
    }
}

fn end(state: &mut State, outcome: Outcome) {
    state.attempt = None;
    state.last = Some(outcome);
}

impl Attempt {
    /// Why the attempt is being taken back, if it is.
    fn why(&self) -> String {
        match &self.stage {
            Stage::CallingOff { why }
            | Stage::Burning { why }
            | Stage::Unsealing { why }
            | Stage::Returning { why } => why.clone(),
            Stage::Rehearsing
            | Stage::Holding
            | Stage::Leasing
            | Stage::Draining
            | Stage::Preparing
            | Stage::Sealing { .. }
            | Stage::Sealed { .. }
            | Stage::Granting { .. }
            | Stage::Flipping => String::new(),
        }
    }
}
