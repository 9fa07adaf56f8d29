//! Metrics from outside and the time limit, through the run's own decisions.

use changeover_plan::Plan;
use changeover_types::{Decided, DecidedSecond, WallMs};

use super::*;
use crate::{Command, Event, Input, Mode, State, apply, decide, due, wake};

const MINUTE: u64 = 60_000;

fn plan(canary: &str) -> Plan {
    let text = format!(
        "apiVersion: changeover/v1\nkind: Migration\nmetadata: {{name: x}}\n\
         source: {{http: {{upstreams: ['http://a:1']}}}}\n\
         target: {{http: {{upstreams: ['http://b:1', 'http://b:2', 'http://b:3']}}}}\n\
         gates: {{http: {{listen: '127.0.0.1:1'}}}}\n\
         phases: [{{name: a, steps: [{{canary: {{weights: [50%], at_least: 1m, latency: [], \
         warm_up: 5s, {canary}}}}}]}}]\n"
    );
    changeover_plan::parse("plan.yaml", &text).unwrap_or_else(|faults| panic!("{faults}"))
}

fn cpu(more: &str) -> Plan {
    plan(&format!(
        "outside: [{{name: cpu, prometheus: {{url: 'http://p:1', query: 'x{{s=\"$side\"}}'}}, \
         every: 30s{more}}}]"
    ))
}

/// A run of this plan, and the clock.
struct Run {
    plan: Plan,
    state: State,
    now: u64,
    events: Vec<Event>,
}

impl Run {
    /// Half of the requests go to the target, and its judge has seen `seconds` of them.
    fn watched(plan: Plan, seconds: u64) -> Run {
        let mut run = Run { plan, state: State::new(), now: 0, events: vec![] };
        run.input(Input::Restarted);
        assert!(matches!(due(&run.state, &run.plan), Some(Command::SetWeight { .. })));
        run.input(Input::Done);
        let side = Decided { requests: 100, ..Decided::default() };
        let second = |second| DecidedSecond {
            second,
            target_permille: 500,
            source: side.clone(),
            target: side.clone(),
        };
        let rules = run.rules();
        let mut watching = Watching::begin(&rules, 1, 0, &[]);
        watching.take(&rules, 1, seconds, &(0..seconds).map(second).collect::<Vec<_>>());
        run.input(Input::Watched { watching });
        run
    }

    fn rules(&self) -> WatchRules {
        watch_rules(&self.plan, 0, 0).unwrap()
    }

    fn input(&mut self, input: Input) {
        let events = decide(&self.state, &self.plan, &input, WallMs(self.now)).unwrap();
        // As the journal gives them back.
        for event in events {
            let text = serde_json::to_string(&event).unwrap();
            apply(&mut self.state, &serde_json::from_str(&text).unwrap());
            self.events.push(event);
        }
    }

    fn due(&self) -> Vec<usize> {
        let (watching, since) = (self.state.watching.as_ref().unwrap(), self.state.since.unwrap());
        outside_due(&self.rules(), watching, since, WallMs(self.now))
    }

    fn asked(&mut self, pair: Result<(f64, f64), String>) {
        // As the shell does: it is told at once, and the next look at the requests has it, too.
        let (asked, mut watching) = (WallMs(self.now), self.state.watching.clone().unwrap());
        watching.take_outside(&self.rules(), 0, asked, pair.clone());
        self.input(Input::OutsideAsked { at: 0, asked, pair });
        if self.state.watching.is_some() {
            assert_eq!(self.state.watching.as_ref(), Some(&watching));
            self.input(Input::Watched { watching });
        }
    }

    fn silent(&mut self) {
        self.asked(Err("target: the query gives no series".to_owned()));
    }
}

#[test]
fn pairs_are_as_far_apart_as_the_plan_says_also_after_a_restart() {
    let mut run = Run::watched(cpu(""), 0);
    run.now = 29_999;
    assert_eq!(run.due(), [0; 0], "the query still sees what was before the weight");
    run.now = 30_000;
    assert_eq!(run.due(), [0]);
    run.asked(Ok((1.0, 1.0)));
    assert_eq!(run.due(), [0; 0]);
    // Whoever asks again too soon, a second life of the shell for instance, adds nothing.
    run.now = 45_000;
    let before = run.state.watching.clone();
    run.asked(Ok((1.0, 9.0)));
    assert_eq!(run.state.watching, before);
    run.now = 60_000;
    assert_eq!(run.due(), [0]);
    assert_eq!(outside_seen(&run.rules(), run.state.watching.as_ref().unwrap())[0].name, "cpu");
}

