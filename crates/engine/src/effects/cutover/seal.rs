//! Steps 5 to 8: the seal, the grant, the flip.

use std::time::Duration;

use changeover_cutover::{Attempt, BackendIdent, Input};
use changeover_postgres::config::ConnectConfig;
use changeover_postgres::digest::Fingerprint;
use changeover_postgres::error::Error;
use changeover_postgres::grant::{GrantFailure, Snapshot};
use changeover_postgres::lease::{LeaseBudget, SealFailure};
use changeover_postgres::session::Session;
use changeover_postgres::{grant, resolve, seal};
use changeover_types::Side;
use tokio::time::{sleep, timeout};

use super::super::{Effects, application};
use super::before::lost_lease;
use super::{REST_OF_CUTOVER, Why, backend};
use crate::clock::now;
use crate::report::chain;

/// After the seal nobody may write: either its row is applied within this, or we go back.
const SEAL_APPLIED_WITHIN: Duration = Duration::from_secs(8);

/// How long an answer is looked for when a COMMIT is in doubt, before it is looked for again.
const RESOLVE_WITHIN: Duration = Duration::from_secs(10);

impl Effects {
    /// Step 5. The intent is journalled already.
    pub(super) async fn seal(&mut self, attempt: &Attempt) -> Result<Input, Why> {
        let sides = self.sides(attempt).await?;
        // Whoever took it may have sent its COMMIT and been dropped before the answer came.
        let Some(mut lease) = self.sessions.lease.take() else { return Ok(Input::InDoubt) };
        let found = Fingerprint::read(lease.session(), &sides.moved.selection).await?;
        if let Some(what) = self.sessions.digest.as_ref().and_then(|it| it.broken_by(&found)) {
            return Err(Why::new(format!("{what} while the lease was held")));
        }
        if let Some(gates) = &self.gates {
            gates.renew(attempt.epoch, REST_OF_CUTOVER).await?;
            let status = gates.sealing(attempt.epoch, attempt.from).await?;
            let (ended, waited_for) = gates.blockers(&status).part(self.unmovable);
            if status.hold.is_none() || !waited_for.is_empty() {
                return Err(Why::new("the gate's hold is not complete any more".to_owned()));
            }
            self.sessions.ended = ended;
        }
        if attempt.pause_left(now()).is_zero() {
            return Err(Why::new(format!(
                "the write pause of {} ms was used up just before the seal",
                attempt.write_pause_ms
            )));
        }
        match lease.seal().await {
            Ok(sealed) => Ok(Input::SealCommitted {
                lsn: sealed.lsn,
                unsealer: self.sessions.unsealer.clone(),
            }),
            Err(SealFailure::InDoubt(e)) => {
                tracing::warn!("the seal's commit is in doubt: {}", chain(&e));
                Ok(Input::InDoubt)
            }
            Err(e @ (SealFailure::Refused { .. } | SealFailure::Failed(_))) => Err(e.into()),
        }
    }

    /// Step 5 in doubt: only the rows, read under the migration's lock, can tell.
    pub(super) async fn resolve_seal(
        &mut self,
        attempt: &Attempt,
        lease: &BackendIdent,
    ) -> Result<Input, Why> {
        let sides = self.sides(attempt).await?;
        self.sessions.lease = None;
        let ident = backend(lease);
        let resolved = resolve::resolve_seal(
            &sides.giver,
            &sides.giver_scope,
            attempt.epoch,
            Some(&ident),
            None,
            RESOLVE_WITHIN,
        );
        match resolved.await {
            Ok(committed) => Ok(Input::SealResolved { committed }),
            Err(e) => self.again(e.into()).await,
        }
    }

    /// Step 6.
    pub(super) async fn await_seal(&mut self, attempt: &Attempt) -> Result<Input, Why> {
        let sides = self.sides(attempt).await?;
        let Some(giver) = self.sessions.giver.as_mut() else { return Err(lost_lease()) };
        let (_, found, proof) = tokio::try_join!(
            self.relays.sealed(attempt.to(), attempt.epoch, SEAL_APPLIED_WITHIN),
            Fingerprint::read(giver, &sides.moved.selection),
            proof(&sides.giver),
        )?;
        if let Some(what) = self.sessions.digest.as_ref().and_then(|it| it.broken_by(&found)) {
            return Err(Why::new(format!("{what} while the side was being sealed")));
        }
        self.sessions.proof_of_giver = proof;
        Ok(Input::Done)
    }

    /// Step 7.
    pub(super) async fn grant(&mut self, attempt: &Attempt) -> Result<Input, Why> {
        let Some(grant) = self.sessions.grant.take() else {
            return Err(Why::new("the session of the grant is gone".to_owned()));
        };
        match grant.commit().await {
            Ok(_) => Ok(Input::Done),
            Err(GrantFailure::InDoubt(e)) => {
                tracing::warn!("the grant's commit is in doubt: {}", chain(&e));
                Ok(Input::InDoubt)
            }
            Err(e) => {
                tracing::warn!("the grant of epoch {}: {}", attempt.epoch, chain(&e));
                Err(e.into())
            }
        }
    }

