//! The run's states again, with people and guards who have their say at any of them.

use std::collections::{BTreeSet, VecDeque};

use changeover_cutover as cutover;
use changeover_plan::Plan;
use changeover_run::{Command, Input, Mode, Next, Reading, State, Who, decide, due, wake};
use changeover_sim::run_shell::{self, cut_short, plan, success, without_epochs};
use changeover_types::{Side, WallMs};

const GUARDS: &str = r"
guards:
  - {name: back, exec: [check], for: 0s, on_fail: rollback, on_no_data: ignore}
  - {name: hold, exec: [check], for: 0s, on_fail: hold}
phases:
  - name: copy
    steps: [replicate]
  - name: move
    steps: [shift: {to: 5%}, cutover: {attempts: 1}, shift: {to: 100%}]
";

const PEOPLE: &str = r"
phases:
  - name: copy
    steps: [replicate, verify]
  - name: some
    steps: [shift: {to: 5%}]
  - name: cutover
    approve: {from: [alice, bob, carol], count: 2, self: false, within: 1h, on_timeout: rollback}
    steps: [cutover: {attempts: 1}, shift: {to: 100%}, soak: {for: 1h}]
";

fn who(name: &str) -> Who {
    Who { user: "root".into(), name: Some(name.into()) }
}

fn guard(name: &str, reading: Reading) -> Input {
    Input::Guard { name: name.into(), reading }
}

/// What people and guards may say in this state.
fn said(state: &State, plan: &Plan) -> Vec<Input> {
    let mut said = vec![
        Input::Pause { who: who("alice"), why: "look".into() },
        Input::Resume { who: who("alice") },
        Input::GoOn { by: None },
        Input::RollBack { why: "asked".into(), by: None },
        Input::Abort { by: None, lost: false },
    ];
    for it in &plan.guards {
        said.push(guard(&it.name, Reading::Passed));
        said.push(guard(&it.name, Reading::Failed { why: "bad".into() }));
        said.push(guard(&it.name, Reading::NoData { why: "gone".into() }));
    }
    if let Some(placed) = plan.steps().nth(state.at) {
        let step = placed.path;
        said.push(Input::Skip { step, who: who("alice"), why: "known".into() });
    }
    if let Some(asked) = &state.control.approval {
        let facts = asked.facts.clone();
        for name in ["alice", "bob"] {
            said.push(Input::Approve { who: who(name), facts: facts.clone() });
        }
        said.push(Input::Reject { who: who("carol"), facts, why: "no".into() });
    }
    said
}

/// What a shell may answer in this state.
fn answers(state: &State, plan: &Plan) -> Vec<Input> {
    let mut answers = vec![Input::Restarted, Input::Deadline];
    let Some(command) = due(state, plan) else { return answers };
    answers.push(success(&command));
    answers.push(Input::Failed { why: "failed".into(), next: Next::Apply });
    match command {
        Command::Verify | Command::MakeUpForProof => {
            answers.push(Input::Verified { rows: 2, different: 1 });
        }
        Command::CheckWayBack { .. } => {
            answers.push(Input::WayBack { against: vec!["it is full".into()] });
        }
        Command::LookAtFacts | Command::WatchFacts => {
            answers.push(Input::Catalogue { catalogue: Some("changed".into()) });
        }
        Command::Cutover(cutover::Command::Seal | cutover::Command::Grant) => {
            answers.push(Input::Cutover(cutover::Input::InDoubt));
        }
        Command::Cutover(cutover::Command::ResolveSeal { .. }) => {
            answers.push(Input::Cutover(cutover::Input::SealResolved { committed: false }));
        }
        _ => {}
    }
    answers
}

/// The clock stands still, but a deadline comes when it is over.
fn now(state: &State, plan: &Plan, input: &Input) -> WallMs {
    match input {
        Input::Deadline => wake(state, plan).unwrap_or_default(),
        _ => WallMs(0),
    }
}

fn after(state: &State, plan: &Plan, input: &Input) -> State {
    run_shell::after(state, plan, input, now(state, plan, input))
}

/// Whether the run is to begin nothing.
fn stands(state: &State) -> bool {
    let held = state.mode == Mode::Forward && state.control.held().is_some();
    state.pause.is_some() || held
}

