//! What a run has placed, in a file of its state folder: an abort drops what is in it, and a run
//! that is started again goes on from it.
//!
//! The file is written before the first creation, so it names what *may* be ours. What is ours is
//! then told by the numbers: nobody else's type of the same name has the number that we wanted.

use std::collections::BTreeSet;
use std::path::Path;

use changeover_types::{Side, quote_ident};
use serde::{Deserialize, Serialize};

use super::facts::{Creation, Kind, Number, TYPES};
use crate::catalog::{cell, json};
use crate::config::ConnectConfig;
use crate::error::{Error, Result};
use crate::retire::Left;
use crate::session::Session;

/// How long an object may be waited for.
const LOCK_TIMEOUT: &str = "500ms";

/// What may have been placed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Schemas that were not there before.
    pub schemas: Vec<String>,
    /// In the order in which they are created.
    pub creations: Vec<Recorded>,
}

/// A creation, as the source has it, and the statements that make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The creation.
    pub creation: Creation,
    /// Its statements.
    pub sql: String,
}

impl Record {
    /// Reads a file; an empty record if there is none.
    ///
    /// # Errors
    /// If it cannot be read or understood.
    pub fn load(path: &Path) -> Result<Record> {
        let fault = |e: std::io::Error| io("reading", path, e);
        match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| fault(e.into())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Record::default()),
            Err(e) => Err(fault(e)),
        }
    }

    /// Writes the file; durable when it returns.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let beside = path.with_extension("new");
        let write = || {
            std::fs::write(&beside, serde_json::to_vec(self)?)?;
            std::fs::File::open(&beside)?.sync_all()?;
            std::fs::rename(&beside, path)
        };
        write().map_err(|e| io("writing", path, e))
    }

    /// The creations that the target has, with a number that we wanted.
    ///
    /// # Errors
    /// If the target's catalogue cannot be read.
    pub async fn present(&self, target: &mut Session) -> Result<Vec<&Recorded>> {
        let mut present = Vec::new();
        for recorded in &self.creations {
            if exists(target, &recorded.creation).await?
                && right(target, &recorded.creation.numbers).await? > 0
            {
                present.push(recorded);
            }
        }
        Ok(present)
    }

    /// What of it is on the target, as the preflight calls objects: types, and the functions that
    /// come with a range.
    ///
    /// # Errors
    /// If the target's catalogue cannot be read.
    pub async fn objects(&self, target: &mut Session) -> Result<BTreeSet<String>> {
        let present = self.present(target).await?;
        let mut objects: BTreeSet<String> =
            present.iter().map(|recorded| format!("type {}", recorded.creation)).collect();
        let numbers = present.iter().flat_map(|recorded| &recorded.creation.numbers);
        let oids: Vec<String> = numbers.map(|number| number.oid.to_string()).collect();
        let sql = format!(
            "SELECT coalesce(json_agg('function ' || n.nspname || '.' || p.proname || '(' || \
               pg_catalog.pg_get_function_identity_arguments(p.oid) || ')'),'[]')::text \
             FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid=p.pronamespace \
             WHERE EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid=1255 AND d.objid=p.oid \
               AND d.refclassid=1247 AND d.deptype='i' \
               AND d.refobjid::pg_catalog.int8 = ANY ('{{{}}}'::pg_catalog.int8[]))",
            oids.join(",")
        );
        objects.extend(json::<Vec<String>>(target, &sql).await?);
        Ok(objects)
    }

    /// Drops what was placed, one after another and without CASCADE; gives what is in use, and
    /// what is kept because something of others depends on it. May be done again.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn remove(&self, target: &ConnectConfig) -> Result<Vec<Left>> {
        let mut left = Vec::new();
        if self.creations.is_empty() && self.schemas.is_empty() {
            return Ok(left);
        }
        let mut session = Session::connect(target, "changeover schema").await?;
        let mut drops = Vec::new();
        for recorded in self.present(&mut session).await?.into_iter().rev() {
            let creation = &recorded.creation;
            let name = match creation.kind {
                Kind::Extension => quote_ident(&creation.name),
                _ => format!("{}.{}", quote_ident(&creation.schema), quote_ident(&creation.name)),
            };
            drops.push(format!("{} {name}", creation.kind.keyword()));
        }
        let schemas = self.schemas.iter().rev();
        drops.extend(schemas.map(|schema| format!("SCHEMA IF EXISTS {}", quote_ident(schema))));
        for what in drops {
            let sql = format!(
                "BEGIN READ WRITE; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; \
                SET LOCAL client_min_messages = warning; DROP {what}; COMMIT"
            );
            if let Err(e) = session.execute(&sql).await {
                if !session.is_usable() {
                    return Err(e.with_context("dropping the types that were placed"));
                }
                session.execute("ROLLBACK").await?;
                let kept = e.sqlstate() != Some("55P03");
                left.push(Left { what: format!("placed: {what}"), why: e.to_string(), kept });
            }
        }
        session.close().await;
        Ok(left)
    }
}

/// How many of these types have these very numbers.
///
/// # Errors
/// If the catalogue cannot be read.
pub(super) async fn right(target: &mut Session, numbers: &[Number]) -> Result<usize> {
    let found = offsets(target, numbers).await?;
    Ok(found.iter().zip(numbers).filter(|(found, number)| **found == Some(number.oid)).count())
}

/// The numbers that the types of these names have.
pub(super) async fn offsets(target: &mut Session, numbers: &[Number]) -> Result<Vec<Option<u32>>> {
    let names = serde_json::to_string(numbers).unwrap_or_default();
    let sql = format!(
        "SELECT coalesce(json_agg(t.oid::int8 ORDER BY w.at),'[]')::text \
         FROM ROWS FROM (pg_catalog.json_array_elements({})) WITH ORDINALITY AS w(type, at) \
         LEFT JOIN pg_catalog.pg_namespace n ON n.nspname=w.type->>'schema' \
         LEFT JOIN pg_catalog.pg_type t ON t.typnamespace=n.oid AND t.typname=w.type->>'name'",
        changeover_types::quote_literal(&names)
    );
    json(target, &sql).await
}

async fn exists(target: &mut Session, creation: &Creation) -> Result<bool> {
    if creation.catalog_oid == TYPES {
        return Ok(true);
    }
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname={})",
        changeover_types::quote_literal(&creation.name)
    );
    Ok(cell(target, &sql).await?.as_deref() == Some("t"))
}

fn io(doing: &str, path: &Path, e: std::io::Error) -> Error {
    Error::local(Side::Target, format!("{doing} {}", path.display())).with_source(e)
}
