//! One step of the world.

use changeover_cutover::{Command, Input, apply, decide, due};
use changeover_types::{EpochKind, Side, WallMs};

use super::{Action, Entry, Row, World};

const SIDES: [Side; 2] = [Side::Source, Side::Target];

impl World {
    /// Everything that may happen next.
    #[must_use]
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for side in SIDES {
            if self.writes_left > 0 && self.may_write(side) {
                actions.push(Action::Write(side));
            }
            if self.side(side).taken < self.side(side.other()).log.len() {
                actions.push(Action::Relay(side));
            }
            if self.side(side).in_flight.is_some() {
                actions.extend([Action::Arrive(side), Action::Vanish(side)]);
            }
            if self.outsiders_left > 0 {
                if self.pending_seal(side).is_some() {
                    actions.push(Action::OutsideBurn(side));
                }
                if self.burnt_seal(side).is_some() {
                    actions.push(Action::OutsideUnseal(side));
                }
            }
        }
        self.controller_actions(&mut actions);
        actions
    }

    fn controller_actions(&self, actions: &mut Vec<Action>) {
        if self.dead {
            actions.push(Action::Restart);
            return;
        }
        if self.crashes_left > 0 {
            actions.push(Action::Crash);
        }
        let Some(command) = due(&self.machine) else {
            if self.attempts_left > 0 {
                actions.push(Action::Begin(self.machine.authority.other()));
            }
            return;
        };
        if self.can_succeed(&command) {
            actions.push(Action::Succeed);
            if self.crashes_left > 0 {
                actions.push(Action::SucceedUnheard);
            }
        }
        actions.extend([Action::Fail, Action::CallOff]);
        if command.within().is_some() {
            actions.push(Action::Unanswered);
            if self.can_succeed(&command) {
                actions.push(Action::SucceedUnanswered);
            }
        }
        if command == Command::Burn {
            actions.push(Action::Waive);
        }
        if self.commit_of(&command).is_some() {
            actions.push(Action::Lose);
        }
    }

    /// The world after the action.
    #[must_use]
    pub fn step(&self, action: Action) -> World {
        let mut world = self.clone();
        match action {
            Action::Write(side) => world.write(side),
            Action::Relay(side) => world.relay(side),
            Action::Begin(to) => {
                world.attempts_left -= 1;
                let rows = world.source.rows.iter().chain(&world.target.rows);
                let highest_seen = rows.map(|row| row.epoch).max().unwrap_or_default();
                world.feed(&Input::Begin { to, highest_seen, write_pause_ms: 500 });
            }
            Action::Succeed => {
                if let Some(command) = due(&world.machine)
                    && let Some(input) = world.perform(&command)
                {
                    world.feed(&input);
                }
            }
            Action::Fail => world.fail(),
            Action::Lose => world.lose(),
            Action::Unanswered => world.feed(&Input::Unanswered),
            Action::SucceedUnanswered => {
                if let Some(command) = due(&world.machine) {
                    world.perform(&command);
                    world.feed(&Input::Unanswered);
                }
            }
            Action::Waive => world.feed(&Input::OutOfReach),
            Action::CallOff => world.feed(&Input::CallOffAsked { why: String::new() }),
            Action::Arrive(side) => world.arrive(side),
            Action::Vanish(side) => world.side_mut(side).in_flight = None,
            Action::Crash => world.crash(),
            Action::SucceedUnheard => {
                if let Some(command) = due(&world.machine) {
                    world.perform(&command);
                    world.crash();
                }
            }
            Action::Restart => {
                world.dead = false;
                world.feed(&Input::Restarted);
            }
            Action::OutsideBurn(side) => {
                if let Some(row) = world.pending_seal(side) {
                    world.outsiders_left -= 1;
                    world.side_mut(side.other()).terminate();
                    world.burn(side.other(), row.epoch);
                }
            }
            Action::OutsideUnseal(side) => {
                if let Some(row) = world.burnt_seal(side) {
                    world.outsiders_left -= 1;
                    world.side_mut(side).terminate();
                    let row = Row { epoch: row.epoch.next(), kind: EpochKind::Unseal };
                    world.side_mut(side).advance(row);
                }
            }
        }
        world
    }

    fn feed(&mut self, input: &Input) {
        if let Ok(events) = decide(&self.machine, input, WallMs(0)) {
            for event in &events {
                apply(&mut self.machine, event);
            }
        }
    }

    fn may_write(&self, side: Side) -> bool {
        self.accepts_writes(side) && !self.side(side).writers_wait()
    }

    fn write(&mut self, side: Side) {
        self.writes_left -= 1;
        let id = self.writes_left;
        self.acknowledged.push(id);
        let database = self.side_mut(side);
        database.data.push(id);
        database.log.push(Entry::Write(id));
    }

    /// The relay takes the next commit of the other side into `into`, by segments.
    fn relay(&mut self, into: Side) {
        let at = self.side(into).taken;
        let Some(entry) = self.side(into.other()).log.get(at).copied() else { return };
        let fence_open = !self.accepts_writes(into);
        let database = self.side_mut(into);
        match entry {
            Entry::Write(id) if database.segment_open && fence_open => {
                database.data.push(id);
                database.log.push(Entry::Ours);
            }
            Entry::Write(_) | Entry::Ours => {}
            Entry::Authority(row) => match row.kind {
                EpochKind::Genesis | EpochKind::Grant | EpochKind::Unseal => {
                    database.segment_open = true;
                }
                EpochKind::Seal => database.segment_open = false,
                EpochKind::Burn => {}
            },
        }
        database.taken += 1;
    }

    fn crash(&mut self) {
        self.crashes_left -= 1;
        self.dead = true;
        // Sessions die with their client; a COMMIT that was sent may still happen.
        self.source.locked = false;
        self.target.locked = false;
    }

    fn fail(&mut self) {
        // A failed L or U is rolled back before the shell says so.
        if let Some(command) = due(&self.machine)
            && let Some(attempt) = self.machine.attempt.clone()
        {
            let side = attempt.side_of(&command);
            if self.side(side).in_flight.is_none() {
                self.side_mut(side).locked = false;
            }
        }
        self.feed(&Input::Failed { why: String::new() });
    }

    fn lose(&mut self) {
        if let Some(command) = due(&self.machine)
            && let Some((side, row)) = self.commit_of(&command)
        {
            let database = self.side_mut(side);
            database.locked = false;
            database.in_flight = Some(row);
            self.feed(&Input::InDoubt);
        }
    }

    fn arrive(&mut self, side: Side) {
        let database = self.side_mut(side);
        if let Some(row) = database.in_flight.take() {
            database.advance(row);
        }
    }

    /// The side's newest row is a seal that the other side neither granted nor burnt.
    fn pending_seal(&self, side: Side) -> Option<Row> {
        let row = self.newest_seal(side)?;
        self.side(side.other()).rows.iter().all(|other| other.epoch < row.epoch).then_some(row)
    }

    /// The side's newest row is a seal whose epoch the other side burnt.
    fn burnt_seal(&self, side: Side) -> Option<Row> {
        let row = self.newest_seal(side)?;
        let burn = Row { epoch: row.epoch, kind: EpochKind::Burn };
        self.side(side.other()).rows.contains(&burn).then_some(row)
    }

    fn newest_seal(&self, side: Side) -> Option<Row> {
        let newest = self.side(side).rows.iter().max_by_key(|row| row.epoch)?;
        (newest.kind == EpochKind::Seal).then_some(*newest)
    }
}
