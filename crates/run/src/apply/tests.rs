//! What the journal's JSON keeps.

use super::*;
use crate::canary::WatchRules;
use changeover_types::{Decided, DecidedSecond, LatencyBucket, RouteName};

/// What was seen goes through the journal's JSON, in which an event is a tagged object.
#[test]
fn what_was_seen_survives_the_journal() {
    let plan = "apiVersion: changeover/v1\nkind: Migration\nmetadata: {name: x}\n\
                source: {http: {upstreams: ['http://a:1']}}\n\
                target: {http: {upstreams: ['http://b:1']}}\n\
                gates: {http: {listen: '127.0.0.1:1'}}\n";
    let plan = changeover_plan::parse("plan.yaml", plan).unwrap();
    let rules = crate::canary::watch_rules(&plan, 0, 0).unwrap();
    assert!(matches!(rules, WatchRules::Canary { .. }));
    let latency = vec![(LatencyBucket(7), 90), (LatencyBucket::NEVER, 10)];
    let side = Decided { requests: 100, bad: 10, latency, users: None };
    let second = |second, target_permille| DecidedSecond {
        second,
        target_permille,
        source: side.clone(),
        target: side.clone(),
    };
    let past: Vec<_> = (0..30).map(|at| second(at, 0)).collect();
    let mut watching = Watching::begin(&rules, 1, 30, &past);
    watching.take(&rules, 1, 60, &(30..60).map(|at| second(at, 50)).collect::<Vec<_>>());
    let event = Event::Watched { watching };
    let text = serde_json::to_value(&event).unwrap();
    let Event::Watched { watching: read } = serde_json::from_value(text).unwrap() else {
        panic!("another event")
    };
    assert_eq!(read.next_second(1), 60);
    let Event::Watched { watching } = event else { panic!("another event") };
    let waited = std::time::Duration::from_secs(60);
    assert_eq!(read.judged(&rules, waited), watching.judged(&rules, waited));
}

/// A plan without routes writes what it always wrote, and what was written then is read.
#[test]
fn shares_without_routes_are_in_the_journal_as_they_always_were() {
    let old =
        [r#"{"kind":"step-begun","at":1}"#, r#"{"kind":"weight-set","target_permille":50,"at":2}"#];
    let mut state = State::new();
    for text in old {
        let event: Event = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
        apply(&mut state, &event);
    }
    assert_eq!((state.target_permille, state.newest_salt), (50, 0));
    assert!(state.split.is_plain());
    let route = Some(RouteName::new("search").unwrap());
    let event = Event::WeightSet { target_permille: 100, at: WallMs(3), route, salt: Some(7) };
    let text = serde_json::to_string(&event).unwrap();
    assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    apply(&mut state, &event);
    assert_eq!((state.target_permille, state.highest_permille()), (50, 100));
}