#[test]
fn a_metric_that_is_worse_takes_the_canary_back_and_is_named() {
    let mut run = Run::watched(cpu(", margin: 10%"), 0);
    while run.state.mode == Mode::Forward {
        run.now += 30_000;
        assert!(run.now < 20 * MINUTE, "not found");
        run.asked(Ok((100.0, 120.0)));
    }
    let Mode::RollingBack { why } = &run.state.mode else { panic!("{:?}", run.state.mode) };
    let begin = "cpu, from outside: the target's value was more than 10 % above the source's in 11 \
                 of 11 pairs, last 120 against 100; ";
    assert!(why.starts_with(begin) && why.ends_with("(asked for: 200)"), "{why}");
}

#[test]
fn a_metric_without_values_holds_the_canary_and_never_promotes() {
    // Proven by requests long ago, for as long as asked.
    let mut run = Run::watched(cpu(""), 3000);
    for _ in 0..100 {
        run.now += MINUTE;
        run.silent();
    }
    assert_eq!((run.state.at, run.state.pause.clone(), &run.state.mode), (0, None, &Mode::Forward));
    run.now += MINUTE;
    run.asked(Ok((1.0, 1.0)));
    assert_eq!((run.state.at, &run.state.mode), (1, &Mode::Done), "a value was all it waited for");
}

#[test]
fn silence_that_lasts_does_what_the_plan_says() {
    for (then, paused) in [("pause", true), ("rollback", false)] {
        let words = format!(", on_no_data: {then}, no_data_for: 2m");
        let mut run = Run::watched(cpu(&words), 3000);
        for _ in 0..2 {
            run.now += MINUTE;
            run.silent();
            assert!(run.state.pause.is_none() && run.state.mode == Mode::Forward, "too soon");
        }
        run.now += MINUTE;
        run.silent();
        let why = match (&run.state.pause, &run.state.mode) {
            (Some(pause), Mode::Forward) if paused => pause.why.clone(),
            (None, Mode::RollingBack { why }) if !paused => why.clone(),
            other => panic!("{then}: {other:?}"),
        };
        assert_eq!(why, "no values of cpu for 120 s: target: the query gives no series");
    }
}

#[test]
fn a_canary_that_is_not_through_in_time_says_so_and_is_never_let_through() {
    for (then, expected) in [("hold", ""), ("pause", "pause"), ("rollback", "back")] {
        let mut run = Run::watched(plan(&format!("within: 10m, on_timeout: {then}")), 0);
        assert_eq!(wake(&run.state, &run.plan), Some(WallMs(10 * MINUTE)), "set at its begin");
        run.now = 10 * MINUTE - 1;
        run.input(Input::Deadline);
        assert!(!run.state.canary_late);
        run.now += 1;
        run.input(Input::Deadline);
        assert_eq!(wake(&run.state, &run.plan), None, "said once");
        let why = run.events.iter().find_map(|event| match event {
            Event::CanaryLate { why, .. } => Some(why.clone()),
            _ => None,
        });
        let text = "not enough evidence within 600 s to go on or back; it waited for ";
        assert!(why.clone().unwrap().starts_with(text), "{why:?}");
        assert_eq!(run.state.at, 0, "time is no success");
        let is = match (&run.state.pause, &run.state.mode) {
            (Some(pause), Mode::Forward) if Some(&pause.why) == why.as_ref() => "pause",
            (None, Mode::Forward) => "",
            (None, Mode::RollingBack { .. }) => "back",
            other => panic!("{other:?}"),
        };
        assert_eq!(is, expected);
        if is == "pause" {
            // Whoever lets it go on gives it the same time again.
            run.now += MINUTE;
            let who = crate::Who { user: "ann".to_owned(), name: None };
            run.input(Input::Resume { who });
            assert_eq!(wake(&run.state, &run.plan), Some(WallMs(21 * MINUTE)));
        }
    }
}
