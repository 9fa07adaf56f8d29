//! Every state of a run that answers of the shell and words of the operator can lead to.

use std::collections::{BTreeSet, VecDeque};
use std::sync::OnceLock;

use changeover_cutover as cutover;
use changeover_plan::Plan;
use changeover_run::canary::{Watching, watch_rules};
use changeover_run::{
    Command, DataStage, Input, Mode, Next, Proof, ProofStage, State, decide, due,
};
use changeover_sim::run_shell::{self, checked, cut_short, without_epochs};
use changeover_types::{Decided, DecidedSecond, Epoch, LatencyBucket, Share, Side, WallMs};

const REST: &str = r#"  postgres: {listen: "127.0.0.1:6432", auth: trust}
phases:
  - name: copy
    steps:
      - replicate: {}
      - verify: {}
      - smoke: {sql: [{query: select 1, expect: {rows: 1}}], on_fail: abort}
  - name: canary
    steps:
      - canary: {weights: [5%, 50%], at_least: 1s}
  - name: cutover
    steps:
      - cutover: {attempts: 2, retry_after: 1s}
      - shift: {to: 100%}
      - run: {command: ["true"]}
      - run: {command: ["true"], on_fail: pause}
      - verify: {}
"#;

fn plan() -> Plan {
    run_shell::plan(REST)
}

/// The answer of a shell for which everything works.
fn success(command: &Command, state: &State) -> Input {
    match command {
        Command::Watch { .. } => Input::Watched { watching: harmless(state.canary_index) },
        _ => run_shell::success(command),
    }
}

/// What a judge knows after it saw a target that does better than the source, at the first weight
/// or at both.
fn harmless(canary_index: usize) -> Watching {
    static SEEN: OnceLock<[Watching; 2]> = OnceLock::new();
    SEEN.get_or_init(|| {
        let plan = plan();
        let step = plan.steps().position(|placed| placed.path == "canary/canary");
        let step = step.expect("the plan has a canary");
        let rules = [0, 1].map(|index| watch_rules(&plan, step, index).expect("two weights"));
        let past: Vec<_> = (0..60).map(|at| second(at, 0)).collect();
        let mut watching = Watching::begin(&rules[0], 1, 60, &past);
        [(50, 60), (500, 360)].map(|(permille, from)| {
            let seconds: Vec<_> = (from..from + 300).map(|at| second(at, permille)).collect();
            watching.take(&rules[usize::from(permille == 500)], 1, from + 300, &seconds);
            watching.clone()
        })
    })[canary_index]
        .clone()
}

/// What a judge knows after it saw a target of which every request failed.
fn worse() -> Watching {
    static SEEN: OnceLock<Watching> = OnceLock::new();
    SEEN.get_or_init(|| {
        let plan = plan();
        let step = plan.steps().position(|placed| placed.path == "canary/canary");
        let step = step.expect("the plan has a canary");
        let rules = watch_rules(&plan, step, 0).expect("a weight");
        let mut watching = Watching::begin(&rules, 1, 0, &[]);
        let failing = |at| {
            let mut second = second(at, 50);
            second.target.bad = second.target.requests;
            second
        };
        watching.take(&rules, 1, 20, &(0..20).map(failing).collect::<Vec<_>>());
        watching
    })
    .clone()
}

fn second(second: u64, target_permille: u16) -> DecidedSecond {
    let decided = |counts: &[u64]| Decided {
        requests: counts.iter().sum(),
        latency: (0..).zip(counts).map(|(at, count)| (LatencyBucket(at * 10), *count)).collect(),
        ..Decided::default()
    };
    // Two thousand requests a second, shared out as ordered.
    let to_target = 2 * u64::from(target_permille);
    let slower = (2000 - to_target).div_ceil(1000);
    let source = decided(&[0, 500, 400, 90, 9, 1].map(|n| n * slower));
    DecidedSecond { second, target_permille, source, target: decided(&[to_target]) }
}

/// Everything a shell or an operator may say in this state.
fn inputs(state: &State, plan: &Plan) -> Vec<Input> {
    let mut inputs = vec![
        Input::Restarted,
        Input::GoOn { by: None },
        Input::GoOnUntil { phase: "copy".into(), by: None },
        Input::Rest,
        Input::GoOnUntil { phase: "canary".into(), by: None },
        Input::RollBack { why: "asked".into(), by: None },
        Input::GiveUpRollback { by: None },
        Input::Abort { by: None, lost: false },
        Input::Finish { by: None },
        Input::Deadline,
        Input::Alarm { why: "a relay stopped".into(), next: Next::Apply },
    ];
    let Some(command) = due(state, plan) else { return inputs };
    inputs.push(success(&command, state));
    inputs.push(Input::Failed { why: "failed".into(), next: Next::Apply });
    if let Command::Cutover(_) = command {
        inputs.push(Input::Futile { why: "the schema has changed".into() });
    }
    match command {
        Command::Verify | Command::MakeUpForProof => {
            inputs.push(Input::Verified { rows: 2, different: 1 });
        }
        Command::Watch { .. } => inputs.push(Input::Watched { watching: worse() }),
        Command::Check { .. } => inputs.push(checked(&["bad"])),
        Command::CheckWayBack { .. } => inputs.push(Input::WayBack { against: vec!["no".into()] }),
        Command::Cutover(cutover::Command::Seal | cutover::Command::Grant) => {
            inputs.push(Input::Cutover(cutover::Input::InDoubt));
        }
        Command::Cutover(cutover::Command::ResolveSeal { .. }) => {
            inputs.push(Input::Cutover(cutover::Input::SealResolved { committed: false }));
        }
        _ => {}
    }
    inputs
}

