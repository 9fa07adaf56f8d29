//! The run's state and the journal it is rebuilt from, always together.

mod room;

use std::path::Path;

use changeover_cutover::Event as CutoverEvent;
use changeover_journal::{CrashPoint, Entry, Journal, JournalError, Meta, Record, Seq};
use changeover_plan::Plan;
use changeover_run::{Event, Input, State, apply, decide};
use changeover_types::{MigrationName, WallMs};

use crate::Report;
use crate::clock::now;

/// Makes the daemon proper kill itself at a record of its journal; for tests.
pub(crate) const CRASH_VARIABLE: &str = "CHANGEOVER_CRASH_AT";

/// The journal's name for a record of the run.
pub(crate) const RUN_EVENT: &str = "run";

/// The run's durable state.
#[derive(Debug)]
pub(crate) struct Store {
    journal: Journal,
    state: State,
    run_id: String,
    /// Events that were journalled, also in earlier lives, but not yet taken by [`Store::news`].
    news: Vec<(WallMs, Event)>,
}

impl Store {
    /// Opens the journal of the folder and rebuilds the state; begins a new one for a new plan.
    ///
    /// # Errors
    /// If the journal is held, damaged, or about another plan.
    pub(crate) fn open(state_dir: &Path, plan: &Plan, plan_text: &str) -> Result<Store, Report> {
        let (journal, run_id) = open(state_dir, &plan.name, &plan.digest, plan_text)?;
        let records = journal.read_all().map_err(|e| fault(&e))?;
        let (state, news) = rebuild(&records)?;
        Ok(Store { journal, state, run_id, news })
    }

    /// Where the run stands.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Whether nothing has happened yet.
    pub(crate) fn is_new(&self) -> bool {
        self.journal.last() == Seq(0)
    }

    /// This run among all runs of the same name.
    pub(crate) fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Decides, makes the events durable, then makes them so.
    ///
    /// # Errors
    /// [`Fed::Refused`] and [`Fed::NoRoom`] changed nothing. [`Fed::Lost`]: the journal cannot be trusted any more and
    /// the process must end.
    pub(crate) fn feed(&mut self, plan: &Plan, input: &Input) -> Result<(), Fed> {
        let now = now();
        let events = decide(&self.state, plan, input, now).map_err(Fed::Refused)?;
        self.append(now, &events)?;
        Ok(())
    }

    fn append(&mut self, now: WallMs, events: &[Event]) -> Result<(), Fed> {
        if events.is_empty() {
            return Ok(());
        }
        let seals = |event: &Event| {
            matches!(event, Event::Cutover { event: CutoverEvent::SealIntended { .. } })
        };
        if events.iter().any(seals) {
            room::reserve(self.journal.dir()).map_err(Fed::NoRoom)?;
        }
        let mut entries = Vec::with_capacity(events.len());
        for event in events {
            let body = serde_json::to_value(event).map_err(Fed::Encode)?;
            entries.push(Entry { kind: RUN_EVENT.to_owned(), at: now, body });
        }
        // One by one, so that every record is a place to crash at.
        for (entry, event) in entries.iter().zip(events) {
            self.journal.append_all(std::slice::from_ref(entry)).map_err(Fed::Lost)?;
            apply(&mut self.state, event);
            self.news.push((now, event.clone()));
        }
        // Not in an attempt: its time is the clients'.
        if self.state.cutover.attempt.is_none()
            && events.iter().any(is_milestone)
            && let Err(e) = self.journal.checkpoint()
        {
            tracing::warn!("journal.db alone is no backup of what came last: {e}");
        }
        Ok(())
    }

    /// What was journalled since the last call.
    pub(crate) fn news(&mut self) -> Vec<(WallMs, Event)> {
        std::mem::take(&mut self.news)
    }
}

/// Whether it is worth a copy of the journal.
fn is_milestone(event: &Event) -> bool {
    matches!(
        event,
        Event::StepDone
            | Event::PlanDone { .. }
            | Event::Copied { .. }
            | Event::Paused { .. }
            | Event::RolledBack
            | Event::Aborted
            | Event::Finished
    )
}

