//! What a plan's estimates are computed from: looks and samples, changes nothing.

mod outside;

use std::path::Path;
use std::time::Duration;

use changeover_plan::Plan;
use changeover_plan::estimate::Measures;
use changeover_postgres::catalog::Catalog;
use changeover_postgres::error::Error;
use changeover_postgres::measure;
use changeover_postgres::session::Session;
use changeover_types::{Side, TableName};
use tokio::time::Instant;

use crate::Report;
use crate::databases::Databases;
use crate::declared;
use crate::report::chain;

/// One table, or the target, is sampled for so long.
const SAMPLE: Duration = Duration::from_secs(1);
/// A change rate over less than this is noise.
const CHANGES_OVER: Duration = Duration::from_secs(2);
/// Everything together, whatever happens.
const WHOLE: Duration = Duration::from_secs(15);

/// Measures both databases for a few seconds, and looks whether a canary's metrics have values. What cannot be measured is named and stays unknown.
/// With `read_only` no temporary table is made on the target.
///
/// # Errors
/// If a secret of the plan cannot be had.
pub async fn measure(plan: &Plan, plan_path: &Path, read_only: bool) -> Result<Measures, Report> {
    let mut measures = Measures { unknown: outside::silent(plan).await, ..Measures::default() };
    let Some(databases) = Databases::of_plan(plan, plan_path)? else { return Ok(measures) };
    if tokio::time::timeout(WHOLE, all(plan, &databases, read_only, &mut measures)).await.is_err() {
        let text = format!("what is missing: measuring took longer than {} s", WHOLE.as_secs());
        measures.unknown.push(text);
    }
    Ok(measures)
}

async fn all(plan: &Plan, databases: &Databases, read_only: bool, measures: &mut Measures) {
    let changes = async {
        let mut session = open(databases, Side::Source).await?;
        let (begun, first) = (Instant::now(), measure::log_position(&mut session).await?);
        tokio::time::sleep(CHANGES_OVER).await;
        let written = measure::log_position(&mut session).await?.saturating_sub(first);
        let micros = begun.elapsed().as_micros().max(1);
        Ok(u64::try_from(u128::from(written) * 1_000_000 / micros).unwrap_or(u64::MAX))
    };
    let write = async {
        if read_only {
            return Err(Error::refused(Side::Target, "nothing may be written"));
        }
        measure::write(databases.of(Side::Target), SAMPLE).await
    };
    let (changes, write, source) =
        tokio::join!(changes, write, source(plan, databases, &mut *measures));
    let unknown = &mut measures.unknown;
    measures.change_bytes_per_s = known(unknown, "the source's change rate", changes);
    measures.write_bytes_per_s =
        known(unknown, "how fast the target writes", write).and_then(measure::Sample::bytes_per_s);
    known(unknown, "the source's tables", source);
    // Last, when the samples no longer stand in the way.
    let answers = async {
        Ok((answer(databases, Side::Source).await?, answer(databases, Side::Target).await?))
    };
    measures.answer_us = known(unknown, "how fast both sides answer", answers.await);
}

async fn source(plan: &Plan, databases: &Databases, measures: &mut Measures) -> Result<(), Error> {
    let mut session = open(databases, Side::Source).await?;
    let catalog = Catalog::read(&mut session, &declared::selection(plan)?).await?;
    measures.bytes = Some(catalog.leaves().map(|table| table.bytes).sum());
    measures.largest_table_bytes = catalog.leaves().map(|table| table.bytes).max();
    let tables: Vec<TableName> = catalog.leaves().map(|table| table.name.clone()).collect();
    measures.index_bytes = Some(measure::index_bytes(&mut session, &tables).await?);
    let sample = measure::read(databases.of(Side::Source), &catalog, SAMPLE).await?;
    measures.read_bytes_per_s = sample.bytes_per_s();
    if measures.read_bytes_per_s.is_none() {
        measures.unknown.push("how fast the source reads: its tables are too small to say".into());
    }
    Ok(())
}

async fn answer(databases: &Databases, side: Side) -> Result<u64, Error> {
    let answer = measure::answer(&mut open(databases, side).await?).await?;
    Ok(u64::try_from(answer.as_micros()).unwrap_or(u64::MAX))
}

async fn open(databases: &Databases, side: Side) -> Result<Session, Error> {
    Session::connect(databases.of(side), "changeover measure").await
}

fn known<T>(unknown: &mut Vec<String>, what: &str, outcome: Result<T, Error>) -> Option<T> {
    outcome.map_err(|e| unknown.push(format!("{what}: {}", chain(&e)))).ok()
}
