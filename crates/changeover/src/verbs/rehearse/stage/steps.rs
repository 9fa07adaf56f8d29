//! The steps of a rehearsal's plan, as a plan's text has them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use changeover_engine::Report;
use changeover_plan::rehearsal::{Station, step_text};
use changeover_plan::{Expect, Smoke, SmokeSql, Step};
use serde_json::{Value, json};

use crate::migration::Planned;

/// The phase in which the plan's step with this index is rehearsed: one for each, so that the run
/// can rest behind it.
pub(in crate::verbs::rehearse) fn phase(index: usize) -> String {
    format!("step-{index}")
}

/// Tells a command of the user's that it is rehearsed, and against what.
const HTTP_VARIABLE: &str = "CHANGEOVER_REHEARSAL_HTTP";

/// One phase for each station.
pub(super) fn phases(stations: &[Station], planned: &Planned) -> Result<Value, Report> {
    let text = fs::read_to_string(&planned.path).map_err(|e| {
        Report::new("CO0194", format!("{} cannot be read again", planned.path.display()))
            .because(&e)
    })?;
    let phase = |station: &Station| {
        let known = if station.whole { in_its_words(station, &text, planned) } else { None };
        let step = known.or_else(|| step(&station.step)).ok_or_else(|| {
            let name = station.step.name();
            Report::new("CO0194", format!("a `{name}` step cannot be put into a rehearsal"))
        })?;
        Ok(json!({"name": phase(station.index), "steps": [step]}))
    };
    stations.iter().map(phase).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

/// A check as the plan's text has it: its files are found from another folder, and a failure stops
/// the rehearsal where it is.
fn in_its_words(station: &Station, text: &str, planned: &Planned) -> Option<Value> {
    let folder = planned.path.parent().unwrap_or(Path::new("/"));
    let name = station.step.name();
    if !["smoke", "load", "run"].contains(&name) {
        return None;
    }
    let (phase, index) = station.at;
    let mut step: Value = serde_json::from_str(&step_text(text, phase, index)?).ok()?;
    find_files(&mut step, folder, false);
    let said = step.get_mut(name)?;
    said["on_fail"] = json!("pause");
    let command = if name == "run" { Some(said) } else { said.get_mut("exec") };
    if let Some(command) = command {
        at_home(command, folder, planned)?;
    }
    Some(step)
}

/// A relative path starts at the plan's folder. Where the plan's author chooses the names, one of
/// them may be `file`, too.
fn find_files(value: &mut Value, folder: &Path, are_chosen: bool) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(path) if !are_chosen && ["file", "junit"].contains(&&**key) => {
                        *path = folder.join(&*path).display().to_string();
                    }
                    value => {
                        find_files(value, folder, ["headers", "env", "json"].contains(&&**key));
                    }
                }
            }
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|item| find_files(item, folder, are_chosen));
        }
        _ => {}
    }
}

/// A command runs in the plan's folder, as in the real move.
fn at_home(exec: &mut Value, folder: &Path, planned: &Planned) -> Option<()> {
    let there = json!(["sh", "-c", "cd \"$1\" && shift && exec \"$@\"", "sh", folder]);
    let mut command = there.as_array()?.clone();
    command.append(exec.get_mut("command")?.as_array_mut()?);
    exec["command"] = Value::Array(command);
    let http = planned.plan.rehearsal.as_ref()?.http.as_ref()?;
    exec["env"][HTTP_VARIABLE] = json!(http.upstreams.first()?);
    Some(())
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
