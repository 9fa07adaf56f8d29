//! What the shell must do now. Derived from the state alone.

use std::time::Duration;

use changeover_types::{Epoch, Side, WallMs};

use crate::state::{Attempt, BackendIdent, Stage, State};

/// An effect for the shell to perform; each is safe to perform again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Step 0: lock rehearsal with NOWAIT, ping barriers, lock-table room, standbys, reverse relay.
    Rehearse,
    /// Step 1: gates hold and acknowledge; wait until no gate has open work.
    Hold,
    /// Step 2: open L, lock tables and sequences, take the catalogue digest.
    Lease,
    /// Step 3: create and enable the seal in L; barrier by a second session, wait until it is
    /// applied; carry the sequences over.
    Drain,
    /// Step 4: open U on the taking side with the unseal executed; open its proof snapshot.
    Prepare,
    /// Step 5: digest again, renew holds, tell the gates `sealing`, commit L.
    Seal,
    /// Step 5 in doubt: terminate L, take the migration's lock, read the epoch row.
    ResolveSeal {
        /// L.
        lease: BackendIdent,
    },
    /// Step 6: wait until the seal row is applied on the taking side; standbys; digest; proof
    /// snapshot of the giving side.
    AwaitSeal,
    /// Step 7: commit U.
    Grant,
    /// Step 7 after U was lost: terminate it, and do the whole grant under the migration's lock.
    RedoGrant {
        /// The lost U.
        unsealer: Option<BackendIdent>,
    },
    /// Step 8: route the gates to the new authority, release; make the old triggers inert.
    Flip,
    /// Roll L and U back; release the gates where they are.
    CallOff,
    /// Write the burn row of the attempt's epoch on the taking side.
    Burn,
    /// Write the unseal row on the giving side in this epoch.
    Unseal {
        /// The epoch that gives authority back.
        epoch: Epoch,
    },
    /// Route the gates to the old authority under its new epoch, release.
    Return,
}

impl Command {
    /// How long the shell may take before it drops the step and says [`crate::Input::Unanswered`].
    /// Connections die without a word, and from the seal on nobody may write: no step waits for
    /// ever. `None` while the write pause is the bound ([`wake`]). Together, from the seal to
    /// authority on one side, this is less than the time for which gates hold.
    #[must_use]
    pub fn within(&self) -> Option<Duration> {
        let seconds = match self {
            Command::Hold | Command::Lease | Command::Drain | Command::Prepare => return None,
            // Nobody waits yet, and catalogues may be large.
            Command::Rehearse => 300,
            Command::Seal | Command::Grant | Command::CallOff => 6,
            Command::AwaitSeal => 9,
            Command::Burn | Command::Unseal { .. } => 5,
            Command::ResolveSeal { .. } | Command::RedoGrant { .. } => 12,
            // Gates first: whoever waits has been released when the rest begins.
            Command::Flip | Command::Return => 60,
        };
        Some(Duration::from_secs(seconds))
    }
}

/// What is to be done in this state; nothing when no attempt is under way.
#[must_use]
pub fn due(state: &State) -> Option<Command> {
    let attempt = state.attempt.as_ref()?;
    Some(match &attempt.stage {
        Stage::Rehearsing => Command::Rehearse,
        Stage::Holding => Command::Hold,
        Stage::Leasing => Command::Lease,
        Stage::Draining => Command::Drain,
        Stage::Preparing => Command::Prepare,
        Stage::Sealing { in_doubt: false, .. } => Command::Seal,
        Stage::Sealing { in_doubt: true, lease } => Command::ResolveSeal { lease: lease.clone() },
        Stage::Sealed { .. } => Command::AwaitSeal,
        Stage::Granting { redo: false, .. } => Command::Grant,
        Stage::Granting { redo: true, unsealer } => {
            Command::RedoGrant { unsealer: unsealer.clone() }
        }
        Stage::Flipping => Command::Flip,
        Stage::CallingOff { .. } => Command::CallOff,
        Stage::Burning { .. } => Command::Burn,
        Stage::Unsealing { .. } => Command::Unseal { epoch: attempt.epoch.next() },
        Stage::Returning { .. } => Command::Return,
    })
}