fn after(state: &State, plan: &Plan, input: &Input) -> State {
    run_shell::after(state, plan, input, now(state, input))
}

/// Watched for long enough.
fn now(_: &State, input: &Input) -> WallMs {
    WallMs(if matches!(input, Input::Watched { .. }) { 3_600_000 } else { 0 })
}

/// Lets everything work until the run rests.
fn heal(mut state: State, plan: &Plan) -> State {
    for _ in 0..200 {
        match due(&state, plan) {
            Some(command) => state = after(&state, plan, &success(&command, &state)),
            None if state.pause.is_some() || state.rests().is_some() => {
                state = after(&state, plan, &Input::GoOn { by: None })
            }
            None => return state,
        }
    }
    panic!("the run does not rest: {state:?}");
}

/// Explored once for all tests.
fn every_state(plan: &Plan) -> &'static [State] {
    static ALL: OnceLock<Vec<State>> = OnceLock::new();
    ALL.get_or_init(|| explored(plan))
}

fn explored(plan: &Plan) -> Vec<State> {
    let mut first = State::new();
    first = after(&first, plan, &Input::Restarted);
    let mut seen = BTreeSet::new();
    let mut queue = VecDeque::from([first]);
    let mut all = Vec::new();
    while let Some(state) = queue.pop_front() {
        let shape = without_epochs(&state);
        if !seen.insert(format!("{shape:?}")) {
            continue;
        }
        for input in inputs(&state, plan) {
            queue.push_back(after(&state, plan, &input));
            queue.extend(cut_short(&state, plan, &input, now));
        }
        all.push(state);
    }
    all
}

