//! Writes batches of whole source transactions into the receiving database.
//!
//! Each batch is one transaction there. Its first statement proves the right to write (the fence
//! row, locked FOR SHARE, with this applier's incarnation), its second records the position by
//! compare-and-set (the progress row, whose predecessor is unique); so neither a second applier
//! nor a COMMIT whose answer was lost can double a row. After such a COMMIT the caller makes a
//! new [`Applier`], which reads from the rows what became of it.

mod failure;
mod receiving;
mod scan;
mod sql;
mod statements;
mod tables;

use changeover_relay::plan::{Plans, What, compose};
use changeover_relay::{Resume, Stream, Work};
use changeover_types::{Epoch, Lsn, MigrationName};

use crate::config::ConnectConfig;
use crate::error::{Error, Result};
use crate::session::{Pipeline, SearchPath, Session};
use failure::Queued;
use tables::Tables;

pub(crate) use failure::is_passing;
pub use scan::Scan;
pub(crate) use sql::SETTINGS;
pub(crate) use statements::statements;

/// A flight of statements ends when it has this many bytes.
const FLIGHT_BYTES: usize = 1 << 20;

/// Progress rows are pruned once in so many batches.
const PRUNE_EVERY: u64 = 500;

/// The session that writes one stream into one side.
#[derive(Debug)]
pub struct Applier {
    session: Session,
    migration: MigrationName,
    stream: Stream,
    incarnation: i64,
    tables: Tables,
    pipeline: Pipeline,
    queued: Vec<Queued>,
    batches: u64,
}

/// What a batch's progress row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The position of the row before.
    pub predecessor: Lsn,
    /// Commit LSN of the last source transaction in the batch.
    pub position: Lsn,
    /// The segment's epoch afterwards.
    pub epoch: Epoch,
    /// Whether the segment is open afterwards.
    pub open: bool,
}

impl Applier {
    /// Takes over the writing of `stream` into the server of `config`: whoever did it before is
    /// refused from now on. Gives where to go on. `path` is where the application's functions,
    /// which a change may run, look for names.
    ///
    /// # Errors
    /// `Refused` if the migration has no fence here (its objects were not installed) or the role
    /// may not set `session_replication_role`; otherwise what the server or connection says.
    pub async fn start(
        config: &ConnectConfig,
        migration: &MigrationName,
        stream: Stream,
        path: &SearchPath,
    ) -> Result<(Applier, Resume)> {
        let application = sql::application(migration, stream);
        let mut session = Session::connect(config, &application).await?;
        session.query(sql::SETTINGS).await.map_err(failure::settings)?;
        session.look_in(path).await?;
        let (incarnation, resume) =
            sql::take_over(&mut session, migration, stream, &application).await?;
        let mut applier = Applier {
            session,
            migration: migration.clone(),
            stream,
            incarnation,
            tables: Tables::default(),
            pipeline: Pipeline::new(),
            queued: Vec::new(),
            batches: 0,
        };
        applier.pipeline.prepare(sql::FENCE.0, sql::FENCE.1, &[]);
        applier.pipeline.prepare(sql::PROGRESS.0, sql::PROGRESS.1, &[]);
        applier.session.run_pipeline(&mut applier.pipeline).await?;
        Ok((applier, resume))
    }

