//! Which role may do what: asked of both sides with `has_*_privilege`, compared without a server.
//!
//! The source is asked who uses it and for which objects ([`asked`]); both sides are then asked the
//! same question ([`read`]), and what a role may do on the one and not on the other is a [`Loss`].
//! Membership, ownership and PUBLIC are in the answers, for the server itself works them out.

mod compare;
mod sql;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use compare::{Loss, losses, of_roles, without_grants};

use crate::catalog::{NeededRole, Selection, json, needed_roles};
use crate::error::Result;
use crate::session::Session;

/// What a privilege can be asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A schema.
    Schema,
    /// A table, view, materialised view or foreign table.
    Table,
    /// A column with grants of its own.
    Column,
    /// A sequence.
    Sequence,
    /// A function or procedure.
    Function,
    /// An enum, domain, range or composite type.
    Type,
}

/// An object that both sides are asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Quoted, with its schema; of a column its table's.
    pub name: String,
    /// Of a column its name, otherwise empty.
    pub column: String,
    /// The role that owns it on the side that was asked for it.
    pub owner: String,
}

/// What both sides are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// By name.
    pub roles: Vec<String>,
    /// Those of the moved schemas.
    pub objects: Vec<Object>,
}

/// A role by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Role {
    /// May log in.
    pub login: bool,
    /// May do anything.
    pub superuser: bool,
    /// Row security does not apply to it.
    pub bypass_rls: bool,
    /// CONNECT, CREATE, TEMPORARY on the database.
    pub database: BTreeSet<String>,
    /// Which of the other roles asked for it is a member of, itself left out.
    pub member_of: BTreeSet<String>,
}

/// One side's answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The roles asked for that exist.
    pub roles: BTreeMap<String, Role>,
    /// The objects asked for that exist, by their index in [`Asked::objects`].
    pub there: BTreeSet<usize>,
    /// By role and the object's index: `SELECT`, …, and `OWNER` for the owner alone.
    pub may: BTreeMap<String, BTreeMap<usize, BTreeSet<String>>>,
}

/// Who uses this side: who owns or was granted something in the database, is connected to it (our
/// own sessions left out), is among `users`, or may log in as a member of these; and the objects of
/// the schemas that move.
///
/// # Errors
/// If the catalogue cannot be read.
pub async fn asked(
    session: &mut Session,
    selection: &Selection,
    users: &[String],
) -> Result<Asked> {
    // Whoever is granted only what is left out does not use what moves.
    let needed: Vec<NeededRole> = json(session, &needed_roles(selection)).await?;
    let needed: Vec<&str> = needed.iter().map(|role| role.name.as_str()).collect();
    let roles = json(session, &sql::roles(users, &needed)).await?;
    let objects = json(session, &sql::objects(selection)).await?;
    Ok(Asked { roles, objects })
}

/// What roles that use the side of `here` would lack on the other by themselves: their being there,
/// their login, their groups.
///
/// # Errors
/// If a catalogue cannot be read.
pub async fn roles_lost(
    here: &mut Session,
    there: &mut Session,
    selection: &Selection,
    users: &[String],
) -> Result<Vec<Loss>> {
    let asked = asked(here, selection, users).await?;
    let asked = Asked { objects: Vec::new(), ..asked };
    let (may_here, may_there) = (read(here, &asked).await?, read(there, &asked).await?);
    Ok(of_roles(&may_here, &may_there, &there.config().database, there.side()))
}

/// Asks this side; what it does not have is left out of the answer. Also inside a transaction.
///
/// # Errors
/// If the catalogue cannot be read.
pub async fn read(session: &mut Session, asked: &Asked) -> Result<Access> {
    let roles = json(session, &sql::of_roles(&asked.roles)).await?;
    let there = json(session, &sql::there(&asked.objects)).await?;
    let found: Vec<(String, String, Vec<usize>)> =
        json(session, &sql::may(&asked.roles, &asked.objects)).await?;
    let mut access = Access { roles, there, ..Access::default() };
    for (role, privileges, objects) in found {
        let of_role = access.may.entry(role).or_default();
        for object in objects {
            let words = privileges.split(',').map(str::to_owned);
            of_role.entry(object).or_default().extend(words);
        }
    }
    Ok(access)
}

#[cfg(test)]
mod tests;
