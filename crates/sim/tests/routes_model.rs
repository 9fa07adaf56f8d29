//! A run that moves routes one by one, through every state that the shell's answers and the
//! operator's words can lead to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, OnceLock};

use changeover_plan::Plan;
use changeover_run::canary::{WatchRules, Watching, watch_rules};
use changeover_run::{Command, Input, Mode, State, due};
use changeover_sim::run_shell::{self, cut_short, without_epochs};
use changeover_types::{Decided, DecidedSecond, LatencyBucket, RouteName, Side, WallMs};

const PLAN: &str = r#"
    routes: [{name: search, paths: [/search]}, {name: cart, paths: [/cart/]}]
  postgres: {listen: "127.0.0.1:6432", auth: trust}
phases:
  - name: copy
    steps: [replicate]
  - name: search
    steps:
      - canary: {route: search, weights: [10%, 50%], at_least: 1s}
      - shift: {route: search, to: 100%}
  - name: others
    steps:
      - phased: {routes: [cart], each: 1s}
      - canary: {weights: [20%], at_least: 1s}
      - cutover: {attempts: 1}
      - shift: {to: 100%}
"#;

fn plan() -> Plan {
    run_shell::plan_with_gate(PLAN)
}

/// What is known after five minutes of a target that does well, or of one that fails always.
fn seen(state: &State, plan: &Plan, good: bool) -> Watching {
    static SEEN: Mutex<BTreeMap<(usize, usize, bool), Watching>> = Mutex::new(BTreeMap::new());
    let key = (state.at, state.canary_index, good);
    let mut seen = SEEN.lock().expect("no test panicked in it");
    seen.entry(key).or_insert_with(|| judge(state, plan, good)).clone()
}

fn judge(state: &State, plan: &Plan, good: bool) -> Watching {
    let rules = watch_rules(plan, state.at, state.canary_index).expect("a step that is watched");
    let permille = match rules {
        WatchRules::Canary { target_permille, .. } => target_permille,
        WatchRules::Switched { .. } => 1000,
    };
    let second = |second, target_permille| {
        let decided = |counts: &[u64]| Decided {
            requests: counts.iter().sum(),
            latency: (0..).zip(counts).map(|(at, n)| (LatencyBucket(at * 10), *n)).collect(),
            ..Decided::default()
        };
        // Two thousand requests a second, shared out as ordered.
        let to_target = 2 * u64::from(target_permille);
        let slower = (2000 - to_target).div_ceil(1000);
        let source = decided(&[0, 500, 400, 90, 9, 1].map(|n| n * slower));
        let bad = if good { 0 } else { to_target };
        let target = Decided { bad, ..decided(&[to_target]) };
        DecidedSecond { second, target_permille, source, target }
    };
    let past: Vec<_> = (0..60).map(|at| second(at, 0)).collect();
    let mut watching = Watching::begin(&rules, 1, 60, &past);
    watching.take(&rules, 1, 360, &(60..360).map(|at| second(at, permille)).collect::<Vec<_>>());
    watching
}

fn success(command: &Command, state: &State, plan: &Plan) -> Input {
    match command {
        Command::Watch { .. } => Input::Watched { watching: seen(state, plan, true) },
        _ => run_shell::success(command),
    }
}

fn inputs(state: &State, plan: &Plan) -> Vec<Input> {
    let mut inputs = vec![
        Input::Restarted,
        Input::GoOn { by: None },
        Input::RollBack { why: "asked".into(), by: None },
        Input::GiveUpRollback { by: None },
        Input::Abort { by: None, lost: false },
    ];
    if let Some(command) = due(state, plan) {
        inputs.push(success(&command, state, plan));
        if let Command::Watch { .. } = command {
            inputs.push(Input::Watched { watching: seen(state, plan, false) });
        }
    }
    inputs
}

/// Watched for long enough.
fn now(_: &State, input: &Input) -> WallMs {
    WallMs(if matches!(input, Input::Watched { .. }) { 3_600_000 } else { 0 })
}

fn after(state: &State, plan: &Plan, input: &Input) -> State {
    run_shell::after(state, plan, input, now(state, input))
}

fn shares(state: &State, plan: &Plan) -> Vec<u16> {
    let names = plan.gates.http.as_ref().expect("a gate").route_names();
    names.iter().map(|name| state.share_of(Some(name)).target_permille).collect()
}

/// Every state with every state that comes right after it.
fn every_step(plan: &Plan) -> &'static [(State, State)] {
    static ALL: OnceLock<Vec<(State, State)>> = OnceLock::new();
    ALL.get_or_init(|| explored(plan))
}

fn explored(plan: &Plan) -> Vec<(State, State)> {
    let mut seen = BTreeSet::new();
    let mut queue = VecDeque::from([after(&State::new(), plan, &Input::Restarted)]);
    let mut all = Vec::new();
    while let Some(state) = queue.pop_front() {
        if !seen.insert(format!("{:?}", without_epochs(&state))) {
            continue;
        }
        for input in inputs(&state, plan) {
            let next = after(&state, plan, &input);
            queue.push_back(next.clone());
            queue.extend(cut_short(&state, plan, &input, now));
            all.push((state.clone(), next));
        }
    }
    all
}

