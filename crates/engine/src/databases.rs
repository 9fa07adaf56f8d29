//! Where both databases are.

use std::path::Path;

use changeover_plan::{Plan, PostgresSide};
use changeover_postgres::config::ConnectConfig;
use changeover_types::Side;

use crate::Report;
use crate::secrets::secret;

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
            source: database(plan, plan_path, Side::Source)?,
            target: database(plan, plan_path, Side::Target)?,
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

/// Where a database is and how to log in to it.
///
/// # Errors
/// If the plan has none on that side, or its URL cannot be had or read.
pub(crate) fn database(plan: &Plan, plan_path: &Path, side: Side) -> Result<ConnectConfig, Report> {
    let Some(PostgresSide { url, .. }) = &plan.side(side).postgres else {
        return Err(Report::new("CO0103", format!("the plan has no database on the {side}")));
    };
    let text = secret(url, plan_path, &format!("the URL of the {side}'s database"))?;
    ConnectConfig::parse(side, &text).map_err(|e| {
        Report::new("CO0104", format!("the URL of the {side}'s database cannot be used"))
            .because(&e)
            .hint(format!("it comes from {url}"))
    })
}
