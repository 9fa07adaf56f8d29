//! Whether two components move the same database: seen only once the secrets are read.

use std::collections::BTreeMap;

use changeover_types::Side;

use super::ProgramFiles;
use crate::Report;
use crate::databases;

/// Looks that no two components of the program have a database in common. The program's own rules
/// compare where the URLs are kept; this compares where they lead.
///
/// # Errors
/// If two do, or a URL cannot be had.
pub fn shared_databases(files: &ProgramFiles) -> Result<(), Report> {
    let mut owners: BTreeMap<(String, u16, String), String> = BTreeMap::new();
    for (component, at) in files.program.components.iter().zip(&files.components) {
        if !component.plan.moves_data() {
            continue;
        }
        for side in [Side::Source, Side::Target] {
            let config = databases::database(&component.plan, &at.plan, side)?;
            let owner = format!("the {side} of {}", component.name);
            let place = (config.host, config.port, config.database);
            let shown = format!("{} on {}:{}", place.2, place.0, place.1);
            if let Some(other) = owners.insert(place, owner.clone()) {
                return Err(Report::new("CO0185", "two components have one database")
                    .cause(format!("{owner} is {shown}, and so is {other}"))
                    .hint("move one database in one component"));
            }
        }
    }
    Ok(())
}