    /// The server process that writes.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.session.pid()
    }

    /// Begins a batch. Nothing is sent yet: it travels with the first changes.
    pub fn begin(&mut self, head: Head) {
        let migration = self.migration.as_str().as_bytes();
        let stream = self.stream.as_str().as_bytes();
        let side = self.stream.into().as_str().as_bytes();
        let incarnation = self.incarnation.to_string();
        let incarnation = incarnation.as_bytes();
        self.pipeline.statement("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", &[]);
        self.queued.push(Queued::Own);
        self.pipeline
            .execute(sql::FENCE.0, &[Some(migration), Some(stream), Some(incarnation), Some(side)]);
        self.queued.push(Queued::Fence);
        let (predecessor, position) = (head.predecessor.to_string(), head.position.to_string());
        let epoch = head.epoch.to_string();
        self.pipeline.execute(
            sql::PROGRESS.0,
            &[
                Some(migration),
                Some(stream),
                Some(predecessor.as_bytes()),
                Some(position.as_bytes()),
                Some(incarnation),
                Some(epoch.as_bytes()),
                Some(if head.open { b"t" } else { b"f" }),
            ],
        );
        self.queued.push(Queued::Progress);
        self.batches += 1;
        if self.batches.is_multiple_of(PRUNE_EVERY) {
            self.pipeline.statement(sql::PRUNE, &[Some(migration), Some(stream)]);
            self.queued.push(Queued::Own);
        }
    }

    /// The tables that are met in `work` for the first time and whose rows the server can find
    /// only by reading the whole table.
    ///
    /// # Errors
    /// As [`Applier::changes`].
    pub async fn scans(&mut self, work: &[Work]) -> Result<Vec<Scan>> {
        self.tables.look_up(&mut self.session, self.stream.into(), work).await?;
        let mut scans = Vec::new();
        for work in work {
            if let Some((sql, parameters)) = self.tables.unexplained(work)
                && let Work::Row { table, .. } = work
            {
                scans
                    .extend(scan::explain(&mut self.session, &table.name, &sql, parameters).await?);
            }
        }
        Ok(scans)
    }

    /// Applies changes within the batch that was begun.
    ///
    /// # Errors
    /// `Divergence`, naming table and key, if a row that must be there is not, or is there
    /// twice, or a constraint forbids it, or the table differs between the sides; `Refused` if
    /// somebody else took over; otherwise what the server or connection says. The applier must
    /// not be used afterwards.
    pub async fn changes(&mut self, work: &[Work]) -> Result<()> {
        self.tables.look_up(&mut self.session, self.stream.into(), work).await?;
        let commands = compose(work, &self.tables)
            .map_err(|fault| Error::divergence(self.stream.into(), fault.to_string()))?;
        for command in commands {
            match command.what {
                What::Statement { relation, key, params, rows } => {
                    let name =
                        self.tables.statement(relation, &key, &mut self.pipeline).ok_or_else(
                            || Error::local(self.stream.into(), "a table was not looked up"),
                        )?;
                    let params: Vec<Option<&[u8]>> = params.iter().map(Option::as_deref).collect();
                    self.pipeline.execute(&name, &params);
                    self.queued.push(Queued::Rows { work: command.work, rows });
                }
                What::Truncate(sql) => {
                    self.pipeline.statement(&sql, &[]);
                    self.queued.push(Queued::Truncate { work: command.work });
                }
            }
            if self.pipeline.bytes() >= FLIGHT_BYTES {
                self.fly(work).await?;
            }
        }
        self.fly(work).await
    }

    /// Commits the batch: when this returns, it is durable.
    ///
    /// # Errors
    /// As [`Applier::changes`]. If [`Error::is_in_doubt`], it may be durable nevertheless.
    pub async fn commit(&mut self) -> Result<()> {
        self.pipeline.statement("COMMIT", &[]);
        self.queued.push(Queued::Commit);
        self.fly(&[]).await
    }

    /// Sends what is queued and judges the answers.
    async fn fly(&mut self, work: &[Work]) -> Result<()> {
        let queued = std::mem::take(&mut self.queued);
        let into = self.stream.into();
        match self.session.run_pipeline(&mut self.pipeline).await {
            Ok(tags) => {
                for (tag, queued) in tags.iter().zip(&queued) {
                    failure::judge(tag, queued, |at| self.key(work, at))
                        .map_err(|fault| Error::divergence(into, fault))?;
                }
                Ok(())
            }
            Err(error) => {
                let place = error.statement().and_then(|place| queued.get(place));
                Err(failure::explain(error, place, self.stream, |at| self.key(work, at)))
            }
        }
    }

    /// The table and key of a change, for messages.
    fn key(&self, work: &[Work], at: usize) -> String {
        match work.get(at) {
            Some(Work::Row { table, change }) => {
                let key = self.tables.plan(table).map(|plan| plan.key_of(change));
                format!("{} ({})", table.name, key.unwrap_or_default())
            }
            Some(Work::Truncate { tables, .. }) => {
                let names: Vec<String> = tables.iter().map(|t| t.name.to_string()).collect();
                names.join(", ")
            }
            None => "a change".to_owned(),
        }
    }
}