#[test]
fn from_every_state_the_run_comes_to_rest_where_it_was_told_to() {
    let plan = plan();
    let states = every_state(&plan);
    println!("{} states", states.len());
    assert!(states.len() > 200);
    for state in states {
        let rested = heal(state.clone(), &plan);
        match &rested.mode {
            Mode::Done | Mode::Finished => {
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
fn from_every_state_that_is_not_ended_a_rollback_leads_to_the_source() {
    let plan = plan();
    let mut refused = 0_u32;
    for state in every_state(&plan) {
        if !matches!(state.mode, Mode::Forward | Mode::Done | Mode::RollingBack { .. }) {
            continue;
        }
        let ask = Input::RollBack { why: "asked".into(), by: None };
        if decide(state, &plan, &ask, WallMs(0)).is_err() {
            // What never began is not said to be back.
            assert!(state.data == DataStage::Nothing && !state.has_moved_something(), "{state:?}");
            refused += 1;
            continue;
        }
        let rested = heal(after(state, &plan, &ask), &plan);
        assert!(matches!(rested.mode, Mode::RolledBack { .. }), "{state:?} → {rested:?}");
        assert!(!rested.has_moved_something(), "{state:?}");
    }
    assert!(refused > 0, "a run that never began is no rollback");
}

/// As long as nothing of authority has moved, a rollback can be given up: the target keeps what it
/// has, and gets its requests back.
#[test]
fn a_rollback_can_be_given_up_until_authority_moves() {
    let plan = plan();
    let (mut given_up, mut refused) = (0_u32, 0_u32);
    for state in every_state(&plan) {
        let Mode::RollingBack { .. } = state.mode else { continue };
        let asked = decide(state, &plan, &Input::GiveUpRollback { by: None }, WallMs(0));
        if asked.is_err() {
            let moving = state.cutover.has_intended_seal();
            assert!(moving || state.cutover.authority == Side::Source, "{state:?}");
            refused += 1;
            continue;
        }
        let rested = heal(after(state, &plan, &Input::GiveUpRollback { by: None }), &plan);
        assert_eq!(rested.mode, Mode::Done, "{state:?}");
        assert_eq!(rested.cutover.authority, Side::Target, "{state:?}");
        assert_eq!(rested.target_permille, 1000, "{state:?}");
        given_up += 1;
    }
    assert!(given_up > 10 && refused > 10, "{given_up} given up, {refused} refused");
}

/// A cause that time does not mend is met once.
#[test]
fn what_time_does_not_mend_is_not_tried_again() {
    let plan = plan();
    for state in every_state(&plan) {
        let Some(Command::Cutover(_)) = due(state, &plan) else { continue };
        let futile = Input::Futile { why: "the schema has changed".into() };
        let mut ended = after(state, &plan, &futile);
        while let Some(command @ Command::Cutover(_)) = due(&ended, &plan) {
            ended = after(&ended, &plan, &success(&command, &ended));
        }
        let before_seal = state.cutover.attempt.as_ref().is_some_and(|a| {
            a.stage.is_before_seal() && !matches!(a.stage, cutover::Stage::CallingOff { .. })
        });
        if before_seal {
            assert!(ended.pause.is_some(), "{state:?}");
        }
    }
}

#[test]
fn an_abort_is_refused_exactly_while_the_target_has_or_is_given_authority() {
    let plan = plan();
    for state in every_state(&plan) {
        if !matches!(state.mode, Mode::Forward | Mode::Done) {
            continue;
        }
        let asked = decide(state, &plan, &Input::Abort { by: None, lost: false }, WallMs(0));
        if asked.is_ok() {
            let rested = heal(after(state, &plan, &Input::Abort { by: None, lost: false }), &plan);
            assert_eq!(rested.mode, Mode::Aborted, "{state:?}");
            assert_eq!(rested.cutover.authority, Side::Source, "{state:?}");
        } else {
            let given =
                state.cutover.authority == Side::Target || state.cutover.has_intended_seal();
            assert!(given, "refused without need: {state:?}");
        }
    }
}

#[test]
fn a_run_that_is_told_how_far_to_go_goes_exactly_so_far() {
    let plan = plan();
    for state in every_state(&plan) {
        let Some(bound) = state.until.clone() else { continue };
        assert_eq!(state.mode, Mode::Forward, "{state:?}");
        assert!(state.at <= bound.steps, "went too far: {state:?}");
        if state.rests().is_some() && state.pause.is_none() {
            assert_eq!(due(state, &plan), None, "{state:?}");
            let later = Input::GoOnUntil { phase: "canary".into(), by: None };
            // A run that was told to rest may do so behind that phase, whose end is then over.
            let ahead = plan.steps_until("canary").is_some_and(|steps| state.at <= steps);
            assert_eq!(decide(state, &plan, &later, WallMs(0)).is_ok(), ahead, "{state:?}");
        }
    }
}

#[test]
fn the_end_of_a_phase_that_is_over_is_refused() {
    let plan = plan();
    let copy = Input::GoOnUntil { phase: "copy".into(), by: None };
    let canary = Input::GoOnUntil { phase: "canary".into(), by: None };
    let mut state = after(&State::new(), &plan, &canary);
    while state.rests().is_none() {
        let command = due(&state, &plan).unwrap_or_else(|| panic!("{state:?}"));
        state = after(&state, &plan, &success(&command, &state));
    }
    assert_eq!(state.at, 4);
    assert!(decide(&state, &plan, &copy, WallMs(0)).is_err());
    assert!(
        decide(&state, &plan, &Input::GoOnUntil { phase: "none".into(), by: None }, WallMs(0))
            .is_err()
    );
    // Back on the source, the way there begins before the canary again.
    state = after(&state, &plan, &Input::RollBack { why: "asked".into(), by: None });
    assert_eq!(due(&state, &plan), Some(Command::CheckWayBack { by_itself: false }));
    state = after(&state, &plan, &Input::WayBack { against: vec!["it is full".into()] });
    state = after(
        &state,
        &plan,
        &success(&Command::SetWeight { share: Share::default(), route: None }, &state),
    );
    assert!(matches!(state.mode, Mode::RolledBack { .. }), "{state:?}");
    state = after(&state, &plan, &copy);
    assert_eq!(state.rests().map(|bound| &*bound.phase), Some("copy"));
}

#[test]
fn a_rollback_in_the_middle_of_the_copy_does_not_make_it_complete() {
    let plan = plan();
    let mut state = after(&State::new(), &plan, &Input::Restarted);
    state = after(&state, &plan, &success(&Command::Install, &state));
    state = after(&state, &plan, &Input::RollBack { why: "asked".into(), by: None });
    assert!(matches!(state.mode, Mode::RolledBack { .. }), "{state:?}");
    state = after(&state, &plan, &Input::GoOn { by: None });
    assert_eq!(due(&state, &plan), Some(Command::UndoCopy), "{state:?}");
    state = after(&state, &plan, &Input::Done);
    assert_eq!(due(&state, &plan), Some(Command::Copy), "{state:?}");
}

/// Requests that go to the target are judged also while the run waits for its operator.
#[test]
fn the_canary_is_watched_in_a_pause_and_nothing_else_is_begun() {
    let plan = plan();
    let mut watched = 0_u32;
    for state in every_state(&plan) {
        if state.pause.is_none() || state.cutover.attempt.is_some() {
            continue;
        }
        match due(state, &plan) {
            None => {}
            Some(Command::Watch { .. }) => watched += 1,
            Some(other) => panic!("{other:?} is due in {state:?}"),
        }
    }
    assert!(watched > 0, "no canary was paused");
}

#[test]
fn the_copy_is_done_again_after_a_restart_in_its_middle() {
    let plan = plan();
    let mut state = after(&State::new(), &plan, &Input::Restarted);
    assert_eq!(due(&state, &plan), Some(Command::Install));
    state = after(&state, &plan, &success(&Command::Install, &state));
    assert_eq!(due(&state, &plan), Some(Command::Copy));
    state = after(&state, &plan, &Input::Restarted);
    assert_eq!(due(&state, &plan), Some(Command::UndoCopy));
    state = after(&state, &plan, &Input::Done);
    assert_eq!(due(&state, &plan), Some(Command::Copy));
}

/// Without a PostgreSQL gate the side without authority can serve no write: the requests are never
/// led there by themselves, nor kept there.
#[test]
fn where_each_application_has_its_own_database_the_requests_go_with_the_authority() {
    let steps = REST.split_once("phases:").map(|(_, phases)| phases.to_owned()).unwrap();
    let without_canary = steps.split("  - name: canary").next().unwrap().to_owned()
        + "  - name: cutover\n    steps: [cutover, verify]\n";
    let plan = run_shell::plan(&format!("phases:{without_canary}"));
    let with_authority = |state: &State| {
        let whole = if state.cutover.authority == Side::Target { 1000 } else { 0 };
        state.cutover.attempt.is_some() || state.target_permille == whole
    };
    let mut state = after(&State::new(), &plan, &Input::Restarted);
    let mut reached = Vec::new();
    while let Some(command) = due(&state, &plan) {
        assert!(!matches!(command, Command::SetWeight { .. }), "{state:?}");
        let input = success(&command, &state);
        reached.extend(cut_short(&state, &plan, &input, |_, _| WallMs(0)));
        state = after(&state, &plan, &input);
        reached.push(state.clone());
    }
    assert_eq!((state.mode.clone(), state.target_permille), (Mode::Done, 1000));
    for state in reached {
        assert!(with_authority(&state), "{state:?}");
        let mut back = after(&state, &plan, &Input::RollBack { why: "asked".into(), by: None });
        while let Some(command) = due(&back, &plan) {
            if matches!(command, Command::SetWeight { .. }) {
                assert_eq!(back.cutover.authority, Side::Source, "{back:?}");
            }
            back = after(&back, &plan, &success(&command, &back));
        }
        assert!(matches!(back.mode, Mode::RolledBack { .. }), "{back:?}");
        assert!(!back.has_moved_something(), "{back:?}");
    }
}

#[test]
fn a_proof_that_was_lost_is_made_up_for_once_all_steps_are_done() {
    let plan = run_shell::plan("phases:\n  - name: all\n    steps: [replicate, cutover]\n");
    let mut state = after(&State::new(), &plan, &Input::Restarted);
    while let Some(command) = due(&state, &plan) {
        state = after(&state, &plan, &success(&command, &state));
    }
    assert_eq!(state.mode, Mode::Done);
    let Proof { epoch, stage } = state.proof.expect("authority has moved");
    assert_eq!(stage, ProofStage::Pending);
    let proven = |epoch, rows| Input::Proven { epoch, rows, different: 0 };
    // One that comes late is of an earlier change of authority.
    let late = after(&state, &plan, &proven(Epoch(1), Some(7)));
    assert!(late.proof_is(ProofStage::Pending));
    let done = after(&late, &plan, &proven(epoch, Some(7)));
    assert!(done.proof_is(ProofStage::Done));
    assert_eq!(after(&done, &plan, &Input::Restarted), done);

    let lost = after(&late, &plan, &Input::Restarted);
    assert!(lost.proof_is(ProofStage::Lost));
    assert_eq!(lost, after(&late, &plan, &proven(epoch, None)));
    assert_eq!(due(&lost, &plan), Some(Command::MakeUpForProof));
    let equal = after(&lost, &plan, &success(&Command::MakeUpForProof, &lost));
    assert!(equal.proof_is(ProofStage::Done) && equal.mode == Mode::Done);
    assert_eq!((due(&equal, &plan), &equal.pause), (None, &None));
    let differs = after(&lost, &plan, &Input::Verified { rows: 2, different: 1 });
    assert!(differs.pause.is_some_and(|pause| pause.why.contains("1 of 2 rows differ")));
}
