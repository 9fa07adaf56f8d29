//! Sequences are not in the change stream: they are carried over at every change of authority.
//!
//! The lease stops them; they are read under it, and raised on the other side before the grant.
//! After the seal `nextval` works again on the side that lost authority, so the side that takes
//! over starts behind a *margin*: the numbers in between are the old side's, the ranges are
//! disjoint. Each time the further of both sides counts (finding 16). A sequence that is nearly used
//! up sets fewer aside, so that it can move, and move back; what was set aside is said.

mod plan;

use changeover_types::{TableName, quote_literal};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::objects::{BEGIN, foreign, rows, run};
use crate::session::Session;

pub use plan::{Raise, SequenceFault, margin_of, plan};

/// Where a sequence stands, and how it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceValue {
    /// Its name, the same on both sides.
    pub name: TableName,
    /// The last number handed out to any session (caches included), or the first one to be.
    pub last_value: i64,
    /// Whether `last_value` has been handed out.
    pub is_called: bool,
    /// Its step; negative counts down.
    pub increment: i64,
    /// The smallest number it may give.
    pub min: i64,
    /// The largest number it may give.
    pub max: i64,
    /// Whether it starts over at its end.
    pub cycle: bool,
}

/// How many sequences one question asks about.
const CHUNK: usize = 200;

/// Reads where these sequences stand.
///
/// # Errors
/// If one is missing or may not be read, or the connection breaks.
pub async fn read(session: &mut Session, names: &[TableName]) -> Result<Vec<SequenceValue>, Error> {
    let mut values = Vec::with_capacity(names.len());
    for chunk in names.chunks(CHUNK) {
        // The views do not tell a sequence that was set without being called.
        let each: Vec<String> = chunk
            .iter()
            .enumerate()
            .map(|(at, name)| {
                format!(
                    "SELECT {at} AS at, {}::regclass AS oid, last_value, is_called FROM {}",
                    quote_literal(&name.quoted()),
                    name.quoted()
                )
            })
            .collect();
        let sql = format!(
            "SELECT v.at, v.last_value, v.is_called, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle \
             FROM ({}) v JOIN pg_catalog.pg_sequence s ON s.seqrelid = v.oid ORDER BY v.at",
            each.join(" UNION ALL ")
        );
        let found = rows(session, &sql).await?;
        for (name, row) in chunk.iter().zip(&found) {
            let fault = || {
                foreign(
                    session.side(),
                    format!("the state of sequence {name} makes no sense: {row:?}"),
                )
            };
            values.push(sequence_value(name, row).ok_or_else(fault)?);
        }
    }
    Ok(values)
}

fn sequence_value(name: &TableName, row: &[Option<String>]) -> Option<SequenceValue> {
    let number = |at: usize| row.get(at)?.as_ref()?.parse::<i64>().ok();
    let truth = |at: usize| Some(row.get(at)?.as_ref()? == "t");
    Some(SequenceValue {
        name: name.clone(),
        last_value: number(1)?,
        is_called: truth(2)?,
        increment: number(3)?,
        min: number(4)?,
        max: number(5)?,
        cycle: truth(6)?,
    })
}

/// Sets the sequences as planned, durably. Not undone by a rollback of anything else: a sequence
/// that stands too far only leaves a gap.
///
/// # Errors
/// If one is missing or may not be set, or the connection breaks.
pub async fn raise(session: &mut Session, raises: &[Raise]) -> Result<(), Error> {
    for chunk in raises.chunks(CHUNK) {
        let calls: Vec<String> = chunk
            .iter()
            .map(|raise| {
                let name = quote_literal(&raise.name.quoted());
                format!("pg_catalog.setval({name}::regclass, {}, {})", raise.value, raise.is_called)
            })
            .collect();
        let sql = format!(
            "{BEGIN} SET LOCAL synchronous_commit = on; SELECT {}; COMMIT",
            calls.join(", ")
        );
        run(session, &sql).await?;
    }
    Ok(())
}
