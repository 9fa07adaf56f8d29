//! What earlier runs and rehearsals of a migration took: from its journal, and from what a rehearsal
//! left beside it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use changeover_engine::Report;
use changeover_journal::{JournalError, Reader, Record};
use changeover_plan::Plan;
use changeover_plan::estimate::Earlier;
use changeover_run::{Event, State, apply};
use changeover_types::WallMs;

use crate::view;

/// What rehearsals measured, in the state folder.
pub(crate) const MEASUREMENTS: &str = "measurements.json";

/// Everything that was measured of this migration, newest last. What cannot be read is named.
pub(crate) fn all(plan: &Plan, state_dir: &Path, unknown: &mut Vec<String>) -> Vec<Earlier> {
    let mut all = match measurements(state_dir) {
        Ok(all) => all,
        Err(report) => {
            unknown.push(format!("{}: {}", report.headline, report.chain.join(": ")));
            Vec::new()
        }
    };
    match journalled(plan, state_dir) {
        Ok(run) => all.extend(run),
        Err(report) => {
            unknown.push(format!("{}: {}", report.headline, report.chain.join(": ")));
        }
    }
    all
}

/// What rehearsals measured, oldest first.
///
/// # Errors
/// If the file is there and cannot be read.
pub(crate) fn measurements(state_dir: &Path) -> Result<Vec<Earlier>, Report> {
    let file = state_dir.join(MEASUREMENTS);
    let fault = || Report::new("CO0028", format!("{} cannot be read", file.display()));
    match fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).map_err(|e| fault().because(&e)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(fault().because(&e)),
    }
}

/// What the run in the journal took; `None` if there is none, or it completed no step. Steps of
/// another plan count where they have the same path.
fn journalled(plan: &Plan, state_dir: &Path) -> Result<Option<Earlier>, Report> {
    let fault = |e: &JournalError| Report::new("CO0016", "the journal cannot be read").because(e);
    let reader = match Reader::open(state_dir) {
        Ok(reader) => reader,
        Err(JournalError::Absent { .. }) => return Ok(None),
        Err(error) => return Err(fault(&error)),
    };
    let Some(meta) = reader.meta().map_err(|e| fault(&e))? else { return Ok(None) };
    let records = reader.read_all().map_err(|e| fault(&e))?;
    if meta.plan_digest == plan.digest {
        return Ok(of_records(plan, &records));
    }
    let other = changeover_plan::parse("the journal's plan", &meta.plan_text).map_err(|_| {
        Report::new("CO0016", "what the last run took")
            .cause("it was one of another plan, whose text alone does not tell its steps")
    })?;
    Ok(of_records(&other, &records))
}

/// The times between the records of a run.
pub(crate) fn of_records(plan: &Plan, records: &[Record]) -> Option<Earlier> {
    let paths: Vec<String> = plan.steps().map(|placed| placed.path).collect();
    let first = records.first()?;
    let mut earlier =
        Earlier { origin: format!("run of {}", view::instant(first.at)), ..Earlier::default() };
    let mut state = State::new();
    let (mut step, mut back, mut abort): (_, _, Option<WallMs>) = (None::<WallMs>, None, None);
    let took = |since: Option<WallMs>, at: WallMs| {
        since.map(|since| u64::try_from(at.since(since).as_millis()).unwrap_or(u64::MAX))
    };
    for record in records {
        let Ok(event) = serde_json::from_value::<Event>(record.body.clone()) else { continue };
        match &event {
            Event::StepBegun { .. } => step = Some(record.at),
            Event::StepDone => {
                let ended = paths.get(state.at).zip(took(step.take(), record.at));
                earlier.steps.extend(ended.map(|(path, ms)| (path.clone(), ms)));
            }
            // A step that waited for its operator says nothing of how long it takes.
            Event::Paused { .. } => (step, back, abort) = (None, None, None),
            // One that has nothing to take back says nothing of one that has.
            Event::RollbackBegun { .. } => {
                back = state.has_moved_something().then_some(record.at);
            }
            Event::RollbackGivenUp { .. } => back = None,
            Event::RolledBack => {
                earlier.rollback_ms = took(back.take(), record.at).or(earlier.rollback_ms);
            }
            Event::AbortBegun { .. } => abort = Some(record.at),
            Event::Aborted => earlier.abort_ms = took(abort.take(), record.at),
            _ => {}
        }
        apply(&mut state, &event);
    }
    let nothing = earlier.steps.is_empty() && earlier.rollback_ms.is_none();
    (!nothing || earlier.abort_ms.is_some()).then_some(earlier)
}

#[cfg(test)]
mod tests {
    use super::*;
    use changeover_journal::Seq;
    use changeover_plan::{TemplateKind, parse, template};
    use changeover_run::Pause;

    fn records(events: &[(u64, Event)]) -> Vec<Record> {
        let record = |(seq, (at, event)): (usize, &(u64, Event))| Record {
            seq: Seq(seq as u64 + 1),
            at: WallMs(*at),
            kind: "run".into(),
            body: serde_json::to_value(event).unwrap(),
        };
        events.iter().enumerate().map(record).collect()
    }

    #[test]
    fn the_times_between_the_records_are_the_steps_durations() {
        let plan = parse("p", template(TemplateKind::Database)).unwrap();
        let pause = Pause::new("w".into(), changeover_run::Next::Apply);
        let weight = |target_permille, at| Event::WeightSet {
            target_permille,
            at: WallMs(at),
            route: None,
            salt: None,
        };
        let begun = |at| Event::StepBegun { at: WallMs(at), salt: None };
        let events = [
            (1_000, begun(1_000)),
            (4_000, Event::StepDone),
            (4_000, begun(4_000)),
            (5_000, Event::Paused { pause }),
            (9_000, Event::Resumed { by: None }),
            (9_500, Event::StepDone),
            (9_550, weight(50, 9_550)),
            (9_600, Event::RollbackBegun { why: "w".into(), automatic: false, by: None }),
            (9_700, weight(0, 9_700)),
            (9_900, Event::RolledBack),
            (9_950, Event::RollbackBegun { why: "w".into(), automatic: false, by: None }),
            (9_950, Event::RolledBack),
        ];
        let earlier = of_records(&plan, &records(&events)).unwrap();
        assert_eq!(
            earlier.steps.into_iter().collect::<Vec<_>>(),
            [("copy/replicate".into(), 3_000)]
        );
        assert_eq!(earlier.rollback_ms, Some(300));
        assert_eq!(of_records(&plan, &records(&events[..1])), None);
    }
}
