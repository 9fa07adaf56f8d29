//! Pre-data: what comes before the rows, in one transaction that also seals it.

use std::time::Duration;

use changeover_types::Epoch;

use super::before::{self, Before};
use super::post::SETTINGS;
use super::script::cut;
use super::toc::{Entry, EntryKind};
use super::{Archive, beside, is_dropped, is_late, is_there, trial};
use crate::config::ConnectConfig;
use crate::error::{Error, Result};
use crate::objects::Scope;
use crate::seal;
use crate::session::Session;

/// How long one entry may wait for a lock. Hardly any waits: what it needs is new. A restore of ours
/// whose daemon died may still be rolling back.
const LOCK_WAIT: Duration = Duration::from_secs(60);

impl Archive {
    /// Creates everything that comes before the rows, in one transaction: all or nothing. With a
    /// `seal`, nothing of it takes a write for a moment: the copy would destroy what was written.
    ///
    /// The statements are those of `pg_restore`, sent by a session of ours, which ends with us.
    ///
    /// # Errors
    /// With what the server said of which entry; the target is as it was.
    pub async fn restore_pre_data(
        &self,
        target: &ConnectConfig,
        seal: Option<(&Scope, Epoch)>,
    ) -> Result<()> {
        let mut session = Session::connect(target, &self.application).await?;
        let before = Before::read(&mut session).await?;
        let wanted = |entry: &&Entry| {
            self.wants(entry) && !is_late(entry) && !is_there(entry, before.schemas.keys())
        };
        let wanted: Vec<&Entry> = self.entries.iter().filter(wanted).collect();
        // All that an abort needs is there before anything is made.
        self.write_list("drop", wanted.iter().copied().filter(|entry| is_dropped(entry)))?;
        let made =
            wanted.iter().filter(|e| matches!(e.kind, EntryKind::Schema | EntryKind::Extension));
        let made: String = made.map(|entry| format!("{}\n", entry.label)).collect();
        self.write("made", &made)?;
        before::write(&beside(&self.path, "before"), &before)?;
        let script = self.script("pre", &wanted, &["--section=pre-data"], &session).await?;
        let parts = cut(&script).ok_or_else(|| {
            Error::local(session.side(), "pg_restore's script cannot be cut into its entries")
        })?;
        let outcome = async {
            session.execute(&begin()).await?;
            for part in parts {
                // One by one: a server whose client is gone goes on to the end of what it was sent.
                session.execute(&(part.settings + &part.sql)).await.map_err(|e| {
                    e.with_context(trial::name(&part.sql).unwrap_or_else(|| "an entry".to_owned()))
                })?;
            }
            if let Some((scope, epoch)) = seal {
                seal::set(&mut session, scope, epoch).await?;
            }
            session.execute("COMMIT").await
        };
        outcome
            .await
            .map_err(|e| e.with_context("restoring the schema, nothing of which is left"))?;
        session.close().await;
        Ok(())
    }
}

fn begin() -> String {
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = {}; {SETTINGS}",
        LOCK_WAIT.as_millis()
    )
}
