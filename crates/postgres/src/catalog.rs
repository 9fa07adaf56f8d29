//! What is there: one side's moved objects, read in three round trips.
//!
//! The catalogue decides *what* is copied, published and sealed; [`crate::digest`] watches that it
//! does not change afterwards. Names read here are an attacker's input: they reach SQL only
//! through [`TableName::quoted`] and its kin.

mod needs;
mod roles;
mod selection;
mod sql;
mod surroundings;
mod tables;

use std::collections::BTreeMap;

use changeover_types::{MigrationName, Side, TableName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use needs::Need;
pub(crate) use needs::needs;
pub use roles::NeededRole;
pub(crate) use roles::needed as needed_roles;
pub use selection::{InvalidSelector, Selection, Selector};
pub use surroundings::{EventTrigger, Extension, OwningColumn, Sequence, TypeTraits, View};
pub use tables::{Column, ForeignKey, Identity, Key, Table, TableKind};

use crate::error::{Error, Result};
use crate::session::Session;

/// Who answers: a server that comes back as another one must not be mistaken for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerIdentity {
    /// `server_version_num`, for example 150018.
    pub version: u32,
    /// Drawn at `initdb`; `None` if our role may not read it.
    pub system_id: Option<String>,
    /// Grows with each promotion; `None` if our role may not read it.
    pub timeline: Option<u32>,
    /// Whether the server is a standby.
    pub in_recovery: bool,
    /// The database's name.
    pub database: String,
    /// The database's encoding.
    pub encoding: String,
}

impl ServerIdentity {
    /// The major version, for example 15.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.version / 10_000
    }

    /// Reads who answers on this session.
    ///
    /// # Errors
    /// If the session fails.
    pub async fn read(session: &mut Session) -> Result<ServerIdentity> {
        json(session, IDENTITY).await
    }
}

// pg_control_* need no more than EXECUTE, which managed services withdraw from ordinary roles.
const IDENTITY: &str = "SELECT json_build_object(\
  'version', current_setting('server_version_num')::int, \
  'system_id', CASE WHEN has_function_privilege('pg_catalog.pg_control_system()','EXECUTE') \
    THEN (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) END, \
  'timeline', CASE WHEN has_function_privilege('pg_catalog.pg_control_checkpoint()','EXECUTE') \
    THEN (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()) END, \
  'in_recovery', pg_catalog.pg_is_in_recovery(), \
  'database', current_database(), \
  'encoding', pg_catalog.getdatabaseencoding())::text";

/// One side's moved objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// Who answered.
    pub server: ServerIdentity,
    /// The moved tables, by name; partition roots and branches included.
    pub tables: Vec<Table>,
    /// The moved sequences, by name.
    pub sequences: Vec<Sequence>,
    /// What matters about each column type of the moved tables, by its OID on this side.
    pub types: BTreeMap<u32, TypeTraits>,
    /// Installed extensions, `plpgsql` left out.
    pub extensions: Vec<Extension>,
    /// Views and materialised views in scope, in the order in which they can be created.
    pub views: Vec<View>,
    /// Foreign tables in scope; their definition travels, their rows are elsewhere.
    pub foreign_tables: Vec<TableName>,
    /// The user's tables that do not move.
    pub not_moved: Vec<TableName>,
    /// Relations of any kind that stay behind, sequences included.
    pub left_out: Vec<TableName>,
    /// The user's schemas.
    pub schemas: Vec<String>,
    /// Partitions that a list names; it must name their root instead.
    pub partitions_named: Vec<TableName>,
    /// Enabled event triggers.
    pub event_triggers: Vec<EventTrigger>,
    /// How many large objects the database holds.
    pub large_objects: u64,
    /// Publications.
    pub publications: Vec<String>,
    /// Roles that own or are granted something that is restored.
    pub roles: Vec<NeededRole>,
}

impl Catalog {
    /// Reads the objects in `selection`.
    ///
    /// # Errors
    /// If a query fails or its answer cannot be understood.
    pub async fn read(session: &mut Session, selection: &Selection) -> Result<Catalog> {
        #[derive(Deserialize)]
        struct Rest {
            types: BTreeMap<u32, TypeTraits>,
            extensions: Vec<Extension>,
            views: Vec<View>,
            foreign_tables: Vec<TableName>,
            not_moved: Vec<TableName>,
            left_out: Vec<TableName>,
            schemas: Vec<String>,
            partitions_named: Vec<TableName>,
            event_triggers: Vec<EventTrigger>,
            large_objects: u64,
            publications: Vec<String>,
        }
        let server = ServerIdentity::read(session).await?;
        let tables = json(session, &sql::tables(selection)).await?;
        let sequences = json(session, &sql::sequences(selection)).await?;
        let rest: Rest = json(session, &sql::surroundings(selection, server.major())).await?;
        Ok(Catalog {
            server,
            tables,
            sequences,
            types: rest.types,
            extensions: rest.extensions,
            views: rest.views,
            foreign_tables: rest.foreign_tables,
            not_moved: rest.not_moved,
            left_out: rest.left_out,
            schemas: rest.schemas,
            partitions_named: rest.partitions_named,
            event_triggers: rest.event_triggers,
            large_objects: rest.large_objects,
            publications: rest.publications,
            roles: json(session, &roles::needed(selection)).await?,
        })
    }

    /// Tables that hold rows: what is copied and published, leaf by leaf.
    pub fn leaves(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(|table| table.has_rows())
    }

    /// The table called `name`.
    #[must_use]
    pub fn table(&self, name: &TableName) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == *name)
    }

    /// Every moved relation by name: what the lease locks and the seal covers.
    #[must_use]
    pub fn relations(&self) -> Vec<TableName> {
        self.tables.iter().map(|table| table.name.clone()).collect()
    }

    /// The moved objects as the seal, the publication and the cutover take them.
    #[must_use]
    pub fn scope(&self, migration: &MigrationName, side: Side) -> crate::objects::Scope {
        crate::objects::Scope {
            migration: migration.clone(),
            side,
            relations: self
                .tables
                .iter()
                .map(|table| crate::objects::RelationEntry {
                    name: table.name.clone(),
                    root: !table.has_rows(),
                    leaf: table.kind == TableKind::Leaf,
                })
                .collect(),
            sequences: self.sequences.iter().map(|sequence| sequence.name.clone()).collect(),
        }
    }

    /// Foreign keys from a moved table to one that does not move.
    pub fn leaving_foreign_keys(&self) -> impl Iterator<Item = &ForeignKey> {
        self.tables.iter().flat_map(|table| &table.foreign)
    }
}

/// Runs a query of one cell that holds JSON.
pub(crate) async fn json<T: DeserializeOwned>(session: &mut Session, sql: &str) -> Result<T> {
    let text = cell(session, sql).await?.unwrap_or_else(|| "null".to_owned());
    serde_json::from_str(&text).map_err(|e| {
        Error::protocol(session.side(), "the catalogue's answer is not what we asked for")
            .with_source(e)
    })
}

/// Runs a query of one cell; `None` if it is NULL or there is no row.
pub(crate) async fn cell(session: &mut Session, sql: &str) -> Result<Option<String>> {
    Ok(session.query_opt(sql).await?.as_ref().and_then(|row| row.get(0)).map(str::to_owned))
}
