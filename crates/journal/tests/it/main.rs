//! The journal on a real disk.

mod damage;
mod kill;
mod life;

use std::path::Path;

use changeover_journal::{Journal, JournalError, Meta};
use changeover_types::MigrationName;

fn meta(run: &str) -> Result<Meta, changeover_types::InvalidName> {
    Ok(Meta {
        migration: MigrationName::new("shop")?,
        run_id: run.to_owned(),
        plan_digest: "00ff".to_owned(),
        plan_text: "kind: Migration\n".to_owned(),
    })
}

/// A begun journal in `dir`.
fn begun(dir: &Path) -> Result<Journal, JournalError> {
    let mut journal = Journal::create_or_open(dir)?;
    if journal.meta().is_none()
        && let Ok(meta) = meta("r1")
    {
        journal.begin(meta)?;
    }
    Ok(journal)
}
