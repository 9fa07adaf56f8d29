//! Where both databases are.

use std::path::Path;

use changeover_plan::Plan;
use changeover_postgres::config::ConnectConfig;
use changeover_types::Side;

use crate::Report;
use crate::settings;

/// Both databases of a plan that moves data.
#[derive(Clone, Debug)]
pub(crate) struct Databases {
    source: ConnectConfig,
    target: ConnectConfig,
}

impl Databases {
    /// The plan's databases; `None` if it moves no data.
    ///
    /// # Errors
    /// If a URL cannot be had or read.
    pub(crate) fn of_plan(plan: &Plan, plan_path: &Path) -> Result<Option<Databases>, Report> {
        if !plan.moves_data() {
            return Ok(None);
        }
        Ok(Some(Databases {
            source: settings::database(plan, plan_path, Side::Source)?,
            target: settings::database(plan, plan_path, Side::Target)?,
        }))
    }

    /// One side's.
    pub(crate) fn of(&self, side: Side) -> &ConnectConfig {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}
