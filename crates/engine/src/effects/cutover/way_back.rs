//! Calling off before the seal, and the way back from it.

use std::time::Duration;

use changeover_cutover::{Attempt, Input};
use changeover_postgres::config::ConnectConfig;
use changeover_postgres::lease::LeaseBudget;
use changeover_postgres::resolve::{self, ResolveError};
use changeover_postgres::session::Session;
use changeover_types::{Epoch, EpochKind};
use tokio::time::{Instant, timeout};

use super::super::Effects;
use super::{Sessions, Why, backend};

const WITHIN: Duration = Duration::from_secs(2);

/// Nobody may write until the giving side is unsealed: a taking side that is gone for longer than
/// this is not waited for.
const BURN_PATIENCE: Duration = Duration::from_secs(3);

/// How long a server that can be logged in to may take to show it.
const ANSWERS_WITHIN: Duration = Duration::from_millis(1_500);

/// Whether a server can be logged in to at the moment.
async fn answers(config: &ConnectConfig) -> bool {
    let session = Session::connect(config, "changeover resolve");
    timeout(ANSWERS_WITHIN, session).await.is_ok_and(|session| session.is_ok())
}

impl Effects {
    /// Before the seal: roll back, release. A gate that cannot be reached lapses by itself.
    pub(super) async fn call_off(&mut self, attempt: &Attempt) -> Result<Input, Why> {
        let Sessions { lease, grant, .. } = std::mem::take(&mut self.sessions);
        // A session whose connection is dead is ended by its server; clients need not wait for it.
        let (lease, grant) = tokio::join!(
            async {
                match lease {
                    Some(lease) => timeout(WITHIN, lease.release()).await.map(|it| it.err()),
                    None => Ok(None),
                }
            },
            async {
                match grant {
                    Some(grant) => timeout(WITHIN, grant.abandon()).await.map(|it| it.err()),
                    None => Ok(None),
                }
            },
        );
        match lease {
            Ok(None) => {}
            Ok(Some(e)) => tracing::warn!("releasing the lease: {e}"),
            Err(_) => tracing::warn!("releasing the lease: no answer"),
        }
        match grant {
            Ok(None) => {}
            Ok(Some(e)) => tracing::warn!("abandoning the grant: {e}"),
            Err(_) => tracing::warn!("abandoning the grant: no answer"),
        }
        if let Some(gates) = &self.gates
            && let Err(e) = gates.release(attempt.epoch).await
        {
            tracing::warn!("the gate was not released and will lapse: {e}");
        }
        self.show_longest_wait().await;
        Ok(Input::Done)
    }

    /// The daemon leaves: an attempt that has not come to its seal ends with it, and nobody is held for
    /// what does not come. The next life calls it off in the journal.
    pub(crate) async fn let_go(&mut self, state: &changeover_run::State) {
        let Some(attempt) = &state.cutover.attempt else { return };
        if !attempt.stage.is_before_seal() {
            return;
        }
        self.sessions = Sessions::default();
        let Some(gates) = &self.gates else { return };
        match timeout(WITHIN, gates.release(attempt.epoch)).await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => tracing::warn!("the gate was not released and will lapse: {e}"),
            Err(_) => tracing::warn!("the gate was not released and will lapse: no answer"),
        }
    }

    /// The taking side can never be granted this epoch any more.
    pub(super) async fn burn(&mut self, attempt: &Attempt) -> Result<Input, Why> {
        let sides = self.sides(attempt).await?;
        let unsealer = self.sessions.unsealer.as_ref().map(backend);
        let silent_since = self.sessions.silent_since;
        self.sessions = Sessions { silent_since, ..Sessions::default() };
        let run = self.run_id.clone();
        let burnt = resolve::burn(
            &sides.taker,
            &sides.taker_scope,
            attempt.epoch,
            &run,
            unsealer.as_ref(),
            WITHIN,
        );
        match burnt.await {
            Ok(()) => Ok(Input::Done),
            Err(ResolveError::Refused { newest: Some(row), .. })
                if row.epoch == attempt.epoch && row.kind == EpochKind::Grant =>
            {
                Ok(Input::FoundGranted)
            }
            Err(e) if !answers(&sides.taker).await => {
                let since = *self.sessions.silent_since.get_or_insert_with(Instant::now);
                if since.elapsed() > BURN_PATIENCE {
                    return Ok(Input::OutOfReach);
                }
                self.again(e.into()).await
            }
            Err(e) => self.again(e.into()).await,
        }
    }

    /// The giving side has authority again, in the next epoch.
    pub(super) async fn unseal(&mut self, attempt: &Attempt, epoch: Epoch) -> Result<Input, Why> {
        let sides = self.sides(attempt).await?;
        let run = self.run_id.clone();
        let budget = LeaseBudget { total: WITHIN, lock_wait: WITHIN / 2 };
        match resolve::unseal(&sides.giver, &sides.giver_scope, epoch, &run, budget).await {
            Ok(()) => Ok(Input::Done),
            Err(e) => self.again(e.into()).await,
        }
    }

    /// Gates go on where they were, under the new epoch.
    pub(super) async fn give_back(&mut self, attempt: &Attempt) -> Result<Input, Why> {
        let Some(gates) = &self.gates else { return Ok(Input::Done) };
        let epoch = attempt.epoch.next();
        let routed =
            gates.give_authority(epoch, attempt.from, epoch, (self.permille, &self.split)).await;
        let released = match routed {
            Ok(_) => gates.release(epoch).await,
            Err(e) => Err(e),
        };
        match released {
            Ok(_) => {
                self.show_longest_wait().await;
                Ok(Input::Done)
            }
            Err(e) => self.again(e.into()).await,
        }
    }
}
