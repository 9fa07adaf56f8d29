//! The copy, the relays' beginnings, and the comparison.

use std::time::Duration;

use changeover_plan::{Plan, Standbys};
use changeover_postgres::catalog::{Catalog, Selection};
use changeover_postgres::config::ConnectConfig;
use changeover_postgres::copy::{self, CopyMeter, CopyOptions, CopyTicket, Sides};
use changeover_postgres::digest::Fingerprint;
use changeover_postgres::error::{Error, ErrorKind, Result as PgResult};
use changeover_postgres::preflight::{self, Preflight};
use changeover_postgres::replication::{SlotOptions, create_slot, drop_slot};
use changeover_postgres::schema::{self, Archive, PostProgress, Tools};
use changeover_postgres::session::Session;
use changeover_postgres::snapshot::{CopySnapshot, SnapshotLimits, SnapshotWait, rewriters};
use changeover_postgres::{barrier, objects, seal};
use changeover_relay::Stream;
use changeover_run::Input;
use changeover_types::{Epoch, Side, seal_token};
use tokio::time::{Instant, interval, sleep};

use super::{Effects, application};
use crate::protocol::{CopyStatus, EventKind};
use crate::report::chain;

/// The archive that the target's schema was restored from, in the state folder: an abort drops what
/// is in it.
/// Each run has its own, so that it never drops what it did not make.
pub(super) fn schema_archive(run_id: &str) -> String {
    format!("schema-{run_id}.dump")
}

/// Genesis, in which the target is sealed for the copy.
const GENESIS: Epoch = Epoch(1);

/// How long a side that does not answer is asked again before the run pauses.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same when nothing was begun: then it is rather a mistake in the plan than a restart.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);

/// The preflight's name for what an earlier attempt left.
const LEFT_OVER: &str = "left_over";

/// How long locks on our own tables may take when a lost copy is removed.
const UNDO_LOCKS: Duration = Duration::from_secs(30);

/// What the plan moves.
pub(crate) fn selection(plan: &Plan) -> PgResult<Selection> {
    Selection::new(plan.name.clone(), &plan.data.include, &plan.data.exclude)
        .map_err(|e| Error::local(Side::Source, e.to_string()))
}

/// What the plan declares to the preflight.
pub(crate) fn declared(plan: &Plan) -> preflight::Options {
    let standbys = plan.source.postgres.as_ref().map(|postgres| postgres.standbys);
    preflight::Options {
        standbys_never_promoted: standbys == Some(Standbys::NotPromotable),
        copy_jobs: plan.data.copy_jobs,
        ..preflight::Options::default()
    }
}

/// The blockers in one text.
pub(crate) fn blockers(preflight: &Preflight) -> Option<String> {
    let found: Vec<String> = preflight
        .blockers()
        .map(|finding| {
            let side = finding.side.map(|side| format!("{side}: ")).unwrap_or_default();
            format!("{}: {side}{} ({})", finding.id, finding.what, finding.fix)
        })
        .collect();
    (!found.is_empty()).then(|| found.join("; "))
}

impl Effects {
    /// Preflight; our schema, genesis row and publication on both sides.
    pub(super) async fn install(&mut self) -> Input {
        // The copy can do without, the cutover cannot: hours later is late to learn of it.
        if let Some(gates) = &self.gates
            && let Err(e) = gates.status().await
        {
            let text = format!("{}; the cutover will need it: `changeover gate PLAN`", chain(&e));
            self.board.say(EventKind::Warning, text);
        }
        match self.patient_for(FIRST_PATIENCE, Self::try_install).await {
            Ok(Installed::Facts(facts)) => self.begin_gates(facts).await,
            Ok(Installed::Blocked(why)) => Input::Failed {
                why: format!("the preflight found what must be mended first: {why}"),
                next: "changeover apply".to_owned(),
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
                next: "changeover apply".to_owned(),
            },
        }
    }

