//! From every boundary between two steps the way back is taken that the recovery plan names, with
//! writers and readers that go through the gates all along; and the way there again.

mod lane;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::kill::side_by_side;
use crate::stage::Pair;
use lane::Lane;

/// Each is a phase of its own, so that a run can rest behind every one of them.
const STEPS: &[&str] = &[
    "replicate",
    "verify",
    "smoke: {sql: [{query: select 1, expect: {rows: 1}}], requests: [{path: /}]}",
    "load: {profile: {rate: 50/s, for: 1s}, requests: [{path: /}], error_rate: 0%}",
    "shift: {to: 60%}",
    // The upstreams say their names.
    "mirror: {sample: 100%, for: 1s, least: 1, at_most: 100%}",
    "canary: {weights: [70%], at_least: 1s, proof: [20x], latency: [], warm_up: 0s}",
    "cutover: {attempts: 5, retry_after: 1s}",
    "run: {command: [test, -e, fine]}",
    "shift: {to: 90%}",
    "smoke: {against: gate, sql: [{query: select 1, expect: {rows: 1}}], requests: [{path: /}]}",
    "verify",
    "soak: {for: 1s}",
];

/// Behind `finish` there is no way. A switch at once is judged by latency, also by that of other
/// tests: `gates::canary` takes one back, and `gates::routes` several, route by route.
const ELSEWHERE: [&str; 3] = ["finish", "blue-green", "phased"];

/// A step of a new kind has to be given its place in this test.
fn every_kind_is_there() {
    let schema: Value = serde_json::from_str(changeover_plan::schema()).unwrap();
    let kinds = &schema["$defs"]["step"]["anyOf"][1]["properties"];
    let kinds: BTreeSet<&str> = kinds.as_object().unwrap().keys().map(String::as_str).collect();
    let here = STEPS.iter().filter_map(|step| step.split(':').next());
    assert_eq!(here.chain(ELSEWHERE).collect::<BTreeSet<_>>(), kinds);
}

/// Two migrations, side by side: what is behind the cutover needs no canary each time.
#[test]
fn from_every_boundary_the_recovery_plan_leads_back_and_the_plan_there_again() {
    every_kind_is_there();
    let pair = Pair::start("boundaries");
    let is_cutover = |step: &&str| step.starts_with("cutover");
    let before = STEPS.iter().position(is_cutover).unwrap();
    let takes_long =
        |step: &&&str| ["load", "canary", "mirror"].iter().any(|it| step.starts_with(it));
    let short: Vec<&str> = STEPS.iter().filter(|step| !takes_long(step)).copied().collect();
    let short_before = short.iter().position(is_cutover).unwrap();
    assert_eq!(short[short_before..], STEPS[before..], "a boundary is left out");
    side_by_side(2, &[true, false], |_, first| {
        if *first {
            let lane = Lane::start(&pair, "to_the_cutover", STEPS.to_vec());
            (0..before).for_each(|boundary| lane.back_from(boundary));
            lane.settle();
        } else {
            let lane = Lane::start(&pair, "from_the_cutover", short.clone());
            (short_before..short.len()).for_each(|boundary| lane.back_from(boundary));
            lane.by_itself();
            lane.abort();
            lane.not_by_itself();
            lane.settle();
        }
    });
}
