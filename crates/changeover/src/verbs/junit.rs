//! `--junit`: every check that was carried out, from the journal, for a build server.

use std::fs;
use std::path::Path;

use changeover_checks::junit::{Suite, write};
use changeover_engine::Report;
use changeover_journal::Seq;
use changeover_run::Event;

use crate::migration::{self, Target};
use crate::view;

/// Writes the checks of a migration to `file`; a migration without any gives an empty document.
///
/// # Errors
/// If the journal cannot be read or the file cannot be written.
pub(super) fn save(target: &Target, file: &Path) -> Result<(), Report> {
    let (_, records) = migration::records(&target.state_dir, Seq(0))?;
    let mut checks = Vec::new();
    for record in records.iter().filter(|record| record.body["kind"] == "checked") {
        if let Ok(Event::Checked { report }) = serde_json::from_value(record.body.clone()) {
            checks.push((report, record.at));
        }
    }
    let suites: Vec<Suite<'_>> =
        checks.iter().map(|(report, at)| Suite { report, at: *at }).collect();
    let xml = write(target.name.as_str(), &suites, view::instant);
    fs::write(file, xml).map_err(|e| {
        Report::new("CO0018", format!("the JUnit file {} cannot be written", file.display()))
            .because(&e)
    })
}
