//! The statements that our sessions run all along the migration, planned before they are promised:
//! what the relay writes with, on both sides, and what a comparison reads with. `EXPLAIN` runs
//! nothing, but needs every right and every name.

use changeover_types::Side;

use super::trial::{CHUNK, plan_one, prepare_to_plan};
use crate::apply;
use crate::catalog::{Catalog, Table};
use crate::config::ConnectConfig;
use crate::error::Result;
use crate::schema::trial::{Failure, Trial, failure};
use crate::session::Session;
use crate::verify;

/// A statement as a text that plans it.
struct Planning {
    /// What it does: `INSERT of public.t`.
    what: String,
    /// Ends with a semicolon.
    sql: String,
}

/// What fails of what the relay and a comparison run on the target, over the tables of the trial.
pub(super) async fn on_target(trial: &mut Trial, catalog: &Catalog) -> Result<Vec<Failure>> {
    // A role that may not have these settings is a finding of its own.
    if trial.attempt(apply::SETTINGS).await?.is_some() {
        return Ok(Vec::new());
    }
    let tables: Vec<&Table> = catalog.leaves().collect();
    let mut failures = Vec::new();
    for chunk in tables.chunks(CHUNK) {
        let session = trial.session();
        let all = of_tables(session, Side::Target, chunk, &catalog.server.encoding).await?;
        if trial.attempt(&together(&all)).await?.is_none() {
            continue;
        }
        for Planning { what, sql } in all {
            trial.session().execute(FORGET).await?;
            if let Some(error) = trial.attempt(&sql).await? {
                failures.push(failure(what, &error));
            }
        }
        trial.session().execute(FORGET).await?;
    }
    Ok(failures)
}

/// What fails of what the relay back and a comparison run on the source, which has all it will have.
pub(super) async fn on_source(
    source: &ConnectConfig,
    catalog: &Catalog,
    target_encoding: &str,
) -> Result<Vec<Failure>> {
    let mut session = Session::connect(source, "changeover preflight").await?;
    if session.execute(apply::SETTINGS).await.is_err() {
        return Ok(Vec::new());
    }
    prepare_to_plan(&mut session).await?;
    // What may not be read is named as such.
    let tables: Vec<&Table> = catalog.leaves().filter(|table| table.readable).collect();
    let mut failures = Vec::new();
    for chunk in tables.chunks(CHUNK) {
        let all = of_tables(&mut session, Side::Source, chunk, target_encoding).await?;
        if session.execute(&together(&all)).await.is_ok() {
            continue;
        }
        for Planning { what, sql } in all {
            session.execute(FORGET).await?;
            failures.extend(plan_one(&mut session, &sql).await?.map(|e| failure(what, &e)));
        }
        session.execute(FORGET).await?;
    }
    session.close().await;
    Ok(failures)
}

/// A statement that could not be planned stays prepared.
const FORGET: &str = "DEALLOCATE ALL";

fn together(all: &[Planning]) -> String {
    all.iter().map(|it| it.sql.as_str()).collect()
}

/// What is run on these tables, on this side; the other side's encoding decides in which form texts
/// are compared.
async fn of_tables(
    session: &mut Session,
    side: Side,
    tables: &[&Table],
    other_encoding: &str,
) -> Result<Vec<Planning>> {
    let mut all = Vec::new();
    for table in tables {
        for written in apply::statements(session, side, table).await? {
            let nulls = vec!["NULL"; written.parameters].join(", ");
            let arguments = if nulls.is_empty() { String::new() } else { format!("({nulls})") };
            all.push(Planning {
                what: format!("{} of {}", written.verb, table.name),
                sql: format!(
                    "PREPARE changeover_plan AS {}; EXPLAIN EXECUTE changeover_plan{arguments}; \
                     DEALLOCATE changeover_plan;",
                    written.sql
                ),
            });
        }
        let digest = verify::digest_of(session, &table.name, other_encoding).await?;
        let what = format!("the comparison of {}", table.name);
        all.push(Planning { what, sql: format!("EXPLAIN {digest};") });
    }
    Ok(all)
}
