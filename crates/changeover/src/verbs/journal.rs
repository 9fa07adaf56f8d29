//! `journal show`: every record, the chain checked on the way.

use std::path::Path;

use changeover_engine::Report;
use changeover_journal::Seq;

use crate::cli::{Global, JournalShow};
use crate::output::Output;
use crate::{exit, migration, view};

pub(super) fn show(args: &JournalShow, global: &Global, output: &Output) -> Result<u8, Report> {
    let target = migration::find(&args.which.migration, global)?;
    records(&target.state_dir, args.after, output)
}

/// Prints the records of the journal in a folder.
///
/// # Errors
/// If there is none, or it is damaged.
pub(crate) fn records(state_dir: &Path, after: u64, output: &Output) -> Result<u8, Report> {
    let (meta, records) = migration::records(state_dir, Seq(after))?;
    if let Some(meta) = &meta {
        output.emit("meta", meta);
        output.line(format!(
            "# {}, run {}, plan {}, {} records after {}",
            meta.migration,
            meta.run_id,
            meta.plan_digest,
            records.len(),
            after
        ));
    }
    for record in &records {
        output.emit("record", record);
        output.line(format!(
            "{:>6}  {}  {}  {}",
            record.seq.0,
            view::instant(record.at),
            record.kind,
            record.body
        ));
    }
    Ok(exit::OK)
}
