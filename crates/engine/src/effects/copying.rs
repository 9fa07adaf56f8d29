//! The copy: snapshot, schema, seal of the target, rows, indexes; and its removal when it is lost.

use std::time::Duration;

use changeover_plan::Tablespaces;
use changeover_postgres::catalog::Catalog;
use changeover_postgres::config::ConnectConfig;
use changeover_postgres::copy::{self, CopyMeter, CopyOptions, CopyTicket, Sides};
use changeover_postgres::definitions::Definitions;
use changeover_postgres::error::{Error, ErrorKind, Result as PgResult};
use changeover_postgres::replication::drop_slot;
use changeover_postgres::schema::{self, Archive, PostProgress, Tools};
use changeover_postgres::session::Session;
use changeover_postgres::snapshot::{
    CopySnapshot, SnapshotLimits, SnapshotWait, in_the_way, rewriters,
};
use changeover_postgres::{preflight, seal};
use changeover_relay::Stream;
use changeover_run::Input;
use changeover_types::{MigrationName, Side, TableName, Task, seal_token};
use tokio::time::{Instant, interval, sleep, timeout};

use super::data::{GENESIS, failed, no_databases, schema_archive};
use super::{Effects, WAYS_GIVEN_MAX, application, keeper};
use crate::declared::{preflight_options, selection};
use crate::protocol::{CopyStatus, EventKind};
use crate::report::chain;

/// How long locks on our own tables may take when a lost copy is removed.
const UNDO_LOCKS: Duration = Duration::from_secs(30);

/// How long a rewrite of a moved table is waited for, and how often it is looked.
const REWRITE_WITHIN: Duration = Duration::from_secs(600);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How long what an earlier daemon left may take to end.
pub(super) const LEFT_OVER: Duration = Duration::from_secs(30);

/// Whether a restore that failed may be there all the same: the answer to its COMMIT was lost, and the
/// server says that its first table is there now, or nothing.
async fn may_be_there(
    target: &ConnectConfig,
    migration: &MigrationName,
    first: Option<&TableName>,
) -> bool {
    let Some(first) = first else { return false };
    let look = async {
        let mut session = Session::connect(target, "changeover look").await?;
        schema::end_left_over(&mut session, migration, LEFT_OVER).await?;
        schema::exists(&mut session, first).await
    };
    timeout(LEFT_OVER * 2, look).await.map_or(true, |found| found.unwrap_or(true))
}

impl Effects {
    /// Slot, snapshot, schema, seal of the target, rows. Its snapshot is gone with the first failure;
    /// begun again by itself only when it was in the application's way.
    pub(super) async fn copy(&mut self) -> Input {
        let mut ways_given = 0;
        loop {
            match self.try_copy().await {
                Ok(input) => return input,
                Err(e) if e.kind() == ErrorKind::InTheWay && ways_given < WAYS_GIVEN_MAX => {
                    ways_given += 1;
                    let text = format!("{}: the copy lets go and starts again", chain(&e));
                    self.board.say(EventKind::Warning, text);
                    if let Err(e) = self.let_them_pass().await {
                        return failed("starting the copy again", &e);
                    }
                }
                Err(e) => return failed("copying", &e),
            }
        }
    }