    async fn try_install(&mut self) -> PgResult<Installed> {
        // Nothing is restored yet: what an earlier run of this name left here says what *that* run
        // restored, and an abort of this one must not drop it.
        std::fs::remove_file(self.state_dir.join(schema_archive(&self.run_id))).ok();
        let selection = selection(&self.plan)?;
        let (mut source, mut target) = self.both().await?;
        let found =
            preflight::check(&mut source, &mut target, &selection, declared(&self.plan)).await;
        let mut found = found;
        if found.finding(LEFT_OVER).is_some() && self.began_here(&mut source, &mut target).await? {
            found.findings.retain(|finding| finding.id != LEFT_OVER);
        }
        if let Some(why) = blockers(&found) {
            return Ok(Installed::Blocked(why));
        }
        for finding in &found.findings {
            let fix = if finding.fix.is_empty() { &finding.why } else { &finding.fix };
            let text = format!("{}: {} — {fix}", finding.id, finding.what);
            self.board.say(EventKind::Warning, text);
        }
        self.moved = None;
        let moved = self.moved().await?;
        for session in [&mut source, &mut target] {
            let scope = moved.scope.on(session.side());
            objects::install(session).await?;
            let newest = objects::genesis(session, &scope, &self.run_id).await?;
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

    /// Slot, snapshot, schema, seal of the target, rows. Not tried again by itself: its snapshot
    /// is gone with the first failure.
    pub(super) async fn copy(&mut self) -> Input {
        match self.try_copy().await {
            Ok(input) => input,
            Err(e) => failed("copying", &e),
        }
    }

    async fn try_copy(&mut self) -> PgResult<Input> {
        let begun = Instant::now();
        let selection = selection(&self.plan)?;
        let databases = self.databases().map_err(no_databases)?.clone();
        let (source, target) = (databases.of(Side::Source), databases.of(Side::Target));
        self.show_stage("snapshot");
        let slot = self.slot(Stream::Forward);
        let board = self.board.clone();
        let waiting = move |wait: SnapshotWait| {
            if let SnapshotWait::Slot(blockers) = wait {
                let names: Vec<String> = blockers.iter().take(3).map(|t| t.who()).collect();
                let stage = format!("snapshot: waits for {}", names.join("; "));
                board.show_copy(CopyStatus { stage, ..CopyStatus::default() });
            }
        };
        let limits = SnapshotLimits::default();
        let mut snapshot = CopySnapshot::take(source, &selection, &slot, limits, &waiting).await?;
        if self.facts.as_ref().is_some_and(|f| f.catalog != snapshot.digest.fingerprint.catalog) {
            return Err(Error::refused(
                Side::Source,
                "the source's schema has changed since the migration began; \
                 `changeover abort` and start again",
            ));
        }
        self.show_stage("schema");
        self.restore_schema(&snapshot).await?;
        let mut control = Session::connect(target, &application(&self.plan.name)).await?;
        let scope = self.moved().await?.scope.on(Side::Target);
        seal::set(&mut control, &scope, GENESIS).await?;
        let ticket = CopyTicket {
            migration: self.plan.name.clone(),
            incarnation: copy::claim(&mut control, &self.plan.name).await?,
            token: seal_token(&self.plan.name, GENESIS, Side::Target),
        };
        let theirs = Catalog::read(&mut control, &selection).await?;
        let catalog = snapshot.catalog.clone();
        let sides = Sides {
            source: &catalog,
            target_major: theirs.server.major(),
            target_extensions: &theirs.extensions,
        };
        let jobs = copy::jobs(&sides);
        let meter = copy::meter(&jobs);
        let name = snapshot.name.clone();
        let options = CopyOptions { parallel: self.plan.data.copy_jobs, ..CopyOptions::default() };
        let summary = tokio::select! {
            summary = copy::run(source, target, &name, &ticket, &jobs, options, &meter) => summary?,
            lost = snapshot.lost() => return Err(lost),
            never = self.show_rows(&meter, begun) => match never {},
            never = self.warn_of_rewriters(source) => match never {},
        };
        snapshot.release().await;
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Input::Copied { rows: summary.rows, bytes: summary.bytes, took_ms })
    }

    /// All or nothing in one transaction, so a table that is there means that all of it is.
    async fn restore_schema(&self, snapshot: &CopySnapshot) -> PgResult<()> {
        let databases = self.databases().map_err(no_databases)?;
        let target = databases.of(Side::Target);
        let mut session = Session::connect(target, &application(&self.plan.name)).await?;
        let first = snapshot.catalog.tables.first();
        if let Some(first) = first
            && schema::exists(&mut session, &first.name).await?
        {
            return Ok(());
        }
        let archive = self
            .dump(&snapshot.catalog, Some(&snapshot.name), &schema_archive(&self.run_id))
            .await?;
        let restored = archive.restore_pre_data(target).await;
        if restored.is_err() {
            // Whatever is in the way was made by somebody else: an abort must not drop it.
            std::fs::remove_file(self.state_dir.join(schema_archive(&self.run_id))).ok();
        }
        restored
    }

    async fn dump(
        &self,
        catalog: &Catalog,
        snapshot: Option<&str>,
        file: &str,
    ) -> PgResult<Archive> {
        let databases = self.databases().map_err(no_databases)?;
        let (mut source, mut target) = self.both().await?;
        let selection = selection(&self.plan)?;
        let found =
            preflight::check(&mut source, &mut target, &selection, declared(&self.plan)).await;
        let major = catalog.server.major().max(source.server_version() / 10_000);
        let tools = Tools::find(major).await?;
        let path = self.state_dir.join(file);
        let source = databases.of(Side::Source);
        let keep = found.keeps_ownership();
        Archive::dump(&tools, source, &selection, catalog, snapshot, &path, keep).await
    }

    /// Removes what a lost copy left. The schema stays: it was restored whole or not at all.
    pub(super) async fn undo_copy(&mut self) -> Input {
        match self.patiently(Self::try_undo_copy).await {
            Ok(()) => Input::Done,
            Err(e) => failed("removing the lost copy", &e),
        }
    }

    async fn try_undo_copy(&mut self) -> PgResult<()> {
        let (mut source, mut target) = self.both().await?;
        drop_slot(&mut source, &self.slot(Stream::Forward)).await?;
        let moved = self.moved().await?;
        let ticket = CopyTicket {
            migration: self.plan.name.clone(),
            incarnation: copy::claim(&mut target, &self.plan.name).await?,
            token: seal_token(&self.plan.name, GENESIS, Side::Target),
        };
        copy::undo(&mut target, &ticket, &moved.catalog, UNDO_LOCKS).await
    }

    /// Indexes and constraints, after the rows.
    pub(super) async fn build(&mut self) -> Input {
        match self.patiently(Self::try_build).await {
            Ok(()) => Input::Done,
            Err(e) => failed("building indexes and constraints", &e),
        }
    }

    async fn try_build(&mut self) -> PgResult<()> {
        let moved = self.moved().await?;
        let databases = self.databases().map_err(no_databases)?.clone();
        let target = databases.of(Side::Target);
        let archive = self.dump(&moved.catalog, None, "post-data.dump").await?;
        let (mut source, mut control) = self.both().await?;
        let post = archive.post_data(&mut source).await?;
        let board = self.board.clone();
        let shown = board.status().copy.unwrap_or_default();
        let progress = move |progress: PostProgress| {
            let stage = format!("indexes and constraints {}/{}", progress.done, progress.all);
            board.show_copy(CopyStatus { stage, ..shown.clone() });
        };
        post.restore(target, self.plan.data.copy_jobs, &progress).await?;
        schema::refresh_views(&mut control, &moved.catalog).await?;
        schema::analyze(&mut control, &moved.tables()).await?;
        // Triggers that came with post-data must not have come between the seal and its tables.
        let scope = moved.scope.on(Side::Target);
        let state = seal::is_sealed(&mut control, &scope).await?;
        if !state.is_tight() {
            seal::set(&mut control, &scope, GENESIS).await?;
        }
        Ok(())
    }

    /// A heartbeat that is seen applied proves that the target holds all that was written before.
    pub(super) async fn catch_up(&mut self) -> Input {
        loop {
            let nonce = self.nonce();
            let outcome: PgResult<()> = async {
                let databases = self.databases().map_err(no_databases)?;
                let source = databases.of(Side::Source);
                let mut session = Session::connect(source, &application(&self.plan.name)).await?;
                barrier::heartbeat(&mut session, &self.plan.name, nonce).await?;
                session.close().await;
                // The heartbeat of the relay itself may overwrite ours: then another is written.
                self.relays.heartbeat(Side::Target, nonce, Duration::from_secs(4)).await
            }
            .await;
            match outcome {
                Ok(()) => return Input::Done,
                Err(e) => tracing::debug!("not caught up yet: {}", chain(&e)),
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Publication and slot on the target; the relay itself is kept by the loop.
    pub(super) async fn prepare_reverse(&mut self) -> Input {
        match self.patiently(Self::try_prepare_reverse).await {
            Ok(()) => Input::Done,
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

    /// Tries again for a while when a side does not answer.
    async fn patiently<T>(
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

    async fn both(&self) -> PgResult<(Session, Session)> {
        let databases = self.databases().map_err(no_databases)?;
        let name = application(&self.plan.name);
        tokio::try_join!(
            Session::connect(databases.of(Side::Source), &name),
            Session::connect(databases.of(Side::Target), &name),
        )
    }

    fn slot(&self, stream: Stream) -> String {
        format!("{}_{stream}", self.plan.name.object_name())
    }

    fn show_stage(&self, stage: &str) {
        let copy = self.board.status().copy.unwrap_or_default();
        self.board.show_copy(CopyStatus { stage: stage.to_owned(), ..copy });
    }

    /// Whoever wants to rewrite a table waits for our holder, and the application waits behind
    /// them: the operator must learn of it at once.
    async fn warn_of_rewriters(&self, source: &ConnectConfig) -> std::convert::Infallible {
        let mut tick = interval(Duration::from_secs(2));
        let mut session = None;
        loop {
            tick.tick().await;
            let mut open = match session.take() {
                Some(open) => open,
                None => match Session::connect(source, &application(&self.plan.name)).await {
                    Ok(open) => open,
                    Err(_) => continue,
                },
            };
            let Ok(waiting) = rewriters(&mut open).await else { continue };
            for transaction in waiting {
                let text = format!(
                    "{} wants to rewrite a table that is being copied and waits until the copy is \
                     done; the application's queries on that table wait behind it: end it",
                    transaction.who()
                );
                self.board.say(EventKind::Warning, text);
            }
            session = Some(open);
        }
    }

    /// Shows rate and time left until it is dropped.
    async fn show_rows(&self, meter: &CopyMeter, begun: Instant) -> std::convert::Infallible {
        let mut tick = interval(Duration::from_millis(250));
        loop {
            tick.tick().await;
            let totals = meter.totals();
            let seconds = begun.elapsed().as_secs_f64().max(0.001);
            let share = totals.work as f64 / totals.work_estimated.max(1) as f64;
            let eta_s = (share > 0.01).then(|| (seconds / share - seconds).ceil() as u64);
            self.board.show_copy(CopyStatus {
                tables_done: totals.tables_done,
                tables: totals.tables,
                rows: totals.rows,
                rows_estimated: totals.rows_estimated,
                bytes: totals.bytes,
                bytes_per_s: (totals.bytes as f64 / seconds) as u64,
                eta_s,
                took_ms: None,
                stage: "rows".to_owned(),
            });
        }
    }
}

enum Installed {
    Facts(String),
    Blocked(String),
}

fn no_databases(report: crate::Report) -> Error {
    Error::local(Side::Source, report.headline)
}

pub(super) fn failed(doing: &str, error: &Error) -> Input {
    Input::Failed { why: format!("{doing}: {}", chain(error)), next: "changeover apply".to_owned() }
}
