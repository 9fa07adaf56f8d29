//! Two databases, one machine, and everything that may go wrong between them.
//!
//! What is modelled: the epoch rows of both sides (the truth), the order of commits on each side,
//! the relay in both directions with its segments, writers that go around every gate, the locks of
//! L and U, COMMITs whose answer is lost and that take effect late or never, a controller that
//! dies at any point and comes back with its journal, connections that die without a word, and
//! somebody else who resolves from the rows alone. What is not: time. Whatever a deadline could do
//! may happen at any moment.

mod effects;
mod step;

use changeover_cutover::{Stage, State};
use changeover_types::{Epoch, EpochKind, Side};

/// A row of `changeover.epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// Its epoch.
    pub epoch: Epoch,
    /// What happened.
    pub kind: EpochKind,
}

/// One commit in a side's log, as its change stream shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// The application wrote this row.
    Write(u8),
    /// Our applier wrote; the stream drops it.
    Ours,
    /// A row of `changeover.epoch`.
    Authority(Row),
}

/// One database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Database {
    /// Its epoch rows in order.
    pub rows: Vec<Row>,
    /// Its commits in order.
    pub log: Vec<Entry>,
    /// The application's rows in it.
    pub data: Vec<u8>,
    /// How much of the *other* side's log has been taken into this one.
    pub taken: usize,
    /// Whether the stream into this side is inside an open segment.
    pub segment_open: bool,
    /// A seal or grant whose COMMIT was sent and has neither arrived nor died.
    pub in_flight: Option<Row>,
    /// L or U is open here, holding its locks.
    pub locked: bool,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The machine's durable state.
    pub machine: State,
    /// The controller has died and its next life has not begun.
    pub dead: bool,
    /// The source.
    pub source: Database,
    /// The target.
    pub target: Database,
    /// Writes that were acknowledged to the application.
    pub acknowledged: Vec<u8>,
    /// How many more writes the application makes.
    pub writes_left: u8,
    /// How many more changes of authority are begun.
    pub attempts_left: u8,
    /// How many more times the controller dies.
    pub crashes_left: u8,
    /// How many more times somebody else resolves.
    pub outsiders_left: u8,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The application commits a write on this side.
    Write(Side),
    /// The relay takes the next commit into this side.
    Relay(Side),
    /// A change of authority to this side is begun.
    Begin(Side),
    /// The due command succeeds.
    Succeed,
    /// The due command fails without effect.
    Fail,
    /// The due COMMIT is sent and its answer lost; it may still happen.
    Lose,
    /// The due command is not answered in time and dropped; nothing of it happened, and its session
    /// stays on the server.
    Unanswered,
    /// The due command succeeds, but its answer does not come in time.
    SucceedUnanswered,
    /// The burn is given up because the taking side does not answer.
    Waive,
    /// The operator, or the deadline, calls the attempt off.
    CallOff,
    /// A COMMIT in flight on this side happens.
    Arrive(Side),
    /// A COMMIT in flight on this side dies with its session.
    Vanish(Side),
    /// The controller dies.
    Crash,
    /// The due command succeeds, and the controller dies before it can journal that.
    SucceedUnheard,
    /// The controller lives again.
    Restart,
    /// Somebody else burns the epoch of this sealed side's pending grant on the other side.
    OutsideBurn(Side),
    /// Somebody else unseals this side after the burn.
    OutsideUnseal(Side),
}

impl World {
    /// After genesis, with both relays live.
    #[must_use]
    pub fn new(writes: u8, attempts: u8, crashes: u8, outsiders: u8) -> World {
        let genesis = Row { epoch: Epoch(1), kind: EpochKind::Genesis };
        let rows = vec![genesis];
        World {
            machine: State::genesis(),
            dead: false,
            source: Database { rows: rows.clone(), ..Database::default() },
            target: Database { rows, segment_open: true, ..Database::default() },
            acknowledged: Vec::new(),
            writes_left: writes,
            attempts_left: attempts,
            crashes_left: crashes,
            outsiders_left: outsiders,
        }
    }

    /// The database of a side.
    #[must_use]
    pub fn side(&self, side: Side) -> &Database {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    pub(crate) fn side_mut(&mut self, side: Side) -> &mut Database {
        match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        }
    }

    /// Whether the side's rows let the application write.
    #[must_use]
    pub fn accepts_writes(&self, side: Side) -> bool {
        let newest = self.side(side).rows.iter().max_by_key(|row| row.epoch);
        newest.is_some_and(|row| match row.kind {
            EpochKind::Genesis => side == Side::Source,
            EpochKind::Grant | EpochKind::Unseal => true,
            EpochKind::Seal | EpochKind::Burn => false,
        })
    }

    /// P4: never two sides that accept writes.
    #[must_use]
    pub fn one_writable_side(&self) -> bool {
        !(self.accepts_writes(Side::Source) && self.accepts_writes(Side::Target))
    }

    /// P1: a side that accepts writes holds every acknowledged write.
    #[must_use]
    pub fn nothing_lost(&self) -> bool {
        [Side::Source, Side::Target].into_iter().all(|side| {
            !self.accepts_writes(side)
                || self.acknowledged.iter().all(|id| self.side(side).data.contains(id))
        })
    }

    /// P2: no row is anywhere twice, and none was invented.
    #[must_use]
    pub fn nothing_doubled(&self) -> bool {
        [&self.source, &self.target].into_iter().all(|database| {
            let mut seen = database.data.clone();
            seen.sort_unstable();
            seen.windows(2).all(|pair| pair[0] != pair[1])
                && seen.iter().all(|id| self.acknowledged.contains(id))
        })
    }

    /// P3: each side's data are a prefix, in commit order, of what was acknowledged.
    #[must_use]
    pub fn prefix_in_order(&self) -> bool {
        [&self.source, &self.target]
            .into_iter()
            .all(|database| self.acknowledged.starts_with(&database.data))
    }

    /// Before the seal is intended a crash leaves the giving side as it was.
    #[must_use]
    pub fn early_stages_change_no_rows(&self) -> bool {
        self.machine.attempt.as_ref().is_none_or(|attempt| {
            !attempt.stage.is_before_seal()
                || matches!(attempt.stage, Stage::CallingOff { .. })
                || self.side(attempt.from).rows.iter().all(|row| row.epoch < attempt.epoch)
        })
    }

    /// Without further faults the attempt ends, and the machine agrees with the rows.
    #[must_use]
    pub fn converges(&self) -> bool {
        let mut world = self.clone();
        world.crashes_left = 0;
        for _ in 0..64 {
            let settled = !world.dead && world.machine.attempt.is_none();
            let drained = world.relay_is_idle();
            if settled && drained {
                let authority = world.machine.authority;
                return world.accepts_writes(authority)
                    || world.sealed_by_outsider(authority.other());
            }
            let Some(action) = world.healing_action() else { return false };
            world = world.step(action);
        }
        false
    }

    /// Somebody else, acting on rows the machine has not seen yet, moved authority back.
    fn sealed_by_outsider(&self, side: Side) -> bool {
        self.accepts_writes(side)
    }

    fn relay_is_idle(&self) -> bool {
        self.source.taken == self.target.log.len() && self.target.taken == self.source.log.len()
    }

    fn healing_action(&self) -> Option<Action> {
        if self.dead {
            return Some(Action::Restart);
        }
        for side in [Side::Source, Side::Target] {
            if self.side(side).taken < self.side(side.other()).log.len() {
                return Some(Action::Relay(side));
            }
        }
        self.machine.attempt.is_some().then_some(Action::Succeed)
    }
}
