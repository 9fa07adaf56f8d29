//! The checker visits every reachable state of the cutover's world, driving the shipping machine.

use changeover_sim::cutover_world::{Action, World};
use stateright::{Checker, Model, Property};

struct Cutover {
    writes: u8,
    attempts: u8,
    crashes: u8,
    outsiders: u8,
}

impl Model for Cutover {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.writes, self.attempts, self.crashes, self.outsiders)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend(world.actions());
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let next = world.step(action);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("P1 nothing lost", |_, w: &World| w.nothing_lost()),
            Property::always("P2 nothing doubled", |_, w: &World| w.nothing_doubled()),
            Property::always("P3 commit-order prefix", |_, w: &World| w.prefix_in_order()),
            Property::always("P4 one writable side", |_, w: &World| w.one_writable_side()),
            Property::always("early stages change no rows", |_, w: &World| {
                w.early_stages_change_no_rows()
            }),
            Property::always("P9 ends when faults end", |_, w: &World| w.converges()),
            Property::sometimes("authority moves", |_, w: &World| {
                w.machine.authority == changeover_types::Side::Target && w.machine.attempt.is_none()
            }),
            Property::sometimes("authority moves and comes back", |_, w: &World| {
                w.machine.authority == changeover_types::Side::Source
                    && w.target.rows.iter().any(|r| r.kind == changeover_types::EpochKind::Grant)
                    && w.machine.attempt.is_none()
            }),
            Property::sometimes("a seal is taken back", |_, w: &World| {
                w.source.rows.iter().any(|r| r.kind == changeover_types::EpochKind::Unseal)
            }),
        ]
    }
}

fn check(model: Cutover) {
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{} states visited", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn crashes_and_doubtful_commits_there_and_back() {
    check(Cutover { writes: 2, attempts: 2, crashes: 2, outsiders: 0 });
}

#[test]
fn somebody_else_resolves_from_the_rows_alone() {
    check(Cutover { writes: 2, attempts: 2, crashes: 1, outsiders: 2 });
}
