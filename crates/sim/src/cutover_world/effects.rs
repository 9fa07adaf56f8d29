//! What the machine's commands do to the databases, and what the shell reads back.

use changeover_cutover::{BackendIdent, Command, Input};
use changeover_types::{Epoch, EpochKind, Lsn, Side};

use super::{Database, Entry, Row, World};

impl Database {
    /// Inserts the row if its epoch is higher than every row's, as the databases do.
    pub(super) fn advance(&mut self, row: Row) -> bool {
        if self.rows.iter().any(|other| other.epoch >= row.epoch) {
            return false;
        }
        self.rows.push(row);
        self.log.push(Entry::Authority(row));
        true
    }

    fn has(&self, kind: EpochKind, epoch: Epoch) -> bool {
        self.rows.contains(&Row { epoch, kind })
    }

    /// Terminates whoever holds the migration's lock here.
    pub(super) fn terminate(&mut self) {
        self.in_flight = None;
        self.locked = false;
    }

    /// Writers wait behind L, U, and any of them that is still committing.
    pub(super) fn writers_wait(&self) -> bool {
        self.locked || self.in_flight.is_some()
    }
}

impl World {
    /// Whether the seal of `from` in `epoch` has come through the stream and was recorded.
    fn seal_was_taken(&self, from: Side, epoch: Epoch) -> bool {
        let seal = Entry::Authority(Row { epoch, kind: EpochKind::Seal });
        let position = self.side(from).log.iter().position(|entry| *entry == seal);
        position.is_some_and(|at| self.side(from.other()).taken > at)
    }

    /// Whether the due command could succeed now.
    pub(super) fn can_succeed(&self, command: &Command) -> bool {
        let Some(attempt) = &self.machine.attempt else { return false };
        match command {
            // The barrier is not trusted: it may be believed too early. The seal row is the proof.
            Command::AwaitSeal => self.seal_was_taken(attempt.from, attempt.epoch),
            Command::RedoGrant { .. } => {
                let to = self.side(attempt.to());
                self.seal_was_taken(attempt.from, attempt.epoch)
                    || to.has(EpochKind::Grant, attempt.epoch)
                    || to.has(EpochKind::Burn, attempt.epoch)
            }
            // L would wait for another's lock, for ever if that session is being committed late.
            Command::Lease => !self.side(attempt.from).writers_wait(),
            Command::Prepare => !self.side(attempt.to()).writers_wait(),
            _ => true,
        }
    }

    /// Performs the command for good and returns what the shell would read back.
    pub(super) fn perform(&mut self, command: &Command) -> Option<Input> {
        let attempt = self.machine.attempt.clone()?;
        let (epoch, from, to) = (attempt.epoch, attempt.from, attempt.to());
        let ident = || BackendIdent { pid: 1, backend_start: String::new() };
        Some(match command {
            Command::Rehearse | Command::Hold | Command::Drain | Command::AwaitSeal => Input::Done,
            Command::Lease => {
                self.side_mut(from).locked = true;
                Input::Done
            }
            Command::Prepare => {
                self.side_mut(to).locked = true;
                Input::Prepared { lease: ident() }
            }
            Command::Seal => {
                let sealed = self.side_mut(from).advance(Row { epoch, kind: EpochKind::Seal });
                self.side_mut(from).locked = false;
                if sealed {
                    Input::SealCommitted { lsn: Lsn(1), unsealer: Some(ident()) }
                } else {
                    Input::Failed { why: "a newer epoch".to_owned() }
                }
            }
            Command::ResolveSeal { .. } => {
                self.side_mut(from).terminate();
                self.side_mut(to).locked = false;
                Input::SealResolved { committed: self.side(from).has(EpochKind::Seal, epoch) }
            }
            Command::Grant | Command::RedoGrant { .. } => {
                self.side_mut(to).terminate();
                self.grant(to, epoch)
            }
            Command::CallOff => {
                self.side_mut(from).locked = false;
                self.side_mut(to).locked = false;
                Input::Done
            }
            Command::Burn => {
                self.side_mut(to).terminate();
                self.burn(to, epoch)
            }
            Command::Unseal { epoch: next } => {
                self.side_mut(from).terminate();
                self.side_mut(from).advance(Row { epoch: *next, kind: EpochKind::Unseal });
                Input::Done
            }
            Command::Flip | Command::Return => Input::Done,
        })
    }

    fn grant(&mut self, to: Side, epoch: Epoch) -> Input {
        if self.side_mut(to).advance(Row { epoch, kind: EpochKind::Grant })
            || self.side(to).has(EpochKind::Grant, epoch)
        {
            Input::Done
        } else {
            Input::FoundBurnt
        }
    }

    pub(super) fn burn(&mut self, to: Side, epoch: Epoch) -> Input {
        if self.side_mut(to).advance(Row { epoch, kind: EpochKind::Burn }) {
            Input::Done
        } else if self.side(to).has(EpochKind::Grant, epoch) {
            Input::FoundGranted
        } else {
            Input::FoundBurnt
        }
    }

    /// The row whose COMMIT the command sends, and where.
    pub(super) fn commit_of(&self, command: &Command) -> Option<(Side, Row)> {
        let attempt = self.machine.attempt.as_ref()?;
        let epoch = attempt.epoch;
        match command {
            Command::Seal => Some((attempt.from, Row { epoch, kind: EpochKind::Seal })),
            Command::Grant => Some((attempt.to(), Row { epoch, kind: EpochKind::Grant })),
            _ => None,
        }
    }
}
