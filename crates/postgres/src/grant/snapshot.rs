//! The proof's snapshot: one side as it was when it was drained, kept for a later comparison.

use crate::config::ConnectConfig;
use crate::error::Error;
use crate::lease::connect;
use crate::objects::{run, value};
use crate::session::Session;

/// A read-only REPEATABLE READ transaction. It holds back vacuum on its
/// server as long as it lives: compare soon, and close it.
#[derive(Debug)]
pub struct Snapshot {
    session: Session,
    id: String,
}

impl Snapshot {
    /// Opens it and exports it, so that several sessions can compare side by side.
    ///
    /// # Errors
    /// If no session can be opened.
    pub async fn open(config: &ConnectConfig) -> Result<Snapshot, Error> {
        let mut session = connect(config).await?;
        run(&mut session, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let id = value(&mut session, "SELECT pg_catalog.pg_export_snapshot()").await?;
        Ok(Snapshot { session, id: id.unwrap_or_default() })
    }

    /// For `SET TRANSACTION SNAPSHOT` in other sessions, while this one lives.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The session that sees the snapshot.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Gives the snapshot up.
    ///
    /// # Errors
    /// If the connection broke, upon which the server gives it up by itself.
    pub async fn close(mut self) -> Result<(), Error> {
        run(&mut self.session, "ROLLBACK").await
    }
}