/// The plan that counts: the digest and text of the newest change, or of the beginning.
pub(crate) fn plan_that_counts(
    meta: Option<&Meta>,
    records: &[Record],
) -> Option<(String, String)> {
    let changed = |record: &Record| {
        if record.kind != RUN_EVENT || record.body["kind"] != "plan-changed" {
            return None;
        }
        let text = |key: &str| record.body[key].as_str().map(str::to_owned);
        text("digest").zip(text("text"))
    };
    let begun = || meta.map(|meta| (meta.plan_digest.clone(), meta.plan_text.clone()));
    records.iter().rev().find_map(changed).or_else(begun)
}

/// Opens the journal of the folder for the plan of this digest, and begins a new one; gives the
/// run's id as well.
///
/// # Errors
/// If the journal is held, damaged, or about another plan.
pub(crate) fn open(
    state_dir: &Path,
    name: &MigrationName,
    digest: &str,
    text: &str,
) -> Result<(Journal, String), Report> {
    let mut journal = Journal::create_or_open(state_dir).map_err(|e| fault(&e))?;
    if let Ok(text) = std::env::var(CRASH_VARIABLE) {
        let point: CrashPoint =
            text.parse().map_err(|e: changeover_journal::InvalidCrashPoint| {
                Report::new("CO0121", format!("{CRASH_VARIABLE} cannot be used")).because(&e)
            })?;
        journal = journal.with_crash_point(point, Box::new(|_, _| die()));
    }
    let records = journal.read_all().map_err(|e| fault(&e))?;
    let known = plan_that_counts(journal.meta(), &records);
    let run_id = match (journal.meta(), known) {
        (Some(meta), Some((known, _))) if known == digest => meta.run_id.clone(),
        (Some(_), _) => return Err(other_plan(state_dir)),
        (None, _) => {
            let run_id = format!("{:016x}", rand::random::<u64>());
            let meta = Meta {
                migration: name.clone(),
                run_id: run_id.clone(),
                plan_digest: digest.to_owned(),
                plan_text: text.to_owned(),
            };
            journal.begin(meta).map_err(|e| fault(&e))?;
            run_id
        }
    };
    Ok((journal, run_id))
}

/// Why an input did not become events.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fed {
    /// The run refuses; nothing changed.
    #[error(transparent)]
    Refused(changeover_run::Refusal),
    /// An event has no JSON form.
    #[error("an event cannot be written")]
    Encode(#[source] serde_json::Error),
    /// The journal's disk has no room for what follows a seal; nothing changed.
    #[error("the disk of the state folder has no room for what follows a seal")]
    NoRoom(#[source] std::io::Error),
    /// The journal failed; what is on disk is not known.
    #[error("the journal failed")]
    Lost(#[source] JournalError),
}

/// The state that these records make, and the events they hold.
///
/// # Errors
/// If a record was written by another version of the program.
pub(crate) fn rebuild(records: &[Record]) -> Result<(State, Vec<(WallMs, Event)>), Report> {
    let mut state = State::new();
    let mut events = Vec::new();
    for record in records.iter().filter(|record| record.kind == RUN_EVENT) {
        let event: Event = serde_json::from_value(record.body.clone()).map_err(|e| {
            Report::new("CO0122", format!("record {} of the journal is not known", record.seq))
                .because(&e)
                .hint("use the version of changeover that started this migration, or a newer one")
        })?;
        apply(&mut state, &event);
        events.push((record.at, event));
    }
    Ok((state, events))
}

pub(crate) fn fault(error: &JournalError) -> Report {
    let report =
        Report::new("CO0120", "the journal of the migration cannot be used").because(error);
    if matches!(error, JournalError::Held { .. }) { report.exit(7) } else { report }
}

fn other_plan(state_dir: &Path) -> Report {
    Report::new("CO0123", "the plan has changed since the migration began")
        .cause(format!("{} holds a run of another plan of this name", state_dir.display()))
        .hint("`changeover apply` takes up what may change, and names what may not")
        .exit(6)
}

/// As a crash would: no destructor runs.
fn die() {
    if let Some(own) =
        rustix::process::Pid::from_raw(i32::try_from(std::process::id()).unwrap_or(0))
    {
        rustix::process::kill_process(own, rustix::process::Signal::KILL).ok();
    }
    std::process::abort();
}
