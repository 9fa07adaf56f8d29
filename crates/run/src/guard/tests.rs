//! Tables: what a look means, and what it leads to in which state.

use changeover_plan::{AfterDone, Plan};
use changeover_types::{Side, WallMs};

use super::*;
use crate::control::WayBack;
use crate::state::Pause;

fn plan(guards: &str) -> Plan {
    let text = format!(
        r#"
apiVersion: changeover/v1
kind: Migration
metadata: {{name: shop}}
source:
  http: {{upstreams: ["http://127.0.0.1:8081"]}}
  postgres: {{url: "postgresql://postgres@127.0.0.1:5001/shop"}}
target:
  http: {{upstreams: ["http://127.0.0.1:8082"]}}
  postgres: {{url: "postgresql://postgres@127.0.0.1:5002/shop"}}
gates: {{http: {{listen: "127.0.0.1:8080"}}}}
guards: [{guards}]
phases:
  - {{name: move, steps: [replicate, shift: {{to: 50%}}, cutover: {{attempts: 1}}, shift: {{to: 100%}}]}}
"#
    );
    changeover_plan::parse("plan.yaml", &text).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// Everything that can be measured exists: half of the requests go to the target.
fn half_way() -> State {
    let mut state = State::new();
    (state.at, state.target_permille, state.data) = (2, 500, DataStage::Following);
    state.control.different = Some(0);
    state
}

fn figure(value: f64) -> Reading {
    Reading::Figure { value, source: Some(0.01) }
}

/// Takes the readings in, a second apart, and gives what they made happen.
fn look(state: &mut State, plan: &Plan, readings: &[Reading]) -> Vec<Event> {
    let mut all = Vec::new();
    for (second, reading) in readings.iter().enumerate() {
        let now = WallMs(1_000 * second as u64);
        let events = looked(state, plan, "g", reading, now);
        events.iter().for_each(|event| apply(state, event));
        all.extend(events);
    }
    all
}

fn consequences(events: &[Event]) -> Vec<Consequence> {
    let acted = |event: &Event| match event {
        Event::GuardActed { consequence, .. } => Some(*consequence),
        _ => None,
    };
    events.iter().filter_map(acted).collect()
}

/// How the guard stands after one look, and why.
fn standing(guard: &str, state: State, reading: &Reading) -> (Standing, String) {
    let mut state = state;
    let plan = plan(&format!("{{name: g, for: 1h, {guard}}}"));
    look(&mut state, &plan, std::slice::from_ref(reading));
    match state.control.guards.get("g") {
        Some(known) => (known.is, known.why.clone()),
        None => (Standing::Good, String::new()),
    }
}

#[test]
fn each_limit_has_a_good_and_a_bad_side() {
    let table = [
        ("metric: gate.error_rate, below: 1%", 0.0099, 0.01),
        ("metric: gate.error_rate, at_most: 1%", 0.01, 0.0101),
        ("metric: gate.error_rate, compare: {to: source, at_most: 1.5x}", 0.015, 0.0151),
        ("metric: gate.latency_p99, at_most: 250ms", 0.25, 0.2501),
        ("metric: relay.lag, below: 30s", 29.9, 30.0),
        ("metric: slot.retained, at_most: 20GB", 20e9, 20.1e9),
        ("prometheus: {url: \"http://127.0.0.1:1\", query: up}, above: 20", 20.1, 20.0),
        ("prometheus: {url: \"http://127.0.0.1:1\", query: up}, at_most: 20", 20.0, 20.1),
    ];
    for (guard, good, bad) in table {
        assert_eq!(standing(guard, half_way(), &figure(good)).0, Standing::Good, "{guard}");
        let (is, why) = standing(guard, half_way(), &figure(bad));
        assert_eq!(is, Standing::Bad, "{guard}");
        assert!(why.contains(", must be "), "{why}");
    }
    let exec = "exec: [check]";
    assert_eq!(standing(exec, half_way(), &Reading::Passed).0, Standing::Good);
    let failed = Reading::Failed { why: "exit code 9".into() };
    assert_eq!(standing(exec, half_way(), &failed), (Standing::Bad, "exit code 9".into()));
}

#[test]
fn the_last_comparison_is_the_runs_own_knowledge() {
    let guard = "metric: verify.different, at_most: 0";
    let after = |different| {
        let mut state = half_way();
        state.control.different = different;
        standing(guard, state, &Reading::Idle).0
    };
    assert_eq!(after(None), Standing::Good, "nothing was compared yet");
    assert_eq!(after(Some(0)), Standing::Good);
    assert_eq!(after(Some(1)), Standing::Bad);
}

#[test]
fn nothing_known_is_never_good_unless_the_plan_says_so() {
    let unknown = [
        Reading::NoData { why: "connection refused".into() },
        Reading::Figure { value: f64::NAN, source: None },
        Reading::Idle,
    ];
    for reading in &unknown {
        let lag = "metric: relay.lag, below: 30s";
        assert_eq!(standing(lag, half_way(), reading).0, Standing::NoData, "{reading:?}");
        let ignored = format!("{lag}, on_no_data: ignore");
        assert_eq!(standing(&ignored, half_way(), reading).0, Standing::Good, "{reading:?}");
    }
    let compares = "metric: gate.error_rate, compare: {to: source, at_most: 2x}";
    let alone = Reading::Figure { value: 0.0, source: None };
    assert_eq!(standing(compares, half_way(), &alone).0, Standing::NoData);
}

#[test]
fn what_cannot_exist_yet_is_not_missing() {
    let gone = Reading::NoData { why: "gone".into() };
    let at = |data: DataStage, permille: u16| {
        let mut state = half_way();
        (state.data, state.target_permille) = (data, permille);
        state
    };
    let errors = "metric: gate.error_rate, below: 1%";
    let compares = "metric: gate.error_rate, compare: {to: source, at_most: 2x}";
    let lag = "metric: relay.lag, below: 30s";
    let slot = "metric: slot.retained, below: 1GB";
    let table = [
        (errors, at(DataStage::Following, 0), Standing::Good),
        (errors, at(DataStage::Following, 1), Standing::NoData),
        (errors, at(DataStage::Following, 1000), Standing::NoData),
        (compares, at(DataStage::Following, 0), Standing::Good),
        (compares, at(DataStage::Following, 999), Standing::NoData),
        (compares, at(DataStage::Following, 1000), Standing::Good),
        (lag, at(DataStage::Copied, 0), Standing::Good),
        (lag, at(DataStage::Built, 0), Standing::NoData),
        (slot, at(DataStage::Copying, 0), Standing::Good),
        (slot, at(DataStage::Copied, 0), Standing::NoData),
        ("exec: [check]", at(DataStage::Nothing, 0), Standing::NoData),
    ];
    for (guard, state, wanted) in table {
        let shown = format!("{guard} at {:?}, {}", state.data, state.target_permille);
        assert_eq!(standing(guard, state, &gone).0, wanted, "{shown}");
    }
}

#[test]
fn it_acts_once_when_it_was_bad_for_long_enough() {
    let bad = || figure(40.0);
    let plan = plan("{name: g, metric: relay.lag, below: 30s, for: 2s, on_fail: hold}");
    let mut state = half_way();
    assert_eq!(consequences(&look(&mut state, &plan, &[bad(), bad()])), []);
    assert_eq!(state.control.held(), None);
    let mut state = half_way();
    let events = look(&mut state, &plan, &[bad(), bad(), bad(), bad(), bad()]);
    assert_eq!(consequences(&events), [Consequence::Held]);
    assert!(state.control.held().is_some_and(|why| why.contains("relay.lag is 40")));
    // A moment of good begins the time anew, and lets a held run go.
    let mut state = half_way();
    let events = look(&mut state, &plan, &[bad(), bad(), figure(1.0), bad(), bad()]);
    assert_eq!(consequences(&events), []);
    look(&mut state, &plan, &[bad(), bad(), bad(), figure(1.0)]);
    assert_eq!(state.control.held(), None);
}

#[test]
fn each_reaction_does_what_its_name_says() {
    let act = |reaction: &str, mut state: State| {
        let guard = format!("{{name: g, exec: [check], for: 0s, on_fail: {reaction}}}");
        let bad = Reading::Failed { why: "exit code 1".into() };
        let events = look(&mut state, &plan(&guard), &[bad.clone(), bad]);
        (consequences(&events), state)
    };
    let on_target = || {
        let mut state = half_way();
        state.cutover.authority = Side::Target;
        (state.at, state.target_permille) = (3, 1000);
        state
    };
    let not_moved = || {
        let mut state = half_way();
        (state.at, state.target_permille) = (1, 0);
        state
    };

    let (done, state) = act("warn", half_way());
    assert_eq!((done, state.pause, state.mode), (vec![Consequence::Warned], None, Mode::Forward));
    let (done, state) = act("hold", half_way());
    assert_eq!((done, state.pause), (vec![Consequence::Held], None));
    assert_eq!(state.control.held().as_deref(), Some("guard g: exit code 1"));
    let (done, state) = act("pause", half_way());
    assert_eq!(done, [Consequence::Paused]);
    assert_eq!(state.pause.unwrap().why, "guard g: exit code 1");

    for moved in [half_way(), on_target()] {
        let (done, state) = act("rollback", moved);
        assert_eq!(done, [Consequence::RolledBack]);
        assert!(matches!(state.mode, Mode::RollingBack { .. }));
        assert_eq!(state.control.way_back, WayBack::ToProve, "a look at the source comes first");
    }
    let (_, state) = act("rollback", not_moved());
    assert_eq!(state.pause.unwrap().next, Next::Resume, "there is nothing to take back");
    let mut again = on_target();
    again.control.automatic_rollbacks = 1;
    let (_, state) = act("rollback", again);
    assert_eq!(state.mode, Mode::Forward);
    assert_eq!(state.pause.unwrap().next, Next::Rollback, "twice is for a person");

    let (done, state) = act("abort", half_way());
    assert_eq!((done, state.mode), (vec![Consequence::Aborted], Mode::Aborting));
    let (_, state) = act("abort", on_target());
    assert_eq!(state.mode, Mode::Forward);
    assert_eq!(state.pause.unwrap().next, Next::Rollback, "too late to abort");

    // Whom a person stopped is stopped; the guard has its say when they resume.
    for reaction in ["pause", "abort"] {
        let mut paused = on_target();
        let why = "a person's".to_owned();
        paused.pause = Some(Pause { why, next: crate::Next::Apply, by: None, finishing: false });
        let (done, state) = act(reaction, paused);
        assert_eq!(done, [], "{reaction}");
        assert_eq!(state.pause.unwrap().why, "a person's");
    }
    // When all steps are done it can only say.
    let mut over = on_target();
    (over.at, over.mode) = (4, Mode::Done);
    let (done, state) = act("rollback", over);
    assert_eq!((done, state.mode), (vec![Consequence::Alarmed], Mode::Done));
}

/// Until the guard is good again there is an alarm; it goes back only if the plan says so, and once.
#[test]
fn when_all_steps_are_done_a_guard_alarms_or_takes_the_run_back() {
    let after_done = |word: &str, on_fail: &str, before: u32| {
        let mut plan = plan(&format!(
            "{{name: g, metric: gate.error_rate, at_most: 1%, for: 2s, on_fail: {on_fail}}}"
        ));
        if word == "rollback" {
            plan.after_done = AfterDone::Rollback;
        }
        let mut state = half_way();
        (state.at, state.mode, state.target_permille) = (4, Mode::Done, 1000);
        state.cutover.authority = Side::Target;
        state.control.automatic_rollbacks = before;
        let bad = [figure(0.5), figure(0.5), figure(0.5), figure(0.5)];
        assert_eq!(consequences(&look(&mut state, &plan, &bad[..2])), [], "not for so long");
        let acted = consequences(&look(&mut state, &plan, &bad));
        (acted, state, plan)
    };
    for (word, on_fail, before) in [
        ("alarm", "rollback", 0),
        ("rollback", "rollback", 1),
        ("rollback", "hold", 0),
        ("rollback", "abort", 0),
        ("alarm", "pause", 0),
        ("alarm", "warn", 0),
    ] {
        let (acted, mut state, plan) = after_done(word, on_fail, before);
        let as_it_was = (vec![Consequence::Alarmed], &Mode::Done, None);
        assert_eq!((acted, &state.mode, state.pause.clone()), as_it_was, "{word} {on_fail}");
        let [alarm] = &state.control.alarms()[..] else { panic!("{state:?}") };
        assert!(alarm.starts_with("guard g: gate.error_rate is 50.00 %"), "{alarm}");
        look(&mut state, &plan, &[figure(0.001)]);
        assert_eq!(state.control.alarms(), [""; 0], "it is good again");
    }
    let (acted, state, _) = after_done("rollback", "rollback", 0);
    assert_eq!(acted, [Consequence::RolledBack]);
    assert!(matches!(state.mode, Mode::RollingBack { .. }), "{state:?}");
    assert_eq!((state.control.way_back, state.control.automatic_rollbacks), (WayBack::ToProve, 1));
}
