//! Everything that is known of a move, each fact with its source and time.

mod around;
mod database;
mod sizes;
mod upstream;

use changeover_types::{Declared, Side, WallMs};
use serde::Serialize;

pub use around::{Around, Sighting};
pub use database::{
    Activity, Available, Client, Code, Database, Disk, Extension, Locale, OpenTransaction, Outside,
    Privileges, Replica, Replication, Role, RoleEntry, SchemaChange, Server, Slot, Trouble,
};
pub use sizes::{Rate, Relation, RelationKind, Sequence, TableRate};
pub use upstream::{Certificate, Health, Upstream};

/// Everything that is known of a move.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inventory {
    /// When the gathering began.
    pub at: WallMs,
    /// Where the service lives.
    pub source: Environment,
    /// Where it goes.
    pub target: Environment,
    /// What files, hosts and orchestrators tell.
    pub around: Around,
    /// What only people know.
    pub declared: Declared,
}

/// One side.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Environment {
    /// Its database; `None` if the move has none.
    pub database: Option<Box<Database>>,
    /// Its HTTP upstreams; empty if the move has none.
    pub upstreams: Vec<Upstream>,
}

impl Inventory {
    /// Nothing known yet.
    #[must_use]
    pub fn empty(at: WallMs) -> Self {
        Inventory {
            at,
            source: Environment::default(),
            target: Environment::default(),
            around: Around::default(),
            declared: Declared::default(),
        }
    }

    /// One side.
    #[must_use]
    pub fn side(&self, side: Side) -> &Environment {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// Sides whose database was given and told nothing at all, with the cause.
    #[must_use]
    pub fn unread(&self) -> Vec<(Side, &str)> {
        let cause = |side: Side| {
            let database = self.side(side).database.as_deref()?;
            let causes = (database.server.get().err()?, database.settings.get().err()?);
            (causes.0 == causes.1).then_some((side, causes.0))
        };
        [Side::Source, Side::Target].into_iter().filter_map(cause).collect()
    }

    /// One side, to fill in.
    pub fn side_mut(&mut self, side: Side) -> &mut Environment {
        match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        }
    }
}
