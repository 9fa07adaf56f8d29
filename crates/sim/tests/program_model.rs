//! The checker visits every reachable state of a program's world, driving the shipping machine.

use changeover_plan::Program;
use changeover_run::Mode;
use changeover_run::program::Input;
use changeover_sim::program_world::{Action, RealIs, World, program};
use stateright::{Checker, Model, Property};

struct Moves {
    program: Program,
    failures: u8,
    crashes: u8,
    words: u8,
}

impl Model for Moves {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.program, self.failures, self.crashes, self.words)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend(world.actions(&self.program));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let next = world.step(&self.program, &action);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("needs come first, and leave last", |m: &Moves, w: &World| {
                w.needs_come_first(&m.program)
            }),
            Property::always("nothing begins after a stop", |_, w: &World| {
                w.nothing_begins_after_a_stop()
            }),
            Property::always("side by side within bounds", |m: &Moves, w: &World| {
                w.side_by_side_within_bounds(&m.program)
            }),
            Property::always("a phase opens by its people", |m: &Moves, w: &World| {
                w.phases_open_by_their_people(&m.program)
            }),
            Property::always("one automatic rollback in a run", |_, w: &World| w.went_back <= 1),
            Property::always("P9 ends when faults end", |m: &Moves, w: &World| {
                w.converges(&m.program)
            }),
            Property::sometimes("done", |_, w: &World| w.machine.mode == Mode::Done),
            Property::sometimes("back after something moved", |_, w: &World| {
                matches!(w.machine.mode, Mode::RolledBack { .. })
                    && w.real.iter().any(|it| it.is == RealIs::RolledBack && it.steps > 1)
            }),
            Property::sometimes("several at once", |_, w: &World| {
                w.real.iter().filter(|it| it.is == RealIs::Forward && it.steps < it.bound).count()
                    > 1
            }),
        ]
    }
}

fn check(model: Moves) {
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{} states visited", checker.unique_state_count());
    checker.assert_properties();
}

const THREE: [(&str, bool, &str); 3] =
    [("users", true, ""), ("orders", true, "users"), ("web", false, "orders")];

#[test]
fn a_chain_whose_components_fail_and_whose_daemon_dies() {
    let program = program(&THREE, "");
    check(Moves { program, failures: 2, crashes: 1, words: 0 });
}

#[test]
fn a_chain_that_its_operator_talks_to() {
    let program = program(&THREE, "");
    check(Moves { program, failures: 1, crashes: 0, words: 2 });
}

#[test]
fn a_chain_that_fails_again_when_it_is_tried_again() {
    let two = [THREE[0], THREE[1]];
    check(Moves { program: program(&two, ""), failures: 2, crashes: 1, words: 1 });
}

#[test]
fn two_that_move_side_by_side_after_a_third() {
    let components = [("users", true, ""), ("orders", true, "users"), ("billing", true, "users")];
    let together = "together: [{components: [orders, billing]}]\n";
    check(Moves { program: program(&components, together), failures: 1, crashes: 1, words: 0 });
}

#[test]
fn a_program_that_pauses_when_something_fails() {
    let program = program(&THREE, "on_fail: pause\n");
    check(Moves { program, failures: 2, crashes: 0, words: 1 });
}

#[test]
fn a_program_that_waits_for_people_and_for_time_of_its_own() {
    let phases = "phases:\n  - {name: prepare, steps: [prepare: all]}\n  \
        - name: move\n    approve: {from: [alice], within: 1h, on_timeout: rollback}\n    \
        steps: [move: users, soak: {for: 1h}]\n  \
        - {name: rest, approve: {from: [bob]}, steps: [move: orders]}\n";
    let program = program(&THREE[..2], phases);
    check(Moves { program, failures: 1, crashes: 1, words: 1 });
}

#[test]
fn a_program_that_is_told_how_far_to_go_goes_exactly_so_far() {
    let program = program(&THREE, "");
    let until = |phase: &str| Input::GoOnUntil { phase: phase.to_owned() };
    let world = World::new(&program, 0, 0, 0).after(&program, &until("prepare"));
    let rested = world.healed(&program).expect("it rests");
    assert_eq!(rested.machine.rests().map(|bound| &*bound.phase), Some("prepare"));
    assert!(rested.real.iter().all(|it| !it.moved), "{:?}", rested.real);
    // Once the next phase has begun, this one is over.
    let said = rested.after(&program, &Input::GoOn);
    assert_eq!(said.machine.until, None);
    assert_eq!(said.after(&program, &until("prepare")), said);
    let done = said.healed(&program).expect("it rests");
    assert_eq!(done.machine.mode, Mode::Done);
}
