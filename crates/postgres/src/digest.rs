//! Whether anything changed whose change would break the stream, the seal or the way back.
//!
//! Logical decoding carries no DDL, and DDL walks past every lock of the cutover (finding 11), so
//! the catalogue is read again at every point where it matters: after the lease is granted, just
//! before the seal commits, before the grant, and from time to time on both sides. One query
//! turns the moved objects into *facts* in words, independent of OIDs, `search_path` and the
//! session's settings; the server hashes them, so that an unchanged catalogue costs one short
//! answer whatever its size.

mod diff;
mod sql;

use std::collections::BTreeMap;

use changeover_types::TableName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use diff::{Difference, diff, diff_storage};

use crate::catalog::{Selection, json};
use crate::error::Result;
use crate::session::Session;

/// The two hashes of a catalogue, small enough for a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Of what the tables *are*: columns, keys, identity, partitions, triggers, publication.
    pub catalog: String,
    /// Of where their rows are: changes with every rewrite and TRUNCATE.
    pub storage: String,
    /// How many large objects there are: no stream carries them.
    #[serde(default)]
    pub large_objects: u64,
}

/// The facts behind a [`Fingerprint`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogDigest {
    /// Their hashes.
    pub fingerprint: Fingerprint,
    /// What is so, in words.
    pub facts: BTreeMap<FactKey, String>,
}

/// What a fact is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactKey {
    /// The table or sequence.
    pub relation: TableName,
    /// `table`, `column`, `position`, `key`, `constraint`, `partition`, `trigger`, `rule`,
    /// `published`, `sequence` or `storage`.
    pub kind: String,
    /// The column, key, trigger … if the fact is not about the relation itself.
    pub item: String,
}

impl CatalogDigest {
    /// Reads the facts and their hashes, also inside an open transaction of the session.
    ///
    /// # Errors
    /// If the query fails or its answer cannot be understood.
    pub async fn read(session: &mut Session, selection: &Selection) -> Result<CatalogDigest> {
        let answer = read(session, selection, true).await?;
        let facts = answer.facts.unwrap_or_default().into_iter().map(Fact::split).collect();
        Ok(CatalogDigest { fingerprint: answer.fingerprint, facts })
    }
}

impl Fingerprint {
    /// What came between this reading and a later one that a cutover must not go on with, in words.
    #[must_use]
    pub fn broken_by(&self, later: &Fingerprint) -> Option<String> {
        if self.catalog != later.catalog {
            return Some("the schema changed".to_owned());
        }
        let came = later.large_objects.saturating_sub(self.large_objects);
        (came > 0).then(|| format!("{came} large objects, which do not travel, were created"))
    }

    /// Reads only the hashes: what the lease's own transaction asks for.
    ///
    /// # Errors
    /// If the query fails or its answer cannot be understood.
    pub async fn read(session: &mut Session, selection: &Selection) -> Result<Fingerprint> {
        Ok(read(session, selection, false).await?.fingerprint)
    }
}

#[derive(Deserialize)]
struct Answer {
    pinned: bool,
    #[serde(flatten)]
    fingerprint: Fingerprint,
    facts: Option<Vec<Fact>>,
}

/// Schema, relation, kind, item, value.
#[derive(Deserialize)]
struct Fact(String, String, String, String, String);

impl Fact {
    fn split(self) -> (FactKey, String) {
        let Fact(schema, name, kind, item, value) = self;
        (FactKey { relation: TableName { schema, name }, kind, item }, value)
    }
}

/// Settings that change how the server prints expressions, and what they must be.
const PINNED: [(&str, &str); 5] = [
    ("search_path", "pg_catalog"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
];

async fn read(session: &mut Session, selection: &Selection, facts: bool) -> Result<Answer> {
    let query = sql::digest(selection, facts);
    let answer: Answer = json(session, &query).await?;
    if answer.pinned {
        return Ok(answer);
    }
    pinned(session, &query).await
}

/// Runs a query of one JSON cell in a session that prints expressions the pinned way, and puts the
/// session's own settings back.
pub(crate) async fn pinned<T: DeserializeOwned>(session: &mut Session, query: &str) -> Result<T> {
    let names: Vec<String> = PINNED.iter().map(|(name, _)| format!("'{name}'")).collect();
    let before: Vec<String> = json(
        session,
        &format!(
            "SELECT pg_catalog.json_agg(pg_catalog.current_setting(n) ORDER BY i)::text \
             FROM pg_catalog.unnest(ARRAY[{}]) WITH ORDINALITY x(n,i)",
            names.join(",")
        ),
    )
    .await?;
    set(session, PINNED.iter().map(|(name, value)| (*name, *value))).await?;
    let answer = json(session, query).await?;
    set(session, PINNED.iter().map(|(name, _)| *name).zip(before.iter().map(String::as_str)))
        .await?;
    Ok(answer)
}

async fn set<'a>(
    session: &mut Session,
    settings: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<()> {
    let calls: Vec<String> = settings
        .map(|(name, value)| {
            format!(
                "pg_catalog.set_config('{name}',{},false)",
                changeover_types::quote_literal(value)
            )
        })
        .collect();
    session.query(&format!("SELECT {}", calls.join(","))).await.map(drop)
}
