//! What a database is beside its rows: every object's definition, owner, grants, settings.
//!
//! Read from the system catalogues as facts `(class, of, name, item) → value` in one query, in words
//! that do not depend on OIDs, on the session's settings or, but for what PostgreSQL prints from its
//! parse trees, on the major version. Texts that may be long or secret are hashed. Objects of
//! extensions, PostgreSQL's own, temporary ones, ours, and what the plan leaves out are not in it.
//! [`crate::digest`] is the cheap part of it that is read while clients wait.

mod compare;
mod configuration;
mod rules;
mod sql;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use compare::{Change, Object, What, changes};
pub use configuration::{
    ConfigurationCopied, ConfigurationTable, configuration, copy_configuration,
};
pub use rules::{Differing, Shared, missing, unshared};

use crate::catalog::Selection;
use crate::digest::pinned;
use crate::error::Result;
use crate::session::Session;

/// What a fact is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The kind of object in words: `table`, `column`, `function`, …
    pub class: String,
    /// The table, domain or role that the object belongs to; empty if it stands by itself.
    pub of: String,
    /// Its name, qualified and quoted as in SQL; empty for the database.
    pub name: String,
    /// What of it; empty for its being there.
    pub item: String,
}

/// All facts of one side at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definitions {
    /// The server's major version.
    pub major: u32,
    /// The server's hash of all facts from the catalogues.
    pub hash: String,
    /// What is so; hashed values begin with `#`.
    pub facts: BTreeMap<Key, String>,
}

/// A key's four parts and its value.
type Fact = (String, String, String, String, String);

/// How [`Definitions`] travel: from the server and to a file.
#[derive(Serialize, Deserialize)]
struct Written {
    major: u32,
    hash: String,
    facts: Option<Vec<Fact>>,
}

impl Definitions {
    /// Reads all facts.
    ///
    /// # Errors
    /// If a query fails or its answer cannot be understood.
    pub async fn read(session: &mut Session, selection: &Selection) -> Result<Definitions> {
        let answer: Written = pinned(session, &sql::definitions(selection, true)).await?;
        let mut read = Definitions::from(answer);
        for table in configuration(session).await? {
            let key = Key {
                class: "extension".into(),
                of: String::new(),
                name: table.extension,
                item: format!("configuration rows in {}", table.table),
            };
            read.facts.insert(key, table.rows.map_or("not readable".into(), |n| n.to_string()));
        }
        Ok(read)
    }

    /// Reads only the hash: as long as it is the same, so is everything that is in the catalogues.
    ///
    /// # Errors
    /// If the query fails or its answer cannot be understood.
    pub async fn hash(session: &mut Session, selection: &Selection) -> Result<String> {
        let answer: Written = pinned(session, &sql::definitions(selection, false)).await?;
        Ok(answer.hash)
    }

    /// As a text for a file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let facts = self.facts.iter().map(|(key, value)| {
            let Key { class, of, name, item } = key.clone();
            (class, of, name, item, value.clone())
        });
        let written =
            Written { major: self.major, hash: self.hash.clone(), facts: Some(facts.collect()) };
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Reads what [`Definitions::to_text`] wrote; `None` if it is something else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Definitions> {
        serde_json::from_str::<Written>(text).ok().map(Definitions::from)
    }
}

impl From<Written> for Definitions {
    fn from(written: Written) -> Definitions {
        let facts = written.facts.unwrap_or_default().into_iter();
        Definitions {
            major: written.major,
            hash: written.hash,
            facts: facts
                .map(|(class, of, name, item, value)| (Key { class, of, name, item }, value))
                .collect(),
        }
    }
}
