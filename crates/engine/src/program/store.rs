//! The program's state and the journal it is rebuilt from, always together.

use changeover_journal::{Journal, Record};
use changeover_plan::Program;
use changeover_run::program::{Event, Input, State, apply, decide};
use changeover_types::WallMs;

use super::ProgramFiles;
use crate::Report;
use crate::clock::now;
use crate::record::{self, Fed};

/// The journal's name for a record of a program.
const PROGRAM_EVENT: &str = "program";

/// The program's durable state.
#[derive(Debug)]
pub(super) struct Store {
    journal: Journal,
    state: State,
    run_id: String,
    is_new: bool,
}

impl Store {
    /// Opens the journal and rebuilds the state; begins a new one for a new program.
    ///
    /// # Errors
    /// If the journal is held, damaged, or about another program.
    pub(super) fn open(files: &ProgramFiles) -> Result<Store, Report> {
        let program = &files.program;
        let (journal, run_id) =
            record::open(&files.state_dir, &program.name, &program.digest, &files.text)?;
        let records = journal.read_all().map_err(|e| record::fault(&e))?;
        let state = rebuild(program, &records)?;
        Ok(Store { journal, state, run_id, is_new: records.is_empty() })
    }

    /// Where the program stands.
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Whether nothing of it was journalled before this life.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// This run among all runs of the same name.
    pub(super) fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Decides, makes the events durable one by one, then makes them so; gives them.
    ///
    /// # Errors
    /// As the run's own store.
    pub(super) fn feed(
        &mut self,
        program: &Program,
        input: &Input,
    ) -> Result<Vec<(WallMs, Event)>, Fed> {
        let now = now();
        let events = decide(&self.state, program, input, now).map_err(Fed::Refused)?;
        for event in &events {
            let body = serde_json::to_value(event).map_err(Fed::Encode)?;
            self.journal.append(PROGRAM_EVENT, now, &body).map_err(Fed::Lost)?;
            apply(&mut self.state, event);
        }
        Ok(events.into_iter().map(|event| (now, event)).collect())
    }
}

/// The state that these records make.
///
/// # Errors
/// If a record was written by another version of the program.
pub(super) fn rebuild(program: &Program, records: &[Record]) -> Result<State, Report> {
    let mut state = State::new(program);
    for record in records.iter().filter(|record| record.kind == PROGRAM_EVENT) {
        let event: Event = serde_json::from_value(record.body.clone()).map_err(|e| {
            Report::new("CO0122", format!("record {} of the journal is not known", record.seq))
                .because(&e)
                .hint("use the version of changeover that started this program, or a newer one")
        })?;
        apply(&mut state, &event);
    }
    Ok(state)
}
