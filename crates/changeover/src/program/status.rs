//! `status` of a program: from its daemon, or from its journal when that is gone.

use changeover_engine::Report;
use changeover_engine::protocol::ProgramStatus;
use changeover_journal::{JournalError, Meta, Reader};
use changeover_run::program::State;

use super::{Programmed, Target, follow, view};
use crate::exit;
use crate::output::Output;

pub(super) fn run(target: &Target, watch: bool, output: &Output) -> Result<u8, Report> {
    let Some((meta, state)) = journalled(target)? else {
        if target.programmed.is_none() {
            return running(target, watch, output);
        }
        output.emit("result", &serde_json::json!({"name": target.name, "state": null}));
        output.line(format!("{}: nothing was applied yet", target.name));
        return Ok(exit::OK);
    };
    if state.mode.is_over() {
        let word = view::mode(&state.mode);
        output.emit(
            "journal",
            &serde_json::json!({"name": target.name, "run_id": meta.run_id, "state": word}),
        );
        output.line(format!("{} (run {}): {word}", target.name, meta.run_id));
        return Ok(exit::OK);
    }
    running(target, watch, output)
}

fn running(target: &Target, watch: bool, output: &Output) -> Result<u8, Report> {
    crate::follow::block_on(async {
        if watch {
            return follow::rest(target, output, None, exit::of_status).await;
        }
        let status = target.status().await?;
        show(&status, output);
        Ok(exit::of_status(&status.state))
    })
}

fn show(status: &ProgramStatus, output: &Output) {
    output.emit("status", status);
    output.line(view::status(status));
}

/// What the journal is about and where the program stands by it; `None` if nothing was begun, or if
/// only the program's name is known.
///
/// # Errors
/// If the journal is damaged or of another version.
pub(super) fn journalled(target: &Target) -> Result<Option<(Meta, State)>, Report> {
    target.programmed.as_ref().map_or(Ok(None), journalled_of)
}

/// The same of a program that was read.
///
/// # Errors
/// As [`journalled`].
pub(super) fn journalled_of(programmed: &Programmed) -> Result<Option<(Meta, State)>, Report> {
    let unreadable =
        |e: &JournalError| Report::new("CO0016", "the program's journal cannot be read").because(e);
    let reader = match Reader::open(&programmed.files.state_dir) {
        Ok(reader) => reader,
        Err(JournalError::Absent { .. }) => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
    };
    let Some(meta) = reader.meta().map_err(|e| unreadable(&e))? else { return Ok(None) };
    let records = reader.read_all().map_err(|e| unreadable(&e))?;
    let state = changeover_engine::journalled_program(&programmed.files.program, &records)?;
    Ok(Some((meta, state)))
}