/// When the shell must give [`crate::Input::Deadline`]: the end of the write pause, as long as the
/// attempt can still be called off for nothing.
#[must_use]
pub fn wake(state: &State) -> Option<WallMs> {
    let attempt = state.attempt.as_ref()?;
    let calling_off = matches!(attempt.stage, Stage::CallingOff { .. });
    if calling_off || !attempt.stage.is_before_seal() { None } else { deadline(attempt) }
}

/// When the write pause of this attempt is used up.
pub(crate) fn deadline(attempt: &Attempt) -> Option<WallMs> {
    attempt.held_at.map(|at| WallMs(at.0.saturating_add(attempt.write_pause_ms)))
}

impl Attempt {
    /// How much of the write pause is left at `now`; all of it before the hold, and never more: a
    /// clock that is set back must not hold clients for longer.
    #[must_use]
    pub fn pause_left(&self, now: WallMs) -> Duration {
        let all = Duration::from_millis(self.write_pause_ms);
        deadline(self).map_or(all, |end| end.since(now).min(all))
    }

    /// The side on which the given command's session works, for messages.
    #[must_use]
    pub fn side_of(&self, command: &Command) -> Side {
        match command {
            Command::Prepare
            | Command::Grant
            | Command::RedoGrant { .. }
            | Command::Burn
            | Command::Flip => self.to(),
            Command::Rehearse
            | Command::Hold
            | Command::Lease
            | Command::Drain
            | Command::Seal
            | Command::ResolveSeal { .. }
            | Command::AwaitSeal
            | Command::CallOff
            | Command::Unseal { .. }
            | Command::Return => self.from,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_from_the_seal_on_has_an_end() {
        let lease = BackendIdent { pid: 1, backend_start: String::new() };
        let why = String::new;
        for stage in [
            Stage::Sealing { lease: lease.clone(), in_doubt: false },
            Stage::Sealing { lease, in_doubt: true },
            Stage::Sealed { unsealer: None, lsn: None },
            Stage::Granting { unsealer: None, redo: false },
            Stage::Granting { unsealer: None, redo: true },
            Stage::Flipping,
            Stage::CallingOff { why: why() },
            Stage::Burning { why: why() },
            Stage::Unsealing { why: why() },
            Stage::Returning { why: why() },
        ] {
            let (epoch, from, held_at) = (Epoch(2), Side::Source, Some(WallMs(0)));
            let attempt =
                Attempt { epoch, from, held_at, write_pause_ms: 500, stage: stage.clone() };
            let state = State { attempt: Some(attempt), ..State::genesis() };
            assert!(wake(&state).is_none());
            assert!(due(&state).is_some_and(|it| it.within().is_some()), "{stage:?}");
        }
        // A connection that dies just after the seal: await, burn, unseal.
        let way_back = [Command::AwaitSeal, Command::Burn, Command::Unseal { epoch: Epoch(3) }];
        let longest: Duration = way_back.iter().filter_map(Command::within).sum();
        assert!(longest < Duration::from_secs(20), "{longest:?}");
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_pause_longer() {
        let attempt = Attempt {
            epoch: Epoch(2),
            from: Side::Source,
            held_at: Some(WallMs(1_000_000)),
            write_pause_ms: 500,
            stage: Stage::Leasing,
        };
        assert_eq!(attempt.pause_left(WallMs(1_000_100)), Duration::from_millis(400));
        assert_eq!(attempt.pause_left(WallMs(1_000_500)), Duration::ZERO);
        assert_eq!(attempt.pause_left(WallMs(0)), Duration::from_millis(500));
    }
}