    /// Removes what was copied, and waits until nobody rewrites a moved table any more.
    async fn let_them_pass(&mut self) -> PgResult<()> {
        self.patiently(Self::try_undo_copy).await?;
        let begun = Instant::now();
        let tables = self.moved().await?.catalog.relations();
        let databases = self.databases().map_err(no_databases)?;
        let source = databases.of(Side::Source).clone();
        let mut session = Session::connect(&source, &application(&self.plan.name)).await?;
        loop {
            let rewriting = rewriters(&mut session, &tables).await?;
            if rewriting.is_empty() {
                return Ok(());
            }
            let who: Vec<String> = rewriting.iter().take(3).map(|it| it.who()).collect();
            let who = who.join("; ");
            if begun.elapsed() > REWRITE_WITHIN {
                return Err(Error::timeout(
                    Side::Source,
                    format!(
                        "a moved table has been rewritten, or is to be, for {} s ({who}): let it \
                         end, or end it",
                        REWRITE_WITHIN.as_secs()
                    ),
                ));
            }
            self.show_stage(&format!("waits for {who}"));
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn try_copy(&mut self) -> PgResult<Input> {
        let begun = Instant::now();
        let selection = selection(&self.plan)?;
        let databases = self.databases().map_err(no_databases)?.clone();
        let source = databases.of(Side::Source);
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
        // Before the snapshot: what changes from here on is in the dump, or is seen to have changed.
        let definitions = self.definitions_of(Side::Source).await?;
        let limits = SnapshotLimits::default();
        let snapshot = CopySnapshot::take(source, &selection, &slot, limits, &waiting).await?;
        // What holds the tables is dropped with this when somebody else wants one.
        tokio::select! {
            copied = self.copy_from(snapshot, &definitions, begun) => copied,
            error = in_the_way(source) => Err(error),
        }
    }

    async fn copy_from(
        &mut self,
        mut snapshot: CopySnapshot,
        definitions: &Definitions,
        begun: Instant,
    ) -> PgResult<Input> {
        let selection = selection(&self.plan)?;
        let databases = self.databases().map_err(no_databases)?.clone();
        let (source, target) = (databases.of(Side::Source), databases.of(Side::Target));
        if self.facts.as_ref().is_some_and(|f| f.catalog != snapshot.digest.fingerprint.catalog) {
            return Err(Error::refused(
                Side::Source,
                "the source's schema has changed since the migration began; \
                 `changeover abort` and start again",
            ));
        }
        self.show_stage("schema");
        self.restore_schema(&snapshot, definitions).await?;
        let (mut asked, mut altered) = self.both().await?;
        schema::set_checks_aside(&mut asked, &mut altered, &selection, &snapshot.catalog).await?;
        asked.close().await;
        altered.close().await;
        let mut control = Session::connect(target, &application(&self.plan.name)).await?;
        let scope = self.moved().await?.scope.on(Side::Target);
        seal::set(&mut control, &scope, GENESIS).await?;
        let ticket = CopyTicket {
            migration: self.plan.name.clone(),
            incarnation: copy::claim(&mut control, &self.plan.name).await?,
            token: seal_token(&self.plan.name, GENESIS, Side::Target),
        };
        let mut reader = snapshot.reader().await?;
        self.copy_configuration(&mut reader, &mut control).await?;
        reader.close().await;
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
        };
        snapshot.release().await;
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let definitions = self.notes.digest(Side::Source);
        Ok(Input::Copied { rows: summary.rows, bytes: summary.bytes, took_ms, definitions })
    }

    /// All or nothing in one transaction, sealed in it, so a table that is there means that all of it is.
    /// What is noted down of the source is what it was for the schema that is there.
    async fn restore_schema(
        &mut self,
        snapshot: &CopySnapshot,
        definitions: &Definitions,
    ) -> PgResult<()> {
        let target = self.databases().map_err(no_databases)?.of(Side::Target).clone();
        let mut session = Session::connect(&target, &application(&self.plan.name)).await?;
        // What an earlier daemon of this run was about to commit is there from here on, or never.
        schema::end_left_over(&mut session, &self.plan.name, LEFT_OVER).await?;
        let first = snapshot.catalog.tables.first();
        if let Some(first) = first
            && schema::exists(&mut session, &first.name).await?
        {
            return self.compare_type_numbers(&selection(&self.plan)?).await;
        }
        self.notes.write(Side::Source, definitions)?;
        let archive = self
            .dump(&snapshot.catalog, Some(&snapshot.name), &schema_archive(&self.run_id))
            .await?;
        let archive = self.without_placed(archive, &mut session).await?;
        let scope = self.moved().await?.scope.on(Side::Target);
        let restored = archive.restore_pre_data(&target, Some((&scope, GENESIS))).await;
        if restored.is_err()
            && !may_be_there(&target, &self.plan.name, first.map(|it| &it.name)).await
        {
            // Whatever is in the way was made by somebody else: an abort must not drop it.
            std::fs::remove_file(self.state_dir.join(schema_archive(&self.run_id))).ok();
        }
        restored?;
        self.compare_type_numbers(&selection(&self.plan)?).await
    }

    pub(super) async fn dump(
        &mut self,
        catalog: &Catalog,
        snapshot: Option<&str>,
        file: &str,
    ) -> PgResult<Archive> {
        let selection = selection(&self.plan)?;
        let keep = match self.keeps_ownership {
            Some(keep) => keep,
            // A daemon that was restarted since the preflight asks again.
            None => {
                let (mut source, mut target) = self.both().await?;
                let options = preflight_options(&self.plan);
                preflight::check(&mut source, &mut target, &selection, options)
                    .await
                    .keeps_ownership()
            }
        };
        self.keeps_ownership = Some(keep);
        let guard = keeper().map_err(|why| Error::local(Side::Source, why))?;
        let tools = Tools::find(catalog.server.major()).await?.under(guard);
        let path = self.state_dir.join(file);
        let databases = self.databases().map_err(no_databases)?;
        let source = databases.of(Side::Source);
        let archive =
            Archive::dump(&tools, source, &selection, catalog, snapshot, &path, keep).await?;
        Ok(match self.plan.data.tablespaces {
            Tablespaces::Keep => archive,
            Tablespaces::Default => archive.without_tablespaces(),
        })
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
            Ok((tasks, definitions)) => Input::Built { tasks, definitions },
            Err(e) => failed("building indexes and constraints", &e),
        }
    }

    async fn try_build(&mut self) -> PgResult<(Vec<Task>, Option<String>)> {
        let moved = self.moved().await?;
        let databases = self.databases().map_err(no_databases)?.clone();
        let target = databases.of(Side::Target);
        let archive = self.dump(&moved.catalog, None, "post-data.dump").await?;
        let (mut source, mut control) = self.both().await?;
        schema::end_left_over(&mut control, &self.plan.name, LEFT_OVER).await?;
        let post = archive.post_data(&mut source, &selection(&self.plan)?, &moved.catalog).await?;
        let board = self.board.clone();
        let shown = board.status().copy.unwrap_or_default();
        let progress = move |progress: PostProgress| {
            let stage = format!("indexes and constraints {}/{}", progress.done, progress.all);
            board.show_copy(CopyStatus { stage, ..shown.clone() });
        };
        let mut tasks = post.restore(target, self.plan.data.copy_jobs, &progress).await?;
        let undo = self.state_dir.join(schema_archive(&self.run_id));
        tasks.extend(schema::set_properties(&mut source, &mut control, &undo).await?);
        tasks.extend(schema::refresh_views(&mut source, &mut control, &moved.catalog).await?);
        schema::analyze(&mut control, &moved.tables()).await?;
        // Triggers that came with post-data must not have come between the seal and its tables.
        let scope = moved.scope.on(Side::Target);
        let state = seal::is_sealed(&mut control, &scope).await?;
        if !state.is_tight() {
            seal::set(&mut control, &scope, GENESIS).await?;
        }
        Ok((tasks, self.note_target().await?))
    }

    fn show_stage(&self, stage: &str) {
        let copy = self.board.status().copy.unwrap_or_default();
        self.board.show_copy(CopyStatus { stage: stage.to_owned(), ..copy });
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
