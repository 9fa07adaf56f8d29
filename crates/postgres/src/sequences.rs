//! Sequences are not in the change stream: they are carried over at every change of authority.
//!
//! `nextval` works on the side that loses authority all along, before the seal and after it: no
//! lock stops it, for none could stop it for good. So the side that takes over starts behind a
//! *margin*: the numbers in between are the old side's, the ranges are disjoint, and numbers in
//! sessions' caches lie before both. What counts is how far a sequence stood once no moved table
//! could be written any more. Each time the further of both sides counts (finding 16). A sequence
//! that is nearly used up sets fewer aside, so that it can move, and move back; what was set aside
//! is said.

mod ahead;
mod plan;

use changeover_types::{TableName, quote_literal};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::objects::{BEGIN, foreign, regclasses, rows, run};
use crate::session::Session;

pub use ahead::{Ahead, AheadError};
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

/// Reads where these sequences stand, in the order of `names`. Outside a transaction, or their
/// locks add up.
///
/// # Errors
/// If one is missing or may not be read, or the connection breaks.
pub async fn read(session: &mut Session, names: &[TableName]) -> Result<Vec<SequenceValue>, Error> {
    let mut values = Vec::with_capacity(names.len());
    for chunk in names.chunks(CALLED_CHUNK) {
        let found = rows(session, &called_sql(chunk)).await?;
        // Only the sequence itself tells one that was set without being called.
        let uncalled = found.iter().zip(chunk).filter(|(row, _)| cell(row, 0).is_none());
        let uncalled: Vec<&TableName> = uncalled.map(|(_, name)| name).collect();
        let mut states = Vec::with_capacity(uncalled.len());
        for names in uncalled.chunks(CHUNK) {
            states.extend(rows(session, &state_sql(names)).await?);
        }
        let mut states = states.iter();
        for (name, row) in chunk.iter().zip(&found) {
            let state = if cell(row, 0).is_none() { states.next() } else { None };
            let value = sequence_value(name, row, state.map(Vec::as_slice));
            values.push(value.ok_or_else(|| {
                foreign(
                    session.side(),
                    format!("the state of sequence {name} makes no sense: {row:?}"),
                )
            })?);
        }
    }
    Ok(values)
}

/// How many sequences are looked up in the catalogue at once: each stays locked against changes of
/// its definition until the statement ends, and the server's lock table is small.
const CALLED_CHUNK: usize = 1_000;

/// Last number handed out, and how each counts.
fn called_sql(names: &[TableName]) -> String {
    format!(
        "SELECT pg_catalog.pg_sequence_last_value(s.seqrelid), s.seqincrement, s.seqmin, s.seqmax, \
           s.seqcycle \
         FROM pg_catalog.unnest({}) WITH ORDINALITY AS u(name, at) \
           LEFT JOIN pg_catalog.pg_sequence s ON s.seqrelid = u.name::regclass ORDER BY u.at",
        regclasses(names)
    )
}

/// What the sequences themselves hold.
fn state_sql(names: &[&TableName]) -> String {
    let each = names.iter().enumerate().map(|(at, name)| {
        format!("SELECT {at} AS at, last_value, is_called FROM {}", name.quoted())
    });
    let each: Vec<String> = each.collect();
    format!("SELECT last_value, is_called FROM ({}) v ORDER BY at", each.join(" UNION ALL "))
}

fn cell(row: &[Option<String>], at: usize) -> Option<&str> {
    row.get(at)?.as_deref()
}

fn sequence_value(
    name: &TableName,
    row: &[Option<String>],
    state: Option<&[Option<String>]>,
) -> Option<SequenceValue> {
    let number = |at: usize| cell(row, at)?.parse::<i64>().ok();
    let (last_value, is_called) = match state {
        Some(state) => (cell(state, 0)?.parse().ok()?, cell(state, 1)? == "t"),
        None => (number(0)?, true),
    };
    Some(SequenceValue {
        name: name.clone(),
        last_value,
        is_called,
        increment: number(1)?,
        min: number(2)?,
        max: number(3)?,
        cycle: cell(row, 4)? == "t",
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