fn heal(mut state: State, plan: &Plan) -> State {
    for _ in 0..200 {
        match due(&state, plan) {
            Some(command) => state = after(&state, plan, &success(&command, &state, plan)),
            None if state.pause.is_some() => state = after(&state, plan, &Input::GoOn { by: None }),
            None => return state,
        }
    }
    panic!("the run does not rest: {state:?}");
}

#[test]
fn routes_move_in_the_plans_order_and_never_back_but_all_together() {
    let plan = plan();
    let mut ways = BTreeSet::new();
    for (state, next) in every_step(&plan) {
        let (before, now) = (shares(state, &plan), shares(next, &plan));
        let ascends = before.iter().zip(&now).all(|(before, now)| before <= now);
        assert!(ascends || now == [0, 0, 0], "{before:?} → {now:?} in {state:?}");
        assert_eq!(state.highest_permille() == 0, before == [0, 0, 0]);
        ways.insert(now);
    }
    let expected = [
        [0, 0, 0],
        // A rollback that was given up puts one route back after another.
        [0, 1000, 0],
        [100, 0, 0],
        [500, 0, 0],
        [1000, 0, 0],
        [1000, 1000, 0],
        [1000, 1000, 200],
        [1000, 1000, 1000],
    ];
    assert_eq!(ways, expected.map(Vec::from).into_iter().collect());
}

#[test]
fn from_every_state_a_run_ends_with_all_routes_on_one_side() {
    let plan = plan();
    let (mut ahead, mut back, mut done) = (0, 0, BTreeSet::new());
    let states = every_step(&plan).iter().map(|(_, next)| next);
    for state in states.filter(|state| done.insert(format!("{:?}", without_epochs(state)))) {
        let rested = heal(state.clone(), &plan);
        let (shares, authority) = (shares(&rested, &plan), rested.cutover.authority);
        match rested.mode {
            Mode::Done => {
                assert_eq!((shares, authority), (vec![1000; 3], Side::Target), "{state:?}");
                assert!(rested.split.own.is_empty(), "the whole is for all: {state:?}");
                ahead += 1;
            }
            Mode::RolledBack { .. } | Mode::Aborted => {
                assert_eq!((shares, authority), (vec![0; 3], Side::Source), "{state:?}");
                back += 1;
            }
            other => panic!("rests in {other:?}, coming from {state:?}"),
        }
    }
    assert!(ahead > 20 && back > 20, "{ahead} {back}");
}

/// One bad route takes everything back, whatever has moved before.
#[test]
fn a_bad_route_takes_all_of_them_back() {
    let plan = plan();
    let mut judged = BTreeSet::new();
    for (state, _) in every_step(&plan) {
        let watched = matches!(due(state, &plan), Some(Command::Watch { .. }));
        if !watched || state.mode != Mode::Forward || state.control.automatic_rollbacks > 0 {
            continue;
        }
        let watching = seen(state, &plan, false);
        let next = after(state, &plan, &Input::Watched { watching });
        assert!(matches!(next.mode, Mode::RollingBack { .. }), "{state:?} → {next:?}");
        let rested = heal(next, &plan);
        assert!(matches!(rested.mode, Mode::RolledBack { .. }), "{rested:?}");
        assert_eq!(shares(&rested, &plan), [0, 0, 0]);
        let names = plan.routes_judged(state.at, state.canary_index);
        judged.insert(names.iter().map(RouteName::to_string).collect::<Vec<_>>().join(","));
    }
    assert_eq!(judged.into_iter().collect::<Vec<_>>(), ["cart", "rest", "search"]);
}

/// A canary that is begun again draws other users than before; a shift leaves them where they are.
#[test]
fn each_canary_has_a_salt_of_its_own() {
    let plan = plan();
    let (mut state, mut salts) = (after(&State::new(), &plan, &Input::Restarted), Vec::new());
    for round in 0..3 {
        loop {
            let command = due(&state, &plan).expect("something to do");
            if let Command::SetWeight { share, route } = &command {
                salts.push((round, share.target_permille, share.salt, route.clone()));
            }
            let last = matches!(&command, Command::SetWeight { route: None, .. });
            state = after(&state, &plan, &success(&command, &state, &plan));
            if last {
                break;
            }
        }
        state = after(&state, &plan, &Input::RollBack { why: "asked".into(), by: None });
        state = after(&heal(state, &plan), &plan, &Input::GoOn { by: None });
    }
    let of = |round| -> Vec<u64> {
        let of_round = salts.iter().filter(|(it, ..)| *it == round);
        of_round.map(|(.., salt, _)| *salt).collect()
    };
    let mut before = 0;
    for round in 0..3 {
        // 10 %, 50 % and the shift of search; the cart, which no canary moves; the rest.
        let [ten, fifty, shift, cart, rest] = of(round)[..] else { panic!("{salts:?}") };
        assert!(ten == fifty && fifty == shift && before < ten && ten < rest, "{salts:?}");
        assert!(cart < ten, "{salts:?}");
        before = rest;
    }
}
