//! What both databases know of this migration, held against the journal.

use std::time::Duration;

use changeover_cutover::known::{Doubt, Known, doubt};
use changeover_postgres::error::Result as PgResult;
use changeover_postgres::objects;
use changeover_postgres::session::Session;
use changeover_run::{DataStage, State};
use changeover_types::Side;
use tokio::time::timeout;

use super::{Effects, application};
use crate::report::chain;

/// A side that has not answered by then says nothing; one is enough to see that a journal is behind.
const ASKED_FOR: Duration = Duration::from_secs(3);

impl Effects {
    /// Why this journal must not be acted upon, if so. A side that does not answer is left out: what
    /// is under way may have to be resolved without it.
    pub(crate) async fn doubt(&self, state: &State) -> Option<Doubt> {
        let began = state.data != DataStage::Nothing;
        let rows = self.known().await;
        doubt(&self.run_id, &state.cutover, began, &rows)
    }

    /// Another run that lives, in whose way nobody may stand.
    pub(super) async fn another_lives(&self, state: &State) -> Option<Doubt> {
        let doubt = self.doubt(state).await?;
        matches!(doubt, Doubt::OtherRun { .. }).then_some(doubt)
    }

    async fn known(&self) -> Vec<Known> {
        let ask = |side| async move {
            match timeout(ASKED_FOR, self.known_of(side)).await {
                Ok(Ok(known)) => known,
                Ok(Err(e)) => {
                    tracing::warn!("what the {side} knows cannot be read: {}", chain(&e));
                    None
                }
                Err(_) => {
                    tracing::warn!("what the {side} knows cannot be read: no answer");
                    None
                }
            }
        };
        let (source, target) = tokio::join!(ask(Side::Source), ask(Side::Target));
        source.into_iter().chain(target).collect()
    }

    async fn known_of(&self, side: Side) -> PgResult<Option<Known>> {
        let Some(databases) = &self.databases else { return Ok(None) };
        let name = &self.plan.name;
        let mut session = Session::connect(databases.of(side), &application(name)).await?;
        let known = objects::known(&mut session, name).await?;
        session.close().await;
        Ok(known.map(|(row, in_use)| Known {
            side,
            epoch: row.epoch,
            authority: row.authority,
            run: row.run,
            at: row.at,
            in_use,
        }))
    }
}