/// Everything works, everybody says yes, until the run rests.
fn heal(mut state: State, plan: &Plan) -> State {
    for _ in 0..300 {
        if let Some(name) = state.control.guards.keys().next() {
            state = after(&state, plan, &guard(name, Reading::Passed));
        } else if state.pause.is_some() {
            let resumed = after(&state, plan, &Input::Resume { who: who("alice") });
            state = resumed;
        } else if let Some(command) = due(&state, plan) {
            let asked = state.control.approval.as_ref().filter(|_| command == Command::WatchFacts);
            let input = match asked {
                Some(asked) => {
                    let mut names = asked.from.iter().filter(|name| !asked.given.contains(name));
                    let name = names.next().unwrap_or_else(|| panic!("nobody is left to approve"));
                    Input::Approve { who: who(name), facts: asked.facts.clone() }
                }
                None => success(&command),
            };
            state = after(&state, plan, &input);
        } else {
            return state;
        }
    }
    panic!("the run does not rest: {state:?}");
}

/// What tells two states apart for a run: not the numbers of their epochs.
fn shape(state: &State, plan: &Plan) -> String {
    let mut shape = without_epochs(state);
    // The digest holds the epoch; whether it fits is what matters.
    if let Some(asked) = &mut shape.control.approval {
        let fits = asked.facts == changeover_run::facts_digest(state, plan);
        asked.facts = fits.to_string();
    }
    // Reasons are for people, and what was left out counts only for a word that comes twice.
    shape.control.guards.values_mut().for_each(|guard| guard.why.clear());
    shape.control.skipped.clear();
    if let Some(pause) = &mut shape.pause {
        (pause.why, pause.next) = (String::new(), Next::Apply);
    }
    if let Mode::RollingBack { why } | Mode::RolledBack { why } = &mut shape.mode {
        why.clear();
    }
    format!("{shape:?}")
}

/// Every state, each with the step that led to it checked by `look`.
fn visit(plan: &Plan, mut look: impl FnMut(&State, &Input, &State)) -> Vec<State> {
    let first = after(&State::new(), plan, &Input::Restarted);
    let first = after(&first, plan, &Input::Applied { who: who("dave") });
    let mut seen = BTreeSet::new();
    let mut queue = VecDeque::from([first]);
    let mut all = Vec::new();
    while let Some(state) = queue.pop_front() {
        if !seen.insert(shape(&state, plan)) {
            continue;
        }
        for input in answers(&state, plan).into_iter().chain(said(&state, plan)) {
            let next = after(&state, plan, &input);
            look(&state, &input, &next);
            queue.push_back(next);
            queue.extend(cut_short(&state, plan, &input, |state, input| now(state, plan, input)));
        }
        all.push(state);
    }
    println!("{} states", all.len());
    assert!(all.len() > 1000, "{}", all.len());
    all
}

/// A paused or held run begins nothing: no step, no weight, no change of authority. What has begun
/// is brought to its end.
fn begins_nothing(state: &State, input: &Input, next: &State) {
    let word = matches!(
        input,
        Input::Resume { .. }
            | Input::GoOn { .. }
            | Input::RollBack { .. }
            | Input::Abort { .. }
            | Input::Skip { .. }
    );
    if !stands(state) || word || !stands(next) {
        return;
    }
    assert_eq!(next.at, state.at, "{state:?} {input:?}");
    // A change of authority that ends leads the requests along.
    let ended = state.cutover.attempt.is_some() && next.cutover.attempt.is_none();
    let led = ended && next.cutover.authority == Side::Target;
    let permille = if led { 1000 } else { state.target_permille };
    assert_eq!(next.target_permille, permille, "{state:?} {input:?}");
    let begun = next.cutover.attempt.is_some() && state.cutover.attempt.is_none();
    assert!(!begun, "{state:?} {input:?}");
}

