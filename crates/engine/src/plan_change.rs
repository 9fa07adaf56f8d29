//! The plan of a run may change where nothing rests on it. The journal says which plan counts: the
//! change is one record, written while no daemon runs, and the next daemon is of the new plan.

use std::path::Path;

use changeover_journal::{Entry, Journal, Reader};
use changeover_plan::{Changes, Plan, changes};
use changeover_run::{Event, Who};

use crate::clock::now;
use crate::record::{self, RUN_EVENT, plan_that_counts};
use crate::{Report, parse_plan};

/// The digest and the text of the plan of the run whose journal is in `state_dir`; also while its
/// daemon runs.
///
/// # Errors
/// If the journal cannot be read.
pub fn plan_of_record(state_dir: &Path) -> Result<Option<(String, String)>, Report> {
    let reader = Reader::open(state_dir).map_err(|e| record::fault(&e))?;
    let meta = reader.meta().map_err(|e| record::fault(&e))?;
    let records = reader.read_all().map_err(|e| record::fault(&e))?;
    Ok(plan_that_counts(meta.as_ref(), &records))
}

/// Makes `plan` the plan of the run whose journal is in `state_dir`, and gives what changed. No
/// daemon may run.
///
/// # Errors
/// With exit code 6 and the keys if something rests on what changed; or if the journal cannot be
/// used.
pub fn change_plan(
    state_dir: &Path,
    plan_path: &Path,
    plan: &Plan,
    text: &str,
    by: Who,
) -> Result<Vec<String>, Report> {
    let mut journal = Journal::create_or_open(state_dir).map_err(|e| record::fault(&e))?;
    let records = journal.read_all().map_err(|e| record::fault(&e))?;
    let Some((digest, known)) = plan_that_counts(journal.meta(), &records) else {
        return Ok(Vec::new());
    };
    if digest == plan.digest {
        return Ok(Vec::new());
    }
    let what = free_changes(plan_path, (&digest, &known), plan)?;
    let (state, _) = record::rebuild(&records)?;
    let old = parse_plan("the run's plan", plan_path, &known).ok();
    let at = |plan: &Plan| plan.steps().nth(state.at).map(|placed| placed.step.clone());
    let event = Event::PlanChanged {
        digest: plan.digest.clone(),
        text: text.to_owned(),
        what: what.clone(),
        afresh: old.is_none_or(|old| at(&old) != at(plan)),
        by: Some(by),
    };
    let fault = |e: &dyn std::error::Error| {
        Report::new("CO0125", "the change of the plan cannot be written down").cause(e.to_string())
    };
    let body = serde_json::to_value(&event).map_err(|e| fault(&e))?;
    let entry = Entry { kind: RUN_EVENT.to_owned(), at: now(), body };
    journal.append_all(&[entry]).map_err(|e| fault(&e))?;
    Ok(what)
}

/// What changed between the plan of record and this one, if nothing rests on it.
///
/// # Errors
/// With exit code 6 and the keys on which something rests.
pub fn free_changes(
    plan_path: &Path,
    (digest, known): (&str, &str),
    plan: &Plan,
) -> Result<Vec<String>, Report> {
    let report = || {
        Report::new("CO0022", format!("the plan of {} changed since its run began", plan.name))
            .exit(6)
    };
    let old = parse_plan("the run's plan", plan_path, known);
    let old = old.ok().filter(|old| old.digest == digest).ok_or_else(|| {
        report().cause("a file that the plan refers to has changed, or the plan cannot be read")
    })?;
    let Changes { free, bound } = changes(&old, plan);
    if bound.is_empty() {
        return Ok(free);
    }
    let mut report = report();
    report.chain = bound.iter().map(|(key, why)| format!("{key} may not change: {why}")).collect();
    if !free.is_empty() {
        report.chain.push(format!("these may change while the run goes on: {}", free.join("; ")));
    }
    Err(report)
}
