//! The steps of a rehearsal's plan, as a plan's text has them.

use std::time::Duration;

use changeover_engine::Report;
use changeover_plan::rehearsal::Station;
use changeover_plan::{Expect, Smoke, SmokeSql, Step};
use serde_json::{Value, json};

/// The phase in which the plan's step with this index is rehearsed: one for each, so that the run
/// can rest behind it.
pub(in crate::verbs::rehearse) fn phase(index: usize) -> String {
    format!("step-{index}")
}

/// One phase for each station.
pub(super) fn phases(stations: &[Station]) -> Result<Value, Report> {
    let phase = |station: &Station| {
        let step = step(&station.step).ok_or_else(|| {
            let name = station.step.name();
            Report::new("CO0194", format!("a `{name}` step cannot be put into a rehearsal"))
        })?;
        Ok(json!({"name": phase(station.index), "steps": [step]}))
    };
    stations.iter().map(phase).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

/// What stops a rehearsal is to be seen, so every check that says no pauses it.
fn step(step: &Step) -> Option<Value> {
    match step {
        Step::Replicate => Some(json!("replicate")),
        Step::Verify => Some(json!("verify")),
        Step::Cutover { attempts, .. } => {
            Some(json!({"cutover": {"attempts": attempts, "retry_after": "1s"}}))
        }
        Step::Smoke(smoke) => Some(json!({"smoke": questions(smoke)})),
        _ => None,
    }
}

fn questions(smoke: &Smoke) -> Value {
    let query = |it: &SmokeSql| {
        let expect = match &it.expect {
            Expect::Rows(rows) => json!({"rows": rows}),
            Expect::Value(text) => json!({"value": text}),
            Expect::Table(rows) => json!({"table": rows}),
        };
        let (against, within) = (it.against.as_str(), millis(it.within));
        json!({"query": it.query, "expect": expect, "against": against, "within": within})
    };
    json!({
        "sql": smoke.sql.iter().map(query).collect::<Vec<_>>(),
        "retries": {"times": smoke.retries, "after": millis(smoke.retry_after)},
        "on_fail": "pause",
    })
}

fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