/// An order whose answer is lost is given again: the second time it does nothing.
fn may_be_given_twice(plan: &Plan, state: &State, input: &Input, next: &State) {
    let order = matches!(
        input,
        Input::Pause { .. }
            | Input::Resume { .. }
            | Input::Skip { .. }
            | Input::Approve { .. }
            | Input::Reject { .. }
            | Input::RollBack { .. }
            | Input::Abort { .. }
    );
    if order && decide(state, plan, input, WallMs(0)).is_ok() {
        let again = decide(next, plan, input, WallMs(0));
        let again = again.unwrap_or_else(|e| panic!("{input:?} refused: {e}; {next:?}"));
        assert!(again.is_empty(), "{input:?} did {again:?} in {next:?}");
    }
}

fn due_of_a_standing_run(state: &State, plan: &Plan) {
    if !stands(state) || state.cutover.attempt.is_some() {
        return;
    }
    let finishing = state.pause.as_ref().is_some_and(|pause| pause.finishing);
    match due(state, plan) {
        None => {}
        Some(Command::Copy | Command::Build) if finishing => {}
        Some(other) => panic!("{other:?} is due in {state:?}"),
    }
}

/// Whatever stops says why, and what to do.
fn waits_with_a_reason(state: &State, plan: &Plan) {
    let ended =
        matches!(state.mode, Mode::Done | Mode::RolledBack { .. } | Mode::Aborted | Mode::Finished);
    if due(state, plan).is_some() || ended {
        return;
    }
    let paused = state.pause.as_ref().is_some_and(|it| !it.why.is_empty());
    assert!(paused || state.control.held().is_some(), "{state:?}");
}

/// What holds in all states of a plan.
fn holds_everywhere(plan: &Plan, mut look: impl FnMut(&State, &Input, &State)) {
    let states = visit(plan, |state, input, next| {
        begins_nothing(state, input, next);
        may_be_given_twice(plan, state, input, next);
        // One rollback by itself in a run.
        assert!(next.control.automatic_rollbacks <= 1, "{next:?}");
        look(state, input, next);
    });
    for state in &states {
        due_of_a_standing_run(state, plan);
        waits_with_a_reason(state, plan);
        if state.cutover.attempt.is_some() {
            let due = due(state, plan);
            assert!(matches!(due, Some(Command::Cutover(_))), "{due:?} in {state:?}");
        }
        let rested = heal(state.clone(), plan);
        match &rested.mode {
            Mode::Done => {
                assert_eq!(rested.cutover.authority, Side::Target, "{state:?}");
                assert_eq!(rested.target_permille, 1000, "{state:?}");
            }
            Mode::RolledBack { .. } | Mode::Aborted => {
                assert_eq!(rested.cutover.authority, Side::Source, "{state:?}");
                assert_eq!(rested.target_permille, 0, "{state:?}");
            }
            other => panic!("rests in {other:?}, coming from {state:?}"),
        }
    }
}

#[test]
fn guards_may_turn_in_every_state() {
    let back_when_done = |state: &State, next: &State| {
        state.mode == Mode::Done
            && matches!(next.mode, Mode::RollingBack { .. })
            && next.control.automatic_rollbacks > state.control.automatic_rollbacks
    };
    let mut back = [0_u32; 2];
    for (which, after_done) in ["alarm", "rollback"].into_iter().enumerate() {
        let plan = plan(&format!("after_done: {after_done}{GUARDS}"));
        holds_everywhere(&plan, |state, _, next| {
            back[which] += u32::from(back_when_done(state, next));
        });
    }
    assert!(back[0] == 0 && back[1] > 0, "{back:?}");
}

#[test]
fn people_may_speak_in_every_state_and_a_phase_opens_by_two_of_them_only() {
    let mut opened = 0_u32;
    holds_everywhere(&plan(PEOPLE), |state, input, next| {
        if next.control.opened != Some(2) || state.control.opened == Some(2) {
            return;
        }
        let Some(asked) = &next.control.approval else { panic!("opened by nobody: {next:?}") };
        let distinct: BTreeSet<&String> = asked.given.iter().collect();
        assert!(distinct.len() >= 2, "{next:?}");
        // The last look at the facts came after the last yes.
        assert!(matches!(input, Input::Catalogue { .. }), "{input:?}");
        opened += 1;
    });
    assert!(opened > 0, "no phase was ever opened");
}
