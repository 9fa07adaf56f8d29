//! The relays' beginnings, and the comparison as a step.

use std::time::Duration;

use changeover_postgres::error::Result as PgResult;
use changeover_postgres::replication::{SlotOptions, create_slot};
use changeover_postgres::session::Session;
use changeover_postgres::{barrier, objects};
use changeover_relay::Stream;
use changeover_run::{Input, Next};
use changeover_types::{Side, Task};
use tokio::time::{Instant, sleep};

use super::data::{failed, no_databases};
use super::{Effects, application};
use crate::protocol::EventKind;
use crate::report::chain;

/// A target that has not caught up for so long is told of, with the reason.
const TOLD_AFTER: Duration = Duration::from_secs(10);

/// Between two tries to compare both sides in place of a lost proof.
const MADE_UP_EVERY: Duration = Duration::from_secs(10);

impl Effects {
    /// Ends when the target holds all that was written before.
    pub(super) async fn catch_up(&mut self, tasks: &[Task]) -> Input {
        // Now there are objects to be asked, and no client is on the target yet.
        match self.patiently(Self::refused_on_target).await {
            Ok(None) => {}
            Ok(Some(why)) => {
                return Input::Failed { why, next: Next::Apply };
            }
            Err(e) => return failed("asking who may do what", &e),
        }
        let begun = Instant::now();
        while let Err(e) = self.beat().await {
            if begun.elapsed() > TOLD_AFTER {
                self.board.say(EventKind::Warning, format!("not caught up yet: {}", chain(&e)));
            }
            sleep(Duration::from_millis(200)).await;
        }
        Input::DoneWith { tasks: self.try_tasks(tasks).await }
    }

    /// A heartbeat that is seen applied proves that the target holds all that was written before.
    pub(super) async fn beat(&mut self) -> PgResult<()> {
        let nonce = self.nonce();
        let databases = self.databases().map_err(no_databases)?;
        let source = databases.of(Side::Source);
        let mut session = Session::connect(source, &application(&self.plan.name)).await?;
        barrier::heartbeat(&mut session, &self.plan.name, nonce).await?;
        session.close().await;
        // The heartbeat of the relay itself may overwrite ours: then another is written.
        self.relays.heartbeat(Side::Target, nonce, Duration::from_secs(4)).await
    }

    /// Publication and slot on the target; the relay itself is kept by the loop.
    pub(super) async fn prepare_reverse(&mut self, tasks: &[Task]) -> Input {
        match self.patiently(Self::try_prepare_reverse).await {
            Ok(()) => Input::DoneWith { tasks: self.try_tasks_of_now(tasks).await },
            Err(e) => failed("preparing the way back", &e),
        }
    }

    async fn try_prepare_reverse(&mut self) -> PgResult<()> {
        let databases = self.databases().map_err(no_databases)?.clone();
        let target = databases.of(Side::Target);
        let moved = self.moved().await?;
        let mut session = Session::connect(target, &application(&self.plan.name)).await?;
        objects::publication(&mut session, &moved.scope.on(Side::Target)).await?;
        let slot = self.slot(Stream::Reverse);
        let there = session
            .query_params(
                "SELECT 1 FROM pg_catalog.pg_replication_slots WHERE slot_name = $1",
                &[Some(&slot)],
            )
            .await?;
        if there.is_empty() {
            let mut creator =
                Session::connect_replication(target, &application(&self.plan.name)).await?;
            create_slot(&mut creator, &slot, SlotOptions::default()).await?;
        }
        Ok(())
    }

    /// The same until it succeeds: the relays may have to be started first.
    pub(super) async fn make_up_for_proof(&mut self, authority: Side) -> Input {
        loop {
            match self.verify(authority).await {
                Input::Failed { why, .. } => {
                    self.board.say(EventKind::Warning, format!("trying again: {why}"));
                    sleep(MADE_UP_EVERY).await;
                }
                verified => return verified,
            }
        }
    }

    /// Compares both sides at one position of the stream whose segment is open.
    pub(super) async fn verify(&mut self, authority: Side) -> Input {
        match self.comparer.compare(authority).await {
            Ok(report) => {
                let different = report.rows_different;
                Input::Verified { rows: report.rows_compared, different }
            }
            Err(e) => failed("comparing both sides", &e),
        }
    }
}
