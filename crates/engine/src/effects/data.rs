//! The first step, and what every step on data needs.

use std::time::Duration;

use changeover_postgres::digest::Fingerprint;
use changeover_postgres::error::{Error, ErrorKind, Result as PgResult};
use changeover_postgres::objects;
use changeover_postgres::preflight::{self, Trying};
use changeover_postgres::session::Session;
use changeover_relay::Stream;
use changeover_run::{Input, Next};
use changeover_types::{Epoch, Side};
use tokio::time::{Instant, sleep};

use super::{Effects, application};
use crate::declared::{blockers, preflight_options, selection};
use crate::preflight::{around, clients};
use crate::protocol::EventKind;
use crate::report::chain;

/// The archive that the target's schema was restored from, in the state folder: an abort drops what
/// is in it.
/// Each run has its own, so that it never drops what it did not make.
pub(super) fn schema_archive(run_id: &str) -> String {
    format!("schema-{run_id}.dump")
}

/// Genesis, in which the target is sealed for the copy.
pub(super) const GENESIS: Epoch = Epoch(1);

/// How long a side that does not answer is asked again before the run pauses.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same when nothing was begun: then it is rather a mistake in the plan than a restart.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);

/// The preflight's name for what an earlier attempt left.
const LEFT_OVER: &str = "left_over";

impl Effects {
    /// Preflight; our schema, genesis row and publication on both sides.
    pub(super) async fn install(&mut self) -> Input {
        match self.patient_for(FIRST_PATIENCE, Self::try_install).await {
            Ok(Installed::Facts(facts)) => self.begin_gates(facts).await,
            Ok(Installed::Blocked(why)) => Input::Failed {
                why: format!("the preflight found what must be mended first: {why}"),
                next: Next::Apply,
            },
            Err(e) => failed("preparing both databases", &e),
        }
    }

    async fn begin_gates(&self, facts: String) -> Input {
        let Some(gates) = &self.gates else { return Input::Installed { facts } };
        match gates.begin(GENESIS).await {
            Ok(()) => Input::Installed { facts },
            Err(e) => Input::Failed {
                why: format!(
                    "the gate still has the numbers of an earlier migration of this name: {}",
                    chain(&e)
                ),
                next: Next::Apply,
            },
        }
    }

    async fn try_install(&mut self) -> PgResult<Installed> {
        // Nothing is restored yet: what an earlier run of this name left here says what *that* run
        // restored, and an abort of this one must not drop it.
        std::fs::remove_file(self.state_dir.join(schema_archive(&self.run_id))).ok();
        let selection = selection(&self.plan)?;
        let (mut source, mut target) = self.both().await?;
        let placed = self.placed_before(&mut target).await?;
        let options =
            preflight::Options { placed, trying: Trying::Asked, ..preflight_options(&self.plan) };
        let mut found = preflight::check(&mut source, &mut target, &selection, options).await;
        if found.finding(LEFT_OVER).is_some() && self.began_here(&mut source, &mut target).await? {
            found.findings.retain(|finding| finding.id != LEFT_OVER);
        }
        found.findings.extend(around(&self.plan, self.gates.as_ref()).await.findings);
        found.findings.extend(clients(&self.plan, self.gates.as_ref(), &mut source).await);
        if let Some(why) = blockers(&found.findings) {
            return Ok(Installed::Blocked(why));
        }
        self.keeps_ownership = Some(found.keeps_ownership());
        for finding in &found.findings {
            let fix = if finding.fix.is_empty() { &finding.why } else { &finding.fix };
            let text = format!("{}: {} — {fix}", finding.id, finding.line());
            self.board.say(EventKind::Warning, text);
        }
        self.moved = None;
        let moved = self.moved().await?;
        self.place_types(&mut source, &mut target).await?;
        for session in [&mut source, &mut target] {
            let scope = moved.scope.on(session.side());
            objects::install(session).await?;
            let newest = objects::genesis(session, &scope, &self.run_id).await?;
            if newest.run != self.run_id {
                return Err(Error::refused(
                    session.side(),
                    format!(
                        "another run, {}, has this migration since {}; go on from the host and \
                         --state-dir that it was begun with",
                        newest.run, newest.at
                    ),
                ));
            }
            if newest.epoch != GENESIS {
                return Err(Error::refused(
                    session.side(),
                    format!("a migration {} has moved authority here before", self.plan.name),
                ));
            }
        }
        // The target has no tables to publish yet; its publication comes with the way back.
        objects::publication(&mut source, &moved.scope.on(Side::Source)).await?;
        let facts = Fingerprint::read(&mut source, &selection).await?;
        let facts = serde_json::to_string(&facts)
            .map_err(|e| Error::local(Side::Source, format!("the digest has no text: {e}")))?;
        Ok(Installed::Facts(facts))
    }

    /// Whether what both sides have of this migration is of this very run, which died before it
    /// could write down that it had begun.
    async fn began_here(&self, source: &mut Session, target: &mut Session) -> PgResult<bool> {
        let mut runs = Vec::new();
        for session in [source, target] {
            let there = session
                .query("SELECT 1 WHERE pg_catalog.to_regclass('changeover.epoch') IS NOT NULL")
                .await?;
            if !there.is_empty() {
                runs.extend(objects::newest(session, &self.plan.name).await?.map(|row| row.run));
            }
        }
        Ok(!runs.is_empty() && runs.iter().all(|run| *run == self.run_id))
    }

    /// Tries again for a while when a side does not answer.
    pub(super) async fn patiently<T>(
        &mut self,
        work: impl AsyncFnMut(&mut Self) -> PgResult<T>,
    ) -> PgResult<T> {
        self.patient_for(PATIENCE, work).await
    }

    async fn patient_for<T>(
        &mut self,
        patience: Duration,
        mut work: impl AsyncFnMut(&mut Self) -> PgResult<T>,
    ) -> PgResult<T> {
        let begun = Instant::now();
        loop {
            match work(self).await {
                Err(e)
                    if matches!(e.kind(), ErrorKind::Connect | ErrorKind::Io)
                        && begun.elapsed() < patience =>
                {
                    let text = format!("trying again: {}", chain(&e));
                    self.board.say(EventKind::Warning, text);
                    sleep(Duration::from_secs(1)).await;
                }
                outcome => return outcome,
            }
        }
    }

    pub(super) async fn both(&self) -> PgResult<(Session, Session)> {
        let databases = self.databases().map_err(no_databases)?;
        let name = application(&self.plan.name);
        tokio::try_join!(
            Session::connect(databases.of(Side::Source), &name),
            Session::connect(databases.of(Side::Target), &name),
        )
    }

    pub(super) fn slot(&self, stream: Stream) -> String {
        format!("{}_{stream}", self.plan.name.object_name())
    }
}

enum Installed {
    Facts(String),
    Blocked(String),
}

pub(super) fn no_databases(report: crate::Report) -> Error {
    Error::local(Side::Source, report.headline)
}

pub(super) fn failed(doing: &str, error: &Error) -> Input {
    Input::Failed { why: format!("{doing}: {}", chain(error)), next: Next::Apply }
}
