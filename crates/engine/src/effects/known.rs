//! What both databases know of this migration, held against the journal.

use std::sync::Arc;
use std::time::Duration;

use changeover_cutover::known::{Doubt, Known, doubt, doubt_of_abort};
use changeover_plan::Plan;
use changeover_postgres::error::Result as PgResult;
use changeover_postgres::objects;
use changeover_postgres::session::Session;
use changeover_run::{DataStage, Input, State};
use changeover_types::Side;
use tokio::time::timeout;

use super::application;
use crate::board::Board;
use crate::databases::Databases;
use crate::protocol::EventKind;
use crate::report::chain;

/// A side that has not answered by then says nothing; one is enough to see that a journal is behind.
const ASKED_FOR: Duration = Duration::from_secs(3);

/// Asks both databases whose this migration is and how far it has come.
#[derive(Clone)]
pub(crate) struct Witness {
    pub(super) plan: Arc<Plan>,
    pub(super) databases: Option<Databases>,
    pub(super) run_id: String,
    pub(super) board: Arc<Board>,
}

impl Witness {
    /// Why this journal must not be acted upon, if so. A side that does not answer is named and left
    /// out: what is under way may have to be resolved without it.
    pub(crate) async fn doubt(&self, state: &State) -> Option<Doubt> {
        doubt(&self.run_id, &state.cutover, began(state), &self.known().await)
    }

    /// The same before what an operator asks for is begun, if it takes back, removes or ends. In the
    /// middle of an attempt the protocol itself asks the rows.
    pub(crate) async fn against(&self, state: &State, input: &Input) -> Option<Doubt> {
        let ends = matches!(input, Input::RollBack { .. } | Input::Finish { .. });
        match input {
            _ if state.cutover.attempt.is_some() || state.mode.is_over() => None,
            Input::Abort { lost, .. } => {
                let rows = self.known().await;
                doubt_of_abort(&self.run_id, &state.cutover, began(state), *lost, &rows)
            }
            _ if ends => self.doubt(state).await,
            _ => None,
        }
    }

    /// Another run that lives, in whose way nobody may stand.
    pub(super) async fn another_lives(&self, state: &State) -> Option<Doubt> {
        let doubt = self.doubt(state).await?;
        matches!(doubt, Doubt::OtherRun { .. }).then_some(doubt)
    }

    async fn known(&self) -> Vec<Known> {
        let ask = |side| async move {
            let fault = match timeout(ASKED_FOR, self.known_of(side)).await {
                Ok(Ok(known)) => return known,
                Ok(Err(e)) => chain(&e),
                Err(_) => format!("no answer within {} s", ASKED_FOR.as_secs()),
            };
            let text = format!("what the {side} knows of this migration was not compared: {fault}");
            self.board.say(EventKind::Warning, text);
            None
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

/// Whether the run knows that it has put rows there.
fn began(state: &State) -> bool {
    state.data != DataStage::Nothing
}