    /// Step 7 again, whole, under the lock: the rows say whether it is done, burnt, or to do.
    pub(super) async fn redo_grant(
        &mut self,
        attempt: &Attempt,
        unsealer: Option<&BackendIdent>,
    ) -> Result<Input, Why> {
        let sides = self.sides(attempt).await?;
        self.sessions.grant = None;
        let lost = unsealer.map(backend);
        let run = self.run_id.clone();
        let done = grant::redo(
            &sides.taker,
            &sides.taker_scope,
            attempt.epoch,
            &run,
            lost.as_ref(),
            LeaseBudget { total: RESOLVE_WITHIN, lock_wait: RESOLVE_WITHIN / 2 },
        );
        match done.await {
            Ok(_) => Ok(Input::Done),
            Err(GrantFailure::Refused { newest, .. })
                if newest.as_ref().is_some_and(|row| row.epoch >= attempt.epoch) =>
            {
                Ok(Input::FoundBurnt)
            }
            Err(e) => self.again(e.into()).await,
        }
    }

    /// Step 8. Gates first, for clients wait; then the rest.
    pub(super) async fn flip(&mut self, attempt: &Attempt) -> Result<Input, Why> {
        if let Some(gates) = &self.gates {
            let (mut permille, mut split) = (self.permille, self.split.clone());
            // Held requests meet a database only behind the application of its side.
            if self.plan.requests_follow_authority() {
                split.set(None, split.whole(attempt.to()), &mut permille);
            }
            let shares = (permille, &split);
            let routed =
                gates.give_authority(attempt.epoch, attempt.to(), attempt.epoch, shares).await;
            let released = match routed {
                Ok(_) => gates.release(attempt.epoch).await,
                Err(e) => Err(e),
            };
            if let Err(e) = released {
                return self.again(e.into()).await;
            }
            self.show_longest_wait().await;
        }
        let sides = self.sides(attempt).await?;
        self.sessions.lease = None;
        self.sessions.grant = None;
        let ended = std::mem::take(&mut self.sessions.ended);
        if !ended.is_empty() {
            let (count, names) = (ended.len(), ended.names());
            let text = format!("sessions ended, for their state cannot move: {count}: {names}");
            self.board.say(crate::protocol::EventKind::Warning, text);
        }
        if let Some(text) = self.narrow_margins(attempt.from) {
            self.board.say(crate::protocol::EventKind::Warning, text);
        }
        self.prove(attempt, &sides);
        self.name_what_came_late(attempt, &sides);
        // Inert already; what a busy table or server keeps is dropped when the migration ends.
        let dropped = timeout(DROPPED_WITHIN, async {
            let name = application(&self.plan.name);
            let mut session = Session::connect(&sides.taker, &name).await?;
            seal::drop_seal(&mut session, &sides.taker_scope, DROP_WAIT).await
        });
        match dropped.await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => tracing::warn!("dropping the old seal: {}", chain(&e)),
            Err(_) => tracing::warn!("dropping the old seal: no answer in time"),
        }
        Ok(Input::Done)
    }

    /// The sequences whose two ranges are closer together than the plan asks for.
    fn narrow_margins(&self, old: Side) -> Option<String> {
        let narrow: Vec<_> = self.sessions.ahead.narrow(self.plan.data.sequence_margin).collect();
        let shown = narrow.iter().take(NAMED_SEQUENCES);
        let mut names: Vec<String> =
            shown.map(|it| format!("{} ({})", it.name, it.margin)).collect();
        if narrow.len() > names.len() {
            names.push(format!("and {} more", narrow.len() - names.len()));
        }
        (!names.is_empty()).then(|| {
            format!(
                "nearly used up, so that fewer numbers than data.sequence_margin are set aside for \
                 whoever still takes some on the {old}: {}",
                names.join(", ")
            )
        })
    }

    /// A step that can only be tried again: says why on the board and waits a moment.
    pub(super) async fn again(&self, why: Why) -> Result<Input, Why> {
        self.board.say(crate::protocol::EventKind::Warning, format!("trying again: {}", why.text));
        sleep(Duration::from_millis(300)).await;
        Err(why)
    }
}

/// The proof snapshot of the sealed side. Nobody may write meanwhile, and where no connection is to
/// be had for it there is none for the way back either: without it, forward.
async fn proof(giver: &ConnectConfig) -> Result<Option<Snapshot>, Error> {
    match timeout(PROOF_OPENS_WITHIN, Snapshot::open(giver)).await {
        Ok(Ok(snapshot)) => return Ok(Some(snapshot)),
        Ok(Err(e)) => tracing::warn!("the proof of the cutover is given up: {}", chain(&e)),
        Err(_) => tracing::warn!("the proof of the cutover is given up: no session in time"),
    }
    Ok(None)
}

/// Clients wait while the proof's snapshot is opened.
const PROOF_OPENS_WITHIN: Duration = Duration::from_secs(1);

/// How many sequences are named.
const NAMED_SEQUENCES: usize = 8;

/// DROP TRIGGER wants the strongest lock: nobody shall wait behind it for longer than this.
const DROP_WAIT: Duration = Duration::from_millis(50);

/// How long all of it may take.
const DROPPED_WITHIN: Duration = Duration::from_secs(30);
