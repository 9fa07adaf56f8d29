//! `journal show`: every record, the chain checked on the way.

use changeover_engine::Report;
use changeover_journal::Seq;

use crate::cli::{Global, JournalShow};
use crate::output::Output;
use crate::{exit, migration, view};

pub(super) fn show(args: &JournalShow, global: &Global, output: &Output) -> Result<u8, Report> {
    let target = migration::find(&args.which.migration, global)?;
    let (meta, records) = migration::records(&target.state_dir, Seq(args.after))?;
    if let Some(meta) = &meta {
        output.emit("meta", meta);
        output.line(format!(
            "# {}, run {}, plan {}, {} records after {}",
            meta.migration,
            meta.run_id,
            meta.plan_digest,
            records.len(),
            args.after
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
